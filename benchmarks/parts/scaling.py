"""From C threads, no Python: how much more than one thread two do, beside what the machine itself gives them.

benchmarks/c/bench_threads.c measures a 50/50 mix of GET and SET with Zipf-distributed keys on one store, a session a
thread, and in the same rounds what bounds it: arithmetic alone, memory reads alone, and a store a thread.
"""

from __future__ import annotations

from typing import Any

import native

from kvcore.cli.bench.svg import BarGroup, BarPanel, bars

from .common import Settings, median, progress, save, say, spread

TITLES = {
    "arithmetic": "arithmetic in registers",
    "memory": "random reads of memory",
    "private": "a store a thread",
    "shared": "one store",
}


def run(settings: Settings) -> None:
    keys = settings.count(1_000_000, 200_000, 1000)
    rounds, seconds = settings.turns(9, 3), max(0.1, 0.5 * min(settings.scale, 1.0))
    with progress("building bench_threads"):
        program = native.build("bench_threads")
    with progress("bench_threads"):
        rows = native.run(program, "--keys", keys, "--threads", 2, "--seconds", seconds, "--rounds", rounds)
    rates: dict[tuple[str, int], list[float]] = {}
    for row in rows:
        rates.setdefault((row["what"], row["threads"]), []).append(row["per_second"])
    figures: dict[str, Any] = {}
    say(f"{'':26} {'1 thread':>12} {'2 threads':>12}  times   millions a second")
    for kind in dict.fromkeys(kind for kind, _ in rates):
        one, two = rates[kind, 1], rates[kind, 2]
        times = [b / a if a else 0.0 for a, b in zip(one, two, strict=True)]  # of the same round: noise hits both alike
        figures[kind] = {
            "one_thread_per_s": round(median(one)),
            "two_threads_per_s": round(median(two)),
            "times": round(median(times), 3),
            "times_spread": spread(times),
        }
        say(f"{TITLES.get(kind, kind):26} {median(one) / 1e6:12.2f} {median(two) / 1e6:12.2f}  {median(times):.2f}")
    settings.results.mkdir(parents=True, exist_ok=True)
    groups = [BarGroup(TITLES.get(kind, kind), [row["times"]]) for kind, row in figures.items()]
    panel = BarPanel("two threads by one", groups)
    note = "2 is the most there can be; what arithmetic and memory reach is what the machine gives"
    (settings.results / "scaling.svg").write_text(bars("From C threads", ["times one thread"], [panel], note))
    save(settings, "scaling", {"keys": keys, "rounds": rounds, "kinds": figures})
