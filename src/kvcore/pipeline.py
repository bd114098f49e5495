"""Pipelines and transactions, with redis-py's interface and semantics.

Commands are collected and run by `execute()`: inside MULTI/EXEC by default, so that nobody sees half of them. After
`watch()` commands run at once, on the pipeline's own session, until `multi()` starts collecting; a watched key that
changes meanwhile makes `execute()` raise WatchError.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from kvcore._native import fast
from kvcore.commands import PipelineCommands
from kvcore.errors import RedisError, ResponseError, WatchError, make

if TYPE_CHECKING:
    from kvcore._engine import Session
    from kvcore.store import Store

__all__ = ["Pipeline"]

Text = TypeVar("Text", bytes, str)
Shape = Callable[[Any], Any] | None


NOT_COLLECTED = frozenset(
    ("QUIT", "RESET", "HELLO", "MONITOR", "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE")
    + ("UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE")
)

# What a pipeline's run comes to: the replies (None: a watched key has changed; an error: the transaction was refused),
# and the first command that failed with its place, -1 for none.
Outcome = tuple[list[Any] | RedisError | None, int, ResponseError | None]

if TYPE_CHECKING or fast is None:

    class Collector:
        """Collects commands, in C: binding/collector.c. `_run` is what their methods call."""

        command_stack: list[tuple[Sequence[Any], Shape]]
        watching: bool
        explicit_transaction: bool

        def __new__(cls, *args: Any) -> Collector:
            made = super().__new__(cls)
            made.command_stack, made.watching, made.explicit_transaction = [], False, False
            return made

        def _attach(self, pool: Any) -> None:
            """The commands will run on this pool's sessions."""

        def _run(self, words: Sequence[Any], shape: Shape = None) -> Any:
            if (self.watching or words[0] == "WATCH") and not self.explicit_transaction:
                return self._now(words, shape)
            self.command_stack.append((words, shape))
            return self

        def _now(self, words: Sequence[Any], shape: Shape) -> Any:
            raise NotImplementedError

else:
    Collector = fast.Collector


class Pipeline(Collector, PipelineCommands, Generic[Text]):
    """Made by `Store.pipeline()`. Every command method returns the pipeline itself, so calls can be chained. One
    thread at a time."""

    def __init__(self, store: Store[Text], transaction: bool = True) -> None:
        self.transaction: bool = transaction
        self._store: Store[Text] = store
        self._session: Session | None = None
        self._unfinished: bool = False  # the session may be inside MULTI
        if store._pool is not None:
            self._attach(store._pool)

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

    def execute_command(self, *words: Any) -> Any:
        """Any command, as words; but for those that change the session or send messages: their replies are not one to
        one."""
        name = words[0].decode(errors="replace") if words and isinstance(words[0], bytes) else str(*words[:1])
        if name.upper() in NOT_COLLECTED:
            raise make(
                ResponseError,
                f"{name.upper()} has no place in a pipeline: use it on the store, or on a client of its url",
            )
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
        whole = self.transaction or self.explicit_transaction
        try:
            if self._session is None:
                replies, number, error = self._store._pipeline(commands, whole)
            else:
                self._unfinished = True
                replies, number, error = run_pipeline(self._session.attempt, commands, whole)
                self._unfinished = False
                self.watching = self.watching and not whole
            if isinstance(replies, RedisError):
                raise replies if error is None else _placed(error, number, commands[number][0])
            if replies is None:
                raise make(WatchError, "Watched variable changed.")
            if error is not None and raise_on_error:
                raise _placed(error, number, commands[number][0])
            return replies
        finally:
            self.reset()

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


# The collector's methods hide those of the same names; it finds them under this name.
for _name_ in vars(Collector):
    if hasattr(PipelineCommands, _name_) and not _name_.startswith("_"):
        setattr(Pipeline, f"_wide_{_name_}", getattr(PipelineCommands, _name_))


def run_pipeline(
    attempt: Callable[[Sequence[Any]], Any], commands: Sequence[tuple[Sequence[Any], Shape]], transaction: bool
) -> Outcome:
    """What `Pool.pipeline` of the hot door does, on a session whose `attempt(words)` returns errors as replies."""
    if transaction:
        attempt(("MULTI",))
        queued = [attempt(words) for words, _ in commands]
        replies = attempt(("EXEC",))
        if not isinstance(replies, list):
            return replies, *_first_error(queued)
    else:
        replies = [attempt(words) for words, _ in commands]
    shaped = [
        reply if shape is None or isinstance(reply, RedisError) else shape(reply)
        for reply, (_, shape) in zip(replies, commands, strict=True)
    ]
    return shaped, *_first_error(replies)


def _first_error(replies: Sequence[Any]) -> tuple[int, ResponseError | None]:
    for number, reply in enumerate(replies):
        if isinstance(reply, ResponseError):
            return number, reply
    return -1, None


def _placed(error: ResponseError, number: int, words: Sequence[Any]) -> ResponseError:
    """The error with the place of its command in its text; they are counted from 1 there."""
    shown = " ".join(word.decode(errors="replace") if isinstance(word, bytes) else str(word) for word in words)
    shown = shown if len(shown) <= 100 else shown[:97] + "..."
    error.args = (f"Command # {number + 1} ({shown}) of pipeline caused error: {error.args[0]}", *error.args[1:])
    return error
