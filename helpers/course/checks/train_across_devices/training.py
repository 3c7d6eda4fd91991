"""Federated averaging: a device trains, the server averages, and both send."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from helpers.course.compare import Slips, close, or_explain
from helpers.course.tasks import Case, FunctionTask
from helpers.models import softmax_regression

_TWO_PARTS = close(rtol=1e-4, atol=1e-6, parts=("the kernel's part", "the bias's part"))


# --- q2: train on one device


def _update_cases(rng: np.random.Generator) -> list[Case]:
    def case(label: str, sizes: list[int]) -> Case:
        n = sum(sizes)
        kernel, bias = 0.1 * rng.standard_normal((5, 3)), 0.1 * rng.standard_normal(3)
        batches = np.split(rng.permutation(n), np.cumsum(sizes)[:-1])
        x, y = rng.random((n, 5)), rng.integers(3, size=n)
        return Case((kernel, bias, x, y, list(batches), 0.5), label)

    return [case("one step", [4]), case("three steps, the last batch smaller", [4, 4, 2])]


def _variant(
    gradients: Callable[..., Any], moving: bool = True, only: slice = slice(None)
) -> Callable[..., Any]:
    """Local training with another gradient, without moving on, or on some batches only."""

    def update(kernel: Any, bias: Any, x: Any, y: Any, batches: Any, learning_rate: float) -> Any:
        local, total = (kernel, bias), [np.zeros_like(kernel), np.zeros_like(bias)]
        for batch in batches[only]:
            steps = [-learning_rate * g for g in gradients(*local, x[batch], y[batch])]
            total = [t + step for t, step in zip(total, steps, strict=True)]
            if moving:
                local = tuple(w + step for w, step in zip(local, steps, strict=True))
        return tuple(total)

    return update


def _summed(kernel: Any, bias: Any, x: Any, y: Any) -> Any:
    return tuple(len(y) * part for part in softmax_regression.gradients(kernel, bias, x, y))


def _half_summed(kernel: Any, bias: Any, x: Any, y: Any) -> Any:
    parts = softmax_regression.gradients(kernel, bias, x, y)
    return len(y) * parts[0], parts[1]


def _bias_summed(kernel: Any, bias: Any, x: Any, y: Any) -> Any:
    parts = softmax_regression.gradients(kernel, bias, x, y)
    return parts[0], len(y) * parts[1]


def _over_all_images(
    kernel: Any, bias: Any, x: Any, y: Any, batches: Any, learning_rate: float
) -> Any:
    def smaller(*batch: Any) -> Any:
        share = len(batch[-1]) / len(y)
        return tuple(share * part for part in softmax_regression.gradients(*batch))

    return _variant(smaller)(kernel, bias, x, y, batches, learning_rate)


def _without_softmax(kernel: Any, bias: Any, x: Any, y: Any) -> Any:
    error = x @ kernel + bias - np.eye(len(bias))[y]
    return x.T @ error / len(y), error.mean(axis=0)


def _new_weights(kernel: Any, bias: Any, *rest: Any) -> Any:
    change = softmax_regression.local_update(kernel, bias, *rest)
    return kernel + change[0], bias + change[1]


def _uphill(*args: Any) -> Any:
    return tuple(-part for part in softmax_regression.local_update(*args))


_UPDATE_SLIPS: Slips = {
    "these are the device's new weights; it sends the difference, new minus old": _new_weights,
    "the signs are the other way round: step against the gradient, return new minus old": _uphill,
    "the gradient was summed over the batch; divide it by the batch's size": _variant(_summed),
    "the kernel's gradient was summed over the batch; divide it by the batch's size": _variant(
        _half_summed
    ),
    "the bias's gradient was summed over the batch; divide it by the batch's size": _variant(
        _bias_summed
    ),
    "the gradient was divided by the number of all images; divide it by the batch's size": (
        _over_all_images
    ),
    "the error is taken from the logits; turn them into probabilities first": _variant(
        _without_softmax
    ),
    "every step started from the global weights; each step goes on from the last": _variant(
        softmax_regression.gradients, moving=False
    ),
    "only the last batch was used; take one step for each": _variant(
        softmax_regression.gradients, only=slice(-1, None)
    ),
    "only the first batch was used; return after the loop over all of them": _variant(
        softmax_regression.gradients, only=slice(0, 1)
    ),
}

UPDATE = FunctionTask(
    "q2", "Train on one device", 2, softmax_regression.local_update, _update_cases,
    or_explain(_TWO_PARTS, _UPDATE_SLIPS),
    "In order: softmax, minus one-hot, the two gradients divided by the batch's size, a "
    "step against them, the next batch; subtract the global weights last.",
)  # fmt: skip

# --- q3: average on the server


def _average_reference(updates: Any, num_examples: Any) -> list[np.ndarray]:
    from helpers.federated import weighted_average

    return weighted_average([list(update) for update in updates], num_examples)


def _average_cases(rng: np.random.Generator) -> list[Case]:
    def updates(count: int) -> list[list[np.ndarray]]:
        return [[rng.standard_normal((4, 3)), rng.standard_normal(3)] for _ in range(count)]

    return [
        Case((updates(2), [1, 3]), "the second device holds three times as much"),
        Case((updates(5), [int(n) for n in rng.integers(1, 200, size=5)]), "five devices"),
    ]


def _plain_mean(updates: Any, num_examples: Any) -> list[np.ndarray]:
    return [np.mean(parts, axis=0) for parts in zip(*updates, strict=True)]


def _weighted_sum(updates: Any, num_examples: Any) -> list[np.ndarray]:
    return [np.tensordot(num_examples, parts, axes=1) for parts in zip(*updates, strict=True)]


def _by_devices(updates: Any, num_examples: Any) -> list[np.ndarray]:
    return [part / len(updates) for part in _weighted_sum(updates, num_examples)]


_AVERAGE_SLIPS: Slips = {
    "this is the plain mean; a device with more examples must count for more": _plain_mean,
    "the weights do not add up to 1; divide by the total number of examples": _weighted_sum,
    "the weighted sum was divided by the number of devices; divide by that of all examples": (
        _by_devices
    ),
}

AVERAGE = FunctionTask(
    "q3", "Average on the server", 1, _average_reference, _average_cases,
    or_explain(_TWO_PARTS, _AVERAGE_SLIPS),
    "Each device's weight is its share of all examples; average array by array.",
)  # fmt: skip
