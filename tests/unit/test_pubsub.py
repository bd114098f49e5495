"""Publish/subscribe through redis-py's interface."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import kvcore


@pytest.fixture
def db() -> Iterator[kvcore.Store[bytes]]:
    with kvcore.open() as store:
        yield store


def test_subscribe_publish_unsubscribe(db: kvcore.Store[bytes]) -> None:
    with db.pubsub() as sub:
        assert sub.get_message() is None
        sub.subscribe("news", "sport")
        assert sub.subscribed
        assert sub.get_message() == {"type": "subscribe", "pattern": None, "channel": b"news", "data": 1}
        assert sub.get_message() == {"type": "subscribe", "pattern": None, "channel": b"sport", "data": 2}
        assert db.publish("news", "hello") == 1
        assert sub.get_message(timeout=1) == {"type": "message", "pattern": None, "channel": b"news", "data": b"hello"}
        sub.unsubscribe("news")
        assert sub.get_message(timeout=1) == {"type": "unsubscribe", "pattern": None, "channel": b"news", "data": 1}
        assert db.publish("news", "nobody") == 0
        sub.unsubscribe()
        message = sub.get_message(timeout=1)
        assert message is not None
        assert message["type"] == "unsubscribe"
        assert not sub.subscribed


def test_patterns_and_shard_channels(db: kvcore.Store[bytes]) -> None:
    with db.pubsub(ignore_subscribe_messages=True) as sub:
        sub.psubscribe("n*")
        sub.ssubscribe("shard")
        assert sub.get_message() is None
        assert sub.get_message() is None
        db.publish("news", "x")
        db.spublish("shard", "y")
        assert sub.get_message(timeout=1) == {"type": "pmessage", "pattern": b"n*", "channel": b"news", "data": b"x"}
        assert sub.get_message(timeout=1) == {"type": "smessage", "pattern": None, "channel": b"shard", "data": b"y"}


def test_decoded() -> None:
    with kvcore.open(decode_responses=True) as db, db.pubsub() as sub:
        sub.subscribe(b"c")
        db.publish("c", "é")
        assert sub.get_message(timeout=1) == {"type": "subscribe", "pattern": None, "channel": "c", "data": 1}
        assert sub.get_message(timeout=1) == {"type": "message", "pattern": None, "channel": "c", "data": "é"}


def test_handlers(db: kvcore.Store[bytes]) -> None:
    seen: list[Any] = []
    with db.pubsub(ignore_subscribe_messages=True) as sub:
        sub.subscribe(c=seen.append)
        sub.get_message()
        db.publish("c", "1")
        assert sub.get_message(timeout=1) is None
    assert [message["data"] for message in seen] == [b"1"]


def test_a_message_ends_a_wait_at_once(db: kvcore.Store[bytes]) -> None:
    with db.pubsub(ignore_subscribe_messages=True) as sub:
        sub.subscribe("c")
        sub.get_message()
        threading.Timer(0.1, lambda: db.publish("c", "x")).start()
        started = time.monotonic()
        message = sub.get_message(timeout=10)
        assert message is not None
        assert message["data"] == b"x"
        assert time.monotonic() - started < 2


def test_a_wait_ends_in_time(db: kvcore.Store[bytes]) -> None:
    with db.pubsub() as sub:
        sub.subscribe("c")
        sub.get_message()
        started = time.monotonic()
        assert sub.get_message(timeout=0.15) is None
        assert 0.14 < time.monotonic() - started < 1


def test_listen(db: kvcore.Store[bytes]) -> None:
    with db.pubsub() as sub:
        sub.subscribe("c")
        for number in range(3):
            db.publish("c", number)
        sub.unsubscribe("c")
        assert [message["type"] for message in sub.listen()] == ["subscribe", *["message"] * 3, "unsubscribe"]


def test_run_in_thread(db: kvcore.Store[bytes]) -> None:
    seen: list[Any] = []
    arrived = threading.Event()

    def handler(message: Any) -> None:
        seen.append(message["data"])
        if len(seen) == 20:
            arrived.set()

    sub = db.pubsub()
    sub.subscribe("silent")
    with pytest.raises(kvcore.PubSubError):
        sub.run_in_thread()
    sub.unsubscribe("silent")
    sub = db.pubsub()
    sub.subscribe(c=handler)
    thread = sub.run_in_thread()
    for number in range(20):
        db.publish("c", number)
    assert arrived.wait(5)
    thread.stop()
    thread.join(2)
    assert not thread.is_alive()
    assert seen == [str(number).encode() for number in range(20)]


def test_ping(db: kvcore.Store[bytes]) -> None:
    with db.pubsub(ignore_subscribe_messages=True) as sub:
        sub.subscribe("c")
        sub.get_message()
        sub.ping("hi")
        assert sub.get_message(timeout=1) == {"type": "pong", "pattern": None, "channel": None, "data": b"hi"}


def test_closing_twice_and_using_again(db: kvcore.Store[bytes]) -> None:
    sub = db.pubsub()
    sub.subscribe("c")
    sub.close()
    sub.close()
    assert db.publish("c", "x") == 0
    sub.subscribe("c")
    assert db.publish("c", "x") == 1
    sub.close()
