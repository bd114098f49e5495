"""Many clients at once: what they see can be explained one command after the other. And the checker's own tests."""

from __future__ import annotations

import math
import random

import pytest

from tests.servers import Server
from tests.stress import linearizability as lin
from tests.stress.linearizability import UNKNOWN, List, Model, Op, Recorder, Register, Set, SocketDoor, check

CLIENTS = 8
ROUNDS = 6

# The checker. A history is written as (client, name, args, result, begin, end).

Row = tuple[int, str, tuple[bytes, ...], object, float, float]

RIGHT: dict[str, tuple[Model, list[Row]]] = {
    "empty": (Register(), []),
    "one after the other": (Register(), [(0, "SET", (b"1",), b"OK", 0, 1), (1, "GET", (), b"1", 2, 3)]),
    "a read during a write sees the old value": (
        Register(),
        [(0, "SET", (b"1",), b"OK", 0, 10), (1, "GET", (), None, 2, 3), (1, "GET", (), b"1", 4, 5)],
    ),
    "a lost reply took effect": (
        Register(),
        [(0, "SET", (b"1",), UNKNOWN, 0, math.inf), (1, "GET", (), None, 1, 2), (1, "GET", (), b"1", 3, 4)],
    ),
    "a lost reply took no effect": (
        Register(),
        [(0, "SET", (b"1",), UNKNOWN, 0, math.inf), (1, "GET", (), None, 5, 6)],
    ),
    "two increments at once": (
        Register(),
        [(0, "INCR", (), 2, 0, 5), (1, "INCR", (), 1, 1, 4), (0, "GET", (), b"2", 6, 7)],
    ),
    "a pop during a push": (List(), [(0, "RPUSH", (b"a",), 1, 0, 9), (1, "LPOP", (), b"a", 1, 2)]),
    "a blocked pop": (List(), [(0, "BLPOP", (), b"a", 0, 9), (1, "RPUSH", (b"a",), 1, 5, 6)]),
    "pops in the other order than their calls": (
        List(),
        [(0, "RPUSH", (b"a", b"b"), 2, 0, 1), (1, "LPOP", (), b"b", 2, 9), (2, "LPOP", (), b"a", 3, 8)],
    ),
    "any member": (Set(), [(0, "SADD", (b"a", b"b"), 2, 0, 1), (1, "SPOP", (), b"b", 2, 3), (1, "SCARD", (), 1, 4, 5)]),
}

WRONG: dict[str, tuple[Model, list[Row]]] = {
    "a value that nobody wrote": (Register(), [(0, "GET", (), b"1", 0, 1)]),
    "a stale read": (
        Register(),
        [(0, "SET", (b"1",), b"OK", 0, 1), (0, "SET", (b"2",), b"OK", 2, 3), (1, "GET", (), b"1", 4, 5)],
    ),
    "reads go back in time": (
        Register(),
        [
            (0, "SET", (b"1",), b"OK", 0, 1),
            (0, "SET", (b"2",), b"OK", 2, 20),
            (1, "GET", (), b"2", 3, 4),
            (2, "GET", (), b"1", 5, 6),
        ],
    ),
    "a lost increment": (
        Register(),
        [(0, "INCR", (), 1, 0, 5), (1, "INCR", (), 1, 1, 4)],
    ),
    "an increment lost behind the replies": (
        Register(),
        [(0, "INCR", (), 1, 0, 5), (1, "INCR", (), 2, 1, 4), (0, "GET", (), b"1", 6, 7)],
    ),
    "SETNX won twice": (
        Register(),
        [(0, "SETNX", (b"a",), 1, 0, 5), (1, "SETNX", (b"b",), 1, 1, 4)],
    ),
    "an unknown outcome cannot take effect before its call": (
        Register(),
        [(1, "GET", (), b"1", 0, 1), (0, "SET", (b"1",), UNKNOWN, 2, math.inf)],
    ),
    "an element handed out twice": (
        List(),
        [(0, "RPUSH", (b"a",), 1, 0, 1), (1, "LPOP", (), b"a", 2, 5), (2, "LPOP", (), b"a", 3, 4)],
    ),
    "a lost element": (List(), [(0, "RPUSH", (b"a",), 1, 0, 1), (1, "LPOP", (), None, 2, 5)]),
    "the wrong end": (
        List(),
        [(0, "RPUSH", (b"a",), 1, 0, 1), (0, "RPUSH", (b"b",), 2, 2, 3), (1, "LPOP", (), b"b", 4, 5)],
    ),
    "a blocked pop before the push": (List(), [(0, "BLPOP", (), b"a", 0, 3), (1, "RPUSH", (b"a",), 1, 5, 6)]),
    "half of a push": (List(), [(0, "RPUSH", (b"a", b"b"), 2, 0, 9), (1, "LRANGE", (), [b"a"], 1, 2)]),
    "a member that was popped before": (
        Set(),
        [(0, "SADD", (b"a",), 1, 0, 1), (1, "SPOP", (), b"a", 2, 3), (1, "SISMEMBER", (b"a",), 1, 4, 5)],
    ),
}


@pytest.mark.parametrize("name", sorted(RIGHT))
def test_the_checker_accepts(name: str) -> None:
    model, rows = RIGHT[name]
    assert check([Op(*row) for row in rows], model).ok


@pytest.mark.parametrize("name", sorted(WRONG))
def test_the_checker_refuses(name: str) -> None:
    model, rows = WRONG[name]
    history = [Op(*row) for row in rows]
    verdict = check(history, model)
    assert verdict.decided
    assert not verdict.ok
    assert "left over" in verdict.report(history)


@pytest.mark.parametrize("seed", range(20))
def test_the_checker_on_made_histories(seed: int) -> None:
    """A history made by executing at a point inside each interval is accepted; with one result changed it is not."""
    rng = random.Random(seed)
    model, state, now = Register(), Register().initial(), 0.0
    history: list[Op] = []
    for number in range(60):
        now += rng.random()
        name, args = rng.choice([("GET", ()), ("SET", (b"v%d" % number,)), ("SETNX", (b"n%d" % number,)), ("DEL", ())])
        guess = Op(number % 6, name, args, UNKNOWN, now - rng.random() * 3, now + rng.random() * 3)
        (after,) = model.step(state, guess)
        results: list[object] = [None, b"OK", 0, 1, *([state] if isinstance(state, bytes) else [])]
        result = next(r for r in results if _possible(model, state, guess, r, after))
        history.append(Op(guess.client, name, args, result, guess.begin, guess.end))
        state = after
    assert check(history, model).ok
    gets = [index for index, op in enumerate(history) if op.name == "GET"]
    spoiled = rng.choice(gets)
    op = history[spoiled]
    history[spoiled] = Op(op.client, op.name, op.args, b"never written", op.begin, op.end)
    assert not check(history, model).ok


def _possible(model: Register, state: object, op: Op, result: object, after: object) -> bool:
    known = Op(op.client, op.name, op.args, result, op.begin, op.end)
    return list(model.step(state, known)) == [after]


# A server


def doors_to(server: Server, count: int) -> list[SocketDoor]:
    return [SocketDoor(server.host, server.port) for _ in range(count)]


@pytest.mark.stress
@pytest.mark.parametrize("kind", ["register", "counter", "list", "set", "blocking"])
def test_histories(served_kvcore: Server, kind: str) -> None:
    doors = doors_to(served_kvcore, CLIENTS)
    try:
        for seed in range(ROUNDS):
            doors[0].execute("FLUSHALL")
            one_round(doors, kind, seed)
    finally:
        for door in doors:
            door.close()


def one_round(doors: list[SocketDoor], kind: str, seed: int) -> None:
    keys = [f"key{index}" for index in range(4)]
    programs = {
        "register": lin.register_program(seed, keys, 40),
        "counter": lin.counter_program(seed, keys[:2], 40),
        "list": lin.list_program(seed, keys, 30),
        "set": lin.set_program(seed, keys, 40),
        "blocking": lin.blocking_program(seed, keys, 24, CLIENTS),
    }
    models: dict[str, Model] = {"list": List(), "blocking": List(), "set": Set()}
    history = Recorder(doors).run(programs[kind])
    assert lin.assert_linearizable(history, models.get(kind, Register())) == 0, "too hard to decide: make it shorter"


@pytest.mark.stress
def test_money_is_neither_made_nor_lost(served_kvcore: Server) -> None:
    doors = doors_to(served_kvcore, 6)
    doors[0].execute("FLUSHALL")
    lin.bank(doors, seed=1, accounts=6, transfers=150)
    for door in doors:
        door.close()


@pytest.mark.stress
def test_every_element_is_handed_out_once(served_kvcore: Server) -> None:
    doors = doors_to(served_kvcore, 10)
    doors[0].execute("FLUSHALL")
    lin.handover(doors, seed=1, keys=["q1", "q2", "q3"], count=200)
    for door in doors:
        door.close()


@pytest.mark.stress
def test_first_come_first_served(served_kvcore: Server) -> None:
    def door() -> SocketDoor:
        return SocketDoor(served_kvcore.host, served_kvcore.port, timeout_s=15)

    for turn in range(3):
        lin.first_come_first_served(door, 12, f"queue{turn}")


@pytest.mark.stress
def test_notifications_come_in_the_order_of_the_effects(served_kvcore: Server) -> None:
    def door() -> SocketDoor:
        return SocketDoor(served_kvcore.host, served_kvcore.port)

    lin.alternating_events(door, served_kvcore.host, served_kvcore.port, clients=6, count=200)
