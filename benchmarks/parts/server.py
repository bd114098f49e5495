"""Servers side by side: SET, GET, LPUSH and ZADD with 64 clients, driven by valkey-benchmark.

Throughput and p99 are the tool's; CPU an operation is the server's user and system time as the kernel accounts it, so
it does not depend on how fast the load comes. Servers take turns, round after round; figures are medians of the rounds
in which the machine's host took least of its processors (stolen time moves p99 tenfold, whoever is measured).
"""

from __future__ import annotations

import csv
import io
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kvcore.cli.bench.svg import BarGroup, BarPanel, bars

from .common import Settings, Stolen, calmest, median, progress, save, say, spread
from .servers import RawConnection, Server, commands, find, running, versions

CLIENTS = 64
MEASURES = {"rps": "requests a second", "p99_ms": "p99, ms", "cpu_us": "CPU, µs an operation"}


@dataclass(frozen=True)
class Load:
    """One row: a test with a pipeline depth and a value size."""

    size: int
    keys: int
    pipeline: int
    test: str
    requests: int

    @property
    def name(self) -> str:
        return f"{self.test}-P{self.pipeline}-{self.size}"


def loads(settings: Settings) -> list[Load]:
    """Big values get fewer keys and requests, so that three servers with their data fit into memory."""
    found = []
    sizes = [(32, 1_000_000, 200_000, 1_500_000, ("set", "get", "lpush", "zadd"))]
    if not settings.quick or settings.only:
        sizes += [(1024, 1_000_000, 150_000, 500_000, ("set", "get", "lpush"))]
        sizes += [(16384, 50_000, 60_000, 100_000, ("set", "get", "lpush"))]
    for size, keys, one, many, tests in sizes:
        for pipeline, full in ((1, one), (16, many)):
            requests = settings.count(full, full // 3, 2000)
            for test in tests:
                found.append(Load(size, settings.count(keys, least=1000), pipeline, test, requests))
    return [load for load in found if settings.wants(load.name)]


def fill(server: Server, load: Load) -> None:
    """Every key that valkey-benchmark may ask for, so that each GET finds one."""
    raw = RawConnection(server.port)
    value, chunk = b"x" * load.size, max(1, min(1000, (1 << 20) // load.size))
    try:
        for first in range(0, load.keys, chunk):
            count = min(chunk, load.keys - first)
            parts = b"".join(
                b"$16\r\nkey:%012d\r\n$%d\r\n%b\r\n" % (number, load.size, value)
                for number in range(first, first + count)
            )
            raw.run(b"*%d\r\n$4\r\nMSET\r\n%b" % (2 * count + 1, parts))
    finally:
        raw.close()


def drive(program: str, server: Server, load: Load) -> dict[str, float]:
    """One run of valkey-benchmark: requests a second, p99 in ms, server CPU in us an operation."""
    words = [program, "-p", str(server.port), "-n", str(load.requests), "-P", str(load.pipeline), "-c", str(CLIENTS)]
    words += ["-r", str(load.keys), "-d", str(load.size), "-t", load.test, "--csv"]
    before = server.cpu_s()
    with Stolen() as stolen:
        done = subprocess.run(words, capture_output=True, text=True, timeout=900, check=False)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    if not rows:
        raise SystemExit(f"valkey-benchmark against {server.name}: {done.stdout[-300:]}{done.stderr[-300:]}")
    cpu = (server.cpu_s() - before) * 1e6 / load.requests
    found = {"rps": float(rows[0]["rps"]), "p99_ms": float(rows[0]["p99_latency_ms"]), "cpu_us": cpu}
    return found | {"stolen": stolen.share}


def compare(wanted: dict[str, list[str]], todo: Sequence[Load], rounds: int, base: str) -> list[dict[str, Any]]:
    """All servers under all loads; one row for each pair, with the ratios to `base` if that is among them."""
    program = find("valkey-benchmark")
    if program is None:
        raise SystemExit("no valkey-benchmark here: `make peers` brings one")
    runs: dict[tuple[Load, str], list[dict[str, float]]] = {}
    with running(wanted) as started:
        for turn in range(rounds):
            for load in todo:
                for server in started:
                    with progress(f"{load.name}, round {turn + 1} of {rounds}, {server.name}"):
                        if load.test == "get":
                            fill(server, load)
                        else:
                            server.do("FLUSHALL")
                        runs.setdefault((load, server.name), []).append(drive(program, server, load))
                        if load.size > 1000 and load.test != "set":
                            server.do("FLUSHALL")  # three lists of big values would not fit into memory together
    kept = {place: calmest(all_runs, lambda run: run["stolen"]) for place, all_runs in runs.items()}
    rows = []
    for load in todo:
        for name in wanted:
            mine = kept[load, name]
            row: dict[str, Any] = {"size": load.size, "pipeline": load.pipeline, "test": load.test, "server": name}
            row |= {"clients": CLIENTS, "keys": load.keys, "requests": load.requests}
            row |= {"runs": len(mine), "stolen": [run["stolen"] for run in runs[load, name]]}
            for what, digits in (("rps", 0), ("p99_ms", 3), ("cpu_us", 3)):
                column = [run[what] for run in mine]
                row[what], row[f"{what}_spread"] = round(median(column), digits), spread(column)
                if base in wanted:
                    reference = median([run[what] for run in kept[load, base]])
                    row[f"{what}_ratio"] = round(median(column) / max(reference, 1e-9), 3)
            rows.append(row)
    return rows


def show(rows: list[dict[str, Any]], base: str) -> None:
    say(f"{'bytes':>5} {'P':>3} {'test':6} {'server':10} {'rps':>10} {'p99 ms':>8} {'cpu us/op':>10}   "
        f"ratio to {base}: rps    p99    cpu")  # fmt: skip
    for row in rows:
        ratios = "  ".join(f"{row.get(f'{what}_ratio', 0):5.2f}" for what in ("rps", "p99_ms", "cpu_us"))
        say(f"{row['size']:5} {row['pipeline']:3} {row['test']:6} {row['server']:10} {row['rps']:10.0f} "
            f"{row['p99_ms']:8.3f} {row['cpu_us']:10.3f}   {'':{len(base) + 10}} {ratios}")  # fmt: skip


def chart(rows: list[dict[str, Any]], size: int, servers: Sequence[str]) -> str:
    """Throughput, p99 and CPU an operation, for both pipeline depths."""
    by_place = {(row["pipeline"], row["test"], row["server"]): row for row in rows if row["size"] == size}
    tests = [test for test in ("set", "get", "lpush", "zadd") if any(key[1] == test for key in by_place)]
    panels = []
    for pipeline in sorted({key[0] for key in by_place}):
        for what, title in MEASURES.items():
            groups = [
                BarGroup(test.upper(), [by_place.get((pipeline, test, name), {}).get(what) for name in servers])
                for test in tests
            ]
            panels.append(BarPanel(f"pipeline {pipeline}: {title}", groups))
    title = f"64 clients, values of {size} bytes"
    note = "throughput: more is better; p99 and CPU: less is better"
    return bars(title, servers, panels, note, columns=3)


def run(settings: Settings) -> None:
    wanted = commands(settings)
    todo = loads(settings)
    if not todo:
        raise SystemExit("server: --only names no row such as set-P16-32")
    rounds = settings.turns(5, 1)
    rows = compare(wanted, todo, rounds, "valkey")
    show(rows, "valkey")
    for size in sorted({load.size for load in todo}):
        settings.results.mkdir(parents=True, exist_ok=True)
        (settings.results / f"server-{size}.svg").write_text(chart(rows, size, list(wanted)))
    save(settings, "server", {"rounds": rounds, "versions": versions(list(wanted)), "rows": rows})
