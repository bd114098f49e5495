"""`kvcore bench`: reads the options, runs the rounds, shows and saves what was measured."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shutil
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kvcore._version import VERSION
from kvcore.cli.bench import svg, text
from kvcore.cli.bench.targets import IN_PROCESS, Limits, Process, Result, Target, Worker, empty_loop_ns, open_target
from kvcore.cli.bench.worker import ProcessWorker
from kvcore.cli.bench.workload import COMMANDS, PREFIX, BadOption, Workload, read_mix
from kvcore.errors import RedisError

HELP = """Measure your own workload, in this process or against any server that speaks RESP.

  kvcore bench                                          80 % GET, 20 % SET on a store in this process
  kvcore bench --url redis://127.0.0.1:6379             the same against a server; host:port will do, too
  kvcore bench --url :6379 --compare :7000              two servers, round about, in one run
  kvcore bench --url :6379 --compare process            a server, and this process beside it
  kvcore bench --mix get=50,hset=30,zadd=20 --distribution zipf --value-size 16-4096
  kvcore bench --url :6379 --clients 64 --processes 4 --pipeline 16 --seconds 30 --chart latency.svg --json out.json"""

NOTES = f"""commands of --mix:
  {", ".join(COMMANDS)}
  Anything else is a template: --mix 'GETRANGE {{key}} 0 9=70,EXPIRE {{key}} 60=30'.
  {{key}} and {{counter}} name strings; {{hash}}, {{list}}, {{set}} and {{zset}} name values of their kinds;
  {{field}} and {{member}} are parts of them; {{value}} and {{number}} are data. What the mix reads is filled in first.

distributions:
  uniform               every key alike
  zipf[:EXPONENT]       the r-th most wanted key in proportion to 1/r^EXPONENT (0.99)
  hotspot[:KEYS:CALLS]  a share CALLS (0.8) of the calls to a share KEYS (0.2) of the keys
  sequential            one after the other

what is measured:
  Every client sends its next request (with --pipeline: its next batch) when it has the reply to the one before: a
  closed loop. Latency is a request's, or with a pipeline a batch's, from before it is sent until its reply has been
  read, in microseconds; percentiles come from a histogram of fixed size and are at most 0.8 % too long.
  In this process a client is a Python thread that calls the store's methods; threads share the interpreter, so more
  of them do not run Python faster. `client` says what the measuring itself takes: for calls, an empty loop of the
  same kind; for servers, the client's CPU time. A client that is busy all the time measures itself: take more
  --processes. Commands are made beforehand, up to 200,000 of them with the given --seed, and repeated.
  With --compare the targets take turns, --rounds times.

on a server:
  Keys are named {PREFIX}... and removed at the end, unless --keep is given. --url takes user, password and database:
  redis://user:password@host:6379/5.

Ctrl-C ends the run and shows what was measured until then; the exit status is 130."""


@dataclass
class Measured:
    """One target and everything that its rounds gave."""

    target: Target
    description: str
    workers: list[Worker] = field(default_factory=list)
    total: Result = field(default_factory=Result)
    rates: list[float] = field(default_factory=list)


class Progress:
    """One line on a terminal that is written over; nothing at all elsewhere."""

    def __init__(self, quiet: bool) -> None:
        self.live = not quiet and sys.stderr.isatty()
        self.shown = 0.0

    def show(self, line: str) -> None:
        now = time.monotonic()
        if self.live and now - self.shown > 0.1:
            self.shown = now
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\x1b[K{line[:width]}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self.live:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def whole(text_: str) -> int:
    """1000, 10k, 1m."""
    factor = {"k": 1000, "m": 1_000_000}.get(text_[-1:].lower(), 1)
    return int(float(text_[:-1]) * factor) if factor > 1 else int(text_)


def count_of(name: str, least: int) -> Any:
    """A type for argparse: a whole number, at least so much, with an error that says so."""

    def read(given: str) -> int:
        try:
            value = whole(given)
        except (ValueError, OverflowError):
            raise argparse.ArgumentTypeError(f"{given!r} is no whole number (10000, 10k, 1m)") from None
        if value < least:
            raise argparse.ArgumentTypeError(f"has to be {least} or more, not {given}")
        return value

    read.__name__ = name
    return read


def seconds_of(zero: bool) -> Any:
    def read(given: str) -> float:
        try:
            value = float(given.removesuffix("s"))
        except ValueError:
            raise argparse.ArgumentTypeError(f"{given!r} is no number of seconds") from None
        if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
            raise argparse.ArgumentTypeError(f"has to be {'0 or more' if zero else 'more than 0'}, not {given}")
        return value

    return read


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="kvcore bench", description=HELP, epilog=NOTES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    count = count_of("count", 1)
    where = made.add_argument_group("where")
    where.add_argument("--url", default=IN_PROCESS, metavar="URL", help="a server (default: a store in this process)")
    where.add_argument(
        "--compare", metavar="URL", help="a second target in the same run; the word `process` is this process"
    )
    where.add_argument("--clients", type=count, metavar="N", help="connections, or threads in this process (16; 1)")
    where.add_argument(
        "--processes", type=count, default=1, metavar="N", help="client processes that share the clients (1)"
    )
    where.add_argument(
        "--threads", type=count, default=1, metavar="N", help="client threads that share the clients (1)"
    )
    what = made.add_argument_group("what")
    what.add_argument("--mix", default=Workload.mix, help="commands and their shares (%(default)s); see below")
    what.add_argument("--pipeline", type=count, default=1, metavar="N", help="commands in a batch (1)")
    what.add_argument("--keys", type=count, default=Workload.keys, metavar="N", help="keys (100k)")
    what.add_argument(
        "--distribution", default=Workload.distribution, metavar="D", help="which keys (uniform); see below"
    )
    what.add_argument(
        "--value-size", default=Workload.value_size, metavar="N|N-M", help="bytes of a value, or a range (32)"
    )
    what.add_argument("--seed", type=int, default=Workload.seed, help="the same commands for the same seed (1)")
    what.add_argument("--no-fill", action="store_true", help="do not fill in data beforehand")
    what.add_argument("--keep", action="store_true", help="leave the keys on the server")
    length = made.add_argument_group("how long")
    ends = length.add_mutually_exclusive_group()
    ends.add_argument("--seconds", type=seconds_of(False), metavar="S", help="measured time of a target (5)")
    ends.add_argument("--requests", type=count, metavar="N", help="measured commands of a target, instead")
    length.add_argument(
        "--warmup", type=seconds_of(True), default=0.5, metavar="S", help="unmeasured time before (0.5)"
    )
    length.add_argument(
        "--rounds", type=count, metavar="N", help="parts that the time is cut into (1; 5 with --compare)"
    )
    shown = made.add_argument_group("what you get")
    shown.add_argument("--chart", type=Path, metavar="FILE.svg", help="write latency by percentile as a picture")
    shown.add_argument("--json", type=Path, metavar="FILE", help="write everything as JSON, histograms included")
    shown.add_argument("--quiet", action="store_true", help="no progress and no chart: the table alone")
    return made


def crew(target: Target, options: argparse.Namespace, workload: Workload) -> list[Worker]:
    """The workers of a target, with their connections."""
    if isinstance(target, Process):
        clients = options.clients or 1
        return [target.worker(workload, options.pipeline, 1, part, clients) for part in range(clients)]
    clients = options.clients or 16
    workers = min(clients, options.processes * options.threads)
    made: list[Worker] = []
    try:
        for part in range(workers):
            mine = clients * (part + 1) // workers - clients * part // workers
            if options.processes > 1:
                made.append(ProcessWorker(target.url, workload, options.pipeline, mine, part, workers))
            else:
                made.append(target.worker(workload, options.pipeline, mine, part, workers))
    except BaseException:
        for worker in made:
            worker.close()
        raise
    return made


def run_all(workers: Sequence[Worker], seconds: float, requests: int, show: Any) -> tuple[Result, bool]:
    """All workers at once; their result together, and whether Ctrl-C ended it."""
    stop = threading.Event()
    results: list[Result] = []
    failed: list[BaseException] = []
    limits = [
        Limits(seconds, requests * (part + 1) // len(workers) - requests * part // len(workers), stop)
        for part in range(len(workers))
    ]

    def run(worker: Worker, limit: Limits) -> None:
        if requests and not limit.operations:
            return  # fewer requests than workers
        try:
            results.append(worker.run(limit))
        except BaseException as error:
            failed.append(error)
            stop.set()

    threads = [threading.Thread(target=run, args=pair) for pair in zip(workers, limits, strict=True)]
    interrupted = False
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        try:
            for thread in threads:
                thread.join(0.25 / len(threads))
            show(sum(limit.done for limit in limits))
        except KeyboardInterrupt:
            interrupted = True
            stop.set()
    if failed:
        raise failed[0]
    together = Result()
    for result in results:
        together.add(result)
    return together, interrupted


def fill(one: Measured, workload: Workload, progress: Progress) -> None:
    def told(done: int) -> None:
        progress.show(f"filling {one.target.label}: {done:,} commands")

    one.target.fill(workload.fill(), told)


def measure(targets: list[Measured], options: argparse.Namespace, workload: Workload, progress: Progress) -> bool:
    """All rounds of all targets; False when Ctrl-C ended them."""
    for one in targets:
        if not options.no_fill:
            fill(one, workload, progress)
        one.workers = crew(one.target, options, workload)
        if options.warmup:
            _, interrupted = run_all(
                one.workers, options.warmup, 0, lambda done: progress.show(f"warming up: {done:,}")
            )
            if interrupted:
                return False
    rounds = options.rounds or (5 if len(targets) > 1 else 1)
    seconds = 0.0 if options.requests else (options.seconds or 5.0) / rounds
    for turn in range(rounds):
        requests = (options.requests or 0) * (turn + 1) // rounds - (options.requests or 0) * turn // rounds
        if options.requests and not requests:
            continue
        for one in targets:
            begun = time.monotonic()

            def show(done: int, one: Measured = one, begun: float = begun, turn: int = turn) -> None:
                spent = time.monotonic() - begun
                rate = f", {done / spent:,.0f} a second" if done and spent else ""
                bound = f" of {seconds:g}" if seconds else ""
                progress.show(f"{one.target.label}, round {turn + 1} of {rounds}: {spent:.1f}{bound} s{rate}")

            found, interrupted = run_all(one.workers, seconds, requests, show)
            if found.operations:
                one.total.follow(found)
                one.rates.append(found.rate)
            if interrupted:
                return False
    return True


# --- what comes out ---


def client_cost(one: Measured, options: argparse.Namespace) -> tuple[str, dict[str, float]]:
    """What the measuring takes, in words and as figures."""
    if isinstance(one.target, Process):
        if options.pipeline > 1:
            return "client: building the batches is part of what is measured", {}
        loop = empty_loop_ns()
        return f"client: an empty loop of the same kind takes {loop:.0f} ns an operation", {
            "empty_loop_ns": round(loop, 1)
        }
    each = one.total.cpu_s * 1e6 / max(one.total.operations, 1)
    # Threads of one process share one interpreter, so together they have one core at most.
    cores = len(one.workers) if options.processes > 1 else 1
    busy = one.total.cpu_s / max(one.total.seconds * cores, 1e-9)
    words = f"client: {each:.2f} us of CPU an operation, busy {min(busy, 1):.0%} of {cores} core{'s' * (cores > 1)}"
    if busy > 0.9:
        words += "; the client is the limit here, take more --processes"
    return words, {"cpu_us_an_operation": round(each, 3), "busy": round(busy, 3)}


def show_table(targets: Sequence[Measured], options: argparse.Namespace) -> None:
    names = [one.target.label for one in targets] + [f"  {name}" for one in targets for name in one.total.latencies]
    width = min(max(8, *map(len, names)), 40)
    unit = "us, a batch" if options.pipeline > 1 else "us"
    print(f"\n{'':{width}} {'ops/s':>12}{text.latency_titles()}  {unit}")
    for one in targets:
        total = one.total
        print(f"{one.target.label[:width]:{width}} {total.rate:12,.0f}{text.latency_row(total.all_latencies())}")
        if len(total.latencies) > 1:
            for name, histogram in sorted(total.latencies.items()):
                share = total.rate * histogram.count / max(total.operations, 1)
                print(f"  {name[: width - 2]:{width - 2}} {share:12,.0f}{text.latency_row(histogram)}")
    for one in targets:
        prefix = f"{one.target.label}: " if len(targets) > 1 else ""
        print(
            f"{prefix}{one.total.operations:,} operations in {one.total.seconds:.2f} s; {client_cost(one, options)[0]}"
        )
        if one.total.errors:
            print(f"{prefix}{one.total.errors:,} error replies, the first: {one.total.first_error}")
        if len(one.rates) > 1:
            print(f"{prefix}rounds between {min(one.rates):,.0f} and {max(one.rates):,.0f} ops/s")
    if len(targets) == 2 and targets[0].total.rate and targets[1].total.rate:
        first, second = (one.total for one in targets)
        one_, two = first.all_latencies(), second.all_latencies()
        shares = ", ".join(
            f"{text.share_name(share)} {one_.percentile(share) / max(two.percentile(share), 1):.2f}"
            for share in (50.0, 99.0, 99.9)
        )
        print(f"{targets[0].target.label} by {targets[1].target.label}: ops/s {first.rate / second.rate:.2f}, {shares}")


def as_json(
    targets: Sequence[Measured], options: argparse.Namespace, workload: Workload, complete: bool
) -> dict[str, Any]:
    def latencies(result: Result) -> dict[str, Any]:
        found = {}
        for name, histogram in [("all", result.all_latencies()), *sorted(result.latencies.items())]:
            shares = {text.share_name(share): histogram.percentile(share) for share in text.SHARES}
            found[name] = {"count": histogram.count, "mean": round(histogram.mean, 1), **shares, **histogram.as_json()}
        return found

    given = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
    for name in ("url", "compare"):  # a password is nothing for a file
        if given[name] and "@" in given[name]:
            given[name] = given[name].split("://")[0] + "://" + given[name].split("@")[-1]
    return {
        "kvcore": VERSION,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "cores": len(os.sched_getaffinity(0)),
            "python": platform.python_version(),
        },
        "options": given,
        "workload": asdict(workload),
        "complete": complete,
        "targets": [
            {
                "target": one.description,
                "operations": one.total.operations,
                "seconds": round(one.total.seconds, 6),
                "ops_per_second": round(one.total.rate, 1),
                "rounds_ops_per_second": [round(rate, 1) for rate in one.rates],
                "errors": one.total.errors,
                "first_error": one.total.first_error,
                "client": client_cost(one, options)[1],
                "latency_ns": latencies(one.total),
            }
            for one in targets
        ],
    }


def picture(targets: Sequence[Measured], options: argparse.Namespace, workload: Workload) -> str:
    """Latency by percentile of all targets, as SVG."""
    series = []
    for one in targets:
        histogram = one.total.all_latencies()
        points = [(0.0, (histogram.minimum or 0) / 1000)]
        seen = 0
        for value, times in histogram.pairs():
            seen += times
            points.append((100.0 * seen / max(histogram.count, 1), min(value, histogram.maximum) / 1000))
        series.append((f"{one.target.label}: {one.total.rate:,.0f} ops/s", points))
    what = "a batch" if options.pipeline > 1 else "a request"
    note = f"{workload.mix}; {workload.keys:,} keys, {workload.distribution}; values of {workload.value_size} bytes"
    return svg.by_percentile(f"Latency of {what} by percentile", series, f"{note}; pipeline {options.pipeline}")


def check_files(*paths: Path | None) -> None:
    """Files that cannot be written are an error before a long run, not after it."""
    for path in paths:
        if path is not None and (path.is_dir() or not os.access(path.parent or Path("."), os.W_OK)):
            raise BadOption(f"cannot write {path}")


def run(options: argparse.Namespace) -> int:
    workload = Workload(options.mix, options.keys, options.distribution, options.value_size, options.seed)
    workload.check()
    check_files(options.chart, options.json)
    names = [options.url] + ([options.compare] if options.compare else [])
    if IN_PROCESS in names and options.processes > 1 and len(names) == 1:
        raise BadOption(
            "--processes: a store in this process has no other processes as clients; --clients N are threads"
        )
    progress = Progress(options.quiet)
    targets: list[Measured] = []
    complete = False
    with ExitStack() as closing:
        for name in names:
            target = open_target(name)
            closing.callback(target.close)
            targets.append(Measured(target, target.describe()))
        if not options.quiet:
            print("; ".join(one.description for one in targets))
            shares = read_mix(workload.mix)
            whole_ = sum(operation.share for operation in shares)
            mix = ", ".join(f"{operation.share / whole_:.0%} {operation.name}" for operation in shares)
            print(f"{mix}; {workload.keys:,} keys, {workload.distribution}; values of {workload.value_size} bytes; "
                  f"pipeline {options.pipeline}")  # fmt: skip
        try:
            complete = measure(targets, options, workload, progress)
        except KeyboardInterrupt:
            pass
        finally:
            progress.clear()
            for one in targets:
                for worker in one.workers:
                    worker.close()
            if not options.keep:
                for one in targets:
                    one.target.remove(workload.names())
        if not complete:
            print("interrupted: what was measured so far")
        if any(one.total.operations for one in targets):
            show_table(targets, options)
            if not options.quiet:
                series = [(one.target.label, one.total.all_latencies()) for one in targets]
                print("\n" + text.chart(series, blocks=text.supports_blocks()))
        if options.json:
            options.json.write_text(json.dumps(as_json(targets, options, workload, complete), indent=1) + "\n")
        if options.chart:
            options.chart.write_text(picture(targets, options, workload), encoding="utf-8")
    return 0 if complete else 130


def main(arguments: Sequence[str]) -> int:
    options = parser().parse_args(arguments)
    try:
        return run(options)
    except BadOption as error:
        print(f"kvcore bench: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        raise  # whoever reads the output has seen enough
    except (RedisError, OSError) as error:
        print(f"kvcore bench: {error}", file=sys.stderr)
        return 1
