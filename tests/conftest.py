"""Fixtures shared by all Python tests: servers to talk to."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from collections.abc import Iterator

import pytest

from tests import servers

if package := os.environ.get("KVCORE_TEST_PACKAGE"):
    # pytest has imported kvcore by now, for its plugin: only PYTHONPATH comes early enough.
    if not (importlib.util.find_spec("kvcore").origin or "").startswith(package):  # type: ignore[union-attr]
        raise RuntimeError(
            f"KVCORE_TEST_PACKAGE={package} is not what `import kvcore` finds: put it into PYTHONPATH, too"
        )
elif importlib.util.find_spec("kvcore") is None:
    sys.path.append(str(servers.ROOT / "src"))


# A run in the background of a script has SIGINT ignored, and every process that a test starts would inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[servers.Server]:
    """A real Valkey, the reference for compatibility. Skips where there is none."""
    if servers.find_peer("valkey-server") is None:
        pytest.skip(servers.NO_PEER.format(program="valkey-server"))
    server = servers.start_peer("valkey-server")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def second_valkey_server() -> Iterator[servers.Server]:
    """Another real Valkey: comparing it with the first one must show no difference."""
    if servers.find_peer("valkey-server") is None:
        pytest.skip(servers.NO_PEER.format(program="valkey-server"))
    server = servers.start_peer("valkey-server")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[servers.Server]:
    """A real Redis 8, which differs from Valkey: the comparison has to notice."""
    if servers.find_peer("redis-server") is None:
        pytest.skip(servers.NO_PEER.format(program="redis-server"))
    server = servers.start_peer("redis-server")
    yield server
    server.stop()


# With KVCORE_TEST_AGAINST=valkey the tests of the server run against a real Valkey: so they are checked themselves.
AGAINST = os.environ.get("KVCORE_TEST_AGAINST", "kvcore")


def start_tested_server(*options: str) -> servers.Server:
    """The server under test with the given options, or a skip where it cannot be run."""
    if AGAINST != "kvcore":
        return servers.start_peer(f"{AGAINST}-server", *options)
    if servers.kvcore_command() is None:
        pytest.skip("python -m kvcore serve does not run here: build the engine first")
    return servers.start_kvcore(*options)


@pytest.fixture(scope="session")
def served_kvcore() -> Iterator[servers.Server]:
    """kvcore's own server as a process, shared by the whole test run. Two threads whatever the load."""
    server = start_tested_server("--io-threads", "2")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def guarded_kvcore() -> Iterator[servers.Server]:
    """kvcore's own server with the password `secret`."""
    server = start_tested_server("--requirepass", "secret")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def guarded_valkey() -> Iterator[servers.Server]:
    """A real Valkey with the password `secret`."""
    if servers.find_peer("valkey-server") is None:
        pytest.skip(servers.NO_PEER.format(program="valkey-server"))
    server = servers.start_peer("valkey-server", "--requirepass", "secret")
    yield server
    server.stop()
