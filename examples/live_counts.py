"""Publish and subscribe: moves of points are announced, and a transaction makes them all or not at all."""

from __future__ import annotations

from typing import Any

import kvcore
from kvcore import Pipeline


def transfer(db: kvcore.Store[str], giver: str, taker: str, points: int) -> bool:
    """Move points, unless the giver has too few. Runs again when somebody else changed the score meanwhile."""

    def move(pipe: Pipeline[str]) -> bool:
        has: Any = pipe.zscore("points", giver)
        if has is None or has < points:
            return False
        pipe.multi()
        pipe.zincrby("points", -points, giver)
        pipe.zincrby("points", points, taker)
        pipe.publish("moves", f"{giver} gave {taker} {points}")
        return True

    return db.transaction(move, "points", value_from_callable=True)


def main() -> None:
    with kvcore.open(decode_responses=True) as db, db.pubsub(ignore_subscribe_messages=True) as moves:
        moves.subscribe("moves")
        db.zadd("points", {"ada": 10, "bob": 3})
        assert transfer(db, "ada", "bob", 4)
        assert not transfer(db, "bob", "ada", 100)
        assert moves.get_message(timeout=1) is None  # the subscription itself
        message = moves.get_message(timeout=1)
        assert message is not None
        print(message["data"])
        print(db.zrange("points", 0, -1, desc=True, withscores=True))


if __name__ == "__main__":
    main()
