"""io-threads auto: as many network threads are in use as the load needs, and connections move between them unharmed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.compat.resp import Connection
from tests.conftest import AGAINST, start_tested_server
from tests.servers import Server

pytestmark = [
    pytest.mark.skipif(AGAINST != "kvcore", reason="a promise of kvcore's own"),
    pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core has nothing to gain from a second thread"),
]

CLIENTS = 4


@pytest.fixture
def server() -> Iterator[Server]:
    server = start_tested_server("--loglevel", "verbose")
    yield server
    server.stop()


def threads_in_use(c: Connection) -> int:
    for line in c.must("INFO", "kvcore").data.decode().splitlines():
        if line.startswith("io_threads:"):
            return int(line.partition(":")[2])
    raise AssertionError("INFO does not tell")


def wait_until(condition: Callable[[], bool], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.05)


def idle_cores_s() -> float:
    """Seconds that all cores together have been idle."""
    with open("/proc/stat") as stat:
        words = stat.readline().split()
    return (int(words[4]) + int(words[5])) / os.sysconf("SC_CLK_TCK")


def test_a_light_load_needs_one(server: Server) -> None:
    with server.connect() as c, server.connect() as other:
        assert threads_in_use(c) == 1
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            assert other.must("PING").value == b"PONG"
            time.sleep(0.005)
        assert threads_in_use(c) == 1


@pytest.mark.timeout(120)
def test_threads_follow_the_load(server: Server) -> None:
    """Long scans from several clients: little to send, much to do. Each counts, so a lost or doubled command shows."""
    done = threading.Event()
    wrong: list[object] = []

    def scan(client: int) -> None:
        with server.connect(timeout_s=60) as c:
            count = 0
            while not done.is_set():
                batch = [("LPOS", "list", "missing"), ("INCR", f"counter{client}")] * 20
                replies = [reply.value for reply in c.many(batch, timeout_s=60)]
                if replies != [value for n in range(count + 1, count + 21) for value in (None, n)]:
                    wrong.append(replies)
                    return
                count += 20

    with server.connect(timeout_s=60) as c:
        c.must("RPUSH", "list", *range(5_000))
        crowd = [threading.Thread(target=scan, args=(client,)) for client in range(CLIENTS)]
        for thread in crowd:
            thread.start()
        begun, idle = time.monotonic(), idle_cores_s()
        while threads_in_use(c) == 1 and not wrong and time.monotonic() - begun < 15:
            time.sleep(0.05)
        idle_cores = (idle_cores_s() - idle) / (time.monotonic() - begun)
        done.set()
        for thread in crowd:
            thread.join()
        assert wrong == []
        if "Network threads in use: 2" not in server.log.read_text() and idle_cores < 0.7:
            pytest.skip(f"{idle_cores:.1f} cores were idle here: a second thread would have had nowhere to run")
        wait_until(lambda: threads_in_use(c) == 1, 20)
        assert "Network threads in use: 2, before 1" in server.log.read_text()


def test_a_single_client_gets_no_second_thread(server: Server) -> None:
    with server.connect(timeout_s=60) as c:
        c.must("RPUSH", "list", *range(5_000))
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            c.many([("LPOS", "list", "missing")] * 50, timeout_s=60)
        assert threads_in_use(c) == 1
