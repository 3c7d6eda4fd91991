"""Attacks on the updates: what is sent is what each paper says."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from helpers.errors import TaskError
from helpers.federated import robust
from helpers.federated.byzantine import (
    Adversary,
    ALittleIsEnough,
    AttackView,
    FreeRider,
    InnerProductManipulation,
    Mimic,
    MinMax,
    MinSum,
    ModelReplacement,
    Optimised,
    SignFlip,
    alie_z,
    as_trained,
)
from helpers.federated.byzantine.strength import line_search


def make_view(
    seed: int = 0,
    honest: int = 13,
    byzantine: int = 4,
    d: int = 20,
    rule: Callable[[np.ndarray, int], np.ndarray] = robust.trimmed_mean,
) -> AttackView:
    rng = np.random.default_rng(seed)
    centre = rng.normal(size=d)
    updates = (centre + rng.normal(size=(honest + byzantine, d))).astype(np.float32)
    good = updates[byzantine:]
    return AttackView(
        honest=good,
        honest_clients=np.arange(byzantine, byzantine + honest),
        own=updates[:byzantine],
        previous=rng.normal(size=d).astype(np.float32),
        round_number=1,
        response=lambda sent: rule(np.concatenate([sent, good]), byzantine),
        rng=np.random.default_rng(seed),
    )


views = st.builds(make_view, st.integers(0, 999), st.integers(2, 12), st.integers(1, 4))


@given(views)
def test_simple_attacks_send_what_they_say(view: AttackView) -> None:
    mean = view.honest.mean(axis=0)
    b = view.num_byzantine
    np.testing.assert_array_equal(SignFlip(10.0)(view), -10 * view.own)
    np.testing.assert_array_equal(as_trained(view), view.own)
    boosted = ModelReplacement()(view)
    np.testing.assert_allclose(boosted, view.own * view.num_clients / b, rtol=1e-6)
    ipm = InnerProductManipulation(0.5)(view)
    np.testing.assert_allclose(ipm, np.tile(-0.5 * mean, (b, 1)), rtol=1e-4, atol=1e-6)
    alie = ALittleIsEnough(1.5)(view)
    spread = view.honest.std(axis=0, ddof=1)
    np.testing.assert_allclose(alie, np.tile(mean - 1.5 * spread, (b, 1)), atol=1e-5)


def test_a_boosted_update_replaces_the_average() -> None:
    """Bagdasaryan et al. 2020: with updates of honest clients near zero nothing else is left."""
    view = make_view()
    everyone = np.concatenate([ModelReplacement()(view), 0 * view.honest])
    np.testing.assert_allclose(everyone.mean(axis=0), view.own.mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize(("n", "f"), [(50, 24), (17, 4), (25, 5)])
def test_z_leaves_as_many_honest_clients_outside_as_needed(n: int, f: int) -> None:
    outside = (n - f) * (1 - norm.cdf(alie_z(n, f)))
    assert outside + f == pytest.approx(n // 2 + 1)


def test_z_of_the_papers_example() -> None:
    """Baruch et al. 2019, section 3.1: n=50, 24 corrupted, s=2, z_max=1.43 (24 / 26 = 92.3 %)."""
    assert alie_z(50, 24) == pytest.approx(1.43, abs=0.005)


def largest_by_halving(allowed: Callable[[float], bool]) -> float:
    """Shejwalkar and Houmansadr 2021, Algorithm 1, to full precision."""
    gamma, step, best = 10.0, 5.0, 0.0
    for _ in range(200):
        if allowed(gamma):
            best, gamma = gamma, gamma + step
        else:
            gamma -= step
        step /= 2 if step > 1e-12 else 1
    return best


@settings(max_examples=25)
@given(view=views, direction=st.sampled_from(["deviation", "unit", "sign"]))
def test_min_max_and_min_sum_are_as_strong_as_the_search_finds(
    view: AttackView, direction: Any
) -> None:
    x = view.honest.astype(np.float64)
    mean = x.mean(axis=0)
    step = {
        "deviation": -x.std(axis=0, ddof=1),
        "unit": -mean / np.linalg.norm(mean),
        "sign": -np.sign(mean),
    }[direction]
    pairs = ((x[:, None] - x[None]) ** 2).sum(axis=2)

    def from_all(gamma: float) -> np.ndarray:
        return ((mean + gamma * step - x) ** 2).sum(axis=1)

    by_max = largest_by_halving(lambda g: from_all(g).max() <= pairs.max())
    by_sum = largest_by_halving(lambda g: from_all(g).sum() <= pairs.sum(axis=1).max())
    sent_with = [(MinMax(direction)(view), by_max), (MinSum(direction)(view), by_sum)]
    for sent, gamma in sent_with:
        np.testing.assert_allclose(sent, np.tile(mean + gamma * step, (len(sent), 1)), atol=2e-4)


def test_mimic_copies_the_client_asked_for_or_the_most_extreme() -> None:
    view = make_view()
    view.honest[5] += 50
    np.testing.assert_array_equal(Mimic(client=6)(view), np.tile(view.honest[2], (4, 1)))
    for attack in (Mimic(), Mimic(client=0)):  # client 0 is Byzantine: nothing to copy
        np.testing.assert_array_equal(attack(view), np.tile(view.honest[5], (4, 1)))


def test_a_free_rider_sends_what_needs_no_training() -> None:
    view = make_view()
    assert not FreeRider("none")(view).any()
    np.testing.assert_array_equal(FreeRider("previous")(view), np.tile(view.previous, (4, 1)))
    noise = FreeRider("noise")(view)
    np.testing.assert_allclose(
        np.linalg.norm(noise, axis=1), np.linalg.norm(view.previous), rtol=1e-5
    )
    assert len(np.unique(noise[:, 0])) == 4


@pytest.mark.parametrize("attack", [MinMax(), MinSum(), ALittleIsEnough(1.0), Mimic(), SignFlip()])
def test_one_honest_client_is_enough_to_attack(attack: Callable) -> None:
    view = make_view(honest=1, byzantine=2)
    sent = attack(view)
    assert sent.shape == view.own.shape
    assert np.isfinite(sent).all()


# --- strength


@pytest.mark.parametrize(
    "rule",
    [robust.krum, robust.multi_krum, robust.trimmed_mean, robust.geometric_median, robust.meamed],
)
@pytest.mark.parametrize("base", [ALittleIsEnough(), InnerProductManipulation(1.0), SignFlip()])
@pytest.mark.parametrize("objective", ["distance", "descent"])
def test_an_optimised_attack_does_at_least_the_harm_of_fixed_factors(
    rule: Callable, base: Any, objective: Any
) -> None:
    view = make_view(3, rule=rule)
    mean = view.honest.mean(axis=0)

    def harm(attack: Callable) -> float:
        result = view.response(attack(view))
        return float(np.linalg.norm(result - mean)) if objective == "distance" else -result @ mean

    best = harm(Optimised(base, objective, evaluations=24))
    assert best >= harm(base)
    if rule is robust.krum:  # all or nothing: an update is picked only in a narrow band of factors
        return
    for factor in (0.1, 0.5, 1.0, 2.0, 5.0, 20.0):
        fixed = harm(dataclasses.replace(base, **{base.strength: factor}))
        # The search tries other factors than these, so one may win by a little at a jump.
        assert best >= fixed - 0.05 * abs(fixed)


def test_a_fixed_z_is_weak_beside_the_optimised_one() -> None:
    view = make_view(1, rule=robust.multi_krum)
    mean = view.honest.mean(axis=0)
    fixed, best = (
        np.linalg.norm(view.response(attack(view)) - mean)
        for attack in (ALittleIsEnough(), Optimised(ALittleIsEnough()))
    )
    assert best > 1.5 * fixed


@given(peak=st.floats(-3, 3), evaluations=st.integers(8, 40))
def test_the_line_search_closes_in_on_a_single_peak(peak: float, evaluations: int) -> None:
    calls = []

    def function(x: float) -> float:
        calls.append(x)
        return -abs(x - peak)

    found = line_search(function, -3, 3, evaluations)
    assert len(calls) == evaluations
    spacing = 6 / (evaluations - evaluations // 3 - 1)
    assert abs(found - peak) <= 2 * spacing * 0.62 ** (evaluations // 3 - 1) + 1e-9
    assert function(found) == max(function(x) for x in list(calls))


def test_the_line_search_finds_the_higher_of_two_separate_peaks() -> None:
    found = line_search(lambda x: 1.0 * (0 < x < 1) + 2.0 * (4 < x < 6), 0, 10, 22)
    assert 4 < found < 6


# --- refusals


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: SignFlip(-1), "scale=-1"),
        (lambda: InnerProductManipulation(0), "epsilon=0"),
        (lambda: ALittleIsEnough(-2.0), "z=-2.0"),
        (lambda: alie_z(10, 5), "num_byzantine=5 of 10"),
        (lambda: MinMax("up"), "direction='up'"),  # type: ignore[arg-type]
        (lambda: MinSum("up"), "direction='up'"),  # type: ignore[arg-type]
        (lambda: FreeRider("hat"), "disguise='hat'"),  # type: ignore[arg-type]
        (lambda: ModelReplacement(0), "boost=0"),
        (lambda: Optimised(MinMax()), "MinMax.* no factor"),
        (lambda: Optimised(SignFlip(), "accuracy"), "objective='accuracy'"),  # type: ignore[arg-type]
        (lambda: Optimised(SignFlip(), evaluations=5), "evaluations=5"),
        (lambda: Optimised(SignFlip(), low=2.0, high=1.0), "low=2.0 must be below high=1.0"),
        (lambda: Adversary([], SignFlip()), "at least one"),
        (lambda: Adversary([1, 1], SignFlip()), "distinct"),
        (lambda: Adversary([-1], SignFlip()), "from 0"),
        (lambda: Adversary([0.5], SignFlip()), "0.5"),  # type: ignore[list-item]
        (lambda: Adversary([1], "flip"), "attack='flip'"),  # type: ignore[arg-type]
    ],
)
def test_settings_that_make_no_sense_are_named(make: Callable, named: str) -> None:
    with pytest.raises(TaskError, match=named):
        make()
