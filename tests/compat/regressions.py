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
    "a key given twice with a moment that has passed expires in between": [
        (0, b"MSETEX", b"2", b"n1", b"9993", b"n1", b"b", b"EXAT", b"{s-5}"),
        (0, b"MSETEX", b"4", b"s2", b"a", b"s1", b"b", b"s2", b"c", b"n0", b"+1", b"PXAT", b"{ms-1000000}"),
        (0, b"SET", b"n1", b"live", b"EX", b"100"),
        (0, b"MSETEX", b"3", b"n1", b"a", b"n1", b"b", b"n1", b"c", b"EXAT", b"{s-5}"),
    ],
    "who flushes hears of it even with NOLOOP": [
        (1, b"CLIENT", b"TRACKING", b"ON", b"NOLOOP"),
        (1, b"FLUSHDB"),
    ],
    "SWAPDB takes numbers of 32 bits": [
        (0, b"SWAPDB", b"9223372036854775807", b"1"),
        (0, b"SWAPDB", b"1", b"-2147483649"),
        (0, b"SWAPDB", b"2147483647", b"1"),
    ],
}
