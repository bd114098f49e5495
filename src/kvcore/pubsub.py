"""Publish/subscribe with redis-py's interface, on a session of its own.

Messages wait in the session's mailbox inside the engine; a thread that asks for one with a timeout sleeps there and
is woken by the publisher. Nothing polls.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from kvcore.errors import PubSubError, RedisError, make

if TYPE_CHECKING:
    from kvcore._engine import Session
    from kvcore.store import Store

__all__ = ["PubSub", "PubSubWorkerThread"]

Message = dict[str, Any]
Handler = Callable[[Message], None]
Name = str | bytes

KINDS = {"subscribe": "channels", "psubscribe": "patterns", "ssubscribe": "shard_channels"}
PUBLISHED = {"message": "channels", "pmessage": "patterns", "smessage": "shard_channels"}


class PubSub:
    """Made by `Store.pubsub()`. Not to be shared by threads, except that any thread may publish."""

    def __init__(self, store: Store[Any], ignore_subscribe_messages: bool = False) -> None:
        self.ignore_subscribe_messages = ignore_subscribe_messages
        self.channels: dict[Name, Handler | None] = {}
        self.patterns: dict[Name, Handler | None] = {}
        self.shard_channels: dict[Name, Handler | None] = {}
        self._store = store
        self._session: Session | None = None
        self._pending: list[Any] = []  # messages that came with the reply of a command
        self.subscribed_event = threading.Event()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a PubSub cannot be pickled or copied: make another on its store")

    def __enter__(self) -> PubSub:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every subscription. May be called again, and the object may be used again."""
        session, self._session = self._session, None
        if session is not None:
            session.close()
        for table in (self.channels, self.patterns, self.shard_channels):
            table.clear()
        self._pending.clear()
        self.subscribed_event.clear()

    reset = close

    @property
    def subscribed(self) -> bool:
        """Is there a subscription, or one being made?"""
        return self.subscribed_event.is_set()

    # --- subscribing ---

    def subscribe(self, *channels: Any, **handlers: Handler) -> None:
        """Subscribe to channels; a keyword's value is called with each message of that channel."""
        self._add("subscribe", channels, handlers)

    def psubscribe(self, *patterns: Any, **handlers: Handler) -> None:
        """Subscribe to all channels that match a glob pattern."""
        self._add("psubscribe", patterns, handlers)

    def ssubscribe(self, *channels: Any, target_node: Any = None, **handlers: Handler) -> None:
        """Subscribe to shard channels."""
        self._add("ssubscribe", channels, handlers)

    def unsubscribe(self, *channels: Any) -> None:
        """End subscriptions to these channels, or to all of them."""
        self._send("UNSUBSCRIBE", *_flat(channels))

    def punsubscribe(self, *patterns: Any) -> None:
        """End subscriptions to these patterns, or to all of them."""
        self._send("PUNSUBSCRIBE", *_flat(patterns))

    def sunsubscribe(self, *channels: Any, target_node: Any = None) -> None:
        """End subscriptions to these shard channels, or to all of them."""
        self._send("SUNSUBSCRIBE", *_flat(channels))

    def ping(self, message: str | bytes | None = None) -> None:
        """Ask for a pong, which arrives as a message."""
        reply = self._send("PING", *([] if message is None else [message]))
        if reply is not None:
            pong = b"" if reply in ("PONG", b"PONG") else reply
            self._pending.append(["pong", pong])

    def _add(self, verb: str, names: Iterable[Any], handlers: dict[str, Handler]) -> None:
        wanted: dict[Name, Handler | None] = dict.fromkeys(_flat(names))
        wanted.update(handlers)
        table: dict[Name, Handler | None] = getattr(self, KINDS[verb])
        self._send(verb.upper(), *wanted)
        table.update({self._as_reply(name): handler for name, handler in wanted.items()})
        self.subscribed_event.set()

    def _as_reply(self, name: Name) -> Name:
        """A channel's name as messages will show it."""
        if self._store.decode_responses:
            return name.decode() if isinstance(name, bytes) else name
        return name.encode() if isinstance(name, str) else name

    def _send(self, *words: Any) -> Any:
        """Run a command; messages that come with it wait in line, a reply proper is returned."""
        if self._session is None:
            self._session = self._store._new_session()
        self._pending += self._session.waiting()  # they came before the answer to this command
        reply, messages = self._session.converse(words)
        self._pending += messages
        return reply

    # --- receiving ---

    def get_message(self, ignore_subscribe_messages: bool = False, timeout: float | None = 0.0) -> Message | None:
        """The next message, waiting at most `timeout` seconds for one (None: for ever)."""
        deadline = None if timeout is None else time.monotonic() + timeout
        if not self.subscribed and not self._pending and not self.subscribed_event.wait(timeout):
            return None
        raw = self._next(None if deadline is None else max(deadline - time.monotonic(), 0.0))
        return None if raw is None else self.handle_message(raw, ignore_subscribe_messages)

    get_sharded_message = get_message

    def listen(self) -> Iterator[Message]:
        """Messages as they come, until nothing is subscribed any more."""
        while self.subscribed or self._pending:
            raw = self._next(None)
            message = None if raw is None else self.handle_message(raw)
            if message is not None:
                yield message

    def _next(self, timeout: float | None) -> Any:
        if self._pending:
            return self._pending.pop(0)
        if self._session is None:
            return None
        return self._session.receive(timeout)

    def handle_message(self, raw: Any, ignore_subscribe_messages: bool = False) -> Message | None:
        """A raw message as a dict; None when a handler took it, or it is one of those to be ignored."""
        kind = raw[0].decode() if isinstance(raw[0], bytes) else str(raw[0])
        if kind == "pmessage":
            message = {"type": kind, "pattern": raw[1], "channel": raw[2], "data": raw[3]}
        elif kind == "pong":
            return {"type": kind, "pattern": None, "channel": None, "data": raw[1]}
        else:
            message = {"type": kind, "pattern": None, "channel": raw[1], "data": raw[2]}
        if kind in PUBLISHED:
            name = message["pattern"] if kind == "pmessage" else message["channel"]
            handler = getattr(self, PUBLISHED[kind]).get(name)
            if handler is None:
                return message
            handler(message)
            return None
        if kind.endswith("unsubscribe"):
            getattr(self, KINDS[kind.replace("un", "", 1)]).pop(message["channel"], None)
            if not (self.channels or self.patterns or self.shard_channels):
                self.subscribed_event.clear()
        return None if ignore_subscribe_messages or self.ignore_subscribe_messages else message

    def run_in_thread(
        self,
        sleep_time: float = 0.0,
        daemon: bool = False,
        exception_handler: Callable[[BaseException, PubSub, PubSubWorkerThread], None] | None = None,
    ) -> PubSubWorkerThread:
        """Start a thread that gives every message to its handler; `stop()` it and `join()`."""
        for what, table in (
            ("channel", self.channels),
            ("pattern", self.patterns),
            ("shard channel", self.shard_channels),
        ):
            for name, handler in table.items():
                if handler is None:
                    raise make(
                        PubSubError, f"{what} {name!r} has no handler, so its messages would be lost in a thread"
                    )
        thread = PubSubWorkerThread(self, sleep_time, daemon, exception_handler)
        thread.start()
        return thread


class PubSubWorkerThread(threading.Thread):
    """Reads messages until `stop()`."""

    def __init__(
        self,
        pubsub: PubSub,
        sleep_time: float,
        daemon: bool = False,
        exception_handler: Callable[[BaseException, PubSub, PubSubWorkerThread], None] | None = None,
    ) -> None:
        super().__init__(name="kvcore-pubsub", daemon=daemon)
        self.pubsub = pubsub
        self.sleep_time = sleep_time
        self.exception_handler = exception_handler
        self._stopping = threading.Event()

    def run(self) -> None:
        # A wait no longer than this, so that stop() is noticed; a message ends it at once.
        pause = self.sleep_time or 0.1
        while not self._stopping.is_set():
            try:
                self.pubsub.get_message(ignore_subscribe_messages=True, timeout=pause)
            except BaseException as error:
                if self.exception_handler is None:
                    raise
                self.exception_handler(error, self.pubsub, self)
        try:
            self.pubsub.close()
        except RedisError:
            pass  # the store was closed first

    def stop(self) -> None:
        """Ask it to end; it closes the subscriptions on its way out."""
        self._stopping.set()


def _flat(names: Iterable[Any]) -> list[Name]:
    """Names given one by one or as lists."""
    flat: list[Name] = []
    for name in names:
        if isinstance(name, (str, bytes)):
            flat.append(name)
        else:
            flat += name
    return flat
