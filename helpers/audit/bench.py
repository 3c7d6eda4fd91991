"""What every section of an audit works with: the model, its answers, the data, the settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from helpers._checks import Requirements, is_number
from helpers.audit.allowance import Allowance, Ask
from helpers.audit.answers import AnswerForm, find_form
from helpers.audit.data import AuditData
from helpers.errors import AuditError, OutOfTimeError

if TYPE_CHECKING:
    import tensorflow as tf

    from helpers.audit.model import UntrustedModel
    from helpers.watermark.key import Key

PROBED, LEAST_PROBED = 128, 16  # examples by which the answers' form is told
PART = 8  # of them asked at once
LEVELS = 255  # above black, of an 8-bit picture
LEAST_EPSILON = 1 / LEVELS


@dataclass(frozen=True)
class WeightMark:
    """A message that the owner has put into the weights.

    Attributes
    ----------
    key
        The owner's secret; it goes into no report.
    layer, bits
        Of :class:`helpers.watermark.uchida.WeightMessage`.
    """

    key: Key = field(repr=False)
    layer: int
    bits: int = 256


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
    answers
        What the model's answers are, one of ``helpers.audit.answers.STATED``; empty to tell it
        from them.
    mark
        The owner's mark in the weights to look for; None leaves it out.

    Raises
    ------
    AuditError
        If a number is out of its range.
    """

    seed: int = 0
    epsilon: float = 4 / 255
    images: int = 200
    attack_queries: int = 500
    devices: tuple[str, ...] = ()
    public_key: Path | None = None
    signature: Path | None = None
    answers: str = ""
    mark: WeightMark | None = None

    def __post_init__(self) -> None:
        if not is_number(self.epsilon) or not LEAST_EPSILON <= self.epsilon <= 1:
            raise AuditError(f"epsilon={self.epsilon!r} must be a number between 1/{LEVELS} and 1.")
        object.__setattr__(self, "epsilon", float(self.epsilon))  # NumPy's are no JSON
        for name, least in (("seed", 0), ("images", 1), ("attack_queries", 2)):
            value = getattr(self, name)
            Requirements(AuditError).whole(name, value, least)
            object.__setattr__(self, name, int(value))


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
    taken_as
        What the audited model's answers were taken as, in words; empty before that is known.
    judged, broken
        How many answers of the audited model were judged, and how many of them were NaN or
        infinite.
    """

    path: Path
    model: UntrustedModel
    data: AuditData | None
    settings: Settings = field(default_factory=Settings)
    innocents: tuple[UntrustedModel, ...] = ()
    no_answers: str = ""
    student: tf.keras.Model | None = None
    taken_as: str = ""
    judged: int = 0
    broken: int = 0
    _probed: dict[int, NDArray[np.float32]] = field(default_factory=dict)

    def answering(
        self, allowance: Allowance, model: UntrustedModel | None = None, *, gaps: bool = False
    ) -> Ask:
        """Return a model as scores, one column a class, asked only within an allowance.

        Parameters
        ----------
        allowance
            Ends the questions.
        model
            Whose answers; the audited model's when left out.
        gaps
            Whether an answer that is NaN or infinite is handed on, instead of ending the section.

        Raises
        ------
        AuditError
            On asking, if an answer is NaN or infinite and may not be.
        """
        chosen = self.model if model is None else model
        form = self.form(allowance, chosen)

        def judged(rows: NDArray[np.float32]) -> NDArray[np.float32]:
            answers = chosen.predict(rows)
            broken = len(answers) - int(np.isfinite(answers).all(axis=1).sum())
            if chosen is self.model:
                self.judged, self.broken = self.judged + len(answers), self.broken + broken
            if broken and not gaps:
                raise AuditError(
                    f"the model answered {broken} of {len(answers)} inputs with NaN or infinity"
                )
            return form.scores(answers)

        return allowance.guard(judged)

    def answering_pictures(self, allowance: Allowance) -> Ask:
        """Return the audited model over pictures in [0, 1]; see :meth:`answering`.

        Raises
        ------
        AuditError
            If the inputs are no pictures, or as for :meth:`answering`.
        """
        low, high = self.require_pictures()
        ask = self.answering(allowance)
        return lambda pictures: ask(np.float32(low) + np.float32(high - low) * pictures)

    def pictures(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return inputs as pictures in [0, 1].

        Raises
        ------
        AuditError
            If they are none, or their black and white are not known.
        """
        low, high = self.require_pictures()
        return np.clip((x - np.float32(low)) / np.float32(high - low), 0, 1).astype(np.float32)

    def probe(
        self, allowance: Allowance, model: UntrustedModel | None = None
    ) -> NDArray[np.float32]:
        """Return a model's raw answers to the first examples in :attr:`order`; asked once.

        Where time ends early they are fewer, but at least ``LEAST_PROBED``.

        Raises
        ------
        OutOfTimeError
            If there is no time for so many.
        """
        chosen = self.model if model is None else model
        if id(chosen) not in self._probed:
            x = self.require_data().examples.x[self.order[:PROBED]]
            ask = allowance.guard(chosen.predict)
            parts: list[NDArray[np.float32]] = []
            try:
                for start in range(0, len(x), PART):
                    parts.append(ask(x[start : start + PART]))
            except OutOfTimeError:
                if sum(map(len, parts)) < min(LEAST_PROBED, len(x)):
                    raise
            self._probed[id(chosen)] = np.concatenate(parts)
        return self._probed[id(chosen)]

    def form(self, allowance: Allowance, model: UntrustedModel | None = None) -> AnswerForm:
        """Return how a model gives its answers, read from a few of them or as stated.

        Raises
        ------
        AuditError
            If they cannot be judged; says why.
        """
        chosen = self.model if model is None else model
        answers = self.probe(allowance, chosen)
        truth = self.require_data().examples.y[self.order[: len(answers)]]
        finite = np.isfinite(answers).all(axis=1)
        if not finite.any():
            raise AuditError("the model answers with NaN or infinity")
        step = chosen.contract.outputs[0].scale
        found = find_form(answers[finite], truth[finite], self.settings.answers, step)
        if chosen is self.model:
            self.taken_as = str(found)
        return found

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """Return a random order of the examples, the same in every section.

        Raises
        ------
        AuditError
            As for :meth:`require_data`.
        """
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
