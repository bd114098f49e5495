"""`kvcore bench`: operations per second of common commands, in this process and over a socket to the same store."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import kvcore
from kvcore.cli.demo import speed


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="kvcore bench", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="length of each measurement")
    parser.add_argument("--keys", type=int, default=100_000, help="keys in the store beforehand")
    options = parser.parse_args(arguments)
    with kvcore.open(decode_responses=True) as db:
        for start in range(0, options.keys, 1000):
            pipe = db.pipeline(transaction=False)
            for number in range(start, min(start + 1000, options.keys)):
                pipe.set(f"key:{number}", number)
            pipe.execute()
        print(f"kvcore {kvcore.__version__}, {len(db):,} keys")
        speed(db, options.seconds)
    return 0
