from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from helpers.errors import PrivacyError
from helpers.privacy.membership import threshold_attack

scores = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=30)


@settings(deadline=None)
@given(scores, scores)
def test_the_area_is_that_of_scikit_learn_ties_included(
    members: list[float], others: list[float]
) -> None:
    truth = [1] * len(members) + [0] * len(others)
    expected = roc_auc_score(truth, members + others)
    assert threshold_attack(members, others).auc == pytest.approx(expected)


def test_perfect_scores_are_found_out_at_any_false_positive_rate() -> None:
    attack = threshold_attack([2.0, 3.0], [0.0, 1.0])
    assert attack.auc == 1
    assert attack.tpr_at_fpr(0.001) == 1


def test_a_few_certain_members_show_at_low_false_positives_though_not_on_average() -> None:
    rng = np.random.default_rng(0)
    members, others = rng.normal(size=2000), rng.normal(size=2000)
    members[:100] = 50.0
    attack = threshold_attack(members, others)
    assert attack.auc < 0.56
    assert attack.tpr_at_fpr(0.001) >= 0.05


@pytest.mark.parametrize("bad", [[], [[1.0]], [float("nan")]])
def test_scores_that_are_no_list_of_numbers_are_refused(bad: list) -> None:
    with pytest.raises(PrivacyError, match="member_scores"):
        threshold_attack(bad, [0.0])
