"""What a lab asks for: its tasks, their cases, and the one function that judges a task.

The judge never calls a learner's function itself. It is handed a *caller*, which answers with a
:class:`Reply`: the session calls in its own process, a grader calls across a pipe into a sandbox.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from helpers.course import describe
from helpers.course.compare import Comparison, close, kind_problem
from helpers.course.wire import WireError, plain
from helpers.errors import CourseError

Status = Literal["passed", "mismatch", "error", "not attempted"]


@dataclass(frozen=True)
class Case:
    """One call of a learner's function: positional arguments of plain data, and why this call."""

    args: tuple[Any, ...]
    label: str = ""


@dataclass(frozen=True)
class FunctionTask:
    """A function that the learner writes.

    Parameters
    ----------
    name : str
        As in ``@lab.task(name)``.
    title : str
        What it is about, a few words.
    points : int
        Awarded when every case passes, else none.
    reference : callable
        The course's implementation; the lab goes on with it until the learner's passes.
    cases : callable
        ``cases(rng) -> list[Case]`` from a seeded generator; another seed gives hidden cases.
    compare : Comparison
        How a result is judged, see :mod:`helpers.course.compare`.
    hint : str
        Shown when a result is wrong.
    time_limit : float
        Seconds one call may take.
    show_expected : bool
        Whether a mismatch shows the reference's result; pointless where many results are right.
    across : callable, optional
        ``across([(args, result), ...]) -> str | None``, called with all cases once each has
        passed by itself: says what is wrong between them, as in *the same seed must give the same
        split*, or ``None``.
    """

    name: str
    title: str
    points: int
    reference: Callable[..., Any]
    cases: Callable[[np.random.Generator], Sequence[Case]]
    compare: Comparison = field(default_factory=close)
    hint: str = ""
    time_limit: float = 10.0
    show_expected: bool = True
    across: Callable[[list[tuple[tuple[Any, ...], Any]]], str | None] | None = None


@dataclass(frozen=True)
class ValueTask:
    """A value that the learner computes; ``reference(seed, profile)`` gives the right one.

    `tells` says that the words of `compare` reveal no right value, so that they may be shown.
    """

    name: str
    title: str
    points: int
    reference: Callable[[int, str], Any]
    compare: Comparison = field(default_factory=close)
    hint: str = ""
    tells: bool = False


Task = FunctionTask | ValueTask


@dataclass(frozen=True)
class Memo:
    """A decision in the learner's own words, assessed against a rubric and not by machine.

    `words` is the length asked for, at least and at most. A memo of another length is recorded all
    the same, and the learner is told.
    """

    name: str
    title: str
    rubric: tuple[str, ...]
    words: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.words and not 0 < self.words[0] <= self.words[1]:
            raise CourseError(
                f"memo {self.name}: words must be (least, most) with 0 < least <= most, "
                f"not {self.words}"
            )

    def length(self, text: str) -> str:
        """Say how many words `text` has, and how many were asked for where it has others."""
        count = len(text.split())
        counted = f"{count} word" if count == 1 else f"{count} words"
        if self.words is None or self.words[0] <= count <= self.words[1]:
            return counted
        return f"{counted}; asked for: {self.words[0]} to {self.words[1]}"


@dataclass(frozen=True)
class LabSpec:
    """A lab as its checks see it. `minutes` is the expected working time."""

    name: str
    number: int
    title: str
    minutes: int
    tasks: tuple[Task, ...]
    memos: tuple[Memo, ...] = ()

    def __post_init__(self) -> None:
        names = [item.name for item in (*self.tasks, *self.memos)]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise CourseError(f"lab {self.name}: two tasks or memos are called {repeated}")

    @property
    def points(self) -> int:
        """Points of all tasks together."""
        return sum(task.points for task in self.tasks)

    def task(self, name: str) -> Task | None:
        """Return the task of this name, or ``None``."""
        return next((task for task in self.tasks if task.name == name), None)


@dataclass(frozen=True)
class Reply:
    """What came of calling a learner's function: a plain value, or why there is none.

    `changed` holds the positions of the arguments that the function changed in place.
    """

    status: Literal["returned", "failed", "not attempted"]
    value: Any = None
    message: str = ""
    changed: tuple[int, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """The judgement on one task, with what a learner needs to see to go on."""

    task: str
    title: str
    status: Status
    points: int
    max_points: int
    explanation: str = ""
    called: str = ""
    expected: str = ""
    got: str = ""
    hint: str = ""


Caller = Callable[[tuple[Any, ...], float], Reply]


def judge_function(
    task: FunctionTask,
    call: Caller,
    rng: np.random.Generator,
    *,
    name: str = "",
    parameters: Sequence[str] = (),
) -> Verdict:
    """Judge a learner's function on the cases that `rng` gives; the first wrong one decides.

    Parameters
    ----------
    task : FunctionTask
        What was asked for.
    call : callable
        ``call(args, time_limit) -> Reply``. It gets its own copy of the arguments.
    rng : numpy.random.Generator
        Seeds the cases.
    name : str
        What the learner calls the function, for messages; else the task's name stands there.
    parameters : sequence of str
        The names of the function's positional parameters, for messages.

    Raises
    ------
    CourseError
        If the task has no cases: it would accept anything.
    """
    cases = task.cases(rng)
    if not cases:
        raise CourseError(f"task {task.name} has no cases, so it would accept anything")
    name = name or task.name
    results = []
    for case in cases:
        args = plain(case.args)
        reply = call(plain(args), task.time_limit)
        if reply.status == "not attempted":
            return verdict(task, "not attempted", reply.message)
        called = f"{name}({', '.join(describe.summary(arg) for arg in args)})"
        if case.label:
            called += f"   # {case.label}"
        found = _judge_reply(task, reply, args, called, parameters)
        if found is not None:
            return found
        results.append((args, reply.value))
    problem = _relation_problem(task, results)
    if problem:
        called = f"{name}, {len(results)} times: each result is right by itself"
        return verdict(task, "mismatch", problem, called)
    return verdict(task, "passed")


def judge_value(task: ValueTask, value: Any, expected: Any) -> Verdict:
    """Judge a learner's value. The verdict shows its kind and the hint, never the right value.

    Parameters
    ----------
    task : ValueTask
        What was asked for.
    value : object
        What the learner gave; ``...`` is not an attempt.
    expected : object
        Plain data from ``task.reference(seed, profile)``.
    """
    if value is ...:
        return verdict(task, "not attempted")
    try:
        got = plain(value)
    except WireError as error:
        return verdict(task, "mismatch", f"got {error}")
    objection = _objection(task, got, expected, ())
    if objection is None:
        return verdict(task, "passed")
    told = objection if task.tells else "this is not the value that was asked for"
    problem = kind_problem(got, expected) or told
    return verdict(task, "mismatch", problem, got=describe.summary(got))


def verdict(
    task: Task, status: Status, explanation: str = "", called: str = "", expected: str = "",
    got: str = "",
) -> Verdict:  # fmt: skip
    """Build a verdict on a task: all of its points, or none."""
    points = task.points if status == "passed" else 0
    hint = task.hint if status in ("mismatch", "error") else ""
    return Verdict(
        task.name, task.title, status, points, task.points, explanation, called, expected, got, hint
    )


def _judge_reply(
    task: FunctionTask, reply: Reply, args: tuple[Any, ...], called: str, parameters: Sequence[str]
) -> Verdict | None:
    """Return the verdict that one reply decides, or ``None`` where it is as it should be."""
    if reply.status == "failed":
        return verdict(task, "error", reply.message, called)
    expected = plain(task.reference(*plain(args)))
    problems = [_objection(task, reply.value, expected, args)]
    for number in reply.changed:
        known = number < len(parameters)
        which = f"its argument `{parameters[number]}`" if known else f"its argument {number + 1}"
        problems.append(f"it changes {which} in place; work on a copy")
    explanation = "\n".join(problem for problem in problems if problem)
    if not explanation:
        return None
    got = describe.summary(reply.value)
    shown = describe.summary(expected) if task.show_expected else ""
    return verdict(task, "mismatch", explanation, called, shown, got)


def _relation_problem(task: FunctionTask, results: list[tuple[tuple[Any, ...], Any]]) -> str | None:
    if task.across is None:
        return None
    try:
        return task.across(results)
    except Exception as error:
        return f"the results cannot be judged together ({type(error).__name__}: {error})"


def _objection(task: Task, got: Any, expected: Any, args: tuple[Any, ...]) -> str | None:
    # A property check is written for results of the right kind; a learner's may be of any kind.
    try:
        return task.compare(got, expected, args)
    except Exception as error:
        return f"{describe.kind(got)} cannot be judged here ({type(error).__name__}: {error})"
