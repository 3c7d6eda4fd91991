from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from sklearn.metrics import log_loss, roc_auc_score

from helpers.errors import PrivacyError
from helpers.privacy.membership import (
    cross_entropy,
    gap_scores,
    leakage,
    leave_one_out,
    lira_scores,
    noise_scores,
    scaled_confidence,
    threshold_attack,
)

scores = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=30)


# --- a score as an attack


@settings(deadline=None)
@given(scores, scores)
def test_the_area_is_that_of_scikit_learn_ties_included(
    members: list[float], others: list[float]
) -> None:
    truth = [1] * len(members) + [0] * len(others)
    expected = roc_auc_score(truth, members + others)
    assert threshold_attack(members, others).auc == pytest.approx(expected)


@given(scores, scores)
def test_a_rising_function_of_the_scores_changes_nothing(
    members: list[float], others: list[float]
) -> None:
    plain = threshold_attack(members, others)
    bent = threshold_attack(np.exp(members), np.exp(others))
    assert bent.auc == plain.auc
    assert np.array_equal(bent.true_positive_rate, plain.true_positive_rate)


@given(scores, scores)
def test_turning_the_scores_around_mirrors_the_area(
    members: list[float], others: list[float]
) -> None:
    turned = threshold_attack(np.negative(members), np.negative(others))
    assert turned.auc == pytest.approx(1 - threshold_attack(members, others).auc)


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


def test_the_bounds_on_the_area_hold_as_often_as_they_say() -> None:
    rng, truth = np.random.default_rng(0), float(special.ndtr(1 / np.sqrt(2)))
    held = 0
    for _ in range(300):
        low, high = threshold_attack(rng.normal(1, 1, 60), rng.normal(0, 1, 80)).auc_bounds(0.9)
        held += low <= truth <= high
    assert 0.86 <= held / 300 <= 0.94


@pytest.mark.parametrize(("members", "others"), [(30, 30), (30, 200)])
@pytest.mark.parametrize("truth", [0.5, 0.9, 0.95, 0.98, 0.995])
def test_the_bounds_on_the_area_hold_up_to_the_edge(
    truth: float, members: int, others: int
) -> None:
    """The hardest case: a member is above all others or below all, so pairs tell no more."""
    rng, held = np.random.default_rng(1), 0
    for _ in range(200):
        above = np.where(rng.random(members) < truth, 9.0, -9.0)
        low, high = threshold_attack(above, rng.normal(0, 1, others)).auc_bounds()
        held += low <= truth <= high
    assert held / 200 >= 0.91  # 95 % less what 200 draws scatter


def test_the_bounds_of_a_complete_separation_are_exact() -> None:
    low, high = threshold_attack(np.arange(5, 45), np.arange(-60, 0)).auc_bounds()
    assert (low, high) == (pytest.approx(0.025 ** (1 / 40)), 1.0)
    other, none = threshold_attack(np.arange(-60, 0), np.arange(5, 45)).auc_bounds()
    assert (other, none) == (0.0, pytest.approx(1 - 0.025 ** (1 / 40)))


def test_a_rate_that_the_sample_cannot_show_is_refused_with_the_size_that_could() -> None:
    attack = threshold_attack([2.0, 3.0], np.zeros(500))
    with pytest.raises(PrivacyError, match=r"500 non-members.*0.002.*at least 1,000"):
        attack.operating_point(0.001)
    point = attack.operating_point(0.01)
    assert point.true_positive_rate.value == 1
    assert point.true_positive_rate.low < 0.2  # two members prove little
    assert point.false_positive_rate.value == 0
    assert point.false_positive_rate.high == pytest.approx(1 - 0.025 ** (1 / 500))


def test_bounds_on_the_area_need_two_of_either_kind() -> None:
    with pytest.raises(PrivacyError, match="1 members and 2 others"):
        threshold_attack([1.0], [0.0, 2.0]).auc_bounds()


# --- signals


def test_confidence_from_logits_and_from_their_probabilities_is_the_same() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(0, 2, (3, 50, 7)), rng.integers(0, 7, 50)
    from_logits = scaled_confidence(logits, labels)
    probabilities = special.softmax(logits, axis=-1)
    assert np.allclose(from_logits, scaled_confidence(probabilities, labels, "probabilities"))
    expected = log_loss(labels, probabilities[0], labels=range(7))
    assert cross_entropy(logits[0], labels).mean() == pytest.approx(expected)


def test_logits_keep_apart_what_probabilities_round_to_one() -> None:
    logits = np.array([[40.0, 0.0], [80.0, 0.0]])
    assert scaled_confidence(logits, np.array([0, 0])).tolist() == [40.0, 80.0]
    ones = special.softmax(logits, axis=1).astype(np.float32)
    assert len(set(scaled_confidence(ones, np.array([0, 0]), "probabilities"))) == 1


@pytest.mark.parametrize(
    ("outputs", "labels", "kind", "message"),
    [
        (np.zeros((3, 2)), np.array([0, 1]), "logits", r"\(3, 2\).*\(2,\)"),
        (np.zeros((2, 2)), np.array([0, 2]), "logits", "from 0 to 1"),
        (np.zeros((2, 2)), np.array([0.0, 1.0]), "logits", "whole numbers"),
        (np.full((1, 2), np.nan), np.array([0]), "logits", "NaN"),
        (np.full((1, 2), 3.0), np.array([0]), "probabilities", 'kind="logits"'),
        (np.zeros((1, 2)), np.array([0]), "labels", "choose one of"),
    ],
)
def test_outputs_that_do_not_fit_are_refused(
    outputs: np.ndarray, labels: np.ndarray, kind: str, message: str
) -> None:
    with pytest.raises(PrivacyError, match=message):
        scaled_confidence(outputs, labels, kind)  # type: ignore[arg-type]


# --- the likelihood-ratio attack


def halves(models: int, examples: int, rng: np.random.Generator) -> np.ndarray:
    half = rng.random((models // 2, examples)) < 0.5
    return np.stack([half, ~half], axis=1).reshape(models, examples)


def test_models_that_learn_nothing_of_their_examples_leak_nothing() -> None:
    rng = np.random.default_rng(0)
    members = halves(16, 2000, rng)
    difficulty = rng.normal(0, 3, 2000)
    confidence = difficulty + rng.normal(0, 1, members.shape)
    for mode in ("online", "offline"):
        found = leakage(leave_one_out(confidence, members, mode=mode), members, repeats=50)
        assert found.auc.low <= 0.5 <= found.auc.high
        assert found.auc.value == pytest.approx(0.5, abs=0.01)
        assert found.tpr[0.01].value == pytest.approx(0.01, abs=0.004)


def test_the_attack_reaches_the_best_that_the_two_laws_allow() -> None:
    rng = np.random.default_rng(1)
    members = halves(64, 1000, rng)
    gain, difficulty = 1.5, rng.normal(0, 5, 1000)
    confidence = difficulty + gain * members + rng.normal(0, 1, members.shape)
    best = float(special.ndtr(gain / np.sqrt(2)))
    found = leakage(leave_one_out(confidence, members), members, repeats=20)
    assert found.auc.value == pytest.approx(best, abs=0.012)
    loss = leakage(confidence, members, repeats=20)  # difficulty drowns what is gained
    assert loss.auc.value < 0.62


def test_each_example_has_its_own_law_where_the_variance_is_its_own() -> None:
    rng = np.random.default_rng(2)
    members = halves(128, 500, rng)
    width = np.where(np.arange(500) % 2, 0.1, 3.0)
    confidence = width * rng.normal(0, 1, members.shape) + 0.5 * members
    shared = leakage(leave_one_out(confidence, members), members, repeats=20)
    own = leakage(leave_one_out(confidence, members, variance="example"), members, repeats=20)
    assert own.tpr[0.01].value > 0.4 > 2 * shared.tpr[0.01].value


def test_scores_are_the_logarithms_of_two_normal_densities() -> None:
    from scipy import stats

    rng = np.random.default_rng(3)
    shadows, members = rng.normal(0, 2, (12, 30)), halves(12, 30, rng)
    target = rng.normal(0, 2, 30)
    found = lira_scores(target, shadows, members, variance="example")
    for index in range(30):
        inside, outside = shadows[members[:, index], index], shadows[~members[:, index], index]
        expected = stats.norm.logpdf(target[index], inside.mean(), inside.std())
        expected -= stats.norm.logpdf(target[index], outside.mean(), outside.std())
        assert found[index] == pytest.approx(expected)


def test_the_mirror_image_of_a_target_is_not_among_its_shadows() -> None:
    rng = np.random.default_rng(4)
    members = halves(8, 40, rng)
    confidence = rng.normal(0, 1, members.shape)
    before = leave_one_out(confidence, members)[0]
    confidence[1] += 100.0  # the mirror image of model 0
    assert np.array_equal(leave_one_out(confidence, members)[0], before)


def test_an_example_without_shadows_of_a_kind_is_named() -> None:
    members = np.array([[True, False], [True, True]])
    with pytest.raises(PrivacyError, match=r"Example 0 has 0 shadows trained without it"):
        lira_scores(np.zeros(2), np.zeros((2, 2)), members)
    never = np.zeros((3, 2), bool)
    assert lira_scores(np.zeros(2), np.eye(3, 2), never, mode="offline").shape == (2,)
    with pytest.raises(PrivacyError, match="trained with it"):
        lira_scores(np.zeros(2), np.eye(3, 2), never)


@pytest.mark.parametrize(
    ("target", "shadows", "members", "message"),
    [
        (np.zeros(3), np.zeros((2, 2)), np.zeros((2, 2), bool), r"target of shape \(3,\)"),
        (np.zeros(2), np.zeros((2, 2)), np.zeros((2, 3), bool), r"\(models, n\)"),
        (np.zeros(2), np.zeros((2, 2)), np.zeros((2, 2), int), "must be bool"),
        (np.zeros(2), np.full((2, 2), np.inf), np.zeros((2, 2), bool), "infinity"),
    ],
)
def test_shadows_that_do_not_fit_are_refused(
    target: np.ndarray, shadows: np.ndarray, members: np.ndarray, message: str
) -> None:
    with pytest.raises(PrivacyError, match=message):
        lira_scores(target, shadows, members)


# --- summing up


def test_intervals_over_models_cover_the_truth_though_models_share_examples() -> None:
    gain, held = 1.0, 0
    truth = float(special.ndtr(gain / np.sqrt(2)))
    for seed in range(40):
        rng = np.random.default_rng(seed)
        members = halves(8, 200, rng)
        drift = rng.normal(0, 0.3, (8, 1))  # each model leaks more or less of everything
        values = (gain + drift) * members + rng.normal(0, 1, members.shape)
        found = leakage(values, members, limits=(0.01,), repeats=60, seed=seed).auc
        held += found.low - 0.01 <= truth <= found.high + 0.01
    assert held >= 36


def test_limits_are_checked_against_all_non_members() -> None:
    members = np.array([[True] * 50 + [False] * 50])
    with pytest.raises(PrivacyError, match="50 non-members"):
        leakage(np.zeros((1, 100)), members, limits=(0.01,))
    with pytest.raises(PrivacyError, match="both kinds"):
        leakage(np.zeros((1, 100)), np.ones((1, 100), bool))


# --- labels alone


def step_device(images: np.ndarray) -> np.ndarray:
    """A device that says 1 for bright images."""
    return (images.mean(axis=(1, 2, 3)) > 0.5).astype(np.int64)


def test_the_gap_is_the_difference_of_accuracies() -> None:
    said, true = np.array([1, 1, 0, 0]), np.array([1, 1, 1, 0])
    right = gap_scores(said, true)
    attack = threshold_attack(right[:2], right[2:])
    assert attack.auc - 0.5 == pytest.approx((1.0 - 0.5) / 2)


def test_what_lies_far_from_the_border_keeps_its_label_over_more_noise() -> None:
    levels = np.array([0.51, 0.55, 0.9])
    images = np.ones((3, 4, 4, 1), np.float32) * levels[:, None, None, None]
    found = noise_scores(step_device, images, np.ones(3, np.int64), copies=40)
    assert found[0] < found[1] < found[2]
    again = noise_scores(step_device, images, np.ones(3, np.int64), copies=40)
    assert np.array_equal(found, again)


def test_a_device_that_gives_scores_instead_of_labels_is_told_so() -> None:
    images, labels = np.zeros((2, 4, 4, 1), np.float32), np.zeros(2, np.int64)
    with pytest.raises(PrivacyError, match="argmax"):
        noise_scores(lambda x: np.zeros((len(x), 10)), images, labels)
    with pytest.raises(PrivacyError, match="one label for each of the 2 inputs"):
        noise_scores(step_device, images, np.zeros(3, np.int64))
