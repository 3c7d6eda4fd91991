"""How much an attacker may change: a norm, a radius, and the pixels that can be stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.errors import RobustnessError
from helpers.robustness._checks import require_choice, require_not_negative

Norm = Literal["linf", "l2"]
TOLERANCE = 1e-5  # of the radius, plus one float32 step of an input near 1: rounding of the sums
CODES = 255


@dataclass(frozen=True)
class Budget:
    """The set of inputs that an attacker may show instead of a clean one.

    Attributes
    ----------
    epsilon
        Radius. For ``"linf"`` the most that any one number may change; for ``"l2"`` the most that
        the root of the sum of squared changes may be.
    norm
        ``"linf"`` or ``"l2"``.

    Raises
    ------
    RobustnessError
        If ``epsilon`` is negative or not finite, or the norm is unknown.
    """

    epsilon: float
    norm: Norm = "linf"

    def __post_init__(self) -> None:
        require_not_negative("epsilon", self.epsilon)
        require_choice("norm", self.norm, get_args(Norm))

    def require(self, clean: ArrayLike, adversarial: ArrayLike) -> None:
        """Raise RobustnessError if any input was changed by more than the budget allows."""
        worst = float(distances(clean, adversarial, self.norm).max())
        if not worst <= self.epsilon * (1 + TOLERANCE) + np.finfo(np.float32).eps:
            raise RobustnessError(
                f"An input was changed by {worst:.6g} in {self.norm}; the budget is "
                f"{self.epsilon:.6g}."
            )

    def project(
        self, clean: ArrayLike, wanted: ArrayLike, bounds: tuple[float, float] = (0.0, 1.0)
    ) -> NDArray[np.float32]:
        """Move inputs into the budget and the bounds.

        Parameters
        ----------
        clean
            Inputs within the bounds, ``(n, ...)``.
        wanted
            Inputs of the same shape.
        bounds
            Smallest and largest number that an input may hold.

        Returns
        -------
        numpy.ndarray
            float32. A change that is too long is cut (linf) or shortened (l2), then clipped to the
            bounds, which never lengthens it, as the clean input lies within them.

        Raises
        ------
        RobustnessError
            If the shapes differ, a number is not finite, or the bounds do not rise.
        """
        start, goal = np.asarray(clean, np.float32), np.asarray(wanted, np.float32)
        if start.shape != goal.shape:
            raise RobustnessError(f"Clean {start.shape} and wanted {goal.shape} differ in shape.")
        if len(bounds) != 2 or not bounds[0] < bounds[1]:
            raise RobustnessError(f"bounds={bounds} must be two numbers that rise.")
        change = goal - start
        if not np.isfinite(change).all():
            raise RobustnessError("Clean and wanted inputs must be finite.")
        if self.norm == "linf":
            change = np.clip(change, -self.epsilon, self.epsilon)
        else:
            length = _per_input(distances(start, wanted, "l2"), start.ndim)
            change = change * np.minimum(1.0, self.epsilon / np.maximum(length, 1e-12))
        return np.clip(start + change, *bounds).astype(np.float32)


def distances(clean: ArrayLike, adversarial: ArrayLike, norm: Norm) -> NDArray[np.float64]:
    """Measure how far each input was moved.

    Parameters
    ----------
    clean, adversarial
        ``(n, ...)``, the same shape.
    norm
        ``"linf"`` or ``"l2"``.

    Returns
    -------
    numpy.ndarray
        float64 ``(n,)``.

    Raises
    ------
    RobustnessError
        If the shapes differ or the norm is unknown.
    """
    require_choice("norm", norm, get_args(Norm))
    before, after = np.asarray(clean, np.float64), np.asarray(adversarial, np.float64)
    if before.shape != after.shape:
        raise RobustnessError(f"Clean {before.shape} and changed {after.shape} differ in shape.")
    change = np.abs(after - before).reshape(len(before), -1)
    return change.max(axis=1) if norm == "linf" else np.sqrt((change**2).sum(axis=1))


def as_stored(images: ArrayLike) -> NDArray[np.float32]:
    """Round images in [0, 1] to the 256 levels of an ordinary image file.

    Parameters
    ----------
    images
        Any shape, values in [0, 1].

    Returns
    -------
    numpy.ndarray
        float32, whole multiples of 1/255.
    """
    codes = np.rint(np.asarray(images, np.float64) * CODES)
    return (np.clip(codes, 0, CODES) / CODES).astype(np.float32)


def round_to_stored(
    clean: ArrayLike, adversarial: ArrayLike, budget: Budget
) -> NDArray[np.float32]:
    """Round adversarial images to 8 bits without leaving the budget.

    An attack that lives between two grey levels is gone once the image is saved. Each pixel goes to
    its nearest level; where that breaks the budget, to the nearest one towards the clean image.

    Parameters
    ----------
    clean
        Images as stored, multiples of 1/255, ``(n, ...)``; see :func:`as_stored`.
    adversarial
        What an attack made of them.
    budget
        Held before and after.

    Returns
    -------
    numpy.ndarray
        float32, multiples of 1/255.

    Raises
    ------
    RobustnessError
        If a clean image is not one as stored: there may be no level within the budget then.
    """
    start = np.rint(np.asarray(clean, np.float64) * CODES)
    if np.abs(np.asarray(clean, np.float64) * CODES - start).max() > 1e-3:
        raise RobustnessError(
            "The clean images are not multiples of 1/255: attack as_stored(images) instead."
        )
    change = np.asarray(adversarial, np.float64) * CODES - start
    rounded = np.rint(change)
    if budget.norm == "linf":
        most = np.floor(budget.epsilon * CODES * (1 + TOLERANCE))
        rounded = np.clip(rounded, -most, most)
    else:
        length = np.sqrt((rounded.reshape(len(rounded), -1) ** 2).sum(axis=1))
        too_long = _per_input(length > budget.epsilon * CODES * (1 + TOLERANCE), rounded.ndim)
        rounded = np.where(too_long, np.trunc(change), rounded)
    return (np.clip(start + rounded, 0, CODES) / CODES).astype(np.float32)


def _per_input(values: NDArray, rank: int) -> NDArray:
    return values.reshape(-1, *[1] * (rank - 1))
