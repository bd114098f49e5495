"""Pipelines and transactions, with redis-py's interface and semantics.

Commands are collected and run by `execute()`: inside MULTI/EXEC by default, so that nobody sees half of them. After
`watch()` commands run at once, on the pipeline's own session, until `multi()` starts collecting; a watched key that
changes meanwhile makes `execute()` raise WatchError.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from kvcore.commands import PipelineCommands
from kvcore.errors import ExecAbortError, RedisError, ResponseError, WatchError, make

if TYPE_CHECKING:
    from kvcore._engine import Session
    from kvcore.store import Store

__all__ = ["Pipeline"]

Text = TypeVar("Text", bytes, str)
Shape = Callable[[Any], Any] | None


class Pipeline(PipelineCommands, Generic[Text]):
    """Made by `Store.pipeline()`. Every command method returns the pipeline itself, so calls can be chained. One
    thread at a time."""

    def __init__(self, store: Store[Text], transaction: bool = True) -> None:
        self.transaction = transaction
        self.watching = False
        self.explicit_transaction = False
        self.command_stack: list[tuple[Sequence[Any], Shape]] = []
        self._store: Store[Text] = store
        self._session: Session | None = None
        self._unfinished = False  # the session may be inside MULTI

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a pipeline cannot be pickled or copied: make another on its store")

    def __enter__(self) -> Pipeline[Text]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.reset()

    def __len__(self) -> int:
        return len(self.command_stack)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<kvcore.Pipeline of {len(self)} commands, {'transaction' if self.transaction else 'no transaction'}>"

    # --- collecting ---

    def _run(self, words: Sequence[Any], shape: Shape = None) -> Any:
        name = words[0]
        if (self.watching or name == "WATCH") and not self.explicit_transaction:
            return self._now(words, shape)
        self.command_stack.append((words, shape))
        return self

    def execute_command(self, *words: Any) -> Any:
        """Any command, as words."""
        return self._run(words)

    def watch(self, *names: Any) -> bool:
        """Run the commands that follow at once, until multi(); execute() fails when one of these keys changes."""
        if self.explicit_transaction:
            raise make(RedisError, "WATCH has to come before multi()")
        keys: list[Any] = []
        for name in names:
            keys += [name] if isinstance(name, (str, bytes)) else name
        self._now(("WATCH", *keys), None)
        return True

    def unwatch(self) -> bool:
        """Forget the watched keys."""
        if self.watching:
            self._now(("UNWATCH",), None)
        return True

    def multi(self) -> None:
        """After watch(): collect from here on, to be run by execute()."""
        if self.explicit_transaction:
            raise make(RedisError, "multi() was called already")
        if self.command_stack:
            raise make(RedisError, "multi() comes after watch(), before any other command is collected")
        self.explicit_transaction = True

    def _now(self, words: Sequence[Any], shape: Shape) -> Any:
        reply = self._own_session().execute(words)
        name = str(words[0]).upper()
        if name == "WATCH":
            self.watching = True
        elif name in ("UNWATCH", "EXEC", "DISCARD"):
            self.watching = False
        return reply if shape is None else shape(reply)

    def _own_session(self) -> Session:
        if self._session is None:
            self._session = self._store._borrow_session()
        return self._session

    # --- running ---

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Run what was collected; the replies in order. With raise_on_error the first error is raised, else errors
        stand among the replies."""
        commands = self.command_stack
        if not commands and not self.watching:
            return []
        try:
            queued = [words for words, _ in commands]
            whole = self.transaction or self.explicit_transaction
            replies = self._in_transaction(queued) if whole else self._batch(queued)
            if raise_on_error:
                for number, (reply, (words, _)) in enumerate(zip(replies, commands, strict=True), 1):
                    if isinstance(reply, ResponseError):
                        raise _placed(reply, number, words)
            return [
                reply if shape is None or isinstance(reply, RedisError) else shape(reply)
                for reply, (_, shape) in zip(replies, commands, strict=True)
            ]
        finally:
            self.reset()

    def _batch(self, commands: list[Sequence[Any]]) -> list[Any]:
        """Run commands one after the other on one session, errors among the replies."""
        if self._session is None:
            return self._store._batch(commands)
        self._unfinished = True
        replies = [self._session.attempt(words) for words in commands]
        self._unfinished = False
        return replies

    def _in_transaction(self, commands: list[Sequence[Any]]) -> list[Any]:
        *queued, replies = self._batch([("MULTI",), *commands, ("EXEC",)])
        self.watching = False
        if isinstance(replies, ExecAbortError):
            for number, (reply, words) in enumerate(zip(queued[1:], commands, strict=True), 1):
                if isinstance(reply, ResponseError):
                    raise _placed(reply, number, words)
        if isinstance(replies, RedisError):
            raise replies
        if replies is None:
            raise make(WatchError, "Watched variable changed.")
        return list(replies)

    def reset(self) -> None:
        """Forget what was collected and what is watched."""
        self.command_stack = []
        self.explicit_transaction = False
        session, self._session = self._session, None
        used = self.watching or self._unfinished
        self.watching = self._unfinished = False
        if session is not None:
            self._store._return_session(session, used)

    close = reset
    discard = reset


def _placed(error: ResponseError, number: int, words: Sequence[Any]) -> ResponseError:
    """The error with the place of its command in its text."""
    shown = " ".join(word.decode(errors="replace") if isinstance(word, bytes) else str(word) for word in words)
    shown = shown if len(shown) <= 100 else shown[:97] + "..."
    error.args = (f"Command # {number} ({shown}) of pipeline caused error: {error.args[0]}", *error.args[1:])
    return error
