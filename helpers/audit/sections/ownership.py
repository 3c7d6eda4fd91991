"""Whose model it is: by triggers or a fingerprint in its answers, by a message in its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from helpers.audit.allowance import Allowance, Ask
from helpers.audit.bench import Bench, WeightMark
from helpers.audit.data import Examples
from helpers.audit.results import Measure, Notes, Rated, interval_text
from helpers.errors import AuditError, EdgesecError
from helpers.watermark.null import MIN_INNOCENTS, Null, measure
from helpers.watermark.scheme import Reading
from helpers.watermark.suspect import Suspect
from helpers.watermark.uchida import WeightMessage
from helpers.watermark.verdict import ALPHA

if TYPE_CHECKING:
    from helpers.audit.model import UntrustedModel

RULE = (
    f"A mark is shown if an innocent model gives as many of the answers with a probability of at "
    f"most {ALPHA:.0e}, on a null measured on at least {MIN_INNOCENTS} models made without yours: "
    "a note. Points of a fingerprint are not drawn by a key, so only the rank among those models "
    "counts, which supports a case and cannot make one. A mark that is not shown in your own file "
    "is a doubt: medium."
)


def ownership(bench: Bench, allowance: Allowance, notes: Notes) -> None:
    """Count the marks that get the owner's answer, and say what that is worth."""
    if bench.settings.mark is not None:
        _weights(bench, allowance, notes, bench.settings.mark)
    data = bench.data
    marks = {} if data is None else {"triggers": data.triggers, "fingerprint": data.fingerprint}
    given = {name: part for name, part in marks.items() if part is not None}
    if not given and bench.settings.mark is None:
        raise AuditError(
            "no watermark or fingerprint was supplied: put triggers_x and triggers_y, or "
            "fingerprint_x and fingerprint_y, into the .npz, or say --mark-key"
        )
    if not given:
        return
    ask = bench.answering(allowance)
    for name, part in given.items():
        found = _matches(ask, part)
        kept = notes.share(name, f"Of the {name}, got the owner's answer", found.found,
                           found.looked_for, "higher")  # fmt: skip
        if len(bench.innocents) < MIN_INNOCENTS:
            notes.not_done.append(
                f"What the matches of the {name} are worth: {len(bench.innocents)} independent "
                f"models were supplied, a null takes {MIN_INNOCENTS} (--innocent, once for each)."
            )
            continue
        readings = [_matches(bench.answering(allowance, m), part) for m in bench.innocents]
        classes = int(ask(part.x[:1]).shape[1])
        null = measure(1 / classes if name == "triggers" else None, readings)
        evidence = f"{found.found} of {found.looked_for} ({interval_text(kept.low, kept.high)})"
        _judge(notes, name, found, null, evidence)


def _weights(bench: Bench, allowance: Allowance, notes: Notes, mark: WeightMark) -> None:
    """Read the owner's message from the weights; the chance of each bit is one half by the key."""
    allowance.require()
    scheme = WeightMessage(mark.layer, mark.bits)
    try:
        found = scheme.read(_opened(bench.model), mark.key)
    except EdgesecError as error:
        notes.not_done.append(f"The mark in the weights: {error}")
        return
    kept = notes.share("weights", f"Bits of the owner's message in kernel {mark.layer}",
                       found.found, found.looked_for, "higher")  # fmt: skip
    evidence = f"{found.found} of {found.looked_for} ({interval_text(kept.low, kept.high)})"
    chance = scheme.chance
    readings = []
    for one in bench.innocents:
        try:
            readings.append(scheme.read(_opened(one), mark.key))
        except EdgesecError as error:
            notes.not_done.append(f"The weights of an independent model: {error}")
    if len(readings) >= MIN_INNOCENTS:
        _judge(notes, "weights", found, measure(chance, readings), evidence)
        return
    notes.not_done.append(
        f"Whether the key was picked because models in general agree with it: "
        f"{len(readings)} independent models could be read, a null takes {MIN_INNOCENTS} "
        "(--innocent, once for each). The chance below is that of a key drawn at random."
    )
    _judge(notes, "weights", found, Null("keyed", chance, chance, ()), evidence)


def _opened(model: UntrustedModel) -> Suspect:
    """Return a model's kernels, as a court that opens the file sees them."""
    layers = model.weights()
    nothing = np.zeros(0, np.float32)
    biases = [nothing if layer.bias is None else layer.bias for layer in layers]
    return Suspect(model.predict, [layer.kernel for layer in layers], biases)


def _matches(ask: Ask, part: Examples) -> Reading:
    return Reading(int((ask(part.x).argmax(axis=1) == part.y).sum()), len(part))


def _judge(notes: Notes, name: str, found: Reading, null: Null, evidence: str) -> None:
    p_value = null.p_value(found)
    notes.measures += [
        Measure(f"{name}_p", f"Probability that an innocent model matches so many {name}", p_value),
    ]
    if null.innocents:
        notes.measures.append(
            Measure(f"{name}_innocent", f"Most {name} that an independent model matches",
                    float(np.max(null.innocents)), unit="share", trials=found.looked_for)
        )  # fmt: skip
    shown = p_value <= ALPHA
    if shown:
        said, advice = "shown", "A court also asks for a dated commitment to the key."
    elif null.kind == "ranked":
        said, advice = "supports a case at most", "Mark the model with a key as well."
    else:
        said = "not shown"
        advice = "Check that key and place are those of the mark, or mark anew with more of it."
    notes.findings.append(Rated(
        f"Ownership by {name}", "note" if shown or null.kind == "ranked" else "medium",
        f"{said}: {evidence}; an innocent model shows as much with probability {p_value:.2g}",
        advice, RULE,
    ))  # fmt: skip
