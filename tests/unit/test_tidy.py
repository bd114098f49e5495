"""tools/tidy.py finds what it says it finds, and the project's own tree has none of it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
OPENING = "/* What this file is. */\n"


@pytest.fixture(scope="module")
def tidy() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tidy", ROOT / "tools" / "tidy.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["tidy"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def breaches(tidy: ModuleType, tmp_path: Path) -> Callable[..., list[str]]:
    """Writes one file into a tree of its own and returns the messages about it."""

    def check(name: str, body: str, opening: str = OPENING) -> list[str]:
        path = tmp_path / "src" / "kvcore" / "_native" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = opening + body
        if name.endswith(".h"):
            guard = "KV_" + name.upper().replace("/", "_").replace(".", "_")
            text = opening + f"#ifndef {guard}\n#define {guard}\n{body}\n#endif\n"
        path.write_text(text)
        found, _ = tidy.check_tree(tmp_path)
        return [str(breach).removeprefix("src/kvcore/_native/") for breach in found]

    return check


@pytest.mark.parametrize(
    ("name", "line", "words"),
    [
        ("ds/a.c", '#include "store/b.h"', "ds/ includes store/: a layer to the right"),
        ("commands/a.c", '#include "net/b.h"', "commands/ includes net/: a sibling"),
        ("persist/a.c", '#include "api/kvcore.h"', "persist/ includes api/"),
        ("engine/a.c", '#include "ctx.h"', "written from _native/"),
        ("engine/a.c", '#include "../base/buf.h"', "written from _native/"),
        ("engine/a.c", "#include <pthread.h>", "<pthread.h> belongs to base/; use base/sync.h"),
        ("types/a.c", "static void *f(void) { return malloc(3); }", "malloc() outside base/"),
        ("net/a.c", "static void f(void *p) { free(p); }", "free() outside base/"),
        ("store/a.c", "static void f(void) { pthread_yield(); }", "pthread_yield() outside base/"),
        ("engine/a.c", "static long f(void) { return time(0); }", "time() outside base/"),
        ("ds/a.c", "static int counter;", "counter: a variable at file scope that is not const"),
        ("ds/a.c", "int table[4] = {1, 2, 3, 4};", "table: a variable"),
        ("ds/a.c", "static const char *names[] = {0};", "names: a variable"),
        ("ds/a.c", "extern int counter;", "a variable at file scope"),
        ("ds/a.c", "static void (*hook)(int);", "a variable at file scope"),
        ("ds/a.c", "_Thread_local int depth;", "depth: a variable"),
        ("ds/a.c", "/* TODO: later */", "TODO: unfinished work"),
        ("stray/a.c", "", "stray is no layer"),
    ],
)
def test_a_breach_is_found(breaches: Callable[..., list[str]], name: str, line: str, words: str) -> None:
    messages = breaches(name, line + "\n")
    assert len(messages) == 1, messages
    assert words in messages[0]
    assert messages[0].startswith(f"{name}:")


def test_the_line_is_told(breaches: Callable[..., list[str]]) -> None:
    assert breaches("ds/a.c", "\n\nstatic int counter;\n")[0].startswith("ds/a.c:4: ")


def test_a_file_without_an_opening_comment(breaches: Callable[..., list[str]]) -> None:
    assert "open with a comment" in breaches("ds/a.c", "int f(void);\n", opening="")[0]


def test_a_wrong_guard(breaches: Callable[..., list[str]], tidy: ModuleType) -> None:
    text = OPENING + "#ifndef KV_OTHER_H\n#define KV_OTHER_H\n#endif\n"
    assert [message for _, message in tidy.check_file("ds/a.h", text)] == ["the header guard has to be KV_DS_A_H"]


@pytest.mark.parametrize(
    ("name", "body"),
    [
        (
            "engine/a.c",
            '#include "base/buf.h"\n#include "store/shard.h"\n#include "engine/ctx.h"\n#include <string.h>\n',
        ),
        ("api/a.c", '#include "net/server.h"\n#include "commands/x.h"\n'),
        ("base/a.c", "#include <pthread.h>\nvoid *f(void) { return malloc(3); }\n"),
        ("ds/a.c", "static const int table[] = {1, 2};\nstatic const char *const names[] = {0};\n"),
        ("ds/a.c", 'typedef struct a { int b; } a;\nstruct c { int d; };\nenum { X, Y };\n_Static_assert(1, "x");\n'),
        ("ds/a.c", "static int f(int a) {\n    static const int k = 3;\n    int b = a;\n    return b + k;\n}\n"),
        ("ds/a.c", "int f(void (*run)(void *), void *arg);\nint g(int n) __attribute__((cold));\n"),
        ("ds/a.c", "static void (*const hooks[])(int) = {0};\n"),
        ("ds/a.h", "typedef int kv_a_function(int);\nkv_a_function kv_b, kv_c;\n"),
        ("ds/a.c", '/* malloc(3), int x; */\nstatic const char *const text = "free(x); TODAY";\n'),
        ("ds/a.c", "#define A(x) \\\n    x; \\\n    int y;\n"),
        ("types/a.c", "static void f(kv *a) { a->free(a); kv_free(a); x.time(1); }\n"),
        ("ds/a.h", "static inline int f(int a) { return a; }\n"),
    ],
)
def test_what_is_allowed_is_not_reported(breaches: Callable[..., list[str]], name: str, body: str) -> None:
    assert breaches(name, body) == []


def test_a_long_file_is_a_remark(tidy: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "src" / "kvcore" / "_native" / "ds" / "long.c"
    path.parent.mkdir(parents=True)
    path.write_text(OPENING + "\n" * 1000)
    found, remarks = tidy.check_tree(tmp_path)
    assert found == []
    assert len(remarks) == 1
    assert "1001 lines" in remarks[0]


def test_this_project_is_tidy(tidy: ModuleType) -> None:
    found, _ = tidy.check_tree(ROOT)
    assert [str(breach) for breach in found] == []
