"""The log's records beside those of a real Valkey, command by command, and what replaying them gives."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers
from tests.persist import effects
from tests.persist.effect_scenarios import SCENARIOS

# One unit is one group: a client that was served is in that of the command that served it.
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
        if text.startswith("HGETDEL") and here and there:
            there = [tuple(word for word in there[0] if word in here[0])]
        if name == "random":
            here, there = [record[:3] for record in here], [record[:3] for record in there]
        if not effects.is_same(here, there):
            wrong.append(f"{text}\n    valkey {there}\n    kvcore {here}")
    assert not wrong, "\n".join(wrong)
