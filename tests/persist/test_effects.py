"""The log's records beside those of a real Valkey, command by command, and what replaying them gives."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers
from tests.persist import effect_walk, effects
from tests.persist.effect_scenarios import SCENARIOS

# One unit is one group: a client that was served is in that of the command that served it.
START_MS = 1_700_000_000_000
UNFRAMED = ("blocking", "msetex")
PRELUDE = (
    "FLUSHALL",
    "DEBUG SET-ACTIVE-EXPIRE 0",
    "CONFIG SET lazyfree-lazy-expire yes lazyfree-lazy-server-del yes",
    "CONFIG SET lazyfree-lazy-user-del yes lazyfree-lazy-eviction yes",
)


@pytest.fixture(scope="module")
def program() -> Path:
    return effects.build_filter()


@pytest.fixture
def recorder(program: Path) -> Iterator[effects.Recorder]:
    found = effects.Recorder(program)
    yield found
    found.close()


@pytest.fixture(scope="module")
def reference() -> Iterator[effects.Reference]:
    if servers.find_peer("valkey-server") is None:
        pytest.skip(servers.NO_PEER.format(program="valkey-server"))
    found = effects.Reference()
    yield found
    found.close()


def words_of(text: str, dump: bytes) -> list[bytes]:
    now = int(time.time() * 1000)

    def moment(match: re.Match[str]) -> str:
        if match[1]:
            return str(now // 1000 + int(match[2]))
        return str(now + int(match[2]))

    text = re.sub(r"\{(s?)([+-]\d+)\}", moment, text)
    return [dump if word == "{dump}" else b"" if word == '""' else word.encode() for word in text.split()]


def steps_of(name: str) -> list[tuple[int, str]]:
    found = []
    for text in re.split(r"[|\n]", SCENARIOS[name]):
        match = re.fullmatch(r"\s*(?:(\d)>)?(.*?)\s*", text)
        assert match
        if match[2]:
            found.append((int(match[1] or 0), match[2]))
    return found


@pytest.mark.peer
@pytest.mark.parametrize("name", SCENARIOS)
def test_the_log_has_valkeys_records(name: str, recorder: effects.Recorder, reference: effects.Reference) -> None:
    for client in range(effects.CLIENTS):
        recorder.run(client, [b"SELECT", b"0"])
        reference.run(client, [b"SELECT", b"0"])
    for text in PRELUDE:
        recorder.run(0, text.encode().split())
        reference.run(0, text.encode().split())
    reference.run(0, [b"SADD", b"forthedump", b"m"])
    recorder.run(0, [b"SADD", b"forthedump", b"m"])
    payload = reference.clients[0].must("DUMP", "forthedump").plain()
    assert isinstance(payload, bytes)
    wrong = []
    for client, text in steps_of(name):
        if text.startswith("sleep"):
            time.sleep(int(text.split()[1]) / 1000)
            continue
        if text == "take":
            here, there = recorder.take(client).records, reference.take(client)
        else:
            words = words_of(text.removeprefix("!"), payload)
            here = recorder.run(client, words).records
            there = (reference.send if text.startswith("!") else reference.run)(client, words)
        there = [plain for record in there for plain in effects.portable(record)]
        here = [plain for record in here for plain in effects.portable(record)]
        if name in UNFRAMED:
            here, there = effects.unframed(here), effects.unframed(there)
        if len(here) == len(there):
            there = [effects.less_fields(*pair) for pair in zip(here, there, strict=True)]
        if name == "random":
            here, there = [record[:3] for record in here], [record[:3] for record in there]
        if not effects.is_same(here, there):
            wrong.append(f"{text}\n    valkey {there}\n    kvcore {here}")
    assert not wrong, "\n".join(wrong)


def data_of(recorder: effects.Recorder) -> list[object]:
    """Everything a client can see, key by key, and when it goes."""
    found: list[object] = []
    for db in (b"0", b"1"):
        assert recorder.run(3, [b"SELECT", db]).reply == b"+OK\r\n"
        keys = effects.bulks(recorder.run(3, [b"KEYS", b"*"]).reply)
        for key in sorted(keys):
            digest = recorder.run(3, [b"DEBUG", b"DIGEST-VALUE", key]).reply
            expiry = recorder.run(3, [b"PEXPIRETIME", key]).reply
            fields = [field.encode() for field in effect_walk.FIELDS]
            times = recorder.run(3, [b"HPEXPIRETIME", key, b"FIELDS", str(len(fields)).encode(), *fields]).reply
            found.append((db, key, digest, expiry, times))
    return found


@pytest.mark.parametrize("seed", range(24))
def test_replaying_the_effects_gives_the_same_data(seed: int, program: Path) -> None:
    """Also of expiry, on the way and by the background, of transactions and of clients that were waiting."""
    here, there = effects.Recorder(program), effects.Recorder(program)
    here.freeze(START_MS)
    there.freeze(1)  # while a log is loaded nothing has expired
    walk = effect_walk.Walk(seed, START_MS)
    log: list[effects.Record] = []
    here.run(0, [b"DEBUG", b"SET-ACTIVE-EXPIRE", b"0" if seed % 2 else b"1"])
    for _ in range(1500):
        words = walk.words()
        client = walk.random.randrange(2)
        answer = here.run(client, words)
        log += answer.records
        if answer.reply is None:  # it waits: perhaps somebody serves it, else its time is up
            if walk.random.random() < 0.7:
                pushed = [b"ZADD", words[1], b"1", b"m"] if words[0].startswith(b"BZ") else [b"RPUSH", words[1], b"m"]
                log += here.run(2, pushed).records
            log += here.take(client).records
        if walk.random.random() < 0.1:
            step = walk.random.choice((1, 2, 5, 20))
            walk.now_ms += step
            log += here.advance(step).records
    for client in range(2):
        log += here.run(client, [b"DISCARD"]).records
    replay(there, log)
    expected, found = data_of(here), None
    there.freeze(walk.now_ms)
    found = data_of(there)
    here.close()
    there.close()
    assert found == expected, f"seed {seed}"


def replay(recorder: effects.Recorder, log: list[effects.Record]) -> None:
    place = b"0"
    for record in log:
        if record in effects.FRAMES:
            recorder.run(0, list(record))
            continue
        if record[0] != place:
            place = record[0]
            recorder.run(0, [b"SELECT", place])
        reply = recorder.run(0, list(record[1:])).reply
        assert reply is not None, record
        assert not reply.startswith(b"-"), (record, reply)
