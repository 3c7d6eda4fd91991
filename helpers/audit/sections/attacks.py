"""How easily the deployed file is fooled: by who reads it, who copies it, who only asks it.

The file judges every changed picture, as it can be saved in 8 bits. Gradients come from a replica
that is rebuilt here from numbers the sandbox has read and tried, or from a copy that was distilled
from answers. ``edgesec assess`` has stronger attacks and a checklist for masked gradients, for a
file that is trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from helpers.audit.allowance import Allowance
from helpers.audit.bench import Bench
from helpers.audit.results import Chart, Notes, Rated, Series, interval_text
from helpers.errors import AuditError, EdgesecError, OutOfTimeError
from helpers.robustness.budget import Budget, as_stored, round_to_stored
from helpers.robustness.curves import query_curve
from helpers.robustness.findings import RULE, Needs, severity_of
from helpers.robustness.queries import square
from helpers.robustness.target import Outcome, Target, judge, proportion_interval

if TYPE_CHECKING:
    import tensorflow as tf

FIRST, GROUP = 2, 20  # pictures attacked at a time, at first and at most; whole groups count
STEPS = 20
_SHARE = 0.35  # of the time, for each attack by gradients
IMPORT_SECONDS = 15.0
Attack = Callable[[NDArray[np.float32], NDArray[np.int64]], Outcome]


def attacks(bench: Bench, allowance: Allowance, notes: Notes) -> None:
    """Attack by the file's own gradients, by transfer from a distilled copy, and by questions."""
    bench.require_pictures()
    bench.form(allowance)
    fell = []
    try:
        # The gradients are tried in a process of their own first, which loads TensorFlow.
        allowance.require(IMPORT_SECONDS, "TensorFlow in the sandbox")
        replica = _replica(bench, allowance)
        trial = _Trial(bench, allowance.part(_SHARE))
        fell.append(trial.run("replica", trial.by_gradients(replica), notes))
    except EdgesecError as error:  # the attacks below need no gradients of the file
        notes.not_done.append(f"Attack by the file's own gradients: {error}")
    if bench.student is None:
        notes.not_done.append("Transfer from a distilled copy: the section before made none.")
    else:
        trial = _Trial(bench, allowance.part(_SHARE))
        fell.append(trial.run("transfer", trial.by_gradients(bench.student), notes))
    trial = _Trial(bench, allowance)
    fell.append(trial.run("square", trial.by_square, notes))
    tried = [one for one in fell if one.count]
    if not tried:
        return
    for one in tried:
        if not one.right.any():
            raise AuditError(f"none of {one.count} pictures is right before any attack")
    _report(notes, tried, bench)


def _replica(bench: Bench, allowance: Allowance) -> tf.keras.Model:
    """Return the file's network with gradients, over pictures in [0, 1]."""
    span = bench.require_pictures()
    form = bench.form(allowance)
    replica = bench.model.replica(logits=True, within=allowance.left)
    from helpers.robustness.losses import logits_of_pictures  # loads TensorFlow, as that has

    if form.single:
        replica = _two_classes(replica)
    rows = bench.order[:FIRST]
    pictures = bench.pictures(bench.require_data().examples.x[rows])
    return logits_of_pictures(replica, span, pictures)


def _two_classes(replica: tf.keras.Model) -> tf.keras.Model:
    """Return a model of one number, the logit of the second class, with one logit for each."""
    import tensorflow as tf

    picture = tf.keras.Input(replica.input_shape[1:])
    logit = tf.keras.layers.Reshape((1,))(replica(picture))
    return tf.keras.Model(picture, tf.concat([tf.zeros_like(logit), logit], axis=1))


@dataclass(eq=False)
class _Fallen:
    """What one attack did to the pictures it reached.

    Attributes
    ----------
    name
        Of the attack.
    right, fooled
        bool ``(n,)``: right before, and wrong after, as saved.
    outcomes
        One a group.
    """

    name: str
    right: np.ndarray
    fooled: np.ndarray
    outcomes: list[Outcome]

    @property
    def count(self) -> int:
        return len(self.right)


class _Trial:
    """The pictures of one attack, within its own allowance."""

    def __init__(self, bench: Bench, allowance: Allowance) -> None:
        self._bench, self._budget = bench, Budget(bench.settings.epsilon)
        self._allowance, self._each = allowance, 0.0  # seconds that a picture takes
        self.target = Target(bench.answering_pictures(allowance), name=bench.path.name)

    def run(self, name: str, attack: Attack, notes: Notes) -> _Fallen:
        """Attack group by group; what the time does not reach is said."""
        right, fooled, outcomes = [], [], []
        total = min(len(self._bench.order), self._bench.settings.images)
        try:
            for clean, truth in self._groups():
                self._allowance.require(self._each * len(clean), "one more group of pictures")
                before = self._allowance.spent
                outcome = attack(clean, truth)
                stored = round_to_stored(clean, outcome.adversarial, self._budget)
                saved = judge(self.target, clean, truth, stored, attack=name, budget=self._budget)
                outcomes.append(replace(outcome, fooled=saved.fooled))
                right.append(saved.correct)
                fooled.append(saved.fooled & saved.correct)
                self._each = (self._allowance.spent - before) / len(clean)
        except OutOfTimeError as late:
            reached = sum(map(len, right))
            notes.not_done.append(
                f"{TITLES[name]}: {total - reached} of {total} pictures were not attacked: {late}"
            )
        empty = np.zeros(0, bool)
        return _Fallen(
            name, np.concatenate([empty, *right]), np.concatenate([empty, *fooled]), outcomes
        )

    def by_gradients(self, model: tf.keras.Model) -> Attack:
        """Return an attack by the gradients of some model."""
        from helpers.robustness.gradients import Pgd  # loads TensorFlow

        climb = Pgd(model, self._budget.norm, bounds=self.target.bounds)
        seed = self._bench.settings.seed

        def attack(clean: NDArray[np.float32], truth: NDArray[np.int64]) -> Outcome:
            found = climb(clean, truth, self._budget.epsilon, steps=STEPS, seed=seed)
            return judge(
                self.target, clean, truth, found, attack=f"PGD-{STEPS}", budget=self._budget
            )

        return attack

    def by_square(self, clean: NDArray[np.float32], truth: NDArray[np.int64]) -> Outcome:
        """Attack with Square, by the scores alone."""
        settings = self._bench.settings
        return square(
            self.target, clean, truth, settings.epsilon, queries=settings.attack_queries,
            seed=settings.seed,
        )  # fmt: skip

    def _groups(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
        """Yield pictures and classes: a few first, then as many as the time left allows."""
        data = self._bench.require_data().examples
        # From the end: the copy that is attacked has learnt from the first half.
        rows = self._bench.order[::-1][: self._bench.settings.images]
        start = 0
        while start < len(rows):
            fitting = int(self._allowance.left / self._each) if self._each else FIRST
            chosen = rows[start : start + int(np.clip(fitting, 1, GROUP))]
            yield as_stored(self._bench.pictures(data.x[chosen])), data.y[chosen]
            start += len(chosen)


TITLES = {
    "replica": "By the file's own gradients",
    "transfer": "By transfer from a distilled copy",
    "square": "By questions alone (Square)",
}
_FINDINGS: tuple[tuple[Needs, str, str], ...] = (
    ("the file", "Who reads the file can make pictures that fool it",
     "Assume that the file can be read. Train against attacks, and let no single picture decide."),
    ("its answers", "Who may ask the device can make pictures that fool it",
     "Give labels instead of scores, limit questions, and let no single picture decide."),
)  # fmt: skip


def _report(notes: Notes, tried: list[_Fallen], bench: Bench) -> None:
    levels = f"{bench.settings.epsilon * 255:.3g}/255"
    for one in tried:
        notes.share(
            f"{one.name}_success", f"{TITLES[one.name]}: once right pictures that fall within "
            f"{levels}", int(one.fooled.sum()), int(one.right.sum()), "lower",
        )  # fmt: skip
    _total(notes, tried, levels)
    for needs, title, advice in _FINDINGS:
        chosen = [one for one in tried if (one.name == "replica") == (needs == "the file")]
        if not chosen:
            continue
        right, fooled = _together(chosen)
        fell, count = int(fooled.sum()), int(right.sum())
        interval = interval_text(*proportion_interval(fell, count))
        notes.findings.append(Rated(
            title, severity_of(fell, count, needs),
            f"{fell} of {count} right pictures fall within {levels} ({interval})", advice, RULE,
        ))  # fmt: skip
    _chart(notes, tried, bench)


def _total(notes: Notes, tried: list[_Fallen], levels: str) -> None:
    right, fooled = _together(tried)
    notes.share("success", f"Once right pictures that fall to any attack within {levels}",
                int(fooled.sum()), int(right.sum()), "lower")  # fmt: skip
    notes.share("robust_accuracy", f"Accuracy that is left within {levels}, at most",
                int((right & ~fooled).sum()), len(right), "higher")  # fmt: skip


def _together(tried: list[_Fallen]) -> tuple[np.ndarray, np.ndarray]:
    """Return which pictures that every attack reached were right, and which fell to any."""
    reached = min(one.count for one in tried)
    fooled = np.logical_or.reduce([one.fooled[:reached] for one in tried])
    return tried[0].right[:reached], fooled


def _chart(notes: Notes, tried: list[_Fallen], bench: Bench) -> None:
    asked = next((one for one in tried if one.name == "square"), None)
    if asked is None:
        return
    whole = replace(
        asked.outcomes[0], correct=asked.right, fooled=asked.fooled,
        queries=np.concatenate([o.queries for o in asked.outcomes if o.queries is not None]),
    )  # fmt: skip
    at = sorted({round(q) for q in np.geomspace(1, bench.settings.attack_queries, 12)})
    curve = query_curve(whole, at)
    values = (curve.x, curve.y, curve.low, curve.high)
    line = Series("Square", *(tuple(map(float, v)) for v in values))
    notes.charts.append(
        Chart("What fooling it costs", "questions a picture", "share fooled", (line,), x_log=True)
    )
