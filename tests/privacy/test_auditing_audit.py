"""The auditor against a right implementation and planted wrong ones.

The planted trainers are written here from the definition, not derived from ``fit_dp``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from helpers.errors import PrivacyError
from helpers.privacy.auditing import (
    AuditReport,
    AuditSettings,
    Observations,
    audit_dp_sgd,
    fit_dp_trainer,
    judge,
)

ERROR = 1e-3


def planted(bug: str) -> Callable[..., None]:
    """Write DP-SGD out, with one thing wrong."""

    def train(
        model: tf.keras.Model,
        x: np.ndarray,
        y: np.ndarray,
        *,
        noise_multiplier: float,
        l2_norm_clip: float,
        sample_rate: float,
        steps: int,
        learning_rate: float,
        seed: int,
        after_step: Callable[[], None],
    ) -> None:
        rng = np.random.default_rng(seed)
        table = model.trainable_variables[0]
        expected = sample_rate * len(x)
        shuffled = np.array_split(rng.permutation(len(x)), round(1 / sample_rate))
        frozen = rng.normal(size=table.shape)
        for step in range(steps):
            batch = np.flatnonzero(rng.random(len(x)) < sample_rate)
            if bug == "shuffled batches":
                batch = shuffled[step % len(shuffled)]
            total = clipped_rows(model, x[batch], y[batch], l2_norm_clip, bug) / expected
            noise = frozen if bug == "one noise for all steps" else rng.normal(size=table.shape)
            divisor = {"noise over the dataset": len(x), "noise over the drawn batch": len(batch)}
            noise = noise * noise_multiplier * l2_norm_clip / divisor.get(bug, expected)
            table.assign_sub((learning_rate * (total + noise)).astype(np.float32))
            after_step()

    return train


def clipped_rows(
    model: tf.keras.Model, x: np.ndarray, y: np.ndarray, clip: float, bug: str
) -> np.ndarray:
    """Sum the batch's clipped gradients; every example reads a row of its own."""
    table = model.trainable_variables[0]
    with tf.GradientTape() as tape:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, model(x))
    rows = tf.convert_to_tensor(tape.gradient(losses, table)).numpy().astype(np.float64)
    if bug == "clipping after averaging":
        mean = rows / max(1, len(x))
        return len(x) * mean * min(1.0, clip / np.linalg.norm(mean))
    return rows * np.minimum(1.0, clip / np.maximum(np.abs(rows), 1e-12))


def failed(report: AuditReport) -> list[str]:
    return [finding.name for finding in report.findings if not finding.passed]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_fit_dp_passes(seed: int) -> None:
    report = audit_dp_sgd(fit_dp_trainer, AuditSettings(seed=seed), error_probability=ERROR)
    assert report.passed, report.describe()
    assert report.epsilon_lower_bound < report.epsilon_claimed


@pytest.mark.parametrize(
    ("bug", "caught_by"),
    [
        ("noise over the dataset", "noise"),
        ("noise over the drawn batch", "noise"),
        ("clipping after averaging", "contribution"),
        ("shuffled batches", "privacy profile"),
        ("one noise for all steps", "fresh noise"),
    ],
)
def test_a_planted_bug_is_caught(bug: str, caught_by: str) -> None:
    report = audit_dp_sgd(planted(bug), error_probability=ERROR)
    assert caught_by in failed(report), report.describe()


def test_the_planted_trainer_without_a_bug_passes() -> None:
    report = audit_dp_sgd(planted("none"), error_probability=ERROR)
    assert report.passed, report.describe()


@pytest.mark.parametrize("bug", ["noise over the dataset", "clipping after averaging"])
def test_at_a_private_setting_the_lower_bounds_refute_the_claim_itself(bug: str) -> None:
    settings = AuditSettings(noise_multiplier=2.0)
    report = audit_dp_sgd(planted(bug), settings)
    assert report.epsilon_lower_bound > report.epsilon_claimed
    assert report.one_run_lower_bound > report.epsilon_claimed
    right = audit_dp_sgd(planted("none"), settings)
    assert max(right.epsilon_lower_bound, right.one_run_lower_bound) <= right.epsilon_claimed


def simulated(kind: str, settings: AuditSettings) -> Observations:
    """Draw what the auditor would see, straight from the mechanism's definition."""
    rng = np.random.default_rng([settings.seed, 99])
    included = rng.random(settings.num_canaries) < 0.5
    members = np.flatnonzero(included)
    drawn = np.zeros((settings.steps, settings.num_canaries))
    if kind == "shuffled":
        for row, batch in enumerate(np.array_split(rng.permutation(members), settings.steps)):
            drawn[row, batch] = 1
    else:
        drawn[:, members] = rng.random((settings.steps, len(members))) < settings.sample_rate
    noise = rng.normal(scale=settings.noise_multiplier, size=drawn.shape)
    return Observations(drawn + noise, included)


def alarms(kind: str, error: float, runs: int) -> int:
    count = 0
    for seed in range(runs):
        settings = AuditSettings(num_canaries=1500, seed=seed)
        count += not judge(simulated(kind, settings), settings, 1e-5, error).passed
    return count


def test_a_right_implementation_fails_no_more_often_than_stated() -> None:
    count = alarms("right", error=0.1, runs=40)
    # At most this many in all but one of a thousand repetitions of this test.
    assert count <= stats.binom.isf(1e-3, 40, 0.1)


def test_shuffling_is_caught_every_time() -> None:
    assert alarms("shuffled", error=ERROR, runs=8) == 8


def test_a_trainer_that_skips_reports_is_told() -> None:
    def silent(model: tf.keras.Model, x: np.ndarray, y: np.ndarray, **settings: Any) -> None:
        return None

    with pytest.raises(PrivacyError, match="after_step 0 times"):
        audit_dp_sgd(silent)


def test_the_report_reads_as_text() -> None:
    text = audit_dp_sgd(planted("clipping after averaging")).describe()
    assert "FAIL contribution" in text
    assert "claimed" in text
