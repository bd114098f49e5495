"""The `kvcore` command. What it can do is in COMMANDS; each of these is a module that is imported when it is asked
for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from kvcore._version import VERSION

COMMANDS = {
    "demo": "index the running Python's standard library in one store, and show what that is like",
    "serve": "a server: kvcore serve [FILE] [--OPTION VALUE ...], with Valkey's configuration syntax",
    "shell": "type commands: kvcore shell [URL], or a private store without a URL",
    "bench": "measure your own workload, in this process or against any RESP server",
    "inspect": "what is in an RDB file: memory by type and prefix, biggest keys, TTLs, as a table or a page",
    "check": "are these files whole? kvcore check PATH ... [--repair]",
    "convert": "between RDB, AOF, the single file and JSON lines: kvcore convert SRC DST",
}


def usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {what}" for name, what in COMMANDS.items()]
    return (
        "usage: kvcore COMMAND [...]\n\n" + "\n".join(lines) + "\n\n  --version, --help; every command has --help too"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if words else 2
    if words[0] in ("-V", "-v", "--version"):
        print(f"kvcore {VERSION}")
        return 0
    if words[0] not in COMMANDS:
        print(f"kvcore: there is no command {words[0]!r}\n\n{usage()}", file=sys.stderr)
        return 2
    run: Callable[[list[str]], int] = import_module(f"kvcore.cli.{words[0]}").main
    try:
        return run(words[1:])
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 141
