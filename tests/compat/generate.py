"""Random command sequences from the declarations: mostly valid, often on the edge, sometimes plainly wrong.

A sequence is a list of steps `(connection, word, word, ...)`. A few words are computed when they are sent, so that
both servers get the same one and a sequence can be replayed later:

  {s+100}   the Unix time in seconds, plus 100          {ms-5}   the same in milliseconds

The pseudo-command `!drop` closes the connection (the next command opens a new one), and `!sleep MS` lets time pass
(and then touches all keys, so that what has expired is gone on both sides).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from tests.compat.grammar import Arg, Command

Step = tuple[int | bytes, ...]  # (connection: int, *words: bytes)

DATABASES: Final = 4
KEYS: Final[dict[str, list[bytes]]] = {
    "string": [b"s0", b"s1", b"s2", b"n0", b"n1"],
    "list": [b"l0", b"l1", b"l2"],
    "set": [b"t0", b"t1", b"t2"],
    "hash": [b"h0", b"h1", b"h2"],
    "sorted-set": [b"z0", b"z1", b"z2"],
    "other": [
        b"m0",
        b"m1",
        b"",
        b"k\r\n\x00\xff",
        b"w_a",
        b"a key with a rather long name, longer than embedded strings are",
    ],
}
ALL_KEYS: Final = [key for keys in KEYS.values() for key in keys]
MEMBERS: Final = [b"a", b"b", b"c", b"d", b"e", b"f", b"1", b"2", b"3", b"10", b"-5", b"7"]
ODD: Final = [
    b"",
    b"\r\n",
    b"x\r\n+OK\r\n",
    b"\x00",
    b"nul\x00inside",
    b"\xff\xfe",
    b"seventeen bytes..",
    b"x" * 44,
    b"y" * 45,
    b"z" * 65,
    b"*",
    b"3.0",
    b"-0",
    b"+1",
    b"01",
    b" 1",
    b"1 ",
    b"1e3",
    b"0x10",
    b"nan",
    b"inf",
    b"-inf",
    b"1e308",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"18446744073709551616",
    b"0.1",
    b"1.7976931348623157e+308",
    b"123456789012345678901234567890",
]
LONG: Final = b"0123456789abcdef" * 320  # 5 KB
SMALL_INTEGERS: Final = [b"0", b"1", b"-1", b"2", b"3", b"-2", b"5", b"10", b"100", b"-3", b"-100"]
# No large negative number but LONG_MIN: SRANDMEMBER and its sisters would really return that many elements.
EDGE_INTEGERS: Final = [
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"-9223372036854775809",
    b"18446744073709551615",
    b"4294967296",
    b"2147483648",
    b"2147483647",
    b"abc",
    b"",
    b"1.5",
    b"+1",
    b"01",
    b" 1",
    b"-0",
    b"0x1",
    b"1e2",
]
DOUBLES: Final = [
    b"0",
    b"1",
    b"2",
    b"3",
    b"1.5",
    b"-1.5",
    b"-0",
    b"0.1",
    b"3.14159",
    b"1e3",
    b"-7",
    b"10",
    b"100",
    b"2",
    b"1",
    b"1e-5",
    b"17",
    b"123456789",
]
EDGE_DOUBLES: Final = [
    b"inf",
    b"-inf",
    b"+inf",
    b"nan",
    b"-nan",
    b"Infinity",
    b"1e308",
    b"-1e308",
    b"1e309",
    b"1e-320",
    b"5e-324",
    b"9007199254740993",
    b"0x1p3",
    b"abc",
    b"",
    b" 1",
    b"1 ",
    b"1.0e",
    b"9223372036854775807",
    b"0.30000000000000004",
    b"1e22",
    b"123456789012345680000",
    b".5",
    b"5.",
    b"1,5",
]
SCORE_BOUNDS: Final = [
    b"-inf",
    b"+inf",
    b"inf",
    b"0",
    b"1",
    b"(1",
    b"2",
    b"(2",
    b"3",
    b"10",
    b"-5",
    b"(-inf",
    b"(+inf",
    b"1.5",
    b"(nan",
    b"nan",
    b"(",
    b"abc",
    b"((1",
]
LEX_BOUNDS: Final = [b"-", b"+", b"[a", b"(a", b"[b", b"(c", b"[", b"(", b"[e", b"[1", b"a", b"", b"[\xff", b"++"]
PATTERNS: Final = [
    b"*",
    b"?0",
    b"[shz]*",
    b"[^s]*",
    b"h[0-1]",
    b"a*",
    b"[a-",
    b"\\*",
    b"",
    b"*\r\n*",
    b"[b-a]",
    b"?",
    b"**",
    b"z\\0",
    b"[\\]]",
    b"s[2-0]",
]
SORT_PATTERNS: Final = [b"w_*", b"nosort", b"#", b"h*->a", b"h0->*", b"s*", b"*", b"", b"h*->", b"*->*"]
CHANNELS: Final = [b"ch0", b"ch1", b"ch2", b"", b"odd\r\nchannel"]
TYPES: Final = [b"string", b"list", b"set", b"zset", b"hash", b"stream", b"STRING", b"nothing"]
TIMEOUTS: Final = [
    b"0.01",
    b"0.001",
    b"1e-3",
    b"-1",
    b"-0.5",
    b"abc",
    b"",
    b"nan",
    b"inf",
    b"1e400",
    b" 0.01",
    b"99999999999999999999",
]
CONFIG_VALUES: Final[dict[bytes, list[bytes]]] = {
    b"hash-max-listpack-entries": [b"0", b"1", b"4", b"8", b"512", b"-1", b"abc"],
    b"hash-max-ziplist-entries": [b"4", b"8"],
    b"hash-max-listpack-value": [b"0", b"8", b"16", b"64", b"abc"],
    b"set-max-intset-entries": [b"0", b"3", b"8", b"512", b"-1"],
    b"set-max-listpack-entries": [b"0", b"4", b"8", b"128"],
    b"set-max-listpack-value": [b"0", b"8", b"16", b"64"],
    b"zset-max-listpack-entries": [b"0", b"4", b"8", b"128"],
    b"zset-max-ziplist-value": [b"8", b"64"],
    b"zset-max-listpack-value": [b"0", b"8", b"16", b"64"],
    b"list-max-listpack-size": [b"4", b"8", b"-2", b"-1", b"128"],
    b"list-max-ziplist-size": [b"4", b"-2"],
    b"list-compress-depth": [b"0", b"1"],
    b"notify-keyspace-events": [b"KEA", b"AKE", b"KEAn", b"Kg$", b"E$lshzxe", b"", b"KEAm", b"q"],
}
CONFIG_NAMES: Final = [
    *CONFIG_VALUES,
    b"maxmemory",
    b"maxmemory-policy",
    b"databases",
    b"timeout",
    b"proto-max-bulk-len",
    b"requirepass",
    b"no-such-parameter",
    b"hash-max-listpack-*",
    b"SET-MAX-*",
]
SUBSCRIBING: Final = {b"SUBSCRIBE", b"PSUBSCRIBE", b"SSUBSCRIBE", b"UNSUBSCRIBE", b"PUNSUBSCRIBE", b"SUNSUBSCRIBE"}
BLOCKING_LAST: Final = {b"BLPOP", b"BRPOP", b"BLMOVE", b"BRPOPLPUSH", b"BZPOPMIN", b"BZPOPMAX"}
BLOCKING_FIRST: Final = {b"BLMPOP", b"BZMPOP"}


def blocks_too_long(words: list[bytes]) -> bool:
    """Whether a blocking command could wait for ever, or longer than a test likes to."""
    name = words[0].upper()
    if name not in BLOCKING_LAST | BLOCKING_FIRST or len(words) < 2:
        return False
    word = words[-1] if name in BLOCKING_LAST else words[1]
    try:
        seconds = float(word)
    except ValueError:
        return False
    return 0 <= seconds < 1e15 and not 0 < seconds <= 0.05


@dataclass
class Generator:
    """Makes sequences for one set of commands. Equal seeds and equal declarations give equal sequences."""

    rng: random.Random
    commands: list[Command]
    mutation: float = 0.12
    by_group: dict[str, list[Command]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for command in self.commands:
            self.by_group.setdefault(command.group, []).append(command)

    # Sequences

    def episode(self, length: int) -> list[Step]:
        """One sequence for freshly flushed servers."""
        steps = self._populate()
        while len(steps) < length:
            steps += self._some_steps()
        return steps

    def _populate(self) -> list[Step]:
        """Keys of every type, in the small and in the big form."""
        rng, steps = self.rng, list[Step]()
        for _ in range(12):
            kind = rng.choice(list(self.by_group) or ["string"])
            key = rng.choice(KEYS.get(kind, KEYS["string"]))
            count = rng.choice([1, 3, 6, 20, 60])
            many = [self._member() if count < 10 else b"e%d" % i for i in range(count)]
            if kind == "list":
                steps.append((0, b"RPUSH", key, *many))
            elif kind == "set":
                numbers = [b"%d" % rng.randint(-100, 100) for _ in range(count)]
                steps.append((0, b"SADD", key, *(numbers if rng.random() < 0.5 else many)))
            elif kind == "hash":
                steps.append((0, b"HSET", key, *(word for item in many for word in (item, self._value()))))
            elif kind == "sorted-set":
                steps.append((0, b"ZADD", key, *(word for item in many for word in (rng.choice(DOUBLES), item))))
            else:
                steps.append((0, b"SET", key, self._value()))
        return steps

    def _some_steps(self) -> list[Step]:
        rng = self.rng
        draw = rng.random()
        if draw < 0.03 and "transactions" in self.by_group:
            return self._transaction()
        if draw < 0.045:
            return [(0, b"SELECT", b"%d" % rng.choice([0, 0, 0, 1, 2, DATABASES - 1]))]
        if draw < 0.06:
            return self._short_ttl()
        if draw < 0.07 and "server" in self.by_group:
            return [(0, b"SWAPDB", b"0", rng.choice([b"1", b"0", b"2"]))] if rng.random() < 0.5 else [(0, b"FLUSHDB")]
        if draw < 0.09 and "server" in self.by_group:
            name = rng.choice(list(CONFIG_VALUES))
            return [
                (0, b"CONFIG", b"SET", name, rng.choice(CONFIG_VALUES[name])),
                (0, b"CONFIG", b"GET", rng.choice(CONFIG_NAMES)),
            ]
        if draw < 0.10 and "connection" in self.by_group:
            return self._tracking()
        connection = 1 if rng.random() < 0.15 else 0
        return [(connection, *self.command())]

    def _short_ttl(self) -> list[Step]:
        key = self._key("generic")
        first: Step = (
            (0, b"PEXPIRE", key, b"5") if self.rng.random() < 0.6 else (0, b"SET", key, self._value(), b"PX", b"5")
        )
        return [first, (0, b"!sleep", b"15")]

    def _transaction(self) -> list[Step]:
        rng, steps = self.rng, list[Step]()
        if rng.random() < 0.6:
            steps.append((0, b"WATCH", *(self._key("generic") for _ in range(rng.randint(1, 3)))))
            if rng.random() < 0.5:
                steps.append((rng.choice([0, 1]), *self.command()))
            if rng.random() < 0.1:
                steps.append((0, b"UNWATCH"))
        steps.append((0, b"MULTI"))
        for _ in range(rng.randint(0, 5)):
            words = self.command()
            if words[0].upper() not in SUBSCRIBING | {b"SPOP", b"RESET", b"MULTI", b"EXEC", b"DISCARD", b"WATCH"}:
                steps.append((0, *words))
            if rng.random() < 0.1:
                steps.append((1, *self.command()))
        if rng.random() < 0.05:
            steps.append((0, rng.choice([b"MULTI", b"WATCH"]), *([b"s0"] if rng.random() < 0.7 else [])))
        steps.append((0, rng.choice([b"EXEC", b"EXEC", b"EXEC", b"DISCARD", b"RESET"])))
        return steps

    def _tracking(self) -> list[Step]:
        rng = self.rng
        options = rng.choice([[], [], [b"BCAST"], [b"BCAST", b"PREFIX", b"s"], [b"NOLOOP"], [b"OPTIN"], [b"OPTOUT"]])
        steps: list[Step] = [(1, b"CLIENT", b"TRACKING", b"ON", *options)]
        for _ in range(rng.randint(1, 4)):
            if options and options[0] in (b"OPTIN", b"OPTOUT") and rng.random() < 0.5:
                steps.append((1, b"CLIENT", b"CACHING", b"YES" if options[0] == b"OPTIN" else b"NO"))
            steps.append((1, *self.command()))
            steps.append((0, *self.command()))
        # A new connection: Valkey keeps what this one has read, and goes on where it stopped when tracking is on again.
        return [*steps, (1, b"CLIENT", b"TRACKING", b"OFF"), (1, b"!drop")]

    # One command

    def command(self) -> list[bytes]:
        """The words of one command; never one that waits long."""
        rng = self.rng
        while True:
            group = rng.choice(list(self.by_group))
            command = rng.choice(self.by_group[group])
            words = self.valid(command)
            if rng.random() < self.mutation:
                words = self._mutate(words, len(command.words))
            if not blocks_too_long(words) and len(words[0]) > 0:
                return words

    def valid(self, command: Command) -> list[bytes]:
        """A command as its declaration says, with values that are often odd."""
        words = [self._spelling(word) for word in command.words]
        start = len(words)
        if command.name in ("command|getkeys", "command|getkeysandflags", "command|info"):
            return words + self._about_commands(command.name)
        if command.name in ("pubsub|numsub", "pubsub|shardnumsub"):
            return words + self.rng.sample(CHANNELS, self.rng.randint(0, 3))
        for arg in self._ordered(command.args):
            self._emit(arg, command, words)
        self._fix_counts(words, start)
        return words

    def _about_commands(self, name: str) -> list[bytes]:
        other = self.rng.choice([command for command in self.commands if not command.name.startswith("command|")])
        if name == "command|info":
            return [self._spelling(other.name.encode())]
        return self.valid(other)

    def _ordered(self, args: tuple[Arg, ...]) -> list[Arg]:
        """The arguments, with adjacent optional tokens in any order and now and then one of them twice."""
        rng = self.rng
        out: list[Arg] = []
        run: list[Arg] = []
        for arg in (*args, None):
            if arg is not None and arg.optional and not arg.multiple:
                run.append(arg)
                continue
            if len(run) > 1 and rng.random() < 0.4:
                rng.shuffle(run)
            if run and rng.random() < 0.05:
                run.append(rng.choice(run))
            out += run
            run = []
            if arg is not None:
                out.append(arg)
        return out

    def _emit(self, arg: Arg, command: Command, words: list[bytes]) -> None:
        rng = self.rng
        if arg.optional and rng.random() < 0.55:
            return
        times = rng.choice([1, 1, 1, 2, 2, 3, 4]) if arg.multiple else 1
        for index in range(times):
            if arg.token and arg.type != "pure-token" and (index == 0 or arg.multiple_token):
                words.append(self._spelling(arg.token.encode()))
            self._emit_once(arg, command, words)

    def _emit_once(self, arg: Arg, command: Command, words: list[bytes]) -> None:
        if arg.type == "pure-token":
            words.append(self._spelling(arg.token.encode()))
        elif arg.type == "oneof":
            for child in self.rng.sample(arg.children, 2 if self.rng.random() < 0.04 and len(arg.children) > 1 else 1):
                self._emit(child, command, words)
        elif arg.type == "block":
            for child in arg.children:
                self._emit(child, command, words)
        else:
            words.append(self._word(arg, command))

    def _spelling(self, word: bytes) -> bytes:
        draw = self.rng.random()
        return word if draw < 0.85 else word.lower() if draw < 0.95 else word.title()

    def _fix_counts(self, words: list[bytes], start: int) -> None:
        """Replace the marks that `_word` left for numkeys and numfields by the right number, most of the time."""
        for index in range(start, len(words)):
            mark = words[index]
            if mark not in (b"{keys}", b"{fields}", b"{pairs}"):
                continue
            count = 0
            while index + 1 + count < len(words) and not self._is_option(words[index + 1 + count]):
                count += 1
            if mark == b"{pairs}":
                count //= 2
            draw = self.rng.random()
            words[index] = b"%d" % count if draw < 0.88 else b"%d" % (count + 1) if draw < 0.91 else b"%d" % (count - 1)
            if draw > 0.94:
                words[index] = self.rng.choice([b"0", b"-1", *EDGE_INTEGERS])

    @staticmethod
    def _is_option(word: bytes) -> bool:
        return word.upper() in (
            b"WEIGHTS",
            b"AGGREGATE",
            b"WITHSCORES",
            b"LIMIT",
            b"LEFT",
            b"RIGHT",
            b"MIN",
            b"MAX",
            b"COUNT",
            b"NX",
            b"XX",
            b"EX",
            b"PX",
            b"EXAT",
            b"PXAT",
            b"KEEPTTL",
        )

    # Words

    def _key(self, group: str) -> bytes:
        rng = self.rng
        if group in KEYS and rng.random() < 0.8:
            return rng.choice(KEYS[group])
        return rng.choice(ALL_KEYS)

    def _member(self) -> bytes:
        draw = self.rng.random()
        return self.rng.choice(MEMBERS) if draw < 0.85 else self.rng.choice(ODD) if draw < 0.995 else LONG

    def _value(self) -> bytes:
        rng = self.rng
        draw = rng.random()
        if draw < 0.4:
            return rng.choice(MEMBERS)
        if draw < 0.6:
            return b"%d" % rng.choice(
                [rng.randint(-10, 20), rng.randint(-(1 << 63), (1 << 63) - 1), rng.randint(9990, 10010)]
            )
        if draw < 0.98:
            return rng.choice(ODD)
        return LONG

    def _integer(self, edge: float = 0.12) -> bytes:
        return self.rng.choice(EDGE_INTEGERS if self.rng.random() < edge else SMALL_INTEGERS)

    def _time(self, name: str) -> bytes:
        """A TTL or a point in time that is either long past or far away: nothing expires while a reply is on its
        way.
        """
        rng = self.rng
        if rng.random() < 0.2:
            return self._integer(0.6) if rng.random() < 0.5 else rng.choice([b"0", b"-1", b"1", b"-100"])
        if "unix" in name or name.endswith("at"):
            unit = "ms" if "milli" in name else "s"
            return f"{{{unit}{rng.choice([100, 5000, -5, -1000]) * (1000 if unit == 'ms' else 1):+d}}}".encode()
        return b"%d" % (rng.choice([100, 1000, 86400]) * (1000 if "milli" in name else 1))

    def _word(self, arg: Arg, command: Command) -> bytes:
        name = arg.name
        if name in ("numkeys", "numfields"):
            return (
                b"{pairs}" if command.name in ("hsetex", "msetex") else b"{keys}" if name == "numkeys" else b"{fields}"
            )
        special = _WORDS.get((command.name, name)) or _WORDS.get(("", name))
        if special is not None:
            return special(self)
        if arg.type == "key":
            return self._key(command.group)
        if arg.type == "pattern":
            return self.rng.choice(PATTERNS)
        if arg.type == "unix-time" or name in ("seconds", "milliseconds"):
            return self._positive_time(name)
        if arg.type == "integer":
            return self._integer()
        if arg.type == "double":
            return self.rng.choice(EDGE_DOUBLES if self.rng.random() < 0.15 else DOUBLES)
        return self._member() if name in ("member", "element", "field", "pivot") else self._value()

    def _positive_time(self, name: str) -> bytes:
        word = self._time(name)
        # One second or less would race with the next command.
        return b"2000000" if word in (b"1", b"2", b"3", b"5", b"10", b"100") else word

    # Damage

    def _mutate(self, words: list[bytes], keep: int) -> list[bytes]:
        rng, words = self.rng, list(words)
        kind = rng.randrange(7)
        at = rng.randrange(keep, len(words)) if len(words) > keep else 0
        if kind == 0 and at:
            del words[at]
        elif kind == 1:
            words.append(self._value())
        elif kind == 2 and at:
            words.insert(at, words[at])
        elif kind == 3 and at:
            words[at] = rng.choice(EDGE_INTEGERS + EDGE_DOUBLES + ODD)
        elif kind == 4 and at:
            other = rng.randrange(keep, len(words))
            words[at], words[other] = words[other], words[at]
        elif kind == 5:
            words = words[: keep + rng.randrange(2)]
        else:
            words.append(
                rng.choice(
                    [
                        b"NX",
                        b"XX",
                        b"GT",
                        b"COUNT",
                        b"LIMIT",
                        b"WITHSCORES",
                        b"GET",
                        b"EX",
                        b"KEEPTTL",
                        b"MATCH",
                        b"FIELDS",
                    ]
                )
            )
        return words


def _bound(generator: Generator) -> bytes:
    rng = generator.rng
    return rng.choice(rng.choice([SCORE_BOUNDS, SCORE_BOUNDS, LEX_BOUNDS, SMALL_INTEGERS]))


def _pick(pool: list[bytes]) -> Callable[[Generator], bytes]:
    return lambda generator: generator.rng.choice(pool)


_WORDS: Final[dict[tuple[str, str], Callable[[Generator], bytes]]] = {
    ("zrange", "start"): _bound,
    ("zrange", "stop"): _bound,
    ("zrangestore", "min"): _bound,
    ("zrangestore", "max"): _bound,
    ("zcount", "min"): _pick(SCORE_BOUNDS),
    ("zcount", "max"): _pick(SCORE_BOUNDS),
    ("zrangebyscore", "min"): _pick(SCORE_BOUNDS),
    ("zrangebyscore", "max"): _pick(SCORE_BOUNDS),
    ("zrevrangebyscore", "min"): _pick(SCORE_BOUNDS),
    ("zrevrangebyscore", "max"): _pick(SCORE_BOUNDS),
    ("zremrangebyscore", "min"): _pick(SCORE_BOUNDS),
    ("zremrangebyscore", "max"): _pick(SCORE_BOUNDS),
    ("zlexcount", "min"): _pick(LEX_BOUNDS),
    ("zlexcount", "max"): _pick(LEX_BOUNDS),
    ("zrangebylex", "min"): _pick(LEX_BOUNDS),
    ("zrangebylex", "max"): _pick(LEX_BOUNDS),
    ("zrevrangebylex", "min"): _pick(LEX_BOUNDS),
    ("zrevrangebylex", "max"): _pick(LEX_BOUNDS),
    ("zremrangebylex", "min"): _pick(LEX_BOUNDS),
    ("zremrangebylex", "max"): _pick(LEX_BOUNDS),
    ("sort", "by-pattern"): _pick(SORT_PATTERNS),
    ("sort", "get-pattern"): _pick(SORT_PATTERNS),
    ("sort_ro", "by-pattern"): _pick(SORT_PATTERNS),
    ("sort_ro", "get-pattern"): _pick(SORT_PATTERNS),
    ("scan", "type"): _pick(TYPES),
    ("", "cursor"): _pick(
        [b"0", b"0", b"0", b"0", b"1", b"17", b"18446744073709551615", b"abc", b"-1", b"18446744073709551616"]
    ),
    ("", "timeout"): lambda generator: generator.rng.choice(
        TIMEOUTS[:3] if generator.rng.random() < 0.75 else TIMEOUTS
    ),
    ("", "channel"): _pick(CHANNELS),
    ("", "shardchannel"): _pick(CHANNELS),
    ("", "index"): lambda generator: generator._integer(),
    # Not LONG_MIN: Valkey narrows it and finds an element.
    ("lset", "index"): _pick([*SMALL_INTEGERS, b"9223372036854775807", b"9223372036854775808", b"abc", b"", b"1.5"]),
    ("lindex", "index"): _pick([*SMALL_INTEGERS, b"9223372036854775807", b"9223372036854775808", b"abc", b"", b"1.5"]),
    ("select", "index"): _pick([b"0", b"0", b"0", b"1", b"2", b"16", b"-1", b"abc", b"4294967296"]),
    ("swapdb", "index1"): _pick([b"0", b"1", b"16", b"abc"]),
    ("swapdb", "index2"): _pick([b"0", b"1", b"2", b"-1", b"x"]),
    ("move", "db"): _pick([b"0", b"1", b"2", b"16", b"-1", b"abc"]),
    ("copy", "destination-db"): _pick([b"0", b"1", b"2", b"16", b"-1", b"abc"]),
    ("", "client-id"): _pick([b"0", b"-1", b"abc", b"99999999"]),
    ("", "section"): _pick([b"server", b"nothing"]),
    ("setrange", "offset"): _pick(
        [b"0", b"1", b"5", b"44", b"100", b"5000", b"-1", b"536870912", b"9223372036854775807", b"abc"]
    ),
    ("client|setname", "connection-name"): _pick([b"name", b"", b"with space", b"new\nline", b"\xff", b"other"]),
    ("client|setinfo", "libname"): _pick([b"lib", b"", b"with space", b"l(v)"]),
    ("client|setinfo", "libver"): _pick([b"1.0", b"", b"with space"]),
    ("", "username"): _pick([b"default", b"nobody"]),
}
