"""The labs of this repository, held to every gate and run unsolved and solved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.course import catalogue, checks, collecting, gates
from helpers.course.run import Settings, run_labs
from helpers.course.starting import Starter
from helpers.course.tasks import FunctionTask, Reply, judge_function, judge_value
from helpers.course.wire import dumps, loads, plain

ROOT = Path(__file__).parents[2]
LABS = catalogue.files(ROOT)
TITLES = [lab.title for lab in LABS]
# Its processes wait, for one another and for deadlines: one run of it leaves the cores idle.
WAITS = "deploy-it-for-real"


def test_every_gate_that_needs_no_run_holds() -> None:
    assert gates.all_problems(ROOT) == []


@pytest.mark.parametrize("lab", LABS, ids=TITLES)
def test_unsolved_it_runs_and_earns_nothing_and_solved_it_earns_everything(
    lab: catalogue.LabFiles, starter: Starter
) -> None:
    # The build folder of `edgesec labs run`, and of the book under test: what has not changed since
    # is not run again.
    jobs = 2 if lab.name == WAITS else 1
    settings = Settings(
        ROOT / "build" / "labs", jobs=jobs, progress=False, shared=True, starter=starter
    )
    unsolved, solved = run_labs(ROOT, [lab], ["learner", "solution"], settings)
    assert [unsolved.problem, solved.problem] == ["", ""]
    assert gates.earned_nothing(unsolved.report) == []
    assert gates.earned_everything(solved.report) == []
    for ran in (unsolved, solved):
        assert collecting.same_names(ran.report, lab.title) == []


def poisoned(value: Any) -> Any:
    """Return a result of the right form in which every number is NaN."""
    if isinstance(value, np.ndarray):
        return np.full(value.shape, np.nan)
    if isinstance(value, list | tuple):
        return [poisoned(item) for item in value]
    if isinstance(value, dict):
        return {key: poisoned(item) for key, item in value.items()}
    return float("nan")


def answering(answer: Callable[..., Any]) -> Callable[[tuple[Any, ...], float], Reply]:
    return lambda args, limit: Reply("returned", loads(dumps(answer(*loads(dumps(args))))))


@pytest.mark.parametrize("lab", LABS, ids=TITLES)
def test_its_references_pass_on_any_seed_and_across_a_pipe(lab: catalogue.LabFiles) -> None:
    for task in checks.load(lab.name).tasks:
        for seed in range(3):
            if isinstance(task, FunctionTask):
                rng = np.random.default_rng(seed)
                found = judge_function(task, answering(task.reference), rng)
            else:
                value = plain(task.reference(seed, "fast"))
                found = judge_value(task, value, value)
            assert found.status == "passed", found


NONSENSE: dict[str, Any] = {
    "None": None,
    "text": "text",
    "NaN": float("nan"),
    "an empty list": [],
    "an empty dict": {},
    "zero": 0.0,
    "minus one": -1,
    "an empty array": np.zeros(0),
}


@pytest.mark.parametrize("lab", LABS, ids=TITLES)
def test_none_of_its_checks_accepts_nonsense(lab: catalogue.LabFiles) -> None:
    for task in checks.load(lab.name).tasks:
        if isinstance(task, FunctionTask):
            reference, rng = task.reference, np.random.default_rng
            answers = {what: (lambda *args, v=value: v) for what, value in NONSENSE.items()}
            answers["poisoned"] = lambda *args, r=reference: poisoned(plain(r(*args)))
            found = {
                what: judge_function(task, answering(answer), rng(0))
                for what, answer in answers.items()
            }
        else:
            expected = plain(task.reference(0, "fast"))
            found = {what: judge_value(task, v, expected) for what, v in NONSENSE.items()}
            found["poisoned"] = judge_value(task, poisoned(expected), expected)
        accepted = [what for what, verdict in found.items() if verdict.status == "passed"]
        assert accepted == [], task.name
