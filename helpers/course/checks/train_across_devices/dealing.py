"""Deal the images out: the shares of a class, held against the Dirichlet distribution."""

from __future__ import annotations

from typing import Any

import numpy as np

from helpers.course.compare import satisfies
from helpers.course.tasks import Case, FunctionTask
from helpers.data import partition


def _split_reference(labels: Any, num_clients: int, alpha: float, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return partition.dirichlet(labels, num_clients, alpha, rng, min_examples=0)


def _split_cases(rng: np.random.Generator) -> list[Case]:
    ten = rng.permutation(np.repeat(np.arange(10), 100))
    forty = rng.permutation(np.repeat(np.arange(40), 100))
    seeds = [int(seed) for seed in rng.permutation(1000)[:3]]
    return [
        Case((ten, 8, 1000.0, seeds[0]), "a large alpha: every device like every other"),
        Case((ten, 30, 0.02, seeds[1]), "a small alpha: a class on few devices, some empty"),
        Case((forty, 8, 1.0, seeds[2]), "alpha 1: anything between"),
        Case((ten, 8, 1000.0, seeds[0]), "the first case again"),
        Case((ten, 8, 1000.0, seeds[2]), "the first case with another seed"),
    ]


def _split_problem(args: tuple[Any, ...], parts: Any) -> str | None:
    labels, num_clients, alpha, _ = args
    if not isinstance(parts, list | tuple) or len(parts) != num_clients:
        return f"return a list with one array of indices for each of the {num_clients} devices"
    arrays = [np.asarray(part) for part in parts]
    if any(array.ndim != 1 or (array.size and array.dtype.kind not in "iu") for array in arrays):
        return "every device's entry must be a one-dimensional array of whole numbers"
    used = np.concatenate([array.astype(np.int64) for array in arrays])
    if len(used) != len(labels) or not np.array_equal(np.sort(used), np.arange(len(labels))):
        return (
            f"every index 0..{len(labels) - 1} must go to exactly one device: {len(used)} were "
            f"dealt out, {len(np.unique(used))} of them different"
        )
    return _law_problem(labels, [array.astype(np.int64) for array in arrays], alpha)


def _law_problem(labels: np.ndarray, parts: list[np.ndarray], alpha: float) -> str | None:
    """Hold the shares that the devices got against the Dirichlet distribution's moments."""
    num_clients = len(parts)
    owner = np.empty(len(labels), np.int64)
    for client, part in enumerate(parts):
        owner[part] = client
    classes = [owner[labels == label] for label in np.unique(labels)]
    if alpha >= 100 and all((np.diff(held) >= 0).all() for held in classes):
        return "each device got a block of neighbouring images: shuffle a class before you cut it"
    shares = np.array([np.bincount(held, minlength=num_clients) / len(held) for held in classes])
    mean = 1 / num_clients
    if alpha >= 100:
        far = np.abs(shares - mean).max() > 0.2
        return (
            f"with alpha = {alpha:g} the shares of a class should be nearly equal" if far else None
        )
    # Variance of one share under Dir(alpha, ..., alpha); wide bands, since the sample is small.
    expected = mean * (1 - mean) / (num_clients * alpha + 1)
    if shares.var(axis=0).mean() < 0.2 * ((shares - mean) ** 2).mean():
        return "every class was dealt in the same proportions: draw them anew for each class"
    if len(shares) >= 40 and np.abs(shares.mean(axis=0) - mean).max() > 0.1:
        return "the same device gets most of every class: leave the shares in the order drawn"
    ratio = float(((shares - mean) ** 2).mean() / expected)
    if not 0.5 < ratio < 1.8:
        uneven = "more" if ratio > 1 else "less"
        return f"with alpha = {alpha:g} the shares are {uneven} uneven than a Dirichlet draw gives"
    return None


def _split_relations(calls: list[tuple[tuple[Any, ...], Any]]) -> str | None:
    first, again, other = (calls[index][1] for index in (0, 3, 4))
    if [sorted(part) for part in first] != [sorted(part) for part in again]:
        return "the same seed dealt differently: take every random draw from rng"
    if [sorted(part) for part in first] == [sorted(part) for part in other]:
        return "another seed dealt the same: take every random draw from rng"
    return None


SPLIT = FunctionTask(
    "q1", "Deal the images out", 2, _split_reference, _split_cases,
    satisfies(_split_problem),
    "For each class: shuffle its indices, draw one share a device, cut at their sums.",
    across=_split_relations,
    show_expected=False,
)  # fmt: skip
