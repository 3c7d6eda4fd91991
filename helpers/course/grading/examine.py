"""Examine one submission: run it in a sandbox, judge what it hands in, and say what happened.

A notebook that ends its process, or hangs it, is started again without the cell or the function
that did so, so that one bad cell costs what is in it and not the rest.
"""

from __future__ import annotations

import contextlib
import textwrap
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from helpers.course.grading.anatomy import Anatomy
from helpers.course.grading.conversation import Conversation, DiedError
from helpers.course.grading.lab import GradedLab
from helpers.course.grading.records import State, TaskRecord
from helpers.course.tasks import (
    FunctionTask,
    Task,
    ValueTask,
    Verdict,
    judge_function,
    judge_value,
    verdict,
)
from helpers.course.wire import plain
from helpers.sandbox import Layers, Limits

MAX_NOTEBOOK = 25 * 2**20  # bytes; what is larger carries outputs that nobody reads here
_MAX_STARTS = 8  # of a sandbox for one submission
_MEMO = 20_000  # characters
_FAILED = " failed: "
_HIDDEN = (
    "It passes the cases of lab.check and fails on others of the same kind. Does it treat every "
    "input alike, whatever its size and its values?"
)


@dataclass(frozen=True)
class Rules:
    """How submissions are examined.

    Parameters
    ----------
    seed : int
        Decides the hidden inputs. Another seed gives others; keep it to yourself.
    profile : {"fast", "full"}
        Sizes with which the notebook runs.
    cell_seconds : float
        Time one cell may take.
    whole : bool
        Run every cell. Otherwise only those on which something handed in rests are run, and the
        others too if that ends in an error that they could mend.
    limits : Limits
        What one submission may use; its ``seconds`` are for the whole of it.
    layers : Layers
        What holds it.
    """

    seed: int
    profile: str = "fast"
    cell_seconds: float = 120.0
    whole: bool = False
    limits: Limits = field(default_factory=Limits)
    layers: Layers = field(default_factory=Layers)


@dataclass
class Examined:
    """What came of one submission."""

    state: State = "graded"
    tasks: tuple[TaskRecord, ...] = ()
    memos: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    code: str = ""


def examine(lab: GradedLab, notebook: bytes, rules: Rules) -> Examined:
    """Examine one notebook file.

    Raises
    ------
    SandboxError
        If the sandbox does not start: that is no submission's fault.
    """
    if len(notebook) > MAX_NOTEBOOK:
        size = f"{len(notebook) / 2**20:,.0f} MB (limit {MAX_NOTEBOOK >> 20} MB)"
        return nothing(lab, "not a notebook", f"the file has {size}; clear its outputs")
    return _Examination(lab, notebook, rules).examined()


def nothing(lab: GradedLab, state: State, note: str) -> Examined:
    """Return what a submission gives that was not examined, for the reason in `note`."""
    tasks = tuple(TaskRecord(**vars(verdict(task, "not attempted"))) for task in lab.spec.tasks)
    return Examined(state, tasks, notes=[note])


class _Examination:
    def __init__(self, lab: GradedLab, notebook: bytes, rules: Rules) -> None:
        self._lab, self._notebook, self._rules = lab, notebook, rules
        self._ends = time.monotonic() + rules.limits.seconds
        self._found, self._anatomy = Examined(), Anatomy(())
        self._done: dict[str, tuple[Verdict, bool]] = {}  # and whether it is a hidden failure
        self._define: set[int] = set()  # cells of which only the definitions are run
        self._skip: set[int] = set()
        self._given: dict[str, dict[str, Any]] = {}  # values handed in, as they came
        self._revealed: set[str] = set()  # tasks whose right value the notebook was told
        self._alone: set[str] = set()  # tasks whose right value it is never told
        self._cells_failed = False
        self._references: dict[tuple[str, str], Any] = {}
        self._visible: dict[str, Verdict] = {}  # functions that pass the visible cases
        self._ran, self._whole = False, rules.whole

    def examined(self) -> Examined:
        for _ in range(_MAX_STARTS):
            if not self._undone() or time.monotonic() > self._ends:
                break
            with contextlib.suppress(DiedError), self._conversation() as talk:
                if not self._once(talk):
                    continue
                if self._found.state != "graded":
                    break
                self._try_whole()
        if not self._ran and self._found.state == "graded":
            self._found.state = "stopped"
        self._finish()
        return self._found

    def _try_whole(self) -> None:
        """Forget what ended in an error where running all cells may mend it."""
        open_ = [name for name, (found, _) in self._done.items() if self._may_mend(found)]
        if self._whole or not open_:
            return
        self._whole, self._ran = True, False
        self._found.notes = [note for note in self._found.notes if _FAILED not in note]
        for name in open_:
            del self._done[name]

    def _may_mend(self, found: Verdict) -> bool:
        own = self._anatomy
        if found.status == "error":
            return found.explanation.startswith("it raised") and found.task not in own.alone
        missing = found.status == "not attempted" and found.task in own.sources
        return missing and self._cells_failed

    def _conversation(self) -> Conversation:
        rest = max(1.0, self._ends - time.monotonic())
        limits = replace(self._rules.limits, seconds=rest)
        return Conversation(self._lab, limits, self._rules.layers)

    def _undone(self) -> list[Task]:
        return [task for task in self._lab.spec.tasks if task.name not in self._done]

    def _once(self, talk: Conversation) -> bool:
        """Go through the notebook in a fresh sandbox; say whether that was the last time."""
        if not self._read(talk):
            return True
        try:
            self._run(talk)
        except DiedError as error:
            self._blame_cell(talk.cell, str(error))
            raise
        self._ran = True
        again = self._again()
        if again:
            self._alone |= again
            return False
        # All visible cases come before all hidden ones: what a function says about the former is
        # shown to its learner, so by then none may have seen a hidden input.
        for judge in (self._judge_visible, self._judge_hidden):
            for task in self._undone():
                judge(talk, task)
        return True

    # ------------------------------------------------------------------ reading and running

    def _read(self, talk: Conversation) -> bool:
        try:
            found = talk.read(self._notebook)
        except DiedError as error:
            found = f"it cannot be read: {error}"
        if isinstance(found, Anatomy):
            self._anatomy, self._found.code = found, found.code
            others = [name for name in found.labs if name != self._lab.spec.name]
            if not others or self._lab.spec.name in found.labs:
                return True
            self._found.state = "another lab"
            self._note(f"it is a notebook of lab {others[0][:80]!r}, not {self._lab.spec.name!r}")
        else:
            self._found.state = "not a notebook"
            self._note(found)
        return False

    def _run(self, talk: Conversation) -> None:
        self._given, self._revealed = {}, set()
        ran = talk.run(
            {
                "profile": self._rules.profile,
                "seed": self._anatomy.seed,
                "cell_seconds": self._rules.cell_seconds,
                "define": sorted(self._define),
                "whole": self._whole,
                "skip": sorted(self._skip | self._idle()),
                "functions": self._lab.given.functions,
            },
            self._answered,
        )
        if not self._ran:
            self._keep(ran)

    def _idle(self) -> set[int]:
        idle = {*range(len(self._anatomy.cells))} - {*self._anatomy.needed}
        return set() if self._whole else idle

    def _blame_cell(self, cell: int, why: str) -> None:
        if cell < 0:
            return
        whole = cell not in self._define
        self._define.add(cell)
        if not whole:
            self._skip.add(cell)
        how = "only what it defines was run" if whole else "it was left out"
        self._note(f"code cell {cell + 1} ended the run ({why}); {how}")

    def _keep(self, ran: dict[str, Any]) -> None:
        """Keep what the first complete run says of itself, before anything hidden is shown."""
        memos, errors = ran.get("memos"), ran.get("errors")
        if isinstance(memos, dict):
            known = {memo.name for memo in self._lab.spec.memos}
            kept = {name: text for name, text in memos.items() if isinstance(text, str)}
            self._found.memos = {n: _tidy(text) for n, text in kept.items() if n in known}
        self._cells_failed = bool(_pairs(errors))
        for cell, problem in _pairs(errors)[:20]:
            self._note(f"code cell {cell + 1}{_FAILED}{problem[:300]}")
        counts = ran.get("counts")
        for name, count in counts.items() if isinstance(counts, dict) else ():
            if type(count) is int and count > 1 and self._lab.spec.task(name):
                self._note(f"{name} is handed in {count} times; the last one counts")
        names = ran.get("unregistered")
        for name in names if isinstance(names, list) else ():
            if isinstance(name, str) and self._lab.spec.task(name):
                self._note(f"{name} is not registered with @lab.task; found by its function's name")

    # ------------------------------------------------------------------ values

    def _answered(self, message: dict[str, Any]) -> dict[str, Any]:
        """Take a value that the notebook hands in, and tell it what to go on with."""
        task = self._lab.spec.task(message["answer"])
        if not isinstance(task, ValueTask):
            return {"own": True, "value": None}
        before = self._given.get(task.name)
        late = task.name in self._revealed
        if message.get("given"):
            self._given[task.name] = {**message, "late": late or bool(before and before["late"])}
        if task.name in self._alone:
            return {"own": True, "value": None}
        expected = self._reference(task, self._rules.profile)
        given = message.get("value") if message.get("given") else ...
        if judge_value(task, given, expected).status == "passed":
            return {"own": True, "value": None}
        self._revealed.add(task.name)
        return {"own": False, "value": expected}

    def _reference(self, task: ValueTask, profile: str) -> Any:
        if (task.name, profile) not in self._references:
            expected = plain(task.reference(self._anatomy.seed, profile))
            self._references[task.name, profile] = expected
        return self._references[task.name, profile]

    def _again(self) -> set[str]:
        """Return the tasks answered after the notebook had been told the right value."""
        late = {name for name, given in self._given.items() if given["late"]}
        return late - self._alone

    def _judge_value(self, task: ValueTask) -> Verdict:
        given = self._given.get(task.name)
        if given is None:
            return verdict(task, "not attempted")
        if isinstance(given.get("problem"), str):
            return verdict(task, "mismatch", f"got {given['problem'][:300]}")
        value = given.get("value")
        found = judge_value(task, value, self._reference(task, self._rules.profile))
        if found.status != "passed" and self._rules.profile != "full":
            # A number typed in from the learner's own run, which had the full sizes.
            whole = judge_value(task, value, self._reference(task, "full"))
            found = whole if whole.status == "passed" else found
        return found

    # ------------------------------------------------------------------ functions

    def _judge_visible(self, talk: Conversation, task: Task) -> None:
        if isinstance(task, ValueTask):
            self._done[task.name] = self._judge_value(task), False
        elif task.name not in self._visible:
            with self._blaming(task, hidden=False):
                found = self._judge_cases(talk, task, task, self._rng(task, visible=True))
            if found.status == "passed":
                self._visible[task.name] = found
            else:
                self._done[task.name] = found, False

    def _judge_hidden(self, talk: Conversation, task: Task) -> None:
        assert isinstance(task, FunctionTask)
        with self._blaming(task, hidden=True):
            for rng, check in self._hidden(task):
                if self._judge_cases(talk, task, check, rng).status != "passed":
                    self._done[task.name] = verdict(task, "mismatch", _HIDDEN), True
                    return
        self._done[task.name] = self._visible[task.name], False

    @contextlib.contextmanager
    def _blaming(self, task: Task, hidden: bool) -> Iterator[None]:
        try:
            yield
        except DiedError as error:
            why = _HIDDEN if hidden else f"calling it ended the run: {error}"
            self._done[task.name] = verdict(task, "error", why), hidden
            self._note(f"calling the function of {task.name} ended the run ({error})")
            raise

    def _hidden(self, task: FunctionTask) -> Iterator[tuple[np.random.Generator, FunctionTask]]:
        private = self._lab.private
        for extra in (0, *private.seeds):
            yield self._rng(task, extra=extra), task
        for number, check in enumerate(private.of(task.name)):
            yield self._rng(task, extra=number, kind=2), check

    def _rng(
        self, task: Task, visible: bool = False, extra: int = 0, kind: int = 1
    ) -> np.random.Generator:
        name = zlib.crc32(task.name.encode())
        # The visible ones are those of lab.check in the learner's own session.
        seeds = [self._anatomy.seed, name] if visible else [self._rules.seed, name, kind, extra]
        return np.random.default_rng(seeds)

    def _judge_cases(
        self, talk: Conversation, task: Task, check: FunctionTask, rng: np.random.Generator
    ) -> Verdict:
        own = self._anatomy.functions.get(task.name, "")
        return judge_function(
            check,
            lambda args, limit: talk.call(task.name, args, limit),
            rng,
            name=own if own.isidentifier() else "",
        )

    # ------------------------------------------------------------------ what is said

    def _note(self, text: str) -> None:
        if text not in self._found.notes:
            self._found.notes.append(text)

    def _finish(self) -> None:
        """Judge what no run got to, and say what is odd about the notebook's text."""
        late = time.monotonic() > self._ends
        why = "the time for this submission was over" if late else "the notebook could not be run"
        records = []
        for task in self._lab.spec.tasks:
            handed_in = task.name in self._anatomy.sources
            lost = handed_in and self._found.state != "another lab"
            open_ = verdict(task, "error", why) if lost else verdict(task, "not attempted")
            found, hidden = self._done.get(task.name, (open_, False))
            records.append(TaskRecord.of(found, self._anatomy.sources.get(task.name, ""), hidden))
        self._found.tasks = tuple(records)
        if self._found.state in ("graded", "stopped"):
            self._look_at_text()

    def _look_at_text(self) -> None:
        own, given = self._anatomy, self._lab.given
        missing = [name for name in given.checks if name not in own.checks]
        if missing:
            self._note(f"its check cells are gone or changed: {', '.join(missing)}")
        foreign = [name for name in own.imports if name not in given.imports]
        if foreign:
            self._note(f"it imports what the lab's notebook does not: {', '.join(foreign)[:300]}")
        reaching = [name for name in own.reaches if name not in given.reaches]
        if reaching:
            self._note(f"it reaches into its own process: {', '.join(reaching)[:300]}")
        if not own.labs:
            self._note("it opens no session of the lab; tasks were found by their functions' names")
        for cell in own.broken:
            self._note(f"code cell {cell + 1} is not Python")


def _tidy(text: str) -> str:
    """Return a memo without the indentation it had as a string in a cell."""
    return textwrap.dedent(text[:_MEMO]).strip()


def _pairs(errors: Any) -> Sequence[tuple[int, str]]:
    found = errors if isinstance(errors, list) else []
    pairs = [pair for pair in found if isinstance(pair, tuple) and len(pair) == 2]
    return [(n, text) for n, text in pairs if type(n) is int and isinstance(text, str)]
