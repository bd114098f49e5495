"""The RESP server under clients that behave badly: they mix everything, leave in the middle, do not read, are killed,
and come in greater numbers than there are descriptors.

The server must survive, answer the others, and end cleanly. With a sanitizer's build (`make tsan asan`, or
KVCORE_TEST_PACKAGE) it must also have nothing to report. STRESS_SECONDS and STRESS_SEED are for longer runs.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import servers
from tests.compat.resp import Connection, ConnectionClosed, ProtocolError, ReplyTimeout
from tests.stress.test_mutants import variant_server

pytestmark = [pytest.mark.stress, pytest.mark.slow]

SECONDS = float(os.environ.get("STRESS_SECONDS", "4"))
SEED = int(os.environ.get("STRESS_SEED", "1"))
GONE = (ConnectionClosed, ReplyTimeout, ProtocolError, OSError)


def reports(server: servers.Server) -> str:
    """What a sanitizer has said so far; empty for other builds."""
    log = server.log.read_text(errors="replace")
    signs = ("WARNING: ThreadSanitizer", "ERROR: AddressSanitizer", "runtime error:")
    at = min((log.find(word) for word in signs if word in log), default=-1)
    return log[at : at + 4000] if at >= 0 else ""


def assert_well(server: servers.Server) -> None:
    assert server.alive, server.last_words()
    with server.connect(timeout_s=20) as connection:
        connection.must("CLIENT", "UNPAUSE")
        assert connection.must("PING").plain() == b"PONG"
    assert not reports(server), reports(server)


@pytest.fixture(params=["release", "tsan"])
def server(request: pytest.FixtureRequest) -> Iterator[servers.Server]:
    if servers.kvcore_command() is None:
        pytest.skip("python -m kvcore serve does not run here: build the engine first")
    if request.param != "release" and os.environ.get("KVCORE_MUTANTS") != "1":
        pytest.skip("builds the engine with the thread sanitizer: make mutants, or KVCORE_MUTANTS=1")
    if request.param == "release":
        running = servers.start_kvcore("--io-threads", "4")
    else:
        running = variant_server(None, request.param)
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
def plain_server() -> Iterator[servers.Server]:
    if servers.kvcore_command() is None:
        pytest.skip("python -m kvcore serve does not run here: build the engine first")
    running = servers.start_kvcore("--io-threads", "2")
    try:
        yield running
    finally:
        running.stop()


# ---- everything at once ----


def pipeline_and_leave(rng: random.Random, connection: Connection) -> None:
    """More commands than a turn runs; the client may be gone before the first reply."""
    connection.send_many([("GET", "big"), ("INCR", "n"), ("LRANGE", "l", 0, -1)] * rng.choice([5, 400, 1500]))
    if rng.random() < 0.5:
        linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    if rng.random() < 0.5:
        time.sleep(rng.random() * 0.01)
    connection.close()


def transaction(rng: random.Random, connection: Connection) -> None:
    connection.must("WATCH", "k1", "k2")
    connection.must("MULTI")
    for _ in range(rng.randrange(5)):
        connection.must("INCRBY", f"k{rng.randrange(4)}", 1)
    if rng.random() < 0.2:
        return  # leaves with an open transaction
    connection.must("EXEC")


def block(rng: random.Random, connection: Connection) -> None:
    keys = [f"q{rng.randrange(4)}" for _ in range(3)]
    connection.send(
        *rng.choice(
            [("BLPOP", *keys, "0.05"), ("BLMOVE", keys[0], keys[1], "LEFT", "RIGHT", "0.05"), ("BZPOPMIN", "z", "0.05")]
        )
    )
    if rng.random() < 0.7:
        connection.reply(timeout_s=30)


def push(rng: random.Random, connection: Connection) -> None:
    connection.must("RPUSH", f"q{rng.randrange(4)}", *range(rng.randrange(1, 4)))
    connection.must("ZADD", "z", rng.random(), rng.randrange(10))


def subscribe(rng: random.Random, connection: Connection) -> None:
    connection.call("HELLO", 3)
    connection.send("SUBSCRIBE", "c1", "c2")
    connection.send("PSUBSCRIBE", "c*")
    for _ in range(rng.randrange(20)):
        connection.next(timeout_s=1)


def publish(rng: random.Random, connection: Connection) -> None:
    connection.many([("PUBLISH", f"c{rng.randrange(3)}", "x" * rng.randrange(2000)) for _ in range(20)], timeout_s=30)


def monitor(rng: random.Random, connection: Connection) -> None:
    connection.must("MONITOR")
    for _ in range(rng.randrange(50)):
        connection.next(timeout_s=1)


def track(rng: random.Random, connection: Connection) -> None:
    connection.call("HELLO", 3)
    connection.must("CLIENT", "TRACKING", "ON", *rng.choice([(), ("BCAST",), ("NOLOOP",)]))
    for _ in range(10):
        connection.call("GET", f"k{rng.randrange(4)}", timeout_s=30)


def administer(rng: random.Random, connection: Connection) -> None:
    connection.call("CLIENT", "LIST", timeout_s=30)
    connection.call(*rng.choice([
        ("CLIENT", "KILL", "TYPE", "pubsub"),
        ("CLIENT", "KILL", "ID", rng.randrange(1, 2000)),
        ("CLIENT", "KILL", "TYPE", "normal", "MAXAGE", "1"),
        ("CLIENT", "PAUSE", 20, "WRITE"),
        ("CLIENT", "PAUSE", 20),
        ("CLIENT", "UNPAUSE"),
        ("CLIENT", "UNBLOCK", rng.randrange(1, 2000), "ERROR"),
        ("CONFIG", "SET", "notify-keyspace-events", rng.choice(["KEA", ""])),
        ("CONFIG", "SET", "maxmemory", rng.choice(["0", "50mb"])),
        ("INFO", "everything"),
        ("FLUSHALL",),
        ("SWAPDB", 0, 1),
        ("SLOWLOG", "GET", 10),
        ("MEMORY", "STATS"),
    ]), timeout_s=30)  # fmt: skip


def garbage(rng: random.Random, connection: Connection) -> None:
    connection.send_raw(rng.choice([
        rng.randbytes(200), b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\nwrong\r\n",
        b"*100000000\r\n", b"GET 'unbalanced\r\n", b"*2\r\n$3\r\nGET\r\n$5\r\nab",
        b"*0\r\n*-1\r\nPING\r\n", b"QUIT\r\nSET after quit\r\n", b"POST / HTTP/1.1\r\nHost: x\r\n\r\n",
    ]))  # fmt: skip
    with contextlib.suppress(*GONE):
        connection.next(timeout_s=0.05)
    raise ConnectionClosed("nothing more can be said here")


ACTIONS: tuple[Callable[[random.Random, Connection], None], ...] = (
    pipeline_and_leave, transaction, block, push, push, subscribe, publish, monitor, track, administer, garbage,
)  # fmt: skip


@pytest.mark.timeout(600)
def test_everything_at_once(server: servers.Server) -> None:
    """Clients of every kind at once, leaving at any moment."""
    with server.connect(timeout_s=20) as connection:
        connection.must("SET", "big", "v" * 5000)
    until = time.monotonic() + SECONDS
    wrong: list[BaseException] = []

    def client(number: int) -> None:
        rng = random.Random(SEED * 1000 + number)
        while time.monotonic() < until and not wrong:
            try:
                with server.connect(timeout_s=20) as connection:
                    for _ in range(rng.randrange(1, 6)):
                        rng.choice(ACTIONS)(rng, connection)
            except (*GONE, AssertionError):
                continue  # killed, refused, or in somebody's way: only the server has to be well
            except BaseException as error:
                wrong.append(error)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong, wrong[0]
    assert_well(server)
    server.process.terminate()
    assert server.process.wait(30) == 0, server.last_words()
    assert not reports(server), reports(server)


@pytest.mark.timeout(600)
def test_under_the_benchmark(server: servers.Server) -> None:
    """A real client program at full speed, while the connections of another come and go."""
    program = servers.find_peer("valkey-benchmark")
    if program is None:
        pytest.skip(servers.NO_PEER.format(program="valkey-benchmark"))
    command = [
        program,
        "-p",
        str(server.port),
        "-n",
        "20000",
        "-c",
        "20",
        "-P",
        "8",
        "-r",
        "1000",
        "-q",
        "-t",
        "set,get,incr,lpush,lpop,sadd,hset,zadd,mset",
    ]
    benchmark = subprocess.Popen(
        command, env=servers.foreign_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    rng = random.Random(SEED)
    while benchmark.poll() is None:
        with contextlib.suppress(*GONE, AssertionError), server.connect(timeout_s=20) as connection:
            rng.choice([pipeline_and_leave, block, publish, transaction])(rng, connection)
    assert benchmark.returncode == 0, benchmark.stdout.read() if benchmark.stdout else ""
    assert_well(server)


# ---- one kind of trouble at a time ----


@pytest.mark.timeout(120)
def test_more_clients_than_descriptors(tmp_path: Path) -> None:
    """accept() fails with EMFILE: those who are in are served, and the others get in when there is room."""
    if servers.kvcore_command() is None:
        pytest.skip("python -m kvcore serve does not run here: build the engine first")
    limit = 64

    def fewer_descriptors() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

    port = servers.free_port()
    command = servers.kvcore_command()
    assert command is not None
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port), "--maxclients", "10000"],
            stdout=log,
            stderr=log,
            preexec_fn=fewer_descriptors,
            env=servers.kvcore_environment(),
        )
    try:
        deadline = time.monotonic() + 20
        first: Connection | None = None
        while first is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                first = Connection("127.0.0.1", port)
            time.sleep(0.02)
        assert first is not None
        first.must("PING")
        crowd = [socket.create_connection(("127.0.0.1", port)) for _ in range(limit)]  # the backlog holds the rest
        time.sleep(0.3)
        for _ in range(20):
            first.must("PING")
        burnt = sum(os.times()[:2]), Path(f"/proc/{process.pid}/stat").read_text().split()[13:15]
        time.sleep(0.5)
        ticks = [int(field) for field in Path(f"/proc/{process.pid}/stat").read_text().split()[13:15]]
        spent = (sum(ticks) - sum(map(int, burnt[1]))) / os.sysconf("SC_CLK_TCK")
        assert spent < 0.25, f"the loop spins: {spent} s of processor time in half a second"
        for one in crowd:
            one.close()
        with Connection("127.0.0.1", port, timeout_s=10) as late:
            late.must("PING", timeout_s=10)
        first.close()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


@pytest.mark.timeout(120)
def test_slow_readers(plain_server: servers.Server) -> None:
    """A subscriber that does not read goes when its limit is reached; a patient client gets every reply."""
    server = plain_server
    with server.connect(timeout_s=20) as admin:
        admin.must("SET", "big", "v" * 100_000)
        patient = server.connect(timeout_s=30)
        patient.send_many([("GET", "big")] * 500)
        admin.must("CONFIG", "SET", "client-output-buffer-limit", "pubsub 1mb 0 0")
        deaf = server.connect(timeout_s=30)
        deaf.must("SUBSCRIBE", "c")
        for _ in range(400):
            admin.must("PUBLISH", "c", "m" * 50_000)
        assert admin.must("PUBLISH", "c", "m").plain() == 0, "the subscriber that does not read is still there"
        assert [len(reply.data) for reply in (patient.reply() for _ in range(500))] == [100_000] * 500
        patient.must("PING")
        patient.close()
        deaf.close()
    assert_well(server)


@pytest.mark.timeout(120)
def test_a_thousand_idle_connections(plain_server: servers.Server) -> None:
    """Each costs little, also after it has been busy once, and does not slow the others down."""
    server = plain_server
    with server.connect() as warm:
        warm.many([("SET", f"k{number}", "v") for number in range(1000)])
    before = server.rss_bytes()
    crowd = [server.connect() for _ in range(1000)]
    for connection in crowd:
        connection.must("SET", "k", "v" * 20_000)
        connection.must("MGET", *["k0"] * 500)
    each = (server.rss_bytes() - before) / len(crowd)
    assert servers.SANITIZED or each < 20 * 1024, f"{each:.0f} bytes a connection"
    for connection in crowd[:500]:
        connection.send("BLPOP", "never", 0)
    with server.connect() as busy:
        begun = time.monotonic()
        for _ in range(1000):
            busy.must("PING")
        assert time.monotonic() - begun < 2
        busy.must("RPUSH", "never", *range(500))
    for connection in crowd[:500]:
        connection.reply()
    for connection in crowd:
        connection.close()
    assert_well(server)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_under_load(plain_server: servers.Server, name: str) -> None:
    """It ends with status 0, in time, and every reply that was begun is whole."""
    server = plain_server
    torn: list[str] = []
    stop = threading.Event()

    def load(number: int) -> None:
        rng = random.Random(number)
        with contextlib.suppress(ConnectionClosed, OSError, ReplyTimeout):
            with server.connect(timeout_s=5) as connection:
                while not stop.is_set():
                    try:
                        connection.many(
                            [("SET", f"k{rng.randrange(100)}", "v" * 1000), ("GET", "k1"), ("RPUSH", "l", 1)] * 20
                        )
                    except ProtocolError as error:
                        torn.append(str(error))
                        return

    threads = [threading.Thread(target=load, args=(number,)) for number in range(4)]
    with server.connect() as blocked, server.connect() as subscriber:
        blocked.send("BLPOP", "never", 0)
        subscriber.must("SUBSCRIBE", "c")
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        begun = time.monotonic()
        server.process.send_signal(getattr(signal, name))
        assert server.process.wait(10) == 0, server.last_words()
        assert time.monotonic() - begun < 5
    stop.set()
    for thread in threads:
        thread.join(10)
    assert not [words for words in torn if "pending" not in words and "inside a reply" not in words], torn
