"""`kvcore serve [FILE] [--OPTION VALUE ...]`: a server with Valkey's configuration syntax and option names."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from kvcore._version import VERSION

if TYPE_CHECKING:
    from kvcore._engine import Engine

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


def read_command_line(arguments: Sequence[str]) -> tuple[str, Path | None]:
    """The configuration text that a command line stands for, and the file that it began with."""
    from kvcore._engine import config_line

    words = list(arguments)
    text, path = "", None
    if words and not words[0].startswith("--"):
        name = words.pop(0)
        if name == "-":
            text = sys.stdin.read()
        else:
            path = Path(name).resolve()
            try:
                text = path.read_text(errors="surrogateescape")
            except OSError as error:
                raise BadUsage(f"cannot read {name}: {error.strerror}") from None
        text = text if text.endswith("\n") or not text else text + "\n"
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
        text, _ = read_command_line(arguments)
        engine = Engine(None, 0, text)
    except (BadUsage, RedisError) as error:
        print(f"kvcore serve: {error}", file=sys.stderr)
        return 1
    engine.retain()
    try:
        return serve(engine)
    finally:
        engine.release()


def serve(engine: Engine) -> int:
    """Listen until a signal or SHUTDOWN."""
    lib, ffi = engine._lib, engine._ffi
    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        if asked:
            os._exit(1)  # the second one does not wait
        asked.append(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    settings = engine.session(0, "utf-8", "surrogateescape")
    logfile, level = (settings.execute(("CONFIG", "GET", name))[name] for name in ("logfile", "loglevel"))
    settings.close()
    log = os.open(logfile, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640) if logfile else 1
    lib.kvcore_log_to(engine.native, log, level.encode())

    def say(line: str) -> None:
        lib.kvcore_log(engine.native, line.encode(errors="replace"))

    lib.kvcore_wait_shutdown(engine.native, 0)  # from here on SHUTDOWN is accepted
    error = ffi.new("char[]", 512)
    if lib.kvcore_serve(engine.native, False, error, len(error)) != 0:
        reason = ffi.string(error).decode(errors="replace")
        say(f"Cannot serve: {reason}")
        print(f"kvcore serve: {reason}", file=sys.stderr)
        return 1
    engine.address = ""  # release() ends the server
    port, path, threads = (
        lib.kvcore_port(engine.native),
        lib.kvcore_unix_path(engine.native),
        lib.kvcore_threads(engine.native),
    )
    say(f"kvcore {VERSION}, pid {os.getpid()}, port {port}, {threads} network thread{'s' if threads != 1 else ''}")
    if port:
        say("Ready to accept connections tcp")
    if path != ffi.NULL:
        say("Ready to accept connections unix")
    while not asked and not lib.kvcore_wait_shutdown(engine.native, 100):
        pass
    say(
        f"Received {signal.Signals(asked[0]).name}, shutting down" if asked else "SHUTDOWN was asked for, shutting down"
    )
    engine.release_server()
    say("Every connection is closed, bye")
    return 0
