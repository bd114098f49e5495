"""An in-process key-value engine that speaks Valkey's commands, in your Python process and on a socket.

    db = kvcore.open()                    # a private store; open(shared="name") for one shared by name in this process
    db = kvcore.open("app.kv")            # a store in a file
    db.set("k", "v", ex=60); db.get("k")  # redis-py's methods, argument names and return shapes
    db.serve(port=0); db.url              # the same data for any Redis client

Importing the package loads nothing: each name brings its module when it is first used, so that the pytest plugin and
`kvcore --version` cost next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kvcore._version import VERSION as __version__

if TYPE_CHECKING:
    from kvcore.clock import Clock
    from kvcore.errors import (
        AuthenticationError,
        BusyLoadingError,
        ClosedError,
        ConnectionError,
        CorruptError,
        DataError,
        DurabilityError,
        ExecAbortError,
        FileError,
        ForkedError,
        LockedError,
        LockError,
        LockNotOwnedError,
        OutOfMemoryError,
        PubSubError,
        ReadOnlyError,
        RedisError,
        ResponseError,
        TimeoutError,
        UnsupportedFileError,
        WatchError,
    )
    from kvcore.lock import Lock
    from kvcore.pipeline import Pipeline
    from kvcore.pubsub import PubSub
    from kvcore.store import Store, open

__all__ = [
    "AuthenticationError",
    "BusyLoadingError",
    "Clock",
    "ClosedError",
    "ConnectionError",
    "CorruptError",
    "DataError",
    "DurabilityError",
    "ExecAbortError",
    "FileError",
    "ForkedError",
    "Lock",
    "LockError",
    "LockNotOwnedError",
    "LockedError",
    "OutOfMemoryError",
    "Pipeline",
    "PubSub",
    "PubSubError",
    "ReadOnlyError",
    "RedisError",
    "ResponseError",
    "Store",
    "TimeoutError",
    "UnsupportedFileError",
    "WatchError",
    "__version__",
    "open",
]

_HOMES = {
    "Clock": "clock",
    "Lock": "lock",
    "Pipeline": "pipeline",
    "PubSub": "pubsub",
    "Store": "store",
    "open": "store",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'kvcore' has no attribute {name!r}")
    value = getattr(import_module(f"kvcore.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
