"""Commands -> docs/commands/*.md: a page a command, and an index."""

from __future__ import annotations

from typing import Any

from .c_table import ordered
from .python import methods_of
from .spec import GROUPS, Command
from .syntax import Arg, usage_of
from .text import NOTICE

TITLES = {
    "generic": "Keys of any type",
    "string": "Strings",
    "list": "Lists",
    "set": "Sets",
    "sorted-set": "Sorted sets",
    "hash": "Hashes",
    "pubsub": "Publish and subscribe",
    "transactions": "Transactions",
    "connection": "Connections",
    "server": "Server",
}


def page_name(command: Command) -> str:
    return command.full_name.replace("|", "-") + ".md"


def code(text: str) -> str:
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def arguments(args: list[Arg], depth: int = 0) -> list[str]:
    """Rows of the argument table; the parts of a block or a choice stand below it, indented."""
    rows = []
    for arg in args:
        plain = arg.type not in ("oneof", "block")
        notes = [note for note, on in (("optional", arg.optional), ("may repeat", arg.multiple)) if on]
        if arg.since:
            notes.append(f"since {arg.since}")
        if arg.deprecated_since:
            notes.append(f"deprecated since {arg.deprecated_since}")
        kind = {"pure-token": "word", "oneof": "one of", "block": "together"}.get(arg.type, arg.type)
        shown = usage_of(arg).strip("[]") if plain and not arg.multiple else arg.token or arg.display or arg.name
        indent = "&nbsp;&nbsp;" * depth
        rows.append(f"| {indent}{cell(code(shown))} | {kind} | {', '.join(notes)} |")
        rows += arguments(arg.children, depth + 1)
    return rows


def example(command: Command) -> list[str]:
    pairs: list[list[str]] = command.data.get("examples", [])
    if not pairs:
        return []
    lines = ["", "## Examples", "", "```"]
    for line, reply in pairs:
        lines += [f"> {line}", reply]
    return [*lines, "```"]


def methods(command: Command) -> list[str]:
    found: list[dict[str, Any]] = methods_of(command)
    if not found:
        return []
    return ["", "## In Python", "", "```python", *(f"db.{method['def']}" for method in found), "```"]


def page(command: Command) -> str:
    data = command.data
    lines = [f"<!-- {NOTICE} -->", f"# {command.title}", "", data["summary"], ""]
    if command.subcommands:
        lines += ["", *(f"- [{sub.title}]({page_name(sub)}): {sub.data['summary']}" for sub in command.subcommands)]
    else:
        lines += ["```", f"{command.title} {command.usage}".rstrip(), "```"]
    if command.args:
        lines += ["", "## Arguments", "", "| Argument | Type | |", "|---|---|---|", *arguments(command.args)]
    first = "in Redis" if tuple(map(int, data["since"].split("."))) < (7, 3) else "in Valkey"
    lines += ["", "## Facts", "", f"- **Reply:** {data['reply']}", f"- **Cost:** {data['cost']}"]
    lines += [f"- **First seen:** {first} {data['since']}", f"- **Flags:** {', '.join(command.flags) or 'none'}"]
    lines.append(f"- **ACL categories:** {', '.join('@' + category for category in command.acl)}")
    lines += [f"- **Since {since}:** {text}" for since, text in data.get("history", [])]
    lines += methods(command) + example(command)
    lines += ["", f"See also: [Valkey's page](https://valkey.io/commands/{command.full_name.replace('|', '-')}/)", ""]
    return "\n".join(lines).replace("\n\n\n", "\n\n")


def index(top: list[Command]) -> str:
    commands = ordered(top)
    lines = [f"<!-- {NOTICE} -->", "# Commands", "", f"{len(commands)} commands, by group.", ""]
    for group in GROUPS:
        members = [command for command in commands if command.group == group]
        if not members:
            continue
        lines += [f"## {TITLES.get(group, group)}", "", "| Command | |", "|---|---|"]
        members.sort(key=lambda command: command.full_name)
        lines += [
            f"| [{command.title}]({page_name(command)}) | {cell(command.data['summary'])} |" for command in members
        ]
        lines.append("")
    return "\n".join(lines)


def pages(top: list[Command]) -> dict[str, str]:
    """File name -> text."""
    found = {page_name(command): page(command) for command in ordered(top)}
    found["index.md"] = index(top)
    return found
