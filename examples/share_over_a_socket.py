"""One store, two ways in: this process directly, another one through a socket with a Redis client."""

from __future__ import annotations

import subprocess
import sys

import kvcore

OTHER_PROCESS = """
import sys
from kvcore.cli.resp import Client          # any Redis client would do: redis.Redis.from_url(sys.argv[1])
with Client(sys.argv[1]) as client:
    client.must("RPUSH", "greetings", "hello from another process")
"""


def main() -> None:
    with kvcore.open(decode_responses=True) as db:
        url = db.serve(port=0)
        subprocess.run([sys.executable, "-c", OTHER_PROCESS, url], check=True)
        greeting = db.blpop(["greetings"], timeout=5)
        assert greeting is not None
        print(greeting[1])


if __name__ == "__main__":
    main()
