"""A server answers while it loads: what it refuses, what it tells, and how it ends then."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers
from tests.compat.resp import Connection, ConnectionClosed
from tests.persist.places import info, serving, until

KEYS = 20_000
SLOW = ("--key-load-delay", "500", "--loading-process-events-interval-bytes", "1024")  # ten seconds, if nobody ends it
LOG = ("--appendonly", "yes")
LOADING = b"LOADING "
REFUSED: list[tuple[str | int, ...]] = [
    ("PING",),
    ("GET", "a"),
    ("SET", "a", 1),
    ("DBSIZE",),
    ("KEYS", "*"),
    ("SAVE",),
    ("BGSAVE",),
    ("BGREWRITEAOF",),
    ("FLUSHALL",),
    ("CONFIG", "SET", "appendonly", "yes"),
    ("DEBUG", "POPULATE", 10),
]
ANSWERED: list[tuple[str | int, ...]] = [
    ("ECHO", "x"),
    ("SELECT", 1),
    ("LASTSAVE",),
    ("CONFIG", "GET", "maxmemory"),
    ("CONFIG", "SET", "appendfsync", "always"),
    ("CLIENT", "ID"),
    ("COMMAND", "COUNT"),
    ("WATCH", "a"),
    ("UNWATCH",),
    ("PUBLISH", "a", "b"),
]


def write_dump(where: Path, *options: str) -> None:
    with serving(where, "--enable-debug-command", "yes", "--save", "", *options) as connection:
        connection.must("DEBUG", "POPULATE", KEYS)
        if options:
            connection.must("BGREWRITEAOF")
            until(lambda: info(connection)["aof_rewrites"] == "1", "the rewrite")
        else:
            connection.must("SAVE")


@contextlib.contextmanager
def starting(where: Path, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], Connection]]:
    """A server that has just begun to load."""
    port = servers.free_port()
    command = servers.kvcore_command()
    assert command is not None
    words = [*command, "--port", str(port), "--dir", str(where), "--save", "", *SLOW, *options]
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=servers.kvcore_environment()
    )
    try:
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError):
                connection = Connection("127.0.0.1", port, timeout_s=5.0)
                break
            assert time.monotonic() < deadline
            assert process.poll() is None, process.stdout and process.stdout.read()
            time.sleep(0.01)
        with connection:
            yield process, connection
    finally:
        process.kill()
        process.wait()


def snapshot(where: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in where.rglob("*") if path.is_file() and path.suffix != ".lock"}


@pytest.mark.parametrize("options", [(), LOG], ids=["dump", "log"])
def test_clients_are_told(tmp_path: Path, options: tuple[str, ...]) -> None:
    write_dump(tmp_path, *options)
    with starting(tmp_path, "--enable-debug-command", "yes", *options) as (_, connection):
        for words in REFUSED:
            assert connection.call(*words).data.startswith(LOADING), words
        for words in ANSWERED:
            assert not connection.call(*words).is_error, words
        connection.must("MULTI")
        assert connection.call("GET", "a").data.startswith(LOADING)
        assert connection.call("EXEC").data.startswith(b"EXECABORT")
        seen = info(connection)
        assert (seen["loading"], seen["async_loading"]) == ("1", "0")
        assert abs(int(seen["loading_start_time"]) - time.time()) < 60
        assert int(seen["loading_total_bytes"]) > 0
        until(lambda: int(info(connection)["loading_loaded_bytes"]) > 0, "some progress")
        seen = info(connection)
        assert int(seen["loading_loaded_bytes"]) < int(seen["loading_total_bytes"])
        assert 0 < float(seen["loading_loaded_perc"]) < 100
        assert int(seen["loading_rdb_used_mem"]) > 0
        assert int(seen["loading_eta_seconds"]) >= 0
        connection.must("CONFIG", "SET", "key-load-delay", 0)  # holds from the next load on
    with serving(tmp_path, *options) as connection:
        assert connection.must("DBSIZE").value == KEYS
        seen = info(connection)
        assert seen["loading"] == "0"
        assert not [name for name in seen if name.startswith("loading_")]
        assert seen["rdb_last_load_keys_loaded"] == str(KEYS)


@pytest.mark.parametrize("options", [(), LOG], ids=["dump", "log"])
@pytest.mark.parametrize("end", ["SIGTERM", "SIGINT", "SIGKILL", "SHUTDOWN", "SHUTDOWN SAVE"])
def test_an_end_while_loading_changes_no_file(tmp_path: Path, end: str, options: tuple[str, ...]) -> None:
    write_dump(tmp_path, *options)
    before = snapshot(tmp_path)
    with starting(tmp_path, *options, "--save", "1 1") as (process, connection):
        assert info(connection)["loading"] == "1"
        if end.startswith("SIG"):
            os.kill(process.pid, getattr(signal, end))
        else:
            with pytest.raises((ConnectionClosed, OSError)):
                connection.call(*end.split())
        assert process.wait(timeout=8) == (-signal.SIGKILL if end == "SIGKILL" else 0)
    assert snapshot(tmp_path) == before
    with serving(tmp_path, "--save", "", *options) as connection:
        assert connection.must("DBSIZE").value == KEYS


def test_a_load_that_fails_ends_the_server(tmp_path: Path) -> None:
    write_dump(tmp_path)
    dump = tmp_path / "dump.rdb"
    raw = bytearray(dump.read_bytes())
    dump.write_bytes(raw[:-20])
    command = servers.kvcore_command()
    assert command is not None
    pidfile = tmp_path / "pid"
    words = [*command, "--port", str(servers.free_port()), "--dir", str(tmp_path), "--pidfile", str(pidfile)]
    ended = subprocess.run(words, capture_output=True, env=servers.kvcore_environment(), timeout=60, check=False)
    assert ended.returncode == 1
    assert b"dump.rdb" in ended.stdout + ended.stderr
    assert b"Ready to accept" not in ended.stdout
    assert not pidfile.exists()
