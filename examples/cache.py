"""A cache for a slow function: results live for a while, and a frozen clock shows that they do."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import kvcore


def cached(db: kvcore.Store[str], seconds: int, function: Callable[[str], Any]) -> Callable[[str], Any]:
    """`function`, whose result for an argument is kept for `seconds`."""

    def call(argument: str) -> Any:
        name = f"cache:{function.__name__}:{argument}"
        known = db.get(name)
        if known is not None:
            return json.loads(known)
        result = function(argument)
        db.set(name, json.dumps(result), ex=seconds)
        return result

    return call


def main() -> None:
    calls = []

    def weather(city: str) -> dict[str, Any]:
        calls.append(city)
        return {"city": city, "degrees": 12 + len(calls)}

    with kvcore.open(decode_responses=True) as db, db.clock.frozen():
        ask = cached(db, 60, weather)
        print("first", ask("Oslo"))
        print("again", ask("Oslo"))
        db.clock.advance(61)
        print("a minute later", ask("Oslo"))
    assert calls == ["Oslo", "Oslo"]


if __name__ == "__main__":
    main()
