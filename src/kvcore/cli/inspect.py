"""`kvcore inspect PATH`: what is in a file, and what takes the memory, without loading it."""

from __future__ import annotations

import argparse
import heapq
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kvcore._native import lib
from kvcore.cli.inspect_file import (
    ANY_TYPE,
    PROBLEMS,
    VALUES,
    Broken,
    File,
    Progress,
    Source,
    Unreadable,
    bytes_of,
    locate,
    text_of,
)

PREFIXES_KEPT = 20_000  # more different ones than twice this are folded: the small ones become OTHERS
OTHERS, NO_PREFIX = "(smaller prefixes)", "(no prefix)"
LIVES = (
    ("expired", 0),
    ("up to 1 minute", 60),
    ("up to 1 hour", 3600),
    ("up to 1 day", 86_400),
    ("up to 7 days", 7 * 86_400),
    ("up to 30 days", 30 * 86_400),
    ("up to 1 year", 365 * 86_400),
    ("longer", float("inf")),
)
NO_EXPIRY = "no expiry"
DESCRIPTION = """\
What is in an RDB file, in the single file of kvcore.open(path), or in the base of an appendonlydir."""
EPILOG = """\
Memory is what each key takes when kvcore has loaded it (MEMORY USAGE); encodings are those of loaded keys (OBJECT
ENCODING). Streams and values of modules are counted with their bytes in the file. Times to live are counted from
when the file was written, as it says itself. A log behind or beside the snapshot is counted, not applied.
The file is read once, in constant memory. exit status: 0; 1: the file is damaged (what stands before the damage is
reported); 2: it cannot be read."""


@dataclass
class Sums:
    """What a group of keys adds up to."""

    keys: int = 0
    memory: int = 0
    stored: int = 0  # bytes in the file
    elements: int = 0
    expiring: int = 0

    def add(self, memory: int, stored: int, elements: int, expires: bool) -> None:
        self.keys += 1
        self.memory += memory
        self.stored += stored
        self.elements += elements
        self.expiring += expires

    def merge(self, other: Sums) -> None:
        self.keys += other.keys
        self.memory += other.memory
        self.stored += other.stored
        self.elements += other.elements
        self.expiring += other.expiring


@dataclass
class Big:
    """One of the biggest keys."""

    key: bytes
    db: int
    type: str
    encoding: str
    memory: int
    stored: int
    elements: int
    expire_ms: int


@dataclass
class Report:
    """All that is found out about a source."""

    source: str
    separator: str
    depth: int
    top: int
    files: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    total: Sums = field(default_factory=Sums)
    types: dict[str, Sums] = field(default_factory=dict)
    encodings: dict[tuple[str, str, str], Sums] = field(default_factory=dict)  # type, encoding, form in the file
    prefixes: dict[str, Sums] = field(default_factory=dict)
    databases: dict[int, Sums] = field(default_factory=dict)
    lives: dict[str, Sums] = field(default_factory=dict)
    written_ms: int = 0
    unread: dict[str, int] = field(default_factory=dict)
    commands: int = 0
    log_bytes: int = 0
    problem: str = ""
    _big: list[tuple[int, int, Big]] = field(default_factory=list)  # a heap: the smallest of the biggest first

    # --- gathering ---

    def prefix_of(self, key: bytes) -> str:
        """The first `depth` parts of a key, with the separator behind them."""
        parts = key.decode(errors="backslashreplace").split(self.separator, self.depth)
        if len(parts) <= 1:
            return NO_PREFIX
        return self.separator.join(parts[: min(self.depth, len(parts) - 1)]) + self.separator

    def life_of(self, expire_ms: int) -> str:
        """The row of the histogram that an expiry belongs to."""
        if expire_ms < 0:
            return NO_EXPIRY
        seconds = (expire_ms - self.written_ms) / 1000
        return next(name for name, most in LIVES if seconds <= most)

    def add_key(self, item: Any, kind: str, encoding: str, form: str) -> None:
        """Count a key."""
        key, stored, elements, expire_ms = bytes_of(item.name), int(item.bytes), int(item.elements), int(item.expire_ms)
        memory = int(item.memory) or stored
        expires = expire_ms >= 0
        groups: tuple[tuple[dict[Any, Sums], Any], ...] = (
            (self.types, kind),
            (self.encodings, (kind, encoding, form)),
            (self.prefixes, self.prefix_of(key)),
            (self.databases, int(item.db)),
            (self.lives, self.life_of(expire_ms)),
        )
        for group, name in groups:
            sums = group.get(name)
            if sums is None:
                sums = group[name] = Sums()
            sums.add(memory, stored, elements, expires)
        self.total.add(memory, stored, elements, expires)
        if len(self._big) < self.top:
            big = Big(key, item.db, kind, encoding, memory, stored, elements, expire_ms)
            heapq.heappush(self._big, (memory, -self.total.keys, big))
        elif self._big and memory > self._big[0][0]:
            big = Big(key, item.db, kind, encoding, memory, stored, elements, expire_ms)
            heapq.heapreplace(self._big, (memory, -self.total.keys, big))
        if len(self.prefixes) > 2 * PREFIXES_KEPT:
            self.fold_prefixes()

    def fold_prefixes(self) -> None:
        """Only the biggest prefixes stay by themselves."""
        ranked = sorted(self.prefixes.items(), key=lambda entry: (entry[0] == OTHERS, -entry[1].memory))
        self.prefixes = dict(ranked[:PREFIXES_KEPT])
        others = self.prefixes.setdefault(OTHERS, Sums())
        for _, sums in ranked[PREFIXES_KEPT:]:
            others.merge(sums)

    # --- results ---

    @property
    def biggest(self) -> list[Big]:
        """The keys that take the most memory, biggest first."""
        return [big for _, _, big in sorted(self._big, key=lambda entry: (-entry[0], -entry[1]))]

    def ranked_prefixes(self) -> list[tuple[str, Sums]]:
        """The prefixes that take the most memory, as many as are wanted."""
        return sorted(self.prefixes.items(), key=lambda entry: (-entry[1].memory, entry[0]))[: self.top]

    def ordered_lives(self) -> list[tuple[str, Sums]]:
        """The histogram of times to live, in order."""
        return [(name, self.lives.get(name, Sums())) for name in (NO_EXPIRY, *(name for name, _ in LIVES))]

    def as_json(self) -> dict[str, Any]:
        """The report as what JSON can hold. Keys are text; bytes that are no UTF-8 are written \\xNN."""

        def sums(s: Sums) -> dict[str, int]:
            return {
                "keys": s.keys,
                "memory": s.memory,
                "stored": s.stored,
                "elements": s.elements,
                "expiring": s.expiring,
            }

        return {
            "source": self.source,
            "files": self.files,
            "facts": self.facts,
            "total": sums(self.total),
            "types": {name: sums(s) for name, s in self.types.items()},
            "encodings": [
                {"type": kind, "encoding": encoding, "form": form, **sums(s)}
                for (kind, encoding, form), s in self.encodings.items()
            ],
            "databases": {str(number): sums(s) for number, s in sorted(self.databases.items())},
            "prefixes": [{"prefix": name, **sums(s)} for name, s in self.ranked_prefixes()],
            "ttl": [{"range": name, **sums(s)} for name, s in self.ordered_lives()],
            "biggest": [
                {
                    "key": big.key.decode(errors="backslashreplace"),
                    "db": big.db,
                    "type": big.type,
                    "encoding": big.encoding,
                    "memory": big.memory,
                    "stored": big.stored,
                    "elements": big.elements,
                    "expire_ms": big.expire_ms if big.expire_ms >= 0 else None,
                }
                for big in self.biggest
            ],
            "log": {"commands": self.commands, "bytes": self.log_bytes},
            "unread": self.unread,
            "problem": self.problem or None,
        }


# --- reading ---


def read_file(path: Path, report: Report) -> None:
    """Add a file to the report. One pass; memory: the biggest value and the report."""
    texts: dict[Any, str] = {}  # the engine's constant texts by their address

    def constant(pointer: Any) -> str:
        found = texts.get(pointer)
        if found is None:
            found = texts[pointer] = text_of(pointer)
        return found

    with File(path, VALUES | ANY_TYPE) as file:
        progress = Progress(path.name, file.size)
        before, snapshot_end = report.total.keys, 0
        report.written_ms = int(path.stat().st_mtime * 1000)
        for number, item in enumerate(file.items()):
            kind = item.kind
            if kind == lib.KVCORE_FILE_KEY:
                word = constant(item.type)
                encoding = constant(item.encoding)
                if not encoding:
                    report.unread[word] = report.unread.get(word, 0) + 1
                report.add_key(item, word, encoding or word, constant(item.form))
            elif kind == lib.KVCORE_FILE_COMMAND:
                report.commands += 1
            elif kind == lib.KVCORE_FILE_FACT:
                _note(
                    report, bytes_of(item.name).decode(errors="replace"), bytes_of(item.value).decode(errors="replace")
                )
            elif kind == lib.KVCORE_FILE_FUNCTION:
                report.unread["function library"] = report.unread.get("function library", 0) + 1
            elif kind == lib.KVCORE_FILE_MODULE:
                report.unread["module data"] = report.unread.get("module data", 0) + 1
            elif kind == lib.KVCORE_FILE_SNAPSHOT:
                snapshot_end = int(item.good)
            elif kind in PROBLEMS:
                report.problem = f"{path}: at byte {item.at:,} of {file.size:,}: {text_of(item.problem)}"
                if kind == lib.KVCORE_FILE_TORN:
                    report.problem += " (the end of the log is torn: loading cuts it off)"
            if number % 1024 == 0:
                progress.tell(file.at, report.total.keys)
        progress.end()
        if not file.version or snapshot_end:
            report.log_bytes += file.size - snapshot_end
        report.files.append(
            {"path": str(path), "bytes": file.size, "version": file.version or None, "keys": report.total.keys - before}
        )


def _note(report: Report, name: str, value: str) -> None:
    report.facts[name] = value
    if name == "ctime" and value.isdigit():
        report.written_ms = int(value) * 1000


def read_source(source: Source, separator: str = ":", depth: int = 1, top: int = 20) -> Report:
    """The report about a source."""
    report = Report(str(source.path), separator, depth, top)
    for part in source.parts:
        read_file(part.path, report)
    return report


# --- as text ---


def size_text(size: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def shown(key: bytes, longest: int = 60) -> str:
    """A key for a terminal: printable, and not too long."""
    text = key.decode(errors="backslashreplace")
    text = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a table: the first column to the left, the others to the right."""
    widths = [max(len(line[i]) for line in (head, *rows)) for i in range(len(head))]
    yield ""
    yield title
    for line in (head, ["-" * width for width in widths], *rows):
        cells = [
            line[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)),
        ]
        yield "  " + "  ".join(cells).rstrip()


def sums_row(name: str, sums: Sums, total: Sums) -> list[str]:
    return [
        name,
        f"{sums.keys:,}",
        percent(sums.keys, total.keys),
        size_text(sums.memory),
        percent(sums.memory, total.memory),
        size_text(sums.memory / sums.keys) if sums.keys else "-",
    ]


def as_text(report: Report) -> Iterator[str]:
    """The report as lines."""
    total = report.total
    for file in report.files:
        version = f"RDB version {file['version']}, " if file["version"] else "a log, "
        yield f"{file['path']}: {version}{size_text(file['bytes'])}, {file['keys']:,} keys"
    maker = next((f"{name} {report.facts[name]}" for name in report.facts if name.endswith("-ver")), "")
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(report.written_ms / 1000)) if report.written_ms else ""
    yield f"written by {maker or 'an unknown program'}{f', {when}' if when else ''}"
    yield f"{total.keys:,} keys, {size_text(total.memory)} of memory, {total.expiring:,} with an expiry"
    if report.commands:
        yield f"and a log of {report.commands:,} commands, {size_text(report.log_bytes)}: not in the tables"
    for word, count in report.unread.items():
        yield f"holds what kvcore does not read: {word} ({count:,})"
    if report.problem:
        yield f"PROBLEM: {report.problem}"
    head = ("keys", "", "memory", "", "each")
    by_memory = sorted(report.types.items(), key=lambda entry: -entry[1].memory)
    yield from table("Types", ("type", *head), [sums_row(name, sums, total) for name, sums in by_memory])
    encodings = sorted(report.encodings.items(), key=lambda entry: -entry[1].memory)
    yield from table(
        "Encodings: loaded, and in the file",
        ("encoding", *head),
        [sums_row(f"{kind}: {encoding}, {form}", sums, total) for (kind, encoding, form), sums in encodings],
    )
    if len(report.databases) > 1:
        rows = [sums_row(str(number), sums, total) for number, sums in sorted(report.databases.items())]
        yield from table("Databases", ("db", *head), rows)
    rows = [sums_row(shown(name.encode()), sums, total) for name, sums in report.ranked_prefixes()]
    yield from table(f"Prefixes, up to {report.separator!r}, by memory", ("prefix", *head), rows)
    rows = [sums_row(name, sums, total) for name, sums in report.ordered_lives()]
    yield from table("Time to live, when the file was written", ("left", *head), rows)
    yield from table(
        "Biggest keys",
        ("key", "db", "type", "encoding", "elements", "memory", "in the file"),
        [
            [shown(b.key), str(b.db), b.type, b.encoding, f"{b.elements:,}", size_text(b.memory), size_text(b.stored)]
            for b in report.biggest
        ],
    )


def arguments_of(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "kvcore inspect", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", type=Path, help="a file or directory")
    parser.add_argument("--json", action="store_true", help="the report as JSON on standard output")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with charts that needs no other file")
    parser.add_argument("--top", type=int, default=20, metavar="N", help="rows of the tables of keys and prefixes (20)")
    parser.add_argument("--separator", default=":", metavar="S", help="what ends a prefix (:)")
    parser.add_argument("--depth", type=int, default=1, metavar="N", help="parts of a key that are its prefix (1)")
    parsed = parser.parse_args(words)
    if parsed.top < 1 or parsed.depth < 1 or not parsed.separator:
        parser.error("--top and --depth are at least 1, and a separator is needed")
    return parsed


def main(words: Sequence[str]) -> int:
    options = arguments_of(words)
    try:
        report = read_source(locate(options.path), options.separator, options.depth, options.top)
        if options.html:
            from kvcore.cli.inspect_page import page

            options.html.write_text(page(report), encoding="utf-8")
            print(f"written: {options.html}", file=sys.stderr)
    except (Unreadable, Broken, OSError) as error:
        print(f"kvcore inspect: {error}", file=sys.stderr)
        return 1 if isinstance(error, Broken) else 2
    if options.json:
        json.dump(report.as_json(), sys.stdout, indent=2)
        print()
    elif not options.html:
        print("\n".join(as_text(report)))
    if report.problem:
        print(f"kvcore inspect: {report.problem}", file=sys.stderr)
    return 1 if report.problem else 0
