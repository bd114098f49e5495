"""A small, strict RESP2/RESP3 client for tests.

It is deliberately not a convenient client. It keeps the raw bytes of every reply, refuses anything that is not
canonical RESP (a length with a leading zero, a lone line feed, a double that does not parse), hands out-of-band
pushes over separately, and never waits without a deadline. A test that compares two servers needs exactly these four
properties.
"""

from __future__ import annotations

import re
import socket
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

Word = bytes | str | int | float

_INTEGER: Final = re.compile(rb"-?(?:0|[1-9][0-9]*)\Z")
_DOUBLE: Final = re.compile(rb"(?:-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|-?inf|nan)\Z")
_AGGREGATES: Final = b"*~>%|"
_LINES: Final = b"+-:,#(_"
_BLOBS: Final = b"$!="
MAX_DEPTH: Final = 64


class ProtocolError(Exception):
    """The server sent bytes that are not well-formed RESP."""


class ConnectionClosed(Exception):
    """The server closed the connection while a reply was still due."""


class ReplyTimeout(Exception):
    """No complete reply arrived before the deadline."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One decoded reply.

    ``kind`` is the RESP type byte. ``value`` is bytes for lines and blobs, int for ``:``, a tuple of replies for
    aggregates (a map is flattened: key, value, key, value), and None for the three nulls (``$-1``, ``*-1``, ``_``).
    """

    kind: bytes
    value: bytes | int | tuple[Reply, ...] | None

    @property
    def items(self) -> tuple[Reply, ...]:
        return self.value if isinstance(self.value, tuple) else ()

    @property
    def is_error(self) -> bool:
        return self.kind in (b"-", b"!")

    @property
    def data(self) -> bytes:
        """The bytes of a line or blob; the decimal text of an integer; nothing for a null or an aggregate."""
        if isinstance(self.value, bytes):
            return self.value
        return b"%d" % self.value if isinstance(self.value, int) else b""

    def plain(self) -> object:
        """Nested Python values, good for assertions: bytes, int, float, bool, None, list, dict for maps, set-likes
        as lists.
        """
        if self.kind == b",":
            return float(self.data)
        if self.kind == b"#":
            return self.value == b"t"
        if self.kind == b"(":
            return int(self.data)
        if self.kind == b"=":
            return self.data[4:]
        if self.kind in (b"-", b"!"):
            return ReplyError(self.data.decode("utf-8", "replace"))
        if not isinstance(self.value, tuple):
            return self.value
        if self.kind == b"%":
            pairs = [item.plain() for item in self.value]
            return {_hashable(key): value for key, value in zip(pairs[::2], pairs[1::2], strict=True)}
        return [item.plain() for item in self.value]

    def encode(self) -> bytes:
        """The canonical bytes of this reply, equal to what was received."""
        if self.value is None:
            return b"_\r\n" if self.kind == b"_" else self.kind + b"-1\r\n"
        if isinstance(self.value, tuple):
            count = len(self.value) // 2 if self.kind in (b"%", b"|") else len(self.value)
            return b"%b%d\r\n" % (self.kind, count) + b"".join(item.encode() for item in self.value)
        if self.kind in (b"$", b"!", b"="):
            return b"%b%d\r\n%b\r\n" % (self.kind, len(self.data), self.data)
        return b"%b%b\r\n" % (self.kind, self.data)

    def __str__(self) -> str:
        return self.encode().decode("latin-1")


class ReplyError(Exception):
    """An error reply, as a value. Equal to another one with the same text."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ReplyError) and self.args == other.args

    def __hash__(self) -> int:
        return hash(self.args)


def _hashable(value: object) -> object:
    return tuple(_hashable(item) for item in value) if isinstance(value, list) else value


class Parser:
    """Bytes in, replies out; knows no socket. `next()` returns None until a whole reply is there."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._at = 0

    def feed(self, data: bytes) -> None:
        if self._at > 1 << 16:
            del self._buffer[: self._at]
            self._at = 0
        self._buffer += data

    @property
    def pending(self) -> bytes:
        """The bytes received and not yet part of a reply."""
        return bytes(self._buffer[self._at :])

    def next(self) -> Reply | None:
        end = self._parse(self._at, 0)
        if end is None:
            return None
        reply, self._at = end
        return reply

    def _line(self, at: int) -> tuple[bytes, int] | None:
        end = self._buffer.find(b"\r\n", at)
        if end < 0:
            return None
        line = bytes(self._buffer[at:end])
        if b"\n" in line or b"\r" in line:
            raise ProtocolError(f"CR or LF inside a line: {line[:80]!r}")
        return line, end + 2

    def _parse(self, at: int, depth: int) -> tuple[Reply, int] | None:
        if depth > MAX_DEPTH:
            raise ProtocolError("replies nested too deep")
        if at < len(self._buffer) and self._buffer[at] not in _AGGREGATES + _LINES + _BLOBS:
            raise ProtocolError(f"not a RESP type: {bytes(self._buffer[at : at + 40])!r}")
        found = self._line(at)
        if found is None:
            return None
        line, at = found
        kind, rest = line[:1], line[1:]
        if kind in _LINES:
            return Reply(kind, _scalar(kind, rest)), at
        if rest == b"-1" and kind in b"$*":
            return Reply(kind, None), at
        if not _INTEGER.match(rest) or rest.startswith(b"-"):
            raise ProtocolError(f"bad length: {line!r}")
        return self._blob(kind, int(rest), at) if kind in _BLOBS else self._aggregate(kind, int(rest), at, depth)

    def _blob(self, kind: bytes, size: int, at: int) -> tuple[Reply, int] | None:
        if len(self._buffer) < at + size + 2:
            return None
        if self._buffer[at + size : at + size + 2] != b"\r\n":
            raise ProtocolError("blob does not end in CRLF")
        data = bytes(self._buffer[at : at + size])
        if kind == b"=" and (size < 4 or data[3:4] != b":"):
            raise ProtocolError(f"verbatim string without a format: {data[:20]!r}")
        return Reply(kind, data), at + size + 2

    def _aggregate(self, kind: bytes, count: int, at: int, depth: int) -> tuple[Reply, int] | None:
        items: list[Reply] = []
        for _ in range(count * 2 if kind in (b"%", b"|") else count):
            found = self._parse(at, depth + 1)
            if found is None:
                return None
            item, at = found
            items.append(item)
        return Reply(kind, tuple(items)), at


def _scalar(kind: bytes, rest: bytes) -> bytes | int | None:
    if kind == b"_":
        if rest:
            raise ProtocolError(f"null with content: {rest!r}")
        return None
    if kind == b":":
        if not _INTEGER.match(rest) or not -(1 << 63) <= int(rest) < 1 << 63:
            raise ProtocolError(f"bad integer: {rest!r}")
        return int(rest)
    if (
        (kind == b"," and not _DOUBLE.match(rest))
        or (kind == b"#" and rest not in (b"t", b"f"))
        or (kind == b"(" and not _INTEGER.match(rest))
    ):
        raise ProtocolError(f"bad {kind.decode()} line: {rest!r}")
    return rest


def encode(words: Sequence[Word]) -> bytes:
    """A command as an array of bulk strings, the only form that every server accepts."""
    out = bytearray(b"*%d\r\n" % len(words))
    for word in words:
        data = to_bytes(word)
        out += b"$%d\r\n%b\r\n" % (len(data), data)
    return bytes(out)


def to_bytes(word: Word) -> bytes:
    if isinstance(word, bytes):
        return word
    return (word if isinstance(word, str) else repr(word)).encode()


class Connection:
    """One socket. Pushes that arrive between replies are moved to `pushes`; they never count as a reply."""

    def __init__(
        self, host: str = "127.0.0.1", port: int = 0, *, path: str | None = None, timeout_s: float = 5.0
    ) -> None:
        if path is None:
            self.socket = socket.create_connection((host, port), timeout_s)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout_s)
            self.socket.connect(path)
        self.timeout_s = timeout_s
        self.pushes: deque[Reply] = deque()
        self.closed = False
        self._parser = Parser()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self.closed = True
        self.socket.close()

    def send_raw(self, data: bytes) -> None:
        try:
            self.socket.settimeout(self.timeout_s)
            self.socket.sendall(data)
        except TimeoutError as error:
            raise ReplyTimeout("the server does not read") from error
        except OSError as error:
            self.closed = True
            raise ConnectionClosed(str(error)) from error

    def send(self, *words: Word) -> None:
        self.send_raw(encode(words))

    def send_many(self, commands: Iterable[Sequence[Word]]) -> None:
        self.send_raw(b"".join(encode(words) for words in commands))

    def next(self, timeout_s: float | None = None) -> Reply:
        """The next thing on the wire, a push included."""
        deadline = time.monotonic() + (self.timeout_s if timeout_s is None else timeout_s)
        while (reply := self._parser.next()) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise ReplyTimeout(f"no reply in time; pending bytes {self._parser.pending[:80]!r}")
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(1 << 16)
            except TimeoutError as error:
                raise ReplyTimeout(f"no reply in time; pending bytes {self._parser.pending[:80]!r}") from error
            except OSError as error:
                self.closed = True
                raise ConnectionClosed(str(error)) from error
            if not data:
                self.closed = True
                if self._parser.pending:
                    raise ProtocolError(f"connection closed inside a reply: {self._parser.pending[:80]!r}")
                raise ConnectionClosed("end of stream")
            self._parser.feed(data)
        return reply

    def reply(self, timeout_s: float | None = None) -> Reply:
        """The next reply; pushes on the way are kept in `pushes`."""
        while (reply := self.next(timeout_s)).kind == b">":
            self.pushes.append(reply)
        return reply

    def call(self, *words: Word, timeout_s: float | None = None) -> Reply:
        self.send(*words)
        return self.reply(timeout_s)

    def must(self, *words: Word, timeout_s: float | None = None) -> Reply:
        """As `call`, and an error reply is a failure of the test."""
        reply = self.call(*words, timeout_s=timeout_s)
        if reply.is_error:
            raise AssertionError(f"{words!r}: {reply.data!r}")
        return reply

    def many(self, commands: Sequence[Sequence[Word]], timeout_s: float | None = None) -> list[Reply]:
        self.send_many(commands)
        return [self.reply(timeout_s) for _ in commands]

    def hello(self, protocol: int) -> Reply:
        return self.call("HELLO", protocol)

    def quiet(self, wait_s: float = 0.05) -> bytes:
        """Bytes that arrive although nothing is due. Empty when the framing is right."""
        try:
            reply = self.next(wait_s)
        except (ReplyTimeout, ConnectionClosed):
            return self._parser.pending
        return reply.encode()

    def until_closed(self, timeout_s: float | None = None) -> bytes:
        """Everything that the server sends until it closes the connection."""
        deadline = time.monotonic() + (self.timeout_s if timeout_s is None else timeout_s)
        out = bytearray(self._parser.pending)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise ReplyTimeout(f"still open; received {bytes(out[:200])!r}")
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(1 << 16)
            except TimeoutError as error:
                raise ReplyTimeout(f"still open; received {bytes(out[:200])!r}") from error
            except ConnectionResetError:
                data = b""
            if not data:
                self.closed = True
                return bytes(out)
            out += data
