"""The declarations against a real Valkey: all that COMMAND INFO and COMMAND DOCS state, but for the prose, is equal."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from generator import peer, spec, syntax  # noqa: E402

COMMANDS = [command for top in spec.load(ROOT / "src/kvcore/_native/spec") for command in (top, *top.subcommands)]
IDS = [command.full_name for command in COMMANDS]


def plain(value: Any) -> Any:
    """Replies as dicts, lists and str."""
    if isinstance(value, peer.Map):
        return {plain(key): plain(item) for key, item in value.pairs}
    if isinstance(value, (peer.Set, peer.Push)):
        return [plain(item) for item in value.items]
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, peer.Status):
        return value.text
    return value.decode() if isinstance(value, bytes) else value


@pytest.fixture(scope="module")
def real() -> Iterator[peer.Connection]:
    binary = peer.find_server()
    if binary is None:
        pytest.skip("no valkey-server: tools/peers.sh build/peers brings one")
    with peer.running_server(binary) as (host, port), peer.Connection(host, port) as connection:
        version = plain(connection.call("HELLO", "3"))
        if version.get("server") != "valkey" or not version["version"].startswith("9.1"):
            pytest.skip("the server is not Valkey 9.1")
        yield connection


@pytest.fixture(scope="module")
def real_info(real: peer.Connection) -> dict[str, Any]:
    found = {}
    for entry in plain(real.call("COMMAND")):
        for item in (entry, *entry[9]):
            found[item[0]] = item
    return found


@pytest.fixture(scope="module")
def real_docs(real: peer.Connection) -> dict[str, Any]:
    found = {}
    for name, entry in plain(real.call("COMMAND", "DOCS")).items():
        found[name] = entry
        found |= entry.get("subcommands", {})
    return found


def our_key_spec(key: spec.KeySpec) -> dict[str, Any]:
    begin: dict[str, Any] = {"type": key.begin, "spec": {}}
    if key.begin == "index":
        begin["spec"] = {"index": key.index}
    elif key.begin == "keyword":
        begin["spec"] = {"keyword": key.keyword, "startfrom": key.index}
    find: dict[str, Any] = {"type": key.find, "spec": {}}
    if key.find == "range":
        find["spec"] = {"lastkey": key.last, "keystep": key.step, "limit": key.limit}
    elif key.find == "keynum":
        find["spec"] = {"keynumidx": key.count_at, "firstkey": key.first, "keystep": key.step}
    flags = [flag.upper() if flag in ("ro", "rw", "ow", "rm") else flag for flag in key.flags]
    return {"flags": flags, "begin_search": begin, "find_keys": find}


def our_arg(arg: syntax.Arg) -> dict[str, Any]:
    optional = {
        "display_text": arg.display,
        "token": arg.token,
        "since": arg.since,
        "deprecated_since": arg.deprecated_since,
        "key_spec_index": arg.key_spec if arg.key_spec >= 0 else None,
    }
    found: dict[str, Any] = {"name": arg.name, "type": arg.type} | {
        key: value for key, value in optional.items() if value is not None
    }
    flags = [flag for flag in ("optional", "multiple", "multiple_token") if getattr(arg, flag)]
    if flags:
        found["flags"] = flags
    if arg.children:
        found["arguments"] = [our_arg(child) for child in arg.children]
    return found


def without_summaries(args: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The prose is our own."""
    found = []
    for arg in args:
        kept = {key: value for key, value in arg.items() if key != "summary"}
        if "arguments" in kept:
            kept["arguments"] = without_summaries(kept["arguments"])
        found.append(kept)
    return found


@pytest.mark.parametrize("command", COMMANDS, ids=IDS)
def test_info_equals_the_real_one(command: spec.Command, real_info: dict[str, Any]) -> None:
    name, arity, flags, first, last, step, acl, tips, keys, subcommands = real_info[command.full_name]
    assert command.full_name == name
    assert command.arity == arity
    assert [flag for flag in command.flags if flag in spec.PUBLIC_FLAGS] == flags
    assert command.triple == (first, last, step)
    assert ["@" + category for category in command.acl] == acl
    assert command.data.get("tips", []) == tips
    assert [our_key_spec(key) for key in command.key_specs] == [
        {k: v for k, v in key.items() if k != "notes"} for key in keys
    ]
    assert [bool(key.notes) for key in command.key_specs] == ["notes" in key for key in keys]
    if command.full_name != "module":  # modules cannot be loaded
        assert sorted(sub.full_name for sub in command.subcommands) == sorted(sub[0] for sub in subcommands)


@pytest.mark.parametrize("command", COMMANDS, ids=IDS)
def test_docs_equal_the_real_ones(command: spec.Command, real_docs: dict[str, Any]) -> None:
    docs = real_docs[command.full_name]
    assert command.group == docs["group"]
    assert command.data["since"] == docs["since"]
    assert [our_arg(arg) for arg in command.args] == without_summaries(docs.get("arguments", []))
    assert [since for since, _ in command.data.get("history", [])] == [since for since, _ in docs.get("history", [])]
    assert command.data.get("doc_flags", []) == docs.get("doc_flags", [])
    assert command.data.get("replaced_by") == docs.get("replaced_by")
    assert command.data.get("deprecated_since") == docs.get("deprecated_since")


def test_prose_is_complete() -> None:
    for command in COMMANDS:
        assert command.data["summary"].endswith("."), command.title
        assert command.data["cost"], command.title
        assert command.data["reply"], command.title


def test_generated_files_are_fresh() -> None:
    run = subprocess.run([sys.executable, ROOT / "tools/gen.py", "--check"], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stdout + run.stderr
