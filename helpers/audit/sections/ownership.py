"""Whose model it is: triggers of a watermark, or points of a fingerprint, shown to the file."""

from __future__ import annotations

import numpy as np

from helpers.audit.allowance import Allowance, Ask
from helpers.audit.bench import Bench
from helpers.audit.data import Examples
from helpers.audit.results import Measure, Notes, Rated, interval_text
from helpers.errors import AuditError
from helpers.watermark.null import MIN_INNOCENTS, Null, measure
from helpers.watermark.scheme import Reading
from helpers.watermark.verdict import ALPHA

RULE = (
    f"A mark is shown if an innocent model gives as many of the answers with a probability of at "
    f"most {ALPHA:.0e}, on a null measured on at least {MIN_INNOCENTS} models made without yours: "
    "a note. Points of a fingerprint are not drawn by a key, so only the rank among those models "
    "counts, which supports a case and cannot make one. A mark that is not shown in your own file "
    "is a doubt: medium."
)


def ownership(bench: Bench, allowance: Allowance, notes: Notes) -> None:
    """Count the marks that get the owner's answer, and say what that is worth."""
    data = bench.require_data()
    marks = {"triggers": data.triggers, "fingerprint": data.fingerprint}
    given = {name: part for name, part in marks.items() if part is not None}
    if not given:
        raise AuditError(
            "no watermark or fingerprint was supplied: put triggers_x and triggers_y, or "
            "fingerprint_x and fingerprint_y, into the .npz"
        )
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


def _matches(ask: Ask, part: Examples) -> Reading:
    return Reading(int((ask(part.x).argmax(axis=1) == part.y).sum()), len(part))


def _judge(notes: Notes, name: str, found: Reading, null: Null, evidence: str) -> None:
    p_value = null.p_value(found)
    notes.measures += [
        Measure(f"{name}_p", f"Probability that an innocent model matches so many {name}", p_value),
        Measure(f"{name}_innocent", f"Most {name} that an independent model matches",
                float(np.max(null.innocents)), unit="share", trials=found.looked_for),
    ]  # fmt: skip
    shown = p_value <= ALPHA
    if shown:
        said, advice = "shown", "A court also asks for a dated commitment to the key."
    elif null.kind == "ranked":
        said, advice = "supports a case at most", "Mark the model with a key as well."
    else:
        said, advice = "not shown", "Mark anew with more triggers, and after the conversion."
    notes.findings.append(Rated(
        f"Ownership by {name}", "note" if shown or null.kind == "ranked" else "medium",
        f"{said}: {evidence}; an innocent model shows as much with probability {p_value:.2g}",
        advice, RULE,
    ))  # fmt: skip
