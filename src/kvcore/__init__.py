"""An in-process key-value engine that speaks Valkey's commands, in your Python process and on a socket.

db = kvcore.open()                    # a private store; open(shared="name") for one shared by name in this process
db.set("k", "v", ex=60); db.get("k")  # redis-py's methods, argument names and return shapes
db.serve(port=0); db.url              # the same data for any Redis client
"""

from kvcore._version import VERSION as __version__
from kvcore.errors import (
    AuthenticationError,
    BusyLoadingError,
    ClosedError,
    ConnectionError,
    DataError,
    ExecAbortError,
    ForkedError,
    LockError,
    LockNotOwnedError,
    OutOfMemoryError,
    PubSubError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,
    WatchError,
)
from kvcore.lock import Lock
from kvcore.pipeline import Pipeline
from kvcore.pubsub import PubSub
from kvcore.store import Store, open

__all__ = [
    "AuthenticationError",
    "BusyLoadingError",
    "ClosedError",
    "ConnectionError",
    "DataError",
    "ExecAbortError",
    "ForkedError",
    "Lock",
    "LockError",
    "LockNotOwnedError",
    "OutOfMemoryError",
    "Pipeline",
    "PubSub",
    "PubSubError",
    "ReadOnlyError",
    "RedisError",
    "ResponseError",
    "Store",
    "TimeoutError",
    "WatchError",
    "__version__",
    "open",
]
