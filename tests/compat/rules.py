"""Where two correct servers may answer differently, and how their answers are compared there.

Everything that is not in the table is compared byte for byte. An error reply is always compared byte for byte. Each
rule says why it is needed; a rule without a reason would only hide bugs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.compat.resp import Reply

TTL_TOLERANCE_MS: Final = 1500


@dataclass(frozen=True, slots=True)
class Context:
    """What a rule may ask: the words of the command, and about a key on the reference server."""

    words: tuple[bytes, ...]
    encoding: Callable[[bytes], str]
    one_score: Callable[[bytes], bool] = lambda key: True  # whether all members of a sorted set have the same score
    in_exec: bool = False
    sorted_before: bool = False  # a SORT has run: Valkey turns the sorted set that it reads into a skiplist
    strict: bool = True  # False: a set's listpack may have been filled from a hash table, in its order


Compare = Callable[[Reply, Reply, Context], bool]


@dataclass(frozen=True, slots=True)
class Rule:
    compare: Compare
    reason: str


def multiset(a: Reply, b: Reply, _: Context) -> bool:
    return a.kind == b.kind and sorted(item.encode() for item in a.items) == sorted(item.encode() for item in b.items)


def _pairs(reply: Reply) -> list[tuple[bytes, ...]]:
    if reply.items and all(item.kind == b"*" for item in reply.items):
        return sorted((item.encode(),) for item in reply.items)
    encoded = [item.encode() for item in reply.items]
    return sorted(zip(encoded[::2], encoded[1::2], strict=False))


def pairs(a: Reply, b: Reply, _: Context) -> bool:
    return a.kind == b.kind and len(a.items) == len(b.items) and _pairs(a) == _pairs(b)


def _small(context: Context) -> bool:
    """Whether the key is in an encoding whose order is defined. Unknown inside EXEC, where later commands may have
    changed it.
    """
    return (
        not context.in_exec and len(context.words) > 1 and context.encoding(context.words[1]) in ("listpack", "intset")
    )


def unordered_if_hashtable(a: Reply, b: Reply, context: Context) -> bool:
    return multiset(a, b, context) and not _small(context)


def pairs_if_hashtable(a: Reply, b: Reply, context: Context) -> bool:
    return pairs(a, b, context) and not _small(context)


def shape(a: Reply, b: Reply, context: Context) -> bool:
    if a.kind != b.kind or (a.value is None) != (b.value is None) or len(a.items) != len(b.items):
        return False
    return all(shape(x, y, context) for x, y in zip(a.items, b.items, strict=True))


def kind(a: Reply, b: Reply, _: Context) -> bool:
    return a.kind == b.kind and (a.value is None) == (b.value is None)


def sort_reply(a: Reply, b: Reply, context: Context) -> bool:
    """SORT without sorting walks the set's own order."""
    words = [word.upper() for word in context.words]
    if b"BY" not in words or b"STORE" in words:
        return False
    pattern = context.words[words.index(b"BY") + 1]
    if b"*" in pattern or _small(context):
        return False
    return shape(a, b, context) if b"LIMIT" in words or b"GET" in words else multiset(a, b, context)


def scan(a: Reply, b: Reply, context: Context) -> bool:
    if len(a.items) != 2 or len(b.items) != 2 or a.kind != b.kind or a.items[0].kind != b.items[0].kind:
        return False
    (cursor_a, page_a), (cursor_b, page_b) = a.items, b.items
    started = context.words[1] if context.words[0].upper() == b"SCAN" else context.words[2]
    if started == b"0" and cursor_a.data == cursor_b.data == b"0":
        paired = context.words[0].upper() in (b"HSCAN", b"ZSCAN") and not {b"NOVALUES", b"NOSCORES"} & {
            word.upper() for word in context.words
        }
        return pairs(page_a, page_b, context) if paired else multiset(page_a, page_b, context)
    return page_a.kind == page_b.kind and cursor_a.data.isdigit() and cursor_b.data.isdigit()


def encoding(a: Reply, b: Reply, context: Context) -> bool:
    return context.sorted_before and {a.data, b.data} == {b"skiplist", b"listpack"}


def by_bytes(a: Reply, b: Reply, context: Context) -> bool:
    """Only the type of the answer counts when the members have different scores."""
    words = [word.upper() for word in context.words]
    if words[0] == b"ZRANGE" and b"BYLEX" not in words:
        return False
    return a.kind == b.kind and not context.in_exec and not context.one_score(context.words[1])


def same_error(a: Reply, b: Reply, context: Context) -> bool:
    """Whether two errors are the same but for the user's words in them."""
    quoting = any(len(word) > 100 or set(word) & set(b"\0\r\n") for word in context.words)
    return quoting and a.kind == b.kind and a.data[:15] == b.data[:15]


def about(tolerance: int) -> Compare:
    """Integers, alone or in an array, may differ a little when both are positive."""

    def compare(a: Reply, b: Reply, context: Context) -> bool:
        if isinstance(a.value, int) and isinstance(b.value, int):
            return a.value == b.value or (a.value > 0 and b.value > 0 and abs(a.value - b.value) <= tolerance)
        if a.kind != b.kind or len(a.items) != len(b.items) or not a.items:
            return a == b
        return all(compare(x, y, context) for x, y in zip(a.items, b.items, strict=True))

    return compare


def deep_sorted(a: Reply, b: Reply, _: Context) -> bool:
    return _deep(a) == _deep(b)


def _deep(reply: Reply) -> tuple[object, ...]:
    if not isinstance(reply.value, tuple):
        return (reply.kind, reply.encode())
    items = list(reply.items)
    if items and items[0].data == b"notes":  # a remark of each product's own in a key specification
        items[1] = items[0]
    return (reply.kind, *sorted((_deep(item) for item in items), key=repr))


def client_line(a: Reply, b: Reply, _: Context) -> bool:
    """Names of the `name=value` fields, in order; the values are of that connection."""

    def names(reply: Reply) -> list[bytes]:
        text = reply.data[4:] if reply.kind == b"=" else reply.data
        return [field.partition(b"=")[0] for field in text.split(b"\n")[0].split(b" ")]

    return a.kind == b.kind and names(a) == names(b)


def hello(a: Reply, b: Reply, _: Context) -> bool:
    def masked(reply: Reply) -> list[bytes]:
        out = [item.encode() for item in reply.items]
        for index in range(0, len(out) - 1, 2):
            if reply.items[index].data in (b"server", b"version", b"id", b"modules"):
                out[index + 1] = reply.items[index + 1].kind
        return out

    return a.kind == b.kind and masked(a) == masked(b)


ORDER: Final = "a hash table has no order; a listpack and an intset have, and there the order is compared"
RANDOM: Final = "the choice is random: number and types of the elements are compared"
CLOCK: Final = "the two servers are asked some microseconds apart"
OWN_TEXT: Final = "free text of each product"
OWN_STATE: Final = "about one process: addresses, ids, memory, timings"

LEX: Final = "a range by bytes over members of different scores is undefined"
# Not in the table, since any command may quote a word: an error that contains one which is long, or has a NUL or a line
# break in it, is compared by its beginning only. Valkey cuts at a NUL, and drops or replaces line breaks; here all are
# replaced.

RULES: Final[dict[str, Rule]] = {
    "smembers": Rule(unordered_if_hashtable, ORDER),
    "hkeys": Rule(unordered_if_hashtable, ORDER),
    "hvals": Rule(unordered_if_hashtable, ORDER),
    "hgetall": Rule(pairs_if_hashtable, ORDER),
    "sunion": Rule(multiset, "the result is collected in a temporary set without order"),
    "sinter": Rule(multiset, "walks the smallest set in its own order"),
    "sdiff": Rule(multiset, "walks the first set, or a temporary one, in its own order"),
    "keys": Rule(multiset, "the key space is a hash table"),
    "scan": Rule(scan, "the key space is a hash table: a complete page is compared as a multiset, others by type"),
    "sscan": Rule(scan, ORDER),
    "hscan": Rule(scan, ORDER),
    "zscan": Rule(scan, ORDER),
    "zrange": Rule(by_bytes, LEX),
    "zrangebylex": Rule(by_bytes, LEX),
    "zrevrangebylex": Rule(by_bytes, LEX),
    "zlexcount": Rule(by_bytes, LEX),
    "sort": Rule(sort_reply, "BY nosort keeps the order of a hash table"),
    "sort_ro": Rule(sort_reply, "BY nosort keeps the order of a hash table"),
    "pubsub|channels": Rule(multiset, "channels are in a hash table"),
    "pubsub|shardchannels": Rule(multiset, "channels are in a hash table"),
    "spop": Rule(shape, RANDOM),
    "srandmember": Rule(shape, RANDOM),
    "hrandfield": Rule(shape, RANDOM),
    "zrandmember": Rule(shape, RANDOM),
    "randomkey": Rule(kind, RANDOM),
    "ttl": Rule(about(1), CLOCK),
    "pttl": Rule(about(TTL_TOLERANCE_MS), CLOCK),
    "expiretime": Rule(about(1), CLOCK),
    "pexpiretime": Rule(about(TTL_TOLERANCE_MS), CLOCK),
    "httl": Rule(about(1), CLOCK),
    "hpttl": Rule(about(TTL_TOLERANCE_MS), CLOCK),
    "hexpiretime": Rule(about(1), CLOCK),
    "hpexpiretime": Rule(about(TTL_TOLERANCE_MS), CLOCK),
    "time": Rule(shape, CLOCK),
    "lastsave": Rule(kind, CLOCK),
    "object|encoding": Rule(encoding, "SORT converts the sorted set that it reads in Valkey, and leaves it alone here"),
    "object|idletime": Rule(about(2), CLOCK),
    "object|freq": Rule(kind, "the counter is probabilistic"),
    "hello": Rule(hello, "id, name, version and modules of the server are its own"),
    "client|id": Rule(kind, OWN_STATE),
    "client|getredir": Rule(about(1 << 40), OWN_STATE),
    "client|info": Rule(client_line, OWN_STATE),
    "client|list": Rule(client_line, OWN_STATE),
    "config|get": Rule(pairs, "several parameters come in the order of a hash table"),
    "info": Rule(kind, OWN_STATE),
    "lolwut": Rule(kind, OWN_TEXT),
    "command": Rule(kind, "a server that has fewer commands lists fewer"),
    "command|count": Rule(kind, "a server that has fewer commands counts fewer"),
    "command|list": Rule(kind, "a server that has fewer commands lists fewer"),
    "command|docs": Rule(kind, OWN_TEXT),
    "command|info": Rule(deep_sorted, "flags, categories and subcommands are sets"),
    "command|getkeysandflags": Rule(deep_sorted, "flags are a set"),
    "memory|usage": Rule(kind, OWN_STATE),
    "memory|stats": Rule(kind, OWN_STATE),
    "memory|doctor": Rule(kind, OWN_TEXT),
    "memory|malloc-stats": Rule(kind, OWN_STATE),
    "slowlog|get": Rule(kind, OWN_STATE),
    "slowlog|len": Rule(kind, OWN_STATE),
    "commandlog|get": Rule(kind, OWN_STATE),
    "commandlog|len": Rule(kind, OWN_STATE),
    "latency|latest": Rule(kind, OWN_STATE),
    "latency|history": Rule(kind, OWN_STATE),
    "latency|histogram": Rule(kind, OWN_STATE),
    "latency|doctor": Rule(kind, OWN_TEXT),
    "latency|graph": Rule(kind, OWN_STATE),
    "latency|reset": Rule(kind, OWN_STATE),
}
CONTAINERS: Final = frozenset(
    [
        "acl",
        "client",
        "cluster",
        "command",
        "commandlog",
        "config",
        "debug",
        "function",
        "latency",
        "memory",
        "module",
        "object",
        "pubsub",
        "script",
        "slowlog",
    ]
)


def name_of(words: tuple[bytes, ...]) -> str:
    """The command's name as in the table: lower case, container and subcommand joined by a bar."""
    name = words[0].decode("latin-1").lower()
    if name in CONTAINERS and len(words) > 1:
        return f"{name}|{words[1].decode('latin-1').lower()}"
    return name


def equal(a: Reply, b: Reply, context: Context) -> bool:
    """Whether two replies to the same command are the same as far as the protocol defines them."""
    if a == b:
        return True
    if a.is_error or b.is_error:
        return a.is_error and b.is_error and same_error(a, b, context)
    name = name_of(context.words)
    if name.endswith("|help"):
        return kind(a, b, context)
    rule = RULES.get(name)
    return rule is not None and rule.compare(a, b, context)
