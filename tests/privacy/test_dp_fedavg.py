from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.errors import PrivacyError
from helpers.privacy.dp_fedavg import (
    AdaptiveClip,
    DPFedAvg,
    clip_updates,
    private_round,
    split_noise,
)


def some_updates(seed: int, clients: int = 12, size: int = 7) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(clients, size)) * rng.uniform(0.1, 5, (clients, 1))).astype(np.float32)


@settings(deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 10))
def test_no_client_moves_the_sum_by_more_than_the_clip_norm(seed: int, clip: float) -> None:
    updates = some_updates(seed) * 10
    rng = np.random.default_rng
    fixed = AdaptiveClip.fixed(clip)
    with_all = private_round(updates, clip, 0.0, 1.0, fixed, rng(0)).update
    without = private_round(updates[1:], clip, 0.0, 1.0, fixed, rng(0)).update
    assert np.linalg.norm(with_all - without) <= clip * (1 + 1e-4)


def test_short_updates_pass_unchanged() -> None:
    clipped, unclipped = clip_updates(np.array([[0.3, 0.4], [3.0, 4.0]]), 1.0)
    np.testing.assert_allclose(clipped, [[0.3, 0.4], [0.6, 0.8]])
    assert unclipped.tolist() == [True, False]


def test_without_noise_ten_rounds_equal_tensorflow_privacy() -> None:
    import tensorflow as tf
    import tensorflow_privacy as tfp

    query = tfp.QuantileAdaptiveClipSumQuery(0.5, 0.0, 0.6, 0.3, 0.0, 12.0)
    state = query.initial_global_state()
    ours = DPFedAvg(0.0, 12, AdaptiveClip(0.5, 0.6, 0.3, count_noise=1.0), seed=0)
    for round_number in range(10):
        updates = some_updates(round_number)
        parameters = query.derive_sample_params(state)
        sample = query.initial_sample_state(tf.zeros(7))
        for update in updates:
            sample = query.accumulate_record(parameters, sample, tf.constant(update))
        total, state, _ = query.get_noised_result(sample, state)
        np.testing.assert_allclose(ours(updates, None), total.numpy() / 12, atol=1e-6)
        assert ours.l2_norm_clip == pytest.approx(float(query.derive_metrics(state)["clip"]), 1e-5)


def test_the_clip_norm_finds_the_target_quantile_under_noise() -> None:
    aggregate = DPFedAvg(1.0, 200, AdaptiveClip(initial=0.01, target_quantile=0.7), seed=1)
    rng = np.random.default_rng(2)
    for _ in range(120):
        directions = rng.normal(size=(200, 5))
        lengths = rng.lognormal(0.0, 0.5, size=(200, 1))
        aggregate(directions / np.linalg.norm(directions, axis=1, keepdims=True) * lengths)
    exact = math.exp(0.5 * 0.5244)  # 70 % quantile of that log-normal
    recent = [release.l2_norm_clip for release in aggregate.releases[-40:]]
    assert np.mean(recent) == pytest.approx(exact, rel=0.1)


def test_noise_has_the_deviation_that_is_accounted_for() -> None:
    noise, clip, expected = 1.5, 0.4, 20
    release = private_round(
        np.zeros((3, 200_000)), clip, noise, expected, AdaptiveClip.fixed(clip),
        np.random.default_rng(0),
    )  # fmt: skip
    assert release.update.std() == pytest.approx(noise * clip / expected, rel=0.01)


def test_a_round_without_clients_is_noise_alone() -> None:
    aggregate = DPFedAvg(1.0, 10, seed=0)
    assert np.linalg.norm(aggregate(np.zeros((0, 50)))) > 0
    # Nobody was within the clip norm, so by the noisy count it grows.
    assert math.isfinite(aggregate.l2_norm_clip)


def test_update_and_count_together_cost_one_round() -> None:
    # Two Gaussian releases compose by adding their inverse variances.
    update = split_noise(1.2, 5.0)
    assert update > 1.2
    assert update**-2 + (2 * 5.0) ** -2 == pytest.approx(1.2**-2)


def test_a_count_that_spends_everything_is_refused_at_once() -> None:
    with pytest.raises(PrivacyError, match="count_noise"):
        DPFedAvg(2.0, 10, AdaptiveClip(count_noise=1.0))


def test_weights_by_number_of_examples_are_ignored() -> None:
    updates = some_updates(0)
    plain = DPFedAvg(0.0, 12)(updates)
    np.testing.assert_array_equal(plain, DPFedAvg(0.0, 12)(updates, np.arange(12)))


@pytest.mark.parametrize(
    ("updates", "word"),
    [
        (np.zeros(3), "shape"),
        (np.zeros((2, 3), int), "dtype"),
        (np.array([[0.0], [np.nan]]), "client 1"),
    ],
)
def test_updates_that_do_not_fit_are_refused(updates: np.ndarray, word: str) -> None:
    with pytest.raises(PrivacyError, match=word):
        DPFedAvg(1.0, 10)(updates)


def test_a_restored_aggregator_continues_as_if_nothing_had_happened() -> None:
    ours, other = DPFedAvg(1.0, 12, seed=None), DPFedAvg(1.0, 12, seed=5)
    ours(some_updates(0))
    other.restore([np.array(array) for array in ours.state()])
    for number in (1, 2):
        np.testing.assert_array_equal(ours(some_updates(number)), other(some_updates(number)))
        assert ours.l2_norm_clip == other.l2_norm_clip
    assert len(other.releases) == 2


def test_a_fresh_aggregator_has_the_settings_and_none_of_the_past() -> None:
    used = DPFedAvg(1.0, 12, AdaptiveClip(0.4, 0.6), seed=3)
    first = used(some_updates(0))
    np.testing.assert_array_equal(used.fresh()(some_updates(0)), first)
    assert np.abs(used(some_updates(0)) - first).max() > 0
    assert used.fresh().l2_norm_clip == 0.4
    unseeded = DPFedAvg(1.0, 12)
    assert np.abs(unseeded.fresh()(some_updates(0)) - unseeded(some_updates(0))).max() > 0


def test_releases_keep_the_clip_norms_and_not_the_updates() -> None:
    aggregate = DPFedAvg(1.0, 12, seed=0)
    for number in range(3):
        aggregate(some_updates(number))
    followed = [release.next_clip for release in aggregate.releases]
    assert followed[:-1] == [release.l2_norm_clip for release in aggregate.releases[1:]]
    assert [release.update.size for release in aggregate.releases] == [0, 0, 0]
