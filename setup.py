"""The compiled half of the build; everything else is in pyproject.toml.

cffi writes its wrapper's C from binding/build.py; compiling is ours (binding/cc.py), so that `pip install`, `make
build` and the test variants share one set of flags, compile in parallel and rebuild only what changed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from setuptools import setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "src" / "kvcore" / "_native" / "binding"))

import cc as native  # noqa: E402  (found through the line above)


class BuildNative(build_ext):
    """Compiles the extension through binding/cc.py. One build at a time in a tree: a lock file orders them."""

    def run(self) -> None:
        with native.build_lock(ROOT):
            super().run()

    def build_extension(self, ext: Any) -> None:
        target = Path(self.get_ext_fullpath(ext.name))
        variant = native.Variant.from_environment()
        sources = [Path(source) for source in ext.sources]
        try:
            native.link_shared(variant, native.compile_extension(ROOT, variant, sources, ext.define_macros), target)
        except native.CompileError as error:
            raise CompileError(str(error)) from None


setup(
    cmdclass={"build_ext": BuildNative},
    cffi_modules=["src/kvcore/_native/binding/build.py:ffibuilder"],
)
