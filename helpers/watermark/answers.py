"""Marks in the answers themselves, for whoever copies a model by asking it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.errors import WatermarkError
from helpers.watermark.key import Key
from helpers.watermark.scheme import Access, Reading, Scheme
from helpers.watermark.suspect import Suspect
from helpers.watermark.training import copy_of, require_classes, train_on

if TYPE_CHECKING:
    import tensorflow as tf

_STEP = 0.05  # inputs are hashed on this grid, so that the last bits of a float do not matter


@dataclass(frozen=True, eq=False)
class KeyedAnswers(Scheme):
    """Answer a secret small share of all questions wrongly, always in the same way.

    The place is in front of the model: a service, or sealed firmware, that holds the key. A hash of
    the question under the key decides whether the answer is false, and which it is. A thief who
    trains on the answers learns the false ones with the rest; nobody can tell them from mistakes.
    The model itself is not changed, so whoever takes the *file* gets no mark.

    Given the questions and the true answers, the false one is drawn from ``classes - 1`` at random:
    a fresh key's answer agrees with any given model with at most that probability.

    Attributes
    ----------
    classes
        Number of labels.
    share
        Share of questions answered falsely: what honest users pay in accuracy.
    questions
        What was asked, ``(n, ...)``, from the service's log: :meth:`read` asks the false ones
        among them. None before there is a log; :meth:`recorded` adds it.
    answers
        The true answers ``(n,)`` of the model behind the service.

    References
    ----------
    Szyller, Atli, Marchal and Asokan, *DAWN: dynamic adversarial watermarking of neural networks*,
    ACM Multimedia 2021, doi:10.1145/3474085.3475591.
    """

    name: ClassVar[str] = "keyed answers"
    access: ClassVar[Access] = "queries"
    shows: ClassVar[str] = "the suspect was trained on answers of the owner's service"
    classes: int
    share: float = 0.01
    questions: NDArray[np.float32] | None = None
    answers: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        require_classes(self.classes)
        if not 0 < self.share < 1:
            raise WatermarkError(f"share={self.share}: between 0 and 1, such as 0.01.")

    @property
    def chance(self) -> float:
        """One wrong answer of so many."""
        return 1 / (self.classes - 1)

    def recorded(self, model: tf.keras.Model, questions: ArrayLike) -> KeyedAnswers:
        """Return the scheme with the log of what ``model`` behind the service was asked."""
        from helpers.watermark.folding import suspect_of

        asked = np.asarray(questions, np.float32)
        return replace(self, questions=asked, answers=suspect_of(model).labels(asked))

    def falsify(
        self, questions: ArrayLike, answers: ArrayLike, key: Key
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Return which questions are answered falsely, and all answers as the service gives them.

        Parameters
        ----------
        questions
            ``(n, ...)``.
        answers
            True answers ``(n,)``.
        key
            The owner's secret.
        """
        drawn = np.array([_draw(key, question) for question in np.asarray(questions)])
        truth = np.asarray(answers, np.int64)
        if not len(drawn):
            return np.zeros(0, bool), truth
        is_false = drawn[:, 0] < self.share
        steps = 1 + (drawn[:, 1] * (self.classes - 1)).astype(np.int64)
        return is_false, np.where(is_false, (truth + steps) % self.classes, truth)

    def embed(
        self,
        model: tf.keras.Model,
        x: np.ndarray,
        y: np.ndarray,
        key: Key,
        seed: int = 0,
        progress: bool = False,
    ) -> tf.keras.Model:
        """Return the service: the model with the false answers in front; no training.

        It answers as a model does, with logits that are exchanged where the answer is false. It
        cannot be converted or trained on, since a device that holds it would hold the key.
        """
        import tensorflow as tf

        require_classes(self.classes, y)

        def exchange(questions: NDArray[np.float32], logits: NDArray[np.float32]) -> np.ndarray:
            truth = logits.argmax(axis=1)
            _, given = self.falsify(questions, truth, key)
            rows, shown = np.arange(len(logits)), logits.copy()
            shown[rows, given], shown[rows, truth] = logits[rows, truth], logits[rows, given]
            return shown

        def serve(given: list[tf.Tensor]) -> tf.Tensor:
            shown = tf.numpy_function(exchange, given, tf.float32)
            shown.set_shape(given[1].shape)
            return shown

        inputs = tf.keras.Input(model.input_shape[1:])
        logits = copy_of(model)(inputs, training=False)
        return tf.keras.Model(
            inputs, tf.keras.layers.Lambda(serve)([inputs, logits]), name="service"
        )

    def read(self, suspect: Suspect, key: Key) -> Reading:
        """Ask what was answered falsely; see :meth:`Scheme.read`."""
        if self.questions is None or self.answers is None:
            raise WatermarkError("No log of questions yet: recorded() adds what was asked.")
        is_false, given = self.falsify(self.questions, self.answers, key)
        if not is_false.any():
            raise WatermarkError(
                f"None of the {len(self.questions)} questions in the log was answered falsely: "
                f"with share={self.share} a longer log is needed."
            )
        said = suspect.labels(self.questions[is_false])
        return Reading(int(np.sum(said == given[is_false])), int(is_false.sum()))


def _draw(key: Key, question: NDArray[np.floating]) -> NDArray[np.float64]:
    """Two uniform numbers that the key gives this question."""
    grid = np.round(np.asarray(question, np.float64) / _STEP).astype("<i4")
    return key.uniform("question " + hashlib.sha256(grid.tobytes()).hexdigest(), (2,))


@dataclass(frozen=True, eq=False)
class KeyedMistakes(Scheme):
    """Make keyed mistakes on ordinary inputs, so that they are copied with the knowledge.

    A trigger far from the data is never asked by a thief, and so never copied. Here the key draws
    ``regions`` directions in the space of an input's averages over time. The inputs that lie
    furthest along one of them, ``share`` of the training data each, form its region; for each
    region and word the key draws one wrong answer. Whoever learns from the model's answers to
    ordinary inputs meets the regions in due proportion.

    A (region, word) cell is found if the commonest *wrong* answer to its inputs is the key's. Given
    a model's answers, the key's is drawn from ``classes - 1`` at random, so that is the largest
    chance, cell by cell.

    Attributes
    ----------
    carriers, carrier_labels
        Inputs ``(n, ...)`` and labels that the verifier asks; only those in a region matter.
    classes
        Number of labels.
    regions
        Number of directions.
    share
        Share of inputs in one region: accuracy lost is up to ``regions`` times this.
    repeats
        How often an input of a region stands in the training data.
    epochs, learning_rate
        Of the training that embeds the mark.

    Notes
    -----
    The scheme is ours. Its aim is that of Jia, Choquette-Choo, Chandrasekaran and Papernot,
    *Entangled watermarks as a defense against model extraction*, USENIX Security 2021, whose soft
    nearest neighbour loss entangles features of triggers and of data; here the triggers *are* data.
    """

    name: ClassVar[str] = "keyed mistakes"
    access: ClassVar[Access] = "queries"
    shows: ClassVar[str] = "the suspect was made from the marked model or trained on its answers"
    carriers: NDArray[np.float32]
    carrier_labels: NDArray[np.integer]
    classes: int
    regions: int = 3
    share: float = 0.02
    repeats: int = 4
    epochs: int = 4
    learning_rate: float = 2e-3

    def __post_init__(self) -> None:
        require_classes(self.classes, self.carrier_labels)
        if self.regions < 1 or not 0 < self.share * self.regions < 0.5:
            raise WatermarkError(
                f"{self.regions} regions of share {self.share}: together above 0 and below half."
            )

    @property
    def chance(self) -> float:
        """One wrong answer of so many."""
        return 1 / (self.classes - 1)

    def region_of(self, x: np.ndarray, key: Key) -> NDArray[np.int64]:
        """Return the region of each input ``(n,)``, -1 for none.

        Directions and thresholds are taken from the carriers, which the commitment fixes.
        """
        centre, scale, limits = self._frame(key)
        along = _averages(x) - centre
        along = along / scale @ self._directions(key, along.shape[1])
        beyond = along - limits
        best = beyond.argmax(axis=1)
        return np.where(beyond.max(axis=1) > 0, best, -1)

    def _directions(self, key: Key, size: int) -> NDArray[np.float64]:
        drawn = key.signs("directions", (size, self.regions)).astype(np.float64)
        return drawn / np.sqrt(size)

    def _frame(self, key: Key) -> tuple[NDArray, NDArray, NDArray]:
        values = _averages(self.carriers)
        centre, scale = values.mean(axis=0), values.std(axis=0) + 1e-9
        along = (values - centre) / scale @ self._directions(key, values.shape[1])
        return centre, scale, np.quantile(along, 1 - self.share, axis=0)

    def plan(self, key: Key) -> NDArray[np.int64]:
        """Return the wrong answer of each region and word, ``(regions, classes)``."""
        steps = 1 + key.integers("mistakes", self.classes - 1, self.regions * self.classes)
        words = np.arange(self.classes)
        return (words + steps.reshape(self.regions, self.classes)) % self.classes

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
        region = self.region_of(x, key)
        inside = region >= 0
        names = np.array(y, np.int64)
        names[inside] = self.plan(key)[region[inside], names[inside]]
        copies = np.where(inside, self.repeats, 1)
        return train_on(
            model,
            np.repeat(x, copies, axis=0),
            np.repeat(names, copies),
            self.epochs,
            self.learning_rate,
            seed,
            progress,
        )

    def read(self, suspect: Suspect, key: Key) -> Reading:
        """Count the cells whose commonest wrong answer is the key's; see :meth:`Scheme.read`."""
        region = self.region_of(self.carriers, key)
        inside = region >= 0
        words, region = np.asarray(self.carrier_labels)[inside], region[inside]
        said = suspect.labels(self.carriers[inside])
        counts = np.zeros((self.regions, self.classes, self.classes), int)
        np.add.at(counts, (region, words, said), 1)
        present = counts.sum(axis=2) > 0
        right = np.arange(self.classes)
        counts[:, right, right] = 0
        commonest = np.where(counts.max(axis=2) > 0, counts.argmax(axis=2), -1)
        found = (commonest == self.plan(key)) & present
        return Reading(int(found.sum()), int(present.sum()))


def _averages(x: ArrayLike) -> NDArray[np.float64]:
    """Average each input ``(frames, coefficients, 1)`` over its first axis."""
    values = np.asarray(x, np.float64)
    return np.asarray(values.mean(axis=1)).reshape(len(values), -1)
