"""Read an update: the image and the labels that it was made of."""

from __future__ import annotations

from typing import Any

import numpy as np

from helpers.course.compare import Slips, close, or_explain
from helpers.course.tasks import Case, FunctionTask
from helpers.models import softmax_regression

_TOLERANCE = close(rtol=1e-4, atol=1e-6)


def _images_reference(kernel_update: Any, bias_update: Any) -> np.ndarray:
    from helpers.privacy.reconstruction import invert_dense_per_unit

    inputs, units = invert_dense_per_unit(kernel_update, bias_update)
    images = np.zeros((len(bias_update), len(kernel_update)))
    images[units] = inputs
    return images


def _first_update(
    rng: np.random.Generator, labels: list[int], learning_rate: float, kernel: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    x, y = rng.random((len(labels), kernel.shape[0])), np.array(labels)
    bias = np.zeros(kernel.shape[1])
    batch = [np.arange(len(labels))]
    return softmax_regression.local_update(kernel, bias, x, y, batch, learning_rate)


def _images_cases(rng: np.random.Generator) -> list[Case]:
    kernel = 0.3 * rng.standard_normal((6, 4))
    dead_kernel, dead_bias = rng.standard_normal((6, 4)), rng.standard_normal(4)
    dead_bias[2] = 0.0
    return [
        Case(_first_update(rng, [2], 0.1, kernel), "the update of one image"),
        Case(_first_update(rng, [0, 1, 1], 0.1, kernel), "the update of three images"),
        Case(
            (dead_kernel, dead_bias),
            "the bias of class 2 did not move: a row of zeros, no division",
        ),
        Case((1e-8 * dead_kernel, 1e-8 * dead_bias), "moves of a hundred-millionth are moves too"),
    ]


def _transposed(kernel_update: Any, bias_update: Any) -> np.ndarray:
    return _images_reference(kernel_update, bias_update).T


def _unguarded(kernel_update: Any, bias_update: Any) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((kernel_update / bias_update).T)


_IMAGES_SLIPS: Slips = {
    "the shape is the other way round: one row a class": _transposed,
    "a bias that did not move was divided by: give that class a row of zeros": _unguarded,
}


def _shares_reference(bias_update: Any, learning_rate: float) -> np.ndarray:
    return np.asarray(bias_update) / learning_rate + 1 / len(bias_update)


def _shares_cases(rng: np.random.Generator) -> list[Case]:
    def case(labels: list[int], classes: int, learning_rate: float) -> Case:
        _, bias_update = _first_update(rng, labels, learning_rate, np.zeros((3, classes)))
        return Case((bias_update, learning_rate), f"a batch with the labels {labels}")

    drawn = [int(label) for label in rng.integers(10, size=8)]
    return [
        case([0, 2, 2, 1], 4, 0.1),
        case([0, 1, 1, 2, 3], 4, 0.2),
        case(drawn, 10, 0.5),
    ]


def _without_probabilities(bias_update: Any, learning_rate: float) -> np.ndarray:
    return np.asarray(bias_update) / learning_rate


_SHARES_SLIPS: Slips = {
    "the model's own probabilities are missing: a model of zeros gives every class the same": (
        _without_probabilities
    ),
    "the sign is turned: what the formula takes off has to come back": lambda moved, rate: (
        _without_probabilities(moved, rate) - 1 / len(moved)
    ),
    "the bias's move counts the other way round: more of a class moves its bias up": (
        lambda moved, rate: 1 / len(moved) - _without_probabilities(moved, rate)
    ),
    "count the classes that the update has; here they are not ten": lambda moved, rate: (
        _without_probabilities(moved, rate) + 1 / 10
    ),
}

IMAGES = FunctionTask(
    "q6", "Steal the image", 2, _images_reference, _images_cases,
    or_explain(_TOLERANCE, _IMAGES_SLIPS),
    "Column j of the kernel's update divided by entry j of the bias's update.",
)  # fmt: skip
SHARES = FunctionTask(
    "q7", "Read the labels", 1, _shares_reference, _shares_cases,
    or_explain(_TOLERANCE, _SHARES_SLIPS),
    "The bias moves by learning_rate x (share of the class - probability of the class).",
)  # fmt: skip
