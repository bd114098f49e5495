"""Exceptions: which class, which text, and whose `except` clause catches it."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import pytest

import kvcore
from kvcore import errors


@pytest.mark.parametrize(
    ("reply", "cls", "text"),
    [
        ("ERR wrong number of arguments", errors.ResponseError, "wrong number of arguments"),
        ("WRONGTYPE Operation against", errors.ResponseError, "WRONGTYPE Operation against"),
        ("OOM command not allowed", errors.OutOfMemoryError, "command not allowed"),
        ("EXECABORT Transaction discarded", errors.ExecAbortError, "Transaction discarded"),
        ("READONLY You can't write", errors.ReadOnlyError, "You can't write"),
        ("NOAUTH Authentication required.", errors.AuthenticationError, "Authentication required."),
        ("NOPERM no", errors.NoPermissionError, "no"),
        ("NOSCRIPT No matching script", errors.NoScriptError, "No matching script"),
    ],
)
def test_an_error_reply_becomes_redis_pys_class_and_text(reply: str, cls: type[Exception], text: str) -> None:
    redis_errors = pytest.importorskip("redis.exceptions")
    error = errors.from_reply(reply)
    assert isinstance(error, cls)
    assert error.args == (text,)
    assert isinstance(error, getattr(redis_errors, cls.__name__))


@pytest.mark.parametrize("client", ["redis", "valkey"])
@pytest.mark.parametrize("name", errors.__all__)
def test_every_class_is_caught_as_the_clients_class_of_the_same_name(client: str, name: str) -> None:
    theirs = pytest.importorskip(f"{client}.exceptions")
    cls = getattr(errors, name)
    error = errors.make(cls, "text")
    assert isinstance(error, cls)
    their_name = cls.counterpart or name
    if (client, their_name) == ("valkey", "RedisError"):
        their_name = "ValkeyError"
    assert isinstance(error, getattr(theirs, their_name))
    assert str(error) == "text"
    assert type(error).__name__ == name


def test_without_a_client_library_the_classes_are_plain() -> None:
    code = (
        "import sys; from kvcore import errors; e = errors.make(errors.WatchError, 'x');"
        "assert type(e) is errors.WatchError; assert 'redis' not in sys.modules; assert 'valkey' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_order_of_imports_does_not_matter() -> None:
    pytest.importorskip("redis")
    code = (
        "from kvcore import errors; early = errors.ResponseError;"
        "import redis; e = errors.from_reply('ERR no');"
        "assert isinstance(e, early) and isinstance(e, redis.ResponseError)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_errors_can_be_pickled() -> None:
    pytest.importorskip("redis.exceptions")
    error = pickle.loads(pickle.dumps(errors.from_reply("OOM too much")))
    assert isinstance(error, errors.OutOfMemoryError)
    assert error.args == ("too much",)
    lock = pickle.loads(pickle.dumps(errors.make(errors.LockNotOwnedError, "gone", "name")))
    assert isinstance(lock, errors.LockNotOwnedError)


@pytest.mark.parametrize("source", [5, b"memory://x", ["memory://x"]])
def test_a_store_is_named_by_a_str(source: Any) -> None:
    with pytest.raises(TypeError, match="db=N"):
        kvcore.open(source)
    with pytest.raises(TypeError, match="db=N"):
        kvcore.open(shared=source)


@pytest.mark.parametrize("time", ["x", None, True, b"5"])
def test_a_time_is_a_number(time: Any) -> None:
    with kvcore.open() as db:
        with pytest.raises(TypeError, match="number of seconds"):
            db.clock.advance(time)
        if time is not None:
            with pytest.raises(TypeError, match="number of seconds"):
                db.clock.freeze(time)


@pytest.mark.parametrize("time", [float("nan"), float("inf"), -float("inf"), 1e300])
def test_a_time_is_in_range(time: float) -> None:
    with kvcore.open() as db:
        with pytest.raises(ValueError, match="out of range"):
            db.clock.advance(time)
        with pytest.raises(ValueError, match="out of range"):
            db.clock.freeze(time)
        with pytest.raises(ValueError, match="1970"):
            db.clock.freeze(-5)
