"""What a type checker says about the API. Not run: test_types.py compares mypy's answers with the comments."""

from __future__ import annotations

from typing import reveal_type

import kvcore

raw = kvcore.open()
text = kvcore.open(decode_responses=True)
named = kvcore.open(shared="name", decode_responses=True)

reveal_type(raw)  # kvcore.store.Store[bytes]
reveal_type(text)  # kvcore.store.Store[str]
reveal_type(named)  # kvcore.store.Store[str]
reveal_type(raw.get("k"))  # bytes | None
reveal_type(text.get("k"))  # str | None
reveal_type(raw["k"])  # bytes
reveal_type(text["k"])  # str
reveal_type(raw.incr("n"))  # int
reveal_type(raw.hgetall("h"))  # dict[bytes, bytes]
reveal_type(text.hgetall("h"))  # dict[str, str]
reveal_type(raw.smembers("s"))  # set[bytes]
reveal_type(text.lrange("l", 0, -1))  # list[str]
reveal_type(raw.zscore("z", "m"))  # float | None
reveal_type(raw.exists("k"))  # int
reveal_type(list(text))  # list[str]
reveal_type(text.pipeline())  # kvcore.pipeline.Pipeline[str]
reveal_type(text.pipeline().set("a", 1).incr("a"))  # kvcore.pipeline.Pipeline[str]
reveal_type(raw.pipeline().execute())  # list[Any]
reveal_type(raw.transaction(lambda pipe: 1, "k", value_from_callable=True))  # int
reveal_type(raw.pubsub().get_message())  # dict[str, Any] | None
reveal_type(raw.lock("l").acquire())  # bool
reveal_type(raw.serve(port=0))  # str
reveal_type(raw.database(1))  # kvcore.store.Store[bytes]
reveal_type(raw.getex("k"))  # bytes | None
reveal_type(text.mget("a", "b"))  # list[str | None]
reveal_type(raw.lpop("l"))  # bytes | None
reveal_type(raw.lpop("l", 2))  # list[bytes] | None
reveal_type(text.blpop("l", 1))  # tuple[str, str] | None
reveal_type(text.hget("h", "f"))  # str | None
reveal_type(raw.hmget("h", ["f"]))  # list[bytes | None]
reveal_type(text.zrange("z", 0, -1))  # list[str]
reveal_type(raw.zpopmin("z"))  # list[tuple[bytes, float]]
reveal_type(raw.zadd("z", {"m": 1}))  # int
reveal_type(text.scan())  # tuple[int, list[str]]
reveal_type(text.scan_iter())  # Iterator[str]
reveal_type(raw.hscan_iter("h"))  # Iterator[Any]
reveal_type(raw.set("k", "v"))  # bool | None
reveal_type(raw.set("k", "v", get=True))  # bytes | None
reveal_type(raw.info())  # dict[str, Any]
reveal_type(raw.time())  # tuple[int, int]
reveal_type(raw.ttl("k"))  # int
reveal_type(raw.expire("k", 1))  # bool
reveal_type(raw.sort("l"))  # list[Any]
reveal_type(raw.execute("PING"))  # Any
reveal_type(raw.clock)  # kvcore.clock.Clock
reveal_type(raw.closed)  # bool
reveal_type(text.transaction(lambda pipe: pipe.get("k"), "k"))  # list[Any]
reveal_type(kvcore.open(db=1, config={"maxmemory": "1mb"}))  # kvcore.store.Store[bytes]
with raw.pipeline(transaction=False) as pipe:
    reveal_type(pipe)  # kvcore.pipeline.Pipeline[bytes]
    reveal_type(pipe.get("k").hgetall("h").zrange("z", 0, -1))  # kvcore.pipeline.Pipeline[bytes]
with raw.lock("l", timeout=1) as lock:
    reveal_type(lock)  # kvcore.lock.Lock
with text.pubsub() as sub:
    reveal_type(sub)  # kvcore.pubsub.PubSub
    reveal_type(sub.listen())  # Iterator[dict[str, Any]]
with text as same:
    reveal_type(same)  # kvcore.store.Store[str]
