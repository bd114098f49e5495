"""The compiled engine and its two doors, both in one shared object: `lib`/`ffi` (cffi, wide) and `fast` (CPython,
hot)."""

from __future__ import annotations

import sys
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader
from types import ModuleType
from typing import Any

from kvcore._native import _kvcore

lib: Any = _kvcore.lib
ffi: Any = _kvcore.ffi


def _load_fast() -> ModuleType | None:
    """The second module of the same file; importlib finds modules by file name, so this one is loaded by hand. Only
    CPython has it: elsewhere everything goes through the wide door."""
    if sys.implementation.name != "cpython":
        return None
    name = "kvcore._native._fast"
    loader = ExtensionFileLoader(name, _kvcore.__file__)
    spec = spec_from_loader(name, loader, origin=_kvcore.__file__)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    sys.modules[name] = module
    return module


fast: Any = _load_fast()
