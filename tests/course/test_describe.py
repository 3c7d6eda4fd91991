from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from helpers.course.describe import kind, summary


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.array([[0.5, 1.0]], np.float32), "float32 (1, 2) [[0.5, 1. ]]"),
        (np.zeros(0), "float64 (0,) []"),
        ([1, 2.5, "a"], "[1, 2.5, 'a']"),
        ((None, True), "(None, True)"),
        ({"a": [1]}, "{'a': [1]}"),
        (1 / 3, "0.3333333"),
        (list(range(9)), "[0, 1, 2, 3, 4, 5, ... 9 in all]"),
    ],
)
def test_a_summary_names_type_shape_and_first_values(value: Any, expected: str) -> None:
    assert summary(value) == expected


@pytest.mark.parametrize(
    "value",
    [np.random.default_rng(0).normal(size=(50, 50, 50)), "x" * 10_000, [list(range(99))] * 99_999],
    ids=["array", "text", "lists"],
)
def test_a_summary_is_short_and_quick_whatever_the_size(value: Any) -> None:
    started = time.process_time()
    assert len(summary(value)) <= 160
    assert time.process_time() - started < 0.5


def test_a_kind_tells_size_and_no_value() -> None:
    assert kind(np.zeros((2, 3))) == "an array float64 (2, 3)"
    values: tuple[Any, ...] = (None, True, 12345, "secret", [1], {})
    assert [kind(value) for value in values] == [
        "None", "a boolean", "a number", "a string", "a list of 1", "a dict of 0",
    ]  # fmt: skip


def test_of_many_arrays_only_the_first_two_are_spelt_out() -> None:
    assert summary([[np.ones(2), np.ones(1)], [np.ones(3), np.ones((2, 2))]]) == (
        "[[float64 (2,) [1., 1.], float64 (1,) [1.]], [float64 (3,), float64 (2, 2)]]"
    )
    updates = [[np.random.default_rng(0).normal(size=(4, 3)), np.zeros(3)]] * 5
    assert len(summary(updates)) <= 160
