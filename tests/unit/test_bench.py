"""`kvcore bench`: its figures against naive oracles, its options, its files. Nothing depends on how fast it runs."""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

import kvcore
from kvcore.cli.bench import command, svg, text
from kvcore.cli.bench.histogram import BUCKETS, Histogram, bucket_of, highest_of
from kvcore.cli.bench.targets import Replies, Result, read_url
from kvcore.cli.bench.workload import BadOption, Workload, chooser, read_mix, read_sizes, scatter
from kvcore.cli.resp import Client

QUICK = ["--keys", "500", "--warmup", "0", "--quiet"]


def run(*arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "kvcore", "bench", *arguments]
    return subprocess.run(words, capture_output=True, text=True, timeout=timeout, check=False)


# --- the histogram ---


def test_buckets_stand_for_their_values() -> None:
    previous = -1
    for bucket in range(BUCKETS - 1):
        highest = highest_of(bucket)
        assert highest > previous
        assert bucket_of(previous + 1) == bucket_of(highest) == bucket
        assert highest - previous - 1 <= (previous + 1) / 128
        previous = highest
    assert bucket_of(1 << 60) == BUCKETS - 1


@pytest.mark.parametrize("seed", range(5))
def test_percentiles_against_sorted_values(seed: int) -> None:
    rng = random.Random(seed)
    values = [int(rng.lognormvariate(8, 3)) for _ in range(rng.choice([1, 2, 999, 1000, 5000]))]
    histogram = Histogram()
    histogram.record_many(values[: len(values) // 2])
    other = Histogram()
    other.record_many(values[len(values) // 2 :])
    histogram.merge(other)
    ordered = sorted(values)
    for share in (0, 0.1, 50, 90, 99, 99.9, 99.99, 100):
        rank = max(1, -(-len(ordered) * round(share * 100) // 10000))
        exact = ordered[rank - 1]
        assert exact <= histogram.percentile(share) <= exact + exact / 128, share
    assert (histogram.minimum, histogram.maximum) == (ordered[0], ordered[-1])
    assert histogram.count == len(values)
    assert histogram.mean == pytest.approx(sum(values) / len(values))


def test_a_histogram_survives_json() -> None:
    histogram = Histogram()
    histogram.record_many([3, 700, 700, 123_456_789])
    copy = Histogram.from_json(json.loads(json.dumps(histogram.as_json())))
    assert vars(copy) == vars(histogram)
    empty = Histogram.from_json(json.loads(json.dumps(Histogram().as_json())))
    assert (empty.percentile(99), empty.mean, empty.minimum) == (0, 0.0, None)


def test_results_add_up() -> None:
    one, two = Result(100, 1.0, 100.0, 0.5), Result(300, 1.0, 300.0, 0.5, 2, "no")
    beside = Result()
    beside.add(one)
    beside.add(two)
    assert (beside.operations, beside.seconds, beside.rate, beside.errors) == (400, 1.0, 400.0, 2)
    after = Result()
    after.follow(one)
    after.follow(two)
    assert (after.operations, after.seconds, after.rate) == (400, 2.0, 200.0)
    assert Result.from_json(json.loads(json.dumps(after.as_json()))) == after


# --- the workload ---


def test_mix_and_sizes() -> None:
    mix = read_mix("get=80, SET=20,GETRANGE {key} 0 9=0.5,incr")
    assert [(each.name, each.share) for each in mix] == [
        ("get", 80), ("set", 20), ("GETRANGE {key} 0 9", 0.5), ("incr", 1),
    ]  # fmt: skip
    assert read_sizes("32") == (32, 32)
    assert read_sizes("16-4k") == (16, 4096)
    sizes = {len(value) for value in Workload(value_size="10-100").values(0)}
    assert min(sizes) == 10
    assert max(sizes) == 100


@pytest.mark.parametrize("mix", ["", "nonsense", "get=x", "get=-1", "get=0", "GET {nothing}=1", "get=nan", "get=inf"])
def test_bad_mixes(mix: str) -> None:
    with pytest.raises(BadOption, match="--mix"):
        read_mix(mix)


@pytest.mark.parametrize("size", ["", "x", "-1", "5-", "9-3", "1-2-3", "600m"])
def test_bad_sizes(size: str) -> None:
    with pytest.raises(BadOption, match="--value-size"):
        read_sizes(size)


@pytest.mark.parametrize(
    "distribution",
    ["", "nonsense", "zipf:0", "zipf:x", "zipf:1:2", "hotspot:0.5", "hotspot:2:0.5", "hotspot:0:0", "uniform:1"],
)
def test_bad_distributions(distribution: str) -> None:
    with pytest.raises(BadOption, match="--distribution"):
        chooser(distribution, 100, 1)


@pytest.mark.parametrize("exponent", [0.5, 0.99, 1.0, 1.5])
def test_zipf_has_its_shape(exponent: float) -> None:
    count, draws = 50, 40_000
    following = chooser(f"zipf:{exponent}", count, 7)
    seen = Counter(following() for _ in range(draws))
    weights = [(rank + 1) ** -exponent for rank in range(count)]
    factor = scatter(count)
    for rank in range(count):
        expected = draws * weights[rank] / sum(weights)
        # The seed is fixed, so this is no matter of luck: five standard deviations.
        assert abs(seen[rank * factor % count] - expected) <= 5 * expected**0.5 + 1


@pytest.mark.parametrize("count", [1, 2, 3, 10, 1000])
@pytest.mark.parametrize("distribution", ["uniform", "sequential", "zipf", "zipf:1", "hotspot", "hotspot:0.01:1"])
def test_every_index_is_one(distribution: str, count: int) -> None:
    following = chooser(distribution, count, 3)
    found = [following() for _ in range(2000)]
    assert set(found) <= set(range(count))
    if distribution == "sequential":
        assert found == [index % count for index in range(2000)]
    if distribution == "hotspot" and count == 1000:
        hot = sum(index < 200 for index in found)
        assert 1500 < hot < 1700
    assert len({index * scatter(count) % count for index in range(count)}) == count


def test_the_same_seed_asks_the_same() -> None:
    workload = Workload(mix="get=1,set=1,zadd=1", seed=5)
    first = list(workload.operations(300, 1, 2))
    assert first == list(workload.operations(300, 1, 2))
    assert first != list(workload.operations(300, 0, 2))
    assert first != list(Workload(mix="get=1,set=1,zadd=1", seed=6).operations(300, 1, 2))


def test_every_command_runs_and_is_cleaned_up() -> None:
    from kvcore.cli.bench.workload import COMMANDS

    workload = Workload(mix=",".join(COMMANDS), keys=50)
    with kvcore.open() as db:
        for words in workload.fill():
            db.execute(*words)
        for _, words in workload.operations(2000):
            db.execute(*words)
        assert db.dbsize() > 50
        db.delete(*workload.names())
        assert db.dbsize() == 0


# --- replies ---


def test_replies_are_counted_however_they_are_cut() -> None:
    stream = (
        b"+OK\r\n$5\r\nab\r\nc\r\n$-1\r\n:12\r\n*3\r\n$1\r\nx\r\n*2\r\n:1\r\n:2\r\n*-1\r\n-ERR no\r\n*0\r\n$0\r\n\r\n"
    )
    rng = random.Random(1)
    for _ in range(200):
        replies = Replies()
        replies.expect(8)
        at, done = 0, False
        while at < len(stream):
            assert not done
            size = rng.randrange(1, 12)
            done = replies.feed(stream[at : at + size])
            at += size
        assert done
        assert (replies.errors, replies.first_error, replies.buffer) == (1, "ERR no", b"")


def test_urls() -> None:
    assert read_url(":7000") == "redis://127.0.0.1:7000"
    assert read_url("there:7000") == "redis://there:7000"
    assert read_url("there") == "redis://there:6379"
    assert read_url("unix:///run/kv.sock") == "unix:///run/kv.sock"
    for bad in ("http://there", "there:x", "there:0", "there:70000"):
        with pytest.raises(BadOption):
            read_url(bad)


# --- the command ---


def test_in_this_process(tmp_path: Path) -> None:
    chart, figures = tmp_path / "chart.svg", tmp_path / "out.json"
    mix = "get=5,set=2,zadd=1,lrange=1,GETRANGE {key} 0 3=1"
    done = run(*QUICK, "--requests", "3000", "--mix", mix, "--chart", str(chart), "--json", str(figures))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "3,000 operations" in done.stdout
    assert "an empty loop of the same kind takes" in done.stdout
    found = json.loads(figures.read_text())
    assert found["complete"] is True
    (target,) = found["targets"]
    assert target["operations"] == 3000
    assert target["errors"] == 0
    latencies = target["latency_ns"]
    assert set(latencies) == {"all", "get", "set", "zadd", "lrange", "GETRANGE {key} 0 3"}
    assert latencies["all"]["count"] == 3000 == sum(times for _, times in latencies["all"]["buckets"])
    assert latencies["all"]["min"] <= latencies["all"]["p50"] <= latencies["all"]["p99.99"] <= latencies["all"]["max"]
    assert ElementTree.parse(chart).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_in_batches_and_by_threads(tmp_path: Path) -> None:
    figures = tmp_path / "out.json"
    options = ["--clients", "3", "--pipeline", "7", "--seconds", "0.3", "--mix", "set,zadd,hset,lpush=2,incrby"]
    done = run(*QUICK, *options, "--json", str(figures))
    assert done.returncode == 0, done.stderr
    (target,) = json.loads(figures.read_text())["targets"]
    assert target["errors"] == 0
    assert target["operations"] == 7 * target["latency_ns"]["pipeline"]["count"] > 0


def test_against_a_server_and_beside_this_process(tmp_path: Path) -> None:
    figures = tmp_path / "out.json"
    with kvcore.open() as db:
        url = db.serve(port=0)
        options = ["--url", url, "--compare", "process", "--requests", "1000", "--clients", "5", "--rounds", "2"]
        done = run(*QUICK, *options, "--json", str(figures))
        assert done.returncode == 0, done.stderr
        assert db.dbsize() == 0
        first, second = json.loads(figures.read_text())["targets"]
        assert first["operations"] == second["operations"] == 1000
        assert first["target"].startswith("kvcore at 127.0.0.1:")
        assert second["target"].endswith("a store in this process")
        assert len(first["rounds_ops_per_second"]) == 2
        assert re.search(r" by in this process: ops/s \d", done.stdout)

        done = run(*QUICK, "--url", url, "--requests", "600", "--processes", "2", "--pipeline", "3", "--keep")
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        assert "600 operations" in done.stdout
        assert db.dbsize() == 500


def test_error_replies_are_counted_and_shown() -> None:
    with kvcore.open() as db:
        done = run(*QUICK, "--url", db.serve(port=0), "--requests", "100", "--mix", "get,LPUSH {key} x")
    assert done.returncode == 0
    assert re.search(r"\d+ error replies, the first: WRONGTYPE", done.stdout)
    done = run(*QUICK, "--requests", "100", "--mix", "get,LPUSH {key} x")
    assert re.search(r"\d+ error replies, the first: .*wrong kind", done.stdout)


def test_a_password_is_not_shown(tmp_path: Path) -> None:
    figures = tmp_path / "out.json"
    with kvcore.open() as db:
        url = db.serve(port=0)
        with Client(url) as client:
            client.must("CONFIG", "SET", "requirepass", "verysecret")
        secret = url.replace("://", "://:verysecret@")
        done = run(*QUICK, "--url", secret, "--requests", "50", "--json", str(figures))
    assert done.returncode == 0, done.stderr
    assert "verysecret" not in done.stdout + done.stderr + figures.read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seconds", "0"], "has to be more than 0"),
        (["--seconds", "soon"], "no number of seconds"),
        (["--seconds", "nan"], "has to be more than 0"),
        (["--seconds", "1", "--requests", "5"], "not allowed with"),
        (["--requests", "0"], "has to be 1 or more"),
        (["--clients", "0"], "has to be 1 or more"),
        (["--pipeline", "-3"], "has to be 1 or more"),
        (["--keys", "many"], "no whole number"),
        (["--warmup", "-1"], "has to be 0 or more"),
        (["--mix", "fly=1"], "there is no 'fly'"),
        (["--distribution", "odd"], "none of uniform"),
        (["--value-size", "big"], "neither a number"),
        (["--url", "http://there"], "expected redis://"),
        (["--processes", "2"], "no other processes"),
        (["--json", "/nowhere/at/all.json"], "cannot write"),
    ],
)
def test_bad_options(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = command.main(options)
    except SystemExit as ended:
        status = ended.code  # type: ignore[assignment]
    assert status == 2
    assert message in capsys.readouterr().err


def test_no_server_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with kvcore.open() as db:
        url = db.serve(port=0)
    assert command.main(["--url", url]) == 1
    assert "Connection refused" in capsys.readouterr().err


def test_ctrl_c_shows_what_was_measured(tmp_path: Path) -> None:
    figures = tmp_path / "out.json"
    words = [
        sys.executable,
        "-m",
        "kvcore",
        "bench",
        *QUICK,
        "--seconds",
        "600",
        "--rounds",
        "600",
        "--json",
        str(figures),
    ]
    with kvcore.open() as db:
        process = subprocess.Popen([*words, "--url", db.serve(port=0)], stdout=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        # It is measuring once its own commands have been counted beside the filling.
        while db.info("stats")["total_commands_processed"] < 3000 and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in said
    found = json.loads(figures.read_text())
    assert found["complete"] is False


# --- charts ---


def test_charts_are_valid_whatever_the_figures() -> None:
    texts = [
        svg.by_percentile("a <title> & more", []),
        svg.by_percentile("one", [("x", [(0.0, 0.0), (100.0, 0.0)])]),
        svg.by_percentile("two", [("x", [(0.0, 1.0), (50.0, 2.0), (99.99999, 1e7), (100.0, 1e7)])]),
        svg.bars(
            "bars", ["a", "b"], [svg.BarPanel("p", [svg.BarGroup("g", [1.0, None])]), svg.BarPanel("q", [])], "note"
        ),
        svg.bars("nothing", ["a"], [svg.BarPanel("", [svg.BarGroup("g", [0.0])])]),
        svg.TimeChart("time", [svg.TimePanel("x", [(-1.0, 5.0), (2.0, 1e6)], (0.0, 0.5), "note")], 2000.0).svg(),
        svg.TimeChart("time", [svg.TimePanel("x", [])]).svg(),
    ]
    for each in texts:
        root = ElementTree.fromstring(each)
        assert root.tag.endswith("svg")
        for element in root.iter():
            for name, value in element.attrib.items():
                assert "nan" not in value and "inf" not in value, (name, value)  # noqa: PT018


def test_the_terminal_chart() -> None:
    histogram = Histogram()
    histogram.record_many(range(1000, 100_000, 1000))
    for blocks in (True, False):
        lines = text.chart([("x", histogram), ("longer", histogram)], 30, blocks).splitlines()
        assert len(lines) == 13
        assert lines[0].split()[0] == "p50"
    assert "█" not in text.chart([("x", histogram)], 30, False)
    assert text.chart([("x", Histogram())]) == "nothing was measured"


def test_ticks_cover_and_are_round() -> None:
    for top in (0.0, 0.003, 1, 3.7, 99, 100, 12345, 8e6):
        marks = svg.ticks(top)
        assert marks[0] == 0
        assert marks[-1] >= top
        assert 2 <= len(marks) <= 6
    assert [svg.number(value) for value in (0.5, 12, 1234, 12_345, 2_000_000)] == ["0.5", "12", "1234", "12.3k", "2M"]
    assert [svg.duration(value) for value in (3.2, 1500, 2e6)] == ["3.2 µs", "1.5 ms", "2 s"]


def test_workloads_are_lazy() -> None:
    """Ten million keys are no list."""
    workload: Any = Workload(keys=10_000_000, distribution="zipf")
    assert len(list(islice(workload.fill(), 10))) == 10
    assert len(list(workload.operations(10))) == 10
