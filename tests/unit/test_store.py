"""Stores: the two modes, life and death, threads, forks, interrupts, the mapping, serving."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator

import pytest

import kvcore
from kvcore.cli.resp import Client
from tests.servers import SANITIZED


@pytest.fixture
def db() -> Iterator[kvcore.Store[bytes]]:
    with kvcore.open() as store:
        yield store


def in_a_process(code: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=timeout, check=False
    )


def wait_until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.002)


# --- the two modes ---


def test_private_stores_share_nothing() -> None:
    with kvcore.open() as one, kvcore.open() as two, kvcore.open(":memory:") as three:
        one["k"] = "v"
        assert len(two) == 0
        assert len(three) == 0


def test_stores_of_one_name_share_everything_until_the_last_is_closed() -> None:
    one = kvcore.open(shared="test-mode")
    two = kvcore.open("memory://test-mode")
    one["k"] = "v"
    assert two["k"] == b"v"
    one.close()
    assert two["k"] == b"v"
    two.close()
    with kvcore.open(shared="test-mode") as three:
        assert len(three) == 0


def test_other_names_are_other_stores() -> None:
    with kvcore.open(shared="a-name") as one, kvcore.open(shared="another") as two:
        one["k"] = "v"
        assert "k" not in two


@pytest.mark.parametrize("source", ["redis://localhost", "file:///tmp/x", ""])
def test_a_source_that_means_nothing_says_what_to_use(source: str) -> None:
    with pytest.raises(ValueError, match="open\\(\\) a private one"):
        kvcore.open(source)


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a name"):
        kvcore.open(shared="")


def test_config_of_a_shared_store_belongs_to_the_first() -> None:
    with kvcore.open(shared="configured", config={"maxmemory": "100mb"}) as one:
        assert one.execute("CONFIG", "GET", "maxmemory") == {b"maxmemory": b"104857600"}
        with pytest.raises(ValueError, match="open already"):
            kvcore.open(shared="configured", config={"maxmemory": "1"})


def test_a_wrong_option_is_an_error() -> None:
    with pytest.raises(kvcore.ResponseError):
        kvcore.open(config={"no-such-option": "1"})


def test_decode_responses() -> None:
    with kvcore.open(decode_responses=True) as db:
        db["k"] = "é"
        assert db["k"] == "é"
        assert db.execute("GET", "k") == "é"
        assert db.execute("PING") == "PONG"
        assert list(db) == ["k"]


def test_numbered_databases(db: kvcore.Store[bytes]) -> None:
    with db.database(3) as three:
        three["k"] = "3"
        assert "k" not in db
        with kvcore.open(db=3) as other:
            assert "k" not in other
        assert three["k"] == b"3"
    with pytest.raises(kvcore.ResponseError, match="DB index"):
        kvcore.open(db=16)


# --- life ---


def test_close_may_be_called_again_and_later_use_says_what_to_do(db: kvcore.Store[bytes]) -> None:
    assert not db.closed
    db.close()
    db.close()
    assert db.closed
    assert "closed" in repr(db)
    for use in (
        lambda: db["k"],
        lambda: db.execute("PING"),
        lambda: db.pubsub(),
        lambda: db.serve(),
        lambda: db.clock.now(),
        lambda: db.pipeline().execute_command("PING").execute(),
    ):
        with pytest.raises(kvcore.ClosedError, match=r"kvcore\.open\(\) gives a new one"):
            use()


def test_a_store_that_is_forgotten_is_freed() -> None:
    db = kvcore.open(shared="forgotten")
    db["k"] = "v"
    del db
    gc.collect()
    with kvcore.open(shared="forgotten") as again:
        assert "k" not in again


def test_closing_ends_a_blocked_call_of_another_thread(db: kvcore.Store[bytes]) -> None:
    outcome: list[BaseException] = []

    def block() -> None:
        try:
            db.execute("BLPOP", "nothing", 0)
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=block)
    thread.start()
    time.sleep(0.1)
    db.close()
    thread.join(2)
    assert not thread.is_alive()
    assert isinstance(outcome[0], kvcore.ClosedError)


def test_nothing_happens_at_import() -> None:
    done = in_a_process(
        """
        import sys, threading
        before = threading.active_count()
        import kvcore
        assert threading.active_count() == before
        for name in ("redis", "valkey", "asyncio", "pytest"):
            assert name not in sys.modules, name
        """
    )
    assert done.returncode == 0, done.stderr


def test_an_open_store_does_not_delay_the_interpreters_end() -> None:
    started = time.monotonic()
    done = in_a_process(
        """
        import kvcore, threading
        db = kvcore.open(); db["k"] = "v"; db.serve()
        threading.Thread(target=lambda: db.execute("BLPOP", "x", 0), daemon=True).start()
        """
    )
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started < 10


# --- words and replies ---


def test_execute_takes_words_and_gives_the_engines_reply(db: kvcore.Store[bytes]) -> None:
    assert db.execute("SET", "k", 1.5) == b"OK"
    assert db.execute(b"get", bytearray(b"k")) == b"1.5"
    assert db.execute("INCRBYFLOAT", "k", 1) == b"2.5"
    assert db.execute("OBJECT", "ENCODING", "k") == b"embstr"
    assert db.execute("GET", "absent") is None
    assert db.execute("SADD", "s", "a", memoryview(b"b")) == 2
    assert db.execute("SMEMBERS", "s") == {b"a", b"b"}
    assert db.execute("HSET", "h", "f", 1) == 1
    assert db.execute("HGETALL", "h") == {b"f": b"1"}
    assert db.execute("ZADD", "z", 1, "m") == 1
    assert db.execute("ZSCORE", "z", "m") == 1.0


@pytest.mark.parametrize("value", [None, True, {"a": 1}, ["a"], object()])
def test_a_value_of_another_type_is_refused(db: kvcore.Store[bytes], value: object) -> None:
    with pytest.raises(kvcore.DataError, match=type(value).__name__):
        db.execute("SET", "k", value)
    assert "k" not in db


def test_errors_are_raised(db: kvcore.Store[bytes]) -> None:
    db["k"] = "v"
    with pytest.raises(kvcore.ResponseError, match="WRONGTYPE"):
        db.execute("LPUSH", "k", "x")
    with pytest.raises(kvcore.ResponseError, match="unknown command"):
        db.execute("NONSENSE")
    with pytest.raises(kvcore.ResponseError, match="needs a command"):
        db.execute()


@pytest.mark.parametrize(
    "words", [("MULTI",), (b"watch", "k"), ("SUBSCRIBE", "c"), ("SELECT", 1), ("Monitor",), ("client", "reply", "off")]
)
def test_what_belongs_to_a_session_says_what_to_use(db: kvcore.Store[bytes], words: tuple[object, ...]) -> None:
    with pytest.raises(kvcore.ResponseError, match="belongs to one session; use"):
        db.execute(*words)


# --- the mapping ---


def test_mapping(db: kvcore.Store[bytes]) -> None:
    assert bool(db)
    assert len(db) == 0
    db["a"] = 1
    db[b"b"] = "two"
    assert db["a"] == b"1"
    assert "a" in db
    assert "c" not in db
    assert sorted(db) == [b"a", b"b"]
    assert len(db) == 2
    del db["a"]
    for use in (lambda: db["a"], lambda: db.__delitem__("a")):
        with pytest.raises(KeyError):
            use()


def test_iterating_gives_every_key_once(db: kvcore.Store[bytes]) -> None:
    names = {f"key:{number}".encode() for number in range(3000)}
    for name in names:
        db[name] = "x"
    seen = list(db)
    assert len(seen) == len(names)
    assert set(seen) == names


# --- threads ---


def test_one_store_from_many_threads(db: kvcore.Store[bytes]) -> None:
    def work() -> None:
        for _ in range(500):
            db.execute("INCR", "n")

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert db["n"] == b"3000"


def test_a_blocked_call_does_not_hold_the_others_up(db: kvcore.Store[bytes]) -> None:
    got: list[object] = []
    thread = threading.Thread(target=lambda: got.append(db.execute("BLPOP", "q", 10)))
    thread.start()
    time.sleep(0.05)
    started = time.monotonic()
    db.execute("RPUSH", "q", "job")
    thread.join(5)
    assert got == [[b"q", b"job"]]
    assert time.monotonic() - started < 0.5


def test_a_time_out_is_kept(db: kvcore.Store[bytes]) -> None:
    started = time.monotonic()
    assert db.execute("BLPOP", "q", 0.2) is None
    assert 0.18 < time.monotonic() - started < 1.0


@pytest.mark.parametrize("words", ['"BLPOP", "q", 0', '"BZPOPMIN", "z", 0', '"BLMOVE", "a", "b", "LEFT", "LEFT", 0'])
def test_ctrl_c_interrupts_a_blocked_call(words: str) -> None:
    code = f"""
        import kvcore, time
        db = kvcore.open()
        print("ready", flush=True)
        try:
            db.execute({words})
        except KeyboardInterrupt:
            print(time.time(), flush=True)
        db.execute("RPUSH", "q", "kept")       # nobody waits any more
        print(db.execute("LLEN", "q"))
    """
    delays = []
    for _ in range(3):  # the shortest counts: the others may have been held up by whatever else runs here
        process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.2)
        sent = time.time()
        process.send_signal(signal.SIGINT)
        delays.append(float(process.stdout.readline()) - sent)
        assert process.stdout.readline() == "1\n"
        assert process.wait(10) == 0
        if delays[-1] < 0.1:
            break
    assert min(delays) < 0.1, delays


# --- forks ---


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_child_is_told_and_the_parents_store_is_unharmed() -> None:
    done = in_a_process(
        """
        import os, kvcore
        db = kvcore.open(shared="forked"); db["k"] = "v"
        pid = os.fork()
        if pid == 0:
            try:
                db["k"]
            except kvcore.ForkedError as error:
                assert "open one in the child" in str(error), error
            else:
                os._exit(1)
            db.close(); db.close()
            own = kvcore.open(shared="forked")
            assert len(own) == 0
            own["k"] = "child"
            own.close()
            import sys; sys.exit(7)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 7, status
        assert db["k"] == b"v"
        """
    )
    assert done.returncode == 0, done.stderr


# --- the clock ---


def test_the_clock_can_be_stopped_and_moved(db: kvcore.Store[bytes]) -> None:
    with db.clock.frozen():
        db.execute("SET", "k", "v", "EX", 100)
        assert db.execute("TTL", "k") == 100
        db.clock.advance(99)
        assert db.execute("TTL", "k") == 1
        db.clock.advance(1)
        assert "k" not in db
    assert abs(db.clock.now() - time.time()) < 1
    db.clock.freeze(1_000_000_000)
    assert db.clock.now() == 1_000_000_000
    assert db.execute("TIME") == [b"1000000000", b"0"]
    db.clock.thaw()


# --- serving ---


def test_served_data_is_the_same_data(db: kvcore.Store[bytes]) -> None:
    with pytest.raises(kvcore.RedisError, match="serve"):
        _ = db.url
    url = db.serve(port=0)
    assert url == db.url == f"redis://127.0.0.1:{db.port}/0"
    with Client(url) as client:
        client.must("SET", "from", "outside")
        assert db["from"] == b"outside"
        db["to"] = "outside"
        assert client.must("GET", "to") == b"outside"
    with pytest.raises(kvcore.RedisError, match="already"):
        db.serve()


def test_a_unix_socket_and_a_password(db: kvcore.Store[bytes], tmp_path: object) -> None:
    path = f"{tmp_path}/s"
    db.serve(unix=path, password='s e"cret')
    assert os.stat(path).st_mode & 0o777 == 0o700
    with Client(f"unix://{path}") as client:
        assert isinstance(client.call("GET", "k"), kvcore.AuthenticationError)
        assert client.must("AUTH", 's e"cret') == b"OK"


def test_closing_frees_the_port(db: kvcore.Store[bytes]) -> None:
    url = db.serve()
    client = Client(url)
    db.close()
    with contextlib.suppress(OSError), pytest.raises(kvcore.ConnectionError):
        client.must("PING")
    client.close()
    with pytest.raises(OSError):
        Client(url)


def test_a_port_that_is_taken_is_an_error(db: kvcore.Store[bytes]) -> None:
    db.serve()
    with kvcore.open() as other, pytest.raises(OSError):
        other.serve(port=db.port)


@pytest.mark.skipif(SANITIZED, reason="sanitizers are slow and keep what was freed")
def test_opening_is_cheap() -> None:
    kvcore.open().close()
    started = time.perf_counter()
    for _ in range(50):
        kvcore.open().close()
    assert (time.perf_counter() - started) / 50 < 0.002


def test_stores_come_and_go_in_many_threads() -> None:
    """Opening, using and forgetting shared and private stores at once: nothing hangs, nothing crashes."""
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for number in range(60):
                store = kvcore.open(shared=f"churn-{number % 3}") if seed % 2 else kvcore.open()
                store.execute("INCR", "n")
                if number % 3:
                    store.close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert failures == []
    gc.collect()


@pytest.mark.skipif(SANITIZED, reason="sanitizers are slow and keep what was freed")
def test_opening_and_closing_leaks_neither_memory_nor_threads_nor_descriptors() -> None:
    def once() -> None:
        with kvcore.open() as store:
            store.serve()
            store["k"] = "v" * 1000
            with store.pubsub() as sub:
                sub.subscribe("c")

    def resident_kib() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024

    for _ in range(20):
        once()
    gc.collect()
    threads, descriptors, memory = threading.active_count(), len(os.listdir("/proc/self/fd")), resident_kib()
    for _ in range(100):
        once()
    gc.collect()
    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/task")) <= threads + 4
    assert len(os.listdir("/proc/self/fd")) <= descriptors
    assert resident_kib() - memory < 4096


def test_methods_that_belong_to_a_session_say_so_too(db: kvcore.Store[bytes]) -> None:
    for use in (
        lambda: db.select(1),
        lambda: db.quit(),
        lambda: db.reset(),
        lambda: db.client_reply("OFF"),
        lambda: db.client_tracking_on(),
    ):
        with pytest.raises(kvcore.ResponseError, match="belongs to one session; use"):
            use()


@pytest.mark.parametrize("number", [-1, 16, 300, 2**40])
def test_a_database_that_is_not_there(number: int) -> None:
    with kvcore.open() as db:
        with pytest.raises(kvcore.ResponseError, match="this store has 16 databases"):
            db.database(number)
        with pytest.raises(kvcore.ResponseError, match="this store has 16 databases"):
            kvcore.open(db=number)
        with db.database(15) as last:
            last["k"] = "v"
        assert "k" not in db


def test_the_number_of_databases_is_what_the_config_says() -> None:
    for config in ({"databases": 2}, {"databases": "2"}):
        with kvcore.open(config=config, db=1) as db:
            db["k"] = "v"
            with pytest.raises(kvcore.ResponseError, match="this store has 2 databases"):
                db.database(2)
        with pytest.raises(kvcore.ResponseError, match="this store has 2 databases"):
            kvcore.open(config=config, db=10)
    with kvcore.open(databases=40, db=39) as db:
        assert len(db) == 0
    with pytest.raises(TypeError, match="a database is a number"):
        kvcore.open(db="x")  # type: ignore[call-overload]
