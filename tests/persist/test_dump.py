"""DUMP and RESTORE beside a real Valkey and a real Redis: what one dumps, the other restores as the same value."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator

import pytest

from tests import servers
from tests.compat.resp import Connection
from tests.persist import values

SEEDS = range(12)
FOREIGN = pytest.mark.peer


@pytest.fixture
def here(served_kvcore: servers.Server) -> Iterator[Connection]:
    with served_kvcore.connect() as connection:
        connection.must("FLUSHALL")
        yield connection


@pytest.fixture(params=["valkey", "redis"])
def there(request: pytest.FixtureRequest) -> Iterator[Connection]:
    server: servers.Server = request.getfixturevalue(f"{request.param}_server")
    with server.connect() as connection:
        connection.must("FLUSHALL")
        yield connection


def fill(connection: Connection, kind: str, seed: int) -> None:
    for words in values.MAKERS[kind](random.Random(f"{kind}{seed}"), "k"):
        connection.must(*words)


def facts(connection: Connection, key: str) -> tuple[object, ...]:
    """All that is to survive: every byte of the value, and how it is kept."""
    return (
        connection.must("TYPE", key).plain(),
        connection.must("OBJECT", "ENCODING", key).plain(),
        connection.must("DEBUG", "DIGEST-VALUE", key).plain(),
    )


def dumped(connection: Connection, key: str) -> bytes:
    payload = connection.must("DUMP", key).plain()
    assert isinstance(payload, bytes)
    return payload


@FOREIGN
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", values.MAKERS)
def test_what_is_dumped_here_is_restored_there(here: Connection, there: Connection, kind: str, seed: int) -> None:
    fill(here, kind, seed)
    there.must("RESTORE", "k", 0, dumped(here, "k"))
    assert facts(there, "k") == facts(here, "k")


@FOREIGN
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", values.MAKERS)
def test_what_is_dumped_there_is_restored_here(here: Connection, there: Connection, kind: str, seed: int) -> None:
    fill(there, kind, seed)
    payload = dumped(there, "k")
    if struct.unpack("<H", payload[-10:-8])[0] not in (11, 12, 80):
        pytest.skip("a version of the format that is newer than those that are read")
    here.must("RESTORE", "k", 0, payload)
    assert facts(here, "k") == facts(there, "k")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", values.MAKERS)
def test_there_and_back(here: Connection, kind: str, seed: int) -> None:
    fill(here, kind, seed)
    before = facts(here, "k")
    here.must("CONFIG", "SET", "rdbcompression", "no" if seed % 2 else "yes")
    payload = dumped(here, "k")
    here.must("CONFIG", "SET", "rdbcompression", "yes")
    here.must("RESTORE", "copy", 0, payload)
    assert facts(here, "copy") == before


def test_hash_with_field_expiries_to_valkey_and_back(here: Connection, valkey_server: servers.Server) -> None:
    here.must("HSET", "h", "a", "1", "b", "2", "c", "x" * 100)
    here.must("HPEXPIREAT", "h", 33_000_000_000_000, "FIELDS", 1, "a")
    payload = dumped(here, "h")
    assert payload[0] == 22
    assert struct.unpack("<H", payload[-10:-8]) == (80,)
    with valkey_server.connect() as there:
        there.must("RESTORE", "h", 0, payload, "REPLACE")
        wanted = [33_000_000_000_000, -1, -1]
        assert there.must("HPEXPIRETIME", "h", "FIELDS", 3, "a", "b", "c").plain() == wanted
        here.must("RESTORE", "back", 0, dumped(there, "h"))
    assert here.must("HPEXPIRETIME", "back", "FIELDS", 3, "a", "b", "c").plain() == wanted
    assert here.must("HGETALL", "back").plain() == here.must("HGETALL", "h").plain()


@FOREIGN
@pytest.mark.parametrize("fields", [3, 700])
def test_field_expiries_of_redis(here: Connection, redis_server: servers.Server, fields: int) -> None:
    with redis_server.connect() as there:
        there.must("FLUSHALL")
        for number in range(fields):
            there.must("HSET", "h", f"field:{number}", number)
            if number % 3 != 0:
                at = 33_000_000_000_000 + 1000 * number
                there.must("HPEXPIREAT", "h", at, "FIELDS", 1, f"field:{number}")
        payload = dumped(there, "h")
    assert payload[0] in (24, 25)
    here.must("RESTORE", "h", 0, payload)
    for number in range(fields):
        at = 33_000_000_000_000 + 1000 * number if number % 3 != 0 else -1
        assert here.must("HPEXPIRETIME", "h", "FIELDS", 1, f"field:{number}").plain() == [at]
        assert here.must("HGET", "h", f"field:{number}").plain() == b"%d" % number


def test_a_payload_without_a_checksum_is_refused(here: Connection) -> None:
    """In a file a checksum of zero means that there is none; a payload has to have one."""
    here.must("SET", "k", "value")
    reply = here.call("RESTORE", "copy", 0, dumped(here, "k")[:-8] + bytes(8))
    assert reply.data == b"ERR DUMP payload version or checksum are wrong"
