"""Findings of an audit as measurements of a threat model, so that scores are measured, not guessed.

``edgesec threats check MODEL --measured threats.json`` reads what :func:`to_measurements` makes.
"""

from __future__ import annotations

import datetime
from typing import Any

from helpers.threats.measurement import Measurement

# (section, measure) -> (rule of helpers.threats, metric of helpers.threats.measurement)
MEASURED = {
    ("attacks", "success"): ("evasion", "attack-success-rate"),
    ("corruption", "worst_loss"): ("physical-perturbation", "accuracy-loss"),
    ("membership", "named"): ("membership-inference", "members-named"),
    ("extraction", "fidelity"): ("extraction", "extraction-fidelity"),
}
_MOST_SETTING = 400


def to_measurements(report: dict[str, Any], target: str = "") -> tuple[Measurement, ...]:
    """Return what an audit measured about threats.

    Parameters
    ----------
    report
        Of the published form.
    target
        The element of the system model that holds the audited file; empty for every one with the
        threat.

    Returns
    -------
    tuple of Measurement
        One for each number of ``MEASURED`` that the audit has, all of them attacks: one that failed
        never shows that none works. A number that the model is not shown to have given away is left
        out, so that the threat keeps the score that it was guessed to have: the agreement of a copy
        that is no better than one made without a question, and members who can be told from others
        without the model.
    """
    date = datetime.datetime.fromisoformat(report["made"]).date()
    source = f"edgesec audit, model SHA-256 {report['model']['sha256'][:12]}..."
    found = []
    for section in report["sections"]:
        if _reached_without_the_model(section):
            continue
        for measure in section["measures"]:
            known = MEASURED.get((section["name"], measure["key"]))
            if known is None:
                continue
            setting = f"{measure['title']}; {measure['trials']} examples"
            found.append(Measurement(
                *known, measure["value"], measure["low"], measure["high"], source, date,
                target=target, setting=setting[:_MOST_SETTING],
            ))  # fmt: skip
    return tuple(found)


def _reached_without_the_model(section: dict[str, Any]) -> bool:
    """Whether the section's own finding says that its number shows nothing of the model."""
    ends = {measure["key"]: (measure["low"], measure["high"]) for measure in section["measures"]
            if measure["low"] is not None and measure["high"] is not None}  # fmt: skip
    if section["name"] == "extraction" and {"fidelity", "without_answers"} <= ends.keys():
        return bool(ends["fidelity"][0] <= ends["without_answers"][1])
    return bool(section["name"] == "membership" and ends.get("blind_auc", (0, 0))[0] > 0.5)
