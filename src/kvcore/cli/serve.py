"""`kvcore serve [FILE] [--OPTION VALUE ...]`: a server with Valkey's configuration syntax and option names."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

from kvcore._version import VERSION

if TYPE_CHECKING:
    from pathlib import Path

    from kvcore._engine import Engine

# Modules that only some command lines need are imported there: what a server imports it holds as long as it runs.

INCLUDE_DEPTH = 16
TELL_EVERY_S = 5.0
HELP = """usage: kvcore serve [FILE] [--OPTION VALUE ...]

FILE holds lines `option value ...` as in valkey.conf; `-` reads them from standard input. Options on the command line
come after the file's and win.

  kvcore serve --port 7000 --maxmemory 1gb --maxmemory-policy allkeys-lru
  kvcore serve --port 0 --unixsocket /run/kv.sock --unixsocketperm 700
  kvcore serve my.conf --requirepass secret --bind 0.0.0.0

It listens on loopback only and in protected mode unless told otherwise. A client's `CONFIG GET *` lists the options.
  --version, --help"""


class BadUsage(Exception):
    """The command line makes no sense."""


def read_file(path: Path, depth: int = 0) -> str:
    """A configuration file, with the files that it includes in their places."""
    if depth > INCLUDE_DEPTH:
        raise BadUsage(f"{path}: files include each other more than {INCLUDE_DEPTH} deep")
    try:
        text = path.read_text(errors="surrogateescape")
    except OSError as error:
        raise BadUsage(f"cannot read {path}: {error.strerror}") from None
    return expand(text, depth)


def expand(text: str, depth: int = 0) -> str:
    """`include` lines replaced by what they name; a pattern may name none."""
    import glob
    from pathlib import Path

    lines = []
    for line in text.splitlines():
        words = line.split(None, 1)
        if len(words) == 2 and words[0].lower() == "include":
            name = words[1].strip().strip('"')
            names = sorted(glob.glob(name)) if glob.has_magic(name) else [name]
            lines += [read_file(Path(found), depth + 1) for found in names]
        else:
            lines.append(line + "\n")
    return "".join(lines)


def read_command_line(arguments: Sequence[str]) -> tuple[str, Path | None]:
    """The configuration text that a command line stands for, and the file that it began with."""
    from kvcore._engine import config_line

    words = list(arguments)
    text, path = "", None
    if words and not words[0].startswith("--"):
        name = words.pop(0)
        if name == "-":
            text = expand(sys.stdin.read())
        else:
            from pathlib import Path

            path = Path(name).resolve()
            text = read_file(path)
    while words:
        option = words.pop(0)
        if not option.startswith("--") or len(option) == 2:
            raise BadUsage(f"expected an option such as --port, not {option!r}")
        values = []
        while words and not words[0].startswith("--"):
            values.append(words.pop(0))
        if not values:
            raise BadUsage(f"{option} needs a value")
        text += config_line(option[2:], *values)
    return text, path


def main(arguments: Sequence[str]) -> int:
    if arguments and arguments[0] in ("-h", "--help"):
        print(HELP)
        return 0
    from kvcore._engine import Engine
    from kvcore.errors import RedisError

    if arguments and arguments[0] in ("-v", "-V", "--version"):
        print(f"kvcore server v={VERSION}")
        return 0
    try:
        text, path = read_command_line(arguments)
        engine = Engine(None, text)
        engine.retain()
        return serve(engine, path)
    except (BadUsage, RedisError, OSError) as error:
        print(f"kvcore serve: {error}", file=sys.stderr)
        return 1


def load(engine: Engine, say: Callable[[str], None], error: Any, ends: Callable[[], bool]) -> bool:
    """The data of the server's directory, while clients are told to wait for them; False: it was asked to end."""
    lib, ffi = engine._lib, engine._ffi
    problem = ffi.new("int *")
    begin = told = time.monotonic()

    def progress(arg: Any, step: Any, done: int, total: int) -> int:
        nonlocal told
        if time.monotonic() - told >= TELL_EVERY_S:
            told = time.monotonic()
            say(f"Loading: {ffi.string(step).decode()}, {done} of {total} bytes")
        return int(ends())

    callback = ffi.callback("int(void *, const char *, uint64_t, uint64_t)", progress)
    if lib.kvcore_start_files(engine.native, callback, ffi.NULL, problem, error, len(error)) != 0:
        if ends():
            return False
        reason = ffi.string(error).decode(errors="replace")
        say(f"Cannot start: {reason}")
        raise BadUsage(reason)
    facts = ffi.new("kvcore_file_facts *")
    lib.kvcore_file_state(engine.native, facts)
    if facts.loaded_keys or facts.replayed_commands:
        commands = f" and {facts.replayed_commands} commands of the log" if facts.replayed_commands else ""
        say(f"Loaded {facts.loaded_keys} keys{commands} in {time.monotonic() - begin:.3f} seconds")
    return True


def unlink(pidfile: str) -> None:
    if pidfile:
        with suppress(FileNotFoundError):
            os.unlink(pidfile)


def serve(engine: Engine, path: Path | None) -> int:
    """Listen until a signal or SHUTDOWN; the exit status."""
    lib, ffi = engine._lib, engine._ffi
    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        if asked:
            os._exit(1)  # the second one does not wait
        asked.append(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    options = {name: engine.configured(name) for name in ("dir", "logfile", "loglevel", "pidfile")}
    before = os.getcwdb()
    os.chdir(options["dir"])
    if os.getcwdb() != before:  # a relative one would mean another place now
        lib.kvcore_config_set(engine.native, b"dir", os.getcwdb(), ffi.NULL, 0)
    log = 1
    if options["logfile"]:
        log = os.open(options["logfile"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
    lib.kvcore_log_to(engine.native, log, options["loglevel"].encode())
    if path is not None:
        lib.kvcore_set_config_file(engine.native, os.fsencode(path))

    def say(line: str) -> None:
        lib.kvcore_log(engine.native, line.encode(errors="replace"))

    error = ffi.new("char[]", 512)
    lib.kvcore_wait_shutdown(engine.native, 0)  # from here on SHUTDOWN is accepted
    lib.kvcore_set_loading(engine.native)
    if lib.kvcore_serve(engine.native, False, error, len(error)) != 0:
        reason = ffi.string(error).decode(errors="replace")
        if log != 1:
            say(f"Cannot serve: {reason}")
        raise BadUsage(reason)
    engine.address = ""  # release() ends the server
    if options["pidfile"]:
        with open(options["pidfile"], "w") as file:
            file.write(f"{os.getpid()}\n")
    port, threads = lib.kvcore_port(engine.native), lib.kvcore_threads(engine.native)
    say(f"kvcore {VERSION}, pid {os.getpid()}, port {port}, {threads} network thread{'s' if threads != 1 else ''}")

    def ends() -> bool:
        return bool(asked or lib.kvcore_wait_shutdown(engine.native, 0))

    try:
        loaded = load(engine, say, error, ends)
    except BadUsage:
        engine.release_server()
        unlink(options["pidfile"])
        raise
    if loaded and port:
        say("Ready to accept connections tcp")
    if loaded and lib.kvcore_unix_path(engine.native) != ffi.NULL:
        say("Ready to accept connections unix")
    while not asked and not lib.kvcore_wait_shutdown(engine.native, 100):
        pass
    why = f"Received {signal.Signals(asked[0]).name}" if asked else "SHUTDOWN was asked for"
    say(f"{why}, shutting down")
    engine.release_server()
    status = 0
    if lib.kvcore_stop_files(engine.native, -1, error, len(error)) != 0:
        say(f"Not everything is saved: {ffi.string(error).decode(errors='replace')}")
        status = 1
    unlink(options["pidfile"])
    say("Every connection is closed, bye")
    engine.release()
    return status
