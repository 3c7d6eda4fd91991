"""Checks of lab 1, *Train across devices*: federated averaging, and what an update leaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from helpers.course.compare import Slips, close, or_explain, satisfies
from helpers.course.tasks import Case, FunctionTask, LabSpec, Memo
from helpers.data import partition
from helpers.models import softmax_regression

_TOLERANCE = close(rtol=1e-4, atol=1e-6)
_TWO_PARTS = close(rtol=1e-4, atol=1e-6, parts=("the kernel's part", "the bias's part"))


# --- q1: deal the images out


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
    if shares.var(axis=0).mean() < 0.4 * expected:
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


_AVERAGE_SLIPS: Slips = {
    "this is the plain mean; a device with more examples must count for more": _plain_mean,
    "the weights do not add up to 1; divide by the total number of examples": _weighted_sum,
}


# --- q4: count the bytes


def _traffic_reference(
    weight_shapes: Any, rounds: int, clients_per_round: int, num_clients: int, bytes_per_value: int
) -> float:
    from helpers.federated.traffic import bytes_per_round

    shapes = [tuple(shape) for shape in weight_shapes]
    traffic = bytes_per_round(shapes, clients_per_round, bytes_per_value)
    return rounds * traffic.total / num_clients


def _traffic_cases(rng: np.random.Generator) -> list[Case]:
    hidden = int(rng.integers(20, 200))
    return [
        Case(([[784, 10], [10]], 30, 10, 30, 4), "softmax regression, a third of the devices"),
        Case(([[784, hidden], [hidden], [hidden, 10], [10]], 12, 5, 50, 2), "16-bit weights"),
    ]


def _one_way(*args: Any) -> float:
    return _traffic_reference(*args) / 2


def _all_devices(shapes: Any, rounds: int, sampled: int, num_clients: int, width: int) -> float:
    return _traffic_reference(shapes, rounds, num_clients, num_clients, width)


def _whole_fleet(shapes: Any, rounds: int, sampled: int, num_clients: int, width: int) -> float:
    return num_clients * _traffic_reference(shapes, rounds, sampled, num_clients, width)


def _kernels_only(shapes: Any, *rest: Any) -> float:
    return _traffic_reference([shape for shape in shapes if len(shape) > 1], *rest)


def _upside_down(shapes: Any, rounds: int, sampled: int, num_clients: int, width: int) -> float:
    return _traffic_reference(shapes, rounds, num_clients, sampled, width)


_TRAFFIC_SLIPS: Slips = {
    "the biases are missing; every array of the model travels": _kernels_only,
    "a device takes part in clients_per_round / num_clients of the rounds": _upside_down,
    "this is one direction; the model also travels the other way": _one_way,
    "this counts every device in every round; only some are sampled": _all_devices,
    "this is the traffic of the whole fleet; divide it by the number of devices": _whole_fleet,
}


# --- q5: the worst devices


def _worst_reference(accuracies: Any) -> float:
    ordered = np.sort(np.asarray(accuracies, float))
    return float(ordered[: max(1, len(ordered) // 10)].mean())


def _worst_cases(rng: np.random.Generator) -> list[Case]:
    return [
        Case((rng.random(29),), "29 devices: a tenth is 2.9, so the worst two"),
        Case((rng.random(7),), "7 devices: a tenth is less than one, so the worst one"),
    ]


def _rounded_up(accuracies: Any) -> float:
    ordered = np.sort(np.asarray(accuracies, float))
    return float(ordered[: -(-len(ordered) // 10)].mean())


_WORST_SLIPS: Slips = {
    "this is the single worst device": lambda a: float(np.min(a)),
    "the tenth was rounded up; round it down": _rounded_up,
    "this is the 10 % quantile: where the worst tenth ends, not its mean": lambda a: float(
        np.quantile(a, 0.1)
    ),
    "this is the mean over all devices": lambda a: float(np.mean(a)),
    "this is the mean of the best tenth": lambda a: 1 - _worst_reference(1 - np.asarray(a)),
}


# --- q6 and q7: read an update


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
    )
}


LAB = LabSpec(
    name="train-across-devices",
    number=1,
    title="Train across devices",
    minutes=90,
    tasks=(
        FunctionTask(
            "q1", "Deal the images out", 2, _split_reference, _split_cases,
            satisfies(_split_problem),
            "For each class: shuffle its indices, draw one share a device, cut at their sums.",
            across=_split_relations,
            show_expected=False,
        ),
        FunctionTask(
            "q2", "Train on one device", 2, softmax_regression.local_update, _update_cases,
            or_explain(_TWO_PARTS, _UPDATE_SLIPS),
            "In order: softmax, minus one-hot, the two gradients divided by the batch's size, a "
            "step against them, the next batch; subtract the global weights last.",
        ),
        FunctionTask(
            "q3", "Average on the server", 1, _average_reference, _average_cases,
            or_explain(_TWO_PARTS, _AVERAGE_SLIPS),
            "Each device's weight is its share of all examples; average array by array.",
        ),
        FunctionTask(
            "q4", "Count the bytes", 1, _traffic_reference, _traffic_cases,
            or_explain(_TOLERANCE, _TRAFFIC_SLIPS),
            "Values in the model x bytes a value x two directions x how often a device is sampled.",
        ),
        FunctionTask(
            "q5", "Look at the worst devices", 1, _worst_reference, _worst_cases,
            or_explain(_TOLERANCE, _WORST_SLIPS),
            "Sort, take the first tenth (rounded down, at least one device), average.",
        ),
        FunctionTask(
            "q6", "Steal the image", 2, _images_reference, _images_cases,
            or_explain(_TOLERANCE, _IMAGES_SLIPS),
            "Column j of the kernel's update divided by entry j of the bias's update.",
        ),
        FunctionTask(
            "q7", "Read the labels", 1, _shares_reference, _shares_cases,
            or_explain(_TOLERANCE, _SHARES_SLIPS),
            "The bias moves by learning_rate x (share of the class - probability of the class).",
        ),
    ),
    memos=(
        Memo(
            "memo", "Decision memo to the privacy officer",
            words=(150, 300),
            rubric=(
                "Names one setting and says, with this lab's numbers, whether it meets each of "
                "the three criteria, and how steady that is over the last rounds.",
                "States what an update gave away, with a figure beside its control, and for which "
                "devices: how many photographs, which model.",
                "Says who could do this, and what stays true of the officer's sentence.",
                "Names a next step against that leak, and what would have to be measured to know "
                "its cost.",
                "Says what was not measured, or what would change the decision.",
            ),
        ),
    ),
)  # fmt: skip
