"""Dominance, budgets, and how sure a front is."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from helpers.errors import RobustnessError
from helpers.robustness.frontier import (
    Design,
    Measure,
    front_membership,
    pareto_front,
    value_table,
    within_budget,
)

ACCURACY = Measure("accuracy", "accuracy", True)
SIZE = Measure("size", "size (kB)", False)
TABLES = hnp.arrays(
    np.float64, st.tuples(st.integers(1, 12), st.just(3)), elements=st.integers(0, 4).map(float)
)


def designs(*pairs: tuple[float, float]) -> list[Design]:
    return [
        Design(f"d{i}", {}, {"accuracy": accuracy, "size": size})
        for i, (accuracy, size) in enumerate(pairs)
    ]


def dominated(row: np.ndarray, others: np.ndarray) -> bool:
    """By the definition, one pair at a time: first measure up, the others down."""
    signs = np.array([1, -1, -1])
    return any(
        all(s * o >= s * r for s, o, r in zip(signs, other, row, strict=True))
        and any(s * o > s * r for s, o, r in zip(signs, other, row, strict=True))
        for other in others
    )


@given(TABLES)
def test_a_row_is_on_the_front_if_no_other_dominates_it(table: np.ndarray) -> None:
    front = pareto_front(table, [True, False, False])
    assert front.tolist() == [not dominated(row, table) for row in table]
    assert front.any()


@given(TABLES)
def test_a_front_does_not_depend_on_order_or_on_units(table: np.ndarray) -> None:
    order = np.random.default_rng(0).permutation(len(table))
    directions = [True, False, False]
    front = pareto_front(table, directions)
    np.testing.assert_array_equal(pareto_front(table[order], directions), front[order])
    np.testing.assert_array_equal(pareto_front(7 * table - 3, directions), front)
    np.testing.assert_array_equal(pareto_front(-table, [False, True, True]), front)


def test_a_budget_keeps_what_is_on_its_limit() -> None:
    three = designs((0.9, 100), (0.8, 50), (0.7, 20))
    measures = [ACCURACY, SIZE]
    kept = within_budget(three, measures, {"size": 50, "accuracy": 0.8})
    assert [design.name for design in kept] == ["d1"]
    assert within_budget(three, measures, {}) == three
    assert within_budget(three, measures, {"size": 1}) == []


def test_a_design_that_is_better_everywhere_is_always_on_the_front_and_the_other_never() -> None:
    rng = np.random.default_rng(0)
    weak = rng.random(400) < 0.5
    correct = np.stack([weak | (rng.random(400) < 0.9), weak])
    share = front_membership({"clean": correct, "robust": correct}, [[10.0], [20.0]], draws=200)
    assert share.tolist() == [1, 0]


def test_a_cheaper_design_stays_however_it_scores_and_a_close_race_is_undecided() -> None:
    rng = np.random.default_rng(1)
    right = rng.random((3, 300)) < np.array([[0.5], [0.8], [0.8]])
    share = front_membership({"clean": right}, [[1.0], [9.0], [9.0]], draws=400)
    assert share[0] == 1
    assert 0.02 < share[1] < 0.98
    assert share[1] + share[2] >= 1  # one of two of the same cost is always there
    again = front_membership({"clean": right}, [[1.0], [9.0], [9.0]], draws=400)
    np.testing.assert_array_equal(share, again)


def test_what_does_not_fit_is_named() -> None:
    two = designs((0.9, 100), (0.8, math.nan))
    with pytest.raises(RobustnessError, match="'d1' has nan for 'size'"):
        value_table(two, [ACCURACY, SIZE])
    with pytest.raises(RobustnessError, match="called 'd0'"):
        value_table([*designs((1, 1)), *designs((1, 1))], [ACCURACY])
    with pytest.raises(RobustnessError, match="0 designs"):
        value_table([], [ACCURACY])
    with pytest.raises(RobustnessError, match="no measure 'watts'"):
        within_budget(designs((1, 1)), [ACCURACY], {"watts": 3})
    with pytest.raises(RobustnessError, match="2 directions"):
        pareto_front(np.ones((2, 3)), [True, False])
    with pytest.raises(RobustnessError, match=r"costs of shape \(3, 1\)"):
        front_membership({"clean": np.ones((2, 5))}, np.ones((3, 1)))
