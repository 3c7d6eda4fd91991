"""The sweep: names in, one row of utility and leaks each out, killed or not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from helpers import models
from helpers.errors import PrivacyError
from helpers.privacy.membership import (
    ShadowModels,
    ShadowTraining,
    paired_halves,
    train_shadows,
)
from helpers.privacy.sweep import SweepRow, Variant, bitwidth_sweep, sweep_figure


def small_model(seed: int) -> tf.keras.Model:
    return models.mlp((28, 28, 1), 10, hidden=(8,), seed=seed)


@pytest.fixture(scope="module")
def shadows(digits: tuple[np.ndarray, np.ndarray]) -> ShadowModels:
    x, y = digits[0][:120], digits[1][:120]
    training = ShadowTraining(epochs=30, batch_size=10, learning_rate=0.05)
    return train_shadows(small_model, x, y, paired_halves(6, 120, 0), training, progress=False)


def blunt(model: tf.keras.Model, own: np.ndarray) -> Any:
    """A deployment that answers the same whatever it is asked."""
    return lambda x: np.tile(np.eye(1, 10, dtype=np.float32), (len(x), 1))


def sweep(variants: list[Variant], shadows: ShadowModels, digits: Any, **more: Any) -> Any:
    x, y = digits
    return bitwidth_sweep(
        variants, shadows, x[:120], y[:120], x[120:], y[120:],
        limits=(0.01,), progress=False, **more,
    )  # fmt: skip


def test_a_deployment_that_destroys_the_answer_destroys_the_leak_and_the_use(
    shadows: ShadowModels, digits: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    calls: list[int] = []

    def inverted(model: tf.keras.Model, own: np.ndarray) -> float:
        calls.append(1)
        return 0.5

    variants = [Variant("as trained", invert=inverted), Variant("blunt", blunt)]
    rows = sweep(variants, shadows, digits, inverted=2, folder=tmp_path)
    plain, dull = rows
    assert plain.utility.value > 0.5 > 0.2 > dull.utility.value
    assert plain.auc.low > 0.55
    assert dull.auc.value == pytest.approx(0.5)
    assert plain.agreement == 1 > dull.agreement
    assert plain.inversion is not None
    assert plain.inversion.value == 0.5
    assert len(calls) == 2
    assert dull.inversion is None

    def never(model: tf.keras.Model, own: np.ndarray) -> Any:
        raise AssertionError("answers were kept, so nobody is asked")

    again = sweep([Variant("as trained", never)], shadows, digits, folder=tmp_path)
    assert again[0].auc == plain.auc
    assert [SweepRow.from_json(json.loads(json.dumps(row.to_json()))) for row in rows] == rows
    with pytest.raises(PrivacyError, match="no row of a sweep"):
        SweepRow.from_json({"name": "int8"})
    figure = sweep_figure(rows, 0.01)
    assert [ax.get_xlabel() for ax in figure.axes] == [
        "test accuracy",
        "members found\nat 1% false positives",
        "inversion score",
    ]
    with pytest.raises(PrivacyError, match=r"limit=0.001 is none"):
        sweep_figure(rows, 0.001)


def test_variants_that_cannot_be_told_apart_or_measured_are_refused(
    shadows: ShadowModels, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    with pytest.raises(PrivacyError, match="names of their own"):
        sweep([Variant("a"), Variant("a")], shadows, digits)
    with pytest.raises(PrivacyError, match=r"\[-1, 1\]"):
        sweep([Variant("a", invert=lambda model, own: 7.0)], shadows, digits)
    fewer = ShadowModels(small_model, shadows.members[:, :50], shadows.weights)
    with pytest.raises(PrivacyError, match="some of 50 examples; x holds 120"):
        sweep([Variant("a", shadows=fewer)], shadows, digits)
