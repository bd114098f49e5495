#!/usr/bin/env python3
"""The project's benchmarks. Each prints a table and saves its figures, with its command, under benchmarks/results.

  run.py embedded   calls in the process: both doors, dict beside them; opening a store; the test fixtures' server
  run.py server     RESP servers side by side, driven by valkey-benchmark: throughput, p99, server CPU an operation
  run.py memory     bytes of resident memory a key or element, side by side
  run.py locks      what a shard's lock costs (benchmarks/c/bench_locks.c)
  run.py threads    kvcore with 1, 2, 4 network threads: what `io-threads auto` should choose
  run.py longwork   what other clients notice while a server does something long (--only hgetall, --quick, --peers ...)
  run.py all        all of them

The peer is the Valkey under build/peers (`make peers`). Servers take turns, round after round; figures are medians
over the rounds, because machines are noisy. CPU an operation is what the kernel accounts to the server, so it does not
depend on the client's speed.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import platform
import shlex
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PEERS = Path(os.environ.get("KVCORE_PEERS", ROOT / "build" / "peers")) / "bin"
TICKS = os.sysconf("SC_CLK_TCK")


def save(name: str, figures: Any) -> None:
    """Write a result file: figures, the command, and what they were measured on."""
    RESULTS.mkdir(exist_ok=True)
    words = [Path(sys.argv[0]).name, *sys.argv[1:]]
    facts = {
        "command": shlex.join(["python", f"benchmarks/{words[0]}", *words[1:]]),
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "load_before": os.getloadavg()[0],
        "figures": figures,
    }
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(facts, indent=1) + "\n")
    print(f"saved {path.relative_to(ROOT)}\n")


# --- in the process ---


def nanoseconds(call: Callable[[], object], count: int, rounds: int) -> float:
    """The median time of one call, without the loop's own cost."""
    nothing: Callable[[], object] = partial(lambda db: None, None)  # what stands around the measured call
    times = []
    for _ in range(rounds):
        spent = []
        for what in (call, nothing):
            begun = time.perf_counter_ns()
            for _ in range(count):
                what()
            spent.append(time.perf_counter_ns() - begun)
        times.append((spent[0] - spent[1]) / count)
    return round(statistics.median(times), 1)


def embedded(options: argparse.Namespace) -> None:
    import kvcore

    key, value, field = "key:000001", b"x" * 32, "field"
    plain = {key: value}
    figures: dict[str, dict[str, float]] = {}
    os.environ["KVCORE_DOOR"] = "wide"  # read when a store is opened: cffi and msgpack
    wide = kvcore.open()
    del os.environ["KVCORE_DOOR"]
    with kvcore.open() as hot, wide:
        calls: dict[str, Callable[[Any], object]] = {
            "get": lambda db: db.get(key),
            "set": lambda db: db.set(key, value),
            "incr": lambda db: db.incr("counter"),
            "hget": lambda db: db.hget("hash", field),
            "hset": lambda db: db.hset("hash", field, value),
            "lpush": lambda db: db.lpush("list", value),
            "rpop": lambda db: db.rpop("list"),
            "zadd": lambda db: db.zadd("zset", {"member": 1.5}),
            "execute GET": lambda db: db.execute("GET", key),
        }
        for db in (hot, wide):
            db.set(key, value)
            db.hset("hash", field, value)
            db.zadd("zset", {"member": 1})
        for name, call in calls.items():
            figures[name] = {}
            for door, db in (("hot", hot), ("wide", wide)):
                figures[name][door] = nanoseconds(partial(call, db), options.count, options.rounds)
        figures["dict.get"] = {"dict": nanoseconds(partial(lambda d: d.get(key), plain), options.count, options.rounds)}

    def open_close() -> None:
        kvcore.open().close()

    def serve_stop() -> None:
        with kvcore.open() as db:
            db.serve(port=0)

    figures["open and close"] = {"us": round(nanoseconds(open_close, 300, options.rounds) / 1000, 1)}
    figures["open, serve on a free port, close"] = {"us": round(nanoseconds(serve_stop, 30, options.rounds) / 1000, 1)}
    for name, row in figures.items():
        for unit, figure in row.items():
            print(f"{name:36} {figure:10.1f} {'us' if unit == 'us' else 'ns'}  {unit if unit != 'us' else ''}")
    save("embedded", figures)


# --- servers ---


class Server:
    """A RESP server in a process of its own, on a free port."""

    def __init__(self, name: str, words: list[str]) -> None:
        self.name = name
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.folder = tempfile.TemporaryDirectory(prefix="kvcore-bench-")
        words = [word.format(port=self.port, dir=self.folder.name) for word in words]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while True:
            try:
                self.socket = socket.create_connection(("127.0.0.1", self.port), 600)
                self.file = self.socket.makefile("rb")
                self.do("PING")
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def send(self, commands: list[tuple[str, ...]]) -> None:
        out = bytearray()
        for words in commands:
            out += b"*%d\r\n" % len(words)
            for word in words:
                out += b"$%d\r\n%b\r\n" % (len(word), word.encode())
        self.socket.sendall(out)
        for _ in commands:
            self.reply()

    def do(self, *words: str) -> Any:
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w.encode()) for w in words))
        return self.reply()

    def reply(self) -> Any:
        line = self.file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.reply() for _ in range(int(rest))]
        return rest

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident(self) -> int:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        self.folder.cleanup()


VALKEY = [str(PEERS / "valkey-server"), "--port", "{port}", "--dir", "{dir}", "--save", "", "--appendonly", "no"]
KVCORE = [sys.executable, "-m", "kvcore", "serve", "--port", "{port}"]


@contextmanager
def servers(commands: dict[str, list[str]]) -> Iterator[list[Server]]:
    if (
        any(words[0].endswith("valkey-server") for words in commands.values())
        and not (PEERS / "valkey-server").exists()
    ):
        sys.exit("no Valkey to compare with: `make peers` brings one")
    running: list[Server] = []
    try:
        for name, words in commands.items():
            running.append(Server(name, words))
        yield running
    finally:
        for server in running:
            server.stop()


def drive(server: Server, test: str, depth: int, count: int, options: argparse.Namespace) -> tuple[float, float, float]:
    """One run of valkey-benchmark: requests a second, p99 in ms, server CPU in us an operation."""
    words = [str(PEERS / "valkey-benchmark"), "-p", str(server.port), "-n", str(count), "-P", str(depth)]
    words += ["-c", "64", "-r", "1000000", "-d", "32"]
    before = server.cpu_s()
    out = subprocess.run([*words, "-t", test, "--csv"], capture_output=True, text=True, timeout=900, check=True).stdout
    row = next(csv.DictReader(io.StringIO(out)))
    return float(row["rps"]), float(row["p99_latency_ms"]), (server.cpu_s() - before) * 1e6 / count


def compare_speed(
    commands: dict[str, list[str]], depths: list[int], options: argparse.Namespace
) -> list[dict[str, Any]]:
    rows = []
    print(f"{'P':>3} {'test':6} {'server':10} {'rps':>10} {'p99 ms':>8} {'cpu us/op':>10}")
    with servers(commands) as running:
        for depth in depths:
            count = options.requests or (100_000 if depth == 1 else 1_000_000)
            for test in options.tests.split(","):
                figures: dict[str, list[tuple[float, float, float]]] = {server.name: [] for server in running}
                for _ in range(options.rounds):
                    for server in running:
                        if test != "get":
                            server.do("FLUSHALL")
                        figures[server.name].append(drive(server, test, depth, count, options))
                for name, runs in figures.items():
                    rps, p99, cpu = (statistics.median(column) for column in zip(*runs, strict=True))
                    row = {"pipeline": depth, "test": test, "server": name}
                    rows.append({**row, "rps": round(rps), "p99_ms": p99, "cpu_us": round(cpu, 3)})
                    print(f"{depth:3} {test:6} {name:10} {rps:10.0f} {p99:8.2f} {cpu:10.3f}")
    return rows


def server(options: argparse.Namespace) -> None:
    save("server", compare_speed({"valkey": VALKEY, "kvcore": KVCORE}, [1, 16], options))


def threads(options: argparse.Namespace) -> None:
    commands = {f"{n} threads": [*KVCORE, "--io-threads", str(n)] for n in (1, 2, 4)}
    save("threads", compare_speed(commands, [1, 16], options))


def shapes(count: int) -> dict[str, Iterator[list[tuple[str, ...]]]]:
    """Data to measure memory with: batches of commands by shape, `count` keys or elements each."""

    def batches(make: Callable[[int], tuple[str, ...]]) -> Iterator[list[tuple[str, ...]]]:
        for first in range(0, count, 1000):
            yield [make(i) for i in range(first, first + 1000)]

    return {
        "string, 16 + 32 bytes": batches(lambda i: ("SET", f"key:{i:012d}", f"{i:032d}")),
        "string with a TTL": batches(lambda i: ("SET", f"key:{i:012d}", f"{i:032d}", "EX", "100000")),
        "counter": batches(lambda i: ("SET", f"key:{i:012d}", str(i * 7919))),
        "hash of 10 fields": batches(lambda i: ("HSET", f"hash:{i // 10:010d}", f"field{i % 10}", f"{i:016d}")),
        "field of one hash": batches(lambda i: ("HSET", "hash", f"field:{i:010d}", f"{i:016d}")),
        "member of one set": batches(lambda i: ("SADD", "set", f"member:{i:010d}")),
        "member of one zset": batches(lambda i: ("ZADD", "zset", str(i * 7919 % 1000003), f"member:{i:010d}")),
        "element of one list": batches(lambda i: ("RPUSH", "list", f"{i:032d}")),
    }


def memory(options: argparse.Namespace) -> None:
    rows = []
    ratios = []
    print(f"{'shape':24} {'valkey':>8} {'kvcore':>8}   ratio   bytes of resident memory a key or element")
    for shape in shapes(options.elements):
        with servers({"valkey": VALKEY, "kvcore": KVCORE}) as running:
            bytes_each = {}
            for server in running:
                before = server.resident()
                for batch in shapes(options.elements)[shape]:
                    server.send(batch)
                bytes_each[server.name] = (server.resident() - before) / options.elements
        ratio = bytes_each["kvcore"] / bytes_each["valkey"]
        ratios.append(ratio)
        rows.append(
            {"shape": shape, **{name: round(each, 1) for name, each in bytes_each.items()}, "ratio": round(ratio, 3)}
        )
        print(f"{shape:24} {bytes_each['valkey']:8.1f} {bytes_each['kvcore']:8.1f}   {ratio:5.2f}")
    mean = round(statistics.geometric_mean(ratios), 3)
    print(f"{'geometric mean':42}   {mean:5.2f}")
    save("memory", {"elements": options.elements, "shapes": rows, "geometric_mean": mean})


def locks(options: argparse.Namespace) -> None:
    native = ROOT / "src" / "kvcore" / "_native"
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "bench_locks"
        sources = [ROOT / "benchmarks" / "c" / "bench_locks.c", native / "base" / "sync.c", native / "base" / "clock.c"]
        flags = ["-std=gnu11", "-D_GNU_SOURCE", "-O2", f"-I{native}", "-lpthread"]
        subprocess.run(["gcc", *map(str, sources), *flags, "-o", str(program)], check=True)
        runs = [
            subprocess.run([program], capture_output=True, text=True, check=True).stdout for _ in range(options.rounds)
        ]
    print(runs[-1])
    tables = [[line.rsplit(None, 5) for line in run.splitlines()[1:]] for run in runs]
    columns = ["1 thread", "2 threads, 1 shard", "2 threads, 4 shards", "2 threads, 16 shards", "2 threads, 64 shards"]
    figures = {}
    for row in range(len(tables[0])):
        medians = [round(statistics.median(float(table[row][1 + k]) for table in tables), 1) for k in range(5)]
        figures[tables[0][row][0]] = dict(zip(columns, medians, strict=True))
    save("locks", {"unit": "ns an operation, both threads together", "locks": figures})


def longwork(options: argparse.Namespace) -> None:
    from parts.common import Settings
    from parts.longwork import run

    extra = tuple(shlex.split(options.kvcore_options))
    only = tuple(filter(None, options.only.split(",")))
    peers = tuple(filter(None, options.peers.split(",")))
    run(Settings(options.quick, options.scale, options.rounds, only, peers, extra, options.rate))


BENCHMARKS: dict[str, Callable[[argparse.Namespace], None]] = {
    "embedded": embedded,
    "server": server,
    "memory": memory,
    "locks": locks,
    "threads": threads,
    "longwork": longwork,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["all"], choices=[*BENCHMARKS, "all"])
    parser.add_argument("--rounds", type=int, default=3, help="runs of each measurement; the median counts")
    parser.add_argument("--quick", action="store_true", help="fewer cases and smaller sizes (longwork)")
    parser.add_argument("--scale", type=float, default=1.0, help="a factor on sizes (longwork)")
    parser.add_argument("--only", default="", help="comma-separated words: cases whose name has one of them (longwork)")
    parser.add_argument("--peers", default="", help="comma-separated: valkey, redis (longwork)")
    parser.add_argument("--rate", type=int, default=2000, help="the probe's requests a second (longwork)")
    parser.add_argument("--kvcore-options", default="", help="options of the kvcore server, as one word (longwork)")
    parser.add_argument("--count", type=int, default=200_000, help="calls a round (embedded)")
    parser.add_argument("--requests", type=int, default=0, help="requests a test (server, threads)")
    parser.add_argument("--tests", default="set,get,lpush,zadd,ping_mbulk", help="valkey-benchmark's tests")
    parser.add_argument("--elements", type=int, default=1_000_000, help="keys or elements (memory)")
    options = parser.parse_args()
    for name in BENCHMARKS if "all" in options.what else options.what:
        print(f"--- {name}")
        BENCHMARKS[name](options)


if __name__ == "__main__":
    main()
