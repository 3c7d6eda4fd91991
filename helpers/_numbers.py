"""What counts as a number in a setting, for the checks of every room."""

from __future__ import annotations

from typing import Any

import numpy as np


def is_number(value: Any) -> bool:
    """Whether a value is one real number, Python's or NumPy's; yes and no are none."""
    return isinstance(value, int | float | np.floating | np.integer) and not isinstance(value, bool)
