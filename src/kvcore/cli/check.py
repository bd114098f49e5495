"""`kvcore check PATH ... [--repair]`: are these files whole, and if not, where does it begin?"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvcore._native import lib
from kvcore.cli.inspect_file import (
    ANY_TYPE,
    UNIQUE,
    VALUES,
    Broken,
    File,
    Progress,
    Source,
    Unreadable,
    bytes_of,
    holder,
    locate,
    sync_directory,
    text_of,
)

SOUND, DAMAGED, UNUSABLE, TORN, UNSUPPORTED = 0, 1, 2, 3, 4
WORST_FIRST = (DAMAGED, UNUSABLE, TORN, UNSUPPORTED, SOUND)
EPILOG = """\
Reads RDB files, logs (AOF), the single files of kvcore.open(path), a directory with a manifest, or a server's. Every
value is read and checked in depth, every checksum compared, every key looked for twice.

exit status:
  0  sound (after --repair: it is now)
  1  damaged; the offset is told. A damaged log can be cut there with --cut-damage, an RDB file cannot be repaired
  2  it cannot be read, is in use, or the command line is wrong
  3  the end of a log is torn, as a crash leaves it: loading cuts it off by itself, --repair does it now
  4  sound as far as it is read, but it holds what this version does not read (streams, modules, functions)
With several files the first of 1, 2, 3, 4 that any of them has."""


@dataclass
class Finding:
    """What one file turned out to be."""

    path: Path
    outcome: int
    text: str
    good: int = 0  # all before is whole
    size: int = 0
    in_log: bool = False  # the problem lies in a log, which can be cut off at `good`


class Tally:
    """What was met in a file."""

    def __init__(self) -> None:
        self.keys = self.commands = 0
        self.in_log = False
        self.foreign: Counter[str] = Counter()

    def add(self, item: Any) -> None:
        kind = item.kind
        if kind == lib.KVCORE_FILE_COMMAND:
            self.commands += 1
            self.in_log = True
        elif kind == lib.KVCORE_FILE_KEY:
            self.keys += 1
            word = text_of(item.type)
            if word in ("stream", "module"):
                self.foreign[word] += 1
        elif kind == lib.KVCORE_FILE_SNAPSHOT:
            self.in_log = True
        elif kind == lib.KVCORE_FILE_FUNCTION:
            self.foreign["function library"] += 1
        elif kind == lib.KVCORE_FILE_MODULE:
            self.foreign["block of module data"] += 1

    def describe(self, file: File) -> str:
        words = [f"RDB version {file.version}, {self.keys:,} keys"] if file.version else []
        if self.commands or not file.version:
            words.append(f"a log of {self.commands:,} commands{' with checksums' if file.has_sums else ''}")
        return ", ".join(words)


def examine(path: Path) -> Finding:
    """Read all of a file. O(its bytes); memory: 16 to 40 bytes a key, and the biggest value."""
    tally = Tally()
    with File(path, VALUES | UNIQUE | ANY_TYPE) as file:
        progress = Progress(path.name, file.size)
        for number, item in enumerate(file.items()):
            tally.add(item)
            if number % 1024 == 0:
                progress.tell(file.at, tally.keys)
        progress.end()
        return _conclude(file, item, tally)


def _conclude(file: File, item: Any, tally: Tally) -> Finding:
    what = tally.describe(file)
    kind, good, at = item.kind, int(item.good), int(item.at)
    name, problem = bytes_of(item.name), text_of(item.problem)
    at_key = f", at or before key {name.decode(errors='backslashreplace')!r}" if name else ""
    where = f"at byte {at:,} of {file.size:,}{at_key}: {problem}"

    def found(outcome: int, text: str) -> Finding:
        return Finding(file.path, outcome, text, good, file.size, tally.in_log)

    if kind == lib.KVCORE_FILE_TORN:
        return found(TORN, f"{what}; TORN: {where}; whole up to byte {good:,}")
    if kind == lib.KVCORE_FILE_CORRUPT:
        whole = f"; whole up to byte {good:,}" if tally.in_log else ""
        return found(DAMAGED, f"{what}; DAMAGED {where}{whole}")
    if kind == lib.KVCORE_FILE_UNSUPPORTED:
        return found(UNSUPPORTED, f"{what}; NOT READ {where}")
    if kind == lib.KVCORE_FILE_FAILED:
        return found(UNUSABLE, f"cannot be read: {problem}")
    if tally.foreign:
        held = ", ".join(f"{word} ({count:,})" for word, count in tally.foreign.items())
        return found(UNSUPPORTED, f"{what}; sound, but it holds what kvcore does not read: {held}")
    return found(SOUND, f"{what}; sound")


def check_source(source: Source) -> Iterator[Finding]:
    """The findings of all files of a source, in the order in which they are loaded."""
    for part in source.parts:
        finding = examine(part.path)
        if part.role == "base" and finding.in_log and finding.outcome == TORN:
            finding.outcome = DAMAGED
        if part is not source.parts[-1] and finding.outcome == TORN:  # a crash tears the last one only
            finding.outcome = DAMAGED
            finding.text += "; and this is not the last file, so a crash has not done this"
        yield finding


def cut(path: Path, at: int) -> Path:
    """Cut a file off. What is removed is first kept, on the disk, in the file that is returned."""
    keep = path.with_name(f"{path.name}.removed-{at}")
    with open(path, "r+b") as file:
        file.seek(at)
        handle = os.open(keep, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as kept:
            shutil.copyfileobj(file, kept, 1 << 20)
            kept.flush()
            os.fsync(kept.fileno())
        sync_directory(keep)
        file.truncate(at)
        os.fsync(file.fileno())
    return keep


def repair(finding: Finding, cut_damage: bool) -> Finding:
    """Cut off what may be cut off, and look again."""
    if finding.outcome != TORN and not (finding.outcome == DAMAGED and finding.in_log and cut_damage):
        return finding
    keep = cut(finding.path, finding.good)
    again = examine(finding.path)
    again.text += f" (cut at byte {finding.good:,}; the {finding.size - finding.good:,} bytes behind it are in {keep})"
    return again


def arguments_of(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "kvcore check",
        description="Check files that a store is loaded from.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("path", nargs="+", type=Path, help="a file or directory")
    parser.add_argument(
        "--repair",
        action="store_true",
        help="cut off the torn end of a log; what is removed is kept in FILE.removed-OFFSET",
    )
    parser.add_argument(
        "--cut-damage", action="store_true", help="with --repair: cut a log off at damage in its middle, too"
    )
    parsed = parser.parse_args(words)
    if parsed.cut_damage and not parsed.repair:
        parser.error("--cut-damage goes with --repair")
    return parsed


def main(words: Sequence[str]) -> int:
    options = arguments_of(words)
    outcomes = set()
    for path in options.path:
        try:
            outcomes |= set(_check_path(path, options.repair, options.cut_damage))
        except Broken as error:
            print(f"{error}: DAMAGED")
            outcomes.add(DAMAGED)
        except (Unreadable, OSError) as error:
            print(f"kvcore check: {error}", file=sys.stderr)
            outcomes.add(UNUSABLE)
    return next(outcome for outcome in WORST_FIRST if outcome in outcomes)


def _check_path(path: Path, fix: bool, cut_damage: bool) -> Iterator[int]:
    source = locate(path)
    if fix and (who := holder(path)):
        raise Unreadable(f"{path} is in use by {who}: close it there, then repair")
    for finding in check_source(source):
        final = repair(finding, cut_damage) if fix else finding
        print(f"{final.path}: {final.text}")
        yield final.outcome
    for other in source.others:
        print(f"{other}: not named by {source.manifest}, and not read")
