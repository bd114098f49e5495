"""Compiling the engine: flags, variants, and a small parallel, incremental compiler driver.

Used by setup.py (pip, `make build`) and tools/ctest.py. An object is rebuilt when its source, a header it included
(the compiler lists them, -MMD) or its command line changed. Objects are kept under build/obj/<variant>/, so a
variant never disturbs another.

Nothing in the flags names a processor: what needs one asks at run time.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shlex
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

NATIVE = Path(__file__).resolve().parent.parent
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow"]
COMMON = ["-std=gnu11", "-D_GNU_SOURCE", "-fPIC", "-fvisibility=hidden", "-pthread"]
DEBUG = ["-O1", "-g", "-fno-omit-frame-pointer", "-DKV_DEBUG", "-DKV_FAULTS"]
FLAGS = {
    "release": ["-O3", "-g1", "-DNDEBUG"],
    "debug": DEBUG,
    "faults": DEBUG,
    "asan": [*DEBUG, "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    "ubsan": [*DEBUG, "-fsanitize=undefined", "-fno-sanitize-recover=all"],
    "tsan": [*DEBUG, "-fsanitize=thread"],
}


class CompileError(RuntimeError):
    """A compiler or linker ended badly; the message is what it said."""


@dataclass(frozen=True)
class Variant:
    """One way of building: its name and its own flags."""

    name: str
    flags: tuple[str, ...] = field(default=())

    @classmethod
    def named(cls, name: str) -> Variant:
        if name not in FLAGS:
            raise CompileError(f"KVCORE_BUILD={name}: known are {', '.join(FLAGS)}")
        return cls(name, tuple(FLAGS[name]))

    @classmethod
    def from_environment(cls) -> Variant:
        return cls.named(os.environ.get("KVCORE_BUILD") or "release")

    @property
    def sanitizers(self) -> list[str]:
        return [flag for flag in self.flags if flag.startswith("-fsanitize")]


def compiler() -> list[str]:
    """CC from the environment, or the one that Python was built with, or cc."""
    chosen = os.environ.get("CC") or str(sysconfig.get_config_var("CC") or "cc")
    return shlex.split(chosen)[:1] if not os.environ.get("CC") else shlex.split(chosen)


@contextlib.contextmanager
def build_lock(root: Path) -> Iterator[None]:
    """Holds build/.lock: two builds in one tree take turns."""
    (root / "build").mkdir(exist_ok=True)
    with open(root / "build" / ".lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _stale(target: Path, depfile: Path, stamp: Path, signature: str) -> bool:
    """Does the object have to be made again?"""
    try:
        made = target.stat().st_mtime_ns
        if stamp.read_text() != signature:
            return True
        rule = depfile.read_text().replace("\\\n", " ")
        names = rule.split(":", 1)[1].split()
        return any(os.stat(name).st_mtime_ns >= made for name in names)
    except (OSError, IndexError):
        return True


def _run(command: Sequence[str]) -> str:
    """Runs a compiler; returns its warnings. Raises with what it said when it failed."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        shown = shlex.join(command)
        raise CompileError(f"$ {shown if len(shown) < 1500 else shown[:1500] + ' ...'}\n{done.stdout}")
    return done.stdout


def compile_one(root: Path, source: Path, folder: Path, flags: Sequence[str]) -> tuple[Path, str]:
    """Compiles one file when it has to be; returns the object and what the compiler said."""
    relative = source.resolve()
    try:
        relative = relative.relative_to(root)
    except ValueError:
        relative = Path(*relative.parts[1:])
    target = folder / relative.with_suffix(".o")
    depfile, stamp = target.with_suffix(".d"), target.with_suffix(".cmd")
    command = [*compiler(), *flags, "-MMD", "-MF", str(depfile), "-c", str(source)]
    signature = shlex.join(command)
    if not _stale(target, depfile, stamp, signature):
        return target, ""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(f".{os.getpid()}.{threading.get_ident()}.tmp.o")
    try:
        said = _run([*command, "-MT", str(target), "-o", str(partial)])
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    stamp.write_text(signature)
    return target, said


def compile_all(root: Path, jobs: Iterable[tuple[Path, Path, Sequence[str]]]) -> list[Path]:
    """Compiles (source, folder, flags) jobs, as many at once as there are processors; every failure is reported, not
    the first only."""
    objects: list[Path] = []
    failures: list[str] = []
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        futures = [pool.submit(compile_one, root, *job) for job in jobs]
        for future in futures:
            try:
                target, said = future.result()
                objects.append(target)
                if said:
                    print(said, end="", file=sys.stderr)
            except CompileError as error:
                failures.append(str(error))
    if failures:
        raise CompileError("\n".join(failures))
    return objects


def version() -> str:
    """What kvcore/_version.py says."""
    found = re.search(r'^VERSION = "(.*)"', (NATIVE.parent / "_version.py").read_text(), re.MULTILINE)
    assert found is not None
    return found.group(1)


def core_flags(variant: Variant) -> list[str]:
    """Flags for the engine's own C, which knows no Python."""
    strict = ["-Werror"] if os.environ.get("KVCORE_WERROR") == "1" else []
    extra = shlex.split(os.environ.get("CPPFLAGS", "") + " " + os.environ.get("CFLAGS", ""))
    return [*COMMON, *WARNINGS, *strict, *variant.flags, f"-I{NATIVE}", f'-DKVCORE_VERSION="{version()}"', *extra]


def compile_extension(
    root: Path, variant: Variant, sources: Sequence[Path], macros: Sequence[tuple[str, str | None]] = ()
) -> list[Path]:
    """The objects of the shared object: the core, the fast door and cffi's wrapper. The last two depend on the
    Python version."""
    abi = str(sysconfig.get_config_var("SOABI") or sys.implementation.cache_tag)
    shared, own = root / "build" / "obj" / variant.name, root / "build" / "obj" / f"{variant.name}-{abi}"
    core = core_flags(variant)
    paths = sysconfig.get_paths()
    python = [f"-isystem{folder}" for folder in dict.fromkeys((paths["include"], paths["platinclude"]))]
    defines = [f"-D{name}" if value is None else f"-D{name}={value}" for name, value in macros]
    generated = [flag for flag in core if flag not in (*WARNINGS, "-Werror")]
    jobs: list[tuple[Path, Path, Sequence[str]]] = []
    for source in sources:
        absolute = (root / source).resolve()
        if NATIVE not in absolute.parents:  # cffi's: not ours to warn about
            jobs.append((absolute, own, [*generated, "-w", *python, *defines]))
        elif absolute.parent.name == "binding":
            jobs.append((absolute, own, [*core, *python]))
        else:
            jobs.append((absolute, shared, core))
    return compile_all(root, jobs)


def link(command: Sequence[str], objects: Sequence[Path], target: Path) -> None:
    """Links into a temporary file and renames it: a process that has the old one mapped keeps it."""
    stamp = objects[0].with_name(f"{target.name}.link")
    signature = shlex.join([*command, *map(str, objects), str(target.resolve())])
    with contextlib.suppress(OSError):
        made = target.stat().st_mtime_ns
        if stamp.read_text() == signature and all(path.stat().st_mtime_ns < made for path in objects):
            return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{os.getpid()}.{target.name}")
    try:
        _run([*command, *map(str, objects), "-o", str(partial), "-lm"])
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    stamp.write_text(signature)


def link_shared(variant: Variant, objects: Sequence[Path], target: Path) -> None:
    """The extension module. Only the two PyInit functions are visible in it."""
    extra = shlex.split(os.environ.get("LDFLAGS", ""))
    shape = ["-bundle", "-undefined", "dynamic_lookup"] if sys.platform == "darwin" else ["-shared"]
    link([*compiler(), *shape, "-pthread", *variant.sanitizers, *extra], objects, target)


def link_program(variant: Variant, objects: Sequence[Path], target: Path) -> None:
    """A C test program."""
    link([*compiler(), "-pthread", *variant.sanitizers], objects, target)
