"""Stores and the process around them: forks, the interpreter's end, signals, copies. Each in a process of its own."""

from __future__ import annotations

import copy
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

import kvcore
from tests.servers import SANITIZED

LIMIT_S = 0.1 + 0.05  # the promise for Ctrl-C, and something for a busy machine


def run(code: str, timeout: float = 60, *options: str) -> subprocess.CompletedProcess[str]:
    """The code ends by itself, with status 0 and nothing on stderr."""
    command = [sys.executable, *options, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.stderr == ""
    assert done.returncode == 0
    return done


# --- import ---


def test_importing_does_nothing_else() -> None:
    """No warnings, threads, files, signal handlers, or modules beyond the package's own front."""
    done = run(
        """
        import os, signal, sys
        handlers = [signal.getsignal(number) for number in signal.valid_signals()]
        files = set(os.listdir("/proc/self/fd"))
        import kvcore
        print(sorted(name for name in sys.modules if name.startswith("kvcore")))
        assert "cffi" not in sys.modules and "msgpack" not in sys.modules
        assert os.listdir("/proc/self/task") == [str(os.getpid())]
        assert set(os.listdir("/proc/self/fd")) == files
        import kvcore.store                                   # nor does loading the engine
        assert os.listdir("/proc/self/task") == [str(os.getpid())]
        assert set(os.listdir("/proc/self/fd")) == files
        assert handlers == [signal.getsignal(number) for number in signal.valid_signals()]
        for name in ("redis", "valkey", "hiredis", "asyncio", "pytest", "pickle", "multiprocessing"):
            assert name not in sys.modules, name
        """,
        60,
        *("-W", "error", "-I") if not sys.flags.dev_mode else (),
    )
    assert done.stdout.strip() == "['kvcore', 'kvcore._version']"


def test_names_of_the_package() -> None:
    assert set(dir(kvcore)) == set(kvcore.__all__)
    for name in kvcore.__all__:
        assert getattr(kvcore, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = kvcore.nonsense  # type: ignore[attr-defined]


# --- copies ---


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, pickle.dumps])
def test_what_cannot_be_copied_says_so(make: Any) -> None:
    with kvcore.open() as db:
        for thing in (db, db.pipeline(), db.pubsub()):
            with pytest.raises(TypeError, match="cannot be pickled or copied: "):
                make(thing)
        with pytest.raises(TypeError):
            make([db.pipeline()]) if make is not copy.copy else make(db)


def test_errors_can_be_pickled() -> None:
    with kvcore.open() as db:
        db["k"] = "v"
        with pytest.raises(kvcore.ResponseError) as caught:
            db.lpush("k", 1)
    again = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(again, kvcore.ResponseError)
    assert again.args == caught.value.args


# --- repr ---


def test_repr_never_fails() -> None:
    db = kvcore.open(shared="shown")
    db["k"] = "v"
    assert repr(db) == "<kvcore.Store shared 'shown', db 0, 1 keys, in memory only>"
    db.serve()
    assert repr(db).endswith(f"in memory only, {db.url}>")
    db.close()
    assert repr(db) == "<kvcore.Store shared 'shown', closed>"
    run(
        """
        import os, kvcore
        db = kvcore.open()
        pid = os.fork()
        if pid == 0:
            assert repr(db) == "<kvcore.Store private, of the parent process>", repr(db)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        """,
        60,
        *("-W", "ignore::DeprecationWarning"),
    )


# --- forks ---


@pytest.mark.skipif(SANITIZED, reason="the sanitizers' own allocator locks do not survive a fork of a threaded process")
@pytest.mark.parametrize("leave", ["os._exit(0)", "sys.exit(0)"])
def test_forking_under_load(leave: str) -> None:
    """Children of a thread, while other threads are inside the engine: each can open a store of its own and ends well;
    the parent's store goes on."""
    run(
        f"""
        import os, sys, threading, time, kvcore
        db = kvcore.open(shared="name"); db.rpush("l", *range(2000)); db.serve()
        done = threading.Event()
        def load():
            while not done.is_set():
                db.sort("l"); db.incr("n"); db.pipeline().incr("p").execute(); db.execute("BLPOP", "none", 0.001)
        def opens():
            while not done.is_set():
                kvcore.open(shared="other").close()
        def forks():
            for _ in range(8):
                pid = os.fork()
                if pid == 0:
                    try:
                        for use in (lambda: db.get("k"), lambda: db.pipeline().get("k").execute(), lambda: db.pubsub(),
                                    lambda: db.url, lambda: db.clock.now(), lambda: db.blpop("l", 0)):
                            try: use()
                            except kvcore.ForkedError as error: assert "open one in the child" in str(error)
                            else: os._exit(3)
                        db.close()
                        with kvcore.open(shared="name") as own:
                            own["k"] = "v"
                            assert len(own) == 1 and own.get("k") == b"v"
                            own.serve()
                    except BaseException as error:
                        print("child:", repr(error), file=sys.stderr)
                        os._exit(4)
                    {leave}
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                assert status == 0, status
        threads = [threading.Thread(target=work) for work in (load, load, opens)]
        for thread in threads: thread.start()
        forker = threading.Thread(target=forks); forker.start(); forker.join(40)
        assert not forker.is_alive()
        done.set()
        for thread in threads: thread.join(5)
        assert db.llen("l") == 2000
        """,
        90,
        *("-W", "ignore::DeprecationWarning"),
    )


WORKERS = """
    import multiprocessing, sys
    import kvcore
    from kvcore.cli.resp import Client

    db = None

    def through_the_handle(number):
        try:
            db.incr("n")
        except kvcore.ForkedError:
            return "forked"

    def through_the_socket(url):
        with Client(url) as client:
            return client.must("INCR", "n")

    if __name__ == "__main__":
        context = multiprocessing.get_context(sys.argv[1])
        db = kvcore.open()
        url = db.serve()
        with context.Pool(2) as pool:
            if sys.argv[1] == "fork":
                assert pool.map(through_the_handle, range(4)) == ["forked"] * 4
            assert sorted(pool.map(through_the_socket, [url] * 10)) == list(range(1, 11))
            try:
                pool.apply(through_the_handle, (db,))
            except TypeError as error:
                assert "connects to db.serve()'s url" in str(error), error
            else:
                raise SystemExit("a store was pickled")
        assert db.get("n") == b"10"
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(tmp_path: Path, method: str) -> None:
    script = tmp_path / "workers.py"
    script.write_text(textwrap.dedent(WORKERS))
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", str(script), method],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr


# --- the interpreter's end ---


@pytest.mark.parametrize(
    "code",
    [
        "pass",
        "db.serve()",
        "pipe = db.pipeline(); pipe.watch('k'); pipe.multi(); pipe.get('k')",
        "sub = db.pubsub(); sub.subscribe('c')",
        "names = db.scan_iter(); next(names)",
        "view = db.database(1); me = [view]; me.append(me)",
        "lock = db.lock('lock'); lock.acquire()",
        "start(lambda: db.blpop('none', 0))",
        "start(lambda: db.database(2).blpop('none', 0))",
        "start(lambda: [db.sort('l') for _ in range(10**9)])",
        "start(lambda: [db.pipeline().get('k').execute() for _ in range(10**9)])",
        "sub = db.pubsub(); sub.subscribe(c=print); sub.run_in_thread(daemon=True)",
        "start(lambda: [kvcore.open().serve() for _ in range(10**9)])",
        "import atexit; atexit.register(lambda: db.closed or db.get('k'))",
        "import atexit; atexit.register(db.close); db.close()",
        "import sys; sys.modules['kvcore.kept'] = db",
    ],
)
def test_the_interpreter_ends_whatever_is_open(code: str) -> None:
    started = time.monotonic()
    run(
        f"""
        import kvcore, threading, time
        db = kvcore.open(); db["k"] = "v"; db.rpush("l", *range(3000))
        def start(work):
            def quietly():
                try: work()
                except kvcore.RedisError: pass
            threading.Thread(target=quietly, daemon=True).start()
            time.sleep(0.05)
        {code}
        """
    )
    assert time.monotonic() - started < 15


# --- signals ---

WAITS = {
    "blpop": "db.blpop('none', 0)",
    "blpop with a time": "db.blpop(['none', 'none2'], 30)",
    "execute": "db.execute('BZPOPMIN', 'none', 0)",
    "view": "db.database(2).brpop('none')",
    "get_message": "sub.get_message(timeout=None)",
    "listen": "next(sub.listen())",
    "lock": "db.lock('taken').acquire()",
    "paused": "other.execute('CLIENT', 'PAUSE', 60000, 'ALL'), db.set('k', 1)",
    "sort": "[db.sort('l', alpha=True) for _ in range(100000)]",
    "pipelines": "[db.pipeline(False).sort('l').sort('l').execute() for _ in range(100000)]",
}


def start_waiting(wait: str, handler: str, after: str) -> subprocess.Popen[str]:
    code = f"""
        import signal, sys, time, kvcore
        db = kvcore.open(shared="signals"); other = kvcore.open(shared="signals")
        db.rpush("l", *range(5000)); db.set("taken", "by another")
        sub = db.pubsub(); sub.subscribe("c"); sub.get_message()
        {handler}
        print("ready", flush=True)
        try:
            {wait}
        except BaseException as error:
            print(time.time(), type(error).__name__, flush=True)
        {after}
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.15)
    return process


@pytest.mark.parametrize("kind", WAITS)
def test_ctrl_c_ends_a_wait_in_time(kind: str) -> None:
    after = "db.execute('CLIENT', 'UNPAUSE'); db.rpush('none', 'kept'); print(db.llen('none'), flush=True)"
    with start_waiting(WAITS[kind], "", after) as process:
        assert process.stdout is not None
        sent = time.time()
        process.send_signal(signal.SIGINT)
        noticed, _, name = process.stdout.readline().partition(" ")
        assert name == "KeyboardInterrupt\n"
        assert float(noticed) - sent < LIMIT_S
        assert process.stdout.readline() == "1\n"  # nobody waits any more, and the store works
        assert process.wait(10) == 0


def test_another_signals_exception_is_raised_as_it_is() -> None:
    handler = "def out(*_): raise LookupError('time is up')\n        signal.signal(signal.SIGALRM, out)"
    with start_waiting("db.blpop('none', 0)", handler, "") as process:
        assert process.stdout is not None
        process.send_signal(signal.SIGALRM)
        assert process.stdout.readline().partition(" ")[2] == "LookupError\n"
        assert process.wait(10) == 0


def test_a_handler_that_raises_nothing_does_not_end_the_wait() -> None:
    handler = "signal.signal(signal.SIGUSR1, lambda *_: other.rpush('none', 'by the handler'))"
    wait = "print(db.blpop('none', 20), flush=True)"
    with start_waiting(wait, handler, "") as process:
        assert process.stdout is not None
        process.send_signal(signal.SIGUSR1)
        assert process.stdout.readline() == "(b'none', b'by the handler')\n"
        assert process.wait(10) == 0


def test_signals_in_a_storm_of_hand_overs() -> None:
    """Exceptions out of signal handlers and jobs from another thread, at the same moments: no crash, no hang, and the
    store is sound afterwards."""
    run(
        """
        import signal, threading, kvcore
        class Alarm(Exception): pass
        def out(*_): raise Alarm
        db = kvcore.open()
        done = False
        def push():
            number = 0
            while not done:
                db.rpush("q", number); number += 1
        signal.signal(signal.SIGALRM, out)
        thread = threading.Thread(target=push)
        got = alarms = 0
        try:
            thread.start()
        except Alarm:
            pass
        for _ in range(400):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.001)
                while True:
                    if db.blpop("q", 1) is None: break
                    got += 1
                    if got % 50 == 0: db.delete("q")
            except Alarm:
                alarms += 1
        try:
            signal.setitimer(signal.ITIMER_REAL, 0)
        except Alarm:
            pass
        done = True
        thread.join()
        assert alarms > 300 and got > 0, (alarms, got)
        db.delete("q")
        assert db.blpop("q", 0.01) is None
        assert db.info("clients")["blocked_clients"] == 0
        """,
        60,
    )
