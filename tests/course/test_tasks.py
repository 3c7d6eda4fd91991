from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from helpers.course.compare import satisfies
from helpers.course.tasks import Case, FunctionTask, Memo, Reply, judge_function
from helpers.course.wire import dumps, loads
from helpers.errors import CourseError


def double(x: np.ndarray) -> np.ndarray:
    return 2 * x


TASK = FunctionTask(
    "double", "doubling", 2, double, lambda rng: [Case((rng.normal(size=3),)) for _ in range(2)]
)


def across_a_pipe(args: tuple[Any, ...], time_limit: float) -> Reply:
    """What a grader does: nothing but bytes passes between the judge and the function."""
    return Reply("returned", loads(dumps(double(*loads(dumps(args))))))


def test_a_task_can_be_judged_across_a_pipe_with_hidden_cases() -> None:
    for seed in range(3):
        found = judge_function(TASK, across_a_pipe, np.random.default_rng(seed))
        assert (found.status, found.points) == ("passed", 2)


def test_answers_learnt_from_the_visible_cases_fail_the_hidden_ones() -> None:
    seen: dict[bytes, np.ndarray] = {}

    def parrot(args: tuple[Any, ...], time_limit: float) -> Reply:
        return Reply("returned", seen.setdefault(args[0].tobytes(), np.zeros(3)))

    for case in TASK.cases(np.random.default_rng(0)):
        seen[case.args[0].tobytes()] = double(*case.args)
    assert judge_function(TASK, parrot, np.random.default_rng(0)).status == "passed"
    assert judge_function(TASK, parrot, np.random.default_rng(1)).status == "mismatch"


def test_a_caller_cannot_change_what_its_result_is_compared_with() -> None:
    def cheat(args: tuple[Any, ...], time_limit: float) -> Reply:
        args[0][:] = 0
        return Reply("returned", np.zeros(3))

    assert judge_function(TASK, cheat, np.random.default_rng(0)).status == "mismatch"


def test_the_first_wrong_case_decides_and_is_shown() -> None:
    def wrong_at_last(args: tuple[Any, ...], time_limit: float) -> Reply:
        calls.append(args)
        return Reply("returned", double(*args) + (len(calls) == 2))

    calls: list[Any] = []
    found = judge_function(TASK, wrong_at_last, np.random.default_rng(0))
    assert (found.status, found.points) == ("mismatch", 0)
    assert found.called.startswith("double(float64 (3,) [")
    assert found.expected != found.got


def test_a_task_without_cases_is_an_error_and_not_a_free_pass() -> None:
    task = FunctionTask("free", "nothing", 1, double, lambda rng: [])
    with pytest.raises(CourseError, match="free has no cases"):
        judge_function(task, across_a_pipe, np.random.default_rng(0))


def test_a_property_that_cannot_cope_with_a_result_refuses_it() -> None:
    task = FunctionTask(
        "double", "doubling", 2, double, TASK.cases,
        satisfies(lambda args, got: None if got.sum() > -1e9 else "too small"),
    )  # fmt: skip
    found = judge_function(
        task, lambda args, limit: Reply("returned", "text"), np.random.default_rng(0)
    )
    assert found.status == "mismatch"
    assert "cannot be judged" in found.explanation


def draw(seed: int) -> float:
    return float(np.random.default_rng(seed).random())


UNSEEDED = np.random.default_rng(0)  # drawn from whatever seed is passed


def seeded(results: list[tuple[tuple[Any, ...], Any]]) -> str | None:
    by_seed: dict[int, set[float]] = {}
    for (seed,), got in results:
        by_seed.setdefault(seed, set()).add(got)
    if any(len(drawn) > 1 for drawn in by_seed.values()):
        return "the same seed must give the same number"
    if len(set.union(*by_seed.values())) < len(by_seed):
        return "another seed must give another number"
    return None


DRAW = FunctionTask(
    "draw", "draw a number", 1, draw, lambda rng: [Case((1,)), Case((2,)), Case((1,))],
    satisfies(lambda args, got: None if 0 <= got <= 1 else "outside [0, 1]"), across=seeded,
)  # fmt: skip


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (draw, ""),
        (lambda seed: 0.5, "another seed must give another number"),
        (lambda seed: UNSEEDED.random(), "the same seed must give"),
        (lambda seed: "0", "cannot be judged"),
    ],
)
def test_results_can_be_judged_against_each_other(
    function: Callable[[int], Any], said: str
) -> None:
    def answer(args: tuple[Any, ...], time_limit: float) -> Reply:
        return Reply("returned", function(*args))

    found = judge_function(DRAW, answer, np.random.default_rng(0))
    assert found.status == ("mismatch" if said else "passed")
    assert said in found.explanation


def test_results_are_judged_together_only_once_each_is_right() -> None:
    task = dataclasses.replace(DRAW, across=lambda results: f"{len(results)} together")
    wrong = judge_function(
        task, lambda args, limit: Reply("returned", 2.0), np.random.default_rng()
    )
    right = judge_function(
        task, lambda args, limit: Reply("returned", 0.2), np.random.default_rng()
    )
    assert (wrong.explanation, right.explanation) == ("outside [0, 1]", "3 together")


def test_a_changed_argument_is_told_by_its_number_where_its_name_is_not_known() -> None:
    def caller(args: tuple[Any, ...], time_limit: float) -> Reply:
        return Reply("returned", double(*args), changed=(0,))

    rng = np.random.default_rng(0)
    assert "its argument 1 in place" in judge_function(TASK, caller, rng).explanation
    named = judge_function(TASK, caller, rng, name="twice", parameters=["x"])
    assert named.explanation == "it changes its argument `x` in place; work on a copy"
    assert named.called.startswith("twice(")


@pytest.mark.parametrize("words", [(0, 5), (5, 3)])
def test_an_impossible_length_of_a_memo_is_refused(words: tuple[int, int]) -> None:
    with pytest.raises(CourseError, match="0 < least <= most"):
        Memo("memo", "Decision", ("a number",), words)
