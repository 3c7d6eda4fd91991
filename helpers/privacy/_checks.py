"""Checks of settings, made before any work starts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from helpers._numbers import is_number
from helpers.errors import PrivacyError


def require_whole(name: str, value: Any, at_least: int) -> None:
    """Raise PrivacyError unless ``value`` is a whole number of at least ``at_least``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < at_least:
        raise PrivacyError(f"{name}={value!r} must be a whole number of at least {at_least}.")


def require_positive(name: str, value: Any) -> None:
    """Raise PrivacyError unless ``value`` is a finite number above zero."""
    if not is_number(value) or not 0 < value < math.inf:
        raise PrivacyError(f"{name}={value!r} must be a finite number above 0.")


def require_not_negative(name: str, value: Any) -> None:
    """Raise PrivacyError unless ``value`` is a finite number of at least zero."""
    if not is_number(value) or not 0 <= value < math.inf:
        raise PrivacyError(f"{name}={value!r} must be a finite number of at least 0.")


def require_rate(name: str, value: Any) -> None:
    """Raise PrivacyError unless ``0 < value <= 1``."""
    if not is_number(value) or not 0 < value <= 1:
        raise PrivacyError(f"{name}={value!r} must be a number with 0 < {name} <= 1.")


def require_probability(name: str, value: Any) -> None:
    """Raise PrivacyError unless ``0 < value < 1``."""
    if not is_number(value) or not 0 < value < 1:
        raise PrivacyError(f"{name}={value!r} must be a number with 0 < {name} < 1.")


def require_share(name: str, value: Any) -> None:
    """Raise PrivacyError unless ``0 <= value < 1``."""
    if not is_number(value) or not 0 <= value < 1:
        raise PrivacyError(f"{name}={value!r} must be a number with 0 <= {name} < 1.")


def require_classes(name: str, labels: np.ndarray) -> None:
    """Raise PrivacyError unless ``labels`` are whole numbers of at least 0."""
    if labels.dtype.kind not in "iu" or (labels.size and labels.min() < 0):
        known = labels.dtype.kind in "biuf" and labels.size
        span = f" from {labels.min()} to {labels.max()}" if known else ""
        raise PrivacyError(
            f"{name} of type {labels.dtype}{span} must be class numbers: whole and at least 0."
        )


def require_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Raise PrivacyError unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise PrivacyError(f"{name}={value!r} is not known: choose one of {', '.join(choices)}.")
