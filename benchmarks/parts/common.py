"""What every part shares: options, result files with the facts they were measured under, percentiles, progress."""

from __future__ import annotations

import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parent.parent.parent
RESULTS = ROOT / "benchmarks" / "results"


Run = TypeVar("Run")


@dataclass
class Settings:
    """How a run was asked for: `scale` shrinks sizes, `quick` also drops rounds and rare rows."""

    quick: bool = False
    scale: float = 1.0
    rounds: int | None = None
    only: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    kvcore_options: tuple[str, ...] = ()
    rate: int = 2000
    results: Path = RESULTS
    missing: dict[str, str] = field(default_factory=dict)
    part: str = ""
    load: float = 0.0

    def begin(self, part: str) -> None:
        """A part begins: nothing is missing yet, and the load that it finds is not its own."""
        self.part, self.missing, self.load = part, {}, round(os.getloadavg()[0], 2)
        self.results.mkdir(parents=True, exist_ok=True)

    @property
    def command(self) -> str:
        """What to type to measure this part again; where the results go is no part of it."""
        words = [self.part]
        words += ["--quick"] if self.quick else []
        words += ["--scale", f"{self.scale:g}"] if self.scale != 1 else []
        words += ["--rounds", str(self.rounds)] if self.rounds else []
        for option, given in (("only", self.only), ("peers", self.peers)):
            words += [f"--{option}={','.join(given)}"] if given else []
        words += [f"--kvcore-options={shlex.join(self.kvcore_options)}"] if self.kvcore_options else []
        words += ["--rate", str(self.rate)] if self.rate != 2000 else []
        return shlex.join(["python", "benchmarks/run.py", *words])

    def count(self, full: int, quick: int | None = None, least: int = 1) -> int:
        """A size: the full one or the quick one, scaled."""
        return max(least, int((quick if self.quick and quick is not None else full) * self.scale))

    def turns(self, full: int, quick: int) -> int:
        return self.rounds or (quick if self.quick else full)

    def wants(self, name: str) -> bool:
        return not self.only or any(word in name for word in self.only)


def say(line: str = "") -> None:
    print(line, flush=True)


@contextmanager
def progress(what: str) -> Iterator[None]:
    """Tell what runs now, on a terminal in place and elsewhere not at all: logs hold results."""
    live = sys.stderr.isatty()
    if live:
        print(f"\r\x1b[K... {what}", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        if live:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of sorted values: the smallest that at least `share` percent do not exceed."""
    if not ordered:
        return 0.0
    rank = -(-len(ordered) * share // 100)
    return ordered[min(len(ordered), max(1, int(rank))) - 1]


def stolen_s() -> float:
    """Processor time that this machine wanted and its host gave to others, in seconds; 0 where nobody counts it."""
    path = Path("/proc/stat")
    words = path.read_text().split("\n", 1)[0].split() if path.exists() else []
    return int(words[8]) / os.sysconf("SC_CLK_TCK") if len(words) > 8 else 0.0


class Stolen:
    """`share`: how much of one processor the host took between `with` and its end."""

    def __enter__(self) -> Stolen:
        self.share, self._begun, self._before = 0.0, time.monotonic(), stolen_s()
        return self

    def __exit__(self, *_: object) -> None:
        self.share = round((stolen_s() - self._before) / max(time.monotonic() - self._begun, 1e-9), 3)


def calmest(runs: Sequence[Run], share_of: Callable[[Run], float]) -> list[Run]:
    """Rather more than half of the runs: those that least was stolen from. The one rule by which runs are left out,
    the same for every subject, and blind to what was measured."""
    return sorted(runs, key=share_of)[: len(runs) // 2 + 1]


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def spread(values: Sequence[float]) -> float:
    """How far the rounds lie apart: (largest - smallest) / median."""
    middle = statistics.median(values)
    return round((max(values) - min(values)) / middle, 3) if middle else 0.0


def output_of(*words: str) -> str:
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=20, check=False, cwd=ROOT).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def machine(load: float) -> dict[str, Any]:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(pages / 2**30, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "load_before": load,
    }


def commit() -> str:
    """The commit that was measured; `+` marks an engine that had been changed since."""
    name = output_of("git", "rev-parse", "--short=12", "HEAD")
    return (name + ("+" if output_of("git", "status", "--porcelain", "--", "src") else "")) or "unknown"


def save(settings: Settings, name: str, figures: Any) -> Path:
    """Write a result file: the figures, the command, and what they were measured on."""
    settings.results.mkdir(parents=True, exist_ok=True)
    facts = {
        "what": name,
        "command": settings.command,
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "commit": commit(),
        "machine": machine(settings.load),
        "missing": settings.missing,
        "figures": figures,
    }
    path = settings.results / f"{name}.json"
    path.write_text(json.dumps(facts, indent=1) + "\n")
    say(f"saved {path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}\n")
    return path


def is_measured(settings: Settings, name: str) -> bool:
    """Are a part's figures there, of this very commit and with these options?"""
    path = settings.results / f"{name}.json"
    if not path.exists():
        return False
    found = json.loads(path.read_text())
    mine = replace(settings, part=name).command
    return bool(found["commit"] == commit() and found["command"] == mine)
