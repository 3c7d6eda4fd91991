"""Federated learning: bytes, clients that take part, clients that lie."""

from __future__ import annotations

import numpy as np

from helpers.course.interview_answers.registry import answer

_GIGA = 1e9


@answer
def round_gigabytes(parameters: int, clients: int, bytes_down: float = 4.0,
                    bytes_up: float = 4.0, rounds: int = 1) -> float:  # fmt: skip
    """Model data of some rounds in both directions, in GB (10^9 bytes)."""
    from helpers.federated.traffic import bytes_per_round

    return rounds * bytes_per_round([[parameters]], clients, bytes_down, bytes_up).total / _GIGA


@answer
def weighted_mean(values: list[float], weights: list[float]) -> float:
    """FedAvg's mean of one coordinate."""
    return float(np.average(values, weights=weights))


@answer
def fedavg(updates: list[list[float]], examples: list[float]) -> list[float]:
    """FedAvg's mean of whole vectors, weighted by the numbers of examples."""
    mean: list[float] = np.average(np.asarray(updates, float), axis=0, weights=examples).tolist()
    return mean


@answer
def attacker_factor(clients: int, honest: float, target: float) -> float:
    """What one client must send to move the plain mean of one coordinate to a target."""
    return clients * target - (clients - 1) * honest


@answer
def trimmed_mean(values: list[float], byzantine: int) -> float:
    """Mean of one coordinate without its largest and smallest values."""
    from helpers.federated.robust.coordinate import trimmed_mean as rule

    return float(rule(np.asarray(values, float)[:, None], byzantine)[0])


@answer
def krum_choice(updates: list[list[float]], byzantine: int) -> list[float]:
    """The update that Krum selects."""
    from helpers.federated.robust.selection import krum

    chosen: list[float] = krum(np.asarray(updates, float), byzantine).tolist()
    return chosen


@answer
def secure_modulus_bits(clients: int, value_bits: int) -> int:
    """Bits of the modulus that a masked sum needs so that it cannot wrap, without guard bits."""
    return (clients * ((1 << value_bits) - 1)).bit_length()


def clip_and_average(updates: list[list[float]], clip: float) -> list[float]:
    """Clip each update to an L2 norm, then take the mean."""
    rows = np.asarray(updates, float)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    factors = np.minimum(1.0, clip / np.maximum(norms, 1e-300))
    clipped: list[float] = (rows * factors).mean(axis=0).tolist()
    return clipped


@answer
def exposure_days(noticed_after: float, listed_after: float, lifetime_left: float) -> float:
    """Days that a stolen key works: until it is on the list or has expired."""
    return min(noticed_after + listed_after, lifetime_left)
