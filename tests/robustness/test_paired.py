"""Paired comparisons and many at once, against statsmodels and against their own promises."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from helpers.errors import RobustnessError
from helpers.robustness.paired import compare_paired, holm

pairs = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


@given(pairs)
def test_the_test_is_mcnemars_exact_one(outcomes: list[tuple[bool, bool]]) -> None:
    before, after = np.array(outcomes, bool).T
    found = compare_paired(before, after)
    table = [[np.sum(a & b) for b in (after, ~after)] for a in (before, ~before)]
    assert found.p_value == pytest.approx(mcnemar(table, exact=True).pvalue)
    assert found.difference == pytest.approx(after.mean() - before.mean())
    assert found.interval[0] <= found.interval[1]


@given(pairs)
def test_what_one_gains_the_other_loses(outcomes: list[tuple[bool, bool]]) -> None:
    before, after = np.array(outcomes, bool).T
    there, back = compare_paired(before, after), compare_paired(after, before)
    assert (there.gained, there.lost, there.p_value) == (back.lost, back.gained, back.p_value)
    np.testing.assert_allclose(there.interval, (-back.interval[1], -back.interval[0]), atol=1e-12)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(600):
        draws = rng.choice(4, 100, p=[0.6, 0.15, 0.05, 0.2])  # both, lost, gained, none
        found = compare_paired(draws <= 1, (draws == 0) | (draws == 2))
        held += found.interval[0] <= 0.05 - 0.15 <= found.interval[1]
    assert 0.93 <= held / 600 <= 0.98


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_statsmodels_holm(values: list[float]) -> None:
    with mock.patch("gc.collect"):  # which theirs calls each time, two seconds beside TensorFlow
        expected = multipletests(values, method="holm")[1]
    np.testing.assert_allclose(holm(values), expected, atol=1e-12)


def test_bad_input_is_named() -> None:
    with pytest.raises(RobustnessError, match="same ones"):
        compare_paired(np.ones(3, bool), np.ones(4, bool))
    with pytest.raises(RobustnessError, match="true and false"):
        compare_paired(np.ones(3), np.ones(3))
    with pytest.raises(RobustnessError, match="confidence=1"):
        compare_paired(np.ones(3, bool), np.ones(3, bool), 1.0)
    with pytest.raises(RobustnessError, match="from 0 to 1"):
        holm([0.5, 1.5])
