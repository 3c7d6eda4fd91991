"""What a copy costs: questions bought against agreement reached."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from helpers.audit.allowance import Allowance
from helpers.audit.bench import Bench
from helpers.audit.results import Chart, Measure, Notes, Rated, Series, interval_text
from helpers.errors import AuditError, OutOfTimeError
from helpers.robustness.findings import Severity
from helpers.robustness.target import proportion_interval

if TYPE_CHECKING:
    import tensorflow as tf

SHARES = (1 / 2, 1 / 4, 1 / 8)  # of the thief's inputs, besides all of them
LEAST_POOL = 40
STEPS = 400  # of training, at about 64 examples each
BATCH = 64
MOST_POOL = 4000
IMPORT_SECONDS = 15.0
_FROM = ((0.95, "high"), (0.8, "medium"))
RULE = (
    "By the lower end of the interval of the agreement: from 95% high, for such a copy can be sold "
    "in its place; from 80% medium; else low. Agreement that the same network reaches on the data "
    "alone, without a question, is nothing that the answers gave away: a copy that is not shown to "
    "go beyond it is low, and scores no threat."
)


def extraction(bench: Bench, allowance: Allowance, notes: Notes) -> None:
    """Distil copies from ever more answers, and see how often each answers as the model does.

    The thief has half of the examples, without their classes; the other half judges. The best copy
    is kept for the attacks.
    """
    data = bench.require_data().examples
    half = min(len(data) // 2, MOST_POOL)
    if half < LEAST_POOL:
        raise AuditError(f"{len(data)} examples are too few: a thief and a judge take "
                         f"{LEAST_POOL} each")  # fmt: skip
    bench.form(allowance)  # whether there are classes at all comes before anything that takes long
    allowance.require(0.0 if "tensorflow" in sys.modules else IMPORT_SECONDS, "loading TensorFlow")
    thief, judge = bench.order[:half], bench.order[half : 2 * half]
    ask = bench.answering(allowance)
    theirs = _prepared(bench, data.x[thief]), _prepared(bench, data.x[judge])
    bought, sold = _bought(bench, allowance, ask(data.x[thief]))
    said = ask(data.x[judge]).argmax(axis=1)
    curve = _Curve(bench, allowance, theirs, bought, said, sold)
    without: int | None = None
    try:
        # The best copy comes first: where time is short, it is the one that counts.
        bench.student = curve.step(half)
        own = np.eye(bought.shape[1], dtype=np.float32)[data.y[thief]]
        without = curve.agreement(curve.train(half, own))
        for share in SHARES:
            curve.step(max(10, round(share * half)))
    except OutOfTimeError as late:
        missing = f"{1 + len(SHARES) - len(curve.queries)} of {1 + len(SHARES)} copies"
        if without is None:
            missing += ", and the same network without a question for comparison,"
        notes.not_done.append(f"{missing} were not made: {late}")
    if curve.queries:
        _report(notes, curve, without)


def _bought(
    bench: Bench, allowance: Allowance, scores: NDArray[np.float32]
) -> tuple[NDArray[np.float32], str]:
    """Return what a thief learns from, and its name: probabilities, or else the labels alone."""
    form = bench.form(allowance)
    if form.kind != "scores":
        return form.probabilities(scores), "answers"
    return np.eye(scores.shape[1], dtype=np.float32)[scores.argmax(axis=1)], "labels"


class _Curve:
    """Copies so far, from few questions to many: their agreements, and how long one takes."""

    def __init__(
        self,
        bench: Bench,
        allowance: Allowance,
        inputs: tuple[NDArray[np.float32], NDArray[np.float32]],
        bought: NDArray[np.float32],
        said: NDArray[np.int64],
        sold: str,
    ) -> None:
        self._bench, self._allowance, self._bought = bench, allowance, bought
        self._thief, self._judge = inputs
        self.said, self.sold = said, sold
        self.queries: list[int] = []
        self.agreed: list[int] = []
        self._longest = 0.0

    def step(self, queries: int) -> tf.keras.Model:
        """Make one copy with so many answers, fewer than the last, and return it."""
        student = self.train(queries, self._bought)
        agreed = self.agreement(student)
        self.queries.insert(0, queries)
        self.agreed.insert(0, agreed)
        return student

    def train(self, count: int, wanted: NDArray[np.float32]) -> tf.keras.Model:
        """Train a fresh network on the first inputs, if the time for one more is left."""
        from helpers.watermark.removal import fit_scores

        self._allowance.require(self._longest, "one more copy")
        before = self._allowance.spent
        seed = self._bench.settings.seed
        made = make_student(self._thief.shape[1:], wanted.shape[1], seed)
        epochs = max(1, -(-STEPS * BATCH // max(count, BATCH)))
        fit_scores(
            made, self._thief[:count], wanted[:count], epochs, 3e-3, 1.0, seed,
            before_batch=self._allowance.require,
        )  # fmt: skip
        self._longest = max(self._longest, self._allowance.spent - before)
        return made

    def agreement(self, student: tf.keras.Model) -> int:
        """Return on how many of the judge's inputs a copy says what the model says."""
        parts = [self._judge[i : i + BATCH] for i in range(0, len(self._judge), BATCH)]
        logits = []
        for part in parts:
            self._allowance.require()
            logits.append(np.asarray(student(part, training=False)))
        return int((np.concatenate(logits).argmax(axis=1) == self.said).sum())


def make_student(shape: tuple[int, ...], classes: int, seed: int) -> tf.keras.Model:
    """Return an untrained network for inputs of a shape: what a thief would start with.

    Small convolutions for pictures, averaged down to at most 48 pixels first; else one hidden
    layer.
    """
    import tensorflow as tf

    from helpers.models import mlp, small_cnn

    if len(shape) != 3 or min(shape[:2]) < 8:
        return mlp(shape, classes, (128,), seed)
    shrink = -(-max(shape[:2]) // 48)
    picture = tf.keras.Input(shape)
    smaller = tf.keras.layers.AveragePooling2D(shrink)(picture) if shrink > 1 else picture
    filters = (16, 32) if min(smaller.shape[1:3]) >= 10 else (16,)
    body = small_cnn(tuple(smaller.shape[1:]), classes, filters, seed=seed)
    return tf.keras.Model(picture, body(smaller))


def _prepared(bench: Bench, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return inputs as a student takes them: pictures in [0, 1], others standardised."""
    assert bench.data is not None
    if bench.data.span is not None:
        return bench.pictures(x)
    known = bench.data.examples.x
    deviation = np.maximum(known.std(axis=0), 1e-6)
    return np.asarray((x - known.mean(axis=0)) / deviation, np.float32)


def _report(notes: Notes, curve: _Curve, without: int | None) -> None:
    count = len(curve.said)
    ends = np.array([proportion_interval(agreed, count) for agreed in curve.agreed])
    found = notes.share(
        "fidelity", f"Agreement of a copy made from {curve.queries[-1]} {curve.sold}",
        curve.agreed[-1], count, "lower",
    )  # fmt: skip
    notes.measures.append(Measure(
        "queries", "Questions the copy took", curve.queries[-1], better="higher",
    ))  # fmt: skip
    line = Series(
        "distilled copy", tuple(map(float, curve.queries)),
        tuple(agreed / count for agreed in curve.agreed),
        tuple(map(float, ends[:, 0])), tuple(map(float, ends[:, 1])),
    )  # fmt: skip
    lines = [line]
    said = (
        f"after {curve.queries[-1]} questions {curve.agreed[-1]} of {count} answers agree "
        f"({interval_text(found.low, found.high)})"
    )
    assert found.low is not None
    severity: Severity = next((name for least, name in _FROM if found.low >= least), "low")  # type: ignore[misc]
    if without is not None:
        alone = notes.share("without_answers", "Agreement of the same network trained on the same "
                            "inputs and their true classes", without, count)  # fmt: skip
        lines.append(Series("data alone, no question", (line.x[0], line.x[-1]), (alone.value,) * 2))
        said += f"; without a question {alone.value:.1%}"
        if alone.high is not None and found.low <= alone.high:
            severity = "low"
    notes.charts.append(
        Chart("What a copy costs", "questions", "agreement", tuple(lines), x_log=True)
    )
    notes.findings.append(Rated(
        "A copy can be made from answers alone", severity, said,
        "Limit questions for each user and day, answer with labels instead of scores, and watch "
        "for whoever asks evenly over all classes.", RULE,
    ))  # fmt: skip
