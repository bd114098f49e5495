"""spec/*.toml -> Command objects: what is stated, completed with what follows from it.

From `syntax`: arity, key specs, the argument tree, the usage line. From flags and group: ACL categories. An entry may
state `keys`, `acl` or `arity` itself where they do not follow; tests/commands/test_declarations.py compares the result
with a real server.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import syntax
from .syntax import Arg

PUBLIC_FLAGS = [
    "write", "readonly", "denyoom", "admin", "pubsub", "noscript", "blocking", "loading", "stale", "skip_monitor",
    "skip_commandlog", "asking", "fast", "no_auth", "may_replicate", "no_mandatory_keys", "no_async_loading",
    "no_multi", "allow_busy", "movablekeys",
]  # fmt: skip
OWN_FLAGS = ["protected", "all_keys", "maybe_all_keys", "cursor"]
ACL_ORDER = [
    "keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap", "hyperloglog", "geo",
    "stream", "pubsub", "admin", "fast", "slow", "blocking", "dangerous", "connection", "transaction", "scripting",
]  # fmt: skip
GROUPS = [
    "generic", "string", "list", "set", "sorted-set", "hash", "pubsub", "transactions", "connection", "server",
    "scripting", "hyperloglog", "cluster", "sentinel", "geo", "stream", "bitmap",
]  # fmt: skip
GROUP_ACL = {
    "generic": "keyspace", "string": "string", "list": "list", "set": "set", "sorted-set": "sortedset",
    "hash": "hash", "pubsub": "pubsub", "transactions": "transaction", "connection": "connection",
    "scripting": "scripting", "hyperloglog": "hyperloglog", "geo": "geo", "stream": "stream", "bitmap": "bitmap",
}  # fmt: skip
KEY_FLAGS = ["ro", "rw", "ow", "rm", "access", "update", "insert", "delete", "not_key", "incomplete", "variable_flags"]
FIELDS = {
    "summary", "syntax", "flags", "acl", "tips", "reply", "cost", "since", "history", "keys", "key_notes",
    "keys_function", "arity", "replaced_by", "deprecated_since", "doc_flags", "examples", "python",
}  # fmt: skip
NO_HANDLER = {"client", "commandlog", "config", "latency", "memory", "module", "object", "pubsub", "slowlog"}


class SpecError(Exception):
    """A declaration does not make sense."""


@dataclass
class KeySpec:
    flags: tuple[str, ...]
    begin: str = "index"  # index | keyword | unknown
    index: int = 0  # of the argument; keyword: where to start looking
    keyword: str | None = None
    find: str = "range"  # range | keynum | unknown
    last: int = 0
    step: int = 1
    limit: int = 0
    count_at: int = 0
    first: int = 0
    notes: str | None = None


@dataclass
class Command:
    full_name: str  # "config|get"
    group: str
    data: dict[str, Any]
    args: list[Arg] = field(default_factory=list)
    key_specs: list[KeySpec] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    acl: list[str] = field(default_factory=list)
    subcommands: list[Command] = field(default_factory=list)
    arity: int = 0
    triple: tuple[int, int, int] = (0, 0, 0)

    @property
    def name(self) -> str:
        return self.full_name.rpartition("|")[2]

    @property
    def parent(self) -> str:
        return self.full_name.rpartition("|")[0]

    @property
    def title(self) -> str:
        """As a user writes it: CONFIG GET."""
        return self.full_name.replace("|", " ").upper()

    @property
    def handler(self) -> str | None:
        if self.full_name in NO_HANDLER:
            return None
        return "kv_cmd_" + self.full_name.replace("|", "_").replace("-", "_")

    @property
    def usage(self) -> str:
        return syntax.usage(self.args)


def load(directory: Path) -> list[Command]:
    """All commands, top-level ones sorted by name, their subcommands inside them, sorted too."""
    commands: dict[str, Command] = {}
    for path in sorted(directory.glob("*.toml")):
        if path.stem in ("errors", "config"):
            continue
        with path.open("rb") as file:
            data = tomllib.load(file)
        group = data.pop("group")
        for title, entry in data.items():
            name = title.lower().replace(" ", "|")
            if name in commands:
                raise SpecError(f"{title} is declared twice")
            commands[name] = complete(Command(name, group, entry))
    top = []
    for name in sorted(commands):
        command = commands[name]
        if not command.parent:
            top.append(command)
        else:
            commands[command.parent].subcommands.append(command)
    for command in top:
        if command.subcommands and "arity" not in command.data and not command.args:
            command.arity = -2
    return top


def complete(command: Command) -> Command:
    data, title = command.data, command.title
    if unknown := set(data) - FIELDS:
        raise SpecError(f"{title}: unknown keys {sorted(unknown)}")
    if command.group not in GROUPS:
        raise SpecError(f"{title}: unknown group {command.group}")
    for needed in ("summary", "reply", "cost", "since"):
        if needed not in data:
            raise SpecError(f"{title}: {needed} is missing")
    command.args = syntax.parse(data.get("syntax", ""))
    command.arity = data.get("arity", syntax.arity(command.args, 2 if command.parent else 1))
    command.key_specs = stated_keys(data["keys"]) if "keys" in data else derive_keys(command)
    if "keys" in data:
        number_keys(command.args, iter(range(len(command.key_specs))))
    for number, note in data.get("key_notes", {}).items():
        command.key_specs[int(number)].notes = note
    for spec in command.key_specs:
        if bad := set(spec.flags) - set(KEY_FLAGS):
            raise SpecError(f"{title}: unknown key flags {sorted(bad)}")
    command.triple, movable = legacy_triple(command.key_specs)
    flags = list(data.get("flags", []))
    if movable:
        flags.append("movablekeys")
    if unknown := set(flags) - set(PUBLIC_FLAGS) - set(OWN_FLAGS):
        raise SpecError(f"{title}: unknown flags {sorted(unknown)}")
    command.flags = [flag for flag in PUBLIC_FLAGS + OWN_FLAGS if flag in flags]
    command.acl = categories(command)
    return command


def categories(command: Command) -> list[str]:
    """`acl` in the declaration adds categories, and takes away those with a '-' before them."""
    flags, found = command.flags, set()
    if command.group in GROUP_ACL:
        found.add(GROUP_ACL[command.group])
    implied = {"write": "write", "readonly": "read", "pubsub": "pubsub", "blocking": "blocking"}
    found |= {category for flag, category in implied.items() if flag in flags}
    if "admin" in flags:
        found |= {"admin", "dangerous"}
    found.add("fast" if "fast" in flags else "slow")
    for change in command.data.get("acl", []):
        if change.startswith("-"):
            found.discard(change[1:])
        else:
            found.add(change)
    if unknown := found - set(ACL_ORDER):
        raise SpecError(f"{command.title}: unknown categories {sorted(unknown)}")
    return [category for category in ACL_ORDER if category in found]


def stated_keys(entries: list[dict[str, Any]]) -> list[KeySpec]:
    specs = []
    for entry in entries:
        values = dict(entry)
        flags = tuple(values.pop("flags").split())
        specs.append(KeySpec(flags, **values))
    return specs


def derive_keys(command: Command) -> list[KeySpec]:
    """One spec for each key argument at a place that does not depend on optional words before it."""
    specs: list[KeySpec] = []
    at = 2 if command.parent else 1
    fixed = True
    for number, arg in enumerate(command.args):
        key, step = key_of(arg)
        if key is not None and not fixed and key.access:
            raise SpecError(f"{command.title}: the place of {arg.name} varies: state `keys`")
        if key is not None and key.access:
            spec = KeySpec(key.access, index=at, step=step)
            before = command.args[number - 1] if number else None
            if arg.multiple and before is not None and before.name == "numkeys":
                spec.index, spec.find, spec.first = at - 1, "keynum", 1
            elif arg.multiple:
                spec.last = -1 - sum(rest.words()[0] for rest in command.args[number + 1 :])
            if key.key_spec < 0:
                key.key_spec = len(specs)
            specs.append(spec)
        elif arg.type == "key" and arg.key_spec < 0:
            raise SpecError(f"{command.title}: {arg.name} needs an access or a key spec")
        count, varies = arg.words()
        at += count
        fixed = fixed and not varies
    return specs


def number_keys(args: list[Arg], numbers: Iterator[int]) -> None:
    """With stated `keys`, the key arguments belong to them in order unless they say otherwise (#n)."""
    for arg in args:
        if arg.access and arg.key_spec < 0:
            arg.key_spec = next(numbers)
        number_keys(arg.children, numbers)


def key_of(arg: Arg) -> tuple[Arg | None, int]:
    """The key argument in a top-level argument, and how many words each repetition of it takes."""
    if arg.type == "key":
        return arg, 1
    if arg.type == "block" and arg.multiple and arg.children[0].type == "key":
        return arg.children[0], len(arg.children)
    return None, 0


def legacy_triple(specs: list[KeySpec]) -> tuple[tuple[int, int, int], bool]:
    """first, last, step of old clients, and whether they do not tell everything ("movablekeys")."""
    if not specs:
        return (0, 0, 0), False
    first, last, step = 0, 0, 0
    movable = False
    for spec in specs:
        plain = spec.begin == "index" and spec.find == "range"
        if "incomplete" in spec.flags or not plain:
            movable = True
        if not plain:
            continue
        end = spec.index + spec.last if spec.last >= 0 else spec.last
        if first == 0:
            first, last, step = spec.index, end, spec.step
        elif spec.step == step and last + 1 == spec.index:
            last = end
        else:
            movable = True
    return (first, last, step), movable
