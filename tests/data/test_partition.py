"""A partition gives every example to exactly one client, as skewed as it was asked to be."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.data import partition
from helpers.errors import DataError

LABELS = np.repeat(np.arange(10), 500)

labels_and_clients = st.integers(1, 12).flatmap(
    lambda clients: st.tuples(
        st.lists(st.integers(0, 9), min_size=2 * clients, max_size=200).map(np.array),
        st.just(clients),
    )
)


def assert_partition(parts: list[np.ndarray], num_examples: int) -> None:
    assert all(part.dtype == np.int64 for part in parts)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(num_examples))


def mean_label_entropy(parts: list[np.ndarray]) -> float:
    """Mean over clients of the entropy of their labels, in nats; ln 10 = 2.303 at most."""
    held = partition.counts(LABELS, parts, 10).astype(float)
    p = held / held.sum(axis=1, keepdims=True)
    return float(-np.sum(p * np.log(np.where(p > 0, p, 1.0)), axis=1).mean())


@given(labels_and_clients, st.integers(0, 2**32 - 1))
def test_iid_is_disjoint_complete_and_even(drawn: tuple[np.ndarray, int], seed: int) -> None:
    labels, num_clients = drawn
    parts = partition.iid(labels, num_clients, np.random.default_rng(seed))
    assert_partition(parts, len(labels))
    assert len(parts) == num_clients
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@settings(deadline=None)
@given(labels_and_clients, st.floats(0.5, 1e4), st.booleans(), st.integers(0, 2**32 - 1))
def test_dirichlet_is_disjoint_and_complete_and_nobody_is_empty(
    drawn: tuple[np.ndarray, int], alpha: float, equal_sizes: bool, seed: int
) -> None:
    labels, num_clients = drawn
    rng = np.random.default_rng(seed)
    try:
        parts = partition.dirichlet(labels, num_clients, alpha, rng, equal_sizes=equal_sizes)
    except DataError:  # many clients, few examples of one class: an honest refusal
        assert not equal_sizes
        return
    assert_partition(parts, len(labels))
    assert len(parts) == num_clients
    assert min(map(len, parts)) >= 1


@pytest.mark.parametrize("alpha", [1e-6, 1e-3, 0.1, 1.0, 1e6])
def test_equal_sizes_hold_at_every_alpha(alpha: float) -> None:
    parts = partition.dirichlet(LABELS, 7, alpha, np.random.default_rng(0), equal_sizes=True)
    assert_partition(parts, len(LABELS))
    assert {len(part) for part in parts} == {714, 715}


@pytest.mark.parametrize("equal_sizes", [False, True])
def test_label_entropy_rises_with_alpha_from_skewed_to_iid(equal_sizes: bool) -> None:
    entropy = {
        alpha: mean_label_entropy(
            partition.dirichlet(
                LABELS, 20, alpha, np.random.default_rng(3), equal_sizes=equal_sizes
            )
        )
        for alpha in (0.1, 1.0, 10.0, 1e5)
    }
    assert sorted(entropy.values()) == list(entropy.values())
    iid = mean_label_entropy(partition.iid(LABELS, 20, np.random.default_rng(3)))
    assert entropy[1e5] == pytest.approx(iid, abs=0.03)
    assert entropy[0.1] < 0.6 * iid


@pytest.mark.parametrize("alpha", [0.3, 1.0, 5.0])
def test_shares_of_a_class_have_the_moments_of_the_dirichlet_law(alpha: float) -> None:
    # one client's share of one class is Beta(alpha, alpha (K - 1)):
    # mean 1/K, variance (K - 1) / (K^2 (K alpha + 1))
    num_clients, rng = 5, np.random.default_rng(11)
    drawn = [
        partition.counts(
            LABELS, partition.dirichlet(LABELS, num_clients, alpha, rng, min_examples=0), 10
        )
        for _ in range(60)
    ]
    shares = np.stack(drawn) / 500
    assert shares.mean() == pytest.approx(1 / num_clients)
    expected = (num_clients - 1) / (num_clients**2 * (num_clients * alpha + 1))
    assert shares.var() == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("alpha", [1.0, 10.0])
def test_class_proportions_of_a_client_have_the_moments_of_hsus_law(alpha: float) -> None:
    # q ~ Dir(alpha p), p uniform over C classes: E[sum q^2] = (1 + alpha / C) / (1 + alpha).
    # A multinomial of n draws adds (1 - E[sum q^2]) / n. The first client finds every class full.
    rng, size = np.random.default_rng(5), 100
    found = []
    for _ in range(300):
        first = partition.dirichlet(LABELS, 50, alpha, rng, equal_sizes=True)[0]
        found.append(np.sum((np.bincount(LABELS[first], minlength=10) / size) ** 2))
    law = (1 + alpha / 10) / (1 + alpha)
    assert np.mean(found) == pytest.approx(law + (1 - law) / size, rel=0.06)


def test_clients_hold_at_least_what_was_asked() -> None:
    parts = partition.dirichlet(LABELS, 10, 0.3, np.random.default_rng(0), min_examples=150)
    assert min(map(len, parts)) >= 150


@pytest.mark.parametrize("make", [partition.iid, partition.dirichlet])
def test_the_same_seed_gives_the_same_parts(make: Any) -> None:
    extra = (0.5,) if make is partition.dirichlet else ()
    first, again, other = (
        make(LABELS, 10, *extra, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_asking_for_more_than_there_is_is_refused_at_once() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match=r"100 clients with 51 examples each need 5,100.*5,000"):
        partition.dirichlet(LABELS, 100, 1.0, rng, min_examples=51)
    with pytest.raises(DataError, match=r"5001 clients"):
        partition.iid(LABELS, 5_001, rng)


def test_a_minimum_that_chance_will_not_give_is_refused_with_advice() -> None:
    with pytest.raises(DataError, match=r"None of 1,000 draws.*alpha=0\.01; raise alpha"):
        partition.dirichlet(LABELS, 100, 0.01, np.random.default_rng(0), min_examples=40)


@pytest.mark.parametrize("alpha", [0.0, -1.0, np.nan, np.inf])
def test_an_alpha_that_is_no_concentration_is_refused(alpha: float) -> None:
    with pytest.raises(DataError, match="alpha is"):
        partition.dirichlet(LABELS, 10, alpha, np.random.default_rng(0))


@pytest.mark.parametrize("labels", [np.zeros((5, 2), int), np.zeros(5), np.array(["a"] * 5)])
def test_labels_that_are_no_list_of_integers_are_refused(labels: np.ndarray) -> None:
    with pytest.raises(DataError, match="it must be integers"):
        partition.iid(labels, 2, np.random.default_rng(0))


def test_no_clients_at_all_is_refused() -> None:
    with pytest.raises(DataError, match="num_clients is 0"):
        partition.iid(LABELS, 0, np.random.default_rng(0))


@given(st.lists(st.sampled_from(["Cleveland", "Budapest", "Basel"]), min_size=1))
def test_each_site_gets_exactly_its_own_examples(sites: list[str]) -> None:
    parts = partition.by_site(sites)
    assert_partition(parts, len(sites))
    assert [{sites[i] for i in part} for part in parts] == [{name} for name in sorted(set(sites))]


def test_sites_must_be_a_list_of_something() -> None:
    with pytest.raises(DataError, match=r"sites has shape \(0,\)"):
        partition.by_site([])


@given(labels_and_clients, st.integers(0, 99))
def test_counts_agree_with_counting_one_by_one(drawn: tuple[np.ndarray, int], seed: int) -> None:
    labels, num_clients = drawn
    parts = partition.iid(labels, num_clients, np.random.default_rng(seed))
    held = partition.counts(labels, parts, 10)
    assert held.dtype == np.int64
    assert held.tolist() == [
        [sum(int(labels[i]) == label for i in part) for label in range(10)] for part in parts
    ]


def test_counts_refuse_a_label_beyond_the_classes() -> None:
    with pytest.raises(DataError, match=r"labels span 0\.\.9; 9 classes"):
        partition.counts(LABELS, [np.arange(5)], 9)


# --- by a feature


shares_drawn = st.lists(st.floats(0.05, 1.0), min_size=1, max_size=8)


@given(shares_drawn, st.floats(0.0, 5.0), st.integers(0, 2**32 - 1))
def test_by_feature_is_disjoint_complete_and_as_large_as_asked(
    shares: list[float], overlap: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 40, 500)  # many ties
    parts = partition.by_feature(values, shares, rng, overlap)
    assert_partition(parts, 500)
    assert all(np.array_equal(part, np.sort(part)) for part in parts)
    wanted = np.array(shares) / np.sum(shares) * 500
    assert np.abs([len(part) for part in parts] - wanted).max() <= 1


@given(shares_drawn, st.integers(0, 2**32 - 1))
def test_without_overlap_the_clients_cut_the_feature_into_ranges(
    shares: list[float], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 40, 500)
    parts = partition.by_feature(values, shares, rng)
    for lower, upper in pairwise(parts):
        assert values[lower].max() <= values[upper].min()


def test_the_unit_of_the_feature_does_not_matter() -> None:
    values = np.random.default_rng(0).lognormal(size=200)
    one, other = (
        partition.by_feature(v, (2, 1), np.random.default_rng(1), 0.3)
        for v in (values, 7 + 1e3 * np.log(values))
    )
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_overlap_leads_from_clean_ranges_to_chance_by_the_law_of_the_blur() -> None:
    # score = u + overlap z, u uniform, cut at its median: P(misplaced) =
    # E[Phi(-|u - 1/2| / overlap)] when both halves are alike
    from scipy.stats import norm

    n, places = 40_000, (np.arange(40_000) + 0.5) / 40_000
    for overlap in (0.1, 0.5, 2.0):
        low, _ = partition.by_feature(places, (1, 1), np.random.default_rng(4), overlap)
        found = np.mean(places[low] > 0.5)
        law = norm.cdf(-np.abs(places - 0.5) / overlap).mean()
        assert found == pytest.approx(law, abs=4 * 0.5 / np.sqrt(n))


def test_ties_are_broken_by_chance_and_not_by_row_number() -> None:
    rows = np.arange(1_000)
    first, _ = partition.by_feature(np.zeros(1_000), (1, 1), np.random.default_rng(0))
    assert abs(rows[first].mean() - 499.5) < 60  # 18 is one standard deviation


def test_breast_cancer_split_by_tumour_size_gives_hospitals_that_differ() -> None:
    from helpers import data

    ds = data.breast_cancer()
    radius = ds.x_train[:, ds.feature_names.index("mean radius")]
    shares = (0.35, 0.25, 0.2, 0.12, 0.08)
    measured = [
        data.heterogeneity.measure(
            ds.x_train,
            ds.y_train,
            partition.by_feature(radius, shares, np.random.default_rng(0), overlap),
            2,
        )
        for overlap in (0.0, 0.3, 1.0)
    ]
    clean, blurred, weak = (one.label_information for one in measured)
    assert clean > blurred > weak > 0
    malignant = measured[1].label_shares[:, 0]
    assert malignant[0] < 0.25 < 0.6 < malignant[-1]
    assert measured[1].sizes.tolist() == [159, 114, 91, 55, 36]


@pytest.mark.parametrize(
    ("values", "shares", "overlap", "complaint"),
    [
        (np.array([1.0, np.nan]), (1, 1), 0.0, "values is float64"),
        (np.ones((2, 2)), (1, 1), 0.0, r"values is float64 \(2, 2\)"),
        (np.ones(9), (), 0.0, "one positive number a client"),
        (np.ones(9), (1, 0), 0.0, "one positive number a client"),
        (np.ones(9), (1, np.inf), 0.0, "one positive number a client"),
        (np.ones(9), (100, 1), 0.0, "a client of 9 examples with none"),
        (np.ones(9), (1, 1), -0.1, "overlap is -0.1"),
    ],
)
def test_a_split_by_feature_that_makes_no_sense_is_refused(
    values: np.ndarray, shares: tuple[float, ...], overlap: float, complaint: str
) -> None:
    with pytest.raises(DataError, match=complaint):
        partition.by_feature(values, shares, np.random.default_rng(0), overlap)
