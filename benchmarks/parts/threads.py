"""Threads: kvcore's server with 1, 2 and 4 network threads, and what a shard's lock costs (benchmarks/c)."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from kvcore.cli.bench.svg import BarGroup, BarPanel, bars

from . import server
from .common import ROOT, Settings, median, save, say
from .servers import commands


def threads(settings: Settings) -> None:
    """Which number `io-threads auto` should choose."""
    words = commands(settings, ())["kvcore"]
    wanted = {f"{n} thread{'s' * (n > 1)}": [*words, "--io-threads", str(n)] for n in (1, 2, 4)}
    todo = [load for load in server.loads(settings) if load.size == 32 and load.test in ("set", "get")]
    if settings.quick:
        todo = [load for load in todo if load.pipeline > 1]
    rows = server.compare(wanted, todo, settings.turns(3, 1), "1 thread")
    server.show(rows, "1 thread")
    settings.results.mkdir(parents=True, exist_ok=True)
    (settings.results / "threads.svg").write_text(server.chart(rows, 32, list(wanted)))
    save(settings, "threads", {"rounds": settings.turns(3, 1), "rows": rows})


COLUMNS = ("1 thread", "2 threads, 1 shard", "2 threads, 4 shards", "2 threads, 16 shards", "2 threads, 64 shards")


def locks(settings: Settings) -> None:
    native = ROOT / "src" / "kvcore" / "_native"
    rounds = settings.turns(3, 1)
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "bench_locks"
        sources = [ROOT / "benchmarks" / "c" / "bench_locks.c", native / "base" / "sync.c", native / "base" / "clock.c"]
        flags = ["-std=gnu11", "-D_GNU_SOURCE", "-O2", f"-I{native}", "-lpthread"]
        subprocess.run(["gcc", *map(str, sources), *flags, "-o", str(program)], check=True)
        runs = [subprocess.run([program], capture_output=True, text=True, check=True).stdout for _ in range(rounds)]
    say(runs[-1])
    tables = [[line.rsplit(None, 5) for line in run.splitlines()[1:]] for run in runs]
    figures = {}
    for row in range(len(tables[0])):
        medians = [round(median([float(table[row][1 + k]) for table in tables]), 1) for k in range(len(COLUMNS))]
        figures[tables[0][row][0]] = dict(zip(COLUMNS, medians, strict=True))
    panel = BarPanel("ns an operation, all threads together", [
        BarGroup(column, [row[column] for row in figures.values()]) for column in COLUMNS
    ])  # fmt: skip
    settings.results.mkdir(parents=True, exist_ok=True)
    (settings.results / "locks.svg").write_text(bars("What a shard's lock costs", list(figures), [panel]))
    save(settings, "locks", {"unit": "ns an operation, all threads together", "locks": figures})
