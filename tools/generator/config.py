"""config.toml -> engine/config_fields.h, api/config_table.h, api/config_table.c.  errors.toml -> engine/errors.h."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from .text import NOTICE, c_identifier, c_int64, c_string

INT64_MAX = 2**63 - 1
NUMERIC = {"bool", "int", "bytes", "percent", "octal", "enum", "flags", "events"}
KINDS = NUMERIC | {"string", "list"}
KNOWN_KEYS = {
    "kind",
    "default",
    "range",
    "choices",
    "alias",
    "immutable",
    "deny_loading",
    "protected",
    "sensitive",
    "ours",
    "hidden",
    "inert",
    "summary",
}


class ConfigError(Exception):
    """A declaration in config.toml does not make sense."""


def load(path: Path) -> dict[str, dict[str, Any]]:
    with path.open("rb") as file:
        options = tomllib.load(file)
    for name, option in options.items():
        if option == {"ignored": True}:
            continue
        if unknown := set(option) - KNOWN_KEYS:
            raise ConfigError(f"{name}: unknown keys {sorted(unknown)}")
        if option["kind"] not in KINDS:
            raise ConfigError(f"{name}: unknown kind {option['kind']}")
    return dict(sorted(options.items()))


def real(options: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Without those that are only ignored."""
    return {name: option for name, option in options.items() if not option.get("ignored")}


def number(name: str, option: dict[str, Any]) -> int:
    kind, text = option["kind"], option["default"]
    if kind not in NUMERIC or kind == "events":
        return 0
    if kind == "bool":
        return {"no": 0, "yes": 1}[text]
    if kind in ("enum", "flags"):
        index = option["choices"].index(text)
        return index if kind == "enum" else flag_value(index)
    if kind == "octal":
        return int(text, 8)
    if option["kind"] == "int" and text == "auto":
        return 0
    return int(text)


def flag_value(index: int) -> int:
    return 0 if index == 0 else 1 << (index - 1)


def fields_header(options: dict[str, dict[str, Any]]) -> str:
    options = real(options)
    lines = [
        f"/* {NOTICE} */",
        "#ifndef KV_ENGINE_CONFIG_FIELDS_H",
        "#define KV_ENGINE_CONFIG_FIELDS_H",
        "",
        "/* The index of an option in the table and of its value in a configuration. */",
        "typedef enum kv_config_field {",
    ]
    lines += [f"    KV_CFG_{c_identifier(name).upper()}," for name in options]
    lines += ["    KV_CFG_COUNT", "} kv_config_field;", ""]
    for name, option in options.items():
        if option["kind"] not in ("enum", "flags"):
            continue
        value = flag_value if option["kind"] == "flags" else int
        prefix = "KV_" + c_identifier(name).upper() + "_"
        names = [f"{prefix}{c_identifier(choice).upper()} = {value(i)}" for i, choice in enumerate(option["choices"])]
        lines.append(f"enum {{ /* {name} */\n    " + ",\n    ".join(names) + "\n};\n")
    lines += ["#endif", ""]
    return "\n".join(lines)


def table_header() -> str:
    return f"""/* {NOTICE} */
#ifndef KV_API_CONFIG_TABLE_H
#define KV_API_CONFIG_TABLE_H

#include "engine/config.h"

extern const kv_config_table kv_config_options;

#endif
"""


def flags_of(option: dict[str, Any]) -> str:
    flags = []
    if not option.get("immutable"):
        flags.append("KV_CONFIG_MUTABLE")
    if option["kind"] == "list":
        flags.append("KV_CONFIG_MULTI_ARG")
    if "summary" not in option:
        flags.append("KV_CONFIG_UNSUPPORTED")
    keys = ("deny_loading", "protected", "sensitive", "ours", "hidden", "inert")
    flags += [f"KV_CONFIG_{key.upper()}" for key in keys if option.get(key)]
    return " | ".join(flags) or "0"


def table_source(options: dict[str, dict[str, Any]]) -> str:
    ignored = [c_string(name) for name in options if options[name].get("ignored")]
    options = real(options)
    lines = [f"/* {NOTICE} */", '#include "api/config_table.h"', ""]
    for name, option in options.items():
        if "choices" not in option:
            continue
        value = flag_value if option["kind"] == "flags" else int
        pairs = ", ".join(f"{{{c_string(choice)}, {value(i)}}}" for i, choice in enumerate(option["choices"]))
        lines.append(f"static const kv_config_choice {c_identifier(name)}_choices[] = {{{pairs}, {{NULL, 0}}}};")
    lines += ["", "static const kv_config_option options[] = {"]
    for name, option in options.items():
        low, high = option.get("range", (0, INT64_MAX))
        choices = f"{c_identifier(name)}_choices" if "choices" in option else "NULL"
        field = f"KV_CFG_{c_identifier(name).upper()}"
        lines.append(
            f"    [{field}] = {{{c_string(name)}, {c_string(option.get('alias'))}, {c_string(option['default'])},\n"
            f"        {c_int64(number(name, option))}, {c_int64(low)}, {c_int64(high)}, {choices},\n"
            f"        {c_string(option.get('summary', ''))},\n"
            f"        {flags_of(option)}, KV_CONFIG_{option['kind'].upper()}, {field}}},"
        )
    lines += ["};", "", f"static const char *const ignored[] = {{{', '.join(ignored)}, NULL}};", ""]
    lines += ["const kv_config_table kv_config_options = {options, KV_CFG_COUNT, ignored};", ""]
    return "\n".join(lines)


def errors_header(path: Path) -> str:
    with path.open("rb") as file:
        groups = tomllib.load(file)
    lines = [
        f"/* {NOTICE} */",
        "/* The error texts that clients match on, for kv_reply_error (no %) and kv_reply_errorf. */",
        "#ifndef KV_ENGINE_ERRORS_H",
        "#define KV_ENGINE_ERRORS_H",
    ]
    for group, texts in groups.items():
        lines += ["", f"/* {group.replace('_', ' ')} */"]
        lines += [f"#define KV_ERR_{name.upper()} {c_string(text)}" for name, text in texts.items()]
    lines += ["", "#endif", ""]
    return "\n".join(lines)
