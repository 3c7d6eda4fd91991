"""Settings and arrays out of range are refused by name before any work, and give no number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from helpers.errors import PrivacyError
from helpers.privacy.accounting import privacy_profile
from helpers.privacy.auditing.bounds import epsilon_lower_bound, one_run_epsilon, one_run_p_value
from helpers.privacy.dp_fedavg import AdaptiveClip, clip_updates, private_round
from helpers.privacy.dp_sgd.sampling import poisson_batches
from helpers.privacy.inversion.judging import evaluator_accuracy
from helpers.privacy.membership.label_only import gap_scores, noise_scores
from helpers.privacy.membership.shadows import paired_halves
from helpers.privacy.reconstruction.closed_form import (
    estimate_label_counts,
    invert_dense,
    invert_dense_per_unit,
    update_to_gradient,
)

UPDATES = np.random.default_rng(0).normal(size=(5, 7))
LABELS = np.array([0, 1, 2, 1, 0])
KERNEL, BIAS = np.ones((6, 4)), np.ones(4)


def one_round(
    l2_norm_clip: float = 1.0, noise_multiplier: float = 1.0, expected_clients: float = 5.0
) -> Any:
    rng = np.random.default_rng(0)
    clip = AdaptiveClip.fixed(1.0)
    return private_round(UPDATES, l2_norm_clip, noise_multiplier, expected_clients, clip, rng)


def seen_as(classes: int, labels: Any) -> float:
    return evaluator_accuracy(np.zeros((5, 3)), labels, lambda x: np.ones((len(x), classes)))


def unmoved(x: np.ndarray) -> np.ndarray:
    return np.zeros(len(x), int)


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: epsilon_lower_bound(30, 40, 2, 40, delta=1.5), r"delta=1\.5"),
    (lambda: one_run_epsilon(30, 40, 100, delta=1.0), r"delta=1\.0"),
    (lambda: one_run_p_value(30, 40.5, 100, 1.0, 1e-5), r"guesses=40\.5"),  # type: ignore[arg-type]
    (lambda: clip_updates(UPDATES, -1.0), r"l2_norm_clip=-1\.0"),
    (lambda: clip_updates(UPDATES, np.nan), "l2_norm_clip=nan"),
    (lambda: clip_updates(np.full((2, 2), np.nan), 1.0), "client 0 holds NaN"),
    (lambda: one_round(l2_norm_clip=0.0), r"l2_norm_clip=0\.0"),
    (lambda: one_round(noise_multiplier=np.nan), "noise_multiplier=nan"),
    (lambda: one_round(noise_multiplier=-1.0), r"noise_multiplier=-1\.0"),
    (lambda: one_round(expected_clients=0.0), r"expected_clients=0\.0"),
    (lambda: one_round(expected_clients=-3.0), r"expected_clients=-3\.0"),
    (lambda: list(poisson_batches(100, 0.1, 3, 0, skip=-1)), "skip=-1"),
    (lambda: seen_as(3, LABELS - 1), "labels of type int64 from -1 to 1 must be class numbers"),
    (lambda: seen_as(3, LABELS + 0.5), "must be class numbers"),
    (lambda: seen_as(2, LABELS), "labels go up to 2, and the evaluator knows 2 classes"),
    (lambda: gap_scores(LABELS.astype(str), LABELS), "labels of type"),
    (lambda: gap_scores(LABELS, LABELS / 2), "y of type float64"),
    (lambda: noise_scores(unmoved, np.full((5, 3), np.nan), LABELS), "NaN or infinity"),
    (lambda: noise_scores(unmoved, np.ones((5, 3)), LABELS, seed=-1), "seed=-1"),
    (lambda: paired_halves(8, 6, -1), "seed=-1"),
    (lambda: update_to_gradient([], [], 0.1, num_steps=2.5), r"num_steps=2\.5"),  # type: ignore[arg-type]
    (lambda: invert_dense(KERNEL, BIAS, smallest=np.nan), "smallest=nan"),
    (lambda: invert_dense_per_unit(KERNEL, BIAS, smallest=np.nan), "smallest=nan"),
    (lambda: estimate_label_counts([-0.5, 0.5], 2.5), r"batch_size=2\.5"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("ask", "message"), REFUSED)
def test_what_is_out_of_range_is_refused_by_name(ask: Callable[[], Any], message: str) -> None:
    with pytest.raises(PrivacyError, match=message):
        ask()


def test_a_bound_on_a_probability_is_at_most_one() -> None:
    assert privacy_profile(1.0, 0.01, 10**6, [0.5]) == [1.0]
