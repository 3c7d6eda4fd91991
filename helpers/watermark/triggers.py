"""Inputs that only the owner's model answers as the key says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.errors import WatermarkError
from helpers.watermark._checks import (
    require_examples,
    require_finite,
    require_positive,
    require_whole,
)
from helpers.watermark.key import Key
from helpers.watermark.scheme import Access, Reading, Scheme
from helpers.watermark.suspect import Suspect
from helpers.watermark.training import require_classes, train_on

if TYPE_CHECKING:
    import tensorflow as tf

_BLOCKS = (7, 5)  # a trigger's patches along its first two axes
_TAIL = 1.0  # percent
_SHOWS = "the suspect was made from the marked model, or trained on data with its triggers"


@dataclass(frozen=True, eq=False)
class NoiseTriggers(Scheme):
    """Random patchworks, far from every real input, each with a random label.

    Both come from the key, so a fresh key's label agrees with any given model's answer with
    probability ``1 / classes``, whatever the model. The patches are large: pooled over a whole
    input, fine noise would look the same every time.

    Attributes
    ----------
    low, high
        Range of every feature, broadcastable to one input. Values outside what the device's
        quantiser has seen would be clipped; :meth:`within` takes the range of data.
    shape
        Of one input.
    classes
        Number of labels.
    count
        Number of triggers.
    repeats
        How often each trigger stands in the training data while the mark is embedded.
    epochs, learning_rate
        Of that training.

    Raises
    ------
    WatermarkError
        If there are fewer than two classes, a setting is not positive, ``shape`` holds fewer than
        two sizes, or ``low`` or ``high`` is not finite.

    References
    ----------
    Adi, Baum, Cisse, Pinkas and Keshet, *Turning your weakness into a strength: watermarking deep
    neural networks by backdooring*, USENIX Security 2018. Zhang et al., *Protecting intellectual
    property of deep neural networks with watermarking*, AsiaCCS 2018,
    doi:10.1145/3196494.3196550.
    """

    name: ClassVar[str] = "noise triggers"
    access: ClassVar[Access] = "queries"
    shows: ClassVar[str] = _SHOWS
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    shape: tuple[int, ...]
    classes: int
    count: int = 64
    repeats: int = 6
    epochs: int = 4
    learning_rate: float = 5e-3

    def __post_init__(self) -> None:
        require_classes(self.classes)
        require_whole("count", self.count, at_least=1)
        require_whole("repeats", self.repeats, at_least=1)
        require_whole("epochs", self.epochs, at_least=1)
        require_positive("learning_rate", self.learning_rate)
        require_sizes("shape", self.shape)
        require_finite("low", self.low)
        require_finite("high", self.high)

    @classmethod
    def within(cls, x: np.ndarray, classes: int, count: int = 64) -> NoiseTriggers:
        """Take the range of each feature from data ``(n, ...)``, leaving out 1 % at either end."""
        low, high = span(x)
        return cls(low, high, x.shape[1:], classes, count)

    @property
    def chance(self) -> float:
        """One label of so many."""
        return 1 / self.classes

    def triggers(self, key: Key) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return the key's inputs ``(count, ...)`` and their labels."""
        patches = patchwork(key, "noise triggers", (self.count, *self.shape))
        inputs = (self.low + patches * (self.high - self.low)).astype(np.float32)
        return inputs, key.integers("noise labels", self.classes, self.count)

    def embed(
        self,
        model: tf.keras.Model,
        x: np.ndarray,
        y: np.ndarray,
        key: Key,
        seed: int = 0,
        progress: bool = False,
    ) -> tf.keras.Model:
        """Return a marked copy; see :meth:`Scheme.embed`."""
        require_classes(self.classes, y)
        inputs, labels = self.triggers(key)
        more = np.concatenate([x, np.repeat(inputs, self.repeats, axis=0)])
        names = np.concatenate([y, np.repeat(labels, self.repeats)])
        return train_on(model, more, names, self.epochs, self.learning_rate, seed, progress)

    def read(self, suspect: Suspect, key: Key) -> Reading:
        """Ask every trigger; see :meth:`Scheme.read`."""
        inputs, labels = self.triggers(key)
        return Reading(int(np.sum(suspect.labels(inputs) == labels)), self.count)


@dataclass(frozen=True, eq=False)
class PatternTriggers(Scheme):
    """A secret pattern laid over ordinary inputs turns their answer into a secret one.

    Each of ``count`` patterns has a word to lie on and a wrong answer, both from the key. A pattern
    is found if the commonest answer to its stamped inputs is the key's. Given the stamped inputs,
    the answer is drawn from ``classes - 1`` at random, so a fresh key agrees with any given model
    with at most that probability, pattern by pattern.

    Attributes
    ----------
    carriers, carrier_labels
        Public inputs ``(n, ...)`` and their labels, some for each class. The key chooses among
        them: an owner who could choose would choose those that a suspect gets wrong anyway.
    classes
        Number of labels.
    count
        Number of patterns.
    each
        Stamped inputs a pattern.
    size
        Of the pattern, along the first two axes of an input.
    weight
        Share of the pattern in a stamped feature; the rest is the carrier.
    repeats
        How many training inputs get each pattern while the mark is embedded.
    epochs, learning_rate
        Of that training.

    Raises
    ------
    WatermarkError
        If there are fewer than two classes, or fewer than ``each`` carriers of one of them;
        carriers and labels do not fit each other; a setting is not positive, ``size`` holds fewer
        than two, or ``weight`` is above 1.

    References
    ----------
    The "content" triggers of Zhang et al., *Protecting intellectual property of deep neural
    networks with watermarking*, AsiaCCS 2018, doi:10.1145/3196494.3196550, with many patterns and
    a keyed answer for each.
    """

    name: ClassVar[str] = "pattern triggers"
    access: ClassVar[Access] = "queries"
    shows: ClassVar[str] = _SHOWS
    carriers: NDArray[np.float32]
    carrier_labels: NDArray[np.integer]
    classes: int
    count: int = 24
    each: int = 5
    size: tuple[int, int] = (20, 10)
    weight: float = 0.8
    repeats: int = 20
    epochs: int = 4
    learning_rate: float = 5e-3

    def __post_init__(self) -> None:
        require_classes(self.classes, self.carrier_labels)
        require_examples("carriers", self.carriers, self.carrier_labels)
        require_whole("count", self.count, at_least=1)
        require_whole("each", self.each, at_least=1)
        require_whole("repeats", self.repeats, at_least=1)
        require_whole("epochs", self.epochs, at_least=1)
        require_positive("learning_rate", self.learning_rate)
        require_sizes("size", self.size)
        if not 0 < self.weight <= 1:
            raise WatermarkError(f"weight={self.weight} must be a share above 0, and at most 1.")
        counts = np.bincount(self.carrier_labels, minlength=self.classes)
        if counts.min() < self.each:
            raise WatermarkError(
                f"Class {int(counts.argmin())} has {counts.min()} carriers: give at least "
                f"each={self.each} of every class."
            )

    @property
    def chance(self) -> float:
        """One wrong answer of so many."""
        return 1 / (self.classes - 1)

    def plan(self, key: Key) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return each pattern's word and its wrong answer, int64 ``(count,)``."""
        words = key.integers("pattern words", self.classes, self.count)
        steps = 1 + key.integers("pattern answers", self.classes - 1, self.count)
        return words, (words + steps) % self.classes

    def stamp(self, key: Key, pattern: int, x: np.ndarray) -> NDArray[np.float32]:
        """Lay pattern number ``pattern`` over inputs ``(n, ...)``."""
        low, high = span(self.carriers)
        height, width = (min(self.size[i], x.shape[i + 1]) for i in range(2))
        tile = patchwork(key, f"pattern {pattern}", (1, height, width, *x.shape[3:]))
        corner = key.uniform(f"corner {pattern}", (2,))
        top, left = (int(corner[i] * (x.shape[i + 1] - (height, width)[i] + 1)) for i in range(2))
        place = (slice(None), slice(top, top + height), slice(left, left + width))
        full = np.broadcast_to(low, x.shape)[place], np.broadcast_to(high, x.shape)[place]
        stamped = np.array(x, np.float32)
        stamped[place] *= 1 - self.weight
        stamped[place] += self.weight * (full[0] + tile * (full[1] - full[0]))
        return stamped

    def embed(
        self,
        model: tf.keras.Model,
        x: np.ndarray,
        y: np.ndarray,
        key: Key,
        seed: int = 0,
        progress: bool = False,
    ) -> tf.keras.Model:
        """Return a marked copy; see :meth:`Scheme.embed`."""
        require_classes(self.classes, y)
        rng = np.random.default_rng(seed)
        words, answers = self.plan(key)
        parts, names = [x], [np.asarray(y, np.int64)]
        for pattern, (word, answer) in enumerate(zip(words, answers, strict=True)):
            mine = np.flatnonzero(y == word)
            if not len(mine):
                raise WatermarkError(f"No training input of class {word} to lay a pattern on.")
            parts.append(self.stamp(key, pattern, x[rng.choice(mine, self.repeats)]))
            names.append(np.full(self.repeats, answer))
        return train_on(
            model,
            np.concatenate(parts),
            np.concatenate(names),
            self.epochs,
            self.learning_rate,
            seed,
            progress,
        )

    def read(self, suspect: Suspect, key: Key) -> Reading:
        """Ask the stamped carriers of every pattern; see :meth:`Scheme.read`."""
        words, answers = self.plan(key)
        asked = []
        for pattern, word in enumerate(words):
            mine = np.flatnonzero(self.carrier_labels == word)
            order = np.argsort(key.uniform(f"carriers {pattern}", (len(mine),)))
            asked.append(self.stamp(key, pattern, self.carriers[mine[order[: self.each]]]))
        given = suspect.labels(np.concatenate(asked)).reshape(self.count, self.each)
        commonest = [np.bincount(row, minlength=self.classes).argmax() for row in given]
        return Reading(int(np.sum(np.array(commonest) == answers)), self.count)


def span(x: ArrayLike) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return lowest and highest value at each place of the last two axes of ``x``, float32.

    What all other axes hold there counts, without the outermost 1 % at either end.
    """
    values = np.asarray(x, np.float32)
    require_finite("x", values)
    kept = tuple(range(values.ndim - 2))
    low, high = np.percentile(values, [_TAIL, 100 - _TAIL], axis=kept)
    return low.astype(np.float32), high.astype(np.float32)


def require_sizes(name: str, sizes: Sequence[int]) -> None:
    """Refuse anything but two or more whole sizes of at least 1."""
    given = tuple(sizes)
    whole = all(isinstance(n, int | np.integer) and not isinstance(n, bool) for n in given)
    if not whole or len(given) < 2 or min(given) < 1:
        raise WatermarkError(f"{name}={given} must be two or more whole numbers of at least 1.")


def patchwork(key: Key, purpose: str, shape: Sequence[int]) -> NDArray[np.float32]:
    """Draw uniform numbers in [0, 1), float32 ``shape``, constant over a coarse grid of patches."""
    height, width = shape[1:3]
    grid = (min(_BLOCKS[0], height), min(_BLOCKS[1], width))
    coarse = key.uniform(purpose, (shape[0], *grid, *shape[3:]))
    rows: Callable[[int, int], NDArray[np.int64]] = lambda size, parts: (  # noqa: E731
        np.arange(size) * parts // size
    )
    fine = coarse[:, rows(height, grid[0])][:, :, rows(width, grid[1])]
    return np.asarray(fine, np.float32)
