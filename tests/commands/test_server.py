"""CONFIG, INFO, MEMORY, DEBUG, the logs: what operators and monitoring tools read from a server.

Everything here but the tests marked `ours` also holds for a real Valkey: KVCORE_TEST_AGAINST=valkey runs them there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers
from tests.compat.resp import Connection
from tests.conftest import AGAINST, start_tested_server

ours = pytest.mark.skipif(AGAINST != "kvcore", reason="about kvcore alone")


@pytest.fixture
def c(served_kvcore: servers.Server) -> Iterator[Connection]:
    with served_kvcore.connect() as connection:
        connection.must("FLUSHALL")
        yield connection


@pytest.fixture
def c3(served_kvcore: servers.Server) -> Iterator[Connection]:
    with served_kvcore.connect(3) as connection:
        connection.must("FLUSHALL")
        yield connection


def error(connection: Connection, *words: str | int) -> str:
    reply = connection.call(*words)
    assert reply.is_error, f"{words} answered {reply.plain()!r}"
    return reply.data.decode()


def config(connection: Connection, *names: str) -> dict[str, str]:
    flat = [item.data.decode() for item in connection.must("CONFIG", "GET", *names).items]
    return dict(zip(flat[::2], flat[1::2], strict=True))


def info(connection: Connection, *sections: str) -> dict[str, str]:
    text = connection.must("INFO", *sections).data.decode()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def headings(connection: Connection, *sections: str) -> list[str]:
    text = connection.must("INFO", *sections).data.decode()
    return [line[2:] for line in text.splitlines() if line.startswith("# ")]


class TestConfigGet:
    def test_several_patterns_choose_each_name_once_and_in_order(self, c: Connection) -> None:
        found = config(c, "maxmemory-s*", "hz", "h?", "maxmemory-samples")
        assert list(found) == ["hz", "maxmemory-samples"]

    def test_older_names_are_names_of_their_own(self, c: Connection) -> None:
        assert config(c, "hash-max-*-entries") == {
            "hash-max-listpack-entries": "512",
            "hash-max-ziplist-entries": "512",
        }
        assert config(c, "slowlog-max-len") == {"slowlog-max-len": "128"}

    def test_names_in_any_case_and_unknown_ones(self, c: Connection) -> None:
        assert config(c, "HZ") == {"HZ": "10"}
        assert config(c, "no-such-option", "no*such") == {}

    def test_everything_is_shown_in_order(self, c: Connection) -> None:
        names = list(config(c, "*"))
        assert len(names) > 200
        assert names == sorted(names)

    def test_resp3_is_a_map(self, c3: Connection) -> None:
        assert c3.must("CONFIG", "GET", "hz").plain() == {b"hz": b"10"}


class TestConfigSet:
    def test_all_or_nothing(self, c: Connection) -> None:
        before = config(c, "maxmemory-samples", "hz", "notify-keyspace-events")
        text = error(c, "CONFIG", "SET", "maxmemory-samples", 9, "notify-keyspace-events", "KEA", "hz", "fast")
        assert text == (
            "ERR CONFIG SET failed (possibly related to argument 'hz') - argument couldn't be parsed into an integer"
        )
        assert config(c, "maxmemory-samples", "hz", "notify-keyspace-events") == before

    def test_several_at_once(self, c: Connection) -> None:
        c.must("CONFIG", "SET", "maxmemory-samples", 9, "latency-tracking-info-percentiles", "50.0 99.9")
        assert config(c, "maxmemory-samples", "latency-tracking-info-percentiles") == {
            "latency-tracking-info-percentiles": "50 99.9",
            "maxmemory-samples": "9",
        }
        c.must("CONFIG", "SET", "maxmemory-samples", 5, "latency-tracking-info-percentiles", "50 99 99.9")

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            (("foo", "1"), "ERR Unknown option or number of arguments for CONFIG SET - 'foo'"),
            (("hz",), "ERR wrong number of arguments for 'config|set' command"),
            (("hz", "10", "timeout"), "ERR syntax error"),
            (("hz", "10", "HZ", "11"), "'HZ') - duplicate parameter"),
            (("databases", "3"), "'databases') - can't set immutable config"),
            (("dir", "/"), "'dir') - can't set protected config"),
            (("maxmemory", "1x"), "'maxmemory') - argument must be a memory value"),
            (("maxmemory-samples", "0"), "'maxmemory-samples') - argument must be between 1 and 64 inclusive"),
            (("activerehashing", "maybe"), "'activerehashing') - argument must be 'yes' or 'no'"),
            (("latency-tracking-info-percentiles", "50 101"), "parameters should sit between [0.0,100.0]"),
            (("latency-tracking-info-percentiles", "x"), "Invalid latency-tracking-info-percentiles parameters"),
            (("proc-title-template", "{foo}"), "template format is invalid or contains unknown variables"),
            (
                ("client-output-buffer-limit", "normal"),
                "Wrong number of arguments in buffer limit configuration.",
            ),
            (
                ("client-output-buffer-limit", "foo 0 0 0"),
                "Invalid client class specified in buffer limit configuration.",
            ),
        ],
    )
    def test_refusals(self, c: Connection, words: tuple[str, ...], expected: str) -> None:
        assert error(c, "CONFIG", "SET", *words).endswith(expected)

    def test_an_older_name_beside_the_newer_one(self, c: Connection) -> None:
        c.must("CONFIG", "SET", "hash-max-listpack-entries", 600, "hash-max-ziplist-entries", 512)
        assert config(c, "hash-max-listpack-entries") == {"hash-max-listpack-entries": "512"}

    def test_one_class_of_output_limits_at_a_time(self, c: Connection) -> None:
        before = config(c, "client-output-buffer-limit")["client-output-buffer-limit"]
        c.must("CONFIG", "SET", "client-output-buffer-limit", "normal 1mb 2kb 3")
        now = config(c, "client-output-buffer-limit")["client-output-buffer-limit"]
        assert now == before.replace("normal 0 0 0", "normal 1048576 2048 3")
        c.must("CONFIG", "SET", "client-output-buffer-limit", "normal 0 0 0")

    def test_a_policy_takes_effect_at_once(self, c: Connection) -> None:
        c.must("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu")
        try:
            c.must("SET", "k", "v")
            assert isinstance(c.must("OBJECT", "FREQ", "k").value, int)
            assert "LFU maxmemory policy is selected" in error(c, "OBJECT", "IDLETIME", "k")
        finally:
            c.must("CONFIG", "SET", "maxmemory-policy", "noeviction")
        assert "LFU maxmemory policy is not selected" in error(c, "OBJECT", "FREQ", "k")

    def test_encoding_limits_take_effect_at_once(self, c: Connection) -> None:
        c.must("CONFIG", "SET", "hash-max-listpack-entries", 1)
        try:
            c.must("HSET", "h", "a", 1, "b", 2)
            assert c.must("OBJECT", "ENCODING", "h").data == b"hashtable"
        finally:
            c.must("CONFIG", "SET", "hash-max-listpack-entries", 512)


class TestConfigRewrite:
    def test_without_a_file(self, c: Connection) -> None:
        assert error(c, "CONFIG", "REWRITE") == "ERR The server is running without a config file"

    @ours
    def test_what_is_written_is_read_back(self, tmp_path: Path) -> None:
        path = tmp_path / "my.conf"
        path.write_text("# first\n\nmaxmemory-samples 3 \n# kept\nhz 20\nslowlog-max-len 64\nhz 30\n")
        options = {
            "requirepass": 'a "quoted"\n# word\\ with\tall\r\nport 1',
            "proc-title-template": "{title} # {port}",
            "client-output-buffer-limit": "pubsub 64mb 16mb 90",
            "notify-keyspace-events": "KEA",
            "maxmemory-policy": "allkeys-lru",
            "latency-tracking-info-percentiles": "",
            "availability-zone": " spaced ",
        }
        shown: list[dict[str, str]] = []
        for _ in range(2):
            command = servers.kvcore_command()
            if command is None:
                pytest.skip("the engine is not built")
            server = servers.start("kvcore", [*command, str(path)], env=servers.kvcore_environment())
            try:
                with server.connect() as c:
                    password = options["requirepass"]
                    if shown:
                        c.must("AUTH", password)
                    else:
                        c.must("CONFIG", "SET", *(word for pair in options.items() for word in pair))
                    names = [*options, "hz", "maxmemory-samples", "slowlog-max-len"]
                    shown.append(config(c, *names))
                    c.must("CONFIG", "SET", "maxmemory-samples", 7)
                    c.must("CONFIG", "REWRITE")
            finally:
                server.stop()
            lines = path.read_text().splitlines()
            assert lines[:6] == ["# first", "", "maxmemory-samples 7", "# kept", "hz 30", "slowlog-max-len 64"]
            assert "port 1" not in lines
            assert sum(line.startswith("requirepass ") for line in lines) == 1
        assert shown[1]["maxmemory-samples"] == "7"
        assert {**shown[0], "maxmemory-samples": "7"} == shown[1]
        assert shown[1]["requirepass"] == options["requirepass"]


class TestInfo:
    def test_sections(self, c: Connection) -> None:
        default = headings(c)
        assert default == headings(c, "default")
        assert default[:6] == ["Server", "Clients", "Memory", "Persistence", "Stats", "Replication"]
        assert "Commandstats" not in default
        assert "Keyspace" in default
        assert headings(c, "keyspace", "SERVER", "keyspace") == ["Server", "Keyspace"]
        assert headings(c, "default", "commandstats").count("Commandstats") == 1
        assert {"Commandstats", "Latencystats", "Errorstats"} <= set(headings(c, "everything"))
        assert c.must("INFO", "nothing").data == b""

    def test_resp3_is_text(self, c3: Connection) -> None:
        reply = c3.must("INFO", "server")
        assert reply.kind == b"="
        assert reply.data.startswith(b"txt:# Server\r\n")

    def test_numbers_are_true(self, c: Connection, served_kvcore: servers.Server) -> None:
        c.must("SET", "big", "x" * 5_000_000)
        facts = info(c)
        assert int(facts["tcp_port"]) == served_kvcore.port
        assert int(facts["used_memory"]) >= 5_000_000
        assert int(facts["used_memory_peak"]) >= int(facts["used_memory"])
        assert int(facts["used_memory_rss"]) > int(facts["used_memory_dataset"]) >= 5_000_000
        assert facts["used_memory_human"].endswith("M")
        if AGAINST == "kvcore":
            assert int(facts["process_id"]) == served_kvcore.process.pid
            assert abs(int(facts["used_memory_rss"]) - served_kvcore.rss_bytes()) < 8 << 20
        c.must("UNLINK", "big")
        deadline = time.monotonic() + 5
        while int(info(c, "memory")["used_memory"]) > int(facts["used_memory"]) - 4_900_000:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def test_keyspace(self, c: Connection) -> None:
        assert "db0" not in info(c, "keyspace")
        c.must("SET", "a", 1)
        c.must("SET", "b", 1, "EX", 100)
        c.must("HSET", "h", "f", 1)
        c.must("HEXPIRE", "h", 100, "FIELDS", 1, "f")
        c.must("SELECT", 3)
        c.must("SET", "c", 1)
        facts = info(c, "keyspace")
        assert facts["db0"].startswith("keys=3,expires=1,avg_ttl=")
        assert facts["db0"].endswith(",keys_with_volatile_items=1")
        assert facts["db3"].startswith("keys=1,expires=0,")

    def test_clients(self, c: Connection, served_kvcore: servers.Server) -> None:
        with served_kvcore.connect() as waiting, served_kvcore.connect() as watching:
            waiting.send("BLPOP", "q", "r", 0)
            watching.must("WATCH", "x", "y", "z")
            deadline = time.monotonic() + 5
            while info(c, "clients")["blocked_clients"] != "1" and time.monotonic() < deadline:
                time.sleep(0.01)
            facts = info(c, "clients")
            assert (facts["blocked_clients"], facts["total_blocking_keys"]) == ("1", "2")
            assert (facts["watching_clients"], facts["total_watched_keys"]) == ("1", "3")
            c.must("MULTI")
            c.must("INFO", "clients")
            assert b"total_blocking_keys:2" in c.must("EXEC").items[0].data
            c.must("RPUSH", "q", 1)
            assert waiting.reply().plain() == [b"q", b"1"]

    def test_command_and_error_statistics(self, c: Connection) -> None:
        c.must("CONFIG", "RESETSTAT")
        c.must("SET", "s", "text")
        for _ in range(3):
            error(c, "LPUSH", "s", 1)
        error(c, "GET")
        c.must("CONFIG", "GET", "hz")
        facts = info(c, "everything")
        assert facts["cmdstat_lpush"].startswith("calls=3,usec=")
        assert facts["cmdstat_lpush"].endswith(",rejected_calls=0,failed_calls=3")
        assert facts["cmdstat_get"].endswith("calls=0,usec=0,usec_per_call=0.00,rejected_calls=1,failed_calls=0")
        assert facts["cmdstat_config|get"].startswith("calls=1,")
        assert facts["errorstat_WRONGTYPE"] == "count=3"
        assert facts["errorstat_ERR"] == "count=1"
        assert facts["total_error_replies"] == "4"
        assert facts["latency_percentiles_usec_lpush"].startswith("p50=")
        c.must("CONFIG", "RESETSTAT")
        facts = info(c, "everything")
        assert "cmdstat_lpush" not in facts
        assert "errorstat_ERR" not in facts
        assert "latency_percentiles_usec_lpush" not in facts

    def test_hits_and_misses(self, c: Connection) -> None:
        c.must("SET", "a", 1)
        c.must("CONFIG", "RESETSTAT")
        c.must("MGET", "a", "b", "c")
        facts = info(c, "stats")
        assert (facts["keyspace_hits"], facts["keyspace_misses"]) == ("1", "2")

    def test_operations_a_second(self, c: Connection) -> None:
        until = time.monotonic() + 0.6
        while time.monotonic() < until:
            c.many([("PING",)] * 50)
        assert int(info(c, "stats")["instantaneous_ops_per_sec"]) > 100

    @ours
    def test_our_own_section(self, c: Connection) -> None:
        facts = info(c, "kvcore")
        assert int(facts["shards"]) > 0
        assert int(facts["io_threads"]) > 0
        assert facts["kvcore_version"]


class TestMemory:
    def test_usage(self, c: Connection) -> None:
        c.must("RPUSH", "l", *("x" * 100 for _ in range(1000)))
        all_of_it = c.must("MEMORY", "USAGE", "l", "SAMPLES", 0).value
        some = c.must("MEMORY", "USAGE", "l").value
        assert isinstance(all_of_it, int)
        assert isinstance(some, int)
        assert 100_000 < all_of_it < 200_000
        assert 0.5 < some / all_of_it < 2
        assert c.must("MEMORY", "USAGE", "none").value is None

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            (("SAMPLES",), "ERR syntax error"),
            (("SAMPLES", "-1"), "ERR syntax error"),
            (("SAMPLES", "x"), "ERR value is not an integer or out of range"),
            (("OTHER", "1"), "ERR syntax error"),
        ],
    )
    def test_usage_errors(self, c: Connection, words: tuple[str, ...], expected: str) -> None:
        assert error(c, "MEMORY", "USAGE", "k", *words) == expected

    def test_stats(self, c3: Connection) -> None:
        c3.must("MSET", "a", 1, "b", 2)
        facts = c3.must("MEMORY", "STATS").plain()
        assert isinstance(facts, dict)
        assert facts[b"keys.count"] == 2
        assert facts[b"db.0"].keys() == {b"overhead.hashtable.main", b"overhead.hashtable.expires"}
        assert facts[b"peak.allocated"] * 1.1 >= facts[b"total.allocated"] >= facts[b"dataset.bytes"]
        assert isinstance(facts[b"fragmentation"], float)

    def test_words(self, c: Connection) -> None:
        assert c.must("MEMORY", "PURGE").data == b"OK"
        assert c.must("MEMORY", "DOCTOR").data
        assert c.must("MEMORY", "MALLOC-STATS").data

    @ours
    def test_purge_gives_pages_back(self, c: Connection, served_kvcore: servers.Server) -> None:
        c.must("DEBUG", "POPULATE", 50_000, "purge", 200)
        full = served_kvcore.rss_bytes()
        c.must("FLUSHALL", "SYNC")
        c.must("MEMORY", "PURGE")
        assert served_kvcore.rss_bytes() < full - 5_000_000


class TestDebug:
    def fill(self, c: Connection, reverse: bool) -> None:
        commands: list[tuple[str | int | float, ...]] = [
            ("SET", "s", "text"),
            ("SET", "n", 12),
            ("SET", "e", "soon", "EX", 1000),
            ("SADD", "set", *range(20), "a", "b"),
            ("HSET", "hash", "a", 1, "b", "two"),
            ("ZADD", "zset", 1, "a", 0.1, "b", "-inf", "c", 1e20, "d"),
            ("RPUSH", "list", "a", 1, "c"),
        ]
        for command in reversed(commands) if reverse else commands:
            c.must(*command)

    def test_digest_does_not_depend_on_order_or_encoding(self, c: Connection) -> None:
        assert c.must("DEBUG", "DIGEST").data == b"0" * 40
        self.fill(c, False)
        first = c.must("DEBUG", "DIGEST").data
        c.must("FLUSHALL")
        c.must("CONFIG", "SET", "hash-max-listpack-entries", 1, "zset-max-listpack-entries", 1)
        try:
            self.fill(c, True)
        finally:
            c.must("CONFIG", "SET", "hash-max-listpack-entries", 512, "zset-max-listpack-entries", 128)
        assert c.must("DEBUG", "DIGEST").data == first
        c.must("PERSIST", "e")
        assert c.must("DEBUG", "DIGEST").data != first

    def test_known_digests(self, c: Connection) -> None:
        """What the reference server says of the same values."""
        c.must("SET", "str", "hello")
        c.must("HSET", "h", "a", 1)
        digests = [item.data.decode() for item in c.must("DEBUG", "DIGEST-VALUE", "str", "h", "none").items]
        assert digests == [
            "36b23a1456b2dce2c3ed252c456761301dba8060",
            "626a7b57a269f8f179a44902458ecb2f5920d35d",
            "0" * 40,
        ]

    def test_object(self, c: Connection) -> None:
        c.must("RPUSH", "li", "a", "b", "c")
        line = c.must("DEBUG", "OBJECT", "li").data.decode()
        assert line.startswith("Value at:0x")
        assert " refcount:1 encoding:listpack serializedlength:19 lru:" in line
        assert "serializedlength" not in c.must("DEBUG", "OBJECT", "li", "fast").data.decode()
        assert error(c, "DEBUG", "OBJECT", "none") == "ERR no such key"

    def test_populate(self, c: Connection) -> None:
        c.must("SET", "key:1", "mine")
        c.must("DEBUG", "POPULATE", 3)
        assert [c.must("GET", f"key:{i}").data for i in range(3)] == [b"value:0", b"mine", b"value:2"]
        c.must("DEBUG", "POPULATE", 2, "p", 10)
        assert c.must("GET", "p:1").data == b"value:1\0\0\0"
        c.must("DEBUG", "POPULATE", 1, "q", 3)
        assert c.must("GET", "q:0").data == b"val"

    def test_errors_with_the_given_text(self, c: Connection) -> None:
        assert error(c, "DEBUG", "ERROR", "MYCODE some\r\ntext") == "MYCODE some  text"
        assert error(c, "DEBUG", "foo") == (
            "ERR unknown subcommand or wrong number of arguments for 'foo'. Try DEBUG HELP."
        )

    def test_protocol(self, c: Connection, c3: Connection) -> None:
        assert c3.must("DEBUG", "PROTOCOL", "map").plain() == {0: False, 1: True, 2: False}
        assert c3.must("DEBUG", "PROTOCOL", "double").plain() == 3.141
        assert c3.must("DEBUG", "PROTOCOL", "bignum").plain() == 1234567999999999999999999999999999999
        assert c3.must("DEBUG", "PROTOCOL", "verbatim").plain() == b"This is a verbatim\nstring"
        assert c3.must("DEBUG", "PROTOCOL", "push").plain() == b"Some real reply following the push reply"
        assert c3.next().plain() == [b"server-cpu-usage", 42]
        assert c.must("DEBUG", "PROTOCOL", "map").plain() == [0, 0, 1, 1, 2, 0]
        assert c.must("DEBUG", "PROTOCOL", "true").plain() == 1

    def test_active_expiry_can_be_switched_off(self, c: Connection) -> None:
        c.must("DEBUG", "SET-ACTIVE-EXPIRE", 0)
        try:
            c.must("SET", "k", 1, "PX", 1)
            time.sleep(0.3)
            assert c.must("DBSIZE").value == 1
        finally:
            c.must("DEBUG", "SET-ACTIVE-EXPIRE", 1)
        deadline = time.monotonic() + 5
        while c.must("DBSIZE").value != 0:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    @ours
    def test_sleep_holds_no_lock(self, c: Connection) -> None:
        """Another network thread's clients go on; with one thread for both there is nothing to see."""
        server = start_tested_server("--io-threads", "2")
        try:
            with server.connect() as sleeper:
                others = [server.connect() for _ in range(4)]
                sleeper.send("DEBUG", "SLEEP", "1")
                time.sleep(0.1)
                begun = time.monotonic()
                for other in others:
                    other.send("SET", "k", 1)
                answered = 0
                for other in others:
                    try:
                        answered += other.reply(0.3).data == b"OK"
                    except Exception:
                        continue
                assert answered > 0
                assert time.monotonic() - begun < 5
                assert sleeper.reply().data == b"OK"
                for other in others:
                    other.close()
        finally:
            server.stop()


class TestLogs:
    def test_slow_log(self, c: Connection) -> None:
        c.must("CONFIG", "SET", "slowlog-log-slower-than", 0)
        c.must("CLIENT", "SETNAME", "slow")
        try:
            c.must("SLOWLOG", "RESET")
            c.must("SET", "k", "v" * 200)
            entry = c.must("SLOWLOG", "GET", 1).items[0].items
        finally:
            c.must("CONFIG", "SET", "slowlog-log-slower-than", 10000)
        assert entry[3].items[0].data == b"SET"
        assert entry[3].items[2].data == b"v" * 128 + b"... (72 more bytes)"
        assert entry[4].data.startswith(b"127.0.0.1:")
        assert entry[5].data == b"slow"
        c.must("SLOWLOG", "RESET")
        assert c.must("SLOWLOG", "LEN").value == 0

    def test_passwords_stay_out_of_the_log(self, c: Connection) -> None:
        c.must("CONFIG", "SET", "slowlog-log-slower-than", 0)
        try:
            c.must("SLOWLOG", "RESET")
            c.call("AUTH", "default", "hunter2")
            c.call("CONFIG", "SET", "hz", 10, "requirepass", "")
            entries = c.must("SLOWLOG", "GET", -1)
        finally:
            c.must("CONFIG", "SET", "slowlog-log-slower-than", 10000)
        assert b"hunter2" not in entries.encode()

    def test_large_requests_and_replies(self, c: Connection) -> None:
        c.must("CONFIG", "SET", "commandlog-request-larger-than", 1000, "commandlog-reply-larger-than", 1000)
        try:
            for kind in ("large-request", "large-reply"):
                c.must("COMMANDLOG", "RESET", kind)
            c.must("SET", "k", "x" * 2000)
            c.must("GET", "k")
            request = c.must("COMMANDLOG", "GET", -1, "large-request").items
            reply = c.must("COMMANDLOG", "GET", -1, "large-reply").items
        finally:
            c.must("CONFIG", "SET", "commandlog-request-larger-than", 1 << 20, "commandlog-reply-larger-than", 1 << 20)
        assert [entry.items[3].items[0].data for entry in request] == [b"SET"]
        assert [entry.items[3].items[0].data for entry in reply] == [b"GET"]
        assert error(c, "COMMANDLOG", "LEN", "other").startswith("ERR type should be one of the following")

    def test_latency_events(self, c: Connection) -> None:
        c.must("CONFIG", "SET", "latency-monitor-threshold", 20)
        try:
            c.must("LATENCY", "RESET")
            c.must("DEBUG", "SLEEP", "0.05")
            latest = c.must("LATENCY", "LATEST").items
            history = c.must("LATENCY", "HISTORY", "command").items
            assert c.must("LATENCY", "RESET", "command").value == 1
        finally:
            c.must("CONFIG", "SET", "latency-monitor-threshold", 0)
        event = next(item.items for item in latest if item.items[0].data == b"command")
        assert isinstance(event[2].value, int)
        assert 50 <= event[2].value < 1000
        assert len(history) == 1

    def test_histogram(self, c3: Connection) -> None:
        c3.must("CONFIG", "RESETSTAT")
        for _ in range(5):
            c3.must("PING")
        found = c3.must("LATENCY", "HISTOGRAM", "ping", "nosuch").plain()
        assert isinstance(found, dict)
        assert found[b"ping"][b"calls"] == 5
        assert max(found[b"ping"][b"histogram_usec"].values()) == 5
