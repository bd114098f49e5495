"""A queue that loses nothing: a worker moves a job to its own list while it works, and puts it away when it is done."""

from __future__ import annotations

import threading

import kvcore


def worker(db: kvcore.Store[str], name: str) -> None:
    mine = f"working:{name}"
    while True:
        job = db.blmove("jobs", mine, timeout=5, src="RIGHT", dest="LEFT")
        if job is None or job == "stop":
            db.lrem(mine, 1, "stop")
            return
        with db.pipeline() as pipe:
            pipe.hset("results", job, str(int(job) ** 2))
            pipe.lrem(mine, 1, job)
            pipe.hincrby("done", name, 1)
            pipe.execute()


def main() -> None:
    with kvcore.open(decode_responses=True) as db:
        threads = [threading.Thread(target=worker, args=(db, name)) for name in ("a", "b", "c")]
        for thread in threads:
            thread.start()
        for number in range(200):
            db.lpush("jobs", number)
        db.lpush("jobs", *["stop"] * len(threads))
        for thread in threads:
            thread.join()
        assert db.hlen("results") == 200
        assert db.hget("results", "12") == "144"
        assert not any(db.llen(f"working:{name}") for name in "abc")
        print("200 jobs done by", db.hgetall("done"))


if __name__ == "__main__":
    main()
