"""A small keyword spotter, its marked versions, and everything a thief does to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np

from helpers.data import audio, speech_synthesis
from helpers.data.speech_plan import Recipe
from helpers.edge import convert, quantise, reading
from helpers.edge.runtimes import open_model
from helpers.models import ds_cnn, fit_keywords
from helpers.watermark.alignment import align
from helpers.watermark.answers import KeyedAnswers, KeyedMistakes
from helpers.watermark.extraction import extract
from helpers.watermark.fingerprint import BoundaryFingerprint
from helpers.watermark.folding import suspect_of
from helpers.watermark.key import Key
from helpers.watermark.preserving import permute_neurons, rescale_channels
from helpers.watermark.removal import (
    as_it_is,
    distil,
    fine_tune,
    independent,
    overwrite,
    replace_head,
)
from helpers.watermark.scheme import Scheme
from helpers.watermark.survival import Attack, Victim
from helpers.watermark.suspect import Suspect
from helpers.watermark.triggers import NoiseTriggers, PatternTriggers
from helpers.watermark.uchida import WeightMessage

WORDS = ("down", "go", "left", "no", "right", "stop", "up", "yes")
MARKED = 2  # the first 1x1 convolution
Model = Any
Tests = dict[str, Callable[[Suspect], float]]
Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Sizes:
    """How much of everything.

    Attributes
    ----------
    owner, thief, carriers, test
        Clips of each word.
    channels, blocks
        Of the network.
    epochs
        The owner trains for; embedding takes what the schemes say.
    bits, triggers, patterns
        Of the marks.
    share
        Of questions that the keyed service answers falsely.
    """

    owner: int = 200
    thief: int = 125
    carriers: int = 40
    test: int = 80
    channels: int = 48
    blocks: int = 2
    epochs: int = 10
    bits: int = 128
    triggers: int = 48
    patterns: int = 16
    share: float = 0.03


QUICK = Sizes(40, 30, 10, 20, 16, 1, 2, 64, 16, 8, 0.1)


class Spotter:
    """Data, victims and attacks of one choice of sizes; what is shared is made once.

    Parameters
    ----------
    sizes
        How much of everything.
    """

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        clips = (sizes.owner + sizes.thief, sizes.carriers, sizes.test)
        made = speech_synthesis.synthesise(Recipe(WORDS, clips=clips), progress=False)
        x = {part: audio.mfcc(audio.to_float(made[f"x_{part}"])) for part in _PARTS}
        y = {part: made[f"y_{part}"] for part in _PARTS}
        split = sizes.owner * len(WORDS)
        self.owner: Pair = x["train"][:split], y["train"][:split]
        self.thief: Pair = x["train"][split:], y["train"][split:]
        self.carriers: Pair = x["validation"], y["validation"]
        self.test: Pair = x["test"], y["test"]
        self.base = cache(self._train_base)
        self.stranger = cache(self._train_stranger)

    def network(self, seed: int) -> Model:
        """Return the untrained network."""
        width, depth = self.sizes.channels, self.sizes.blocks
        return ds_cnn(num_classes=len(WORDS), seed=seed, channels=width, blocks=depth)

    def _train_base(self, seed: int) -> Model:
        return self._trained(seed, *self.owner)

    def _train_stranger(self, seed: int) -> Model:
        return self._trained(seed, *self.thief)

    def _trained(self, seed: int, x: np.ndarray, y: np.ndarray) -> Model:
        model = self.network(seed)
        fit_keywords(model, x, y, self.sizes.epochs, seed=seed, progress=False)
        return model

    def int8_file(self, model: Model) -> Suspect:
        """Convert to an int8 file, and take from it what its holder sees."""
        artefact = convert.to_tflite(model, "int8", self.owner[0][:100])
        runner = open_model(artefact, "litert", isolated=False)
        layers = reading.read_weights(artefact.data)
        biases = [
            np.zeros(layer.kernel.shape[-1], np.float32) if layer.bias is None else layer.bias
            for layer in layers
        ]
        return Suspect(runner.predict, [layer.kernel for layer in layers], biases, "int8 file")

    def victims(self) -> dict[str, Callable[[int], Victim]]:
        """Return what makes each victim of a seed."""
        return {"product": self._product, "keyed mistakes": self._mistaken}

    def _product(self, seed: int) -> Victim:
        """Return a model with a message and two kinds of triggers, behind a keyed service.

        One training teaches all three, as an owner would who wants them all; a fingerprint of the
        result is taken too. Whoever asks meets the service, whoever opens the file the model.
        """
        key, noise, pattern = owner_key(seed), self._noise(), self._pattern()
        x, y = self._lessons(noise, pattern, key, seed)
        message = self._message()
        # Three marks at once take longer to learn than one.
        model = replace(message, epochs=14, learning_rate=4e-3).embed(
            self.base(seed), x, y, key, seed
        )
        device = self.int8_file(model)
        reference = suspect_of(model, "owner")
        points = BoundaryFingerprint.of(model, self.owner[0], key, self.sizes.triggers)
        answers = device.labels(self.thief[0])
        keyed = KeyedAnswers(len(WORDS), self.sizes.share, self.thief[0], answers)

        def aligned(suspect: Suspect) -> float:
            return message.evidence(align(suspect, reference, MARKED), key)

        tests: Tests = {
            "message": partial(_evidence, message, key),
            "message, aligned": aligned,
            "noise triggers": partial(_evidence, noise, key),
            "pattern triggers": partial(_evidence, pattern, key),
            "fingerprint": partial(_evidence, points, key),
            "keyed answers": partial(_evidence, keyed, key),
        }
        service = Suspect(partial(_served, keyed, key, device), device.kernels, device.biases)
        return Victim(model, service, tests)

    def _mistaken(self, seed: int) -> Victim:
        scheme, key = KeyedMistakes(*self.carriers, len(WORDS)), owner_key(seed)
        model = scheme.embed(self.base(seed), *self.owner, key, seed)
        return Victim(
            model, self.int8_file(model), {"keyed mistakes": partial(_evidence, scheme, key)}
        )

    def _message(self) -> WeightMessage:
        return WeightMessage(MARKED, bits=self.sizes.bits)

    def _noise(self) -> NoiseTriggers:
        return NoiseTriggers.within(self.owner[0], len(WORDS), self.sizes.triggers)

    def _pattern(self) -> PatternTriggers:
        return PatternTriggers(*self.carriers, len(WORDS), self.sizes.patterns)

    def _lessons(self, noise: NoiseTriggers, pattern: PatternTriggers, key: Key, seed: int) -> Pair:
        """Return the owner's clips with the triggers of both kinds among them."""
        x, y = self.owner
        rng = np.random.default_rng(seed)
        inputs, labels = noise.triggers(key)
        parts = [x, np.repeat(inputs, noise.repeats, axis=0)]
        names = [y, np.repeat(labels, noise.repeats)]
        for number, (word, answer) in enumerate(zip(*pattern.plan(key), strict=True)):
            chosen = rng.choice(np.flatnonzero(y == word), pattern.repeats)
            parts.append(pattern.stamp(key, number, x[chosen]))
            names.append(np.full(pattern.repeats, answer))
        return np.concatenate(parts), np.concatenate(names)

    def attacks(self) -> dict[str, Attack]:
        """Return every attack; the thief overwrites with a message of their own."""
        x, y = self.thief
        bits = {f"{b} bits": as_it_is(partial(quantise.round_model, bits=b)) for b in (4, 3, 2)}
        prunings = {
            f"prune {share:.0%}": as_it_is(partial(_pruned, x=x, y=y, sparsity=share))
            for share in (0.5, 0.9)
        }
        return {
            **bits,
            "QAT": as_it_is(lambda m: self.int8_file(quantise.train_quantised(m, x, y))),
            **prunings,
            "fine-tune, gentle": fine_tune(x, y, epochs=3, learning_rate=5e-4),
            "fine-tune, hard": fine_tune(x, y, epochs=8, learning_rate=5e-3),
            "new head": replace_head(x, y, epochs=8, learning_rate=2e-2),
            "new head, all layers": replace_head(x, y, epochs=8, learning_rate=5e-3, body=True),
            "overwrite": overwrite(self._message(), x, y),
            "permute": lambda v, seed: permute_neurons(v.model, seed),
            "rescale": lambda v, seed: rescale_channels(v.model, seed),
            "permute and rescale": lambda v, seed: permute_neurons(
                rescale_channels(v.model, seed), seed
            ),
            "distil": distil(self._student, x),
            "extract, scores": extract(self._student, x, len(x), "knockoff"),
            "extract, labels": extract(self._student, x, len(x), "copycat"),
            # Long enough to learn by heart what was answered, false answers included.
            "extract, labels, long": extract(self._student, x, len(x), "copycat", epochs=50),
            "independent model": independent(self.stranger),
        }

    def _student(self, seed: int) -> Model:
        return self.network(20_000 + seed)


_PARTS = ("train", "validation", "test")


def owner_key(seed: int) -> Key:
    """Return the owner's secret of a seed; a real owner draws it with ``Key.fresh``."""
    return Key(np.random.default_rng([seed, 0x0177]).bytes(32))


def _evidence(scheme: Scheme, key: Key, suspect: Suspect) -> float:
    return scheme.evidence(suspect, key)


def _served(keyed: KeyedAnswers, key: Key, device: Suspect, questions: np.ndarray) -> np.ndarray:
    """Answer with the device's scores, the false answers' two exchanged."""
    scores = np.array(device.ask(questions))
    truth = scores.argmax(axis=1)
    _, given = keyed.falsify(questions, truth, key)
    rows = np.arange(len(scores))
    scores[rows, truth], scores[rows, given] = scores[rows, given], scores[rows, truth]
    return scores


def _pruned(model: Model, x: np.ndarray, y: np.ndarray, sparsity: float) -> Model:
    return quantise.prune(model, x, y, sparsity, epochs=4, learning_rate=3e-3)
