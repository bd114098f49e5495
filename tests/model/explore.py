"""A small checker: visits all states that can be reached, breadth first, and tells the first bad one with its trace."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from typing import TypeVar

State = TypeVar("State", bound=Hashable)


class Violation(AssertionError):
    """A state that must not be; the message is the way to it."""


def explore(
    start: State,
    steps: Callable[[State], Iterator[tuple[str, State]]],
    problem: Callable[[State], str | None],
    most: int = 2_000_000,
) -> int:
    """Visit all states; how many there are. `steps`: what may happen next, by name; `problem`: what is wrong, or None.

    Raises Violation with the shortest trace to a bad state, MemoryError for more than `most` states.
    """
    came_from: dict[State, tuple[State, str] | None] = {start: None}
    waiting = deque([start])
    while waiting:
        state = waiting.popleft()
        wrong = problem(state)
        if wrong is not None:
            raise Violation(f"{wrong}\n" + "\n".join(trace(came_from, state)))
        for name, following in steps(state):
            if following not in came_from:
                if len(came_from) >= most:
                    raise MemoryError(f"more than {most} states")
                came_from[following] = state, name
                waiting.append(following)
    return len(came_from)


def trace(came_from: dict[State, tuple[State, str] | None], state: State) -> list[str]:
    found = []
    while (before := came_from[state]) is not None:
        state, name = before
        found.append(f"  {name}")
    return found[::-1]
