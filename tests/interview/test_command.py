"""``edgesec interview`` as a candidate uses it."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pexpect
import pytest
from click.testing import CliRunner, Result

from helpers.cli.interview import command
from helpers.errors import InterviewError
from helpers.interview.log import Attempt, PracticeLog

ROOT = Path(__file__).resolve().parents[2]
Edgesec = Callable[..., Result]


@pytest.fixture
def log(tmp_path: Path) -> PracticeLog:
    return PracticeLog(tmp_path / "log.jsonl")


@pytest.fixture
def edgesec(log: PracticeLog, monkeypatch: pytest.MonkeyPatch) -> Edgesec:
    monkeypatch.setenv("EDGESEC_HOME", str(log.path.parent))
    monkeypatch.chdir(ROOT)

    def call(*args: str, typed: str = "") -> Result:
        logged = ["--log", str(log.path)] if args[0] not in ("list", "show", "check") else []
        return CliRunner().invoke(command, [*args, *logged], input=typed)

    return call


def test_prose_is_committed_before_its_rubric_is_shown(edgesec: Edgesec, log: PracticeLog) -> None:
    typed = "It clips\nto white.\n.\n140\nsixty\n60\nx\n99\n1 2\n\ny\n\nn\n/skip\n"
    done = edgesec("drill", "--id", "lens-flare", typed=typed)
    assert done.exit_code == 0, done.output
    shown = done.output
    assert (
        shown.index("How many of the points") < shown.index("Rubric:") < shown.index("Model answer")
    )
    assert shown.count("type a whole number from 0 to 100") == 2
    assert "type numbers only" in shown
    assert "the rubric has points 1 to 8" in shown
    (attempt,) = log.read().attempts
    assert attempt.answer == "It clips\nto white."
    assert attempt.confidence == 0.6
    assert attempt.ticked == (0, 1)
    assert attempt.points == pytest.approx(7 / 22)
    assert attempt.follow_ups == (True, False)


def test_a_number_that_cannot_be_read_is_asked_again(edgesec: Edgesec, log: PracticeLog) -> None:
    done = edgesec("drill", "--id", "noise-on-a-count", typed="about 15\n5\n50\n/skip\n")
    assert "is not one number" in done.output
    assert "That is the scale of the noise" in done.output
    assert "log of 20" not in done.output.split("How many")[0]
    assert [attempt.points for attempt in log.read().attempts] == [0.0]


def test_code_is_run_and_scored(edgesec: Edgesec, log: PracticeLog) -> None:
    typed = "def trimmed_mean(v, b):\n    return sum(v) / len(v)\n.\n90\n/skip\n"
    done = edgesec("drill", "--id", "write-a-trimmed-mean", typed=typed)
    assert "2 of 5 cases pass" in done.output
    assert log.read().attempts[0].points == 0.4


def test_skipping_leaves_no_trace_and_quitting_keeps_what_there_is(
    edgesec: Edgesec, log: PracticeLog
) -> None:
    done = edgesec(
        "drill",
        "--format",
        "numeric",
        "--count",
        "3",
        "--seed",
        "1",
        typed="/skip\n1\n1\n/skip\n/quit\n",
    )
    assert done.exit_code == 130
    assert "what was committed is kept" in done.output
    assert len(log.read().attempts) == 1


def test_the_end_of_the_input_stops_and_does_not_hang(edgesec: Edgesec) -> None:
    assert edgesec("drill", "--id", "lens-flare").exit_code == 130
    assert edgesec("drill", "--id", "noise-on-a-count", typed="5").exit_code == 130


def test_a_mock_that_was_broken_off_goes_on(edgesec: Edgesec, log: PracticeLog) -> None:
    options = ["--minutes", "30", "--format", "numeric", "--seed", "4"]
    first = edgesec("mock", *options, typed="1\n50\n/quit\n")
    assert first.exit_code == 130
    assert "mock --resume" in first.output
    begun = log.read().mocks[0]
    rest = len(begun.questions) - 1
    second = edgesec("mock", "--resume", typed="1\n50\n" * rest)
    assert second.exit_code == 0, second.output
    assert f"{rest} questions" in second.output
    assert "expected 50%" in second.output
    assert sorted(a.question for a in log.read().attempts) == sorted(begun.questions)
    with pytest.raises(InterviewError, match="no mock was broken off"):
        raise edgesec("mock", "--resume").exception  # type: ignore[misc]


def test_a_mock_ends_when_its_time_is_over(
    edgesec: Edgesec, log: PracticeLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=31 * n) for n in range(99))
    monkeypatch.setattr("helpers.cli.interview._now", lambda: next(moments))
    done = edgesec("mock", "--minutes", "30", "--format", "numeric", typed="1\n50\n" * 9)
    asked = len(log.read().mocks[0].questions)
    assert f"Time is over; {asked - 1} not reached." in done.output
    assert log.read().mocks[0].ended


def test_review_asks_what_is_due_and_nothing_else(edgesec: Edgesec, log: PracticeLog) -> None:
    assert "nothing is due" in edgesec("review").output
    old = datetime.now(UTC) - timedelta(days=400)
    for name, at in (("noise-on-a-count", old), ("lens-flare", datetime.now(UTC))):
        attempt = Attempt(name, at, name, "drill", "5", 0.5, 9.0)
        log.commit(attempt)
        log.score(attempt.id, 1.0)
    done = edgesec("review", typed="15\n90\n/skip\n")
    assert "1 due" in done.output
    assert "How far off a private count may be" in done.output
    assert "nothing is due; the next one is due on 20" in edgesec("review").output


def test_looking_back(edgesec: Edgesec, log: PracticeLog, tmp_path: Path) -> None:
    edgesec("drill", "--id", "noise-on-a-count", typed="15\n80\n/skip\n")
    assert re.search(r"data-access +\d+ +1 +100%", edgesec("coverage").output)
    plot = tmp_path / "calibration.svg"
    shown = edgesec("calibration", "--plot", str(plot)).output
    assert "1 answer: expected 80%, earned 100% (20% underconfident)" in shown
    assert plot.read_text().startswith("<?xml")
    rows = json.loads(edgesec("export", "--format", "json").output)
    assert [row["question"] for row in rows] == ["noise-on-a-count"]


def test_an_answer_that_waits_for_its_score_is_scored_before_the_mock_goes_on(
    edgesec: Edgesec, log: PracticeLog
) -> None:
    """What a process leaves that was killed between the commitment and the ticks."""
    options = ["--minutes", "15", "--format", "explain", "--level", "junior", "--seed", "4"]
    begun = edgesec("mock", *options, typed="It is known.\n.\n50\n")
    assert begun.exit_code == 130
    (waiting,) = log.read().attempts
    assert waiting.points is None
    assert edgesec("mock", "--resume", typed="1\n/quit\n").exit_code == 130
    (scored,) = log.read().attempts
    assert (scored.id, scored.answer) == (waiting.id, waiting.answer)
    assert scored.points


def test_an_answer_that_cannot_be_read_is_refused_before_confidence_is_asked(
    edgesec: Edgesec, log: PracticeLog
) -> None:
    typed = "three\n420 GB\n50\n/skip\n"
    shown = edgesec("drill", "--id", "bytes-of-a-training", typed=typed).output
    assert shown.count("How many of the points") == 1
    assert "'three' is not one number" in shown
    assert log.read().attempts[0].points == 1


def test_a_damaged_log_is_named(edgesec: Edgesec, log: PracticeLog) -> None:
    log.path.write_text("{\n")
    assert "passed over damaged lines (1)" in edgesec("coverage").output


def test_list_and_show(edgesec: Edgesec) -> None:
    listed = edgesec("list", "--level", "principal").output
    assert "defend-a-keyword-model" in listed
    assert "lens-flare" not in listed
    assert "Model answer" not in edgesec("show", "lens-flare").output
    assert "What a wrong answer sounds like" in edgesec("show", "lens-flare", "--answer").output
    error = edgesec("show", "lense-flare").exception
    assert "did you mean 'lens-flare'" in str(error)


def test_a_whole_mock_at_a_real_terminal(log: PracticeLog) -> None:
    """One that a person takes: a pseudo-terminal, an interrupt in mid-answer, and the rest."""
    arguments = ["-m", "helpers", "interview", "mock", "--minutes", "30", "--format", "numeric",
                 "--seed", "2", "--log", str(log.path)]  # fmt: skip
    surroundings = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
    terminal = pexpect.spawn(
        sys.executable, arguments, cwd=str(ROOT), env=surroundings, encoding="utf-8", timeout=180,
        dimensions=(40, 60),
    )  # fmt: skip
    terminal.expect("Your number[^:]*: ")
    shown = re.sub(r"\x1b\[[\d;]*m", "", terminal.before).splitlines()
    assert max(map(len, shown[2:])) <= 60
    terminal.sendline("420")
    terminal.expect("0 to 100")
    terminal.sendline("70")
    terminal.expect("Your number[^:]*: ")
    terminal.sendintr()
    terminal.expect("what was committed is kept")
    terminal.expect(pexpect.EOF)
    terminal.wait()
    terminal.close()
    assert terminal.exitstatus == 130
    assert len(log.read().attempts) == 1
    terminal = pexpect.spawn(
        sys.executable, [*arguments[:4], "--resume", "--log", str(log.path)], cwd=str(ROOT),
        encoding="utf-8", timeout=180,
    )  # fmt: skip
    while terminal.expect(["Your number[^:]*: ", "0 to 100 %.*: ", pexpect.EOF]) < 2:
        terminal.sendline("15")
    terminal.wait()  # closing a process that is still on its way out would end it by a signal
    terminal.close()
    assert terminal.exitstatus == 0
    assert log.read().mocks[0].ended
