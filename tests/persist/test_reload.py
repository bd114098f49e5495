"""DEBUG RELOAD and LOADAOF: everything is there again, nothing that was acknowledged is lost, and a file that cannot be
loaded changes nothing."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest

import kvcore
from tests import servers
from tests.compat.resp import Connection
from tests.persist import values
from tests.persist.places import contents, server_on, serving

DEBUG = ("--enable-debug-command", "yes", "--save", "")
LOG = (*DEBUG, "--appendonly", "yes")
NO_DUMP = b"ERR Error trying to load the RDB dump, check server logs."
NO_LOG = b"ERR Error trying to load the AOF files, check server logs."


def error(connection: Connection, *words: str | int) -> bytes:
    reply = connection.call(*words)
    assert reply.is_error, reply
    return reply.data


def everything(connection: Connection, seed: int) -> None:
    rng = random.Random(seed)
    for name, maker in values.MAKERS.items():
        for number in range(4):
            for words in maker(rng, f"{name}:{number}"):
                connection.must(*words)
    connection.must("HSET", "fields", "a", 1, "b", 2)
    connection.must("HEXPIRE", "fields", 1000, "FIELDS", 1, "a")
    connection.must("SET", "mortal", "x", "EX", 1000)
    connection.must("SELECT", 5)
    connection.must("SET", "elsewhere", 1)
    connection.must("SELECT", 0)


@pytest.mark.parametrize("options", [DEBUG, LOG], ids=["dump", "log"])
@pytest.mark.parametrize("words", [("RELOAD",), ("RELOAD", "MERGE"), ("RELOAD", "NOFLUSH", "MERGE"), ("LOADAOF",)])
def test_everything_is_there_again(tmp_path: Path, options: tuple[str, ...], words: tuple[str, ...]) -> None:
    with serving(tmp_path, *options) as connection:
        everything(connection, 11)
        before, digest = contents(connection), connection.must("DEBUG", "DIGEST").data
        fields = connection.must("HPEXPIRETIME", "fields", "FIELDS", 2, "a", "b")
        if words == ("LOADAOF",) and options is DEBUG:
            assert error(connection, "DEBUG", *words) == NO_LOG
        else:
            assert connection.must("DEBUG", *words).data == b"OK"
        assert contents(connection) == before
        assert connection.must("DEBUG", "DIGEST").data == digest
        assert connection.must("HPEXPIRETIME", "fields", "FIELDS", 2, "a", "b") == fields
        connection.must("SET", "afterwards", 1)
    if options is LOG:
        with serving(tmp_path, *options) as connection:
            assert connection.must("GET", "afterwards").data == b"1"
            connection.must("DEL", "afterwards")
            assert connection.must("DEBUG", "DIGEST").data == digest


@pytest.mark.parametrize("options", [DEBUG, LOG], ids=["dump", "log"])
def test_an_older_snapshot_takes_the_place_of_what_is_there(tmp_path: Path, options: tuple[str, ...]) -> None:
    with server_on(tmp_path, *options) as server, server.connect() as connection:
        connection.must("MSET", "both", "old", "gone", 1)
        connection.must("SAVE")
        connection.must("SET", "both", "new")
        connection.must("DEL", "gone")
        connection.must("SET", "late", 1)
        connection.must("DEBUG", "RELOAD", "NOSAVE", "NOFLUSH", "MERGE")
        merged = {key: connection.must("GET", key).data for key in ("both", "gone", "late")}
        assert merged == {"both": b"old", "gone": b"1", "late": b"1"}
        assert error(connection, "DEBUG", "RELOAD", "NOSAVE", "NOFLUSH").startswith(b"ERR ")
        connection.must("DEBUG", "RELOAD", "NOSAVE")
        assert sorted(item.data for item in connection.must("KEYS", "*").items) == [b"both", b"gone"]
        connection.must("SET", "last", 1)
    if options is LOG:  # the log says the same
        with serving(tmp_path, *options) as connection:
            assert sorted(item.data for item in connection.must("KEYS", "*").items) == [b"both", b"gone", b"last"]


@pytest.mark.parametrize("options", [DEBUG, LOG], ids=["dump", "log"])
def test_what_cannot_be_loaded_changes_nothing(tmp_path: Path, options: tuple[str, ...]) -> None:
    with serving(tmp_path, *options) as connection:
        everything(connection, 12)
        digest = connection.must("DEBUG", "DIGEST").data
        assert error(connection, "DEBUG", "RELOAD", "NOSAVE") == NO_DUMP  # there is none
        connection.must("SAVE")
        dump = tmp_path / "dump.rdb"
        raw = bytearray(dump.read_bytes())
        raw[len(raw) // 2] ^= 4
        dump.write_bytes(raw)
        assert error(connection, "DEBUG", "RELOAD", "NOSAVE") == NO_DUMP
        assert error(connection, "DEBUG", "RELOAD", "MERG").endswith(b"MERGE, NOFLUSH and NOSAVE options.")
        assert connection.must("DEBUG", "DIGEST").data == digest
        connection.must("SET", "afterwards", 1)
        connection.must("MULTI")
        connection.must("DEBUG", "RELOAD")
        assert b"transaction" in connection.must("EXEC").items[0].data


@pytest.mark.parametrize("words", [("RELOAD",), ("LOADAOF",)])
def test_writers_wait_and_lose_nothing(tmp_path: Path, words: tuple[str, ...]) -> None:
    with server_on(tmp_path, *LOG, "--io-threads", "2") as server, server.connect() as connection:
        everything(connection, 13)
        done, counts = threading.Event(), [0] * 3

        def write(number: int) -> None:
            with server.connect() as mine:
                while not done.is_set():
                    reply = mine.must("INCR", f"count:{number}") if number else mine.must("DECR", "count:0")
                    counts[number] += 1
                    assert abs(reply.value) == counts[number]

        threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            connection.must("DEBUG", *words)
        done.set()
        for thread in threads:
            thread.join()
        assert all(counts)
        connection.must("DEBUG", *words)
        assert [abs(int(connection.must("GET", f"count:{i}").data)) for i in range(3)] == counts
    with serving(tmp_path, *LOG) as connection:
        assert [abs(int(connection.must("GET", f"count:{i}").data)) for i in range(3)] == counts


def test_who_watches_blocks_or_listens(tmp_path: Path) -> None:
    options = (*LOG, "--notify-keyspace-events", "KEA")
    with server_on(tmp_path, *options) as server, server.connect() as connection, server.connect() as other:
        connection.must("RPUSH", "queue", "served long ago")
        connection.must("LPOP", "queue")
        connection.must("SET", "watched", 1)
        other.must("WATCH", "watched")
        other.must("MULTI")
        other.must("GET", "watched")
        with server.connect() as blocked, server.connect() as listener:
            blocked.send("BLPOP", "queue", 0)
            listener.must("PSUBSCRIBE", "*")
            while b"blocked_clients:1" not in connection.must("INFO", "clients").data:
                pass
            connection.must("DEBUG", "LOADAOF")
            assert other.must("EXEC").items is None or other.must("PING").data == b"PONG"
            connection.must("RPUSH", "queue", "new")
            assert [item.data for item in blocked.reply().items] == [b"queue", b"new"]
            assert listener.reply().items[-1].data == b"rpush"  # the first message: of the log's commands there is none


def test_a_single_file(tmp_path: Path) -> None:
    path, allowed = tmp_path / "app.kv", {"enable-debug-command": "yes"}
    for durability in ("none", "snapshot", "everysec", "always"):
        with kvcore.open(path, durability=durability, config=allowed) as db:  # type: ignore[arg-type]
            db.set(durability, 1)
            db.hset("h", mapping={str(number): number for number in range(1000)})
            keys = sorted(db.keys())
            assert db.execute("DEBUG", "RELOAD") == b"OK"
            assert sorted(db.keys()) == keys
            assert db.hlen("h") == 1000
            with pytest.raises(kvcore.ResponseError, match="NOFLUSH and MERGE"):
                db.execute("DEBUG", "RELOAD", "MERGE")
            if durability in ("none", "snapshot"):
                with pytest.raises(kvcore.ResponseError, match="load the AOF"):
                    db.execute("DEBUG", "LOADAOF")
            else:
                assert db.execute("DEBUG", "LOADAOF") == b"OK"
            db.set("again:" + durability, 1)
        with kvcore.open(path) as db:
            assert db.exists(durability)
            assert db.exists("again:" + durability) == (durability != "none")


def test_a_store_without_files_says_so() -> None:
    with kvcore.open(config={"enable-debug-command": "yes"}) as db, pytest.raises(kvcore.ResponseError, match="file"):
        db.execute("DEBUG", "RELOAD")


def test_threads_of_a_program_wait(tmp_path: Path) -> None:
    with kvcore.open(tmp_path / "app.kv", config={"enable-debug-command": "yes"}) as db:
        done, counts = threading.Event(), [0] * 3

        def write(number: int) -> None:
            while not done.is_set():
                counts[number] += 1
                if number == 2:
                    db.set("count:2", counts[2])
                else:
                    assert db.incr(f"count:{number}") == counts[number]

        threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            db.execute("DEBUG", "RELOAD")
        done.set()
        for thread in threads:
            thread.join()
        assert [int(value or 0) for value in db.mget(["count:0", "count:1", "count:2"])] == counts


@pytest.mark.skipif(servers.find_peer("valkey-server") is None, reason=servers.NO_PEER.format(program="valkey-server"))
@pytest.mark.parametrize("options", [DEBUG, LOG], ids=["dump", "log"])
def test_the_replies_are_valkeys(tmp_path: Path, options: tuple[str, ...]) -> None:
    calls = [
        ("RELOAD", "NOSAVE"),
        ("RELOAD",),
        ("RELOAD", "nosave"),
        ("RELOAD", "MERGE", "NOFLUSH"),
        ("RELOAD", "other"),
        ("RELOAD", "MERGE", "other"),
        ("LOADAOF",),
    ]
    replies: dict[str, list[bytes]] = {}
    for peer in ("", "valkey-server"):
        where = tmp_path / (peer or "kvcore")
        where.mkdir()
        with serving(where, *options, peer=peer) as connection:
            connection.must("SET", "k", 1)
            replies[peer] = [connection.call("DEBUG", *words).data for words in calls]
    assert replies[""] == replies["valkey-server"]
