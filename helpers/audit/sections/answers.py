"""What the answers are, whether they are numbers, and whether the same question has one answer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.audit.allowance import Allowance
from helpers.audit.answers import AnswerForm
from helpers.audit.bench import PART, Bench
from helpers.audit.results import Notes, Rated
from helpers.edge.runtimes.wire import DTYPES
from helpers.errors import AuditError, OutOfTimeError

DRAWN = 8  # inputs drawn at random where no examples can be asked
# Of the largest number of an answer. A batch of another size adds in another order: of the 24 bits
# of a float32, a sum over thousands of products loses some.
TOLERANCE = 1e-3
RULE = (
    "An answer that is NaN or infinite is a defect whatever the model is for: high. If inputs that "
    "are asked again, in another order, get another best class, no number below can be relied on: "
    "high; if only their scores differ, medium. Answers that are not shown to be scores of classes "
    "are a doubt about the audit: high."
)


def answers(bench: Bench, allowance: Allowance, notes: Notes) -> None:
    """Ask some inputs twice, and say what the answers were taken for."""
    if bench.no_answers or bench.data is None:
        _ask_drawn(bench, allowance, notes)
        bench.require_data()
    first = bench.probe(allowance.part(0.5))
    _finite(notes, first)
    form, doubt = _form(bench, allowance)
    try:
        again = _again(bench, allowance, len(first))
    except OutOfTimeError as late:
        notes.not_done.append(f"Asking the same inputs once more: {late}")
    else:
        same = _agreeing(first, again)
        best = [(s if form is None else form.scores(s)).argmax(axis=1) for s in (first, again)]
        _repeated(notes, same, int(((best[0] != best[1]) & ~same).sum()))
    _describe(notes, first, form)
    if doubt is not None:
        notes.findings += _doubtful(doubt) if np.isfinite(first).all(axis=1).any() else []
        raise doubt


def _form(bench: Bench, allowance: Allowance) -> tuple[AnswerForm | None, AuditError | None]:
    try:
        return bench.form(allowance), None
    except AuditError as doubt:
        return None, doubt


def _again(bench: Bench, allowance: Allowance, count: int) -> NDArray[np.float32]:
    """Ask the first examples once more, the last of them first; return the answers in order."""
    x = bench.require_data().examples.x[bench.order[:count]][::-1]
    ask = allowance.guard(bench.model.predict)
    parts = [ask(x[start : start + PART]) for start in range(0, count, PART)]
    return np.concatenate(parts)[::-1]


def _agreeing(first: NDArray[Any], again: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which rows are the same in two lots of answers, bool ``(n,)``."""
    one, other = (np.asarray(side, np.float64).reshape(len(side), -1) for side in (first, again))
    size = np.abs(np.nan_to_num(one, posinf=0, neginf=0)).max(axis=1, initial=1e-6)
    close = np.isclose(one, other, rtol=0, atol=TOLERANCE * size[:, None], equal_nan=True)
    agreeing: NDArray[np.bool_] = close.all(axis=1)
    return agreeing


def _finite(notes: Notes, said: NDArray[Any]) -> None:
    broken = len(said) - int(np.isfinite(said.reshape(len(said), -1)).all(axis=1).sum())
    notes.share("not_finite", "Answers that are NaN or infinite", broken, len(said), "lower")
    if broken:
        notes.findings.append(not_finite(broken, len(said)))


def not_finite(broken: int, count: int) -> Rated:
    """Return the finding that answers are no numbers."""
    return Rated(
        "Answers are NaN or infinite", "high", f"{broken} of {count} inputs",
        "Do not ship it: whatever compares such an answer with a threshold takes one side in "
        "silence. Look for a division, a logarithm or an overflow, first in float16 layers.", RULE,
    )  # fmt: skip


def _repeated(notes: Notes, same: NDArray[np.bool_], moved: int) -> None:
    count, kept = len(same), int(same.sum())
    title = "Inputs that get the same answer when they are asked again"
    notes.share("repeated", title, kept, count, "higher")
    if kept < count:
        notes.findings.append(Rated(
            "The same question gets different answers", "high" if moved else "medium",
            f"{count - kept} of {count} inputs, asked again in another order, get other numbers, "
            f"{moved} of them another best class",
            "Look for dropout or batch normalisation that was left in training mode, or for state "
            "between runs. Until it is mended, every number below depends on luck.", RULE,
        ))  # fmt: skip


def _describe(notes: Notes, said: NDArray[np.float32], form: AnswerForm | None) -> None:
    finite = said[np.isfinite(said).all(axis=1)]
    if len(finite):
        sums = finite.sum(axis=1)
        notes.table("The answers", ("", "Value"), [
            ("Numbers an input", said.shape[1]),
            ("Smallest and largest", f"{finite.min():.4g} to {finite.max():.4g}"),
            ("Sum of the numbers of an input", f"{sums.min():.4g} to {sums.max():.4g}"),
            ("Taken as", "nothing that has classes" if form is None else str(form)),
        ])  # fmt: skip
    if form is not None and form.kind != "probabilities" and not form.stated:
        notes.findings.append(Rated(
            "What the answers are was assumed", "note", f"they were {form}",
            "If that is wrong, say --answers and audit again.",
            "What a file's numbers mean does not stand in the file: a note.",
        ))  # fmt: skip


def _doubtful(doubt: AuditError) -> list[Rated]:
    return [Rated(
        "The answers are not shown to be scores of classes", "high", str(doubt).split(". If ")[0],
        "Say with --answers what they are, or find out why they do not fit your examples: the "
        "order of the classes, --label-offset, --range.", RULE,
    )]  # fmt: skip


def _ask_drawn(bench: Bench, allowance: Allowance, notes: Notes) -> None:
    """Ask inputs that are drawn at random twice, of whatever kind of model."""
    inputs = _draw(bench)
    # A stream in another order is another stream.
    step = 1 if bench.model.contract.stateful else -1
    first = _run(bench, allowance, inputs)
    again = _run(bench, allowance, [side[::step] for side in inputs])
    rows = [place for place, side in enumerate(first) if side.shape[:1] == (DRAWN,)]
    if not rows:
        raise AuditError("its answers are not one row of numbers for each input")
    pair = [
        np.concatenate([np.asarray(side[k], np.float64).reshape(DRAWN, -1) for k in rows], axis=1)
        for side in (first, again)
    ]
    _finite(notes, pair[0])
    _repeated(notes, _agreeing(pair[0], pair[1][::step]), 0)
    notes.not_done.append(
        f"Asking your examples: {DRAWN} inputs drawn at random were asked in their place."
    )


def _draw(bench: Bench) -> list[NDArray[Any]]:
    """Draw inputs: real numbers from 0 to 1, quantised ones over their range, indices of zero."""
    generator = np.random.default_rng(bench.settings.seed)
    drawn = []
    for port in bench.model.contract.outputs:
        if port.dtype not in DTYPES:
            raise AuditError(f"its output {port} holds no plain numbers")
    for port in bench.model.contract.inputs:
        if None in port.shape[1:] or not port.shape:
            raise AuditError(f"input {port} has open sizes; if you know them, say --input-shape")
        low, high = port.range or (0.0, 1.0)
        values = generator.uniform(low, high, (DRAWN, *port.stated.shape[1:]))
        indices = port.range is not None and not port.scale
        drawn.append(port.encode(np.zeros_like(values) if indices else values))
    return drawn


def _run(bench: Bench, allowance: Allowance, inputs: list[NDArray[Any]]) -> list[NDArray[Any]]:
    allowance.require()
    if bench.model.contract.stateful:
        bench.model.reset()
    return bench.model.raw_predict(inputs)
