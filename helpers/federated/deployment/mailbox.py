"""The server's letters to the nodes: sent together, answered apart, none awaited too long.

Flower's own ``send_and_receive`` looks every three seconds and reads one answer after another; a
node that announces an answer and never uploads it holds the reader for up to two hours. Here each
node is listened to by a thread of its own, and only until the deadline.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import Any

from flwr.app import Message
from flwr.server import Grid
from flwr.server.grid import grpc_grid

_POLL = 0.1
# An answer that is being uploaded when the time is over may take this much longer.
_GRACE = 1.0
_until = threading.local()


class Mailbox:
    """Sends the messages of a round and collects the answers.

    Parameters
    ----------
    grid
        Flower's way to the nodes.
    """

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._pending: dict[str, tuple[int, int]] = {}  # message -> (node, round)

    def send(self, round_number: int, instructions: Mapping[int, Message]) -> list[str]:
        """Send each node its message; returns the numbers of the messages."""
        ids = list(self._grid.push_messages(list(instructions.values())))
        sent = {i: (n, round_number) for i, n in zip(ids, instructions, strict=True) if i}
        self._pending |= sent
        return list(sent)

    def answers(
        self, message_ids: list[str], deadline: float
    ) -> Iterator[tuple[int, Message | Exception]]:
        """Yield answers as they come: the node that was asked, and what came.

        Parameters
        ----------
        message_ids
            What :meth:`send` returned.
        deadline
            When to stop, on the clock of ``time.monotonic``.

        Yields
        ------
        tuple of int and (Message or Exception)
            An exception where what the node uploaded is not even a message.
        """
        if not message_ids:
            return
        with ThreadPoolExecutor(len(message_ids)) as pool:
            waiting: dict[Future[Message | None], str] = {
                pool.submit(self._listen, number, deadline): number for number in message_ids
            }
            for done in as_completed(waiting):
                number = waiting[done]
                error = done.exception()
                if error is not None and not isinstance(error, Exception):
                    raise error
                came = error if error is not None else done.result()
                if came is not None:
                    yield self._pending.pop(number)[0], came

    def unanswered(self, message_ids: list[str]) -> list[int]:
        """Return the nodes whose answer has not come."""
        return [self._pending[number][0] for number in message_ids if number in self._pending]

    def late(self, before: int) -> Iterator[tuple[int, int]]:
        """Yield, and forget, answers to earlier rounds that came since: node and round."""
        for number, (node, asked) in list(self._pending.items()):
            if asked >= before:
                continue
            try:
                came = self._listen(number, time.monotonic())
            except Exception as error:  # as in answers(); it is dropped anyway
                came = error  # type: ignore[assignment]
            if came is not None:
                del self._pending[number]
                yield node, asked

    def _listen(self, number: str, deadline: float) -> Message | None:
        _until.time = deadline + _GRACE
        while True:
            for answer in self._grid.pull_messages([number]):
                return answer
            if time.monotonic() + _POLL > deadline:
                return None
            time.sleep(_POLL)


def bound_uploads() -> None:
    """Have Flower wait for the parts of an answer only as long as :class:`Mailbox` does."""
    pull = grpc_grid.pull_objects

    def pull_until(*arguments: Any, **options: Any) -> Any:
        left = max(0.0, getattr(_until, "time", time.monotonic() + 60) - time.monotonic())
        return pull(*arguments, **{**options, "max_time": left})

    grpc_grid.pull_objects = pull_until
