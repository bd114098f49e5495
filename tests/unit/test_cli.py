"""The command line, as a user runs it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import kvcore
from kvcore.cli import shell
from kvcore.cli.resp import Client
from kvcore.cli.serve import BadUsage, read_command_line

KVCORE = [sys.executable, "-m", "kvcore"]


def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([*KVCORE, *arguments], input=stdin, capture_output=True, text=True, timeout=120, check=False)


def test_help_and_version() -> None:
    assert "demo" in run("--help").stdout
    assert run("--version").stdout == f"kvcore {kvcore.__version__}\n"
    assert run("serve", "--version").stdout == f"kvcore server v={kvcore.__version__}\n"
    assert run("nonsense").returncode == 2
    assert run().returncode == 2
    for command in ("demo", "serve", "shell", "bench"):
        assert "usage: kvcore" in run(command, "--help").stdout


@pytest.mark.timeout(180)
def test_the_demo_runs_and_answers() -> None:
    done = run("demo", "--quick")
    assert done.returncode == 0, done.stderr
    assert re.search(r"reading \[#{30}\] (\d+)/\1", done.stdout)
    assert re.search(r"most used words .* self ", done.stdout)
    assert re.search(r"50 jobs through a queue", done.stdout)
    assert re.search(r"in this process +over RESP", done.stdout)
    assert re.search(r"GET +[\d,]{5,} +[\d,]{4,}", done.stdout)
    assert "kvcore serve --port" in done.stdout


def test_the_shell_runs_commands() -> None:
    done = run(
        "shell", "-c", "SET k 'a b'", "-c", "GET k", "-c", "LPUSH l 1 2", "-c", "LRANGE l 0 -1", "-c", "GET nothing"
    )
    assert done.stdout.splitlines() == ['"OK"', '"a b"', "(integer) 2", '1) "2"', '2) "1"', "(nil)"]
    assert run("shell", stdin="PING\nquit\nPING\n").stdout == '"PONG"\n'
    failed = run("shell", "-c", "NONSENSE")
    assert failed.returncode == 1
    assert failed.stdout.startswith("(error) unknown command")


def test_the_shell_connects() -> None:
    with kvcore.open() as db:
        db["k"] = "v"
        assert run("shell", db.serve(), "-c", "GET k").stdout == '"v"\n'


def test_nested_replies_are_numbered() -> None:
    assert shell.show([1, [b"a", None], {b"k": 2}, []]) == (
        '1) (integer) 1\n2) 1) "a"\n   2) (nil)\n3) 1) "k" => (integer) 2\n4) (empty)'
    )


# --- serve ---


def test_words_become_configuration_lines(tmp_path: Path) -> None:
    file = tmp_path / "my.conf"
    file.write_text("port 7000")
    text, path = read_command_line([str(file), "--maxmemory", "1gb", "--save", "3600", "1", "--requirepass", 'a "b"'])
    assert path == file
    assert text == 'port 7000\nmaxmemory "1gb"\nsave "3600" "1"\nrequirepass "a \\x22b\\x22"\n'
    for bad in (["--port"], ["--"], [str(file), "port"], [str(tmp_path / "absent")]):
        with pytest.raises(BadUsage):
            read_command_line(bad)


class Served:
    """`kvcore serve` on a free port."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen([*KVCORE, "serve", *arguments], stdout=subprocess.PIPE, text=True)
        self.log = ""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.log += line
            if "Ready to accept connections" in line:
                break

    @property
    def url(self) -> str:
        found = re.search(r"port (\d+)", self.log)
        assert found is not None, self.log
        return f"redis://127.0.0.1:{found.group(1)}/0"

    def end(self, number: signal.Signals | None) -> int:
        if number is not None:
            self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=10)
        self.log += rest
        return self.process.returncode


def free_port() -> str:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_starts_serves_and_ends_orderly(number: signal.Signals) -> None:
    served = Served("--port", free_port(), "--databases", "4")
    with Client(served.url) as client:
        assert client.must("SET", "k", "v") == b"OK"
        assert client.must("CONFIG", "GET", "databases") == [b"databases", b"4"]
    started = time.monotonic()
    assert served.end(number) == 0
    assert time.monotonic() - started < 3
    assert f"Received {number.name}" in served.log


def test_shutdown_ends_the_server() -> None:
    served = Served("--port", free_port())
    with Client(served.url) as client:
        client._socket.sendall(b"SHUTDOWN NOSAVE\r\n")
        assert served.end(None) == 0
    assert "SHUTDOWN" in served.log


def test_a_log_file(tmp_path: Path) -> None:
    port = free_port()
    process = subprocess.Popen([*KVCORE, "serve", "--port", port, "--logfile", str(tmp_path / "log")])
    deadline = time.monotonic() + 10
    while "Ready" not in (tmp_path / "log").read_text() if (tmp_path / "log").exists() else True:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.terminate()
    assert process.wait(10) == 0


def test_included_files(tmp_path: Path) -> None:
    (tmp_path / "more.conf").write_text("maxmemory 100mb\n")
    (tmp_path / "my.conf").write_text(f"include {tmp_path}/more.conf\ninclude {tmp_path}/none-*.conf\nport 1\n")
    assert read_command_line([str(tmp_path / "my.conf")])[0] == "maxmemory 100mb\nport 1\n"
    (tmp_path / "loop.conf").write_text(f"include {tmp_path}/loop.conf\n")
    with pytest.raises(BadUsage, match="include each other"):
        read_command_line([str(tmp_path / "loop.conf")])


def test_a_configuration_file_is_rewritten_and_a_pid_file_kept(tmp_path: Path) -> None:
    file = tmp_path / "my.conf"
    file.write_text(f"# mine\nport {free_port()}\npidfile {tmp_path}/pid\n")
    served = Served(str(file))
    assert int((tmp_path / "pid").read_text()) == served.process.pid
    with Client(served.url) as client:
        client.must("CONFIG", "SET", "maxmemory", "50mb")
        client.must("CONFIG", "REWRITE")
    assert served.end(signal.SIGTERM) == 0
    assert not (tmp_path / "pid").exists()
    text = file.read_text()
    assert text.startswith("# mine\n")
    assert re.search(r"^maxmemory (50mb|52428800)$", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--no-such-option", "1"], "no-such-option"),
        (["--port", "abc"], "port"),
        (["--port"], "needs a value"),
        (["--daemonize", "yes"], "does not support"),
        (["/nowhere/at/all.conf"], "cannot read"),
    ],
)
def test_a_bad_command_line_is_an_error(arguments: list[str], words: str) -> None:
    done = run("serve", *arguments)
    assert done.returncode == 1
    assert words in done.stderr


def test_a_taken_port_is_an_error() -> None:
    with kvcore.open() as db:
        db.serve()
        done = run("serve", "--port", str(db.port))
        assert done.returncode == 1
        assert str(db.port) in done.stderr


def test_a_shell_without_a_server_says_so_in_one_line() -> None:
    done = run("shell", "redis://127.0.0.1:1", "-c", "PING")
    assert done.returncode == 1
    assert done.stderr.startswith("kvcore shell: ")
    assert done.stderr.count("\n") == 1
