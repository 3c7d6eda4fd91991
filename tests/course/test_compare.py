from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from helpers.course.compare import (
    all_of,
    close,
    equal,
    kind_problem,
    row_of,
    satisfies,
)

floats = st.floats(-1e6, 1e6)
float_arrays = hnp.arrays(np.float64, hnp.array_shapes(max_side=4), elements=floats)


@given(float_arrays, st.floats(0, 1e-3), st.floats(0, 1e-3), st.floats(-0.01, 0.01))
def test_close_agrees_with_numpy_allclose(
    expected: np.ndarray, rtol: float, atol: float, shift: float
) -> None:
    got = expected + shift
    accepted = close(rtol, atol)(got, expected, ()) is None
    assert accepted == np.allclose(got, expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize(
    ("got", "expected", "part"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2)), r"\(3, 2\)"),
        ([1.0, 2.0], np.zeros(2), "an array float64"),
        (np.array([1.0, np.nan]), np.zeros(2), r"NaN at \[1\]"),
        (float("nan"), 1.0, "it is NaN"),
        (np.array([1.0, np.inf]), np.zeros(2), r"difference inf at \[1\]"),
        ("1.0", 1.0, "a string"),
        (None, 1.0, "None"),
        (True, 1.0, "a boolean"),
        (np.array([True]), np.array([1.0]), "bool"),
        (1j, 1.0, "complex"),
        (
            np.array([True, False]),
            np.array([True, True]),
            r"^at \[1\]: expected True, got False; 1 of 2 values differ$",
        ),
        (np.array(False), np.array(True), "^expected True, got False$"),
        (np.array([0, 1], dtype=np.uint8), np.array([0, 255], dtype=np.uint8), "difference 254"),
        ([1, [2, 3]], [1, [2, 4]], r"\[1\]\[1\]: expected 4, got 3"),
        ({"a": 1}, {"b": 1}, "keys"),
        ({"a": np.zeros(2)}, {"a": np.ones(2)}, r"\['a'\].*2 of 2 values differ"),
        ([1, 2, 3], [1, 2], "a list of 2"),
        ("b", "a", "'a' was expected"),
        (np.array([1.0, 5.0]), np.array([1.0, 2.0]), r"3 at \[1\]: expected 2, got 5"),
    ],
)
def test_close_says_where_and_how_far_off(got: Any, expected: Any, part: str) -> None:
    explanation = close()(got, expected, ())
    assert explanation is not None
    assert re.search(part, explanation)


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (1, 1.0),
        (np.array(1.0), 1.0),
        (1.0, np.array(1.0)),
        ((1, 2), [1, 2]),
        (np.zeros(2, np.float32), np.zeros(2)),
        (np.zeros(2), np.zeros(2, np.int64)),
        (np.zeros((0, 3)), np.zeros((0, 3))),
        (float("nan"), float("nan")),
        (float("inf"), float("inf")),
        (None, None),
    ],
)
def test_close_accepts_equal_values_of_kindred_types(got: Any, expected: Any) -> None:
    assert close()(got, expected, ()) is None


def test_equal_accepts_no_difference_at_all() -> None:
    assert equal()(0.1 + 0.2, 0.3, ()) is not None
    assert equal()(["a", 3], ["a", 3], ()) is None
    assert equal()(np.array([2**60 + 1]), np.array([2**60]), ()) is not None
    assert equal()(2**80 + 1, 2**80, ()) is not None
    assert equal()(2**80, 2**80, ()) is None
    assert equal()(np.array([np.nan, 1.0]), np.array([np.nan, 1.0]), ()) is None


@pytest.mark.parametrize("form", [list, tuple, np.array])
@pytest.mark.parametrize("asked", [list, tuple, np.array])
def test_a_row_may_come_in_any_form(
    form: Callable[[list[Any]], Any], asked: Callable[[list[Any]], Any]
) -> None:
    compare = row_of(equal())
    assert compare(form([3, 1, 2]), asked([3, 1, 2]), ()) is None
    assert compare(form([True, False]), asked([True, False]), ()) is None
    others: list[tuple[list[Any], list[Any]]] = [
        ([3, 1], [3, 1, 2]), ([3, 2], [3, 1]), ([1, 0], [True, False])
    ]  # fmt: skip
    for got, expected in others:
        assert compare(form(got), asked(expected), ()) is not None


def test_a_row_is_measured_in_the_form_that_was_expected() -> None:
    compare = row_of(close(parts=("low", "high")))
    assert str(compare(np.array([1.0, 2.5]), (1.0, 2.0), ())).startswith("high: ")
    assert "list of 3" in str(compare(np.array([1.0, 2.0]), [1.0, 2.0, 3.0], ()))
    assert "differ" in str(compare([1.0, 2.5], np.array([1.0, 2.0]), ()))
    assert compare(np.array(1.0), 1.0, ()) is None
    assert compare([np.array(1.0), np.float32(2)], np.array([1.0, 2.0]), ()) is None
    for no_row, told in (
        ([[1.0], 2.0], "[0] is [1]"),
        ([[1.0], [2.0, 3.0]], "[0] is [1]"),
        ([1.0, "two"], "[1] is 'two'"),
        ((None, 2.0), "[0] is None"),
    ):
        found = str(compare(no_row, np.array([1.0, 2.0]), ()))
        assert found.startswith("a row of values was expected, got a ")
        assert found.endswith(told)
    assert "np.array(...)" in str(compare([[1.0, 2.0]], np.array([[1.0, 2.0]]), ()))


def test_a_property_sees_arguments_and_result() -> None:
    doubled = satisfies(lambda args, got: None if got == 2 * args[0] else "not the double")
    assert doubled(6, None, (3,)) is None
    assert doubled(7, None, (3,)) == "not the double"


def test_all_of_gives_the_first_objection() -> None:
    first = satisfies(lambda args, got: "first")
    second = satisfies(lambda args, got: "second")
    assert all_of(close(), first, second)(1, 1, ()) == "first"
    assert all_of(close())(1, 1, ()) is None


def test_a_problem_of_kind_never_tells_the_value() -> None:
    assert kind_problem(3.0, 407120.0) is None
    for got in ("x", None, np.zeros(3), [1]):
        explanation = kind_problem(got, 407120.0)
        assert explanation is not None
        assert "407120" not in explanation


def test_a_list_where_an_array_is_due_is_told_how_to_become_one() -> None:
    told = close()([1.0, 2.0], np.array([1.0, 2.0]), ())
    assert told is not None
    assert "got a list of 2; np.array(...) makes an array of it" in told
    assert "np.array(" not in str(close()(np.array([1.0]), [1.0], ()))


def test_numbers_of_another_kind_are_told_how_to_become_what_is_due() -> None:
    told = str(close()(np.array([1, 0]), np.array([True, False]), ()))
    assert "kind bool were expected, got int64; np.array(..., bool) makes them so" in told
    assert "take .real" in str(close()(np.array([1 + 0j]), np.array([1.0]), ()))
    assert "makes them so" not in str(close()(np.array([0.5]), np.array([True]), ()))


def test_the_parts_of_a_result_are_called_by_their_names() -> None:
    compare = close(parts=("kernel", "bias"))
    assert compare((np.zeros(2), 1.0), (np.zeros(2), 1.0), ()) is None
    assert compare((np.zeros(2), 1.0), (np.zeros(2), 2.0), ()) == (
        "bias: largest difference 1: expected 2, got 1"
    )
    assert str(compare([np.zeros(2), 1.0], [np.zeros(3), 1.0], ())).startswith("kernel: an array")
    assert str(compare([0, 0, 1], [0, 0, 2], ())).startswith("[2]: ")
