"""Memory below the store, from C (benchmarks/c): what allocators hold beyond what was asked for, after churn, and what
huge pages are worth."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import native

from kvcore.cli.bench.svg import BarGroup, BarPanel, bars

from .common import ROOT, Settings, median, output_of, progress, save, say, spread

# --- churn ---

TRACES = {
    "16-128, then 24-256": (16, 128, 24, 256),
    "16-1024, then 64-4096": (16, 1024, 64, 4096),
    "100-20000, then 50-9000": (100, 20000, 50, 9000),
}
STEPS = ("filled", "half deleted", "filled again")
KINDS = {
    "kvcore": "compact",
    "kvcore, blocks not moved": "arena",
    "jemalloc": "malloc",
    "glibc's malloc": "malloc",
}


def jemalloc() -> tuple[list[str], dict[str, str]] | None:
    """The words before a program, and the environment, that give it jemalloc: the system's, or the one that came with
    the peers, which needs the C library that it came with."""
    options = {"MALLOC_CONF": "background_thread:true"}
    for line in output_of("/sbin/ldconfig", "-p").splitlines():
        if "libjemalloc.so.2" in line and " => " in line:
            return [], {**options, "LD_PRELOAD": line.split(" => ")[1].strip()}
    root = Path(os.environ.get("KVCORE_PEERS", ROOT / "build" / "peers")) / "root"
    library = next(root.rglob("libjemalloc.so.2"), None)
    loader = next(root.rglob("ld-linux-*.so.*"), None)
    libc = next(root.rglob("libc.so.6"), None)
    if library is None or loader is None or libc is None:
        return None
    return [str(loader), "--library-path", f"{libc.parent}:{library.parent}", "--preload", str(library)], options


def churn(settings: Settings) -> None:
    """The same trace for all, at the same time: what is measured is no time."""
    program = native.build("bench_churn")
    mib = settings.count(100, least=2)
    preload = jemalloc()
    if preload is None:
        settings.missing["jemalloc"] = "no libjemalloc.so.2 here: `make peers` brings one"
        say(f"missing: jemalloc ({settings.missing['jemalloc']})")
    traces = dict(list(TRACES.items())[:2]) if settings.quick else TRACES
    started: dict[tuple[str, str], subprocess.Popen[str]] = {}
    with progress("churn: fill, delete, fill again; four waits of 11 s"):
        for trace, sizes in traces.items():
            for kind, mode in KINDS.items():
                if kind == "jemalloc" and preload is None:
                    continue
                before, added = preload if kind == "jemalloc" and preload else ([], {})
                words = [*before, str(program), mode, *map(str, sizes), str(mib)]
                environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"} | added
                started[trace, kind] = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)
        said = {place: process.communicate(timeout=300)[0] for place, process in started.items()}
    rows = []
    say(f"{'waste of requested bytes':26} {'':26} " + " ".join(f"{step:>13}" for step in STEPS))
    for (trace, kind), lines in said.items():
        if started[trace, kind].returncode:
            raise RuntimeError(f"{kind}, {trace}: status {started[trace, kind].returncode}")
        steps = [json.loads(line) for line in lines.splitlines()]
        waste = {step["step"]: round(step["resident"] / step["live"] - 1, 4) for step in steps if step["live"]}
        rows.append({"trace": trace, "allocator": kind, "waste": waste, "steps": steps})
        say(f"{trace:26} {kind:26} " + " ".join(f"{waste[step]:13.1%}" for step in STEPS))
    figures = {"live_mib": mib, "rows": rows, "by_jemalloc": ratios(rows)}
    (settings.results / "churn.svg").write_text(churn_chart(rows, mib))
    save(settings, "churn", figures)


def ratios(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """kvcore's waste by jemalloc's, a trace and step."""
    by_place = {(row["trace"], row["allocator"]): row["waste"] for row in rows}
    return {
        trace: {step: round(waste[step] / max(by_place[trace, "jemalloc"][step], 1e-9), 3) for step in STEPS}
        for (trace, kind), waste in by_place.items()
        if kind == "kvcore" and (trace, "jemalloc") in by_place
    }


def churn_chart(rows: list[dict[str, Any]], mib: int) -> str:
    kinds = list(dict.fromkeys(row["allocator"] for row in rows))
    by_place = {(row["trace"], row["allocator"]): row["waste"] for row in rows}
    panels = [
        BarPanel(
            f"{trace} bytes: waste, % of {mib} MiB",
            [BarGroup(step, [100 * by_place[trace, kind][step] for kind in kinds]) for step in STEPS],
        )
        for trace in dict.fromkeys(row["trace"] for row in rows)
    ]
    note = "resident beyond what was asked for, 11 s after each step; less is better"
    return bars("What allocators hold beyond what was asked for", kinds, panels, note)


# --- huge pages ---

MODES = {"huge pages": "no", "small pages": "yes"}  # disable-thp


def turn(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    return heard(process)


def heard(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"bench_huge ended with status {process.wait()}")
    found: dict[str, Any] = json.loads(line)
    return found


def offered() -> str:
    """What the kernel offers: always, madvise or never."""
    path = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    words = path.read_text().split() if path.exists() else []
    return next((word.strip("[]") for word in words if word.startswith("[")), "not there")


def hugepages(settings: Settings) -> None:
    """Two stores, one with huge pages and one without, take turns."""
    program = native.build("bench_huge")
    keys, calls = settings.count(16_000_000, 2_000_000, 10_000), settings.count(2_000_000, 500_000, 1000)
    rounds = settings.turns(7, 3)
    times: dict[str, list[dict[str, Any]]] = {name: [] for name in MODES}
    filled: dict[str, dict[str, Any]] = {}
    with ExitStack() as closing:
        started: dict[str, subprocess.Popen[str]] = {}
        for name, disabled in MODES.items():
            with progress(f"huge pages: filling {keys:,} keys, {name}"):
                words = [str(program), disabled, "--keys", str(keys), "--calls", str(calls)]
                process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                closing.callback(process.wait)
                closing.callback(process.kill)
                started[name] = process
                filled[name] = heard(process)
        for number in range(rounds):
            for name in list(MODES) if number % 2 else list(MODES)[::-1]:
                with progress(f"huge pages, round {number + 1} of {rounds}, {name}"):
                    times[name].append(turn(started[name]))
    rows = []
    for name in MODES:
        row: dict[str, Any] = {"pages": name, **filled[name]}
        for what in ("get", "set"):
            column = [each[what]["cpu_ns"] for each in times[name]]
            row[what] = {"cpu_ns": round(median(column), 1), "spread": spread(column)}
            row[what]["wall_ns"] = round(median([each[what]["wall_ns"] for each in times[name]]), 1)
        rows.append(row)
    gain = {what: round(1 - rows[0][what]["cpu_ns"] / rows[1][what]["cpu_ns"], 3) for what in ("get", "set")}
    say(f"the kernel offers huge pages: {offered()}; {keys:,} keys")
    for row in rows:
        mib = [row[name] / 2**20 for name in ("resident", "huge")]
        cost = " ".join(f"{what.upper()} {row[what]['cpu_ns']:.0f} ns" for what in ("get", "set"))
        say(f"{row['pages']:12} {mib[0]:8,.0f} MiB resident, {mib[1]:8,.0f} of them huge; {cost}")
    say(f"huge pages save {gain['get']:.0%} of a random GET, {gain['set']:.0%} of a random SET")
    groups = [BarGroup(what.upper(), [row[what]["cpu_ns"] for row in rows]) for what in ("get", "set")]
    title = f"Huge pages: random calls on {keys:,} keys, {rows[0]['resident'] / 2**30:.2g} GiB"
    panel = BarPanel("ns of CPU a call, one thread", groups)
    (settings.results / "hugepages.svg").write_text(bars(title, list(MODES), [panel], "less is better"))
    save(settings, "hugepages", {"offered": offered(), "rounds": rounds, "calls": calls, "rows": rows, "gain": gain})
