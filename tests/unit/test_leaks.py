"""Nothing that a call makes outlives it: references, memory, threads, descriptors. Everything through both doors."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

import kvcore
from kvcore.cli.resp import Client

ROUNDS = 300
Call = Callable[[kvcore.Store[bytes]], object]

# Kinds of calls. Each leaves the store as it found it.
KEY = "a key of which there is no other " * 2
VALUE = b"a value of which there is no other " * 3
MEMBERS = {f"member {number}": number + 0.5 for number in range(20)}


def refused(error: type[BaseException], call: Call) -> Call:
    def attempt(db: kvcore.Store[bytes]) -> None:
        with contextlib.suppress(error):
            call(db)
            raise AssertionError("it was not refused")

    return attempt


def conflict(db: kvcore.Store[bytes]) -> None:
    with db.pipeline() as pipe:
        pipe.watch("watched")
        db.set("watched", 1)
        pipe.multi()
        pipe.get("watched")
        with contextlib.suppress(kvcore.WatchError):
            pipe.execute()


def forgotten_pipeline(db: kvcore.Store[bytes]) -> None:
    pipe = db.pipeline()
    pipe.watch("watched")
    pipe.multi()
    pipe.set(KEY, VALUE)


def subscription(db: kvcore.Store[bytes]) -> None:
    with db.pubsub() as sub:
        sub.subscribe("channel", other=lambda message: None)
        sub.psubscribe("pattern*")
        db.publish("channel", VALUE)
        while sub.get_message() is not None:
            pass


def handed_over(db: kvcore.Store[bytes]) -> None:
    db.rpush("queue", VALUE)
    assert db.blpop("queue", 1) == (b"queue", VALUE)


def locked(db: kvcore.Store[bytes]) -> None:
    with db.lock("lock", timeout=10) as lock:
        lock.extend(5)


def shared(db: kvcore.Store[bytes]) -> None:
    with kvcore.open(shared="leaks") as one, kvcore.open("memory://leaks", decode_responses=True) as two:
        one["k"] = VALUE
        assert two["k"] == VALUE.decode()


def half_an_iteration(db: kvcore.Store[bytes]) -> None:
    next(db.scan_iter("*", 5))
    next(iter(db))


CALLS: dict[str, Call] = {
    "get": lambda db: db.get("k"),
    "get nothing": lambda db: db.get("absent"),
    "get by keyword": lambda db: db.get(name="k"),
    "set": lambda db: db.set(KEY, VALUE),
    "set with options": lambda db: db.set(KEY, VALUE, ex=timedelta(seconds=100)),
    "set other types": lambda db: (db.set(KEY, 2**70), db.set(KEY, 1.5), db.set(KEY, bytearray(VALUE))),
    "mapping": lambda db: (db.__setitem__("m", VALUE), db["m"], "m" in db, db.__delitem__("m"), len(db)),
    "incr": lambda db: (db.incr("n"), db.incr("n", 10**15), db.decr("n", 10**15)),
    "mget": lambda db: db.mget(["k", "n"], "absent"),
    "list": lambda db: (db.rpush("l2", *range(40)), db.lpop("l2", 40)),
    "lrange": lambda db: db.lrange("l", 0, -1),
    "hash": lambda db: (db.hset("h2", mapping=MEMBERS), db.hgetall("h2"), db.delete("h2")),
    "hgetall": lambda db: db.hgetall("h"),
    "smembers": lambda db: db.smembers("s"),
    "zadd": lambda db: db.zadd("z", MEMBERS),
    "zrange": lambda db: db.zrange("z", 0, -1, withscores=True),
    "zscore": lambda db: (db.zscore("z", "member 1"), db.zscore("z", "absent")),
    "nested reply": lambda db: db.command_info("GET", "SET"),
    "texts": lambda db: (db.info(), db.config_get(), db.client_list()),
    "execute": lambda db: db.execute("ECHO", VALUE),
    "booleans": lambda db: (db.expire("k", 1000), db.expire("absent", 1), db.persist("k"), db.hexists("h", "f")),
    "iteration": lambda db: (list(db), list(db.hscan_iter("h")), list(db.zscan_iter("z"))),
    "half an iteration": half_an_iteration,
    "big reply": lambda db: db.execute("ECHO", b"x" * 300_000),
    "error reply": refused(kvcore.ResponseError, lambda db: db.lpush("k", "x")),
    "unknown command": refused(kvcore.ResponseError, lambda db: db.execute("NONSENSE")),
    "wrong type": refused(kvcore.DataError, lambda db: db.set(KEY, object())),  # type: ignore[arg-type]
    "wrong type among many": refused(kvcore.DataError, lambda db: db.rpush("l3", *range(30), None)),  # type: ignore[arg-type]
    "wrong arguments": refused(TypeError, lambda db: db.set("k", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14)),
    "session only": refused(kvcore.ResponseError, lambda db: db.execute("MULTI")),
    "key error": refused(KeyError, lambda db: db["absent"]),
    "not decodable": refused(UnicodeDecodeError, lambda db: kvcore.open(shared="text", decode_responses=True)["raw"]),
    "pipeline": lambda db: db.pipeline().set(KEY, VALUE).get(KEY).zadd("z", {"a": 1}).zrem("z", "a").execute(),
    "pipeline without transaction": lambda db: db.pipeline(False).set(KEY, VALUE).get(KEY).execute(),
    "pipeline with an error": refused(
        kvcore.ResponseError, lambda db: db.pipeline().set("k", VALUE).lpush("k", 1).execute()
    ),
    "pipeline with errors kept": lambda db: db.pipeline().lpush("k", 1).get("k").execute(raise_on_error=False),
    "pipeline that is refused": refused(kvcore.DataError, lambda db: db.pipeline().set("k", object()).execute()),  # type: ignore[arg-type]
    "pipeline never run": lambda db: db.pipeline().set(KEY, VALUE),
    "forgotten pipeline": forgotten_pipeline,
    "transaction": lambda db: db.transaction(lambda pipe: (pipe.multi(), pipe.incr("n")), "watched"),
    "conflict": conflict,
    "subscription": subscription,
    "blocked, time over": lambda db: db.blpop(["absent", "absent2"], 0.001),
    "blocked, handed over": handed_over,
    "lock": locked,
    "view": lambda db: db.database(3).close(),
    "view forgotten": lambda db: db.database(3).get("k"),
    "open": lambda db: kvcore.open().close(),
    "open and use": lambda db: kvcore.open().set(KEY, VALUE),
    "open shared": shared,
    "refused to open": refused(kvcore.ResponseError, lambda db: kvcore.open(config={"nonsense": 1})),
    "clock": lambda db: (db.clock.freeze(), db.clock.advance(1), db.clock.thaw()),
    "repr": lambda db: (repr(db), repr(db.pipeline()), repr(db.clock)),
}


# A busy machine makes calls slow; that is not to be written down here, it takes memory.
NO_NOTES = {"slowlog-log-slower-than": -1, "latency-tracking": "no"}


@pytest.fixture
def db() -> Iterator[kvcore.Store[bytes]]:
    with kvcore.open(config=NO_NOTES) as store, kvcore.open(shared="text") as raw:
        raw["raw"] = b"\xff\xfe"
        store.set("k", "v")
        store.set("n", 10**15)
        store.set("watched", 1)
        store.set(KEY, VALUE)
        store.rpush("l", *range(200))
        store.sadd("s", *range(200))
        store.hset("h", mapping={f"f{number}": number for number in range(50)})
        store.zadd("z", MEMBERS)
        yield store


class MallInfo(ctypes.Structure):
    """struct mallinfo2 of glibc."""

    _fields_ = [
        *((name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd")),
        *((name, ctypes.c_size_t) for name in ("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")),
    ]


def native_bytes() -> int:
    """What malloc has given out and not got back. 0 where the C library does not tell."""
    mallinfo = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo is None:
        return 0
    mallinfo.restype = MallInfo
    facts = mallinfo()
    return int(facts.uordblks + facts.hblkhd)


def tasks() -> int:
    return len(os.listdir("/proc/self/task"))


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def wait_until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def measure(call: Call, db: kvcore.Store[bytes], rounds: int) -> tuple[int, int]:
    """Python's memory blocks and malloc's bytes that `rounds` calls leave behind."""
    gc.collect()
    blocks, native = sys.getallocatedblocks(), native_bytes()
    for _ in range(rounds):
        call(db)
    gc.collect()
    return sys.getallocatedblocks() - blocks, native_bytes() - native


@pytest.mark.parametrize("kind", CALLS)
def test_a_call_leaves_nothing_behind(db: kvcore.Store[bytes], kind: str) -> None:
    call = CALLS[kind]
    singletons = [None, True, False, KEY, VALUE, *MEMBERS]
    measure(call, db, 50)  # caches fill
    for _ in range(3):
        references = [sys.getrefcount(thing) for thing in singletons]
        blocks, native = measure(call, db, ROUNDS)
        after = [sys.getrefcount(thing) for thing in singletons]
        grown = [n - m for m, n in zip(references, after, strict=True)]
        # Less than one block or 16 bytes in three calls is noise of caches; what leaks does so in every round.
        if blocks < ROUNDS / 3 and native < ROUNDS * 16 / 3 and all(abs(step) < ROUNDS / 3 for step in grown):
            return
    pytest.fail(f"{ROUNDS} calls left {blocks} blocks and {native} bytes of malloc's; references {grown}")


def test_the_engines_own_memory_comes_back(db: kvcore.Store[bytes]) -> None:
    def everything() -> None:
        for call in CALLS.values():
            call(db)

    def used() -> int:
        return int(db.info("memory")["used_memory"])

    for _ in range(10):
        everything()
    before = used()
    for _ in range(50):
        everything()
    assert used() - before < 64 * 1024


def test_threads_and_descriptors_go_with_their_store() -> None:
    def once() -> None:
        with kvcore.open() as store:
            store.set("k", "v", px=1)  # something for the background to do
            with Client(store.serve(threads=2)) as client:
                client.must("GET", "k")
            with store.pubsub() as sub:
                sub.subscribe("c")
            assert tasks() > before

    before, files = tasks(), descriptors()
    for _ in range(20):
        once()
    wait_until(lambda: tasks() == before)
    assert descriptors() <= files


def test_a_forgotten_store_takes_its_threads_along() -> None:
    before = tasks()
    stores = [kvcore.open() for _ in range(5)]
    for store in stores:
        store.serve()
    del store
    stores.clear()
    gc.collect()
    wait_until(lambda: tasks() == before)


# --- the collector, at the worst moment ---


@contextlib.contextmanager
def eager_collector() -> Iterator[None]:
    thresholds = gc.get_threshold()
    gc.collect()
    gc.set_threshold(1, 1, 1)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)


class Garbage:
    """A cycle that acts when it is collected."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.act = act
        self.me = self

    def __del__(self) -> None:
        self.act()


def test_the_collector_may_call_back_into_the_store(db: kvcore.Store[bytes]) -> None:
    """Finalizers that use the store run in the middle of its own calls: both are answered rightly."""
    wanted = db.zrange("z", 0, -1, withscores=True), db.hgetall("h"), db.smembers("s"), db.lrange("l", 0, -1)
    answers: list[object] = []

    def act() -> None:
        answers.append(db.get("k"))
        answers.append(db.zrange("z", 0, 0, withscores=True))
        answers.append(db.pipeline().get("k").execute())

    with eager_collector():
        for _ in range(100):
            Garbage(act)
            got = db.zrange("z", 0, -1, withscores=True), db.hgetall("h"), db.smembers("s"), db.lrange("l", 0, -1)
            assert got == wanted
            Garbage(act)
            db.set("k", "v")
            Garbage(act)
            db.zadd("z", MEMBERS)
            Garbage(act)
            db.pipeline().get("k").zrange("z", 0, -1).execute()
    gc.collect()
    assert len(answers) == 3 * 400
    assert answers[0::3] == [b"v"] * 400
    assert answers[1::3] == [[(b"member 0", 0.5)]] * 400
    assert answers[2::3] == [[b"v"]] * 400


def test_the_collector_may_close_the_store_in_the_middle_of_a_call() -> None:
    for _ in range(30):
        store = kvcore.open()
        store.zadd("z", MEMBERS)
        with eager_collector():
            Garbage(store.close)
            with contextlib.suppress(kvcore.ClosedError):
                for _ in range(50):
                    assert len(store.zrange("z", 0, -1, withscores=True)) == len(MEMBERS)
                    [[number] for number in range(10)]
        gc.collect()
        assert store.closed
        with pytest.raises(kvcore.ClosedError):
            store.get("k")


def test_the_collector_closes_stores_while_other_threads_open_them() -> None:
    """Closing takes the lock of the books, from wherever the collector happens to run: nothing may deadlock."""
    done = threading.Event()
    failures: list[BaseException] = []

    def cycles() -> None:
        while not done.is_set():
            store = kvcore.open(shared="collected") if len(failures) % 2 else kvcore.open()
            store.me = store  # type: ignore[attr-defined]
            del store
            with kvcore.open(shared="cycles") as other:
                other.pipeline().watch("k")
                other.pubsub().subscribe("c")

    def opens() -> None:
        while not done.is_set():
            with kvcore.open(shared="cycles") as one, kvcore.open(shared="collected") as two:
                one.pipeline().watch("k")
                two.set("k", 1)

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(work,), daemon=True) for work in (cycles, cycles, opens, opens)]
    thresholds = gc.get_threshold()
    gc.set_threshold(5, 2, 2)
    try:
        for thread in threads:
            thread.start()
        time.sleep(1.0)
    finally:
        gc.set_threshold(*thresholds)
        done.set()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert failures == []
    gc.collect()


class Shrinking(dict[Any, Any]):
    """Not an exact dict: goes to the method written in Python."""


def test_arguments_that_change_during_the_call(db: kvcore.Store[bytes]) -> None:
    """Another thread changes the mapping that is being sent: a part of it arrives, or a RuntimeError, never worse."""
    scores: dict[Any, Any] = {f"m{number}": number + 0.25 for number in range(100)}
    words: list[Any] = ["ZADD", "z", *(word for number in range(50) for word in (number + 0.5, f"w{number}"))]
    done = threading.Event()

    def change() -> None:
        number = 0
        while not done.is_set():
            number += 1
            scores[f"extra {number}"] = number + 0.125
            scores.pop(f"extra {number - 20}", None)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(300):
            for mapping in (scores, Shrinking(words=1.5)):
                with contextlib.suppress(RuntimeError):
                    db.zadd("z", mapping)
            db.execute(*words)
    finally:
        done.set()
        thread.join()
    assert db.zscore("z", "m1") == 1.25


# --- threads and the end ---


def test_closing_ends_every_blocked_call(db: kvcore.Store[bytes]) -> None:
    before = tasks()
    outcomes: list[BaseException] = []
    calls: list[Call] = [
        lambda db: db.blpop(["q1", "q2"], 0),
        lambda db: db.brpop("q1"),
        lambda db: db.bzpopmin("z1"),
        lambda db: db.blmove("q1", "q2", 0),
        lambda db: db.execute("BLMPOP", 0, 1, "q3", "LEFT"),
        lambda db: db.pipeline(transaction=False).execute_command("PING").execute() and db.blpop("q1", 0),
    ]

    def block(call: Call) -> None:
        try:
            call(db)
        except BaseException as error:
            outcomes.append(error)

    threads = [threading.Thread(target=block, args=(call,)) for call in calls for _ in range(2)]
    for thread in threads:
        thread.start()
    wait_until(lambda: db.info("clients")["blocked_clients"] == len(threads))
    started = time.monotonic()
    db.close()
    for thread in threads:
        thread.join(5)
    assert time.monotonic() - started < 1.0
    assert len(outcomes) == len(threads)
    assert {type(error) for error in outcomes} == {type(kvcore_closed())}
    wait_until(lambda: tasks() <= before)


def kvcore_closed() -> BaseException:
    store = kvcore.open()
    store.close()
    with pytest.raises(kvcore.ClosedError) as caught:
        store.get("k")
    return caught.value


def test_closing_under_full_load() -> None:
    """Threads that are calling when the store is closed get an answer or ClosedError, and nothing else."""
    for _ in range(5):
        store = kvcore.open()
        store.rpush("l", *range(500))
        failures: list[BaseException] = []
        ended: list[bool] = []

        def work(store: kvcore.Store[bytes] = store, ended: list[bool] = ended, failures: Any = failures) -> None:
            try:
                while True:
                    store.set("k", VALUE)
                    assert store.get("k") == VALUE
                    assert len(store.sort("l")) == 500
                    assert store.pipeline().get("k").llen("l").execute() == [VALUE, 500]
                    store.execute("BLPOP", "absent", 0.001)
            except kvcore.ClosedError:
                ended.append(True)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.05)
        store.close()
        for thread in threads:
            thread.join(10)
        assert failures == []
        assert len(ended) == len(threads)


def test_many_threads_leave_no_sessions_behind(db: kvcore.Store[bytes]) -> None:
    def work() -> None:
        for number in range(50):
            db.set(f"t{number}", number)
            db.pipeline().get("k").execute()
            db.blpop("absent", 0.001)

    for _ in range(5):
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    clients = int(db.info("clients")["connected_clients"])
    assert clients <= 8 + 2
