"""RESP servers in processes of their own: kvcore, and the real Valkey and Redis that tools/peers.sh brings."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kvcore.cli.resp import Client

from .common import ROOT, Settings, output_of, say

TICKS = os.sysconf("SC_CLK_TCK")
PEER_OPTIONS = ["--port", "{port}", "--dir", "{dir}", "--save", "", "--appendonly", "no"]


def find(program: str) -> str | None:
    """A peer's program: $KVCORE_PEERS/bin, build/peers/bin, then PATH."""
    places = [Path(os.environ.get("KVCORE_PEERS", ROOT / "build" / "peers")) / "bin", ROOT / "build/peers/bin"]
    for place in places:
        if os.access(place / program, os.X_OK):
            return str(place / program)
    return shutil.which(program)


def version(program: str) -> str:
    """`v=9.1.2` of a server's --version as `9.1.2`."""
    path = find(program)
    words = output_of(path, "--version").split() if path else []
    return next((word[2:] for word in words if word.startswith("v=")), "")


def commands(settings: Settings, peers: Sequence[str] = ("valkey", "redis")) -> dict[str, list[str]]:
    """The servers to compare: kvcore and those peers that are here; the others are noted as missing."""
    found = {"kvcore": [sys.executable, "-m", "kvcore", "serve", "--port", "{port}", *settings.kvcore_options]}
    for peer in (settings.peers or peers) if peers else ():
        path = find(f"{peer}-server")
        if path:
            found[peer] = [path, *PEER_OPTIONS]
        elif peer not in settings.missing:
            settings.missing[peer] = f"no {peer}-server here: `make peers` brings one"
            say(f"missing: {peer} ({settings.missing[peer]})")
    return found


def versions(names: Sequence[str]) -> dict[str, str]:
    from kvcore import __version__

    return {name: __version__ if name == "kvcore" else version(f"{name}-server") for name in names}


class Server:
    """A running server on a free port of its own, with a client connected.

    `nice` below 0 puts it before other programs of the machine, where that is allowed: for latencies that are to be
    the server's and not those of what else runs. All servers of a comparison are treated alike. `folder`: where its
    files are, kept when it stops; without one it has a folder of its own, which goes with it. `start_s`: how long it
    took until it answered PING, which is after it has loaded what is in its folder.
    """

    def __init__(
        self, name: str, words: Sequence[str], timeout: float = 60, nice: int = 0, folder: str | None = None
    ) -> None:
        self.name = name
        begun = time.perf_counter()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._own = None if folder else tempfile.TemporaryDirectory(prefix="kvcore-bench-")
        self.folder = Path(folder or (self._own.name if self._own else "."))
        self.words = [word.format(port=self.port, dir=self.folder) for word in words]
        # Its output goes to a file: a pipe that nobody reads would fill up and stop it.
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen(self.words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if nice:
            with suppress(PermissionError):
                os.setpriority(os.PRIO_PROCESS, self.process.pid, nice)
        deadline = time.monotonic() + timeout
        while True:
            try:
                self.client = Client(self.url, timeout=900)
                self.client.must("PING")
                self.start_s = time.perf_counter() - begun
                return
            except Exception as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.process.kill()
                    raise RuntimeError(f"{name} did not start: {error}: {self.last_words()}") from error
                time.sleep(0.01)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def last_words(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-600:]

    def do(self, *words: str | bytes | int | float) -> Any:
        return self.client.must(*words)

    def cpu_s(self) -> float:
        """User and system time of the process, as the kernel accounts it."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident(self) -> int:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))

    def stop(self) -> None:
        self.client.close()
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self._own:
            self._own.cleanup()


@contextmanager
def running(wanted: dict[str, list[str]], nice: int = 0) -> Iterator[list[Server]]:
    """All of them at once, stopped at the end whatever happened."""
    started: list[Server] = []
    try:
        for name, words in wanted.items():
            started.append(Server(name, words, nice=nice))
        yield started
    finally:
        for server in started:
            server.stop()


class RawConnection:
    """A connection for bulk work: bytes out, replies drained without being looked at."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 900)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray(1 << 20)

    def run(self, request: bytes) -> int:
        """Send requests and read until all are answered; the bytes that came. An ECHO marks the end."""
        marker = b"end-of-replies-%016x" % time.monotonic_ns()
        self.socket.sendall(request + b"*2\r\n$4\r\nECHO\r\n$%d\r\n%b\r\n" % (len(marker), marker))
        received, tail, wanted = 0, b"", b"$%d\r\n%b\r\n" % (len(marker), marker)
        first = b""
        while not tail.endswith(wanted):
            count = self.socket.recv_into(self.buffer)
            if not count:
                raise ConnectionError("the server closed the connection")
            first = first or bytes(self.buffer[: min(count, 200)])
            received += count
            tail = (tail + bytes(self.buffer[max(0, count - len(wanted)) : count]))[-len(wanted) :]
        if first[:1] == b"-":
            raise RuntimeError(first.split(b"\r\n")[0].decode(errors="replace"))
        return received - len(wanted)

    def close(self) -> None:
        self.socket.close()
