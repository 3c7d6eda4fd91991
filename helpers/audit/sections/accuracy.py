"""How often the model is right on the practitioner's examples, and for which classes."""

from __future__ import annotations

import numpy as np

from helpers.audit.allowance import Allowance
from helpers.audit.bench import Bench
from helpers.audit.results import Measure, Notes, Rated, interval_text
from helpers.errors import AuditError, OutOfTimeError
from helpers.robustness.target import proportion_interval

MOST_CLASSES = 30  # shown in the table
LEAST_OF_CLASS = 10  # examples, before a class is said to be worse
_PART = 256
RULE = (
    "A class is said to be recognised less often only if the upper end of its 95% interval, "
    "corrected for the number of classes, is below the accuracy over all: then medium. A model "
    "that is not shown to be better than naming the commonest class is a doubt about the audit: "
    "high."
)


def accuracy(bench: Bench, allowance: Allowance, notes: Notes) -> None:
    """Measure the accuracy over all examples and by class, and what the model confuses."""
    data = bench.require_data()
    ask = bench.answering(allowance, gaps=True)
    rows = bench.order
    answers: list[np.ndarray] = []
    try:
        for start in range(0, len(rows), _PART):
            answers.append(ask(data.examples.x[rows[start : start + _PART]]))
    except OutOfTimeError as late:
        if not answers:
            raise
        done = sum(map(len, answers))
        notes.not_done.append(f"{len(rows) - done} of {len(rows)} examples: {late}")
    scores = np.concatenate(answers)
    truth = data.examples.y[rows[: len(scores)]]
    finite = np.isfinite(scores).all(axis=1)
    said = np.where(finite, scores.argmax(axis=1), -1)  # what is no number names no class
    right = said == truth
    overall = notes.share("accuracy", "Accuracy", int(right.sum()), len(right), "higher")
    _against_guessing(notes, right, truth)
    _by_class(notes, truth, said, overall.value)
    try:
        _confidence(notes, bench.form(allowance).probabilities(scores[finite]).max(axis=1))
    except AuditError as error:
        notes.not_done.append(f"How sure it is on average: {error}.")


def _confidence(notes: Notes, highest: np.ndarray) -> None:
    """Note how sure the model is on average; the interval is that of a mean, by a normal law."""
    mean = float(highest.mean())
    reach = 1.96 * float(highest.std()) / len(highest) ** 0.5
    notes.measures.append(Measure(
        "confidence", "Mean probability of the answer given", mean, max(0.0, mean - reach),
        min(1.0, mean + reach), "share", len(highest),
    ))  # fmt: skip


def _against_guessing(notes: Notes, right: np.ndarray, truth: np.ndarray) -> None:
    commonest = float(np.bincount(truth).max() / len(truth))
    low, high = proportion_interval(int(right.sum()), len(right))
    if low <= commonest and commonest < 1:
        notes.findings.append(Rated(
            "The model is not shown to be better than guessing", "high",
            f"accuracy {interval_text(low, high)}; always naming the commonest class would give "
            f"{commonest:.1%}",
            "Check the order of the classes, --label-offset and --range before you read on.",
            RULE,
        ))  # fmt: skip


def _by_class(notes: Notes, truth: np.ndarray, said: np.ndarray, overall: float) -> None:
    present = np.unique(truth)
    confidence = 1 - 0.05 / len(present)
    table, worse = [], []
    for label in present:
        own = truth == label
        found, count = int((said[own] == label).sum()), int(own.sum())
        _, high = proportion_interval(found, count, confidence)
        others = np.bincount(said[own & (said != label) & (said >= 0)], minlength=1)
        taken = f"{others.argmax()} ({others.max()})" if others.any() else "-"
        interval = interval_text(*proportion_interval(found, count))
        table.append((found / count, (label, count, f"{found / count:.1%}", interval, taken)))
        if high < overall and count >= LEAST_OF_CLASS:
            worse.append(f"class {label}: {found} of {count}")
    rows = [row for _, row in sorted(table, key=lambda pair: pair[0])[:MOST_CLASSES]]
    title = "By class, worst first"
    if len(table) > len(rows):
        title += f" ({len(rows)} of {len(table)} classes)"
    columns = ("Class", "Examples", "Recognised", "95% interval", "Most often taken for")
    notes.table(title, columns, rows)
    if worse:
        notes.findings.append(Rated(
            "Some classes are recognised less often than the rest",
            "medium",
            f"{len(worse)} of {len(present)}, over all {overall:.1%}: {'; '.join(worse[:5])}",
            "Look at what they are taken for, and collect more of them before you ship.", RULE,
        ))  # fmt: skip
