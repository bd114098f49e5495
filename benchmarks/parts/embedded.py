"""Calls from one Python thread: get and set of 10^6 keys beside dict and the peers, other commands beside redis-py.

The loop is the same for everybody: a bound method in a local, keys made beforehand, fresh objects (a program rarely
asks with the very object that a dict stored, and an equal object has to be hashed and compared). The loop's own cost is
measured, too, and taken off; `raw_ns` has it still. Subjects take turns, round after round, in another order each time;
what counts is the median of the rounds, and the spread is their range by the median.
"""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from kvcore.cli.bench.svg import BarGroup, BarPanel, bars

from .common import Settings, median, progress, save, say, spread
from .subjects import SUBJECTS, Call, Kvcore, Missing, RedisPy, Subject

KEYS = 1_000_000
MEMBERS = 100_000
VALUE = 32


def loop1(call: Call, values: Iterable[Any]) -> int:
    begun = time.perf_counter_ns()
    for value in values:
        call(value)
    return time.perf_counter_ns() - begun


def loop_after(call: Call, values: Iterable[Any], constant: Any) -> int:
    """ns of call(value, constant) for each value."""
    begun = time.perf_counter_ns()
    for value in values:
        call(value, constant)
    return time.perf_counter_ns() - begun


def loop_before(call: Call, values: Iterable[Any], constant: Any) -> int:
    begun = time.perf_counter_ns()
    for value in values:
        call(constant, value)
    return time.perf_counter_ns() - begun


def loop_amid(call: Call, values: Iterable[Any], first: Any, last: Any) -> int:
    begun = time.perf_counter_ns()
    for value in values:
        call(first, value, last)
    return time.perf_counter_ns() - begun


def loop_nothing(values: Iterable[Any]) -> int:
    begun = time.perf_counter_ns()
    for _ in values:
        pass
    return time.perf_counter_ns() - begun


async def awaiting1(call: Callable[[Any], Awaitable[Any]], values: Iterable[Any]) -> int:
    begun = time.perf_counter_ns()
    for value in values:
        await call(value)
    return time.perf_counter_ns() - begun


async def awaiting_after(call: Callable[..., Awaitable[Any]], values: Iterable[Any], constant: Any) -> int:
    begun = time.perf_counter_ns()
    for value in values:
        await call(value, constant)
    return time.perf_counter_ns() - begun


def key(number: int) -> bytes:
    return b"key:%012d" % number


def fresh(keys: Sequence[bytes]) -> list[bytes]:
    """Equal keys that are other objects, not yet hashed."""
    return [each[:8] + each[8:] for each in keys]


def summary(times: list[float], own: float) -> dict[str, float]:
    raw = median(times)
    return {"ns": round(raw - own, 1), "raw_ns": round(raw, 1), "spread": spread(times)}


# --- get and set ---


def get_and_set(settings: Settings, rounds: int) -> dict[str, Any]:
    total = settings.count(KEYS, 200_000, 1000)
    rng = random.Random(1)
    # Each value an object of its own, as data is.
    values = [b"%032d" % number for number in range(total)]
    subjects: list[tuple[Subject, int]] = []
    rows: dict[str, dict[str, Any]] = {}
    try:
        for kind in SUBJECTS:
            if not settings.wants(kind.name) and kind.name not in ("dict", "kvcore"):
                continue
            try:
                subject = kind()
            except Missing as missing:
                settings.missing[kind.name] = str(missing)
                say(f"missing: {kind.name} ({missing})")
                continue
            count = min(total, settings.count(subject.most_keys, subject.most_keys // 4))
            with progress(f"filling {subject.name} with {count} keys"):
                subject.fill([key(number) for number in range(count)], values[:count])
            subjects.append((subject, count))
        times: dict[tuple[str, str], list[float]] = {}
        own: list[float] = []
        statement: list[float] = []
        gc.collect()
        gc.freeze()  # a million values are nothing that a collection should look at again
        for turn in range(rounds):
            for subject, count in subjects[turn % len(subjects) :] + subjects[: turn % len(subjects)]:
                calls = settings.count(subject.calls, subject.calls // 2, 20)
                asked = [key(rng.randrange(count)) for _ in range(calls)]
                with progress(f"get and set, round {turn + 1} of {rounds}, {subject.name}"):
                    new = b"n%031d" % turn
                    if subject.asynchronous:
                        took = asyncio.run(awaiting1(subject.get, fresh(asked)))
                        stored = asyncio.run(awaiting_after(subject.set, fresh(asked), new))
                    else:
                        took = loop1(subject.get, fresh(asked))
                        stored = loop_after(subject.set, fresh(asked), new)
                times.setdefault((subject.name, "get"), []).append(took / calls)
                times.setdefault((subject.name, "set"), []).append(stored / calls)
                if subject.name == "dict":
                    own.append(loop_nothing(fresh(asked)) / calls)
                    statement.append(store_statement(subject, fresh(asked), new) / calls)
        empty = median(own)
        for subject, count in subjects:
            calls = settings.count(subject.calls, subject.calls // 2, 20)
            rows[subject.name] = {"keys": count, "calls_a_round": calls, "version": subject.version}
            rows[subject.name] |= {"note": subject.note} if subject.note else {}
            for name in ("get", "set"):
                rows[subject.name][name] = summary(times[subject.name, name], empty)
    finally:
        gc.unfreeze()
        for subject, _ in subjects:
            subject.close()
    for name in ("get", "set"):
        mine, base = rows["kvcore"][name]["ns"], rows["dict"][name]["ns"]
        for row in rows.values():
            row[name]["by_dict"] = round(row[name]["ns"] / base, 2)
            row[name]["by_kvcore"] = round(row[name]["ns"] / mine, 2)
    return {
        "rounds": rounds,
        "loop_ns": round(empty, 1),
        "dict_store_statement_ns": round(median(statement) - empty, 1),
        "subjects": rows,
    }


def store_statement(subject: Subject, keys: list[bytes], value: bytes) -> int:
    """ns of `store[key] = value`: no call at all, for comparison."""
    store = subject.set.__self__  # type: ignore[attr-defined]
    begun = time.perf_counter_ns()
    for each in keys:
        store[each] = value
    return time.perf_counter_ns() - begun


# --- other commands ---


Runner = Callable[[Any, int, random.Random], int]


def fill_structures(db: Any, members: int) -> None:
    """A hash, a list, a set and a sorted set of `members`, and counters; through pipelines of the library's own."""
    for start in range(0, members, 1000):
        some = range(start, min(start + 1000, members))
        pipe = db.pipeline(transaction=False)
        pipe.hset("hash", mapping={b"field:%06d" % i: b"%032d" % i for i in some})
        pipe.rpush("list", *(b"%032d" % i for i in some))
        pipe.sadd("set", *(b"member:%06d" % i for i in some))
        pipe.zadd("zset", {b"member:%06d" % i: i * 7919 % 1_000_003 for i in some})
        pipe.execute()


def picks(form: bytes, members: int, count: int, rng: random.Random) -> list[bytes]:
    return [form % rng.randrange(members) for _ in range(count)]


def operations(members: int) -> dict[str, tuple[Runner, int, int]]:
    """name: (runs it `count` times and tells ns, calls a round of kvcore, of redis-py)"""
    value = b"x" * VALUE

    def pipelines(db: Any, count: int, rng: random.Random) -> int:
        batches = [[key(rng.randrange(members)) for _ in range(100)] for _ in range(count)]
        begun = time.perf_counter_ns()
        for batch in batches:
            pipe = db.pipeline(transaction=False)
            for each in batch[:50]:
                pipe.set(each, value)
            for each in batch[50:]:
                pipe.get(each)
            pipe.execute()
        return time.perf_counter_ns() - begun

    def fields(count: int, rng: random.Random) -> list[bytes]:
        return picks(b"field:%06d", members, count, rng)

    def known(count: int, rng: random.Random) -> list[bytes]:
        return picks(b"member:%06d", members, count, rng)

    def scored(count: int, rng: random.Random) -> list[dict[bytes, float]]:
        return [{name: rng.randrange(1_000_003) + 0.5} for name in known(count, rng)]

    def starts(count: int, rng: random.Random) -> list[int]:
        return [0] * count

    many, few = 50_000, 1_000
    return {
        "hget": (lambda db, n, rng: loop_before(db.hget, fields(n, rng), "hash"), many, few),
        "hset": (lambda db, n, rng: loop_amid(db.hset, fields(n, rng), "hash", value), many, few),
        "incr": (lambda db, n, rng: loop1(db.incr, picks(b"n:%06d", members, n, rng)), many, few),
        "lpush": (lambda db, n, rng: loop_before(db.lpush, fields(n, rng), "list"), many, few),
        "rpop": (lambda db, n, rng: loop1(db.rpop, ["list"] * n), many, few),
        "sadd": (lambda db, n, rng: loop_before(db.sadd, known(n, rng), "set"), many, few),
        "zadd": (lambda db, n, rng: loop_before(db.zadd, scored(n, rng), "zset"), many, few),
        "zrank": (lambda db, n, rng: loop_before(db.zrank, known(n, rng), "zset"), many, few),
        "lrange of 100": (lambda db, n, rng: loop_amid(db.lrange, starts(n, rng), "list", 99), 10_000, 500),
        "pipeline of 100": (pipelines, 500, 20),
    }


def commands(settings: Settings, rounds: int) -> dict[str, Any]:
    members = settings.count(MEMBERS, least=1000)
    try:
        peer: RedisPy | None = RedisPy()
    except Missing as missing:
        settings.missing[RedisPy.name] = str(missing)
        peer = None
    mine = Kvcore()
    clients: list[tuple[str, Any]] = [("kvcore", mine.db)] + ([("redis-py to Valkey", peer.client)] if peer else [])
    rows: dict[str, Any] = {}
    try:
        for _, client in clients:
            fill_structures(client, members)
        times: dict[tuple[str, str], list[float]] = {}
        calls_of: dict[tuple[str, str], int] = {}
        own: list[float] = []
        for turn in range(rounds):
            own.append(loop_nothing(range(50_000)) / 50_000)
            for name, (run, many, few) in operations(members).items():
                for who, client in clients if turn % 2 else clients[::-1]:
                    calls = settings.count(many if who == "kvcore" else few, None, 5)
                    calls_of[who, name] = calls
                    with progress(f"{name}, round {turn + 1} of {rounds}, {who}"):
                        if name == "rpop":
                            client.rpush("list", *([b"x" * VALUE] * calls))
                        times.setdefault((who, name), []).append(run(client, calls, random.Random(turn)) / calls)
                        if name == "lpush":
                            client.ltrim("list", 0, members - 1)
        for name in operations(members):
            rows[name] = {
                who: {**summary(times[who, name], median(own)), "calls_a_round": calls_of[who, name]}
                for who, _ in clients
            }
            if peer:
                ratio = rows[name]["redis-py to Valkey"]["ns"] / rows[name]["kvcore"]["ns"]
                rows[name]["times_faster"] = round(ratio, 1)
    finally:
        mine.close()
        if peer:
            peer.close()
    return {"members": members, "rounds": rounds, "commands": rows}


def charts(figures: dict[str, Any]) -> dict[str, str]:
    """File names and SVG texts. The slow ones are hundreds of times as tall: they stand in the table alone."""
    rows = figures["get_and_set"]["subjects"]
    quick = ("kvcore", "dict", "lmdb", "lmdb, a transaction a call", "burner-redis")
    fast = [name for name in quick if name in rows]
    panels = [
        BarPanel(f"{operation}: ns a call", [BarGroup("", [rows[name][operation]["ns"] for name in fast])])
        for operation in ("get", "set")
    ]
    others = [row["get"]["ns"] for name, row in rows.items() if name not in fast]
    slow = f"{min(others) / 1000:.0f} to {max(others) / 1000:.0f} µs a get" if others else "more"
    title = f"In the process: one thread, {rows['kvcore']['keys']:,} keys"
    found = {
        "embedded.svg": bars(title, fast, panels, f"less is better; the others, in the table, take {slow}", columns=2)
    }
    groups = [
        BarGroup(name, [row["times_faster"]])
        for name, row in figures["commands"]["commands"].items()
        if "times_faster" in row
    ]
    if groups:
        title = "How many times faster than redis-py to Valkey over loopback"
        found["embedded-commands.svg"] = bars(
            title, ["kvcore, in the process"], [BarPanel("", groups)], "more is better"
        )
    return found


def run(settings: Settings) -> None:
    figures = {
        "get_and_set": get_and_set(settings, settings.turns(11, 5)),
        "commands": commands(settings, settings.turns(7, 3)),
    }
    say(f"{'subject':28} {'keys':>9} {'get ns':>9} {'by dict':>8} {'set ns':>9} {'by dict':>8}   spread of get, set")
    for name, row in figures["get_and_set"]["subjects"].items():
        cells = "".join(f"{row[each]['ns']:10.0f} {row[each]['by_dict']:8.2f}" for each in ("get", "set"))
        say(f"{name:28} {row['keys']:9}{cells}   {row['get']['spread']:.2f} {row['set']['spread']:.2f}")
    loop, stored = figures["get_and_set"]["loop_ns"], figures["get_and_set"]["dict_store_statement_ns"]
    say(f"the loop itself: {loop} ns, taken off; the statement `store[key] = value` of a dict: {stored} ns")
    say(f"\n{'command':18} {'kvcore ns':>10} {'redis-py ns':>12} {'times':>7}")
    for name, row in figures["commands"]["commands"].items():
        other = row.get("redis-py to Valkey", {}).get("ns", 0)
        say(f"{name:18} {row['kvcore']['ns']:10.0f} {other:12.0f} {row.get('times_faster', 0):7.1f}")
    settings.results.mkdir(parents=True, exist_ok=True)
    for name, text in charts(figures).items():
        (settings.results / name).write_text(text)
    save(settings, "embedded", figures)
