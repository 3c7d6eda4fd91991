"""Comparisons of a learner's result with what was expected.

A comparison is a function ``(got, expected, args) -> str | None`` over plain data: ``None`` when
the result is right, else one sentence that says where it is not. Comparisons compose with
:func:`all_of`; a task without one right answer is judged by a property, :func:`satisfies`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from helpers.course import describe

Comparison = Callable[[Any, Any, tuple[Any, ...]], str | None]
Slips = dict[str, Callable[..., Any]]  # an explanation, and the function that makes the slip


def close(rtol: float = 1e-5, atol: float = 1e-6, parts: Sequence[str] = ()) -> Comparison:
    """Accept equal structure and numbers with ``|got - expected| <= atol + rtol * |expected|``.

    Lists and tuples are interchangeable, and so are numbers and arrays of shape ``()``. Shapes
    must agree; dtypes need only be of a kind that can hold the expected numbers. NaN is accepted
    only where NaN is expected. Messages call the items of a list or tuple by the names in
    `parts`, where there are any, else ``[0]``, ``[1]``.
    """

    def compare(got: Any, expected: Any, args: tuple[Any, ...]) -> str | None:
        return _difference(got, expected, rtol, atol, names=parts)

    return compare


def equal() -> Comparison:
    """Accept equal structure and exactly equal values."""
    return close(rtol=0.0, atol=0.0)


def row_of(comparison: Comparison) -> Comparison:
    """Take a row of values, be it a list, a tuple or an array, in the form that is expected."""

    def compare(got: Any, expected: Any, args: tuple[Any, ...]) -> str | None:
        if isinstance(expected, list | tuple) and isinstance(got, np.ndarray) and got.ndim:
            got = got.tolist()
        elif isinstance(expected, np.ndarray) and isinstance(got, list | tuple):
            other = [i for i, item in enumerate(got) if not _is_value(item)]
            if other and expected.ndim == 1:
                kind, first = describe.kind(got), describe.summary(got[other[0]])
                return f"a row of values was expected, got {kind}: its [{other[0]}] is {first}"
            got = got if other else np.asarray(got)
        return comparison(got, expected, args)

    return compare


def satisfies(explain: Callable[[tuple[Any, ...], Any], str | None]) -> Comparison:
    """Judge a result by a property: ``explain(args, got)`` says what is wrong, or ``None``."""

    def compare(got: Any, expected: Any, args: tuple[Any, ...]) -> str | None:
        return explain(args, got)

    return compare


def all_of(*comparisons: Comparison) -> Comparison:
    """Accept what every comparison accepts; the first objection is the explanation."""

    def compare(got: Any, expected: Any, args: tuple[Any, ...]) -> str | None:
        objections = (comparison(got, expected, args) for comparison in comparisons)
        return next((objection for objection in objections if objection), None)

    return compare


def or_explain(comparison: Comparison, slips: Slips) -> Comparison:
    """Compare; when that fails and a known slip gives the learner's result, name the slip."""

    def compare(got: Any, expected: Any, args: tuple[Any, ...]) -> str | None:
        problem = comparison(got, expected, args)
        if problem is None:
            return None
        for explanation, slip in slips.items():
            with np.errstate(all="ignore"):
                slipped = slip(*args)
            if comparison(got, slipped, args) is None:
                return explanation
        return problem

    return compare


def kind_problem(got: Any, expected: Any) -> str | None:
    """Say how `got` differs from `expected` in type, length or shape, revealing no value."""
    if _is_number(expected) and _is_number(got):
        return None
    if isinstance(expected, list | tuple) and isinstance(got, list | tuple):
        same = len(expected) == len(got)
    elif isinstance(expected, np.ndarray) and isinstance(got, np.ndarray):
        same = expected.shape == got.shape
    elif isinstance(expected, dict) and isinstance(got, dict):
        same = expected.keys() == got.keys()
        if not same:
            return f"the keys {list(expected)} were expected, got {list(got)}"
    else:
        same = type(expected) is type(got)
    if same:
        return None
    what = f"{describe.kind(expected)} was expected, got {describe.kind(got)}"
    listed = isinstance(expected, np.ndarray) and isinstance(got, list | tuple)
    return f"{what}; np.array(...) makes an array of it" if listed else what


def _is_value(item: Any) -> bool:
    """Whether an item can stand in a row: one number, or yes or no."""
    return isinstance(item, bool | np.bool_ | np.number) or _is_number(item)


def _is_number(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.shape == ()
    return isinstance(value, int | float | complex) and not isinstance(value, bool)


def _difference(
    got: Any, expected: Any, rtol: float, atol: float, where: str = "", names: Sequence[str] = ()
) -> str | None:
    problem = kind_problem(got, expected)
    if problem:
        return f"{where}: {problem}" if where else problem
    if isinstance(expected, list | tuple | dict):
        keys = expected if isinstance(expected, dict) else range(len(expected))
        places = {key: f"{where}[{key!r}]" for key in keys}
        if isinstance(expected, list | tuple):
            places |= dict(enumerate(names[: len(expected)]))
        problems = (
            _difference(got[key], expected[key], rtol, atol, place) for key, place in places.items()
        )
        return next((problem for problem in problems if problem), None)
    if type(expected) is int and type(got) is int:  # of any length, so not as arrays
        far = abs(got - expected) > atol + rtol * abs(expected)
        problem = f"expected {expected}, got {got}" if far else None
    elif _is_number(expected) or isinstance(expected, np.ndarray):
        problem = _number_difference(np.asarray(got), np.asarray(expected), rtol, atol)
    elif got != expected:
        problem = f"{describe.summary(expected)} was expected"
    return f"{where}: {problem}" if where and problem else problem


def _number_difference(
    got: np.ndarray, expected: np.ndarray, rtol: float, atol: float
) -> str | None:
    got_kind, expected_kind = got.dtype.kind, expected.dtype.kind
    if (got_kind == "b") != (expected_kind == "b") or (got_kind == "c" and expected_kind != "c"):
        mend = "; take .real" if got_kind == "c" and expected_kind != "b" else ""
        if expected_kind == "b" and got_kind in "iu" and np.isin(got, (0, 1)).all():
            mend = "; np.array(..., bool) makes them so"
        return f"numbers of kind {expected.dtype.name} were expected, got {got.dtype.name}{mend}"
    unexpected_nan = np.isnan(got) & ~np.isnan(expected)
    if unexpected_nan.any():
        index = np.argwhere(unexpected_nan)[0].tolist()
        total = int(unexpected_nan.sum())
        return "it is NaN" if not index else f"NaN at {index} ({total} of {got.size} values)"
    if rtol == atol == 0:  # isclose would round large integers
        wrong = (got != expected) & ~(np.isnan(got) & np.isnan(expected))
    else:
        wrong = ~np.isclose(got, expected, rtol=rtol, atol=atol, equal_nan=True)
    if not wrong.any():
        return None
    if expected_kind == "b":
        first = tuple(np.argwhere(wrong)[0].tolist())
        told = f"expected {expected[first]}, got {got[first]}"
        share = f"; {wrong.sum()} of {got.size} values differ"
        return f"at {list(first)}: {told}{share}" if first else told
    # Integers could wrap around in a subtraction; float64 cannot.
    wide = np.complex128 if expected_kind == "c" else np.float64
    with np.errstate(invalid="ignore", over="ignore"):
        size = np.abs(got.astype(wide) - expected.astype(wide))
    size = np.where(wrong, np.nan_to_num(size, nan=np.inf, posinf=np.inf), -1.0)
    worst = np.unravel_index(int(np.argmax(size)), size.shape)
    place = f" at {[int(i) for i in worst]}" if worst else ""
    share = f"; {int(wrong.sum())} of {got.size} values differ" if worst else ""
    return (
        f"largest difference {size[worst]:.4g}{place}: "
        f"expected {expected[worst]:.7g}, got {got[worst]:.7g}{share}"
    )
