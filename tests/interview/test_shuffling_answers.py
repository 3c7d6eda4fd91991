"""What the bank says of the shuffle model agrees with an enumeration of everything said."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.course.interview_answers import calculate
from helpers.course.interview_answers.shuffling import shuffled_epsilon
from helpers.errors import InterviewError


def law_of_shuffled(local: float, meant: list[bool]) -> dict[tuple[bool, ...], float]:
    """Probability of every sorted list of randomised responses."""
    lie = 1 / (1 + math.exp(local))
    law: dict[tuple[bool, ...], float] = defaultdict(float)
    for said in itertools.product([False, True], repeat=len(meant)):
        law[tuple(sorted(said))] += math.prod(
            1 - lie if says == means else lie for says, means in zip(said, meant, strict=True)
        )
    return law


@pytest.mark.parametrize(("local", "reports"), [(0.5, 2), (1.0, 6), (2.5, 9)])
def test_a_crowd_of_coins_is_as_enumerated(local: float, reports: int) -> None:
    delta = 1e-3
    epsilon = calculate(
        "shuffled_coin_epsilon", {"local": local, "reports": reports, "delta": delta}
    )
    no = law_of_shuffled(local, [False] * reports)
    yes = law_of_shuffled(local, [True] + [False] * (reports - 1))
    excess = max(
        sum(max(one[said] - math.exp(epsilon) * other[said], 0) for said in no)
        for one, other in ((no, yes), (yes, no))
    )
    assert 0 < epsilon < local
    assert excess == pytest.approx(delta, rel=1e-6)


@given(
    local=st.floats(0.1, 3.0), reports=st.integers(10_000, 50_000), delta=st.floats(1e-9, 1e-5)
)  # fmt: skip
def test_no_coin_gives_away_more_than_the_bound(local: float, reports: int, delta: float) -> None:
    asked = {"local": local, "reports": reports, "delta": delta}
    assert calculate("shuffled_coin_epsilon", asked) <= shuffled_epsilon(local, reports, delta)


@given(epsilon=st.floats(0.05, 2.0), reports=st.integers(100_000, 10_000_000))
def test_the_largest_local_epsilon_just_reaches_the_target(epsilon: float, reports: int) -> None:
    rest = {"reports": reports, "delta": 1e-7}
    local = calculate("largest_local_epsilon", {"epsilon": epsilon, **rest})
    reached = shuffled_epsilon(local, reports, 1e-7)
    assert reached <= epsilon * (1 + 1e-6)
    if reached < epsilon * (1 - 1e-6):  # the theorem ends here, and not the target
        with pytest.raises(InterviewError, match=rf"for {reports} reports"):
            shuffled_epsilon(local * 1.01, reports, 1e-7)
