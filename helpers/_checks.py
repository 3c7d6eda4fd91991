"""Checks of settings that every room makes, each with an exception of its own."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from helpers.errors import EdgesecError


def is_number(value: Any) -> bool:
    """Whether a value is one real number, Python's or NumPy's; yes and no are none."""
    return isinstance(value, int | float | np.floating | np.integer) and not isinstance(value, bool)


@dataclass(frozen=True)
class Requirements:
    """What may be required of a setting; each method raises ``error`` unless it is met.

    Attributes
    ----------
    error
        The exception to raise; its message names the setting, its value and what it must be.
    """

    error: type[EdgesecError]

    def whole(self, name: str, value: Any, at_least: int) -> None:
        """Raise ``error`` unless ``value`` is a whole number of at least ``at_least``."""
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < at_least:
            raise self.error(f"{name}={value!r} must be a whole number of at least {at_least}.")

    def positive(self, name: str, value: Any) -> None:
        """Raise ``error`` unless ``value`` is a finite number above zero."""
        if not is_number(value) or not 0 < value < math.inf:
            raise self.error(f"{name}={value!r} must be a finite number above 0.")

    def not_negative(self, name: str, value: Any) -> None:
        """Raise ``error`` unless ``value`` is a finite number of at least zero."""
        if not is_number(value) or not 0 <= value < math.inf:
            raise self.error(f"{name}={value!r} must be a finite number of at least 0.")

    def rate(self, name: str, value: Any) -> None:
        """Raise ``error`` unless ``0 < value <= 1``."""
        if not is_number(value) or not 0 < value <= 1:
            raise self.error(f"{name}={value!r} must be a number with 0 < {name} <= 1.")

    def probability(self, name: str, value: Any) -> None:
        """Raise ``error`` unless ``0 < value < 1``."""
        if not is_number(value) or not 0 < value < 1:
            raise self.error(f"{name}={value!r} must be a number with 0 < {name} < 1.")

    def share(self, name: str, value: Any) -> None:
        """Raise ``error`` unless ``0 <= value < 1``."""
        self.between(name, value, 0, 1)

    def between(self, name: str, value: Any, low: float, high: float) -> None:
        """Raise ``error`` unless ``low <= value < high``."""
        if not is_number(value) or not low <= value < high:
            raise self.error(f"{name}={value!r} must be a number with {low} <= {name} < {high}.")

    def choice(self, name: str, value: Any, choices: Collection[str]) -> None:
        """Raise ``error`` unless ``value`` is one of ``choices``."""
        if value not in tuple(choices):
            raise self.error(f"{name}={value!r} is not known: choose one of {', '.join(choices)}.")
