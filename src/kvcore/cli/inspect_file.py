"""Files as a store loads them, for the commands that read files without opening a store: what is in a path, and a
walk over one file."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from kvcore._native import ffi, lib

VALUES, PAYLOADS, UNIQUE, ANY_TYPE = 1, 2, 4, 8
PROBLEMS = (lib.KVCORE_FILE_TORN, lib.KVCORE_FILE_CORRUPT, lib.KVCORE_FILE_UNSUPPORTED, lib.KVCORE_FILE_FAILED)


class Unreadable(Exception):
    """A path that holds nothing that could be read; the message is for the user."""


class Broken(Exception):
    """A manifest that is damaged, or names what is not there; the message is for the user."""


def bytes_of(word: Any) -> bytes:
    """The bytes that a word of an item points to, copied."""
    return bytes(ffi.buffer(word.ptr, word.len)) if word.len else b""


def text_of(characters: Any) -> str:
    """A text of the engine, or "" for none."""
    return ffi.string(characters).decode(errors="replace") if characters != ffi.NULL else ""


class File:
    """A file being read. A context manager; `options` are those above."""

    def __init__(self, path: Path, options: int) -> None:
        self.path = path
        error = ffi.new("char[]", 256)
        self.native: Any = lib.kvcore_file_open(os.fsencode(path), options, error, len(error))
        if self.native == ffi.NULL:
            raise Unreadable(f"{path}: {text_of(error)}")
        self.size = int(lib.kvcore_file_size(self.native))

    def __enter__(self) -> File:
        return self

    def __exit__(self, *_: object) -> None:
        native, self.native = self.native, None
        lib.kvcore_file_close(native)

    def items(self) -> Iterator[Any]:
        """Every item up to END or the problem that ends the file, which comes last. Each lives until the next."""
        following, end, problems = lib.kvcore_file_next, lib.KVCORE_FILE_END, PROBLEMS
        while True:
            item = following(self.native)
            yield item
            if item.kind == end or item.kind in problems:
                return

    @property
    def at(self) -> int:
        """How far the file has been read."""
        return int(lib.kvcore_file_at(self.native))

    @property
    def version(self) -> int:
        """The snapshot's RDB version; 0: the file is a log."""
        return int(lib.kvcore_file_version(self.native))

    @property
    def has_sums(self) -> bool:
        """Has the log had checksum lines so far?"""
        return bool(lib.kvcore_file_has_sums(self.native))


# --- directories ---


@dataclass
class Part:
    """A file that is read after the ones before it."""

    path: Path
    role: str  # "file", "base" or "log"


@dataclass
class Source:
    """What a path stands for."""

    path: Path
    parts: list[Part]
    manifest: Path | None = None
    others: tuple[Path, ...] = ()  # files beside them that nothing refers to


def _words(line: str) -> list[str]:
    """The words of a manifest's line; a name with special characters stands in double quotes, with escapes."""
    words, at = [], 0
    while at < len(line):
        if line[at].isspace():
            at += 1
        elif line[at] == '"':
            word, at = _quoted(line, at + 1)
            words.append(word)
        else:
            end = next((i for i in range(at, len(line)) if line[i].isspace()), len(line))
            words.append(line[at:end])
            at = end
    return words


def _quoted(line: str, at: int) -> tuple[str, int]:
    letters = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b"}
    word = ""
    while at < len(line) and line[at] != '"':
        if line[at] != "\\":
            word += line[at]
            at += 1
        elif line[at + 1 : at + 2] == "x":
            word += chr(int(line[at + 2 : at + 4], 16))
            at += 4
        else:
            word += letters.get(line[at + 1 : at + 2], line[at + 1 : at + 2])
            at += 2
    if at >= len(line):
        raise ValueError("an open quote")
    return word, at + 1


def read_manifest(path: Path) -> list[Part]:
    """The files that a manifest names, base first, logs in their order. Broken: it makes no sense."""
    bases: list[tuple[int, Part]] = []
    logs: list[tuple[int, Part]] = []
    for number, line in enumerate(path.read_text(encoding="latin-1").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            words = _words(line)
            facts = dict(zip(words[::2], words[1::2], strict=True))
            name, sequence, kind = facts["file"], int(facts["seq"]), facts["type"]
        except (ValueError, KeyError):
            raise Broken(f"{path}, line {number}: not `file NAME seq NUMBER type b|i|h`") from None
        if "/" in name or name in ("", ".", "..") or kind not in ("b", "i", "h"):
            raise Broken(f"{path}, line {number}: a name that leaves the directory, or an unknown type")
        if kind == "b":
            bases.append((sequence, Part(path.parent / name, "base")))
        elif kind == "i":
            logs.append((sequence, Part(path.parent / name, "log")))
    if len(bases) > 1:
        raise Broken(f"{path}: it names two base files")
    if [sequence for sequence, _ in logs] != sorted({sequence for sequence, _ in logs}):
        raise Broken(f"{path}: the logs are not in ascending order")
    if not bases and not logs:
        raise Broken(f"{path}: it names no file")
    return [part for _, part in bases + logs]


def locate(path: Path) -> Source:
    """What is to be read for a path: a file; an appendonlydir, or a server's directory with one; else its dump.rdb."""
    if not path.is_dir():
        if not path.exists():
            raise Unreadable(f"{path}: there is no such file")
        return Source(path, [Part(path, "file")])
    for folder in (path, path / "appendonlydir"):
        manifests = sorted(folder.glob("*.manifest")) if folder.is_dir() else []
        if len(manifests) > 1:
            raise Unreadable(f"{folder}: more than one manifest: name the one that is meant")
        if manifests:
            return _of_manifest(path, manifests[0])
    if (path / "dump.rdb").exists():
        return Source(path, [Part(path / "dump.rdb", "file")])
    raise Unreadable(f"{path}: a directory without a manifest, an appendonlydir or a dump.rdb")


def _of_manifest(path: Path, manifest: Path) -> Source:
    parts = read_manifest(manifest)
    named = {part.path for part in parts} | {manifest}
    others = tuple(sorted(found for found in manifest.parent.iterdir() if found not in named))
    for part in parts:
        if not part.path.exists():
            raise Broken(f"{manifest}: it names {part.path.name}, which is not there")
    return Source(path, parts, manifest, others)


# --- who has it open, and how far we are ---


def holder(path: Path) -> str | None:
    """Who has the store of this file open for writing, as words for a message; None: nobody."""
    resolved = path.resolve()
    lock = resolved.with_name(resolved.name + ".lock")
    try:
        handle = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        words = os.read(handle, 200).decode(errors="replace").split()
        return f"process {words[0]}" if words else "another process"
    finally:
        os.close(handle)
    return None


class Progress:
    """A line on stderr that says how far we are, where a person is looking, and only when it takes a while."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total = what, max(total, 1)
        self.shown = False
        self.due = time.monotonic() + 0.5 if sys.stderr.isatty() else float("inf")

    def tell(self, at: int, keys: int) -> None:
        """Call it now and then."""
        now = time.monotonic()
        if now < self.due:
            return
        self.due = now + 0.2
        self.shown = True
        sys.stderr.write(f"\r{self.what}: {100 * at / self.total:5.1f} %, {keys:,} keys ")
        sys.stderr.flush()

    def end(self) -> None:
        """Leaves no line behind."""
        if self.shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self.shown = False


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of `path` when all of it has reached the disk, and leaves no trace when
    it has not."""
    temporary = path.with_name(f"{path.name}.writing-{os.getpid()}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb", buffering=1 << 20) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    sync_directory(path)


def sync_directory(path: Path) -> None:
    """Makes a change of the directory that holds `path` last."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
