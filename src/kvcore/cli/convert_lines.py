"""Keys as JSON lines, and as the commands that make them again.

A line is an object: {"db": 0, "key": K, "type": T, "value": V, "expire_ms": E}. `db` 0 and a missing expiry are left
out; times are milliseconds since 1970. Bytes that are UTF-8 are a JSON string, others {"base64": "..."}, so every key
and value comes back byte for byte. V is for a

    string  its bytes
    list    [item, ...]
    set     [member, ...]
    zset    [[member, score], ...], in order; a score is a number, "inf" or "-inf"
    hash    [[field, value], ...], or [field, value, expire_ms] for a field with an expiry

What a person writes may be shorter: a hash as {"field": value}, a zset as {"member": score}, numbers for bytes.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

from kvcore._engine import Engine, Session

CHUNK = 64  # elements a command
Words = list[bytes]
TYPES = ("string", "list", "set", "zset", "hash")


class BadLine(Exception):
    """A line that is not of this form; the message says why."""


def packed(raw: bytes) -> Any:
    """Bytes as JSON."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(raw).decode()}


def unpacked(value: Any) -> bytes:
    """Bytes from JSON."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, dict) and list(value) == ["base64"] and isinstance(value["base64"], str):
        try:
            return base64.b64decode(value["base64"], validate=True)
        except ValueError:
            raise BadLine("a base64 text that is none") from None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return repr(value).encode()
    raise BadLine(f'a text, a number or {{"base64": "..."}} is expected, not {json.dumps(value)[:60]}')


def _score_out(score: float) -> Any:
    return score if math.isfinite(score) else ("inf" if score > 0 else "-inf")


def _score_in(value: Any) -> bytes:
    if isinstance(value, bool) or not (isinstance(value, (int, float)) or value in ("inf", "-inf")):
        raise BadLine(f"a score is a number, not {json.dumps(value)[:60]}")
    return value.encode() if isinstance(value, str) else repr(value).encode()


class Workshop:
    """A store of its own that holds one key at a time: values pass through it to change their form. Its clock stands
    still at the beginning of time, so that nothing expires on the way."""

    def __init__(self) -> None:
        self.engine = Engine(None, "")
        self.engine.retain()
        self.engine.clock_freeze(1000)
        self.session: Session = self.engine.session(0, None, "strict")

    def close(self) -> None:
        self.session.close()
        self.engine.release()

    def run(self, *words: Any) -> Any:
        """A command's reply; an error is raised."""
        return self.session.execute(words)

    def elements(self, kind: str, payload: bytes) -> Any:
        """A value's elements: bytes; a list of them; of (member, score); of (field, value, expire_ms). O(value)."""
        self.run("RESTORE", "k", 0, payload)
        try:
            return read_value(self.session, kind, b"k")
        finally:
            self.run("DEL", "k")

    def payload(self, commands: Sequence[Words]) -> bytes:
        """The payload of the key `k` that these commands make; empty when they leave none. O(value)."""
        try:
            for words in commands:
                self.session.execute(words)
            made = self.run("DUMP", "k")
            return made if isinstance(made, bytes) else b""
        finally:
            self.run("DEL", "k")


def read_value(session: Session, kind: str, key: bytes) -> Any:
    """The elements of a key, as Workshop.elements has them."""
    if kind == "string":
        return session.execute(("GET", key))
    if kind == "list":
        return session.execute(("LRANGE", key, 0, -1))
    if kind == "set":
        return sorted(session.execute(("SMEMBERS", key)))
    if kind == "zset":
        return [(member, float(score)) for member, score in session.execute(("ZRANGE", key, 0, -1, "WITHSCORES"))]
    pairs = sorted(session.execute(("HGETALL", key)).items())
    fields = [field for field, _ in pairs]
    times: list[int] = []
    for at in range(0, len(fields), 4096):
        some = fields[at : at + 4096]
        times += session.execute(("HPEXPIRETIME", key, "FIELDS", len(some), *some))
    return [(field, value, at) for (field, value), at in zip(pairs, times, strict=True)]


# --- lines ---


def to_line(db: int, key: bytes, kind: str, value: Any, expire_ms: int) -> bytes:
    """A key as a line."""
    line: dict[str, Any] = {"db": db} if db else {}
    line |= {"key": packed(key), "type": kind}
    if kind == "string":
        line["value"] = packed(value)
    elif kind == "zset":
        line["value"] = [[packed(member), _score_out(score)] for member, score in value]
    elif kind == "hash":
        line["value"] = [[packed(f), packed(v)] if at < 0 else [packed(f), packed(v), at] for f, v, at in value]
    else:
        line["value"] = [packed(item) for item in value]
    if expire_ms >= 0:
        line["expire_ms"] = expire_ms
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _whole(line: dict[str, Any], name: str, least: int, default: int) -> int:
    number = line.get(name, default)
    if isinstance(number, bool) or not isinstance(number, int) or (name in line and number < least):
        raise BadLine(f'"{name}" is not a number from {least} on')
    return number


def _rows(kind: str, value: Any) -> list[Any]:
    if kind in ("hash", "zset") and isinstance(value, dict):
        return [[name, inner] for name, inner in value.items()]
    if not isinstance(value, list):
        raise BadLine(f"the value of a {kind} is a list")
    return value


def _elements_in(kind: str, value: Any) -> Any:
    if kind == "string":
        return unpacked(value)
    rows = _rows(kind, value)
    if kind in ("list", "set"):
        return [unpacked(row) for row in rows]
    for row in rows:
        if not isinstance(row, list) or len(row) not in ((2,) if kind == "zset" else (2, 3)):
            raise BadLine(f"an element of a {kind} is a pair")
    if kind == "zset":
        return [(unpacked(member), _score_in(score)) for member, score in rows]
    found = []
    for row in rows:
        at = row[2] if len(row) == 3 else -1
        if isinstance(at, bool) or not isinstance(at, int) or (len(row) == 3 and at < 0):
            raise BadLine("a field's expiry is a number of milliseconds")
        found.append((unpacked(row[0]), unpacked(row[1]), at))
    return found


def from_line(text: bytes) -> tuple[int, bytes, str, Any, int]:
    """db, key, type, elements, expire_ms (-1: none). BadLine: it is not of the form."""
    try:
        line = json.loads(text)
    except ValueError as error:
        raise BadLine(f"no JSON: {error}") from None
    if not isinstance(line, dict) or "key" not in line or "value" not in line or line.get("type") not in TYPES:
        raise BadLine(f'an object with "key", "type" (one of {", ".join(TYPES)}) and "value" is expected')
    if unknown := set(line) - {"db", "key", "type", "value", "expire_ms"}:
        raise BadLine(f"unknown name {sorted(unknown)[0]!r}")
    kind: str = line["type"]
    return (
        _whole(line, "db", 0, 0),
        unpacked(line["key"]),
        kind,
        _elements_in(kind, line["value"]),
        _whole(line, "expire_ms", 0, -1),
    )


# --- commands ---


def _score(score: Any) -> bytes:
    if isinstance(score, bytes):
        return score
    return repr(score).encode() if math.isfinite(score) else (b"inf" if score > 0 else b"-inf")


def _chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for at in range(0, len(items), CHUNK):
        yield items[at : at + CHUNK]


def commands_of(key: bytes, kind: str, value: Any, expire_ms: int) -> Iterator[Words]:
    """The commands that make a key again."""
    if kind == "string":
        yield [b"SET", key, value]
    elif kind in ("list", "set"):
        for some in _chunks(value):
            yield [b"RPUSH" if kind == "list" else b"SADD", key, *some]
    elif kind == "zset":
        for some in _chunks(value):
            yield [b"ZADD", key, *(word for member, score in some for word in (_score(score), member))]
    else:
        for some in _chunks(value):
            yield [b"HSET", key, *(word for f, v, _ in some for word in (f, v))]
        for field, _, at in value:
            if at >= 0:
                yield [b"HPEXPIREAT", key, b"%d" % at, b"FIELDS", b"1", field]
    if expire_ms >= 0:
        yield [b"PEXPIREAT", key, b"%d" % expire_ms]
