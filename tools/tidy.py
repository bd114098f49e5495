#!/usr/bin/env python3
"""The house rules as a program: prints file:line: message for every breach, and exits non-zero when there is one.

  layers      an include goes leftwards only, and is written from _native/ ("base/buf.h"):
              base <- ds <- types <- store <- engine <- {commands, persist, script, cluster, net} <- api <- binding;
              the five in braces never include each other
  system      memory, threads, clocks and randomness come from base/ only
  globals     no file-scope variable that is not const
  comments    every file opens with a comment
  marks       no note of unfinished work is left in src/
  guards      every header is guarded by a name made from its path: KV_BASE_BUF_H

A file past 900 lines is only reported: it is a question, not a breach.

    tools/tidy.py [ROOT]        the folder that holds src/ (default: this project)
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SIBLINGS = ("commands", "persist", "script", "cluster", "net")
ORDER = {"base": 0, "ds": 1, "types": 2, "store": 3, "engine": 4, **dict.fromkeys(SIBLINGS, 5), "api": 6, "binding": 7}
LONG_FILE = 900

INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]')
SYSTEM_CALL = re.compile(
    r"(?<![\w.>])(malloc|calloc|realloc|reallocarray|free|aligned_alloc|posix_memalign|strdup|strndup|mmap|munmap|mremap|madvise|"
    r"pthread_\w+|thrd_\w+|mtx_\w+|cnd_\w+|clock_gettime|gettimeofday|time|clock|getrandom|getentropy|rand|srand|random|srandom)\s*\("
)
SYSTEM_HEADER = {
    "pthread.h": "base/sync.h",
    "threads.h": "base/sync.h",
    "sys/mman.h": "base/mem.h",
    "sys/random.h": "base/rng.h",
}
# The fast door is CPython's guest: it may use the interpreter's own allocator, never the system's.
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
SOURCES = (".c", ".h")


@dataclass(frozen=True, order=True)
class Breach:
    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


def blank_comments(text: str, strings: bool = True) -> str:
    """The text with comments (and the insides of literals) replaced by spaces; newlines stay, so line numbers hold."""
    token = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)

    def blank(found: re.Match[str]) -> str:
        taken = found.group()
        if not strings and taken[0] in "\"'":
            return taken
        if taken[0] in "\"'":
            return taken[0] + " " * (len(taken) - 2) + taken[0]
        return re.sub(r"[^\n]", " ", taken)

    return token.sub(blank, text)


def check_includes(layer: str, text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(blank_comments(text, strings=False).split("\n"), 1):
        found = INCLUDE.match(line)
        if not found:
            continue
        kind, name = found.groups()
        if kind == "<":
            owner = SYSTEM_HEADER.get(name)
            if owner and layer != "base":
                yield number, f"<{name}> belongs to base/; use {owner}"
            continue
        target = name.split("/", 1)[0]
        if "/" not in name or target not in ORDER:
            yield number, f'include "{name}" has to be written from _native/ with its layer'
        elif target != layer and ORDER[target] >= ORDER[layer]:
            relation = "a sibling" if ORDER[target] == ORDER[layer] else "a layer to the right"
            yield number, f"{layer}/ includes {target}/: {relation}"


def check_system_calls(layer: str, text: str) -> Iterator[tuple[int, str]]:
    if layer == "base":
        return
    for number, line in enumerate(blank_comments(text).split("\n"), 1):
        if line.lstrip().startswith("#"):
            continue
        for found in SYSTEM_CALL.finditer(line):
            yield number, f"{found.group(1)}() outside base/"


def top_level(code: str) -> Iterator[tuple[int, str]]:
    """Statements at file scope as (line, text), the contents of braces left out. The preprocessor's lines are blank."""
    depth, start, line, collected = 0, 0, 1, ""
    for char in code:
        if char == "\n":
            line += 1
        if char == "{":
            depth += 1
            if depth == 1:
                collected += "{"
            continue
        if char == "}":
            depth -= 1
            if depth == 0:
                collected += "}"
                if is_function(collected):
                    collected, start = "", 0
            continue
        if depth:
            continue
        if char == ";":
            if collected.strip():
                yield start, collected.strip()
            collected, start = "", 0
            continue
        if not collected.strip() and not char.isspace():
            start = line
        collected += char


def is_function(statement: str) -> bool:
    """Is this `... name(...) {}` rather than a struct, an enum or an initialiser?"""
    head = statement[: statement.index("{")].rstrip()
    return head.endswith(")") and "=" not in re.sub(r"\([^()]*\)", "", head)


def check_globals(layer: str, text: str) -> Iterator[tuple[int, str]]:
    code = blank_comments(text)
    code = re.sub(r"(?m)^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda found: re.sub(r"[^\n]", " ", found.group()), code)
    code = re.sub(r"__attribute__\s*\(\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)\)", " ", code)
    for number, statement in top_level(code):
        words = statement.split()
        if words[0] in ("typedef", "extern", "_Static_assert", "static_assert") or words[0].startswith(
            "_Static_assert"
        ):
            if words[0] == "extern" and "(" not in statement and "const" not in words:
                yield number, "a variable at file scope that is not const"
            continue
        declared = statement.split("=", 1)[0].strip()
        if re.fullmatch(r"(struct|union|enum)(\s+\w+)?\s*(\{\})?", declared):
            continue
        if layer == "binding" and re.match(r"(static )?(struct )?Py\w+Def|(static )?PyType_S", statement):
            continue  # CPython's own tables: it wants to write to them
        if layer == "base" and "_Thread_local" in words:
            continue  # the lock-order checker of debug builds knows what this thread holds
        declared = re.sub(r"_Alignas\s*\([^()]*\)", " ", declared).strip()
        function_pointer = re.match(r"[^(]*\(\s*\*\s*(const\s+)?\w+", declared)
        if "(" in declared and not function_pointer:
            continue  # a prototype
        if words[0].endswith(("_function", "_fn")) and "*" not in declared and "=" not in statement:
            continue  # prototypes through a function type's name
        if function_pointer:
            constant = bool(function_pointer.group(1)) or declared.startswith(("const", "static const"))
        else:
            constant = is_constant_object(declared)
        if not constant:
            name = re.sub(r"\[[^\]]*\]", "", declared).split()[-1].lstrip("*")
            yield number, f"{name}: a variable at file scope that is not const"


def is_constant_object(declared: str) -> bool:
    """`const int x`, `const char *const names[]`: is the object itself const (not only what it points to)?"""
    if "*" in declared:
        return bool(re.search(r"\*\s*const\b[^*]*$", declared))
    return bool(re.search(r"\bconst\b", declared))


def check_guard(relative: str, text: str) -> Iterator[tuple[int, str]]:
    wanted = "KV_" + re.sub(r"\W", "_", relative).upper()
    code = blank_comments(text)
    if not re.search(rf"^\s*#\s*ifndef\s+{wanted}\s*\n\s*#\s*define\s+{wanted}\b", code, re.MULTILINE):
        yield 1, f"the header guard has to be {wanted}"


def check_file(relative: str, text: str) -> Iterator[tuple[int, str]]:
    layer = relative.split("/", 1)[0]
    if layer not in ORDER or "/" not in relative:
        yield 1, f"{layer} is no layer"
        return
    if not text.startswith("/*"):
        yield 1, "the file has to open with a comment that says what it is"
    yield from check_includes(layer, text)
    yield from check_system_calls(layer, text)
    yield from check_globals(layer, text)
    if relative.endswith(".h"):
        yield from check_guard(relative, text)


def check_tree(root: Path) -> tuple[list[Breach], list[str]]:
    """Every breach under root/src, and the remarks about long files."""
    breaches: list[Breach] = []
    remarks: list[str] = []
    native = root / "src" / "kvcore" / "_native"
    for path in sorted((root / "src").rglob("*")):
        if not path.is_file() or path.suffix not in (*SOURCES, ".py", ".pyi", ".toml"):
            continue
        name = path.relative_to(root).as_posix()
        text = path.read_text(encoding="utf-8")
        for number, line in enumerate(text.split("\n"), 1):
            found = UNFINISHED.search(line)
            if found:
                breaches.append(Breach(name, number, f"{found.group()}: unfinished work belongs in an issue"))
        lines = text.count("\n")
        generated = "generated" in text[:400].lower()
        if lines > LONG_FILE and not generated:
            remarks.append(f"{name}: {lines} lines: one concept?")
        if path.suffix in SOURCES and native in path.parents:
            relative = path.relative_to(native).as_posix()
            breaches += [Breach(name, number, message) for number, message in check_file(relative, text)]
    return sorted(breaches), remarks


def main(arguments: Sequence[str]) -> int:
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent
    breaches, remarks = check_tree(root.resolve())
    for remark in remarks:
        print(f"note: {remark}")
    for breach in breaches:
        print(breach)
    if breaches:
        print(f"{len(breaches)} breaches of the house rules", file=sys.stderr)
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
