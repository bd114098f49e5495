"""MIGRATE between kvcore and a real Valkey or Redis, and to targets that hang, leave, or reply nonsense."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

import kvcore
from tests import servers
from tests.compat.resp import Connection
from tests.persist import values

READ_FAILED = "IOERR error or timeout reading to target instance"
SLOW_MS = 5000


@pytest.fixture
def here(served_kvcore: servers.Server) -> Iterator[Connection]:
    with served_kvcore.connect(timeout_s=20) as connection:
        connection.must("FLUSHALL")
        yield connection


@pytest.fixture
def there(valkey_server: servers.Server) -> Iterator[Connection]:
    with valkey_server.connect(timeout_s=20) as connection:
        connection.must("FLUSHALL")
        yield connection


def error_of(connection: Connection, *words: str | int | bytes) -> str:
    reply = connection.call(*words)
    assert reply.is_error, reply
    return reply.data.decode()


def status_of(connection: Connection, *words: str | int | bytes) -> str:
    reply = connection.call(*words)
    assert not reply.is_error, reply
    return reply.data.decode()


def facts(connection: Connection, key: str) -> tuple[object, ...]:
    return (
        connection.must("TYPE", key).plain(),
        connection.must("OBJECT", "ENCODING", key).plain(),
        connection.must("DEBUG", "DIGEST-VALUE", key).plain(),
    )


@contextlib.contextmanager
def target(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server for one connection; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            with contextlib.suppress(OSError):
                client, _ = listener.accept()
                with client:
                    serve(client)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


@pytest.mark.peer
@pytest.mark.parametrize("kind", values.MAKERS)
def test_every_kind_of_value_goes_there_and_back(
    here: Connection, there: Connection, served_kvcore: servers.Server, valkey_server: servers.Server, kind: str
) -> None:
    for words in values.MAKERS[kind](random.Random(kind), "k"):
        here.must(*words)
    before = facts(here, "k")
    assert status_of(here, "MIGRATE", "127.0.0.1", valkey_server.port, "k", 0, SLOW_MS) == "OK"
    assert here.must("EXISTS", "k").plain() == 0
    assert facts(there, "k") == before
    assert status_of(there, "MIGRATE", "127.0.0.1", served_kvcore.port, "k", 0, SLOW_MS) == "OK"
    assert there.must("EXISTS", "k").plain() == 0
    assert facts(here, "k") == before


@pytest.mark.peer
def test_times_to_live_of_keys_and_fields_are_kept(
    here: Connection, there: Connection, valkey_server: servers.Server
) -> None:
    here.must("SET", "k", "v", "PX", 50_000)
    here.must("HSET", "h", "a", 1, "b", 2)
    here.must("HEXPIRE", "h", 100, "FIELDS", 1, "a")
    words = ("MIGRATE", "127.0.0.1", valkey_server.port, "", 3, SLOW_MS, "KEYS", "k", "nokey", "h")
    assert status_of(here, *words) == "OK"
    assert here.must("DBSIZE").plain() == 0
    there.must("SELECT", 3)
    left = there.must("PTTL", "k").plain()
    assert isinstance(left, int)
    assert 40_000 < left <= 50_000
    assert there.must("HTTL", "h", "FIELDS", 2, "a", "b").plain() in ([100, -1], [99, -1], (100, -1), (99, -1))


@pytest.mark.peer
def test_redis_refuses_times_of_fields_and_nothing_is_deleted(here: Connection, redis_server: servers.Server) -> None:
    with redis_server.connect() as target_of_all:
        target_of_all.must("FLUSHALL")
    here.must("HSET", "h", "a", 1)
    here.must("HEXPIRE", "h", 100, "FIELDS", 1, "a")
    error = error_of(here, "MIGRATE", "127.0.0.1", redis_server.port, "h", 0, SLOW_MS)
    assert error == "ERR Target instance replied with error: ERR DUMP payload version or checksum are wrong"
    assert here.must("EXISTS", "h").plain() == 1


@pytest.mark.peer
def test_keys_that_the_target_takes_go_and_the_others_stay(
    here: Connection, there: Connection, valkey_server: servers.Server
) -> None:
    there.must("SET", "b", "theirs")
    here.must("MSET", "a", 1, "b", 2, "c", 3)
    words = ("MIGRATE", "127.0.0.1", valkey_server.port, "", 0, SLOW_MS)
    error = error_of(here, *words, "KEYS", "a", "b", "c")
    assert error == "ERR Target instance replied with error: BUSYKEY Target key name already exists."
    assert here.must("KEYS", "*").plain() in ([b"b"], (b"b",))
    assert status_of(here, *words, "COPY", "REPLACE", "KEYS", "b") == "OK"
    assert here.must("GET", "b").plain() == there.must("GET", "b").plain() == b"2"


@pytest.mark.peer
def test_a_refused_database_or_password_deletes_nothing(here: Connection, valkey_server: servers.Server) -> None:
    here.must("SET", "k", "v")
    words = ("MIGRATE", "127.0.0.1", valkey_server.port, "k")
    refused = "ERR Target instance replied with error: "
    assert error_of(here, *words, 99, SLOW_MS) == refused + "ERR DB index is out of range"
    assert error_of(here, *words, 0, SLOW_MS, "AUTH2", "nobody", "x").startswith(refused + "WRONGPASS ")
    assert error_of(here, *words, 0, SLOW_MS, "AUTH", "x").startswith(refused + "ERR AUTH <password> called without")
    assert here.must("EXISTS", "k").plain() == 1


def test_a_password_opens_the_target(here: Connection, guarded_kvcore: servers.Server) -> None:
    here.must("SET", "migrated", "v")
    words = ("MIGRATE", "127.0.0.1", guarded_kvcore.port, "migrated", 0, SLOW_MS, "REPLACE")
    refused = "ERR Target instance replied with error: NOAUTH Authentication required."
    assert error_of(here, *words) == refused
    assert status_of(here, *words, "AUTH", "secret") == "OK"
    assert here.must("EXISTS", "migrated").plain() == 0


@pytest.mark.parametrize("said", [b"", b"+OK\r\n", b"+OK\r\n+KO\r\n", b"+OK\r\n$2\r\n", b"x" * 5000, b"+OK\r\n+O"])
def test_a_target_that_does_not_confirm_is_not_believed(here: Connection, said: bytes) -> None:
    def serve(client: socket.socket) -> None:
        client.recv(65536)
        client.sendall(said)

    here.must("SET", "k", "v")
    with target(serve) as port:
        assert error_of(here, "MIGRATE", "127.0.0.1", port, "k", 0, SLOW_MS) == READ_FAILED
    assert here.must("GET", "k").plain() == b"v"


def test_what_was_confirmed_before_the_target_left_is_deleted(here: Connection) -> None:
    def serve(client: socket.socket) -> None:
        client.recv(65536)
        client.sendall(b"+OK\r\n+OK\r\n")

    here.must("MSET", "a", 1, "b", 2)
    with target(serve) as port:
        assert error_of(here, "MIGRATE", "127.0.0.1", port, "", 0, SLOW_MS, "KEYS", "a", "b") == READ_FAILED
    assert here.must("EXISTS", "a").plain() == 0
    assert here.must("EXISTS", "b").plain() == 1


def test_a_target_that_hangs_is_left_when_the_time_is_up(here: Connection) -> None:
    release = threading.Event()
    here.must("SET", "k", "v")
    with target(lambda client: void(release.wait(20))) as port:
        start = time.monotonic()
        assert error_of(here, "MIGRATE", "127.0.0.1", port, "k", 0, 200) == READ_FAILED
        assert 0.15 < time.monotonic() - start < 5
        release.set()
    assert here.must("EXISTS", "k").plain() == 1


def void(_: object) -> None:
    """For functions whose result nobody wants."""


@pytest.mark.parametrize(
    ("change", "left"),
    [
        ([("SET", "k", "newer")], b"newer"),
        ([("EXPIRE", "k", 1000)], b"v"),
        ([("SET", "other", "x")], None),
        ([("SET", "k", "x"), ("SET", "k", "v")], None),
        ([("DEL", "k")], None),
    ],
)
def test_a_key_that_changes_meanwhile_stays(change: list[tuple[str | int, ...]], left: bytes | None) -> None:
    """In the process: another thread writes while the network is waited for, so the keys are not locked then."""
    with kvcore.open() as db:
        db.set("k", "v")

        def serve(client: socket.socket) -> None:
            client.recv(65536)
            for words in change:
                db.execute(*words)
            client.sendall(b"+OK\r\n+OK\r\n")

        with target(serve) as port:
            if left is None:
                db.migrate("127.0.0.1", port, "k", 0, SLOW_MS)
            else:
                with pytest.raises(kvcore.ResponseError, match="changed while it was migrated"):
                    db.migrate("127.0.0.1", port, ["k"], 0, SLOW_MS)
        assert db.get("k") == left


def test_a_deletion_is_seen_by_watchers_and_listeners(here: Connection, served_kvcore: servers.Server) -> None:
    def serve(client: socket.socket) -> None:
        client.recv(65536)
        client.sendall(b"+OK\r\n+OK\r\n")

    here.must("SET", "k", "v")
    with served_kvcore.connect() as watcher, target(serve) as port:
        watcher.must("WATCH", "k")
        assert status_of(here, "MIGRATE", "127.0.0.1", port, "k", 0, SLOW_MS) == "OK"
        watcher.must("MULTI")
        watcher.must("PING")
        assert watcher.must("EXEC").plain() is None


def test_in_a_transaction_it_is_refused(here: Connection) -> None:
    here.must("MULTI")
    here.must("MIGRATE", "127.0.0.1", 1, "k", 0, 100)
    assert b"MIGRATE is not possible in a transaction" in here.must("EXEC").encode()


@pytest.mark.peer
@pytest.mark.parametrize(
    "words",
    [
        ("127.0.0.1", 1, "nokey", 0, 100),
        ("127.0.0.1", 1, "k", 0, 100),
        ("127.0.0.1", "abc", "k", 0, 100),
        ("no.such.host.invalid", 1, "k", 0, 100),
        ("127.0.0.1", 1, "k", 0, "abc"),
        ("127.0.0.1", 1, "k", "abc", 100),
        ("127.0.0.1", 1, "k", 0, 100, "BAD"),
        ("127.0.0.1", 1, "k", 0, 100, "KEYS", "a"),
        ("127.0.0.1", 1, "", 0, 100, "KEYS"),
        ("127.0.0.1", 1, "", 0, 100, "AUTH"),
        ("127.0.0.1", 1, "", 0, 100, "AUTH2", "a"),
        ("127.0.0.1", 1, "", 0, 100),
        ("127.0.0.1", 1, "", 0, 100, "COPY", "REPLACE", "KEYS", "nokey", "copy"),
    ],
)
def test_replies_are_those_of_a_real_server(here: Connection, there: Connection, words: tuple[str | int, ...]) -> None:
    for connection in (here, there):
        connection.must("SET", "k", "v")
    assert here.call("MIGRATE", *words).encode() == there.call("MIGRATE", *words).encode()
    assert (
        here.call("COMMAND", "GETKEYS", "MIGRATE", *words).encode()
        == there.call("COMMAND", "GETKEYS", "MIGRATE", *words).encode()
    )
