"""Stores in files as a Python program has them: what survives what, who may open what, views, errors."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import kvcore
from tests import servers
from tests.persist import values

LEVELS = ("none", "snapshot", "everysec", "always")


def python(code: str, *arguments: object, wait: bool = True) -> subprocess.Popen[str]:
    """A Python of its own that runs this code."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if wait:
        out, error = process.communicate(timeout=60)
        process.stdout_text, process.stderr_text = out, error  # type: ignore[attr-defined]
    return process


def contents(db: kvcore.Store[bytes]) -> dict[bytes, Any]:
    """Everything in database 0, in a form that can be compared."""
    found: dict[bytes, Any] = {}
    for key in db:
        kind = db.type(key)
        kind = kind.decode() if isinstance(kind, bytes) else kind
        value: Any = {
            "string": lambda key=key: db.get(key),
            "list": lambda key=key: db.lrange(key, 0, -1),
            "set": lambda key=key: db.smembers(key),
            "zset": lambda key=key: db.zrange(key, 0, -1, withscores=True),
            "hash": lambda key=key: db.hgetall(key),
        }[kind]()
        found[key] = (kind, value, db.pexpiretime(key))
    return found


def fill(db: kvcore.Store[bytes], seed: int) -> None:
    for kind, maker in values.MAKERS.items():
        for words in maker(random.Random(f"{kind}{seed}"), f"{kind}:{seed}"):
            db.execute(*words)


# --- life ---


@pytest.mark.parametrize("durability", LEVELS)
def test_all_types_are_there_again(tmp_path: Path, durability: Any) -> None:
    path = tmp_path / "app.kv"
    with kvcore.open(path, durability=durability) as db:
        for seed in range(4):
            fill(db, seed)
        db.set("expiring", "x", px=10**9)
        db.hset("fields", "a", "1")
        db.hpexpire("fields", 10**9, "a")
        db.execute("COPY", "string:1", "moved", "DB", 3)
        before, timed = contents(db), db.hpexpiretime("fields", "a")
        if durability == "none":
            db.flush()
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["app.kv"]
    with kvcore.open(path) as db:
        assert contents(db) == before
        assert db.hpexpiretime("fields", "a") == timed
        with db.database(3) as other:
            assert other.get("moved") == db.get("string:1")


def test_what_a_store_says_about_itself(tmp_path: Path) -> None:
    path = tmp_path / "app.kv"
    with kvcore.open(str(path), durability="always") as db:
        assert (db.path, db.durability) == (path.resolve(), "always")
        assert "app.kv" in repr(db)
        assert "always" in repr(db)
    with kvcore.open(path) as db:
        assert db.durability == "everysec"
    with kvcore.open(path, readonly=True) as db:
        assert db.durability == "readonly"
        assert "read only" in repr(db)
    with kvcore.open() as db:
        assert (db.path, db.durability) == (None, "memory")
        db.flush()
        with pytest.raises(kvcore.DurabilityError, match="memory"):
            db.compact()


@pytest.mark.parametrize(
    "arguments",
    [
        {"durability": "everysec"},
        {"readonly": True},
        {"progress": print},
        {"source": "x.kv", "durability": "sometimes"},
        {"source": "x.kv", "durability": "none", "readonly": True},
        {"source": "x.kv", "shared": "name"},
        {"source": "redis://localhost"},
        {"source": ""},
    ],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"open\("):
        kvcore.open(**arguments)


def test_one_store_a_path_in_a_process(tmp_path: Path) -> None:
    path, link = tmp_path / "app.kv", tmp_path / "link.kv"
    first = kvcore.open(path)
    link.symlink_to(path)
    with kvcore.open(link, decode_responses=True) as second:
        first.set("k", "v")
        assert second.get("k") == "v"
        assert second.path == first.path
        with pytest.raises(ValueError, match="durability 'everysec'"):
            kvcore.open(path, durability="always")
        with pytest.raises(ValueError, match="config"):
            kvcore.open(path, config={"maxmemory": "1gb"})
        first.close()
        assert second.get("k") == "v"
    with kvcore.open(path, durability="always") as db:
        assert db.get("k") == b"v"


def test_a_hard_link_is_not_another_file(tmp_path: Path) -> None:
    with kvcore.open(tmp_path / "app.kv") as db:
        db.set("k", "v")
        os.link(tmp_path / "app.kv", tmp_path / "other.kv")
        with pytest.raises(kvcore.LockedError):
            kvcore.open(tmp_path / "other.kv")


def test_threads_that_open_at_once_share(tmp_path: Path) -> None:
    stores: list[Any] = []

    def run(number: int) -> None:
        for _ in range(10):
            with kvcore.open(tmp_path / "app.kv") as db:
                db.incr("n")
        stores.append(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores) == 6
    with kvcore.open(tmp_path / "app.kv") as db:
        assert db.get("n") == b"60"


# --- other processes ---

HOLD = """
    import sys, kvcore
    db = kvcore.open(sys.argv[1])
    db.set("k", "v")
    db.flush()
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_another_process_is_named(tmp_path: Path) -> None:
    path = tmp_path / "app.kv"
    holder = python(HOLD, path, wait=False)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        with pytest.raises(kvcore.LockedError, match=f"process {holder.pid}") as caught:
            kvcore.open(path)
        assert (caught.value.pid, caught.value.path) == (holder.pid, str(path.resolve()))
        again = pickle.loads(pickle.dumps(caught.value))
        assert (again.pid, again.path, str(again)) == (holder.pid, caught.value.path, str(caught.value))
        with kvcore.open(path, readonly=True) as db:  # what is in the file can be read meanwhile
            assert db.get("k") == b"v"
            with pytest.raises(kvcore.ReadOnlyError):
                db.set("k", "w")
    finally:
        holder.kill()
        holder.wait()
    with kvcore.open(path) as db:  # a lock dies with its holder
        assert db.get("k") == b"v"


WRITE = """
    import sys, kvcore
    db = kvcore.open(sys.argv[1], durability=sys.argv[2])
    n = 0
    while True:
        n += 1
        with db.pipeline(transaction=True) as pipe:
            pipe.set("a", n).rpush("l", n).hset("h", f"f{n % 7}", n).set("b", n)
            pipe.execute()
        if n % 50 == 0 and sys.argv[3] == "compact":
            db.compact()
        if n % 20 == 0 and sys.argv[3] == "flush":
            db.flush()
        print(n, flush=True)
"""


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("durability", "also"),
    [
        ("always", ""),
        ("always", "compact"),
        ("everysec", ""),
        ("everysec", "flush"),
        ("everysec", "compact"),
        ("snapshot", "flush"),
    ],
)
def test_kill_leaves_a_prefix(tmp_path: Path, durability: str, also: str, seed: int) -> None:
    """What is there after kill -9 is what the program had done at some moment: with "always" no acknowledged write is
    missing, nor after flush() with the others; of "everysec" the system has all that was written before."""
    path = tmp_path / "app.kv"
    writer = python(WRITE, path, durability, also, wait=False)
    assert writer.stdout is not None
    until = random.Random(f"{durability}{also}{seed}").randrange(60, 300)
    for line in writer.stdout:
        if int(line) >= until:
            break
    writer.send_signal(signal.SIGKILL)
    acknowledged = until
    for line in writer.stdout:
        if line.endswith("\n"):
            acknowledged = int(line)
    writer.wait()
    with kvcore.open(path) as db:
        last = int(db.get("a") or 0)
        assert int(db.get("b") or 0) == last
        assert db.lrange("l", 0, -1) == [b"%d" % n for n in range(1, last + 1)]
        assert db.hgetall("h") == {b"f%d" % (n % 7): b"%d" % n for n in range(max(1, last - 6), last + 1)}
        if durability == "always":
            assert last >= acknowledged
        if also == "flush":
            assert last >= acknowledged // 20 * 20


@pytest.mark.parametrize(
    "end",
    [
        "pass",
        "raise RuntimeError('x')",
        "sys.exit(3)",
        "db.pubsub().subscribe('c'); keep = db.pipeline()",
        "del db",
        "1 / 0",
    ],
)
@pytest.mark.parametrize("durability", ["snapshot", "everysec", "always"])
def test_an_ordinary_end_loses_nothing(tmp_path: Path, end: str, durability: str) -> None:
    code = f"""
        import sys, kvcore
        db = kvcore.open(sys.argv[1], durability="{durability}")
        for n in range(1000):
            db.set(f"k{{n}}", n)
        {end}
    """
    python(code, tmp_path / "app.kv")
    with kvcore.open(tmp_path / "app.kv") as db:
        assert len(db) == 1000


def test_a_child_has_no_part_in_its_parents_file(tmp_path: Path) -> None:
    path = tmp_path / "app.kv"
    code = """
        import os, sys, time, kvcore
        db = kvcore.open(sys.argv[1])
        db.set("k", "parent")
        ours, theirs = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                db.set("k", "child")
            except kvcore.ForkedError:
                print("forked", flush=True)
            for call in (db.flush, db.compact, lambda: db.snapshot(sys.argv[1] + ".x"), lambda: db.view().__enter__()):
                try:
                    call()
                except kvcore.ForkedError:
                    print("forked", flush=True)
            db.close()
            try:
                kvcore.open(sys.argv[1])
            except kvcore.LockedError as error:
                print("locked by parent", error.pid == os.getppid(), flush=True)
            os.write(theirs, b".")
            sys.stdin.read()
            sys.exit(0)
        os.read(ours, 1)
        db.set("k2", "parent")
        print("parent ends", flush=True)
        os._exit(0) if sys.argv[2] == "abrupt" else sys.exit(0)
    """
    for ending in ("orderly", "abrupt"):
        parent = python(code, path, ending, wait=False)
        try:
            assert parent.stdout is not None
            said = [parent.stdout.readline() for _ in range(7)]
            assert said == ["forked\n"] * 5 + ["locked by parent True\n", "parent ends\n"]
            parent.wait(20)
            with kvcore.open(path) as db:  # the child still lives: it does not hold the lock
                assert db.get("k") == b"parent"
        finally:
            assert parent.stdin is not None
            parent.stdin.close()
            parent.wait(20)


def test_a_program_that_uses_multiprocessing(tmp_path: Path) -> None:
    with kvcore.open(tmp_path / "app.kv") as db:
        db.set("k", "v")
        process = multiprocessing.get_context("fork").Process(target=db.get, args=("k",))
        process.start()
        process.join(20)
        assert process.exitcode == 1
        db.set("k", "w")
    with kvcore.open(tmp_path / "app.kv") as db:
        assert db.get("k") == b"w"


def test_what_a_killed_compaction_left_goes_at_the_next_open(tmp_path: Path) -> None:
    path = tmp_path / "app.kv"
    with kvcore.open(path) as db:
        db.set("k", "v")
        before = {entry.name for entry in tmp_path.iterdir()}
        db.compact()
    left = tmp_path / "app.kv.tmp"
    left.write_bytes(b"half of a snapshot")
    with kvcore.open(path, readonly=True) as db:
        assert db.get("k") == b"v"
    assert left.exists()  # who only reads removes nothing
    with kvcore.open(path) as db:
        assert db.get("k") == b"v"
    assert {entry.name for entry in tmp_path.iterdir()} <= before


# --- damage ---


def test_a_torn_end_is_cut_off_at_any_byte(tmp_path: Path) -> None:
    path = tmp_path / "app.kv"
    with kvcore.open(path, durability="always") as db:
        for n in range(1, 6):
            db.set("n", n)
    whole = path.read_bytes()
    seen = set()
    for cut in range(1, 150):
        path.write_bytes(whole[:-cut])
        with kvcore.open(path, readonly=True) as db:
            seen.add(int(db.get("n") or 0))
        with kvcore.open(path) as db:
            last = int(db.get("n") or 0)
            db.set("after", "x")
        with kvcore.open(path) as db:
            assert int(db.get("n") or 0) == last
            assert db.get("after") == b"x"
    assert max(seen) == 5
    assert min(seen) < 5


def test_damage_is_refused_and_nothing_is_changed(tmp_path: Path) -> None:
    path = tmp_path / "app.kv"
    with kvcore.open(path) as db:
        db.set("k", random.Random(1).randbytes(1000))
        db.compact()
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    for readonly in (False, True):
        with pytest.raises(kvcore.CorruptError, match="checksum") as caught:
            kvcore.open(path, readonly=readonly)
        assert caught.value.offset is not None
    assert path.read_bytes() == raw
    assert [entry.name for entry in tmp_path.iterdir()] == ["app.kv"]


def test_what_is_not_there_or_not_ours(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        kvcore.open(tmp_path / "absent.rdb", readonly=True)
    with pytest.raises((FileNotFoundError, OSError)):
        kvcore.open(tmp_path / "absent" / "app.kv")
    (tmp_path / "text.kv").write_text("a text\n")
    with pytest.raises(kvcore.FileError):
        kvcore.open(tmp_path / "text.kv")
    assert (tmp_path / "text.kv").read_text() == "a text\n"


# --- progress ---


def big(path: Path) -> Path:
    with kvcore.open(path, durability="snapshot") as db, db.pipeline(transaction=False) as pipe:
        for n in range(30_000):
            pipe.set(f"key:{n}", "x" * 100)
        pipe.execute()
    return path


def test_progress_is_told_and_gives_up(tmp_path: Path) -> None:
    path = big(tmp_path / "app.kv")
    told: list[tuple[str, int, int]] = []
    with kvcore.open(path, progress=lambda *step: told.append(step)) as db:
        assert len(db) == 30_000
        assert told
        assert all(step == "load" and 0 <= done <= total for step, done, total in told)
        with pytest.raises(KeyError):
            db.snapshot(tmp_path / "x.rdb", progress=lambda *step: {}["no"])
        with pytest.raises(kvcore.DurabilityError):
            db.compact(progress=lambda *step: False)
        assert not (tmp_path / "x.rdb").exists()
        assert len(db) == 30_000

    def interrupt(*step: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kvcore.open(path, progress=interrupt)
    with pytest.raises(kvcore.FileError, match="given up"):
        kvcore.open(path, progress=lambda *step: False)
    with kvcore.open(path) as db:
        assert len(db) == 30_000


# --- snapshots, views ---


@pytest.mark.parametrize("where", ["memory", "file"])
def test_a_view_is_one_moment(tmp_path: Path, where: str) -> None:
    with kvcore.open(tmp_path / "app.kv") if where == "file" else kvcore.open() as db:
        stop = threading.Event()

        def write() -> None:
            n = 0
            while not stop.is_set():
                n += 1
                with db.pipeline(transaction=True) as pipe:
                    pipe.set("a", n).set("b", n).rpush("l", n)
                    pipe.execute()

        thread = threading.Thread(target=write)
        thread.start()
        try:
            for _ in range(10):
                with db.view() as view:
                    a, b, items = view.get("a"), view.get("b"), view.llen("l")
                    assert a == b
                    assert int(a or 0) == items
                    with pytest.raises(kvcore.ReadOnlyError):
                        view.set("a", 0)
                    time.sleep(0.01)
                    assert (view.get("a"), view.llen("l")) == (a, items)
                assert view.closed
        finally:
            stop.set()
            thread.join()


def test_in_a_view_time_stands_still() -> None:
    with kvcore.open() as db:
        db.set("k", "v", px=60)
        with db.view() as view:
            time.sleep(0.1)
            assert db.get("k") is None
            assert view.get("k") == b"v"


@pytest.mark.peer
def test_valkey_loads_snapshots_and_the_file_itself(tmp_path: Path) -> None:
    with kvcore.open(tmp_path / "app.kv") as db:
        fill(db, 1)
        db.snapshot(tmp_path / "one.rdb")
        with pytest.raises(ValueError, match="compact"):
            db.snapshot(tmp_path / "app.kv")
        db.compact()
        db.set("later", "x")
        db.rpush("list:1", "later")
        wanted = len(db)
    for name, more, keys in (
        ("one.rdb", ("--dbfilename", "one.rdb"), wanted - 1),
        ("app.kv", ("--appendonly", "yes"), wanted),
    ):
        folder = tmp_path / f"server-{name}"
        folder.mkdir()
        shutil.copy(tmp_path / name, folder / ("one.rdb" if name == "one.rdb" else "appendonly.aof"))
        server = servers.start_peer("valkey-server", "--dir", str(folder), *more)
        try:
            with server.connect() as connection:
                while connection.call("DBSIZE").kind == b"-":
                    time.sleep(0.01)
                assert connection.must("DBSIZE").plain() == keys
        finally:
            server.stop()


@pytest.mark.peer
def test_a_file_of_valkey_is_opened(tmp_path: Path, valkey_server: servers.Server) -> None:
    with valkey_server.connect() as connection:
        connection.must("FLUSHALL")
        for kind, maker in values.MAKERS.items():
            for words in maker(random.Random(kind), kind):
                connection.must(*words)
        connection.must("SAVE")
        folder = connection.must("CONFIG", "GET", "dir").plain()
        assert isinstance(folder, list)
        found = Path(os.fsdecode(folder[1])) / "dump.rdb"
        with kvcore.open(found, readonly=True, config={"enable-debug-command": "yes"}) as db:
            for kind in values.MAKERS:
                assert db.dump(kind) is not None
                assert connection.must("DEBUG", "DIGEST-VALUE", kind).plain() == db.execute(
                    "DEBUG", "DIGEST-VALUE", kind
                )
        found.unlink()


# --- against a model ---

KEYS = st.sampled_from(["a", "b", "c"])
WORDS = st.sampled_from([b"", b"1", b"-7", b"x", b"\xff\x00", b"word" * 30])


class Reopened(RuleBasedStateMachine):
    """Random commands on a file and on a store in memory, which must agree after every reopening."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp(prefix="kvcore-model-")
        self.model = kvcore.open()
        self.durability: Any = "everysec"

    @initialize(durability=st.sampled_from(["snapshot", "everysec", "always"]))
    def begin(self, durability: Any) -> None:
        self.durability = durability
        self.db = kvcore.open(os.path.join(self.folder, "app.kv"), durability=durability)

    def both(self, *words: Any) -> None:
        outcomes = []
        for store in (self.db, self.model):
            try:
                outcomes.append(store.execute(*words))
            except kvcore.ResponseError as error:
                outcomes.append(str(error))
        assert outcomes[0] == outcomes[1]

    @rule(
        key=KEYS,
        word=WORDS,
        other=WORDS,
        name=st.sampled_from(["SET", "APPEND", "RPUSH", "LPUSH", "SADD", "SREM", "HDEL", "GETSET", "ZREM"]),
    )
    def one(self, key: str, word: bytes, other: bytes, name: str) -> None:
        self.both(name, key, word)

    @rule(key=KEYS, word=WORDS, other=WORDS, number=st.integers(-3, 3))
    def two(self, key: str, word: bytes, other: bytes, number: int) -> None:
        self.both("HSET", key, word, other)
        self.both("ZADD", key, number, word)
        self.both("ZINCRBY", key, number, other)
        self.both("LSET", key, number, word)

    @rule(key=KEYS, name=st.sampled_from(["DEL", "INCR", "LPOP", "RPOP", "PERSIST", "ZPOPMIN", "GETDEL"]))
    def none(self, key: str, name: str) -> None:
        self.both(name, key)

    @rule(key=KEYS, to=KEYS, name=st.sampled_from(["RENAME", "COPY", "SUNIONSTORE", "LMOVE"]))
    def across(self, key: str, to: str, name: str) -> None:
        self.both(name, key, to, *(("LEFT", "RIGHT") if name == "LMOVE" else ()))

    @rule(key=KEYS, word=WORDS)
    def timed(self, key: str, word: bytes) -> None:
        self.both("PEXPIREAT", key, 33_000_000_000_000)
        self.both("HPEXPIREAT", key, 33_000_000_000_000, "FIELDS", 1, word)

    @rule(keys=st.lists(KEYS, min_size=1), word=WORDS)
    def at_once(self, keys: list[str], word: bytes) -> None:
        for store in (self.db, self.model):
            with store.pipeline(transaction=True) as pipe:
                for key in keys:
                    pipe.execute_command("RPUSH", key, word)
                pipe.execute(raise_on_error=False)

    @rule(how=st.sampled_from(["close", "compact", "flush"]))
    def reopen(self, how: str) -> None:
        if how == "close":
            self.db.close()
            self.db = kvcore.open(os.path.join(self.folder, "app.kv"), durability=self.durability)
        else:
            getattr(self.db, how)()
        self.agree()

    @rule()
    def flushall(self) -> None:
        self.both("FLUSHALL")

    @precondition(lambda self: hasattr(self, "db"))
    @invariant()
    def agree(self) -> None:
        assert contents(self.db) == contents(self.model)

    def teardown(self) -> None:
        if hasattr(self, "db"):
            before = contents(self.model)
            self.db.close()
            with kvcore.open(os.path.join(self.folder, "app.kv")) as db:
                assert contents(db) == before
        self.model.close()
        shutil.rmtree(self.folder)


TestReopened = Reopened.TestCase
TestReopened.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
