"""What commands leave in the log.

kvcore's engine with a journal that records (tests/c/test_effect.c), and a real Valkey whose incremental file is read
after every command.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import servers
from tests.compat.resp import Connection

Record = tuple[bytes, ...]
CLIENTS = 4
NEAR_MS = 20_000  # two servers run a command at about the same time


def parse(data: bytes) -> list[Record]:
    """The RESP arrays of a log; lines that begin with # are left out."""
    found: list[Record] = []
    at = 0
    while at < len(data):
        end = data.index(b"\r\n", at)
        head = data[at:end]
        at = end + 2
        if head.startswith(b"#"):
            continue
        assert head.startswith(b"*"), data[at - 40 : at + 40]
        words = []
        for _ in range(int(head[1:])):
            end = data.index(b"\r\n", at)
            assert data[at : at + 1] == b"$"
            length = int(data[at + 1 : end])
            words.append(data[end + 2 : end + 2 + length])
            at = end + 2 + length + 2
        found.append(tuple(words))
    return found


def bulks(reply: bytes | None) -> list[bytes]:
    """The members of an array of bulk strings."""
    assert reply is not None
    return [word for record in parse(reply) for word in record]


class Place:
    """Databases instead of SELECT: the same command in the same database is the same, whoever selected it when."""

    def __init__(self) -> None:
        self.db = b"0"

    def resolve(self, records: Iterable[Record]) -> list[tuple[bytes, ...]]:
        found = []
        for record in records:
            if record[0].upper() == b"SELECT":
                self.db = record[1]
            elif record[0].upper() in (b"MULTI", b"EXEC"):
                found.append((record[0].upper(),))
            else:
                found.append((self.db, *record))
        return found


CONDITIONS = (b"NX", b"XX")
FRAMES = (b"MULTI",), (b"EXEC",)


def unframed(records: Iterable[Record]) -> list[Record]:
    return [record for record in records if record not in FRAMES]


def portable(record: Record) -> list[Record]:
    """A record of Valkey 9.1 in the words that kvcore chooses: those that older servers understand, too. What was asked
    before a change (NX, XX, IFEQ) held, and needs no asking again."""
    words = list(record)
    if len(words) < 2:
        return [record]
    db, name = words[0], words[1].upper()
    if name == b"SET":
        tail = [word for word in words[4:] if word.upper() not in CONDITIONS]
        if tail and tail[0].upper() == b"IFEQ":
            tail = tail[2:]
        return [(db, b"SET", words[2], words[3], *tail)]
    if name == b"MSETEX":
        end = 3 + 2 * int(words[2])
        tail = [word for word in words[end:] if word.upper() not in CONDITIONS]
        pairs = [(words[at], words[at + 1]) for at in range(3, end, 2)]
        if not tail:
            return [(db, b"MSET", *words[3:end])]
        return [(db, b"SET", key, value, *tail) for key, value in pairs]
    if name == b"HSETEX" and words[3] == b"FIELDS":
        return [(db, b"HSET", words[2], *words[5:])]
    if name == b"HGETDEL":
        return [(db, b"HDEL", words[2], *dict.fromkeys(words[5:]))]
    if name == b"HPEXPIREAT":
        return [tuple(word for word in words if word.upper() not in (*CONDITIONS, b"GT", b"LT"))]
    return [record]


def less_fields(here: Record, there: Record) -> Record:
    """kvcore names only the fields of a hash that a command has changed."""
    if len(here) < 3 or here[1:3] != there[1:3] or here[1] not in (b"HDEL", b"HPEXPIREAT", b"HPERSIST"):
        return there
    if b"FIELDS" not in there:
        return tuple(word for at, word in enumerate(there) if at < 3 or word in here)
    at = there.index(b"FIELDS") + 2
    fields = [word for word in there[at:] if word in here[at:]]
    return (*there[: at - 1], str(len(fields)).encode(), *fields)


def is_near(one: bytes, other: bytes) -> bool:
    if one == other:
        return True
    if not (one.isdigit() and other.isdigit() and len(one) == len(other) == 13):
        return False
    return abs(int(one) - int(other)) < NEAR_MS


def is_same(one: Sequence[Record], other: Sequence[Record]) -> bool:
    return len(one) == len(other) and all(
        len(a) == len(b) and all(is_near(x, y) for x, y in zip(a, b, strict=True))
        for a, b in zip(one, other, strict=True)
    )


@dataclass
class Answer:
    reply: bytes | None  # None: it waits
    records: list[Record]
    groups: int


def build_filter() -> Path:
    """The C test as a program, built like any other C test."""
    sys.path.insert(0, str(servers.ROOT / "tools"))
    try:
        import ctest
    finally:
        sys.path.pop(0)
    module: Any = ctest
    variant = module.cc.Variant.named("debug")
    (servers.ROOT / "build" / "obj").mkdir(parents=True, exist_ok=True)
    program: Path = module.build(servers.ROOT / "tests" / "c" / "test_effect.c", variant)
    return program


class Recorder:
    """kvcore in a process of its own."""

    def __init__(self, program: Path) -> None:
        self.process = subprocess.Popen(
            [str(program), "filter"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=servers.foreign_environment()
        )
        self.place = Place()

    def _line(self, text: str) -> Answer:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()
        parts = self.process.stdout.readline().split()
        assert len(parts) == 3, (text[:200], parts, self.process.poll())
        reply = None if parts[0] == b"!" else b"" if parts[0] == b"." else bytes.fromhex(parts[0].decode())
        data = b"" if parts[1] == b"." else bytes.fromhex(parts[1].decode())
        return Answer(reply, self.place.resolve(parse(data)), int(parts[2]))

    def run(self, client: int, words: Sequence[bytes]) -> Answer:
        return self._line(" ".join([str(client), *(word.hex() or "." for word in words)]))

    def take(self, client: int) -> Answer:
        """The reply of a command that was waiting."""
        return self._line(f"{client} *")

    def advance(self, ms: int) -> Answer:
        return self._line(f"0 +{ms}")

    def freeze(self, ms: int) -> Answer:
        return self._line(f"0 @{ms}")

    def close(self) -> None:
        self.process.communicate(timeout=20)
        assert self.process.returncode == 0


class Reference:
    """A real Valkey with appendfsync always: what a command left is in the file when its reply has come."""

    def __init__(self) -> None:
        self.server = servers.start_peer(
            "valkey-server", "--appendonly", "yes", "--appendfsync", "always", "--aof-use-rdb-preamble", "yes",
            "--auto-aof-rewrite-percentage", "0", "--enable-debug-command", "yes",
        )  # fmt: skip
        self.clients: list[Connection] = [self.server.connect() for _ in range(CLIENTS)]
        self.offset = 0
        self.place = Place()

    def records(self) -> list[Record]:
        (path,) = (self.server.directory / "appendonlydir").glob("*.incr.aof")
        data = path.read_bytes()[self.offset :]
        self.offset += len(data)
        return self.place.resolve(parse(data))

    def run(self, client: int, words: Sequence[bytes]) -> list[Record]:
        self.clients[client].call(*words)
        return self.records()

    def send(self, client: int, words: Sequence[bytes]) -> list[Record]:
        """One that will wait."""
        self.clients[client].send(*words)
        time.sleep(0.05)
        return self.records()

    def take(self, client: int) -> list[Record]:
        self.clients[client].reply()
        return self.records()

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.server.stop()
