"""Pipelines: order, atomicity, errors, watching, as redis-py has them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

import kvcore
from kvcore.commands import PipelineCommands


@pytest.fixture
def db() -> Iterator[kvcore.Store[bytes]]:
    with kvcore.open() as store:
        yield store


@pytest.mark.parametrize("transaction", [True, False])
def test_replies_come_in_order(db: kvcore.Store[bytes], transaction: bool) -> None:
    with db.pipeline(transaction=transaction) as pipe:
        assert pipe.set("a", 1).incr("a").get("a") is pipe
        assert len(pipe) == 3
        assert "a" not in db
        assert pipe.execute() == [True, 2, b"2"]
        assert len(pipe) == 0
        assert pipe.execute() == []


def test_a_pipeline_is_true_even_when_empty(db: kvcore.Store[bytes]) -> None:
    assert db.pipeline()


def test_leaving_forgets_what_was_collected(db: kvcore.Store[bytes]) -> None:
    with db.pipeline() as pipe:
        pipe.set("a", 1)
    assert "a" not in db


@pytest.mark.parametrize("transaction", [True, False])
def test_an_error_names_its_command_and_the_others_run(db: kvcore.Store[bytes], transaction: bool) -> None:
    db["text"] = "x"
    pipe = db.pipeline(transaction=transaction)
    pipe.set("a", 1).lpush("text", "y").set("b", 2)
    with pytest.raises(kvcore.ResponseError, match=r"Command # 2 \(LPUSH text y\) of pipeline caused error: WRONGTYPE"):
        pipe.execute()
    assert db["a"] == b"1"
    assert db["b"] == b"2"


def test_errors_among_the_replies(db: kvcore.Store[bytes]) -> None:
    db["text"] = "x"
    replies = db.pipeline().lpush("text", "y").set("b", 2).execute(raise_on_error=False)
    assert isinstance(replies[0], kvcore.ResponseError)
    assert replies[1] is True


def test_a_wrong_command_stops_a_transaction(db: kvcore.Store[bytes]) -> None:
    pipe = db.pipeline()
    pipe.set("a", 1)
    pipe.execute_command("SET", "only-a-key")
    with pytest.raises(kvcore.ResponseError, match="Command # 2"):
        pipe.execute()
    assert "a" not in db
    assert db.pipeline().set("a", 1).execute() == [True]


def test_a_value_that_cannot_be_sent_leaves_nothing_behind(db: kvcore.Store[bytes]) -> None:
    pipe = db.pipeline()
    pipe.execute_command("SET", "a", 1).execute_command("SET", "b", {})
    with pytest.raises(kvcore.DataError):
        pipe.execute()
    assert len(db) == 0
    assert db.execute("SET", "a", 1) == b"OK"


def test_a_watched_key_that_changes(db: kvcore.Store[bytes]) -> None:
    db["k"] = 1
    with db.pipeline() as pipe:
        pipe.watch("k")
        assert pipe.get("k") == b"1"
        db["k"] = 2
        pipe.multi()
        pipe.set("k", 3)
        with pytest.raises(kvcore.WatchError, match="Watched variable changed"):
            pipe.execute()
    assert db["k"] == b"2"


def test_watching_without_commands_still_notices(db: kvcore.Store[bytes]) -> None:
    with db.pipeline() as pipe:
        pipe.watch("k")
        db["k"] = 2
        pipe.multi()
        with pytest.raises(kvcore.WatchError):
            pipe.execute()


def test_unwatch(db: kvcore.Store[bytes]) -> None:
    with db.pipeline() as pipe:
        pipe.watch("k")
        db["k"] = 2
        assert pipe.unwatch() is True
        assert not pipe.watching
        assert pipe.get("k") is pipe
        assert pipe.execute() == [b"2"]


def test_misuse_of_multi_and_watch(db: kvcore.Store[bytes]) -> None:
    with db.pipeline() as pipe:
        pipe.set("a", 1)
        with pytest.raises(kvcore.RedisError):
            pipe.multi()
        pipe.reset()
        pipe.watch("a")
        pipe.multi()
        with pytest.raises(kvcore.RedisError):
            pipe.multi()
        with pytest.raises(kvcore.RedisError):
            pipe.watch("b")


def test_a_session_left_watching_is_not_used_again(db: kvcore.Store[bytes]) -> None:
    pipe = db.pipeline()
    pipe.watch("k")
    pipe.reset()
    db["k"] = 1
    assert db.pipeline().set("k", 2).execute() == [True]


def test_transaction_runs_again_until_nothing_interferes(db: kvcore.Store[bytes]) -> None:
    db["n"] = 0

    def add(pipe: Any) -> int:
        value = int(pipe.get("n"))
        pipe.multi()
        pipe.set("n", value + 1)
        return value

    def work() -> None:
        for _ in range(50):
            db.transaction(add, "n")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert db["n"] == b"200"
    assert db.transaction(add, "n", value_from_callable=True) == 200
    assert db.transaction(lambda pipe: pipe.set("x", 1)) == [True]


def test_nobody_sees_half_a_transaction(db: kvcore.Store[bytes]) -> None:
    db.execute("MSET", "a", 0, "b", 0)
    torn: list[object] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            a, b = db.execute("MGET", "a", "b")
            if a != b:
                torn.append((a, b))

    thread = threading.Thread(target=look)
    thread.start()
    for _ in range(300):
        db.pipeline().incr("a").incr("b").execute()
    done.set()
    thread.join()
    assert torn == []


CALLS: list[tuple[str, tuple[Any, ...]]] = [
    ("get", ("k",)),
    ("set", ("k", 1)),
    ("delete", ("a", b"b", "c")),
    ("exists", ("a", "b")),
    ("incr", ("k",)),
    ("incr", ("k", 3)),
    ("incrby", ("k", 4)),
    ("decr", ("k",)),
    ("decr", ("k", 2)),
    ("decrby", ("k", 2)),
    ("expire", ("k", 100)),
    ("ttl", ("k",)),
    ("hget", ("h", "f")),
    ("hset", ("h", "f", 1.5)),
    ("hdel", ("h", "f", "g")),
    ("lpush", ("l", "a", "b")),
    ("rpush", ("l", "c")),
    ("lpop", ("l",)),
    ("rpop", ("l",)),
    ("llen", ("l",)),
    ("sadd", ("s", "m", 1)),
    ("srem", ("s", "m")),
    ("zadd", ("z", {"m": 1})),
    ("zscore", ("z", "m")),
]


@pytest.mark.parametrize(("name", "arguments"), CALLS)
def test_what_is_collected_is_what_the_written_method_says(
    db: kvcore.Store[bytes], name: str, arguments: tuple[Any, ...]
) -> None:
    pipe = db.pipeline()
    assert getattr(pipe, name)(*arguments) is pipe
    assert getattr(PipelineCommands, name)(pipe, *arguments) is pipe
    (hot, hot_shape), (full, full_shape) = pipe.command_stack
    same = {"INCRBY": "INCR", "DECRBY": "DECR"}  # by one: the short form
    assert list(hot) == list(full) or list(hot) == [same[str(full[0])], "k"]
    for reply in (b"OK",) if name == "set" else (0, 1):
        shaped = [reply if shape is None else shape(reply) for shape in (hot_shape, full_shape)]
        assert shaped[0] == shaped[1]
    pipe.reset()
    assert pipe.command_stack == []
    getattr(pipe, name)(*arguments)
    hot_reply = pipe.execute()
    db.flushall()
    getattr(PipelineCommands, name)(pipe, *arguments)
    assert pipe.execute() == hot_reply


def test_a_stack_that_is_no_list_is_refused(db: kvcore.Store[bytes]) -> None:
    pipe = db.pipeline()
    pipe.command_stack = ()  # type: ignore[assignment]
    with pytest.raises(TypeError, match="command_stack"):
        pipe.get("k")
    pipe.command_stack = ["GET"]  # type: ignore[list-item]
    with pytest.raises((TypeError, ValueError)):
        pipe.execute()


def test_a_shape_that_raises_ends_the_run(db: kvcore.Store[bytes]) -> None:
    def refuse(reply: object) -> object:
        raise LookupError(reply)

    for transaction in (True, False):
        pipe = db.pipeline(transaction)
        pipe.set("k", 1)._run(("GET", "k"), refuse)
        with pytest.raises(LookupError):
            pipe.execute()
        assert len(pipe) == 0
        assert pipe.get("k").execute() == [b"1"]  # the session is as new


def test_an_exec_of_ones_own_among_the_commands(db: kvcore.Store[bytes]) -> None:
    pipe = db.pipeline()
    pipe.set("k", 1).execute_command("EXEC")
    with pytest.raises(kvcore.RedisError, match="EXEC without MULTI"):
        pipe.execute()
    assert pipe.get("k").execute() == [b"1"]


def test_a_store_that_is_closed_by_a_shape(door: str) -> None:
    with kvcore.open() as other:
        pipe = other.pipeline(transaction=False)
        pipe._run(("SET", "k", 1), lambda _: other.close())
        pipe.get("k")
        if door == "wide":  # shapes come last there
            assert pipe.execute() == [None, b"1"]
        else:
            with pytest.raises(kvcore.RedisError, match="closed"):
                pipe.execute()
        with pytest.raises(kvcore.RedisError, match="closed"):
            pipe.get("k").execute()


@pytest.mark.parametrize("name", ["QUIT", b"quit", "Reset", "HELLO", "MONITOR", "SUBSCRIBE"])
def test_what_has_no_place_in_a_pipeline(db: kvcore.Store[bytes], name: str | bytes) -> None:
    pipe = db.pipeline()
    pipe.set("k", 1)
    with pytest.raises(kvcore.ResponseError, match="no place in a pipeline"):
        pipe.execute_command(name, "x")
    assert pipe.get("k").execute() == [True, b"1"]
