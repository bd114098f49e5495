"""The time that one store goes by: expiry, TTL, TIME and idle times. Real by default; a test can stop it and move
it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvcore._engine import Engine

__all__ = ["Clock"]

LONGEST_S = 2**53 / 1e6  # 285 years: what the clock counts in microseconds, and a float tells apart


class Clock:
    """`db.clock`. Seconds since the Unix epoch, as time.time() counts them; all stores of one name share a clock."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def now(self) -> float:
        """The store's time."""
        return self._engine.clock_us() / 1e6

    def freeze(self, at: float | datetime | None = None) -> None:
        """Stop the clock, now or at a moment of your choice. Nothing expires until it is advanced."""
        us = self._engine.clock_us() if at is None else _microseconds(at)
        if us < 0:
            raise ValueError(f"freeze({at!r}): the store's time begins with 1970")
        self._engine.clock_freeze(us)

    set = freeze

    def advance(self, seconds: float) -> None:
        """Move the time forward (or back): what is due by then is gone at once. Works frozen or running."""
        self._engine.clock_advance(_microseconds(seconds))

    def thaw(self) -> None:
        """Real time again."""
        self._engine.clock_thaw()

    @contextmanager
    def frozen(self, at: float | datetime | None = None) -> Iterator[Clock]:
        """Frozen for the length of a `with` block."""
        self.freeze(at)
        try:
            yield self
        finally:
            self.thaw()

    def __repr__(self) -> str:
        return f"<kvcore.Clock {self.now():.6f}>"


def _microseconds(time: float | datetime) -> int:
    seconds = time.timestamp() if isinstance(time, datetime) else time
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"a time is a number of seconds or a datetime, not {time!r}")
    if not abs(seconds) < LONGEST_S:
        raise ValueError(f"a time of {seconds} seconds is out of range")
    return round(seconds * 1e6)
