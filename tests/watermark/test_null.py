"""What innocent models show, and the p-values that follow."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from helpers.errors import WatermarkError
from helpers.watermark.null import CONFIDENCE, measure
from helpers.watermark.scheme import Reading

COUNTS = st.lists(st.integers(0, 40), min_size=8, max_size=30)


@given(COUNTS, st.integers(0, 40))
def test_a_keyed_p_value_is_a_binomial_tail_at_the_measured_rate(
    counts: list[int], found: int
) -> None:
    null = measure(0.3, [Reading(count, 40) for count in counts])
    # SciPy's own interval is two-sided: its upper end at 1 - 2 t is the one-sided one at 1 - t
    pooled = stats.binomtest(sum(counts), 40 * len(counts))
    upper = pooled.proportion_ci(1 - 2 * (1 - CONFIDENCE), "exact").high
    assert null.rate == pytest.approx(max(0.3, upper, max(counts) / 40))
    assert null.rate is not None
    assert null.rate >= 0.3
    expected = stats.binomtest(found, 40, null.rate, alternative="greater").pvalue
    assert null.p_value(Reading(found, 40)) == pytest.approx(expected)


@given(COUNTS, st.integers(0, 40))
def test_a_ranked_p_value_is_never_below_one_in_so_many(counts: list[int], found: int) -> None:
    null = measure(None, [Reading(count, 40) for count in counts])
    at_least = sum(count >= found for count in counts)
    assert null.p_value(Reading(found, 40)) == (1 + at_least) / (1 + len(counts))


def test_ranks_of_an_innocent_are_as_rare_as_they_say() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.binomial(100, rng.beta(5, 3, size=(4_000, 20)))
    p = np.array(
        [measure(None, [Reading(k, 100) for k in row[1:]]).p_value(Reading(row[0], 100))
         for row in drawn]
    )  # fmt: skip
    for level in (0.05, 0.1, 0.25, 0.5):
        assert np.mean(p <= level) <= level + 3 * np.sqrt(level / 4_000)


@pytest.mark.parametrize("alpha", [1e-2, 1e-9])
def test_what_is_needed_is_the_fewest_that_reach_the_level(alpha: float) -> None:
    null = measure(0.5, [Reading(130, 256)] * 8)
    needed = null.needed(256, alpha)
    assert needed is not None
    assert null.p_value(Reading(needed, 256)) <= alpha < null.p_value(Reading(needed - 1, 256))


def test_a_mark_of_a_few_parts_cannot_reach_one_in_a_thousand_million() -> None:
    assert measure(0.5, [Reading(16, 32)] * 8).needed(32, 1e-9) is None
    assert measure(0.5, [Reading(130, 256)] * 8).needed(256, 1e-9) is not None


def test_an_innocent_that_shows_everything_leaves_no_evidence() -> None:
    null = measure(0.1, [Reading(10, 10), *[Reading(0, 10)] * 9])
    assert null.p_value(Reading(10, 10)) == 1


def test_a_null_takes_eight_models_and_a_reading_takes_bits() -> None:
    with pytest.raises(WatermarkError, match="7 independent models"):
        measure(0.5, [Reading(1, 2)] * 7)
    for found, looked_for in ((3, 2), (-1, 2), (0, 0)):
        with pytest.raises(WatermarkError, match="not a reading"):
            Reading(found, looked_for)
