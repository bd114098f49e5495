"""The README's Python runs, and gives what its comments say."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def test_the_ten_lines(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    checked = 0
    for line in re.split(r"\n(?=\S)", BLOCKS[0].rstrip()):
        code, _, comment = line.splitlines()[-1].partition("  # ")
        try:
            wanted = ast.literal_eval(comment.strip())
        except (SyntaxError, ValueError):  # prose
            exec(line, names)
            continue
        checked += 1
        capsys.readouterr()
        if "print(" in code:
            exec(line, names)
            assert ast.literal_eval(capsys.readouterr().out.strip()) == wanted
        else:
            assert eval(code.strip(), names) == wanted
    names["db"].close()
    assert checked >= 3
    assert re.match(r"redis://127\.0\.0\.1:\d+/0\n$", capsys.readouterr().out)


def test_what_it_says_about_opening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every `kvcore.open(...)` in the README works as written."""
    import kvcore

    monkeypatch.chdir(tmp_path)

    calls = set(re.findall(r"kvcore\.open\([^)]*\)", (ROOT / "README.md").read_text()))
    assert len(calls) >= 4
    for call in calls:
        eval(call, {"kvcore": kvcore}).close()


def test_what_it_says_about_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import kvcore

    monkeypatch.chdir(tmp_path)
    (block,) = [block for block in BLOCKS if "app.kv" in block]
    exec(block, {"kvcore": kvcore})
    with kvcore.open("backup.rdb", readonly=True) as db:
        assert db.get("k") == b"v"


def test_the_example_for_tests(kvcore_url: str) -> None:
    redis = pytest.importorskip("redis")
    (block,) = [block for block in BLOCKS if "kvcore_url" in block]
    names: dict[str, Any] = {"redis": redis}
    exec(block, names)
    names["test_with_my_redis_client"](kvcore_url)
    with redis.Redis.from_url(kvcore_url) as client:
        assert client.get("k") == b"v"
