"""kill -9 under load: afterwards there is a beginning of what was done, and under `always` all that was answered.

Every writer's transaction raises a counter of its own and one that all share, so its answer tells its place in the
order of all transactions. What is there afterwards has to be the first of them, up to one place and none behind it.
KVCORE_SOAK_RUNS is how many kills there are in all.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

import kvcore
from tests import servers
from tests.compat.resp import ConnectionClosed, ReplyTimeout
from tests.persist.places import contents, info, kill, manifest, names, server_on, serving, told, until

RUNS = int(os.environ.get("KVCORE_SOAK_RUNS", "16"))
KINDS = 4  # a server and a single file, each with two levels
CHAIN = 10  # kills in one directory, each store going on where the last one was killed
WRITERS = 3
PIPELINE = 8
Answer = tuple[int, int]  # the writer's own counter, and the shared one


def chains() -> list[int]:
    """How many kills each directory sees."""
    kills = max(1, RUNS // KINDS)
    return [min(CHAIN, kills - done) for done in range(0, kills, CHAIN)]


def check_beginning(
    counts: Sequence[int], everything: int, answers: Sequence[Sequence[Answer]], ahead: int, *, all_of_it: bool
) -> None:
    """`ahead`: how many transactions a writer may have sent that were not answered."""
    assert everything == sum(counts), "transactions are there in part"
    for count, answered in zip(counts, answers, strict=True):
        for mine, place in answered:
            assert (mine <= count) == (place <= everything), "not a beginning of the order"
        assert count <= answered[-1][0] + ahead, "more than was sent"
        assert not all_of_it or count >= answered[-1][0], "answered, and not there"


class Writer(threading.Thread):
    """Counts until the server is gone; `answers` is what it knows to be done."""

    def __init__(self, server: servers.Server, number: int, start: Answer) -> None:
        super().__init__(daemon=True)
        self.server, self.number, self.answers = server, number, [start]

    def run(self) -> None:
        mine = f"writer:{self.number}"
        group = [("MULTI",), ("INCR", mine), ("HSET", "last", mine, "x"), ("INCR", "all"), ("EXEC",)]
        try:
            with self.server.connect(timeout_s=20) as connection:
                while True:
                    connection.send_many(group * PIPELINE)
                    for _ in range(PIPELINE):
                        for _ in group[:-1]:
                            connection.reply()
                        items = connection.reply().items
                        self.answers.append((int(str(items[0].value)), int(str(items[2].value))))
        except (ConnectionClosed, ReplyTimeout, OSError, IndexError):
            return


def answered_more(writers: Sequence[Writer], count: int) -> None:
    """Until there are so many answers more, so that a slow machine is killed in the middle of something too."""
    wanted = sum(len(writer.answers) for writer in writers) + count
    until(lambda: sum(len(writer.answers) for writer in writers) >= wanted, f"{count} answers more")


@pytest.mark.parametrize("policy", ["always", "everysec"])
@pytest.mark.parametrize(("chain", "kills"), list(enumerate(chains())))
def test_a_killed_server_has_a_beginning(tmp_path: Path, policy: str, chain: int, kills: int) -> None:
    dice = random.Random(f"{policy}{chain}")
    options = ("--appendonly", "yes", "--appendfsync", policy, "--auto-aof-rewrite-min-size", "20kb")
    counts, everything = [0] * WRITERS, 0
    for _ in range(kills):
        with server_on(tmp_path, *options) as server:
            with server.connect() as connection:
                until(lambda: not connection.call("DBSIZE").is_error, "the end of loading")
                writers = [Writer(server, number, (counts[number], everything)) for number in range(WRITERS)]
                for writer in writers:
                    writer.start()
                answered_more(writers, dice.randrange(200))
                if dice.random() < 0.7:
                    connection.call("BGREWRITEAOF")  # refused while an automatic one runs
                if dice.random() < 0.7:
                    answered_more(writers, dice.randrange(100))
                time.sleep(dice.uniform(0, 0.02))  # somewhere between two answers
                kill(server)
            for writer in writers:
                writer.join(30)
        with serving(tmp_path, *options) as connection:
            counts = [int(connection.must("GET", f"writer:{i}").data or 0) for i in range(WRITERS)]
            everything = int(connection.must("GET", "all").data or 0)
            answers = [writer.answers for writer in writers]
            check_beginning(counts, everything, answers, PIPELINE, all_of_it=policy == "always")
            until(lambda: told(connection, "aof_rewrite_in_progress", "0"), "a rewrite")
            assert info(connection)["aof_last_write_status"] == "ok"
            before = contents(connection)
    with serving(tmp_path, *options) as connection:
        assert contents(connection) == before
        until(lambda: told(connection, "aof_rewrite_in_progress", "0"), "a rewrite")
        assert {name for name, _, _ in manifest(tmp_path)} <= set(names(tmp_path))


COUNTING = """
import os, sys, threading
import kvcore

path, level, also = sys.argv[1:4]
db = kvcore.open(path, durability=level)

def count(number):
    while True:
        with db.pipeline() as group:
            group.incr(f"writer:{number}")
            group.hset("last", str(number), "x")
            group.incr("all")
            mine, _, place = group.execute()
        os.write(1, b"done %d %d %d\\n" % (number, mine, place))
        if number == 0 and also == "compact" and mine % 40 == 0:
            db.compact()
        if number == 0 and also == "flush" and mine % 20 == 0:
            db.flush()
            os.write(1, b"kept %d %d %d\\n" % (number, mine, place))

for number in range(int(sys.argv[4])):
    threading.Thread(target=count, args=(number,)).start()
"""


def count_and_kill(path: Path, level: str, also: str, lines: int) -> tuple[list[list[Answer]], Answer]:
    """Runs the writers for so many answers, and kills them. Returns the answers, and what a flush promised."""
    command = [sys.executable, "-c", COUNTING, str(path), level, also, str(WRITERS)]
    answers: list[list[Answer]] = [[] for _ in range(WRITERS)]
    kept = 0, 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=servers.kvcore_environment()) as process:
        assert process.stdout is not None
        try:
            for read, line in enumerate(process.stdout):
                word, *numbers = line.split()
                number, mine, place = map(int, numbers)
                answers[number].append((mine, place))
                if word == b"kept":
                    kept = mine, place
                if read == lines:
                    process.kill()
        finally:
            process.kill()
    assert process.returncode == -9, "the writers ended by themselves"
    return answers, kept


@pytest.mark.parametrize("level", ["always", "everysec"])
@pytest.mark.parametrize(("chain", "kills"), list(enumerate(chains())))
def test_a_killed_single_file_has_a_beginning(tmp_path: Path, level: str, chain: int, kills: int) -> None:
    dice = random.Random(f"{level}{chain}")
    path = tmp_path / "a.kv"
    counts, everything = [0] * WRITERS, 0
    for turn in range(kills):
        also = ("compact", "flush", "nothing")[(chain + turn) % 3]
        answers, kept = count_and_kill(path, level, also, dice.randrange(400))
        answers = [[(counts[number], everything), *answered] for number, answered in enumerate(answers)]
        with kvcore.open(path) as db:
            counts = [int(db.get(f"writer:{number}") or 0) for number in range(WRITERS)]
            everything = int(db.get("all") or 0)
        check_beginning(counts, everything, answers, 1, all_of_it=level == "always")
        assert counts[0] >= kept[0], "flushed, and not there"
        assert everything >= kept[1], "flushed, and not there"
        with kvcore.open(path, readonly=True) as db:
            assert int(db.get("all") or 0) == everything
    assert sorted(found.name for found in tmp_path.iterdir() if found.suffix == ".tmp") == []
