"""The wide door's recipe: what cffi binds, and from which C it is compiled.

The declarations are not typed here a second time. They are the part of api/kvcore.h between the two marker comments,
so the header is the only place where the surface is written down. binding/fast.c, CPython's narrow hot door, lives
in the same shared object: its `PyInit__fast` is a second module that kvcore/_native/__init__.py loads from the file
of the first.
"""

import os
import re

from cffi import FFI

HERE = os.path.dirname(os.path.abspath(__file__))
NATIVE = os.path.dirname(HERE)
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(NATIVE)))
LAYERS = ("base", "ds", "types", "store", "engine", "commands", "persist", "script", "net", "cluster", "api")
HEADERS = ("kvcore.h", "file.h")  # in api/
MARKED = re.compile(r"/\* cdef: begin \*/(.*?)/\* cdef: end \*/", re.DOTALL)


def declarations() -> str:
    """What cffi may see: every marked part of the public headers."""
    parts = []
    for name in HEADERS:
        with open(os.path.join(NATIVE, "api", name), encoding="utf-8") as header:
            found = MARKED.findall(header.read())
        if not found:
            raise RuntimeError(f"api/{name}: no part between '/* cdef: begin */' and '/* cdef: end */'")
        parts += found
    return "\n".join(parts)


def sources() -> list[str]:
    """Every C file of the engine and the fast door, relative to the project's root as setuptools wants them."""
    found = []
    for layer in (*LAYERS, "binding"):
        folder = os.path.join(NATIVE, layer)
        if os.path.isdir(folder):
            found += [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith(".c")]
    return [os.path.relpath(path, ROOT) for path in found]


ffibuilder = FFI()
ffibuilder.cdef(declarations())
ffibuilder.set_source(
    "kvcore._native._kvcore",
    "".join(f'#include "api/{name}"\n' for name in HEADERS),
    sources=sources(),
    py_limited_api=False,  # one build a Python version: the fast door reads objects without copying them
)
