"""Client-side caching: who is told of which change, in every mode and in both protocols.

All of it also holds for a real Valkey: KVCORE_TEST_AGAINST=valkey runs it there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests import servers
from tests.compat.resp import Connection

Connect = Callable[..., Connection]


@pytest.fixture
def connect(served_kvcore: servers.Server) -> Iterator[Connect]:
    made: list[Connection] = []

    def make(protocol: int = 3) -> Connection:
        made.append(served_kvcore.connect(protocol))
        return made[-1]

    yield make
    for connection in made:
        connection.close()


@pytest.fixture
def writer(connect: Connect) -> Connection:
    connection = connect(2)
    connection.must("FLUSHALL")
    return connection


@pytest.fixture
def cache(writer: Connection, connect: Connect) -> Connection:
    return connect(3)


def tracked(connection: Connection, *options: str | int) -> Connection:
    connection.must("CLIENT", "TRACKING", "ON", *options)
    return connection


def error(connection: Connection, *words: str | int) -> str:
    reply = connection.call(*words)
    assert reply.is_error, f"{words} answered {reply.plain()!r}"
    return reply.data.decode()


def told(connection: Connection) -> list[object]:
    """What a RESP3 client has been told so far: the keys of each invalidation."""
    connection.must("PING")
    messages = []
    while connection.pushes:
        push = connection.pushes.popleft().plain()
        assert isinstance(push, list)
        assert push[0] == b"invalidate"
        messages.append(push[1])
    return messages


def own_id(connection: Connection) -> int:
    value = connection.must("CLIENT", "ID").value
    assert isinstance(value, int)
    return value


def state(connection: Connection) -> dict[bytes, object]:
    found = connection.must("CLIENT", "TRACKINGINFO").plain()
    assert isinstance(found, dict)
    return found


def eventually(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not check():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


class TestDefaultMode:
    def test_told_once_a_read(self, writer: Connection, cache: Connection) -> None:
        tracked(cache)
        cache.must("GET", "a")
        writer.must("SET", "a", 1)
        writer.must("SET", "a", 2)
        assert told(cache) == [[b"a"]]
        writer.must("SET", "a", 3)
        assert told(cache) == []
        cache.must("GET", "a")
        writer.must("DEL", "a")
        assert told(cache) == [[b"a"]]

    def test_only_what_was_read(self, writer: Connection, cache: Connection) -> None:
        tracked(cache)
        cache.must("MGET", "a", "b")
        writer.must("MSET", "a", 1, "b", 2, "c", 3)
        assert sorted(map(str, told(cache))) == ["[b'a']", "[b'b']"]

    @pytest.mark.parametrize(
        ("read", "write"),
        [
            (("HGETALL", "k"), ("HSET", "k", "f", 1)),
            (("EXISTS", "k"), ("SET", "k", 1)),
            (("TTL", "k"), ("SET", "k", 1)),
            (("TYPE", "k"), ("SET", "k", 1)),
            (("SMEMBERS", "k"), ("SADD", "k", 1)),
            (("SUNION", "x", "k"), ("SADD", "k", 1)),
            (("LRANGE", "k", 0, -1), ("RPUSH", "k", 1)),
            (("SORT_RO", "k"), ("RPUSH", "k", 1)),
            (("ZRANGE", "k", 0, -1), ("ZADD", "k", 1, "m")),
            (("OBJECT", "ENCODING", "k"), ("SET", "k", 1)),
        ],
    )
    def test_every_reading_command_counts(
        self, writer: Connection, cache: Connection, read: tuple[str, ...], write: tuple[str, ...]
    ) -> None:
        tracked(cache)
        cache.call(*read)
        writer.must(*write)
        assert told(cache) == [[b"k"]]

    @pytest.mark.parametrize(
        "write",
        [
            ("EXPIRE", "a", 100),
            ("RENAME", "a", "other"),
            ("RENAME", "other", "a"),
            ("COPY", "other", "a", "REPLACE"),
            ("APPEND", "a", "x"),
            ("GETEX", "a", "EX", 100),
            ("GETDEL", "a"),
            ("UNLINK", "a"),
            ("MOVE", "a", 5),
        ],
    )
    def test_every_change_counts(self, writer: Connection, cache: Connection, write: tuple[str | int, ...]) -> None:
        writer.must("MSET", "a", 1, "other", 2)
        tracked(cache)
        cache.must("GET", "a")
        writer.must(*write)
        assert [b"a"] in told(cache)

    def test_an_own_change_too_and_after_its_reply(self, cache: Connection) -> None:
        tracked(cache)
        cache.must("GET", "a")
        cache.send("SET", "a", 1)
        assert cache.next().data == b"OK"
        assert cache.next().plain() == [b"invalidate", [b"a"]]

    def test_noloop(self, writer: Connection, cache: Connection) -> None:
        tracked(cache, "NOLOOP")
        cache.must("GET", "a")
        cache.must("SET", "a", 1)
        assert told(cache) == []
        cache.must("GET", "a")
        writer.must("SET", "a", 1)
        assert told(cache) == [[b"a"]]

    @pytest.mark.parametrize("options", [["NOLOOP"], ["NOLOOP", "BCAST"]], ids=" ".join)
    def test_noloop_is_not_about_flushing(self, cache: Connection, options: list[str]) -> None:
        tracked(cache, *options)
        cache.must("FLUSHDB")
        assert told(cache) == [None]

    def test_flush_is_everything(self, writer: Connection, cache: Connection) -> None:
        tracked(cache)
        cache.must("GET", "a")
        writer.must("FLUSHALL")
        assert told(cache) == [None]
        writer.must("FLUSHDB")
        assert told(cache) == [None]

    def test_expiry(self, writer: Connection, cache: Connection) -> None:
        tracked(cache)
        writer.must("SET", "a", 1, "PX", 30)
        cache.must("GET", "a")
        assert cache.next(5.0).plain() == [b"invalidate", [b"a"]]

    def test_eviction(self, writer: Connection, cache: Connection) -> None:
        tracked(cache)
        writer.must("SET", "a", "x" * 100_000)
        cache.must("GET", "a")
        writer.must("CONFIG", "SET", "maxmemory-policy", "allkeys-lru", "maxmemory", 1)
        try:
            writer.call("SET", "b", 1)
            assert cache.next(5.0).plain() == [b"invalidate", [b"a"]]
        finally:
            writer.must("CONFIG", "SET", "maxmemory", 0, "maxmemory-policy", "noeviction")

    def test_reads_inside_a_transaction(self, writer: Connection, cache: Connection) -> None:
        tracked(cache)
        cache.must("MULTI")
        cache.must("GET", "a")
        cache.must("EXEC")
        writer.must("SET", "a", 1)
        assert told(cache) == [[b"a"]]

    def test_a_bounded_table_tells_early(self, writer: Connection, cache: Connection) -> None:
        writer.must("CONFIG", "SET", "tracking-table-max-keys", 5)
        try:
            tracked(cache)
            for i in range(40):
                cache.must("GET", f"k{i}")
            eventually(lambda: (cache.must("PING") is not None) and len(cache.pushes) >= 30)
        finally:
            writer.must("CONFIG", "SET", "tracking-table-max-keys", 1_000_000)

    def test_off(self, writer: Connection, cache: Connection) -> None:
        tracked(cache)
        cache.must("GET", "a")
        cache.must("CLIENT", "TRACKING", "OFF")
        writer.must("SET", "a", 1)
        assert told(cache) == []
        assert state(cache) == {b"flags": [b"off"], b"redirect": -1, b"prefixes": []}
        assert cache.must("CLIENT", "GETREDIR").value == -1


class TestBroadcast:
    def test_prefixes(self, writer: Connection, cache: Connection) -> None:
        tracked(cache, "BCAST", "PREFIX", "user:", "PREFIX", "item:")
        assert state(cache) == {b"flags": [b"on", b"bcast"], b"redirect": 0, b"prefixes": [b"item:", b"user:"]}
        writer.must("SET", "user:1", 1)
        assert told(cache) == [[b"user:1"]]
        writer.must("SET", "other", 1)
        assert told(cache) == []

    def test_one_message_a_prefix_for_a_command(self, writer: Connection, cache: Connection) -> None:
        tracked(cache, "BCAST", "PREFIX", "foo", "PREFIX", "bar")
        writer.must("MSET", "foo1", 1, "foo2", 2, "bar3", 3, "other", 4)
        bar, foo = told(cache)
        assert bar == [b"bar3"]
        assert isinstance(foo, list)
        assert sorted(foo) == [b"foo1", b"foo2"]

    def test_one_message_a_prefix_for_a_transaction(self, writer: Connection, cache: Connection) -> None:
        tracked(cache, "BCAST", "PREFIX", "foo")
        writer.must("MULTI")
        for _ in range(3):
            writer.must("INCR", "foo1")
        writer.must("EXEC")
        assert told(cache) == [[b"foo1"]]

    def test_without_a_prefix_every_key(self, writer: Connection, cache: Connection) -> None:
        tracked(cache, "BCAST")
        writer.must("SET", "anything", 1)
        writer.must("PEXPIRE", "anything", 20)
        assert told(cache) == [[b"anything"], [b"anything"]]
        assert cache.next(5.0).plain() == [b"invalidate", [b"anything"]]

    def test_noloop(self, writer: Connection, cache: Connection) -> None:
        tracked(cache, "BCAST", "NOLOOP")
        cache.must("SET", "k", 1)
        assert told(cache) == []
        writer.must("SET", "k", 1)
        assert told(cache) == [[b"k"]]

    def test_many_clients(self, writer: Connection, connect: Connect) -> None:
        caches = [tracked(connect(), "BCAST", "PREFIX", prefix) for prefix in ("", "a", "ab", "b")]
        writer.must("SET", "abc", 1)
        assert [told(cache) for cache in caches] == [[[b"abc"]], [[b"abc"]], [[b"abc"]], []]

    @pytest.mark.parametrize(
        ("before", "words", "expected"),
        [
            ((), ("PREFIX", "foo"), "ERR PREFIX option requires BCAST mode to be enabled"),
            ((), ("BCAST", "OPTIN"), "ERR OPTIN and OPTOUT are not compatible with BCAST"),
            ((), ("OPTIN", "OPTOUT"), "ERR You can't specify both OPTIN mode and OPTOUT mode"),
            (("BCAST", "PREFIX", "foo"), (), "ERR You can't switch BCAST mode on/off before disabling"),
            (
                ("BCAST", "PREFIX", "foo"),
                ("BCAST", "PREFIX", "foobar"),
                "ERR Prefix 'foobar' overlaps with an existing prefix 'foo'.",
            ),
            (
                (),
                ("BCAST", "PREFIX", "x", "PREFIX", "xy"),
                "ERR Prefix 'x' overlaps with another provided prefix 'xy'.",
            ),
            (("OPTIN",), ("OPTOUT",), "ERR You can't switch OPTIN/OPTOUT mode before disabling"),
            ((), ("FOO",), "ERR syntax error"),
            ((), ("BCAST", "PREFIX"), "ERR syntax error"),
        ],
    )
    def test_what_does_not_go_together(
        self, cache: Connection, before: tuple[str, ...], words: tuple[str, ...], expected: str
    ) -> None:
        if before:
            tracked(cache, *before)
        assert error(cache, "CLIENT", "TRACKING", "ON", *words).startswith(expected)


class TestChoosing:
    def test_optin(self, writer: Connection, cache: Connection) -> None:
        tracked(cache, "OPTIN")
        cache.must("GET", "a")
        writer.must("SET", "a", 1)
        assert told(cache) == []
        cache.must("CLIENT", "CACHING", "YES")
        assert state(cache)[b"flags"] == [b"on", b"optin", b"caching-yes"]
        cache.must("GET", "a")
        cache.must("GET", "b")
        writer.must("MSET", "a", 1, "b", 1)
        assert told(cache) == [[b"a"]]

    def test_the_word_is_spent_by_any_command(self, writer: Connection, cache: Connection) -> None:
        tracked(cache, "OPTIN")
        cache.must("CLIENT", "CACHING", "YES")
        cache.must("PING")
        cache.must("GET", "a")
        writer.must("SET", "a", 1)
        assert told(cache) == []

    def test_the_word_counts_for_a_whole_transaction(self, writer: Connection, cache: Connection) -> None:
        tracked(cache, "OPTIN")
        cache.must("CLIENT", "CACHING", "YES")
        cache.must("MULTI")
        cache.must("GET", "a")
        cache.must("GET", "b")
        cache.must("EXEC")
        cache.must("GET", "c")
        writer.must("MSET", "a", 1, "b", 1, "c", 1)
        assert sorted(map(str, told(cache))) == ["[b'a']", "[b'b']"]

    def test_optout(self, writer: Connection, cache: Connection) -> None:
        tracked(cache, "OPTOUT")
        cache.must("CLIENT", "CACHING", "NO")
        assert state(cache)[b"flags"] == [b"on", b"optout", b"caching-no"]
        cache.must("GET", "a")
        cache.must("GET", "b")
        writer.must("MSET", "a", 1, "b", 1)
        assert told(cache) == [[b"b"]]

    def test_errors(self, cache: Connection) -> None:
        assert error(cache, "CLIENT", "CACHING", "YES").startswith("ERR CLIENT CACHING can be called only when")
        tracked(cache, "OPTIN")
        assert error(cache, "CLIENT", "CACHING", "NO") == (
            "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode."
        )
        assert error(cache, "CLIENT", "CACHING", "MAYBE") == "ERR syntax error"


class TestRedirect:
    @pytest.mark.parametrize("protocol", [2, 3])
    def test_to_a_subscriber(self, writer: Connection, connect: Connect, protocol: int) -> None:
        target, reader = connect(2), connect(protocol)
        tracked(reader, "REDIRECT", own_id(target))
        target.must("SUBSCRIBE", "__redis__:invalidate")
        reader.must("GET", "a")
        writer.must("SET", "a", 1)
        assert target.next().plain() == [b"message", b"__redis__:invalidate", [b"a"]]
        writer.must("FLUSHALL")
        assert target.next().plain() == [b"message", b"__redis__:invalidate", None]
        assert reader.quiet() == b""

    def test_to_a_resp3_client(self, writer: Connection, connect: Connect) -> None:
        target, reader = connect(3), connect(2)
        number = own_id(target)
        tracked(reader, "REDIRECT", number)
        assert reader.must("CLIENT", "GETREDIR").value == number
        reader.must("GET", "a")
        writer.must("SET", "a", 1)
        assert target.next().plain() == [b"invalidate", [b"a"]]

    def test_broadcast_too(self, writer: Connection, connect: Connect) -> None:
        target, reader = connect(3), connect(2)
        tracked(reader, "BCAST", "REDIRECT", own_id(target), "PREFIX", "k")
        writer.must("SET", "key", 1)
        assert target.next().plain() == [b"invalidate", [b"key"]]

    def test_a_target_that_has_gone(self, writer: Connection, connect: Connect) -> None:
        target, reader = connect(3), connect(3)
        number = own_id(target)
        tracked(reader, "REDIRECT", number)
        writer.must("CLIENT", "KILL", "ID", number)
        target.until_closed()
        reader.must("GET", "a")
        writer.must("SET", "a", 1)
        assert reader.next().plain() == [b"tracking-redir-broken", number]
        assert b"broken_redirect" in str(state(reader)[b"flags"]).encode()

    def test_errors(self, cache: Connection) -> None:
        assert error(cache, "CLIENT", "TRACKING", "ON", "REDIRECT", 1 << 40) == (
            "ERR The client ID you want redirect to does not exist"
        )
        assert error(cache, "CLIENT", "TRACKING", "ON", "REDIRECT", "x") == (
            "ERR value is not an integer or out of range"
        )


class TestTotals:
    def test_info(self, writer: Connection, cache: Connection, connect: Connect) -> None:
        def stats() -> dict[str, str]:
            text = writer.must("INFO", "clients", "stats").data.decode()
            return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

        before = int(stats()["tracking_clients"])
        tracked(cache)
        tracked(connect(), "BCAST", "PREFIX", "p")
        cache.must("MGET", "a", "b", "c")
        now = stats()
        assert int(now["tracking_clients"]) == before + 2
        assert (now["tracking_total_keys"], now["tracking_total_items"]) == ("3", "3")
        assert now["tracking_total_prefixes"] == "1"
