"""The trusted end of the pipe into a sandbox that runs one submission.

Whatever arrives was written by a stranger. It is read as plain data, looked at field by field,
and believed only as what the submission says about itself.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import helpers
from helpers.course import wire
from helpers.course.grading.anatomy import Anatomy
from helpers.course.grading.lab import GradedLab
from helpers.course.tasks import Reply
from helpers.errors import EdgesecError, SandboxError
from helpers.sandbox import Layers, Limits, Sandbox

MAX_REPLY = 32 * 2**20  # bytes of one line from the sandbox
_MAX_MARKS = 2_000_000  # brackets and commas in it: each can cost 60 bytes once it is parsed
_MAX_TEXT_ROOM = 256 * 2**20  # bytes of the array that a check may make of a value's texts
_MAX_MESSAGE = 2_000  # characters of what a function is said to have raised
_GRACE = 5.0  # seconds beyond a limit that the sandbox should have kept itself
_START = 120.0  # seconds to start Python and import the lab's checks
_TOO_MUCH_TEXT = "far more text than any task asks for"
_STATUSES = ("returned", "failed", "not attempted")


class DiedError(EdgesecError):
    """The process in the sandbox is gone, or spoke out of turn."""


class Conversation:
    """A sandbox with a worker in it, and the three things that can be asked of it."""

    def __init__(self, lab: GradedLab, limits: Limits, layers: Layers) -> None:
        root = str(Path(helpers.__file__).resolve().parents[1])
        command = [sys.executable, "-P", "-m", "helpers.course.grading.worker", lab.module]
        data = os.environ.get("EDGESEC_DATA")
        environment = {
            "PYTHONPATH": os.pathsep.join([root, *lab.readable]),
            "MPLBACKEND": "agg",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "TF_ENABLE_ONEDNN_OPTS": "0",
            **dict.fromkeys(_THREADS, "2"),
            **({"EDGESEC_DATA": data} if data else {}),
        }
        readable = [*lab.readable, *([data] if data else [])]
        self.cell = -1  # the last cell that was begun
        self._token = ""  # of the latest request: a line that lacks it is no answer to it
        self._box = Sandbox(
            command, readable=readable, limits=limits, layers=layers, environment=environment
        )
        try:
            self._read(_START)
        except DiedError as error:
            self._box.close()
            raise SandboxError(f"the sandbox does not start: {error} {self._box.errors}") from None

    def close(self) -> None:
        """End the sandbox."""
        self._box.close()

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, notebook: bytes) -> Anatomy | str:
        """Return what the notebook holds, or why it is none."""
        self._request({"do": "read", "notebook": notebook})
        answer = self._read(60.0)
        if isinstance(answer.get("problem"), str):
            return str(answer["problem"])
        try:
            return _anatomy(answer["anatomy"])
        except (AttributeError, KeyError, TypeError, ValueError):
            raise self._out_of_turn() from None

    def run(
        self, request: dict[str, Any], answered: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> dict[str, Any]:
        """Run the cells; each value that is handed in goes through `answered`."""
        self._request({"do": "run", **request})
        while True:
            message = self._read(request["cell_seconds"] + _GRACE)
            if type(message.get("cell")) is int:
                self.cell = message["cell"]
            elif isinstance(message.get("answer"), str):
                if wire.text_room(message.get("value")) > _MAX_TEXT_ROOM:
                    message = {**message, "value": None, "problem": _TOO_MUCH_TEXT}
                self._send(answered({**message, "given": message.get("given") is True}))
            elif isinstance(message.get("ran"), dict) and self._is_reply(message):
                ran: dict[str, Any] = message["ran"]
                return ran
            else:
                raise self._out_of_turn()

    def call(self, task: str, args: tuple[Any, ...], limit: float) -> Reply:
        """Call the function handed in for a task."""
        started = time.monotonic()
        self._request({"do": "call", "task": task, "args": args, "limit": limit})
        answer = self._read(limit + _GRACE)
        reply = answer.get("reply") if self._is_reply(answer) else None
        status = reply.get("status") if isinstance(reply, dict) else None
        if not isinstance(reply, dict) or not isinstance(status, str) or status not in _STATUSES:
            raise self._out_of_turn()
        if time.monotonic() - started > limit + 1:
            return Reply("failed", message=f"it had not returned after {limit:g} s")
        if wire.text_room(reply.get("value")) > _MAX_TEXT_ROOM:
            return Reply("failed", message=f"it returned {_TOO_MUCH_TEXT}")
        message, changed = reply.get("message"), reply.get("changed")
        said = {n for n in changed if type(n) is int} if isinstance(changed, tuple) else set()
        return Reply(
            status,  # type: ignore[arg-type]
            reply.get("value"),
            message[:_MAX_MESSAGE] if isinstance(message, str) else "",
            tuple(number for number in range(len(args)) if number in said),
        )

    def _is_reply(self, message: dict[str, Any]) -> bool:
        token = message.get("token")  # which may be an array: comparing one gives no yes or no
        return isinstance(token, str) and token == self._token

    def _request(self, message: dict[str, Any]) -> None:
        self._token = secrets.token_hex(8)
        self._send({**message, "token": self._token})

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._box.send(wire.dumps(message), 60.0)
        except SandboxError as error:
            raise DiedError(str(error)) from None

    def _read(self, seconds: float) -> dict[str, Any]:
        try:
            line = self._box.receive(seconds, MAX_REPLY)
            if sum(map(line.count, (b",", b"[", b"{"))) > _MAX_MARKS:
                raise wire.WireError(f"more than {_MAX_MARKS:,} parts")
            message = wire.loads(line)
        except SandboxError as error:
            raise DiedError(str(error)) from None
        except wire.WireError as error:
            raise self._out_of_turn(f" ({error})") from None
        if not isinstance(message, dict):
            raise self._out_of_turn()
        return message

    def _out_of_turn(self, detail: str = "") -> DiedError:
        self._box.end("it wrote to the grader's pipe")
        return DiedError(f"something wrote to the grader's pipe{detail}")


_THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS",
)  # fmt: skip


def _anatomy(said: dict[str, Any]) -> Anatomy:
    """Build an anatomy from what the sandbox says, insisting on every type."""

    def texts(name: str) -> tuple[str, ...]:
        if not isinstance(said[name], tuple) or not all(isinstance(t, str) for t in said[name]):
            raise TypeError(name)
        return tuple(said[name])

    def by_name(name: str) -> dict[str, str]:
        items = said[name].items()
        if not all(isinstance(key, str) and isinstance(value, str) for key, value in items):
            raise TypeError(name)
        return dict(items)

    def whole(value: Any) -> int:
        if type(value) is not int:
            raise TypeError("a whole number was expected")
        return value

    def numbers(name: str) -> tuple[int, ...]:
        return tuple(whole(number) for number in said[name])

    return Anatomy(
        texts("cells"), texts("labs"), by_name("sources"), by_name("functions"), texts("checks"),
        texts("imports"), texts("reaches"), whole(said["parameters"]), whole(said["seed"]),
        numbers("needed"), numbers("broken"), texts("alone"),
    )  # fmt: skip
