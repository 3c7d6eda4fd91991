from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from helpers.errors import PrivacyError
from helpers.privacy.dp_sgd import poisson_batch, poisson_batches


def test_batch_sizes_follow_the_binomial_law() -> None:
    sizes = [len(batch) for batch in poisson_batches(40, 0.1, 4000, seed=0)]
    observed = np.bincount(np.minimum(sizes, 10), minlength=11)
    law = stats.binom(40, 0.1)
    expected = np.append(law.pmf(np.arange(10)), law.sf(9)) * 4000
    assert stats.chisquare(observed, expected).pvalue > 1e-3


def test_examples_are_drawn_independently_of_each_other() -> None:
    drawn = np.zeros((4000, 8))
    for row, batch in zip(drawn, poisson_batches(8, 0.3, 4000, seed=1), strict=True):
        row[batch] = 1
    correlations = np.corrcoef(drawn.T)[np.triu_indices(8, 1)]
    assert np.abs(correlations).max() < stats.norm.isf(1e-3 / 56) / np.sqrt(4000)
    assert drawn.mean() == pytest.approx(0.3, abs=0.01)


def test_a_batch_may_be_empty_and_at_rate_one_is_everybody() -> None:
    rng = np.random.default_rng(0)
    assert min(len(poisson_batch(3, 0.01, rng)) for _ in range(20)) == 0
    assert poisson_batch(5, 1.0, rng).tolist() == [0, 1, 2, 3, 4]


def test_the_seed_decides_and_none_does_not_repeat() -> None:
    def run(seed: int | None) -> list[list[int]]:
        return [batch.tolist() for batch in poisson_batches(50, 0.5, 3, seed)]

    assert run(4) == run(4) != run(5)
    assert run(None) != run(None)


@pytest.mark.parametrize(("count", "rate"), [(0, 0.1), (5, 0.0), (5, 1.1)])
def test_impossible_rates_and_counts_are_refused(count: int, rate: float) -> None:
    with pytest.raises(PrivacyError):
        poisson_batch(count, rate, np.random.default_rng(0))


def test_batches_that_are_skipped_leave_the_others_as_they_are() -> None:
    whole = [batch.tolist() for batch in poisson_batches(40, 0.3, 6, 2)]
    assert [batch.tolist() for batch in poisson_batches(40, 0.3, 6, 2, skip=4)] == whole[4:]
