"""GET and SET without words and reply: what they may leave out, and that nobody can tell them from the usual way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

import kvcore
from tests.compat.resp import Connection

WARM = 200  # a session's first calls, and one in 64 later, go the usual way


@pytest.fixture
def db() -> Iterator[kvcore.Store[bytes]]:
    """A store whose idle session is past its first calls."""
    store = kvcore.open()
    for _ in range(WARM):
        store.set("warm", "up")
        store.get("warm")
    yield store
    store.close()


def calls(db: kvcore.Store[Any], name: str) -> int:
    line = db.info("commandstats").get(f"cmdstat_{name}")
    return int(line["calls"]) if line else 0


def many(count: int = 130) -> range:
    """Enough calls for both ways, wherever the first one stands."""
    return range(count)


def test_values_of_every_kind_come_back(db: kvcore.Store[bytes]) -> None:
    values = [
        b"",
        b"x",
        b"12",
        b"-7",
        b"007",
        b"\0\xff" * 9,
        b"v" * 44,
        b"w" * 112,
        b"x" * 4096,
        b"y" * 4097,
        b"z" * 70000,
    ]
    for round_ in many(20):
        for i, value in enumerate(values):
            assert db.set(f"k{i}", value) is True
            assert db.get(f"k{(i + round_) % (i + 1)}") == values[(i + round_) % (i + 1)]
    assert [db.get(f"k{i}") for i in range(len(values))] == values
    assert db.get("absent") is None


def test_keys_and_values_as_str_bytes_and_numbers(db: kvcore.Store[bytes]) -> None:
    for _ in many():
        db.set(b"k", "text")
        assert db.get("k") == b"text"
        db.set("ключ", "значение")  # not ASCII: encoded
        assert db.get("ключ".encode()) == "значение".encode()
        db.set("n", 5)
        assert db.get("n") == b"5"


def test_decoded_replies() -> None:
    with kvcore.open(decode_responses=True) as db:
        for _ in many(300):
            db.set("k", "é")
            assert db.get("k") == "é"
            assert db.get("absent") is None
        db.set("k", b"\xff")
        for _ in many():
            with pytest.raises(UnicodeDecodeError):
                db.get("k")


def test_statistics_are_exact(db: kvcore.Store[bytes]) -> None:
    gets, sets = calls(db, "get"), calls(db, "set")
    before = db.info("stats")
    for i in range(1000):
        db.set(f"k{i % 10}", i)
        db.get(f"k{i % 20}")
    after = db.info("stats")
    assert (calls(db, "get") - gets, calls(db, "set") - sets) == (1000, 1000)
    assert after["keyspace_hits"] - before["keyspace_hits"] == 500
    assert after["keyspace_misses"] - before["keyspace_misses"] == 500
    assert after["total_commands_processed"] - before["total_commands_processed"] >= 2000
    assert db.info("persistence")["rdb_changes_since_last_save"] >= 1000
    db.config_resetstat()
    assert calls(db, "get") == calls(db, "set") == 0
    for _ in many():
        db.get("k1")
    assert calls(db, "get") == 130
    assert db.info("stats")["keyspace_hits"] == 130


def test_another_type_is_an_error_that_counts_one_hit(db: kvcore.Store[bytes]) -> None:
    db.rpush("list", "x")
    hits = db.info("stats")["keyspace_hits"]
    for _ in many():
        with pytest.raises(kvcore.ResponseError, match="WRONGTYPE"):
            db.get("list")
    assert db.info("stats")["keyspace_hits"] - hits == 130  # as in Valkey: the key was found
    for _ in many():
        db.delete("l")
        db.rpush("l", "x")
        assert db.set("l", "now a string") is True
        assert db.get("l") == b"now a string"


def test_time_passes(db: kvcore.Store[bytes]) -> None:
    db.clock.freeze()
    for _ in many():
        db.set("k", "v", px=1000)
        assert db.get("k") == b"v"
        db.clock.advance(1.001)
        assert db.get("k") is None
    for _ in many():
        db.set("k", "v", px=1000)
        db.set("k", "w")  # clears the expiry
        assert db.pttl("k") == -1
        db.clock.advance(2)
        assert db.get("k") == b"w"


def test_the_access_clock_goes_on(db: kvcore.Store[bytes]) -> None:
    db.clock.freeze()
    db.set("k", "v")
    for _ in many():
        db.clock.advance(10)
        assert db.object("IDLETIME", "k") == 10
        db.get("k")
        assert db.object("IDLETIME", "k") == 0


def test_transactions_notice(db: kvcore.Store[bytes]) -> None:
    for i in many():
        with db.pipeline() as pipe:
            pipe.watch("k")
            db.set("k", i)
            pipe.multi()
            pipe.set("k", "no")
            with pytest.raises(kvcore.WatchError):
                pipe.execute()
        assert db.get("k") == str(i).encode()


def test_events_are_sent(db: kvcore.Store[bytes]) -> None:
    db.config_set("notify-keyspace-events", "KEA")
    db.config_set("notify-keyspace-events", "Kg$mn")
    with db.pubsub() as pubsub:
        pubsub.psubscribe("__keyspace@0__:*")
        assert pubsub.get_message(timeout=1)["type"] == "psubscribe"
        for i in many():
            db.set(f"k{i}", "v")
            db.get(f"absent{i}")
            heard = [pubsub.get_message(timeout=1) for _ in range(3)]
            assert [message["data"] for message in heard] == [b"new", b"set", b"keymiss"]


def test_monitor_sees_every_call(db: kvcore.Store[bytes]) -> None:
    port = urlsplit(db.serve(port=0)).port
    assert port is not None
    with Connection("127.0.0.1", port) as monitor:
        assert monitor.must("MONITOR").data == b"OK"
        for i in many():
            db.set("k", i)
            db.get("k")
        seen = [monitor.reply().data for _ in range(260)]
    assert sum(b'"SET"' in line for line in seen) == sum(b'"GET"' in line for line in seen) == 130


def test_a_pause_holds_back(db: kvcore.Store[bytes]) -> None:
    for _ in many():
        db.get("k")
    db.execute("CLIENT", "PAUSE", "60000", "WRITE")
    done = threading.Event()

    def write() -> None:
        db.set("k", "v")
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    assert not done.wait(0.2)
    assert db.get("k") is None  # reading goes on
    db.execute("CLIENT", "UNPAUSE")
    assert done.wait(10)
    writer.join()
    assert db.get("k") == b"v"


def test_memory_limits_hold(db: kvcore.Store[bytes]) -> None:
    db.config_set("maxmemory", 1)
    for _ in many():
        with pytest.raises(kvcore.ResponseError, match="used memory > 'maxmemory'"):
            db.set("k", "v")
    db.config_set("maxmemory", 0)
    assert db.set("k", "v") is True


def test_logs_of_small_things(db: kvcore.Store[bytes]) -> None:
    db.config_set("slowlog-log-slower-than", 0)
    db.slowlog_reset()
    for _ in range(70):
        db.get("k")
    assert len(db.slowlog_get(128)) >= 70
    db.config_set("slowlog-log-slower-than", -1)
    db.config_set("commandlog-request-larger-than", 100)
    for _ in range(70):
        db.set("k", "v" * 200)
    assert db.execute("COMMANDLOG", "LEN", "large-request") >= 70


def test_blocked_clients_are_served_by_what_follows(db: kvcore.Store[bytes]) -> None:
    """A client that waits in the shard: SET goes the usual way, and a list in its place is handed over."""
    got: list[Any] = []
    waiter = threading.Thread(target=lambda: got.append(db.blpop("queue", 10)))
    waiter.start()
    while db.info("clients")["blocked_clients"] == 0:
        pass
    for _ in many():
        db.set("queue", "no list")
    db.delete("queue")
    db.rpush("queue", "x")
    waiter.join()
    assert got == [(b"queue", b"x")]


def test_two_threads_lose_nothing(db: kvcore.Store[bytes]) -> None:
    def write(name: str) -> None:
        for i in range(3000):
            db.set(name, i)
            assert db.get(name) == str(i).encode()

    before = calls(db, "set")
    threads = [threading.Thread(target=write, args=(f"k{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls(db, "set") - before == 12000


def test_closed_and_another_database() -> None:
    db = kvcore.open()
    other = db.database(3)
    for _ in many(200):
        db.set("k", "zero")
        other.set("k", "three")
        assert (db.get("k"), other.get("k")) == (b"zero", b"three")
    db.close()
    with pytest.raises(kvcore.ConnectionError):
        db.get("k")
    with pytest.raises(kvcore.ConnectionError):
        db.set("k", "v")
