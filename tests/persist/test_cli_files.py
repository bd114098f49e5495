"""`kvcore inspect`, `check` and `convert` on files: those of a real Valkey, and made ones."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvcore.cli import main
from kvcore.cli.convert_lines import BadLine, Workshop, from_line, to_line
from kvcore.cli.inspect_file import Broken, read_manifest
from tests import servers
from tests.compat.resp import Connection
from tests.persist import values

LINES = [
    b'{"key":"s","type":"string","value":"text","expire_ms":33000000000000}',
    b'{"key":{"base64":"/wA="},"type":"string","value":{"base64":"AP/+"}}',
    '{"db":3,"key":"l","type":"list","value":["a","","\xfc","1"]}'.encode(),
    b'{"key":"set","type":"set","value":["1","2","x"]}',
    b'{"key":"z","type":"zset","value":[["low","-inf"],["m",0.0],["n",0.1],["o",1e+300],["top","inf"]]}',
    b'{"key":"h","type":"hash","value":[["f","v"],["g","w",33000000000000]]}',
    b'{"key":"old","type":"string","value":"expired long ago","expire_ms":5}',
]


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"\n".join(LINES) + b"\n")
    return path


def convert(source: Path, target: Path, *more: str) -> Path:
    assert main(["convert", str(source), str(target), *more]) == 0
    return target


def sorted_lines(path: Path) -> list[bytes]:
    return sorted(path.read_bytes().splitlines())


# --- convert ---


@pytest.mark.parametrize(
    "way", [("rdb",), ("aof",), ("kv",), ("rdb", "aof", "kv", "rdb"), ("aof", "rdb", "jsonl", "kv")]
)
def test_round_trips_keep_every_byte(lines: Path, tmp_path: Path, way: tuple[str, ...]) -> None:
    last = lines
    for number, suffix in enumerate(way):
        last = convert(last, tmp_path / f"{number}.{suffix}")
        assert last.stat().st_mode & 0o777 == 0o600
        if suffix != "jsonl":
            assert main(["check", str(last)]) == 0
    assert sorted_lines(convert(last, tmp_path / "out.jsonl")) == sorted(LINES)


def test_what_people_write_is_understood() -> None:
    assert from_line(b'{"key":1,"type":"hash","value":{"f":2.5,"g":"x"}}')[1:4] == (
        b"1",
        "hash",
        [(b"f", b"2.5", -1), (b"g", b"x", -1)],
    )
    assert from_line(b'{"key":"z","type":"zset","value":{"m":1,"n":"inf"}}')[3] == [(b"m", b"1"), (b"n", b"inf")]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{", "no JSON"),
        (b"[]", "an object"),
        (b'{"key":"k","type":"tree","value":1}', "an object"),
        (b'{"key":"k","type":"string","value":null}', "expected"),
        (b'{"key":"k","type":"string","value":true}', "expected"),
        (b'{"key":"k","type":"string","value":{"base64":"?"}}', "base64"),
        (b'{"key":"k","type":"zset","value":[["m","x"]]}', "score"),
        (b'{"key":"k","type":"zset","value":[["m"]]}', "pair"),
        (b'{"key":"k","type":"hash","value":[["f","v",-5]]}', "milliseconds"),
        (b'{"key":"k","type":"list","value":"x"}', "list"),
        (b'{"key":"k","type":"string","value":"x","ttl":5}', "unknown name"),
        (b'{"key":"k","type":"string","value":"x","expire_ms":-5}', "expire_ms"),
        (b'{"key":"k","type":"string","value":"x","db":"0"}', "db"),
    ],
)
def test_bad_lines_are_refused_by_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: bytes, why: str
) -> None:
    with pytest.raises(BadLine, match=why):
        from_line(line)
    (tmp_path / "in.jsonl").write_bytes(LINES[0] + b"\n" + line + b"\n")
    assert main(["convert", str(tmp_path / "in.jsonl"), str(tmp_path / "out.rdb")]) == 1
    assert "line 2" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl"]


def test_keys_without_elements_and_keys_twice_are_refused(tmp_path: Path) -> None:
    for text in (b'{"key":"k","type":"list","value":[]}', LINES[0] + b"\n" + LINES[0]):
        (tmp_path / "in.jsonl").write_bytes(text)
        assert main(["convert", str(tmp_path / "in.jsonl"), str(tmp_path / "out.rdb")]) == 1


def test_nothing_is_replaced_unless_told(lines: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "out.rdb"
    target.write_bytes(b"mine")
    assert main(["convert", str(lines), str(target)]) == 2
    assert target.read_bytes() == b"mine"
    assert "--force" in capsys.readouterr().err
    convert(lines, target, "--force")
    assert target.read_bytes().startswith(b"VALKEY080")  # a field has an expiry
    assert main(["convert", str(lines), str(tmp_path / "what.is-it")]) == 2
    assert main(["convert", str(tmp_path / "absent.rdb"), str(tmp_path / "x.jsonl")]) == 2


def test_a_file_without_field_expiries_is_version_11(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(LINES[0])
    assert convert(tmp_path / "in.jsonl", tmp_path / "out.rdb").read_bytes().startswith(b"REDIS0011")


@pytest.mark.parametrize("kind", values.MAKERS)
@pytest.mark.parametrize("seed", range(6))
def test_lines_hold_every_value(kind: str, seed: int) -> None:
    workshop = Workshop()
    try:
        commands = [
            [word if isinstance(word, bytes) else str(word).encode() for word in words]
            for words in values.MAKERS[kind](random.Random(f"{kind}{seed}"), "k")
        ]
        payload = workshop.payload(commands)
        value = workshop.elements(kind, payload)
        db, key, again, read, expire_ms = from_line(to_line(7, b"\xffk", kind, value, 8))
        assert (db, key, again, expire_ms) == (7, b"\xffk", kind, 8)
        if kind == "zset":
            read = [(member, float(score)) for member, score in read]
            assert [repr(score) for _, score in read] == [repr(score) for _, score in value]
        assert read == value
    finally:
        workshop.close()


# --- with a real Valkey ---


def filled(connection: Connection) -> None:
    connection.must("FLUSHALL")
    for kind, maker in values.MAKERS.items():
        for seed in range(5):
            for words in maker(random.Random(f"{kind}{seed}"), f"{kind}:{seed}"):
                connection.must(*words)
    connection.must("HSET", "timed", "a", "1", "b", "2")
    connection.must("HPEXPIREAT", "timed", 33_000_000_000_000, "FIELDS", 1, "a")
    connection.must("PEXPIREAT", "string:0", 33_000_000_000_000)
    connection.must("SELECT", 5)
    connection.must("SET", "other:db", "x" * 5000)
    connection.must("SELECT", 0)


def digest(connection: Connection) -> object:
    while connection.call("DBSIZE").kind == b"-":  # DEBUG answers while it is loading, too
        time.sleep(0.01)
    return connection.must("DEBUG", "DIGEST").plain()


@pytest.fixture
def dump(tmp_path: Path, valkey_server: servers.Server) -> Iterator[tuple[Path, object]]:
    with valkey_server.connect() as connection:
        filled(connection)
        connection.must("SAVE")
        folder = connection.must("CONFIG", "GET", "dir").plain()
        name = connection.must("CONFIG", "GET", "dbfilename").plain()
        assert isinstance(folder, list)
        assert isinstance(name, list)
        wanted = digest(connection)
    found = Path(os.fsdecode(folder[1])) / os.fsdecode(name[1])
    yield Path(shutil.copy(found, tmp_path / "valkey.rdb")), wanted
    found.unlink()


@pytest.mark.peer
@pytest.mark.parametrize("suffix", ["rdb", "kv"])
@pytest.mark.parametrize("by", ["", "jsonl", "aof"])
def test_valkey_loads_what_was_converted(dump: tuple[Path, object], tmp_path: Path, suffix: str, by: str) -> None:
    source, wanted = dump
    if by:
        source = convert(source, tmp_path / f"between.{by}")
    target = convert(source, tmp_path / f"out.{suffix}")
    server = servers.start_peer("valkey-server", "--dir", str(tmp_path), "--dbfilename", target.name)
    try:
        with server.connect() as connection:
            assert digest(connection) == wanted
    finally:
        server.stop()


@pytest.mark.peer
def test_valkey_loads_a_converted_log(dump: tuple[Path, object], tmp_path: Path) -> None:
    source, wanted = dump
    (tmp_path / "server").mkdir()
    convert(source, tmp_path / "server" / "appendonly.aof")
    server = servers.start_peer("valkey-server", "--dir", str(tmp_path / "server"), "--appendonly", "yes")
    try:
        with server.connect() as connection:
            assert digest(connection) == wanted
    finally:
        server.stop()
    assert main(["check", str(tmp_path / "server")]) == 0
    again = convert(tmp_path / "server", tmp_path / "again.jsonl")
    assert sorted_lines(again) == sorted_lines(convert(source, tmp_path / "direct.jsonl"))


# --- check ---


def test_check_tells_what_it_found(lines: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rdb = convert(lines, tmp_path / "a.rdb")
    capsys.readouterr()
    assert main(["check", str(rdb)]) == 0
    assert "RDB version 80, 7 keys; sound" in capsys.readouterr().out
    raw = bytearray(rdb.read_bytes())
    raw[-20] ^= 1
    rdb.write_bytes(raw)
    assert main(["check", str(rdb), "--repair"]) == 1
    assert "DAMAGED at byte" in capsys.readouterr().out
    assert rdb.read_bytes() == raw
    assert main(["check", str(tmp_path / "absent")]) == 2
    (tmp_path / "text").write_text("hello")
    assert main(["check", str(tmp_path / "text"), "--repair", "--cut-damage"]) == 1
    assert (tmp_path / "text").read_text() == "hello"


@pytest.mark.parametrize("cut", [1, 2, 20, 30])
def test_a_torn_end_is_cut_and_kept(lines: Path, tmp_path: Path, cut: int) -> None:
    log = convert(lines, tmp_path / "a.aof")
    whole = log.read_bytes()
    log.write_bytes(whole[:-cut])
    assert main(["check", str(log)]) == 3
    assert log.read_bytes() == whole[:-cut]
    assert main(["check", str(log), "--repair"]) == 0
    assert main(["check", str(log)]) == 0
    (kept,) = tmp_path.glob("a.aof.removed-*")
    assert log.read_bytes() + kept.read_bytes() == whole[:-cut]
    assert kept.name == f"a.aof.removed-{log.stat().st_size}"
    assert kept.stat().st_mode & 0o777 == 0o600


def test_a_snapshot_with_a_torn_log(lines: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = convert(lines, tmp_path / "a.kv")
    base = store.stat().st_size
    with store.open("ab") as file:
        file.write(b"*1\r\n$4\r\nPING\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1")
    capsys.readouterr()
    assert main(["check", str(store)]) == 3
    assert f"whole up to byte {base + 14:,}" in capsys.readouterr().out
    out = convert(store, tmp_path / "out.jsonl")
    assert "the end is torn" in capsys.readouterr().err
    assert sorted_lines(out) == sorted(LINES)
    assert main(["check", "--repair", str(store)]) == 0
    assert store.stat().st_size == base + 14


def test_damage_in_a_log_is_cut_only_when_asked(lines: Path, tmp_path: Path) -> None:
    log = convert(lines, tmp_path / "a.aof")
    raw = log.read_bytes()
    at = raw.index(b"*", 60)
    log.write_bytes(raw[:at] + b"!" + raw[at + 1 :])
    assert main(["check", str(log), "--repair"]) == 1
    assert main(["check", str(log), "--repair", "--cut-damage"]) == 0
    assert raw.startswith(log.read_bytes())


def test_a_directory_in_which_the_wrong_file_is_torn(lines: Path, tmp_path: Path) -> None:
    folder = tmp_path / "dir"
    folder.mkdir()
    convert(lines, folder / "a.1.base.rdb")
    for number in (1, 2):
        (folder / f"a.{number}.incr.aof").write_bytes(b"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPI")
    (folder / "a.manifest").write_text(
        "file a.1.base.rdb seq 1 type b\nfile a.1.incr.aof seq 1 type i\nfile a.2.incr.aof seq 2 type i\n"
    )
    assert main(["check", str(folder)]) == 1
    (folder / "a.1.incr.aof").write_bytes(b"")
    assert main(["check", str(folder)]) == 3
    assert main(["check", str(folder), "--repair"]) == 0
    (folder / "a.1.incr.aof").unlink()
    assert main(["check", str(folder)]) == 1


def test_manifests(tmp_path: Path) -> None:
    path = tmp_path / "m.manifest"
    path.write_text('# a comment\nfile "a \\x62\\"" seq 1 type b\nfile c seq 7 type i\nfile h seq 1 type h\n')
    assert [(part.path.name, part.role) for part in read_manifest(path)] == [('a b"', "base"), ("c", "log")]
    for text in (
        "file a seq 1 type b\nfile b seq 2 type b",
        "file a seq 2 type i\nfile b seq 1 type i",
        "file ../a seq 1 type b",
        "file a seq one type b",
        "file a",
        'file "a seq 1 type b',
        "",
    ):
        path.write_text(text)
        with pytest.raises(Broken):
            read_manifest(path)


# --- inspect ---


@pytest.mark.peer
def test_inspect_agrees_with_the_loaded_keys(dump: tuple[Path, object], capsys: pytest.CaptureFixture[str]) -> None:
    path, _ = dump
    assert main(["inspect", str(path), "--json", "--top", "100"]) == 0
    report = json.loads(capsys.readouterr().out)
    server = servers.start_kvcore()
    try:
        with server.connect() as connection:
            filled(connection)
            for big in report["biggest"]:
                connection.must("SELECT", big["db"])
                assert connection.must("TYPE", big["key"]).plain() == big["type"].encode()
                assert connection.must("OBJECT", "ENCODING", big["key"]).plain() == big["encoding"].encode()
                used = connection.must("MEMORY", "USAGE", big["key"], "SAMPLES", 0).plain()
                assert isinstance(used, int)
                if big["type"] == "string" or big["encoding"] in ("listpack", "intset"):
                    assert used == big["memory"]
                else:  # tables and lists grew in another way
                    assert used / 2 < big["memory"] < used * 2
    finally:
        server.stop()
    assert report["total"]["keys"] == len(report["biggest"]) == 27
    assert report["databases"]["5"]["keys"] == 1
    assert {row["prefix"]: row["keys"] for row in report["prefixes"]}["zset:"] == 5
    assert {row["range"]: row["keys"] for row in report["ttl"]}["longer"] == 1
    assert report["facts"]["valkey-ver"]
    assert report["problem"] is None


def test_inspect_as_a_table_and_as_a_page(lines: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rdb = convert(lines, tmp_path / "<a>.rdb")
    capsys.readouterr()
    assert main(["inspect", str(rdb)]) == 0
    out = capsys.readouterr().out
    assert "7 keys" in out
    assert re.search(r"^  zset +1 ", out, re.MULTILINE)
    assert re.search(r"^  expired +1 ", out, re.MULTILINE)
    assert main(["inspect", str(rdb), "--html", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert page.count("<svg") == page.count("</svg>") >= 5
    assert "<a>" not in page.replace("<a>.rdb", "")
    assert "&lt;a&gt;.rdb" in page
    assert not re.search(r"(?:src|href)=|url\(|@import", page)


def test_inspect_reports_up_to_damage(lines: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rdb = convert(lines, tmp_path / "a.rdb")
    rdb.write_bytes(rdb.read_bytes()[:-40])
    capsys.readouterr()
    assert main(["inspect", str(rdb)]) == 1
    taken = capsys.readouterr()
    assert "PROBLEM" in taken.out
    assert "at byte" in taken.err
    assert main(["inspect", str(tmp_path / "absent")]) == 2


def test_prefixes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    report = sys.modules.get("kvcore.cli.inspect") or __import__("kvcore.cli.inspect", fromlist=["x"])
    monkeypatch.setattr(report, "PREFIXES_KEPT", 10)
    made = report.Report("x", ":", 1, 5)
    for number in range(100):
        made.prefixes[f"p{number}:"] = report.Sums(keys=1, memory=number)
        if len(made.prefixes) > 20:
            made.fold_prefixes()
    made.fold_prefixes()
    assert len(made.prefixes) <= 12
    assert sum(sums.keys for sums in made.prefixes.values()) == 100
    assert made.ranked_prefixes()[1][0] == "p99:"
