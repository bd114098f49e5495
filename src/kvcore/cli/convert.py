"""`kvcore convert SRC DST`: between RDB files, logs, single files and JSON lines."""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvcore._engine import Engine
from kvcore._native import lib
from kvcore._version import VERSION
from kvcore.cli.convert_lines import BadLine, Workshop, commands_of, from_line, to_line
from kvcore.cli.inspect_file import (
    PAYLOADS,
    PROBLEMS,
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
    replacing,
    text_of,
)
from kvcore.errors import RedisError

SUFFIXES = {".rdb": "rdb", ".aof": "aof", ".kv": "kv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
FORMATS = ("rdb", "aof", "kv", "jsonl")
DATABASES = 10_000
Write = Callable[[bytes], object]
EPILOG = """\
formats (by suffix, or --from and --to):
  rdb    .rdb    a snapshot: version 11, which Redis from 7.2 and every Valkey read; 80 (Valkey 9) when fields of
                 hashes have expiries
  aof    .aof    a log of commands
  kv     .kv     the single file of kvcore.open(path)
  jsonl  .jsonl, .ndjson, or - for standard input or output: a JSON object a line; see kvcore/cli/convert_lines.py
SRC may also be a directory with a manifest, or a server's. RDB, logs and single files are told apart by what is in
them.

An RDB file is converted key by key, in constant memory; a source with a log is loaded first. Expired keys are
converted with their times. Nothing is left out: what is not read (streams, modules, functions) ends the conversion.
DST is written beside its place and put there when it is complete. exit status: 0; 1: SRC is damaged, or holds what
is not read; 2: the files cannot be read or written, or the command line is wrong."""


class Refused(Exception):
    """The conversion cannot be done; the message is for the user. The source is at fault."""


@dataclass
class Record:
    """A key."""

    db: int
    key: bytes
    kind: str
    payload: bytes
    expire_ms: int
    idle_s: int = -1
    frequency: int = 0


# --- sources ---


def _problem(file: File, item: Any) -> str:
    name = bytes_of(item.name).decode(errors="backslashreplace")
    where = f" (at or before key {name!r})" if name else ""
    return f"{file.path}: at byte {item.at:,} of {file.size:,}{where}: {text_of(item.problem)}"


def has_log(source: Source) -> bool:
    """Is there anything but one snapshot?"""
    if len(source.parts) > 1:
        return True
    with File(source.parts[0].path, 0) as file:
        first = next(iter(file.items()))
        if not file.version and first.kind not in PROBLEMS:
            return True
        last_of_snapshot = False
        for item in file.items():
            if last_of_snapshot:
                return bool(item.kind != lib.KVCORE_FILE_END)
            last_of_snapshot = item.kind == lib.KVCORE_FILE_SNAPSHOT
    return False


def stream_records(path: Path) -> Iterator[Record]:
    """The keys of an RDB file, one by one. Memory: the biggest value, and 16 to 40 bytes a key."""
    with File(path, VALUES | PAYLOADS | UNIQUE) as file:
        progress = Progress(path.name, file.size)
        for number, item in enumerate(file.items()):
            if item.kind == lib.KVCORE_FILE_KEY:
                payload = bytes_of(item.value)
                if payload:
                    key, kind = bytes_of(item.name), text_of(item.type)
                    yield Record(item.db, key, kind, payload, item.expire_ms, item.idle_s, item.frequency)
            elif item.kind in (lib.KVCORE_FILE_FUNCTION, lib.KVCORE_FILE_MODULE):
                raise Refused(f"{path}: it holds a library of functions or a module's data, which kvcore does not read")
            elif item.kind in PROBLEMS:
                progress.end()
                raise Refused(_problem(file, item))
            if number % 1024 == 0:
                progress.tell(file.at, number)
        progress.end()


def load(engine: Engine, path: Path, last: bool) -> None:
    """Put a file into a store. A torn end of the last file is left away, with a word about it."""
    with File(path, VALUES | PAYLOADS | UNIQUE) as file:
        ended: list[Any] = []
        work = threading.Thread(target=lambda: ended.append(lib.kvcore_file_load(file.native, engine.native)))
        progress = Progress(path.name, file.size)
        work.start()
        while work.is_alive():
            work.join(0.1)
            progress.tell(file.at, sum(int(lib.kvcore_key_count(engine.native, db)) for db in range(16)))
        progress.end()
        item = ended[0]
        if item.kind == lib.KVCORE_FILE_TORN and last:
            torn = file.size - item.good
            print(f"{path}: the end is torn: {torn:,} bytes from byte {item.good:,} on are left away", file=sys.stderr)
        elif item.kind != lib.KVCORE_FILE_END:
            raise Refused(_problem(file, item))


def loaded_records(source: Source) -> Iterator[Record]:
    """The keys of a source that has a log: all of it is loaded. Memory: the data."""
    engine = Engine(None, f"databases {DATABASES}\n")
    engine.retain()
    try:
        engine.clock_freeze(1000)  # what expires says the log
        for part in source.parts:
            load(engine, part.path, part is source.parts[-1])
        for db in range(DATABASES):
            if lib.kvcore_key_count(engine.native, db):
                yield from _of_database(engine, db)
    finally:
        engine.release()


def _of_database(engine: Engine, db: int) -> Iterator[Record]:
    session = engine.session(db, None, "strict")
    try:
        cursor: Any = 0
        seen: set[bytes] = set()  # the store does not change, but its tables may still be growing
        while True:
            cursor, keys = session.execute(("SCAN", cursor, "COUNT", 500))
            for key in keys:
                if key not in seen:
                    seen.add(key)
                    kind = session.execute(("TYPE", key))
                    payload = session.execute(("DUMP", key))
                    expire_ms = session.execute(("PEXPIRETIME", key))
                    yield Record(db, key, bytes(kind).decode(), payload, expire_ms)
            if int(cursor) == 0:
                return
    finally:
        session.close()


def line_records(path: Path, workshop: Workshop) -> Iterator[Record]:
    """The keys of JSON lines. Memory: the longest line."""
    with contextlib.ExitStack() as stack:
        lines = sys.stdin.buffer if str(path) == "-" else stack.enter_context(open(path, "rb"))
        seen: set[tuple[int, bytes]] = set()
        for number, text in enumerate(lines, 1):
            if not text.strip():
                continue
            try:
                db, key, kind, value, expire_ms = from_line(text)
                if (db, key) in seen:
                    raise BadLine("a key that comes twice")
                seen.add((db, key))
                payload = workshop.payload(list(commands_of(b"k", kind, value, -1)))
            except (BadLine, RedisError) as error:
                raise Refused(f"{path}, line {number}: {error}") from None
            if not payload:
                raise Refused(f"{path}, line {number}: a {kind} without elements: there is no such key")
            yield Record(db, key, kind, payload, expire_ms)


# --- destinations ---


def length_bytes(length: int) -> bytes:
    """A length as RDB has it."""
    if length < 64:
        return bytes([length])
    if length < 1 << 14:
        return (length | 0x4000).to_bytes(2, "big")
    if length < 1 << 32:
        return b"\x80" + length.to_bytes(4, "big")
    return b"\x81" + length.to_bytes(8, "big")


def _string(raw: bytes) -> bytes:
    return length_bytes(len(raw)) + raw


class SnapshotWriter:
    """An RDB file. Which version it is, is known at its end: the head is written last, and the checksum kept for both
    heads, which are equally long."""

    HEADS = (b"REDIS0011", b"VALKEY080")

    def __init__(self, write: Write, is_base: bool) -> None:
        self._write = write
        self._sums = [lib.kvcore_crc64(0, head, len(head)) for head in self.HEADS]
        self._db = -1
        self.version = 11
        write(self.HEADS[0])
        facts = [(b"kvcore-ver", VERSION.encode()), (b"ctime", b"%d" % time.time())]
        if is_base:
            facts.append((b"aof-base", b"1"))
        for name, value in facts:
            self._put(b"\xfa" + _string(name) + _string(value))

    def _put(self, raw: bytes) -> None:
        self._write(raw)
        self._sums = [lib.kvcore_crc64(total, raw, len(raw)) for total in self._sums]

    def add(self, record: Record) -> None:
        """One key. The payload's frame is its version and checksum, ten bytes."""
        if record.db != self._db:
            self._db = record.db
            self._put(b"\xfe" + length_bytes(record.db))
        self.version = max(self.version, int.from_bytes(record.payload[-10:-8], "little"))
        head = b""
        if record.expire_ms >= 0:
            head += b"\xfc" + record.expire_ms.to_bytes(8, "little")
        if record.idle_s >= 0:
            head += b"\xf8" + length_bytes(record.idle_s)
        if record.frequency:
            head += b"\xf9" + bytes([record.frequency])
        self._put(head + record.payload[:1] + _string(record.key) + record.payload[1:-10])

    def end(self) -> bytes:
        """Writes the end; returns the head that the file has to begin with."""
        self._put(b"\xff")
        newer = self.version > 11
        self._write(int(self._sums[newer]).to_bytes(8, "little"))
        return self.HEADS[newer]


def request(words: Sequence[bytes]) -> bytes:
    """A command as a log has it."""
    return b"".join([b"*%d\r\n" % len(words), *(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)])


def write_log(records: Iterator[Record], write: Write, workshop: Workshop) -> int:
    count, db = 0, -1
    for record in records:
        if record.db != db:
            db = record.db
            write(request([b"SELECT", b"%d" % db]))
        value = workshop.elements(record.kind, record.payload)
        for words in commands_of(record.key, record.kind, value, record.expire_ms):
            write(request(words))
        count += 1
    return count


def write_lines(records: Iterator[Record], write: Write, workshop: Workshop) -> int:
    count = 0
    for record in records:
        value = workshop.elements(record.kind, record.payload)
        write(to_line(record.db, record.key, record.kind, value, record.expire_ms))
        count += 1
    return count


def write_snapshot(records: Iterator[Record], write: Write, is_base: bool) -> tuple[int, bytes]:
    writer = SnapshotWriter(write, is_base)
    count = 0
    for record in records:
        writer.add(record)
        count += 1
    return count, writer.end()


def write_file(records: Iterator[Record], path: Path, form: str, workshop: Workshop) -> int:
    """All records into a file, or nothing. Returns how many."""
    with replacing(path) as file:
        if form == "jsonl":
            return write_lines(records, file.write, workshop)
        if form == "aof":
            return write_log(records, file.write, workshop)
        count, head = write_snapshot(records, file.write, form == "kv")
        file.seek(0)
        file.write(head)
        return count


# --- the command ---


def format_of(path: Path, chosen: str | None, what: str) -> str:
    if chosen:
        return chosen
    if str(path) == "-":
        return "jsonl"
    if path.suffix.lower() in SUFFIXES:
        return SUFFIXES[path.suffix.lower()]
    raise Unreadable(f"{path}: its suffix does not say what it is: use --{what} with one of {', '.join(FORMATS)}")


def records_of(path: Path, form: str | None, workshop: Workshop) -> Iterator[Record]:
    """The keys of a source."""
    if form == "jsonl":
        return line_records(path, workshop)
    source = locate(path)
    return loaded_records(source) if has_log(source) else stream_records(source.parts[0].path)


def arguments_of(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "kvcore convert",
        description="Convert between the forms that data can have in files.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", type=Path, metavar="SRC")
    parser.add_argument("target", type=Path, metavar="DST")
    parser.add_argument("--from", dest="source_form", choices=FORMATS, help="what SRC is")
    parser.add_argument("--to", dest="target_form", choices=FORMATS, help="what DST is to be")
    parser.add_argument("--force", action="store_true", help="replace DST when it exists")
    return parser.parse_args(words)


def convert(source: Path, target: Path, source_form: str | None, target_form: str, force: bool) -> int:
    """Returns how many keys there were."""
    to_screen = str(target) == "-"
    if not to_screen:
        if target.is_dir():
            raise Unreadable(f"{target}: is a directory")
        if target.exists() and not force:
            raise Unreadable(f"{target}: exists; --force replaces it")
        if who := holder(target):
            raise Unreadable(f"{target} is in use by {who}")
    workshop = Workshop()
    try:
        records = records_of(source, source_form, workshop)
        if to_screen:
            return write_lines(records, sys.stdout.buffer.write, workshop)
        return write_file(records, target, target_form, workshop)
    finally:
        workshop.close()


def main(words: Sequence[str]) -> int:
    options = arguments_of(words)
    try:
        target_form = format_of(options.target, options.target_form, "to")
        if str(options.target) == "-" and target_form != "jsonl":
            raise Unreadable("standard output takes JSON lines only")
        source_form = options.source_form
        if source_form is None and (
            str(options.source) == "-" or SUFFIXES.get(options.source.suffix.lower()) == "jsonl"
        ):
            source_form = "jsonl"
        count = convert(options.source, options.target, source_form, target_form, options.force)
    except (Refused, Broken) as error:
        print(f"kvcore convert: {error}", file=sys.stderr)
        return 1
    except (Unreadable, OSError) as error:
        print(f"kvcore convert: {error}", file=sys.stderr)
        return 2
    print(f"{count:,} key{'s' if count != 1 else ''} -> {options.target} ({target_form})", file=sys.stderr)
    return 0
