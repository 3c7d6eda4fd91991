from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from helpers.edge.artefact import Artefact
from helpers.edge.runtimes import open_model
from helpers.errors import RobustnessError
from helpers.robustness.certification.attack import besiege
from helpers.robustness.certification.light import change_light, light_in_l2
from helpers.robustness.certification.noise import Source
from helpers.robustness.certification.outcome import certified_accuracy_curve, diagnosis
from helpers.robustness.certification.radius import (
    alpha_of_each,
    certified_radius,
    lower_bound,
    radius_ceiling,
    samples_needed,
)
from helpers.robustness.certification.smoothing import Classifier, Smoothing, certify, predict
from helpers.robustness.target import Target
from tests.robustness.conftest import Examples

# Rows of a published certification log: votes of 100,000 for the class, and the radius to five
# digits. Kumar, Levine, Goldstein and Feizi, "Curse of dimensionality on randomized smoothing for
# certifiable robustness", ICML 2020; github.com/alevine0/smoothingGenGaussian, data/certify/
# cifar10/resnet110, Gaussian noise (p = 2), alpha .001.
PUBLISHED = [
    (0.12, 99997, "0.43812"),
    (0.12, 85281, "0.12402"),
    (0.12, 99987, "0.41352"),
    (0.12, 100000, "0.45737"),
    (0.12, 52571, "0.0062665"),
    (0.12, 51227, "0.0022199"),
    (0.12, 37291, "0.0"),
]

WEIGHTS = np.random.default_rng(5).normal(size=(12, 3)).astype(np.float32)


def linear(rows: np.ndarray) -> np.ndarray:
    return rows @ WEIGHTS


def plane(rows: np.ndarray) -> np.ndarray:
    """Two classes, divided by a plane: the smoothed classifier is known in closed form."""
    side = rows @ WEIGHTS[:, 0]
    return np.stack([side, -side], axis=1)


def points(count: int = 8) -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 1, (count, 12)).astype(np.float32)


@pytest.fixture(scope="module")
def deployed(artefact: Artefact) -> Classifier:
    return Classifier.deployed(open_model(artefact, isolated=False), artefact.data)


@pytest.mark.parametrize(("sigma", "count", "radius"), PUBLISHED)
def test_published_counts_give_the_published_radii(sigma: float, count: int, radius: str) -> None:
    found = certified_radius(sigma, count, 100_000, 0.001)
    assert f"{found:.5}" == radius or found == float(radius)


@given(trials=st.integers(1, 20_000), share=st.floats(0, 1), alpha=st.floats(1e-6, 0.2))
def test_the_bound_is_the_chance_at_which_the_count_becomes_that_unlikely(
    trials: int, share: float, alpha: float
) -> None:
    count = round(share * trials)
    low = lower_bound(count, trials, alpha)
    assert stats.binom.sf(count - 1, trials, low) == pytest.approx(alpha if count else 1, rel=1e-6)
    assert low <= count / trials


@given(trials=st.integers(2, 5000), alpha=st.floats(1e-6, 0.2), sigma=st.floats(0.05, 2))
def test_more_votes_certify_more_and_no_more_than_the_ceiling(
    trials: int, alpha: float, sigma: float
) -> None:
    counts = [0, trials // 2, trials // 2 + 1, (3 * trials) // 4, trials - 1, trials]
    radii = [certified_radius(sigma, count, trials, alpha) for count in sorted(counts)]
    assert radii == sorted(radii)
    assert radii[-1] == radius_ceiling(sigma, trials, alpha)


@pytest.mark.parametrize("radius", [0.1, 0.5, 1.0])
def test_the_fewest_samples_are_just_enough(radius: float) -> None:
    fewest = samples_needed(0.25, radius, 0.001)
    assert radius_ceiling(0.25, fewest, 0.001) >= radius
    assert radius_ceiling(0.25, fewest - 1, 0.001) < radius


def test_a_promise_for_all_images_is_shared_among_them() -> None:
    assert alpha_of_each(0.001, 200, "each") == 0.001
    assert alpha_of_each(0.001, 200, "all") == 0.001 / 200


def test_no_certificate_of_a_plane_exceeds_its_true_distance() -> None:
    """For two classes divided by a plane the exact radius is the distance to it."""
    x = points(200)
    found = certify(Classifier(plane), x, Smoothing(0.5, 2000, 50, guarantee="all"))
    distance = np.abs(x @ WEIGHTS[:, 0]) / np.linalg.norm(WEIGHTS[:, 0])
    assert (found.radii <= distance).all()
    near = distance < 0.4
    assert (found.radii[near] > 0).mean() > 0.6  # and they are no trivial bounds
    right = np.argmax(plane(x), axis=1)
    assert (found.labels[found.labels >= 0] == right[found.labels >= 0]).all()


def test_counts_do_not_depend_on_the_batch_size_or_on_other_images() -> None:
    how = Smoothing(0.5, 301, 20, seed=3)
    whole = certify(Classifier(linear), points(), how, batch_size=256)
    small = certify(Classifier(linear), points()[:3], how, batch_size=7)
    np.testing.assert_array_equal(whole.counts[:3], small.counts)
    np.testing.assert_array_equal(whole.selection[:3], small.selection)


def test_the_votes_that_choose_are_not_those_that_count() -> None:
    source = Source(points(1), "pixels", 0.5, 0, 100)
    first, second = (next(source.batches([0], stage, 50))[1].copy() for stage in (0, 1))
    assert np.abs(first - second).min() > 0
    drawn = np.concatenate([first, second]) - points(1)[0]
    assert stats.kstest(drawn.ravel() / 0.5, "norm").pvalue > 1e-3


def test_images_share_the_noise_and_take_turns() -> None:
    source = Source(points(3), "pixels", 0.5, 0, 40)
    found: dict[int, list[np.ndarray]] = {}
    for image, batch in source.batches([2, 0], 1, 100):
        found.setdefault(image, []).append(batch - points(3)[image])
    assert [len(batch) for batch in found[0]] == [40, 40, 20]
    np.testing.assert_allclose(np.concatenate(found[0]), np.concatenate(found[2]), atol=1e-6)


def test_the_class_is_chosen_before_the_votes_are_counted() -> None:
    """With one selecting vote the choice is often poor; the certificate must then say nothing."""
    found = certify(Classifier(linear), points(60), Smoothing(2.0, 400, 1))
    poor = found.candidates != np.argmax(found.counts, axis=1)
    assert poor.any()
    assert (found.labels[poor] == -1).all()
    assert (found.radii[poor] == 0).all()


def test_a_run_that_was_killed_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    how, log = Smoothing(0.5, 200, 20), tmp_path / "votes" / "log.jsonl"
    whole = certify(Classifier(linear), points(), how)
    certify(Classifier(linear, sha256="ab"), points(), how, log=log)
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:4]) + lines[4][:9])  # in the midst of the fourth image
    asked = 0

    def counting(rows: np.ndarray) -> np.ndarray:
        nonlocal asked
        asked += len(rows)
        return linear(rows)

    again = certify(Classifier(counting, sha256="ab"), points(), how, log=log)
    np.testing.assert_array_equal(again.counts, whole.counts)
    assert asked == 5 * 220
    assert len(log.read_text().splitlines()) == 1 + len(points())


def test_a_log_needs_to_know_the_model(tmp_path: Path) -> None:
    with pytest.raises(RobustnessError, match="sha256"):
        certify(Classifier(linear), points(2), Smoothing(0.5, 50, 5), log=tmp_path / "log.jsonl")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: "nonsense\n",
        lambda text: text.replace('"counts": [', '"counts": [1, ', 1),
        lambda text: text.replace('"seed": 0', '"seed": 1'),
    ],
)
def test_a_log_of_another_run_or_a_damaged_one_is_refused(spoil: Any, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    certify(Classifier(linear, sha256="ab"), points(2), Smoothing(0.5, 50, 5), log=log)
    log.write_text(spoil(log.read_text()))
    with pytest.raises(RobustnessError, match=r"log\.jsonl|add up"):
        certify(Classifier(linear, sha256="ab"), points(2), Smoothing(0.5, 50, 5), log=log)


def test_prediction_abstains_where_two_classes_are_close() -> None:
    onto = points(40)
    normal = WEIGHTS[:, 0] / np.linalg.norm(WEIGHTS[:, 0])
    on_the_plane: np.ndarray = onto - np.outer(onto @ normal, normal).astype(np.float32)
    labels = predict(Classifier(plane), on_the_plane, Smoothing(0.5, 300, alpha=0.01))
    assert (labels == -1).mean() > 0.9
    far = predict(Classifier(plane), on_the_plane + normal * 2, Smoothing(0.5, 300))
    assert (far == 0).all()


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        (lambda rows: rows[:, :1], "second column"),
        (lambda rows: np.full((len(rows), 3), np.nan), "NaN"),
        (lambda rows: np.zeros((3, 3)), "one row an input"),
    ],
)
def test_answers_that_are_no_votes_are_refused(scores: Any, words: str) -> None:
    with pytest.raises(RobustnessError, match=words):
        certify(Classifier(scores), points(1), Smoothing(0.5, 50, 5))


@pytest.mark.parametrize(
    "wrong",
    [
        {"sigma": 0},
        {"sigma": float("nan")},
        {"num_samples": 0},
        {"num_selection": 10**9},
        {"alpha": 0.6},
        {"guarantee": "some"},
        {"over": "rotation"},
        {"seed": -1},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(RobustnessError, match=next(iter(wrong))):
        Smoothing(**{"sigma": 0.25, **wrong})


def test_the_file_votes_in_its_codes_as_it_does_in_real_numbers(
    deployed: Classifier, target: Target, examples: Examples
) -> None:
    how = Smoothing(0.2, 400, 50)
    fast = certify(deployed, examples[0][:4], how)
    plain = certify(Classifier(target.ask), examples[0][:4], how)
    np.testing.assert_array_equal(fast.counts, plain.counts)


def test_certificates_agree_with_art_on_the_same_noise(network: Any, examples: Examples) -> None:
    from art.estimators.certification.randomized_smoothing import TensorFlowV2RandomizedSmoothing

    x, how = examples[0][:6], Smoothing(0.2, 500, 50)

    stages = [(image, stage) for image in range(len(x)) for stage in (0, 1)]

    class Art(TensorFlowV2RandomizedSmoothing):
        def _noisy_samples(self, x: np.ndarray, n: int | None = None) -> np.ndarray:
            image, stage = stages.pop(0)
            count = how.num_samples if stage else how.num_selection
            source = Source(examples[0], "pixels", how.sigma, how.seed, count)
            return next(source.batches([image], stage, count))[1].copy()

    theirs = Art(network, nb_classes=10, input_shape=(8, 8, 1), sample_size=50, scale=0.2)
    labels, radii = theirs.certify(x, how.num_samples, batch_size=500)
    ours = certify(Classifier.of_model(network), x, how)
    np.testing.assert_array_equal(ours.labels, labels)
    np.testing.assert_allclose(ours.radii, radii, rtol=0, atol=1e-9)


def test_no_certificate_of_the_file_falls_to_attacks_within_its_radius(
    deployed: Classifier, target: Target, examples: Examples
) -> None:
    x = examples[0][:12]
    found = certify(deployed, x, Smoothing(0.2, 2000, 50, guarantee="all"))
    assert (found.radii > 0.1).sum() > 5
    siege = besiege(
        deployed, found, x, attempts=2400, model=target.differentiable(), votes=50, seed=1
    )
    assert siege.attempts == 2400
    assert siege.violations == 0
    assert siege.smallest_share < 0.75  # the attack does push


def test_an_attack_finds_certificates_that_are_false(
    deployed: Classifier, target: Target, examples: Examples
) -> None:
    x = examples[0][:6]
    found = certify(deployed, x, Smoothing(0.2, 2000, 50))
    found.__dict__["radii"] = found.radii * 6  # what a mistaken formula would promise
    siege = besiege(deployed, found, x, attempts=200, model=target.differentiable(), votes=50)
    assert siege.violations > 0


def test_certified_accuracy_counts_abstention_as_an_error() -> None:
    found = certify(Classifier(linear), points(60), Smoothing(0.5, 400, 20))
    truth = np.argmax(linear(points(60)), axis=1)
    curve = certified_accuracy_curve(found, truth, [0, 0.1, 0.2, 0.6])
    assert (np.diff(curve.y) <= 0).all()
    assert curve.successes[0] == ((found.labels == truth) & (found.labels >= 0)).sum()
    assert (curve.low <= curve.y).all()
    assert (curve.y <= curve.high).all()


def test_sensitivity_and_specificity_divide_the_images_between_them() -> None:
    found = certify(Classifier(linear), points(60), Smoothing(0.5, 400, 20))
    truth = np.argmax(linear(points(60)), axis=1)
    ill = np.isin(truth, [1, 2])
    rates = diagnosis(found, truth, {1, 2}, 0.05)
    held = found.radii >= 0.05
    assert rates.sensitivity.successes == (held & ill & (found.labels >= 1)).sum()
    assert rates.specificity.successes == (held & ~ill & (found.labels == 0)).sum()
    assert (rates.sensitivity.trials, rates.specificity.trials) == (ill.sum(), (~ill).sum())
    assert rates.accuracy.value <= (found.labels == truth).mean()
    with pytest.raises(RobustnessError, match="positive"):
        diagnosis(found, truth, {0, 1, 2})


@settings(max_examples=20)
@given(shift=st.floats(-0.15, 0.15))
def test_a_certified_shift_of_the_brightness_does_not_change_the_vote(shift: float) -> None:
    """Against the truth: along brightness a plane is one threshold."""
    x = points(10)
    how = Smoothing(0.3, 1000, 50, guarantee="all", over="brightness")
    found = certify(Classifier(plane), x, how)
    shifted = np.argmax(plane(x + np.float32(shift)), axis=1)
    covered = found.radii > abs(shift)
    assert (shifted[covered] == found.labels[covered]).all()


def test_contrast_noise_is_one_factor_an_image_and_its_logarithm_normal() -> None:
    source = Source(points(1), "contrast", 0.3, 0, 2000)
    _, batch = next(source.batches([0], 1, 2000))
    logs = np.log((batch - 0.5) / (points(1)[0] - 0.5))
    assert np.ptp(logs, axis=1).max() < 1e-3  # one factor for the whole image
    assert stats.kstest(logs.mean(axis=1) / 0.3, "norm").pvalue > 1e-3


def test_a_shift_of_brightness_is_as_long_as_the_root_of_the_pixels() -> None:
    grey = np.full((3, 8, 8, 1), 0.5, np.float32)
    np.testing.assert_allclose(light_in_l2(grey, brightness=0.05), 0.05 * 8, rtol=1e-5)
    assert light_in_l2(grey, contrast=1.5).max() == 0
    assert change_light(grey, brightness=0.9).max() == 1
    assert light_in_l2(grey, noise=0.1) == pytest.approx(0.8, rel=0.3)


def test_the_log_is_plain_json(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    certify(Classifier(linear, sha256="ab"), points(2), Smoothing(0.5, 50, 5), log=log)
    head, *rows = (json.loads(line) for line in log.read_text().splitlines())
    assert head["run"]["artefact"] == "ab"
    assert [sum(row["counts"]) for row in rows] == [50, 50]
