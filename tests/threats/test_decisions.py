"""Decisions on risks: what is written by hand becomes risks, or is told what is wrong with it."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from helpers.errors import ThreatModelError
from helpers.threats.decisions import decide

TODAY = datetime.date(2026, 7, 1)
RISKS = {"evasion@model": "A sound fools it.", "flash-read-out@flash": "It is read."}
ROW = ("accept", "A. Person", "2026-12-31", "because")


def test_each_risk_is_decided_or_open_in_the_order_in_which_it_was_asked() -> None:
    decided, left = decide(RISKS, {"evasion@model": ROW, "of no concern@here": ROW}, TODAY)
    assert (decided.threat, decided.text) == ("evasion@model", "A sound fools it.")
    assert decided.until == datetime.date(2026, 12, 31)
    assert decided.problem(TODAY) == ""
    assert (left.threat, left.problem(TODAY)) == ("flash-read-out@flash", "nobody has decided")
    blank, _ = decide(RISKS, {"evasion@model": ("", "", "2026-12-31", "")}, TODAY)
    assert blank.problem(TODAY) == "nobody has decided"


@pytest.mark.parametrize(
    ("decisions", "message"),
    [
        ({...}, "are a dict from a risk to four texts, not a set"),
        (None, "are a dict from a risk to four texts, not a NoneType"),
        ({"evasion@model": "accept"}, "give decision, owner, until, reason in brackets"),
        ({"evasion@model": ROW[:3]}, r"'evasion@model': give decision, owner, until, reason"),
        ({"evasion@model": (*ROW[:2], TODAY, "because")}, "until is 'datetime.date.* in quotes"),
        (
            {"evasion@model": (*ROW[:2], "31.12.2026", "x")},
            "'evasion@model': '31.12.2026' is no day of the calendar; write year, month and day",
        ),
        ({"evasion@model": (*ROW[:2], "2026-02-30", "x")}, "'2026-02-30' is no day .* 2026-12-31"),
        ({"evasion@model": ("fix", *ROW[1:])}, "decision is 'fix'; known: accept, mitigate"),
        ({"evasion@model": (*ROW[:3], "x" * 2001)}, "'evasion@model': .*reason"),
        ({"evasion@model": (ROW[0], "\u202eeve", *ROW[2:])}, "'evasion@model': .*cannot be shown"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_row_that_is_no_decision_is_named(decisions: Any, message: str) -> None:
    with pytest.raises(ThreatModelError, match=message):
        decide(RISKS, decisions, TODAY)
