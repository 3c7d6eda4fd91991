"""Risks as somebody decides them: a table of short rows, checked row by row.

A decision is written by hand, so the errors are written for whoever wrote it.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from helpers._text import shown
from helpers.errors import ThreatModelError
from helpers.threats.evidence import check_form, day
from helpers.threats.security_case import Risk

_ROW = ("decision", "owner", "until", "reason")


def decide(
    risks: Mapping[str, str], decisions: Mapping[str, Sequence[str]], today: datetime.date
) -> tuple[Risk, ...]:
    """Return one :class:`~helpers.threats.security_case.Risk` for each that has to be decided.

    Parameters
    ----------
    risks
        What can happen, by the id of the risk.
    decisions
        By the id of a risk, four texts: decision, owner, last day (``"2026-12-31"``), reason. A
        risk that is not there, or whose decision is ``""``, is ``"open"``; a decision on another
        risk is left out.
    today
        The day of an open risk.

    Raises
    ------
    ThreatModelError
        If `decisions` is no table of such rows, or a text is too long or empty or cannot be shown;
        the message names the row and what is wrong.
    """
    if not isinstance(decisions, Mapping):
        raise ThreatModelError(
            f"decisions are a dict from a risk to four texts, not a {type(decisions).__name__}."
        )
    rows = {name: _row(str(name), row) for name, row in decisions.items() if name in risks}
    undecided = ("open", "", today.isoformat(), "")
    found = []
    for name, text in risks.items():
        decision, owner, until, reason = rows.get(name, undecided)
        known: Any = decision or "open"  # Risk refuses any other
        risk = Risk(name, text, known, owner, day(until, shown(name)), reason)
        check_form(asdict(risk) | {"until": risk.until.isoformat()}, shown(name), "risk")
        found.append(risk)
    return tuple(found)


def _row(name: str, row: Any) -> tuple[str, str, str, str]:
    if isinstance(row, str) or not isinstance(row, Sequence) or len(row) != len(_ROW):
        raise ThreatModelError(
            f"{shown(name)}: give {', '.join(_ROW)} in brackets, not {shown(repr(row))}."
        )
    for what, text in zip(_ROW, row, strict=True):
        if not isinstance(text, str):
            raise ThreatModelError(
                f"{shown(name)}: {what} is {shown(repr(text))}; write it as a text in quotes."
            )
    decision, owner, until, reason = row
    return decision, owner, until, reason
