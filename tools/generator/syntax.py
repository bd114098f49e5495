"""The `syntax` line of a command: parsed into the argument tree of COMMAND DOCS, read for arity, key specs, usage.

docs/design/syntax.md explains the grammar:

    line    := item*
    item    := [name '='] unit ['+' | '++'] ['^' version] ['^-' version]
    unit    := WORD                          a fixed word
             | WORD '!'                      a fixed word even before a name
             | [WORD] name [':' type] ['@' access] ['#' key spec]
             | [WORD] '(' item+ ')'          several arguments in a row
             | [WORD] '<' item ('|' item)+ '>'   one of several
             | '[' ... ']'                   what is inside may be left out

WORD is upper case; a WORD before a name, '(' or '<' introduces that argument. `''` is the empty
word; a name with odd characters is quoted: "ip:port".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

TYPES = {
    "string": "string", "bytes": "string", "int": "integer", "integer": "integer", "double": "double", "key": "key",
    "pattern": "pattern", "time": "unix-time", "unix-time": "unix-time",
}  # fmt: skip
TOKEN = re.compile(
    r"\s*(?:(?P<name>[a-z0-9_.\-]+)=(?=\S)"
    r'|"(?P<quoted>[^"]+)"'
    r"|(?P<arg>[a-z][A-Za-z0-9_.\-/|?]*?(?=[:@#\s+^\])|>]|$))"
    r"|(?P<word>[A-Z0-9=~*$][A-Z0-9_.\-]*|'')"
    r"|:(?P<type>[a-z\-]+)|@(?P<access>[a-z_,]+)|\#(?P<spec>\d+)"
    r"|(?P<many>\+\+?)|\^-(?P<gone>[\d.]+)|\^(?P<since>[\d.]+)"
    r"|(?P<open>[\[(<])|(?P<close>[\])>])|(?P<bar>\|)|(?P<bang>!))"
)


class SyntaxLineError(Exception):
    """A `syntax` line that the grammar does not allow."""


@dataclass
class Arg:
    """A node of the argument tree, named as COMMAND DOCS names it."""

    name: str
    type: str
    display: str | None = None
    token: str | None = None
    since: str | None = None
    deprecated_since: str | None = None
    optional: bool = False
    multiple: bool = False
    multiple_token: bool = False
    key_spec: int = -1
    access: tuple[str, ...] = ()
    children: list[Arg] = field(default_factory=list)

    def words(self) -> tuple[int, bool]:
        """Fewest words that this takes, and whether it may take another number of words."""
        count, varies = (1, False) if self.type not in ("oneof", "block") else (0, False)
        if self.type == "block":
            parts = [child.words() for child in self.children]
            count, varies = sum(p[0] for p in parts), any(p[1] for p in parts)
        elif self.type == "oneof":
            parts = [child.words() for child in self.children]
            count = min(p[0] for p in parts)
            varies = any(p[1] or p[0] != count for p in parts)
        if self.token is not None and self.type != "pure-token":
            count += 1
        if self.optional:
            return 0, True
        return count, varies or self.multiple


def tokens(line: str) -> Iterator[tuple[str, str]]:
    at = 0
    line = line.rstrip()
    while at < len(line):
        match = TOKEN.match(line, at)
        if not match or match.end() == at:
            raise SyntaxLineError(f"cannot read {line[at:]!r} in {line!r}")
        at = match.end()
        kind = match.lastgroup
        assert kind is not None
        yield ("arg" if kind == "quoted" else kind), match.group(kind)


class Parser:
    """Recursive descent over the tokens of one line."""

    def __init__(self, line: str) -> None:
        self.line = line
        self.tokens = list(tokens(line))
        self.at = 0

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "")

    def take(self, kind: str) -> str | None:
        if self.peek()[0] != kind:
            return None
        self.at += 1
        return self.tokens[self.at - 1][1]

    def error(self, message: str) -> SyntaxLineError:
        return SyntaxLineError(f"{message} (at {self.peek()[1]!r}) in {self.line!r}")

    def sequence(self, stop: str) -> list[list[Arg]]:
        """Alternatives separated by '|', each a list of items, up to the closing bracket."""
        alternatives: list[list[Arg]] = [[]]
        while True:
            kind, text = self.peek()
            if kind == "end" or (kind == "close" and text == stop):
                if stop and self.take("close") is None:
                    raise self.error(f"missing {stop!r}")
                return alternatives
            if self.take("bar") is not None:
                alternatives.append([])
            else:
                alternatives[-1].append(self.item())

    def item(self) -> Arg:
        name = self.take("name")
        if self.peek() == ("open", "["):
            self.at += 1
            arg = self.group(self.sequence("]"), name, square=True)
            arg.optional = True
        else:
            arg = self.unit(name)
        many = self.take("many")
        if many:
            arg.multiple = True
            arg.multiple_token = many == "++"
        while self.peek()[0] in ("since", "gone"):
            kind, text = self.peek()
            self.at += 1
            if kind == "since":
                arg.since = text
            else:
                arg.deprecated_since = text
        return arg

    def unit(self, name: str | None) -> Arg:
        word = self.take("word")
        token = "" if word == "''" else word
        forced = self.take("bang") is not None
        kind, text = self.peek()
        if kind == "arg" and not forced:
            return self.value(name, token)
        if kind == "open" and text in "(<" and not forced:
            self.at += 1
            arg = self.group(self.sequence(")" if text == "(" else ">"), name, square=False)
            arg.token = token
            return arg
        if token is None:
            raise self.error("expected an argument")
        plain = name or token.lower()
        return Arg(plain, "pure-token", display=plain, token=token)

    def value(self, name: str | None, token: str | None) -> Arg:
        text = self.take("arg")
        assert text is not None
        arg = Arg(name or text, "string", display=text, token=token)
        if kind := self.take("type"):
            if kind not in TYPES:
                raise self.error(f"unknown type {kind!r}")
            arg.type = TYPES[kind]
        if access := self.take("access"):
            arg.access = tuple(access.split(","))
            arg.type = "key"
        if spec := self.take("spec"):
            arg.key_spec = int(spec)
        return arg

    def group(self, alternatives: list[list[Arg]], name: str | None, *, square: bool) -> Arg:
        if len(alternatives) > 1:
            children = [self.block(items) if len(items) > 1 else items[0] for items in alternatives]
            return Arg(name or "option", "oneof", children=children)
        items = alternatives[0]
        if square and len(items) == 1:
            if name:
                items[0].name = name
                if items[0].type == "pure-token":
                    items[0].display = name
            return items[0]
        return Arg(name or "block", "block", children=items)

    def block(self, items: list[Arg]) -> Arg:
        return Arg("block", "block", children=items)


def parse(line: str) -> list[Arg]:
    parser = Parser(line)
    alternatives = parser.sequence("")
    if len(alternatives) != 1 or parser.peek()[0] != "end":
        raise parser.error("unexpected '|' or bracket")
    return alternatives[0]


def arity(args: list[Arg], name_words: int) -> int:
    """As COMMAND INFO states it: words including the name; negative: at least so many."""
    parts = [arg.words() for arg in args]
    count = name_words + sum(p[0] for p in parts)
    return -count if any(p[1] for p in parts) else count


def usage(args: list[Arg]) -> str:
    """The arguments in one line, as manuals write them."""
    return " ".join(usage_of(arg) for arg in args)


def usage_of(arg: Arg) -> str:
    token = "" if arg.token is None else (arg.token or '""')
    if arg.type == "pure-token":
        text = token
    elif arg.type == "oneof":
        inner = " | ".join(usage_of(child) for child in arg.children)
        text = inner if arg.optional and not token and not arg.multiple else f"<{inner}>"
    elif arg.type == "block":
        text = usage(arg.children)
    else:
        text = arg.display or arg.name
    if token and arg.type != "pure-token":
        text = f"{token} {text}"
    if arg.multiple:
        again = text if arg.multiple_token or not token else text.removeprefix(token + " ")
        text = f"{text} [{again} ...]" if len(again) <= 100 else f"{text} [...]"
    return f"[{text}]" if arg.optional else text
