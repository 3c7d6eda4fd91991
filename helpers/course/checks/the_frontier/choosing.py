"""A choice by what an error costs, and how much a winner is flattered: q7 and q8."""

from __future__ import annotations

from typing import Any

import numpy as np

from helpers.course.compare import Slips, close, equal, or_explain, row_of
from helpers.course.tasks import Case, FunctionTask

# --- q7: chosen by what an error costs


def _chosen_reference(clean: Any, robust: Any, shares: Any) -> list[int]:
    clean, robust = np.asarray(clean, np.float64), np.asarray(robust, np.float64)
    return [int(np.argmax((1 - share) * clean + share * robust)) for share in shares]


def _chosen_cases(rng: np.random.Generator) -> list[Case]:
    def three(clean: list[float], robust: list[float], shares: list[float]) -> tuple[Any, ...]:
        return np.array(clean), np.array(robust), np.array(shares)

    clean, robust = rng.uniform(0.7, 0.99, 9), rng.uniform(0.05, 0.7, 9)
    return [
        Case(
            three([0.97, 0.94, 0.86], [0.05, 0.35, 0.55], [0.0, 0.05, 0.2, 0.6, 1.0]),
            "three designs",
        ),
        Case(three([0.97, 0.88, 0.86], [0.05, 0.30, 0.60], [0.0, 0.1, 0.2, 0.4]), "one in a dent"),
        Case((clean, robust, np.linspace(0, 1, 11)), "nine designs"),
        Case(three([0.9, 0.8], [0.2, 0.2], [0.0, 0.5]), "one is better in all"),
        # Eighths are exact in binary, so these two are equal however the mean is written.
        Case(three([0.5, 0.875, 0.875], [0.125, 0.25, 0.25], [0.0, 0.5]), "two are alike"),
    ]


_CHOSEN_SLIPS: Slips = {
    "`share` is the share of ATTACKED inputs: it weighs the robust accuracy": (
        lambda clean, robust, shares: _chosen_reference(robust, clean, shares)
    ),
    "this ignores the inputs that nobody attacks: 1 - share of them, weighed by clean accuracy": (
        lambda clean, robust, shares: [int(np.argmax(np.asarray(robust)))] * len(shares)
    ),
    "the clean inputs are the rest, 1 - share of them": lambda clean, robust, shares: [
        int(np.argmax(np.asarray(clean) + share * np.asarray(robust))) for share in shares
    ],
    "one number for each share was asked, in their order": lambda clean, robust, shares: sorted(
        set(_chosen_reference(clean, robust, shares))
    ),
    "of two that do equally well, the first was asked": lambda clean, robust, shares: [
        len(np.asarray(clean)) - 1 - best
        for best in _chosen_reference(np.asarray(clean)[::-1], np.asarray(robust)[::-1], shares)
    ],
    "this is how well the best design does; give its number": lambda clean, robust, shares: [
        float(np.max((1 - s) * np.asarray(clean) + s * np.asarray(robust))) for s in shares
    ],
    "this is the worst choice for each share": lambda clean, robust, shares: [
        int(np.argmin((1 - s) * np.asarray(clean) + s * np.asarray(robust))) for s in shares
    ],
}

CHOSEN = FunctionTask(
    "q7", "Choose by the share of attacks", 1, _chosen_reference, _chosen_cases,
    or_explain(row_of(equal()), _CHOSEN_SLIPS),
    "For one share, the expected accuracy of every design is a weighted mean of two arrays; "
    "np.argmax names the best.",
)  # fmt: skip

# --- q8: how much the winner is flattered


def _curse_parts(right: Any, halves: Any, chosen_by: Any) -> tuple[np.ndarray, np.ndarray]:
    """Accuracies of the winner of each split: where it was chosen, and on the rest."""
    right, there, elsewhere = np.asarray(right, np.float64), [], []
    for half in np.asarray(halves, bool):
        winner = int(chosen_by(right[:, half].mean(axis=1)))
        there.append(right[winner, half].mean())
        elsewhere.append(right[winner, ~half].mean())
    return np.array(there), np.array(elsewhere)


def _curse_reference(right: Any, halves: Any) -> float:
    there, elsewhere = _curse_parts(right, halves, np.argmax)
    return float(np.mean(there - elsewhere))


def _curse_cases(rng: np.random.Generator) -> list[Case]:
    def drawn(designs: int, images: int, splits: int, share: float) -> tuple[np.ndarray, ...]:
        right = rng.random((designs, images)) < rng.uniform(0.5, 0.6, (designs, 1))
        halves = np.zeros((splits, images), bool)
        for half in halves:
            half[rng.permutation(images)[: int(share * images)]] = True
        return right, halves

    return [
        Case(drawn(12, 60, 10, 0.5), "twelve designs that are nearly alike"),
        Case(drawn(4, 80, 6, 0.5), "four designs"),
        Case(drawn(6, 50, 8, 0.3), "chosen on three tenths of the images"),
        Case(drawn(1, 40, 5, 0.5), "one design: nothing was chosen"),
    ]


def _of_all(right: Any, halves: Any) -> float:
    right = np.asarray(right, np.float64)
    best = [
        right[:, half].mean(axis=1).max() - right[:, ~half].mean(axis=1).max()
        for half in np.asarray(halves, bool)
    ]
    return float(np.mean(best))


def _winner_of_everything(right: Any, halves: Any) -> float:
    right = np.asarray(right, np.float64)
    winner = int(right.mean(axis=1).argmax())
    return _curse_reference(right[winner][None], halves)


_CURSE_SLIPS: Slips = {
    "this chooses a second winner on the other images; the FIRST winner has to be tried there": (
        _of_all
    ),
    "the sign is turned: what was seen where it won, minus what it does elsewhere": (
        lambda right, halves: -_curse_reference(right, halves)
    ),
    "this chooses on the images that should be kept for the trial": lambda right, halves: (
        _curse_reference(right, ~np.asarray(halves, bool))
    ),
    "the trial is on the OTHER images, not on all": lambda right, halves: float(
        np.mean(
            [
                np.asarray(right, np.float64)[w][half].mean() - np.mean(np.asarray(right)[w])
                for half in np.asarray(halves, bool)
                for w in [int(np.argmax(np.asarray(right, np.float64)[:, half].mean(axis=1)))]
            ]
        )
    ),
    "this chooses on all images; then no image is left that had no part in the choice": (
        _winner_of_everything
    ),
    "these are numbers of images; an accuracy is a share, and the two parts may differ in size": (
        lambda right, halves: float(
            np.mean(
                [
                    np.sum(np.asarray(right)[w, half]) - np.sum(np.asarray(right)[w, ~half])
                    for half in np.asarray(halves, bool)
                    for w in [int(np.argmax(np.asarray(right)[:, half].sum(axis=1)))]
                ]
            )
        )
    ),
    "this takes the worst design for the winner": lambda right, halves: float(
        np.mean(np.subtract(*_curse_parts(right, halves, np.argmin)))
    ),
}

CURSE = FunctionTask(
    "q8", "How much the winner is flattered", 2, _curse_reference, _curse_cases,
    or_explain(close(rtol=1e-9, atol=1e-9), _CURSE_SLIPS),
    "In each split: the accuracies of all designs on the images to choose by, np.argmax of them, "
    "and then this one design on the images that were left out. `~` turns true and false round.",
)  # fmt: skip
