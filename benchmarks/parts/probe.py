"""A client that asks at a fixed rate and notes how long each answer took, counted from when it was due.

    python probe.py PORT RATE OUT    prints `ready`, runs until its standard input closes, then writes OUT

Every request has a time at which it is due, is sent then even if earlier ones still wait for their answers, and its
wait counts from then: nothing is left out because the server happened to be busy (no coordinated omission). OUT holds
three int64 for each answer: when its request was due (CLOCK_MONOTONIC, ns), how long after that the answer was read,
and how much of it passed before this program, asleep with nothing else to do, was awake: the instrument's own error.

It runs in a process of its own, without a garbage collector, with a real-time priority where that is allowed, and
wakes without the kernel's timer slack. Several connections take turns, so that a server with several threads is seen
whole; half of them GET, half of them SET.
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


def requests(kind: int) -> list[bytes]:
    """GETs (0) or SETs (1) of NAMES keys."""
    found = []
    for number in range(NAMES):
        key = b"probe:%06d" % number
        if kind:
            found.append(b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$32\r\n%b\r\n" % (len(key), key, b"v" * 32))
        else:
            found.append(b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(key), key))
    return found


class Line:
    """One connection: what it has asked and waits for. It asks on whether or not the answers before have come."""

    def __init__(self, port: int, kind: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 900)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.requests = requests(kind)
        self.waiting: deque[tuple[int, int]] = deque()  # (due, own delay) of requests that are under way
        self.rest = b""

    def fileno(self) -> int:
        return self.socket.fileno()

    def ask(self, number: int, due: int, own: int) -> None:
        self.waiting.append((due, own))
        self.socket.sendall(self.requests[number % NAMES])

    def hear(self) -> int:
        """Take what has come; how many answers are complete: +OK, a missing value, or one of 32 bytes."""
        more = self.socket.recv(65536)
        if not more:
            raise ConnectionError("the server closed the connection")
        data = self.rest + more
        at = answers = 0
        while at < len(data):
            size = 39 if data.startswith(b"$32", at) else 5
            if len(data) - at < max(size, 3):
                break
            if data[at : at + 1] not in (b"+", b"$"):
                raise RuntimeError(repr(data[at : at + 100]))
            at += size
            answers += 1
        self.rest = data[at:]
        return answers


def main(port: int, rate: int, out: str) -> None:
    with contextlib.suppress(PermissionError):  # it sleeps nearly all the time, so this takes nothing from the server
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
    gc.disable()
    clock = time.monotonic_ns
    lines = [Line(port, number & 1) for number in range(CONNECTIONS)]
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
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
