"""The store: what `kvcore.open()` gives.

A `Store` is a view of an engine: a numbered database and a choice of bytes or str. It may be used from any thread.
Each call borrows a session of the engine from a stack of idle ones, so a single thread always runs on the same one
and threads never share one. What needs a session of its own (pipelines, subscriptions) takes one.
"""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, TypeVar, overload

from kvcore import _engine
from kvcore._engine import Engine, Opening, Progress, Session
from kvcore._native import fast
from kvcore.clock import Clock
from kvcore.commands import Commands
from kvcore.errors import RedisError, ResponseError, WatchError, make
from kvcore.lock import Lock
from kvcore.pipeline import Outcome, Pipeline, run_pipeline
from kvcore.pubsub import PubSub

__all__ = ["Durability", "Store", "open"]

Text = TypeVar("Text", bytes, str)
Shape = Callable[[Any], Any] | None
Result = TypeVar("Result")
Durability = Literal["none", "snapshot", "everysec", "always"]

# Commands whose effect belongs to one session, which a call on a store does not keep. What to use instead:
SESSION_COMMANDS = {
    "MULTI": "pipeline() or transaction()",
    "EXEC": "pipeline() or transaction()",
    "DISCARD": "pipeline()",
    "WATCH": "pipeline().watch() or transaction()",
    "UNWATCH": "pipeline().unwatch()",
    "SUBSCRIBE": "pubsub()",
    "PSUBSCRIBE": "pubsub()",
    "SSUBSCRIBE": "pubsub()",
    "UNSUBSCRIBE": "pubsub()",
    "PUNSUBSCRIBE": "pubsub()",
    "SUNSUBSCRIBE": "pubsub()",
    "SELECT": "open(db=N) or database(N)",
    "MONITOR": "a client on db.serve()",
    "HELLO": "open(decode_responses=...)",
    "RESET": "a new open()",
    "QUIT": "close()",
    "CLIENT REPLY": "pipeline()",
    "CLIENT TRACKING": "a client on db.serve()",
}


def _name(word: Any) -> str:
    return (word.decode(errors="replace") if isinstance(word, bytes) else str(word)).upper()


def _session_only(name: str) -> RedisError:
    return make(ResponseError, f"{name} belongs to one session; use {SESSION_COMMANDS[name]}")


if TYPE_CHECKING:
    from pathlib import Path

if TYPE_CHECKING or fast is None:

    class Door:
        """The methods that applications call in loops, in C: binding/fast.c. It passes what it cannot take to
        `_wide_`."""

        def _attach(self, pool: Any) -> None:
            """Calls go through this pool from now on."""

        def _fast_run(self, words: Sequence[Any]) -> Any:
            return self._wide_run(words)

        def _wide_run(self, words: Sequence[Any]) -> Any:
            raise NotImplementedError

else:
    Door = fast.Door


class Store(Door, Commands[Text], Generic[Text]):
    """A key-value store. Made by `kvcore.open()`; close it, or use it as a context manager."""

    def __init__(self, engine: Engine, db: int, encoding: str | None, errors: str) -> None:
        self._engine = engine
        self._db = db
        self._encoding = encoding
        self._errors = errors
        self._idle: list[Session] = []
        self._closed = False
        self._clock = Clock(engine)
        engine.retain()
        self._pool = engine.pool(db, encoding, errors)
        if self._pool is not None:
            self._attach(self._pool)
        self._finish: Any = weakref.finalize(self, _engine.give_up, engine, self._idle, self._pool)

    # --- life ---

    def close(self) -> None:
        """Give the store up. A private store's data is gone; a shared one's, with its last user. One in a file is
        written and synced by its last user, as its durability says. May be called again.

        Raises DurabilityError when the file could not be written: what was done since it was last synced may be lost.
        """
        self._closed = True
        self._finish()

    @property
    def closed(self) -> bool:
        """Was it closed?"""
        return self._closed

    def __enter__(self) -> Store[Text]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        opening = self._engine.opening
        if opening is not None:
            name = f"{opening.path!r}, {'read only' if opening.readonly else f'durability {opening.durability!r}'}"
        else:
            name = f"shared {self._engine.name!r}" if self._engine.name else "private"
        try:
            size = f"db {self._db}, {len(self)} keys{', in memory only' if opening is None else ''}"
            served = f", {self.url}" if self._engine.address else ""
        except RedisError:
            size, served = "of the parent process" if self._engine.forked else "closed", ""
        return f"<kvcore.Store {name}, {size}{served}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(
            "a store cannot be pickled or copied: another process opens its own or connects to db.serve()'s url; here, "
            "use the same object, or a second view of a shared store with kvcore.open(shared=...)"
        )

    @property
    def decode_responses(self) -> bool:
        """Are replies str rather than bytes?"""
        return self._encoding is not None

    @property
    def clock(self) -> Clock:
        """The time that this store goes by."""
        return self._clock

    def database(self, number: int) -> Store[Text]:
        """The same store's numbered database `number`; to be closed like any other."""
        engine = self._engine.checked()
        return Store(engine, engine.checked_db(number), self._encoding, self._errors)

    # --- files ---

    @property
    def path(self) -> Path | None:
        """The file that this store lives in, links followed; None: in memory only."""
        from pathlib import Path

        opening = self._engine.opening
        return None if opening is None else Path(opening.path)

    @property
    def durability(self) -> str:
        """When writes reach the disk: "none", "snapshot", "everysec" or "always" as given to open(); "memory" for a
        store without a file, "readonly" for one that is only read."""
        opening = self._engine.opening
        if opening is None:
            return "memory"
        return "readonly" if opening.readonly else opening.durability

    def flush(self) -> None:
        """Wait until everything that was done before this call is on the disk, whatever the durability. With "none"
        and "snapshot" this writes the whole file anew: O(data); else O(what is not on the disk yet). Nothing to do
        for a store in memory.

        Raises DurabilityError: it could not be written; what was on the disk before still is.
        """
        self._engine.flush()

    def snapshot(self, path: str | os.PathLike[str], progress: Progress | None = None) -> None:
        """Write the state of this moment, all databases, to an RDB file that Valkey and Redis load too. Others go on
        reading and writing meanwhile. The file appears when it is complete, in the place of an older one. O(data).

        `progress(step, done, total)` is called now and then in this thread; False gives up.
        Raises DurabilityError: it could not be written, or was given up; an older file is as it was.
        """
        target = os.path.abspath(os.fspath(path))
        opening = self._engine.opening
        if opening is not None and not opening.readonly and os.path.realpath(target) == opening.path:
            raise ValueError(f"snapshot({target!r}): this is the store's own file; compact() rewrites it")
        self._engine.snapshot(target, progress)

    def compact(self, progress: Progress | None = None) -> None:
        """Rewrite the store's file: a snapshot of now takes the place of the old one and its log. Others go on
        meanwhile, and their writes are kept. Done by itself when the log has grown; O(data).

        `progress(step, done, total)` is called now and then in this thread; False gives up.
        Raises DurabilityError: it could not be written, or was given up; the old file goes on; or there is none.
        """
        self._engine.compact(progress)

    @contextmanager
    def view(self) -> Iterator[Store[Text]]:
        """All databases as they are at one moment, to be read while writes go on: `with db.view() as v: v.get("k")`.
        It is a store of its own that refuses writes, and whose clock stands still.

        The cost is that of a copy: a snapshot into a temporary file, loaded into memory of its own. O(data) time and
        memory, at the beginning of the block; afterwards reading costs nothing extra and disturbs nobody.
        """
        import tempfile

        moment_us = self._engine.clock_us()
        with tempfile.TemporaryDirectory(prefix="kvcore-view-") as folder:
            path = os.path.join(folder, "view.rdb")
            self._engine.snapshot(path, None)
            opening = Opening(os.path.realpath(path), "none", readonly=True)
            engine = _engine.obtain_file(opening, False, self._engine.databases, {}, None)
        try:
            engine.clock_freeze(moment_us)
            seen: Store[Text] = Store(engine, self._db, self._encoding, self._errors)
        finally:
            engine.release()
        with seen:
            yield seen

    # --- running commands ---

    def _run(self, words: Sequence[Any], shape: Shape = None) -> Any:
        reply = self._fast_run(words)
        return reply if shape is None else shape(reply)

    def _wide_run(self, words: Sequence[Any]) -> Any:
        """Any command through the wide door."""
        idle = self._idle
        try:
            session = idle.pop()
        except IndexError:
            session = self._new_session()
        try:
            return session.execute(words)
        finally:
            idle.append(session)
            if self._closed:  # meanwhile, by another thread
                _engine.close_all(idle)

    def _pipeline(self, commands: Sequence[tuple[Sequence[Any], Shape]], transaction: bool) -> Outcome:
        """Run a pipeline's commands on one session."""
        if self._pool is not None:
            try:
                outcome: Outcome = self._pool.pipeline(commands, transaction)
            except StopIteration:
                self._refuse()
            return outcome
        session = self._borrow_session()
        done = False
        try:
            outcome = run_pipeline(session.attempt, commands, transaction)
            done = True
        finally:
            self._return_session(session, used=not done)
        return outcome

    def _refuse(self) -> NoReturn:
        """Called by the hot door when its pool is closed."""
        self._engine.checked()
        raise _engine.closed_error()

    def execute(self, *words: Any) -> Any:
        """Any command, as words: `db.execute("OBJECT", "ENCODING", "key")`. The reply is as the engine gives it."""
        if not words:
            raise make(ResponseError, "execute() needs a command")
        name = _name(words[0])
        if name == "CLIENT" and len(words) > 1:
            name = f"CLIENT {_name(words[1])}"
        if name in SESSION_COMMANDS:
            raise _session_only(name)
        return self._run(words)

    execute_command = execute

    def select(self, index: int) -> NoReturn:
        """A store's database does not change: open(db=N) or database(N) gives another view."""
        raise _session_only("SELECT")

    def reset(self) -> NoReturn:
        """Belongs to a session, which a store does not keep."""
        raise _session_only("RESET")

    def quit(self) -> NoReturn:
        """Belongs to a session; close() ends the store."""
        raise _session_only("QUIT")

    def client_reply(self, reply: str) -> NoReturn:
        """Belongs to a session, which a store does not keep."""
        raise _session_only("CLIENT REPLY")

    def client_tracking(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Belongs to a session, which a store does not keep."""
        raise _session_only("CLIENT TRACKING")

    client_tracking_on = client_tracking_off = client_tracking

    def _new_session(self) -> Session:
        if self.closed:
            raise _engine.closed_error()
        return self._engine.session(self._db, self._encoding, self._errors)

    def _borrow_session(self) -> Session:
        try:
            return self._idle.pop()
        except IndexError:
            return self._new_session()

    def _return_session(self, session: Session, used: bool = False) -> None:
        """Back to the idle ones; one that is not as new (`used`) is closed instead."""
        if used or session.stop:
            session.close()
            return
        self._idle.append(session)
        if self._closed:  # meanwhile, by another thread
            _engine.close_all(self._idle)

    # --- more than one command ---

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline[Text]:
        """Collect commands and run them together; in MULTI/EXEC unless transaction=False."""
        return Pipeline(self, transaction)

    @overload
    def transaction(
        self,
        func: Callable[[Pipeline[Text]], Result],
        *watches: Any,
        shard_hint: str | None = None,
        value_from_callable: Literal[True],
        watch_delay: float | None = None,
    ) -> Result: ...
    @overload
    def transaction(
        self,
        func: Callable[[Pipeline[Text]], object],
        *watches: Any,
        shard_hint: str | None = None,
        value_from_callable: Literal[False] = False,
        watch_delay: float | None = None,
    ) -> list[Any]: ...
    def transaction(
        self,
        func: Callable[[Pipeline[Text]], Any],
        *watches: Any,
        shard_hint: str | None = None,
        value_from_callable: bool = False,
        watch_delay: float | None = None,
    ) -> Any:
        """Call `func` with a pipeline that watches `watches`, then run what it collected; again when a watched key
        changed."""
        with self.pipeline() as pipe:
            while True:
                try:
                    if watches:
                        pipe.watch(*watches)
                    value = func(pipe)
                    replies = pipe.execute()
                    return value if value_from_callable else replies
                except WatchError:
                    if watch_delay:
                        time.sleep(watch_delay)

    def pubsub(self, ignore_subscribe_messages: bool = False) -> PubSub:
        """Subscriptions."""
        self._engine.checked()
        return PubSub(self, ignore_subscribe_messages)

    def lock(
        self,
        name: str | bytes,
        timeout: float | None = None,
        sleep: float = 0.1,
        blocking: bool = True,
        blocking_timeout: float | None = None,
        lock_class: type[Lock] | None = None,
        thread_local: bool = True,
        raise_on_release_error: bool = True,
    ) -> Lock:
        """A lock under the key `name` that runs out after `timeout` seconds (None: never).

        `sleep` seconds between tries; `blocking` and `blocking_timeout`: whether and how long acquire() waits;
        `thread_local`: only the thread that took it may release it.
        """
        chosen = lock_class or Lock
        return chosen(self, name, timeout, sleep, blocking, blocking_timeout, thread_local, raise_on_release_error)

    # --- a mapping of the string keys ---

    def __getitem__(self, name: str | bytes) -> Text:
        value: Text | None = self._run(("GET", name))
        if value is None:
            raise KeyError(name)
        return value

    def __setitem__(self, name: str | bytes, value: Any) -> None:
        self._run(("SET", name, value))

    def __delitem__(self, name: str | bytes) -> None:
        if not self._run(("DEL", name)):
            raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return bool(self._run(("EXISTS", name)))

    def __len__(self) -> int:
        return int(self._run(("DBSIZE",)))

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Text]:
        """Every key once, in no order; those that come or go meanwhile may be missing."""
        seen: set[Text] = set()
        cursor: Any = 0
        while True:
            cursor, names = self._run(("SCAN", cursor, "COUNT", 500))
            for name in names:
                if name not in seen:
                    seen.add(name)
                    yield name
            if int(cursor) == 0:
                return

    # --- the same data over RESP ---

    def serve(
        self,
        port: int = 0,
        host: str = "127.0.0.1",
        unix: str | None = None,
        password: str | None = None,
        threads: int = 1,
    ) -> str:
        """Serve this store to RESP clients from threads of this process until it is closed; returns `url`.

        `port` 0: one that the system chooses. `unix`: a socket's path instead of a port. `threads`: network threads.
        """
        self._engine.checked().serve(port=port, host=host, unix=unix, password=password, threads=threads)
        return self.url

    @property
    def url(self) -> str:
        """Where serve() is listening: redis://host:port/db, or unix://path?db=N."""
        address = self._engine.checked().address
        if address is None:
            raise make(RedisError, "this store is not served: call serve() first")
        if isinstance(address, str):
            return f"unix://{address}?db={self._db}"
        host, port = address[0], self._engine.port()
        secret = f":{self._engine.password}@" if self._engine.password else ""
        return f"redis://{secret}{f'[{host}]' if ':' in host else host}:{port}/{self._db}"

    @property
    def host(self) -> str:
        """The address that serve() listens on."""
        address = self._engine.checked().address
        if not isinstance(address, tuple):
            raise make(RedisError, "this store is not served on a port: call serve() first")
        return address[0]

    @property
    def port(self) -> int:
        """The port that serve() listens on."""
        address = self._engine.checked().address
        if not isinstance(address, tuple):
            raise make(RedisError, "this store is not served on a port: call serve() first")
        return self._engine.port()


# The hot door's methods hide those of the same names; it finds them under this name.
for _name_ in vars(Door):
    if hasattr(Commands, _name_) and not _name_.startswith("_"):
        setattr(Store, f"_wide_{_name_}", getattr(Commands, _name_))


@overload
def open(
    source: str | os.PathLike[str] | None = None,
    *,
    shared: str | None = None,
    durability: Durability | None = None,
    readonly: bool = False,
    progress: Progress | None = None,
    decode_responses: Literal[False] = False,
    encoding: str = "utf-8",
    encoding_errors: str = "strict",
    db: int = 0,
    databases: int = 16,
    config: Mapping[str, str | int] | None = None,
) -> Store[bytes]: ...
@overload
def open(
    source: str | os.PathLike[str] | None = None,
    *,
    shared: str | None = None,
    durability: Durability | None = None,
    readonly: bool = False,
    progress: Progress | None = None,
    decode_responses: Literal[True],
    encoding: str = "utf-8",
    encoding_errors: str = "strict",
    db: int = 0,
    databases: int = 16,
    config: Mapping[str, str | int] | None = None,
) -> Store[str]: ...
def open(
    source: str | os.PathLike[str] | None = None,
    *,
    shared: str | None = None,
    durability: Durability | None = None,
    readonly: bool = False,
    progress: Progress | None = None,
    decode_responses: bool = False,
    encoding: str = "utf-8",
    encoding_errors: str = "strict",
    db: int = 0,
    databases: int = 16,
    config: Mapping[str, str | int] | None = None,
) -> Store[Any]:
    """Open a store: in a file, or in this process's memory.

    `open("app.kv")` is the store in that file, which is created (0600) when it is not there. Whoever opens the same
    file in this process shares the store; another process gets LockedError. `durability` says what survives:

        "none"      the file is read, and written by flush() and compact() only
        "snapshot"  the file is written anew by flush() and when the store is closed
        "everysec"  every write goes to a log; a crash of the machine may take the last second (the default)
        "always"    a call returns when its write is on the disk

    `readonly=True` reads any .rdb, app.kv, appendonly.aof or appendonlydir as it is at this moment, takes no lock and
    refuses writes: a production dump, or the file of a running store. `progress(step, done, total)` is called now and
    then while it loads; False gives up.

    `open()` is private: only this object (and what it serves) reaches it. `shared="name"`, or `"memory://name"` as
    the source, is the store of that name in this process; whoever opens it first creates it, whoever closes it last
    ends it. These modes will not change.

    `decode_responses`: replies are str in `encoding` instead of bytes. `db`: a numbered database. `databases` and
    `config` (option names and values as in `CONFIG SET`) are for the one who creates the store.

    Raises LockedError, CorruptError, UnsupportedFileError, FileNotFoundError, OSError. Cost: that of loading the file.
    """
    path, name = _where(source, shared)
    if path is None and (durability is not None or readonly or progress is not None):
        raise ValueError("open(): durability, readonly and progress are for stores in files: give a path")
    if durability is not None and durability not in _engine.DURABILITIES:
        raise ValueError(f"open(): durability is one of {', '.join(_engine.DURABILITIES)}, not {durability!r}")
    if readonly and durability is not None:
        raise ValueError("open(): a store that is only read has no durability")
    settings = dict(config or {})
    if path is None:
        engine = _engine.obtain(name, databases, settings)
    else:
        opening = Opening(path, durability or "everysec", readonly)
        engine = _engine.obtain_file(opening, durability is not None, databases, settings, progress)
    try:
        return Store(engine, engine.checked_db(db), encoding if decode_responses else None, encoding_errors)
    finally:
        engine.release()


def _where(source: str | os.PathLike[str] | None, shared: str | None) -> tuple[str | None, str | None]:
    """The path of a file, or the name of a shared store, or neither."""
    if shared is not None and not isinstance(shared, str):
        raise TypeError(f"open(): shared is a name, not {shared!r}; a database is db=N")
    if shared == "":
        raise ValueError('open(shared=""): a shared store needs a name; open() gives a private one')
    if source is None or source in (":memory:", "memory://"):
        return None, shared
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(f'open(): a path, "memory://name" or nothing, not {source!r}; a database is db=N')
    word = os.fspath(source)
    if shared is not None:
        raise ValueError(f"open({word!r}, shared={shared!r}): a store has a file or a name, not both")
    if word.startswith("memory://"):
        return None, word.removeprefix("memory://")
    if "://" in word or not word:
        raise ValueError(
            f'open({word!r}): not a path. open("app.kv") is a store in a file, open("memory://name") one shared by '
            f"name, open() a private one; a server is reached with a client library"
        )
    return os.path.realpath(word), None
