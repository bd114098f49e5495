"""Where a benchmark's commands go: a store in this process, or a server that speaks RESP."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any

import kvcore
from kvcore.cli.bench.histogram import Histogram
from kvcore.cli.bench.workload import BadOption, Workload
from kvcore.cli.resp import Client, encode
from kvcore.errors import RedisError

POOL = 200_000  # commands made beforehand, all workers together; then they are repeated
LEAST_POOL = 2_000
IN_PROCESS = "process"

# Commands whose method takes the words in their order: measured as a program calls them.
METHODS = {
    "get", "set", "append", "strlen", "exists", "incr", "incrby", "lpush", "rpush", "lpop", "rpop", "hset", "hget",
    "hgetall", "sadd", "srem", "sismember", "zrank", "zscore", "ping",
}  # fmt: skip


@dataclass
class Result:
    """What one worker, or all of them, measured. Seconds are those of the measuring alone."""

    operations: int = 0
    seconds: float = 0.0
    rate: float = 0.0  # operations a second
    cpu_s: float = 0.0  # the client's own
    errors: int = 0
    first_error: str = ""
    latencies: dict[str, Histogram] = field(default_factory=dict)

    def add(self, other: Result) -> None:
        """Put the result of a worker beside this one in."""
        self.operations += other.operations
        self.seconds = max(self.seconds, other.seconds)
        self.rate += other.rate
        self.cpu_s += other.cpu_s
        self._merge(other)

    def follow(self, other: Result) -> None:
        """Put the result of a later round in."""
        self.operations += other.operations
        whole = self.seconds + other.seconds
        self.rate = (self.rate * self.seconds + other.rate * other.seconds) / whole if whole else 0.0
        self.seconds = whole
        self.cpu_s += other.cpu_s
        self._merge(other)

    def _merge(self, other: Result) -> None:
        self.errors += other.errors
        self.first_error = self.first_error or other.first_error
        for name, histogram in other.latencies.items():
            self.latencies.setdefault(name, Histogram()).merge(histogram)

    def all_latencies(self) -> Histogram:
        merged = Histogram()
        for histogram in self.latencies.values():
            merged.merge(histogram)
        return merged

    def as_json(self) -> dict[str, Any]:
        plain = {name: value for name, value in vars(self).items() if name != "latencies"}
        return {**plain, "latencies": {name: histogram.as_json() for name, histogram in self.latencies.items()}}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Result:
        latencies = {name: Histogram.from_json(each) for name, each in found.pop("latencies").items()}
        return cls(**found, latencies=latencies)


@dataclass
class Limits:
    """When a worker is to end: after so many operations, after so many seconds, or when told."""

    seconds: float = 0.0  # 0: no bound
    operations: int = 0  # 0: no bound
    stop: threading.Event = field(default_factory=threading.Event)
    done: int = 0  # for a progress bar; read without a lock


class Worker:
    """Runs commands against a target: run() as often as wanted, then close()."""

    def run(self, limits: Limits) -> Result:
        raise NotImplementedError

    def close(self) -> None:
        pass


def pool_size(workers: int, pipeline: int) -> int:
    size = max(POOL // workers, LEAST_POOL, pipeline)
    return size - size % pipeline


# --- in the process ---


class DirectWorker(Worker):
    """A thread that calls a store's methods."""

    def __init__(self, db: kvcore.Store[bytes], workload: Workload, pipeline: int, part: int, parts: int) -> None:
        self.pipeline = pipeline
        self.db = db
        commands = workload.operations(pool_size(parts, pipeline), part, parts)
        if pipeline == 1:
            self.calls: list[Any] = [(self.call(db, words), name) for name, words in commands]
        else:
            self.calls = []
            while batch := list(islice(commands, pipeline)):
                self.calls.append([self.call(None, words)[1:] for _, words in batch])
        self.at = 0

    @staticmethod
    def call(db: kvcore.Store[bytes] | None, words: Sequence[bytes]) -> tuple[Any, str, tuple[Any, ...]]:
        """(bound method or None, its name, arguments) for a command's words."""
        name = words[0].decode().lower()
        arguments: tuple[Any, ...] = tuple(words[1:])
        plain = name in METHODS and (name != "set" or len(words) == 3)
        if name == "zadd" and len(words) == 4:
            arguments, plain = (words[1], {words[3]: float(words[2])}), True
        elif name in ("lrange", "zrange") and len(words) == 4:
            arguments, plain = (words[1], int(words[2]), int(words[3])), True
        if not plain:
            name, arguments = "execute" if db is not None else "execute_command", tuple(words)
        return (getattr(db, name) if db is not None else None), name, arguments

    def run(self, limits: Limits) -> Result:
        result = Result()
        clock, cpu = time.perf_counter_ns, time.thread_time()
        begun = clock()
        end = begun + int(limits.seconds * 1e9) if limits.seconds else 1 << 62
        step = self.single if self.pipeline == 1 else self.batches
        while not limits.stop.is_set() and clock() < end:
            left = limits.operations - result.operations if limits.operations else 1 << 62
            if left <= 0:
                break
            result.operations += step(result, min(left, 2048), end)
            limits.done = result.operations
        result.cpu_s = time.thread_time() - cpu
        result.rate = result.operations / result.seconds if result.seconds else 0.0
        return result

    def single(self, result: Result, most: int, end: int) -> int:
        """Up to `most` calls; how many. Their latencies are counted afterwards, and that is not measured."""
        calls = self.calls[self.at : self.at + most]
        self.at = (self.at + len(calls)) % len(self.calls)
        clock = time.perf_counter_ns
        latencies: list[int] = []
        append = latencies.append
        before = begun = clock()
        try:
            for (method, _, arguments), _name in calls:
                method(*arguments)
                now = clock()
                append(now - before)
                if now >= end:
                    break
                before = now
        except RedisError as error:
            append(clock() - before)
            result.errors += 1
            result.first_error = result.first_error or str(error)
        result.seconds += (clock() - begun) / 1e9
        by_name: dict[str, list[int]] = {}
        for (_, name), latency in zip(calls, latencies, strict=False):
            by_name.setdefault(name, []).append(latency)
        for name, values in by_name.items():
            result.latencies.setdefault(name, Histogram()).record_many(values)
        return len(latencies)

    def batches(self, result: Result, most: int, end: int) -> int:
        """Pipelines of commands, built and run: building is part of what a program does."""
        latencies: list[int] = []
        clock = time.perf_counter_ns
        before = begun = clock()
        done = 0
        while done < most and before < end:
            batch = self.calls[self.at]
            self.at = (self.at + 1) % len(self.calls)
            pipe: Any = self.db.pipeline(transaction=False)
            for name, arguments in batch:
                getattr(pipe, name)(*arguments)
            for reply in pipe.execute(raise_on_error=False):
                if isinstance(reply, Exception):
                    result.errors += 1
                    result.first_error = result.first_error or str(reply)
            done += len(batch)
            now = clock()
            latencies.append(now - before)
            before = now
        result.seconds += (clock() - begun) / 1e9
        result.latencies.setdefault("pipeline", Histogram()).record_many(latencies)
        return done


def empty_loop_ns(count: int = 50_000) -> float:
    """What the measuring loop of a thread costs an operation when the call does next to nothing: the best of a few."""

    class Nothing(DirectWorker):
        def __init__(self) -> None:
            nothing: Callable[..., Any] = {}.values  # a method in C that does next to nothing
            self.calls, self.at = [((nothing, "", ()), "nothing")] * 2048, 0

    worker, best = Nothing(), 1e9
    for _ in range(5):
        result = Result()
        done = sum(worker.single(result, 2048, 1 << 62) for _ in range(max(1, count // 5 // 2048)))
        best = min(best, result.seconds * 1e9 / done)
    return best


class Process:
    """A private store of this process; its workers are Python threads, which share one interpreter's lock."""

    name = "in this process"

    def __init__(self, label: str = "") -> None:
        self.label = label or self.name
        self.db = kvcore.open()

    def describe(self) -> str:
        return f"kvcore {kvcore.__version__}, a store in this process"

    def fill(self, commands: Iterable[Sequence[bytes]], told: Callable[[int], None]) -> None:
        remaining, done = iter(commands), 0
        while batch := list(islice(remaining, 1000)):
            pipe: Any = self.db.pipeline(transaction=False)
            for words in batch:
                pipe.execute_command(*words)
            pipe.execute()
            done += len(batch)
            told(done)

    def worker(self, workload: Workload, pipeline: int, clients: int, part: int, parts: int) -> Worker:
        return DirectWorker(self.db, workload, pipeline, part, parts)

    def remove(self, names: Iterable[bytes]) -> None:
        pass  # it goes with the store

    def close(self) -> None:
        self.db.close()


# --- over a socket ---


class Replies:
    """Counts complete replies in a stream, without making objects of them."""

    def __init__(self) -> None:
        self.buffer = b""
        self.wanted = 0
        self.errors = 0
        self.first_error = ""

    def expect(self, count: int) -> None:
        self.wanted = count

    def feed(self, data: bytes) -> bool:
        """Take bytes; has everything come that was expected?"""
        buffer = self.buffer + data if self.buffer else data
        at, wanted, size = 0, self.wanted, len(buffer)
        while wanted:
            line = buffer.find(b"\r\n", at)
            if line < 0:
                break
            kind = buffer[at]
            if kind == 36:  # $
                length = int(buffer[at + 1 : line])
                after = line + 2 if length < 0 else line + 4 + length
                if after > size:
                    break
                at = after
                wanted -= 1
            elif kind == 42:  # *
                wanted += max(int(buffer[at + 1 : line]), 0) - 1
                at = line + 2
            elif kind in b"+:-":
                if kind == 45:
                    self.errors += 1
                    self.first_error = self.first_error or buffer[at + 1 : line].decode(errors="replace")
                at = line + 2
                wanted -= 1
            else:
                raise ConnectionError(f"not a reply that RESP2 knows: {buffer[at : at + 40]!r}")
        self.buffer, self.wanted = buffer[at:], wanted
        return wanted == 0


class Connection:
    """One client of a server: a batch of commands under way, or none."""

    def __init__(self, url: str, batches: Iterator[tuple[bytes, str, int]]) -> None:
        self.client = Client(url, timeout=60)
        self.socket: socket.socket = self.client._socket
        self.batches = batches
        self.replies = Replies()
        self.sent_ns = 0
        self.name = ""
        self.count = 0

    def send(self) -> None:
        request, self.name, self.count = next(self.batches)
        self.replies.expect(self.count)
        self.sent_ns = time.perf_counter_ns()
        self.socket.sendall(request)


class SocketWorker(Worker):
    """Clients of a server, each with one batch under way at a time; all of them in this thread."""

    def __init__(self, url: str, workload: Workload, pipeline: int, clients: int, part: int, parts: int) -> None:
        made = workload.operations(pool_size(parts, pipeline), part, parts)
        batches: list[tuple[bytes, str, int]] = []
        while batch := list(islice(made, pipeline)):
            name = batch[0][0] if pipeline == 1 else "pipeline"
            batches.append((b"".join(encode(words) for _, words in batch), name, len(batch)))
        shared = cycle(batches)
        self.connections = [Connection(url, shared) for _ in range(clients)]
        self.poll = select.epoll()
        self.by_file = {}
        for connection in self.connections:
            self.by_file[connection.socket.fileno()] = connection
            self.poll.register(connection.socket.fileno(), select.EPOLLIN)

    def run(self, limits: Limits) -> Result:
        result = Result()
        clock, cpu = time.perf_counter_ns, time.thread_time()
        latencies: dict[str, list[int]] = {}
        begun = clock()
        end = begun + int(limits.seconds * 1e9) if limits.seconds else 1 << 62
        most = limits.operations or 1 << 62
        started, busy = 0, 0
        for connection in self.connections:
            if started < most:
                connection.send()
                started += connection.count
                busy += 1
        done, ending = 0, False
        while busy:
            ready = self.poll.poll(60)
            if not ready:
                raise TimeoutError("the server has not answered for 60 seconds")
            ending = ending or limits.stop.is_set()
            for file, _ in ready:
                connection = self.by_file[file]
                data = connection.socket.recv(262144)
                if not data:
                    raise ConnectionError("the server closed the connection")
                if not connection.replies.feed(data):
                    continue
                now = clock()
                latencies.setdefault(connection.name, []).append(now - connection.sent_ns)
                done += connection.count
                if now >= end or ending or started >= most:
                    busy -= 1
                else:
                    connection.send()
                    started += connection.count
            limits.done = done
            for name, values in latencies.items():
                if len(values) > 20_000:
                    result.latencies.setdefault(name, Histogram()).record_many(values)
                    values.clear()
        result.seconds = (clock() - begun) / 1e9
        result.cpu_s = time.thread_time() - cpu
        result.operations = done
        result.rate = done / result.seconds
        for name, values in latencies.items():
            result.latencies.setdefault(name, Histogram()).record_many(values)
        for connection in self.connections:
            result.errors += connection.replies.errors
            result.first_error = result.first_error or connection.replies.first_error
            connection.replies.errors = 0
        return result

    def close(self) -> None:
        self.poll.close()
        for connection in self.connections:
            connection.client.close()


def read_url(text: str) -> str:
    """`host:port`, `:port`, redis://..., valkey://... or unix://... as a URL."""
    if "://" in text:
        if text.split("://", 1)[0] not in ("redis", "valkey", "unix"):
            raise BadOption(f"{text!r}: expected redis://host:port/db, unix:///path or host:port")
        return text
    host, colon, port = text.rpartition(":")
    if not colon:
        host, port = text, "6379"
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise BadOption(f"{text!r}: expected redis://host:port/db, unix:///path, host:port, or the word {IN_PROCESS}")
    return f"redis://{host or '127.0.0.1'}:{port}"


def text_without_password(url: str) -> str:
    """What a screen or a file may show of a URL."""
    return url.split("://")[-1].rpartition("@")[2]


class Remote:
    """A server that speaks RESP."""

    def __init__(self, url: str, label: str = "") -> None:
        self.url = read_url(url)
        try:
            self.client = Client(self.url, timeout=60)
        except OSError as error:
            raise ConnectionError(f"{text_without_password(self.url)}: {error.strerror or error}") from None
        self.label = label or text_without_password(self.url)

    def describe(self) -> str:
        reply = self.client.call("INFO", "server")
        if not isinstance(reply, bytes):
            return self.label
        lines = dict(line.split(":", 1) for line in reply.decode(errors="replace").splitlines() if ":" in line)
        if self.client.call("CONFIG", "GET", "shards") not in (
            [],
            None,
        ):  # only kvcore has that; its INFO tells whose commands it speaks
            return f"kvcore at {self.label}"
        for product in ("valkey", "redis"):
            if found := lines.get(f"{product}_version"):
                return f"{product} {found} at {self.label}"
        return self.label

    def fill(self, commands: Iterable[Sequence[bytes]], told: Callable[[int], None]) -> None:
        remaining, done = iter(commands), 0
        while batch := list(islice(remaining, 1000)):
            for reply in self.client.batch(batch):
                if isinstance(reply, RedisError):
                    raise reply
            done += len(batch)
            told(done)

    def worker(self, workload: Workload, pipeline: int, clients: int, part: int, parts: int) -> Worker:
        return SocketWorker(self.url, workload, pipeline, clients, part, parts)

    def remove(self, names: Iterable[bytes]) -> None:
        remaining = iter(names)
        while batch := list(islice(remaining, 1000)):
            self.client.call("UNLINK", *batch)

    def close(self) -> None:
        self.client.close()


Target = Process | Remote


def open_target(text: str) -> Target:
    return Process() if text == IN_PROCESS else Remote(text)
