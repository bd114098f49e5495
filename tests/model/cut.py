"""The cut of a snapshot, step by step, for explore(): two writers, two shards, four keys, one snapshot.

    writer:   lock its shards, one after the other (kv_lock_shards) -> read the epoch and stamp them (kv_unit_lock)
              -> change keys, showing each entry that was there first (kv_cut_before)
              -> hand the effects to the log under the locks (kvi_journal_publish) -> unlock
    snapshot: install the cut and raise the epoch -> sweep: each shard's lock once (kv_cut_register)
              -> end the log's cut (kv_aof_cut_end)
              -> walk: one entry a hold (kv_cut_walk), by a cursor that may show what it has shown

An entry is (value, version). `log` holds (file, effects) in the order of publishing: file 0 is what the snapshot makes
needless, file 1 what a load redoes on top of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

KEYS = ("a", "b", "c", "d")
SHARD = {"a": 0, "b": 0, "c": 1, "d": 1}
OLD, NEW = 0, 1
MUTANTS = {
    "missed pre-image": "writers show nothing",
    "old unit shows": "a unit of the old epoch shows and stamps what it changes",
    "duplicate key": "the walk does not stamp what it has shown",
    "epoch before locks": "a unit reads the epoch before it has its locks",
    "no sweep": "the log's cut ends, and the walk begins, while units of the old epoch may run",
    "moved unshown": "RENAME shows what it overwrites, not what it moves",
}

Op = tuple[str, ...]
Entry = tuple[int, int] | None
Effects = tuple[Op, ...]

PROGRAMS: tuple[tuple[Effects, ...], ...] = (
    ((("set", "a", "1"), ("set", "c", "1")), (("rename", "c", "b"),), (("set", "d", "3"),)),
    ((("rename", "a", "d"), ("set", "b", "2")), (("del", "b"), ("set", "a", "2")), (("rename", "d", "c"),)),
)


@dataclass(frozen=True)
class Writer:
    unit: int = 0  # of its program
    at: int = 0  # step in it
    held: tuple[int, ...] = ()
    epoch: int = -1


@dataclass(frozen=True)
class State:
    entries: tuple[Entry, ...] = ((0, OLD), (0, OLD), (0, OLD), None)
    writers: tuple[Writer, ...] = tuple(Writer() for _ in PROGRAMS)
    versions: tuple[int, int] = (OLD, OLD)  # of the shards: the epoch of the last unit there
    epoch: int = OLD
    cut: bool = False
    swept: int = 0  # shards; 3: the log's cut has ended, too
    cursor: tuple[int, int] = (0, 0)  # of the walk: shard, slot
    again: int = 1  # times that growing may still send the cursor back
    saved: tuple[tuple[str, int], ...] = ()
    log: tuple[tuple[int, Effects], ...] = ()


def shards_of(unit: Effects) -> tuple[int, ...]:
    return tuple(sorted({SHARD[word] for op in unit for word in op[1:] if word in SHARD}))


def free(state: State, shard: int) -> bool:
    return all(shard not in writer.held for writer in state.writers)


def put(entries: tuple[Entry, ...], key: str, entry: Entry) -> tuple[Entry, ...]:
    at = KEYS.index(key)
    return (*entries[:at], entry, *entries[at + 1 :])


def shown(state: State, key: str, mutant: str) -> State:
    """kv_cut_before: the writer saves the entry as it is and stamps it."""
    entry = state.entries[KEYS.index(key)]
    if entry is None or not state.cut or entry[1] == NEW or mutant == "missed pre-image":
        return state
    if state.versions[SHARD[key]] != NEW and mutant != "old unit shows":
        return state
    saved = (*state.saved, (key, entry[0]))
    return replace(state, saved=saved, entries=put(state.entries, key, (entry[0], NEW)))


def change(state: State, op: Op, mutant: str) -> State:
    """One command of a unit. What it makes or changes bears its shard's version."""
    if op[0] == "set":
        state = shown(state, op[1], mutant)
        return replace(state, entries=put(state.entries, op[1], (int(op[2]), state.versions[SHARD[op[1]]])))
    if op[0] == "del":
        state = shown(state, op[1], mutant)
        return replace(state, entries=put(state.entries, op[1], None))
    source, target = op[1:]
    entry = state.entries[KEYS.index(source)]
    if entry is None:
        return state
    if mutant != "moved unshown":
        state = shown(state, source, mutant)
    state = shown(state, target, mutant)
    moved = state.entries[KEYS.index(source)]
    assert moved is not None
    version = moved[1] if mutant == "moved unshown" else state.versions[SHARD[target]]
    entries = put(put(state.entries, source, None), target, (moved[0], version))
    return replace(state, entries=entries)


def write(state: State, number: int, mutant: str) -> Iterator[tuple[str, State]]:
    """The next step of a writer."""
    writer = state.writers[number]
    if writer.unit == len(PROGRAMS[number]):
        return
    unit = PROGRAMS[number][writer.unit]
    wanted, name = shards_of(unit), f"writer {number}"
    early = mutant == "epoch before locks"

    def moved(to: State, **changes: object) -> State:
        fresh = replace(to.writers[number], at=writer.at + 1, **changes)  # type: ignore[arg-type]
        return replace(to, writers=(*to.writers[:number], fresh, *to.writers[number + 1 :]))

    lock = writer.at - early  # which lock comes next; with the mutant, the epoch was read before
    if early and writer.at == 0:
        yield f"{name}: reads epoch {state.epoch}", moved(state, epoch=state.epoch)
    elif lock < len(wanted):
        if free(state, wanted[lock]):
            yield f"{name}: locks shard {wanted[lock]}", moved(state, held=(*writer.held, wanted[lock]))
    elif lock == len(wanted):
        epoch = writer.epoch if early else state.epoch
        versions = tuple(epoch if shard in wanted else old for shard, old in enumerate(state.versions))
        stamped = replace(state, versions=(versions[0], versions[1]))
        yield f"{name}: stamps {wanted} with epoch {epoch}", moved(stamped, epoch=epoch)
    elif (op := lock - len(wanted) - 1) < len(unit):
        yield f"{name}: {' '.join(unit[op])}", moved(change(state, unit[op], mutant))
    else:
        file = 0 if writer.epoch == OLD and state.swept < 3 else 1
        logged = replace(state, log=(*state.log, (file, unit)))
        done = moved(logged, held=(), unit=writer.unit + 1, epoch=-1)
        ended = replace(done.writers[number], at=0)
        writers = (*done.writers[:number], ended, *done.writers[number + 1 :])
        yield f"{name}: publishes and unlocks", replace(done, writers=writers)


def save(state: State, mutant: str) -> Iterator[tuple[str, State]]:
    """The next step of the snapshot, and what growing does to it."""
    if not state.cut:
        yield "snapshot: installs the cut", replace(state, cut=True)
    elif state.epoch == OLD:
        yield "snapshot: raises the epoch", replace(state, epoch=NEW)
    elif state.swept < 3:
        if state.swept == 2 or mutant == "no sweep":
            yield "snapshot: ends the log's cut", replace(state, swept=3)
        elif free(state, state.swept):
            yield f"snapshot: sweeps shard {state.swept}", replace(state, swept=state.swept + 1)
    elif state.cursor[0] < 2 and free(state, state.cursor[0]):
        shard, slot = state.cursor
        keys = [key for key in KEYS if SHARD[key] == shard]
        if slot == len(keys):
            yield f"snapshot: shard {shard} is walked", replace(state, cursor=(shard + 1, 0))
            return
        entry = state.entries[KEYS.index(keys[slot])]
        after = replace(state, cursor=(shard, slot + 1))
        if entry is not None and entry[1] != NEW:
            version = entry[1] if mutant == "duplicate key" else NEW
            entries = put(state.entries, keys[slot], (entry[0], version))
            after = replace(after, saved=(*state.saved, (keys[slot], entry[0])), entries=entries)
        yield f"snapshot: walks over {keys[slot]}", after
        if state.again and slot:
            yield f"snapshot: shard {shard} grows", replace(state, cursor=(shard, 0), again=state.again - 1)


def redo(values: Mapping[str, int], log: tuple[tuple[int, Effects], ...]) -> dict[str, int]:
    """What a load of `values` and these records gives."""
    found = dict(values)
    for _, unit in log:
        for op in unit:
            if op[0] == "set":
                found[op[1]] = int(op[2])
            elif op[0] == "del":
                found.pop(op[1], None)
            elif op[1] in found:
                found[op[2]] = found.pop(op[1])
    return found


START = {"a": 0, "b": 0, "c": 0}


def problem(state: State) -> str | None:
    if len({key for key, _ in state.saved}) != len(state.saved):
        return f"a key is saved twice: {state.saved}"
    if state.cursor[0] < 2 or any(w.unit < len(p) for w, p in zip(state.writers, PROGRAMS, strict=True)):
        return None
    old = tuple(record for record in state.log if record[0] == 0)
    new = tuple(record for record in state.log if record[0] == 1)
    at_cut, saved = redo(START, old), dict(state.saved)
    if saved != at_cut:
        return f"saved {saved}, and at the cut there was {at_cut}"
    final = {key: entry[0] for key, entry in zip(KEYS, state.entries, strict=True) if entry is not None}
    if redo(saved, new) != final:
        return f"base and log give {redo(saved, new)}, and there is {final}"
    if redo(START, old + new) != final:
        return f"the log alone gives {redo(START, old + new)}, and there is {final}"
    return None


def steps(mutant: str = "") -> Callable[[State], Iterator[tuple[str, State]]]:
    def following(state: State) -> Iterator[tuple[str, State]]:
        for number in range(len(PROGRAMS)):
            yield from write(state, number, mutant)
        yield from save(state, mutant)

    return following
