"""What weather, optics and motion do to the answers; nobody has to attack."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from helpers.audit.allowance import Allowance, Ask
from helpers.audit.bench import Bench
from helpers.audit.results import Chart, Measure, Notes, Rated, Series, interval_text
from helpers.errors import AuditError, OutOfTimeError
from helpers.robustness.findings import RULE, severity_of
from helpers.robustness.paired import compare_paired
from helpers.robustness.perturbations import PERTURBATIONS, perturb_batch

SEVERITIES = (3, 1, 5)  # in the order in which they are tried
SHOWN = 4  # lines in the chart
_PART = 10  # pictures spoilt between two looks at the time
LEFT_OUT = ("printed_patch",)  # somebody put it there


@dataclass(frozen=True, eq=False)
class _Trial:
    """Pictures and their classes, to be spoilt and asked within an allowance."""

    ask: Ask
    allowance: Allowance
    pictures: NDArray[np.float32]
    truth: NDArray[np.int64]
    seed: int

    @cached_property
    def right(self) -> np.ndarray:
        """Which pictures are right as they are, bool ``(n,)``; asked once."""
        right: np.ndarray = self.ask(self.pictures).argmax(axis=1) == self.truth
        return right

    def first(self, count: int) -> _Trial:
        """Return the same with the first pictures alone."""
        return replace(self, pictures=self.pictures[:count], truth=self.truth[:count])

    def after(self, name: str, severity: int) -> np.ndarray:
        """Return which pictures are right once spoilt, bool ``(n,)``."""
        said = []
        for start in range(0, len(self.pictures), _PART):
            self.allowance.require()
            part = self.pictures[start : start + _PART]
            colour = np.repeat(part, 3 // part.shape[3], axis=3)
            spoilt = perturb_batch(colour, name, severity, self.seed + start).images
            if part.shape[3] == 1:
                spoilt = spoilt.mean(axis=3, keepdims=True)
            said.append(self.ask(spoilt).argmax(axis=1))
        return np.concatenate(said) == self.truth


def corruption(bench: Bench, allowance: Allowance, notes: Notes) -> None:
    """Spoil pictures in each way of ``helpers.robustness.perturbations``, severity by severity."""
    bench.require_pictures()
    rows = bench.order[: bench.settings.images]
    data = bench.require_data().examples
    ask, seed = bench.answering_pictures(allowance), bench.settings.seed
    names = [name for name in PERTURBATIONS if name not in LEFT_OUT]
    trial = _Trial(ask, allowance, bench.pictures(data.x[rows]), data.y[rows], seed)
    count = _affordable(trial.first(_PART), allowance, len(rows), names)
    if count < len(rows):
        notes.not_done.append(
            f"{len(rows) - count} of {len(rows)} pictures: the time is enough for {count} in each "
            f"corruption at severity {SEVERITIES[0]}. Give a larger --budget."
        )
    trial = trial.first(count)
    if not trial.right.any():
        raise AuditError(f"none of {count} examples is right even when nothing is done to it")
    after = _tried(trial, names, notes)
    if not after:
        return
    _tables(notes, trial, after)
    _charts(notes, trial, after)
    _worst(notes, trial, {name: kept for (name, at), kept in after.items() if at == SEVERITIES[0]})


def _tried(trial: _Trial, names: list[str], notes: Notes) -> dict[tuple[str, int], np.ndarray]:
    """Return which pictures stay right by corruption and severity; note what time did not reach."""
    after: dict[tuple[str, int], np.ndarray] = {}
    longest = 0.0
    try:
        for severity in SEVERITIES:
            for name in names:
                trial.allowance.require(longest, "one more corruption")
                before = trial.allowance.spent
                after[name, severity] = trial.after(name, severity)
                longest = max(longest, trial.allowance.spent - before)
    except OutOfTimeError as late:
        missing = len(names) * len(SEVERITIES) - len(after)
        notes.not_done.append(f"{missing} corruptions were not tried: {late}")
    return after


def _affordable(few: _Trial, allowance: Allowance, count: int, names: list[str]) -> int:
    """Return how many pictures can go through all corruptions of one severity, as a few have."""
    few.first(1).after(names[0], SEVERITIES[0])  # loads what spoils pictures, which must not count
    before = allowance.spent
    few.after(names[0], SEVERITIES[0])
    each = (allowance.spent - before) / len(few.pictures)
    fitting = allowance.left / (each * (len(names) + 1)) if each > 0 else count
    return int(np.clip(fitting, min(_PART, count), count))


def _tables(notes: Notes, trial: _Trial, after: dict[tuple[str, int], np.ndarray]) -> None:
    count = len(trial.truth)
    notes.share("clean", "Accuracy on these pictures as they are", int(trial.right.sum()), count,
                "higher")  # fmt: skip
    at_first = [kept.mean() for (_, at), kept in after.items() if at == SEVERITIES[0]]
    notes.measures.append(Measure(
        "mean", f"Mean accuracy over {len(at_first)} corruptions, severity {SEVERITIES[0]}",
        float(np.mean(at_first)), unit="share", trials=count, better="higher",
    ))  # fmt: skip
    tried = sorted({at for _, at in after})
    rows = []
    for name in dict.fromkeys(name for name, _ in after):
        cells = [after.get((name, at)) for at in tried]
        shown = ["-" if kept is None else f"{kept.mean():.1%}" for kept in cells]
        rows.append([PERTURBATIONS[name].title, PERTURBATIONS[name].constants, *shown])
    columns = ["Corruption", "Constants of", *(f"Severity {at}" for at in tried)]
    notes.table(f"Accuracy of {count} pictures", columns, rows)


def _charts(notes: Notes, trial: _Trial, after: dict[tuple[str, int], np.ndarray]) -> None:
    tried = sorted({at for _, at in after})
    whole = [n for n in dict.fromkeys(n for n, _ in after) if all((n, at) in after for at in tried)]
    worst = sorted(whole, key=lambda name: after[name, tried[-1]].mean())[:SHOWN]
    if not worst:
        return
    start = float(trial.right.mean())
    lines = [
        Series(PERTURBATIONS[name].title, (0.0, *map(float, tried)),
               (start, *(float(after[name, at].mean()) for at in tried)))
        for name in worst
    ]  # fmt: skip
    title = f"The {len(lines)} worst corruptions"
    notes.charts.append(Chart(title, "severity", "accuracy", tuple(lines)))


def _worst(notes: Notes, trial: _Trial, after: dict[str, np.ndarray]) -> None:
    if not after:
        return
    name = min(after, key=lambda name: float(after[name].mean()))
    # The worst of several looks worse than it is: the interval is widened for all of them.
    pair = compare_paired(trial.right, after[name], 1 - 0.05 / len(after))
    low, high = sorted(-end for end in pair.interval)
    title = PERTURBATIONS[name].title
    loss = -pair.difference
    notes.measures.append(Measure(
        "worst_loss", f"Accuracy lost to {title}, severity {SEVERITIES[0]}, the worst",
        loss, min(low, loss), max(high, loss), "share", pair.trials, better="lower",
    ))  # fmt: skip
    fell, right = int((trial.right & ~after[name]).sum()), int(trial.right.sum())
    notes.findings.append(Rated(
        "Weather, optics or motion make it wrong",
        severity_of(fell, right, "the file") if low > 0 else "low",
        f"worst is {title}: at severity {SEVERITIES[0]} of 5, {fell} of {right} right pictures "
        f"become wrong; accuracy falls by {loss:.1%} ({interval_text(low, high)}, corrected for "
        f"{len(after)} tries)",
        "Train with it, warn the user where it occurs, or let the model decline to answer.",
        f"{RULE} Nobody attacks here, so no step is added. A loss that is not shown is low.",
    ))  # fmt: skip
