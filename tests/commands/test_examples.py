"""The examples of the declarations: the manual is true of a real Valkey and of kvcore, through every door."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from generator import examples, peer  # noqa: E402

from tests import servers  # noqa: E402

OF_A_CONNECTION = {"connection", "transactions", "pubsub", "monitor", "shutdown", "debug"}
CASES: list[dict[str, Any]] = json.loads((ROOT / "tests/commands/examples.json").read_text())


@pytest.fixture(scope="module")
def real() -> Iterator[tuple[str, int]]:
    binary = peer.find_server()
    if binary is None:
        pytest.skip("no valkey-server: tools/peers.sh build/peers brings one")
    with peer.running_server(binary) as address:
        yield address


def run(case: dict[str, Any], address: tuple[str, int], protocol: int) -> list[str]:
    matches = examples.matches if protocol == 3 else examples.matches_resp2
    wrong = []
    with peer.Connection(*address, protocol=protocol) as connection:
        connection.call("FLUSHALL")
        for step in case["steps"]:
            reply = connection.call(*step["words"])
            if not matches(examples.parse(step["reply"]), reply):
                wrong.append(f"{step['words']}: {examples.spell_top(reply)}, not {step['reply']}")
            if protocol == 2 and step["words"][0] == "HELLO" and not isinstance(reply, peer.ErrorReply):
                protocol = 3
    return wrong


@pytest.mark.peer
@pytest.mark.parametrize("protocol", [3, 2])
@pytest.mark.parametrize("case", CASES, ids=[case["command"] for case in CASES])
def test_true_of_the_real_server(case: dict[str, Any], protocol: int, real: tuple[str, int]) -> None:
    assert run(case, real, protocol) == []


@pytest.mark.parametrize("protocol", [3, 2])
@pytest.mark.parametrize("case", CASES, ids=[case["command"] for case in CASES])
def test_true_of_the_server(case: dict[str, Any], protocol: int, served_kvcore: servers.Server) -> None:
    assert run(case, (served_kvcore.host, served_kvcore.port), protocol) == []


def wire(value: Any) -> Any:
    """A Python reply in the types of the notation; statuses are strings in Python."""
    if isinstance(value, dict):
        return peer.Map([(wire(key), wire(item)) for key, item in value.items()])
    if isinstance(value, (set, frozenset)):
        return peer.Set([wire(item) for item in value])
    if isinstance(value, (list, tuple)):
        return [wire(item) for item in value]
    if isinstance(value, peer.Status):
        return value.text.encode()
    if isinstance(value, (peer.Set, examples.Unordered)):
        return type(value)([wire(item) for item in value.items])
    if isinstance(value, peer.Map):
        return peer.Map([(wire(key), wire(item)) for key, item in value.pairs])
    return value.encode() if isinstance(value, str) else value


EMBEDDED = [case for case in CASES if case["group"] not in OF_A_CONNECTION and case["command"] not in OF_A_CONNECTION]


@pytest.mark.parametrize("case", EMBEDDED, ids=[case["command"] for case in EMBEDDED])
def test_true_in_the_process(case: dict[str, Any]) -> None:
    kvcore = pytest.importorskip("kvcore", reason="build the engine first")
    wrong = []
    with kvcore.open() as db:
        for step in case["steps"]:
            expected = examples.parse(step["reply"])
            try:
                reply = db.execute(*step["words"])
            except kvcore.RedisError as error:
                if not isinstance(expected, peer.ErrorReply) or not expected.text.endswith(str(error)):
                    wrong.append(f"{step['words']}: {error!r}, not {step['reply']}")
                continue
            if not examples.matches_resp2(wire(expected), wire(reply)):
                wrong.append(f"{step['words']}: {reply!r}, not {step['reply']}")
    assert wrong == []


@pytest.mark.parametrize(
    "text",
    ["+OK", "-ERR no", '"a\\"b"', "12", "-3", "1.5", "inf", "-inf", "null", "true", '[1, ["a", null]]', '{"a": ~[1]}',
     '>["x", 1]', '[+OK, -"ERR x"]', "[]", "{}", "~[]"],
)  # fmt: skip
def test_notation_reads_what_it_writes(text: str) -> None:
    assert examples.spell_top(examples.parse(text)) == text


def test_notation_matches() -> None:
    assert examples.matches(examples.parse('unordered ["a", "b"]'), [b"b", b"a"])
    assert not examples.matches(examples.parse('unordered ["a", "b"]'), [b"b"])
    assert not examples.matches(examples.parse("1"), 1.0)
    assert not examples.matches(examples.parse("+OK"), b"OK")
    assert examples.matches(examples.parse("[int, any]"), [3, None])
    assert examples.matches_resp2(examples.parse('{"a": 1.5}'), [b"a", b"1.5"])
