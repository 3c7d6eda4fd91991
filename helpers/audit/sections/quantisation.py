"""What the conversion changed, beside the float model that the file was made from."""

from __future__ import annotations

import numpy as np

from helpers.audit.allowance import Allowance
from helpers.audit.bench import Bench
from helpers.audit.results import Measure, Notes, Rated, interval_text
from helpers.errors import AuditError, OutOfTimeError
from helpers.robustness.findings import LIKELY, Severity
from helpers.robustness.paired import compare_paired

PART = 128
_LOST = 0.02  # of accuracy, from here on medium
RULE = (
    f"A loss of accuracy that is shown (exact McNemar test, p < {LIKELY:g}) is low, and medium if "
    f"it is {_LOST:.0%} or more. Otherwise the change is a note."
)


def quantisation(bench: Bench, allowance: Allowance, notes: Notes) -> None:
    """Ask both models about the same examples and compare answer by answer."""
    if bench.model.float_model is None:
        raise AuditError("the float model was not supplied: give it with --float")
    data = bench.require_data().examples
    here, there = bench.answering(allowance), bench.answering(allowance, bench.model.float_model)
    ours: list[np.ndarray] = []
    theirs: list[np.ndarray] = []
    try:
        for start in range(0, len(data), PART):
            x = data.x[bench.order[start : start + PART]]
            pair = here(x), there(x)
            ours.append(pair[0])
            theirs.append(pair[1])
    except OutOfTimeError as late:
        if not ours:
            raise
        notes.not_done.append(f"{len(data) - sum(map(len, ours))} of {len(data)} examples: {late}")
    scores = np.concatenate(ours), np.concatenate(theirs)
    if scores[0].shape != scores[1].shape:
        raise AuditError(
            f"the file answers {scores[0].shape[1]} classes and the float model "
            f"{scores[1].shape[1]}: they are not the same model"
        )
    truth = data.y[bench.order[: len(scores[0])]]
    said = [values.argmax(axis=1) for values in scores]
    _report(bench, notes, truth, said)


def _report(bench: Bench, notes: Notes, truth: np.ndarray, said: list[np.ndarray]) -> None:
    assert bench.model.float_model is not None
    count = len(truth)
    right = [labels == truth for labels in said]
    notes.share("file_accuracy", "Accuracy of the file", int(right[0].sum()), count, "higher")
    notes.share("float_accuracy", "Accuracy of the float model", int(right[1].sum()), count)
    same = notes.share("agreement", "Both give the same answer",
                       int((said[0] == said[1]).sum()), count)  # fmt: skip
    pair = compare_paired(right[1], right[0])
    low, high = pair.interval
    change = pair.difference
    notes.measures += [
        Measure("change", "Accuracy gained by the conversion", change, min(low, change),
                max(high, change), "share", count, better="higher"),
        Measure("size_ratio", "Size of the file as a share of the float model's",
                bench.model.size_bytes / bench.model.float_model.size_bytes, kind="read"),
    ]  # fmt: skip
    shown = pair.p_value < LIKELY and change < 0
    severity: Severity = "note"
    if shown:
        severity = "medium" if change <= -_LOST else "low"
    notes.findings.append(Rated(
        "What the conversion cost", severity,
        f"{'a' if shown else 'no'} loss is shown: accuracy changes by {change:+.1%} "
        f"({interval_text(low, high)}; p = {pair.p_value:.2g}); the same answer on "
        f"{same.value:.1%}",
        "Calibrate with more of your own data, or train with quantization in the loop."
        if shown else "Nothing. Rounding is no defence either: attack the file, not the original.",
        RULE,
    ))  # fmt: skip
