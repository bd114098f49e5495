"""The request side of RESP: every way in which bytes can arrive, and every way in which they can be wrong."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.compat.resp import Connection, ConnectionClosed, Parser, ReplyTimeout, encode
from tests.conftest import start_tested_server
from tests.servers import SANITIZED, Server

QUIET_S = 0.08
PATIENT_S = 5.0
KIB = 1024
MIB = 1024 * KIB

SCRIPT: list[tuple[bytes, ...]] = [
    (b"FLUSHALL",),
    (b"SET", b"k", b"v"),
    (b"GET", b"k"),
    (b"SET", b"empty", b""),
    (b"GET", b"empty"),
    (b"SET", b"bin", b"\r\n\x00$5\r\n*1\r\n"),
    (b"GET", b"bin"),
    (b"APPEND", b"k", b"w"),
    (b"INCR", b"n"),
    (b"INCRBY", b"n", b"41"),
    (b"RPUSH", b"l", b"a", b"b", b"c"),
    (b"LRANGE", b"l", b"0", b"-1"),
    (b"LPOP", b"none"),
    (b"HSET", b"h", b"f", b"1"),
    (b"HGETALL", b"h"),
    (b"SADD", b"s", b"1"),
    (b"SMEMBERS", b"s"),
    (b"ZADD", b"z", b"1.5", b"m"),
    (b"ZRANGE", b"z", b"0", b"-1", b"WITHSCORES"),
    (b"NOSUCH", b"command"),
    (b"GET",),
    (b"LPUSH", b"k", b"x"),
    (b"MULTI",),
    (b"GET", b"k"),
    (b"EXEC",),
    (b"PING",),
    (b"PING", b"hello"),
    (b"ECHO", b"x" * 100),
    (b"DEL", b"k", b"l"),
    (b"EXISTS", b"k"),
    (b"DBSIZE",),
]


def read_until_quiet(connection: socket.socket, quiet_s: float = QUIET_S) -> tuple[bytes, bool]:
    """What arrives until nothing more does, and whether the server closed the connection."""
    out = bytearray()
    connection.settimeout(quiet_s)
    while True:
        try:
            data = connection.recv(1 << 16)
        except TimeoutError:
            return bytes(out), False
        except ConnectionResetError:
            return bytes(out), True
        if not data:
            return bytes(out), True
        out += data


def exchange(server: Server, data: bytes, quiet_s: float = QUIET_S) -> tuple[bytes, bool]:
    with socket.create_connection((server.host, server.port), 5) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(data)
        return read_until_quiet(connection, quiet_s)


def assert_same_exchange(ours: Server, theirs: Server, data: bytes) -> None:
    """Both answer these bytes alike. What differs is asked for again with patience: a busy machine may be silent."""
    for quiet_s in (QUIET_S, PATIENT_S):
        answer, closed = exchange(ours, data, quiet_s)
        wanted, wanted_closed = exchange(theirs, data, quiet_s)
        wanted = wanted.replace(b"got '\0'", b"got ' '")  # no NUL leaves in our errors, by design
        got, expected = (without_run_ids(answer), closed), (without_run_ids(wanted), wanted_closed)
        if got == expected:
            return
    assert got == expected


def replies(server: Server, protocol: int) -> list[bytes]:
    with server.connect(protocol) as connection:
        return [reply.encode() for reply in connection.many(SCRIPT)]


# Splits


@pytest.mark.parametrize("protocol", [2, 3])
def test_the_script_answers_as_on_valkey(served_kvcore: Server, valkey_server: Server, protocol: int) -> None:
    assert replies(served_kvcore, protocol) == replies(valkey_server, protocol)


@pytest.mark.parametrize("protocol", [2, 3])
def test_requests_split_at_every_byte(served_kvcore: Server, protocol: int) -> None:
    data = b"".join(encode(words) for words in SCRIPT)
    expected = b"".join(replies(served_kvcore, protocol))
    with served_kvcore.connect(protocol) as connection:
        for at in range(1, len(data)):
            connection.send_raw(data[:at])
            time.sleep(0.0003)
            connection.send_raw(data[at:])
            got = b"".join(connection.reply().encode() for _ in SCRIPT)
            assert got == expected, f"split at byte {at}: {data[max(0, at - 20) : at]!r} | {data[at : at + 20]!r}"
        assert connection.quiet() == b""


def test_requests_one_byte_at_a_time(served_kvcore: Server) -> None:
    data = b"".join(encode(words) for words in SCRIPT)
    expected = b"".join(replies(served_kvcore, 2))
    with served_kvcore.connect() as connection:
        for byte in data:
            connection.send_raw(bytes([byte]))
        assert b"".join(connection.reply().encode() for _ in SCRIPT) == expected
        assert connection.quiet() == b""


@pytest.mark.parametrize("size", [2, 3, 5, 7, 16, 64, 333])
def test_requests_in_pieces(served_kvcore: Server, size: int) -> None:
    data = b"".join(encode(words) for words in SCRIPT * 3)
    expected = b"".join(replies(served_kvcore, 2)) * 3
    with served_kvcore.connect() as connection:
        for at in range(0, len(data), size):
            connection.send_raw(data[at : at + size])
        assert b"".join(connection.reply().encode() for _ in SCRIPT * 3) == expected


def test_a_big_value_split_around_its_ends(served_kvcore: Server) -> None:
    value = bytes(range(256)) * 300
    data = encode((b"SET", b"big", value)) + encode((b"GET", b"big"))
    edges = [*range(1, 40), 16 * KIB, 32 * KIB - 1, 32 * KIB, 64 * KIB, *range(len(data) - 60, len(data))]
    with served_kvcore.connect() as connection:
        for at in edges:
            connection.send_raw(data[:at])
            time.sleep(0.0005)
            connection.send_raw(data[at:])
            assert connection.reply().encode() == b"+OK\r\n"
            assert connection.reply().value == value


# The same bytes to both servers

RAW: dict[str, bytes] = {
    "inline": b"PING\r\n",
    "inline with LF only": b"PING\nPING\n",
    "inline with arguments": b"SET k v\r\nGET k\r\n",
    "inline with quotes": b'SET "a b" \'c d\'\r\nGET "a b"\r\n',
    "inline with escapes": b'ECHO "\\x00\\r\\n\\t\\a\\b\\\\\\""\r\n',
    "inline with single quotes and an escape": b"ECHO 'it\\'s'\r\n",
    "inline with unbalanced double quotes": b'ECHO "abc\r\nPING\r\n',
    "inline with unbalanced single quotes": b"ECHO 'abc\r\nPING\r\n",
    "inline with text after a quote": b'ECHO "abc"def\r\nPING\r\n',
    "inline with many spaces": b"   ECHO    hello   \r\n",
    "inline with tabs": b"ECHO\thello\r\n",
    "inline empty argument": b'ECHO ""\r\n',
    "empty lines": b"\r\n\r\n\n\nPING\r\n",
    "blank line": b"   \r\nPING\r\n",
    "inline between arrays": b"*1\r\n$4\r\nPING\r\nPING\r\n*1\r\n$4\r\nPING\r\n",
    "lower case": b"ping\r\n",
    "unknown inline": b"foo bar baz\r\n",
    "unknown binary": b"*1\r\n$5\r\n\x00\x01\r\n\xff\r\nPING\r\n",
    "empty array": b"*0\r\nPING\r\n",
    "empty arrays": b"*0\r\n" * 50 + b"*1\r\n$4\r\nPING\r\n",
    "null array": b"*-1\r\nPING\r\n",
    "very negative array": b"*-2147483648\r\nPING\r\n",
    "array too long": b"*2147483648\r\nPING\r\n",
    "array length overflows": b"*9999999999999999999\r\nPING\r\n",
    "array of 2^31-1": b"*2147483647\r\n$4\r\nPING\r\n",
    "array of 1M": b"*1048577\r\n$4\r\nPING\r\n",
    "array length is text": b"*abc\r\nPING\r\n",
    "array length is empty": b"*\r\nPING\r\n",
    "array length with plus": b"*+1\r\n$4\r\nPING\r\n",
    "array length with leading zero": b"*01\r\n$4\r\nPING\r\n",
    "array length with space": b"* 1\r\n$4\r\nPING\r\n",
    "array length with trailing space": b"*1 \r\n$4\r\nPING\r\n",
    "array length as float": b"*1.0\r\n$4\r\nPING\r\n",
    "array with minus zero": b"*-0\r\nPING\r\n",
    "no dollar": b"*1\r\nPING\r\n",
    "colon for dollar": b"*1\r\n:4\r\nPING\r\n",
    "CR for dollar": b"*1\r\n\r4\r\nPING\r\n",
    "high byte for dollar": b"*1\r\n\xff4\r\nPING\r\n",
    "bulk length is text": b"*1\r\n$abc\r\nPING\r\n",
    "bulk length is empty": b"*1\r\n$\r\nPING\r\n",
    "bulk length is negative": b"*1\r\n$-1\r\nPING\r\n",
    "bulk length is very negative": b"*1\r\n$-2147483649\r\nPING\r\n",
    "bulk length with plus": b"*1\r\n$+4\r\nPING\r\n",
    "bulk length with leading zero": b"*1\r\n$04\r\nPING\r\n",
    "bulk length with space": b"*1\r\n$ 4\r\nPING\r\n",
    "bulk too long": b"*1\r\n$536870913\r\nPING\r\n",
    "bulk length overflows": b"*1\r\n$9223372036854775808\r\nPING\r\n",
    "bulk length far beyond": b"*1\r\n$99999999999999999999999\r\nPING\r\n",
    "bulk of zero": b"*1\r\n$0\r\n\r\nPING\r\n",
    "command of zero length with arguments": b"*2\r\n$0\r\n\r\n$1\r\nx\r\nPING\r\n",
    "bulk shorter than said": b"*1\r\n$6\r\nPING\r\n",
    "bulk longer than said": b"*1\r\n$2\r\nPING\r\nPING\r\n",
    "nested array": b"*2\r\n*1\r\n$4\r\nPING\r\n$1\r\nx\r\n",
    "deeply nested arrays": b"*1\r\n" * 200,
    "map as a request": b"%1\r\n$4\r\nPING\r\n$1\r\nx\r\n",
    "set as a request": b"~1\r\n$4\r\nPING\r\n",
    "push as a request": b">1\r\n$4\r\nPING\r\n",
    "simple string as a request": b"+PING\r\n",
    "error as a request": b"-ERR\r\n",
    "bulk as a request": b"$4\r\nPING\r\n",
    "integer as an argument": b"*2\r\n$4\r\nECHO\r\n:5\r\n",
    "null as an argument": b"*2\r\n$4\r\nECHO\r\n_\r\n",
    "lone star": b"*",
    "lone CR": b"\r",
    "half a command": b"*2\r\n$3\r\nGET\r\n$1\r\n",
    "HTTP POST": b"POST / HTTP/1.1\r\nHost: example.com\r\n\r\nPING\r\n",
    "HTTP GET": b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
    "POST after commands": b"PING\r\nPING\r\nPOST / HTTP/1.1\r\nPING\r\n",
    "inline with a NUL": b"ECHO a\x00b\r\nPING\r\n",
    "HTTP post in lower case": b"post / HTTP/1.1\r\n\r\nPING\r\n",
    "HTTP host": b"Host: example.com\r\nPING\r\n",
    "host in lower case": b"host: example.com\r\nPING\r\n",
    "POST as an array": b"*1\r\n$4\r\nPOST\r\n*1\r\n$4\r\nPING\r\n",
    "Host: as an array": b"*1\r\n$5\r\nHost:\r\n*1\r\n$4\r\nPING\r\n",
    "HTTP OPTIONS": b"OPTIONS * HTTP/1.1\r\n\r\n",
    "mail": b"EHLO example.com\r\nQUIT\r\nPING\r\n",
    "quit": b"*1\r\n$4\r\nQUIT\r\n*1\r\n$4\r\nPING\r\n",
    "quit inline": b"PING\r\nQUIT\r\nPING\r\n",
    "quit in a transaction": b"MULTI\r\nQUIT\r\nPING\r\n",
    "wrong after right": b"SET a 1\r\nGET a\r\n*1\r\n$x\r\nGET a\r\n",
    "hello and the rest in one go": b"HELLO 3\r\nCLIENT SETINFO LIB-NAME x\r\nCLIENT SETINFO BAD x\r\nSELECT 1\r\n",
    "multi across errors": b"MULTI\r\nSET a\r\nNOSUCH\r\nSET a 1\r\nEXEC\r\nPING\r\n",
    "reply off": b"CLIENT REPLY OFF\r\nPING\r\nSET off 1\r\nCLIENT REPLY ON\r\nGET off\r\n",
    "reply skip": b"CLIENT REPLY SKIP\r\nPING\r\nPING one\r\n",
    "reply skip twice": b"CLIENT REPLY SKIP\r\nCLIENT REPLY SKIP\r\nPING\r\nPING one\r\n",
    "reply off and an error": b"CLIENT REPLY OFF\r\nNOSUCH\r\nGET\r\nCLIENT REPLY ON\r\n",
    "inline just below the limit": b"ECHO " + b"x" * (64 * KIB - 10) + b"\r\n",
    "inline beyond the limit": b"x" * (64 * KIB + 1),
    "array header beyond the limit": b"*" + b"1" * (64 * KIB + 1),
    "bulk header beyond the limit": b"*1\r\n$" + b"1" * (64 * KIB + 1),
    "error text with line breaks": encode((b"no\r\nsuch", b"a\r\nb", b"\x00")) + b"PING\r\n",
    "subcommand with line breaks": encode((b"CONFIG", b"no\r\nsuch")) + b"PING\r\n",
    "long unknown command": encode((b"x" * 500, b"y" * 500)) + b"PING\r\n",
}


@pytest.mark.parametrize("byte", [0, 1, 9, 10, 13, 32, 0x7F, 0x80, 0xFF])
def test_an_error_that_quotes_a_byte_stays_one_line(served_kvcore: Server, byte: int) -> None:
    answer, closed = exchange(served_kvcore, b"*1\r\n" + bytes([byte]) + b"4\r\nPING\r\n", PATIENT_S)
    assert closed
    assert answer.startswith(b"-ERR Protocol error: expected '$', got '")
    assert answer.endswith(b"'\r\n")
    assert answer.count(b"\r") == answer.count(b"\n") == 1


def test_a_tls_hello_is_turned_away(served_kvcore: Server) -> None:
    hello = b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + bytes(range(40)) + b"\n"
    answer, _ = exchange(served_kvcore, hello)
    assert answer.count(b"\r\n") == answer.count(b"-ERR")


def without_run_ids(reply: bytes) -> bytes:
    """HELLO's answer names the server, its version, its modules and the connection."""
    if b"$6\r\nserver\r\n" not in reply:
        return reply
    parser = Parser()
    parser.feed(reply)
    hello = parser.next()
    assert hello is not None
    kept = [item.encode() for item in hello.items]
    for index in range(0, len(kept), 2):
        if hello.items[index].data in (b"server", b"version", b"id", b"modules"):
            kept[index + 1] = b"?"
    return b"".join(kept) + parser.pending


@pytest.mark.parametrize("name", sorted(RAW))
def test_raw_bytes_as_on_valkey(served_kvcore: Server, valkey_server: Server, name: str) -> None:
    assert_same_exchange(served_kvcore, valkey_server, RAW[name])
    with served_kvcore.connect() as connection:
        assert connection.call("PING").encode() == b"+PONG\r\n"


GUARDED: dict[str, bytes] = {
    "needs a password": b"GET k\r\n",
    "ping needs a password": b"PING\r\n",
    "unknown needs a password": b"NOSUCH\r\n",
    "wrong arity needs a password": b"GET\r\n",
    "wrong password": b"AUTH wrong\r\nPING\r\n",
    "wrong user": b"AUTH nobody secret\r\nPING\r\n",
    "right password": b"AUTH secret\r\nPING\r\n",
    "right password and user": b"AUTH default secret\r\nPING\r\n",
    "hello without a password": b"HELLO 3\r\nPING\r\n",
    "hello with a wrong one": b"HELLO 3 AUTH default wrong\r\nPING\r\n",
    "hello without version": b"HELLO\r\n",
    "hello 4": b"HELLO 4\r\n",
    "reset": b"RESET\r\nPING\r\n",
    "reset after auth": b"AUTH secret\r\nRESET\r\nPING\r\n",
    "quit": b"QUIT\r\n",
    "multi": b"MULTI\r\nEXEC\r\n",
    "subscribe": b"SUBSCRIBE a\r\n",
    "empty array first": b"*0\r\nPING\r\n",
    "ten words": b"*10\r\n" + b"$1\r\nx\r\n" * 10,
    "eleven words": b"*11\r\n" + b"$1\r\nx\r\n" * 11,
    "many words": b"*1000000\r\n",
    "bulk of 16 KiB": b"*1\r\n$16384\r\n" + b"x" * 16384 + b"\r\n",
    "bulk beyond 16 KiB": b"*1\r\n$16385\r\n" + b"x" * 16385 + b"\r\n",
    "big bulk": b"*2\r\n$3\r\nGET\r\n$100000000\r\n",
    "eleven words after auth": b"AUTH secret\r\n" + b"*11\r\n$3\r\nDEL\r\n" + b"$1\r\nx\r\n" * 10,
    "bulk beyond 16 KiB after auth": b"AUTH secret\r\n*2\r\n$6\r\nSTRLEN\r\n$16385\r\n" + b"x" * 16385 + b"\r\n",
}


@pytest.mark.parametrize("name", sorted(GUARDED))
def test_before_authentication_as_on_valkey(guarded_kvcore: Server, guarded_valkey: Server, name: str) -> None:
    assert_same_exchange(guarded_kvcore, guarded_valkey, GUARDED[name])


# Volume


def flood(connection: Connection, data: bytes) -> threading.Thread:
    """Send in the background: whoever sends a long pipeline has to read meanwhile."""

    def send() -> None:
        with suppress(ConnectionClosed, ReplyTimeout, OSError):
            connection.socket.sendall(data)

    connection.socket.settimeout(30)
    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


def test_a_pipeline_of_a_hundred_thousand(served_kvcore: Server) -> None:
    count = 100_000
    with served_kvcore.connect(timeout_s=30) as connection:
        connection.must("DEL", "counter")
        sender = flood(connection, encode((b"INCR", b"counter")) * count)
        expected = b"".join(b":%d\r\n" % number for number in range(1, count + 1))
        got = bytearray()
        while len(got) < len(expected):
            data = connection.socket.recv(1 << 16)
            assert data
            got += data
        sender.join(5)
        assert bytes(got) == expected


def test_pipelines_are_served_fairly(served_kvcore: Server) -> None:
    """While one connection sends without end, another one gets its answers quickly."""
    with served_kvcore.connect(timeout_s=30) as busy, served_kvcore.connect() as other:
        count = 200_000
        sender = flood(busy, encode((b"PING",)) * count)
        worst = 0.0
        for _ in range(20):
            begun = time.monotonic()
            other.must("PING")
            worst = max(worst, time.monotonic() - begun)
        left = count * len(b"+PONG\r\n")
        while left > 0:
            left -= len(busy.socket.recv(1 << 16))
        sender.join(5)
        assert left == 0
        assert worst < 1.0


def test_ten_thousand_words(served_kvcore: Server) -> None:
    with served_kvcore.connect(timeout_s=20) as connection:
        words = [b"%d" % number for number in range(10_000)]
        connection.must("DEL", "many")
        assert connection.must("RPUSH", "many", *words).value == len(words)
        assert [item.data for item in connection.must("LRANGE", "many", 0, -1).items] == words
        connection.must("DEL", "many")


def test_many_connections_at_once(served_kvcore: Server) -> None:
    connections = [served_kvcore.connect() for _ in range(300)]
    try:
        for number, connection in enumerate(connections):
            connection.send("PING", f"number {number}")
        for number, connection in enumerate(connections):
            assert connection.reply().data == b"number %d" % number
        assert len({connection.must("CLIENT", "ID").value for connection in connections}) == 300
    finally:
        for connection in connections:
            connection.close()


def test_client_ids_grow(served_kvcore: Server) -> None:
    ids: list[int] = []
    for _ in range(5):
        with served_kvcore.connect() as connection:
            ids.append(int(connection.must("CLIENT", "ID").data))
    assert ids == sorted(ids)
    assert len(set(ids)) == 5


# Memory


@pytest.fixture
def fresh_kvcore() -> Iterator[Server]:
    server = start_tested_server()
    yield server
    server.stop()


def test_a_slow_reader_is_cut_off(fresh_kvcore: Server) -> None:
    with fresh_kvcore.connect() as control, fresh_kvcore.connect() as slow:
        control.must("CONFIG", "SET", "client-output-buffer-limit", "normal 2097152 1048576 1")
        control.must("SET", "big", "x" * 100_000)
        before = fresh_kvcore.rss_bytes()
        slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        flood(slow, encode((b"GET", b"big")) * 2000)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            names = control.must("CLIENT", "LIST").data.count(b"cmd=get")
            assert fresh_kvcore.rss_bytes() - before < 60 * MIB
            if names == 0:
                break
            time.sleep(0.05)
        else:
            pytest.fail("the slow reader is still connected")
        assert control.must("PING").data == b"PONG"


def test_a_slow_subscriber_is_cut_off(fresh_kvcore: Server) -> None:
    with fresh_kvcore.connect() as control, fresh_kvcore.connect() as slow:
        control.must("CONFIG", "SET", "client-output-buffer-limit", "pubsub 2097152 1048576 1")
        slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.must("SUBSCRIBE", "ch")
        # Small messages: Valkey shares large ones between subscribers and counts them once.
        for _ in range(4000):
            if control.must("PUBLISH", "ch", "x" * 8_000).value == 0:
                break
        else:
            pytest.fail("the slow subscriber still receives")


def test_announced_bytes_are_not_allocated(fresh_kvcore: Server) -> None:
    before = fresh_kvcore.rss_bytes()
    sockets = []
    try:
        for _ in range(50):
            connection = socket.create_connection((fresh_kvcore.host, fresh_kvcore.port), 5)
            connection.sendall(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$500000000\r\nx")
            sockets.append(connection)
        for _ in range(50):
            connection = socket.create_connection((fresh_kvcore.host, fresh_kvcore.port), 5)
            connection.sendall(b"*1000000\r\n$3\r\nDEL\r\n")
            sockets.append(connection)
        time.sleep(0.2)
        with fresh_kvcore.connect() as control:
            control.must("PING")
        assert fresh_kvcore.rss_bytes() - before < 20 * MIB
    finally:
        for connection in sockets:
            connection.close()


def test_half_open_requests_are_cheap(fresh_kvcore: Server) -> None:
    count = 800
    sockets = []
    try:
        with fresh_kvcore.connect() as control:
            control.must("PING")
            before = fresh_kvcore.rss_bytes()
            for _ in range(count):
                connection = socket.create_connection((fresh_kvcore.host, fresh_kvcore.port), 5)
                connection.sendall(b"*2\r\n$3\r\nGET\r\n$10\r\nab")
                sockets.append(connection)
            for connection in sockets[::7]:
                connection.sendall(b"c")
            time.sleep(0.2)
            control.must("PING")
            if not SANITIZED:
                assert (fresh_kvcore.rss_bytes() - before) / count < 24 * KIB
        for connection in sockets:
            connection.sendall(b"cdefghij"[1 if connection in sockets[::7] else 0 :] + b"\r\n")
        for connection in sockets:
            connection.settimeout(5)
            assert connection.recv(100) == b"$-1\r\n"
    finally:
        for connection in sockets:
            connection.close()


def test_answers_before_authentication_are_bounded(guarded_kvcore: Server) -> None:
    """Whoever has no password cannot make the server keep answers for it."""
    before = guarded_kvcore.rss_bytes()
    with guarded_kvcore.connect(timeout_s=5) as connection:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sender = flood(connection, b"GET k\r\n" * 1_000_000)
        sender.join(3)
        assert guarded_kvcore.rss_bytes() - before < 20 * MIB
    with guarded_kvcore.connect() as connection:
        assert connection.call("AUTH", "secret").encode() == b"+OK\r\n"
        assert connection.call("PING").encode() == b"+PONG\r\n"


# State of a connection


def test_reset_leaves_everything(served_kvcore: Server) -> None:
    with served_kvcore.connect(3) as connection:
        connection.must("CLIENT", "SETNAME", "someone")
        connection.must("SELECT", 3)
        connection.must("CLIENT", "TRACKING", "ON")
        connection.send("SUBSCRIBE", "a")
        assert connection.next().kind == b">"
        connection.must("MULTI")
        assert connection.must("RESET").encode() == b"+RESET\r\n"
        assert connection.must("CLIENT", "GETNAME").encode() == b"$-1\r\n"
        line = connection.must("CLIENT", "INFO").data
        assert b" db=0 " in line
        assert b" resp=2 " in line
        assert b" sub=0 " in line
        assert connection.call("EXEC").data == b"ERR EXEC without MULTI"


def test_a_client_can_be_killed_and_others_live(served_kvcore: Server) -> None:
    with served_kvcore.connect() as victim, served_kvcore.connect() as control:
        number = victim.must("CLIENT", "ID").value
        assert isinstance(number, int)
        assert control.must("CLIENT", "KILL", "ID", number).value == 1
        assert victim.until_closed() == b""
        assert control.must("PING").data == b"PONG"


def test_a_client_that_kills_itself_gets_its_answer(served_kvcore: Server) -> None:
    with served_kvcore.connect() as victim:
        number = victim.must("CLIENT", "ID").value
        assert isinstance(number, int)
        victim.send("CLIENT", "KILL", "ID", number, "SKIPME", "no")
        assert victim.until_closed() == b":1\r\n"


def test_a_blocked_client_can_be_unblocked(served_kvcore: Server) -> None:
    with served_kvcore.connect() as blocked, served_kvcore.connect() as control:
        number = blocked.must("CLIENT", "ID").value
        assert isinstance(number, int)
        for how, expected in (
            ("TIMEOUT", b"*-1\r\n"),
            ("ERROR", b"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"),
        ):
            blocked.send("BLPOP", "never", 0)
            deadline = time.monotonic() + 5
            while control.must("CLIENT", "UNBLOCK", number, how).value != 1:
                assert time.monotonic() < deadline
                time.sleep(0.005)
            assert blocked.reply().encode() == expected
        assert control.must("CLIENT", "UNBLOCK", number).value == 0


def test_a_client_that_leaves_while_blocked_takes_nothing(served_kvcore: Server) -> None:
    with served_kvcore.connect() as control:
        control.must("DEL", "leaving")
        for _ in range(20):
            with served_kvcore.connect() as blocked:
                blocked.send("BLPOP", "leaving", 0)
                time.sleep(0.005)
        time.sleep(0.05)
        assert control.must("RPUSH", "leaving", "x").value == 1
        time.sleep(0.05)
        assert control.must("LRANGE", "leaving", 0, -1).plain() == [b"x"]
        control.must("DEL", "leaving")


def test_pause_holds_writes_and_lets_reads_pass(served_kvcore: Server) -> None:
    with served_kvcore.connect() as writer, served_kvcore.connect() as control:
        control.must("SET", "paused", "before")
        control.must("CLIENT", "PAUSE", 10_000, "WRITE")
        try:
            assert writer.must("GET", "paused").data == b"before"
            writer.send("SET", "paused", "after")
            assert writer.quiet(0.1) == b""
            assert control.must("GET", "paused").data == b"before"
        finally:
            control.must("CLIENT", "UNPAUSE")
        assert writer.reply().data == b"OK"
        assert control.must("GET", "paused").data == b"after"


def test_monitor_shows_what_others_do(served_kvcore: Server) -> None:
    with served_kvcore.connect() as monitor, served_kvcore.connect() as other:
        assert monitor.must("MONITOR").data == b"OK"
        other.must("SET", "seen", 'by "others"\r\n')
        line = monitor.next().data
        while b'"SET"' not in line:
            line = monitor.next().data
        assert line.endswith(b'"SET" "seen" "by \\"others\\"\\r\\n"')
        assert b" [0 127.0.0.1:" in line


def test_invalidations_reach_the_one_who_reads(served_kvcore: Server) -> None:
    with served_kvcore.connect(3) as reader, served_kvcore.connect() as writer:
        reader.must("CLIENT", "TRACKING", "ON")
        reader.must("GET", "tracked")
        writer.must("SET", "tracked", "1")
        assert reader.next().encode() == b">2\r\n$10\r\ninvalidate\r\n*1\r\n$7\r\ntracked\r\n"
        writer.must("SET", "tracked", "2")
        assert reader.quiet() == b""
        reader.must("GET", "tracked")
        writer.must("FLUSHALL")
        assert reader.next().encode() == b">2\r\n$10\r\ninvalidate\r\n_\r\n"


def test_invalidations_can_be_redirected(served_kvcore: Server) -> None:
    with served_kvcore.connect() as reader, served_kvcore.connect() as target, served_kvcore.connect() as writer:
        number = target.must("CLIENT", "ID").value
        assert isinstance(number, int)
        target.must("SUBSCRIBE", "__redis__:invalidate")
        reader.must("CLIENT", "TRACKING", "ON", "REDIRECT", number)
        reader.must("GET", "tracked")
        writer.must("SET", "tracked", "1")
        expected = b"*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$7\r\ntracked\r\n"
        assert target.next().encode() == expected
