"""Replies of many items are written in slices: whole, of one moment, in their order, and nobody waits for them.

Nothing here measures time: that is benchmarks/run.py longwork.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.compat.resp import Connection
from tests.conftest import start_tested_server
from tests.servers import SANITIZED, Server

ITEMS = 20_000
SECONDS = 120.0 if SANITIZED else 30.0


@pytest.fixture(scope="module", params=["1", "3"], ids=["one thread", "three threads"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    server = start_tested_server("--io-threads", request.param)
    yield server
    server.stop()


@pytest.fixture
def c(server: Server) -> Iterator[Connection]:
    with server.connect(timeout_s=SECONDS) as connection:
        connection.must("FLUSHALL")
        yield connection


def fill(c: Connection) -> None:
    for at in range(0, ITEMS, 1000):
        numbers = range(at, at + 1000)
        c.must("RPUSH", "list", *(f"i{n}" for n in numbers))
        c.must("SADD", "set", *(f"m{n}" for n in numbers))
        c.must("HSET", "hash", *(word for n in numbers for word in (f"f{n}", f"v{n}")))
        c.must("ZADD", "zset", *(word for n in numbers for word in (n, f"m{n}")))


@pytest.mark.parametrize("protocol", [2, 3])
def test_replies_are_whole(server: Server, c: Connection, protocol: int) -> None:
    fill(c)
    with server.connect(protocol=protocol, timeout_s=SECONDS) as reader:
        expected: dict[tuple[Any, ...], list[bytes]] = {
            ("LRANGE", "list", 0, -1): [b"i%d" % n for n in range(ITEMS)],
            ("LRANGE", "list", 100, -101): [b"i%d" % n for n in range(100, ITEMS - 100)],
            ("ZRANGE", "zset", 0, -1): [b"m%d" % n for n in range(ITEMS)],
            ("ZREVRANGE", "zset", 0, -1): [b"m%d" % n for n in reversed(range(ITEMS))],
            ("ZRANGEBYSCORE", "zset", 10, "+inf"): [b"m%d" % n for n in range(10, ITEMS)],
        }
        for command, items in expected.items():
            assert [item.data for item in reader.must(*command).items] == items
        assert {item.data for item in reader.must("SMEMBERS", "set").items} == {b"m%d" % n for n in range(ITEMS)}
        assert {item.data for item in reader.must("HKEYS", "hash").items} == {b"f%d" % n for n in range(ITEMS)}
        pairs = reader.must("HGETALL", "hash").plain()
        if isinstance(pairs, list):
            pairs = dict(zip(pairs[::2], pairs[1::2], strict=True))
        assert pairs == {b"f%d" % n: b"v%d" % n for n in range(ITEMS)}


def test_pipelined_replies_keep_their_order(c: Connection) -> None:
    fill(c)
    for n in range(5):
        c.send("SET", "n", n)
        c.send("LRANGE", "list", 0, -1)
        c.send("RPUSH", "list", f"new{n}")
        c.send("SMEMBERS", "set")
        c.send("GET", "n")
    for n in range(5):
        assert c.next().data == b"OK"
        items = c.next().items
        assert len(items) == ITEMS + n
        assert items[-1].data == (b"new%d" % (n - 1) if n else b"i%d" % (ITEMS - 1))
        assert c.next().value == ITEMS + n + 1
        assert len(c.next().items) == ITEMS
        assert c.next().data == b"%d" % n


BIG = 3000


def fill_big(c: Connection) -> bytes:
    """A list whose reply does not fit the sockets' buffers; that reply."""
    c.must("DEL", "list")
    for at in range(0, BIG, 500):
        c.must("RPUSH", "list", *(f"i{n}".ljust(3000, "x") for n in range(at, at + 500)))
    return b"*%d\r\n" % BIG + b"".join(b"$3000\r\n%b\r\n" % (b"i%d" % n).ljust(3000, b"x") for n in range(BIG))


def read_exactly(c: Connection, size: int) -> bytes:
    data = bytearray()
    c.socket.settimeout(SECONDS)
    while len(data) < size:
        more = c.socket.recv(min(1 << 20, size - len(data)))
        assert more
        data += more
    return bytes(data)


def test_a_slow_client_does_not_keep_others_from_its_key(server: Server, c: Connection) -> None:
    """It reads nothing, so its reply is stuck in the middle; who changes the key has the rest written, in memory."""
    expected = fill_big(c)
    with server.connect(timeout_s=SECONDS) as slow:
        slow.send("LRANGE", "list", 0, -1)
        slow.send("PING")
        begun = read_exactly(slow, 1)  # threads keep no order between connections
        assert c.must("RPUSH", "list", "more").value == BIG + 1
        assert c.must("LSET", "list", 0, "first").data == b"OK"
        assert begun + read_exactly(slow, len(expected) - 1) == expected
        assert slow.next().data == b"PONG"


@pytest.mark.parametrize("command", ["DEL list", "SET list x", "FLUSHALL", "RENAME other list", "RENAME list other"])
def test_a_key_that_goes_while_a_slow_client_reads_it(server: Server, c: Connection, command: str) -> None:
    expected = fill_big(c)
    c.must("SET", "other", "x")
    with server.connect(timeout_s=SECONDS) as slow:
        slow.send("LRANGE", "list", 0, -1)
        begun = read_exactly(slow, 1)
        c.must(*command.split(" "))
        assert begun + read_exactly(slow, len(expected) - 1) == expected


def test_clients_that_leave_in_the_middle(server: Server, c: Connection) -> None:
    fill_big(c)
    for n in range(20):
        leaving = server.connect(timeout_s=SECONDS)
        who = leaving.must("CLIENT", "ID").value
        assert isinstance(who, int)
        leaving.send("LRANGE", "list", 0, -1)
        if n % 2:
            c.must("CLIENT", "KILL", "ID", who)
        leaving.close()
        assert c.must("RPUSH", "list", "x").value == BIG + 1 + n


def test_messages_do_not_come_in_the_middle(server: Server, c: Connection) -> None:
    fill(c)
    with server.connect(protocol=3, timeout_s=SECONDS) as reader:
        reader.send("SUBSCRIBE", "news")
        assert reader.next().items[0].data == b"subscribe"
        stop = threading.Event()

        def publish() -> None:
            with server.connect(timeout_s=SECONDS) as publisher:
                while not stop.is_set():
                    publisher.must("PUBLISH", "news", "hello")

        thread = threading.Thread(target=publish)
        thread.start()
        try:
            for _ in range(6):
                reader.send("LRANGE", "list", 0, -1)
                reply = reader.next()
                while len(reply.items) == 3 and reply.items[0].data == b"message":
                    reply = reader.next()
                assert [item.data for item in reply.items] == [b"i%d" % n for n in range(ITEMS)]
        finally:
            stop.set()
            thread.join()


def test_one_moment(server: Server, c: Connection) -> None:
    """Writers change all fields of a hash in one command; no reply shows two of their values."""
    fields = [f"f{n}" for n in range(5000)]
    stop = threading.Event()
    errors: list[str] = []

    def write(who: int) -> None:
        with server.connect(timeout_s=SECONDS) as writer:
            n = 0
            while not stop.is_set():
                value = f"{who}-{n}"
                writer.must("HSET", "same", *(word for field in fields for word in (field, value)))
                if n % 5 == 0:
                    writer.must("DEL", "same")
                n += 1

    def read() -> None:
        with server.connect(timeout_s=SECONDS) as reader:
            for _ in range(40):
                values = {item.data for item in reader.must("HVALS", "same").items}
                if len(values) > 1:
                    errors.append(f"{len(values)} values")

    writers = [threading.Thread(target=write, args=(who,)) for who in range(2)]
    readers = [threading.Thread(target=read) for _ in range(3)]
    for thread in writers + readers:
        thread.start()
    for thread in readers:
        thread.join()
    stop.set()
    for thread in writers:
        thread.join()
    assert errors == []


def test_the_log_shows_the_whole_command(c: Connection) -> None:
    fill(c)
    c.must("CONFIG", "SET", "commandlog-reply-larger-than", 100_000)
    try:
        c.must("COMMANDLOG", "RESET", "large-reply")
        c.must("LRANGE", "list", 0, -1)
        entry = c.must("COMMANDLOG", "GET", 1, "large-reply").items[0].plain()
        assert isinstance(entry, list)
        assert entry[2] > 150_000
        assert entry[3] == [b"LRANGE", b"list", b"0", b"-1"]
    finally:
        c.must("CONFIG", "SET", "commandlog-reply-larger-than", 1 << 20)
