"""mypy --strict accepts the package, and sees the types that revealed.py says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REVEALED = ROOT / "tests" / "typing" / "revealed.py"
NOTE = re.compile(r'revealed\.py:(\d+): note: Revealed type is "(.*)"')
NAMES = re.compile(r"\bbuiltins\.|\btyping\.")


def mypy(*arguments: str) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("mypy", reason="needs mypy: make dev")
    return subprocess.run(
        [sys.executable, "-m", "mypy", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.timeout(300)
def test_what_is_revealed() -> None:
    done = mypy("tests/typing/revealed.py")
    seen = {int(line): NAMES.sub("", text) for line, text in NOTE.findall(done.stdout)}
    lines = enumerate(REVEALED.read_text().splitlines(), 1)
    wanted = {number: line.partition("  # ")[2] for number, line in lines if "reveal_type(" in line}
    assert seen == wanted
    assert done.returncode == 0, done.stdout


@pytest.mark.timeout(300)
def test_the_package_is_strictly_typed() -> None:
    done = mypy("src/kvcore")
    assert done.returncode == 0, done.stdout


@pytest.mark.timeout(300)
def test_the_stub_of_the_hot_door_is_true() -> None:
    pytest.importorskip("mypy", reason="needs mypy: make dev")
    command = [sys.executable, "-m", "mypy.stubtest", "kvcore._native._fast"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout
