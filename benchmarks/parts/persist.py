"""What keeping data costs: snapshots and what others notice of them, loading, and the log's levels.

One server at a time, each with a folder of its own, the same steps for all:

- `snapshot`: N keys of 16 + 32 bytes. BGSAVE while a probe (parts/probe.py) writes all over the keys at a fixed rate;
  the worst wait of the probe during it, beside the worst in as long a time before it. Then the same with
  valkey-benchmark writing as fast as it can: the memory that the snapshot takes at its most.
- `load`: a start on that snapshot, until the server answers; then on a base of the same keys plus a log of 3 M SETs.
- `hash`, `zset`, `list`: a key of 10^6 elements is saved while the probe changes elements of this very key.
- `levels`: SETs of 64 clients without a log, with everysec and with always.

Memory is the processes' proportional share (Pss), a forked child's included. The folder is on the disk of
$TMPDIR; the files are in the page cache when they are loaded, for all alike.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kvcore.cli.bench.svg import BarGroup, BarPanel, bars

from .common import Settings, Stolen, calmest, median, percentile, progress, save, say
from .longwork import HASH, LIST, NICE, ZSET, Probe, chunks
from .server import Load, drive, fill
from .servers import RawConnection, Server, commands, find, versions

LOG = ["--appendonly", "yes", "--auto-aof-rewrite-percentage", "0", "--appendfsync"]
BIG = {"hash": HASH, "zset": ZSET, "list": LIST}


@contextmanager
def started(name: str, words: list[str], folder: Path, *options: str) -> Iterator[Server]:
    server = Server(name, [*words, *options], timeout=900, nice=NICE, folder=str(folder))
    try:
        yield server
    finally:
        server.stop()


def wait_for(server: Server, field: str) -> None:
    """Until INFO persistence shows `field` as 0."""
    while f"{field}:0\r\n".encode() not in bytes(server.do("INFO", "persistence")):
        time.sleep(0.005)


def save_once(server: Server) -> float:
    """Seconds of one BGSAVE."""
    begun = time.perf_counter()
    server.do("BGSAVE")
    wait_for(server, "rdb_bgsave_in_progress")
    if b"rdb_last_bgsave_status:ok" not in bytes(server.do("INFO", "persistence")):
        raise RuntimeError(f"{server.name}: BGSAVE failed: {server.last_words()}")
    return time.perf_counter() - begun


def stalls(server: Server, rounds: int, settings: Settings, what: str, count: int) -> dict[str, Any]:
    """Snapshots under a probe: their time, and the probe's waits during them and in as long a time before."""
    guess = save_once(server)
    runs = []
    for _ in range(rounds):
        with Stolen() as stolen, Probe(server, settings.rate, what, count) as probe:
            time.sleep(guess + 0.2)
            begun = time.monotonic_ns()
            taken = save_once(server)
            ended = time.monotonic_ns()
        idle = sorted(wait for due, wait, _ in probe.samples if begun - (ended - begun) <= due and due + wait < begun)
        busy = sorted(wait for due, wait, _ in probe.samples if begun <= due + wait and due <= ended)
        runs.append((stolen.share, taken, idle, busy))
    kept = calmest(runs, lambda run: run[0])
    ms = 1e6
    return {
        "snapshot_s": round(median([run[1] for run in kept]), 3),
        "idle_max_ms": round(median([run[2][-1] for run in kept]) / ms, 3),
        "busy_max_ms": round(median([run[3][-1] for run in kept]) / ms, 3),
        "beyond_idle_ms": round(median([run[3][-1] - run[2][-1] for run in kept]) / ms, 3),
        "busy_p999_ms": round(median([percentile(run[3], 99.9) for run in kept]) / ms, 3),
        "all_max_ms": [[round(run[2][-1] / ms, 3), round(run[3][-1] / ms, 3)] for run in runs],
        "stolen": [run[0] for run in runs],
    }


def shared_bytes(server: Server) -> int:
    """Pss of the server and its children."""
    pid = server.process.pid
    total = 0
    for one in [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]:
        with suppress(OSError):
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def extra_memory(server: Server, keys: int) -> dict[str, float]:
    """The most that a snapshot takes beyond what the server held, while 64 clients SET all over the keys."""
    program = find("valkey-benchmark")
    if program is None:
        raise SystemExit("no valkey-benchmark here: `make peers` brings one")
    words = [program, "-p", str(server.port), "-n", "1000000000", "-P", "16", "-c", "64", "-r", str(keys), "-d", "32"]
    load = subprocess.Popen([*words, "-t", "set"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak, running = 0, True

    def watch() -> None:
        nonlocal peak
        while running:
            peak = max(peak, shared_bytes(server))
            time.sleep(0.02)

    thread = threading.Thread(target=watch)
    try:
        time.sleep(2)
        before = shared_bytes(server)
        written = int(server.do("INFO", "stats").split(b"total_commands_processed:")[1].split(b"\r")[0])
        thread.start()
        taken = save_once(server)
        written = int(server.do("INFO", "stats").split(b"total_commands_processed:")[1].split(b"\r")[0]) - written
    finally:
        running = False
        if thread.ident:
            thread.join()
        load.kill()
        load.wait()
    return {
        "loaded_snapshot_s": round(taken, 3),
        "writes_per_s": round(written / taken),
        "extra_share": round(max(0, peak - before) / before, 4),
    }


def starts(name: str, words: list[str], folder: Path, keys: int, rounds: int, *options: str) -> list[float]:
    found = []
    for _ in range(rounds):
        with started(name, words, folder, *options) as server:
            found.append(round(server.start_s, 3))
            if int(server.do("DBSIZE")) != keys:
                raise RuntimeError(f"{name} loaded {server.do('DBSIZE')} keys of {keys}")
    return found


def files(name: str, words: list[str], settings: Settings, folder: Path) -> dict[str, Any]:
    """`snapshot` and `load`, on the same keys."""
    keys = settings.count(10_000_000, 500_000, 10_000)
    records = settings.count(3_000_000, 200_000, 1000)
    rounds = settings.turns(3, 1)
    found: dict[str, Any] = {"keys": keys, "records": records}
    with started(name, words, folder) as server:
        fill(server, Load(32, keys, 1, "set", 0))
        found |= stalls(server, rounds, settings, "set", keys)
        found |= extra_memory(server, keys)
        save_once(server)
    if settings.wants("load"):
        found["load_s"] = starts(name, words, folder, keys, rounds)
        with started(name, words, folder) as server:
            server.do("CONFIG", "SET", "auto-aof-rewrite-percentage", "0")
            server.do("CONFIG", "SET", "appendonly", "yes")
            time.sleep(0.2)
            wait_for(server, "aof_rewrite_scheduled")
            wait_for(server, "aof_rewrite_in_progress")
            drive(find("valkey-benchmark") or "", server, Load(32, keys, 16, "set", records))
        found["load_log_s"] = starts(name, words, folder, keys, rounds, *LOG, "everysec")
    return found


def big(name: str, words: list[str], settings: Settings, folder: Path, what: str) -> dict[str, Any]:
    count = settings.count(1_000_000, 200_000, 10_000)
    with started(name, words, folder) as server:
        bulk = RawConnection(server.port)
        for request in chunks(BIG[what], count):
            bulk.run(request)
        bulk.close()
        return {"elements": count, **stalls(server, settings.turns(9, 3), settings, what, count)}


def levels(wanted: dict[str, list[str]], settings: Settings) -> list[dict[str, Any]]:
    """SETs a second at each level; the levels take turns, and the servers."""
    program = find("valkey-benchmark")
    if program is None:
        raise SystemExit("no valkey-benchmark here: `make peers` brings one")
    options = {"none": [], "everysec": [*LOG, "everysec"], "always": [*LOG, "always"]}
    loads = {
        16: Load(32, 1_000_000, 16, "set", settings.count(1_500_000, 300_000, 2000)),
        1: Load(32, 1_000_000, 1, "set", settings.count(150_000, 30_000, 2000)),
    }
    runs: dict[tuple[str, str, int], list[dict[str, float]]] = {}
    for _ in range(settings.turns(5, 1)):
        for name, words in wanted.items():
            for level, more in options.items():
                with tempfile.TemporaryDirectory(prefix="kvcore-bench-") as folder:
                    with started(name, words, Path(folder), *more) as server, progress(f"levels: {name}, {level}"):
                        for pipeline, load in loads.items():
                            runs.setdefault((name, level, pipeline), []).append(drive(program, server, load))
    rows = []
    for (name, level, pipeline), mine in runs.items():
        kept = calmest(mine, lambda run: run["stolen"])
        row: dict[str, Any] = {"server": name, "level": level, "pipeline": pipeline}
        row |= {what: round(median([run[what] for run in kept]), 3) for what in ("rps", "p99_ms", "cpu_us")}
        row["all_rps"] = [run["rps"] for run in mine]
        rows.append(row)
    return rows


def in_process(settings: Settings) -> dict[str, dict[str, float]]:
    """SETs from one Python thread into a file, ns each, by level, which take turns; without compaction."""
    import kvcore

    count = settings.count(1_000_000, 200_000, 1000)
    keys = [b"key:%012d" % number for number in range(count)]
    value = b"x" * 32
    runs: dict[str, list[float]] = {}
    for _ in range(settings.turns(5, 1)):
        for level in ("none", "everysec"):
            with tempfile.TemporaryDirectory(prefix="kvcore-bench-") as folder:
                with kvcore.open(f"{folder}/app.kv", durability=level) as db:  # type: ignore[arg-type]
                    for key in keys:
                        db.set(key, value)
                    db.config_set("auto-aof-rewrite-percentage", 0)
                    put = db.set
                    begun = time.perf_counter()
                    for key in keys:
                        put(key, value)
                    runs.setdefault(level, []).append((time.perf_counter() - begun) / count * 1e9)
    return {level: {"ns": round(median(found), 1), "least_ns": round(min(found), 1)} for level, found in runs.items()}


def rows_of(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """What was measured, a line each: the servers' figures, and kvcore's by Valkey's."""
    names = figures["servers"]
    rows = []

    def line(what: str, by_name: dict[str, float | None], unit: str) -> None:
        row: dict[str, Any] = {"what": what, "unit": unit} | {name: by_name.get(name) for name in names}
        mine, other = by_name.get("kvcore"), by_name.get("valkey")
        row["by_valkey"] = round(mine / other, 3) if mine is not None and other else None
        rows.append(row)

    found = figures["by_server"]
    titles = {
        "snapshot_s": ("snapshot while others write", "s"),
        "idle_max_ms": ("a writer's worst wait before a snapshot", "ms"),
        "busy_max_ms": ("a writer's worst wait during a snapshot", "ms"),
        "busy_p999_ms": ("a writer's p99.9 during a snapshot", "ms"),
        "loaded_snapshot_s": ("snapshot under full write load", "s"),
        "writes_per_s": ("SETs a second during it", ""),
        "extra_share": ("memory beyond what was held, during it", "share"),
    }
    for part in ("files", *BIG):
        for field, (title, unit) in titles.items():
            by_name = {name: found[name][part].get(field) for name in names if part in found[name]}
            if any(value is not None for value in by_name.values()):
                line(title if part == "files" else f"{part} of 10^6 elements: {title}", by_name, unit)
    for field, title in (("load_s", "load of the snapshot"), ("load_log_s", "load of base and log")):
        by_name = {name: median(found[name]["files"][field]) for name in names if field in found[name].get("files", {})}
        if by_name:
            line(title, by_name, "s")
    for pipeline in (1, 16):
        for level in ("none", "everysec", "always"):
            mine = {
                r["server"]: r["rps"]
                for r in figures.get("levels", ())
                if (r["level"], r["pipeline"]) == (level, pipeline)
            }
            if mine:
                line(f"SETs a second, 64 clients, pipeline {pipeline}, {level}", mine, "")
    return rows


def chart(figures: dict[str, Any]) -> str:
    names = figures["servers"]
    rows = {row["what"]: row for row in figures["rows"]}
    panels = []
    for title, whats in {
        "seconds": ("snapshot while others write", "load of the snapshot", "load of base and log"),
        "worst wait of a writer during a snapshot, ms": ("a writer's worst wait during a snapshot",),
    }.items():
        groups = [BarGroup(what, [rows[what][name] for name in names]) for what in whats if what in rows]
        panels += [BarPanel(title, groups)] if groups else []
    return bars("Keeping data", names, panels, "less is better")


def run(settings: Settings) -> None:
    wanted = commands(settings, ("valkey",))
    wanted["kvcore"] += ["--dir", "{dir}", "--save", "", "--appendonly", "no"]
    by_server: dict[str, Any] = {name: {} for name in wanted}
    for name, words in wanted.items():
        for part in ("files", *BIG):
            if not (
                settings.wants(part) or (part == "files" and (settings.wants("snapshot") or settings.wants("load")))
            ):
                continue
            folder = Path(tempfile.mkdtemp(prefix="kvcore-bench-"))
            try:
                with progress(f"{part}, {name}"):
                    measured = (
                        files(name, words, settings, folder)
                        if part == "files"
                        else big(name, words, settings, folder, part)
                    )
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            by_server[name][part] = measured
            say(
                f"{name:8} {part:8} "
                + ", ".join(f"{k} {v}" for k, v in measured.items() if k not in ("stolen", "all_max_ms"))
            )
    figures: dict[str, Any] = {"servers": list(wanted), "versions": versions(list(wanted)), "servers_nice": NICE}
    figures |= {"rate_per_s": settings.rate, "by_server": by_server}
    if settings.wants("levels"):
        figures["levels"] = levels(wanted, settings)
        figures["in_process"] = in_process(settings)
    figures["rows"] = rows_of(figures)
    for row in figures["rows"]:
        cells = "".join(f"{row[name] if row[name] is not None else '-':>12}" for name in wanted)
        say(f"{row['what']:74}{cells} {row['unit']:6} {row['by_valkey'] if row['by_valkey'] is not None else '':>8}")
    if "in_process" in figures:
        say("SET in the process, ns: " + ", ".join(f"{k} {v['ns']}" for k, v in figures["in_process"].items()))
    if by_server["kvcore"].get("files"):
        (settings.results / "persist.svg").write_text(chart(figures))
    save(settings, "persist", figures)
