"""`kvcore bench`: a user's own workload, in the process or against any server that speaks RESP."""

from kvcore.cli.bench.command import main

__all__ = ["main"]
