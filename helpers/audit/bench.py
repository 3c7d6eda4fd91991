"""What every section of an audit works with: the model, its answers, the data, the settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from helpers.audit.allowance import Allowance, Ask
from helpers.audit.data import AuditData
from helpers.errors import AuditError
from helpers.watermark.removal import softmax

if TYPE_CHECKING:
    import tensorflow as tf

    from helpers.audit.model import UntrustedModel

_PROBED = 64


@dataclass(frozen=True)
class Settings:
    """How an audit is done.

    Attributes
    ----------
    seed
        Of all that is drawn.
    epsilon
        L-infinity radius of the attacks, pictures in [0, 1].
    images
        Examples that attacks and corruptions use, at most.
    attack_queries
        Questions that an attack may ask about one example.
    devices
        Names in ``helpers.edge.devices.DEVICES`` to estimate the latency for.
    public_key, signature
        To check the file's signature with; None leaves it out.
    """

    seed: int = 0
    epsilon: float = 4 / 255
    images: int = 200
    attack_queries: int = 500
    devices: tuple[str, ...] = ()
    public_key: Path | None = None
    signature: Path | None = None


@dataclass(eq=False)
class Bench:
    """One audit's model and data.

    Attributes
    ----------
    path
        The model's file.
    model
        Opened in the sandbox.
    data
        Examples; None where none were supplied.
    settings
        How the audit is done.
    innocents
        Models made independently of the owner's, for an ownership test.
    no_answers
        Why the model's answers cannot be judged, in words; empty if they can.
    student
        A copy distilled from the answers, inputs in [0, 1] to logits; made by one section, used by
        another.
    """

    path: Path
    model: UntrustedModel
    data: AuditData | None
    settings: Settings = field(default_factory=Settings)
    innocents: tuple[UntrustedModel, ...] = ()
    no_answers: str = ""
    student: tf.keras.Model | None = None

    def answering(self, allowance: Allowance, model: UntrustedModel | None = None) -> Ask:
        """Return a model as scores, one column a class, asked only within an allowance.

        Parameters
        ----------
        allowance
            Ends the questions.
        model
            Whose answers; the audited model's when left out.
        """
        form = self.form if model is None else AnswerForm.of(self._probe(model))
        chosen = self.model if model is None else model
        return allowance.guard(lambda rows: form.scores(ask(chosen, rows)))

    def answering_pictures(self, allowance: Allowance) -> Ask:
        """Return the audited model over pictures in [0, 1]; see :meth:`answering`."""
        low, high = self.require_pictures()
        ask = self.answering(allowance)
        return lambda pictures: ask(np.float32(low) + np.float32(high - low) * pictures)

    def pictures(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return inputs as pictures in [0, 1]."""
        low, high = self.require_pictures()
        return np.clip((x - np.float32(low)) / np.float32(high - low), 0, 1).astype(np.float32)

    @cached_property
    def form(self) -> AnswerForm:
        """How the model gives its answers, read from a few of them."""
        return AnswerForm.of(self._probe(self.model))

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """Return a random order of the examples, the same in every section."""
        generator = np.random.default_rng(self.settings.seed)
        return generator.permutation(len(self.require_data().examples))

    def require_data(self) -> AuditData:
        """Return the data, or raise AuditError if no answer can be judged by them."""
        if self.no_answers:
            raise AuditError(self.no_answers)
        if self.data is None:
            raise AuditError("no examples were supplied: give --data")
        return self.data

    def require_pictures(self) -> tuple[float, float]:
        """Return what the model takes black and white as, or raise AuditError."""
        span = self.require_data().span
        if span is None:
            raise AuditError(
                "the inputs are no pictures whose black and white are known, so a change of a few "
                "grey levels means nothing; if they are pictures, say --range"
            )
        return span

    def _probe(self, model: UntrustedModel) -> NDArray[np.float32]:
        x = self.require_data().examples.x[self.order[:_PROBED]]
        return np.concatenate([ask(model, x[i : i + 8]) for i in range(0, len(x), 8)])


def classes_of(model: UntrustedModel) -> int:
    """Return how many classes a model tells apart; 0 if its answers are no scores of classes.

    One score for each input stands for two classes.
    """
    if model.task.kind == "classifier":
        return model.task.classes
    given, answers = model.contract.inputs, model.contract.outputs
    if model.contract.stateful or len(given) != 1 or len(answers) != 1:
        return 0
    whole = len(given[0].shape) > 1 and None not in given[0].shape[1:]
    return 2 if whole and len(answers[0].shape) > 1 and prod(answers[0].stated.shape) == 1 else 0


def ask(model: UntrustedModel, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a model's answers as the file gives them, float32 ``(n, classes or 1)``."""
    if model.task.kind == "classifier":
        return model.predict(rows)
    codes = model.contract.inputs[0].encode(rows)
    answers = model.contract.outputs[0].stated.decode(model.raw_predict([codes])[0])
    return np.asarray(answers, np.float32).reshape(len(rows), -1)


@dataclass(frozen=True)
class AnswerForm:
    """How a model writes what it thinks of each class.

    Attributes
    ----------
    normalised
        Whether its numbers are probabilities already; others are taken as logits.
    single
        Whether one number stands for two classes.
    """

    normalised: bool
    single: bool

    @classmethod
    def of(cls, answers: NDArray[np.floating]) -> AnswerForm:
        """Read the form off a few answers ``(n, classes)``.

        Raises
        ------
        AuditError
            If they are not one row of finite numbers an input.
        """
        if answers.ndim != 2 or not answers.size or not np.isfinite(answers).all():
            raise AuditError(
                f"the model's answers have shape {answers.shape}, or hold NaN or infinity; "
                "expected one row of finite scores for each input"
            )
        single = answers.shape[1] == 1
        within = answers.min() >= -1e-3 and answers.max() <= 1 + 1e-3
        # An int8 softmax rounds each class, so its rows sum to 1 only nearly.
        sums = single or np.allclose(answers.sum(axis=1), 1, atol=0.05)
        return cls(bool(within and sums), single)

    def scores(self, answers: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return answers with one column a class, float32 ``(n, classes)``, at least two.

        Raises
        ------
        AuditError
            If one is NaN or infinite.
        """
        values = np.asarray(answers, np.float32)
        if not np.isfinite(values).all():
            raise AuditError("the model answered with NaN or infinity")
        if not self.single:
            return values
        other = 1 - values if self.normalised else np.zeros_like(values)
        return np.concatenate([other, values], axis=1)

    def probabilities(self, scores: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return scores as probabilities, float32 ``(n, classes)``."""
        return np.asarray(scores, np.float32) if self.normalised else softmax(scores)
