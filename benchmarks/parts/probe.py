"""A client that asks at a fixed rate and notes how long each answer took, counted from when it was due.

    python probe.py PORT RATE OUT [WHAT [COUNT]]    prints `ready`, runs until its standard input closes, writes OUT

Every request has a time at which it is due, is sent then even if earlier ones still wait for their answers, and its
wait counts from then: nothing is left out because the server happened to be busy (no coordinated omission). OUT holds
three int64 for each answer: when its request was due (CLOCK_MONOTONIC, ns), how long after that the answer was read,
and how much of it passed before this program, asleep with nothing else to do, was awake: the instrument's own error.

It runs in a process of its own, without a garbage collector, with a real-time priority where that is allowed, and
wakes without the kernel's timer slack. Several connections take turns, so that a server with several threads is seen
whole. WHAT is `mixed` (half of them GET, half of them SET), or a writer all over what is there: `set` of COUNT keys,
`hash`, `zset` or `list`, which change elements of the key `big` that has COUNT of them.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import select
import socket
import sys
import time
from array import array
from collections import deque

CONNECTIONS = 4
NAMES = 1000
PR_SET_TIMERSLACK = 29


def words(*parts: bytes) -> bytes:
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


def requests(what: str, count: int) -> list[bytes]:
    """NAMES requests. Those of the writers are spread evenly over COUNT elements, in an order that jumps about."""
    value = b"v" * 32
    places = [number * 7919 % NAMES * (count // NAMES or 1) for number in range(NAMES)]
    if what == "get":
        return [words(b"GET", b"probe:%06d" % number) for number in range(NAMES)]
    if what == "probe":
        return [words(b"SET", b"probe:%06d" % number, value) for number in range(NAMES)]
    if what == "set":
        return [words(b"SET", b"key:%012d" % place, value) for place in places]
    if what == "hash":
        return [words(b"HSET", b"big", b"element:%08d" % place, b"w" * 16) for place in places]
    if what == "zset":
        return [words(b"ZADD", b"big", b"%d" % (place // 2), b"element:%08d" % place) for place in places]
    if what == "list":
        return [words(b"LSET", b"big", b"%d" % place, b"changed:%08d" % place) for place in places]
    raise SystemExit(f"probe.py: {what} is not mixed, set, hash, zset or list")


class Line:
    """One connection: what it has asked and waits for. It asks on whether or not the answers before have come."""

    def __init__(self, port: int, what: str, count: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 900)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.requests = requests(what, count)
        self.waiting: deque[tuple[int, int]] = deque()  # (due, own delay) of requests that are under way
        self.rest = b""

    def fileno(self) -> int:
        return self.socket.fileno()

    def ask(self, number: int, due: int, own: int) -> None:
        self.waiting.append((due, own))
        self.socket.sendall(self.requests[number % NAMES])

    def hear(self) -> int:
        """Take what has come; how many answers are complete: +OK, a number, a missing value, or one of 32 bytes."""
        more = self.socket.recv(65536)
        if not more:
            raise ConnectionError("the server closed the connection")
        data = self.rest + more
        at = answers = 0
        while at < len(data):
            if data[at : at + 1] not in (b"+", b"$", b":"):
                raise RuntimeError(repr(data[at : at + 100]))
            line = data.find(b"\n", at) + 1
            end = line + 34 if data.startswith(b"$32", at) else line
            if not line or end > len(data):
                break
            at = end
            answers += 1
        self.rest = data[at:]
        return answers


def main(port: int, rate: int, out: str, what: str = "mixed", count: int = NAMES) -> None:
    with contextlib.suppress(PermissionError):  # it sleeps nearly all the time, so this takes nothing from the server
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
    gc.disable()
    clock = time.monotonic_ns
    kinds = ("get", "probe") if what == "mixed" else (what,)
    lines = [Line(port, kinds[number % len(kinds)], count) for number in range(CONNECTIONS)]
    for number in range(200):
        line = lines[number % CONNECTIONS]
        line.ask(number, 0, 0)
        while not line.hear():
            pass
        line.waiting.clear()
    print("ready", flush=True)

    found = array("q")
    interval = 1_000_000_000 // rate
    number, due, asleep = 0, clock() + interval, False
    inputs: list[Line | int] = [*lines, 0]
    running = True
    while running or any(line.waiting for line in lines):
        now = clock()
        if running and now >= due:
            lines[number % CONNECTIONS].ask(number, due, now - due if asleep else 0)
            number += 1
            due += interval
            asleep = False
            continue
        readable = select.select(inputs, [], [], (due - now) / 1e9 if running else 900)[0]
        asleep = not readable  # woken by the clock alone: what it comes too late is its own fault
        now = clock()
        for line in readable:
            if isinstance(line, int):
                running, inputs = False, list(lines)
                continue
            for _ in range(line.hear()):
                when, own = line.waiting.popleft()
                found.extend((when, now - when, own))
    with open(out, "wb") as file:
        found.tofile(file)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], *sys.argv[4:5], *map(int, sys.argv[5:6]))
