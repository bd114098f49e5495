"""At most N requests in any window of time: a sorted set of moments a client, changed in one transaction."""

from __future__ import annotations

import kvcore


def allowed(db: kvcore.Store[str], client: str, limit: int, window: float) -> bool:
    """May this client go on? Counts the request when it may."""
    name, now = f"rate:{client}", db.clock.now()
    with db.pipeline() as pipe:
        pipe.zremrangebyscore(name, "-inf", now - window)
        pipe.zcard(name)
        _, recent = pipe.execute()
        if recent >= limit:
            return False
        pipe.zadd(name, {f"{now:.6f}:{recent}": now})
        pipe.expire(name, round(window) + 1)
        pipe.execute()
    return True


def main() -> None:
    with kvcore.open(decode_responses=True) as db, db.clock.frozen():
        answers = []
        for _ in range(8):
            answers.append(allowed(db, "ada", limit=3, window=10))
            db.clock.advance(2.5)
        print("eight requests, 2.5 s apart, 3 allowed in 10 s:", answers)
        assert answers == [True, True, True, False, True, True, True, False]


if __name__ == "__main__":
    main()
