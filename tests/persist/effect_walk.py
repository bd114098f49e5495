"""Random commands of every type, for the property that the log gives the same data again."""

from __future__ import annotations

import random

LETTERS = "shltz"
FIELDS = ("f", "g", "h", "i", "j")
VALUES = ("1", "2.5", "x", "-7", "a longer value", "", "12345678901234567890")

# {k} key, {l} another one, {f} field or member, {v} value, {n} small number, {t} ms from now, {s} seconds, {at} a time.
# By the letter that most of their keys begin with; "*": any.
COMMANDS = {
    "s": """
        SET {k} {v} | SET {k} {v} EX {s} | SET {k} {v} PX {t} | SET {k} {v} PXAT {at} | SET {k} {v} KEEPTTL
        SET {k} {v} NX | SET {k} {v} XX GET | SET {k} {v} GET PX {t} | SET {k} {v} IFEQ {v} | SETNX {k} {v}
        SETEX {k} {s} {v} | PSETEX {k} {t} {v} | GETSET {k} {v} | GETDEL {k} | GET {k} | GETEX {k} PX {t}
        GETEX {k} PERSIST | GETEX {k} PXAT {at} | APPEND {k} {v} | SETRANGE {k} {n} {v} | INCR {k} | INCRBY {k} {n}
        DECRBY {k} {n} | INCRBYFLOAT {k} {n} | INCRBYFLOAT {k} 0.1 | MSET {k} {v} {l} {v} | MSETNX {k} {v} {l} {v}
        MSETEX 2 {k} {v} {l} {v} PX {t} | DELIFEQ {k} {v} | MSETEX 2 {k} {v} {l} {v} KEEPTTL | MSETEX 1 {k} {v} XX
        MSETEX 2 {k} {v} {k} {v} PXAT {at}
    """,
    "*": """
        DEL {k} | UNLINK {k} {l} | RENAME {k} {l} | RENAMENX {k} {l} | COPY {k} {l} | COPY {k} {l} REPLACE
        COPY {k} {l} DB 1 REPLACE | MOVE {k} 1 | EXPIRE {k} {s} | PEXPIRE {k} {t} NX | PEXPIRE {k} {t} GT
        PEXPIREAT {k} {at} | EXPIRE {k} -1 | PERSIST {k} | SWAPDB 0 1 | SELECT 1 | SELECT 0 | EXISTS {k} | TTL {k}
        TYPE {k} | SORT {k} ALPHA STORE {l} | SORT {k} BY nosort STORE {l} | MULTI | MULTI | EXEC | EXEC | EXEC
        DISCARD | WATCH {k} | UNWATCH
    """,
    "h": """
        HSET {k} {f} {v} {f} {v} | HSET {k} {f} {v} | HSETNX {k} {f} {v} | HMSET {k} {f} {v} | HDEL {k} {f} {f}
        HINCRBY {k} {f} {n} | HINCRBYFLOAT {k} {f} 0.1 | HEXPIRE {k} {s} FIELDS 1 {f}
        HPEXPIRE {k} {t} FIELDS 2 {f} {f} | HPEXPIREAT {k} {at} FIELDS 2 {f} {f} | HPEXPIRE {k} {t} NX FIELDS 1 {f}
        HPEXPIRE {k} {t} GT FIELDS 2 {f} {f} | HEXPIRE {k} 0 FIELDS 1 {f} | HPERSIST {k} FIELDS 2 {f} {f}
        HGETEX {k} PX {t} FIELDS 2 {f} {f} | HGETEX {k} PERSIST FIELDS 1 {f} | HGETEX {k} PXAT {at} FIELDS 1 {f}
        HGETDEL {k} FIELDS 2 {f} {f} | HSETEX {k} PX {t} FIELDS 1 {f} {v}
        HSETEX {k} KEEPTTL FIELDS 2 {f} {v} {f} {v} | HSETEX {k} FNX FIELDS 1 {f} {v} | HGETALL {k}
        HSETEX {k} FXX PXAT {at} FIELDS 1 {f} {v} | HSETEX {k} FIELDS 1 {f} {v} | HLEN {k}
    """,
    "l": """
        RPUSH {k} {v} {v} {v} | LPUSH {k} {v} {f} | LPUSHX {k} {v} | LPOP {k} | RPOP {k} {n}
        LINSERT {k} BEFORE {v} {v} | LSET {k} {n} {v} | LREM {k} {n} {v} | LTRIM {k} 0 {n} | LTRIM {k} {n} -1
        LMOVE {k} {l} LEFT RIGHT | RPOPLPUSH {k} {l} | LMPOP 2 {k} {l} LEFT COUNT {n} | BLPOP {k} {l} 0.001
        BRPOP {k} 0.001 | BLMOVE {k} {l} RIGHT LEFT 0.001 | BRPOPLPUSH {k} {l} 0.001
        BLMPOP 0.001 2 {k} {l} RIGHT COUNT {n}
    """,
    "t": """
        SADD {k} {f} {f} {v} | SADD {k} {n} | SREM {k} {f} {v} | SPOP {k} | SPOP {k} {n} | SMOVE {k} {l} {f}
        SUNIONSTORE {k} {l} {k} | SINTERSTORE {k} {l} {l} | SDIFFSTORE {k} {l} {k}
    """,
    "z": """
        ZADD {k} {n} {f} 2 {f} | ZADD {k} GT CH {n} {f} | ZADD {k} NX {n} {f} | ZADD {k} INCR 1.5 {f}
        ZINCRBY {k} 0.1 {f} | ZREM {k} {f} {f} | ZPOPMIN {k} | ZPOPMAX {k} {n} | ZMPOP 2 {k} {l} MIN COUNT {n}
        BZPOPMIN {k} {l} 0.001 | BZMPOP 0.001 1 {k} MAX | ZREMRANGEBYRANK {k} 0 {n} | ZREMRANGEBYSCORE {k} 0 {n}
        ZREMRANGEBYLEX {k} [f [h | ZUNIONSTORE {k} 2 {l} {k} WEIGHTS 2 3 | ZINTERSTORE {k} 1 {l}
        ZDIFFSTORE {k} 2 {l} {k} | ZRANGESTORE {k} {l} 0 {n}
    """,
}
RARE = ("FLUSHALL", "FLUSHDB")
GROUPS = {
    letter: [part.strip() for line in text.strip().splitlines() for part in line.split("|")]
    for letter, text in COMMANDS.items()
}
STRAY = 0.05  # of the keys are of another type


class Walk:
    def __init__(self, seed: int, now_ms: int) -> None:
        self.random = random.Random(seed)
        self.now_ms = now_ms

    def words(self) -> list[bytes]:
        if self.random.random() < 0.002:
            return [self.random.choice(RARE).encode()]
        letter = self.random.choice(list(GROUPS))
        chosen = self.random.choice(GROUPS[letter]).split()
        if letter == "*":
            letter = self.random.choice(LETTERS)
        return [self._word(word, letter).encode() for word in chosen]

    def _word(self, word: str, letter: str) -> str:
        pick = self.random
        match word:
            case "{k}" | "{l}":
                return (pick.choice(LETTERS) if pick.random() < STRAY else letter) + pick.choice("12")
            case "{f}":
                return pick.choice(FIELDS)
            case "{v}":
                return pick.choice(VALUES)
            case "{n}":
                return str(pick.randrange(5))
            case "{t}":
                return str(pick.choice((1, 3, 10, 100, 100_000)))
            case "{s}":
                return str(pick.choice((1, 100)))
            case "{at}":
                return str(self.now_ms + pick.choice((-1000, 0, 1, 10, 100_000)))
        return word
