"""Hand-written command scripts, replayed on two servers.

One command a line, in the inline syntax: words separated by spaces, `"..."` with \\n \\r \\t \\a \\b \\xHH escapes,
`'...'` literally. A line may begin with `@N`: it is sent on connection N (0 when nothing is said). Directions to the
runner are `!sleep MS`, `@N !send COMMAND` (do not wait for the reply), `@N !read COMMAND` (take that reply now) and
`@N !drop` (close the connection). `{s+100}` and `{ms-5}` are points in time. `#` begins a comment line.

    python -m tests.compat.corpus --a valkey --b kvcore [FILE...]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.compat.differential import Difference, Event, Pair, ServerGone, Target, show_step, split_events
from tests.compat.generate import Step
from tests.compat.resp import ConnectionClosed, ProtocolError, ReplyTimeout

DIRECTORY: Final = Path(__file__).parent / "corpus"
_ESCAPES: Final = {"n": b"\n", "r": b"\r", "t": b"\t", "b": b"\b", "a": b"\a"}


def split_words(line: str) -> list[bytes]:
    """The words of a line in the inline syntax. Raises ValueError on unbalanced quotes."""
    words: list[bytes] = []
    at = 0
    while True:
        while at < len(line) and line[at].isspace():
            at += 1
        if at == len(line):
            return words
        word = bytearray()
        while at < len(line) and not line[at].isspace():
            if line[at] in "\"'":
                at = _quoted(line, at, word)
            else:
                word += line[at].encode()
                at += 1
        words.append(bytes(word))


def _quoted(line: str, at: int, word: bytearray) -> int:
    quote = line[at]
    at += 1
    while at < len(line):
        char = line[at]
        if char == quote:
            return at + 1
        if char == "\\" and quote == '"' and at + 1 < len(line):
            follow = line[at + 1]
            if follow == "x":
                word.append(int(line[at + 2 : at + 4], 16))
                at += 4
                continue
            word += _ESCAPES.get(follow, follow.encode())
            at += 2
            continue
        if char == "\\" and line[at + 1 : at + 2] == "'":
            word += b"'"
            at += 2
            continue
        word += char.encode()
        at += 1
    raise ValueError(f"unbalanced quotes: {line}")


@dataclass(frozen=True)
class Line:
    """A command of a script and where it stands."""

    number: int
    step: Step


def load(path: Path) -> list[Line]:
    lines: list[Line] = []
    for number, text in enumerate(path.read_text().splitlines(), 1):
        if not text.strip() or text.startswith("#"):
            continue
        words = split_words(text)
        connection = 0
        if words[0][:1] == b"@" and words[0][1:].isdigit():
            connection = int(words.pop(0)[1:])
        lines.append(Line(number, (connection, *words)))
    return lines


def replay(pair: Pair, lines: Sequence[Line]) -> list[tuple[int, Difference]]:
    """Run a whole script and return every line that differs.

    Notifications are compared after each line, those of expiry (whose moment is the server's choice) and the whole
    key space at the end.
    """
    out: list[tuple[int, Difference]] = []
    late: tuple[list[Event], list[Event]] = ([], [])
    pair.reset()
    waiting = 0  # commands sent whose reply is still to be read
    for index, line in enumerate(lines):
        at = line.step[0]
        assert isinstance(at, int)
        found = pair.step(index, line.step)
        if found is not None and found.kind not in pair.ignore:
            out.append((line.number, found))
        if line.step[1] in (b"!send", b"!read"):
            waiting += 1 if line.step[1] == b"!send" else -1
        elif not waiting and not _left_alone(line.step) and (found := pair.framing(index, line.step, at)) is not None:
            out.append((line.number, found))
            for side in (pair.a, pair.b):
                side.drop(at)
        events = [split_events(side.events()) for side in (pair.a, pair.b)]
        for (_, expired), collected in zip(events, late, strict=True):
            collected += expired
        (ordered_a, _), (ordered_b, _) = events
        if ordered_a != ordered_b and "events" not in pair.ignore:
            out.append((line.number, Difference("events", index, line.step, repr(ordered_a), repr(ordered_b))))
    last = len(lines) - 1
    if (found := pair.checkpoint(last, lines[last].step)) is not None and found.kind not in pair.ignore:
        out.append((lines[last].number, found))
    if sorted(late[0]) != sorted(late[1]):
        out.append((0, Difference("events", last, lines[last].step, repr(sorted(late[0])), repr(sorted(late[1])))))
    return out


def _left_alone(step: Step) -> bool:
    """Commands after which an extra PING would be seen: CLIENT CACHING is for the next command only, QUIT closes."""
    return isinstance(step[1], bytes) and step[1].upper() in (b"CLIENT", b"QUIT")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--a", default="valkey", help="the reference: HOST:PORT, valkey, redis or kvcore")
    parser.add_argument("--b", default="kvcore", help="the server under test: HOST:PORT, valkey, redis or kvcore")
    parser.add_argument("--resp", choices=["2", "3", "both"], default="both")
    parser.add_argument("--ignore", default="", help="kinds not reported: events,keyspace,pushes,...")
    parser.add_argument("files", nargs="*", type=Path, default=sorted(DIRECTORY.glob("*.txt")))
    options = parser.parse_args(arguments)
    a, b = Target(options.a), Target(options.b)
    begun, total, differences = time.monotonic(), 0, 0
    try:
        for protocol in [2, 3] if options.resp == "both" else [int(options.resp)]:
            for path in options.files:
                lines = load(path)
                total += len(lines)
                differences += _report(a, b, protocol, path, lines, frozenset(options.ignore.split(",")))
    finally:
        a.stop()
        b.stop()
    print(f"{total} lines in {time.monotonic() - begun:.1f} s, {differences} differences")
    return 1 if differences else 0


def _report(a: Target, b: Target, protocol: int, path: Path, lines: list[Line], ignore: frozenset[str]) -> int:
    pair = None
    try:
        pair = Pair(a.address, b.address, protocol, ignore, strict=True)
        found = replay(pair, lines)
    except (ServerGone, ConnectionClosed, ReplyTimeout, ProtocolError) as error:
        print(f"{path.name} RESP{protocol}: {type(error).__name__}: {error}")
        time.sleep(0.2)
        return 1
    finally:
        if pair is not None:
            pair.close()
    for number, difference in found:
        print(f"{path.name}:{number} RESP{protocol} {difference.kind}: {show_step(difference.step)}")
        print(f"  a: {difference.a[:600]!r}\n  b: {difference.b[:600]!r}")
    return len(found)


if __name__ == "__main__":
    sys.exit(main())
