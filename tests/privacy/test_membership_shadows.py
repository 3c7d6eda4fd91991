"""Shadow models: drawn fairly, trained right, kept on disk, deployed like the target."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from helpers import models
from helpers.errors import PrivacyError
from helpers.privacy.membership import (
    ShadowTraining,
    leakage,
    leave_one_out,
    paired_halves,
    scaled_confidence,
    train_shadows,
)
from helpers.privacy.membership.shadow_training import epoch_batches, seeds_of

QUICK = ShadowTraining(epochs=2, batch_size=10, learning_rate=0.1)


def small_model(seed: int) -> tf.keras.Model:
    return models.mlp((28, 28, 1), 10, hidden=(8,), seed=seed)


def same(a: list[list[np.ndarray]], b: list[list[np.ndarray]]) -> bool:
    return all(
        np.array_equal(x, y) for m, n in zip(a, b, strict=True) for x, y in zip(m, n, strict=True)
    )


@pytest.mark.parametrize("examples", [7, 8])
def test_halves_come_in_pairs_and_are_fair(examples: int) -> None:
    members = paired_halves(6, examples, seed=0)
    assert (members.sum(axis=0) == 3).all()
    assert (members.sum(axis=1)[::2] == examples // 2).all()
    assert np.array_equal(members[0], ~members[1])
    assert not np.array_equal(members, paired_halves(6, examples, seed=1))
    with pytest.raises(PrivacyError, match="must be even"):
        paired_halves(5, examples, seed=0)


def test_a_shadow_is_what_keras_trains_on_the_same_batches(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    x, y = digits
    members = paired_halves(2, len(y), seed=0)
    shadows = train_shadows(small_model, x, y, members, QUICK, seed=5, progress=False)
    for index in range(2):
        start_seed, batch_seed = seeds_of(5, index)
        model = small_model(start_seed)
        model.compile(
            tf.keras.optimizers.SGD(QUICK.learning_rate, momentum=QUICK.momentum),
            tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        for rows in epoch_batches(np.flatnonzero(members[index]), QUICK, batch_seed):
            assert members[index][rows].all()
            model.train_on_batch(x[rows], y[rows])
        for ours, theirs in zip(shadows.weights[index], model.get_weights(), strict=True):
            assert np.allclose(ours, theirs, atol=2e-6)


def test_lanes_and_what_was_found_on_disk_change_nothing(
    digits: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    x, y = digits
    members = paired_halves(4, len(y), seed=0)

    def train(**more: Any) -> list[list[np.ndarray]]:
        return train_shadows(small_model, x, y, members, QUICK, progress=False, **more).weights

    whole = train(lanes=1, folder=tmp_path)
    (tmp_path / "shadow-0001.npz").unlink()
    damaged = tmp_path / "shadow-0002.npz"
    damaged.write_bytes(damaged.read_bytes()[:-200])
    kept = (tmp_path / "shadow-0003.npz").stat().st_mtime_ns
    with pytest.warns(UserWarning, match=r"shadow-0002.npz is damaged"):
        mended = train(lanes=3, folder=tmp_path)
    assert same(whole, mended)
    assert (tmp_path / "shadow-0003.npz").stat().st_mtime_ns == kept


def test_a_folder_serves_one_set_of_models(
    digits: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    x, y = digits
    members = paired_halves(2, len(y), seed=0)
    train_shadows(small_model, x, y, members, QUICK, folder=tmp_path, progress=False)
    other = ShadowTraining(epochs=3, batch_size=10)
    with pytest.raises(PrivacyError, match="another set of shadow models: seed, training differ"):
        train_shadows(small_model, x, y, members, other, seed=1, folder=tmp_path, progress=False)
    (tmp_path / "shadows.json").write_text("{")
    with pytest.raises(PrivacyError, match="damaged"):
        train_shadows(small_model, x, y, members, QUICK, folder=tmp_path, progress=False)


KILLED = """
import sys
import numpy as np
from helpers import models
from helpers.privacy.membership import ShadowTraining, paired_halves, train_shadows
rng = np.random.default_rng(0)
x, y = rng.random((400, 28, 28, 1), np.float32), rng.integers(0, 10, 400)
train_shadows(
    lambda seed: models.mlp((28, 28, 1), 10, hidden=(8,), seed=seed), x, y,
    paired_halves(24, 400, 0), ShadowTraining(epochs=15, batch_size=4), folder=sys.argv[1],
)
"""


def test_a_run_killed_half_way_goes_on_where_it_was(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("shadow-*.npz"))) < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {p: p.stat().st_mtime_ns for p in tmp_path.glob("shadow-*.npz")}
    assert 3 <= len(kept) < 24
    rng = np.random.default_rng(0)
    x, y = rng.random((400, 28, 28, 1), np.float32), rng.integers(0, 10, 400)
    training = ShadowTraining(epochs=15, batch_size=4)
    members = paired_halves(24, 400, 0)
    resumed = train_shadows(small_model, x, y, members, training, folder=tmp_path, progress=False)
    assert len(resumed) == 24
    assert all(path.stat().st_mtime_ns == written for path, written in kept.items())
    alone = train_shadows(small_model, x, y, members[:2], training, progress=False)
    assert same(resumed.weights[:2], alone.weights)


def test_a_training_of_ones_own_gets_the_shadows_examples_and_seeds(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    x, y = digits
    members = paired_halves(2, len(y), seed=0)
    seen = []

    def train(model: tf.keras.Model, own_x: np.ndarray, own_y: np.ndarray, seed: int) -> None:
        seen.append((len(own_x), seed))
        model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])

    shadows = train_shadows(small_model, x, y, members, train, progress=False)
    assert seen == [(100, seeds_of(0, 0)[1]), (100, seeds_of(0, 1)[1])]
    assert not any(weight.any() for weight in shadows.weights[0])


def test_answers_go_through_the_deployment_and_are_kept(
    digits: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    x, y = digits
    members = paired_halves(4, len(y), seed=0)
    shadows = train_shadows(small_model, x, y, members, QUICK, progress=False)
    plain = shadows.outputs(x, progress=False)
    assert np.allclose(plain[2], shadows.model(2)(x).numpy(), atol=1e-6)
    asked = []

    def coarse(model: tf.keras.Model, own: np.ndarray) -> Any:
        asked.append(own.tolist())
        return lambda inputs: np.round(model(inputs).numpy())

    def answers() -> np.ndarray:
        return shadows.outputs(x, coarse, name="coarse", folder=tmp_path, progress=False)

    first = answers()
    assert np.array_equal(first, np.round(plain))
    assert asked == [np.flatnonzero(row).tolist() for row in members]
    next(iter(tmp_path.glob("answers-0003-*.npy"))).unlink()
    assert np.array_equal(answers(), first)
    assert len(asked) == 5
    with pytest.raises(PrivacyError, match="needs a name"):
        shadows.outputs(x, folder=tmp_path)
    with pytest.raises(PrivacyError, match="answered with shape"):
        shadows.outputs(x, lambda model, own: lambda rows: rows[:3, 0, :, 0], progress=False)


def test_overfitted_models_give_their_examples_away(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    x, y = digits
    members = paired_halves(12, len(y), seed=0)
    training = ShadowTraining(epochs=40, batch_size=10, learning_rate=0.05)
    shadows = train_shadows(small_model, x, y, members, training, progress=False)
    confidence = scaled_confidence(shadows.outputs(x, progress=False), y)
    found = leakage(leave_one_out(confidence, members), members, limits=(0.01,), repeats=40)
    assert found.auc.low > 0.6
    assert found.auc.value > leakage(confidence, members, repeats=20).auc.value + 0.03


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": np.zeros(3, int)}, r"must be integers \(200,\)"),
        ({"members": np.zeros((2, 3), bool)}, r"bool \(models, 200\)"),
        ({"members": np.zeros((2, 200), bool)}, "more than the 0 examples"),
        ({"training": ShadowTraining(learning_rate=1e30)}, "smaller learning_rate"),
        ({"lanes": 0}, "lanes=0"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    digits: tuple[np.ndarray, np.ndarray], change: dict[str, Any], message: str
) -> None:
    x, y = digits
    wanted: dict[str, Any] = {
        "y": y,
        "members": paired_halves(2, len(y), 0),
        "training": QUICK,
    } | change
    with pytest.raises(PrivacyError, match=message):
        train_shadows(small_model, x, progress=False, **wanted)


@pytest.mark.parametrize(
    "bad", [{"epochs": 0}, {"batch_size": 0}, {"learning_rate": 0.0}, {"momentum": 1.0}]
)
def test_settings_out_of_range_are_named(bad: dict[str, Any]) -> None:
    with pytest.raises(PrivacyError, match=next(iter(bad))):
        ShadowTraining(**bad)
