"""Pipelines: order, atomicity, errors, watching, as redis-py has them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

import kvcore


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
