"""The examples of the declarations: notation, comparison, and running them against a server.

    examples = [["ZADD z 1 a", "1"], ["ZSCORE z a", "1.0"]]

The pairs of one command run in order, on one connection and an empty data set. A command line is split as a shell
splits it. A reply is written in RESP3's terms:

    +OK  -ERR text (inside of others: -"ERR text")  "bulk, or verbatim"  12  1.5  inf  true  null
    [array]  {key: value}  ~[set]  >[push]

and where the exact reply is not known: `any`, `int`, `string`, and `unordered [...]` for an array in any order.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from typing import Any

from .c_table import ordered
from .peer import Connection, ErrorReply, Map, Push, Set, Status
from .spec import Command


@dataclass(frozen=True)
class Wild:
    """Stands for any reply of a kind."""

    kind: str


@dataclass
class Unordered:
    """An array in any order."""

    items: list[Any]


def split(line: str) -> list[str]:
    return shlex.split(line)


def spell_top(reply: Any) -> str:
    """A whole reply: an error needs no quotes."""
    return "-" + reply.text if isinstance(reply, ErrorReply) else spell(reply)


def spell(reply: Any) -> str:
    """A reply, or a part of one, in the notation of the declarations."""
    if reply is None:
        return "null"
    if isinstance(reply, bool):
        return "true" if reply else "false"
    if isinstance(reply, float):
        return repr(reply)
    if isinstance(reply, int):
        return str(reply)
    if isinstance(reply, bytes):
        return json.dumps(reply.decode("latin-1"))
    if isinstance(reply, Status):
        return "+" + reply.text
    if isinstance(reply, ErrorReply):
        return "-" + json.dumps(reply.text)
    if isinstance(reply, Map):
        return "{" + ", ".join(f"{spell(key)}: {spell(value)}" for key, value in reply.pairs) + "}"
    if isinstance(reply, Set):
        return "~[" + ", ".join(sorted(spell(item) for item in reply.items)) + "]"
    if isinstance(reply, Push):
        return ">[" + ", ".join(spell(item) for item in reply.items) + "]"
    return "[" + ", ".join(spell(item) for item in reply) + "]"


class Reader:
    """Parses the notation."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def skip(self, punctuation: str = "") -> bool:
        while self.at < len(self.text) and self.text[self.at] in " ":
            self.at += 1
        if punctuation and self.text.startswith(punctuation, self.at):
            self.at += len(punctuation)
            return True
        return False

    def items(self, close: str) -> list[Any]:
        found: list[Any] = []
        while not self.skip(close):
            found.append(self.value())
            self.skip(",")
        return found

    def value(self) -> Any:
        self.skip()
        if self.skip("unordered"):
            self.skip("[")
            return Unordered(self.items("]"))
        for opening, kind in (("~[", Set), (">[", Push), ("[", list)):
            if self.skip(opening):
                return kind(self.items("]"))
        if self.skip("{"):
            pairs = []
            while not self.skip("}"):
                key = self.value()
                self.skip(":")
                pairs.append((key, self.value()))
                self.skip(",")
            return Map(pairs)
        if self.text.startswith('"', self.at):
            value, end = json.JSONDecoder().raw_decode(self.text, self.at)
            self.at = end
            return str(value).encode("latin-1")
        if self.skip('-"'):
            value, self.at = json.JSONDecoder().raw_decode(self.text, self.at - 1)
            return ErrorReply(str(value))
        match = re.compile(r"\+[^,:\]}]*|-?[a-z]+|-?\d[\d.e+\-]*").match(self.text, self.at)
        if match is None:
            raise ValueError(f"cannot read {self.text[self.at :]!r}")
        self.at = match.end()
        return word(match.group())


def word(text: str) -> Any:
    names: dict[str, Any] = {"null": None, "true": True, "false": False}
    if text in names:
        return names[text]
    if text in ("any", "int", "string"):
        return Wild(text)
    if text.startswith("+"):
        return Status(text[1:])
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    return float(text)


def parse(text: str) -> Any:
    """The expected reply. An error is the whole text."""
    if re.match(r"-[A-Z]", text):
        return ErrorReply(text[1:])
    reader = Reader(text)
    value = reader.value()
    reader.skip()
    if reader.at != len(text):
        raise ValueError(f"text behind the reply: {text!r}")
    return value


def matches(expected: Any, reply: Any) -> bool:
    """RESP3 against RESP3."""
    if isinstance(expected, Wild):
        kinds = {"any": object, "int": int, "string": bytes}
        return isinstance(reply, kinds[expected.kind])
    if isinstance(expected, (Unordered, Set)):
        items = reply.items if isinstance(reply, Set) else reply
        if isinstance(reply, Set) != isinstance(expected, Set) or len(items) != len(expected.items):
            return False
        return all(any(matches(wanted, item) for item in items) for wanted in expected.items)
    if isinstance(expected, list):
        return isinstance(reply, list) and same_items(expected, reply)
    if isinstance(expected, Push):
        return isinstance(reply, Push) and same_items(expected.items, reply.items)
    if isinstance(expected, Map):
        if not isinstance(reply, Map) or len(reply.pairs) != len(expected.pairs):
            return False
        return all(any(matches(key, k) and matches(value, v) for k, v in reply.pairs) for key, value in expected.pairs)
    return bool(type(expected) is type(reply) and expected == reply)


def same_items(expected: list[Any], reply: list[Any]) -> bool:
    return len(expected) == len(reply) and all(map(matches, expected, reply))


def leaves(reply: Any) -> list[Any]:
    """What is left of a reply in RESP2: numbers and strings as text, nesting ignored."""
    if isinstance(reply, (Set, Unordered)):
        return [leaf for item in reply.items for leaf in leaves(item)]
    if isinstance(reply, (list, Push)):
        return [leaf for item in (reply if isinstance(reply, list) else reply.items) for leaf in leaves(item)]
    if isinstance(reply, Map):
        return [leaf for pair in reply.pairs for item in pair for leaf in leaves(item)]
    if isinstance(reply, bool):
        return [int(reply)]
    if isinstance(reply, float):
        whole = reply == reply // 1 and abs(reply) < 1e17
        return [(str(int(reply)) if whole else repr(reply)).encode()]
    return [reply]


def matches_resp2(expected: Any, reply: Any) -> bool:
    """A RESP3 expectation against a reply in RESP2, whose arrays say less."""
    wanted, found = leaves(expected), leaves(reply)
    if any(isinstance(leaf, Wild) and leaf.kind == "any" for leaf in wanted):
        return True
    if "Set(" in repr(expected) or "Unordered(" in repr(expected):
        wanted, found = sorted(wanted, key=repr), sorted(found, key=repr)
    return same_items(wanted, found)


def document(top: list[Command]) -> str:
    """tests/commands/examples.json."""
    found = []
    for command in ordered(top):
        steps = [{"words": split(line), "reply": reply} for line, reply in command.data.get("examples", [])]
        for step in steps:
            parse(step["reply"])
        if steps:
            found.append({"command": command.full_name, "group": command.group, "steps": steps})
    lines = ",\n".join(json.dumps(entry, ensure_ascii=True) for entry in found)
    return f"[\n{lines}\n]\n"


def verify(top: list[Command], host: str, port: int) -> list[str]:
    """What a server answers differently. Its data is removed."""
    wrong = []
    for command in ordered(top):
        with Connection(host, port) as connection:
            connection.call("FLUSHALL")
            for line, text in command.data.get("examples", []):
                reply = connection.call(*split(line))
                if not matches(parse(text), reply):
                    wrong.append(f"{command.title}: {line}: {spell_top(reply)}, not {text}")
    return wrong
