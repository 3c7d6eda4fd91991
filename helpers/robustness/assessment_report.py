"""An assessment as JSON, Markdown and one self-contained HTML page.

Names come from files and from whoever wrote them, so each is escaped where it is written. The HTML
is rendered from the Markdown with raw HTML switched off.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from helpers._text import escape_markdown
from helpers.robustness.assessment import FileAssessment, Result
from helpers.robustness.findings import RULE

SCHEMA = "edgesec-assessment/1"
METHOD = (
    "An attack shows an upper bound of robust accuracy and never a guarantee. The deployed file "
    "judged every changed image, as it can be saved in 8 bits. An image counts as robust if it was "
    "right and every attack left it so; intervals are exact (Clopper and Pearson 1934), 95%, of "
    "the images as a sample. They say nothing about images of another kind."
)
_CSS = (
    "body{font:16px/1.5 system-ui,sans-serif;color:#111;background:#fff;margin:0 auto;"
    "max-width:60rem;padding:1rem}table{border-collapse:collapse;display:block;overflow-x:auto}"
    "th,td{border:1px solid #ccc;padding:.3rem .5rem;text-align:left;vertical-align:top}"
    "th{background:#f3f3f3}code{overflow-wrap:anywhere}"
)


def to_dict(found: FileAssessment) -> dict[str, Any]:
    """Return an assessment as plain values.

    Parameters
    ----------
    found
        The assessment.

    Returns
    -------
    dict
        With ``schema``; RobustBench's words for what its leaderboard states (``clean_acc``,
        ``robust_acc``, ``threat_model``, ``eps``); shares from 0 to 1.
    """
    plan, masking, pair = found.plan, found.masking, found.comparison
    return {
        "schema": SCHEMA,
        "made": found.made,
        "model": {
            "name": found.subject.name,
            "sha256": found.subject.sha256,
            "bytes": found.subject.num_bytes,
        },
        "dataset": {"name": found.subject.data, "images": len(found.correct)},
        "threat_model": {
            "norm": "Linf",
            "eps": plan.epsilon,
            "eps_levels": plan.epsilon * 255,
            "goal": "any wrong class",
            "knowledge": "the file is read, its answers are seen",
        },
        "clean_acc": found.clean_accuracy,
        "clean_acc_interval": list(found.interval(found.correct)),
        "robust_acc": found.robust_accuracy,
        "robust_acc_interval": list(found.interval()),
        "attacks": [_attack(found, result) for result in found.results],
        "without_gradients": found.without_gradients,
        "masking": None
        if masking is None
        else {
            "trustworthy": masking.trustworthy,
            "claimed": masking.claimed,
            "strongest": masking.strongest,
            "images": min(plan.examined, len(found.correct)),
            "signs": [asdict(sign) for sign in masking.signs],
        },
        "original": None if pair is None else asdict(pair),
        "findings": [asdict(finding) for finding in found.findings],
        "severity_rule": RULE,
        "settings": asdict(plan),
        "software": {name: version(name) for name in ("edge-ml-security", "numpy")},
    }


def to_json(found: FileAssessment) -> str:
    """Return an assessment as JSON text; see :func:`to_dict`."""
    return json.dumps(to_dict(found), indent=2, allow_nan=False) + "\n"


def to_markdown(found: FileAssessment) -> str:
    """Return the report of an assessment as Markdown.

    Parameters
    ----------
    found
        The assessment.

    Returns
    -------
    str
        Result, findings, attacks, checklist, method.
    """
    return "\n\n".join(_blocks(found)) + "\n"


def to_html(found: FileAssessment) -> str:
    """Return the report of an assessment as one HTML page that needs nothing else."""
    from markdown_it import MarkdownIt

    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(to_markdown(found))
    title = html.escape(f"Robustness of {found.subject.name}")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width, initial-scale=1"><title>{title}</title>'
        f"<style>{_CSS}</style></head><body><main>\n{body}</main></body></html>\n"
    )


def _attack(found: FileAssessment, result: Result) -> dict[str, Any]:
    return {
        "attack": result.attack,
        "needs": result.needs,
        "robust_acc": result.accuracy,
        "robust_acc_interval": list(found.interval(result.robust)),
        "median_queries": result.queries,
    }


def _blocks(found: FileAssessment) -> Iterator[str]:
    subject, plan = found.subject, found.plan
    yield f"# Robustness of {escape_markdown(subject.name)}"
    yield _table(
        ["Assessed", "Value"],
        [
            ["Model", f"{subject.name}, {subject.num_bytes:,} bytes"],
            ["SHA-256", subject.sha256],
            ["Data", f"{len(found.correct)} images: {subject.data}"],
            ["Threat model", "L∞, any wrong class; the file is read, its answers are seen"],
            ["ε", f"{plan.epsilon * 255:.3g}/255 = {plan.epsilon:.4f}"],
            ["Clean accuracy", _share(found, found.correct)],
            ["Robust accuracy", f"at most {_share(found, found.robust)}"],
            ["Made", found.made],
        ],
    )
    yield "## Findings"
    rows = [[one.severity, one.title, one.evidence, one.advice] for one in found.findings]
    yield _table(["Severity", "Finding", "Evidence", "What to do"], rows)
    yield escape_markdown(RULE)
    yield "## Attacks"
    yield _table(
        ["Attack", "Needs", "Robust accuracy (95% interval)", "Questions, median"],
        [
            [one.attack, one.needs, _share(found, one.robust), str(one.queries or "-")]
            for one in found.results
        ],
    )
    if found.without_gradients:
        yield escape_markdown(f"No attack by gradients: {found.without_gradients}")
    yield "## Can the number be trusted?"
    yield from _checklist(found)
    yield "## Method"
    yield escape_markdown(METHOD)
    yield escape_markdown(
        f"{plan.steps} steps, {plan.restarts} restarts, {plan.queries} questions an image, "
        f"seed {plan.seed}."
    )


def _checklist(found: FileAssessment) -> Iterator[str]:
    if found.masking is None:
        yield "The checklist for masked gradients did not run."
        return
    examined = min(found.plan.examined, len(found.correct))
    said = "nothing speaks" if found.masking.trustworthy else "something speaks"
    yield escape_markdown(f"On the first {examined} images, {said} against the white-box number.")
    yield _table(
        ["", "Sign of masked gradients", "Measured", "Then"],
        [
            ["shows" if s.shows else "", s.name, s.measured, s.advice if s.shows else ""]
            for s in found.masking.signs
        ],
    )


def _share(found: FileAssessment, mask: Any) -> str:
    low, high = found.interval(mask)
    return f"{mask.mean():.3f} ({low:.3f} to {high:.3f})"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [list(map(escape_markdown, header)), ["---"] * len(header)]
    lines += [list(map(escape_markdown, row)) for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
