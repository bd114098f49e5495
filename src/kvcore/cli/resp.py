"""A small RESP2 client for the command line: one connection, one thread, no dependencies."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from urllib.parse import unquote, urlsplit

from kvcore.errors import ConnectionError, RedisError, from_reply, make

Reply = bytes | int | None | list["Reply"] | RedisError


def encode(words: Sequence[str | bytes | int | float]) -> bytes:
    """One request."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        raw = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(raw), raw))
    return b"".join(parts)


class Client:
    """A connection to redis://[:password@]host:port/db or unix:///path."""

    def __init__(self, url: str, timeout: float | None = 10.0) -> None:
        parts = urlsplit(url)
        if parts.scheme == "unix":
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(timeout)
            self._socket.connect(unquote(parts.path))
        elif parts.scheme in ("redis", "valkey"):
            self._socket = socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 6379), timeout)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            raise ValueError(f"{url!r}: expected redis://host:port/db or unix:///path")
        self._file = self._socket.makefile("rb")
        if parts.password:
            self.must("AUTH", *([unquote(parts.username)] if parts.username else []), unquote(parts.password))
        database = parts.path.strip("/") if parts.scheme != "unix" else ""
        if database and database != "0":
            self.must("SELECT", database)

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, *words: str | bytes | int | float) -> Reply:
        """Send one command and read its reply; an error is returned, not raised."""
        self._socket.sendall(encode(words))
        return self.read()

    def must(self, *words: str | bytes | int | float) -> Reply:
        """Like call, but an error is raised."""
        reply = self.call(*words)
        if isinstance(reply, RedisError):
            raise reply
        return reply

    def batch(self, commands: Iterable[Sequence[str | bytes | int | float]]) -> list[Reply]:
        """Send all, then read all."""
        encoded = [encode(words) for words in commands]
        self._socket.sendall(b"".join(encoded))
        return [self.read() for _ in encoded]

    def read(self) -> Reply:
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise make(ConnectionError, "the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            return from_reply(rest.decode(errors="replace"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            if rest == b"-1":
                return None
            length = int(rest)
            body = self._file.read(length + 2)
            if len(body) != length + 2:
                raise make(ConnectionError, "the server closed the connection")
            return body[:-2]
        if kind in b"*>~":
            return None if rest == b"-1" else [self.read() for _ in range(int(rest))]
        raise make(ConnectionError, f"not a reply that RESP2 knows: {line[:40]!r}")
