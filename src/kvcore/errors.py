"""The exceptions: redis-py's names and hierarchy, so that code written for redis-py moves over with its `except`
clauses.

Two questions are answered here once. *Which class?* An error reply begins with a code (`WRONGTYPE ...`); `from_reply`
turns it into the class that redis-py would raise, with the text that redis-py would show. *Whose class?* Ours,
always; and when the program has imported redis-py or valkey-py, the instance is one of theirs too: `except
redis.ResponseError` can only be written by a program that imported redis, so looking at `sys.modules` when the error
is made never comes too late, costs no import, and does not depend on which library was imported first.
"""

from __future__ import annotations

import sys
from typing import Any, ClassVar

__all__ = [
    "AuthenticationError",
    "BusyLoadingError",
    "ClosedError",
    "ConnectionError",
    "CorruptError",
    "DataError",
    "DurabilityError",
    "ExecAbortError",
    "FileError",
    "ForkedError",
    "InvalidResponse",
    "LockError",
    "LockNotOwnedError",
    "LockedError",
    "NoPermissionError",
    "NoScriptError",
    "OutOfMemoryError",
    "PubSubError",
    "ReadOnlyError",
    "RedisError",
    "ResponseError",
    "TimeoutError",
    "UnsupportedFileError",
    "WatchError",
]

CLIENTS = ("redis", "valkey")


class RedisError(Exception):
    """The base of all errors that the engine, or its Python side, raises."""

    counterpart: ClassVar[str | None] = None  # the client libraries' name when it is not this class's own

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (plain(type(self)), self.args))


class ConnectionError(RedisError):
    """The store cannot be reached."""


class ClosedError(ConnectionError):
    """The store was closed."""

    counterpart = "ConnectionError"


class ForkedError(ConnectionError):
    """The store belongs to the process that this one was forked from."""

    counterpart = "ConnectionError"


class TimeoutError(RedisError):
    """Something took longer than was allowed."""


class AuthenticationError(ConnectionError):
    """A password is needed, or was wrong."""


class BusyLoadingError(ConnectionError):
    """The data set is still being loaded."""


class InvalidResponse(RedisError):
    """A reply that breaks its format."""


class ResponseError(RedisError):
    """The engine refused a command."""


class DataError(RedisError):
    """An argument of a type that cannot be a key or a value."""


class PubSubError(RedisError):
    """A misuse of subscriptions."""


class WatchError(RedisError):
    """A watched key changed before the transaction ran."""


class NoScriptError(ResponseError):
    """No script has this digest."""


class OutOfMemoryError(ResponseError):
    """`maxmemory` is reached and nothing may be evicted."""


class ExecAbortError(ResponseError):
    """A queued command was wrong, so the transaction did not run."""


class ReadOnlyError(ResponseError):
    """A write where only reads are allowed."""


class NoPermissionError(ResponseError):
    """The user may not do this."""


class LockError(RedisError, ValueError):
    """A lock could not be taken or given back."""

    def __init__(self, message: str | None = None, lock_name: str | bytes | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.lock_name = lock_name


class LockNotOwnedError(LockError):
    """The lock is not, or no longer, held by this owner."""


class DurabilityError(ResponseError):
    """The file of a store cannot be written: the writing command was refused, or what was done may not outlive this
    process."""

    counterpart = "ResponseError"


class FileError(RedisError):
    """The file of a store cannot be opened. `path` says which."""

    counterpart = "RedisError"

    def __init__(self, message: str | None = None, path: str | None = None) -> None:
        super().__init__(message, path)
        self.path = path

    def __str__(self) -> str:
        return str(self.args[0])


class LockedError(FileError):
    """Somebody else has the file open for writing: the process `pid`, when that is known."""

    def __init__(self, message: str | None = None, path: str | None = None, pid: int | None = None) -> None:
        super().__init__(message, path)
        self.args = (message, path, pid)
        self.pid = pid


class CorruptError(FileError):
    """The file is damaged, at byte `offset` when that is known. `kvcore check` tells more."""

    def __init__(self, message: str | None = None, path: str | None = None, offset: int | None = None) -> None:
        super().__init__(message, path)
        self.args = (message, path, offset)
        self.offset = offset


class UnsupportedFileError(FileError):
    """The file is sound, but holds what this version does not read."""


# Codes that name a class of their own. The code is not part of the text then, as in redis-py.
BY_CODE: dict[str, type[RedisError]] = {
    "ERR": ResponseError,
    "OOM": OutOfMemoryError,
    "EXECABORT": ExecAbortError,
    "LOADING": BusyLoadingError,
    "NOSCRIPT": NoScriptError,
    "READONLY": ReadOnlyError,
    "NOAUTH": AuthenticationError,
    "NOPERM": NoPermissionError,
    "WRONGPASS": AuthenticationError,
}


def plain(cls: type[RedisError]) -> type[RedisError]:
    """The class of this module behind a class that `make` put together."""
    while cls.__dict__.get("_assembled"):
        cls = cls.__mro__[1]
    return cls


def _rebuild(cls: type[RedisError], args: tuple[Any, ...]) -> RedisError:
    return make(cls, *args)


_made: dict[tuple[type[RedisError], tuple[str, ...]], type[RedisError]] = {}


def _assembled(cls: type[RedisError], clients: tuple[str, ...]) -> type[RedisError]:
    """`cls` that is also a subclass of the same-named class of each client library. Made once, when needed."""
    made = _made.get((cls, clients))
    if made is None:
        made = _made[cls, clients] = _assemble(cls, clients)
    return made


def _assemble(cls: type[RedisError], clients: tuple[str, ...]) -> type[RedisError]:
    name = cls.counterpart or cls.__name__
    theirs = []
    for client in clients:
        module = sys.modules.get(f"{client}.exceptions")
        candidate = getattr(module, name, None) or getattr(module, name.replace("Redis", "Valkey"), None)
        if isinstance(candidate, type) and candidate not in theirs:
            theirs.append(candidate)
    if not theirs:
        return cls
    namespace = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
    return type(cls.__name__, (cls, *theirs), {**namespace, "_assembled": True})


def make(cls: type[RedisError], *args: Any) -> RedisError:
    """An instance of `cls` that the `except` clauses of the imported client libraries catch too."""
    imported = tuple(client for client in CLIENTS if f"{client}.exceptions" in sys.modules)
    return (_assembled(cls, imported) if imported else cls)(*args)


def from_reply(text: str) -> RedisError:
    """The exception for an error reply, whose text begins with its code."""
    code, _, rest = text.partition(" ")
    if code == "MISCONF":  # its text stays whole: redis-py has no class for it
        return make(DurabilityError, text)
    cls = BY_CODE.get(code)
    return make(ResponseError, text) if cls is None else make(cls, rest)
