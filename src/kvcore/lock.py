"""A lock that lives under a key, with redis-py's interface: any thread or process that reaches the store can contend
for it.

The key holds a token that only the owner knows. Taking is `SET NX PX`; giving back and prolonging compare the token
and act in one command (DELIFEQ, `SET IFEQ`), so no script is needed and nobody can remove a lock that has run out and
been taken by another.
"""

from __future__ import annotations

import threading
import time
import uuid
from types import SimpleNamespace, TracebackType
from typing import TYPE_CHECKING, Any

from kvcore.errors import LockError, LockNotOwnedError, WatchError, make

if TYPE_CHECKING:
    from kvcore.store import Store

__all__ = ["Lock"]


class Lock:
    """See `Store.lock` for the arguments. Use it as a context manager, or `acquire` and `release`."""

    def __init__(
        self,
        store: Store[Any],
        name: str | bytes,
        timeout: float | None = None,
        sleep: float = 0.1,
        blocking: bool = True,
        blocking_timeout: float | None = None,
        thread_local: bool = True,
        raise_on_release_error: bool = True,
    ) -> None:
        if timeout is not None and timeout <= 0:
            raise make(LockError, f"'timeout' has to be above 0, not {timeout}", name)
        self.store = store
        self.name = name
        self.timeout = timeout
        self.sleep = sleep
        self.blocking = blocking
        self.blocking_timeout = blocking_timeout
        self.thread_local = thread_local
        self.raise_on_release_error = raise_on_release_error
        # With thread_local, a thread cannot release what another took, even through the same object.
        self.local: Any = threading.local() if thread_local else SimpleNamespace()
        self.local.token = None

    def __repr__(self) -> str:
        return f"<kvcore.Lock {self.name!r}>"

    def __enter__(self) -> Lock:
        if self.acquire():
            return self
        raise make(LockError, f"Lock {self.name!r} was not free within the time allowed", self.name)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.release()
        except LockError:
            if self.raise_on_release_error:
                raise

    def acquire(
        self,
        sleep: float | None = None,
        blocking: bool | None = None,
        blocking_timeout: float | None = None,
        token: str | bytes | None = None,
    ) -> bool:
        """Take the lock; False when it is held by another and there is no (more) time to wait."""
        pause = self.sleep if sleep is None else sleep
        wait = self.blocking if blocking is None else blocking
        limit = self.blocking_timeout if blocking_timeout is None else blocking_timeout
        ticket = uuid.uuid1().hex.encode() if token is None else token.encode() if isinstance(token, str) else token
        deadline = None if limit is None else time.monotonic() + limit
        while True:
            if self._take(ticket):
                self.local.token = ticket
                return True
            if not wait or (deadline is not None and time.monotonic() + pause > deadline):
                return False
            time.sleep(pause)

    def _take(self, token: bytes) -> bool:
        words: list[Any] = ["SET", self.name, token, "NX"]
        if self.timeout is not None:
            words += ["PX", _milliseconds(self.timeout)]
        return self.store.execute(*words) is not None

    def _mine(self) -> bytes:
        token: bytes | None = getattr(self.local, "token", None)
        if token is None:
            raise make(LockError, "This lock is not held: acquire it first", self.name)
        return token

    def locked(self) -> bool:
        """Does anybody hold it?"""
        return self._holder() is not None

    def owned(self) -> bool:
        """Is it held through this object (and, with thread_local, by this thread)?"""
        token = getattr(self.local, "token", None)
        return token is not None and self._holder() == token

    def _holder(self) -> bytes | None:
        value = self.store.execute("GET", self.name)
        return value.encode() if isinstance(value, str) else value

    def release(self) -> None:
        """Give it back. LockNotOwnedError: it ran out before, and may be another's by now."""
        token = self._mine()
        self.local.token = None
        if not self.store.execute("DELIFEQ", self.name, token):
            raise make(LockNotOwnedError, "This lock ran out before it was released", self.name)

    def extend(self, additional_time: float, replace_ttl: bool = False) -> bool:
        """Hold it `additional_time` seconds longer, or, with replace_ttl, for that long from now."""
        token = self._mine()
        if self.timeout is None:
            raise make(LockError, "A lock without a timeout cannot be extended", self.name)
        while True:
            with self.store.pipeline() as pipe:
                pipe.watch(self.name)
                left = 0 if replace_ttl else max(int(pipe.execute_command("PTTL", self.name)), 0)
                lifetime_ms = max(left + int(additional_time * 1000), 1)
                pipe.multi()
                pipe.execute_command("SET", self.name, token, "IFEQ", token, "PX", lifetime_ms)
                try:
                    (reply,) = pipe.execute()
                except WatchError:
                    continue
                return self._still_mine(reply)

    def reacquire(self) -> bool:
        """Start the lock's timeout anew."""
        token = self._mine()
        if self.timeout is None:
            raise make(LockError, "A lock without a timeout cannot be reacquired", self.name)
        words = ("SET", self.name, token, "IFEQ", token, "PX", _milliseconds(self.timeout))
        return self._still_mine(self.store.execute(*words))

    def _still_mine(self, reply: Any) -> bool:
        if reply is None:
            raise make(LockNotOwnedError, "This lock is no longer held by its owner", self.name)
        return True


def _milliseconds(seconds: float) -> int:
    return max(int(seconds * 1000), 1)
