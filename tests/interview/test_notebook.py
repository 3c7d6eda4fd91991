"""Practice in a notebook: the same order of things, over the same log."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from helpers.course.interview import practice
from helpers.errors import InterviewError
from helpers.interview import Outside, Question
from helpers.interview.log import Attempt, PracticeLog
from helpers.interview.notebook import Practice

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def shown() -> list[str]:
    return []


@pytest.fixture
def log(tmp_path: Path) -> PracticeLog:
    return PracticeLog(tmp_path / "log")


@pytest.fixture
def desk(
    bank: dict[str, Question], log: PracticeLog, outside: Outside, shown: list[str]
) -> Practice:
    return Practice(bank, log, outside, lambda: NOW, random.Random(0), shown.append)


def test_nothing_is_shown_before_the_commitment(
    desk: Practice, shown: list[str], log: PracticeLog
) -> None:
    with pytest.raises(InterviewError, match=r"ask\(\)"):
        desk.commit("x", 0.5)
    desk.ask("lens-flare")
    assert "Characterises first" not in shown[-1]
    with pytest.raises(InterviewError, match="commit an answer"):
        desk.tick(1)
    with pytest.raises(InterviewError, match="commit an answer"):
        desk.dig()
    with pytest.raises(InterviewError, match="confidence"):
        desk.commit("x", 70)
    assert log.read().attempts == ()
    desk.commit("It clips to white.", 0.7)
    assert "Characterises first" in shown[-1]
    assert "Model answer" not in shown[-1]
    desk.tick(1, 3)
    assert "Model answer" in shown[-1]
    with pytest.raises(InterviewError, match="committed"):
        desk.commit("another", 0.7)
    (attempt,) = log.read().attempts
    assert attempt.ticked == (0, 2)


def test_a_machine_scores_what_it_can(desk: Practice, shown: list[str]) -> None:
    desk.ask("noise-on-a-count")
    desk.commit("15", 0.9)
    assert shown[-1].startswith("**100%** Right.")
    with pytest.raises(InterviewError, match="by machine"):
        desk.tick(1)


def test_the_chain_digs_to_its_end(desk: Practice, shown: list[str], log: PracticeLog) -> None:
    desk.ask("noise-on-a-count")
    desk.commit("15", 0.9)
    desk.dig()
    assert shown[-1].startswith("**Follow-up 1 of 2:** A patient may have")
    desk.dig(had_it=True)
    assert "count distinct patients" in shown[-1]
    desk.dig(had_it=False)
    desk.dig()
    assert shown[-1] == "That was the last one."
    assert log.read().attempts[0].follow_ups == (True, False)


def test_what_is_due_comes_first(desk: Practice, shown: list[str], log: PracticeLog) -> None:
    old = Attempt("a", NOW - timedelta(days=80), "noise-on-a-count", "drill", "5", 0.9, 9.0)
    log.commit(old)
    log.score(old.id, 0.0)
    desk.ask(level="junior")
    assert "How far off a private count may be" in shown[-1]
    with pytest.raises(InterviewError, match="there is no question"):
        desk.ask("lense-flare")


def test_the_notebooks_desk_shares_the_log_of_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDGESEC_HOME", str(tmp_path))
    desk = practice(seed=1)
    desk.ask("noise-on-a-count")
    desk.commit("15", 0.8)
    assert (tmp_path / "interview.jsonl").exists()
