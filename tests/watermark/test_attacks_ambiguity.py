"""Keys that fit a model somebody else marked: what a search finds, and what freedom gives away."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.errors import WatermarkError
from helpers.watermark.ambiguity import (
    brute_force_key,
    expected_best,
    forge_projection,
    tries_for,
)
from helpers.watermark.key import Key
from helpers.watermark.suspect import Suspect
from helpers.watermark.uchida import WeightMessage

BITS = 64


def model(seed: int) -> Suspect:
    kernel = np.random.default_rng(seed).standard_normal((1, 1, 24, 24)).astype(np.float32)
    return Suspect(lambda x: x, [kernel], [np.zeros(24, np.float32)])


def test_a_search_gets_as_far_as_luck_and_no_further() -> None:
    scheme, tries = WeightMessage(layer=0, bits=BITS), 200
    found = [brute_force_key(partial(scheme.evidence, model(s)), tries, s) for s in range(8)]
    best = np.array([forgery.evidence for forgery in found])
    assert best.mean() == pytest.approx(expected_best(BITS, tries), abs=0.02)
    assert best.max() < 0.85
    for s, forgery in enumerate(found):
        assert scheme.evidence(model(s), forgery.key) == forgery.evidence == forgery.trail[-1]
        assert (np.diff(forgery.trail) >= 0).all()


def test_the_expected_best_agrees_with_drawing_it() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.binomial(BITS, 0.5, (4000, 100)).max(axis=1) / BITS
    assert expected_best(BITS, 100) == pytest.approx(drawn.mean(), abs=3e-3)
    rising = expected_best(BITS, [1, 10, 10**6, 10**12])
    assert rising[0] == pytest.approx(0.5)
    assert (np.diff(rising) > 0).all()


def test_the_number_of_tries_is_one_over_the_chance() -> None:
    assert tries_for(10, 10) == pytest.approx(2**10)
    assert tries_for(10, 0) == pytest.approx(1)
    assert tries_for(256, 256) == pytest.approx(2.0**256)
    with pytest.raises(WatermarkError, match="matches=11"):
        tries_for(10, 11)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), bits=st.integers(1, 200))
def test_projections_that_may_be_chosen_read_any_message_from_any_weights(
    seed: int, bits: int
) -> None:
    rng = np.random.default_rng(seed)
    weights, message = rng.standard_normal(300), rng.integers(0, 2, bits).astype(bool)
    rows = forge_projection(weights, message, seed)
    assert np.array_equal(rows @ weights > 0, message)


def test_a_forged_projection_looks_like_an_honest_one() -> None:
    from scipy import stats

    weights = np.random.default_rng(1).standard_normal(2000)
    message = np.random.default_rng(2).integers(0, 2, 64).astype(bool)
    rows = forge_projection(weights, message)
    assert stats.kstest(rows.ravel(), "norm").pvalue > 1e-3


def test_a_search_of_nothing_is_refused() -> None:
    with pytest.raises(WatermarkError, match="tries=0"):
        brute_force_key(lambda key: 0.0, 0)
    forgery = brute_force_key(lambda key: float(isinstance(key, Key)), 1)
    assert forgery.evidence == 1
