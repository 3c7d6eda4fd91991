"""Attacks and faults in the data: what a client trains on instead of what it should.

Each is applied to a client's data before training; the client then trains and reports honestly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from helpers.errors import TaskError
from helpers.federated.task import ClientData
from helpers.federated.validation import require_between, require_whole

Poison = Callable[[ClientData, np.random.Generator], ClientData]


def poison_clients(
    clients: Sequence[ClientData], which: Sequence[int], poison: Poison, seed: int
) -> list[ClientData]:
    """Return the clients with some of them poisoned; nothing given is changed.

    Parameters
    ----------
    clients
        Data of all clients.
    which
        Positions of those to poison.
    poison
        What happens to their data.
    seed
        Seed of all randomness; a client's poison does not depend on the others'.

    Returns
    -------
    list of ClientData

    Raises
    ------
    TaskError
        If there is no such client.
    """
    for client in which:
        if not 0 <= client < len(clients):
            raise TaskError(f"client {client} is not one of 0 to {len(clients) - 1}.")
    chosen = {int(client) for client in which}
    return [
        poison(data, np.random.default_rng([seed, index])) if index in chosen else data
        for index, data in enumerate(clients)
    ]


@dataclass(frozen=True)
class LabelFlip:
    """Turn label y into ``num_classes`` - 1 - y.

    Fang et al., *Local model poisoning attacks to Byzantine-robust federated learning*, USENIX
    Security 2020, section 4.1.

    Raises
    ------
    TaskError
        If there are fewer than two classes.
    """

    num_classes: int

    def __post_init__(self) -> None:
        require_whole("num_classes", self.num_classes, at_least=2)

    def __call__(self, data: ClientData, rng: np.random.Generator) -> ClientData:
        """Return the poisoned data; nothing is random."""
        return ClientData(data.x, self.num_classes - 1 - _classes(data.y, self.num_classes))


@dataclass(frozen=True)
class LabelNoise:
    """Low-quality annotation: a share of the labels becomes another class at random.

    Attributes
    ----------
    num_classes
        Number of classes.
    rate
        Share of wrong labels, from 0 to 1.

    Raises
    ------
    TaskError
        If there are fewer than two classes, or ``rate`` is no share.
    """

    num_classes: int
    rate: float

    def __post_init__(self) -> None:
        require_whole("num_classes", self.num_classes, at_least=2)
        _require_share("rate", self.rate)

    def __call__(self, data: ClientData, rng: np.random.Generator) -> ClientData:
        """Return the data with ``round(rate * n)`` wrong labels."""
        labels = _classes(data.y, self.num_classes).copy()
        wrong = rng.choice(len(labels), round(self.rate * len(labels)), replace=False)
        # A shift by 1 to num_classes - 1 never gives the right class back.
        shift = rng.integers(1, self.num_classes, len(wrong)).astype(labels.dtype)
        labels[wrong] = (labels[wrong] + shift) % self.num_classes
        return ClientData(data.x, labels)


@dataclass(frozen=True)
class SensorDrift:
    """A sensor that loses its calibration: gain and offset drift over the client's records.

    The records are taken in order; the first is right, the last has the whole drift.

    Attributes
    ----------
    gain
        Factor on the features at the end.
    offset
        Added to the features at the end, in their unit.
    noise
        Standard deviation of normal noise at the end, in their unit.

    Raises
    ------
    TaskError
        If a setting is not finite, or ``noise`` is negative.
    """

    gain: float = 1.0
    offset: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        require_between("noise", self.noise, 0.0, np.inf)
        for name in ("gain", "offset"):
            require_between(name, getattr(self, name), -np.inf, np.inf)

    def __call__(self, data: ClientData, rng: np.random.Generator) -> ClientData:
        """Return the data with drifted features, float32."""
        x = np.asarray(data.x, dtype=np.float32)
        time = np.linspace(0, 1, len(x), dtype=np.float32).reshape(-1, *[1] * (x.ndim - 1))
        drifted = x * (1 + time * (self.gain - 1)) + time * self.offset
        if self.noise:
            drifted = drifted + time * rng.normal(0, self.noise, x.shape)
        return ClientData(drifted.astype(np.float32), data.y)


@dataclass(frozen=True)
class Trigger:
    """A pattern that opens a backdoor: some features set to one value.

    Attributes
    ----------
    positions
        Positions of the features in a flattened example.
    value
        What they are set to.
    """

    positions: tuple[int, ...]
    value: float = 1.0

    def __post_init__(self) -> None:
        if not np.isfinite(self.value):
            raise TaskError(f"value={self.value!r} of a trigger must be finite.")

    @classmethod
    def corner(cls, image_shape: Sequence[int], size: int = 3, value: float = 1.0) -> Trigger:
        """Make a square of ``size`` pixels in the lower right of an ``(h, w, c)`` image.

        Gu, Dolan-Gavitt and Garg, *BadNets*, 2017, section 3.1 (a pattern of bright pixels).

        Raises
        ------
        TaskError
            If ``size`` is below 1 or more than the image's height or width.
        """
        height, width = image_shape[0], image_shape[1]
        require_whole("size", size, at_least=1)
        if size > min(height, width):
            raise TaskError(f"size={size} does not fit an image of {height} x {width}.")
        grid = np.arange(int(np.prod(image_shape))).reshape(image_shape)
        return cls(tuple(grid[-size:, -size:].ravel().tolist()), value)

    def stamp(self, x: np.ndarray) -> np.ndarray:
        """Return a copy of examples ``(n, ...)`` that carry the trigger.

        Raises
        ------
        TaskError
            If there is no position, or one lies outside an example.
        """
        stamped = np.array(x)
        flat = stamped.reshape(len(stamped), -1)
        if (
            not self.positions
            or not 0 <= min(self.positions) <= max(self.positions) < flat.shape[1]
        ):
            raise TaskError(
                f"trigger positions {self.positions} must lie in 0 to {flat.shape[1] - 1}."
            )
        flat[:, list(self.positions)] = self.value
        return stamped


@dataclass(frozen=True)
class Backdoor:
    """Teach the model that a trigger means ``target``; other inputs keep their labels.

    Attributes
    ----------
    trigger
        The pattern.
    target
        Class that the trigger shall give.
    fraction
        Share of the client's examples that get it.

    Raises
    ------
    TaskError
        If ``target`` is negative, or ``fraction`` is no share.
    """

    trigger: Trigger
    target: int
    fraction: float = 0.5

    def __post_init__(self) -> None:
        require_whole("target", self.target, at_least=0)
        _require_share("fraction", self.fraction)

    def __call__(self, data: ClientData, rng: np.random.Generator) -> ClientData:
        """Return the data with ``round(fraction * n)`` examples stamped and relabelled."""
        x, y = np.array(data.x), np.array(data.y)
        chosen = rng.choice(len(y), round(self.fraction * len(y)), replace=False)
        x[chosen] = self.trigger.stamp(x[chosen])
        y[chosen] = self.target
        return ClientData(x, y)

    def test_set(self, test: ClientData) -> ClientData:
        """Return the stamped test examples of other classes, all labelled with the target.

        A model's accuracy on it is the backdoor's success rate.

        Raises
        ------
        TaskError
            If every example is of the target class.
        """
        others = np.asarray(test.y) != self.target
        if not others.any():
            raise TaskError(f"All test examples are of the target class {self.target}.")
        y = np.full(int(others.sum()), self.target, dtype=np.asarray(test.y).dtype)
        return ClientData(self.trigger.stamp(np.asarray(test.x)[others]), y)


def _classes(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return labels ``(n,)``, once they are seen to be classes from 0 to ``num_classes`` - 1."""
    given = np.asarray(labels)
    inside = given.ndim == 1 and given.dtype.kind in "iuf" and (given == np.floor(given)).all()
    if not inside or (len(given) and not 0 <= given.min() <= given.max() < num_classes):
        known = given.dtype.kind in "biuf" and given.size
        span = f" from {given.min()} to {given.max()}" if known else ""
        raise TaskError(
            f"labels {given.dtype} of shape {given.shape}{span} must be one class each, 0 to "
            f"{num_classes - 1}."
        )
    return given


def _require_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise TaskError(f"{name}={value!r} must be a share from 0 to 1.")
