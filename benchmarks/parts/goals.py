"""What kvcore sets out to reach, beside what the saved figures say. Nothing is measured here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Figures = dict[str, Any]


@dataclass(frozen=True)
class Goal:
    """One line: a figure with its bound. `least`: it has to be at least that, else at most."""

    what: str
    bound: float
    reached: float
    unit: str = ""
    least: bool = False

    @property
    def is_met(self) -> bool:
        return self.reached >= self.bound if self.least else self.reached <= self.bound

    def cells(self) -> list[str]:
        sign = "≥" if self.least else "≤"
        unit = f" {self.unit}" if self.unit else ""
        return [
            self.what,
            f"{sign} {self.bound:g}{unit}",
            f"{self.reached:.3g}{unit}",
            "yes" if self.is_met else "**no**",
        ]


CPU_P16 = {"set": 0.60, "get": 0.65, "lpush": 0.60, "zadd": 0.35}


def server(figures: Figures) -> Iterator[Goal]:
    for row in figures["rows"]:
        if row["server"] != "kvcore" or "rps_ratio" not in row:
            continue
        size = "" if row["size"] == 32 else f", {row['size'] // 1024} KiB"
        name = f"{row['test'].upper()}, pipeline {row['pipeline']}{size}, by Valkey"
        deep = row["pipeline"] > 1
        yield Goal(f"{name}: throughput", 1.0, row["rps_ratio"], least=True)
        yield Goal(f"{name}: p99", 0.5 if deep else 1.0, row["p99_ms_ratio"])
        yield Goal(f"{name}: CPU an operation", CPU_P16[row["test"]] if deep and not size else 1.0, row["cpu_us_ratio"])


def embedded(figures: Figures) -> Iterator[Goal]:
    rows = figures["get_and_set"]["subjects"]
    mine = rows["kvcore"]
    for call in ("get", "set"):
        if "dict" in rows:
            yield Goal(f"{call} by dict's", 2.0, mine[call]["ns"] / rows["dict"][call]["ns"])
        for name, bound in (("lmdb", 4.0), ("redis-py to Valkey", 400.0)):
            if name in rows:
                times = rows[name][call]["ns"] / mine[call]["ns"]
                yield Goal(f"{call}: faster than {name}", bound, times, "times", least=True)
    times = {
        name: row["times_faster"] for name, row in figures["commands"]["commands"].items() if "times_faster" in row
    }
    if times:
        worst = min(times, key=lambda name: times[name])
        yield Goal(
            f"other calls: faster than redis-py to Valkey (least: {worst})", 20, times[worst], "times", least=True
        )


def cthreads(figures: Figures) -> Iterator[Goal]:
    for row in figures["rows"]:
        if row["what"] == "shared":
            yield Goal("two C threads by one: throughput", 1.85, row["ratio"], "times", least=True)
            yield Goal("two C threads by one: by CPU time", 1.85, row["cpu_ratio"], "times", least=True)


def flat(figures: Figures) -> Iterator[Goal]:
    first, last = figures["rows"][0], figures["rows"][-1]
    for name, title in (("get_hit", "keys in the cache"), ("get_without_misses", "two cache misses taken off")):
        yield Goal(f"GET, {last['keys']:,} keys by {first['keys']:,}, {title}", 2.0, last[name] / first[name])


def growth(figures: Figures) -> Iterator[Goal]:
    calls = [row for row in figures["rows"] if row["part"] != "pages" and row["what"] != "control"]
    if calls:
        yield Goal("calls over 1 ms while tables grow (by CPU time)", 0, sum(row["cpu_over_1ms"] for row in calls))


def memory(figures: Figures) -> Iterator[Goal]:
    ratios = {row["shape"]: row["ratio"]["valkey"] for row in figures["shapes"] if "valkey" in row["ratio"]}
    if ratios:
        most = max(ratios, key=lambda shape: ratios[shape])
        yield Goal("memory by Valkey's: geometric mean of the shapes", 0.75, figures["geometric_mean"]["valkey"])
        yield Goal(f"memory by Valkey's: the largest ({most})", 1.0, round(ratios[most], 2))
    if "idle" in figures and "valkey" in figures["idle"]:
        mine, other = figures["idle"]["kvcore"], figures["idle"]["valkey"]
        yield Goal("idle server by Valkey's", 1.0, mine["resident_bytes"] / other["resident_bytes"])
        yield Goal("idle connection", 8, mine["connection_bytes"] / 1024, "KiB")
    if "fresh_store" in figures:
        yield Goal("a fresh store opens in", 100, figures["fresh_store"]["open_us"], "µs")
        yield Goal("a fresh store holds", 1024, figures["fresh_store"]["resident_bytes"] / 1024, "KiB")


def churn(figures: Figures) -> Iterator[Goal]:
    ratios = [step for steps in figures["by_jemalloc"].values() for name, step in steps.items() if name != "filled"]
    if ratios:
        yield Goal("waste after churn by jemalloc's (the worst of the traces)", 0.6, max(ratios))


def hugepages(figures: Figures) -> Iterator[Goal]:
    for call, gain in figures["gain"].items():
        yield Goal(f"huge pages save of a random {call.upper()}", 0, 100 * gain, "%", least=True)


def longwork(figures: Figures) -> Iterator[Goal]:
    for row in figures["rows"]:
        if row["server"] == "kvcore":
            yield Goal(f"others' p99.9 during {row['what']}", 2, row["during_us"]["p99.9"] / 1000, "ms")


def persist(figures: Figures) -> Iterator[Goal]:
    ratios = {row["what"]: row["by_valkey"] for row in figures["rows"] if row.get("by_valkey")}
    for what, bound in (
        ("load of the snapshot", 0.4),
        ("load of base and log", 0.4),
        ("snapshot while others write", 1.0),
        ("snapshot under full write load", 1.0),
    ):
        if what in ratios:
            yield Goal(f"{what}, by Valkey's", bound, ratios[what])
    for part, row in figures["by_server"]["kvcore"].items():
        what = "a snapshot" if part == "files" else f"a snapshot of the {part} that is written"
        yield Goal(f"a writer's worst wait during {what}, beyond the idle worst", 1, row["beyond_idle_ms"], "ms")
        if "extra_share" in row:
            yield Goal("memory during a snapshot under full write load", 10, 100 * row["extra_share"], "%")
    rates = {(row["server"], row["level"], row["pipeline"]): row["rps"] for row in figures.get("levels", ())}
    for pipeline in (1, 16):
        if ("kvcore", "none", pipeline) in rates:
            share = rates["kvcore", "everysec", pipeline] / rates["kvcore", "none", pipeline]
            yield Goal(f"SET with everysec by none, pipeline {pipeline}", 0.85, share, least=True)
        if ("valkey", "always", pipeline) in rates:
            share = rates["kvcore", "always", pipeline] / rates["valkey", "always", pipeline]
            yield Goal(f"SET with always, 64 clients, pipeline {pipeline}, by Valkey", 1.0, share, least=True)
    if "in_process" in figures:
        times = figures["in_process"]
        share = times["none"]["ns"] / times["everysec"]["ns"]
        yield Goal("SET in the process with everysec by none", 0.85, share, least=True)


GOALS: Mapping[str, Callable[[Figures], Iterator[Goal]]] = {
    "server": server,
    "embedded": embedded,
    "cthreads": cthreads,
    "flat": flat,
    "growth": growth,
    "memory": memory,
    "churn": churn,
    "hugepages": hugepages,
    "longwork": longwork,
    "persist": persist,
}


def of(saved: Mapping[str, Figures]) -> list[Goal]:
    """All goals that there are figures for; `saved` by part."""
    return [goal for part, goals in GOALS.items() if part in saved for goal in goals(saved[part])]
