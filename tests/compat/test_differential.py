"""kvcore beside a real Valkey: the same commands, the same replies. See differential.py and corpus.py."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers
from tests.compat import corpus, grammar
from tests.compat.differential import Pair, Run, Target, show_step, shrink
from tests.compat.generate import Step
from tests.compat.regressions import REGRESSIONS

pytestmark = pytest.mark.peer

SEEDS = (1, 2, 3)
COMMANDS_A_SEED = 1_500
SECONDS_A_SEED = 9.0
SCRIPTS = sorted(corpus.DIRECTORY.glob("*.txt"))


@pytest.fixture(scope="module")
def targets() -> Iterator[tuple[Target, Target]]:
    """The reference, and kvcore. Both are started again when a test has crashed one."""
    if servers.find_peer("valkey-server") is None:
        pytest.skip(servers.NO_PEER.format(program="valkey-server"))
    if servers.kvcore_command() is None:
        pytest.skip("python -m kvcore serve does not run here: build the engine first")
    pair = Target("valkey"), Target("kvcore")
    yield pair
    for target in pair:
        target.stop()


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("seed", SEEDS)
def test_random_commands(targets: tuple[Target, Target], seed: int, protocol: int) -> None:
    run = Run(*targets)
    run.run(
        seed, COMMANDS_A_SEED, protocol, list(grammar.GROUPS), limit=5, deadline_s=time.monotonic() + SECONDS_A_SEED
    )
    assert not run.findings, "\n\n".join(map(str, run.findings))


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_script(targets: tuple[Target, Target], path: Path, protocol: int) -> None:
    pair = Pair(targets[0].address, targets[1].address, protocol, strict=True)
    try:
        found = corpus.replay(pair, corpus.load(path))
    finally:
        pair.close()
    report = [f"{path.name}:{number} {show_step(d.step)} {d.kind}\n  a: {d.a!r}\n  b: {d.b!r}" for number, d in found]
    assert not found, f"{len(found)} lines differ:\n" + "\n".join(report[:40])


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("name", sorted(REGRESSIONS))
def test_regression(targets: tuple[Target, Target], name: str, protocol: int) -> None:
    pair = Pair(targets[0].address, targets[1].address, protocol)
    try:
        found = pair.run(REGRESSIONS[name])
    finally:
        pair.close()
    assert found is None, str(found)


# The tool itself


def test_two_valkeys_are_equal(valkey_server: servers.Server, second_valkey_server: servers.Server) -> None:
    run = Run(Target(valkey_server.address), Target(second_valkey_server.address))
    run.run(7, 1_000, 2, list(grammar.GROUPS))
    run.run(8, 1_000, 3, list(grammar.GROUPS))
    assert not run.findings, "\n\n".join(map(str, run.findings))


def test_the_scripts_are_the_same_on_two_valkeys(
    valkey_server: servers.Server, second_valkey_server: servers.Server
) -> None:
    for path in SCRIPTS:
        pair = Pair(
            (valkey_server.host, valkey_server.port),
            (second_valkey_server.host, second_valkey_server.port),
            3,
            strict=True,
        )
        assert corpus.replay(pair, corpus.load(path)) == [], path.name
        pair.close()


def test_a_difference_is_noticed_and_made_small(valkey_server: servers.Server, redis_server: servers.Server) -> None:
    run = Run(Target(valkey_server.address), Target(redis_server.address), shrink_s=5.0)
    run.run(1, 2_000, 2, ["transactions", "string"], limit=3, only="delifeq|set|multi|watch|exec")
    assert run.findings
    assert min(len(finding.steps) for finding in run.findings) <= 3


def test_shrink_finds_the_two_steps_that_matter() -> None:
    steps: list[Step] = [(0, b"SET", b"%d" % index, b"v") for index in range(100)]
    calls = []

    def fails(candidate: list[Step]) -> bool:
        calls.append(len(candidate))
        return {b"17", b"63"} <= {step[2] for step in candidate if len(step) > 2}

    assert [step[2] for step in shrink(steps, fails)] == [b"17", b"63"]
    assert len(calls) < 200


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("SET k v", [b"SET", b"k", b"v"]),
        ('SET "" "a b"', [b"SET", b"", b"a b"]),
        (r'X "\x00\r\n\"" ' + r"'a\'b\n'", [b"X", b'\x00\r\n"', rb"a'b\n"]),
        ("  spaced   out  ", [b"spaced", b"out"]),
    ],
)
def test_inline_syntax(line: str, words: list[bytes]) -> None:
    assert corpus.split_words(line) == words
