"""A server's files: after a restart, a kill, a rewrite, a switch; with Valkey and Redis; damage, what is refused."""

from __future__ import annotations

import subprocess
from functools import partial
from pathlib import Path

import pytest

from tests import servers
from tests.persist.places import contents, fill, info, kill, manifest, names, server_on, serving, told, until

LOG = ("--appendonly", "yes")
PEERS = ["valkey-server", "redis-server"]


def need(peer: str) -> None:
    if servers.find_peer(peer) is None:
        pytest.skip(servers.NO_PEER.format(program=peer))


@pytest.mark.parametrize("policy", ["always", "everysec", "no"])
def test_a_log_outlives_a_restart(tmp_path: Path, policy: str) -> None:
    options = (*LOG, "--appendfsync", policy)
    with serving(tmp_path, *options) as connection:
        fill(connection)
        before = contents(connection)
        connection.must("SELECT", 3)
        connection.must("SET", "elsewhere", 1)
    with serving(tmp_path, *options) as connection:
        assert contents(connection) == before
        connection.must("SELECT", 3)
        assert connection.must("GET", "elsewhere").data == b"1"
        assert info(connection)["aof_enabled"] == "1"
    assert [kind for _, _, kind in manifest(tmp_path)] == ["b", "i"]
    assert not (tmp_path / ".kvcore.lock").exists()


def test_what_waitaof_has_confirmed_outlives_a_kill(tmp_path: Path) -> None:
    with server_on(tmp_path, *LOG) as server:
        with server.connect() as connection:
            fill(connection)
            before = contents(connection)
            reply = connection.must("WAITAOF", 1, 0, 0)
            assert [item.value for item in reply.items] == [1, 0]
        kill(server)
    with serving(tmp_path, *LOG) as connection:
        assert contents(connection) == before


def test_a_rewrite_takes_the_place_of_the_log(tmp_path: Path) -> None:
    with server_on(tmp_path, *LOG) as server:
        with server.connect() as connection:
            fill(connection)
            for number in (2, 3):
                assert connection.must("BGREWRITEAOF").data.startswith(b"Background append only file rewriting")
                fill(connection, 50, start=1000 * number)
                wanted = str(number - 1)
                until(partial(told, connection, "aof_rewrites", wanted), "the rewrite")
                assert info(connection)["aof_last_bgrewrite_status"] == "ok"
                assert manifest(tmp_path) == [
                    (f"appendonly.aof.{number}.base.rdb", number, "b"),
                    (f"appendonly.aof.{number}.incr.aof", number, "i"),
                ]
                assert names(tmp_path) == [name for name, _, _ in manifest(tmp_path)]
            before = contents(connection)
            connection.must("WAITAOF", 1, 0, 0)
        kill(server)
    with serving(tmp_path, *LOG) as connection:
        assert contents(connection) == before


def test_the_log_is_rewritten_when_it_has_grown(tmp_path: Path) -> None:
    with serving(tmp_path, *LOG, "--auto-aof-rewrite-min-size", "20kb") as connection:
        fill(connection, 400)
        until(lambda: int(info(connection)["aof_rewrites"]) > 0, "a rewrite")
        until(lambda: int(info(connection)["aof_current_size"]) < 40_000, "a small log")


@pytest.mark.peer
@pytest.mark.parametrize("peer", PEERS)
def test_others_start_in_our_directory_and_we_in_theirs(tmp_path: Path, peer: str) -> None:
    need(peer)
    theirs = ("--appendonly", "yes")
    with serving(tmp_path, *LOG) as connection:
        fill(connection)
        connection.must("BGREWRITEAOF")
        until(lambda: info(connection)["aof_rewrites"] == "1", "the rewrite")
        fill(connection, start=500)
        connection.must("SAVE")
        before = contents(connection)
    for place in ("yes", "no"):  # the log, then the snapshot
        with serving(tmp_path, "--appendonly", place, peer=peer) as connection:
            assert contents(connection) == before, place
    with serving(tmp_path, *theirs, peer=peer) as connection:
        fill(connection, start=1000)
        connection.must("BGREWRITEAOF")
        until(lambda: info(connection)["aof_rewrite_in_progress"] == "0", "their rewrite")
        fill(connection, start=1500)
        connection.must("SAVE")
        before = contents(connection)
    for place in ("yes", "no"):
        with serving(tmp_path, "--appendonly", place) as connection:
            assert contents(connection) == before, place
    with serving(tmp_path, *LOG) as connection:
        fill(connection, start=2000)
        before = contents(connection)
    with serving(tmp_path, *theirs, peer=peer) as connection:
        assert contents(connection) == before


@pytest.mark.peer
def test_a_single_log_of_an_older_server_becomes_the_base(tmp_path: Path) -> None:
    need("valkey-server")
    (tmp_path / "old").mkdir()
    with serving(tmp_path / "old", peer="valkey-server") as connection:
        fill(connection)
        connection.must("SAVE")
        connection.must("SET", "later", 1)
        before = contents(connection)
    snapshot = (tmp_path / "old" / "dump.rdb").read_bytes()
    command = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$5\r\nlater\r\n$1\r\n1\r\n"
    (tmp_path / "appendonly.aof").write_bytes(snapshot + command)
    with serving(tmp_path, *LOG) as connection:
        assert contents(connection) == before
        connection.must("SET", "last", 1)
        before = contents(connection)
    assert not (tmp_path / "appendonly.aof").exists()
    assert manifest(tmp_path)[0] == ("appendonly.aof", 1, "b")
    with serving(tmp_path, *LOG, peer="valkey-server") as connection:
        assert contents(connection) == before


def test_the_log_is_switched_on_and_off(tmp_path: Path) -> None:
    with server_on(tmp_path) as server:
        with server.connect() as connection:
            fill(connection)
            connection.must("CONFIG", "SET", "appendonly", "yes")
            fill(connection, start=500)
            until(lambda: info(connection).get("aof_pending_rewrite") == "0", "the log")
            until(lambda: info(connection)["aof_rewrite_in_progress"] == "0", "the log's base")
            connection.must("CONFIG", "SET", "appendonly", "no")
            until(lambda: info(connection)["aof_enabled"] == "0", "the end of the log")
            until(lambda: "aof_current_size" not in info(connection), "the end of the log")
            assert connection.call("WAITAOF", 1, 0, 0).is_error
            connection.must("SET", "not in the log", 1)
            connection.must("DEL", "sum")
            connection.must("CONFIG", "SET", "appendonly", "yes")
            until(lambda: info(connection).get("aof_pending_rewrite") == "0", "the log")
            fill(connection, 20, start=900)
            before = contents(connection)
            connection.must("WAITAOF", 1, 0, 0)
            until(lambda: info(connection)["aof_rewrite_in_progress"] == "0", "the log's base")
        kill(server)
    with serving(tmp_path, *LOG) as connection:
        assert contents(connection) == before
    assert names(tmp_path) == [name for name, _, _ in manifest(tmp_path)]


# ---- snapshots ----


def test_save_and_what_is_said_about_it(tmp_path: Path) -> None:
    with serving(tmp_path) as connection:
        fill(connection)
        assert int(info(connection)["rdb_changes_since_last_save"]) > 0
        connection.must("SAVE")
        assert info(connection)["rdb_changes_since_last_save"] == "0"
        assert connection.must("LASTSAVE").value == int(info(connection)["rdb_last_save_time"])
        fill(connection, 10, start=500)
        assert connection.must("BGSAVE").data == b"Background saving started"
        until(lambda: info(connection)["rdb_saves"] == "2", "BGSAVE")
        assert info(connection)["rdb_last_bgsave_status"] == "ok"
        assert connection.call("BGSAVE", "CANCEL").is_error
        before = contents(connection)
        connection.must("SET", "lost", 1)
    with serving(tmp_path) as connection:
        assert contents(connection) == before
    assert (tmp_path / "dump.rdb").stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob("temp-*"))


def test_a_save_point(tmp_path: Path) -> None:
    with server_on(tmp_path, "--save", "1 2") as server:
        with server.connect() as connection:
            connection.must("MSET", "a", 1, "b", 2)
            until(lambda: info(connection)["rdb_saves"] == "1", "the save point")
        kill(server)
    with serving(tmp_path) as connection:
        assert connection.must("DBSIZE").value == 2


@pytest.mark.parametrize(("words", "kept"), [(("NOSAVE",), 1), (("SAVE",), 2), ((), 1)])
def test_shutdown(tmp_path: Path, words: tuple[str, ...], kept: int) -> None:
    with server_on(tmp_path) as server:
        with server.connect() as connection:
            connection.must("SET", "a", 1)
            connection.must("SAVE")
            connection.must("SET", "b", 1)
            connection.send("SHUTDOWN", *words)
            assert server.process.wait(20) == 0
    with serving(tmp_path) as connection:
        assert connection.must("DBSIZE").value == kept


def test_save_points_save_at_the_end(tmp_path: Path) -> None:
    with serving(tmp_path, "--save", "3600 1") as connection:
        connection.must("SET", "a", 1)
    with serving(tmp_path) as connection:
        assert connection.must("DBSIZE").value == 1


def test_writes_are_refused_while_save_points_fail(tmp_path: Path) -> None:
    blocker = tmp_path / "temp-dump.rdb"
    blocker.mkdir()
    with serving(tmp_path, "--save", "3600 1000") as connection:
        connection.must("SET", "a", 1)
        connection.must("BGSAVE")
        until(lambda: info(connection)["rdb_last_bgsave_status"] == "err", "a failure")
        assert connection.call("SET", "a", 2).data.startswith(b"MISCONF ")
        assert connection.must("GET", "a").data == b"1"
        assert connection.call("SHUTDOWN", "SAVE").data == b"ERR Errors trying to SHUTDOWN. Check logs."
        connection.must("CONFIG", "SET", "stop-writes-on-bgsave-error", "no")
        connection.must("SET", "a", 2)
        connection.must("CONFIG", "SET", "stop-writes-on-bgsave-error", "yes")
        assert connection.call("SET", "a", 3).data.startswith(b"MISCONF ")
        blocker.rmdir()
        connection.must("SAVE")
        connection.must("SET", "a", 4)


# ---- what is refused ----


def refused(where: Path, *options: str) -> str:
    """Starts a server that must not start; what it says."""
    done = subprocess.run(
        [*(servers.kvcore_command() or []), "--port", str(servers.free_port()), "--dir", str(where), *options],
        env=servers.kvcore_environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1, done
    return done.stderr


def test_one_directory_has_one_server(tmp_path: Path) -> None:
    with server_on(tmp_path, *LOG) as server:
        link = tmp_path.parent / "link"
        link.symlink_to(tmp_path)
        for place in (tmp_path, link):
            assert f"process {server.process.pid}" in refused(place, *LOG)
    with serving(tmp_path, *LOG):
        pass


def last_part(where: Path) -> Path:
    return where / "appendonlydir" / manifest(where)[-1][0]


def test_a_torn_end_is_cut_off(tmp_path: Path) -> None:
    with serving(tmp_path, *LOG) as connection:
        fill(connection, 20)
        before = contents(connection)
    whole = last_part(tmp_path).read_bytes()
    for torn in (
        b"*3\r\n$3\r\nSET\r\n$1\r\na",
        b"*",
        b"*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n",
    ):
        last_part(tmp_path).write_bytes(whole + torn)
        assert "aof-load-truncated" in refused(tmp_path, *LOG, "--aof-load-truncated", "no")
        with serving(tmp_path, *LOG) as connection:
            assert contents(connection) == before
        left = last_part(tmp_path).read_bytes()
        assert left.startswith(whole)
        assert not left.startswith(whole + torn)
        last_part(tmp_path).write_bytes(whole)


def test_damage_is_refused_by_name(tmp_path: Path) -> None:
    with serving(tmp_path, *LOG) as connection:
        fill(connection, 20)
    part, base = last_part(tmp_path), tmp_path / "appendonlydir" / manifest(tmp_path)[0][0]
    text = tmp_path / "appendonlydir" / "appendonly.aof.manifest"
    good = {path: path.read_bytes() for path in (part, base, text)}
    flipped = bytearray(good[part])
    flipped[len(flipped) // 2] ^= 1
    for path, bad in (
        (part, bytes(flipped)),
        (base, good[base][:-3]),
        (text, b"file ../x seq 1 type b\n"),
        (text, good[text] + good[text]),
        (text, b""),
    ):
        path.write_bytes(bad)
        assert path.name in refused(tmp_path, *LOG), path
        path.write_bytes(good[path])
    part.rename(part.with_suffix(".gone"))
    assert part.name in refused(tmp_path, *LOG)
    part.with_suffix(".gone").rename(part)
    with serving(tmp_path, *LOG) as connection:
        assert connection.must("DBSIZE").value


def test_what_was_told_to_have_begun_is_in_progress(tmp_path: Path) -> None:
    """Whoever polls INFO after BGSAVE took a snapshot that had not begun yet for one that had ended."""
    with serving(tmp_path, *LOG) as connection:
        fill(connection)
        for command, field, count in (
            ("BGSAVE", "rdb_bgsave_in_progress", "rdb_saves"),
            ("BGREWRITEAOF", "aof_rewrite_in_progress", "aof_rewrites"),
        ):
            for _ in range(50):
                done = int(info(connection)[count])
                assert connection.must(command).data.endswith(b"started")
                after = info(connection)
                assert after[field] == "1" or int(after[count]) == done + 1
                until(partial(told, connection, field, "0"), command)
                assert int(info(connection)[count]) == done + 1
