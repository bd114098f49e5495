"""What other clients notice while a server does something long.

A probe (parts/probe.py) asks GET and SET of small keys of other names at a fixed rate on connections of its own, while
another client has one long thing done: a range, a whole hash or set of 10^6 elements is read, a key of 10^6 elements
deleted, 10^7 keys flushed, 10^6 keys expired within one second. Counted are the probe's answers in the second before
and from the event's beginning to its end (at least a second: what a server puts off is part of it).
"""

from __future__ import annotations

import subprocess
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvcore.cli.bench.svg import TimeChart, TimePanel, duration

from .common import Settings, Stolen, calmest, percentile, progress, save, say
from .probe import words
from .servers import RawConnection, Server, commands, running, versions

BEFORE_S = 1.0
AFTER_S = 1.0
CHUNK = 1000
MARK = b"@@@@@"
LIMIT_US = 2000.0
NICE = -10  # of the servers, all alike: the latencies are to be theirs, not the machine's


def chunks(template: bytes, count: int) -> Iterator[bytes]:
    """The template for CHUNK elements, again and again with another number where its mark is."""
    for index in range(-(-count // CHUNK)):
        yield template.replace(MARK, b"%05d" % index)


def many(command: bytes, key: bytes, *element: bytes) -> bytes:
    """`command key element...` for CHUNK elements; # in an element is its number within the chunk."""
    parts = [part.replace(b"#", b"%03d" % i) for i in range(CHUNK) for part in element]
    return words(*([command, key] if key else [command]), *parts)


def expiring(first_ms: int) -> bytes:
    """SET of CHUNK keys whose lives end spread evenly over the second from first_ms on."""
    sets = (words(b"SET", b"key:%b%03d" % (MARK, i), b"x" * 32, b"PXAT", b"%d" % (first_ms + i)) for i in range(CHUNK))
    return b"".join(sets)


@dataclass
class Case:
    name: str
    label: str
    elements: int
    quick: int
    template: bytes
    event: bytes
    fill_once: bool = False


BIG = 1_000_000
ELEMENT = b"element:" + MARK + b"#"
LIST, SET = many(b"RPUSH", b"big", ELEMENT), many(b"SADD", b"big", ELEMENT)
HASH, ZSET = many(b"HSET", b"big", ELEMENT, b"v" * 16), many(b"ZADD", b"big", b"#" + MARK, ELEMENT)
STRINGS = many(b"MSET", b"", b"key:" + MARK + b"#", b"x" * 32)
DEL = words(b"DEL", b"big")
CASES = [
    Case("lrange", "LRANGE of {n} elements", BIG, BIG, LIST, words(b"LRANGE", b"big", b"0", b"-1"), fill_once=True),
    Case("hgetall", "HGETALL of {n} fields", BIG, BIG, HASH, words(b"HGETALL", b"big"), fill_once=True),
    Case("smembers", "SMEMBERS of {n} members", BIG, BIG, SET, words(b"SMEMBERS", b"big"), fill_once=True),
    Case("del-list", "DEL of a list of {n} elements", BIG, BIG, LIST, DEL),
    Case("del-hash", "DEL of a hash of {n} fields", BIG, BIG, HASH, DEL),
    Case("del-set", "DEL of a set of {n} members", BIG, BIG, SET, DEL),
    Case("del-zset", "DEL of a sorted set of {n} members", BIG, BIG, ZSET, DEL),
    Case("flushall", "FLUSHALL of {n} keys", 10 * BIG, BIG, STRINGS, words(b"FLUSHALL")),
    Case("expire", "expiry of {n} keys in one second", BIG, BIG, b"", b""),
]
QUICK = ("lrange", "hgetall", "del-hash", "flushall", "expire")


class Probe:
    """The probe as a process, from `with` to its end; then `samples` are (due ns, latency ns, own delay ns)."""

    def __init__(self, server: Server, rate: int, what: str = "mixed", count: int = 1000) -> None:
        self.out = server.folder / "probe"
        program = Path(__file__).with_name("probe.py")
        arguments = [sys.executable, str(program), str(server.port), str(rate), str(self.out), what, str(count)]
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.samples: list[tuple[int, int, int]] = []

    def __enter__(self) -> Probe:
        assert self.process.stdout is not None
        if self.process.stdout.readline() != b"ready\n":
            raise RuntimeError("the probe did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate(timeout=900)
        if self.process.returncode:
            raise RuntimeError("the probe failed: see above")
        flat = array("q", self.out.read_bytes())
        self.samples = list(zip(flat[0::3], flat[1::3], flat[2::3], strict=True))
        self.out.unlink()


def keys_gone(server: Server) -> Callable[[], bool]:
    left = 2 * BIG // 1000  # the probe's own keys
    return lambda: int(server.do("DBSIZE")) <= left


def fill(bulk: RawConnection, case: Case, count: int) -> None:
    for request in chunks(case.template, count):
        bulk.run(request)


def run_expiry(server: Server, bulk: RawConnection, count: int, rate: int) -> tuple[Probe, int, int]:
    """Fill with lives that end in a second to come, and wait until all are gone. The event's begin and end, ns."""
    ahead = 1.0 + count / 200_000
    while True:
        first = time.time() + ahead
        for request in chunks(expiring(int(first * 1000)), count):
            bulk.run(request)
        if time.time() + BEFORE_S + 0.3 < first:
            break
        ahead *= 2
        server.do("FLUSHALL")
    time.sleep(first - time.time() - BEFORE_S - 0.2)
    with Probe(server, rate) as probe:
        time.sleep(max(0.0, first - time.time()))
        begun = time.monotonic_ns()
        gone = keys_gone(server)
        time.sleep(1.0)
        deadline = time.monotonic() + 20
        while not gone() and time.monotonic() < deadline:
            time.sleep(0.02)
        ended = time.monotonic_ns()
        time.sleep(AFTER_S)
    return probe, begun, ended


def run_event(server: Server, bulk: RawConnection, case: Case, rate: int) -> tuple[Probe, int, int]:
    with Probe(server, rate) as probe:
        time.sleep(BEFORE_S)
        begun = time.monotonic_ns()
        bulk.run(case.event)
        ended = time.monotonic_ns()
        time.sleep(AFTER_S)
    return probe, begun, ended


def percentiles_us(latencies: list[int]) -> dict[str, float]:
    ordered = sorted(latencies)
    shares = {"p50": 50, "p99": 99, "p99.9": 99.9, "max": 100}
    return {name: round(percentile(ordered, share) / 1000, 1) for name, share in shares.items()}


def trace(samples: list[tuple[int, int, int]], begun: int, bins: dict[int, float], width_s: float) -> None:
    """The worst latency of each stretch of time, rounds laid over each other, seconds from the event's beginning."""
    for due, latency, _ in samples:
        place = int((due - begun) / 1e9 // width_s)
        bins[place] = max(bins.get(place, 0.0), latency / 1000)


@dataclass
class Round:
    samples: list[tuple[int, int, int]]
    begun: int
    ended: int
    stolen: float


def measure(case: Case, settings: Settings, started: list[Server], rounds: int) -> list[dict[str, Any]]:
    count = settings.count(case.elements, case.quick, 2 * CHUNK)
    runs: dict[str, list[Round]] = {server.name: [] for server in started}
    for turn in range(rounds):
        for server in started:
            with progress(f"{case.name}, round {turn + 1} of {rounds}, {server.name}"):
                bulk = RawConnection(server.port)
                try:
                    if case.name == "expire":
                        server.do("FLUSHALL")
                        with Stolen() as stolen:
                            probe, begun, ended = run_expiry(server, bulk, count, settings.rate)
                    else:
                        if turn == 0 or not case.fill_once:
                            server.do("FLUSHALL")
                            fill(bulk, case, count)
                            time.sleep(0.3)
                        with Stolen() as stolen:
                            probe, begun, ended = run_event(server, bulk, case, settings.rate)
                finally:
                    bulk.close()
            runs[server.name].append(Round(probe.samples, begun, ended, stolen.share))
    for server in started:
        server.do("FLUSHALL")
    return [pool(case, name, count, of_one) for name, of_one in runs.items()]


def pool(case: Case, name: str, count: int, runs: list[Round]) -> dict[str, Any]:
    """One server's row: the calmest rounds laid over each other."""
    width_s = 0.01
    before: list[int] = []
    during: list[int] = []
    own: list[int] = []
    bins: dict[int, float] = {}
    kept = calmest(runs, lambda run: run.stolen)
    for run in kept:
        until = max(run.ended, run.begun + int(AFTER_S * 1e9))
        before += [latency for due, latency, _ in run.samples if due + latency < run.begun]
        during += [latency for due, latency, _ in run.samples if run.begun <= due + latency and due <= until]
        own += [delay for _, _, delay in run.samples]
        trace(run.samples, run.begun, bins, width_s)
    return {
        "case": case.name,
        "what": case.label.format(n=f"{count:,}"),
        "server": name,
        "rounds": len(kept),
        "stolen": [run.stolen for run in runs],
        "event_ms": [round((run.ended - run.begun) / 1e6, 2) for run in kept],
        "samples_during": len(during),
        "before_us": percentiles_us(before),
        "during_us": percentiles_us(during),
        "probe_own_delay_us": percentiles_us(own),
        "trace": {"bin_s": width_s, "max_us": [[b, round(us, 1)] for b, us in sorted(bins.items())]},
    }


def chart(rows: list[dict[str, Any]]) -> str:
    panels = []
    for row in rows:
        width = row["trace"]["bin_s"]
        during = row["during_us"]
        event_s = sorted(row["event_ms"])[len(row["event_ms"]) // 2] / 1000
        shares = ", ".join(f"{name} {duration(during[name])}" for name in ("p99", "p99.9", "max"))
        note = f"event {duration(event_s * 1e6)}; {shares}"
        points = [(place * width, us) for place, us in row["trace"]["max_us"]]
        panels.append(TimePanel(row["server"], points, (0.0, event_s), note))
    title = f"Other clients' latency during {rows[0]['what']}"
    note = "worst GET or SET in each 10 ms, all rounds; the event is shaded"
    return TimeChart(title, panels, LIMIT_US, note, "seconds from the event's beginning").svg()


def run(settings: Settings) -> None:
    rounds = settings.turns(3, 1)
    names = QUICK if settings.quick and not settings.only else tuple(case.name for case in CASES)
    cases = [case for case in CASES if case.name in names and settings.wants(case.name)]
    if not cases:
        raise SystemExit(f"longwork: --only names none of {', '.join(case.name for case in CASES)}")
    wanted = commands(settings, ("valkey",))
    rows = []
    titles = ("p50", "p99", "p99.9", "max")
    columns = "".join(f"{title:>9}" for title in titles)
    say(f"{'':29} | us before{columns[9:]} | us during{columns[9:]} | the probe's own")
    say(f"{'case':10} {'server':8} {'event ms':>9} |{columns} |{columns} | p99.9")
    settings.results.mkdir(parents=True, exist_ok=True)
    for case in cases:
        with running(wanted, NICE) as started:
            mine = measure(case, settings, started, rounds)
        for row in mine:
            figures = [
                " |" + "".join(f"{row[when][title]:9.0f}" for title in titles) for when in ("before_us", "during_us")
            ]
            event = sorted(row["event_ms"])[len(row["event_ms"]) // 2]
            own = row["probe_own_delay_us"]["p99.9"]
            say(f"{case.name:10} {row['server']:8} {event:9.2f}{''.join(figures)} | {own:.0f}")
        rows += mine
        (settings.results / f"longwork-{case.name}.svg").write_text(chart(mine))
    saved = {
        "rate_per_s": settings.rate,
        "servers_nice": NICE,
        "limit_us": LIMIT_US,
        "versions": versions(list(wanted)),
        "rows": rows,
    }
    save(settings, "longwork", saved)
