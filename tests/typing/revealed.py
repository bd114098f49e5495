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
with text as same:
    reveal_type(same)  # kvcore.store.Store[str]
