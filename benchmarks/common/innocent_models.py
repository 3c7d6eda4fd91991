"""Keyword spotters that nobody marked, made cheaply, and what keys find in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from helpers.data import audio, speech_synthesis
from helpers.data.speech_plan import Recipe
from helpers.watermark.answers import KeyedAnswers, KeyedMistakes
from helpers.watermark.fingerprint import BoundaryFingerprint
from helpers.watermark.folding import suspect_of
from helpers.watermark.key import Key
from helpers.watermark.null import measure
from helpers.watermark.scheme import Reading, Scheme
from helpers.watermark.suspect import Suspect
from helpers.watermark.training import train_many
from helpers.watermark.triggers import NoiseTriggers, PatternTriggers
from helpers.watermark.uchida import WeightMessage

if TYPE_CHECKING:
    import tensorflow as tf

WORDS = ("yes", "no", "left", "right", "stop", "go", "up", "down")
CLIPS = (150, 1, 30)
CHANNELS, BLOCKS, EPOCHS = 32, 2, 8
LEVELS = (0.1, 0.05, 0.01, 0.001, 1e-4, 1e-9)
MASTER = Key(bytes(range(32)))


@cache
def speech() -> dict[str, np.ndarray]:
    """Synthesise the words once, and turn them into features."""
    made = speech_synthesis.synthesise(Recipe(WORDS, clips=CLIPS), progress=False)
    return {
        name: audio.mfcc(audio.to_float(values)) if name.startswith("x_") else values
        for name, values in made.items()
    }


def train_block(block: int, count: int) -> list[tf.keras.Model]:
    """Train ``count`` spotters from beginnings of their own on the same clips."""
    from helpers import models

    def blank(seed: int) -> tf.keras.Model:
        return models.ds_cnn(num_classes=len(WORDS), seed=seed, channels=CHANNELS, blocks=BLOCKS)

    clips, first = speech(), 1 + block * count
    return train_many(
        blank, clips["x_train"], clips["y_train"], range(first, first + count), EPOCHS
    )


def quick_suspect(model: tf.keras.Model) -> Suspect:
    """Show a model as a suspect that answers a thousand small questions quickly."""
    import tensorflow as tf

    shown = suspect_of(model)
    call = tf.function(
        lambda x: model(x, training=False),
        input_signature=[tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)],
    )
    return Suspect(lambda x: call(x).numpy(), shown.kernels, shown.biases, shown.name)


def keyed_schemes() -> list[Scheme]:
    """Return the schemes with a chance of their own, at the sizes of a real claim."""
    clips = speech()
    x, y, classes = clips["x_test"], clips["y_test"], len(WORDS)
    return [
        WeightMessage(2, bits=256),
        NoiseTriggers.within(clips["x_train"], classes, 32),
        PatternTriggers(x, y, classes, count=16, each=3),
        KeyedAnswers(classes, 0.1, x, np.asarray(y, np.int64)),
        KeyedMistakes(x, y, classes),
    ]


def p_values_by_design(
    scheme: Scheme, suspects: Sequence[Suspect], keys: Sequence[Key]
) -> list[float]:
    """Judge each key on one suspect in turn, by the chance that the scheme promises."""
    from scipy import stats

    readings = [scheme.read(suspects[n % len(suspects)], key) for n, key in enumerate(keys)]
    return [float(stats.binom.sf(r.found - 1, r.looked_for, scheme.chance)) for r in readings]


def p_values_as_claimed(
    scheme: Scheme, suspects: Sequence[Suspect], keys: Sequence[Key]
) -> list[float]:
    """Judge each suspect with a null measured on all the others, as a court does."""
    return [
        p for key in keys for p in _left_out(scheme.chance, [scheme.read(s, key) for s in suspects])
    ]


def _left_out(chance: float | None, readings: list[Reading]) -> list[float]:
    others: Callable[[int], list[Reading]] = lambda n: readings[:n] + readings[n + 1 :]  # noqa: E731
    return [measure(chance, others(n)).p_value(reading) for n, reading in enumerate(readings)]


def fingerprint_p_values(
    owner: tf.keras.Model, suspects: Sequence[Suspect], key: Key
) -> list[float]:
    """Judge each suspect by its rank among the others, on the owner's boundary points."""
    points = BoundaryFingerprint.of(owner, speech()["x_train"], key)
    return _left_out(points.chance, [points.read(s, key) for s in suspects])
