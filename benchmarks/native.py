"""Building and running the C benchmarks: benchmarks/c/bench_*.c, linked with the files that their first line names."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
for folder in (ROOT / "tools", ROOT / "src" / "kvcore" / "_native" / "binding"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

import cc  # noqa: E402
import ctest  # noqa: E402


def build(name: str, flags: tuple[str, ...] = ()) -> Path:
    """The program of benchmarks/c/<name>.c as a release build, `flags` added (they get objects of their own)."""
    variant = cc.Variant.named("release")
    if flags:
        variant = cc.Variant(
            "-".join(["release", *(flag.strip("-").lower() for flag in flags)]), (*variant.flags, *flags)
        )
    source = ROOT / "benchmarks" / "c" / f"{name}.c"
    objects_folder = ROOT / "build" / "obj" / variant.name
    core = cc.core_flags(variant)
    jobs = [(path, objects_folder, core) for path in [source, *ctest.sources_of(source)]]
    program = ROOT / "build" / "bench" / variant.name / name
    with cc.build_lock(ROOT):
        cc.link_program(variant, cc.compile_all(ROOT, jobs), program)
    return program


def run(program: Path, *arguments: object) -> list[dict[str, Any]]:
    """What it printed: a JSON object a line."""
    words = [str(program), *map(str, arguments)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]
