"""`kvcore demo`: one store, real text, every core type at work.

The sources of the running Python's standard library are read into a store: word counts (a sorted set), an inverted
index (a set a word), facts about each file (a hash a file), the files seen last (a list), reading sessions that run
out (keys with a lifetime), and a job queue whose consumer blocks in another thread. Then questions are answered from
it, and its speed is measured in this process and over a socket, side by side.
"""

from __future__ import annotations

import argparse
import re
import sys
import sysconfig
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import kvcore
from kvcore.cli.resp import Client

WORD = re.compile(rb"[A-Za-z_]{3,24}")
QUICK_FILES = 150


def source_files(limit: int | None) -> list[Path]:
    """The standard library's own modules, without its tests and what was installed beside it."""
    root = Path(sysconfig.get_path("stdlib"))
    skipped = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__", "lib2to3"}
    files = [path for path in sorted(root.rglob("*.py")) if not skipped & set(path.relative_to(root).parts)]
    return files[:limit] if limit else files


class Progress:
    """A bar on a terminal, one line at the end elsewhere."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total = what, total
        self.started = self.shown = time.monotonic()
        self.live = sys.stdout.isatty()

    def show(self, done: int, note: str) -> None:
        now = time.monotonic()
        if done < self.total and (not self.live or now - self.shown < 0.05):
            return
        self.shown = now
        filled = 30 * done // max(self.total, 1)
        line = f"{self.what} [{'#' * filled}{'.' * (30 - filled)}] {done}/{self.total}  {note}"
        print(f"\r{line:<100}" if self.live else line, end="" if self.live and done < self.total else "\n", flush=True)


def load(db: kvcore.Store[str], files: Sequence[Path]) -> int:
    """Read the files into the store; the number of commands that it took."""
    root = Path(sysconfig.get_path("stdlib"))
    bar = Progress("reading", len(files))
    commands = size = 0
    for number, path in enumerate(files, 1):
        text = path.read_bytes()
        name = path.relative_to(root).as_posix()
        words = Counter(word.lower() for word in WORD.findall(text))
        size += len(text)
        with db.pipeline(transaction=False) as pipe:
            for word, count in words.items():
                pipe.zincrby("words", count, word)
                pipe.sadd(b"in:" + word, name)
            facts: dict[str, Any] = {"bytes": len(text), "lines": text.count(b"\n"), "words": sum(words.values())}
            pipe.hset(f"file:{name}", mapping=facts)
            pipe.lpush("recent", name)
            pipe.ltrim("recent", 0, 9)
            pipe.set(f"session:{number}", name, ex=1800)
            commands += len(pipe)
            pipe.execute()
        seconds = max(time.monotonic() - bar.started, 1e-9)
        bar.show(number, f"{size / 1e6:.1f} MB, {commands / seconds / 1e3:,.0f}k commands/s")
    return commands


def work_queue(db: kvcore.Store[str], files: Sequence[Path]) -> tuple[int, float]:
    """Jobs for a consumer that waits in another thread: how many lines of docstring does each file open with?"""
    answers = 0

    def consume() -> None:
        nonlocal answers
        while True:
            job = db.blpop(["jobs"], timeout=30)
            if job is None or job[1] == "stop":
                return
            db.hset("opening", job[1], len(Path(job[1]).read_bytes().split(b'"""', 2)[0]))
            answers += 1

    consumer = threading.Thread(target=consume, name="consumer", daemon=True)
    consumer.start()
    started = time.monotonic()
    for path in files:
        db.rpush("jobs", str(path))
    db.rpush("jobs", "stop")
    consumer.join()
    return answers, time.monotonic() - started


def ask(db: kvcore.Store[str]) -> None:
    """Questions, and the commands that answer them."""
    print("\nWhat the store knows now")
    top = ", ".join(f"{word} {score:,.0f}" for word, score in db.zrange("words", 0, 7, desc=True, withscores=True))
    print(f"  most used words        ZRANGE words 0 7 REV WITHSCORES    {top}")
    rank = db.zrevrank("words", "socket")
    print(f"  rank of 'socket'       ZREVRANK words socket              {'absent' if rank is None else rank + 1}")
    both = sorted(db.sinter(["in:socket", "in:thread"]))
    print(f"  'socket' and 'thread'  SINTER in:socket in:thread         {len(both)} files: {', '.join(both[:4])} ...")
    latest = db.lrange("recent", 0, 2)
    print(f"  read last              LRANGE recent 0 2                  {', '.join(latest)}")
    facts = db.hgetall(f"file:{latest[0]}")
    shown = ", ".join(f"{name} {value}" for name, value in facts.items())
    print(f"  one of them            {f'HGETALL file:{latest[0]}':<34} {shown}")
    print(f"  a session's time left  TTL session:1                      {db.ttl('session:1')} s")


def per_second(operation: Callable[[], object], count: int, seconds: float) -> float:
    """How often `operation`, worth `count` commands, runs in a second."""
    done, started = 0, time.perf_counter()
    while (took := time.perf_counter() - started) < seconds:
        for _ in range(50):
            operation()
        done += 50 * count
    return done / took


def speed(db: kvcore.Store[str], seconds: float) -> None:
    """The same commands in this process and through a socket to the same store."""
    value = "x" * 32
    batch: list[tuple[str, ...]] = [("SET", "bench:key", value)] * 16

    def in_batch() -> None:
        pipe = db.pipeline(transaction=False)
        for _ in range(16):
            pipe.set("bench:key", value)
        pipe.execute()

    db.serve(port=0)
    with Client(db.url) as client:
        rows: Iterable[tuple[str, Callable[[], object], Callable[[], object], int]] = [
            ("SET", lambda: db.set("bench:key", value), lambda: client.must("SET", "bench:key", value), 1),
            ("GET", lambda: db.get("bench:key"), lambda: client.must("GET", "bench:key"), 1),
            ("INCR", lambda: db.incr("bench:n"), lambda: client.must("INCR", "bench:n"), 1),
            ("HSET", lambda: db.hset("bench:h", "f", value), lambda: client.must("HSET", "bench:h", "f", value), 1),
            (
                "ZADD",
                lambda: db.zadd("bench:z", {"m": 1.5}),
                lambda: client.must("ZADD", "bench:z", 1.5, "m"),
                1,
            ),
            ("SET, 16 in a pipeline", in_batch, lambda: client.batch(batch), 16),
        ]
        print(f"\nOperations per second, one thread{'in this process':>21}{'over RESP':>14}")
        for name, here, there, count in rows:
            print(f"  {name:<31}{per_second(here, count, seconds):>21,.0f}{per_second(there, count, seconds):>14,.0f}")


def at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least one file is needed")
    return number


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="kvcore demo", description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_FILES} files and short measurements")
    parser.add_argument("--files", type=at_least_one, default=None, metavar="N", help="read only the first N files")
    options = parser.parse_args(arguments)

    files = source_files(options.files or (QUICK_FILES if options.quick else None))
    if not files:
        print("kvcore demo: this Python has no sources of its standard library beside it", file=sys.stderr)
        return 1
    with kvcore.open(decode_responses=True) as db:
        print(f"kvcore {kvcore.__version__}: {len(files)} source files into one store in this process\n")
        started = time.monotonic()
        commands = load(db, files)
        took = time.monotonic() - started
        print(f"{commands:,} commands in {took:.1f} s, reading and splitting included; {len(db):,} keys")
        jobs, took = work_queue(db, files[: 50 if options.quick else 500])
        print(f"{jobs} jobs through a queue to a blocked consumer in another thread: {took / jobs * 1e6:.0f} us a job")
        ask(db)
        speed(db, 0.15 if options.quick else 0.6)
        print(f"\nused memory {db.info('memory')['used_memory_human']}; now try")
        print("  kvcore serve --port 6379        the engine as a server, for valkey-cli and every Redis client")
        print("  kvcore shell                    the same commands at a prompt")
        print('  python -c \'import kvcore; db = kvcore.open(); db.set("k", 1); print(db.incr("k"))\'')
    return 0
