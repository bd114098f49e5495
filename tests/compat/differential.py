"""Run the same random commands on two servers and compare everything that a client can see.

    python -m tests.compat.differential --a valkey --b kvcore --seed 1 --count 20000 --resp both --groups all

`--a` and `--b` are HOST:PORT, or the name of a server to start: valkey, redis, kvcore. Compared are: every reply
(byte for byte, but for the table in rules.py), the number of replies, pushed messages and invalidations, keyspace
notifications with their order, and, every `--every` steps, the whole key space: types, encodings, contents, TTLs.

A difference is shrunk by replaying parts of the sequence on flushed servers and printed as a Python list, which can
be pasted into regressions.py. Exit status: 0 equal, 1 different, 2 the comparison could not be made.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests import servers
from tests.compat import grammar, rules
from tests.compat.generate import ALL_KEYS, DATABASES, SUBSCRIBING, Generator, Step
from tests.compat.resp import Connection, ConnectionClosed, ProtocolError, Reply, ReplyTimeout

REPLY_TIMEOUT_S: Final = 5.0
PUSH_WAIT_S: Final = 0.5
SETTLE_S: Final = 0.02  # a command that was sent is being executed, or blocks, after this time
CONNECTIONS: Final = 3
PROLOGUE: Final[list[tuple[str, ...]]] = [
    ("hash-max-listpack-entries", "8"),
    ("hash-max-listpack-value", "16"),
    ("set-max-intset-entries", "8"),
    ("set-max-listpack-entries", "8"),
    ("set-max-listpack-value", "16"),
    ("zset-max-listpack-entries", "8"),
    ("zset-max-listpack-value", "16"),
    ("list-max-listpack-size", "8"),
    ("list-compress-depth", "0"),
    ("proto-max-bulk-len", "1048576"),
    ("maxmemory", "0"),
    ("maxmemory-policy", "noeviction"),
    ("notify-keyspace-events", "KEA"),
]
PUSHED: Final = {
    b"message",
    b"pmessage",
    b"smessage",
    b"subscribe",
    b"unsubscribe",
    b"psubscribe",
    b"punsubscribe",
    b"ssubscribe",
    b"sunsubscribe",
}
_COMPUTED: Final = re.compile(rb"\{(s|ms)([+-]\d+)\}\Z")
_MARKER: Final = b"__marker__"
_MARK: Final = Reply(b"$", _MARKER)


class ServerGone(Exception):
    """A server does not accept connections any more. Carries which, and the steps that led there."""

    def __init__(self, side: str, reason: str) -> None:
        super().__init__(f"server {side}: {reason}")
        self.side = side


@dataclass(frozen=True)
class Difference:
    """One thing that differs. `signature` stays the same while the sequence is shrunk."""

    kind: str  # reply, framing, timeout, closed, pushes, events, keyspace
    index: int
    step: Step
    a: str
    b: str

    @property
    def command(self) -> str:
        words = tuple(word for word in self.step[1:] if isinstance(word, bytes))
        return rules.name_of(words) if words else ""

    @property
    def signature(self) -> tuple[str, str]:
        return (self.kind, self.command if self.kind in ("reply", "timeout", "closed") else "")

    def __str__(self) -> str:
        where = f"{self.kind} differs at step {self.index}: {show_step(self.step)}"
        return f"{where}\n  a: {_clip(self.a)}\n  b: {_clip(self.b)}"


def _clip(text: str, limit: int = 1500) -> str:
    return text if len(text) <= limit else text[:limit] + f"... ({len(text)} characters)"


def show_step(step: Step) -> str:
    return "(" + ", ".join(repr(item) for item in step) + ")"


def show_steps(steps: Sequence[Step]) -> str:
    return "[\n" + "".join(f"    {show_step(step)},\n" for step in steps) + "]"


def compute(word: bytes, now_s: float) -> bytes:
    """Replace `{s+100}` and `{ms-5}` by a point in time."""
    found = _COMPUTED.match(word)
    if found is None:
        return word
    return b"%d" % (int(now_s if found[1] == b"s" else now_s * 1000) + int(found[2]))


class Side:
    """The connections to one of the two servers, and what the runner knows about their state."""

    def __init__(self, name: str, host: str, port: int, protocol: int) -> None:
        self.name, self.host, self.port, self.protocol = name, host, port, protocol
        self.connections: list[Connection | None] = []
        self.subscriptions: list[list[bool]] = []  # a connection: to channels or patterns, to shard channels
        self.pushes: list[list[Reply]] = []
        self.control = self._connect(2)
        self.notifier = self._connect(2)
        self.notifier.send("PSUBSCRIBE", "__key*__:*")
        self.notifier.send("SUBSCRIBE", _MARKER)
        self.notifier.next(), self.notifier.next()
        self._marks = itertools.count()

    def _connect(self, protocol: int) -> Connection:
        try:
            connection = Connection(self.host, self.port, timeout_s=REPLY_TIMEOUT_S)
            if protocol != 2:
                connection.must("HELLO", protocol)
        except (OSError, ConnectionClosed, ReplyTimeout) as error:
            raise ServerGone(self.name, str(error)) from error
        return connection

    def close(self) -> None:
        for connection in [*self.connections, self.control, self.notifier]:
            if connection is not None:
                connection.close()

    def reset(self) -> list[str]:
        """Fresh connections, no data, known configuration. Returns what the server answered to the configuration."""
        for connection in self.connections:
            if connection is not None:
                connection.close()
        self.connections = [None] * CONNECTIONS
        self.subscriptions = [[False, False] for _ in range(CONNECTIONS)]
        self.pushes = [[] for _ in range(CONNECTIONS)]
        try:
            self.control.must("FLUSHALL")
            self.control.must("SELECT", 0)
            answers = self.control.many([("CONFIG", "SET", *pair) for pair in PROLOGUE])
            self.events()
        except (ConnectionClosed, ReplyTimeout) as error:
            raise ServerGone(self.name, str(error)) from error
        return [str(answer) for answer in answers]

    def connection(self, index: int) -> Connection:
        found = self.connections[index]
        if found is None:
            found = self.connections[index] = self._connect(self.protocol)
        return found

    def drop(self, index: int) -> None:
        found = self.connections[index]
        if found is not None:
            found.close()
        self.connections[index] = None
        self.subscriptions[index] = [False, False]

    def read(self, index: int) -> Reply:
        """The next reply on a connection; messages that arrive in between go to `pushes`."""
        connection = self.connection(index)
        while True:
            reply = connection.next()
            if reply.kind != b">" and not (any(self.subscriptions[index]) and _is_message(reply)):
                return reply
            self.pushes[index].append(reply)

    def read_until(self, index: int, token: bytes) -> list[Reply]:
        """Everything up to the answer to `PING token`, for commands that answer with any number of messages."""
        out: list[Reply] = []
        while not _is_pong(reply := self.connection(index).next(), token):
            out.append(reply)
        return out

    def events(self) -> list[tuple[bytes, bytes]]:
        """The keyspace notifications since the last call: (channel, message)."""
        mark = b"%d" % next(self._marks)
        try:
            self.control.must("PUBLISH", _MARKER, mark)
            out: list[tuple[bytes, bytes]] = []
            while True:
                items = self.notifier.next().items
                if items[0].data == b"message" and items[2].data == mark:
                    return out
                if items[0].data == b"pmessage":
                    out.append((items[2].data, items[3].data))
        except (ConnectionClosed, ReplyTimeout) as error:
            raise ServerGone(self.name, f"control connection: {error}") from error

    def touch_all(self) -> None:
        """Whatever has expired is found out: reading a key does it, and so does SCAN for keys of other names."""
        for database in range(DATABASES):
            self.control.many([("SELECT", database), *(("EXISTS", key) for key in ALL_KEYS)])
            self._scan()
        self.control.must("SELECT", 0)

    def encoding(self, database: int, key: bytes) -> str:
        reply = self.control.many([("SELECT", database), ("OBJECT", "ENCODING", key), ("SELECT", 0)])[1]
        return reply.data.decode()

    def one_score(self, database: int, key: bytes) -> bool:
        ends = [("ZRANGE", key, at, at, "WITHSCORES") for at in (0, -1)]
        first, last = self.control.many([("SELECT", database), *ends, ("SELECT", 0)])[1:3]
        return first.items[1:] == last.items[1:]

    def dump(self) -> dict[tuple[int, bytes], KeyDump]:
        """Every key of every database: what a client can know about it."""
        out: dict[tuple[int, bytes], KeyDump] = {}
        for database in range(DATABASES):
            self.control.must("SELECT", database)
            keys = sorted(self._scan())
            types = self.control.many([("TYPE", key) for key in keys])
            commands = [
                command for key, kind in zip(keys, types, strict=True) for command in _dump_commands(key, kind.data)
            ]
            replies = iter(self.control.many(commands))
            for key, kind in zip(keys, types, strict=True):
                out[database, key] = _dump_key(kind.data.decode(), replies)
            hashes = [key for key in keys if out[database, key].type == "hash" and out[database, key].content]
            fields = [[item[0] for item in out[database, key].content] for key in hashes]
            ttls = self.control.many([("HPTTL", k, "FIELDS", len(f), *f) for k, f in zip(hashes, fields, strict=True)])
            for key, names, reply in zip(hashes, fields, ttls, strict=True):
                out[database, key].field_ttls.update(
                    (name, item.value)
                    for name, item in zip(names, reply.items, strict=False)
                    if isinstance(item.value, int)
                )
        self.control.must("SELECT", 0)
        return out

    def _scan(self) -> set[bytes]:
        keys: set[bytes] = set()
        cursor = b"0"
        for _ in range(10_000):
            reply = self.control.must("SCAN", cursor, "COUNT", 50)
            keys.update(item.data for item in reply.items[1].items)
            cursor = reply.items[0].data
            if cursor == b"0":
                return keys
        raise AssertionError("SCAN does not end")


@dataclass
class KeyDump:
    """One key. `content` is in the server's order where the encoding defines it, else sorted."""

    type: str
    encoding: str
    ttl_ms: int
    content: list[tuple[bytes, ...]]
    field_ttls: dict[bytes, int] = field(default_factory=dict)


_READS: Final[dict[bytes, tuple[str, ...]]] = {
    b"string": ("GET",),
    b"list": ("LRANGE", "0", "-1"),
    b"set": ("SMEMBERS",),
    b"zset": ("ZRANGE", "0", "-1", "WITHSCORES"),
    b"hash": ("HGETALL",),
}


def _dump_commands(key: bytes, kind: bytes) -> list[tuple[str | bytes, ...]]:
    name, *rest = _READS.get(kind, ("TYPE",))
    return [("OBJECT", "ENCODING", key), ("PTTL", key), (name, key, *rest)]


def _dump_key(kind: str, replies: Iterable[Reply]) -> KeyDump:
    encoding, ttl, content = itertools.islice(replies, 3)
    items = [item.data for item in content.items]
    rows: list[tuple[bytes, ...]]
    if kind in ("hash", "zset"):
        rows = list(zip(items[::2], items[1::2], strict=True))
    elif kind in ("list", "set"):
        rows = [(item,) for item in items]
    else:
        rows = [(content.encode(),)]
    if kind in ("hash", "set") and encoding.data == b"hashtable":
        rows.sort()
    return KeyDump(kind, encoding.data.decode(), ttl.value if isinstance(ttl.value, int) else -3, rows)


def _is_message(reply: Reply) -> bool:
    return reply.kind == b"*" and len(reply.items) >= 3 and reply.items[0].data in PUSHED


def _is_delivery(reply: Reply) -> bool:
    return bool(reply.items) and reply.items[0].data in (b"message", b"pmessage", b"smessage", b"invalidate")


def _is_pong(reply: Reply, token: bytes) -> bool:
    return reply.data == token or (
        len(reply.items) == 2 and reply.items[1].data == token and reply.items[0].data == b"pong"
    )


def compare_dumps(
    a: dict[tuple[int, bytes], KeyDump], b: dict[tuple[int, bytes], KeyDump], strict: bool, sorted_before: bool
) -> tuple[str, str] | None:
    for key in sorted(a.keys() | b.keys()):
        x, y = a.get(key), b.get(key)
        if x is None or y is None:
            return f"{key}: {x}", f"{key}: {y}"
        if sorted_before and x.type == "zset" and y.encoding == "listpack":
            x.encoding = y.encoding  # see the rule of OBJECT ENCODING
        if x.type == "set" and x.encoding == "listpack" and not strict:
            x.content.sort()
            y.content.sort()
        ttls = [
            (x.ttl_ms, y.ttl_ms),
            *((x.field_ttls.get(f, -4), y.field_ttls.get(f, -4)) for f in x.field_ttls.keys() | y.field_ttls.keys()),
        ]
        close = all(p == q or (p > 0 and q > 0 and abs(p - q) <= rules.TTL_TOLERANCE_MS) for p, q in ttls)
        if (x.type, x.encoding, x.content) != (y.type, y.encoding, y.content) or not close:
            return f"{key}: {x}", f"{key}: {y}"
    return None


Event = tuple[bytes, bytes]  # channel, message


def split_events(events: list[Event]) -> tuple[list[Event], list[Event]]:
    """Notifications whose order is defined, and those of expiry, whose moment is the server's own choice."""
    late = [event for event in events if b"expired" in event[0] or event[1] in (b"expired", b"hexpired")]
    return [event for event in events if event not in late], late


def compare_events(a: list[Event], b: list[Event]) -> tuple[str, str] | None:
    """Notifications in order; those of expiry as multisets."""
    (ordered_a, late_a), (ordered_b, late_b) = split_events(a), split_events(b)
    if ordered_a != ordered_b:
        at = next(
            (i for i, (x, y) in enumerate(zip(ordered_a, ordered_b, strict=False)) if x != y),
            min(len(ordered_a), len(ordered_b)),
        )
        return f"event {at}: {ordered_a[at : at + 6]}", f"event {at}: {ordered_b[at : at + 6]}"
    return None if sorted(late_a) == sorted(late_b) else (repr(late_a), repr(late_b))


class Pair:
    """Two servers under comparison."""

    def __init__(
        self,
        a: tuple[str, int],
        b: tuple[str, int],
        protocol: int,
        ignore: frozenset[str] = frozenset(),
        strict: bool = False,
    ) -> None:
        self.a = Side("a", *a, protocol)
        self.b = Side("b", *b, protocol)
        self.protocol = protocol
        self.strict = strict  # whether the order of sets in listpacks is compared
        self.ignore = ignore  # kinds of difference that are not reported
        self._tokens = itertools.count()
        self._forget()

    def _forget(self) -> None:
        self.queued: list[list[tuple[bytes, ...]] | None] = [None] * CONNECTIONS
        self.database = [0] * CONNECTIONS
        self.sorted_before = False

    def close(self) -> None:
        self.a.close()
        self.b.close()

    def reset(self) -> None:
        self._forget()
        self.a.reset()
        self.b.reset()

    def run(self, steps: Sequence[Step], every: int = 100) -> Difference | None:
        """Replay a sequence on flushed servers. The first difference, or None."""
        self.reset()
        for index, step in enumerate(steps):
            found = self.step(index, step)
            if found is None and ((index + 1) % every == 0 or index + 1 == len(steps)):
                found = self.checkpoint(index, step)
            if found is not None and found.kind not in self.ignore:
                return found
        return None

    # One step

    def step(self, index: int, step: Step) -> Difference | None:
        connection = step[0]
        assert isinstance(connection, int)
        now_s = time.time()
        words = tuple(compute(word, now_s) for word in step[1:] if isinstance(word, bytes))
        if words[0] == b"!sleep":
            time.sleep(int(words[1]) / 1000)
            self.a.touch_all()
            self.b.touch_all()
            return None
        if words[0] == b"!drop":
            found = self._pushes(index, step)
            for side in (self.a, self.b):
                side.drop(connection)
            self.queued[connection], self.database[connection] = None, 0
            return found
        if words[0] in (b"!send", b"!read"):
            return self._halves(index, step, connection, words)
        name = words[0].upper()
        in_multi = self.queued[connection] is not None
        if in_multi and (name == b"SPOP" or name in SUBSCRIBING):
            return None  # random changes, and any number of messages, cannot be followed up inside a transaction
        if in_multi and words[-1] == b"5" and (name == b"PEXPIRE" or b"PX" in words):
            return None  # a very short life would begin at EXEC, with no pause after it
        if name in SUBSCRIBING:
            return self._subscribe(index, step, connection, words)
        found, reply = self._exchange(index, step, connection, words)
        if reply is None:
            return found
        if name == b"SPOP" and not reply.is_error and len(words) > 1:
            self._exchange(index, step, connection, (b"DEL", words[1]))  # what is left differs: forget it
        return found

    def _exchange(
        self, index: int, step: Step, at: int, words: tuple[bytes, ...]
    ) -> tuple[Difference | None, Reply | None]:
        for side in (self.a, self.b):
            with contextlib.suppress(ConnectionClosed):
                side.connection(at).send(*words)
        return self._collect(index, step, at, words)

    def _halves(self, index: int, step: Step, at: int, words: tuple[bytes, ...]) -> Difference | None:
        """`!send COMMAND` does not wait for the reply; `!read COMMAND` takes it, when other connections have done
        something.
        """
        if words[0] == b"!read":
            return self._collect(index, step, at, words[1:])[0]
        for side in (self.a, self.b):
            with contextlib.suppress(ConnectionClosed):
                side.connection(at).send(*words[1:])
        time.sleep(SETTLE_S)
        return None

    def _collect(
        self, index: int, step: Step, at: int, words: tuple[bytes, ...]
    ) -> tuple[Difference | None, Reply | None]:
        answers: list[Reply | None] = []
        ends: list[str] = []
        for side in (self.a, self.b):
            try:
                answers.append(side.read(at))
                ends.append("")
            except (ConnectionClosed, ReplyTimeout, ProtocolError) as error:
                side.drop(at)
                answers.append(None)
                ends.append(
                    f"{type(error).__name__}: {error}"
                    if not isinstance(error, ConnectionClosed)
                    else "connection closed"
                )
        a, b = answers
        if a is None or b is None:
            for side in (self.a, self.b):
                side.drop(at)
            self.queued[at], self.database[at] = None, 0
            if ends[0] == ends[1]:
                return None, None
            kind = (
                "timeout"
                if any("Timeout" in end for end in ends)
                else "framing"
                if any("Protocol" in end for end in ends)
                else "closed"
            )
            return Difference(kind, index, step, str(a or ends[0]), str(b or ends[1])), None
        self.sorted_before |= words[0].upper() in (b"SORT", b"SORT_RO")
        same = self._same(words, a, b, at)
        self._follow(words, a, at)
        return (None if same else Difference("reply", index, step, str(a), str(b))), a

    def _same(self, words: tuple[bytes, ...], a: Reply, b: Reply, at: int) -> bool:
        if a == b:
            return True

        def encoding(key: bytes) -> str:
            return self.a.encoding(self.database[at], key)

        def one_score(key: bytes) -> bool:
            return self.a.one_score(self.database[at], key)

        queue = self.queued[at]
        if words[0].upper() == b"EXEC" and queue and len(a.items) == len(b.items) == len(queue) and a.kind == b.kind:
            contexts = [
                rules.Context(queued, encoding, in_exec=True, sorted_before=self.sorted_before) for queued in queue
            ]
            return all(rules.equal(x, y, context) for x, y, context in zip(a.items, b.items, contexts, strict=True))
        context = rules.Context(words, encoding, one_score, sorted_before=self.sorted_before, strict=self.strict)
        return rules.equal(a, b, context)

    def _follow(self, words: tuple[bytes, ...], reply: Reply, at: int) -> None:
        """Keep track of what the connection's state is now."""
        name, queue = words[0].upper(), self.queued[at]
        if queue is not None and reply.data == b"QUEUED" and reply.kind == b"+":
            queue.append(words)
        elif name == b"MULTI" and not reply.is_error:
            self.queued[at] = []
        elif name in (b"EXEC", b"DISCARD") and (queue is None or not reply.data.startswith(b"ERR wrong number")):
            self.queued[at] = None
            if name == b"EXEC" and queue and reply.items:
                for queued, item in zip(queue, reply.items, strict=False):
                    self._follow(queued, item, at)
        elif name == b"RESET" and not reply.is_error:
            self.queued[at], self.database[at] = None, 0
            self.a.subscriptions[at], self.b.subscriptions[at] = [False, False], [False, False]
            if self.protocol == 3:
                for side in (self.a, self.b):
                    side.drop(at)
        elif name == b"SELECT" and not reply.is_error and len(words) == 2 and words[1].isdigit():
            self.database[at] = int(words[1])

    def _subscribe(self, index: int, step: Step, at: int, words: tuple[bytes, ...]) -> Difference | None:
        token = b"token%d" % next(self._tokens)
        answers: list[list[Reply]] = []
        for side in (self.a, self.b):
            try:
                side.connection(at).send_many([words, (b"PING", token)])
                replies = side.read_until(at, token)
            except (ConnectionClosed, ReplyTimeout, ProtocolError) as error:
                return Difference("framing", index, step, side.name, f"{type(error).__name__}: {error}")
            for reply in replies:
                if len(reply.items) == 3 and b"subscribe" in reply.items[0].data:
                    shard = reply.items[0].data in (b"ssubscribe", b"sunsubscribe")  # counted apart from the others
                    side.subscriptions[at][shard] = reply.items[2].value != 0
            # Messages of other connections may come before or after the confirmation.
            side.pushes[at] += [reply for reply in replies if _is_delivery(reply)]
            answers.append([reply for reply in replies if not _is_delivery(reply)])
        a, b = answers
        if a == b or (name_has_no_arguments(words) and sorted(map(str, a)) == sorted(map(str, b))):
            return None
        if name_has_no_arguments(words) and sorted(_channel(r) for r in a) == sorted(_channel(r) for r in b):
            return None  # unsubscribing from all walks a hash table: the counts then go with other channels
        return Difference("reply", index, step, " ".join(map(str, a)), " ".join(map(str, b)))

    # All state

    def checkpoint(self, index: int, step: Step) -> Difference | None:
        found = self._framing(index, step) or self._pushes(index, step)
        if found is not None:
            return found
        time.sleep(SETTLE_S / 2)  # what was given a very short life is dead on both sides
        self.a.touch_all()
        self.b.touch_all()
        dumps = compare_dumps(self.a.dump(), self.b.dump(), self.strict, self.sorted_before)
        if dumps is not None:
            return Difference("keyspace", index, step, *dumps)
        events = compare_events(self.a.events(), self.b.events())
        return Difference("events", index, step, *events) if events is not None else None

    def _framing(self, index: int, step: Step) -> Difference | None:
        for at in range(CONNECTIONS):
            found = self.framing(index, step, at)
            if found is not None:
                return found
        return None

    def framing(self, index: int, step: Step, at: int) -> Difference | None:
        """Exactly one reply a command: a last PING must be answered by nothing but its own reply."""
        if self.queued[at] is not None or self.a.connections[at] is None:
            return None
        token = b"token%d" % next(self._tokens)
        for side in (self.a, self.b):
            try:
                side.connection(at).send(b"PING", token)
                reply = side.read(at)
            except (ConnectionClosed, ReplyTimeout, ProtocolError) as error:
                return Difference("framing", index, step, side.name, f"{type(error).__name__}: {error}")
            if not _is_pong(reply, token):
                return Difference("framing", index, step, side.name, f"a reply too many: {reply}")
        return None

    def _pushes(self, index: int, step: Step) -> Difference | None:
        for at in range(CONNECTIONS):
            for side in (self.a, self.b):
                if side.connections[at] is not None:
                    side.pushes[at] += side.connections[at].pushes  # type: ignore[union-attr]
                    side.connections[at].pushes.clear()  # type: ignore[union-attr]
            a, b = self.a.pushes[at], self.b.pushes[at]
            self._wait_for_pushes(at)
            plain_a, plain_b = _messages(a), _messages(b)
            invalid_a, invalid_b = _invalidated(a), _invalidated(b)
            if plain_a != plain_b:
                return Difference("pushes", index, step, *_unequal_parts(plain_a, plain_b))
            if invalid_a != invalid_b:
                return Difference("pushes", index, step, repr(invalid_a - invalid_b), repr(invalid_b - invalid_a))
            a.clear()
            b.clear()
        return None

    def _wait_for_pushes(self, at: int) -> None:
        """A push to another connection may arrive after the reply to the command that caused it."""
        deadline = time.monotonic() + PUSH_WAIT_S
        while len(self.a.pushes[at]) != len(self.b.pushes[at]) and time.monotonic() < deadline:
            late = min(self.a, self.b, key=lambda side: len(side.pushes[at]))
            with contextlib.suppress(ReplyTimeout, ConnectionClosed):
                late.pushes[at].append(late.connection(at).next(0.05))


def name_has_no_arguments(words: tuple[bytes, ...]) -> bool:
    return len(words) == 1


def _channel(reply: Reply) -> bytes:
    return reply.items[1].encode() if len(reply.items) == 3 else reply.encode()


def _is_invalidation(reply: Reply) -> bool:
    return bool(reply.items) and reply.items[0].data == b"invalidate"


def _messages(pushes: list[Reply]) -> list[list[str]]:
    """Messages in order; the copies of one message that several patterns of one connection match come in any order."""
    mine = [push for push in pushes if not _is_invalidation(push) and push.items[-2:-1] != (_MARK,)]
    groups = itertools.groupby(mine, lambda push: push.items[-2:])
    return [sorted(map(str, group)) for _, group in groups]


def _invalidated(pushes: list[Reply]) -> Counter[str]:
    """How often each key was invalidated. One push may carry several keys, or several pushes one each."""
    keys: Counter[str] = Counter()
    for push in filter(_is_invalidation, pushes):
        keys.update(map(str, push.items[1].items) if push.items[1].items else [str(push.items[1])])
    return keys


def _unequal_parts(a: list[list[str]], b: list[list[str]]) -> tuple[str, str]:
    at = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return f"message {at}: {a[at : at + 3]}", f"message {at}: {b[at : at + 3]}"


# Shrinking


def shrink(steps: list[Step], fails: Callable[[list[Step]], bool], budget_s: float = 20.0) -> list[Step]:
    """A shorter sequence that still fails: delta debugging over steps, then over words."""
    deadline = time.monotonic() + budget_s
    size = max(1, len(steps) // 2)
    while size >= 1 and time.monotonic() < deadline:
        at, removed = 0, False
        while at < len(steps) and time.monotonic() < deadline:
            candidate = steps[:at] + steps[at + size :]
            if candidate and fails(candidate):
                steps, removed = candidate, True
            else:
                at += size
        if size == 1 and not removed:
            break
        size = max(1, size // 2) if size > 1 or removed else 0
    return _shrink_words(steps, fails, deadline)


def _shrink_words(steps: list[Step], fails: Callable[[list[Step]], bool], deadline: float) -> list[Step]:
    for index in range(len(steps)):
        at = len(steps[index]) - 1 if steps[index][1:2] != (b"!sleep",) else 0
        while at >= 2 and time.monotonic() < deadline:
            step = steps[index]
            for width in (8, 2, 1):
                smaller: Step = step[: max(2, at - width + 1)] + step[at + 1 :]
                if len(smaller) < len(step) and fails([*steps[:index], smaller, *steps[index + 1 :]]):
                    steps = [*steps[:index], smaller, *steps[index + 1 :]]
                    break
            word = steps[index][at] if at < len(steps[index]) else b""
            if isinstance(word, bytes) and len(word) > 80:
                shorter: Step = (*steps[index][:at], word[:66], *steps[index][at + 1 :])
                if fails([*steps[:index], shorter, *steps[index + 1 :]]):
                    steps = [*steps[:index], shorter, *steps[index + 1 :]]
            at = min(at - 1, len(steps[index]) - 1)
    return steps


# Command line


@dataclass
class Target:
    """A server named on the command line; started here when it is not an address."""

    text: str
    server: servers.Server | None = None

    @property
    def address(self) -> tuple[str, int]:
        if ":" in self.text:
            host, _, port = self.text.rpartition(":")
            return host, int(port)
        if self.server is None or not self.server.alive:
            self.server = servers.start_kvcore() if self.text == "kvcore" else servers.start_peer(f"{self.text}-server")
        return self.server.host, self.server.port

    def stop(self) -> None:
        if self.server is not None:
            self.server.stop()


@dataclass
class Finding:
    """A difference with its smallest known sequence."""

    difference: Difference
    steps: list[Step]
    protocol: int
    seed: int
    repeated: bool = True

    def __str__(self) -> str:
        doubt = "" if self.repeated else " (did not happen again when replayed)"
        return f"RESP{self.protocol} seed {self.seed}{doubt}: {self.difference}\nsteps = {show_steps(self.steps)}"


def _gist(text: str) -> str:
    """What makes two findings the same one: the reply without names and numbers."""
    return re.sub(r"'[^']*'|\\d+", "", text)[:30]


class Run:
    """Episodes until a number of commands is reached; collects one finding a signature."""

    def __init__(
        self, a: Target, b: Target, *, every: int = 100, ignore: frozenset[str] = frozenset(), shrink_s: float = 20.0
    ) -> None:
        self.a, self.b, self.every, self.ignore, self.shrink_s = a, b, every, ignore, shrink_s
        self.findings: list[Finding] = []
        self.commands_run = 0
        self._seen: set[tuple[str, ...]] = set()

    def commands(self, groups: list[str]) -> list[grammar.Command]:
        host, port = self.a.address
        with Connection(host, port) as connection:
            return grammar.covered(grammar.from_command_docs(connection), groups)

    def run(
        self,
        seed: int,
        count: int,
        protocol: int,
        groups: list[str],
        *,
        length: int = 200,
        limit: int = 20,
        deadline_s: float = float("inf"),
        only: str = "",
    ) -> None:
        chosen = [command for command in self.commands(groups) if re.search(only, command.name)]
        pair = self._pair(protocol)
        done = episode = 0
        while done < count and len(self.findings) < limit and time.monotonic() < deadline_s:
            episode_seed = seed * 1_000_003 + episode
            steps = Generator(random.Random(episode_seed), chosen).episode(length)
            episode += 1
            done += len(steps)
            self.commands_run += len(steps)
            pair = self._episode(pair, steps, protocol, episode_seed)
        pair.close()

    def _pair(self, protocol: int) -> Pair:
        return Pair(self.a.address, self.b.address, protocol, self.ignore)

    def _attempt(self, pair: Pair, steps: list[Step]) -> tuple[Pair, Difference | None]:
        """Run; a crashed server is a difference too, and is started again when it was started here."""
        try:
            return pair, pair.run(steps, self.every)
        except (ServerGone, ConnectionClosed, ReplyTimeout, ProtocolError) as error:
            pair.close()
            last = steps[-1] if steps else (0, b"PING")
            time.sleep(0.2)  # a dying process is reaped before its state is asked for
            return self._pair(pair.protocol), Difference(
                "gone", len(steps) - 1, last, "", f"{type(error).__name__}: {error}"
            )

    def _episode(self, pair: Pair, steps: list[Step], protocol: int, seed: int) -> Pair:
        pair, found = self._attempt(pair, steps)
        if found is None:
            return pair
        label = (found.kind, found.command, _gist(found.a), _gist(found.b))
        if (
            label in self._seen
            or sum(finding.difference.signature == found.signature for finding in self.findings) >= 4
        ):
            return pair
        self._seen.add(label)
        holder = [pair]

        def fails(candidate: list[Step]) -> bool:
            holder[0], other = self._attempt(holder[0], candidate)
            return other is not None and other.signature == found.signature

        small = shrink(steps[: found.index + 1], fails, self.shrink_s)
        pair, again = self._attempt(holder[0], small)
        self.findings.append(Finding(again or found, small, protocol, seed, repeated=again is not None))
        return pair


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--a", default="valkey", help="the reference: HOST:PORT, valkey, redis or kvcore")
    parser.add_argument("--b", default="kvcore", help="the server under test: HOST:PORT, valkey, redis or kvcore")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=10_000, help="commands a protocol")
    parser.add_argument("--resp", choices=["2", "3", "both"], default="both")
    parser.add_argument("--groups", default="all", help="comma-separated: " + ", ".join(grammar.GROUPS))
    parser.add_argument("--only", default="", help="a regular expression over command names")
    parser.add_argument("--length", type=int, default=200, help="commands between two flushes")
    parser.add_argument("--every", type=int, default=100, help="compare the whole key space every N commands")
    parser.add_argument("--limit", type=int, default=20, help="stop after this many different findings")
    parser.add_argument("--ignore", default="", help="kinds not reported: events,keyspace,pushes,...")
    parser.add_argument("--shrink-seconds", type=float, default=20.0)
    parser.add_argument("--write", type=Path, help="also write the findings to this file")
    options = parser.parse_args(arguments)
    a, b = Target(options.a), Target(options.b)
    run = Run(a, b, every=options.every, ignore=frozenset(options.ignore.split(",")), shrink_s=options.shrink_seconds)
    begun = time.monotonic()
    try:
        for protocol in [2, 3] if options.resp == "both" else [int(options.resp)]:
            run.run(
                options.seed,
                options.count,
                protocol,
                grammar.parse_groups(options.groups),
                length=options.length,
                limit=options.limit,
                only=options.only,
            )
    except (ServerGone, FileNotFoundError, ValueError, RuntimeError) as error:
        print(f"cannot compare: {error}", file=sys.stderr)
        return 2
    finally:
        a.stop()
        b.stop()
        report = "\n\n".join(map(str, run.findings))
        if options.write and run.findings:
            options.write.write_text(report + "\n")
    if report:
        print(report)
    print(f"{run.commands_run} commands in {time.monotonic() - begun:.1f} s, {len(run.findings)} differences")
    return 1 if run.findings else 0


if __name__ == "__main__":
    sys.exit(main())
