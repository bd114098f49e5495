"""maxmemory-clients: what clients hold together is bounded, and the largest go first.

Everything here but the tests marked `ours` also holds for a real Valkey: KVCORE_TEST_AGAINST=valkey runs it there.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from tests.compat.resp import Connection, ConnectionClosed, Reply, ReplyTimeout
from tests.conftest import AGAINST, start_tested_server
from tests.servers import SANITIZED, Server

KIB = 1024
MIB = 1024 * KIB
LIMIT = 2 * MIB
SECONDS = 60.0 if SANITIZED else 10.0

ours = pytest.mark.skipif(AGAINST != "kvcore", reason="a promise of kvcore's own")


@pytest.fixture(scope="module", params=["1", "3"], ids=["one thread", "three threads"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    server = start_tested_server("--io-threads", request.param, "--loglevel", "notice")
    yield server
    server.stop()


@pytest.fixture
def admin(server: Server) -> Iterator[Connection]:
    """Cannot be evicted itself; afterwards everything is as it was."""
    with server.connect(timeout_s=SECONDS) as connection:
        connection.must("CLIENT", "SETNAME", "admin")
        connection.must("CLIENT", "NO-EVICT", "ON")
        connection.must("CONFIG", "RESETSTAT")
        yield connection
        connection.must("CONFIG", "SET", "maxmemory-clients", "0", "maxmemory", "0")
        connection.must("FLUSHALL")
        wait_until(lambda: [c for c in clients(connection) if c["name"] != "admin"] == [])


def wait_until(done: Callable[[], bool], seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def clients(admin: Connection) -> list[dict[str, str]]:
    lines = admin.must("CLIENT", "LIST").data.decode().splitlines()
    return [dict(part.split("=", 1) for part in line.split(" ")) for line in lines]


def texts(reply: Reply) -> list[str]:
    return [item.data.decode() for item in reply.items]


def memory(admin: Connection, name: str) -> int:
    """What CLIENT LIST says of the client with this name; 0: there is none."""
    return sum(int(client["tot-mem"]) for client in clients(admin) if client["name"] == name)


def by_name(admin: Connection, name: str) -> dict[str, str]:
    return next(client for client in clients(admin) if client["name"] == name)


def texts_of(client: Connection) -> str:
    return client.reply().data.decode()


def info(admin: Connection, field: str) -> str:
    for line in admin.must("INFO", "everything").data.decode().splitlines():
        if line.startswith(f"{field}:"):
            return line.split(":", 1)[1]
    raise AssertionError(f"INFO has no {field}")


def evicted(admin: Connection) -> int:
    return int(info(admin, "evicted_clients"))


def is_closed(connection: Connection) -> bool:
    try:
        return connection.call("PING").kind not in (b"+", b"*")
    except (ConnectionClosed, OSError):
        return True
    except ReplyTimeout:
        return False


def named(server: Server, name: str, protocol: int = 2) -> Connection:
    connection = server.connect(protocol, timeout_s=SECONDS)
    connection.must("CLIENT", "SETNAME", name)
    return connection


def push(connection: Connection, data: bytes) -> None:
    """As far as the server takes it."""
    with contextlib.suppress(OSError):
        connection.socket.sendall(data)


def half_a_request(connection: Connection, size: int) -> None:
    push(connection, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n" % (4 * size) + b"x" * size)


# ---- the option ----


@pytest.mark.parametrize(
    ("given", "shown"),
    [("0", "0"), ("10%", "10%"), ("100%", "100%"), ("0%", "0"), ("1000", "1000"), ("10mb", "10485760")],
)
def test_values(admin: Connection, given: str, shown: str) -> None:
    admin.must("CONFIG", "SET", "maxmemory-clients", given)
    assert texts(admin.must("CONFIG", "GET", "maxmemory-clients")) == ["maxmemory-clients", shown]


@pytest.mark.parametrize("bad", ["-1", "abc", "5 %", "-5%", "+5%", "1.5%", "1gb%", "%"])
def test_bad_values(admin: Connection, bad: str) -> None:
    reply = admin.call("CONFIG", "SET", "maxmemory-clients", bad)
    assert reply.data.decode() == (
        "ERR CONFIG SET failed (possibly related to argument 'maxmemory-clients') - "
        "argument must be a memory or percent value"
    )
    assert texts(admin.must("CONFIG", "GET", "maxmemory-clients")) == ["maxmemory-clients", "0"]


def test_too_large_a_percentage(admin: Connection) -> None:
    reply = admin.call("CONFIG", "SET", "maxmemory-clients", "101%")
    assert reply.data.decode().endswith("percentage argument must be less or equal to 100")


# ---- what counts ----


@pytest.mark.parametrize("size", [100_000, 3 * MIB + 5, 9 * MIB])
def test_a_big_word_takes_no_more_than_its_length(server: Server, admin: Connection, size: int) -> None:
    before = int(info(admin, "used_memory"))
    with named(server, "big") as client:
        push(client, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n" % size + b"x" * (size - 10))
        wait_until(lambda: size <= memory(admin, "big"))
        wait_until(lambda: memory(admin, "big") <= size + 150 * KIB)
        push(client, b"x" * 10 + b"\r\n*1\r\n$4\r\nPING\r\n")
        assert [texts_of(client) for _ in range(2)] == ["OK", "PONG"]
        assert admin.must("STRLEN", "k").data == b"%d" % size
        wait_until(lambda: memory(admin, "big") < 16 * KIB)
    admin.must("DEL", "k")
    wait_until(lambda: int(info(admin, "used_memory")) < before + MIB)  # freed in the background


@ours
def test_a_few_bytes_of_a_request_keep_no_buffer(server: Server, admin: Connection) -> None:
    with named(server, "slow") as client:
        request = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5000\r\n" + b"y" * 5000 + b"\r\n"
        before = memory(admin, "slow")
        for i in range(100, 4100, 100):
            push(client, request[i - 100 : i])
            wait_until(lambda sent=i: int(by_name(admin, "slow")["qbuf"]) == sent)  # type: ignore[misc]
            wait_until(lambda: memory(admin, "slow") <= before + 5 * KIB)
        push(client, request[4000:])
        assert texts_of(client) == "OK"
        assert admin.must("GET", "k").data == b"y" * 5000


def fill_query_buffer(server: Server, size: int) -> Connection:
    client = named(server, "big")
    half_a_request(client, size)
    return client


def fill_multi(server: Server, size: int) -> Connection:
    client = named(server, "big")
    client.must("MULTI")
    for _ in range(0, size, 64 * KIB):
        push(client, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$65536\r\n" + b"x" * 65536 + b"\r\n")
    return client


def fill_watch(server: Server, size: int) -> Connection:
    client = named(server, "big")
    for i in range(0, size, 100 * KIB):
        push(client, b"*2\r\n$5\r\nWATCH\r\n$102400\r\n" + b"%08d" % i + b"x" * (102400 - 8) + b"\r\n")
    return client


def fill_subscriptions(server: Server, size: int) -> Connection:
    client = named(server, "big")
    for i in range(0, size, 100 * KIB):
        push(client, b"*2\r\n$9\r\nSUBSCRIBE\r\n$102400\r\n" + b"%08d" % i + b"x" * (102400 - 8) + b"\r\n")
    return client


def fill_prefixes(server: Server, size: int) -> Connection:
    client = named(server, "big", 3)
    for i in range(0, size, 100 * KIB):
        push(
            client,
            b"*6\r\n$6\r\nCLIENT\r\n$8\r\nTRACKING\r\n$2\r\nON\r\n$5\r\nBCAST\r\n$6\r\nPREFIX\r\n$102400\r\n"
            + b"%08d" % i
            + b"x" * (102400 - 8)
            + b"\r\n",
        )
    return client


def fill_output(server: Server, size: int) -> Connection:
    client = named(server, "big")
    client.must("SET", "long", "x" * 100 * KIB)
    for _ in range(0, 8 * MIB + size, 100 * KIB):  # the kernel takes a few MiB
        push(client, b"*2\r\n$3\r\nGET\r\n$4\r\nlong\r\n")
    return client


FILLERS = [fill_query_buffer, fill_multi, fill_output]
if AGAINST == "kvcore":  # a real Valkey does not count these names
    FILLERS += [fill_watch, fill_prefixes, fill_subscriptions]


@pytest.mark.parametrize("fill", FILLERS, ids=[fill.__name__ for fill in FILLERS])
def test_whatever_makes_it_large(server: Server, admin: Connection, fill: Callable[[Server, int], Connection]) -> None:
    with named(server, "small") as small:
        admin.must("CONFIG", "SET", "maxmemory-clients", LIMIT)
        with fill(server, 4 * LIMIT):
            wait_until(lambda: evicted(admin) == 1)
            wait_until(lambda: memory(admin, "big") == 0)
        assert not is_closed(small)
    wait_until(lambda: int(info(admin, "mem_clients_normal")) < LIMIT)


@ours
@pytest.mark.parametrize("fill", FILLERS[:5], ids=[fill.__name__ for fill in FILLERS[:5]])
def test_shown_memory_is_used_memory(
    server: Server, admin: Connection, fill: Callable[[Server, int], Connection]
) -> None:
    before = int(info(admin, "used_memory"))
    client = fill(server, 2 * MIB)
    try:
        wait_until(lambda: memory(admin, "big") > 2 * MIB)
        time.sleep(0.3)
        shown, used = memory(admin, "big"), int(info(admin, "used_memory")) - before
        # Names that are watched lie in pages of the store, which have room for more.
        assert 0.6 * used < shown < 1.2 * used + 256 * KIB
    finally:
        client.close()
    wait_until(lambda: memory(admin, "big") == 0)
    wait_until(lambda: int(info(admin, "used_memory")) < before + 512 * KIB)


@ours
def test_a_blocked_commands_keys(server: Server, admin: Connection) -> None:
    client = named(server, "big")
    client.send("BLPOP", *[f"{i:08}" + "k" * 10000 for i in range(100)], 0)
    wait_until(lambda: memory(admin, "big") > 1000 * 1000)
    admin.must("RPUSH", "00000000" + "k" * 10000, "element")
    assert texts(client.reply())[1] == "element"
    wait_until(lambda: memory(admin, "big") < 64 * KIB)
    client.close()


@ours
def test_a_long_name(server: Server, admin: Connection) -> None:
    client = named(server, "n" * MIB)
    wait_until(lambda: memory(admin, "n" * MIB) > MIB)
    client.must("CLIENT", "SETNAME", "short")
    wait_until(lambda: memory(admin, "short") < 64 * KIB)
    client.close()


# ---- who goes ----


def test_the_largest_first(server: Server, admin: Connection) -> None:
    sizes = {"a": 60 * KIB, "d": 4000 * KIB, "b": 240 * KIB, "c": 1000 * KIB}
    held = [named(server, name) for name in sizes]
    for connection, size in zip(held, sizes.values(), strict=True):
        half_a_request(connection, size)
    wait_until(lambda: all(memory(admin, name) > size for name, size in sizes.items()))

    def leave_out(name: str) -> None:
        """A limit that is too low for all, and high enough without this one."""
        total = sum(int(client["tot-mem"]) for client in clients(admin))
        admin.must("CONFIG", "SET", "maxmemory-clients", total - memory(admin, name) // 2)

    leave_out("d")
    wait_until(lambda: evicted(admin) == 1)
    wait_until(lambda: [memory(admin, name) > 0 for name in "abcd"] == [True, True, True, False])
    leave_out("b")  # which is not the largest
    wait_until(lambda: evicted(admin) == 2)
    wait_until(lambda: [memory(admin, name) > 0 for name in "abcd"] == [True, True, False, False])
    for connection in held:
        connection.close()


def test_many_small_ones(server: Server, admin: Connection) -> None:
    """More clients go at once than one look at the registry takes."""
    count = 40 if SANITIZED else 600
    held = [socket.create_connection((server.host, server.port), SECONDS) for _ in range(count)]
    for connection in held:
        connection.sendall(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\n" + b"x" * 30000)
    wait_until(lambda: sum(int(client["tot-mem"]) for client in clients(admin)) > count * 30000)
    admin.must("CONFIG", "SET", "maxmemory-clients", 128 * KIB)
    wait_until(lambda: evicted(admin) >= count - 5)
    wait_until(lambda: sum(int(client["tot-mem"]) for client in clients(admin)) <= 160 * KIB)
    for connection in held:
        connection.close()


def test_no_evict_protects(server: Server, admin: Connection) -> None:
    with named(server, "big") as big, named(server, "other") as other:
        big.must("CLIENT", "NO-EVICT", "ON")
        half_a_request(big, 4 * LIMIT)
        wait_until(lambda: memory(admin, "big") > 4 * LIMIT)
        admin.must("CONFIG", "SET", "maxmemory-clients", LIMIT)
        # What a protected client holds counts, so the others pay.
        wait_until(lambda: is_closed(other))
        time.sleep(0.3)
        assert memory(admin, "big") > 4 * LIMIT
        assert evicted(admin) == 1
    wait_until(lambda: memory(admin, "big") == 0)
    with named(server, "other") as other:
        time.sleep(0.1)
        assert not is_closed(other)


def test_protection_can_be_given_up(server: Server, admin: Connection) -> None:
    with named(server, "big") as big:
        big.must("CLIENT", "NO-EVICT", "ON")
        big.must("MULTI")
        for _ in range(3):
            assert big.call("SET", "k", "x" * LIMIT).data == b"QUEUED"
        admin.must("CONFIG", "SET", "maxmemory-clients", LIMIT)
        time.sleep(0.1)
        assert memory(admin, "big") > LIMIT
        big.must("DISCARD")
        wait_until(lambda: memory(admin, "big") < LIMIT)
        big.must("CLIENT", "NO-EVICT", "OFF")
        half_a_request(big, 2 * LIMIT)
        wait_until(lambda: memory(admin, "big") == 0)
    assert evicted(admin) == 1


def test_a_monitor_counts(server: Server, admin: Connection) -> None:
    admin.must("CONFIG", "SET", "maxmemory-clients", LIMIT)
    with named(server, "monitor") as monitor, named(server, "busy") as busy:
        monitor.must("MONITOR")
        deadline = time.monotonic() + SECONDS * 3
        batch = (b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$120\r\n" + b"\x01" * 120 + b"\r\n") * 200
        while evicted(admin) == 0 and time.monotonic() < deadline:
            busy.socket.sendall(batch)
            for _ in range(200):
                busy.reply()
        wait_until(lambda: memory(admin, "monitor") == 0)  # its own thread closes it
        assert not is_closed(busy)
    assert evicted(admin) == 1


def test_percentage_of_maxmemory(server: Server, admin: Connection) -> None:
    admin.must("CONFIG", "SET", "maxmemory-clients", "10%")
    with named(server, "big") as big:
        half_a_request(big, 4 * MIB)
        wait_until(lambda: memory(admin, "big") > 4 * MIB)  # without maxmemory there is nothing to take a part of
        admin.must("CONFIG", "SET", "maxmemory", 1000 * MIB)
        time.sleep(0.2)
        assert memory(admin, "big") > 4 * MIB
        admin.must("CONFIG", "SET", "maxmemory", 20 * MIB)
        wait_until(lambda: memory(admin, "big") == 0)
    assert evicted(admin) == 1


def test_lowered_while_it_is_exceeded(server: Server, admin: Connection) -> None:
    with named(server, "big") as big:
        half_a_request(big, 4 * MIB)
        wait_until(lambda: memory(admin, "big") > 4 * MIB)
        admin.must("CONFIG", "SET", "maxmemory-clients", MIB)
        wait_until(lambda: memory(admin, "big") == 0, 0.9 if not SANITIZED else SECONDS)
    assert evicted(admin) == 1


def test_a_tiny_limit_leaves_room_to_change_it(server: Server, admin: Connection) -> None:
    admin.must("CONFIG", "SET", "maxmemory-clients", "1")
    with named(server, "small") as small:
        time.sleep(0.1)
        assert not is_closed(small)
        half_a_request(small, 600 * KIB)
        wait_until(lambda: evicted(admin) == 1)


def test_a_blocked_client(server: Server, admin: Connection) -> None:
    with named(server, "big") as big:
        big.send("BLPOP", "nothing", 0)
        wait_until(lambda: info(admin, "blocked_clients") == "1")
        half_a_request(big, 40 * KIB)
        admin.must("CONFIG", "SET", "maxmemory-clients", LIMIT)
        with fill_query_buffer(server, 4 * LIMIT):
            wait_until(lambda: evicted(admin) == 1)
        assert info(admin, "blocked_clients") == "1"
    wait_until(lambda: info(admin, "blocked_clients") == "0")


@ours
def test_the_log_says_it(server: Server, admin: Connection) -> None:
    admin.must("CONFIG", "SET", "maxmemory-clients", LIMIT)
    with fill_query_buffer(server, 4 * LIMIT):
        wait_until(lambda: evicted(admin) == 1)
    assert "Evicting client: id=" in server.last_words()


# ---- memory is bounded ----


@ours
@pytest.mark.skipif(SANITIZED, reason="no memory figure under a sanitizer")
def test_memory_stays_bounded(server: Server, admin: Connection) -> None:
    """Clients that ask much and read nothing, that send and never finish, that queue and never run."""
    admin.must("SET", "long", "x" * MIB)
    before = int(info(admin, "used_memory"))
    admin.must("CONFIG", "SET", "maxmemory-clients", 8 * MIB)
    top = 0
    held: list[socket.socket] = []
    payloads = [
        b"*2\r\n$3\r\nGET\r\n$4\r\nlong\r\n" * 40,
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000000\r\n" + b"x" * 3 * MIB,
        b"*1\r\n$5\r\nMULTI\r\n" + (b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$65536\r\n" + b"x" * 65536 + b"\r\n") * 40,
    ]
    for i in range(90):
        connection = socket.create_connection((server.host, server.port), SECONDS)
        connection.settimeout(0.2)
        with contextlib.suppress(OSError):
            connection.sendall(payloads[i % 3])
        held.append(connection)
        if i % 10 == 9:
            top = max(top, int(info(admin, "used_memory")) - before)
    assert evicted(admin) > 20
    for connection in held:
        connection.close()
    # The limit, once as much of clients that are going, and for each thread what a turn adds (it may wait for a core in
    # the middle of one). What was sent and asked for is 1.4 GiB.
    assert top < 64 * MIB
