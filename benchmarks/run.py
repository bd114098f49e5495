#!/usr/bin/env python3
"""The project's benchmarks, side by side with the peers in one run. Each part prints a table and saves its figures,
with commit, machine, date and command, under benchmarks/results; `report` makes the Markdown tables of them.

  run.py embedded   calls from one Python thread: get and set beside dict and the peers, other commands beside redis-py
  run.py server     RESP servers, 64 clients: throughput, p99 and server CPU an operation
  run.py memory     resident bytes a key or element, after churn, of an idle server, connection and store
  run.py churn      what allocators hold after churn beyond what was asked for: our slabs, jemalloc, glibc's malloc
  run.py hugepages  random GETs and SETs with and without huge pages
  run.py longwork   what other clients notice while a server does something long
  run.py persist    snapshots, what others notice of them, loading, the log's levels
  run.py cthreads   two threads of a C program beside one, and beside two that share nothing
  run.py growth     how long single calls take while tables grow and shrink
  run.py flat       what a call costs in stores of 10^4 to 10^7 keys
  run.py cores      what 16 to 128 cores would give, computed from measured lock hold times
  run.py threads    kvcore with 1, 2, 4 network threads: what `io-threads auto` should choose
  run.py locks      what a shard's lock costs
  run.py report     results/README.md, the charts, and the README's table, from the figures that are there
  run.py all        all of them, one after the other (make bench); with --quick in about two minutes (make bench-quick)

Servers and subjects take turns, round after round, and figures are medians over the rounds, because machines are noisy.
A peer that is not here is reported as missing, with the reason. A part that fails is told and does not stop the others;
the exit status is 1 then. --resume goes on with a run that was interrupted: it leaves out the parts whose figures of
this commit and these options are there. What is not the whole (--only, --peers, --scale, --kvcore-options) is saved
under build/bench, figures of a --quick run under results/quick; so benchmarks/results holds whole runs alone.

Examples:
  run.py server --only set-P16 --rounds 5
  run.py longwork --only hgetall --peers valkey,redis
  run.py memory --only zset --kvcore-options "--shards 64"
"""

from __future__ import annotations

import argparse
import importlib
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "benchmarks")]

from parts.common import RESULTS, Settings, is_measured, say  # noqa: E402


@dataclass(frozen=True)
class Part:
    """What measures it, and about how long that takes on two cores: the plan that the time left is told by."""

    module: str
    function: str
    seconds: int
    quick: int  # 0: it tells least to who has two minutes


PARTS = {
    "embedded": Part("embedded", "run", 130, 25),
    "server": Part("server", "run", 780, 25),
    "memory": Part("memory", "run", 130, 20),
    "churn": Part("alloc", "churn", 60, 0),
    "hugepages": Part("alloc", "hugepages", 80, 0),
    "longwork": Part("longwork", "run", 480, 30),
    "persist": Part("persist", "run", 420, 0),
    "cthreads": Part("embed", "cthreads", 40, 5),
    "growth": Part("embed", "growth", 80, 5),
    "flat": Part("embed", "flat", 60, 5),
    "cores": Part("embed", "cores", 30, 0),
    "threads": Part("threads", "threads", 80, 0),
    "locks": Part("threads", "locks", 60, 0),
    "report": Part("report", "run", 1, 1),
}


def words(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


def positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("what", nargs="*", metavar="part", help="parts, one after the other (all)")
    made.add_argument("--quick", action="store_true", help="smaller sizes, fewer rounds and rows; into results/quick")
    made.add_argument("--resume", action="store_true", help="leave out parts that have figures of this commit")
    made.add_argument("--rounds", type=int, help="runs of each measurement; the median counts")
    made.add_argument("--scale", type=positive, default=1.0, help="a factor on all sizes and counts")
    made.add_argument("--only", type=words, default=(), help="comma-separated words: rows whose name has one of them")
    made.add_argument("--peers", type=words, default=(), help="comma-separated servers to compare with: valkey,redis")
    made.add_argument(
        "--kvcore-options", type=shlex.split, default=[], help="options of the kvcore server, as one word"
    )
    made.add_argument("--rate", type=int, default=2000, help="the probe's requests a second (longwork)")
    made.add_argument("--results", type=Path, help="another folder for what is saved; the README stays as it is then")
    return made


def read(arguments: Sequence[str] | None = None) -> tuple[list[str], Settings, bool]:
    """The parts that are wanted, how, and whether to leave out what is there."""
    made = parser()
    options = made.parse_args(arguments)
    chosen = list(options.what) or ["all"]
    for name in chosen:
        if name not in PARTS and name != "all":
            made.error(f"there is no part {name!r}; there are {', '.join(PARTS)} and all")
    if options.rounds is not None and options.rounds < 1:
        made.error("--rounds has to be 1 or more")
    if options.rate < 1:
        made.error("--rate has to be 1 or more")
    if "all" in chosen:
        chosen = [name for name, part in PARTS.items() if part.quick or not options.quick]
    folder = RESULTS / "quick" if options.quick else RESULTS
    if (options.only or options.peers or options.kvcore_options or options.scale != 1) and not options.quick:
        folder = ROOT / "build" / "bench"
    settings = Settings(
        quick=options.quick,
        scale=options.scale,
        rounds=options.rounds,
        only=options.only,
        peers=options.peers,
        kvcore_options=tuple(options.kvcore_options),
        rate=options.rate,
        results=(options.results or folder).resolve(),
    )
    return chosen, settings, options.resume


def minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def main() -> int:
    chosen, settings, resume = read()
    begun = time.monotonic()
    failed: list[str] = []
    ready = [name for name in chosen if resume and name != "report" and is_measured(settings, name)]
    if ready:
        say(f"there already, with this commit and these options: {', '.join(ready)}")
    chosen = [name for name in chosen if name not in ready]
    plan = {name: PARTS[name].quick if settings.quick else PARTS[name].seconds for name in chosen}
    for position, name in enumerate(chosen, 1):
        spent, planned = time.monotonic() - begun, sum(plan[other] for other in chosen[: position - 1])
        # Slower than planned until now is slower than planned from now on.
        left = sum(plan[other] for other in chosen[position - 1 :]) * (max(spent / planned, 0.2) if planned else 1)
        guess = (
            f", {minutes(spent)} so far, about {minutes(left)} to go" if len(chosen) > 1 and not settings.only else ""
        )
        say(f"--- {name} ({position} of {len(chosen)}{guess})")
        try:
            settings.begin(name)
            getattr(importlib.import_module(f"parts.{PARTS[name].module}"), PARTS[name].function)(settings)
        except (Exception, SystemExit) as error:
            # An unattended run goes on with the other parts, and says at the end what is not there.
            if len(chosen) == 1:
                raise
            say(f"{name} failed: {type(error).__name__}: {error}")
            failed.append(name)
    if len(chosen) > 1:
        say(f"{len(chosen) - len(failed)} of {len(chosen)} parts in {minutes(time.monotonic() - begun)}")
    if failed:
        say(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
