"""Finding and running the servers that tests talk to: kvcore itself, and a real Valkey or Redis to compare with.

A server gets a free port and a directory of its own, is up when it answers PING, and is killed when the interpreter
ends whatever happened before.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.compat.resp import Connection, ConnectionClosed, ProtocolError, ReplyTimeout

# Under a sanitizer the engine is slow and keeps what was freed: memory and time figures mean nothing there.
SANITIZED = "san" in os.environ.get("LD_PRELOAD", "")

ROOT = Path(__file__).resolve().parent.parent
START_TIMEOUT_S = 20.0
FIRST_PORT, PORTS_A_WORKER, PORT_RANGES = 10000, 1000, 22  # up to 32000
STOP_TIMEOUT_S = 5.0
LAST_WORDS = 8000  # characters: a sanitizer's report with its stacks
NO_PEER = "no {program}: set KVCORE_PEERS, or put it under build/peers/bin or on PATH"


@dataclass
class Server:
    """A running server process."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    directory: Path
    host: str = "127.0.0.1"
    log: Path = field(default_factory=Path)

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def connect(self, protocol: int = 2, timeout_s: float = 5.0) -> Connection:
        try:
            connection = Connection(self.host, self.port, timeout_s=timeout_s)
        except ConnectionRefusedError as error:
            if self.alive:
                raise
            status = self.process.returncode
            raise RuntimeError(f"{self.name} has ended with status {status}: {self.last_words()}") from error
        if protocol != 2:
            connection.must("HELLO", protocol)
        return connection

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def rss_bytes(self) -> int:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) * 1024
        return 0

    def stop(self) -> int | None:
        """Ask it to end, then insist. Returns the exit status."""
        if self.alive:
            self.process.terminate()
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(STOP_TIMEOUT_S)
        shutil.rmtree(self.directory, ignore_errors=True)
        return self.process.returncode

    def last_words(self) -> str:
        with contextlib.suppress(OSError):
            return self.log.read_text(errors="replace")[-LAST_WORDS:]
        return ""


def free_port() -> int:
    """A port that nobody uses, from a range of this test process's own below those that the system gives out by itself.

    So neither another worker's server nor somebody's outgoing connection can take it before or while the test uses it.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    first = FIRST_PORT + (int(worker) if worker.isdigit() else 0) % PORT_RANGES * PORTS_A_WORKER
    while True:
        port = random.SystemRandom().randrange(first, first + PORTS_A_WORKER)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("", port))
            return port


def find_peer(program: str) -> str | None:
    """The path of a peer's program: $KVCORE_PEERS/bin, build/peers/bin, then PATH."""
    places = [ROOT / "build" / "peers" / "bin"]
    if peers := os.environ.get("KVCORE_PEERS"):
        places.insert(0, Path(peers) / "bin")
    for place in places:
        if os.access(place / program, os.X_OK):
            return str(place / program)
    return shutil.which(program)


def foreign_environment() -> dict[str, str]:
    """The environment for other people's programs: without the sanitizer that the tests run under, fatal to shells."""
    return {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}


def kvcore_environment() -> dict[str, str]:
    """The environment in which `python -m kvcore` finds this tree's package even when it is not installed.

    KVCORE_TEST_PACKAGE names another directory that holds a built `kvcore`, for instance that of an instrumented build.
    """
    environment = dict(os.environ)
    source = os.environ.get("KVCORE_TEST_PACKAGE") or str(ROOT / "src")
    if source not in environment.get("PYTHONPATH", "").split(os.pathsep):
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [source, environment.get("PYTHONPATH", "")]))
    return environment


def engine_is_built() -> bool:
    """Whether this tree's compiled engine can be loaded. Asked of another process, which a broken one may take down."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", "import kvcore; kvcore.open().close()"],
            env=kvcore_environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def kvcore_command() -> list[str] | None:
    """How to run kvcore's server, or None when this tree has no built engine yet."""
    return [sys.executable, "-m", "kvcore", "serve"] if engine_is_built() else None


def start(name: str, command: list[str], *options: str, port: int = 0, env: dict[str, str] | None = None) -> Server:
    """Run `command --port P options` and wait until it answers."""
    port = port or free_port()
    directory = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    log = directory / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--port", str(port), *options], cwd=directory, stdout=out, stderr=subprocess.STDOUT, env=env
        )
    server = Server(name, port, process, directory, log=log)
    atexit.register(server.stop)
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if not server.alive:
            raise RuntimeError(f"{name} ended with status {process.returncode}: {server.last_words()}")
        with contextlib.suppress(OSError, ConnectionClosed, ReplyTimeout, ProtocolError):
            with Connection(server.host, port, timeout_s=1.0) as connection:
                reply = connection.call("PING")
                if reply.kind == b"+" or (reply.kind == b"-" and not reply.data.startswith(b"LOADING")):
                    return server
        time.sleep(0.02)
    words = server.last_words()
    server.stop()
    raise RuntimeError(f"{name} did not answer within {START_TIMEOUT_S} s: {words}")


PEER_OPTIONS = ("--save", "", "--appendonly", "no", "--enable-debug-command", "yes", "--loglevel", "warning")


def start_peer(program: str = "valkey-server", *options: str, port: int = 0) -> Server:
    path = find_peer(program)
    if path is None:
        raise FileNotFoundError(NO_PEER.format(program=program))
    return start(program.partition("-")[0], [path], *PEER_OPTIONS, *options, port=port, env=foreign_environment())


def start_kvcore(*options: str, port: int = 0) -> Server:
    command = kvcore_command()
    if command is None:
        raise FileNotFoundError("python -m kvcore serve does not run here: build the engine first")
    return start("kvcore", command, "--enable-debug-command", "yes", *options, port=port, env=kvcore_environment())
