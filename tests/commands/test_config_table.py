"""The configuration options against a real Valkey: the same names, kinds, limits, choices and defaults."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from generator import config, peer  # noqa: E402

DECLARED = config.load(ROOT / "src/kvcore/_native/spec/config.toml")
OPTIONS = {name: option for name, option in config.real(DECLARED).items() if not option.get("ours")}

# What the test's own server was started with, and what differs on purpose: no persistence, as many threads as help,
# and values that move when their slabs are sparse.
OTHER_DEFAULTS = {
    "activedefrag",
    "disable-thp",
    "bind",
    "dir",
    "enable-debug-command",
    "io-threads",
    "pidfile",
    "port",
    "save",
}
# Setting these would touch listeners, files or the process: only their names and defaults are compared.
NOT_PROBED = {
    "bind",
    "io-threads",
    "port",
    "tls-port",
    "rdma-port",
    "rdma-bind",
    "save",
    "oom-score-adj-values",
    "locale-collate",
}


@pytest.fixture(scope="module")
def real() -> Iterator[peer.Connection]:
    binary = peer.find_server()
    if binary is None:
        pytest.skip("no valkey-server: tools/peers.sh build/peers brings one")
    with peer.running_server(binary) as (host, port), peer.Connection(host, port) as connection:
        yield connection


def pairs(reply: peer.Map) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in reply.pairs}


def test_names_and_defaults(real: peer.Connection) -> None:
    shown = pairs(real.call("CONFIG", "GET", "*"))
    ours: dict[str, str] = {}
    for name, option in OPTIONS.items():
        if option.get("hidden"):
            assert pairs(real.call("CONFIG", "GET", name)) == {name: option["default"]}
            continue
        ours |= dict.fromkeys([name, option.get("alias", name)], option["default"])
    assert set(ours) == set(shown)
    assert {name: ours[name] for name in ours if name not in OTHER_DEFAULTS} == {
        name: shown[name] for name in shown if name not in OTHER_DEFAULTS
    }


def refusal(real: peer.Connection, name: str, value: str) -> str:
    """The reason why a value is refused; empty when it is not."""
    reply = real.call("CONFIG", "SET", name, value)
    return reply.text.split(" - ", 1)[-1] if isinstance(reply, peer.ErrorReply) else ""


@pytest.mark.parametrize("name", sorted(set(OPTIONS) - NOT_PROBED))
def test_kind_and_limits(name: str, real: peer.Connection) -> None:
    option: dict[str, Any] = OPTIONS[name]
    before = pairs(real.call("CONFIG", "GET", name))[name]
    reason = refusal(real, name, "zz bogus")
    assert (reason == "can't set immutable config") == bool(option.get("immutable"))
    assert (reason == "can't set protected config") == bool(option.get("protected"))
    if option.get("immutable") or option.get("protected"):
        return
    kind = option["kind"]
    expected = {
        "bool": "argument must be 'yes' or 'no'",
        "int": "argument couldn't be parsed into an integer",
        "bytes": "argument must be a memory value",
        "percent": "argument must be a memory or percent value",
        "events": "Invalid event class character.",
    }
    if kind in expected:
        assert reason.startswith(expected[kind])
    elif kind in ("enum", "flags"):
        assert reason == "argument(s) must be one of the following: " + ", ".join(option["choices"])
    if kind == "int" and name not in ("cluster-blacklist-ttl", "io-threads"):
        low, high = option.get("range", (0, config.INT64_MAX))
        limits = re.search(r"between (-?\d+) and (\d+)", refusal(real, name, str(-(2**40))))
        assert limits is not None
        assert (int(limits[1]), int(limits[2])) == (low, high)
    assert refusal(real, name, before) == ""


def test_ignored_names_are_accepted_in_a_file() -> None:
    binary = peer.find_server()
    if binary is None:
        pytest.skip("no valkey-server: tools/peers.sh build/peers brings one")
    ignored = [word for name, option in DECLARED.items() if option.get("ignored") for word in (f"--{name}", "yes")]
    with peer.running_server(binary, *ignored) as (host, port), peer.Connection(host, port) as connection:
        for name in ignored[::2]:
            assert pairs(connection.call("CONFIG", "GET", name[2:])) == {}
