"""What a benchmark asks for: which commands in which shares, which keys how often, values of which sizes.

Commands are templates of words. `{key}` and `{counter}` are names of strings; `{hash}`, `{list}`, `{set}` and `{zset}`
each stand for up to some hundred values; `{field}` and `{member}` are parts of them; `{value}` and `{number}` are data.
One index, chosen by the distribution, decides name and part together, so the distribution is that of parts, too.
"""

from __future__ import annotations

import math
import random
import re
import string
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

PREFIX = "kvbench:"
PARTS = 100  # fields of a hash, members of a set or sorted set
LIST_SHARE = 1000  # keys a list
LETTERS = (string.ascii_letters + string.digits).encode()

COMMANDS = {
    "get": "GET {key}",
    "set": "SET {key} {value}",
    "setex": "SET {key} {value} EX 3600",
    "append": "APPEND {key} {value}",
    "strlen": "STRLEN {key}",
    "exists": "EXISTS {key}",
    "del": "DEL {key}",
    "incr": "INCR {counter}",
    "incrby": "INCRBY {counter} {number}",
    "lpush": "LPUSH {list} {value}",
    "rpush": "RPUSH {list} {value}",
    "lpop": "LPOP {list}",
    "rpop": "RPOP {list}",
    "lrange": "LRANGE {list} 0 99",
    "hset": "HSET {hash} {field} {value}",
    "hget": "HGET {hash} {field}",
    "hgetall": "HGETALL {hash}",
    "hincrby": "HINCRBY {hash} n {number}",
    "sadd": "SADD {set} {member}",
    "srem": "SREM {set} {member}",
    "sismember": "SISMEMBER {set} {member}",
    "zadd": "ZADD {zset} {number} {member}",
    "zincrby": "ZINCRBY {zset} {number} {member}",
    "zrank": "ZRANK {zset} {member}",
    "zscore": "ZSCORE {zset} {member}",
    "zrange": "ZRANGE {zset} 0 99",
    "ping": "PING",
}

# How each kind of value is filled beforehand: for every index, or for every so many.
FILLS = {
    "key": "SET {key} {value}",
    "hash": "HSET {hash} {field} {value}",
    "list": "RPUSH {list} {value}",
    "set": "SADD {set} {member}",
    "zset": "ZADD {zset} {number} {member}",
}
PLACE = re.compile(r"\{(\w+)\}")
PLACES = ("key", "counter", "hash", "list", "set", "zset", "field", "member", "value", "number")


class BadOption(ValueError):
    """An option makes no sense; the message says which and why."""


@dataclass(frozen=True)
class Operation:
    name: str
    words: tuple[str, ...]
    share: float


def read_mix(text: str) -> list[Operation]:
    """`get=80,set=20`, or templates: `GETRANGE {key} 0 9=50`. Shares are relative; without one it is 1."""
    found: list[Operation] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, share = part.rpartition("=") if "=" in part else (part, "", "1")
        name = name.strip()
        template = COMMANDS.get(name.lower()) if " " not in name else name
        if template is None:
            known = ", ".join(COMMANDS)
            raise BadOption(f"--mix: there is no {name!r}; there are {known}, and templates: 'GETEX {{key}} EX 60=1'")
        try:
            weight = float(share)
        except ValueError:
            raise BadOption(f"--mix: {share!r} in {part!r} is no number") from None
        if not (weight >= 0 and math.isfinite(weight)):
            raise BadOption(f"--mix: the share in {part!r} has to be 0 or more")
        for place in PLACE.findall(template):
            if place not in PLACES:
                places = ", ".join(f"{{{each}}}" for each in PLACES)
                raise BadOption(f"--mix: {{{place}}} in {name!r} stands for nothing; there are {places}")
        if weight:
            found.append(Operation(name.lower() if " " not in name else name, tuple(template.split()), weight))
    if not found:
        raise BadOption(f"--mix: {text!r} names no command")
    return found


def read_sizes(text: str) -> tuple[int, int]:
    """`32`, `1k` or `16-4096`: the least and the largest size of a value."""
    parts = text.split("-") if "-" in text.strip("-") else [text, text]
    sizes = []
    for part in parts:
        found = re.fullmatch(r"(\d+)\s*([kKmM]?)(?:i?[bB])?", part.strip())
        if not found or len(parts) != 2:
            raise BadOption(f"--value-size: {text!r} is neither a number of bytes (32, 4k) nor a range (16-4096)")
        sizes.append(int(found.group(1)) * {"": 1, "k": 1024, "m": 1024**2}[found.group(2).lower()])
    if sizes[0] > sizes[1]:
        raise BadOption(f"--value-size: {text!r} ends below where it begins")
    if sizes[1] > 512 * 1024**2:
        raise BadOption("--value-size: a value has at most 512 MiB")
    return sizes[0], sizes[1]


# --- which keys ---


def zipf(count: int, exponent: float, rng: random.Random) -> Callable[[], int]:
    """Ranks 0..count-1, rank r with a probability in proportion to (r+1)^-exponent.

    By rejection-inversion: a point below the integral of the continuous curve is inverted and taken when it lies below
    the histogram, too. No table, so ten million keys cost as little as ten; about one try in ten is rejected at most.
    """

    def integral(x: float) -> float:
        return math.log(x) if exponent == 1 else (x ** (1 - exponent) - 1) / (1 - exponent)

    def inverse(y: float) -> float:
        return math.exp(y) if exponent == 1 else max(1e-300, 1 + y * (1 - exponent)) ** (1 / (1 - exponent))

    low, high = integral(1.5) - 1, integral(count + 0.5)
    sure = 2 - inverse(integral(2.5) - 2**-exponent)

    def draw() -> int:
        while True:
            point = low + rng.random() * (high - low)
            x = inverse(point)
            rank = min(max(int(x + 0.5), 1), count)
            if rank - x <= sure or point >= integral(rank + 0.5) - rank**-exponent:
                return rank - 1

    return draw


def scatter(count: int) -> int:
    """A factor that spreads ranks over all indexes without two meeting: the often-asked keys are no neighbours."""
    factor = int(count * 0.6180339887) | 1
    while math.gcd(factor, count) != 1:
        factor += 2
    return factor


def chooser(distribution: str, count: int, seed: int, part: int = 0, parts: int = 1) -> Callable[[], int]:
    """A function that gives the next index of 0..count-1. `part` of `parts` says where a sequence begins."""
    rng = random.Random(f"{seed}/{part}")
    kind, *numbers = distribution.split(":")
    try:
        values = [float(number) for number in numbers]
    except ValueError:
        raise BadOption(f"--distribution: {distribution!r} has a part that is no number") from None
    if kind == "uniform" and not values:
        return lambda: rng.randrange(count)
    if kind == "sequential" and not values:
        at = count * part // parts - 1

        def following() -> int:
            nonlocal at
            at = (at + 1) % count
            return at

        return following
    if kind == "zipf" and len(values) <= 1:
        exponent = values[0] if values else 0.99
        if not 0 < exponent <= 10:
            raise BadOption("--distribution: the exponent of zipf:EXPONENT lies between 0 and 10")
        rank, factor = zipf(count, exponent, rng), scatter(count)
        return lambda: rank() * factor % count
    if kind == "hotspot" and len(values) in (0, 2):
        keys, calls = values or [0.2, 0.8]
        if not (0 < keys < 1 and 0 <= calls <= 1):
            raise BadOption("--distribution: hotspot:KEYS:CALLS are shares between 0 and 1, such as hotspot:0.2:0.8")
        hot = max(1, min(count - 1, round(count * keys)))

        def hotspot() -> int:
            if rng.random() < calls or hot >= count:
                return rng.randrange(min(hot, count))
            return rng.randrange(hot, count)

        return hotspot
    raise BadOption(
        f"--distribution: {distribution!r} is none of uniform, sequential, zipf[:EXPONENT], hotspot[:KEYS:CALLS]"
    )


# --- commands ---


@dataclass(frozen=True)
class Workload:
    """Everything that decides which commands are sent, and nothing about where to."""

    mix: str = "get=80,set=20"
    keys: int = 100_000
    distribution: str = "uniform"
    value_size: str = "32"
    seed: int = 1

    def check(self) -> None:
        if self.keys < 1:
            raise BadOption("--keys has to be 1 or more")
        read_mix(self.mix)
        read_sizes(self.value_size)
        chooser(self.distribution, self.keys, 0)

    def values(self, part: int) -> list[bytes]:
        """Values of the wanted sizes, in no order; printable, and of no pattern that compresses to nothing."""
        low, high = read_sizes(self.value_size)
        rng = random.Random(f"{self.seed}/values/{part}")
        count = 64 if high <= 65536 else 4
        letters = bytes(rng.choice(LETTERS) for _ in range(4096))
        found = []
        for number in range(count):
            size = low + (high - low) * number // max(count - 1, 1)
            start = rng.randrange(2048)
            found.append((letters[start:] + letters * (size // 4096 + 1))[:size])
        rng.shuffle(found)
        return found

    def fillers(self, index: int, value: bytes, number: int) -> dict[str, bytes]:
        return {
            "key": b"%b%012d" % (PREFIX.encode(), index),
            "counter": b"%bc:%010d" % (PREFIX.encode(), index),
            "hash": b"%bh:%010d" % (PREFIX.encode(), index // PARTS),
            "set": b"%bs:%010d" % (PREFIX.encode(), index // PARTS),
            "zset": b"%bz:%010d" % (PREFIX.encode(), index // PARTS),
            "list": b"%bl:%010d" % (PREFIX.encode(), index // LIST_SHARE),
            "field": b"field:%02d" % (index % PARTS),
            "member": b"member:%02d" % (index % PARTS),
            "value": value,
            "number": b"%d" % number,
        }

    @staticmethod
    def words(template: Sequence[str], fillers: dict[str, bytes]) -> tuple[bytes, ...]:
        return tuple(
            fillers[word[1:-1]]
            if word[0] == "{" and word[1:-1] in fillers
            else PLACE.sub(lambda found: fillers[found.group(1)].decode(), word).encode()
            for word in template
        )

    def operations(self, count: int, part: int = 0, parts: int = 1) -> Iterator[tuple[str, tuple[bytes, ...]]]:
        """`count` commands as (name, words), the same ones for the same seed and part."""
        mix = read_mix(self.mix)
        rng = random.Random(f"{self.seed}/mix/{part}")
        following = chooser(self.distribution, self.keys, self.seed, part, parts)
        values = self.values(part)
        shares = [operation.share for operation in mix]
        for number, operation in enumerate(rng.choices(mix, shares, k=count)):
            fillers = self.fillers(following(), values[number % len(values)], rng.randrange(1_000_000))
            yield operation.name, self.words(operation.words, fillers)

    def fill(self) -> Iterator[tuple[bytes, ...]]:
        """The commands that make the data which the mix asks for."""
        used = {place for operation in read_mix(self.mix) for word in operation.words for place in PLACE.findall(word)}
        values = self.values(-1)
        for index in range(self.keys):
            for place in FILLS:
                if place in used:
                    fillers = self.fillers(index, values[index % len(values)], index * 7919 % 1_000_003)
                    yield self.words(FILLS[place].split(), fillers)

    def names(self) -> Iterator[bytes]:
        """Every key that the benchmark may have made, to be removed."""
        for index in range(self.keys):
            fillers = self.fillers(index, b"", 0)
            yield from (fillers["key"], fillers["counter"])
            if index % PARTS == 0:
                yield from (fillers["hash"], fillers["set"], fillers["zset"], fillers["list"])
