"""Resident bytes: a key or element in eight shapes, after churn, an idle server, an idle connection, a fresh store."""

from __future__ import annotations

import random
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from kvcore.cli.bench.svg import BarGroup, BarPanel, bars
from kvcore.cli.resp import encode

from .common import Settings, median, progress, save, say
from .servers import RawConnection, Server, commands, running, versions

Command = Callable[[int, int], tuple[bytes, ...]]
BATCH = 2000
CONNECTIONS = 500

# elements a key, command for element i of key k: as single commands, since how a value grows is part of what it costs
SHAPES: dict[str, tuple[int, Command]] = {
    "string16+32": (1, lambda k, i: (b"SET", b"key:%012d" % k, b"x" * 32)),
    "string+ttl": (1, lambda k, i: (b"SET", b"key:%012d" % k, b"x" * 32, b"EX", b"86400")),
    "counter": (1, lambda k, i: (b"SET", b"key:%012d" % k, b"%d" % k)),
    "hash of 10": (10, lambda k, i: (b"HSET", b"key:%012d" % k, b"field:%02d" % i, b"v" * 16)),
    "hash": (100_000, lambda k, i: (b"HSET", b"h:%d" % k, b"field:%08d" % i, b"v" * 16)),
    "set": (100_000, lambda k, i: (b"SADD", b"s:%d" % k, b"member:%08d" % i)),
    "zset": (100_000, lambda k, i: (b"ZADD", b"z:%d" % k, b"%d" % (i * 7919 % 1_000_003), b"member:%08d" % i)),
    "list": (100_000, lambda k, i: (b"RPUSH", b"l:%d" % k, b"element:%08d" % i)),
}


def batches(shape: str, count: int) -> Iterator[bytes]:
    each, command = SHAPES[shape]
    for first in range(0, count, BATCH):
        some = range(first, min(first + BATCH, count))
        yield b"".join(encode(command(number // each, number % each)) for number in some)


def send(server: Server, requests: list[bytes]) -> None:
    bulk = RawConnection(server.port)
    for request in requests:
        bulk.run(request)
    bulk.close()


def shapes(settings: Settings, wanted: dict[str, list[str]]) -> list[dict[str, Any]]:
    count = settings.count(1_000_000, 200_000, 2000)
    rows = []
    for shape in SHAPES:
        if not settings.wants(shape):
            continue
        with progress(f"{shape}: making commands"):
            requests = list(batches(shape, count))
        row: dict[str, Any] = {"shape": shape, "elements": count}
        for name, words in wanted.items():  # one after the other, each with the machine for itself
            with progress(f"{shape}, {name}"), running({name: words}) as (server,):
                before = server.resident()
                send(server, requests)
                row[name] = round((server.resident() - before) / count, 1)
        row["ratio"] = {name: round(row["kvcore"] / row[name], 3) for name in wanted if name != "kvcore"}
        rows.append(row)
        say(f"{shape:14}" + "".join(f" {row[name]:8.1f}" for name in wanted)
            + "   " + "  ".join(f"{ratio:.2f} of {name}'s" for name, ratio in row["ratio"].items()))  # fmt: skip
    return rows


def churn(settings: Settings, wanted: dict[str, list[str]]) -> dict[str, Any]:
    """Values of mixed sizes, a random half deleted, other sizes filled in: what is held beyond the bytes stored."""
    count = settings.count(500_000, 100_000, 2000)
    rng = random.Random(7)
    first = [rng.choice((16, 40, 90, 200, 450)) for _ in range(count)]
    gone = rng.sample(range(count), count // 2)
    second = [rng.choice((24, 64, 130, 300, 700)) for _ in range(count // 2)]
    gone_set = set(gone)
    stored = sum(size + 16 for number, size in enumerate(first) if number not in gone_set) + sum(s + 16 for s in second)

    def sets(prefix: bytes, sizes: list[int]) -> list[bytes]:
        found = []
        for start in range(0, len(sizes), BATCH):
            some = range(start, min(start + BATCH, len(sizes)))
            found.append(b"".join(encode((b"SET", b"%b:%011d" % (prefix, i), b"x" * sizes[i])) for i in some))
        return found

    deletes = [
        b"".join(encode((b"DEL", b"one:%011d" % number)) for number in gone[start : start + BATCH])
        for start in range(0, len(gone), BATCH)
    ]
    steps = {"filled": sets(b"one", first), "half deleted": deletes, "filled again": sets(b"two", second)}
    row: dict[str, Any] = {"values": count, "stored_bytes": stored}
    for name, words in wanted.items():
        with progress(f"churn, {name}"), running({name: words}) as (server,):
            before = server.resident()
            for step, requests in steps.items():
                send(server, requests)
                row.setdefault(name, {})[step] = server.resident() - before
            row[name]["bytes_beyond_stored"] = row[name]["filled again"] - stored
    return row


def idle(settings: Settings, wanted: dict[str, list[str]]) -> dict[str, Any]:
    """A server that was just started, what a connection adds that has said PING once, and the time until it answers."""
    rows: dict[str, Any] = {}
    count = settings.count(CONNECTIONS, least=20)
    for name, words in wanted.items():
        starts, resident = [], []
        for _ in range(3):
            begun = time.perf_counter()
            with running({name: words}) as (server,):
                starts.append(time.perf_counter() - begun)
                time.sleep(0.5)
                resident.append(server.resident())
        with running({name: words}) as (server,):
            before = server.resident()
            opened = []
            for _ in range(count):
                connection = socket.create_connection(("127.0.0.1", server.port), 60)
                connection.sendall(b"*1\r\n$4\r\nPING\r\n")
                connection.recv(64)
                opened.append(connection)
            time.sleep(1.5)  # buffers that were only needed for the moment may go
            each = (server.resident() - before) / count
            for connection in opened:
                connection.close()
        rows[name] = {
            "resident_bytes": int(median(resident)),
            "connection_bytes": round(each),
            "start_ms": round(median(starts) * 1000, 1),
        }
        say(f"idle {name}: {rows[name]['resident_bytes'] / 2**20:.2f} MiB resident, {each:,.0f} bytes a connection, "
            f"answers {rows[name]['start_ms']:.0f} ms after it was started")  # fmt: skip
    return rows


# Rss of smaps_rollup is counted page by page; statm's figure lags behind by what each thread has not reported yet.
FRESH = """
import gc, statistics, time, kvcore
def resident():
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/smaps_rollup") if line.startswith("Rss:"))
kvcore.open().close()
gc.collect()
stores = [kvcore.open() for _ in range(5)]  # what the first ones find ready does not count
before, times = resident(), []
for _ in range(100):
    begun = time.perf_counter_ns()
    stores.append(kvcore.open())
    times.append(time.perf_counter_ns() - begun)
empty = resident()
for store in stores[5:]:
    store.set("key", "value")
print(statistics.median(times) / 1000, (empty - before) / 100, (resident() - before) / 100)
"""


def fresh() -> dict[str, float]:
    """A store in a Python process: microseconds to open one, resident bytes of it."""
    done = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, timeout=120, check=True)
    open_us, empty, used = map(float, done.stdout.split())
    say(f"a fresh store in a process: opens in {open_us:.1f} us, holds {empty:,.0f} bytes, {used:,.0f} with a key")
    return {"open_us": round(open_us, 1), "resident_bytes": round(empty), "with_a_key_bytes": round(used)}


def chart(figures: dict[str, Any], names: list[str]) -> str:
    groups = [BarGroup(row["shape"], [row[name] for name in names]) for row in figures["shapes"]]
    note = (
        f"geometric mean of kvcore's ratio to Valkey: {figures['geometric_mean'].get('valkey', 0):.2f}; less is better"
    )
    return bars("Resident bytes a key or element", names, [BarPanel("", groups)], note)


def run(settings: Settings) -> None:
    wanted = commands(settings)
    say(f"{'bytes each':14}" + "".join(f" {name:>8}" for name in wanted) + "   kvcore's share")
    rows = shapes(settings, wanted)
    means = {
        name: round(statistics.geometric_mean([row["ratio"][name] for row in rows]), 3)
        for name in wanted
        if name != "kvcore" and rows
    }
    say(f"geometric mean of the ratios: {means}")
    figures = {"versions": versions(list(wanted)), "shapes": rows, "geometric_mean": means}
    if not settings.only or "churn" in settings.only:
        figures["churn"] = churn(settings, wanted)
        for name in wanted:
            beyond = figures["churn"][name]["bytes_beyond_stored"]
            say(f"churn, {name}: {beyond:,} bytes beyond the {figures['churn']['stored_bytes']:,} that are stored")
    if not settings.only or "idle" in settings.only:
        figures["idle"] = idle(settings, wanted)
        figures["fresh_store"] = fresh()
    if rows:
        settings.results.mkdir(parents=True, exist_ok=True)
        (settings.results / "memory.svg").write_text(chart(figures, list(wanted)))
    save(settings, "memory", figures)
