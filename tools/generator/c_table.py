"""Commands -> api/command_table.h and api/command_table.c: constant data in the shape of engine/command.h."""

from __future__ import annotations

from .spec import Command, KeySpec
from .syntax import Arg
from .text import NOTICE, c_identifier, c_string, wrap_c

MASK64 = 2**64 - 1
NONE = 65535


def name_hash(name: str, parent: int) -> int:
    """kv_command_hash of engine/command.c."""
    data = name.encode()
    value = (len(data) + parent * 0x9E3779B97F4A7C15) & MASK64
    for at in range(0, len(data), 8):
        word = int.from_bytes(data[at : at + 8], "little") | 0x2020202020202020
        value = ((value ^ word) * 0xD6E8FEB86659FD93) & MASK64
        value ^= value >> 32
    return value & 0xFFFFFFFF


def header() -> str:
    return f"""/* {NOTICE} */
#ifndef KV_API_COMMAND_TABLE_H
#define KV_API_COMMAND_TABLE_H

#include "engine/command.h"

/* Every command of this build. Its handlers are kv_cmd_<name>. */
extern const kv_command_table kv_commands;

#endif
"""


def ordered(top: list[Command]) -> list[Command]:
    """The order of the table: top-level commands, then subcommands, container by container."""
    return top + [sub for command in top for sub in command.subcommands]


def key_spec(spec: KeySpec) -> str:
    flags = " | ".join(f"KV_KEY_{flag.upper()}" for flag in spec.flags)
    find = {"range": "RANGE", "keynum": "KEYNUM", "unknown": "UNKNOWN"}[spec.find]
    return (
        f"{{{c_string(spec.notes)}, {flags}, KV_BEGIN_{spec.begin.upper()}, KV_KEYS_{find}, {spec.index}, "
        f"{c_string(spec.keyword)}, {spec.last}, {spec.limit}, {spec.step}, {spec.count_at}, {spec.first}}}"
    )


def arg_arrays(args: list[Arg], name: str, out: list[str]) -> None:
    """Children first, so that each array is defined before it is used."""
    rows = []
    for number, arg in enumerate(args):
        children = "NULL"
        if arg.children:
            children = f"{name}_{number}"
            arg_arrays(arg.children, children, out)
        flags = [
            flag
            for flag, on in (
                ("KV_ARG_OPTIONAL", arg.optional),
                ("KV_ARG_MULTIPLE", arg.multiple),
                ("KV_ARG_MULTIPLE_TOKEN", arg.multiple_token),
            )
            if on
        ]
        rows.append(
            f"    {{{c_string(arg.name)}, {c_string(arg.display)}, {c_string(arg.token)}, NULL, {c_string(arg.since)}, "
            f"{c_string(arg.deprecated_since)}, KV_ARG_{c_identifier(arg.type).upper()}, "
            f"{' | '.join(flags) or '0'}, {arg.key_spec}, {len(arg.children)}, {children}}},"
        )
    out.append(f"static const kv_arg {name}[] = {{\n" + "\n".join(rows) + "\n};")


# Commands with one of these are not short ones on a single key, whatever their key specs say.
NOT_SHORT = {"blocking", "admin", "pubsub", "protected", "no_multi", "all_keys", "maybe_all_keys", "cursor", "no_auth"}


def has_one_key(command: Command) -> bool:
    """Is the first argument the only key, whatever the others are? (SET's function finds flags, not other keys.)"""
    if len(command.key_specs) != 1 or NOT_SHORT & set(command.flags):
        return False
    if command.data.get("keys_function", "set") != "set":
        return False
    spec = command.key_specs[0]
    first = (spec.begin, spec.index, spec.find, spec.last) == ("index", 1, "range", 0)
    return first and "not_key" not in spec.flags and not command.subcommands and not command.parent


def flag_words(command: Command) -> str:
    flags = ["KV_CMD_MOVABLE_KEYS" if flag == "movablekeys" else f"KV_CMD_{flag.upper()}" for flag in command.flags]
    if command.subcommands:
        flags.append("KV_CMD_CONTAINER")
    if has_one_key(command):
        flags.append("KV_CMD_ONE_KEY")
    if "fast" in command.flags or (command.group == "string" and command.name != "lcs"):
        flags.append("KV_CMD_QUICK")
    return " | ".join(flags) or "0"


def parts_of(command: Command, out: list[str]) -> None:
    """The arrays of one command and its documentation."""
    data, name = command.data, c_identifier(command.full_name)
    if command.key_specs:
        rows = "\n".join(f"    {key_spec(spec)}," for spec in command.key_specs)
        out.append(f"static const kv_key_spec {name}_keys[] = {{\n{rows}\n}};")
    if command.args:
        arg_arrays(command.args, f"{name}_args", out)
    tips, history = data.get("tips", []), data.get("history", [])
    if tips:
        out.append(f"static const char *const {name}_tips[] = {{{', '.join(c_string(tip) for tip in tips)}}};")
    if history:
        rows = ", ".join(f"{{{c_string(since)}, {c_string(text)}}}" for since, text in history)
        out.append(f"static const kv_history {name}_history[] = {{{rows}}};")
    doc_flags = " | ".join(f"KV_DOC_{flag.upper()}" for flag in data.get("doc_flags", [])) or "0"
    out.append(
        f"static const kv_command_doc {name}_doc = {{\n"
        f"    {c_string(data['summary'])}, {c_string(data['since'])},\n"
        f"    {c_string(data['cost'])},\n    {c_string(command.usage)},\n"
        f"    {c_string(data.get('deprecated_since'))}, {c_string(data.get('replaced_by'))}, {doc_flags}, "
        f"{len(tips)}, {len(history)}, {len(command.args)},\n"
        f"    {f'{name}_tips' if tips else 'NULL'}, {f'{name}_history' if history else 'NULL'}, "
        f"{f'{name}_args' if command.args else 'NULL'}}};"
    )


def row(command: Command, number: int, ids: dict[str, int]) -> str:
    name = c_identifier(command.full_name)
    parent = str(ids[command.parent]) if command.parent else "KV_COMMAND_NONE"
    sub_first = ids[command.subcommands[0].full_name] if command.subcommands else 0
    first, last, step = command.triple
    group = f"KV_GROUP_{c_identifier(command.group).upper()}"
    keys_function = f"kv_keys_{command.data['keys_function']}" if "keys_function" in command.data else "NULL"
    acl = " | ".join(f"KV_ACL_{category.upper()}" for category in command.acl) or "0"
    return (
        f"    {{{c_string(command.name)}, {c_string(command.full_name)}, {command.handler or 'NULL'},\n"
        f"        {flag_words(command)},\n        {acl},\n"
        f"        {number}, {parent}, {sub_first}, {len(command.subcommands)}, {command.arity}, {first}, {last}, "
        f"{step}, {len(command.name)}, {len(command.full_name)}, {group}, {len(command.key_specs)},\n"
        f"        {f'{name}_keys' if command.key_specs else 'NULL'}, {keys_function}, &{name}_doc}},"
    )


def slots_of(commands: list[Command], ids: dict[str, int]) -> list[int]:
    size = 1
    while size < 3 * len(commands):
        size *= 2
    slots = [NONE] * size
    for command in commands:
        parent = ids[command.parent] + 1 if command.parent else 0
        at = name_hash(command.name, parent) & (size - 1)
        while slots[at] != NONE:
            at = (at + 1) & (size - 1)
        slots[at] = ids[command.full_name]
    return slots


def source(top: list[Command]) -> str:
    commands = ordered(top)
    ids = {command.full_name: number for number, command in enumerate(commands)}
    out = [f"/* {NOTICE} */", '#include "api/command_table.h"', ""]
    handlers = sorted({command.handler for command in commands if command.handler})
    out += [f"extern void {handler}(struct kv_ctx *c);" for handler in handlers]
    for command in commands:
        out.append("")
        parts_of(command, out)
    out += ["", "static const kv_command commands[] = {"]
    out += [row(command, number, ids) for number, command in enumerate(commands)]
    out += ["};", ""]
    slots = slots_of(commands, ids)
    out += ["static const uint16_t slots[] = {", wrap_c([str(slot) for slot in slots]), "};", ""]
    out += [
        f"const kv_command_table kv_commands = {{commands, slots, {len(slots) - 1}, {len(commands)}, {len(top)}}};",
        "",
    ]
    assert len(commands) < NONE
    return "\n".join(out)
