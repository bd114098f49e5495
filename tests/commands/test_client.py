"""CLIENT, HELLO, AUTH, RESET, MONITOR: what a connection says of itself and does to others.

All of it also holds for a real Valkey: KVCORE_TEST_AGAINST=valkey runs it there.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

import pytest

from tests import servers
from tests.compat.resp import Connection, ConnectionClosed, Reply, ReplyError, ReplyTimeout

Connect = Callable[..., Connection]

FIELDS = (
    "id addr laddr fd name age idle flags capa db sub psub ssub multi watch qbuf qbuf-free argv-mem multi-mem rbs rbp"
    " obl oll omem tot-mem events cmd user redir resp lib-name lib-ver tot-net-in tot-net-out tot-cmds"
)


@pytest.fixture
def connect(served_kvcore: servers.Server) -> Iterator[Connect]:
    """Makes connections that are closed when the test ends."""
    made: list[Connection] = []

    def make(protocol: int = 2) -> Connection:
        made.append(served_kvcore.connect(protocol))
        return made[-1]

    yield make
    for connection in made:
        connection.close()


@pytest.fixture
def c(connect: Connect) -> Connection:
    connection = connect()
    connection.must("FLUSHALL")
    return connection


def error(connection: Connection, *words: str | int) -> str:
    reply = connection.call(*words)
    assert reply.is_error, f"{words} answered {reply.plain()!r}"
    return reply.data.decode()


def own_id(connection: Connection) -> int:
    value = connection.must("CLIENT", "ID").value
    assert isinstance(value, int)
    return value


def fields(line: bytes) -> dict[str, str]:
    return dict(word.split("=", 1) for word in line.decode().split(" "))


def listed(connection: Connection, *filters: str | int) -> dict[int, dict[str, str]]:
    text = connection.must("CLIENT", "LIST", *filters).data
    found = (fields(line) for line in text.splitlines() if line)
    return {int(entry["id"]): entry for entry in found}


def about(connection: Connection, other: Connection, number: int) -> dict[str, str]:
    return listed(connection, "ID", number)[number]


def eventually(check: Callable[[], bool], timeout_s: float = 5.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


def is_closed(connection: Connection) -> bool:
    try:
        connection.next(5.0)
    except ConnectionClosed:
        return True
    except ReplyTimeout:
        return False
    return False


class TestNames:
    def test_names(self, c: Connection) -> None:
        assert c.must("CLIENT", "GETNAME").value is None
        c.must("CLIENT", "SETNAME", "worker-1")
        assert c.must("CLIENT", "GETNAME").data == b"worker-1"
        for bad in ("a b", "a\nb", "\x7f"):
            assert error(c, "CLIENT", "SETNAME", bad) == (
                "ERR Client names cannot contain spaces, newlines or special characters."
            )
        c.must("CLIENT", "SETNAME", "")
        assert c.must("CLIENT", "GETNAME").value is None

    def test_library(self, c: Connection) -> None:
        c.must("CLIENT", "SETINFO", "LIB-NAME", "mylib")
        c.must("CLIENT", "SETINFO", "lib-ver", "1.2.3")
        facts = fields(c.must("CLIENT", "INFO").data.rstrip(b"\n"))
        assert (facts["lib-name"], facts["lib-ver"]) == ("mylib", "1.2.3")
        assert error(c, "CLIENT", "SETINFO", "lib-name", "a b").startswith("ERR lib-name cannot contain spaces")
        assert error(c, "CLIENT", "SETINFO", "foo", "x") == "ERR Unrecognized option 'foo'"


class TestList:
    def test_one_line_each_with_every_field(self, c: Connection, connect: Connect) -> None:
        other = connect(3)
        found = listed(c)
        assert {own_id(c), own_id(other)} <= set(found)
        facts = found[own_id(other)]
        assert " ".join(facts) == FIELDS
        assert (facts["resp"], facts["db"], facts["flags"], facts["user"]) == ("3", "0", "N", "default")
        assert int(facts["tot-net-in"]) > 0

    def test_state_shows(self, c: Connection, connect: Connect) -> None:
        other = connect()
        number = own_id(other)
        other.must("SELECT", 5)
        assert about(c, other, number)["db"] == "5"
        other.must("SELECT", 0)
        other.must("WATCH", "a", "b")
        assert about(c, other, number)["watch"] == "2"
        other.must("MULTI")
        other.must("PING")
        facts = about(c, other, number)
        assert (facts["multi"], facts["flags"]) == ("1", "x")
        other.must("DISCARD")
        other.must("CLIENT", "NO-EVICT", "ON")
        other.must("CLIENT", "NO-TOUCH", "ON")
        assert set(about(c, other, number)["flags"]) == set("eT")
        other.must("CLIENT", "NO-EVICT", "OFF")
        other.must("CLIENT", "NO-TOUCH", "OFF")
        other.send("BLPOP", "nothing", 0)
        eventually(lambda: about(c, other, number)["flags"] == "b")
        assert about(c, other, number)["cmd"] == "blpop"
        c.must("RPUSH", "nothing", 1)
        other.reply()
        other.must("SUBSCRIBE", "x")
        other.call("SUBSCRIBE", "y")
        facts = about(c, other, number)
        assert (facts["sub"], facts["flags"]) == ("2", "P")

    def test_filters(self, c: Connection, connect: Connect) -> None:
        named, subscribed = connect(), connect()
        named.must("CLIENT", "SETNAME", "me")
        named.must("CLIENT", "SETINFO", "lib-name", "thelib")
        named.must("SELECT", 7)
        subscribed.must("SUBSCRIBE", "x")
        me, them = own_id(c), own_id(named)
        assert set(listed(c, "NAME", "me")) == {them}
        assert them not in listed(c, "NOT-NAME", "me")
        assert set(listed(c, "LIB-NAME", "thelib")) == {them}
        assert set(listed(c, "DB", 7)) == {them}
        assert set(listed(c, "ID", them, me)) == {them, me}
        assert me not in listed(c, "NOT-ID", me)
        assert me not in listed(c, "SKIPME", "yes")
        pubsub = listed(c, "TYPE", "pubsub")
        assert len(pubsub) == 1
        assert not set(pubsub) & {me, them}
        assert listed(c, "TYPE", "replica") == {}
        assert set(listed(c, "ADDR", listed(c, "ID", them)[them]["addr"])) == {them}

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            (("TYPE", "foo"), "ERR Unknown client type 'foo'"),
            (("ID", "abc"), "ERR syntax error"),
            (("ID", "0"), "ERR client-id should be greater than 0"),
            (("ID",), "ERR syntax error"),
            (("OTHER",), "ERR syntax error"),
        ],
    )
    def test_errors(self, c: Connection, words: tuple[str, ...], expected: str) -> None:
        assert error(c, "CLIENT", "LIST", *words) == expected


class TestKill:
    def test_by_id(self, c: Connection, connect: Connect) -> None:
        victim = connect()
        assert c.must("CLIENT", "KILL", "ID", own_id(victim)).value == 1
        assert is_closed(victim)
        assert c.must("CLIENT", "KILL", "ID", 1 << 40).value == 0

    def test_old_form_by_address(self, c: Connection, connect: Connect) -> None:
        victim = connect()
        address = about(c, victim, own_id(victim))["addr"]
        assert c.must("CLIENT", "KILL", address).data == b"OK"
        assert is_closed(victim)
        assert error(c, "CLIENT", "KILL", "127.0.0.1:1") == "ERR No such client"

    def test_a_blocked_client(self, c: Connection, connect: Connect) -> None:
        victim = connect()
        number = own_id(victim)
        victim.send("BLPOP", "q", 0)
        eventually(lambda: about(c, victim, number)["flags"] == "b")
        assert c.must("CLIENT", "KILL", "ID", number).value == 1
        assert is_closed(victim)
        c.must("RPUSH", "q", "stays")
        assert c.must("LLEN", "q").value == 1

    def test_itself_answers_first(self, connect: Connect) -> None:
        victim = connect()
        assert victim.must("CLIENT", "KILL", "ID", own_id(victim), "SKIPME", "no").value == 1
        assert is_closed(victim)
        spared = connect()
        assert spared.must("CLIENT", "KILL", "ID", own_id(spared)).value == 0
        assert spared.must("PING").data == b"PONG"

    def test_subscribers(self, c: Connection, connect: Connect) -> None:
        victim = connect()
        victim.must("SUBSCRIBE", "x")
        assert c.must("CLIENT", "KILL", "TYPE", "pubsub").value == 1
        assert is_closed(victim)
        assert c.must("PUBSUB", "NUMSUB", "x").plain() == [b"x", 0]


class TestUnblock:
    def test_as_time_out_or_error(self, c: Connection, connect: Connect) -> None:
        waiting = connect()
        number = own_id(waiting)
        for reason, expected in (
            ((), None),
            (("TIMEOUT",), None),
            (("ERROR",), ReplyError("UNBLOCKED client unblocked via CLIENT UNBLOCK")),
        ):
            waiting.send("BLPOP", "q", 0)
            eventually(lambda: about(c, waiting, number)["flags"] == "b")
            assert c.must("CLIENT", "UNBLOCK", number, *reason).value == 1
            assert waiting.reply().plain() == expected
        assert c.must("CLIENT", "UNBLOCK", number).value == 0
        assert error(c, "CLIENT", "UNBLOCK", number, "MAYBE") == "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"


class TestPause:
    def test_writes_only(self, c: Connection, connect: Connect) -> None:
        other = connect()
        c.must("SET", "k", 1)
        c.must("CLIENT", "PAUSE", 5000, "WRITE")
        try:
            assert other.must("GET", "k").data == b"1"
            other.send("INCR", "k")
            assert other.quiet(0.15) == b""
            assert c.must("GET", "k").data == b"1"
        finally:
            c.must("CLIENT", "UNPAUSE")
        assert other.reply().value == 2

    def test_everything_until_the_time_is_up(self, c: Connection, connect: Connect) -> None:
        other = connect()
        c.must("CLIENT", "PAUSE", 300)
        begun = time.monotonic()
        assert other.must("PING").data == b"PONG"
        assert 0.2 < time.monotonic() - begun < 3

    def test_a_transaction_with_writes(self, c: Connection, connect: Connect) -> None:
        other = connect()
        c.must("SET", "k", 1)
        other.must("MULTI")
        other.must("INCR", "k")
        c.must("CLIENT", "PAUSE", 5000, "WRITE")
        try:
            other.send("EXEC")
            assert other.quiet(0.15) == b""
        finally:
            c.must("CLIENT", "UNPAUSE")
        assert other.reply().plain() == [2]

    def test_keys_expire_when_it_is_over(self, c: Connection) -> None:
        c.must("SET", "k", 1, "PX", 50)
        c.must("CLIENT", "PAUSE", 200, "WRITE")
        time.sleep(0.3)
        assert c.must("GET", "k").value is None

    def test_errors(self, c: Connection) -> None:
        assert error(c, "CLIENT", "PAUSE", "x") == "ERR timeout is not an integer or out of range"
        assert error(c, "CLIENT", "PAUSE", -1) == "ERR timeout is negative"
        assert error(c, "CLIENT", "PAUSE", 1, "SOME") == "ERR CLIENT PAUSE mode must be WRITE or ALL"


class TestReplyMode:
    def test_off_and_on(self, c: Connection) -> None:
        c.send_many([("CLIENT", "REPLY", "OFF"), ("PING",), ("SET", "k", 1), ("NOSUCH",)])
        assert c.quiet(0.1) == b""
        assert c.must("CLIENT", "REPLY", "ON").data == b"OK"
        assert c.must("GET", "k").data == b"1"

    def test_skip_is_one_command(self, c: Connection) -> None:
        c.send_many([("CLIENT", "REPLY", "SKIP"), ("SET", "k", 2), ("GET", "k")])
        assert c.reply().data == b"2"
        assert c.quiet() == b""

    def test_messages_still_come(self, c: Connection, connect: Connect) -> None:
        silent = connect(3)
        silent.send("CLIENT", "REPLY", "OFF")
        silent.send("SUBSCRIBE", "news")
        assert silent.next().plain() == [b"subscribe", b"news", 1]
        eventually(lambda: c.must("PUBLISH", "news", "hello").value == 1)
        assert silent.next().plain() == [b"message", b"news", b"hello"]


class TestHello:
    def test_switches_the_protocol(self, c: Connection) -> None:
        assert c.must("HELLO").items[5].value == 2
        answer = c.must("HELLO", 3, "SETNAME", "n").plain()
        assert isinstance(answer, dict)
        assert (answer[b"proto"], answer[b"mode"], answer[b"role"]) == (3, b"standalone", b"master")
        assert answer[b"id"] == own_id(c)
        assert c.must("CLIENT", "GETNAME").data == b"n"
        assert c.must("HELLO", 2).kind == b"*"

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            ((4,), "NOPROTO unsupported protocol version"),
            (("x",), "ERR Protocol version is not an integer or out of range"),
            ((3, "AUTH", "default"), "ERR Syntax error in HELLO option 'AUTH'"),
            ((3, "AUTH", "nobody", "x"), "WRONGPASS invalid username-password pair or user is disabled."),
            ((3, "OTHER"), "ERR Syntax error in HELLO option 'OTHER'"),
            ((3, "SETNAME", "a b"), "ERR Client names cannot contain spaces, newlines or special characters."),
        ],
    )
    def test_errors(self, c: Connection, words: tuple[str | int, ...], expected: str) -> None:
        assert error(c, "HELLO", *words) == expected


class TestPassword:
    def test_everything_else_is_refused(self, guarded_kvcore: servers.Server) -> None:
        with guarded_kvcore.connect() as c:
            for words in (("PING",), ("GET", "k"), ("SUBSCRIBE", "x"), ("MULTI",)):
                assert error(c, *words) == "NOAUTH Authentication required."
            assert error(c, "HELLO", 3).startswith("NOAUTH HELLO must be called with the client already authenticated")
            assert error(c, "AUTH", "bad").startswith("WRONGPASS")
            assert c.must("HELLO", 3, "AUTH", "default", "secret").kind == b"%"
            assert c.must("PING").data == b"PONG"
            c.must("RESET")
            assert error(c, "PING").startswith("NOAUTH")
            assert c.must("AUTH", "secret").data == b"OK"

    def test_changed_while_running(self, guarded_kvcore: servers.Server) -> None:
        with guarded_kvcore.connect() as c, guarded_kvcore.connect() as other:
            c.must("AUTH", "default", "secret")
            c.must("CONFIG", "SET", "requirepass", "other one")
            try:
                assert error(other, "AUTH", "secret").startswith("WRONGPASS")
                assert other.must("AUTH", "other one").data == b"OK"
                assert c.must("PING").data == b"PONG"
            finally:
                c.must("CONFIG", "SET", "requirepass", "secret")

    def test_none_is_set(self, c: Connection) -> None:
        assert error(c, "AUTH", "x").startswith("ERR AUTH <password> called without any password configured")
        assert c.must("AUTH", "default", "anything").data == b"OK"


class TestReset:
    def test_everything_goes(self, c: Connection, connect: Connect) -> None:
        other = connect(3)
        other.must("CLIENT", "SETNAME", "n")
        other.must("SELECT", 4)
        other.must("CLIENT", "TRACKING", "ON")
        other.must("WATCH", "a")
        other.must("MULTI")
        other.must("SET", "a", 1)
        assert other.must("RESET").data == b"RESET"
        facts = fields(other.must("CLIENT", "INFO").data.rstrip(b"\n"))
        assert (facts["name"], facts["db"], facts["resp"], facts["flags"], facts["watch"]) == ("", "0", "2", "N", "0")
        assert error(other, "EXEC") == "ERR EXEC without MULTI"
        assert c.must("EXISTS", "a").value == 0

    def test_leaves_subscriptions_and_monitor(self, c: Connection, connect: Connect) -> None:
        other = connect()
        other.must("SUBSCRIBE", "x")
        other.must("RESET")
        assert other.must("GET", "k").value is None
        assert c.must("PUBLISH", "x", 1).value == 0
        other.must("MONITOR")
        assert other.must("RESET").data == b"RESET"
        c.must("PING")
        assert other.quiet() == b""


class TestMonitor:
    @staticmethod
    def line(reply: Reply) -> str:
        match = re.fullmatch(rb"\d+\.\d{6} \[(.*)", reply.data)
        assert match, reply.data
        return re.sub(r"127\.0\.0\.1:\d+", "ADDRESS", match[1].decode())

    def test_lines(self, c: Connection, connect: Connect) -> None:
        watcher = connect()
        watcher.must("MONITOR")
        c.must("SET", "k", b'a"\\\r\n\x00\xff'.decode("latin-1").encode("latin-1"))
        assert self.line(watcher.next()) == '0 ADDRESS] "SET" "k" "a\\"\\\\\\r\\n\\x00\\xff"'
        c.must("SELECT", 2)
        assert self.line(watcher.next()) == '2 ADDRESS] "SELECT" "2"'

    def test_transactions_show_what_runs(self, c: Connection, connect: Connect) -> None:
        watcher = connect()
        watcher.must("MONITOR")
        c.must("MULTI")
        c.must("SET", "k", 1)
        c.must("EXEC")
        lines = [self.line(watcher.next()) for _ in range(3)]
        assert lines == ['0 ADDRESS] "MULTI"', '0 ADDRESS] "SET" "k" "1"', '0 ADDRESS] "EXEC"']

    def test_administration_and_secrets_stay_hidden(self, c: Connection, connect: Connect) -> None:
        watcher = connect(3)
        watcher.must("MONITOR")
        c.must("CONFIG", "GET", "hz")
        c.call("AUTH", "default", "hunter2")
        c.call("HELLO", 3, "AUTH", "default", "hunter2")
        c.must("PING")
        seen: list[str] = []
        while not seen or "PING" not in seen[-1]:
            seen.append(self.line(watcher.next()))
        assert not any("CONFIG" in line or "hunter2" in line for line in seen)
