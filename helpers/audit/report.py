"""An audit as one HTML page that needs nothing else.

The page is made from the JSON alone, so it can be made again from a stored audit. Every text in it
is escaped, whoever wrote it, and the page forbids itself scripts and the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from helpers.audit.compare import Comparison, shown
from helpers.audit.figures import chart_address, chart_words
from helpers.audit.schema import clean
from helpers.robustness.findings import SEVERITIES

_KINDS = {"measured": "", "estimated": "estimated, not measured", "read": "read from the file"}


@dataclass(frozen=True)
class Beside:
    """A number of an audit and what else was found in the same way, for the reader to compare.

    Attributes
    ----------
    what
        What was measured.
    value
        This file's, as the page shows it.
    others
        ``(value, of what)`` of other models.
    """

    what: str
    value: str
    others: tuple[tuple[str, str], ...]


def to_html(audit: dict[str, Any], beside: Sequence[Beside] = ()) -> str:
    """Return an audit of the published form as one self-contained page.

    Parameters
    ----------
    audit
        The audit.
    beside
        What its numbers may be held against; without any that part is left out.
    """
    findings = findings_of(audit)
    worst = findings[0][1]["severity"] if findings else ""
    done = sum(section["status"] == "done" for section in audit["sections"])
    counted = "1 finding" if len(findings) == 1 else f"{len(findings) or 'No'} findings"
    summary = (
        f"{counted}{f', the worst of them {worst}' if findings else ''}. {done} of "
        f"{len(audit['sections'])} sections are whole; the others say what they left out."
    )
    return _render(
        "report.html", title=f"Audit of {audit['model']['name']}", audit=audit, findings=findings,
        undone=undone_of(audit), summary=summary, shown=shown, picture=chart_address,
        words=chart_words, kinds=_KINDS, sentence=_sentence, beside=beside,
    )  # fmt: skip


def comparison_to_html(before: dict[str, Any], after: dict[str, Any], found: Comparison) -> str:
    """Return a comparison of two audits as one self-contained page."""
    return _render(
        "comparison.html", title="Two audits compared", before=before, after=after, found=found
    )


def findings_of(audit: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return ``(section, finding)`` of an audit, worst first."""
    found = [(section, f) for section in audit["sections"] for f in section["findings"]]
    return sorted(found, key=lambda pair: -SEVERITIES.index(pair[1]["severity"]))


def undone_of(audit: dict[str, Any]) -> list[tuple[list[dict[str, Any]], str]]:
    """Return ``(sections, reason)`` for what was not done; a reason that several share once."""
    reasons: dict[str, list[dict[str, Any]]] = {}
    for section in audit["sections"]:
        for reason in section["not_done"]:
            reasons.setdefault(reason, []).append(section)
    return [(sections, reason) for reason, sections in reasons.items()]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _render(template: str, **values: object) -> str:
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        loader=jinja2.PackageLoader("helpers.audit", "templates"),
        finalize=lambda value: clean(value) if type(value) is str else value,
    )  # fmt: skip
    text = environment.get_template(template).render(**values)
    return text.encode("utf-8", "replace").decode("utf-8")
