"""The attack on a court that accepts projections: q7."""

from __future__ import annotations

from typing import Any

import numpy as np

from helpers.course.compare import satisfies
from helpers.course.tasks import Case, FunctionTask
from helpers.watermark.ambiguity import forge_projection


def _forge_reference(kernel: Any, message: Any, seed: int) -> np.ndarray:
    signs = np.where(forge_projection(np.ravel(kernel), message, seed) > 0, 1.0, -1.0)
    # A row of signs need not read what the normal row read: turn those round that do not.
    read = signs @ np.ravel(kernel) > 0
    return np.where((read == message)[:, None], signs, -signs)


def _forge_cases(rng: np.random.Generator) -> list[Case]:
    def case(bits: int, shape: tuple[int, ...], label: str) -> Case:
        kernel = rng.standard_normal(shape)
        return Case((kernel, rng.random(bits) < 0.5, int(rng.integers(10_000))), label)

    first = case(32, (1, 1, 8, 6), "32 bits")
    return [
        first,
        case(64, (6, 9), "more bits than weights: 64 in 54"),
        case(5, (3, 3, 2, 4), "a few bits"),
        Case(first.args, "the first again, with the same seed"),
    ]


def _forge_problem(args: tuple[Any, ...], got: Any) -> str | None:
    kernel, message, _ = args
    shape = (len(message), np.size(kernel))
    if not isinstance(got, np.ndarray) or got.shape != shape:
        return f"an array of shape {shape} was expected: a row of signs for each bit"
    if not np.isin(got, (-1, 1)).all():
        return "a court wants to see signs: every number must be -1 or +1"
    read = got @ np.ravel(kernel) > 0
    if not (read == message).all():
        return f"{int(np.sum(read == message))} of {len(message)} bits are read as they should be"
    if len(message) > 2 and np.abs(got.mean(axis=1)).max() > 0.9:
        return "rows of nothing but +1 or -1 would make a judge look twice: draw them at random"
    upper = np.abs(got @ got.T / shape[1])[np.triu_indices(len(got), 1)]
    if upper.mean() > 0.5:
        return "the rows are copies of one another, which a judge would see: draw each by itself"
    return None


def _forge_across(results: list[tuple[tuple[Any, ...], Any]]) -> str | None:
    if not np.array_equal(results[0][1], results[-1][1]):
        return "the same seed drew other signs: take every random draw from rng"
    return None


FORGE = FunctionTask(
    "q7", "Forge a projection", 2, _forge_reference, _forge_cases,
    satisfies(_forge_problem),
    "rng.choice([-1, 1], (bits, weights)) draws the rows. About half of them read the wrong bit: "
    "what would turn that bit round, and leave the row as random as it was?",
    show_expected=False,
    across=_forge_across,
)  # fmt: skip
