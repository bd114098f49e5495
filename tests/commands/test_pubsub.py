"""Publish and subscribe in both protocols.

All of it also holds for a real Valkey: KVCORE_TEST_AGAINST=valkey runs it there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from tests import servers
from tests.compat.resp import Connection

Connect = Callable[..., Connection]


@pytest.fixture
def connect(served_kvcore: servers.Server) -> Iterator[Connect]:
    made: list[Connection] = []

    def make(protocol: int = 2) -> Connection:
        made.append(served_kvcore.connect(protocol))
        return made[-1]

    yield make
    for connection in made:
        connection.close()


@pytest.fixture
def c(connect: Connect) -> Connection:
    return connect()


def error(connection: Connection, *words: str | int) -> str:
    reply = connection.call(*words)
    assert reply.is_error, f"{words} answered {reply.plain()!r}"
    return reply.data.decode()


def messages(connection: Connection, count: int) -> list[object]:
    return [connection.next().plain() for _ in range(count)]


@pytest.mark.parametrize("protocol", [2, 3])
class TestChannels:
    def test_confirmations_count_what_is_subscribed(self, connect: Connect, protocol: int) -> None:
        s = connect(protocol)
        s.send("SUBSCRIBE", "a", "b", "a")
        assert messages(s, 3) == [[b"subscribe", b"a", 1], [b"subscribe", b"b", 2], [b"subscribe", b"a", 2]]
        s.send("PSUBSCRIBE", "x*")
        assert messages(s, 1) == [[b"psubscribe", b"x*", 3]]
        s.send("UNSUBSCRIBE", "b", "nope")
        assert messages(s, 2) == [[b"unsubscribe", b"b", 2], [b"unsubscribe", b"nope", 2]]
        s.send("PUNSUBSCRIBE")
        assert messages(s, 1) == [[b"punsubscribe", b"x*", 1]]
        s.send("UNSUBSCRIBE")
        assert messages(s, 1) == [[b"unsubscribe", b"a", 0]]
        s.send("UNSUBSCRIBE")
        assert messages(s, 1) == [[b"unsubscribe", None, 0]]
        assert s.must("GET", "none").value is None

    def test_messages(self, c: Connection, connect: Connect, protocol: int) -> None:
        s = connect(protocol)
        s.send("SUBSCRIBE", "news")
        s.send("PSUBSCRIBE", "n?ws")
        messages(s, 2)
        assert c.must("PUBLISH", "news", "hello\r\n\0").value == 2
        assert messages(s, 2) == [
            [b"message", b"news", b"hello\r\n\0"],
            [b"pmessage", b"n?ws", b"news", b"hello\r\n\0"],
        ]
        assert c.must("PUBLISH", "other", 1).value == 0

    def test_shard_channels(self, c: Connection, connect: Connect, protocol: int) -> None:
        s = connect(protocol)
        s.send("SSUBSCRIBE", "a", "b")
        assert messages(s, 2) == [[b"ssubscribe", b"a", 1], [b"ssubscribe", b"b", 2]]
        assert c.must("SPUBLISH", "a", "x").value == 1
        assert c.must("PUBLISH", "a", "x").value == 0
        assert messages(s, 1) == [[b"smessage", b"a", b"x"]]
        s.send("SUNSUBSCRIBE")
        assert sorted(message[2] for message in messages(s, 2) if isinstance(message, list)) == [0, 1]

    def test_order_within_one_publisher(self, c: Connection, connect: Connect, protocol: int) -> None:
        s = connect(protocol)
        s.send("SUBSCRIBE", "n")
        messages(s, 1)
        c.many([("PUBLISH", "n", i) for i in range(500)])
        assert messages(s, 500) == [[b"message", b"n", b"%d" % i] for i in range(500)]


class TestContext:
    def test_resp2_subscribers_may_do_little(self, connect: Connect) -> None:
        s = connect(2)
        s.must("SUBSCRIBE", "a")
        assert error(s, "GET", "k").startswith("ERR Can't execute 'get': only (P|S)SUBSCRIBE")
        assert s.must("PING").plain() == [b"pong", b""]
        assert s.must("PING", "x").plain() == [b"pong", b"x"]
        assert s.must("RESET").data == b"RESET"
        assert s.must("PING").data == b"PONG"

    def test_resp3_subscribers_may_do_everything(self, connect: Connect) -> None:
        s = connect(3)
        s.send("SUBSCRIBE", "a")
        s.next()
        assert s.must("PING").data == b"PONG"
        assert s.must("SET", "k", 1).data == b"OK"
        s.send("PUBLISH", "a", "self")
        assert s.next().value == 1
        assert s.next().plain() == [b"message", b"a", b"self"]

    def test_inside_a_transaction(self, c: Connection, connect: Connect) -> None:
        s = connect(3)
        s.must("MULTI")
        s.must("SUBSCRIBE", "in-multi")
        s.must("SET", "k", 1)
        confirmation, answer = s.must("EXEC").items
        assert confirmation.plain() == [b"subscribe", b"in-multi", 1]
        assert answer.data == b"OK"
        assert c.must("PUBLISH", "in-multi", "x").value == 1

    def test_arity(self, c: Connection) -> None:
        assert error(c, "SUBSCRIBE") == "ERR wrong number of arguments for 'subscribe' command"
        assert error(c, "PUBLISH", "a") == "ERR wrong number of arguments for 'publish' command"
        assert error(c, "PUBSUB", "FOO") == "ERR unknown subcommand 'FOO'. Try PUBSUB HELP."


class TestIntrospection:
    def test_pubsub(self, c: Connection, connect: Connect) -> None:
        first, second = connect(), connect()
        first.send("SUBSCRIBE", "intro:a", "intro:b")
        second.send("SUBSCRIBE", "intro:a")
        second.send("PSUBSCRIBE", "intro:*")
        second.send("SSUBSCRIBE", "intro:s")
        messages(first, 2)
        messages(second, 3)
        channels = c.must("PUBSUB", "CHANNELS", "intro:*").plain()
        assert isinstance(channels, list)
        assert sorted(channels) == [b"intro:a", b"intro:b"]
        assert c.must("PUBSUB", "NUMSUB", "intro:a", "intro:b", "intro:c").plain() == [
            b"intro:a",
            2,
            b"intro:b",
            1,
            b"intro:c",
            0,
        ]
        assert c.must("PUBSUB", "NUMPAT").value == 1
        assert c.must("PUBSUB", "SHARDCHANNELS", "intro:*").plain() == [b"intro:s"]
        assert c.must("PUBSUB", "SHARDNUMSUB", "intro:s").plain() == [b"intro:s", 1]
        second.close()
        first.close()


class TestKeyspaceEvents:
    @pytest.fixture(autouse=True)
    def events(self, c: Connection) -> Iterator[None]:
        c.must("FLUSHALL")
        c.must("CONFIG", "SET", "notify-keyspace-events", "KEA")
        yield
        c.must("CONFIG", "SET", "notify-keyspace-events", "")

    def test_both_kinds(self, c: Connection, connect: Connect) -> None:
        s = connect(3)
        s.send("PSUBSCRIBE", "__key*__:*")
        s.next()
        c.must("SET", "k", 1, "EX", 100)
        c.must("DEL", "k")
        seen = messages(s, 6)
        assert [message[2:] for message in seen if isinstance(message, list)] == [
            [b"__keyspace@0__:k", b"set"],
            [b"__keyevent@0__:set", b"k"],
            [b"__keyspace@0__:k", b"expire"],
            [b"__keyevent@0__:expire", b"k"],
            [b"__keyspace@0__:k", b"del"],
            [b"__keyevent@0__:del", b"k"],
        ]

    def test_expiry_without_anybody_looking(self, c: Connection, connect: Connect) -> None:
        s = connect(3)
        s.send("SUBSCRIBE", "__keyevent@0__:expired")
        s.next()
        c.must("SET", "gone", 1, "PX", 20)
        assert s.next(5.0).plain() == [b"message", b"__keyevent@0__:expired", b"gone"]


def test_many_publishers_and_subscribers(served_kvcore: servers.Server) -> None:
    """Nothing is lost, and each publisher's messages come in its order."""
    each = 200
    subscribers = [served_kvcore.connect(3) for _ in range(3)]
    for s in subscribers:
        s.send("SUBSCRIBE", "crowd")
        s.next()

    def publish(who: int) -> None:
        with served_kvcore.connect() as connection:
            for i in range(each):
                assert connection.must("PUBLISH", "crowd", f"{who}:{i}").value == len(subscribers)

    threads = [threading.Thread(target=publish, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for s in subscribers:
        order: dict[bytes, int] = {}
        for _ in range(4 * each):
            who, number = s.next().items[2].data.split(b":")
            assert order.get(who, -1) + 1 == int(number)
            order[who] = int(number)
        s.close()
    for thread in threads:
        thread.join()
