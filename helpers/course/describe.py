"""Short descriptions of plain data, for messages: ``float32 (3, 2) [[0.1, 0.2], ...]``."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

_SHOWN = 6  # values of an array or items of a list that a description spells out
_TEXT = 120  # characters of one value
_LINE = 160  # characters of a whole description
_ARRAYS = 2  # arrays whose values are shown; of the others only the shapes


def kind(value: Any) -> str:
    """Name what a value is, with its size: ``a list of 3``, ``an array float32 (2, 3)``."""
    if value is None:
        return "None"
    if isinstance(value, np.ndarray):
        return f"an array {value.dtype.name} {value.shape}"
    if isinstance(value, list | tuple | dict):
        return f"a {type(value).__name__} of {len(value)}"
    names = {bool: "a boolean", str: "a string", bytes: "bytes"}
    return names.get(type(value), "a number")


def summary(value: Any) -> str:
    """Describe plain data on one short line: of many arrays, only the first two with values."""
    return _cut(_summary(value, itertools.count()), _LINE)


def _summary(value: Any, arrays: Iterator[int]) -> str:
    if isinstance(value, np.ndarray):
        values = f" {_array(value)}" if next(arrays) < _ARRAYS else ""
        return f"{value.dtype.name} {value.shape}{values}"
    if isinstance(value, dict):
        pairs = (f"{key!r}: {_summary(item, arrays)}" for key, item in value.items())
        return "{" + _joined(pairs, len(value)) + "}"
    if isinstance(value, list | tuple):
        items = _joined((_summary(item, arrays) for item in value), len(value))
        return f"[{items}]" if isinstance(value, list) else f"({items})"
    if isinstance(value, float):
        return f"{value:.7g}"
    return _cut(repr(value))


def _array(array: np.ndarray) -> str:
    with np.printoptions(precision=4, threshold=_SHOWN, edgeitems=2, linewidth=10_000):
        return _cut(" ".join(np.array2string(array, separator=", ").split()))


def _joined(parts: Iterable[str], count: int) -> str:
    more = [f"... {count} in all"] if count > _SHOWN else []
    return ", ".join([*itertools.islice(parts, _SHOWN), *more])


def _cut(text: str, length: int = _TEXT) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."
