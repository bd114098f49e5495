"""What the state machine drives: one method, `execute(*words)`, whatever is behind it."""

from __future__ import annotations

import time
from typing import Any, Protocol

from tests.compat.resp import Connection, ReplyError, Word
from tests.servers import Server


class CommandError(Exception):
    """An error reply, as redis-py words it: without the general code ERR."""


class Client(Protocol):
    """A store. `controls_time` says whether `advance` works; time is in milliseconds since the epoch."""

    controls_time: bool

    def execute(self, *words: Word) -> Any: ...

    def now_ms(self) -> int: ...

    def advance(self, ms: int) -> None: ...

    def close(self) -> None: ...


class SocketClient:
    """A server on a socket, in RESP2."""

    controls_time = False

    def __init__(self, server: Server) -> None:
        self.connection: Connection = server.connect()
        self.execute("FLUSHALL")

    def execute(self, *words: Word) -> Any:
        value = self.connection.call(*words).plain()
        if isinstance(value, ReplyError):
            raise CommandError(str(value).removeprefix("ERR "))
        return value

    def now_ms(self) -> int:
        return int(time.time() * 1000)

    def advance(self, ms: int) -> None:
        raise NotImplementedError

    def close(self) -> None:
        self.connection.close()


class EmbeddedClient:
    """A store in this process, with its clock stopped."""

    controls_time = True

    def __init__(self) -> None:
        import kvcore

        self.store: Any = kvcore.open()
        self.store.clock.freeze()
        self._error: type[Exception] = kvcore.ResponseError

    def execute(self, *words: Word) -> Any:
        try:
            return self.store.execute(*words)
        except self._error as error:
            raise CommandError(str(error)) from error

    def now_ms(self) -> int:
        return int(self.store.clock.now() * 1000)

    def advance(self, ms: int) -> None:
        self.store.clock.advance(ms / 1000)

    def close(self) -> None:
        self.store.close()
