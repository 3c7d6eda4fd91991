"""Plant canaries in a training run and read from the weights what each step gave away.

Each canary is an example that reads its own row of a table, so that its gradient lies along a
coordinate of its own and is long enough to be clipped. After every step the auditor reads the
weights: a coordinate moves by the canary's clipped gradient, if it was drawn, plus noise. The
trainer under audit is a black box that trains a Keras model; nothing of it is trusted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from helpers.errors import PrivacyError
from helpers.privacy._checks import (
    require_positive,
    require_rate,
    require_whole,
)
from helpers.privacy.dp_sgd.training import fit_dp

# Length of a canary's gradient, in clip norms.
_PULL = 20.0
# How far a drawn canary moves its logit in one step: little, so that its gradient stays long.
_MOVE = 1e-2


class Trainer(Protocol):
    """A DP-SGD implementation, wrapped so that the auditor can drive it."""

    def __call__(
        self,
        model: tf.keras.Model,
        x: NDArray[np.int32],
        y: NDArray[np.int32],
        *,
        noise_multiplier: float,
        l2_norm_clip: float,
        sample_rate: float,
        steps: int,
        learning_rate: float,
        seed: int,
        after_step: Callable[[], None],
    ) -> Any:
        """Train ``model`` in place on the mean cross-entropy of its logits.

        Plain SGD without momentum, calling ``after_step()`` after each of the ``steps`` updates.
        """


@dataclass(frozen=True)
class AuditSettings:
    """The run that an audit makes.

    The defaults draw each canary once in expectation, with noise small enough to see it: the
    setting in which a wrong sampler shows most. They say nothing about the training that the
    implementation is used for later; they test the implementation.

    Attributes
    ----------
    num_canaries
        Canaries, each included by a fair coin of its own.
    noise_multiplier, l2_norm_clip, sample_rate, steps
        The mechanism to run.
    seed
        Decides who is included, and is passed to the trainer.

    Raises
    ------
    PrivacyError
        If a setting is out of its range.
    """

    num_canaries: int = 4000
    noise_multiplier: float = 0.2
    l2_norm_clip: float = 1.0
    sample_rate: float = 0.05
    steps: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        require_whole("num_canaries", self.num_canaries, at_least=100)
        require_positive("noise_multiplier", self.noise_multiplier)
        require_positive("l2_norm_clip", self.l2_norm_clip)
        require_rate("sample_rate", self.sample_rate)
        require_whole("steps", self.steps, at_least=2)
        require_whole("seed", self.seed, at_least=0)


@dataclass(frozen=True, eq=False)
class Observations:
    """What the auditor saw.

    Attributes
    ----------
    signals
        How far each step moved each canary's coordinate, in units of ``l2_norm_clip`` over the
        expected batch, float64 ``(steps, num_canaries)``. A right implementation gives 1 for a
        canary that was drawn and 0 for any other, plus noise of ``noise_multiplier``.
    included
        bool ``(num_canaries,)``: whose example was in the training set.
    """

    signals: np.ndarray
    included: np.ndarray


def observe(train: Trainer, settings: AuditSettings) -> Observations:
    """Run a trainer on canaries and read its steps from the weights.

    Parameters
    ----------
    train
        The implementation under audit.
    settings
        The run.

    Returns
    -------
    Observations
        One signal a step and canary.

    Raises
    ------
    PrivacyError
        If the trainer did not report every step.
    """
    coins = np.random.default_rng([settings.seed, 0]).random(settings.num_canaries)
    included = coins < 0.5
    rows = np.flatnonzero(included).astype(np.int32)[:, None]
    expected = settings.sample_rate * len(rows)
    unit = settings.l2_norm_clip / expected
    model = _canary_model(settings.num_canaries, _PULL * settings.l2_norm_clip)
    rate = _MOVE / (_PULL * settings.l2_norm_clip * unit)
    table = model.trainable_variables[0]
    trail = [table.numpy()[:, 0].astype(np.float64)]
    train(
        model,
        rows,
        np.ones(len(rows), np.int32),
        noise_multiplier=settings.noise_multiplier,
        l2_norm_clip=settings.l2_norm_clip,
        sample_rate=settings.sample_rate,
        steps=settings.steps,
        learning_rate=rate,
        seed=settings.seed,
        after_step=lambda: trail.append(table.numpy()[:, 0].astype(np.float64)),
    )
    if len(trail) != settings.steps + 1:
        raise PrivacyError(
            f"The trainer called after_step {len(trail) - 1} times for steps={settings.steps}: "
            "call it once after every update, also after one on an empty batch."
        )
    return Observations(np.diff(np.stack(trail), axis=0) / (rate * unit), included)


def _canary_model(num_canaries: int, pull: float) -> tf.keras.Model:
    """Build a table of one weight a canary; the frozen layer turns it into two steep logits."""
    steep = tf.keras.initializers.Constant([[-pull, pull]])
    layers = [
        tf.keras.layers.Input((1,), dtype="int32"),
        tf.keras.layers.Embedding(num_canaries, 1, embeddings_initializer="zeros"),
        tf.keras.layers.Flatten(),
        tf.keras.layers.Dense(2, use_bias=False, kernel_initializer=steep, trainable=False),
    ]
    return tf.keras.Sequential(layers, name="canaries")


def fit_dp_trainer(
    model: tf.keras.Model,
    x: NDArray[np.int32],
    y: NDArray[np.int32],
    *,
    after_step: Callable[[], None],
    **settings: Any,
) -> None:
    """Put :func:`~helpers.privacy.dp_sgd.training.fit_dp` behind the auditor's interface.

    Parameters
    ----------
    model, x, y, after_step
        As in :class:`Trainer`.
    **settings
        Passed on to ``fit_dp``.
    """
    fit_dp(model, x, y, callbacks=[lambda record, model: after_step()], progress=False, **settings)
