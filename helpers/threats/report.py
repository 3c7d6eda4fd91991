"""The report of an analysis, in Markdown and as one self-contained HTML file.

Both are written from the same blocks. Every text that comes from a system model is escaped where it
is written, so that a model from somebody else can be reported on and looked at safely.
"""

from __future__ import annotations

import datetime
import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from helpers._text import escape_markdown
from helpers.threats import vocabulary
from helpers.threats.diagram import to_mermaid, to_svg
from helpers.threats.dread import FACTORS, THRESHOLDS
from helpers.threats.editing import places_for
from helpers.threats.engine import Analysis, Threat
from helpers.threats.model import SystemModel
from helpers.threats.privacy_by_design import privacy_concerns
from helpers.threats.rules import STRIDE
from helpers.threats.stability import rank_stability
from helpers.threats.zero_trust import TENETS, zero_trust_checks

_TOP = 5


@dataclass(frozen=True)
class Heading:
    """A heading of a level from 1 to 3."""

    level: int
    text: str


@dataclass(frozen=True)
class Paragraph:
    """Plain text."""

    text: str


@dataclass(frozen=True)
class Table:
    """A table of plain texts."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Bullets:
    """A list of plain texts."""

    items: Sequence[str]


@dataclass(frozen=True)
class Diagram:
    """The data-flow diagram."""


Block = Heading | Paragraph | Table | Bullets | Diagram


def to_markdown(analysis: Analysis, today: datetime.date | None = None) -> str:
    """Return the report as Markdown; the diagram in it is Mermaid.

    Parameters
    ----------
    analysis
        What to report.
    today
        The day on which acceptances are judged; by default the day it is.
    """
    drawing = f"```mermaid\n{to_mermaid(analysis.model)}```"
    blocks = _blocks(analysis, today or datetime.date.today())
    return "\n\n".join(_markdown(block, drawing) for block in blocks) + "\n"


def to_html(analysis: Analysis, today: datetime.date | None = None) -> str:
    """Return the report as one HTML file that needs nothing else; parameters as above."""
    title = html.escape(analysis.model.title or analysis.model.name)
    # The legend of the drawing is small; the tables below repeat it.
    drawing = f'<div class="wide">{to_svg(analysis.model, analysis)}</div>'
    blocks = _blocks(analysis, today or datetime.date.today())
    body = "\n".join(_html(block, drawing) for block in blocks)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width, initial-scale=1"><title>Threat model: {title}</title>'
        f"<style>{CSS}</style></head><body><main>\n{body}\n</main></body></html>\n"
    )


CSS = (
    "body{font:16px/1.5 system-ui,sans-serif;color:#111;background:#fff;margin:0}"
    "main{max-width:72rem;margin:auto;padding:1rem}table{border-collapse:collapse;width:100%}"
    "th,td{border:1px solid #ccc;padding:.3rem .5rem;text-align:left;vertical-align:top}"
    "th{background:#f3f3f3}.wide{overflow-x:auto}h2{margin-top:2.5rem}code{font-size:.95em}"
)


def _blocks(analysis: Analysis, today: datetime.date) -> Iterator[Block]:
    model = analysis.model
    yield Heading(1, f"Threat model: {model.title or model.name}")
    if model.description:
        yield Paragraph(model.description)
    yield from _summary(analysis, today)
    yield Heading(2, "The system")
    yield Diagram()
    yield from _system(analysis)
    yield from _ranking(analysis, today)
    yield from _details(analysis, today)
    yield from _privacy(analysis)
    yield from _zero_trust(analysis)
    yield from _method()


def _summary(analysis: Analysis, today: datetime.date) -> Iterator[Block]:
    counts = analysis.counts()
    threats = analysis.threats
    ml = sum(threat.rule.ml for threat in threats)
    said = ", ".join(f"{count} {level}" for level, count in counts.items())
    measured = sum(threat.measurement is not None for threat in threats)
    accepted = sum(threat.accepted(today) for threat in threats)
    yield Paragraph(
        f"{len(threats)} threats, {ml} of them particular to machine learning: {said}. "
        f"{measured} scored by a measurement, the others by a guess with its reason. "
        f"{accepted} accepted on {today.isoformat()}."
    )
    if len(threats) >= _TOP:
        kept = rank_stability(threats, top=_TOP)
        without = rank_stability(threats, top=_TOP, discoverability=False)
        yield Paragraph(
            f"How firm is the ranking? If every guessed score is off by up to one point, "
            f"{kept.overlap:.0%} of the first {_TOP} stay among them on average, and "
            f"{without.overlap:.0%} when discoverability is left out; shuffling would keep "
            f"{kept.by_chance:.0%}."
        )


def _system(analysis: Analysis) -> Iterator[Block]:
    model = analysis.model
    rows = []
    for element in model.elements:
        zone = model.zone_of(element.name)
        what = [*element.roles, *(f"holds {word}" for word in element.holds)]
        controls = ", ".join(element.controls)
        title = model.target_title(element.name)
        rows.append(
            [title, element.kind, zone.title or zone.name, ", ".join(what) or "-", controls or "-"]
        )
    yield Table(["Element", "Kind", "Zone", "Roles and data", "Controls"], rows)
    rows = []
    for number, flow in enumerate(model.flows, 1):
        ends = f"{model.target_title(flow.source)} → {model.target_title(flow.target)}"
        crosses = "yes" if model.crosses(flow) else "no"
        rows.append(
            [str(number), model.target_title(flow.name), ends, ", ".join(flow.data),
             flow.protocol, crosses, ", ".join(flow.protected_by) or "-"]
        )  # fmt: skip
    yield Table(["", "Flow", "From, to", "Data", "Protocol", "Leaves its zone", "Controls"], rows)


def _ranking(analysis: Analysis, today: datetime.date) -> Iterator[Block]:
    yield Heading(2, "Ranking")
    yield Paragraph(
        "Risk is the mean of the five DREAD scores; beside it without discoverability, which "
        "rewards obscurity. D damage, R reproducibility, E exploitability, A affected, "
        "D discoverability, each from 0 to 10."
    )
    rows = [
        [threat.level, f"{threat.risk:.1f}", f"{threat.scores.risk_without_discoverability:.1f}",
         " ".join(f"{score.value:g}" for score in threat.scores.scores),
         threat.rule.title, threat.title, _state(threat, today)]
        for threat in analysis.threats
    ]  # fmt: skip
    yield Table(["Level", "Risk", "Without", "D R E A D", "Threat", "Where", "State"], rows)


def _state(threat: Threat, today: datetime.date) -> str:
    said = []
    if threat.measurement is not None:
        said.append("measured")
    said.append("controls in place" if threat.present else "no control in place")
    if threat.acceptance is not None:
        holds = "accepted" if threat.accepted(today) else "acceptance does not hold"
        said.append(f"{holds}, {threat.acceptance.by}, until {threat.acceptance.until.isoformat()}")
    return "; ".join(said)


def _details(analysis: Analysis, today: datetime.date) -> Iterator[Block]:
    yield Heading(2, "Threats, and why they are scored so")
    for threat in analysis.threats:
        rule = threat.rule
        yield Heading(3, f"{rule.title}: {threat.title}")
        yield Paragraph(f"{threat.statement} {rule.why}")
        stride = ", ".join(STRIDE[letter] for letter in rule.stride)
        ids = [
            f"{vocabulary.taxonomies()[taxonomy]['title']}: "
            + ", ".join(f"{i} {vocabulary.taxonomies()[taxonomy]['ids'][i]}" for i in found)
            for taxonomy, found in rule.ids.items()
            if found
        ]
        scores = [
            f"{factor} {score.value:g}: {score.reason}"
            for factor, score in zip(FACTORS, threat.scores.scores, strict=True)
        ]
        there = ", ".join(f"{c} ({where})" for c, where in threat.present.items())
        yield Bullets(
            [
                f"Id {threat.id}; {stride}; {threat.level}, {threat.risk:.1f}; "
                f"{_state(threat, today)}",
                *scores,
                f"In place: {there or 'nothing'}",
                *_would_help(analysis.model, threat),
                *(f"Measure it by {measure}" for measure in rule.measures),
                *([f"Measured: {threat.measurement}; {threat.measurement.setting}"]
                  if threat.measurement else []),
                *([f"Accepted up to {threat.acceptance.level}: {threat.acceptance.reason}"]
                  if threat.acceptance else []),
                f"NIST AI RMF: {', '.join(threat.rmf_functions)}",
                *ids,
            ]
        )  # fmt: skip


def _would_help(model: SystemModel, threat: Threat) -> Iterator[str]:
    """Yield the controls that are missing; apart, those that can stand nowhere here."""
    useful = [c for c in threat.missing if places_for(model, threat.target, c)]
    yield f"Would help: {', '.join(useful) or 'nothing that is known here'}"
    if len(useful) < len(threat.missing):
        nowhere = ", ".join(c for c in threat.missing if c not in useful)
        yield f"Without a place in this model: {nowhere}"


def _privacy(analysis: Analysis) -> Iterator[Block]:
    concerns = privacy_concerns(analysis.model)
    yield Heading(2, "Privacy by Design (LINDDUN)")
    if not concerns:
        yield Paragraph("The model names no data about people.")
        return
    open_ones = sum(concern.open for concern in concerns)
    yield Paragraph(f"{len(concerns)} questions, {open_ones} of them without an answer in place.")
    rows = [
        [f"{c.question.letter}: {c.question.title}", c.title, "sensitive" if c.sensitive else "",
         c.question.question, ", ".join(c.answers) or "open", c.question.principle]
        for c in concerns
    ]  # fmt: skip
    yield Table(["Category", "Where", "", "Question", "Answered by", "Principle"], rows)


def _zero_trust(analysis: Analysis) -> Iterator[Block]:
    checks = zero_trust_checks(analysis.model)
    yield Heading(2, "Zero Trust (NIST SP 800-207)")
    if not checks:
        yield Paragraph("No flow travels over a network, a radio or a memory card.")
        return
    whole = sum(not check.failed for check in checks)
    yield Paragraph(
        f"{whole} of {len(checks)} flows that travel pass all five checks. "
        + " ".join(f"{t.name.capitalize()}: {t.question}" for t in TENETS)
    )
    rows = [
        [check.title, *(check.answers[tenet.name] or "no" for tenet in TENETS)] for check in checks
    ]
    yield Table(["Flow", *(tenet.name for tenet in TENETS)], rows)


def _method() -> Iterator[Block]:
    yield Heading(2, "Method and sources")
    levels = ", ".join(f"{level} from {least:g}" for level, least in THRESHOLDS.items())
    yield Paragraph(
        "Threats are derived by rules from the elements and flows above; what is not in the model "
        f"is not in the report. Levels: {levels}, low below. A measured score replaces the guesses "
        "at reproducibility and exploitability; an attack that failed never brings them below 3."
    )
    yield Bullets(
        [
            f"{known['title']} {known['version']} ({known['date']}), {known['licence']}: "
            f"{known['source']}"
            for known in vocabulary.taxonomies().values()
        ]
    )


def _line(text: str) -> str:
    """Escape text that begins a line: neither a list, a rule, nor a directive starts there."""
    return re.sub(r"^(\d*)([-+=:.)])(?=[\s=:-]|$)", r"\1\\\2", escape_markdown(text))


def _markdown(block: Block, drawing: str) -> str:
    match block:
        case Heading(level, text):
            return f"{'#' * level} {escape_markdown(text)}"
        case Paragraph(text):
            return _line(text)
        case Bullets(items):
            return "\n".join(f"- {_line(item)}" for item in items)
        case Table(header, rows):
            cells = [list(map(escape_markdown, header)), ["---"] * len(header)]
            cells += [list(map(escape_markdown, row)) for row in rows]
            return "\n".join(f"| {' | '.join(row)} |" for row in cells)
        case Diagram():
            return drawing


def _html(block: Block, drawing: str) -> str:
    match block:
        case Heading(level, text):
            return f"<h{level}>{html.escape(text)}</h{level}>"
        case Paragraph(text):
            return f"<p>{html.escape(text)}</p>"
        case Bullets(items):
            return f"<ul>{''.join(f'<li>{html.escape(item)}</li>' for item in items)}</ul>"
        case Table(header, rows):
            head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in header)
            body = "".join(
                f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>"
                for row in rows
            )
            return (
                f'<div class="wide"><table><thead><tr>{head}</tr></thead>'
                f"<tbody>{body}</tbody></table></div>"
            )
        case Diagram():
            return drawing
