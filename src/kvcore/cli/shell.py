"""`kvcore shell [URL]`: type commands, read replies. Without a URL the store is private and ends with the shell."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from kvcore.errors import RedisError

Run = Callable[[list[str]], Any]


def show(reply: Any, indent: str = "") -> str:
    """A reply as text, nested ones indented and numbered."""
    if reply is None:
        return "(nil)"
    if isinstance(reply, RedisError):
        return f"(error) {reply.args[0] if reply.args else reply}"
    if isinstance(reply, bool):
        return "(true)" if reply else "(false)"
    if isinstance(reply, int):
        return f"(integer) {reply}"
    if isinstance(reply, bytes):
        return '"' + reply.decode("ascii", "backslashreplace").replace('"', '\\"') + '"'
    if isinstance(reply, dict):
        pairs = [f"{show(name)} => {show(value, indent + '   ')}" for name, value in reply.items()]
        return numbered(pairs, indent) if pairs else "(empty)"
    if isinstance(reply, (list, set, tuple)):
        return numbered([show(item, indent + "   ") for item in reply], indent) if reply else "(empty)"
    return str(reply)


def numbered(lines: Sequence[str], indent: str) -> str:
    return f"\n{indent}".join(f"{number}) {line}" for number, line in enumerate(lines, 1))


@contextlib.contextmanager
def connection(url: str | None) -> Iterator[Run]:
    """How to run a command: on a private store, or on the server behind the URL."""
    if url is None:
        import kvcore

        with kvcore.open() as store:
            session = store._new_session()
            yield session.attempt
    else:
        from kvcore.cli.resp import Client

        with Client(url, timeout=None) as client:
            yield lambda words: client.call(*words)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="kvcore shell", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("url", nargs="?", help="redis://[:password@]host:port/db or unix:///path")
    parser.add_argument("-c", "--command", action="append", help="run this and leave (may be repeated)")
    options = parser.parse_args(arguments)
    interactive = options.command is None and sys.stdin.isatty()
    if interactive:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  (line editing and history)
        print("quit or Ctrl-D leaves", file=sys.stderr)
    try:
        with connection(options.url) as run:
            return talk(run, options.command or lines(interactive), interactive)
    except (OSError, ValueError, RedisError) as error:
        print(f"kvcore shell: {error}", file=sys.stderr)
        return 1


def talk(run: Run, commands: Iterable[str], interactive: bool) -> int:
    """Run command lines and show the replies. 1: one failed, and nobody was there to see it."""
    failed = False
    for line in commands:
        try:
            words = shlex.split(line)
        except ValueError as error:
            print(f"(error) {error}")
            continue
        if not words:
            continue
        if words[0].lower() in ("quit", "exit"):
            break
        try:
            reply = run(words)
        except KeyboardInterrupt:
            print("(interrupted)")
            continue
        except RedisError as error:
            reply = error
        failed = failed or isinstance(reply, RedisError)
        print(show(reply))
    return int(failed and not interactive)


def lines(interactive: bool) -> Iterator[str]:
    while True:
        try:
            yield input("kvcore> " if interactive else "")
        except EOFError:
            return
        except KeyboardInterrupt:
            print()
