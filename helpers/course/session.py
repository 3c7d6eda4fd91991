"""A learner's session with one lab: tasks, values, checks, memos, measurements and the report.

A notebook that uses it runs from top to bottom whether or not a task is solved: an unsolved one
goes on with the course's reference and says so. No method raises for a learner's mistake.
"""

from __future__ import annotations

import datetime
import difflib
import functools
import sys
import zlib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from helpers.course import artefacts, checks, measurements
from helpers.course.calling import call, last_line, parameter_names
from helpers.course.cards import Card, notice, report_card, show, verdict_card
from helpers.course.tasks import (
    FunctionTask,
    LabSpec,
    Task,
    ValueTask,
    Verdict,
    judge_function,
    judge_value,
    verdict,
)
from helpers.course.wire import plain
from helpers.errors import CourseError

PROFILES = ("fast", "full")
_REPORT_VERSION = 2


class Lab:
    """One lab in a learner's notebook.

    Parameters
    ----------
    name : str
        The lab's name, as in ``train-across-devices``.
    seed : int
        Seeds the cases of the checks and the values that depend on one.
    profile : {"full", "fast"}
        The lab's sizes: what a learner gets, or what tests use.
    spec : LabSpec, optional
        The tasks, if they are not those of :mod:`helpers.course.checks`.
    folder : path, optional
        Where artefacts go; ``artefacts/<name>`` by default.

    Raises
    ------
    CourseError
        If there is no lab of this name. It is the only mistake that stops a notebook.
    """

    def __init__(
        self,
        name: str,
        *,
        seed: int = 0,
        profile: str = "full",
        spec: LabSpec | None = None,
        folder: str | Path | None = None,
    ) -> None:
        self.spec = spec or checks.load(name)
        self.seed, self.profile = seed, profile
        if type(seed) is not int or seed < 0:
            self.seed = 0
            show(notice(f"seed must be a whole number of at least 0, not {seed!r}; using 0"))
        if profile not in PROFILES:
            self.profile = "full"
            show(notice(f"profile must be one of {PROFILES}, not {profile!r}; using 'full'"))
        self._folder = Path(folder) if folder else Path("artefacts") / self.spec.name
        self._functions: dict[str, Callable[..., Any]] = {}
        self._stand_ins: dict[str, Callable[..., Any]] = {}
        self._judging: set[str] = set()
        self._values: dict[str, Any] = {}
        self._verdicts: dict[str, Verdict] = {}
        self._references: dict[str, Any] = {}
        self._told: set[tuple[str, str]] = set()
        self._predictions: dict[str, str] = {}
        self._memos: dict[str, str] = {}
        self._measured: dict[str, measurements.Measured] = {}

    # ------------------------------------------------------------------ what a learner provides

    def task(self, name: str = "") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Register the decorated function as the learner's answer to a task.

        The name it is defined under becomes a stand-in: it calls the learner's function once that
        passes its check, and the reference until then.
        """

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            task = self._find(name, FunctionTask)
            if task is None:
                return function
            if not callable(function):
                show(notice(f"@lab.task({name!r}) belongs above a function"))
                return function
            self._functions[name] = function
            self._verdicts.pop(name, None)
            self._told = {(what, about) for what, about in self._told if about != name}
            self._stand_ins[name] = self._stand_in(task, function)
            return self._stand_ins[name]

        if callable(name):
            show(notice('write @lab.task("...") with the name of the task in the brackets'))
            return name
        return register

    def answer(self, name: str = "", value: Any = ...) -> Any:
        """Register the learner's value for a task, and return the value to go on with.

        That is the learner's own where it is right, else the reference.
        """
        task = self._find(name, ValueTask)
        if task is None:
            return value
        self._values[name] = value
        self._told.discard(("reference", name))
        self._verdicts[name] = judge_value(task, value, self._reference(task))
        if self._verdicts[name].status == "passed":
            return value
        self._say_reference(task)
        return plain(self._reference(task))

    def predict(self, name: str, choice: Any = ..., *, options: Mapping[str, str]) -> None:
        """Commit to a prediction before the measurement. It is recorded and never marked."""
        listed = [f"{key}: {text}" for key, text in options.items()]
        if isinstance(choice, str) and choice not in options:
            choice = choice.strip().lower()
        if choice is ... or choice is None:
            show(
                notice(
                    "Commit to one of these before you go on: put its letter in place of ...",
                    *listed,
                )
            )
        elif not isinstance(choice, str) or choice not in options:
            show(notice(f"{_short(choice)} is not one of the choices", *listed))
        else:
            self._predictions[name] = choice
            show(notice(f"You predict {choice}: {options[choice]}"))

    def memo(self, name: str = "", text: Any = None) -> None:
        """Record a decision memo and show the rubric it is to be read against.

        Without a text it only shows the rubric, so that it may stand earlier in the notebook too.
        """
        memo = next((memo for memo in self.spec.memos if memo.name == name), None)
        if memo is None:
            self._unknown(name, [memo.name for memo in self.spec.memos], "memo")
            return
        rubric = [f"\N{BULLET} {line}" for line in memo.rubric]
        if isinstance(text, str) and text.strip():
            self._memos[name] = text
        elif text is not None:
            self._memos.pop(name, None)
        if name in self._memos:
            heading = f"recorded, {memo.length(self._memos[name])}. Read it against:"
        else:
            asked = "{} to {} words, ".format(*memo.words) if memo.words else ""
            heading = f"not written yet. It is {asked}read against:"
        show(notice(f"{memo.title}: {heading}", *rubric))

    def entries(self, what: str, given: Any, known: Collection[str]) -> dict[str, Any]:
        """Return what the learner's dict `what` says of the `known` keys; show its other keys."""
        if not isinstance(given, dict):
            show(notice(f"{what} is no dict but {_short(given)}, and is left unread"))
            return {}
        if others := [key for key in given if key not in known]:
            lines = [f"{_short(key)} is left out{_meant(str(key), known)}" for key in others]
            keys = ", ".join(known) or "nothing yet"
            show(notice(f"{what} is read here for {keys}", *lines))
        return {key: value for key, value in given.items() if key in known}

    def record(self, name: str = "", **measured: Any) -> None:
        """Record what was measured, in the form that every lab shares, and show it.

        ``lab.report()`` writes all of them to ``measurements.json``, which ``edgesec results``
        collects and ``edgesec threats --measured`` reads.

        Parameters
        ----------
        name : str
            Names it within the lab; recording it again replaces it.
        **measured
            As :func:`helpers.course.measurements.made` takes them.
        """
        try:
            found = measurements.made(name, **measured)
        except CourseError as error:
            self._measured.pop(name, None)
            show(notice(f"Not recorded: {error}"))
        else:
            self._measured[name] = found
            show(notice(f"Recorded {name}: {found.metric} {found.text} ({found.subject})"))

    def save(self, name: str = "", value: Any = None) -> None:
        """Write an artefact to keep and say where, see :func:`helpers.course.artefacts.write`."""
        folder = artefacts.writable_folder(self._folder)
        if folder != self._folder:
            show(notice(f"{self._folder} cannot be written; artefacts of this run go to {folder}"))
            self._folder = folder
        try:
            path = artefacts.write(folder, name, value)
        except CourseError as error:
            show(notice(f"Not saved: {error}"))
        else:
            show(notice(f"Saved {path} ({path.stat().st_size:,} bytes)"))

    # ------------------------------------------------------------------ what a learner is told

    def check(self, name: str = "") -> None:
        """Check one task and show what was expected, what came, and a hint."""
        task = self._find(name, FunctionTask | ValueTask)
        if task is None:
            return
        self._verdicts.pop(name, None)
        found = self._standing(task)
        seen = name in self._functions or name in self._values
        note = "" if seen else f"Run the cell that defines {name} first."
        show(verdict_card(found, note))

    def report(self) -> None:
        """Show the points of every task, the memos and the predictions; keep what was measured."""
        verdicts = list(self.verdicts.values())
        notes = [
            f"{found.task}: {found.explanation}"
            for found in verdicts
            if found.status == "not attempted" and found.explanation
        ]
        notes += [f"prediction {name}: {choice}" for name, choice in self._predictions.items()]
        for memo in self.spec.memos:
            written = memo.name in self._memos
            length = memo.length(self._memos[memo.name]) if written else "not written"
            notes.append(f"{memo.title}: {length}")
        data = self._report_data(verdicts)
        if self._measured:
            self.save(measurements.FILE, data["measured"])
        show(report_card(self.spec.title, verdicts, notes, data))

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """The verdict on every task as things stand."""
        return {task.name: self._standing(task) for task in self.spec.tasks}

    # ------------------------------------------------------------------ how it is done

    def _standing(self, task: Task) -> Verdict:
        """Return the verdict, which is *not attempted* if the notebook uses another function."""
        function = self._functions.get(task.name)
        if function is not None:
            own = _own_name(function)
            used = _notebook().get(own, function)
            if used is not function and used is not self._stand_ins[task.name]:
                return verdict(
                    task,
                    "not attempted",
                    f"`{own}` in this notebook is no longer the function registered for "
                    f'{task.name}: put @lab.task("{task.name}") above it and run the cell again',
                )
        return self._judge(task)

    def _judge(self, task: Task) -> Verdict:
        name = task.name
        if name not in self._verdicts:
            if name not in self._functions and name not in self._values:
                found = verdict(task, "not attempted")
            elif isinstance(task, ValueTask):
                found = judge_value(task, self._values[name], self._reference(task))
            else:
                found = self._judge_function(task, self._functions[name])
            self._verdicts[name] = found
        return self._verdicts[name]

    def _judge_function(self, task: FunctionTask, function: Callable[..., Any]) -> Verdict:
        rng = np.random.default_rng([self.seed, zlib.crc32(task.name.encode())])
        own = _own_name(function)
        self._judging.add(task.name)
        try:
            return judge_function(
                task, functools.partial(call, function), rng,
                name=own if own.isidentifier() else "", parameters=parameter_names(function),
            )  # fmt: skip
        finally:
            self._judging.discard(task.name)

    def _reference(self, task: ValueTask) -> Any:
        if task.name not in self._references:
            self._references[task.name] = plain(task.reference(self.seed, self.profile))
        return self._references[task.name]

    def _stand_in(self, task: FunctionTask, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def stand_in(*args: Any, **kwargs: Any) -> Any:
            if task.name in self._judging:
                # A function that calls itself is judged on its own work, not the reference's.
                return self._functions[task.name](*args, **kwargs)
            if self._functions.get(task.name) is function and (
                self._judge(task).status == "passed"
            ):
                try:
                    return function(*args, **kwargs)
                except Exception as error:
                    self._say_failed(task, last_line(error, function))
            else:
                self._say_reference(task)
            return task.reference(*args, **kwargs)

        return stand_in

    def _say_reference(self, task: Task) -> None:
        status = self._judge(task).status
        reason = "not attempted" if status == "not attempted" else "not right yet"
        self._once(
            ("reference", task.name),
            notice(f"{task.name} is {reason}: going on with {_where(task.reference)}"),
        )

    def _say_failed(self, task: Task, message: str) -> None:
        heading = f"{task.name} passed its check, but on this input {message}"
        self._once(
            ("failed", task.name), notice(heading, f"Going on with {_where(task.reference)}")
        )

    def _once(self, what: tuple[str, str], card: Card) -> None:
        if what not in self._told:
            self._told.add(what)
            show(card)

    def _find(self, name: Any, kind: Any) -> Any:
        found = self.spec.task(name) if isinstance(name, str) else None
        if found is None:
            self._unknown(name, [task.name for task in self.spec.tasks], "task")
        elif not isinstance(found, kind):
            wanted = "lab.answer" if isinstance(found, ValueTask) else "@lab.task"
            show(notice(f"{name} is given with {wanted}({name!r}, ...)"))
            return None
        return found

    def _unknown(self, name: Any, known: list[str], what: str) -> None:
        near = difflib.get_close_matches(str(name), known, n=2, cutoff=0.4)
        meant = f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(known)}"
        show(notice(f"This lab has no {what} called {_short(name)}", meant))

    def _report_data(self, verdicts: list[Verdict]) -> dict[str, Any]:
        points = sum(v.points for v in verdicts)
        max_points = sum(v.max_points for v in verdicts)
        found = measurements.LabMeasurements(
            self.spec.name, self.spec.number, self.spec.title, self.profile, self.seed,
            datetime.date.today(), points, max_points, tuple(self._measured.values()),
        )  # fmt: skip
        return {
            "version": _REPORT_VERSION,
            "lab": self.spec.name,
            "seed": self.seed,
            "profile": self.profile,
            "points": points,
            "max_points": max_points,
            "tasks": [
                {"name": v.task, "status": v.status, "points": v.points, "max_points": v.max_points}
                for v in verdicts
            ],
            "predictions": dict(self._predictions),
            "memos": {memo.name: memo.name in self._memos for memo in self.spec.memos},
            "measured": measurements.to_json(found),
        }


def _notebook() -> Mapping[str, Any]:
    """Return the names defined in the notebook; none outside IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return {} if shell is None else shell.user_ns


def _own_name(function: Callable[..., Any]) -> str:
    # A callable object or a partial has no name of its own.
    return str(getattr(function, "__name__", ""))


def _where(reference: Callable[..., Any]) -> str:
    module, name = getattr(reference, "__module__", ""), getattr(reference, "__qualname__", "")
    if module.startswith("helpers.") and "checks" not in module and "<" not in name:
        return f"the reference, {module}.{name}"
    return "the reference"


def _meant(key: str, known: Collection[str]) -> str:
    """Return which of the known keys a learner may have meant, whatever the case."""
    plain = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(key.casefold().strip(), plain, n=1)
    return f"; the nearest that is read is {plain[near[0]]!r}" if near else ""


def _short(value: Any) -> str:
    if isinstance(value, str | int | float):
        return repr(value)[:60]
    return f"a {type(value).__name__}"
