#!/usr/bin/env python3
"""Builds and runs the C unit tests: every tests/c/test_*.c whose name contains one of the words given (all of them
without words).

A test's first line lists what it is linked with, relative to src/kvcore/_native, wildcards allowed:

    /* sources: base/mem.c base/arena.c ds/*.c */

    tools/ctest.py [--variant asan] [--define NAME] [--list] [--timeout SECONDS] [WORD ...]

The closing line is `N passed, N failed`; the exit status is non-zero when anything failed, or when there was nothing
to run.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src" / "kvcore" / "_native" / "binding"))

import cc  # noqa: E402

FIRST_LINE = re.compile(r"/\* sources: (.*?) ?\*/$")
SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}


def sources_of(test: Path) -> list[Path]:
    """The engine files that the test's first line names."""
    with test.open(encoding="utf-8") as handle:
        line = handle.readline().rstrip()
    found = FIRST_LINE.match(line)
    if not found:
        raise cc.CompileError(f"{test}:1: the first line has to be '/* sources: file.c ... */'")
    paths: list[Path] = []
    for pattern in found.group(1).split():
        matches = sorted(cc.NATIVE.glob(pattern))
        if not matches:
            raise cc.CompileError(f"{test}:1: no source is named {pattern}")
        paths += [path for path in matches if path not in paths]
    return paths


def build(test: Path, variant: cc.Variant) -> Path:
    """Compiles and links one test; returns the program."""
    objects_folder = ROOT / "build" / "obj" / variant.name
    flags = [*cc.core_flags(variant), "-Wno-comment", f"-I{ROOT / 'tests' / 'c'}"]
    core = cc.core_flags(variant)
    jobs = [(test, objects_folder, flags), *((source, objects_folder, core) for source in sources_of(test))]
    objects = [cc.compile_one(ROOT, *job) for job in jobs]
    for _, said in objects:
        if said:
            print(said, end="", file=sys.stderr)
    program = ROOT / "build" / "ctest" / variant.name / test.parent.name / test.stem
    cc.link_program(variant, [target for target, _ in objects], program)
    return program


def run(test: Path, variant: cc.Variant, timeout: float) -> tuple[bool, float, str]:
    """Builds and runs; returns success, seconds of the run, and what it said when it failed."""
    try:
        program = build(test, variant)
    except cc.CompileError as error:
        return False, 0.0, f"does not build\n{error}"
    started = time.monotonic()
    try:
        done = subprocess.run(
            [program],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
            env={**SANITIZER_OPTIONS, **os.environ},
            cwd=ROOT,
        )
    except subprocess.TimeoutExpired as error:
        output = (error.stdout or b"").decode(errors="replace")
        return False, timeout, f"still running after {timeout:.0f} s\n{output}"
    took = time.monotonic() - started
    output = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        return False, took, f"exit status {done.returncode}\n{output[-6000:]}"
    return True, took, ""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Build and run the C unit tests.")
    parser.add_argument("--variant", default="asan", choices=sorted(cc.FLAGS))
    parser.add_argument("--timeout", type=float, default=240.0, help="seconds a test may run")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--list", action="store_true", help="only print the names")
    parser.add_argument("--define", metavar="NAME", help="a macro more, for mutants")
    parser.add_argument("--folder", type=Path, action="append", help="default: tests/c and tests/fuzz (2 s a fuzzer)")
    parser.add_argument("words", nargs="*", help="run the tests whose names contain one of these")
    options = parser.parse_args(arguments)

    folders = options.folder or [ROOT / "tests" / "c", ROOT / "tests" / "fuzz"]
    tests = [test for folder in folders for test in sorted(folder.resolve().glob("test_*.c"))]
    if options.words:
        tests = [test for test in tests if any(word in test.stem for word in options.words)]
    if options.list:
        print("\n".join(test.stem for test in tests))
        return 0
    variant = cc.Variant.named(options.variant)
    if options.define:
        variant = cc.Variant(f"{variant.name}-{options.define.lower()}", (*variant.flags, f"-D{options.define}"))
    failed = 0
    (ROOT / "build" / "obj").mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(options.jobs) as pool:
        results = [(test, pool.submit(run, test, variant, options.timeout)) for test in tests]
        for test, future in results:
            passed, took, why = future.result()
            print(
                f"{'ok    ' if passed else 'FAILED'} {test.stem} ({took:.1f} s){': ' + why if why else ''}", flush=True
            )
            failed += not passed
    print(f"{len(tests) - failed} passed, {failed} failed")
    return 1 if failed or not tests else 0


if __name__ == "__main__":
    sys.exit(main())
