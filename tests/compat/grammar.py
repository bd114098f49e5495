"""What a command accepts, as a tree, and where that knowledge comes from.

The differential runner generates commands from declarations. It prefers those of the reference server (COMMAND DOCS),
because a mistake in our own declarations must not hide itself. kvcore's own `spec/*.toml`, where present, says which
names are covered.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.compat.resp import Connection, Reply

GROUPS: Final = (
    "generic",
    "string",
    "list",
    "set",
    "hash",
    "sorted-set",
    "transactions",
    "pubsub",
    "connection",
    "server",
)
ALIASES: Final = {"zset": "sorted-set", "sorted_set": "sorted-set", "introspection": "server"}

# Commands that are never generated, and why. The corpus and tests of their own cover those that are in scope.
EXCLUDED: Final[dict[str, str]] = {
    "shutdown": "ends the server",
    "failover": "replication is out of scope",
    "replicaof": "replication is out of scope",
    "slaveof": "replication is out of scope",
    "psync": "replication is out of scope",
    "sync": "replication is out of scope",
    "replconf": "replication is out of scope",
    "role": "replication is out of scope",
    "wait": "replication is out of scope",
    "waitaof": "replication is out of scope",
    "save": "persistence is out of scope",
    "bgsave": "persistence is out of scope",
    "bgrewriteaof": "persistence is out of scope",
    "lastsave": "persistence is out of scope",
    "dump": "persistence is out of scope",
    "restore": "persistence is out of scope",
    "restore-asking": "persistence is out of scope",
    "migrate": "needs a target; tests of its own",
    "monitor": "turns the connection into a stream of other clients' commands",
    "debug": "its output is about one implementation",
    "module": "modules are out of scope",
    "acl": "access control is out of scope",
    "client|pause": "stops the other connections of the runner",
    "client|kill": "would kill the runner's own connections",
    "client|reply": "the runner counts one reply a command",
    "client|no-evict": "no observable effect",
    "client|unblock": "takes ids, which differ; tests of their own",
    "client|tracking": "in sequences of its own, see generate.py",
    "client|import-source": "needs import mode",
    "config|rewrite": "writes a file",
    "config|set": "only with known parameters, see generate.py",
    "config|get": "only with known parameters, see generate.py",
    "command": "lists every command of the server, those out of scope as well",
    "command|count": "counts every command of the server",
    "command|list": "lists every command of the server",
    "command|docs": "texts are each product's own",
    "memory|malloc-stats": "about one allocator",
    "memory|purge": "about one allocator",
    "quit": "closes the connection; in the corpus",
    "auth": "no password is set; in the corpus",
    "hello": "in the corpus; a run has one protocol",
    "info": "in a test of its own",
    "lolwut": "art is each product's own",
}


@dataclass(frozen=True, slots=True)
class Arg:
    """One node of a command's argument tree."""

    name: str
    type: str  # key string integer double pattern unix-time pure-token oneof block
    token: str = ""
    optional: bool = False
    multiple: bool = False
    multiple_token: bool = False
    children: tuple[Arg, ...] = ()


@dataclass(frozen=True, slots=True)
class Command:
    """A command or subcommand that can be generated."""

    name: str  # lower case, "config|get" for subcommands
    group: str
    args: tuple[Arg, ...]
    arity: int = 0

    @property
    def words(self) -> list[bytes]:
        return [word.encode() for word in self.name.upper().split("|")]


def from_command_docs(connection: Connection) -> dict[str, Command]:
    """Every command of the server behind `connection`, read with COMMAND DOCS. Works in RESP2 and RESP3."""
    found: dict[str, Command] = {}
    for name, doc in _fields(connection.must("COMMAND", "DOCS")).items():
        _collect(name, doc, found)
    return dict(sorted(found.items()))


def _collect(name: str, doc: Reply, found: dict[str, Command]) -> None:
    fields = _fields(doc)
    subcommands = fields.get("subcommands")
    if subcommands is not None:
        for subname, subdoc in _fields(subcommands).items():
            _collect(subname, subdoc, found)
        return
    arguments = fields.get("arguments")
    args = tuple(_argument(item) for item in arguments.items) if arguments else ()
    group = fields["group"].data.decode() if "group" in fields else "module"
    found[name] = Command(name, group, args)


def _argument(doc: Reply) -> Arg:
    fields = _fields(doc)
    flags = [flag.data for flag in fields["flags"].items] if "flags" in fields else []
    children = fields.get("arguments")
    return Arg(
        name=fields["name"].data.decode(),
        type=fields["type"].data.decode(),
        token=fields["token"].data.decode() if "token" in fields else "",
        optional=b"optional" in flags,
        multiple=b"multiple" in flags,
        multiple_token=b"multiple_token" in flags,
        children=tuple(_argument(child) for child in children.items) if children else (),
    )


def _fields(reply: Reply) -> dict[str, Reply]:
    items = reply.items
    return {key.data.decode(): value for key, value in zip(items[::2], items[1::2], strict=True)}


def covered(commands: dict[str, Command], groups: list[str]) -> list[Command]:
    """The commands that the runner may generate for these groups."""
    return [
        command
        for command in commands.values()
        if command.group in groups
        and command.name not in EXCLUDED
        and command.name.split("|")[0] not in EXCLUDED
        and not command.name.endswith("|help")
    ]


def parse_groups(text: str) -> list[str]:
    names = [ALIASES.get(name.strip(), name.strip()) for name in text.split(",")] if text != "all" else list(GROUPS)
    unknown = [name for name in names if name not in GROUPS]
    if unknown:
        raise ValueError(f"unknown groups {unknown}; known: {', '.join(GROUPS)}")
    return names


def spec_names(directory: Path) -> set[str]:
    """The names that kvcore declares, in the form of `Command.name`; empty while there are no declarations."""
    names: set[str] = set()
    for path in sorted(directory.glob("*.toml")):
        if path.stem not in ("errors", "config"):
            names.update(name.lower().replace(" ", "|") for name in tomllib.loads(path.read_text()))
    return names
