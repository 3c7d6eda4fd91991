"""What an assessment found, each with a severity by a stated rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from helpers.robustness.target import proportion_interval

if TYPE_CHECKING:
    from helpers.robustness.assessment import FileAssessment

Needs = Literal["the file", "its answers"]
Severity = Literal["note", "low", "medium", "high", "critical"]
SEVERITIES: tuple[Severity, ...] = ("note", "low", "medium", "high", "critical")
FROM_SHARE = (0.1, 0.5)  # of the right inputs that fall: from here on medium, from here on high
LIKELY = 0.05  # of a two-sided sign test; a difference is shown below it
RULE = (
    "The share of the once right images that fall within the budget is taken at the lower end of "
    f"its exact 95% interval: below {FROM_SHARE[0]:.0%} low, below {FROM_SHARE[1]:.0%} medium, "
    "else high. It is one step worse if the attack needs no file, only answers. A doubt about a "
    "number is medium. A note is no weakness."
)


@dataclass(frozen=True)
class Finding:
    """One sentence of the report that asks for a decision.

    Attributes
    ----------
    title
        What is the matter.
    severity
        By ``RULE``.
    evidence
        The numbers.
    advice
        What to do.
    """

    title: str
    severity: Severity
    evidence: str
    advice: str


def severity_of(fell: int, right: int, needs: Needs) -> Severity:
    """Rate an attack by how many inputs fell to it and what it needs, by ``RULE``.

    Parameters
    ----------
    fell, right
        Inputs fooled, of so many once right.
    needs
        What the attacker must have.

    Returns
    -------
    str
        ``"low"`` to ``"critical"``.

    Raises
    ------
    RobustnessError
        If the counts do not fit.
    """
    low, _ = proportion_interval(fell, right)
    step = sum(low >= share for share in FROM_SHARE)
    return SEVERITIES[1 + step + (needs == "its answers")]


def find(found: FileAssessment) -> tuple[Finding, ...]:
    """Return the findings of an assessment, worst first.

    Parameters
    ----------
    found
        Its results are rated; its findings are what this returns.

    Returns
    -------
    tuple of Finding
        Weaknesses, doubts about numbers, and notes.
    """
    right = int(found.correct.sum())
    findings = []
    for needs, title, advice in _WEAKNESSES:
        chosen = [result.robust for result in found.results if result.needs == needs]
        if not chosen:
            continue
        fell = right - int(np.logical_and.reduce(chosen).sum())
        evidence = (
            f"{fell} of {right} right images fall within {found.plan.epsilon * 255:g}/255; 95% "
            "interval {:.0%} to {:.0%}".format(*proportion_interval(fell, right))
        )
        findings.append(Finding(title, severity_of(fell, right, needs), evidence, advice))
    findings += [*_doubts(found), *_notes(found)]
    return tuple(sorted(findings, key=lambda one: -SEVERITIES.index(one.severity)))


_WEAKNESSES: Sequence[tuple[Needs, str, str]] = (
    ("the file", "Who reads the file can make images that fool it",
     "Assume that the file can be read. Train against the attack, and let no single frame decide."),
    ("its answers", "Who may ask the device can make images that fool it",
     "Give labels instead of scores, limit questions, and let no single frame decide."),
)  # fmt: skip


def _doubts(found: FileAssessment) -> list[Finding]:
    doubts = []
    if found.without_gradients:
        doubts.append(
            Finding(
                "Nothing was attacked by gradients", "medium",
                found.without_gradients,
                "The robust accuracy here is what a weak attack left. Have the model that the file "
                "was made from attacked before anybody relies on it.",
            )
        )  # fmt: skip
    if found.masking is not None and not found.masking.trustworthy:
        shown = [s.name for s in found.masking.signs if s.shows and s.distrusts]
        doubts.append(
            Finding(
                "The white-box number cannot be trusted", "medium", "; ".join(shown),
                "Follow the checklist's advice and assess again.",
            )
        )  # fmt: skip
    for result in found.results:
        low, _ = found.interval(result.robust)
        if low > found.interval()[1]:
            doubts.append(
                Finding(
                    f"{result.attack} alone would have looked like robustness", "medium",
                    f"it leaves {result.accuracy:.3f}; all attacks together leave "
                    f"{found.robust_accuracy:.3f}",
                    "Sign the smaller number.",
                )
            )  # fmt: skip
    return doubts


def _notes(found: FileAssessment) -> list[Finding]:
    pair = found.comparison
    if pair is None:
        return []
    said = "No difference was shown" if pair.chance >= LIKELY else "A difference was shown"
    return [
        Finding(
            "What the conversion changed", "note",
            f"clean accuracy {pair.clean:.3f} to {pair.file_clean:.3f}, the same label on "
            f"{pair.agreement:.1%}; robust accuracy {pair.robust:.3f} to {pair.file_robust:.3f} "
            f"({pair.attack}). {said} (sign test, p = {pair.chance:.2g})",
            "Rounding is no defence: plan as if there were none.",
        )
    ]  # fmt: skip
