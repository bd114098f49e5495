"""The data types as plain Python says them: dicts, lists, sets and sorted lists. Slow, small, obviously right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sortedcontainers import SortedList  # type: ignore[import-untyped]

WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"


class ModelError(Exception):
    """The error reply that the model expects."""


@dataclass
class SortedSet:
    """Scores by member, and (score, member) in order."""

    scores: dict[bytes, float] = field(default_factory=dict)
    order: Any = field(default_factory=SortedList)

    def add(self, member: bytes, score: float) -> bool:
        new = member not in self.scores
        if not new:
            self.order.remove((self.scores[member], member))
        self.scores[member] = score
        self.order.add((score, member))
        return new

    def remove(self, member: bytes) -> bool:
        if member not in self.scores:
            return False
        self.order.remove((self.scores.pop(member), member))
        return True


@dataclass
class Entry:
    """One key. A hash is {field: (value, expiry or None)}; a moment is in milliseconds."""

    kind: str
    value: Any
    expires_ms: int | None = None


EMPTY: dict[str, Callable[[], Any]] = {
    "string": bytes,
    "list": list,
    "set": set,
    "hash": dict,
    "zset": SortedSet,
}


class Keyspace:
    """All keys. Whatever is due by `now` is gone before anything is looked at."""

    def __init__(self, now: Callable[[], int]) -> None:
        self.now = now
        self.keys: dict[bytes, Entry] = {}

    def sweep(self) -> None:
        now = self.now()
        for key, entry in list(self.keys.items()):
            if entry.expires_ms is not None and entry.expires_ms <= now:
                del self.keys[key]
            elif entry.kind == "hash":
                for name, (_, expires) in list(entry.value.items()):
                    if expires is not None and expires <= now:
                        del entry.value[name]
                self.drop_if_empty(key)

    def find(self, key: bytes, kind: str) -> Any | None:
        """The value, or None without the key; an error when it is of another type."""
        self.sweep()
        entry = self.keys.get(key)
        if entry is None:
            return None
        if entry.kind != kind:
            raise ModelError(WRONG_TYPE)
        return entry.value

    def make(self, key: bytes, kind: str) -> Any:
        value = self.find(key, kind)
        if value is None:
            value = EMPTY[kind]()
            self.keys[key] = Entry(kind, value)
        return value

    def put(self, key: bytes, value: bytes, keep_ttl: bool = False) -> None:
        old = self.keys.get(key)
        self.keys[key] = Entry("string", value, old.expires_ms if keep_ttl and old else None)

    def drop_if_empty(self, key: bytes) -> None:
        entry = self.keys.get(key)
        if entry is None or entry.kind == "string":
            return
        if not (entry.value.scores if entry.kind == "zset" else entry.value):
            del self.keys[key]


def span(length: int, start: int, stop: int) -> tuple[int, int]:
    """The half-open range that LRANGE's and ZRANGE's inclusive, negative-friendly indexes mean."""
    start = max(start + length, 0) if start < 0 else start
    stop = stop + length if stop < 0 else stop
    stop = min(stop, length - 1)
    return (start, stop + 1) if start <= stop else (0, 0)
