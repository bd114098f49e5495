#!/usr/bin/env python3
"""The project's benchmarks, side by side with the peers in one run. Each part prints a table and saves its figures,
with commit, machine, date and command, under benchmarks/results; `report` makes the Markdown tables of them.

  run.py embedded   calls from one Python thread: get and set beside dict and the peers, other commands beside redis-py
  run.py server     RESP servers, 64 clients: throughput, p99 and server CPU an operation
  run.py memory     resident bytes a key or element, after churn, of an idle server, connection and store
  run.py longwork   what other clients notice while a server does something long
  run.py threads    kvcore with 1, 2, 4 network threads: what `io-threads auto` should choose
  run.py locks      what a shard's lock costs
  run.py cthreads   two threads of a C program beside one, and beside two that share nothing
  run.py growth     how long single calls take while tables grow and shrink
  run.py flat       what a call costs in stores of 10^4 to 10^7 keys
  run.py cores      what 16 to 128 cores would give, computed from measured lock hold times
  run.py report     results/README.md, the charts, and the README's table, from the figures that are there
  run.py all        all of them, one after the other (make bench); with --quick in about two minutes (make bench-quick)

Servers and subjects take turns, round after round, and figures are medians over the rounds, because machines are noisy.
A peer that is not here is reported as missing, with the reason. Results of a --quick run go to results/quick.

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
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "benchmarks")]

from parts.common import RESULTS, Settings, say  # noqa: E402

# name: (module, function)
PARTS = {
    "embedded": ("embedded", "run"),
    "server": ("server", "run"),
    "memory": ("memory", "run"),
    "longwork": ("longwork", "run"),
    "threads": ("threads", "threads"),
    "locks": ("threads", "locks"),
    "cthreads": ("embed", "cthreads"),
    "growth": ("embed", "growth"),
    "flat": ("embed", "flat"),
    "cores": ("embed", "cores"),
    "report": ("report", "run"),
}
NOT_QUICK = ("threads", "locks", "cores")  # what tells least to who has two minutes


def words(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


def positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", metavar="part", help=f"{', '.join(PARTS)}, or all (which none means, too)")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, fewer rounds and rows; into results/quick")
    parser.add_argument("--rounds", type=int, help="runs of each measurement; the median counts")
    parser.add_argument("--scale", type=positive, default=1.0, help="a factor on all sizes and counts")
    parser.add_argument("--only", type=words, default=(), help="comma-separated words: rows whose name has one of them")
    parser.add_argument("--peers", type=words, default=(), help="comma-separated servers to compare with: valkey,redis")
    parser.add_argument(
        "--kvcore-options", type=shlex.split, default=[], help="options of the kvcore server, as one word"
    )
    parser.add_argument("--rate", type=int, default=2000, help="the probe's requests a second (longwork)")
    parser.add_argument("--results", type=Path, help="another folder for what is saved; the README stays as it is then")
    options = parser.parse_args()
    unknown = [part for part in options.what if part not in (*PARTS, "all")]
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}; the parts are {', '.join(PARTS)}")
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds has to be 1 or more")
    if options.rate < 1:
        parser.error("--rate has to be 1 or more")
    settings = Settings(
        quick=options.quick,
        scale=options.scale,
        rounds=options.rounds,
        only=options.only,
        peers=options.peers,
        kvcore_options=tuple(options.kvcore_options),
        rate=options.rate,
        results=(options.results or (RESULTS / "quick" if options.quick else RESULTS)).resolve(),
    )
    started = time.monotonic()
    failed = []
    chosen = options.what
    if "all" in chosen or not chosen:
        chosen = [name for name in PARTS if not (options.quick and name in NOT_QUICK)]
    for position, name in enumerate(chosen, 1):
        begun = time.monotonic()
        say(f"--- {name} ({position} of {len(chosen)}, {begun - started:.0f} s so far)")
        module, function = PARTS[name]
        settings.missing = {}
        try:
            getattr(importlib.import_module(f"parts.{module}"), function)(settings)
        except (Exception, SystemExit) as error:
            # An unattended run goes on with the other parts, and says at the end what is not there.
            if len(chosen) == 1:
                raise
            say(f"{name} failed: {type(error).__name__}: {error}")
            failed.append(name)
    if len(chosen) > 1:
        say(f"{len(chosen) - len(failed)} of {len(chosen)} parts in {time.monotonic() - started:.0f} s")
    if failed:
        say(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
