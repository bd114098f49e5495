"""The native store behind `Store` objects, and its sessions.

Two doors. A `Session` is a client through the wide one (cffi): pipelines, subscriptions, blocked calls of any length.
Calls on a store itself go through a `Pool` of the hot one (binding/fast.c), where there is one. KVCORE_DOOR=wide in the
environment leaves the hot one shut, so that tests can compare the two.

Life. An `Engine` is retained by each Store that uses it; the last one to let go begins its end. A session that is
inside a call at that moment is told to stop, and whoever closes the last session frees the native store: nobody waits
for anybody, and nothing is freed under a running call.

Files. Stores in files are known by the path that names lead to, so that a second open of it in this process is the
same engine. Whoever frees the native store has it finish its file first. A store that is still held by somebody when
the interpreter ends (a forgotten subscription, say) is flushed then.

Fork. A child must not touch what its parent's threads may have left half done. A hook, registered when the first
store is opened, marks every engine as foreign in the child; calls then raise, and nothing is freed.

Locks. One lock guards the books of all engines: who uses what. The collector may close a forgotten store at any moment,
so also while this thread is inside one of these functions: the lock is reentrant, and being the only one it cannot be
taken in a wrong order.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any

from kvcore._native import fast, ffi, lib
from kvcore.errors import (
    ClosedError,
    CorruptError,
    DataError,
    DurabilityError,
    FileError,
    ForkedError,
    LockedError,
    RedisError,
    ResponseError,
    UnsupportedFileError,
    from_reply,
    make,
)

# A wait inside the engine lasts at most this long before Python looks for signals: Ctrl-C is noticed within it.
SLICE_MS = 50
MSGPACK = 3
EXT_ERROR, EXT_SET, EXT_PUSH = 2, 3, 4  # engine/reply.c; the others are bytes to us

FORKED = (
    "this store was opened before os.fork() and belongs to the parent process: open one in the child, or connect to "
    "the parent's with a client, through db.serve() and its url"
)

DURABILITIES = ("none", "snapshot", "everysec", "always")
Progress = Callable[[str, int, int], Any]

_registry: dict[str, Engine] = {}  # by name, and by path: these begin with "/"
_lock = threading.RLock()
_engines: weakref.WeakSet[Engine] = weakref.WeakSet()
_hooked: list[bool] = []
_files: set[str] = set()  # paths that were ever opened
_busy: set[str] = set()  # paths that are just being opened or finished; who opens one waits for at most
BUSY_S = 5.0


@cache
def _codec() -> Any:
    """msgpack, imported with the first reply that comes in it: a server's process gets none."""
    return import_module("msgpack")


def closed_error() -> RedisError:
    return make(ClosedError, "this store was closed; kvcore.open() gives a new one")


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()  # another thread of the parent may have held it
    _registry.clear()
    for engine in list(_engines):
        engine.forked = True
        for pool in list(engine.pools):
            pool.abandon()
    _close_inherited({engine.opening.path for engine in _engines if engine.opening is not None})


def _close_inherited(paths: set[str]) -> None:
    """Close a child's descriptors of its parent's files. A lock belongs to all who have it open: the child would keep
    it when the parent has gone."""
    if not paths:
        return
    names = {name for path in paths for name in (path, f"{path}.lock", f"{path}.lock (deleted)")}
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{number}") in names:
                os.close(int(number))


def _flush_at_exit() -> None:
    for engine in list(_engines):
        opening = engine.opening
        if opening is not None and not engine.forked and not opening.readonly and opening.durability != "none":
            with contextlib.suppress(ClosedError), engine.using() as native:
                _done(lib.kvcore_flush, native)


class Opening:
    """How a file is opened. `path`: absolute, links followed."""

    def __init__(self, path: str, durability: str, readonly: bool) -> None:
        self.path = path
        self.durability = durability
        self.readonly = readonly


def _watch_forks() -> None:
    """Under the lock."""
    if not _hooked:
        os.register_at_fork(after_in_child=_after_fork_in_child)
        _hooked.append(True)


def _text_of(databases: int, config: Mapping[str, str | int]) -> str:
    settings = {"databases": databases, **config} if config or databases != 16 else {}
    return "".join(config_line(option, str(value)) for option, value in settings.items())


def obtain(name: str | None, databases: int, config: Mapping[str, str | int]) -> Engine:
    """A new private engine, or the shared one of this name. Retained for the caller, who releases it."""
    with _lock:
        _watch_forks()
        known = None if name is None else _registry.get(name)
        if known is not None and known.retain():
            if config:
                known.release()
                raise ValueError(f"the shared store {name!r} is open already: its config was for the first to open it")
            return known
        engine = Engine(name, _text_of(databases, config))
        engine.retain()
        if name is not None:
            _registry[name] = engine
        return engine


def obtain_file(
    opening: Opening, asked: bool, databases: int, config: Mapping[str, str | int], progress: Progress | None
) -> Engine:
    """The engine of this path: for writing one a process, for reading one a call. Retained. `asked`: the durability
    was the caller's choice. Loading keeps no lock: others may open and use other stores meanwhile."""
    until = time.monotonic() + BUSY_S
    while True:
        with _lock:
            _watch_forks()
            known = None if opening.readonly else _registry.get(opening.path)
            if known is not None and known.retain():
                return _same(known, opening, asked, bool(config))
            busy = not opening.readonly and opening.path in _busy and time.monotonic() < until
            if not busy:
                if not _files:
                    atexit.register(_flush_at_exit)
                _files.add(opening.path)
                if not opening.readonly:
                    _busy.add(opening.path)
                break
        time.sleep(0.005)  # another thread is opening or finishing this file
    try:
        engine = Engine(None, _text_of(databases, config), opening, progress)
        engine.retain()
        if not opening.readonly:
            with _lock:
                _registry[opening.path] = engine
        return engine
    finally:
        if not opening.readonly:
            _busy.discard(opening.path)


def _same(known: Engine, opening: Opening, asked: bool, configured: bool) -> Engine:
    """An engine that is there already, when what is asked for fits."""
    assert known.opening is not None
    have = known.opening.durability
    if configured or (asked and have != opening.durability):
        known.release()
        raise ValueError(
            f"{opening.path!r} is open already in this process, with durability {have!r}: the first to open it "
            f"chooses durability and config; leave both out here, or close it first"
        )
    return known


class _Teller:
    """A progress callback for C. What it raises, an interrupt included, gives the work up and is raised afterwards."""

    def __init__(self, progress: Progress | None) -> None:
        self.raised: BaseException | None = None
        self._progress = progress
        self.callback: Any = ffi.callback("int(void *, const char *, uint64_t, uint64_t)", self._tell)

    def _tell(self, arg: Any, step: Any, done: int, total: int) -> int:
        try:
            return int(self._progress is not None and self._progress(ffi.string(step).decode(), done, total) is False)
        except BaseException as error:
            self.raised = error
            return 1


def _done(call: Callable[..., Any], *arguments: Any, progress: Progress | None = None, told: bool = False) -> None:
    """Make a call that reports failure as text; DurabilityError."""
    error = ffi.new("char[]", 1024)
    if not told:
        outcome, raised = call(*arguments, error, len(error)), None
    else:
        teller = _Teller(progress)
        outcome = call(*arguments, teller.callback, ffi.NULL, error, len(error))
        raised = teller.raised
    if raised is not None:
        raise raised
    if outcome != 0:
        raise make(DurabilityError, ffi.string(error).decode(errors="replace"))


def _open_native(raw: bytes, opening: Opening, progress: Progress | None) -> Any:
    error = ffi.new("char[]", 1024)
    problem = ffi.new("int *")
    teller = _Teller(progress)
    native = lib.kvcore_open_file(
        os.fsencode(opening.path),
        raw,
        len(raw),
        0,
        DURABILITIES.index(opening.durability),
        lib.KVCORE_OPEN_READONLY if opening.readonly else 0,
        teller.callback,
        ffi.NULL,
        problem,
        error,
        len(error),
    )
    if native != ffi.NULL:
        if teller.raised is not None:  # it came with the last step
            lib.kvcore_finish(native, ffi.NULL, 0)
            lib.kvcore_close(native)
            raise teller.raised
        return native
    if teller.raised is not None:
        raise teller.raised
    raise _opening_error(problem[0], ffi.string(error).decode(errors="replace"), opening.path)


def _opening_error(problem: int, text: str, path: str) -> Exception:
    import re  # here, as most programs never need it

    if problem == lib.KVCORE_PROBLEM_LOCKED:
        found = re.search(r"process (\d+)", text)
        return make(LockedError, text, path, int(found[1]) if found else None)
    if problem == lib.KVCORE_PROBLEM_DAMAGED:
        found = re.search(r"at byte (\d+)", text)
        return make(CorruptError, text, path, int(found[1]) if found else None)
    if problem == lib.KVCORE_PROBLEM_UNSUPPORTED:
        return make(UnsupportedFileError, text, path)
    if problem == lib.KVCORE_PROBLEM_ABSENT:
        return FileNotFoundError(text)
    if problem == lib.KVCORE_PROBLEM_MEMORY:
        return MemoryError(text)
    if problem == lib.KVCORE_PROBLEM_CONFIG:
        return make(ResponseError, text)
    if problem == lib.KVCORE_PROBLEM_GIVEN_UP:
        return make(FileError, "opening was given up: progress returned False", path)
    return OSError(text)


def close_all(idle: list[Session]) -> None:
    """Close the sessions on a stack that other threads may still be using."""
    while True:
        try:
            idle.pop().close()
        except IndexError:
            return


def give_up(engine: Engine, idle: list[Session], pool: Any) -> None:
    """What closing a Store does, also when it is garbage."""
    if engine.forked:
        idle.clear()
        return
    close_all(idle)
    if pool is not None:
        pool.close()
    engine.release()


class Engine:
    """A native store."""

    def __init__(
        self, name: str | None, text: str, opening: Opening | None = None, progress: Progress | None = None
    ) -> None:
        """`text` is configuration in valkey.conf's syntax."""
        self.name = name
        self.opening = opening
        self.forked = False
        self.address: tuple[str, int] | str | None = None
        self.password: str | None = None
        self._ffi, self._lib = ffi, lib
        self._users = 0
        self._ended = False
        self._sessions: weakref.WeakSet[Session] = weakref.WeakSet()
        self.pools: weakref.WeakSet[Any] = weakref.WeakSet()
        self._clients = 0  # native sessions and pools alive
        raw = text.encode(errors="surrogateescape")
        self.native: Any
        if opening is not None:
            self.native = _open_native(raw, opening, progress)
        else:
            error = ffi.new("char[]", 512)
            self.native = lib.kvcore_open(raw, len(raw), 0, error, len(error))
            if self.native == ffi.NULL:
                raise make(ResponseError, ffi.string(error).decode(errors="replace"))
        self.databases = int(lib.kvcore_databases(self.native))
        _engines.add(self)

    def checked(self) -> Engine:
        """This engine, when it can be used."""
        if self.forked:
            raise make(ForkedError, FORKED)
        if not self._users:
            raise closed_error()
        return self

    # --- life ---

    def retain(self) -> bool:
        """One more user; False when the last one has gone already."""
        with _lock:
            if self._ended:
                return False
            self._users += 1
            return True

    def release(self) -> None:
        if self.forked:
            return
        with _lock:
            self._users -= 1
            if self._users:
                return
            self._ended = True
            known_as = self.opening.path if self.opening is not None else self.name
            if known_as is not None and _registry.get(known_as) is self:
                del _registry[known_as]
                if self.opening is not None:
                    _busy.add(known_as)
            for session in list(self._sessions):
                session.stop = True
            self._clients += 1  # ours: nobody frees the native store before its server has stopped
        self.release_server()
        self._one_less()

    def release_server(self) -> None:
        """Stop serving, if this is being served."""
        with _lock:
            address, self.address = self.address, None
        if address is not None:
            self._lib.kvcore_stop_serving(self.native)

    def _free_when_unused(self) -> None:
        with _lock:
            if self._users or self._clients or self.native is None:
                return
            native, self.native = self.native, None
        try:
            if self.opening is not None:
                _done(self._lib.kvcore_finish, native)
        finally:
            self._lib.kvcore_close(native)
            if self.opening is not None and not self.opening.readonly:
                _busy.discard(self.opening.path)

    @contextlib.contextmanager
    def using(self) -> Iterator[Any]:
        """The native store, which is not freed meanwhile."""
        with _lock:
            native = self.checked().native
            self._clients += 1
        try:
            yield native
        finally:
            self._one_less()

    # --- files ---

    def flush(self) -> None:
        with self.using() as native:
            _done(self._lib.kvcore_flush, native)

    def snapshot(self, path: str, progress: Progress | None) -> None:
        with self.using() as native:
            _done(self._lib.kvcore_snapshot, native, os.fsencode(path), progress=progress, told=True)

    def compact(self, progress: Progress | None) -> None:
        with self.using() as native:
            _done(self._lib.kvcore_compact, native, progress=progress, told=True)

    # --- sessions ---

    def session(self, db: int, encoding: str | None, errors: str) -> Session:
        with _lock:
            client = self._lib.kvcore_connect(self.checked().native, MSGPACK)
            if client == self._ffi.NULL:
                raise MemoryError("no memory for a session")
            session = Session(self, client, encoding, errors)
            self._sessions.add(session)
            self._clients += 1
        if db:
            session.execute(("SELECT", db))
        return session

    def end(self, session: Session) -> None:
        with _lock:
            client, session.client = session.client, None
        if client is not None:
            self._lib.kvcore_disconnect(client)
            self._one_less()

    def _one_less(self) -> None:
        with _lock:
            self._clients -= 1
        self._free_when_unused()

    def checked_db(self, number: int) -> int:
        """`number`, if there is such a database."""
        if not isinstance(number, int):
            raise TypeError(f"a database is a number, not {number!r}")
        if not 0 <= number < self.databases:
            raise make(ResponseError, f"DB index is out of range: this store has {self.databases} databases")
        return number

    def pool(self, db: int, encoding: str | None, errors: str) -> Any:
        """Sessions for the hot door, or None where there is none."""
        if fast is None or os.environ.get("KVCORE_DOOR") == "wide":
            return None
        with _lock:
            address = int(self._ffi.cast("uintptr_t", self.checked().native))
            pool = fast.Pool(address, db, encoding, errors, encode, from_reply, self._one_less)
            self._clients += 1
            self.pools.add(pool)
        return pool

    # --- serving ---

    def serve(self, *, port: int, host: str, unix: str | None, password: str | None, threads: int) -> None:
        settings = {"bind": host, "io-threads": threads, "port": port}
        if unix is not None:
            settings |= {"unixsocket": unix, "unixsocketperm": "700"}
        if password is not None:
            settings["requirepass"] = password
        with _lock:
            if self.checked().address is not None:
                raise make(RedisError, f"this store is served already, at {self.address}")
            for option, value in settings.items():
                self.configure(option, str(value))
            error = self._ffi.new("char[]", 512)
            if self._lib.kvcore_serve(self.native, unix is None, error, len(error)) != 0:
                raise OSError(self._ffi.string(error).decode(errors="replace"))
            self.password = password
            self.address = unix if unix is not None else (host, int(self._lib.kvcore_port(self.native)))

    def port(self) -> int:
        """The TCP port in use, which CONFIG SET may have changed."""
        with _lock:
            return int(self._lib.kvcore_port(self.checked().native))

    def configure(self, option: str, value: str) -> None:
        error = self._ffi.new("char[]", 512)
        if self._lib.kvcore_config_set(self.native, option.encode(), value.encode(), error, len(error)) != 0:
            raise make(ResponseError, f"{option}: {self._ffi.string(error).decode(errors='replace')}")

    def configured(self, option: str) -> str:
        """An option's value, as CONFIG GET shows it."""
        room = 256
        while True:
            out = self._ffi.new("char[]", room)
            length = self._lib.kvcore_config_get(self.native, option.encode(), out, room)
            if length < 0:
                raise make(ResponseError, f"{option}: no such configuration option")
            if length < room:
                return str(self._ffi.unpack(out, length).decode(errors="surrogateescape"))
            room = int(length) + 1

    # --- time ---

    # Under the lock, and so never on a store that another thread is just freeing.

    def clock_us(self) -> int:
        with _lock:
            return int(self._lib.kvcore_clock_us(self.checked().native))

    def clock_freeze(self, us: int) -> None:
        with _lock:
            self._lib.kvcore_clock_freeze(self.checked().native, us)

    def clock_advance(self, us: int) -> None:
        with _lock:
            self._lib.kvcore_clock_advance(self.checked().native, us)

    def clock_thaw(self) -> None:
        with _lock:
            self._lib.kvcore_clock_thaw(self.checked().native)


class Session:
    """A client of the engine in this process. One thread at a time."""

    def __init__(self, engine: Engine, client: Any, encoding: str | None, errors: str) -> None:
        self.engine = engine
        self.client: Any = client
        self.stop = False  # the store is closing: end what is being waited for
        self._encoding = encoding
        self._errors = errors
        self._ffi, self._lib = engine._ffi, engine._lib
        self._length = self._ffi.new("size_t *")
        self._mail: list[list[Any]] = []  # messages taken from the engine, not yet asked for

    def close(self) -> None:
        if not self.engine.forked:
            self.engine.end(self)

    def __del__(self) -> None:
        if self.client is not None:
            self.close()

    # --- commands ---

    def attempt(self, words: Sequence[Any]) -> Any:
        """Run a command; an error is returned, not raised."""
        replies = self._replies(words)
        return replies[-1] if replies else None

    def execute(self, words: Sequence[Any]) -> Any:
        """Run a command; an error is raised."""
        reply = self.attempt(words)
        if isinstance(reply, RedisError):
            raise reply
        return reply

    def converse(self, words: Sequence[Any]) -> tuple[Any, list[Any]]:
        """Run a command whose answer may come as messages: (reply proper or None, messages)."""
        reply: Any = None
        messages: list[Any] = []
        for item in self._replies(words):
            if isinstance(item, Push):
                messages.append(list(item))
            elif isinstance(item, RedisError):
                raise item
            else:
                reply = item
        return reply, messages

    def waiting(self) -> list[list[Any]]:
        """The messages that have come."""
        self._usable()
        raw = self._lib.kvcore_mail(self.client, self._length)
        came, self._mail = self._mail, []
        if self._length[0]:
            came += [list(item) for item in self._decode(raw)]
        return came

    def receive(self, timeout: float | None) -> list[Any] | None:
        """The next message, or None when none came in time (None: wait for ever)."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._mail:
            self._mail = self.waiting()
            if self._mail:
                break
            left_ms = SLICE_MS if deadline is None else min(SLICE_MS, int((deadline - time.monotonic()) * 1000) + 1)
            if left_ms <= 0:
                return None
            self._lib.kvcore_wait_mail(self.client, left_ms)
        return self._mail.pop(0)

    def _usable(self) -> None:
        if self.stop or self.engine.forked or self.client is None:
            self.engine.checked()
            raise closed_error()

    def _replies(self, words: Sequence[Any]) -> list[Any]:
        if self.stop or self.engine.forked or self.client is None:
            self._usable()
        lib, ffi = self._lib, self._ffi
        encoding = self._encoding or "utf-8"
        encoded = [word if type(word) is bytes else encode(word, encoding, self._errors) for word in words]
        argv = ffi.new("char *[]", [ffi.from_buffer(word) for word in encoded])
        lengths = ffi.new("size_t[]", [len(word) for word in encoded])
        try:
            outcome = lib.kvcore_run(self.client, len(encoded), argv, lengths)
            while outcome and outcome in (lib.KVCORE_BLOCKED, lib.KVCORE_PAUSED):
                outcome = lib.kvcore_wait(self.client, SLICE_MS)
                if self.stop:
                    raise closed_error()
                if outcome == lib.KVCORE_PAUSED:
                    outcome = lib.kvcore_run(self.client, len(encoded), argv, lengths)
        except BaseException as error:
            # Interrupted: leave the queues. What another thread had handed over by then is this call's result, and
            # is not thrown away; what interrupted comes after it.
            if lib.kvcore_cancel(self.client):
                raise
            outcome = lib.KVCORE_DONE
            if fast is not None and not self.stop:
                fast.raise_later(error)
        if outcome:
            raise MemoryError("no memory for the reply") if outcome == lib.KVCORE_NO_MEMORY else closed_error()
        return self._decode(lib.kvcore_reply(self.client, self._length))

    def _decode(self, raw: Any) -> list[Any]:
        """Everything in a buffer of msgpack, whose length is in `_length`."""
        codec = _codec()
        data = self._ffi.unpack(raw, self._length[0])
        try:
            items = [codec.unpackb(data, **UNPACK)]
        except codec.ExtraData:
            unpacker = codec.Unpacker(max_buffer_size=0, **UNPACK)
            unpacker.feed(data)
            items = list(unpacker)
        except ValueError:
            if data:
                raise
            return []  # CLIENT REPLY OFF
        if self._encoding is None:
            return items
        return [_text(item, self._encoding, self._errors) for item in items]


class Push(list[Any]):
    """A message that came unasked."""


class _Mark:
    """Says what the list after it really is."""


SET_MARK, PUSH_MARK = _Mark(), _Mark()


def _extension(code: int, data: bytes) -> Any:
    if code == EXT_ERROR:
        return from_reply(data.decode(errors="replace"))
    if code == EXT_SET:
        return SET_MARK
    if code == EXT_PUSH:
        return PUSH_MARK
    return data


def _container(items: list[Any]) -> Any:
    if len(items) != 2 or type(items[0]) is not _Mark:
        return items
    if items[0] is PUSH_MARK:
        return Push(items[1])
    try:
        return set(items[1])
    except TypeError:  # lists are members
        return items[1]


UNPACK: dict[str, Any] = {"raw": True, "strict_map_key": False, "ext_hook": _extension, "list_hook": _container}


def _text(value: Any, encoding: str, errors: str) -> Any:
    """The same reply with str for bytes."""
    if isinstance(value, bytes):
        return value.decode(encoding, errors)
    if isinstance(value, Push):
        return Push(_text(item, encoding, errors) for item in value)
    if isinstance(value, list):
        return [_text(item, encoding, errors) for item in value]
    if isinstance(value, dict):
        return {_text(key, encoding, errors): _text(item, encoding, errors) for key, item in value.items()}
    if isinstance(value, set):
        return {_text(item, encoding, errors) for item in value}
    return value


def encode(word: Any, encoding: str = "utf-8", errors: str = "strict") -> bytes:
    """A key, value or argument as bytes: bytes-like as they are, str encoded, int and float in decimal. Nothing else
    is guessed at."""
    if type(word) is str:
        return word.encode(encoding, errors)
    if type(word) is int:
        return b"%d" % word
    if isinstance(word, str):
        return word.encode(encoding, errors)
    if isinstance(word, (bytes, bytearray, memoryview)):
        return bytes(word)
    if isinstance(word, bool) or not isinstance(word, (int, float)):
        raise make(
            DataError,
            f"Invalid input of type: '{type(word).__name__}'. Convert it to bytes, str, int or float first",
        )
    return repr(word).encode()


def config_line(option: str, *values: str) -> str:
    """A line of a configuration file, every value quoted as one word."""
    words = [option]
    for value in values:
        raw = value.encode(errors="surrogateescape")
        text = "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\x{b:02x}" for b in raw)
        words.append(f'"{text}"')
    return " ".join(words) + "\n"
