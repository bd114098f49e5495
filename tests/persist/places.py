"""Servers on a given directory, so that another one can go on there."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests import servers
from tests.compat.resp import Connection, Word

WAIT_S = 20.0


@contextlib.contextmanager
def serving(where: Path, *options: str, peer: str = "") -> Iterator[Connection]:
    """A server on this directory, kvcore unless a peer is named; asked to end in the end, if it has not by then."""
    with server_on(where, *options, peer=peer) as server, server.connect() as connection:
        until(lambda: not connection.call("DBSIZE").is_error, "the end of loading")
        yield connection


@contextlib.contextmanager
def server_on(where: Path, *options: str, peer: str = "") -> Iterator[servers.Server]:
    words = ("--dir", str(where), *options)
    server = servers.start_peer(peer, *words) if peer else servers.start_kvcore(*words)
    try:
        yield server
    finally:
        server.stop()


def kill(server: servers.Server) -> None:
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {WAIT_S} s for {what}"
        time.sleep(0.02)


def info(connection: Connection, section: str = "persistence") -> dict[str, str]:
    text = connection.must("INFO", section).data.decode()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def told(connection: Connection, field: str, value: str) -> bool:
    return info(connection)[field] == value


READ: dict[bytes, tuple[tuple[str | int, ...], bool]] = {
    b"string": (("GET",), False),
    b"list": (("LRANGE", 0, -1), False),
    b"set": (("SMEMBERS",), True),
    b"zset": (("ZRANGE", 0, -1, "WITHSCORES"), False),
    b"hash": (("HGETALL",), True),
}


def contents(connection: Connection) -> dict[bytes, object]:
    """Every key of the database with its value and its time, as any server tells them."""
    found: dict[bytes, object] = {}
    for key in sorted(item.data for item in connection.must("KEYS", "*").items):
        (name, *words), unordered = READ[connection.must("TYPE", key).data]
        reply = connection.must(str(name), key, *words)
        items = [item.data for item in reply.items]
        if name == "HGETALL":
            items = [field + b"\0" + value for field, value in zip(items[::2], items[1::2], strict=True)]
        value = sorted(items) if unordered else items or reply.data
        found[key] = value, connection.must("PEXPIRETIME", key).value
    return found


def names(where: Path) -> list[str]:
    """The files of the append-only directory, but for the manifest."""
    return sorted(path.name for path in (where / "appendonlydir").iterdir() if path.suffix != ".manifest")


def manifest(where: Path) -> list[tuple[str, int, str]]:
    """Name, number, type."""
    lines = (where / "appendonlydir" / "appendonly.aof.manifest").read_text().splitlines()
    words = [line.split() for line in lines]
    return [(line[1], int(line[3]), line[5]) for line in words]


def fill(connection: Connection, count: int = 200, start: int = 0) -> None:
    """Some of everything."""
    commands: list[tuple[Word, ...]] = []
    for i in range(start, start + count):
        commands += [
            ("SET", f"s{i}", f"value {i}" * (i % 20)),
            ("SET", f"t{i}", i, "PX", 3_600_000 + i),
            ("HSET", f"h{i % 7}", f"field{i}", i),
            ("RPUSH", f"l{i % 5}", i, "x" * (i % 90)),
            ("SADD", f"set{i % 5}", i, f"m{i}"),
            ("ZADD", f"z{i % 3}", i / 4, f"m{i}"),
            ("SPOP", f"set{i % 5}"),
            ("INCRBYFLOAT", "sum", 0.5),
        ]
    connection.send_many(commands)
    for words in commands:
        reply = connection.reply()
        assert not reply.is_error, (words, reply)
