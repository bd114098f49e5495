"""Variants of the engine for the stress tests: the same sources with a seeded bug, and perhaps a sanitizer.

`build("DROP_LOCK")` compiles with -DKV_MUTANT_DROP_LOCK into build/mutant-drop_lock and returns that directory. It
holds a whole `kvcore` package and is put in front on PYTHONPATH; the normal build is not touched.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.servers import ROOT

MUTANTS = ("DROP_LOCK", "PUBLISH_AFTER_UNLOCK", "LOST_WAKEUP")
PACKAGE = ROOT / "src" / "kvcore"
BINDING = PACKAGE / "_native" / "binding"


def _module(path: Path) -> Any:
    """A build script as a module, without making it importable for everybody."""
    spec = importlib.util.spec_from_file_location(f"kvcore_build_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def build(mutant: str | None, base: str = "release") -> Path:
    """The directory to put on PYTHONPATH. `base` is a variant of binding/cc.py: release, debug, tsan, asan."""
    compiler, recipe = _module(BINDING / "cc.py"), _module(BINDING / "build.py")
    name = "-".join(["mutant", (mutant or "none").lower(), base])
    defines = [f"-DKV_MUTANT_{mutant}"] if mutant else []
    directory = ROOT / "build" / name
    with compiler.build_lock(ROOT):
        variant = compiler.Variant(name, (*compiler.FLAGS[base], *defines))
        wrapper = directory / "_kvcore.c"
        directory.mkdir(parents=True, exist_ok=True)
        recipe.ffibuilder.emit_c_code(str(wrapper))
        sources = [*(Path(source) for source in recipe.sources()), wrapper]
        objects = compiler.compile_extension(ROOT, variant, sources)
        package = directory / "kvcore"
        shutil.copytree(
            PACKAGE,
            package,
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("*.so", "*.c", "*.h", "*.link", "__pycache__", "spec"),
        )
        suffix = str(sysconfig.get_config_var("EXT_SUFFIX"))
        compiler.link_shared(variant, objects, package / "_native" / f"_kvcore{suffix}")
    return directory


def sanitizer_library(name: str) -> str:
    """The run-time library of a sanitizer, to be preloaded into the interpreter."""
    done = subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.strip()
