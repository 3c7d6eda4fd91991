"""Exercises on faces: a step towards one, who is recognised in it, and a lock that stores none."""

from __future__ import annotations

from typing import Any

import numpy as np

from helpers.course.compare import Slips, close, equal, or_explain, row_of
from helpers.course.tasks import Case, FunctionTask

_TOLERANCE = close(rtol=1e-4, atol=1e-6)


# --- q5: one step towards a face


def _step_with(
    image: Any, kernel: Any, bias: Any, person: int, rate: float, *,
    uphill: bool = False, clip: bool = True, probabilities: bool = True, wanted: bool = True,
    unit: bool = False, sign: bool = False, alone: bool = False,
) -> np.ndarray:  # fmt: skip
    from scipy.special import softmax

    pixels, weights = np.asarray(image, float), np.asarray(kernel, float)
    logits = pixels @ weights + bias
    error = softmax(logits) if probabilities else logits
    if alone:
        error = np.zeros_like(logits)
    if wanted:
        error = error - np.eye(len(error))[person]
    gradient = weights @ error
    if unit:
        gradient = gradient / np.linalg.norm(gradient)
    if sign:
        gradient = np.sign(gradient)
    moved = pixels + (rate if uphill else -rate) * gradient
    return np.clip(moved, 0, 1) if clip else moved


def _step_reference(image: Any, kernel: Any, bias: Any, person: int, rate: float) -> np.ndarray:
    return _step_with(image, kernel, bias, person, rate)


def _step_cases(rng: np.random.Generator) -> list[Case]:
    kernel, bias = rng.normal(0, 0.5, (12, 5)), rng.normal(0, 0.2, 5)
    return [
        Case((rng.uniform(0.3, 0.7, 12), kernel, bias, 2, 0.1), "a small step"),
        Case((rng.uniform(0, 1, 12), kernel, bias, 0, 4.0), "a large step: pixels stay in [0, 1]"),
        Case((np.full(12, 0.5), kernel + 200, bias, 4, 0.05), "large logits"),
    ]


_STEP_SLIPS: Slips = {
    "the bias is missing from the logits": lambda image, kernel, bias, *rest: _step_reference(
        image, kernel, np.zeros_like(bias), *rest
    ),
    "this raises the person's logit alone; p is missing, by which the others' go down": (
        lambda *a: _step_with(*a, alone=True)
    ),
    "only the gradient's sign was taken; take it as it is, times rate": (
        lambda *a: _step_with(*a, sign=True)
    ),
    "this moves away from the person: descend, image minus rate times gradient": (
        lambda *a: _step_with(*a, uphill=True)
    ),
    "pixels leave [0, 1]: clip them": lambda *a: _step_with(*a, clip=False),
    "the error is taken from the logits; turn them into probabilities first": (
        lambda *a: _step_with(*a, probabilities=False)
    ),
    "the person does not count: subtract 1 at that class": lambda *a: _step_with(*a, wanted=False),
    "the gradient was scaled to length one; take it as it is, times rate": (
        lambda *a: _step_with(*a, unit=True)
    ),
}


# --- q6: who is it?


def _identified_reference(correlations: Any) -> float:
    values = np.array(correlations, float)
    own = values.diagonal().copy()
    np.fill_diagonal(values, -np.inf)
    return float(np.mean(own > values.max(axis=1)))


def _identified_cases(rng: np.random.Generator) -> list[Case]:
    some = rng.uniform(-0.2, 0.8, (23, 23))
    some[range(23), range(23)] = [0.9] * 9 + [-0.3] * 14
    some[3, 6], some[7, 6], some[6, 2] = 0.95, 0.95, 0.99
    unlike = rng.uniform(-0.9, -0.2, (5, 5))
    unlike[range(5), range(5)] = 0.1, -0.1, -0.1, -0.95, -0.95
    tied = np.full((4, 4), 0.5)
    tied[0, 0], tied[2, 2], tied[3, 2] = 0.8, 0.7, 0.75
    tied[1, 1] = tied[1, 3] = 0.8
    return [
        Case((some,), "23 drawings, 23 photographs"),
        Case((unlike,), "drawings that are unlike nearly every photograph"),
        Case((tied,), "a tie points to nobody"),
    ]


def _by_column(correlations: Any) -> float:
    return _identified_reference(np.asarray(correlations).T)


def _with_ties(correlations: Any) -> float:
    values = np.asarray(correlations)
    return float(np.mean(values.diagonal() >= values.max(axis=1)))


def _own_as_zero(correlations: Any) -> float:
    others = np.asarray(correlations) * (1 - np.eye(len(correlations)))
    return float(np.mean(np.diagonal(correlations) > others.max(axis=1)))


_IDENTIFIED_SLIPS: Slips = {
    "a strong negative correlation is no likeness: compare the values, not their sizes": (
        lambda c: _identified_reference(np.abs(c))
    ),
    "the own entry became a 0, which is more than a negative correlation: leave it out, or make it "
    "-np.inf": _own_as_zero,
    "rows are drawings, columns photographs: look along a row": _by_column,
    "a tie points to two people, so to nobody: own must be larger than all others": _with_ties,
    "this is a number of people; divide by how many there are": lambda c: (
        len(c) * _identified_reference(c)
    ),
    "this is the mean correlation with the own photograph": lambda c: float(
        np.mean(np.diagonal(c))
    ),
}


# --- q7: recognise without a class


def _recognise_with(
    codes: Any, templates: Any, threshold: float, *,
    divide: tuple[str, ...] = ("codes", "templates"), reject: bool = True, strict: bool = False,
) -> np.ndarray:  # fmt: skip
    seen, stored = np.asarray(codes, float), np.asarray(templates, float)
    if not len(stored):
        return np.full(len(seen), -1)
    if "codes" in divide:
        seen = seen / np.linalg.norm(seen, axis=1, keepdims=True)
    if "templates" in divide:
        stored = stored / np.linalg.norm(stored, axis=1, keepdims=True)
    likeness = seen @ stored.T
    best, most = likeness.argmax(axis=1), likeness.max(axis=1)
    alike = most > threshold if strict else most >= threshold
    return np.where(alike, best, -1) if reject else best


def _recognise_reference(codes: Any, templates: Any, threshold: float) -> np.ndarray:
    return _recognise_with(codes, templates, threshold)


def _recognise_cases(rng: np.random.Generator) -> list[Case]:
    templates = rng.normal(0, 1, (5, 6)) * rng.uniform(0.2, 5, (5, 1))
    known = templates[[4, 0, 2]] + rng.normal(0, 0.01, (3, 6))
    strangers = rng.normal(0, 1, (4, 6))
    longest = np.linalg.norm(templates, axis=1).argmax()
    codes = np.concatenate([known, strangers, templates[[1]] * 10, templates[[longest]] / 20])
    return [
        Case(
            (codes, templates, 0.9),
            "staff, four strangers, one in bright light and one in the dark",
        ),
        Case((codes, np.delete(templates, 4, axis=0), 0.9), "one of them has left"),
        Case((codes, np.empty((0, 6)), 0.9), "nobody is enrolled"),
        Case((np.eye(6)[[5, 0]], np.eye(1, 6), 0.0), "a cosine of 0, and a threshold of 0"),
    ]


def _by_distance(codes: Any, templates: Any, threshold: float) -> np.ndarray:
    seen, stored = np.asarray(codes, float), np.asarray(templates, float)
    if not len(stored):
        return np.full(len(seen), -1)
    best = np.linalg.norm(seen[:, None] - stored, axis=2).argmin(axis=1)
    likeness = _cosines(seen, stored)[np.arange(len(seen)), best]
    return np.where(likeness >= threshold, best, -1)


def _cosines(seen: np.ndarray, stored: np.ndarray) -> np.ndarray:
    lengths = np.outer(np.linalg.norm(seen, axis=1), np.linalg.norm(stored, axis=1))
    return np.asarray(seen @ stored.T / lengths)


_RECOGNISE_SLIPS: Slips = {
    "the lengths of the codes count: divide both by their lengths first": (
        lambda *a: _recognise_with(*a, divide=())
    ),
    "the lengths of the codes count: divide by theirs, too": (
        lambda *a: _recognise_with(*a, divide=("templates",))
    ),
    "a cosine that equals the threshold is not below it": (
        lambda *a: _recognise_with(*a, strict=True)
    ),
    "strangers are let in as whoever is nearest: below the threshold return -1": (
        lambda *a: _recognise_with(*a, reject=False)
    ),
    "the nearest by distance is not the most alike by direction": _by_distance,
}


FACES = (
    FunctionTask(
        "q5", "One step towards a face", 2, _step_reference, _step_cases,
        or_explain(_TOLERANCE, _STEP_SLIPS),
        "From the inside out: logits, probabilities, their error at the person, the gradient, the "
        "step. The image is a row, so it stands left of the kernel; the error stands right of it.",
    ),
    FunctionTask(
        "q6", "Who is it?", 1, _identified_reference, _identified_cases,
        or_explain(_TOLERANCE, _IDENTIFIED_SLIPS),
        "Each row against its own diagonal entry: what is the largest of the rest?",
    ),
    FunctionTask(
        "q7", "Recognise without a class", 2, _recognise_reference, _recognise_cases,
        or_explain(row_of(equal()), _RECOGNISE_SLIPS),
        "All cosines are one matrix product of rows of length one. With nobody enrolled it has no "
        "column to look for a largest in: answer that first.",
    ),
)  # fmt: skip
