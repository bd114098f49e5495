"""The generated methods against redis-py: the same names, arguments and defaults, the same shapes returned."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

redis = pytest.importorskip("redis", minversion="8.0")

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from generator import peer  # noqa: E402

import kvcore  # noqa: E402
from kvcore.commands import Commands, PipelineCommands  # noqa: E402

# Valkey has no such conditions; the two others make an argument that redis-py refuses to send useful.
KNOWN_DIFFERENCES = {"set": {"ifne", "ifdeq", "ifdne"}, "command_info": {"args"}, "latency_graph": {"event"}}


def python_value(reply: Any) -> Any:
    """A reply as the engine hands it to Python."""
    if isinstance(reply, peer.Map):
        return {python_value(key): python_value(item) for key, item in reply.pairs}
    if isinstance(reply, peer.Set):
        items = [python_value(item) for item in reply.items]
        return items if any(isinstance(item, (dict, list, set)) for item in items) else set(items)
    if isinstance(reply, list):
        return [python_value(item) for item in reply]
    return reply.text.encode() if isinstance(reply, peer.Status) else reply


class Remote(Commands[bytes]):
    """The methods over a connection to a real server."""

    def __init__(self, connection: peer.Connection) -> None:
        self.connection = connection

    def _run(self, words: Sequence[Any], shape: Callable[[Any], Any] | None = None) -> Any:
        sent = [bytes(word) if isinstance(word, (bytes, bytearray, memoryview)) else str(word) for word in words]
        reply = self.connection.call(*sent)
        if isinstance(reply, peer.ErrorReply):
            raise redis.ResponseError(reply.text.removeprefix("ERR "))
        value = python_value(reply)
        return value if shape is None else shape(value)


@pytest.fixture(scope="module")
def clients() -> Iterator[tuple[Remote, Any]]:
    binary = peer.find_server()
    if binary is None:
        pytest.skip("no valkey-server: tools/peers.sh build/peers brings one")
    with peer.running_server(binary) as (host, port), peer.Connection(host, port) as connection:
        theirs = redis.Redis(host, port)
        yield Remote(connection), theirs
        theirs.close()


def public(cls: type) -> set[str]:
    return {name for name, value in vars(cls).items() if not name.startswith("_") and callable(value)}


def arguments(function: Any) -> list[tuple[str, Any, Any]]:
    found = inspect.signature(function).parameters.values()
    return [(p.name, [] if p.default == () else p.default, p.kind) for p in found if p.kind != p.VAR_KEYWORD]


@pytest.mark.parametrize("name", sorted(public(Commands) & set(dir(redis.Redis))))
def test_signature(name: str) -> None:
    known = KNOWN_DIFFERENCES.get(name, set())
    ours = [argument for argument in arguments(getattr(Commands, name)) if argument[0] not in known]
    theirs = [argument for argument in arguments(getattr(redis.Redis, name)) if argument[0] not in known]
    assert ours == theirs


def test_only_a_few_methods_are_not_in_redis_py() -> None:
    assert public(Commands) - set(dir(redis.Redis)) == {
        "delifeq",
        "commandlog_get",
        "commandlog_len",
        "commandlog_reset",
    }


def test_pipelines_have_the_same_methods() -> None:
    missing = public(Commands) - public(PipelineCommands)
    assert missing == {"scan_iter", "sscan_iter", "hscan_iter", "zscan_iter", "reset"}
    for name in public(PipelineCommands):
        assert arguments(getattr(Commands, name)) == arguments(getattr(PipelineCommands, name)), name


FUTURE = datetime(2100, 1, 1, tzinfo=UTC)

# Steps that are run in order through both: method, positional arguments, keyword arguments.
TEN = b"\x00\xc0\x0a\x0b\x00\x07\x40\xea6\xf31\x8a2"  # DUMP of "10", in version 11
CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("set", ("k", "v"), {}),
    ("set", ("k", "w"), {"nx": True}),
    ("set", ("k", "w"), {"xx": True, "get": True}),
    ("set", ("k", b"w"), {"ex": timedelta(seconds=100)}),
    ("set", ("k", 5), {"keepttl": True}),
    ("set", ("k", 1.5), {"exat": FUTURE}),
    ("expiretime", ("k",), {}),
    ("get", ("k",), {}),
    ("get", ("none",), {}),
    ("getex", ("k",), {"persist": True}),
    ("getdel", ("k",), {}),
    ("mset", ({"a": 1, "b": "2"},), {}),
    ("mget", (["a", "x"], "b"), {}),
    ("mget", ("a",), {}),
    ("msetnx", ({"a": 1},), {}),
    ("msetex", ({"a": 1, "b": 2},), {"ex": 100}),
    ("incr", ("n",), {}),
    ("incr", ("n", 5), {}),
    ("decr", ("n",), {}),
    ("decrby", ("n", 2), {}),
    ("incrbyfloat", ("f", 0.5), {}),
    ("append", ("s", "abc"), {}),
    ("getrange", ("s", 0, 1), {}),
    ("setrange", ("s", 1, "X"), {}),
    ("strlen", ("s",), {}),
    ("substr", ("s", 1), {}),
    ("getset", ("s", "ohmytext"), {}),
    ("set", ("t", "mynewtext"), {}),
    ("lcs", ("s", "t"), {}),
    ("lcs", ("s", "t"), {"len": True}),
    ("lcs", ("s", "t"), {"idx": True, "withmatchlen": True, "minmatchlen": 2}),
    ("setex", ("e", timedelta(seconds=50), "v"), {}),
    ("psetex", ("e", 50000, "v"), {}),
    ("setnx", ("e", "w"), {}),
    ("exists", ("e", "s", "none"), {}),
    ("expire", ("e", 100), {"gt": True}),
    ("expireat", ("e", FUTURE), {}),
    ("pexpiretime", ("e",), {}),
    ("persist", ("e",), {}),
    ("ttl", ("e",), {}),
    ("type", ("e",), {}),
    ("rename", ("e", "e2"), {}),
    ("renamenx", ("e2", "s"), {}),
    ("copy", ("e2", "e3"), {"replace": True}),
    ("dump", ("none",), {}),
    ("restore", ("restored", 100_000, TEN), {"replace": True, "idletime": 5}),
    ("restore", ("restored", 33_000_000_000_000, TEN), {"replace": True, "absttl": True, "frequency": 7}),
    ("restore", ("restored", 0, TEN), {}),
    ("restore", ("restored", 0, TEN[:-1]), {"replace": True}),
    ("get", ("restored",), {}),
    ("delete", ("restored",), {}),
    ("migrate", ("127.0.0.1", 1, ["none", "nokey"], 0, 100), {"copy": True, "replace": True, "auth": "x"}),
    ("migrate", ("127.0.0.1", 1, "none", 0, 100), {}),
    ("move", ("e3", 1), {}),
    ("touch", ("s", "none"), {}),
    ("object", ("encoding", "s"), {}),
    ("delete", ("e2", "none"), {}),
    ("unlink", ("t",), {}),
    ("rpush", ("l", "a", "b", "c", 1), {}),
    ("lpush", ("l", "z"), {}),
    ("lpushx", ("none", "z"), {}),
    ("rpushx", ("l", "y"), {}),
    ("lrange", ("l", 0, -1), {}),
    ("llen", ("l",), {}),
    ("lindex", ("l", 1), {}),
    ("linsert", ("l", "before", "a", "q"), {}),
    ("lset", ("l", 0, "zz"), {}),
    ("lpos", ("l", "a"), {}),
    ("lpos", ("l", "a"), {"count": 0, "rank": 1}),
    ("lrem", ("l", 1, "q"), {}),
    ("lmove", ("l", "m"), {}),
    ("rpoplpush", ("l", "m"), {}),
    ("blmove", ("l", "m", 1), {}),
    ("brpoplpush", ("l", "m", 1), {}),
    ("lpop", ("m",), {}),
    ("lpop", ("m", 2), {}),
    ("rpop", ("m", 5), {}),
    ("rpop", ("m",), {}),
    ("blpop", ("l", 1), {}),
    ("rpush", ("l", "x", "y", "z"), {}),
    ("brpop", (["none", "l"], 1), {}),
    ("blpop", ("none", 0.01), {}),
    ("lmpop", (2, "none", "l"), {"direction": "LEFT"}),
    ("blmpop", (1, 1, "l"), {"direction": "LEFT", "count": 5}),
    ("lmpop", (1, "l"), {"direction": "LEFT"}),
    ("rpush", ("l", 3, 1, 2), {}),
    ("ltrim", ("l", 0, 2), {}),
    ("mset", ({"w1": "one", "w2": "two", "w3": "three"},), {}),
    ("sort", ("l",), {}),
    ("sort", ("l",), {"desc": True, "start": 0, "num": 2}),
    ("sort", ("l",), {"get": ["#", "w*"], "groups": True}),
    ("sort", ("l",), {"get": "w*", "alpha": True}),
    ("sort", ("l",), {"store": "sorted"}),
    ("sort_ro", ("l",), {"by": "nosort"}),
    ("sadd", ("p", 1, 2, 3), {}),
    ("sadd", ("q", 3, 4), {}),
    ("scard", ("p",), {}),
    ("sdiff", ("p", "q"), {}),
    ("sinter", (["p", "q"],), {}),
    ("sunion", (["p"], "q"), {}),
    ("sdiffstore", ("d", "p", "q"), {}),
    ("sinterstore", ("d", ["p", "q"]), {}),
    ("sunionstore", ("d", ["p", "q"]), {}),
    ("sintercard", (2, ["p", "q"]), {"limit": 5}),
    ("sismember", ("p", 1), {}),
    ("smismember", ("p", [1, 9], 2), {}),
    ("smembers", ("p",), {}),
    ("smembers", ("none",), {}),
    ("smove", ("p", "q", 1), {}),
    ("srem", ("p", 2, 9), {}),
    ("srandmember", ("p",), {}),
    ("srandmember", ("p", 5), {}),
    ("sscan", ("p",), {"match": "*", "count": 100}),
    ("spop", ("p",), {}),
    ("spop", ("p",), {}),
    ("hset", ("h", "f", "v"), {}),
    ("hset", ("h",), {"mapping": {"a": 1, "b": 2.5}}),
    ("hset", ("h", "x", "y"), {"items": ["i", 1]}),
    ("hsetnx", ("h", "f", 1), {}),
    ("hget", ("h", "f"), {}),
    ("hgetall", ("h",), {}),
    ("hgetall", ("none",), {}),
    ("hmget", ("h", ["a", "zz"], "b"), {}),
    ("hmget", ("h", "a"), {}),
    ("hexists", ("h", "a"), {}),
    ("hincrby", ("h", "a", 4), {}),
    ("hincrbyfloat", ("h", "b", 1.25), {}),
    ("hkeys", ("h",), {}),
    ("hvals", ("h",), {}),
    ("hlen", ("h",), {}),
    ("hstrlen", ("h", "f"), {}),
    ("hscan", ("h",), {}),
    ("hscan", ("h",), {"no_values": True}),
    ("hexpire", ("h", timedelta(seconds=100), "a", "zz"), {}),
    ("httl", ("h", "a", "b"), {}),
    ("hexpireat", ("h", FUTURE, "a"), {"xx": True}),
    ("hpexpireat", ("h", FUTURE, "a"), {}),
    ("hexpiretime", ("h", "a"), {}),
    ("hpexpiretime", ("h", "a"), {}),
    ("hpexpire", ("h", 100000, "b"), {"nx": True}),
    ("hpersist", ("h", "a", "b"), {}),
    ("hsetex", ("h",), {"mapping": {"e": 1}, "ex": 100}),
    ("hgetex", ("h", "e", "zz"), {"persist": True}),
    ("hgetdel", ("h", "e", "zz"), {}),
    ("hdel", ("h", "x", "i", "zz", "f", "a"), {}),
    ("hrandfield", ("h",), {}),
    ("hrandfield", ("h", 5), {}),
    ("hrandfield", ("h", 5), {"withvalues": True}),
    ("zadd", ("z", {"a": 1, "b": 2, "c": 3.5}), {}),
    ("zadd", ("z", {"a": 9}), {"nx": True}),
    ("zadd", ("z", {"a": 2}), {"incr": True}),
    ("zadd", ("z", {"a": 1, "n": 4}), {"xx": True, "ch": True}),
    ("zcard", ("z",), {}),
    ("zcount", ("z", "-inf", 2), {}),
    ("zincrby", ("z", 0.5, "a"), {}),
    ("zscore", ("z", "a"), {}),
    ("zscore", ("z", "none"), {}),
    ("zmscore", ("z", ["a", "none"]), {}),
    ("zrank", ("z", "b"), {}),
    ("zrank", ("z", "b"), {"withscore": True}),
    ("zrevrank", ("z", "none"), {}),
    ("zrange", ("z", 0, -1), {}),
    ("zrange", ("z", 0, -1), {"withscores": True}),
    ("zrange", ("z", 0, -1), {"withscores": True, "score_cast_func": str}),
    ("zrange", ("z", 0, 1), {"desc": True}),
    ("zrange", ("z", 1, 3), {"byscore": True, "offset": 0, "num": 1}),
    ("zrevrange", ("z", 0, -1, True), {}),
    ("zrangebyscore", ("z", "-inf", "+inf"), {"withscores": True, "start": 0, "num": 2}),
    ("zrevrangebyscore", ("z", 3, 0), {"withscores": True, "score_cast_func": int}),
    ("zrangebylex", ("z", "-", "+"), {}),
    ("zrevrangebylex", ("z", "+", "-"), {"start": 0, "num": 1}),
    ("zlexcount", ("z", "-", "+"), {}),
    ("zrangestore", ("zd", "z", 0, 1), {}),
    ("zadd", ("y", {"a": 10, "x": 20}), {}),
    ("zunion", (["z", "y"],), {"withscores": True}),
    ("zunion", ({"z": 2, "y": 0.5},), {"aggregate": "max", "withscores": True}),
    ("zinter", (["z", "y"],), {"withscores": True}),
    ("zinter", (["z", "y"],), {}),
    ("zdiff", (["z", "y"],), {}),
    ("zdiff", (["z", "y"],), {"withscores": True}),
    ("zunionstore", ("zd", {"z": 1, "y": 2}), {}),
    ("zinterstore", ("zd", ["z", "y"]), {}),
    ("zdiffstore", ("zd", ["z", "y"]), {}),
    ("zintercard", (2, ["z", "y"]), {}),
    ("zscan", ("z",), {}),
    ("zscan", ("z",), {"score_cast_func": str}),
    ("zremrangebyrank", ("zd", 0, 0), {}),
    ("zremrangebyscore", ("zd", 0, 1), {}),
    ("zremrangebylex", ("zd", "-", "+"), {}),
    ("zpopmin", ("z",), {}),
    ("zpopmax", ("z", 1), {}),
    ("zpopmax", ("none",), {}),
    ("zrandmember", ("z",), {}),
    ("zrandmember", ("z", 5), {"withscores": True}),
    ("zrem", ("y", "x"), {}),
    ("bzpopmin", (["none", "y"], 1), {}),
    ("bzpopmax", ("none", 0.01), {}),
    ("zadd", ("y", {"a": 10, "x": 20}), {}),
    ("zmpop", (2, ["none", "y"]), {"min": True}),
    ("bzmpop", (1, 1, ["y"]), {"max": True}),
    ("zmpop", (1, ["none"]), {"max": True}),
    ("publish", ("ch", "m"), {}),
    ("spublish", ("ch", "m"), {}),
    ("pubsub_channels", (), {}),
    ("pubsub_numpat", (), {}),
    ("pubsub_numsub", ("a", "b"), {}),
    ("pubsub_shardnumsub", (), {}),
    ("echo", ("x",), {}),
    ("ping", (), {}),
    ("client_getname", (), {}),
    ("client_getredir", (), {}),
    ("client_kill_filter", ("999999",), {}),
    ("client_pause", (1,), {}),
    ("client_unpause", (), {}),
    ("client_setname", ("me",), {}),
    ("client_no_evict", ("on",), {}),
    ("client_unblock", (999999,), {}),
    ("client_trackinginfo", (), {}),
    ("command_count", (), {}),
    ("command_getkeys", ("MSET", "a", 1), {}),
    ("command_list", (), {"pattern": "lpos"}),
    ("config_get", ("maxmemory*",), {}),
    ("config_set", ("maxmemory-samples", 5), {}),
    ("config_resetstat", (), {}),
    ("dbsize", (), {}),
    ("flushdb", (), {}),
    ("flushall", (True,), {}),
    ("latency_latest", (), {}),
    ("latency_reset", (), {}),
    ("memory_usage", ("none",), {}),
    ("memory_purge", (), {}),
    ("role", (), {}),
    ("slowlog_len", (), {}),
    ("slowlog_reset", (), {}),
    ("swapdb", (0, 1), {}),
    ("randomkey", (), {}),
    ("keys", (), {}),
    ("scan", (), {"match": "*", "count": 10}),
    ("wait", (0, 10), {}),
    ("waitaof", (0, 0, 10), {}),
    ("set", ("k", "v"), {}),
    ("incrby", ("n", 2), {}),
    ("incrby", ("n",), {}),
    ("incr", ("n", "x"), {}),
    ("decrby", ("n", 2**63), {}),
    ("expire", ("k", 100), {}),
    ("expire", ("none", 100), {}),
    ("pexpireat", ("k", FUTURE), {}),
    ("pexpire", ("k", timedelta(days=1)), {"lt": True}),
    ("pttl", ("none",), {}),
    ("delete", ("k",), {}),
    ("delete", (), {}),
    ("hmset", ("h", {"a": 1}), {}),
    ("hpttl", ("h", "a", "none"), {}),
    ("hget", ("h", "a"), {}),
    ("hset", ("h", "a", 2.5), {}),
    ("hdel", ("h", "none"), {}),
    ("lpush", ("h", "wrong type"), {}),
    ("zadd", ("z", {"a": 1.5, "b": "nonsense"}), {}),
    ("zadd", ("z", {"a": 1e300, "b": float("-inf"), "c": -0.0}), {}),
    ("zrange", ("z", 0, -1), {"withscores": True}),
    ("srem", ("none", "x"), {}),
    ("lpop", ("none",), {}),
    ("llen", ("none",), {}),
    ("client_no_touch", ("off",), {}),
    ("client_setinfo", ("lib-ver", "1"), {}),
    ("client_kill", ("127.0.0.1:1",), {}),
    ("command_getkeysandflags", ("SET", "a", 1), {}),
    ("latency_history", ("command",), {}),
    ("pubsub_shardchannels", (), {}),
    ("config_rewrite", (), {}),
    ("config_get", ("no-such-option",), {}),
]

# Replies whose values are a server's own, whose keys and types are not.
OWN_VALUES: list[tuple[str, tuple[Any, ...]]] = [
    ("info", ()),
    ("client_info", ()),
    ("memory_stats", ()),
    ("debug_object", ("k",)),
    ("command", ()),
    ("config_get", ()),
]


# No call is slow, whatever the machine is busy with: what SLOWLOG LEN answers is the same everywhere.
NOTHING_IS_SLOW = {"commandlog-execution-slower-than": "-1"}


def outcome(client: Any, call: tuple[str, tuple[Any, ...], dict[str, Any]]) -> Any:
    name, positional, keywords = call
    try:
        return getattr(client, name)(*positional, **keywords)
    except redis.ResponseError as error:
        return type(error), str(error)


def test_shapes_are_the_same(clients: tuple[Remote, Any]) -> None:
    """The list runs through one client, then through the other, from an empty server: replies and types agree."""
    remote, theirs = clients
    results = []
    for client in (theirs, remote):
        theirs.flushall()
        for option, value in NOTHING_IS_SLOW.items():
            theirs.config_set(option, value)
        results.append([outcome(client, call) for call in CALLS])
    wrong = [
        (call, ours, wanted)
        for call, wanted, ours in zip(CALLS, *results, strict=True)
        if ours != wanted or type(ours) is not type(wanted)
    ]
    assert not wrong, "\n".join(map(str, wrong))


def test_shapes_of_texts(clients: tuple[Remote, Any]) -> None:
    """Replies whose values change from call to call: the same keys, the same types."""
    remote, theirs = clients
    theirs.set("k", "v")
    for name, positional in OWN_VALUES:
        ours, wanted = getattr(remote, name)(*positional), getattr(theirs, name)(*positional)
        different = {key for key in set(ours) ^ set(wanted) if not key.startswith(("errorstat", "cmdstat", "lib-"))}
        assert different == set(), name
        for key in set(ours) & set(wanted):
            assert type(ours[key]) is type(wanted[key]), (name, key)
    assert remote.time()[0] == pytest.approx(theirs.time()[0], abs=2)
    assert set(remote.client_list()[0]) == set(theirs.client_list()[0])
    theirs.config_set("slowlog-log-slower-than", 0)
    theirs.get("k")
    assert [set(entry) for entry in remote.slowlog_get(1)] == [set(entry) for entry in theirs.slowlog_get(1)]


def test_iterators(clients: tuple[Remote, Any]) -> None:
    remote, theirs = clients
    theirs.flushall()
    theirs.mset({f"key{number}": number for number in range(500)})
    theirs.sadd("s", *range(500))
    theirs.hset("h", mapping={f"f{number}": number for number in range(600)})
    theirs.zadd("z", {f"m{number}": number for number in range(500)})
    assert set(remote.scan_iter("key*", 50)) == set(theirs.scan_iter("key*", 50))
    assert set(remote.scan_iter(_type="hash")) == {b"h"}
    assert set(remote.sscan_iter("s")) == set(theirs.sscan_iter("s"))
    assert dict(remote.hscan_iter("h")) == dict(theirs.hscan_iter("h"))
    assert set(remote.hscan_iter("h", no_values=True)) == set(theirs.hkeys("h"))
    assert set(remote.zscan_iter("z")) == set(theirs.zscan_iter("z"))


# --- the same through both doors of a store ---

# What a store has no use for, and what is tested elsewhere.
NOT_CALLED = {
    *("auth", "quit", "reset", "select", "shutdown"),
    *("client_reply", "client_tracking", "client_tracking_on", "client_tracking_off"),
    *("delifeq", "commandlog_get", "commandlog_len", "commandlog_reset"),  # redis-py has no such methods
    *("latency_graph", "memory_malloc_stats", "lolwut", "memory_doctor", "latency_doctor"),  # texts: below
    *("save", "bgsave", "bgrewriteaof", "lastsave"),  # of stores with files: below
    *("module_list", "command_docs", "command_info", "client_id", "latency_histogram"),  # below
    *("time", "client_list", "slowlog_get", "scan_iter", "sscan_iter", "hscan_iter", "zscan_iter"),  # above
}
# Here a store has to answer otherwise: it has other commands, no address, and was not started from a file.
ANSWERS_OF_ITS_OWN = {"command_count", "config_rewrite", "client_setname", "client_getname", "config_resetstat"}


def test_every_method_is_called() -> None:
    called = {name for name, *_ in [*CALLS, *OWN_VALUES]}
    assert public(Commands) - called == NOT_CALLED


def test_a_store_in_memory_has_nothing_to_save() -> None:
    with kvcore.open() as db:
        for call in (db.save, db.bgsave, db.bgrewriteaof):
            with pytest.raises(kvcore.ResponseError):
                call()
        assert isinstance(db.lastsave(), datetime)  # as redis-py gives it


@pytest.fixture(scope="module")
def answers() -> dict[bool, list[Any]]:
    """What redis-py gives for CALLS, as bytes and as str, over a real server."""
    binary = peer.find_server()
    if binary is None:
        pytest.skip("no valkey-server: tools/peers.sh build/peers brings one")
    found = {}
    with peer.running_server(binary) as (host, port):
        for decoded in (False, True):
            with redis.Redis(host, port, decode_responses=decoded, protocol=2) as theirs:
                theirs.flushall()
                for option, value in NOTHING_IS_SLOW.items():
                    theirs.config_set(option, value)
                found[decoded] = [outcome(theirs, call) for call in CALLS]
    return found


def comparable(result: Any) -> Any:
    if isinstance(result, tuple) and result and isinstance(result[0], type):
        return result[0].__name__, result[1]
    return type(result), result


@pytest.mark.parametrize("decoded", [False, True], ids=["bytes", "str"])
@pytest.mark.parametrize("door", ["hot", "wide"])
def test_a_store_answers_as_redis_py_does(
    answers: dict[bool, list[Any]], monkeypatch: pytest.MonkeyPatch, door: str, decoded: bool
) -> None:
    monkeypatch.setenv("KVCORE_DOOR", door)
    wrong = []
    with kvcore.open(decode_responses=decoded, config=NOTHING_IS_SLOW) as db:  # type: ignore[call-overload]
        for call, wanted in zip(CALLS, answers[decoded], strict=True):
            ours = outcome(db, call)
            if call[0] not in ANSWERS_OF_ITS_OWN and comparable(ours) != comparable(wanted):
                wrong.append((call, ours, wanted))
    assert not wrong, "\n".join(map(str, wrong))


@pytest.mark.parametrize("decoded", [False, True], ids=["bytes", "str"])
@pytest.mark.parametrize("door", ["hot", "wide"])
def test_a_pipeline_answers_as_redis_py_does(
    answers: dict[bool, list[Any]], monkeypatch: pytest.MonkeyPatch, door: str, decoded: bool
) -> None:
    """The same calls, each in a pipeline: the shape is applied there, too."""
    monkeypatch.setenv("KVCORE_DOOR", door)
    wrong = []
    with kvcore.open(decode_responses=decoded, config=NOTHING_IS_SLOW) as db:  # type: ignore[call-overload]
        for call, wanted in zip(CALLS, answers[decoded], strict=True):
            name, positional, keywords = call
            with db.pipeline(transaction=False) as pipe:
                try:
                    getattr(pipe, name)(*positional, **keywords)
                    (ours,) = pipe.execute(raise_on_error=False)
                except redis.RedisError as error:
                    ours = error
            if isinstance(ours, redis.ResponseError):
                ours = type(ours), str(ours)
            if name not in ANSWERS_OF_ITS_OWN and comparable(ours) != comparable(wanted):
                wrong.append((call, ours, wanted))
    assert not wrong, "\n".join(map(str, wrong))


@pytest.mark.parametrize("decoded", [False, True], ids=["bytes", "str"])
@pytest.mark.parametrize("door", ["hot", "wide"])
def test_what_has_values_of_its_own(monkeypatch: pytest.MonkeyPatch, door: str, decoded: bool) -> None:
    monkeypatch.setenv("KVCORE_DOOR", door)
    text = str if decoded else bytes
    options = {"enable-debug-command": "yes", "commandlog-execution-slower-than": "-1"}
    with kvcore.open(decode_responses=decoded, config=options) as db:  # type: ignore[call-overload]
        db.set("k", "v")
        for name, positional in OWN_VALUES:
            assert isinstance(getattr(db, name)(*positional), dict), name
        for name in ("lolwut", "memory_doctor", "latency_doctor"):
            assert isinstance(getattr(db, name)(), (str, bytes)), name
        assert isinstance(db.client_id(), int)
        assert isinstance(db.module_list(), list)
        assert isinstance(db.command_docs("GET"), (dict, list))
        assert db.command_info("GET")
        assert isinstance(db.latency_histogram("get"), dict)
        assert db.delifeq("k", "other") == 0
        assert db.delifeq("k", "v") == 1
        assert isinstance(db.commandlog_len("slow"), int)
        assert db.commandlog_get(1, "slow") == []
        assert db.commandlog_reset("slow") is True
        assert [type(part) for part in db.time()] == [int, int]
        db.mset({f"key{number}": number for number in range(100)})
        assert {type(name) for name in db.scan_iter("key*", 10)} == {text}
        assert len(set(db.scan_iter("key*", 10))) == 100
        db.hset("h", mapping={"f": 1})
        db.sadd("s", "m")
        db.zadd("z", {"m": 1})
        assert [dict([pair]) for pair in db.hscan_iter("h")] == [{text_of("f", decoded): text_of("1", decoded)}]
        assert list(db.sscan_iter("s")) == [text_of("m", decoded)]
        assert list(db.zscan_iter("z")) == [(text_of("m", decoded), 1.0)]


def text_of(word: str, decoded: bool) -> Any:
    return word if decoded else word.encode()
