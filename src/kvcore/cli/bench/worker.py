"""A worker in a process of its own, driven by lines of JSON on its pipes.

The first line says what to do (url, workload, pipeline, clients, part, parts) and is answered by "ready". Each further
line {"seconds": s, "operations": n} is a run, answered by {"done": n} now and then and {"result": ...} at its end;
{"stop": true} ends a run early. Lines, and not multiprocessing: nothing is pickled, and the two sides share no state.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import threading
from typing import Any

import kvcore
from kvcore.cli.bench.targets import Limits, Remote, Result, Worker
from kvcore.cli.bench.workload import Workload


def say(found: dict[str, Any]) -> None:
    print(json.dumps(found), flush=True)


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, too, and says stop
    spec = json.loads(sys.stdin.readline())
    target = Remote(spec["url"])
    worker = target.worker(Workload(**spec["workload"]), spec["pipeline"], spec["clients"], spec["part"], spec["parts"])
    say({"ready": True})
    limits = Limits()
    thread: threading.Thread | None = None

    def run(mine: Limits) -> None:
        try:
            say({"result": worker.run(mine).as_json()})
        except Exception as error:
            say({"failed": f"{type(error).__name__}: {error}"})

    for line in sys.stdin:
        found = json.loads(line)
        if found.get("stop"):
            limits.stop.set()
            continue
        if thread:
            thread.join()
        limits = Limits(found["seconds"], found["operations"])
        thread = threading.Thread(target=run, args=(limits,))
        thread.start()
    limits.stop.set()
    if thread:
        thread.join()
    worker.close()
    target.close()
    return 0


class ProcessWorker(Worker):
    """The other end: a worker of this process that is run in another one."""

    def __init__(self, url: str, workload: Workload, pipeline: int, clients: int, part: int, parts: int) -> None:
        command = [sys.executable, "-c", "import sys, kvcore.cli.bench.worker as w; sys.exit(w.main())"]
        # The child has to find this very kvcore, however this process found it.
        package = os.path.dirname(os.path.dirname(os.path.abspath(kvcore.__file__)))
        path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
        )
        spec = {"url": url, "workload": vars(workload), "pipeline": pipeline, "clients": clients}
        self.send({**spec, "part": part, "parts": parts})
        self.hear("ready")

    def send(self, found: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(found) + "\n")
        self.process.stdin.flush()

    def hear(self, wanted: str) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = json.loads(line) if line else {"failed": "a worker process ended"}
        if "failed" in found:
            raise ConnectionError(found["failed"])
        return found[wanted]

    def run(self, limits: Limits) -> Result:
        assert self.process.stdout is not None
        self.send({"seconds": limits.seconds, "operations": limits.operations})
        with selectors.DefaultSelector() as waiting:
            waiting.register(self.process.stdout, selectors.EVENT_READ)
            told = False
            while not waiting.select(0.1):
                if limits.stop.is_set() and not told:
                    self.send({"stop": True})
                    told = True
        return Result.from_json(self.hear("result"))

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
