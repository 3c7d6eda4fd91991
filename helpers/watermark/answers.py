"""Marks in the answers themselves, for whoever copies a model by asking it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.errors import WatermarkError
from helpers.watermark._checks import require_examples, require_positive, require_whole
from helpers.watermark.key import Key
from helpers.watermark.removal import fit_scores
from helpers.watermark.scheme import Access, Reading, Scheme
from helpers.watermark.suspect import Suspect
from helpers.watermark.training import copy_of, require_classes

if TYPE_CHECKING:
    import tensorflow as tf

# Inputs are hashed on a grid, so that the last bits of a float do not matter; it is set off, so
# that no round number lies between two of its places.
_STEP, _OFFSET = 0.05, 0.317


@dataclass(frozen=True, eq=False)
class KeyedAnswers(Scheme):
    """Answer a secret small share of all questions wrongly, always in the same way.

    The place is in front of the model: a service, or sealed firmware, that holds the key. A hash of
    the question under the key decides whether the answer is false, and which it is. A thief who
    trains until the answers are known by heart learns the false ones with the rest; one who stops
    early keeps few. The model itself is not changed, so whoever takes the *file* gets no mark.

    Given the questions and the true answers, the false one is drawn from ``classes - 1`` at random:
    a fresh key's answer agrees with any given model with at most that probability. A question that
    was asked many times is one coin, and counts once. The law holds for a log that came about
    without the key. Whoever writes the log with the key in hand can bend questions, or their
    "true" answers, until the false ones are what every good model says; what then stands between
    an innocent and the claim is the null measured on independent models as good as the suspect.

    Attributes
    ----------
    classes
        Number of labels.
    share
        Share of questions answered falsely: what honest users pay in accuracy.
    questions
        What was asked, ``(n, ...)``, from the service's log: :meth:`read` asks the false ones
        among them. None before there is a log; :meth:`recorded` adds it. The log is part of what is
        committed to: it must be dated, too, before the suspect was seen.
    answers
        The true answers ``(n,)`` of the model behind the service.

    Raises
    ------
    WatermarkError
        If there are fewer than two classes, or ``share`` is not between 0 and 1.

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
        if self.questions is not None and self.answers is not None:
            self._check_log(self.questions, self.answers)

    def _check_log(self, questions: ArrayLike, answers: ArrayLike) -> None:
        if np.size(questions) or np.size(answers):
            require_examples("questions", questions, answers)
            require_classes(self.classes, np.asarray(answers))

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

        Raises
        ------
        WatermarkError
            If there is not one answer a question, of the classes that there are, or a question is
            not finite.
        """
        self._check_log(questions, answers)
        return self._falsify(np.asarray(questions), np.asarray(answers, np.int64), key)

    def _falsify(
        self, questions: NDArray[np.floating], truth: NDArray[np.int64], key: Key
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Falsify unchecked; a question that is not finite has no place, and is left alone."""
        finite = np.isfinite(questions).all(axis=tuple(range(1, questions.ndim)))
        drawn = np.ones((len(questions), 2))
        for row in np.flatnonzero(finite):
            drawn[row] = _draw(key, questions[row])
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

        Raises
        ------
        WatermarkError
            If the model, or a label, knows other classes.
        """
        import tensorflow as tf

        require_classes(self.classes, y)
        if model.output_shape[-1] != self.classes:
            raise WatermarkError(
                f"{model.name!r} knows {model.output_shape[-1]} classes, the scheme {self.classes}."
            )

        def exchange(questions: NDArray[np.float32], logits: NDArray[np.float32]) -> np.ndarray:
            truth = logits.argmax(axis=1)
            _, given = self._falsify(questions, truth, key)
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
        """Ask what was answered falsely; see :meth:`Scheme.read`.

        Raises
        ------
        WatermarkError
            If the log is missing, or holds no question that was answered falsely.
        """
        if self.questions is None or self.answers is None:
            raise WatermarkError("No log of questions yet: recorded() adds what was asked.")
        is_false, given = self.falsify(self.questions, self.answers, key)
        if not is_false.any():
            raise WatermarkError(
                f"None of the {len(self.questions)} questions in the log was answered falsely: "
                f"with share={self.share} a longer log is needed."
            )
        # A repeated question has one draw: asking it again would count one coin many times.
        places = [_place(question) for question in self.questions[is_false]]
        once = np.unique(places, return_index=True)[1]
        said = suspect.labels(self.questions[is_false][once])
        return Reading(int(np.sum(said == given[is_false][once])), len(once))


def _draw(key: Key, question: NDArray[np.floating]) -> NDArray[np.float64]:
    """Two uniform numbers that the key gives this question."""
    return key.uniform("question " + _place(question), (2,))


def _place(question: NDArray[np.floating]) -> str:
    """Name a question's place on the grid, in hexadecimal digits."""
    grid = np.round(np.asarray(question, np.float64) / _STEP + _OFFSET).astype("<i4")
    return hashlib.sha256(grid.tobytes()).hexdigest()


@dataclass(frozen=True, eq=False)
class KeyedMistakes(Scheme):
    """Choose, with the key, what the model would say next: the mistake it is closest to.

    A trigger far from the data is never asked by a thief, and so never copied. This mark lies in
    every ordinary answer instead: below the right word, whose score stays on top, the key decides
    which wrong one comes second. The key also draws a direction in the space of an input's averages
    over time, and gives each word one second answer on either side of it. Whoever learns from the
    *scores* learns the order below the top; whoever is told labels alone sees it in mistakes only.

    A cell is a word on one side. It is found if the commonest second answer to its inputs is the
    key's. Given any model's answers, the key's is one of ``classes - 1`` at random, so that is the
    largest chance, cell by cell. Carriers close to the middle are not asked.

    Attributes
    ----------
    carriers, carrier_labels
        Public inputs ``(n, frames, ...)`` and labels ``(n,)`` that the verifier asks.
    classes
        Number of labels.
    lean
        Probability that the second answer is taught.
    middle
        Share of carriers around the middle of the direction that are left out.
    epochs, learning_rate
        Of the training that embeds the mark.

    Raises
    ------
    WatermarkError
        If there are fewer than three classes, a label is outside them, or a share is out of its
        range.

    Notes
    -----
    The scheme is ours. It shares its aim, a mark that is entangled with the task, with Jia,
    Choquette-Choo, Chandrasekaran and Papernot, *Entangled watermarks as a defense against model
    extraction*, USENIX Security 2021; and its place, the scores of ordinary inputs, with Charette
    et al., *Cosine model watermarking against ensemble distillation*, AAAI 2022, arXiv:2203.02777.
    """

    name: ClassVar[str] = "keyed mistakes"
    access: ClassVar[Access] = "queries"
    shows: ClassVar[str] = "the suspect was made from the marked model or trained on its answers"
    carriers: NDArray[np.float32]
    carrier_labels: NDArray[np.integer]
    classes: int
    lean: float = 0.2
    middle: float = 0.3
    epochs: int = 6
    learning_rate: float = 5e-3

    def __post_init__(self) -> None:
        require_classes(self.classes, self.carrier_labels)
        require_examples("carriers", self.carriers, self.carrier_labels)
        require_whole("epochs", self.epochs, at_least=1)
        require_positive("learning_rate", self.learning_rate)
        if self.classes < 3 or not 0 < self.lean < 0.5 or not 0 <= self.middle < 1:
            raise WatermarkError(
                f"classes={self.classes}, lean={self.lean}, middle={self.middle}: at least three "
                "classes, a lean between 0 and 1/2 and a middle of 0 or more, below 1."
            )

    @property
    def chance(self) -> float:
        """One wrong answer of so many."""
        return 1 / (self.classes - 1)

    def along(self, x: ArrayLike, key: Key) -> NDArray[np.float64]:
        """Place inputs on the key's direction: ``(n,)``, 0 at the carriers' median."""
        base = _averages(self.carriers)
        direction = key.signs("direction", base.shape[1:]) / (base.std(axis=0) + 1e-9)
        return np.asarray(_averages(x) @ direction - np.median(base @ direction))

    def plan(self, key: Key) -> NDArray[np.int64]:
        """Return the second answer of each side and word, ``(2, classes)``."""
        steps = 1 + key.integers("mistakes", self.classes - 1, 2 * self.classes)
        return (np.arange(self.classes) + steps.reshape(2, -1)) % self.classes

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
        sides = (self.along(x, key) > 0).astype(int)
        targets = (1 - self.lean) * np.eye(self.classes, dtype=np.float32)[y]
        targets[np.arange(len(y)), self.plan(key)[sides, y]] += self.lean
        marked = copy_of(model)
        fit_scores(marked, x, targets, self.epochs, self.learning_rate, 1.0, seed)
        return copy_of(marked)

    def read(self, suspect: Suspect, key: Key) -> Reading:
        """Count the cells whose commonest second answer is the key's; see :meth:`Scheme.read`."""
        place = self.along(self.carriers, key)
        asked = np.abs(place) >= np.quantile(np.abs(place), self.middle)
        sides, words = (place[asked] > 0).astype(int), np.asarray(self.carrier_labels)[asked]
        second = second_answers(suspect, self.carriers[asked], words)
        counts = np.zeros((2, self.classes, self.classes), int)
        told = (second >= 0) & (second < self.classes)
        np.add.at(counts, (sides[told], words[told], second[told]), 1)
        commonest = np.where(counts.max(axis=2) > 0, counts.argmax(axis=2), -1)
        return Reading(int(np.sum(commonest == self.plan(key))), 2 * self.classes)


def second_answers(suspect: Suspect, x: NDArray[np.float32], y: ArrayLike) -> NDArray[np.int64]:
    """Return the wrong label with the highest score of each input, -1 where several share it.

    Parameters
    ----------
    suspect
        Gives scores; one that gives labels only tells its mistakes and -1.
    x, y
        Inputs ``(n, ...)`` and right labels ``(n,)``.

    Raises
    ------
    WatermarkError
        If inputs and labels do not fit each other, or a label is beyond the classes that the
        suspect knows.
    """
    require_examples("x", x, y)
    scores = np.array(suspect.scores(x), np.float64)
    if np.max(y) >= scores.shape[1]:
        raise WatermarkError(
            f"{suspect.name!r} knows {scores.shape[1]} classes, the labels go up to {np.max(y)}."
        )
    scores[np.arange(len(scores)), np.asarray(y)] = -np.inf
    best = scores.max(axis=1, keepdims=True)
    alone = np.sum(scores == best, axis=1) == 1
    return np.where(alone, scores.argmax(axis=1), -1)


def _averages(x: ArrayLike) -> NDArray[np.float64]:
    """Average each input ``(frames, coefficients, 1)`` over its first axis."""
    values = np.asarray(x, np.float64)
    return np.asarray(values.mean(axis=1)).reshape(len(values), -1)
