"""Commands -> src/kvcore/commands.py: the typed methods, once for a store and once for a pipeline.

A declaration lists its methods:

    [[HGET.python]]
    def = "hget(name: Key, key: Value) -> T | None"

The words sent are the command's name and the arguments in order. Otherwise `body` builds them and ends with
`return self._run(words, shape)`; `shape` names the function of kvcore/_shapes.py that gives the reply its form.
`overloads` are more precise signatures; `iterator = true` marks a helper that calls other methods (it has no place in a
pipeline).
"""

from __future__ import annotations

import ast
import re
import textwrap
from typing import Any

from .c_table import ordered
from .spec import Command, SpecError
from .text import NOTICE

METHOD_KEYS = {"def", "overloads", "shape", "body", "iterator"}
NOT_IN_PIPELINES = {"reset"}  # a pipeline's reset() forgets what was collected
WIDTH = 120

HEAD = f'''"""The commands as methods: redis-py's names, arguments and reply shapes.

{NOTICE}

Both classes are mixins over one method, which the class that uses them provides:

    def _run(self, words: Sequence[Value], shape: Shape | None = None) -> Any

`words` are the words of one command (str, bytes, int, float; a tuple or list that is not changed afterwards). A store
runs it and returns `shape(reply)`, or the reply as it is when shape is None; a pipeline keeps both for later and
returns itself.
"""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, Literal, Protocol, overload

'''


def methods_of(command: Command) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = command.data.get("python", [])
    for method in found:
        if unknown := set(method) - METHOD_KEYS:
            raise SpecError(f"{command.title}: python: unknown keys {sorted(unknown)}")
    return found


def parameters(signature: str) -> list[str]:
    """Names of the parameters, with '*' before a variadic one."""
    function = ast.parse(f"def {signature}: ...").body[0]
    assert isinstance(function, ast.FunctionDef)
    names = [arg.arg for arg in function.args.args]
    if function.args.vararg:
        names.append("*" + function.args.vararg.arg)
    return names + [arg.arg for arg in function.args.kwonlyargs]


def definition(signature: str, result: str | None = None) -> str:
    """`def name(self, ...) -> result:`, broken over lines as ruff format does."""
    name, rest = signature.split("(", 1)
    arguments, returns = rest.rsplit(") -> ", 1)
    arguments = ", ".join(part for part in ("self", arguments) if part)
    tail = f") -> {result or returns}:"
    line = f"    def {name}({arguments}{tail}"
    if len(line) <= WIDTH:
        return line
    one = f"        {arguments}"
    if len(one) <= WIDTH:
        return f"    def {name}(\n{one}\n    {tail}"
    parts = [part.strip() for part in re.split(r",\s*(?![^\[]*\])", arguments)]
    return f"    def {name}(\n" + "".join(f"        {part},\n" for part in parts) + f"    {tail}"


def docstring(command: Command) -> str:
    page = command.full_name.replace("|", "-")
    lines = [command.data["summary"]]
    if command.usage:
        usage = f"{command.title} {command.usage}"
        lines += [
            "",
            *textwrap.wrap(
                usage, WIDTH - 12, initial_indent="    ", subsequent_indent="        ", break_on_hyphens=False
            ),
        ]
    lines += [
        "",
        *textwrap.wrap(f"Reply: {command.data['reply']}.", WIDTH - 8),
        *textwrap.wrap(f"Cost: {command.data['cost']}.", WIDTH - 8),
    ]
    lines.append(f"https://valkey.io/commands/{page}/")
    body = "\n".join(f"        {line}".rstrip() for line in lines[1:])
    return f'        """{lines[0]}\n{body}\n        """'


def body_of(command: Command, method: dict[str, Any]) -> str:
    if "body" in method:
        text: str = textwrap.indent(method["body"].strip("\n"), "        ")
        return text
    words = [f'"{word}"' for word in command.title.split(" ")] + parameters(method["def"])
    inside = ", ".join(words) + ("," if len(words) == 1 else "")
    shape = method.get("shape")
    return f"        return self._run(({inside}){f', {shape}' if shape else ''})"


def store_method(command: Command, method: dict[str, Any]) -> str:
    parts = [f"    @overload\n{definition(signature)} ..." for signature in method.get("overloads", [])]
    parts.append(f"{definition(method['def'])}\n{docstring(command)}\n{body_of(command, method)}")
    return "\n\n".join(parts)


def pipeline_method(command: Command, method: dict[str, Any]) -> str:
    doc = f'        """{command.data["summary"]}"""'
    return f"{definition(method['def'], 'Self')}\n{doc}\n{body_of(command, method)}"


def source(top: list[Command]) -> str:
    entries = [(command, method) for command in ordered(top) for method in methods_of(command)]
    entries.sort(key=lambda entry: entry[1]["def"])
    store = "\n\n".join(store_method(command, method) for command, method in entries)
    pipeline = "\n\n".join(
        pipeline_method(command, method)
        for command, method in entries
        if not method.get("iterator") and method["def"].split("(")[0] not in NOT_IN_PIPELINES
    )
    used = {"Shape", *re.findall(r"[A-Za-z_]+", store + pipeline)}
    shapes = sorted((name for name in shape_names() if name in used), key=import_order)
    lines = ["from kvcore._shapes import ("] + [f"    {name}," for name in shapes if name != "DataError"] + [")"]
    errors = "from kvcore.errors import DataError, make"
    head = HEAD.replace("Protocol, overload", "Self, overload")
    return (
        head
        + "\n".join(lines)
        + f'\n{errors}\n\n__all__ = ["Commands", "PipelineCommands"]\n\n\n'
        + "class Commands(Generic[T]):\n"
        + '    """Every command, run at once. T is bytes, or str with decode_responses=True."""\n\n'
        + "    def _run(self, words: Sequence[Value], shape: Shape | None = None) -> Any:\n"
        + '        """Run one command. The class that mixes this in does it."""\n        raise NotImplementedError\n\n'
        + store
        + "\n\n\nclass PipelineCommands:\n"
        + '    """The same methods, collecting: each returns the pipeline, so that calls can be chained."""\n\n'
        + "    def _run(self, words: Sequence[Value], shape: Shape | None = None) -> Any:\n"
        + '        """Keep one command. The class that mixes this in does it."""\n        raise NotImplementedError\n\n'
        + pipeline
        + "\n"
    )


def import_order(name: str) -> tuple[int, str]:
    """As ruff sorts names: constants, classes, functions."""
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2
    return kind, name


def shape_names() -> list[str]:
    from .peer import ROOT

    tree = ast.parse((ROOT / "src/kvcore/_shapes.py").read_text())
    names: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            names.append(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.append(node.target.id)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                names += [item.id for item in ast.walk(target) if isinstance(item, ast.Name)]
    return names
