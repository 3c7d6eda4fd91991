"""What a learner sees: verdicts, notices and the report, as HTML and as plain text.

Every text is escaped. Meaning is carried by words and symbols; colour only repeats it, in tones
that keep their contrast on light and on dark pages.
"""

from __future__ import annotations

import html
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from helpers.course.tasks import Status, Verdict

REPORT_MIME = "application/vnd.edgesec.report+json"

_MARKS: dict[Status, tuple[str, str]] = {
    "passed": ("\N{HEAVY CHECK MARK}", "#2e9e5b"),
    "mismatch": ("\N{HEAVY BALLOT X}", "#d0543c"),
    "error": ("\N{HEAVY BALLOT X}", "#d0543c"),
    "not attempted": ("\N{WHITE CIRCLE}", "#8a8f98"),
}
_WORDS: dict[Status, str] = {
    "passed": "passed",
    "mismatch": "not right yet",
    "error": "stopped before it gave a result",
    "not attempted": "not attempted",
}
_NOTE = ("\N{RIGHTWARDS ARROW}", "#4a86c7")


@dataclass(frozen=True)
class Card:
    """A heading, labelled lines below it, and how it is marked."""

    heading: str
    lines: tuple[tuple[str, str], ...] = ()
    mark: tuple[str, str] = _NOTE
    extra: dict[str, Any] = field(default_factory=dict)  # further MIME types

    def __repr__(self) -> str:
        rows = [f"{self.mark[0]} {self.heading}"]
        for label, text in self.lines:
            first, *rest = text.splitlines() or [""]
            rows.append(f"    {label + ': ' if label else ''}{first}")
            rows.extend(f"      {line}" for line in rest)
        return "\n".join(rows)

    def _repr_html_(self) -> str:
        symbol, colour = self.mark
        rows = "".join(_html_line(label, text) for label, text in self.lines)
        return (
            f'<div style="border-left: 4px solid {colour}; padding: .2em .8em; margin: .4em 0">'
            f'<div><span aria-hidden="true" style="color: {colour}">{symbol}</span> '
            f"<strong>{html.escape(self.heading)}</strong></div>{rows}</div>"
        )

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        return {"text/plain": repr(self), "text/html": self._repr_html_(), **self.extra}


def show(card: Card) -> None:
    """Display a card in a notebook, or print it where there is none."""
    ipython = sys.modules.get("IPython")
    if ipython is not None and ipython.get_ipython() is not None:
        ipython.display.display(card)
    else:
        print(card)


def notice(heading: str, *lines: str) -> Card:
    """Return a card that tells the learner something and judges nothing."""
    return Card(heading, tuple(("", line) for line in lines))


def verdict_card(verdict: Verdict, note: str = "") -> Card:
    """Return the card of one verdict: what was called, expected and got, and a hint."""
    outcome = _WORDS[verdict.status]
    if verdict.status == "passed":
        outcome += f", {_points(verdict.points)}"
    elif verdict.status == "not attempted":
        outcome += f", worth {_points(verdict.max_points)}"
    labelled = (
        ("called", verdict.called),
        ("expected", verdict.expected),
        ("got", verdict.got),
        ("why", verdict.explanation),
        ("hint", verdict.hint),
        ("", note),
    )
    lines = tuple((label, text) for label, text in labelled if text)
    heading = f"{verdict.task} ({verdict.title}): {outcome}"
    return Card(heading, lines, _MARKS[verdict.status])


def report_card(title: str, verdicts: Sequence[Verdict], notes: Sequence[str], data: Any) -> Card:
    """Return the card that sums a lab up; `data` goes out under :data:`REPORT_MIME`."""
    points, most = sum(v.points for v in verdicts), sum(v.max_points for v in verdicts)
    lines = [
        (
            f"{_MARKS[v.status][0]} {v.task}",
            f"{v.title}: {_WORDS[v.status]}, {v.points} of {_points(v.max_points)}",
        )
        for v in verdicts
    ]
    lines += [("", note) for note in notes]
    return Card(f"{title}: {points} of {_points(most)}", tuple(lines), extra={REPORT_MIME: data})


def _points(points: int) -> str:
    return f"{points} point" if points == 1 else f"{points} points"


def _html_line(label: str, text: str) -> str:
    shown = f"<em>{html.escape(label)}</em>: " if label else ""
    return (
        '<div style="white-space: pre-wrap; overflow-wrap: anywhere; margin-left: 1.4em">'
        f"{shown}{html.escape(text)}</div>"
    )
