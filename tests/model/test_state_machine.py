"""Hypothesis runs any sequence of commands on a store and on plain Python models; they must agree at every step.

The models are validated against a real Valkey (over a socket, where time cannot be moved, so TTLs are far away or
long past) and then judge kvcore in this process, with its clock stopped and moved by the test.
"""

from __future__ import annotations

import math
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests import servers
from tests.model.clients import Client, CommandError, EmbeddedClient, SocketClient
from tests.model.models import Keyspace, ModelError, span

EXAMPLES = int(os.environ.get("KVCORE_MODEL_EXAMPLES", "60"))
STEPS = 50
FAR_MS = 100_000_000

keys = st.sampled_from([b"a", b"b", b"c", b"k\r\n\x00", b""])
words = st.one_of(
    st.sampled_from([b"", b"x", b"1", b"-7", b"10", b"a longer value, beyond a listpack's", b"\r\n\x00\xff"]),
    st.binary(max_size=24),
    st.integers(-(1 << 63), (1 << 63) - 1).map(lambda number: b"%d" % number),
)
members = st.sampled_from(
    [b"a", b"b", b"c", b"d", b"", b"1", b"2", b"30", b"-4", b"member beyond sixteen bytes", b"\xff\x00"]
)
many_members = st.lists(members, min_size=1, max_size=6)
indexes = st.integers(-12, 12)
counts = st.integers(0, 6)
scores = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, 1.5, -2.0, 1e300, -1e300, 0.1, math.inf, -math.inf]),
    st.integers(-100, 100).map(float),
    st.floats(allow_nan=False, width=64),
)
times = st.sampled_from([-1000, 0, FAR_MS, FAR_MS * 2])


def score_word(score: float) -> bytes:
    return b"inf" if score == math.inf else b"-inf" if score == -math.inf else repr(score).encode()


def canonical_integer(value: bytes) -> int | None:
    try:
        number = int(value)
    except ValueError:
        return None
    return number if b"%d" % number == value and -(1 << 63) <= number < 1 << 63 else None


class StoreMachine(RuleBasedStateMachine):
    """The rules. Subclasses say which client they run on."""

    client: Client

    def make_client(self) -> Client:
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.client = self.make_client()
        self.model = Keyspace(self.client.now_ms)

    def teardown(self) -> None:
        self.compare_everything()
        self.client.close()

    @initialize(small=st.booleans())
    def thresholds(self, small: bool) -> None:
        """Low limits, so that every type is met in its small and in its big form."""
        for name in ("hash-max-listpack", "set-max-listpack", "zset-max-listpack"):
            self.client.execute("CONFIG", "SET", f"{name}-entries", 4 if small else 128)
            self.client.execute("CONFIG", "SET", f"{name}-value", 8 if small else 64)
        self.client.execute("CONFIG", "SET", "set-max-intset-entries", 3 if small else 512)
        self.client.execute("CONFIG", "SET", "list-max-listpack-size", 3 if small else -2)

    # Comparing

    def expect(self, command: tuple[Any, ...], expected: Any, error: str | None = None) -> None:
        got: Any
        try:
            got, problem = self.client.execute(*command), None
        except CommandError as raised:
            got, problem = None, str(raised)
        assert problem == error, f"{command}: {got!r}, expected {expected!r}"
        assert got == expected, f"{command}: {got!r}, expected {expected!r}"

    def run_on(self, kind: str, key: bytes, command: tuple[Any, ...], act: Any, make: bool = False) -> None:
        """Run `act(value)` on the model and the command on the store. Without `make`, a missing key gives act(None)."""
        try:
            value = self.model.make(key, kind) if make else self.model.find(key, kind)
            expected = act(value)
        except ModelError as problem:
            self.expect(command, None, str(problem))
            return
        finally:
            self.model.drop_if_empty(key)
        self.expect(command, expected)

    # Strings

    @rule(key=keys, value=words, keep=st.booleans())
    def set_(self, key: bytes, value: bytes, keep: bool) -> None:
        self.model.sweep()
        self.model.put(key, value, keep)
        self.expect(("SET", key, value, *(["KEEPTTL"] if keep else [])), b"OK")

    @rule(key=keys, value=words, condition=st.sampled_from(["NX", "XX"]))
    def set_if(self, key: bytes, value: bytes, condition: str) -> None:
        self.model.sweep()
        done = (key in self.model.keys) == (condition == "XX")
        if done:
            self.model.put(key, value)
        self.expect(("SET", key, value, condition), b"OK" if done else None)

    @rule(key=keys)
    def get(self, key: bytes) -> None:
        self.run_on("string", key, ("GET", key), lambda value: value)

    @rule(key=keys, value=words)
    def append(self, key: bytes, value: bytes) -> None:
        def act(old: bytes | None) -> int:
            self.model.put(key, (old or b"") + value, keep_ttl=True)
            return len((old or b"") + value)

        self.run_on("string", key, ("APPEND", key, value), act)

    @rule(key=keys, amount=st.sampled_from([1, -1, 100, (1 << 63) - 1, -(1 << 63)]))
    def incrby(self, key: bytes, amount: int) -> None:
        def act(old: bytes | None) -> int:
            number = canonical_integer(b"0" if old is None else old)
            if number is None:
                raise ModelError("value is not an integer or out of range")
            if not -(1 << 63) <= number + amount < 1 << 63:
                raise ModelError("increment or decrement would overflow")
            self.model.put(key, b"%d" % (number + amount), keep_ttl=True)
            return number + amount

        self.run_on("string", key, ("INCRBY", key, amount), act)

    @rule(key=keys, offset=st.integers(0, 40), value=words)
    def setrange(self, key: bytes, offset: int, value: bytes) -> None:
        def act(old: bytes | None) -> int:
            if not value:
                return len(old or b"")
            data = (old or b"").ljust(offset, b"\0")
            data = data[:offset] + value + data[offset + len(value) :]
            self.model.put(key, data, keep_ttl=True)
            return len(data)

        self.run_on("string", key, ("SETRANGE", key, offset, value), act)

    @rule(key=keys, start=indexes, stop=indexes)
    def getrange(self, key: bytes, start: int, stop: int) -> None:
        def act(old: bytes | None) -> bytes:
            data = old or b""
            if start < 0 and stop < 0 and start > stop:
                return b""
            first = max(start + len(data), 0) if start < 0 else start
            last = max(stop + len(data), 0) if stop < 0 else stop
            return data[first : last + 1] if data and first <= last else b""

        self.run_on("string", key, ("GETRANGE", key, start, stop), act)

    @rule(key=keys)
    def getdel(self, key: bytes) -> None:
        def act(old: bytes | None) -> bytes | None:
            self.model.keys.pop(key, None)
            return old

        self.run_on("string", key, ("GETDEL", key), act)

    # Keys

    @rule(names=st.lists(keys, min_size=1, max_size=3))
    def delete(self, names: list[bytes]) -> None:
        self.model.sweep()
        self.expect(("DEL", *names), sum(self.model.keys.pop(name, None) is not None for name in names))

    @rule(names=st.lists(keys, min_size=1, max_size=3))
    def exists(self, names: list[bytes]) -> None:
        self.model.sweep()
        self.expect(("EXISTS", *names), sum(name in self.model.keys for name in names))

    @rule(old=keys, new=keys)
    def rename(self, old: bytes, new: bytes) -> None:
        self.model.sweep()
        if old not in self.model.keys:
            self.expect(("RENAME", old, new), None, "no such key")
            return
        self.model.keys[new] = self.model.keys.pop(old)
        self.expect(("RENAME", old, new), b"OK")

    @rule(source=keys, destination=keys, replace=st.booleans())
    def copy(self, source: bytes, destination: bytes, replace: bool) -> None:
        self.model.sweep()
        command = ("COPY", source, destination, *(["REPLACE"] if replace else []))
        if source == destination:
            self.expect(command, None, "source and destination objects are the same")
            return
        done = source in self.model.keys and (replace or destination not in self.model.keys)
        if done:
            import copy

            self.model.keys[destination] = copy.deepcopy(self.model.keys[source])
        self.expect(command, int(done))

    @rule(key=keys, wait_ms=times, condition=st.sampled_from(["", "NX", "XX", "GT", "LT"]))
    def pexpire(self, key: bytes, wait_ms: int, condition: str) -> None:
        self.model.sweep()
        moment = self.client.now_ms() + wait_ms
        entry = self.model.keys.get(key)
        done = entry is not None and _may_expire(entry.expires_ms, moment, condition)
        if entry is not None and done:
            entry.expires_ms = moment
            self.model.sweep()
        self.expect(("PEXPIREAT", key, moment, *([condition] if condition else [])), int(done))

    @rule(key=keys)
    def persist(self, key: bytes) -> None:
        self.model.sweep()
        entry = self.model.keys.get(key)
        done = entry is not None and entry.expires_ms is not None
        if entry is not None:
            entry.expires_ms = None
        self.expect(("PERSIST", key), int(done))

    @rule(key=keys)
    def pexpiretime(self, key: bytes) -> None:
        self.model.sweep()
        entry = self.model.keys.get(key)
        self.expect(("PEXPIRETIME", key), -2 if entry is None else -1 if entry.expires_ms is None else entry.expires_ms)

    @precondition(lambda self: self.client.controls_time)
    @rule(ms=st.sampled_from([1, 1000, FAR_MS - 1, FAR_MS, FAR_MS * 2]))
    def time_passes(self, ms: int) -> None:
        self.client.advance(ms)

    # Lists

    @rule(key=keys, items=st.lists(words, min_size=1, max_size=4), left=st.booleans())
    def push(self, key: bytes, items: list[bytes], left: bool) -> None:
        def act(value: list[bytes]) -> int:
            if left:
                value[:0] = reversed(items)
            else:
                value.extend(items)
            return len(value)

        self.run_on("list", key, ("LPUSH" if left else "RPUSH", key, *items), act, make=True)

    @rule(key=keys, left=st.booleans())
    def pop(self, key: bytes, left: bool) -> None:
        self.run_on(
            "list",
            key,
            ("LPOP" if left else "RPOP", key),
            lambda value: value.pop(0 if left else -1) if value else None,
        )

    @rule(key=keys, count=counts, left=st.booleans())
    def pop_many(self, key: bytes, count: int, left: bool) -> None:
        def act(value: list[bytes] | None) -> list[bytes] | None:
            if value is None:
                return None
            got = value[:count] if left else value[::-1][:count]
            value[:] = value[count:] if left else value[: max(0, len(value) - count)]
            return got

        self.run_on("list", key, ("LPOP" if left else "RPOP", key, count), act)

    @rule(key=keys, start=indexes, stop=indexes)
    def lrange(self, key: bytes, start: int, stop: int) -> None:
        def act(value: list[bytes] | None) -> list[bytes]:
            first, last = span(len(value or []), start, stop)
            return (value or [])[first:last]

        self.run_on("list", key, ("LRANGE", key, start, stop), act)

    @rule(key=keys, start=indexes, stop=indexes)
    def ltrim(self, key: bytes, start: int, stop: int) -> None:
        def act(value: list[bytes] | None) -> bytes:
            if value is not None:
                first, last = span(len(value), start, stop)
                value[:] = value[first:last]
            return b"OK"

        self.run_on("list", key, ("LTRIM", key, start, stop), act)

    @rule(key=keys, index=indexes, item=words)
    def lset(self, key: bytes, index: int, item: bytes) -> None:
        def act(value: list[bytes] | None) -> bytes:
            if value is None:
                raise ModelError("no such key")
            if not -len(value) <= index < len(value):
                raise ModelError("index out of range")
            value[index] = item
            return b"OK"

        self.run_on("list", key, ("LSET", key, index, item), act)

    @rule(key=keys, index=indexes)
    def lindex(self, key: bytes, index: int) -> None:
        def act(value: list[bytes] | None) -> bytes | None:
            return value[index] if value and -len(value) <= index < len(value) else None

        self.run_on("list", key, ("LINDEX", key, index), act)

    @rule(key=keys, pivot=words, item=words, before=st.booleans())
    def linsert(self, key: bytes, pivot: bytes, item: bytes, before: bool) -> None:
        def act(value: list[bytes] | None) -> int:
            if value is None:
                return 0
            if pivot not in value:
                return -1
            value.insert(value.index(pivot) + (not before), item)
            return len(value)

        self.run_on("list", key, ("LINSERT", key, "BEFORE" if before else "AFTER", pivot, item), act)

    @rule(key=keys, count=st.integers(-3, 3), item=words)
    def lrem(self, key: bytes, count: int, item: bytes) -> None:
        def act(value: list[bytes] | None) -> int:
            if value is None:
                return 0
            places = [index for index, other in enumerate(value) if other == item]
            places = places[::-1][:-count] if count < 0 else places[:count] if count else places
            value[:] = [other for index, other in enumerate(value) if index not in places]
            return len(places)

        self.run_on("list", key, ("LREM", key, count, item), act)

    @rule(source=keys, destination=keys, left=st.booleans(), to_left=st.booleans())
    def lmove(self, source: bytes, destination: bytes, left: bool, to_left: bool) -> None:
        sides = ("LEFT" if left else "RIGHT", "LEFT" if to_left else "RIGHT")
        command = ("LMOVE", source, destination, *sides)
        try:
            value = self.model.find(source, "list")
            if value is None:
                self.expect(command, None)
                return
            other = self.model.make(destination, "list")
        except ModelError as problem:
            self.expect(command, None, str(problem))
            return
        item = value.pop(0 if left else -1)
        other.insert(0 if to_left else len(other), item)
        self.model.drop_if_empty(source)
        self.expect(command, item)

    # Sets

    @rule(key=keys, items=many_members)
    def sadd(self, key: bytes, items: list[bytes]) -> None:
        def act(value: set[bytes]) -> int:
            new = set(items) - value
            value |= new
            return len(new)

        self.run_on("set", key, ("SADD", key, *items), act, make=True)

    @rule(key=keys, items=many_members)
    def srem(self, key: bytes, items: list[bytes]) -> None:
        def act(value: set[bytes] | None) -> int:
            gone = set(items) & (value or set())
            if value is not None:
                value -= gone
            return len(gone)

        self.run_on("set", key, ("SREM", key, *items), act)

    @rule(key=keys, items=many_members)
    def smismember(self, key: bytes, items: list[bytes]) -> None:
        self.run_on(
            "set", key, ("SMISMEMBER", key, *items), lambda value: [int(item in (value or ())) for item in items]
        )

    @rule(key=keys)
    def scard(self, key: bytes) -> None:
        self.run_on("set", key, ("SCARD", key), lambda value: len(value or ()))

    @rule(key=keys)
    def spop(self, key: bytes) -> None:
        try:
            value = self.model.find(key, "set")
        except ModelError as problem:
            self.expect(("SPOP", key), None, str(problem))
            return
        got = self.client.execute("SPOP", key)
        assert (got in value) if value else got is None
        if value:
            value.remove(got)
            self.model.drop_if_empty(key)

    @rule(
        destination=keys,
        sources=st.lists(keys, min_size=1, max_size=3),
        name=st.sampled_from(["SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE"]),
    )
    def set_algebra(self, destination: bytes, sources: list[bytes], name: str) -> None:
        command = (name, destination, *sources)
        try:
            sets: list[set[bytes]] = [self.model.find(source, "set") or set() for source in sources]
        except ModelError as problem:
            self.expect(command, None, str(problem))
            return
        start, *rest = sets
        operations: dict[str, Any] = {
            "SINTERSTORE": start.intersection,
            "SUNIONSTORE": start.union,
            "SDIFFSTORE": start.difference,
        }
        result: set[bytes] = operations[name](*rest)
        self.model.keys.pop(destination, None)
        if result:
            self.model.make(destination, "set").update(result)
        self.expect(command, len(result))

    # Hashes

    @rule(key=keys, pairs=st.lists(st.tuples(members, words), min_size=1, max_size=5))
    def hset(self, key: bytes, pairs: list[tuple[bytes, bytes]]) -> None:
        def act(value: dict[bytes, tuple[bytes, int | None]]) -> int:
            new = len({name for name, _ in pairs} - value.keys())
            value.update((name, (data, None)) for name, data in pairs)
            return new

        self.run_on("hash", key, ("HSET", key, *(word for pair in pairs for word in pair)), act, make=True)

    @rule(key=keys, names=many_members)
    def hmget(self, key: bytes, names: list[bytes]) -> None:
        self.run_on(
            "hash", key, ("HMGET", key, *names), lambda value: [(value or {}).get(n, (None,))[0] for n in names]
        )

    @rule(key=keys, names=many_members)
    def hdel(self, key: bytes, names: list[bytes]) -> None:
        self.run_on(
            "hash",
            key,
            ("HDEL", key, *names),
            lambda value: sum(value.pop(name, None) is not None for name in names) if value else 0,
        )

    @rule(key=keys, name=members, amount=st.sampled_from([1, -5, (1 << 63) - 1]))
    def hincrby(self, key: bytes, name: bytes, amount: int) -> None:
        def act(value: dict[bytes, tuple[bytes, int | None]]) -> int:
            old, expires = value.get(name, (b"0", None))
            number = canonical_integer(old)
            if number is None:
                raise ModelError("hash value is not an integer")
            if not -(1 << 63) <= number + amount < 1 << 63:
                raise ModelError("increment or decrement would overflow")
            value[name] = (b"%d" % (number + amount), expires)
            return number + amount

        self.run_on("hash", key, ("HINCRBY", key, name, amount), act, make=True)

    @rule(key=keys, names=st.lists(members, min_size=1, max_size=3, unique=True), wait_ms=times)
    def hpexpireat(self, key: bytes, names: list[bytes], wait_ms: int) -> None:
        moment = self.client.now_ms() + wait_ms

        def act(value: dict[bytes, tuple[bytes, int | None]] | None) -> list[int]:
            results = []
            for name in names:
                if value is None or name not in value:
                    results.append(-2)
                elif wait_ms <= 0:
                    del value[name]
                    results.append(2)
                else:
                    value[name] = (value[name][0], moment)
                    results.append(1)
            return results

        self.run_on("hash", key, ("HPEXPIREAT", key, moment, "FIELDS", len(names), *names), act)

    @rule(key=keys, names=st.lists(members, min_size=1, max_size=3, unique=True))
    def hpersist(self, key: bytes, names: list[bytes]) -> None:
        def act(value: dict[bytes, tuple[bytes, int | None]] | None) -> list[int]:
            results = []
            for name in names:
                found = (value or {}).get(name)
                results.append(-2 if found is None else -1 if found[1] is None else 1)
                if value is not None and found is not None:
                    value[name] = (found[0], None)
            return results

        self.run_on("hash", key, ("HPERSIST", key, "FIELDS", len(names), *names), act)

    @rule(key=keys, names=many_members)
    def hpexpiretime(self, key: bytes, names: list[bytes]) -> None:
        def act(value: dict[bytes, tuple[bytes, int | None]] | None) -> list[int]:
            found = [(value or {}).get(name) for name in names]
            return [-2 if item is None else -1 if item[1] is None else item[1] for item in found]

        self.run_on("hash", key, ("HPEXPIRETIME", key, "FIELDS", len(names), *names), act)

    # Sorted sets

    @rule(key=keys, pairs=st.lists(st.tuples(scores, members), min_size=1, max_size=5))
    def zadd(self, key: bytes, pairs: list[tuple[float, bytes]]) -> None:
        command = ("ZADD", key, *(word for score, member in pairs for word in (score_word(score), member)))
        self.run_on(
            "zset", key, command, lambda value: sum([value.add(member, score) for score, member in pairs]), make=True
        )

    @rule(key=keys, score=scores, member=members, condition=st.sampled_from(["GT", "LT", "NX", "XX"]))
    def zadd_if(self, key: bytes, score: float, member: bytes, condition: str) -> None:
        def act(value: Any) -> int:
            old = value.scores.get(member)
            blocked = {
                "NX": old is not None,
                "XX": old is None,
                "GT": old is not None and not score > old,
                "LT": old is not None and not score < old,
            }[condition]
            changed = not blocked and old != score
            if changed:
                value.add(member, score)
            return int(changed)

        self.run_on("zset", key, ("ZADD", key, condition, "CH", score_word(score), member), act, make=True)

    @rule(key=keys, items=many_members)
    def zrem(self, key: bytes, items: list[bytes]) -> None:
        self.run_on(
            "zset", key, ("ZREM", key, *items), lambda value: sum(map(value.remove, items)) if value is not None else 0
        )

    @rule(key=keys, member=members)
    def zscore(self, key: bytes, member: bytes) -> None:
        self.sweep_and_compare_scores(key, member)

    def sweep_and_compare_scores(self, key: bytes, member: bytes) -> None:
        try:
            value = self.model.find(key, "zset")
        except ModelError as problem:
            self.expect(("ZSCORE", key, member), None, str(problem))
            return
        got = self.client.execute("ZSCORE", key, member)
        expected = value.scores.get(member) if value is not None else None
        assert (None if got is None else float(got)) == expected

    @rule(key=keys, member=members, reverse=st.booleans())
    def zrank(self, key: bytes, member: bytes, reverse: bool) -> None:
        def act(value: Any) -> int | None:
            if value is None or member not in value.scores:
                return None
            rank: int = value.order.index((value.scores[member], member))
            return len(value.order) - 1 - rank if reverse else rank

        self.run_on("zset", key, ("ZREVRANK" if reverse else "ZRANK", key, member), act)

    @rule(key=keys, start=indexes, stop=indexes, reverse=st.booleans())
    def zrange(self, key: bytes, start: int, stop: int, reverse: bool) -> None:
        def act(value: Any) -> list[bytes]:
            names = [member for _, member in (value.order if value is not None else ())]
            names = names[::-1] if reverse else names
            first, last = span(len(names), start, stop)
            return names[first:last]

        self.run_on("zset", key, ("ZRANGE", key, start, stop, *(["REV"] if reverse else [])), act)

    @rule(key=keys, low=scores, high=scores, open_low=st.booleans(), open_high=st.booleans())
    def zrangebyscore(self, key: bytes, low: float, high: float, open_low: bool, open_high: bool) -> None:
        def act(value: Any) -> list[bytes]:
            return [
                member
                for score, member in (value.order if value is not None else ())
                if (low < score if open_low else low <= score) and (score < high if open_high else score <= high)
            ]

        bounds = [b"(" * is_open + score_word(score) for is_open, score in ((open_low, low), (open_high, high))]
        self.run_on("zset", key, ("ZRANGE", key, *bounds, "BYSCORE"), act)

    @rule(key=keys, count=counts, lowest=st.booleans())
    def zpop(self, key: bytes, count: int, lowest: bool) -> None:
        def act(value: Any) -> list[bytes]:
            got: list[bytes] = []
            for _ in range(min(count, len(value.order)) if value is not None else 0):
                member = value.order[0 if lowest else -1][1]
                value.remove(member)
                got.append(member)
            return got

        name = "ZPOPMIN" if lowest else "ZPOPMAX"
        try:
            expected = act(self.model.find(key, "zset"))
        except ModelError as problem:
            self.expect((name, key, count), None, str(problem))
            return
        self.model.drop_if_empty(key)
        assert [member for member, _ in _pairs(self.client.execute(name, key, count))] == expected

    # Everything

    @rule()
    def compare_everything(self) -> None:
        self.model.sweep()
        self.expect(("DBSIZE",), len(self.model.keys)) if self.client.controls_time else None
        assert sorted(self.client.execute("KEYS", "*")) == sorted(self.model.keys)
        for key, entry in self.model.keys.items():
            self.expect(("TYPE", key), entry.kind.encode())
            match entry.kind:
                case "string":
                    self.expect(("GET", key), entry.value)
                case "list":
                    self.expect(("LRANGE", key, 0, -1), entry.value)
                case "set":
                    assert set(self.client.execute("SMEMBERS", key)) == entry.value
                case "hash":
                    got = dict(_pairs(self.client.execute("HGETALL", key)))
                    assert got == {name: value for name, (value, _) in entry.value.items()}
                case "zset":
                    rows = _pairs(self.client.execute("ZRANGE", key, 0, -1, "WITHSCORES"))
                    assert [(float(score), member) for member, score in rows] == list(entry.value.order)

    @invariant()
    def size_is_known(self) -> None:
        self.model.sweep()
        assert self.client.execute("EXISTS", *self.model.keys, b"never") == len(self.model.keys)


def _may_expire(old: int | None, moment: int, condition: str) -> bool:
    match condition:
        case "NX":
            return old is None
        case "XX":
            return old is not None
        case "GT":
            return old is not None and moment > old
        case "LT":
            return old is None or moment < old
    return True


def _pairs(reply: Any) -> list[tuple[bytes, Any]]:
    """Pairs from whatever shape a map or a list with scores has: a dict, rows, or a flat list."""
    if isinstance(reply, dict):
        return list(reply.items())
    if reply and isinstance(reply[0], (list, tuple)):
        return [(row[0], row[1]) for row in reply]
    return list(zip(reply[::2], reply[1::2], strict=True))


def run(machine: type[StoreMachine], examples: int) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
            report_multiple_bugs=False,
        ),
    )


@pytest.mark.peer
def test_the_models_agree_with_valkey(valkey_server: servers.Server) -> None:
    class OnValkey(StoreMachine):
        def make_client(self) -> Client:
            return SocketClient(valkey_server)

    run(OnValkey, max(10, EXAMPLES // 3))


def test_kvcore_in_this_process_agrees_with_the_models() -> None:
    if not servers.engine_is_built():
        pytest.skip("the engine is not built: make build")

    class Embedded(StoreMachine):
        def make_client(self) -> Client:
            return EmbeddedClient()

    run(Embedded, EXAMPLES)


def test_kvcore_on_a_socket_agrees_with_the_models(served_kvcore: servers.Server) -> None:
    class Served(StoreMachine):
        def make_client(self) -> Client:
            return SocketClient(served_kvcore)

    run(Served, max(10, EXAMPLES // 3))
