"""What the generated methods need around a command: words out of Python arguments, Python values out of replies.

Replies arrive in RESP3's types (map as dict, set as set or list, double as float, null as None); the functions here
give them the shapes that redis-py 8 returns by default. A shape is called once with the reply of a command that did not
fail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeAlias, TypeVar

from kvcore.errors import DataError, make

Value: TypeAlias = bytes | bytearray | memoryview | str | int | float
Key: TypeAlias = Value
Keys: TypeAlias = Key | Iterable[Key]
Values: TypeAlias = Value | Iterable[Value]
Expiry: TypeAlias = int | timedelta
Moment: TypeAlias = int | datetime
Shape: TypeAlias = Callable[[Any], Any]
Set = set  # methods are called set, too

T = TypeVar("T", bytes, str)

# --- words ---


def key_list(keys: Values, more: Sequence[Value] = ()) -> list[Value]:
    """One name, or an iterable of names, followed by further names."""
    if isinstance(keys, (str, bytes, bytearray, memoryview, int, float)):
        return [keys, *more]  # pyright: ignore[reportReturnType]  (it takes keys for a memoryview of values)
    return [*keys, *more]


def flat(mapping: Mapping[Any, Value]) -> list[Value]:
    """Keys and values by turns."""
    words: list[Value] = []
    for pair in mapping.items():
        words += pair
    return words


def seconds(time: Expiry) -> int:
    return int(time.total_seconds()) if isinstance(time, timedelta) else time


def milliseconds(time: Expiry) -> int:
    return int(time.total_seconds() * 1000) if isinstance(time, timedelta) else time


whole_seconds, whole_milliseconds = seconds, milliseconds  # for methods that have an argument of the other name


def unix_seconds(when: Moment) -> int:
    return int(when.timestamp()) if isinstance(when, datetime) else when


def unix_milliseconds(when: Moment) -> int:
    return int(when.timestamp() * 1000) if isinstance(when, datetime) else when


def conditions(nx: bool, xx: bool, gt: bool, lt: bool) -> list[Value]:
    if not (nx or xx or gt or lt):
        return []
    return [word for word, given in (("NX", nx), ("XX", xx), ("GT", gt), ("LT", lt)) if given]


def one_of(nx: bool, xx: bool, gt: bool, lt: bool) -> list[Value]:
    words = conditions(nx, xx, gt, lt)
    if len(words) > 1:
        raise ValueError("Only one of 'nx', 'xx', 'gt', 'lt' can be specified.")
    return words


def expiry_words(
    ex: Expiry | None, px: Expiry | None, exat: Moment | None, pxat: Moment | None, other: str | None
) -> list[Value]:
    """At most one of four expiries, or the word that stands in their place (KEEPTTL, PERSIST)."""
    words: list[Value] = [] if other is None else [other]
    if ex is not None:
        words += ("EX", int(ex) if isinstance(ex, str) and ex.isdigit() else _whole("ex", seconds(ex)))
    if px is not None:
        words += ("PX", _whole("px", milliseconds(px)))
    if exat is not None:
        words += ("EXAT", unix_seconds(exat))
    if pxat is not None:
        words += ("PXAT", unix_milliseconds(pxat))
    if len(words) > 2 or (other is not None and len(words) > 1):
        raise make(DataError, "the options for expiry exclude each other: ex, px, exat, pxat, keepttl, persist")
    return words


def _whole(name: str, time: Any) -> int:
    if not isinstance(time, int):
        raise make(DataError, f"{name} must be datetime.timedelta or int")
    return time


def option_word(option: Any) -> list[Value]:
    """An option that may come as a word or as a member of redis-py's enumeration of them."""
    if option is None:
        return []
    return [getattr(option, "value", option)]


def field_words(fields: Sequence[Value]) -> list[Value]:
    if not fields:
        raise make(DataError, "at least one field is needed")
    return ["FIELDS", len(fields), *fields]


def pair_words(
    method: str, key: Value | None, value: Any, mapping: Mapping[Any, Value] | None, items: Sequence[Value] | None
) -> list[Value]:
    """Fields and values, however they were given."""
    if key is None and not mapping and not items:
        raise make(DataError, f"'{method}' with no key value pairs")
    words: list[Value] = [*items] if items else []
    if len(words) % 2:
        raise make(DataError, f"'{method}' with an odd number of items: fields and values come by turns")
    if key is not None:
        words += (key, value)
    if mapping:
        words += flat(mapping)
    return words


def scan_words(match: Key | None, count: int | None) -> list[Value]:
    words: list[Value] = [] if match is None else ["MATCH", match]
    if count is not None:
        words += ("COUNT", count)
    return words


def limit_words(start: int | None, count: int | None) -> list[Value]:
    if start is None and count is None:
        return []
    if start is None or count is None:
        raise make(DataError, "start and num must both be given, or neither")
    return ["LIMIT", start, count]


def sort_words(
    command: str,
    name: Key,
    start: int | None,
    count: int | None,
    by: Key | None,
    get: Keys | None,
    desc: bool,
    alpha: bool,
) -> list[Value]:
    words: list[Value] = [command, name]
    if by is not None:
        words += ("BY", by)
    words += limit_words(start, count)
    if get is not None:
        for pattern in key_list(get):
            words += ("GET", pattern)
    if desc:
        words.append("DESC")
    if alpha:
        words.append("ALPHA")
    return words


def min_or_max(lowest: bool | None, highest: bool | None) -> str:
    if bool(lowest) == bool(highest):
        raise make(DataError, "either min or max must be set, and not both")
    return "MIN" if lowest else "MAX"


def zadd_words(
    name: Key, mapping: Mapping[Any, Value], nx: bool, xx: bool, ch: bool, incr: bool, gt: bool, lt: bool
) -> list[Value]:
    if not mapping:
        raise make(DataError, "ZADD requires at least one element/score pair")
    if nx and xx:
        raise make(DataError, "ZADD allows either 'nx' or 'xx', not both")
    if gt and lt:
        raise make(DataError, "ZADD allows either 'gt' or 'lt', not both")
    if nx and (gt or lt):
        raise make(DataError, "ZADD allows 'nx' only without 'gt' and 'lt'")
    if incr and len(mapping) != 1:
        raise make(DataError, "ZADD option 'incr' only works when passing a single element/score pair")
    words: list[Value] = ["ZADD", name]
    if nx or xx or ch or incr or gt or lt:
        flags = (("NX", nx), ("XX", xx), ("CH", ch), ("INCR", incr), ("GT", gt), ("LT", lt))
        words += (word for word, given in flags if given)
    for member, score in mapping.items():
        words += (score, member)
    return words


def zset_words(
    command: str,
    dest: Key | None,
    keys: Keys | Mapping[Any, float],
    aggregate: str | None = None,
    withscores: bool = False,
) -> list[Value]:
    """ZUNION, ZINTER, ZDIFF and their STORE forms. A mapping of keys gives weights."""
    names = list(keys) if isinstance(keys, Mapping) else key_list(keys)
    words: list[Value] = [command] if dest is None else [command, dest]
    words += (len(names), *names)
    if isinstance(keys, Mapping):
        words += ("WEIGHTS", *keys.values())
    if aggregate:
        words += ("AGGREGATE", aggregate)
    if withscores:
        words.append("WITHSCORES")
    return words


def zrange_words(
    command: str,
    name: Key,
    start: Value,
    end: Value,
    desc: bool,
    byscore: bool,
    bylex: bool,
    offset: int | None,
    count: int | None,
    withscores: bool,
) -> list[Value]:
    if byscore and bylex:
        raise make(DataError, "byscore and bylex can not be specified together")
    if bylex and withscores:
        raise make(DataError, "withscores is not supported in combination with bylex")
    words: list[Value] = [command, name, start, end]
    if byscore:
        words.append("BYSCORE")
    if bylex:
        words.append("BYLEX")
    if desc:
        words.append("REV")
    words += limit_words(offset, count)
    if withscores:
        words.append("WITHSCORES")
    return words


def kill_words(
    client_id: str | int | None,
    kind: str | None,
    addr: str | None,
    skipme: bool | None,
    laddr: str | None,
    user: str | None,
    maxage: int | None,
) -> list[Value]:
    words: list[Value] = ["CLIENT", "KILL"]
    if kind is not None:
        words += ("TYPE", kind)
    if skipme is not None:
        words += ("SKIPME", "YES" if skipme else "NO")
    for word, value in (("ID", client_id), ("ADDR", addr), ("LADDR", laddr), ("USER", user), ("MAXAGE", maxage)):
        if value is not None:
            words += (word, value)
    if len(words) == 2:
        raise make(DataError, "CLIENT KILL must specify at least one filter")
    return words


def tracking_words(
    on: bool, redirect: int | None, prefixes: Sequence[Key], bcast: bool, optin: bool, optout: bool, noloop: bool
) -> list[Value]:
    if prefixes and not bcast:
        raise make(DataError, "Prefix can only be used with bcast")
    words: list[Value] = ["CLIENT", "TRACKING", "ON" if on else "OFF"]
    if redirect is not None:
        words += ("REDIRECT", redirect)
    for prefix in prefixes:
        words += ("PREFIX", prefix)
    flags = (("BCAST", bcast), ("OPTIN", optin), ("OPTOUT", optout), ("NOLOOP", noloop))
    words += (word for word, given in flags if given)
    return words


def shutdown_words(save: bool, nosave: bool, now: bool, force: bool, abort: bool) -> list[Value]:
    if save and nosave:
        raise make(DataError, "SHUTDOWN takes save or nosave, not both")
    flags = (("SAVE", save), ("NOSAVE", nosave), ("NOW", now), ("FORCE", force), ("ABORT", abort))
    return ["SHUTDOWN", *(word for word, given in flags if given)]


# --- shapes ---


def ok(reply: Any) -> bool:
    return reply in (b"OK", "OK", True)


def started(reply: Any) -> bool:
    """Something was begun in the background, or will be: the words of the reply say which."""
    return True


def ok_or_none(reply: Any) -> bool | None:
    return None if reply is None else ok(reply)


def ok_or_number(reply: Any) -> bool | int:
    return reply if isinstance(reply, int) else ok(reply)


KEY_FLAGS = ["RO", "RW", "OW", "RM", "access", "update", "insert", "delete", "not_key", "incomplete", "variable_flags"]


def keys_and_flags(reply: Any) -> list[Any]:
    """COMMAND GETKEYSANDFLAGS: the flags of a key in the order in which RESP2 lists them."""
    return [[key, sorted(flags, key=lambda flag: KEY_FLAGS.index(text(flag)))] for key, flags in reply]


def pong(reply: Any) -> bool:
    return reply in (b"PONG", "PONG")


def nothing(reply: Any) -> None:
    return None


def text(reply: Any) -> Any:
    return reply.decode(errors="replace") if isinstance(reply, bytes) else reply


def texts(reply: Iterable[Any]) -> list[Any]:
    return [text(item) for item in reply]


def as_set(reply: Any) -> set[Any]:
    return reply if isinstance(reply, set) else set(reply or ())


def as_dict(reply: Any) -> dict[Any, Any]:
    if isinstance(reply, dict):
        return reply
    items = iter(reply or ())
    return dict(zip(items, items, strict=True))


def text_map(reply: Any) -> dict[str, Any]:
    return {text(key): text(value) for key, value in as_dict(reply).items()}


def flat_map(reply: Any) -> Any:
    """A map as keys and values by turns; anything else as it is."""
    return [item for pair in reply.items() for item in pair] if isinstance(reply, dict) else reply


def flat_text_map(reply: Any) -> Any:
    found: list[Any] = []
    for key, value in as_dict(reply).items():
        found += (text(key), sorted(value) if isinstance(value, set) else value)
    return found


def pair(reply: Any) -> tuple[Any, Any] | None:
    return tuple(reply) if reply else None


def pairs(reply: Sequence[Any]) -> list[tuple[Any, Any]]:
    return list(zip(reply[0::2], reply[1::2], strict=True))


def flat_pairs(reply: Any) -> Any:
    if not reply or not isinstance(reply[0], (list, tuple)):
        return reply
    return [item for entry in reply for item in entry]


def clock(reply: Sequence[Any]) -> tuple[int, int]:
    return int(reply[0]), int(reply[1])


def saved_at(reply: int) -> datetime:
    return datetime.fromtimestamp(reply)


def grouped(get: Keys | None) -> Shape:
    """SORT with several GETs: one tuple an element."""
    width = 0 if get is None or isinstance(get, (str, bytes)) else len(key_list(get))
    if width < 2:
        raise make(DataError, "groups needs get with at least two patterns")
    return lambda reply: list(zip(*(reply[start::width] for start in range(width)), strict=True)) if reply else reply


def score_text(score: Any, member: Any) -> Any:
    """A score as RESP2 would spell it, in the type of its member: bytes, or str where replies are decoded."""
    if isinstance(score, (bytes, str)):
        return score
    whole = abs(score) < 1e17 and score == score // 1
    spelled = f"{score:.0f}" if whole else repr(score)
    return spelled if isinstance(member, str) else spelled.encode()


def cast_score(cast: Callable[[Any], Any], score: Any, member: Any) -> Any:
    """A converter sees the text of a score, as with redis-py; one that cannot read it (int) sees the number."""
    if cast is float:
        return float(score)
    spelled = score_text(score, member)
    try:
        return cast(spelled)
    except (ValueError, TypeError):
        return cast(float(score))


def scored(cast: Callable[[Any], Any] = float) -> Shape:
    """[[member, score], ...] -> [(member, cast(score)), ...]."""
    if cast is float:
        return lambda reply: [(member, score) for member, score in reply or ()]
    return lambda reply: [(member, cast_score(cast, score, member)) for member, score in reply or ()]


def flat_scores(reply: Any) -> Any:
    """[[member, score], ...] -> [member, b"score", ...]."""
    if not reply or not isinstance(reply[0], (list, tuple)):
        return reply
    return [item for member, score in reply for item in (member, score_text(score, member))]


def ranked(cast: Callable[[Any], Any]) -> Shape:
    return lambda reply: [reply[0], cast_score(cast, reply[1], "")] if reply else reply


def popped(reply: Any) -> list[tuple[Any, Any]]:
    """ZPOPMIN: [member, score] without a count, [[member, score], ...] with one."""
    if not reply:
        return []
    if isinstance(reply[0], (list, tuple)):
        return [(member, score) for member, score in reply]
    return [(reply[0], reply[1])]


def popped_one(reply: Any) -> tuple[Any, Any, float] | None:
    return (reply[0], reply[1], float(reply[2])) if reply else None


def popped_many(reply: Any) -> Any:
    return [reply[0], [[member, score_text(score, member)] for member, score in reply[1]]] if reply else reply


def scanned(reply: Any) -> tuple[int, list[Any]]:
    return int(reply[0]), reply[1]


def scanned_dict(reply: Any) -> tuple[int, dict[Any, Any]]:
    return int(reply[0]), as_dict(reply[1])


def scanned_scores(cast: Callable[[Any], Any]) -> Shape:
    def shape(reply: Any) -> tuple[int, list[tuple[Any, Any]]]:
        items = iter(reply[1])
        pairs = zip(items, items, strict=True)
        return int(reply[0]), [(member, cast_score(cast, score, member)) for member, score in pairs]

    return shape


def client_line(line: str) -> dict[str, str]:
    """name=value pairs; a value may hold spaces (the path of a unix socket)."""
    facts: dict[str, str] = {}
    last = ""
    for word in line.split(" "):
        name, equals, value = word.partition("=")
        if equals:
            facts[name] = value
            last = name
        elif last:
            facts[last] += " " + word
    return facts


CLIENT_NUMBERS = frozenset(
    [
        "id",
        "age",
        "idle",
        "db",
        "sub",
        "psub",
        "multi",
        "qbuf",
        "qbuf-free",
        "obl",
        "argv-mem",
        "oll",
        "omem",
        "tot-mem",
    ]
)  # what redis-py turns into int


def client_facts(reply: Any) -> dict[str, Any]:
    return {
        name: int(value) if name in CLIENT_NUMBERS else value
        for name, value in client_line(text(reply).strip()).items()
    }


def client_table(reply: Any) -> list[dict[str, str]]:
    return [client_line(line) for line in text(reply).splitlines() if line]


def info_value(value: str) -> Any:
    if "," not in value and "=" not in value:
        try:
            return float(value) if "." in value else int(value)
        except ValueError:
            return value
    if "=" not in value:
        return [info_value(item) for item in value.split(",") if item]
    found: dict[str, Any] = {}
    for item in value.split(","):
        if item:
            name, equals, rest = item.rpartition("=")
            found[name if equals else rest] = info_value(rest) if equals else True
    return found


def info_facts(reply: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for line in text(reply).splitlines():
        if not line or line.startswith("#"):
            continue
        name, colon, value = line.partition(":")
        if not colon:
            facts.setdefault("__raw__", []).append(line)
        elif name == "module":
            facts.setdefault("modules", []).append(info_value(value))
        else:
            facts[name] = info_value(value)
    return facts


def memory_facts(reply: Any) -> dict[str, Any]:
    facts = {text(name): value for name, value in as_dict(reply).items()}
    for name, value in facts.items():
        if name.startswith("db.") and isinstance(value, (dict, list)):
            facts[name] = {text(inner): item for inner, item in as_dict(value).items()}
    return facts


def debug_facts(reply: Any) -> dict[str, Any]:
    numbers = ("refcount", "serializedlength", "lru", "lru_seconds_idle")
    facts = dict(word.split(":", 1) for word in ("type:" + text(reply)).split())
    return {name: int(value) if name in numbers else value for name, value in facts.items()}


def slow_entries(reply: Any) -> list[dict[str, Any]]:
    return [
        {
            "id": entry[0],
            "start_time": int(entry[1]),
            "duration": int(entry[2]),
            "command": (" " if entry[3] and isinstance(entry[3][0], str) else b" ").join(entry[3]),
            "client_address": entry[4],
            "client_name": entry[5],
        }
        for entry in reply
    ]


def command_table(reply: Any) -> dict[str, dict[str, Any]]:
    return {
        text(entry[0]): {
            "name": text(entry[0]),
            "arity": int(entry[1]),
            "flags": texts(entry[2]),
            "first_key_pos": entry[3],
            "last_key_pos": entry[4],
            "step_count": entry[5],
            "acl_categories": texts(entry[6]),
            "tips": entry[7],
            "key_specifications": entry[8],
            "subcommands": entry[9],
        }
        for entry in reply
        if entry is not None
    }
