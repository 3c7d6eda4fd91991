"""The checks of a lab that needs nothing but NumPy, imported by its notebook in tests."""

from __future__ import annotations

import numpy as np

from helpers.course.compare import close, satisfies
from helpers.course.tasks import Case, FunctionTask, LabSpec, Memo, ValueTask


def mean_of(values: np.ndarray, weights: np.ndarray) -> float:
    return float(np.average(values, weights=weights))


def _mean_cases(rng: np.random.Generator) -> list[Case]:
    return [
        Case((rng.normal(size=5), rng.uniform(1, 2, size=5)), "five values"),
        Case((np.array([1.0, 3.0]), np.array([1.0, 0.0])), "a weight of zero"),
    ]


def normalise(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values)


def _has_norm_one(args: tuple[object, ...], got: np.ndarray) -> str | None:
    norm = float(np.linalg.norm(got))
    return None if np.isclose(norm, 1.0) else f"the norm is {norm:.4g}, not 1"


LAB = LabSpec(
    name="tiny",
    number=1,
    title="A tiny lab",
    minutes=5,
    tasks=(
        FunctionTask(
            "q1", "weighted mean", 3, mean_of, _mean_cases, close(1e-9, 1e-9),
            hint="divide by the sum of the weights", time_limit=0.5,
        ),
        FunctionTask(
            "q2", "unit length", 2, normalise, lambda rng: [Case((rng.normal(size=4),))],
            satisfies(_has_norm_one),
        ),
        ValueTask("q3", "how many bytes", 1, lambda seed, profile: 4 * 1000 + seed),
    ),
    memos=(Memo("memo", "Decision", ("names a number", "says when it would change")),),
)  # fmt: skip
