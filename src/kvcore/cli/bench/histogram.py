"""A histogram of latencies: fixed size whatever it counts, every figure within 1/128 of the truth.

Values below 256 have a bucket each. From there on every power of two is divided into 128 buckets, so a bucket is never
wider than 1/128 of the values in it. A percentile is the largest value that its bucket stands for, but no more than the
largest that was recorded: it may be told too long by under 0.8 %, and never too short.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable

HALF_BITS = 7
HALF = 1 << HALF_BITS  # buckets a power of two
TOP_BITS = 44  # ns: almost five hours, beyond that everything is one bucket
BUCKETS = (TOP_BITS - HALF_BITS + 1) * HALF


def bucket_of(value: int) -> int:
    """The place of a value that is not negative."""
    shift = value.bit_length() - HALF_BITS - 1
    if shift <= 0:
        return value
    return min(shift * HALF + (value >> shift), BUCKETS - 1)


def highest_of(bucket: int) -> int:
    """The largest value that a bucket stands for."""
    if bucket < 2 * HALF:
        return bucket
    shift = bucket // HALF - 1
    return ((bucket - shift * HALF + 1) << shift) - 1


class Histogram:
    """Counts of values, in nanoseconds here."""

    def __init__(self) -> None:
        self.counts = array("Q", bytes(8 * BUCKETS))
        self.count = self.total = self.maximum = 0
        self.minimum: int | None = None

    def record(self, value: int, times: int = 1) -> None:
        value = max(value, 0)
        self.counts[bucket_of(value)] += times
        self.count += times
        self.total += value * times
        self.maximum = max(self.maximum, value)
        self.minimum = value if self.minimum is None else min(self.minimum, value)

    def record_many(self, values: Iterable[int]) -> None:
        """Many at once: equal ones are counted in C first."""
        for value, times in Counter(values).items():
            self.record(value, times)

    def merge(self, other: Histogram) -> None:
        for bucket, times in enumerate(other.counts):
            if times:
                self.counts[bucket] += times
        self.count += other.count
        self.total += other.total
        self.maximum = max(self.maximum, other.maximum)
        if other.minimum is not None:
            self.minimum = other.minimum if self.minimum is None else min(self.minimum, other.minimum)

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0

    def percentile(self, share: float) -> int:
        """The value that `share` percent of all do not exceed; 0 if there are none."""
        if not self.count:
            return 0
        # Rounded before it is rounded up: 99.9 % of 1000 values are 999, whatever the binary fraction says.
        wanted = max(1, -int(-round(share * self.count / 100, 6) // 1))
        seen = 0
        for bucket, times in enumerate(self.counts):
            seen += times
            if seen >= wanted:
                return max(min(highest_of(bucket), self.maximum), self.minimum or 0)
        return self.maximum

    def pairs(self) -> list[tuple[int, int]]:
        """(largest value of the bucket, count) of those that are not empty."""
        return [(highest_of(bucket), times) for bucket, times in enumerate(self.counts) if times]

    def as_json(self) -> dict[str, object]:
        return {"min": self.minimum or 0, "max": self.maximum, "total": self.total, "buckets": self.pairs()}

    @classmethod
    def from_json(cls, found: dict[str, object]) -> Histogram:
        """What as_json() wrote, with nothing lost."""
        made = cls()
        buckets = found["buckets"]
        assert isinstance(buckets, list)
        for value, times in buckets:
            made.counts[bucket_of(int(value))] += int(times)
            made.count += int(times)
        if made.count:
            made.total, made.maximum = int(str(found["total"])), int(str(found["max"]))
            made.minimum = int(str(found["min"]))
        return made
