"""What the tests of every lab's checks do: judge an answer as the lab does, and offer its slips."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from helpers.course.calling import call
from helpers.course.compare import Slips
from helpers.course.tasks import FunctionTask, LabSpec, Verdict, judge_function


def judge_of(lab: LabSpec) -> Callable[..., Verdict]:
    """Return ``judged(name, answer, seed=0)``: the verdict of a lab's task on a function."""

    def judged(name: str, answer: Callable[..., Any], seed: int = 0) -> Verdict:
        task = lab.task(name)
        assert isinstance(task, FunctionTask)
        rng = np.random.default_rng(seed)
        return judge_function(task, lambda args, limit: call(answer, args, limit), rng)

    return judged


def each(slips: dict[str, Slips]) -> list[tuple[str, str, Callable[..., Any]]]:
    """One case a slip: the task, what the learner is told, and the function that slips."""
    return [(name, told, slip) for name, own in slips.items() for told, slip in own.items()]
