"""Clients that other people wrote, talking to kvcore: redis-py and valkey-py (with their own parsers and with hiredis),
and ioredis where node has it.

All of it also holds for a real Valkey: KVCORE_TEST_AGAINST=valkey runs it there.
"""

from __future__ import annotations

import asyncio
import importlib
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import servers

pytest.importorskip("redis")
pytest.importorskip("valkey")

HERE = Path(__file__).resolve().parent
SECONDS = 5.0

# (package, RESP version, parser); valkey-py's hiredis is called libvalkey and is not needed here.
CLIENTS = [
    ("redis", 2, "python"),
    ("redis", 3, "python"),
    ("redis", 2, "hiredis"),
    ("redis", 3, "hiredis"),
    ("valkey", 2, "python"),
    ("valkey", 3, "python"),
]


class Library:
    """One client library, set to one protocol and one parser."""

    def __init__(self, package: str, protocol: int, parser: str, port: int) -> None:
        self.package, self.protocol, self.port = package, protocol, port
        self.module: Any = importlib.import_module(package)
        self.exceptions: Any = importlib.import_module(f"{package}.exceptions")
        parsers: Any = importlib.import_module(f"{package}._parsers")
        if parser == "hiredis":
            pytest.importorskip("hiredis")
            self.parser = parsers._HiredisParser
        else:
            self.parser = parsers._RESP3Parser if protocol == 3 else parsers._RESP2Parser
        self.opened: list[Any] = []

    def client(self, **options: Any) -> Any:
        cls = self.module.Redis if self.package == "redis" else self.module.Valkey
        options = {"port": self.port, "protocol": self.protocol, "socket_timeout": SECONDS, **options}
        client = cls(**options)
        client.connection_pool.connection_kwargs["parser_class"] = self.parser
        self.opened.append(client)
        return client


@pytest.fixture(params=CLIENTS, ids=lambda value: f"{value[0]}-resp{value[1]}-{value[2]}")
def library(request: pytest.FixtureRequest, served_kvcore: servers.Server) -> Iterator[Library]:
    made = Library(*request.param, served_kvcore.port)
    made.client().flushall()
    yield made
    for client in made.opened:
        client.close()


@pytest.fixture
def c(library: Library) -> Any:
    return library.client()


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.005)


# ---- setting a connection up ----


def test_a_default_client_connects_and_names_itself(library: Library) -> None:
    client = library.client(client_name="worker", db=3)
    assert client.ping() is True
    me = client.client_info()
    assert me["name"] == "worker"
    assert int(me["db"]) == 3
    assert int(me["resp"]) == library.protocol
    assert me["lib-name"].startswith(f"{library.package}-py")
    assert me["lib-ver"]


def test_hello_says_what_clients_look_at(library: Library) -> None:
    raw = library.client().execute_command("HELLO", library.protocol)
    reply = raw if isinstance(raw, dict) else dict(zip(raw[::2], raw[1::2], strict=True))
    assert list(reply)[:7] == [b"server", b"version", b"proto", b"id", b"mode", b"role", b"modules"]
    assert reply[b"proto"] == library.protocol
    assert (reply[b"mode"], reply[b"role"]) == (b"standalone", b"master")


def test_unknown_subcommands_sent_while_connecting_do_no_harm(served_kvcore: servers.Server) -> None:
    """Newer clients send a whole introduction before they read the first reply; what is unknown must cost one error."""
    with served_kvcore.connect() as connection:
        introduction = [
            ("HELLO", 3, "SETNAME", "eager"),
            ("CLIENT", "MAINT_NOTIFICATIONS", "ON", "moving-endpoint-type", "external-ip"),
            ("CLIENT", "SETINFO", "LIB-NAME", "eager"),
            ("CLIENT", "SETINFO", "LIB-VER", "1.0"),
            ("CLIENT", "SETINFO", "LIB-SHOE-SIZE", "44"),
            ("CLIENT", "FROM-THE-FUTURE"),
            ("SELECT", 1),
            ("PING",),
        ]
        replies = connection.many(introduction)
        assert [reply.is_error for reply in replies] == [False, True, False, False, True, True, False, False]
        assert all(reply.data.startswith(b"ERR ") for reply in replies if reply.is_error)


def test_info_has_what_clients_parse(c: Any) -> None:
    info = c.info()
    assert info["redis_version"].split(".")[0].isdigit()
    assert info["loading"] == 0
    assert info["role"] == "master"
    assert info["connected_clients"] >= 1
    c.set("k", "v", ex=100)
    assert c.info("keyspace")["db0"]["keys"] == 1
    assert c.info("keyspace")["db0"]["expires"] == 1
    assert c.info("commandstats")["cmdstat_set"]["calls"] >= 1


# ---- replies ----


def test_every_type_of_reply(c: Any) -> None:
    assert c.set("s", "v") is True
    assert c.get("s") == b"v"
    assert c.get("none") is None
    assert c.set("s", "w", nx=True) is None
    assert c.set("s", "w", get=True) == b"v"
    assert c.incr("n") == 1
    assert c.incrbyfloat("f", "0.1") == pytest.approx(0.1)
    assert c.rpush("l", "a", "b") == 2
    assert c.lrange("l", 0, -1) == [b"a", b"b"]
    assert c.hset("h", mapping={"f": 1, "g": 2}) == 2
    assert c.hgetall("h") == {b"f": b"1", b"g": b"2"}
    assert c.hgetall("none") == {}
    assert c.sadd("t", "x", "y") == 2
    assert set(c.smembers("t")) == {b"x", b"y"}
    assert c.smismember("t", "x", "z") == [1, 0]
    assert c.zadd("z", {"m": 1.5, "n": float("inf")}) == 2
    assert c.zscore("z", "n") == float("inf")
    assert [tuple(pair) for pair in c.zrange("z", 0, -1, withscores=True)] == [(b"m", 1.5), (b"n", float("inf"))]
    assert c.mget("s", "none", "l") == [b"w", None, None]
    assert c.expire("s", 100) in (True, 1)
    assert 0 < c.ttl("s") <= 100
    assert c.type("z") == b"zset"
    assert c.exists("s", "none", "l") == 2
    assert c.config_get("maxmemory") == {"maxmemory": "0"}
    assert isinstance(c.time()[0], int)
    assert c.object("encoding", "n") == b"int"
    assert c.command_count() > 100


def test_all_bytes_and_long_values_survive(c: Any) -> None:
    for value in (b"", bytes(range(256)), b"\r\n$5\r\nhello\r\n", b"x" * 3_000_000):
        c.set(value[:1000], value)
        assert c.get(value[:1000]) == value
        c.hset("h", "f", value)
        assert c.hget("h", "f") == value


def test_decoded_responses(library: Library) -> None:
    client = library.client(decode_responses=True)
    client.set("k", "grüße")
    assert client.get("k") == "grüße"
    client.hset("h", "f", "v")
    assert client.hgetall("h") == {"f": "v"}


def test_scans(c: Any) -> None:
    c.mset({f"key{i}": i for i in range(500)})
    assert len(set(c.scan_iter(match="key*", count=50))) == 500
    c.hset("h", mapping={f"f{i}": i for i in range(500)})
    assert len(dict(c.hscan_iter("h"))) == 500
    c.sadd("t", *range(500))
    assert len(set(c.sscan_iter("t"))) == 500
    c.zadd("z", {f"m{i}": i for i in range(500)})
    assert dict(c.zscan_iter("z"))[b"m7"] == 7.0


# ---- errors ----


def test_errors_have_their_classes(library: Library) -> None:
    client, errors = library.client(), library.exceptions
    client.set("s", "v")
    for words, kind, message in (
        (("LPUSH", "s", "x"), errors.ResponseError, "WRONGTYPE"),
        (("NO_SUCH", "x"), errors.ResponseError, "unknown command"),
        (("GET",), errors.ResponseError, "wrong number of arguments"),
        (("INCR", "s"), errors.ResponseError, "value is not an integer"),
        (("EXEC",), errors.ResponseError, "EXEC without MULTI"),
        (("AUTH", "x", "y"), errors.AuthenticationError, "WRONGPASS|invalid username-password"),
    ):
        with pytest.raises(kind, match=message):
            client.execute_command(*words)
    assert client.ping() is True


def test_out_of_memory_has_its_class(library: Library) -> None:
    client = library.client()
    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(library.exceptions.OutOfMemoryError):
            client.set("k", "v")
    finally:
        client.config_set("maxmemory", 0)


def test_passwords(request: pytest.FixtureRequest, library: Library, guarded_kvcore: servers.Server) -> None:
    errors = library.exceptions
    assert library.client(port=guarded_kvcore.port, password="secret").ping() is True
    with pytest.raises(errors.AuthenticationError):
        library.client(port=guarded_kvcore.port, password="wrong").ping()
    with pytest.raises(errors.AuthenticationError):
        library.client(port=guarded_kvcore.port).ping()


# ---- pipelines and transactions ----


def test_pipelines(c: Any) -> None:
    pipe = c.pipeline(transaction=False)
    for i in range(1000):
        pipe.set(f"k{i}", i).get(f"k{i}")
    results = pipe.execute()
    assert results[::2] == [True] * 1000
    assert results[1::2] == [b"%d" % i for i in range(1000)]
    mixed = c.pipeline(transaction=False).set("a", "v").lpush("a", "x").get("a").execute(raise_on_error=False)
    assert mixed[0] is True
    assert "WRONGTYPE" in str(mixed[1])
    assert mixed[2] == b"v"


def test_transactions(library: Library) -> None:
    client, other = library.client(), library.client()
    assert client.pipeline().set("a", 1).incr("a").get("a").execute() == [True, 2, b"2"]
    with client.pipeline() as pipe:
        pipe.watch("a")
        value = int(pipe.get("a"))
        other.set("a", 10)
        pipe.multi()
        pipe.set("a", value + 1)
        with pytest.raises(library.exceptions.WatchError):
            pipe.execute()
    assert client.get("a") == b"10"
    with pytest.raises(library.exceptions.ResponseError, match="WRONGTYPE"):
        client.pipeline().set("a", "v").lpush("a", "x").execute()
    with pytest.raises(library.exceptions.ResponseError):
        client.pipeline().set("a", "v").execute_command("NO_SUCH").execute()

    def double(pipe: Any) -> None:
        n = int(pipe.get("n") or 1)
        pipe.multi()
        pipe.set("n", n * 2)

    assert client.transaction(double, "n") == [True]
    assert client.get("n") == b"2"


# ---- messages ----


def next_message(subscriber: Any, kind: str) -> Any:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        message = subscriber.get_message(timeout=0.2)
        if message is not None and message["type"] == kind:
            return message
    raise AssertionError(f"no {kind} came")


def test_publish_and_subscribe(library: Library) -> None:
    client = library.client()
    subscriber = client.pubsub()
    subscriber.subscribe("news")
    subscriber.psubscribe("p*")
    next_message(subscriber, "psubscribe")
    assert client.publish("news", "hello") == 1
    message = next_message(subscriber, "message")
    assert (message["channel"], message["data"]) == (b"news", b"hello")
    assert client.publish("pop", "music") == 1
    message = next_message(subscriber, "pmessage")
    assert (message["pattern"], message["channel"], message["data"]) == (b"p*", b"pop", b"music")
    subscriber.ping()
    next_message(subscriber, "pong")
    assert client.pubsub_numsub("news") == [(b"news", 1)]
    subscriber.unsubscribe()
    next_message(subscriber, "unsubscribe")
    subscriber.close()


def test_shard_channels(library: Library) -> None:
    client = library.client()
    subscriber = client.pubsub()
    subscriber.ssubscribe("sharded")
    next_message(subscriber, "ssubscribe")
    assert client.spublish("sharded", "x") == 1
    wait_until(lambda: (m := subscriber.get_sharded_message(timeout=0.2)) is not None and m["data"] == b"x")
    subscriber.close()


def test_monitor(library: Library) -> None:
    client = library.client()
    with client.monitor() as monitor:
        client.set("seen", "v")
        for line in monitor.listen():
            if line["command"].upper().startswith("SET SEEN"):
                break
        assert line["client_type"] == "tcp"


# ---- blocking ----


def test_blocking_commands(library: Library) -> None:
    client, waiter = library.client(), library.client()
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(waiter.blpop(["one", "two"], timeout=SECONDS)))
    thread.start()
    wait_until(lambda: client.info("clients")["blocked_clients"] == 1)
    client.rpush("two", "x")
    thread.join(SECONDS)
    assert [tuple(item) for item in got] == [(b"two", b"x")]
    assert waiter.blpop("one", timeout=0.05) is None
    client.rpush("one", "y")
    assert waiter.blmove("one", "two", SECONDS, "LEFT", "RIGHT") == b"y"
    client.zadd("z", {"m": 2})
    assert tuple(waiter.bzpopmin("z", SECONDS)) == (b"z", b"m", 2.0)
    assert waiter.bzpopmin("z", 0.05) is None


def test_a_waiting_client_can_be_unblocked(library: Library) -> None:
    client, waiter = library.client(), library.client(single_connection_client=True)
    number = waiter.client_id()
    caught: list[BaseException] = []

    def wait() -> None:
        try:
            waiter.blpop("nothing", 0)
        except library.exceptions.ResponseError as error:
            caught.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    wait_until(lambda: client.info("clients")["blocked_clients"] == 1)
    assert client.client_unblock(number, error=True) in (True, 1)
    thread.join(SECONDS)
    assert "UNBLOCKED" in str(caught[0])


def test_locks_without_scripts(c: Any) -> None:
    assert c.set("lock", "token", nx=True, px=50) is True
    assert c.set("lock", "other", nx=True, px=50) is None
    wait_until(lambda: c.set("lock", "other", nx=True, px=50))


# ---- asyncio ----


@pytest.mark.parametrize("package", ["redis", "valkey"])
@pytest.mark.parametrize("protocol", [2, 3])
def test_asyncio_clients(served_kvcore: servers.Server, package: str, protocol: int) -> None:
    module: Any = importlib.import_module(f"{package}.asyncio")

    async def session() -> None:
        cls = module.Redis if package == "redis" else module.Valkey
        async with cls(port=served_kvcore.port, protocol=protocol) as client:
            await client.flushall()
            assert await asyncio.gather(*(client.incr("n") for _ in range(100))) is not None
            assert await client.get("n") == b"100"
            waiting = asyncio.create_task(client.blpop("l", timeout=SECONDS))
            await asyncio.sleep(0.02)
            await client.rpush("l", "x")
            assert tuple(await waiting) == (b"l", b"x")
            async with client.pubsub() as subscriber:
                await subscriber.subscribe("ch")
                async for message in subscriber.listen():
                    if message["type"] == "subscribe":  # not before: another thread may serve the publisher
                        await client.publish("ch", "hello")
                    if message["type"] == "message":
                        assert message["data"] == b"hello"
                        break
            async with client.pipeline(transaction=True) as pipe:
                assert await pipe.set("k", "v").get("k").execute() == [True, b"v"]

    asyncio.run(asyncio.wait_for(session(), 4 * SECONDS))


# ---- node ----


@pytest.fixture(scope="session")
def ioredis() -> dict[str, str]:
    """The environment in which node finds ioredis: installed under build/node, which needs the network once."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None:
        pytest.skip("ioredis needs node, which is not installed")
    place = servers.ROOT / "build" / "node"
    environment = {**servers.foreign_environment(), "NODE_PATH": str(place / "node_modules")}

    def found() -> bool:
        command = [node, "-e", "require('ioredis')"]
        return subprocess.run(command, env=environment, capture_output=True, timeout=30).returncode == 0

    if not found():
        if npm is None:
            pytest.skip("ioredis is not installed, and there is no npm to install it")
        place.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--prefix", str(place), "--no-audit", "--no-fund", "--silent", "ioredis"]
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        except subprocess.TimeoutExpired:
            pytest.skip("npm did not install ioredis within 60 s")
        if done.returncode != 0 or not found():
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            pytest.skip(f"npm could not install ioredis (is the network there?): {reason}")
    return environment


@pytest.mark.parametrize("protocol", [2, 3])
def test_ioredis(ioredis: dict[str, str], served_kvcore: servers.Server, protocol: int) -> None:
    command = ["node", str(HERE / "ioredis_session.js"), str(served_kvcore.port), str(protocol)]
    done = subprocess.run(command, env=ioredis, capture_output=True, text=True, timeout=100)
    bad = [line for line in done.stdout.splitlines() if not line.startswith("ok ")]
    assert (bad, done.returncode) == ([], 0), done.stderr
