"""The pytest plugin, used as a project would use it."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import kvcore as kv
from kvcore.cli.resp import Client

# A project that knows redis-py only: an application module, its conftest and its tests.
APPLICATION = """
    import redis

    class Shop:
        def __init__(self, url):
            self.redis = redis.Redis.from_url(url, decode_responses=True)

        def sell(self, item, count):
            with self.redis.pipeline() as pipe:
                while True:
                    try:
                        pipe.watch("stock")
                        left = int(pipe.hget("stock", item) or 0) - count
                        if left < 0:
                            return False
                        pipe.multi()
                        pipe.hset("stock", item, left)
                        pipe.zincrby("sold", count, item)
                        pipe.publish("sales", f"{item} {count}")
                        pipe.execute()
                        return True
                    except redis.WatchError:
                        continue
"""
CONFTEST = """
    import pytest
    from shop import Shop

    @pytest.fixture
    def shop(kvcore_url):
        shop = Shop(kvcore_url)
        shop.redis.hset("stock", mapping={"tea": 3, "cup": 1})
        yield shop
        shop.redis.close()
"""
SUITE = """
    import threading
    import pytest, redis

    @pytest.mark.parametrize("number", range(20))
    def test_fresh(kvcore, number):
        assert len(kvcore) == 0
        kvcore.set("k", number)

    @pytest.mark.parametrize("number", range(20))
    def test_served(kvcore_url, kvcore_server, number):
        client = redis.Redis.from_url(kvcore_url)
        assert client.dbsize() == 0
        assert client.set("k", number)
        assert kvcore_server["k"] == str(number).encode()
        client.close()

    @pytest.mark.parametrize("number", range(5))
    def test_selling(shop, number):
        assert [shop.sell("tea", 2), shop.sell("tea", 2), shop.sell("tea", 1)] == [True, False, True]
        assert shop.redis.zrange("sold", 0, -1, withscores=True) == [("tea", 3.0)]

    def test_sales_are_announced(shop):
        with shop.redis.pubsub(ignore_subscribe_messages=True) as sub:
            sub.subscribe("sales")
            sub.get_message(timeout=1)
            shop.sell("cup", 1)
            assert sub.get_message(timeout=5)["data"] == "cup 1"

    def test_a_worker_waits(shop):
        thread = threading.Thread(target=lambda: shop.redis.rpush("jobs", "one"))
        thread.start()
        assert shop.redis.blpop("jobs", timeout=5) == ("jobs", "one")
        thread.join()

    def test_errors_are_the_clients(kvcore, shop):
        kvcore.set("k", "v")
        for client in (kvcore, shop.redis):
            client.set("k", "v")
            with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
                client.lpush("k", 1)
"""


def test_a_fresh_store(kvcore: kv.Store[bytes]) -> None:
    assert len(kvcore) == 0
    kvcore["k"] = "v"


def test_another_fresh_store(kvcore: kv.Store[bytes]) -> None:
    assert len(kvcore) == 0


def test_a_served_store(kvcore_server: kv.Store[bytes], kvcore_url: str) -> None:
    assert kvcore_url == kvcore_server.url
    with Client(kvcore_url) as client:
        client.must("SET", "k", "v")
    assert kvcore_server["k"] == b"v"


def test_a_server_is_up_in_five_milliseconds() -> None:
    with kv.open() as warm:
        warm.serve()
    times = []
    for _ in range(9):
        started = time.perf_counter()
        with kv.open() as store:
            url = store.serve()
            with Client(url) as client:
                assert client.must("PING") == b"PONG"
                times.append(time.perf_counter() - started)
    assert min(times) < 0.005, times  # the others may have been held up by whatever else runs here


def test_a_projects_redis_tests_run_without_a_redis(tmp_path: Path, door: str) -> None:
    workers = {"hot": "4", "wide": "0"}[door]
    pytest.importorskip("redis")
    pytest.importorskip("xdist")
    for name, text in (("shop.py", APPLICATION), ("conftest.py", CONFTEST), ("test_it.py", SUITE)):
        (tmp_path / name).write_text(textwrap.dedent(text))
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error::ResourceWarning",
            "-m",
            "pytest",
            "-q",
            "-n",
            workers,
            "-p",
            "no:cacheprovider",
            str(tmp_path),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "48 passed" in done.stdout


def test_the_plugin_costs_nothing_when_unused(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("import sys\ndef test(): assert 'kvcore.store' not in sys.modules\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
