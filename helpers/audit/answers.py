"""How a model writes what it thinks of each class: read off a few answers, or stated.

A file does not say whether its numbers are probabilities, logits, one sigmoid a class, an embedding
or a measured value. Some of these look different; the rest agree with the examples' classes or do
not. What cannot be told is assumed and said, or refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from helpers.errors import AuditError
from helpers.robustness.target import proportion_interval
from helpers.watermark.removal import softmax

Kind = Literal["probabilities", "logits", "scores"]
NO_CLASSES = {
    "embedding": "an embedding, whose numbers are places in a space",
    "values": "measured values, as of a regression",
}
STATED = (*get_args(Kind), *NO_CLASSES)
_NEAR = 1e-3  # how far over 0 or 1 a probability may lie
_ROUNDED = 0.05  # how far from 1 a row of an int8 softmax may sum
_UNIT = 0.02  # how far from 1 the length of a quantised unit vector may lie


@dataclass(frozen=True)
class AnswerForm:
    """How a model gives its answers.

    Attributes
    ----------
    kind
        ``"probabilities"`` that sum to 1, ``"logits"`` whose softmax does, or ``"scores"``, one a
        class, of which only the order is known to mean something.
    single
        Whether one number stands for two classes.
    stated
        Whether somebody said so; else it was read off answers.
    why
        What it was read off, as a clause.
    """

    kind: Kind
    single: bool
    stated: bool = False
    why: str = ""

    def __str__(self) -> str:
        said = "as stated" if self.stated else f"assumed, for {self.why}"
        return f"taken as {self.kind}{', one for two classes' if self.single else ''} ({said})"

    def scores(self, answers: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return answers with one column a class, float32 ``(n, classes)``, at least two."""
        values = np.asarray(answers, np.float32)
        if not self.single:
            return values
        other = 1 - values if self.kind == "probabilities" else np.zeros_like(values)
        return np.concatenate([other, values], axis=1)

    def probabilities(self, scores: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return scores as probabilities, float32 ``(n, classes)``.

        Raises
        ------
        AuditError
            If only the order of the scores is known to mean something.
        """
        if self.kind == "scores":
            raise AuditError(
                f"its answers are {self}, so there is no probability of a class; if they are "
                "logits or probabilities, say so with --answers"
            )
        return np.asarray(scores, np.float32) if self.kind == "probabilities" else softmax(scores)


def find_form(
    answers: NDArray[np.floating],
    truth: NDArray[np.int64],
    stated: str = "",
    step: float = 0.0,
) -> AnswerForm:
    """Read off how a model answers, or check what somebody says about it.

    Parameters
    ----------
    answers
        A few, ``(n, classes)`` or ``(n, 1)``, finite.
    truth
        True classes of the inputs, ``(n,)``.
    stated
        One of ``STATED``; empty to read it off.
    step
        Between two neighbouring answers of a quantised output; 0 for real numbers.

    Raises
    ------
    AuditError
        If the answers are no scores of classes or not shown to be, or contradict what is stated.
    """
    if stated in NO_CLASSES:
        raise AuditError(f"its answers were stated to be {NO_CLASSES[stated]}: no class is right")
    single = answers.shape[1] == 1
    sums = _sums_to_one(answers, step)
    if stated == "probabilities" and not sums:
        raise AuditError(
            f"--answers probabilities does not fit: the answers go from {answers.min():.3g} to "
            f"{answers.max():.3g}, and a row sums to {answers.sum(axis=1).max():.3g}"
        )
    if stated:
        return AnswerForm(stated, single, stated=True)  # type: ignore[arg-type]
    return replace(_look(answers, truth, sums), single=single)


def _sums_to_one(answers: NDArray[np.floating], step: float) -> bool:
    """Whether answers are probabilities that sum to 1; one number leaves the rest to the other."""
    if answers.min() < -_NEAR or answers.max() > 1 + _NEAR:
        return False
    if answers.shape[1] == 1:
        return True
    sums = answers.sum(axis=1)
    # An int8 softmax rounds each class; of a thousand, most are rounded to nothing.
    missing = max(_ROUNDED, answers.shape[1] * step / 2)
    return bool(sums.min() >= 1 - missing and sums.max() <= 1 + _ROUNDED)


def _look(answers: NDArray[np.floating], truth: NDArray[np.int64], sums: bool) -> AnswerForm:
    columns = answers.shape[1]
    if sums:
        why = "each lies between 0 and 1" if columns == 1 else "each row sums to 1"
        return AnswerForm("probabilities", False, why=why)
    within = answers.min() >= -_NEAR and answers.max() <= 1 + _NEAR
    if within:
        return AnswerForm("scores", False, why=(
            "each number lies between 0 and 1 and the rows do not sum to 1, as with one sigmoid "
            "a class"
        ))  # fmt: skip
    agrees, evidence = _agrees(answers, truth)
    lengths = np.linalg.norm(answers, axis=1)
    unit = columns > 1 and float(np.abs(lengths - 1).max()) <= _UNIT
    if agrees:
        kind: Kind = "scores" if unit else "logits"
        return AnswerForm(kind, False, why=f"they are unbounded and agree with the classes on "
                          f"{evidence}")  # fmt: skip
    looks = (
        "rows of length 1, as an embedding gives" if unit
        else "one unbounded number, as a regression gives" if columns == 1
        else "unbounded numbers, as logits, an embedding or a regression give"
    )  # fmt: skip
    raise AuditError(
        f"its answers are {looks}, and they are not shown to name the right class more often than "
        f"the commonest would ({evidence}). If they are no scores of classes, say --answers "
        "embedding or values; if they are, look for the reason (order of the classes, --range, "
        "--label-offset), or say --answers logits to go on"
    )


def _agrees(answers: NDArray[np.floating], truth: NDArray[np.int64]) -> tuple[bool, str]:
    """Whether the largest score is shown to be right more often than the commonest class."""
    single = answers.shape[1] == 1
    said = answers[:, 0] > 0 if single else answers.argmax(axis=1)
    right, count = int((said == truth).sum()), len(truth)
    commonest = float(np.bincount(truth).max() / count)
    evidence = f"{right} of {count} examples, where the commonest class has {commonest:.0%}"
    return proportion_interval(right, count)[0] > commonest, evidence
