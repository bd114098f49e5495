"""Values of every type and encoding, made by commands: what DUMP, snapshots and logs have to carry."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

Words = tuple[str | bytes | int | float, ...]
NUMBERS = (
    0,
    -1,
    12,
    127,
    -128,
    128,
    4095,
    -4096,
    32767,
    -32769,
    8388607,
    2**31 - 1,
    -(2**31),
    2**31,
    2**63 - 1,
    -(2**63),
)


def text(rng: random.Random, longest: int) -> bytes:
    """Random bytes, words that compress, and numbers, canonical and almost so."""
    kind = rng.randrange(5)
    size = rng.randrange(longest + 1)
    if kind == 0:
        return rng.randbytes(size)
    if kind == 1:
        return (b"abcd" * (size // 4 + 1))[:size]
    if kind == 2:
        return b"%d" % rng.choice(NUMBERS)
    if kind == 3:
        return rng.choice((b"007", b"+5", b"-0", b" 1", b"1.5", b"", b"\x00", b"9223372036854775808", b"-2147483649"))
    return b"%d:%s" % (rng.randrange(10**6), bytes(rng.choices(b"xyz", k=size)))


def strings(rng: random.Random, key: str) -> Iterator[Words]:
    yield ("SET", key, text(rng, rng.choice((5, 30, 300, 70_000))))


def lists(rng: random.Random, key: str) -> Iterator[Words]:
    longest = rng.choice((10, 100, 9_000))
    for _ in range(rng.choice((1, 5, 300 if longest < 9_000 else 40))):
        yield (rng.choice(("RPUSH", "LPUSH")), key, text(rng, longest), text(rng, longest))


def sets(rng: random.Random, key: str) -> Iterator[Words]:
    small = rng.choice((True, False))
    for _ in range(rng.choice((1, 20, 700))):
        yield ("SADD", key, rng.randrange(-(10**6), 10**6) if small else text(rng, 60))


def hashes(rng: random.Random, key: str) -> Iterator[Words]:
    longest = rng.choice((20, 200))
    for _ in range(rng.choice((1, 20, 600))):
        yield ("HSET", key, text(rng, 30), text(rng, longest))


def sorted_sets(rng: random.Random, key: str) -> Iterator[Words]:
    for _ in range(rng.choice((1, 20, 300))):
        score = rng.choice((rng.randrange(100), rng.random() * 1e9, "inf", "-inf", "-0.0", 1e-300, 0.1))
        yield ("ZADD", key, score, text(rng, 30))


MAKERS: dict[str, Callable[[random.Random, str], Iterator[Words]]] = {
    "string": strings,
    "list": lists,
    "set": sets,
    "hash": hashes,
    "zset": sorted_sets,
}
