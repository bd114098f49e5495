"""What other people's test suites and clients once found wrong, over RESP2 and RESP3 where that makes a difference.

All of it also holds for a real Valkey: KVCORE_TEST_AGAINST=valkey runs it there.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import pytest

from tests import servers
from tests.compat.resp import Connection, ConnectionClosed

Connect = Callable[..., Connection]


@pytest.fixture
def connect(served_kvcore: servers.Server) -> Iterator[Connect]:
    """Makes connections that are closed when the test ends; the data and what tests switch are as new."""
    made: list[Connection] = []

    def make(protocol: int = 2) -> Connection:
        made.append(served_kvcore.connect(protocol))
        return made[-1]

    with served_kvcore.connect() as first:
        first.must("FLUSHALL")
    yield make
    for connection in made:
        connection.close()
    with served_kvcore.connect() as last:
        last.must("CLIENT", "UNPAUSE")
        last.must("DEBUG", "SET-ACTIVE-EXPIRE", 1)


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def protocol(request: pytest.FixtureRequest) -> int:
    value: int = request.param
    return value


def own_id(connection: Connection) -> int:
    value = connection.must("CLIENT", "ID").value
    assert isinstance(value, int)
    return value


def text(connection: Connection, *words: str | int) -> str:
    value = connection.call(*words).plain()
    assert isinstance(value, bytes)
    return value.decode()


def info(connection: Connection, section: str, field: str) -> str:
    for line in text(connection, "INFO", section).splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return value
    return ""


def client_field(connection: Connection, client: int, field: str) -> str:
    line = text(connection, "CLIENT", "LIST", "ID", client)
    return dict(word.split("=", 1) for word in line.split())[field]


def wait_until(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.005)


def blocked(connection: Connection, count: int = 1) -> None:
    wait_until(lambda: info(connection, "clients", "blocked_clients") == str(count))


# ---- blocking ----


def test_a_key_that_expired_while_its_transaction_ran_serves_nobody(connect: Connect, protocol: int) -> None:
    c, waiter = connect(), connect(protocol)
    c.must("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    begun = time.monotonic()
    waiter.send("BLPOP", "list", "0.6")
    blocked(c)
    for words in (("MULTI",), ("RPUSH", "list", "a"), ("PEXPIRE", "list", 50), ("DEBUG", "SLEEP", "0.1"), ("EXEC",)):
        c.must(*words)
    assert waiter.reply().value is None
    assert time.monotonic() - begun < 5


def test_calls_that_end_without_an_element_are_counted(connect: Connect) -> None:
    c, waiter = connect(), connect()
    client = own_id(waiter)
    for how, ends in (("TIMEOUT", "rejected_calls=0"), ("ERROR", "rejected_calls=1")):
        c.must("CONFIG", "RESETSTAT")
        waiter.send("BLPOP", "list", 0)
        blocked(c)
        c.must("CLIENT", "UNBLOCK", client, how)
        waiter.reply()
        stats = info(c, "commandstats", "cmdstat_blpop")
        assert stats.startswith("calls=1,")
        assert ends in stats
        assert stats.endswith("failed_calls=0")


def test_a_blocked_command_counts_for_its_client_when_it_has_ended(connect: Connect) -> None:
    c, waiter = connect(), connect()
    client = own_id(waiter)
    before = int(client_field(c, client, "tot-cmds"))
    waiter.send("BLPOP", "list", 0)
    blocked(c)
    assert int(client_field(c, client, "tot-cmds")) == before
    c.must("RPUSH", "list", "a")
    waiter.reply()
    wait_until(lambda: int(client_field(c, client, "tot-cmds")) == before + 1)


def test_a_served_client_gets_its_reply_before_the_invalidation_that_it_caused(connect: Connect) -> None:
    c, waiter = connect(), connect(3)
    c.must("RPUSH", "to", "x")
    waiter.must("CLIENT", "TRACKING", "ON")
    waiter.must("LRANGE", "to", 0, -1)
    waiter.send("BLMOVE", "from", "to", "LEFT", "LEFT", 0)
    blocked(c)
    c.must("RPUSH", "from", "foo")
    wire = b""
    while b"invalidate" not in wire:
        wire += waiter.socket.recv(4096)
    assert wire.index(b"$3\r\nfoo\r\n") < wire.index(b"invalidate")


@pytest.mark.parametrize("words", [("LMOVE", "a", "b", "LEFT", "LEFT"), ("RENAME", "a", "b"), ("MOVE", "a", "5")])
def test_moving_is_one_change(connect: Connect, words: tuple[str, ...]) -> None:
    c = connect()
    c.must("RPUSH", "a", 1)
    before = int(info(c, "persistence", "rdb_changes_since_last_save"))
    c.must(*words)
    assert int(info(c, "persistence", "rdb_changes_since_last_save")) == before + 1


# ---- pauses ----


def test_clients_that_a_pause_holds_back_count_as_blocked(connect: Connect) -> None:
    c, held = connect(), connect()
    c.must("CLIENT", "PAUSE", 100000, "WRITE")
    held.send("SET", "k", "v")
    blocked(c)
    c.must("CLIENT", "UNPAUSE")
    assert held.reply().plain() == b"OK"
    blocked(c, 0)


def test_nothing_expires_during_a_pause(connect: Connect) -> None:
    c = connect()
    c.must("SET", "k", "v", "PX", 30)
    c.must("CLIENT", "PAUSE", 100000, "WRITE")
    before = info(c, "stats", "expired_keys")
    time.sleep(0.25)
    assert c.call("GET", "k").value is None
    assert c.call("DBSIZE").value == 1
    assert info(c, "stats", "expired_keys") == before
    c.must("CLIENT", "UNPAUSE")
    assert c.call("GET", "k").value is None
    assert c.call("DBSIZE").value == 0
    assert int(info(c, "stats", "expired_keys")) == int(before) + 1


# ---- transactions ----


@pytest.mark.parametrize("change", [("FLUSHALL",), ("SWAPDB", 0, 1)])
def test_a_watched_key_that_had_expired_may_go_unnoticed(connect: Connect, change: tuple[str | int, ...]) -> None:
    c = connect()
    c.must("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    c.must("SET", "k", "v", "PX", 1)
    time.sleep(0.01)
    c.must("WATCH", "k")
    c.must(*change)
    c.must("MULTI")
    c.must("PING")
    assert c.must("EXEC").plain() == [b"PONG"]


def test_swapdb_may_bring_a_stale_key(connect: Connect) -> None:
    c = connect()
    c.must("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    c.must("SELECT", 1)
    c.must("SET", "k", "v", "PX", 1)
    c.must("SELECT", 0)
    time.sleep(0.01)
    c.must("WATCH", "k")
    c.must("SWAPDB", 0, 1)
    c.must("MULTI")
    c.must("PING")
    assert c.must("EXEC").plain() == [b"PONG"]


def test_exec_does_not_count_its_commands_errors_again(connect: Connect) -> None:
    c = connect()
    c.must("CONFIG", "RESETSTAT")
    for words in (("MULTI",), ("SET", "k", "v"), ("LPUSH", "k", "v"), ("EXEC",)):
        c.must(*words)
    assert info(c, "errorstats", "errorstat_WRONGTYPE") == "count=1"
    assert info(c, "stats", "total_error_replies") == "1"
    assert info(c, "commandstats", "cmdstat_exec").endswith("failed_calls=0")


# ---- connections ----


def test_confirmations_of_subscriptions_pass_client_reply_skip(connect: Connect, protocol: int) -> None:
    c = connect(protocol)
    c.send("CLIENT", "REPLY", "SKIP")
    c.send("SUBSCRIBE", "ch")
    reply = c.next() if protocol == 3 else c.reply()
    assert reply.plain() == [b"subscribe", b"ch", 1]


def test_several_id_filters_add_up(connect: Connect) -> None:
    c, others = connect(), [connect() for _ in range(3)]
    ids = [own_id(other) for other in others]
    words = [word for client in ids for word in ("ID", client)]
    assert [f"id={client} " in text(c, "CLIENT", "LIST", *words) for client in ids] == [True] * 3
    assert c.must("CLIENT", "KILL", *words).value == 3


def test_hello_names_the_availability_zone(connect: Connect, protocol: int) -> None:
    c = connect()
    c.must("CONFIG", "SET", "availability-zone", "myzone")
    assert b"myzone" in repr(c.must("HELLO", protocol)).encode()
    c.must("CONFIG", "SET", "availability-zone", "")
    assert b"availability_zone" not in repr(c.must("HELLO", protocol)).encode()


@pytest.mark.parametrize(
    "bad", [b"*1\rx$4\r\nPING\r\n", b"*0\rxPING\r\n", b"*1\r\n$4\rxPING\r\n", b"*1\r\n$4\r\nPINGx\n"]
)
def test_every_head_ends_in_cr_lf(served_kvcore: servers.Server, bad: bytes) -> None:
    with socket.create_connection((served_kvcore.host, served_kvcore.port), timeout=5) as raw:
        raw.sendall(bad)
        assert raw.recv(1000) == b"-ERR Protocol error: invalid CRLF in request\r\n"
        assert raw.recv(1000) == b""


def test_a_reply_above_the_hard_limit_is_not_sent(connect: Connect) -> None:
    c, greedy = connect(), connect()
    c.must("RPUSH", "big", *["x" * 100] * 2000)
    c.must("CONFIG", "SET", "client-output-buffer-limit", "normal 100000 0 0")
    try:
        greedy.send("LRANGE", "big", 0, -1)
        assert greedy.until_closed() == b""
        c.must("RPUSH", "big", *["x" * 100] * 3000)  # long enough to be written in slices, as the client reads
        assert len(c.must("LRANGE", "big", 0, -1).items) == 5000
    finally:
        c.must("CONFIG", "SET", "client-output-buffer-limit", "normal 0 0 0")


def test_a_command_above_the_query_buffer_limit_ends_its_connection(connect: Connect) -> None:
    c, big = connect(), connect()
    old = c.must("CONFIG", "GET", "client-query-buffer-limit").plain()
    assert isinstance(old, list)
    c.must("CONFIG", "SET", "client-query-buffer-limit", 1 << 20)
    try:
        with pytest.raises(ConnectionClosed):
            big.call("SET", "k", "x" * (2 << 20))
        assert c.must("EXISTS", "k").value == 0
    finally:
        c.must("CONFIG", "SET", "client-query-buffer-limit", old[1])


# ---- introspection ----


def test_command_list_names_subcommands(connect: Connect) -> None:
    names = connect().must("COMMAND", "LIST").plain()
    assert isinstance(names, list)
    assert {b"client|kill", b"config|get", b"get"} <= set(names)


def test_a_log_of_length_zero_numbers_nothing(connect: Connect) -> None:
    c = connect()

    def newest() -> int:
        entries = c.must("SLOWLOG", "GET", 1).plain()
        assert isinstance(entries, list)
        number: int = entries[0][0]
        return number

    settings = {"slowlog-log-slower-than": "0", "slowlog-max-len": "10"}
    old = {name: c.must("CONFIG", "GET", name).plain()[1].decode() for name in settings}  # type: ignore[index]
    try:
        for name, value in settings.items():
            c.must("CONFIG", "SET", name, value)
        c.must("PING")
        c.must("CONFIG", "SET", "slowlog-max-len", 0)
        first = newest_id = -1
        for _ in range(50):
            c.must("PING")
        c.must("CONFIG", "SET", "slowlog-max-len", 10)
        first = newest()
        c.must("PING")
        newest_id = newest()
        assert newest_id - first <= 3
        assert first < 10_000
    finally:
        for name, value in old.items():
            c.must("CONFIG", "SET", name, value)


def test_scan_removes_the_expired_keys_that_it_meets(connect: Connect) -> None:
    c = connect()
    c.must("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    for i in range(100):
        c.must("SET", f"live{i}", i)
    for i in range(20):
        c.must("SET", f"stale{i}", i, "PX", 1)
    time.sleep(0.01)
    cursor, names = b"0", []
    while True:
        page = c.must("SCAN", cursor, "COUNT", 10).plain()
        assert isinstance(page, list)
        cursor = page[0]
        names += page[1]
        if cursor == b"0":
            break
    assert len(set(names)) == 100
    assert c.must("DBSIZE").value == 100


def test_groups_of_output_limits_are_complete(connect: Connect) -> None:
    reply = connect().call("CONFIG", "SET", "client-output-buffer-limit", "wrong number")
    assert reply.is_error
    assert b"Wrong number of arguments" in reply.data


# ---- hashes ----


def test_fields_that_a_command_makes_expire_count_as_expired(connect: Connect) -> None:
    c = connect()
    c.must("CONFIG", "RESETSTAT")
    c.must("HSETEX", "fresh", "PXAT", 1, "FIELDS", 1, "f", "v")
    assert info(c, "stats", "expired_fields") == "1"
    c.must("HSET", "h", "a", 1, "b", 2)
    c.must("HSETEX", "h", "PXAT", 1, "FIELDS", 3, "a", 1, "c", 2, "d", 4)
    assert info(c, "stats", "expired_fields") == "4"
    c.must("HSET", "h", "a", 1)
    c.must("HGETEX", "h", "PXAT", 1, "FIELDS", 2, "b", "none")
    c.must("HEXPIRE", "h", 0, "FIELDS", 2, "a", "none")
    assert info(c, "stats", "expired_fields") == "6"


@pytest.mark.parametrize("words", [("HGETEX", "h", "EX"), ("HEXPIRE", "h")])
def test_a_time_for_a_missing_field_costs_no_memory(connect: Connect, words: tuple[str, ...]) -> None:
    c = connect()
    c.must("HSET", "h", "f", "v")
    before = c.must("MEMORY", "USAGE", "h").value
    c.must(*words, 100, "FIELDS", 1, "none")
    assert c.must("MEMORY", "USAGE", "h").value == before


def test_randomkey_ends_during_a_pause(connect: Connect) -> None:
    c = connect()
    c.must("SET", "k", "v", "PX", 1)
    c.must("CLIENT", "PAUSE", 100000, "WRITE")
    time.sleep(0.01)
    assert c.must("RANDOMKEY").plain() in (b"k", None)


# ---- sorted sets ----


def test_sums_of_infinities_go_from_the_smallest_source_on(connect: Connect) -> None:
    c = connect()
    c.must("ZADD", "small", "inf", "m")
    c.must("ZADD", "large", "-inf", "m", 0, "other")
    c.must("ZUNIONSTORE", "to", 3, "small", "large", "small")
    assert c.must("ZSCORE", "to", "m").plain() == b"0"


@pytest.mark.parametrize(
    ("options", "score"),
    [("1 0", b"0"), ("0 1", b"inf"), ("1 0 AGGREGATE MIN", b"inf"), ("0 1 AGGREGATE MIN", b"0"), ("0 0", b"0")],
)
def test_weights_of_nothing_in_an_intersection_of_infinities(connect: Connect, options: str, score: bytes) -> None:
    c = connect()
    c.must("ZADD", "a", "inf", "m")
    c.must("ZADD", "b", "inf", "m")
    c.must("ZINTERSTORE", "to", 2, "a", "b", "WEIGHTS", *options.split())
    assert c.must("ZSCORE", "to", "m").plain() == score
