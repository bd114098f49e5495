"""How long lists are laid out: compressed nodes, elements with a node of their own, and what DEBUG tells about both.

Everything here but the tests marked `ours` also holds for a real Valkey: KVCORE_TEST_AGAINST=valkey runs them there.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers
from tests.compat.resp import Connection
from tests.conftest import AGAINST, start_tested_server

ours = pytest.mark.skipif(AGAINST != "kvcore", reason="about kvcore alone")
DEFAULTS = ("list-compress-depth", 0, "list-max-listpack-size", -2)
TOO_LARGE = "ERR argument must be a memory value bigger than 1 and smaller than 4gb"


@pytest.fixture
def c(served_kvcore: servers.Server) -> Iterator[Connection]:
    with served_kvcore.connect() as connection:
        connection.must("FLUSHALL")
        yield connection
        connection.must("CONFIG", "SET", *DEFAULTS)
        connection.must("DEBUG", "QUICKLIST-PACKED-THRESHOLD", 0)


def error(connection: Connection, *words: str | int) -> str:
    reply = connection.call(*words)
    assert reply.is_error, f"{words} answered {reply.plain()!r}"
    return reply.data.decode()


def facts(connection: Connection, key: str) -> dict[str, str]:
    """The name:value pairs of DEBUG OBJECT."""
    words = connection.must("DEBUG", "OBJECT", key).data.decode().split()
    return dict(word.split(":", 1) for word in words if ":" in word)


def items(connection: Connection, key: str, start: int = 0, stop: int = -1) -> list[bytes]:
    return [item.data for item in connection.must("LRANGE", key, start, stop).items]


def value(number: int) -> str:
    return f"value:{number:06d}:" + "abcdefghij" * 4


def fill(connection: Connection, key: str, count: int) -> list[bytes]:
    for first in range(0, count, 100):
        connection.must("RPUSH", key, *(value(n) for n in range(first, min(first + 100, count))))
    return [value(n).encode() for n in range(count)]


class TestCompression:
    def test_object_tells_that_nodes_are_compressed(self, c: Connection) -> None:
        c.must("CONFIG", "SET", "list-compress-depth", 1)
        fill(c, "deep", 1000)
        c.must("CONFIG", "SET", "list-compress-depth", 0)
        fill(c, "flat", 1000)
        deep, flat = facts(c, "deep"), facts(c, "flat")
        assert (deep["ql_compressed"], flat["ql_compressed"]) == ("1", "0")
        same = ("ql_nodes", "ql_avg_node", "ql_listpack_max", "ql_uncompressed_size", "encoding")
        assert [deep[name] for name in same] == [flat[name] for name in same]
        assert int(deep["ql_nodes"]) > 5

    def test_memory_usage_counts_what_is_held(self, c: Connection) -> None:
        c.must("CONFIG", "SET", "list-compress-depth", 1)
        fill(c, "deep", 3000)
        c.must("CONFIG", "SET", "list-compress-depth", 0)
        fill(c, "flat", 3000)
        deep, flat = (int(c.must("MEMORY", "USAGE", key, "SAMPLES", 0).data) for key in ("deep", "flat"))
        assert deep < flat / 2

    def test_the_depth_is_that_of_the_lists_birth(self, c: Connection) -> None:
        fill(c, "early", 500)
        c.must("CONFIG", "SET", "list-compress-depth", 2)
        fill(c, "early", 500)
        fill(c, "late", 500)
        c.must("CONFIG", "SET", "list-compress-depth", 0)
        fill(c, "late", 500)
        assert facts(c, "early")["ql_compressed"] == "0"
        assert facts(c, "late")["ql_compressed"] == "1"

    def test_copies_are_compressed_too(self, c: Connection) -> None:
        c.must("CONFIG", "SET", "list-compress-depth", 1)
        everything = fill(c, "list", 1000)
        c.must("CONFIG", "SET", "list-compress-depth", 0)
        c.must("COPY", "list", "copy")
        c.must("RENAME", "list", "moved")
        assert facts(c, "copy")["ql_compressed"] == facts(c, "moved")["ql_compressed"] == "1"
        assert items(c, "copy") == items(c, "moved") == everything

    @pytest.mark.parametrize("depth", [1, 2, 5])
    def test_every_command_sees_and_changes_inner_nodes(self, c: Connection, depth: int) -> None:
        """The same commands on a compressed list, a plain one, and a Python list."""
        c.must("CONFIG", "SET", "list-max-listpack-size", 8, "list-compress-depth", depth)
        fill(c, "deep", 400)
        c.must("CONFIG", "SET", "list-compress-depth", 0)
        model = fill(c, "flat", 400)
        chance = random.Random(depth)
        for step in range(300):
            at, new = chance.randrange(len(model)), value(1000 + step)
            pivot = model[at].decode()
            commands: list[tuple[str | int, ...]] = [
                ("LINDEX", at),
                ("LSET", at, new),
                ("LINSERT", "BEFORE", pivot, new),
                ("LREM", chance.choice([0, 1, -1]), pivot),
                ("LPOS", pivot, "RANK", chance.choice([1, -1])),
                ("LRANGE", at, at + 40),
                ("LRANGE", -at, -1),
                ("LMOVE",),
                ("LPUSH", new),
                ("RPOP", 3),
                ("LTRIM", chance.randrange(3), -1 - chance.randrange(3)),
                ("RPUSH", *(f"{new}{n}" for n in range(20))),
            ]
            name, *rest = chance.choice(commands)
            replies = []
            for key in ("deep", "flat"):
                words = (name, key, key, "LEFT", "RIGHT") if name == "LMOVE" else (name, key, *rest)
                replies.append(c.must(*words).plain())
            assert replies[0] == replies[1], (name, rest)
            if step % 10 == 0:
                model = items(c, "flat")
                assert items(c, "deep") == model
        assert items(c, "deep") == items(c, "flat")
        digests = c.must("DEBUG", "DIGEST-VALUE", "deep", "flat").items
        assert digests[0].data == digests[1].data
        assert facts(c, "deep")["ql_nodes"] == facts(c, "flat")["ql_nodes"]
        assert (
            c.must("SORT", "deep", "ALPHA", "LIMIT", 0, 5).plain()
            == c.must("SORT", "flat", "ALPHA", "LIMIT", 0, 5).plain()
        )

    def test_emptied_from_either_end(self, c: Connection) -> None:
        c.must("CONFIG", "SET", "list-compress-depth", 1, "list-max-listpack-size", 4)
        for end, order in (("LPOP", 1), ("RPOP", -1)):
            everything = fill(c, "list", 100)[::order]
            popped = [c.must(end, "list").data for _ in range(100)]
            assert popped == everything
            assert c.must("EXISTS", "list").value == 0


class TestPackedThreshold:
    @pytest.mark.parametrize("size", ["0", "1", "100b", "1kb", "4000mb", "4293918720", ""])
    def test_sizes_that_are_taken(self, c: Connection, size: str) -> None:
        assert c.must("DEBUG", "QUICKLIST-PACKED-THRESHOLD", size).data == b"OK"

    @pytest.mark.parametrize("size", ["4293918721", "4gb", "1tb", "-1", "abc", "99999999999999999999"])
    def test_sizes_that_are_refused(self, c: Connection, size: str) -> None:
        assert error(c, "DEBUG", "QUICKLIST-PACKED-THRESHOLD", size) == TOO_LARGE

    def test_large_elements_get_nodes_of_their_own(self, c: Connection) -> None:
        c.must("CONFIG", "SET", "list-max-listpack-size", 2)
        c.must("DEBUG", "QUICKLIST-PACKED-THRESHOLD", "5b")
        for element in ("a", "b", "c", "dddd", "eeeee", "f", "gggggg", "h", "i"):
            c.must("RPUSH", "li", element)
        assert facts(c, "li")["ql_nodes"] == "6"  # ab, c dddd, eeeee, f, gggggg, hi
        c.must("LSET", "li", 1, "long enough")
        assert facts(c, "li")["ql_nodes"] == "7"
        assert items(c, "li") == [b"a", b"long enough", b"c", b"dddd", b"eeeee", b"f", b"gggggg", b"h", b"i"]

    def test_it_holds_for_lists_that_are_there(self, c: Connection) -> None:
        c.must("CONFIG", "SET", "list-max-listpack-size", 4)
        c.must("RPUSH", "li", *range(8))
        nodes = int(facts(c, "li")["ql_nodes"])
        c.must("DEBUG", "QUICKLIST-PACKED-THRESHOLD", "1b")
        c.must("RPUSH", "li", "x", "y", "z")
        assert int(facts(c, "li")["ql_nodes"]) == nodes + 3
        c.must("DEBUG", "QUICKLIST-PACKED-THRESHOLD", "0")
        c.must("RPUSH", "li", "x", "y", "z")
        assert int(facts(c, "li")["ql_nodes"]) == nodes + 4

    def test_every_command_works_on_plain_nodes(self, c: Connection) -> None:
        c.must("CONFIG", "SET", "list-max-listpack-size", 3, "list-compress-depth", 1)
        c.must("DEBUG", "QUICKLIST-PACKED-THRESHOLD", "20b")
        large = [f"{n}" * 60 for n in range(9)]
        c.must("RPUSH", "li", *large)
        c.must("LINSERT", "li", "AFTER", large[4], "small")
        c.must("LSET", "li", 2, "small")
        c.must("LSET", "li", 5, large[0])
        c.must("LREM", "li", 1, large[6])
        c.must("LMOVE", "li", "li", "RIGHT", "LEFT")
        c.must("LTRIM", "li", 1, 7)
        expected = [large[0], large[1], "small", large[3], large[4], large[0], large[5]]
        assert items(c, "li") == [text.encode() for text in expected]
        assert [c.must("LINDEX", "li", n).data.decode() for n in range(7)] == expected
        assert c.must("LPOS", "li", large[5]).value == 6

    @ours
    def test_a_stores_setting_is_its_own(self, c: Connection) -> None:
        c.must("DEBUG", "QUICKLIST-PACKED-THRESHOLD", "1b")
        other = start_tested_server()
        try:
            with other.connect() as elsewhere:
                for connection, nodes in ((c, 7), (elsewhere, 3)):
                    connection.must("CONFIG", "SET", "list-max-listpack-size", 3)
                    connection.must("RPUSH", "li", *range(4))
                    connection.must("RPUSH", "li", *range(3))
                    assert facts(connection, "li")["ql_nodes"] == str(nodes)
        finally:
            other.stop()


class TestDebugStructures:
    def test_replies(self, c: Connection) -> None:
        c.must("RPUSH", "small", "a", 1)
        c.must("HSET", "hash", "f", "v")
        c.must("SET", "text", "x")
        fill(c, "long", 400)
        for key in ("small", "hash"):
            assert c.must("DEBUG", "LISTPACK", key).data == b"Listpack structure printed on stdout"
        for words in (("long",), ("long", "0"), ("long", "1")):
            assert c.must("DEBUG", "QUICKLIST", *words).data == b"Quicklist structure printed on stdout"
        assert error(c, "DEBUG", "LISTPACK", "none") == error(c, "DEBUG", "QUICKLIST", "none") == "ERR no such key"
        assert error(c, "DEBUG", "LISTPACK", "text").strip() == "ERR Not a listpack encoded object."
        assert error(c, "DEBUG", "LISTPACK", "long").strip() == "ERR Not a listpack encoded object."
        assert error(c, "DEBUG", "QUICKLIST", "small").strip() == "ERR Not a quicklist encoded object."

    @ours
    def test_the_log_shows_nodes_and_items(self, tmp_path: Path) -> None:
        log = tmp_path / "log"
        server = start_tested_server(
            "--logfile", str(log), "--list-compress-depth", "1", "--list-max-listpack-size", "-1"
        )
        try:
            with server.connect() as c:
                c.must("RPUSH", "small", "a b", 12, '"\n')
                c.must("DEBUG", "LISTPACK", "small")
                fill(c, "long", 300)
                c.must("RPUSH", "long", "x" * 5000)
                c.must("DEBUG", "QUICKLIST", "long")
                text = log.read_text()
                assert "DEBUG LISTPACK: 3 items, " in text
                assert 'item 0: 3 bytes "a b"' in text
                assert "item 1: integer 12" in text
                assert 'item 2: 2 bytes "\\x22\\x0a"' in text
                assert re.search(r"DEBUG QUICKLIST: 301 items, \d+ nodes, \d+ bytes held, fill -1, depth 1", text)
                assert re.search(r"node 0: listpack, \d+ items, \d+ bytes, raw", text)
                assert re.search(r"node 1: listpack, \d+ items, \d+ bytes in \d+, LZF", text)
                assert re.search(r"node \d+: plain, 1 items, 5000 bytes, raw", text)
                assert value(7) not in text
                c.must("DEBUG", "QUICKLIST", "long", "1")
                assert f'bytes "{value(150)}"' in log.read_text()
        finally:
            server.stop()


def sections(text: str) -> dict[str, str]:
    """The [titled] parts of DEBUG HTSTATS."""
    parts = re.split(r"^\[(.*)\]\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


class TestTableStats:
    def test_a_database(self, c: Connection) -> None:
        assert sections(c.must("DEBUG", "HTSTATS", 0).data.decode()) == {"Dictionary HT": "", "Expires HT": ""}
        c.must("MSET", *(word for n in range(100) for word in (f"k{n}", n)))
        c.must("EXPIRE", "k1", 1000)
        found = sections(c.must("DEBUG", "HTSTATS", 0).data.decode())
        assert " number of entries: 100\n" in found["Dictionary HT"]
        assert " number of entries: 1\n" in found["Expires HT"]
        size = re.search(r" table size: (\d+)\n", found["Dictionary HT"])
        assert size is not None
        assert int(size[1]) >= 100
        assert "distribution" not in found["Dictionary HT"]
        assert "distribution" in c.must("DEBUG", "HTSTATS", 0, "FULL").data.decode()
        assert error(c, "DEBUG", "HTSTATS", 99) == "ERR Out of range database"
        assert error(c, "DEBUG", "HTSTATS", "x") == "ERR value is not an integer or out of range"

    def test_a_key(self, c: Connection) -> None:
        c.must("HSET", "hash", *(word for n in range(600) for word in (f"f{n}", n)))
        c.must("SADD", "set", *(f"m{n}" for n in range(600)))
        c.must("ZADD", "zset", *(word for n in range(600) for word in (n, f"m{n}")))
        c.must("HSET", "small", "f", 1)
        c.must("SET", "text", "x")
        for key in ("hash", "set", "zset"):
            text = c.must("DEBUG", "HTSTATS-KEY", key).data.decode()
            entries = sum(int(n) for n in re.findall(r" number of entries: (\d+)\n", text))
            assert entries == 600
            assert "distribution" in c.must("DEBUG", "HTSTATS-KEY", key, "full").data.decode()
        no_table = "ERR The value stored at the specified key is not represented using an hash table"
        assert error(c, "DEBUG", "HTSTATS-KEY", "small") == error(c, "DEBUG", "HTSTATS-KEY", "text") == no_table
        assert error(c, "DEBUG", "HTSTATS-KEY", "none") == "ERR no such key"

    @ours
    def test_the_distribution_adds_up(self, c: Connection) -> None:
        c.must("DEBUG", "POPULATE", 20_000)
        found = sections(c.must("DEBUG", "HTSTATS", 0, "FULL").data.decode())["Dictionary HT"]
        counted = sum(
            int(entries) * int(n) for entries, n in re.findall(r"^   (\d+)\+?: (\d+) \(", found, re.MULTILINE)
        )
        assert counted == sum(int(n) for n in re.findall(r" number of entries: (\d+)\n", found)) == 20_000
