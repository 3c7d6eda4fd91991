"""A security case as one HTML file: every claim links to the number that holds it.

The page needs nothing else, and every text in it is escaped. It shows the evidence itself, with the
hash by which it was cited, so that a reader can follow a claim to its number on a train.
"""

from __future__ import annotations

import datetime
import html

from helpers.threats.report import CSS
from helpers.threats.security_case import UNMET, Examination, Finding, SecurityCase

_MARKS = {
    "supported": "✓",
    "not supported": "✗",
    "stale": "⚠",
    "changed": "⚠",
    "missing": "?",
}
_CSS = (
    ".holds{border-left:.4rem solid #1b6e3c;padding-left:.8rem}"
    ".fails{border-left:.4rem solid #a3161f;padding-left:.8rem}"
    "code{overflow-wrap:anywhere}:target{outline:.15rem solid #1f5fa8}"
    "dt{font-weight:600}dd{margin:0 0 .4rem 1rem}a{color:#1f5fa8}time{white-space:nowrap}"
    # On a phone a row becomes a card: five columns would leave room for one word each.
    "@media(max-width:40rem){h1{font-size:1.5rem}.wide thead{display:none}"
    ".wide table,.wide tbody,.wide tr,.wide td{display:block;border:0}"
    ".wide tr{border:1px solid #ccc;margin-bottom:.8rem;padding:.3rem}"
    ".wide td::before{content:attr(data-label);display:block;font-size:.85em;color:#555}}"
)


def case_to_html(case: SecurityCase, examination: Examination, today: datetime.date) -> str:
    """Return the page.

    Parameters
    ----------
    case
        The case.
    examination
        What :func:`helpers.threats.security_case.examine` said of it.
    today
        The day of the examination.
    """
    parts = [
        f"<h1>Security case: {html.escape(case.name)}</h1>",
        *_verdict(case, examination, today),
        *_claims(case, examination),
        *_risks(case, today),
        *_not_covered(case),
        *(_evidence(finding) for finding in examination.findings),
    ]
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        'content="width=device-width, initial-scale=1"><title>Security case: '
        f"{html.escape(case.name)}</title><style>{CSS}{_CSS}</style></head><body><main>\n"
        f"{body}\n</main></body></html>\n"
    )


def framed(page: str, title: str) -> str:
    """Return a page in a frame, to be shown within another page such as a notebook.

    Parameters
    ----------
    page
        A whole HTML page, as :func:`helpers.threats.security_case_page.case_to_html` returns it.
    title
        What the frame holds, for those who hear it.

    Notes
    -----
    A framed page resolves its links against the page around it (HTML Living Standard, "fallback
    base URL"), so a link to a place on itself would load that one into the frame. The base that is
    added says that such a link stays.
    """
    based = page.replace("<head>", '<head><base href="about:srcdoc">', 1)
    return (
        f'<div><iframe srcdoc="{html.escape(based)}" title="{html.escape(title)}" '
        'style="width:100%; height:30rem; border:1px solid #999"></iframe></div>'
    )


def _verdict(case: SecurityCase, examination: Examination, today: datetime.date) -> list[str]:
    held = sum(finding.state == "supported" for finding in examination.findings)
    objections = examination.objections
    word = "holds" if not objections else "does not hold"
    return [
        f'<div class="{"fails" if objections else "holds"}">',
        f"<p><strong>Goal.</strong> {html.escape(case.goal)}</p>",
        f"<p><strong>Argument.</strong> {html.escape(case.argument)}</p>",
        f"<p>On {today.isoformat()} the case <strong>{word}</strong>: {held} of "
        f"{len(examination.findings)} claims are supported, {len(case.risks)} risks are listed."
        "</p>",
        *([_list(objections)] if objections else []),
        "</div>",
        f"<p>Released file: {html.escape(case.artefact)}, SHA-256 <code>{case.sha256}</code></p>",
    ]


def _claims(case: SecurityCase, examination: Examination) -> list[str]:
    owners = {risk.threat: risk.owner for risk in case.risks}
    rows = []
    for finding in examination.findings:
        claim = finding.claim
        state = f"{_MARKS[finding.state]} {finding.state}"
        if claim.name in examination.waived:
            state += f"; {html.escape(owners[UNMET + claim.name])} answers for it, see Risks"
        link = f'<a href="#evidence-{claim.name}">{html.escape(finding.why)}</a>'
        rows.append(
            [
                f"<strong>{html.escape(claim.name)}.</strong> {html.escape(claim.text)}",
                state,
                link,
                html.escape(claim.because),
            ]
        )
    return ["<h2>Claims</h2>", _table(["Claim", "State", "Evidence", "Because"], rows)]


def _risks(case: SecurityCase, today: datetime.date) -> list[str]:
    rows = [
        [
            f"<code>{html.escape(risk.threat)}</code><br>{html.escape(risk.text)}",
            html.escape(risk.problem(today) or risk.decision),
            html.escape(risk.owner or "nobody"),
            f"<time>{risk.until.isoformat()}</time>",
            html.escape(risk.reason),
        ]
        for risk in case.risks
    ]
    return ["<h2>Risks</h2>", _table(["Risk", "Decision", "Owner", "Until", "Reason"], rows)]


def _not_covered(case: SecurityCase) -> list[str]:
    return ["<h2>Not covered</h2>", _list(case.not_covered or ("Nothing is said about this.",))]


def _evidence(finding: Finding) -> str:
    claim, evidence = finding.claim, finding.evidence
    heading = f'<h2 id="evidence-{claim.name}">Evidence: {html.escape(claim.name)}</h2>'
    if evidence is None:
        return f"{heading}<p>{html.escape(finding.why)}</p>"
    entries = {
        "Quantity": evidence.quantity,
        "Value": f"{evidence.value:.6g}, interval {evidence.low:.6g} to {evidence.high:.6g}",
        "Asked": f"{claim.relation} {claim.limit:g}, at the worse end",
        "Measured on": f"SHA-256 {evidence.measures}",
        "Setting": evidence.setting,
        "Source": f"{evidence.source}, {evidence.date.isoformat()}",
        "This file": f"evidence/{claim.evidence}.json, SHA-256 {claim.sha256}",
    }
    inner = "".join(
        f"<dt>{name}</dt><dd><code>{html.escape(text)}</code></dd>"
        if "SHA-256" in text
        else f"<dt>{name}</dt><dd>{html.escape(text)}</dd>"
        for name, text in entries.items()
    )
    return f"{heading}<dl>{inner}</dl>"


def _list(items: tuple[str, ...]) -> str:
    return f"<ul>{''.join(f'<li>{html.escape(item)}</li>' for item in items)}</ul>"


def _table(header: list[str], rows: list[list[str]]) -> str:
    """Return a table of cells that are HTML already."""
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in header)
    names = [html.escape(name) for name in header]
    body = "".join(
        "<tr>"
        + "".join(
            f'<td data-label="{name}">{cell}</td>' for name, cell in zip(names, row, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{html.escape(header[0])}s">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
