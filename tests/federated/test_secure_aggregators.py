"""Masked sums inside a training run, groups under a robust rule, and what hiding costs."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.errors import TaskError
from helpers.federated import FederatedTask, RoundRecord, run
from helpers.federated.byzantine import SignFlip
from helpers.federated.grid import Scenario
from helpers.federated.robust import Aggregator, ReceivedRound, RobustAggregator, bucketing
from helpers.federated.secure import (
    RobustThenPrivate,
    SecureGroups,
    SecureMean,
    SecureSettings,
    clean_groups,
    conflict,
    group_means,
    influence_of_one,
    random_groups,
    secure_group_means,
    ways_out,
)

FINE = SecureSettings(clip=1.0, value_bits=24)


def received(updates: np.ndarray, weights: np.ndarray | None = None) -> ReceivedRound:
    n, d = updates.shape
    return ReceivedRound(
        updates,
        np.ones(n) if weights is None else weights,
        np.arange(n),
        1,
        np.zeros(d),
        None,
        lambda: np.random.default_rng(0),
    )


def drawn(n: int, d: int = 30, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (n, d))


# --- in training


@pytest.mark.parametrize("weighting", ["uniform", "examples"])
def test_training_on_masked_sums_is_fedavg_up_to_quantisation(
    make_task: Callable[..., FederatedTask], weighting: str
) -> None:
    plain = make_task(weighting=weighting)
    most = float(plain.sizes.max()) if weighting == "examples" else None
    secure = make_task(weighting=weighting, aggregator=SecureMean(FINE, max_examples=most))
    after_one: dict[bool, list[np.ndarray]] = {}
    accuracy: dict[bool, float] = {}
    for hidden, task in ((False, plain), (True, secure)):

        def keep(record: RoundRecord, weights: list[np.ndarray], hidden: bool = hidden) -> None:
            after_one.setdefault(hidden, weights)

        records = run(task, 8, evaluate_every=8, callbacks=[keep], progress=False).records
        accuracy[hidden] = records[-1].test_accuracy or 0.0
    shares = plain.sizes.sum() / plain.sizes.max() if most else len(plain.clients)
    bound = 2 * len(plain.clients) * FINE.error_bound / shares
    for a, b in zip(after_one[False], after_one[True], strict=True):
        np.testing.assert_allclose(a, b, atol=bound + 2e-7)
    assert accuracy[False] > 0.3  # it has learned something: guessing gives 0.1
    assert accuracy[False] == pytest.approx(accuracy[True], abs=0.02)


def test_a_masked_sum_repeats_although_keys_do_not() -> None:
    coarse = SecureMean(SecureSettings(value_bits=8))
    one, two = (coarse(received(drawn(6))) for _ in range(2))
    np.testing.assert_array_equal(one, two)


# --- as functions


def test_the_weighted_mean_is_the_weighted_mean() -> None:
    rows, weights = drawn(6), np.array([3.0, 50.0, 7.0, 20.0, 1.0, 44.0])
    mean = SecureMean(FINE, max_examples=60)(received(rows, weights))
    bound = 2 * 6 * FINE.error_bound / (weights.sum() / 60)
    np.testing.assert_allclose(mean, np.average(rows, axis=0, weights=weights), atol=bound)


def test_a_mean_refuses_weights_that_it_would_ignore_or_that_break_the_agreement() -> None:
    weights = np.array([3.0, 5.0, 5.0])
    with pytest.raises(TaskError, match="3 to 5 examples and max_examples is None"):
        SecureMean()(received(drawn(3), weights))
    with pytest.raises(TaskError, match=r"5 examples, above max_examples=4"):
        SecureMean(max_examples=4)(received(drawn(3), weights))
    with pytest.raises(TaskError, match="max_examples=0"):
        SecureMean(max_examples=0)


def test_a_client_of_nan_drops_out_of_the_mean() -> None:
    rows = drawn(6)
    rows[4, 3] = np.nan
    expected = np.delete(rows, 4, 0).mean(axis=0)
    np.testing.assert_allclose(SecureMean(FINE)(received(rows)), expected, atol=1e-6)


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 20), st.integers(2, 7), st.integers(0, 99))
def test_groups_are_a_partition_into_groups_that_are_large_enough(
    n: int, size: int, seed: int
) -> None:
    if size > n:
        with pytest.raises(TaskError, match=f"group_size={size} is more than the {n}"):
            random_groups(n, size, np.random.default_rng(seed))
        return
    groups = random_groups(n, size, np.random.default_rng(seed))
    assert sorted(np.concatenate(groups).tolist()) == list(range(n))
    assert min(map(len, groups)) >= size
    assert len(groups) == n // size
    rows = drawn(n, 5, seed)
    clear = group_means(rows, size, np.random.default_rng(seed))
    hidden = secure_group_means(rows, size, FINE, np.random.default_rng(seed))
    assert np.abs(clear - hidden).max() <= FINE.error_bound * (1 + 1e-6)
    for group, row in zip(groups, clear, strict=True):
        np.testing.assert_allclose(row, rows[group].mean(axis=0))


def test_group_means_are_bucketing_where_groups_come_out_even() -> None:
    rows = drawn(12)
    ours = group_means(rows, 3, np.random.default_rng(7))
    theirs = bucketing(rows, 0, 3, np.random.default_rng(7))
    np.testing.assert_allclose(ours, theirs)


def test_a_group_that_is_lost_is_left_out() -> None:
    rows = drawn(6)
    rows[1] = np.nan
    means = secure_group_means(rows, 2, FINE, np.random.default_rng(0))
    assert means.shape == (2, 30)
    rows[:] = np.nan
    with pytest.raises(TaskError, match="Every group was lost"):
        secure_group_means(rows, 2, FINE, np.random.default_rng(0))


def test_a_robust_rule_over_groups_bounds_one_client_and_the_mean_does_not() -> None:
    rows = drawn(12)
    honest = rows[1:].mean(axis=0)
    rows[0] = 1.0
    moved = {}
    grouped = SecureGroups(RobustAggregator("coordinate_median", 1), 3, FINE)
    aggregators: dict[str, Aggregator] = {"mean": SecureMean(FINE), "groups": grouped}
    for name, aggregate in aggregators.items():
        far = rows.copy()
        far[0] = 1e6
        np.testing.assert_array_equal(aggregate(received(far)), aggregate(received(rows)))
        moved[name] = np.abs(aggregate(received(rows)) - honest).max()
    assert moved["groups"] <= 0.5  # within the honest values


def test_too_few_groups_for_the_rule_are_named() -> None:
    grouped = SecureGroups(RobustAggregator("trimmed_mean", 2), 3, FINE)
    with pytest.raises(TaskError, match="num_byzantine=2 of 4 updates"):
        grouped(received(drawn(12)))
    with pytest.raises(TaskError, match="group_size=1"):
        SecureGroups(RobustAggregator("trimmed_mean", 2), 1)
    assert SecureGroups(RobustAggregator("fltrust", 0), 2).needs_server_update
    assert not grouped.needs_server_update


@pytest.mark.parametrize(("n", "f", "size"), [(12, 2, 3), (12, 4, 2), (20, 3, 5), (9, 0, 3)])
def test_clean_groups_are_counted_as_the_draw_makes_them(n: int, f: int, size: int) -> None:
    rng = np.random.default_rng(8)
    counts = [
        sum(bool((group >= f).all()) for group in random_groups(n, size, rng)) for _ in range(3000)
    ]
    noise = 5 * np.std(counts) / np.sqrt(len(counts)) + 1e-9
    assert abs(np.mean(counts) - clean_groups(n, f, size)) <= noise


# --- robust, then private


@settings(deadline=None, max_examples=60)
@given(st.integers(3, 12), st.integers(0, 3), st.integers(1, 6), st.integers(0, 10**6))
def test_no_client_moves_the_trimmed_mean_by_more_than_the_sensitivity(
    n: int, f: int, d: int, seed: int
) -> None:
    if n <= 2 * f:
        return
    rng = np.random.default_rng(seed)
    quiet = RobustThenPrivate(f, clip=1.0, noise_multiplier=1e-12)
    rows = rng.choice([-1.0, 1.0, rng.uniform(-1, 1)], (n, d))
    other = rows.copy()
    other[rng.integers(n)] = rng.choice([-9.0, 9.0], d)
    moved = np.linalg.norm(quiet(received(rows)) - quiet(received(other)))
    assert moved <= quiet.sensitivity(n, d) * (1 + 1e-9)


def test_the_sensitivity_is_reached() -> None:
    quiet = RobustThenPrivate(1, clip=0.5, noise_multiplier=1e-12)
    rows = np.repeat([[-0.5], [-0.5], [-0.5], [0.5], [0.5]], 4, axis=1)
    other = rows.copy()
    other[0] = 0.5
    moved = np.linalg.norm(quiet(received(rows)) - quiet(received(other)))
    assert moved == pytest.approx(quiet.sensitivity(5, 4))


def test_the_noise_has_the_scale_of_the_sensitivity() -> None:
    private = RobustThenPrivate(1, clip=0.1, noise_multiplier=2.0)
    noise = private(received(np.zeros((7, 50_000))))
    expected = 2.0 * private.sensitivity(7, 50_000)
    assert np.std(noise) == pytest.approx(expected, rel=0.02)
    with pytest.raises(TaskError, match="trims all of 4"):
        RobustThenPrivate(2, 0.1, 1.0).sensitivity(4, 3)


# --- what hiding costs


def test_a_client_that_runs_its_own_code_moves_the_mean_far_and_unseen() -> None:
    for n in (6, 18):
        in_range, out_of_range, noise = influence_of_one(n)
        assert in_range.moved == pytest.approx(1 / n, rel=1e-3)
        assert out_of_range.moved == pytest.approx(0.75, rel=1e-3)
        assert not in_range.noticed
        assert not out_of_range.noticed
        assert noise.noticed


def test_the_conflict_is_one_table(make_task: Callable[..., FederatedTask]) -> None:
    table = conflict(
        lambda alpha, seed: make_task(weighting="uniform", seed=seed),
        {"sign flip": Scenario(SignFlip(50.0))},
        num_byzantine=[1],
        group_sizes=[2],
        rounds=5,
        clip=1.0,
        rule="coordinate_median",
        noise_multiplier=0.1,
        progress=False,
    )
    scores = table.set_index("aggregator")
    assert scores["hidden_among"].to_dict() == {
        "secure mean": 6,
        "coordinate_median, nothing hidden": 1,
        "groups of 2, coordinate_median": 2,
        "trimmed, then private": 1,
    }
    assert not table["refused"].any()
    accuracy = scores["accuracy"]
    assert accuracy["groups of 2, coordinate_median"] > accuracy["secure mean"] + 0.1


def test_the_ways_out_assume_no_more_bad_groups_than_a_rule_can_bear() -> None:
    makers, hidden = ways_out(12, [2, 3], 1.0)
    assert list(makers) == list(hidden)
    grouped = makers["groups of 3, trimmed_mean"](4)
    assert isinstance(grouped, SecureGroups)
    assert grouped.rule.num_byzantine == 1
