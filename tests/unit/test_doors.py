"""The two doors give the same answers: every call here is made through both and compared."""

from __future__ import annotations

import enum
import gc
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import kvcore


class Name(str):
    """A str by another name."""


class Number(enum.IntEnum):
    TWO = 2


Call = Callable[[Any], Any]
CALLS: list[Call] = [
    lambda db: db.set("k", "v"),
    lambda db: db.get("k"),
    lambda db: db.get(name="k"),
    lambda db: db.get(b"k"),
    lambda db: db.get("absent"),
    lambda db: db.set("k", 12345678901234567890),
    lambda db: db.get("k"),
    lambda db: db.set("k", -7),
    lambda db: db.set("k", 1.5),
    lambda db: db.get("k"),
    lambda db: db.set("k", float("inf")),
    lambda db: db.get("k"),
    lambda db: db.set("k", bytearray(b"\x00\xff\r\n")),
    lambda db: db.get("k"),
    lambda db: db.set("k", memoryview(b"view")),
    lambda db: db.set(Name("k"), Name("named")),
    lambda db: db.get(Name("k")),
    lambda db: db.set("k", Number.TWO),
    lambda db: db.get("k"),
    lambda db: db.set("", ""),
    lambda db: db.get(""),
    lambda db: db.set("ключ", "значение"),
    lambda db: db.get("ключ"),
    lambda db: db.set("k", "v", ex=100),
    lambda db: db.ttl("k"),
    lambda db: db.set("k", "w", nx=True),
    lambda db: db.set("k", "w", xx=True, get=True),
    lambda db: db.set("k", "w", px=timedelta(seconds=5)),
    lambda db: db.set("k", None),
    lambda db: db.set("k", True),
    lambda db: db.set("k", ["list"]),
    lambda db: db.set("k"),
    lambda db: db.set("k", "v", "w", "x", "y", "z", "a", "b", "c", "d", "e"),
    lambda db: db.get(),
    lambda db: db.get("a", "b"),
    lambda db: db.get(k="k"),
    lambda db: db.set("\udc80", "lone surrogate"),
    lambda db: db.delete("n", "k"),
    lambda db: db.delete(),
    lambda db: db.incr("n"),
    lambda db: db.incr("n", 5),
    lambda db: db.incr("n", amount=2),
    lambda db: db.incrby("n", 2),
    lambda db: db.decr("n"),
    lambda db: db.decr("n", 3),
    lambda db: db.decrby("n", 1),
    lambda db: db.incr("n", 2**63),
    lambda db: db.incr("n", "x"),
    lambda db: db.exists("n", "n", "absent"),
    lambda db: db.expire("n", 10),
    lambda db: db.expire("n", timedelta(seconds=20)),
    lambda db: db.expire("absent", 10),
    lambda db: db.expire("n", 30, gt=True),
    lambda db: db.ttl("n"),
    lambda db: db.hset("h", "f", "v"),
    lambda db: db.hset("h", mapping={"a": 1, "b": 2}),
    lambda db: db.hset("h", items=["c", 3]),
    lambda db: db.hset("h"),
    lambda db: db.hget("h", "f"),
    lambda db: db.hgetall("h"),
    lambda db: db.hdel("h", "a", "absent"),
    lambda db: db.lpush("l", 1, "two", b"three"),
    lambda db: db.rpush("l", *range(40)),
    lambda db: db.lpop("l"),
    lambda db: db.rpop("l", 2),
    lambda db: db.llen("l"),
    lambda db: db.lrange("l", 0, -1),
    lambda db: db.lpush("n", "wrong type"),
    lambda db: db.sadd("s", 1, 2, "three"),
    lambda db: db.srem("s", 1, 9),
    lambda db: db.smembers("s"),
    lambda db: db.zadd("z", {"a": 1, "b": 2.5, b"c": -3}),
    lambda db: db.zadd("z", {"a": 7}, xx=True, ch=True),
    lambda db: db.zadd("z", {"a": 1}, incr=True),
    lambda db: db.zadd("z", {}),
    lambda db: db.zadd("z", {"a": "NaN"}),
    lambda db: db.zadd("z", {"a": None}),
    lambda db: db.zadd("z", {f"m{i}": i for i in range(50)}),
    lambda db: db.zscore("z", "a"),
    lambda db: db.zscore("z", "absent"),
    lambda db: db.zrange("z", 0, 3, withscores=True),
    lambda db: db.zrangebyscore("z", "-inf", 3, withscores=True),
    lambda db: db.hello_is_no_method(),
    lambda db: db.mget("k", ["n", "l"]),
    lambda db: db.type("z"),
    lambda db: db.execute("OBJECT", "ENCODING", "z"),
    lambda db: db.execute("GET"),
    lambda db: db.execute("ZRANGE", "z", 0, 1, "WITHSCORES"),
    lambda db: db.execute("PING", "x" * 100_000),
    lambda db: db.execute("ECHO", b"\x00" * 70_000),
    lambda db: db.execute("MSET", *[word for i in range(300) for word in (f"m{i}", i)]),
    lambda db: sorted(db.keys("m1*")),
    lambda db: db.sort("l", alpha=True),
    lambda db: db.scan(0, count=1000)[0],
    lambda db: db.config_get("maxmemory-policy"),
    lambda db: db.lpos("l", "absent"),
    lambda db: db.getdel("n"),
    lambda db: db.randomkey() is not None,
    lambda db: db.copy("z", "z2"),
    lambda db: db.rename("absent", "x"),
    lambda db: db.pipeline().set("p", 1).incr("p").lpush("p", 1).execute(raise_on_error=False)[:2],
    lambda db: db.blpop(["l"], timeout=1),
    lambda db: db.blpop(["absent"], timeout=0.01),
]


def outcome(call: Call, db: kvcore.Store[Any]) -> tuple[str, Any]:
    try:
        result = call(db)
    except Exception as error:
        text = "" if isinstance(error, (TypeError, AttributeError)) else str(error)
        return type(error).__name__, text
    return type(result).__name__, result


@pytest.mark.parametrize("decoded", [False, True])
def test_both_doors_answer_alike(monkeypatch: pytest.MonkeyPatch, decoded: bool) -> None:
    def opened(door: str) -> kvcore.Store[Any]:
        monkeypatch.setenv("KVCORE_DOOR", door)
        return kvcore.open(decode_responses=decoded)  # type: ignore[call-overload]

    with opened("hot") as hot, opened("wide") as wide:
        assert hot._pool is not None
        assert wide._pool is None
        for number, call in enumerate(CALLS):
            assert outcome(call, hot) == outcome(call, wide), f"call {number}"


def test_replies_leak_no_references() -> None:
    with kvcore.open() as db:
        db.rpush("l", *range(100))
        key, value = "a key that is not interned" * 2, b"v" * 100

        def all_calls() -> None:
            db.set(key, value)
            db.get(key)
            db.lrange("l", 0, -1)
            db.zadd("z", {key: 1.5})
            with pytest.raises(kvcore.ResponseError):
                db.lpush(key, 1)
            with pytest.raises(kvcore.DataError):
                db.set(key, object())
            db.pipeline().set(key, value).get(key).execute()

        for _ in range(50):
            all_calls()
        gc.collect()
        before = sys.getrefcount(key), sys.getrefcount(value), len(gc.get_objects())
        for _ in range(300):
            all_calls()
        gc.collect()
        after = sys.getrefcount(key), sys.getrefcount(value), len(gc.get_objects())
        assert after[:2] == before[:2]
        assert after[2] - before[2] < 50


def test_a_shard_that_is_taken_does_not_stop_other_python_threads() -> None:
    """A long command in one thread, many short ones in others: all go on, and nothing deadlocks with the GIL."""
    with kvcore.open() as db:
        db.rpush("long", *range(20_000))
        done = threading.Event()
        counts = [0, 0]

        def sorts() -> None:
            while not done.is_set():
                db.sort("long", desc=True)
                counts[0] += 1

        def gets() -> None:
            while not done.is_set():
                for number in range(50):
                    db.set(f"k{number}", number)
                counts[1] += 50

        threads = [threading.Thread(target=sorts), *(threading.Thread(target=gets) for _ in range(3))]
        for thread in threads:
            thread.start()
        done.wait(1.0)
        done.set()
        for thread in threads:
            thread.join(20)
        assert not any(thread.is_alive() for thread in threads)
        assert min(counts) > 0
