"""Sequences on which kvcore once differed from Valkey, as the differential runner printed them. They stay for ever."""

from __future__ import annotations

from tests.compat.generate import Step

REGRESSIONS: dict[str, list[Step]] = {
    "a subscription to shard channels is counted apart": [
        (0, b"PSUBSCRIBE", b"*"),
        (0, b"SSUBSCRIBE", b"ch"),
        (0, b"SUNSUBSCRIBE", b"ch"),
        (0, b"GET", b"k"),
        (0, b"PUNSUBSCRIBE"),
        (0, b"GET", b"k"),
    ],
}
