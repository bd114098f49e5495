"""Locks under a key."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

import kvcore


@pytest.fixture
def db() -> Iterator[kvcore.Store[bytes]]:
    with kvcore.open() as store:
        yield store


def test_taken_once(db: kvcore.Store[bytes]) -> None:
    one, two = db.lock("l"), db.lock("l")
    assert one.acquire(blocking=False)
    assert one.locked()
    assert one.owned()
    assert not two.owned()
    assert not two.acquire(blocking=False)
    one.release()
    assert not one.locked()
    assert two.acquire(blocking=False)


def test_as_a_context_manager(db: kvcore.Store[bytes]) -> None:
    with db.lock("l", blocking_timeout=0.1) as lock:
        assert lock.owned()
        with pytest.raises(kvcore.LockError, match="not free"), db.lock("l", blocking_timeout=0.1, sleep=0.02):
            pass
    assert "l" not in db


def test_a_lock_runs_out(db: kvcore.Store[bytes]) -> None:
    with db.clock.frozen():
        one, two = db.lock("l", timeout=10), db.lock("l")
        assert one.acquire()
        db.clock.advance(11)
        assert two.acquire(blocking=False)
        with pytest.raises(kvcore.LockNotOwnedError):
            one.release()
        assert two.owned()


def test_release_needs_a_holder(db: kvcore.Store[bytes]) -> None:
    with pytest.raises(kvcore.LockError, match="not held"):
        db.lock("l").release()


def test_extend_and_reacquire(db: kvcore.Store[bytes]) -> None:
    with db.clock.frozen():
        lock = db.lock("l", timeout=10)
        lock.acquire()
        assert lock.extend(5) is True
        assert db.execute("PTTL", "l") == 15000
        assert lock.extend(7, replace_ttl=True) is True
        assert db.execute("PTTL", "l") == 7000
        assert lock.reacquire() is True
        assert db.execute("PTTL", "l") == 10000
        db["l"] = "another"
        for use in (lock.reacquire, lambda: lock.extend(1)):
            with pytest.raises(kvcore.LockNotOwnedError):
                use()
    with pytest.raises(kvcore.LockError, match="without a timeout"):
        forever = db.lock("m")
        forever.acquire()
        forever.extend(1)


def test_a_lock_belongs_to_its_thread(db: kvcore.Store[bytes]) -> None:
    lock, shared = db.lock("l"), db.lock("m", thread_local=False)
    lock.acquire()
    shared.acquire()
    owned: list[bool] = []
    thread = threading.Thread(target=lambda: owned.extend([lock.owned(), shared.owned()]))
    thread.start()
    thread.join()
    assert owned == [False, True]


def test_one_at_a_time(db: kvcore.Store[bytes]) -> None:
    inside = most = 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(5):
            with db.lock("l", sleep=0.001):
                inside += 1
                most = max(most, inside)
                time.sleep(0.001)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
