"""What it costs and whom it fails: the bytes a device sends, and the worst devices."""

from __future__ import annotations

from typing import Any

import numpy as np

from helpers.course.compare import Slips, close, or_explain
from helpers.course.tasks import Case, FunctionTask

_TOLERANCE = close(rtol=1e-4, atol=1e-6)


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


def _axes_added(shapes: Any, *rest: Any) -> float:
    return _traffic_reference([[sum(shape)] for shape in shapes], *rest)


def _always_four(shapes: Any, rounds: int, sampled: int, num_clients: int, _: int) -> float:
    return _traffic_reference(shapes, rounds, sampled, num_clients, 4)


_TRAFFIC_SLIPS: Slips = {
    "the biases are missing; every array of the model travels": _kernels_only,
    "an array holds the product of its axes' lengths, not their sum": _axes_added,
    "a value need not take four bytes; how many it takes is given": _always_four,
    "the brief counts in MB; this function returns bytes": lambda *args: (
        _traffic_reference(*args) / 1e6
    ),
    "a device takes part in clients_per_round / num_clients of the rounds": _upside_down,
    "this is one direction; the model also travels the other way": _one_way,
    "this counts every device in every round; only some are sampled": _all_devices,
    "this is the traffic of the whole fleet; divide it by the number of devices": _whole_fleet,
}

TRAFFIC = FunctionTask(
    "q4", "Count the bytes", 1, _traffic_reference, _traffic_cases,
    or_explain(_TOLERANCE, _TRAFFIC_SLIPS),
    "Values in the model x bytes a value x two directions x how often a device is sampled.",
)  # fmt: skip

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
    "these are the first of the devices, not the worst: sort them": lambda a: float(
        np.mean(a[: max(1, len(a) // 10)])
    ),
    "this is the single worst device": lambda a: float(np.min(a)),
    "the tenth was rounded up; round it down": _rounded_up,
    "this is the 10 % quantile: where the worst tenth ends, not its mean": lambda a: float(
        np.quantile(a, 0.1)
    ),
    "this is the mean over all devices": lambda a: float(np.mean(a)),
    "this is the mean of the best tenth": lambda a: 1 - _worst_reference(1 - np.asarray(a)),
}

WORST = FunctionTask(
    "q5", "Look at the worst devices", 1, _worst_reference, _worst_cases,
    or_explain(_TOLERANCE, _WORST_SLIPS),
    "Sort, take the first tenth (rounded down, at least one device), average.",
)  # fmt: skip
