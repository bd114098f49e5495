"""The engine from C threads, without Python (benchmarks/c): how much two threads do, how long single calls take while
tables grow, what a call costs in stores of 10^4 to 10^7 keys, and, on paper, what many cores would give."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import native

from kvcore.cli.bench.svg import BarGroup, BarPanel, bars, by_percentile, line_chart

from .common import Settings, median, save, say

KEYS = 1_000_000
THETA = 0.99


def cthreads(settings: Settings) -> None:
    """One thread and two on one store, beside what the machine gives two threads that share nothing."""
    keys = settings.count(KEYS, 200_000)
    rounds = settings.turns(7, 2)
    seconds = 0.2 if settings.quick else 0.5
    lines = native.run(native.build("bench_threads"), "--rounds", rounds, "--seconds", seconds, "--keys", keys)
    runs: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        runs[line["what"], line["threads"]].append(line)
    rows = []
    for what in dict.fromkeys(line["what"] for line in lines):
        one, two = runs[what, 1], runs[what, 2]
        cpu = [[line["cpu_ns"] / line["operations"] for line in some] for some in (one, two)]
        rows.append(
            {
                "what": what,
                "per_second": [round(median([line["per_second"] for line in some])) for some in (one, two)],
                "cpu_ns": [round(median(some), 1) for some in cpu],
                "ratio": round(median([b["per_second"] / a["per_second"] for a, b in zip(one, two, strict=True)]), 3),
                "cpu_ratio": round(2 * median([a / b for a, b in zip(*cpu, strict=True)]), 3),
                "ratios": [round(b["per_second"] / a["per_second"], 3) for a, b in zip(one, two, strict=True)],
                "waits": sum(line["waits"] for line in two),
                "preemptions": sum(line["preemptions"] for line in two),
            }
        )
    say(f"{'':10} {'1 thread/s':>12} {'2 threads/s':>12} {'ratio':>6} {'by CPU':>7}   ns of CPU, 1 and 2 threads")
    for row in rows:
        first, second = row["per_second"]
        say(f"{row['what']:10} {first:12} {second:12} {row['ratio']:6} {row['cpu_ratio']:7}   {row['cpu_ns']}")
    (settings.results / "cthreads.svg").write_text(cthreads_chart(rows))
    save(settings, "cthreads", {"keys": keys, "theta": THETA, "rounds": rounds, "seconds": seconds, "rows": rows})


def growth(settings: Settings) -> None:
    """Every call timed while 10^7 keys and collections of 10^6 members come and go."""
    keys, members = settings.count(10_000_000, 500_000), settings.count(1_000_000, 200_000)
    warm = 3000 if not settings.quick else 200
    program = native.build("bench_growth")
    rows = native.run(program, "--keys", keys, "--members", members, "--warm", warm)
    say(f"{'':7} {'':24} {'mean ns':>9} {'worst us':>9} {'>0.1 ms':>8} {'>1 ms':>7}   of them by CPU time, worst us")
    for row in rows:
        say(
            f"{row['part']:7} {row['what']:24} {row['mean_ns']:9} {row['worst_ns'] / 1000:9.0f} {row['over_100us']:8} "
            f"{row['over_1ms']:7}   {row['cpu_over_100us']}, {row['cpu_over_1ms']}, {row['cpu_worst_ns'] / 1000:.0f}"
        )
    (settings.results / "growth.svg").write_text(growth_chart(rows, keys, members))
    save(settings, "growth", {"keys": keys, "members": members, "rows": rows})


def flat(settings: Settings) -> None:
    """A call's cost by the number of keys, beside random reads over as many bytes."""
    rounds = settings.turns(5, 3)
    rows = native.run(native.build("bench_flat"), "--rounds", rounds, "--keys", 1_000_000 if settings.quick else 10**7)
    for row in rows:
        row["get_without_misses"] = round(row["get"] - row["loop"] - row["pair"], 1)
        row["set_without_misses"] = round(row["set"] - row["loop"] - row["pair"], 1)
    columns = ("get", "set", "line", "pair", "get_without_misses", "set_without_misses", "get_hit")
    say(f"{'keys':>9} " + " ".join(f"{name:>18}" for name in columns))
    for row in rows:
        say(f"{row['keys']:9} " + " ".join(f"{row[name]:18}" for name in columns))
    (settings.results / "flat.svg").write_text(flat_chart(rows))
    save(settings, "flat", {"unit": "ns of CPU time a call, one thread", "rounds": rounds, "rows": rows})


# --- charts ---

MIXES = {
    "arithmetic": "no memory",
    "memory": "memory of their own",
    "private": "a store of their own",
    "shared": "one store",
}


def cthreads_chart(rows: list[dict[str, Any]]) -> str:
    groups = [BarGroup(MIXES.get(row["what"], row["what"]), [row["ratio"], row["cpu_ratio"]]) for row in rows]
    panel = BarPanel("two threads by one, times", groups)
    note = "50/50 GET and SET, Zipf keys, C API; the first two use no store: what the machine gives. More is better"
    return bars("Two threads beside one", ["throughput", "by CPU time"], [panel], note)


def growth_chart(rows: list[dict[str, Any]], keys: int, members: int) -> str:
    """Latency of the single calls by percentile: counts by powers of two, told by their upper ends."""
    series = []
    for row in rows:
        if row["part"] == "pages" or row["what"] == "control":
            continue
        seen, points = 0, []
        for upper, times in row["below_ns"].items():
            seen += times
            points.append((100.0 * seen / row["calls"], min(float(upper), row["worst_ns"]) / 1000))
        series.append((row["what"], points))
    note = f"{keys:,} keys, {members:,} members; to the next power of two; wall time, stalls of the machine included"
    return by_percentile("Single calls while tables grow and shrink", series, note, 1000)


def flat_chart(rows: list[dict[str, Any]]) -> str:
    names = {
        "get": "GET",
        "set": "SET",
        "get_hit": "GET, keys in the cache",
        "pair": "two random reads of memory",
        "get_without_misses": "GET without them",
    }
    series = [(title, [(row["keys"], row[name]) for row in rows]) for name, title in names.items()]
    title = "What a call costs by the number of keys"
    return line_chart(title, series, "keys", "ns of CPU a call, one thread", "flat is better; keys chosen evenly")


def cores_chart(rows: list[dict[str, Any]]) -> str:
    series = [
        (f"{shards} shards", [(row["cores"], row["speedup"]) for row in rows if row["shards"] == shards])
        for shards in dict.fromkeys(row["shards"] for row in rows)
    ]
    series.append(("no locks at all", [(count, count) for count in sorted({row["cores"] for row in rows})]))
    title = "More cores, on paper: computed from measured lock hold times"
    note = "50/50 GET and SET, Zipf 0.99, a million keys; more is better"
    return line_chart(title, series, "cores", "times one core's calls a second", note, log_up=True)


# --- on paper ---


def shares(shards: int, keys: int = KEYS, theta: float = THETA) -> list[float]:
    """What part of the calls each shard gets: keys go to shards by a hash, here a multiplicative one."""
    parts = [0.0] * shards
    for rank in range(keys):
        parts[(rank * 0x9E3779B97F4A7C15 & (1 << 64) - 1) >> 32 & shards - 1] += (rank + 1) ** -theta
    total = sum(parts)
    return [part / total for part in parts]


def throughput(
    cores: int, between_ns: float, held_ns: float, moved_ns: float, parts: list[float]
) -> tuple[float, float]:
    """Calls a second and the busiest lock's utilisation, by mean value analysis of a closed network.

    Cores are the customers, shards the stations (visited with the chances `parts`), `between_ns` the think time. A
    lock that another core held last is moved over first, which lengthens the hold by `moved_ns`: with n cores that are
    all alike the chance is (n - 1) / n.
    """
    service = held_ns + moved_ns * (cores - 1) / cores
    queue = [0.0] * len(parts)
    rate = 0.0
    for n in range(1, cores + 1):
        waits = [service * (1 + waiting) for waiting in queue]
        rate = n / (between_ns + sum(part * wait for part, wait in zip(parts, waits, strict=True)))
        queue = [rate * part * wait for part, wait in zip(parts, waits, strict=True)]
    return rate * 1e9, rate * max(parts) * service


def cores(settings: Settings) -> None:
    """Holds of a shard's lock are measured, 2 to 128 cores computed."""
    held = native.run(native.build("bench_holds", ("-DKV_LOCK_TIMES",)))[0]
    hold_ns, between_ns = held["held"]["mean_ns"], held["between"]["mean_ns"]
    moved_ns = 80.0  # a cache line from another core: docs/design/scaling.md
    rows = []
    say(f"held {hold_ns} ns, between {between_ns} ns, a line from another core {moved_ns} ns")
    say(f"{'shards':>6} {'cores':>6} {'calls/s':>12} {'speedup':>8} {'busiest lock':>13} {'bound':>8}")
    for shards in (32, 64, 256):
        parts = shares(shards)
        single, _ = throughput(1, between_ns, hold_ns, moved_ns, parts)
        for count in (1, 2, 16, 64, 128):
            rate, busiest = throughput(count, between_ns, hold_ns, moved_ns, parts)
            bound = 1e9 / (max(parts) * (hold_ns + moved_ns)) / single if count > 1 else math.nan
            rows.append(
                {
                    "shards": shards,
                    "cores": count,
                    "per_second": round(rate),
                    "speedup": round(rate / single, 2),
                    "busiest_lock": round(busiest, 3),
                    "busiest_share": round(max(parts), 4),
                    "bound": None if math.isnan(bound) else round(bound, 1),
                }
            )
            say(f"{shards:6} {count:6} {rate:12.0f} {rate / single:8.2f} {busiest:13.3f} {bound:8.1f}")
    (settings.results / "cores.svg").write_text(cores_chart(rows))
    save(settings, "cores", {"keys": KEYS, "theta": THETA, "moved_ns": moved_ns, "measured": held, "rows": rows})
