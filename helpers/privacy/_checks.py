"""Checks of settings, made before any work starts."""

from __future__ import annotations

import numpy as np

from helpers._checks import Requirements
from helpers.errors import PrivacyError

_require = Requirements(PrivacyError)  # each raises PrivacyError
require_whole = _require.whole
require_positive = _require.positive
require_not_negative = _require.not_negative
require_rate = _require.rate
require_probability = _require.probability
require_share = _require.share
require_choice = _require.choice


def require_classes(name: str, labels: np.ndarray) -> None:
    """Raise PrivacyError unless ``labels`` are whole numbers of at least 0."""
    if labels.dtype.kind not in "iu" or (labels.size and labels.min() < 0):
        known = labels.dtype.kind in "biuf" and labels.size
        span = f" from {labels.min()} to {labels.max()}" if known else ""
        raise PrivacyError(
            f"{name} of type {labels.dtype}{span} must be class numbers: whole and at least 0."
        )
