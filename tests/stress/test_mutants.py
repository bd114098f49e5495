"""Seeded bugs: engines that are wrong on purpose, and the checks that have to notice. A check that lets one live is
none.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from tests import servers
from tests.compat.resp import ConnectionClosed, ProtocolError, ReplyTimeout
from tests.stress import linearizability as lin
from tests.stress.build import build, sanitizer_library
from tests.stress.linearizability import Recorder, Register
from tests.stress.test_linearizability import CLIENTS, doors_to

pytestmark = [pytest.mark.stress, pytest.mark.slow]

SEARCH_S = 40.0
NOTICED = (AssertionError, ConnectionClosed, ReplyTimeout, ProtocolError)


def variant_server(mutant: str | None, base: str = "release") -> servers.Server:
    """kvcore's server from a variant build, with as many threads as there are clients to disturb each other."""
    directory = build(mutant, base)
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(directory), environment.get("PYTHONPATH", "")]))
    if base == "tsan":
        environment["LD_PRELOAD"] = sanitizer_library("libtsan.so")
        environment["TSAN_OPTIONS"] = "halt_on_error=0:report_signal_unsafe=0:ignore_noninstrumented_modules=1"
    command = [sys.executable, "-m", "kvcore", "serve"]
    return servers.start("mutant", command, "--io-threads", "4", env=environment)


def lost_update(server: servers.Server, seed: int) -> None:
    """Pipelined increments of few keys: none may be lost."""
    doors = doors_to(server, CLIENTS)
    keys = ["counter0", "counter1"]
    doors[0].execute("FLUSHALL")
    each = 2_000

    def program(client: int, do: Callable[..., object]) -> None:
        del do
        connection = doors[client].connection
        connection.many([("INCR", keys[number % 2]) for number in range(each)], timeout_s=20)

    Recorder(doors).run(program)
    assert doors[0].execute("MGET", *keys) == [b"%d" % (CLIENTS * each // 2)] * 2, "increments were lost"
    history = Recorder(doors).run(lin.register_program(seed, ["a", "b"], 30))
    lin.assert_linearizable(history, Register())
    for door in doors:
        door.close()


def not_served(server: servers.Server, seed: int) -> None:
    served_all_at_once(server)
    served_out_of_a_transaction(server)
    doors = doors_to(server, CLIENTS)
    doors[0].execute("FLUSHALL")
    lin.handover(doors, seed, ["q"], 60)
    for door in doors:
        door.close()


def served_out_of_a_transaction(server: servers.Server) -> None:
    """A waiter that finds the pushed element gone keeps waiting, and gets the next one."""
    with server.connect() as waiter, server.connect() as other:
        waiter.send("BLPOP", "often", 3)
        time.sleep(0.05)
        for words in (("MULTI",), ("RPUSH", "often", "x"), ("LPOP", "often"), ("EXEC",)):
            other.must(*words)
        other.must("RPUSH", "often", "y")
        assert waiter.reply().plain() == [b"often", b"y"], "the waiter was forgotten"


def served_all_at_once(server: servers.Server) -> None:
    """One push with an element for each of three waiters serves all three."""
    with server.connect() as a, server.connect() as b, server.connect() as c, server.connect() as other:
        for waiter in (a, b, c):
            waiter.send("BLPOP", "three", 3)
            time.sleep(0.02)
        other.must("RPUSH", "three", "1", "2", "3")
        got = [waiter.reply().plain() for waiter in (a, b, c)]
        assert got == [[b"three", b"1"], [b"three", b"2"], [b"three", b"3"]], "a waiter was forgotten"


def race(server: servers.Server, seed: int) -> None:
    """Writers on all shards; the thread sanitizer writes what it saw into the server's log."""
    doors = doors_to(server, 4)
    keys = [f"k{index}" for index in range(8)]
    Recorder(doors).run(lin.counter_program(seed, keys, 300))
    for door in doors:
        door.close()
    assert "data race" not in server.log.read_text(errors="replace"), "the sanitizer saw a data race"


CASES: dict[str, tuple[str, Callable[[servers.Server, int], None]]] = {
    "DROP_LOCK": ("release", lost_update),
    "LOST_WAKEUP": ("release", not_served),
    "PUBLISH_AFTER_UNLOCK": ("tsan", race),
}


@pytest.fixture
def need_a_compiler() -> None:
    if os.environ.get("KVCORE_MUTANTS") != "1":
        pytest.skip("builds the engine five times: make mutants, or KVCORE_MUTANTS=1")
    if shutil.which("gcc") is None:
        pytest.skip("no gcc to build the variants with")
    if servers.kvcore_command() is None:
        pytest.skip("python -m kvcore serve does not run here: build the engine first")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", sorted(CASES))
def test_the_mutant_is_caught(need_a_compiler: None, mutant: str) -> None:
    base, disturb = CASES[mutant]
    server = variant_server(mutant, base)
    deadline = time.monotonic() + SEARCH_S
    try:
        for seed in range(1_000_000):
            try:
                disturb(server, seed)
            except NOTICED:
                return
            if not server.alive:
                return
            if time.monotonic() > deadline:
                break
    finally:
        with contextlib.suppress(OSError):
            server.stop()
    pytest.fail(f"{mutant} lives: {seed + 1} rounds of {disturb.__name__} saw nothing")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("base", sorted({base for base, _ in CASES.values()}))
def test_the_unchanged_engine_passes(need_a_compiler: None, base: str) -> None:
    server = variant_server(None, base)
    try:
        for wanted, disturb in CASES.values():
            if wanted == base:
                disturb(server, 1)
    finally:
        server.stop()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", ["MISSED_PRE_IMAGE", "OLD_UNIT_SHOWS"])
def test_the_mutant_of_the_cut_is_caught(need_a_compiler: None, mutant: str) -> None:
    """By the C tests of snapshots, which the unchanged engine passes in every `make ctest`."""
    command = [sys.executable, str(servers.ROOT / "tools" / "ctest.py"), "--variant", "release"]
    command += ["--define", f"KV_MUTANT_{mutant}", "--timeout", "120", "test_snapshot"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert "does not build" not in done.stdout + done.stderr, done.stdout + done.stderr
    assert done.returncode == 1, f"{mutant} lives: {done.stdout}"
    assert "exit status" in done.stdout, done.stdout
