"""Inside the sandbox: read a notebook, run its cells, call its functions when asked.

Nothing here is trusted. The notebook runs in this very process and may change any of it; all it
can change is what this process answers. Requests and answers are single lines, see
:mod:`helpers.course.wire`::

    {"do": "read", "notebook": bytes}              -> {"anatomy": {...}} or {"problem": text}
    {"do": "run", ...}                             -> {"cell": n} ..., {"answer": name, ...} ...,
                                                      {"ran": {...}}
    {"do": "call", "task": name, "args": tuple, "limit": seconds} -> {"reply": {...}}

The last line to each request carries its token. After ``{"answer": ...}`` the process waits for
``{"value": ..., "own": bool}``.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import IO, Any

from helpers.course import calling, session, wire
from helpers.course.grading import anatomy
from helpers.course.session import Lab
from helpers.course.tasks import LabSpec, Reply, ValueTask
from helpers.errors import CourseError

_MEMO = 20_000  # characters of a memo that are kept
_ERRORS = 20  # failed cells that are reported


class Recorder:
    """What the notebook hands in: functions, values, memos."""

    def __init__(self, spec: LabSpec, ask: Callable[[dict[str, Any]], Any]) -> None:
        self.spec, self.ask = spec, ask
        self.functions: dict[str, Callable[..., Any]] = {}
        self.counts: dict[str, int] = {}
        self.memos: dict[str, str] = {}
        self.sessions: list[Lab] = []
        self.judged = ""  # the task whose function is being called for marks
        for task in spec.tasks:
            object.__setattr__(task, "reference", self._withheld(task))

    def _withheld(self, task: Any) -> Callable[..., Any]:
        """Return a reference that answers while the lab goes on, not while a mark is at stake."""
        reference, is_value = task.reference, isinstance(task, ValueTask)

        def guarded(*args: Any, **kwargs: Any) -> Any:
            if is_value or self.judged == task.name:
                raise NotImplementedError("the reference is not here")
            return reference(*args, **kwargs)

        return guarded


def recorded(recorder: Recorder) -> type[Lab]:
    """Return the session class that the notebook gets under the name ``Lab``."""

    class RecordedLab(Lab):
        """A session that runs like any other and tells the recorder what it was handed."""

        def __init__(self, name: str, **options: Any) -> None:
            if name != recorder.spec.name:
                raise CourseError(f"this notebook is graded as lab {recorder.spec.name!r}")
            super().__init__(name, **{**options, "spec": recorder.spec})
            recorder.sessions.append(self)

        def task(self, name: str = "") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
            register = super().task(name)

            def record(function: Callable[..., Any]) -> Callable[..., Any]:
                recorder.functions[name] = function
                recorder.counts[name] = recorder.counts.get(name, 0) + 1
                return register(function)

            return record if isinstance(name, str) else register

        def answer(self, name: str = "", value: Any = ...) -> Any:
            if not isinstance(self.spec.task(name), ValueTask):
                return value
            message: dict[str, Any] = {"answer": name, "given": value is not ...}
            try:
                message["value"] = None if value is ... else wire.plain(value)
            except wire.WireError as error:
                message["problem"] = str(error)
            going_on = recorder.ask(message)
            return value if going_on["own"] else going_on["value"]

        def memo(self, name: str = "", text: Any = None) -> None:
            if isinstance(text, str) and text.strip():
                recorder.memos[name] = str.__str__(text)[:_MEMO]

        def check(self, name: str = "") -> None:
            """Show nothing: nobody looks."""

        def report(self) -> None:
            """Show nothing: nobody looks."""

    return RecordedLab


class Worker:
    """Answers the requests of the process that grades."""

    def __init__(self, requests: IO[bytes], replies: IO[bytes], spec: LabSpec) -> None:
        self._requests, self._replies = requests, replies
        self._recorder = Recorder(spec, self._ask)
        self._anatomy = anatomy.Anatomy(())
        self._names: dict[str, Any] = {}
        self._expected: dict[str, str] = {}

    def serve(self) -> None:
        """Answer until there are no more requests."""
        actions = {"read": self._read, "run": self._run, "call": self._call}
        self._say({"ready": True})
        for line in self._requests:
            request = wire.loads(line)
            self._say({**actions[request["do"]](request), "token": request["token"]})

    def _say(self, message: dict[str, Any]) -> None:
        self._replies.write(wire.dumps(message) + b"\n")
        self._replies.flush()

    def _ask(self, message: dict[str, Any]) -> Any:
        self._say(message)
        return wire.loads(self._requests.readline())

    def _read(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            self._anatomy = anatomy.dissect(anatomy.code_cells(request["notebook"]))
        except CourseError as error:
            return {"problem": str(error)}
        return {"anatomy": asdict(self._anatomy)}

    def _run(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run the cells one after the other; one that fails does not stop the next."""
        os.environ.setdefault("MPLBACKEND", "agg")
        from IPython.core.interactiveshell import InteractiveShell

        session.Lab = recorded(self._recorder)  # type: ignore[misc]
        shell: Any = InteractiveShell.instance(history_manager=None, colors="NoColor")
        shell.showtraceback = _nothing  # it is slow, and nobody reads it
        self._names, self._expected = shell.user_ns, request["functions"]
        # For a notebook that has lost the cell with its session.
        name, seed, profile = self._recorder.spec.name, request["seed"], request["profile"]
        self._names["lab"] = session.Lab(name, seed=seed, profile=profile)
        errors: list[tuple[int, str]] = []
        cells = {n: c for n, c in enumerate(self._anatomy.cells) if n not in request["skip"]}
        if not request["whole"]:
            cells = anatomy.without_idle_imports(cells)
        for number, cell in cells.items():
            self._say({"cell": number})
            code = anatomy.definitions(cell) if number in request["define"] else cell
            problem = _run_cell(shell, code, request["cell_seconds"])
            if problem:
                errors.append((number, problem))
            if number == self._anatomy.parameters:
                self._names.update(profile=profile, seed=seed)
        return {
            "ran": {
                "errors": errors[:_ERRORS],
                "memos": dict(self._recorder.memos),
                "counts": dict(self._recorder.counts),
                "unregistered": [name for name in self._expected if self._unregistered(name)],
            }
        }

    def _unregistered(self, task: str) -> bool:
        return task not in self._recorder.functions and self._find(task) is not None

    def _find(self, task: str) -> Callable[..., Any] | None:
        """Return the function registered for a task, or one that has the name it had there."""
        if task in self._recorder.functions:
            return self._recorder.functions[task]
        function = self._names.get(self._expected.get(task, ""), self._names.get(task))
        own = getattr(function, "__module__", "") == "__main__"
        return function if callable(function) and own else None

    def _call(self, request: dict[str, Any]) -> dict[str, Any]:
        task = request["task"]
        function = self._find(task)
        if function is None:
            return {"reply": asdict(Reply("not attempted"))}
        self._recorder.judged = task
        for lab in self._recorder.sessions:  # whose stand-in then calls the learner's own
            lab._judging.add(task)
        reply = calling.call(function, request["args"], request["limit"])
        for lab in self._recorder.sessions:
            lab._judging.discard(task)
        self._recorder.judged = ""
        return {"reply": asdict(reply)}


def _nothing(*args: Any, **options: Any) -> None:
    """Show nothing."""


def _run_cell(shell: Any, code: str, seconds: float) -> str:
    """Run one cell and return what it raised, in one line."""
    try:
        with calling.stop_after(seconds):
            result = shell.run_cell(code, store_history=False, silent=True)
        error = result.error_before_exec or result.error_in_exec
    except BaseException as raised:
        error = raised
    if error is None:
        return ""
    if isinstance(error, calling.OutOfTime):
        return f"it had not ended after {seconds:g} s"
    try:
        return f"{type(error).__name__}: {error}"[:300]
    except Exception:
        return "it raised an error that cannot be shown"


def main(module: str) -> None:
    """Take over standard input and output as the pipe, and serve."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    spec = importlib.import_module(module).LAB
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    Worker(requests, replies, spec).serve()


if __name__ == "__main__":
    main(sys.argv[1])
