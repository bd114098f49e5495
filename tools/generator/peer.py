"""A real server to compare with: finding one, starting it, and talking RESP3 to it with as little code as possible."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Status:
    """A simple string: +OK."""

    text: str


@dataclass(frozen=True)
class ErrorReply:
    """An error: -ERR ..."""

    text: str


@dataclass
class Set:
    """A RESP3 set: the order means nothing."""

    items: list[Any]


@dataclass
class Push:
    """An out-of-band message."""

    items: list[Any]


@dataclass
class Map:
    """A RESP3 map; keys may be lists, so not a dict."""

    pairs: list[tuple[Any, Any]] = field(default_factory=list)


class Connection:
    """One connection. Bulk strings come back as bytes."""

    def __init__(self, host: str, port: int, protocol: int = 3, timeout: float = 10.0) -> None:
        self.socket = socket.create_connection((host, port), timeout=timeout)
        self.file = self.socket.makefile("rb")
        if protocol == 3:
            self.call("HELLO", "3")

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.file.close()
        self.socket.close()

    def send(self, *words: str | bytes) -> None:
        out = [b"*%d\r\n" % len(words)]
        for word in words:
            data = word.encode() if isinstance(word, str) else word
            out.append(b"$%d\r\n%s\r\n" % (len(data), data))
        self.socket.sendall(b"".join(out))

    def call(self, *words: str | bytes) -> Any:
        self.send(*words)
        return self.read()

    def read(self) -> Any:
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind in b"$=":
            if rest == b"-1":
                return None
            data: bytes = self.file.read(int(rest) + 2)[:-2]
            return data[4:] if kind == b"=" else data
        if kind in b"*~>":
            if rest == b"-1":
                return None
            items = [self.read() for _ in range(int(rest))]
            return {b"*": items, b"~": Set(items), b">": Push(items)}[kind]
        if kind == b"%":
            return Map([(self.read(), self.read()) for _ in range(int(rest))])
        return self.simple(kind, rest)

    @staticmethod
    def simple(kind: bytes, rest: bytes) -> Any:
        if kind == b"+":
            return Status(rest.decode())
        if kind == b"-":
            return ErrorReply(rest.decode(errors="replace"))
        if kind == b":":
            return int(rest)
        if kind == b",":
            return float(rest)
        if kind == b"#":
            return rest == b"t"
        if kind == b"_":
            return None
        raise ValueError(f"not RESP: {kind + rest!r}")


def find_server() -> str | None:
    """valkey-server of build/peers (tools/peers.sh), of $KVCORE_PEERS, or on PATH."""
    for directory in (os.environ.get("KVCORE_PEERS"), str(ROOT / "build/peers")):
        if directory:
            for path in (Path(directory) / "bin/valkey-server", Path(directory) / "valkey-server"):
                if path.exists():
                    return str(path)
    return shutil.which("valkey-server")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running_server(binary: str, *more: str) -> Iterator[tuple[str, int]]:
    """A fresh server without persistence on a free port of the loopback interface."""
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        options = [
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--enable-debug-command",
            "yes",
            "--dir",
            directory,
        ]
        # Without the sanitizer that the tests of ours may run under.
        environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
        process = subprocess.Popen(
            [binary, *options, *more], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            deadline = time.monotonic() + 10
            while True:
                try:
                    Connection("127.0.0.1", port).close()
                    break
                except OSError:
                    if time.monotonic() > deadline or process.poll() is not None:
                        raise RuntimeError(f"{binary} does not start") from None
                    time.sleep(0.02)
            yield "127.0.0.1", port
        finally:
            process.terminate()
            process.wait(10)
