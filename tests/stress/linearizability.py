"""Recorded histories of concurrent commands, and a checker that says whether they can be explained one after the other.

A history is linearizable when every operation can be given one moment between its call and its return so that,
executed in the order of these moments, a sequential model gives the same results. The search is the one of Wing and
Gong with Lowe's improvement: states that were reached before with the same set of operations done are not tried
again. Since linearizability is a local property, each key is checked alone, which keeps the search small.

    operations in real time        a |-----------|
                                   b     |--------------|
                                   c                 |-----|

At any moment of the search only those operations may come next that were called before the first return of all that
are left: here a or b first, never c. An operation whose outcome is unknown (time-out, lost connection) returns at
infinity; it may take effect at any later moment, or never.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from tests.compat.resp import Connection, Reply, Word


class Unknown:
    """The result of an operation whose reply never came."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown()


@dataclass(frozen=True, slots=True)
class Op:
    """One operation as a client saw it. Times are of one monotonic clock, in nanoseconds."""

    client: int
    name: str
    args: tuple[bytes, ...]
    result: object
    begin: float
    end: float

    def __str__(self) -> str:
        words = " ".join([self.name, *(repr(arg)[1:] for arg in self.args)])
        return f"[{self.begin:.0f} .. {self.end:.0f}] client {self.client}: {words} -> {self.result!r}"


class Model(Protocol):
    """A sequential specification. `step` gives the states that may follow; none when the result is impossible."""

    def initial(self) -> Hashable: ...

    def step(self, state: Hashable, op: Op) -> Sequence[Hashable]: ...


@dataclass(frozen=True)
class Verdict:
    """What the checker found. `longest` is the longest order that could be explained, for the report."""

    ok: bool
    decided: bool
    longest: tuple[Op, ...]
    states: int

    def report(self, history: Sequence[Op]) -> str:
        done = set(map(id, self.longest))
        stuck = [op for op in history if id(op) not in done]
        lines = ["explained, in this order:", *(f"  {op}" for op in self.longest[-12:])]
        return "\n".join([*lines, "left over:", *(f"  {op}" for op in sorted(stuck, key=lambda op: op.begin)[:12])])


def check(history: Sequence[Op], model: Model, limit: int = 2_000_000) -> Verdict:
    """Search for an order. Undecided (`decided` False, `ok` True) when `limit` states were not enough."""
    ops = sorted(history, key=lambda op: op.begin)
    count, required = len(ops), sum(1 << index for index, op in enumerate(ops) if op.result is not UNKNOWN)
    seen: set[tuple[int, Hashable]] = set()
    # One frame per operation done: the set of all that are done, and what may come next.
    stack: list[tuple[int, Iterator[tuple[int, Hashable]]]] = []
    order: list[int] = []
    longest: tuple[int, ...] = ()

    def push(state: Hashable, done: int) -> None:
        stack.append((done, _candidates(ops, count, state, done, model)))

    push(model.initial(), 0)
    while stack:
        done, candidates = stack[-1]
        if done & required == required:
            return Verdict(True, True, tuple(ops[index] for index in order), len(seen))
        if len(seen) > limit:
            return Verdict(True, False, tuple(ops[index] for index in longest), len(seen))
        for index, following in candidates:
            key = (done | 1 << index, following)
            if key in seen:
                continue
            seen.add(key)
            order.append(index)
            if len(order) > len(longest):
                longest = tuple(order)
            push(following, done | 1 << index)
            break
        else:
            stack.pop()
            if order:
                order.pop()
    return Verdict(False, True, tuple(ops[index] for index in longest), len(seen))


def _candidates(ops: list[Op], count: int, state: Hashable, done: int, model: Model) -> Iterator[tuple[int, Hashable]]:
    first_return = math.inf
    chosen: list[int] = []
    for index in range(count):
        if done >> index & 1:
            continue
        if ops[index].begin > first_return:
            break
        chosen.append(index)
        first_return = min(first_return, ops[index].end)
    for index in chosen:
        if ops[index].begin <= first_return:
            for following in model.step(state, ops[index]):
                yield index, following


# Models. A result that is UNKNOWN fits whatever the model says.


def _fits(op: Op, expected: object, state: Hashable) -> list[Hashable]:
    return [state] if op.result is UNKNOWN or op.result == expected else []


class Register:
    """A string key: SET GET GETSET SETNX DEL APPEND DELIFEQ INCR."""

    def initial(self) -> Hashable:
        return None

    def step(self, state: Hashable, op: Op) -> Sequence[Hashable]:
        value = state if isinstance(state, bytes) else None
        match op.name:
            case "GET":
                return _fits(op, value, value)
            case "SET":
                return _fits(op, b"OK", op.args[0])
            case "GETSET":
                return _fits(op, value, op.args[0])
            case "SETNX":
                return _fits(op, int(value is None), op.args[0] if value is None else value)
            case "DEL":
                return _fits(op, int(value is not None), None)
            case "DELIFEQ":
                return _fits(op, int(value == op.args[0]), None if value == op.args[0] else value)
            case "APPEND":
                longer = (value or b"") + op.args[0]
                return _fits(op, len(longer), longer)
            case "INCR":
                number = int(value or b"0") + 1
                return _fits(op, number, b"%d" % number)
        raise ValueError(op.name)


class List:
    """A list key: LPUSH RPUSH LPOP RPOP BLPOP BRPOP LLEN LRANGE (whole) LMOVE onto itself (ROTATE)."""

    def initial(self) -> Hashable:
        return ()

    def step(self, state: Hashable, op: Op) -> Sequence[Hashable]:
        items: tuple[bytes, ...] = state if isinstance(state, tuple) else ()
        match op.name:
            case "LPUSH":
                return _fits(op, len(items) + len(op.args), (*reversed(op.args), *items))
            case "RPUSH":
                return _fits(op, len(items) + len(op.args), (*items, *op.args))
            case "LPOP" | "BLPOP":
                return _fits(op, items[0] if items else None, items[1:])
            case "RPOP" | "BRPOP":
                return _fits(op, items[-1] if items else None, items[:-1])
            case "ROTATE":
                return _fits(op, items[0] if items else None, (*items[1:], *items[:1]))
            case "LLEN":
                return _fits(op, len(items), items)
            case "LRANGE":
                return _fits(op, list(items), items)
        raise ValueError(op.name)


class Set:
    """A set key: SADD SREM SISMEMBER SCARD SMEMBERS SPOP."""

    def initial(self) -> Hashable:
        return frozenset()

    def step(self, state: Hashable, op: Op) -> Sequence[Hashable]:
        members: frozenset[bytes] = state if isinstance(state, frozenset) else frozenset()
        match op.name:
            case "SADD":
                return _fits(op, len(set(op.args) - members), members | set(op.args))
            case "SREM":
                return _fits(op, len(members & set(op.args)), members - set(op.args))
            case "SISMEMBER":
                return _fits(op, int(op.args[0] in members), members)
            case "SCARD":
                return _fits(op, len(members), members)
            case "SMEMBERS":
                return [members] if op.result is UNKNOWN or op.result == sorted(members) else []
            case "SPOP":
                if op.result is UNKNOWN:
                    return [members, *(members - {member} for member in members)]
                return (
                    _fits(op, None, members) if not members else [members - {op.result}] if op.result in members else []
                )
        raise ValueError(op.name)


# Doors: the ways into a store


class Door(Protocol):
    """One client. `execute` returns a plain value and raises TimeoutError when the outcome is not known."""

    def execute(self, *words: Word) -> object: ...

    def close(self) -> None: ...


class SocketDoor:
    """A connection to a server."""

    def __init__(self, host: str, port: int, timeout_s: float = 10.0) -> None:
        self.connection = Connection(host, port, timeout_s=timeout_s)

    def execute(self, *words: Word) -> object:
        reply: Reply = self.connection.call(*words)
        return reply.plain()

    def close(self) -> None:
        self.connection.close()


@dataclass
class EmbeddedDoor:
    """A store in this process: anything with redis-py's `execute(*words)`."""

    store: Door

    def execute(self, *words: Word) -> object:
        return self.store.execute(*words)

    def close(self) -> None:
        """The store belongs to whoever opened it."""


# Recording


@dataclass
class Recorder:
    """Collects what each client did. One list a thread, so that recording synchronizes nothing."""

    doors: Sequence[Door]
    failures: list[BaseException] = field(default_factory=list)

    def run(self, program: Callable[[int, Callable[..., object]], None]) -> list[Op]:
        """Call `program(client, do)` in a thread per door, all at once. `do(key, name, *args)` executes and records."""
        histories: list[list[Op]] = [[] for _ in self.doors]
        barrier = threading.Barrier(len(self.doors))

        def client(index: int) -> None:
            door, history = self.doors[index], histories[index]

            def do(key: str, name: str, *args: bytes) -> object:
                begin = time.perf_counter_ns()
                try:
                    result = _normal(name, door.execute(*_words(key, name, args)))
                except TimeoutError:
                    history.append(Op(index, name, (key.encode(), *args), UNKNOWN, begin, math.inf))
                    raise
                history.append(Op(index, name, (key.encode(), *args), result, begin, time.perf_counter_ns()))
                return result

            try:
                barrier.wait(30)
                program(index, do)
            except BaseException as error:  # reported by the test's own thread
                self.failures.append(error)

        threads = [threading.Thread(target=client, args=(index,), daemon=True) for index in range(len(self.doors))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        if any(thread.is_alive() for thread in threads):
            self.failures.append(AssertionError("a client hangs: a lost wake-up or a deadlock"))
        if self.failures:
            raise self.failures[0]
        return [op for history in histories for op in history]


def _words(key: str, name: str, args: tuple[bytes, ...]) -> list[Word]:
    if name == "ROTATE":
        return ["LMOVE", key, key, "LEFT", "RIGHT"]
    if name == "LRANGE":
        return [name, key, 0, -1]
    return [name, key, *args]


def _normal(name: str, result: object) -> object:
    if isinstance(result, Exception):
        raise AssertionError(f"{name}: {result}")
    if name in ("BLPOP", "BRPOP") and isinstance(result, list):
        return result[1]
    if name == "SMEMBERS" and isinstance(result, list):
        return sorted(result)
    return result


def by_key(history: Sequence[Op]) -> dict[bytes, list[Op]]:
    """The history of each key; the key is taken off the arguments."""
    keys: dict[bytes, list[Op]] = {}
    for op in history:
        args = op.args[1:]
        if op.name in ("BLPOP", "BRPOP"):
            args = args[:-1]
        keys.setdefault(op.args[0], []).append(Op(op.client, op.name, args, op.result, op.begin, op.end))
    return keys


def assert_linearizable(history: Sequence[Op], model: Model) -> int:
    """Check every key. Returns how many keys were too hard to decide; fails with the evidence on a wrong one."""
    undecided = 0
    for key, ops in by_key(history).items():
        verdict = check(ops, model)
        assert verdict.ok, f"the history of {key!r} is not linearizable\n{verdict.report(ops)}"
        undecided += not verdict.decided
    return undecided


# Workloads


def register_program(seed: int, keys: Sequence[str], count: int) -> Callable[[int, Callable[..., object]], None]:
    """Reads and writes of unique values, compare-and-delete of values that were seen."""

    def program(client: int, do: Callable[..., object]) -> None:
        rng = random.Random(seed * 1000 + client)
        last: bytes = b"0"
        for number in range(count):
            key, value = rng.choice(keys), b"%d" % (client * 10_000 + number)
            draw = rng.random()
            if draw < 0.35:
                seen = do(key, "GET")
                last = seen if isinstance(seen, bytes) else last
            elif draw < 0.6:
                do(key, "SET", value)
            elif draw < 0.7:
                do(key, "GETSET", value)
            elif draw < 0.8:
                do(key, "SETNX", value)
            elif draw < 0.9:
                do(key, "DEL")
            else:
                do(key, "DELIFEQ", last)

    return program


def counter_program(seed: int, keys: Sequence[str], count: int) -> Callable[[int, Callable[..., object]], None]:
    def program(client: int, do: Callable[..., object]) -> None:
        rng = random.Random(seed * 1000 + client)
        for _ in range(count):
            do(rng.choice(keys), "INCR" if rng.random() < 0.8 else "GET")

    return program


def list_program(seed: int, keys: Sequence[str], count: int) -> Callable[[int, Callable[..., object]], None]:
    names = ["LPUSH", "RPUSH", "RPUSH", "LPOP", "LPOP", "RPOP", "LLEN", "LRANGE", "ROTATE"]

    def program(client: int, do: Callable[..., object]) -> None:
        rng = random.Random(seed * 1000 + client)
        for number in range(count):
            name, key = rng.choice(names), rng.choice(keys)
            do(key, name, *([b"%d-%d" % (client, number)] if name.endswith("PUSH") else []))

    return program


def blocking_program(
    seed: int, keys: Sequence[str], count: int, clients: int
) -> Callable[[int, Callable[..., object]], None]:
    """Half of the clients push, half wait; every wait is long enough to be served."""

    def program(client: int, do: Callable[..., object]) -> None:
        rng = random.Random(seed * 1000 + client)
        for number in range(count):
            key = keys[number % len(keys)]
            if client < clients // 2:
                do(key, "RPUSH", b"%d-%d" % (client, number))
                if rng.random() < 0.1:
                    time.sleep(0.0005)
            elif do(key, "BLPOP", b"8") is None:
                raise AssertionError(f"BLPOP {key} was not served although elements were pushed: a lost wake-up")

    return program


def set_program(seed: int, keys: Sequence[str], count: int) -> Callable[[int, Callable[..., object]], None]:
    names = ["SADD", "SADD", "SREM", "SISMEMBER", "SCARD", "SMEMBERS", "SPOP"]

    def program(client: int, do: Callable[..., object]) -> None:
        rng = random.Random(seed * 1000 + client)
        for _ in range(count):
            name, key = rng.choice(names), rng.choice(keys)
            args = [b"%d" % rng.randrange(5)] if name in ("SADD", "SREM", "SISMEMBER") else []
            do(key, name, *args)

    return program


# Invariants that need no search


def bank(doors: Sequence[Door], seed: int, accounts: int, transfers: int) -> None:
    """Transfers in transactions; every consistent read of all accounts has the same sum. The last door only reads."""
    names = [f"account{index}" for index in range(accounts)]
    doors[0].execute("MSET", *(word for name in names for word in (name, 100)))
    stop, failures = threading.Event(), list[BaseException]()

    def guarded(work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                failures.append(error)

        return run

    def transfer(client: int) -> None:
        rng, door = random.Random(seed * 1000 + client), doors[client]
        for _ in range(transfers):
            source, target = rng.sample(names, 2)
            amount = rng.randint(1, 20)
            if rng.random() < 0.5:
                door.execute("MULTI")
                door.execute("DECRBY", source, amount)
                door.execute("INCRBY", target, amount)
                door.execute("EXEC")
            else:
                optimistic_transfer(door, source, target, amount)

    def read() -> None:
        rng, door = random.Random(seed), doors[-1]
        while not stop.is_set():
            if rng.random() < 0.5:
                values = door.execute("MGET", *names)
            else:
                door.execute("MULTI")
                for name in names:
                    door.execute("GET", name)
                values = door.execute("EXEC")
            assert isinstance(values, list), values
            total = sum(int(value) for value in values)
            assert total == 100 * accounts, f"a read saw the sum {total}: half of a transfer ({values})"

    reader = threading.Thread(target=guarded(read), daemon=True)
    writers = [
        threading.Thread(target=guarded(lambda client=client: transfer(client)), daemon=True)  # type: ignore[misc]
        for client in range(len(doors) - 1)
    ]
    for thread in [reader, *writers]:
        thread.start()
    for thread in writers:
        thread.join(60)
    stop.set()
    reader.join(10)
    assert not any(thread.is_alive() for thread in [reader, *writers]), "a client hangs"
    if failures:
        raise failures[0]
    final = doors[-1].execute("MGET", *names)
    assert isinstance(final, list)
    assert sum(int(value) for value in final) == 100 * accounts, "a transfer was lost or done twice"


def optimistic_transfer(door: Door, source: str, target: str, amount: int) -> None:
    """WATCH, read, write what was computed; again when somebody was faster."""
    for _ in range(10_000):
        door.execute("WATCH", source, target)
        values = door.execute("MGET", source, target)
        assert isinstance(values, list)
        door.execute("MULTI")
        door.execute("SET", source, int(values[0]) - amount)
        door.execute("SET", target, int(values[1]) + amount)
        if door.execute("EXEC") is not None:
            return
    raise AssertionError("WATCH never lets a transaction pass")


def handover(doors: Sequence[Door], seed: int, keys: Sequence[str], count: int) -> None:
    """Producers push unique elements, consumers block; each element is handed out exactly once and nobody starves."""
    half = len(doors) // 2
    got: list[list[bytes]] = [[] for _ in doors]

    def program(client: int, do: Callable[..., object]) -> None:
        del do
        rng, door = random.Random(seed * 1000 + client), doors[client]
        if client < half:
            number = 0
            while number < count:  # several at once serve several waiters
                some = range(number, min(count, number + rng.choice([1, 1, 2, 3])))
                number = some.stop
                door.execute(rng.choice(["RPUSH", "LPUSH"]), rng.choice(keys), *(f"{client}-{n}" for n in some))
        else:
            while len(got[client]) < count:
                reply = door.execute(rng.choice(["BLPOP", "BRPOP"]), *rng.sample(list(keys), len(keys)), 8)
                assert isinstance(reply, list), "BLPOP was not served although there are elements: a lost wake-up"
                got[client].append(reply[1])

    Recorder(doors[: half * 2]).run(program)
    everything = [item for items in got for item in items]
    assert len(everything) == len(set(everything)) == half * count, "an element was lost or handed out twice"


def first_come_first_served(make_door: Callable[[], Door], waiters: int, key: str) -> None:
    """Clients that blocked in a known order are served in that order."""
    doors = [make_door() for _ in range(waiters)]
    control = make_door()
    results: dict[int, object] = {}
    threads: list[threading.Thread] = []

    def wait(index: int) -> None:
        results[index] = doors[index].execute("BLPOP", key, 10)

    try:
        for index in range(waiters):
            thread = threading.Thread(target=wait, args=(index,), daemon=True)
            thread.start()
            threads.append(thread)
            _until_blocked(control, index + 1)
        for index in range(waiters):
            control.execute("RPUSH", key, index)
        for thread in threads:
            thread.join(15)
        expected = {index: [key.encode(), b"%d" % index] for index in range(waiters)}
        assert results == expected, f"not first come, first served: {results}"
    finally:
        for door in [*doors, control]:
            door.close()


def _until_blocked(control: Door, count: int) -> None:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        info = control.execute("INFO", "clients")
        assert isinstance(info, bytes)
        if b"blocked_clients:%d\r" % count in info:
            return
        time.sleep(0.001)
    raise AssertionError(f"INFO clients does not show {count} blocked clients")


def alternating_events(make_door: Callable[[], Door], host: str, port: int, clients: int, count: int) -> None:
    """SETNX and DEL race on one key: its notifications are set, del, set, del, in the order of the effects."""
    control = make_door()
    control.execute("CONFIG", "SET", "notify-keyspace-events", "Kg$")
    control.execute("DEL", "flag")
    with Connection(host, port, timeout_s=10) as listener:
        listener.must("SUBSCRIBE", "__keyspace@0__:flag")
        doors = [make_door() for _ in range(clients)]
        successes: list[int] = [0] * clients

        def program(client: int, do: Callable[..., object]) -> None:
            del do
            for number in range(count):
                name, args = ("SETNX", ["x"]) if (number + client) % 2 else ("DEL", [])
                successes[client] += int(doors[client].execute(name, "flag", *args) == 1)

        Recorder(doors).run(program)
        seen = [listener.next().items[2].data for _ in range(sum(successes))]
        expected = [b"set" if index % 2 == 0 else b"del" for index in range(len(seen))]
        for door in [*doors, control]:
            door.close()
        wrong = next((index for index, pair in enumerate(zip(seen, expected, strict=True)) if pair[0] != pair[1]), None)
        assert wrong is None, f"events out of order at {wrong}: {seen[max(0, wrong - 4) : wrong + 4]}"
