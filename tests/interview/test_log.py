"""The practice log survives what happens to files and processes."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.errors import InterviewError
from helpers.interview.log import (
    Attempt,
    Mock,
    PracticeLog,
    default_path,
    new_id,
    to_csv,
    to_json,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def attempt(name: str = "lens-flare", **changes: object) -> Attempt:
    settled = {
        "id": new_id(), "at": NOON, "question": name, "sitting": "drill", "answer": "flare, ε",
        "confidence": 0.6, "seconds": 30.0,
    }  # fmt: skip
    return Attempt(**{**settled, **changes})  # type: ignore[arg-type]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    log = PracticeLog(tmp_path / "new" / "log.jsonl")
    assert log.read().attempts == ()
    one, two = attempt(), attempt("noise-on-a-count")
    log.begin(Mock("m", NOON, ("lens-flare",), 20))
    log.commit(one)
    log.commit(two)
    log.score(one.id, 0.75, [0, 2])
    log.follow_up(one.id, True)
    log.follow_up(one.id, False)
    log.end("m")
    record = log.read()
    assert record.damaged == ()
    assert record.mocks == (Mock("m", NOON, ("lens-flare",), 20, ended=True),)
    first, second = record.attempts
    assert (first.points, first.ticked, first.follow_ups) == (0.75, (0, 2), (True, False))
    assert (first.answer, first.at, first.confidence) == (one.answer, one.at, one.confidence)
    assert second.points is None


def test_the_last_score_counts(tmp_path: Path) -> None:
    log, one = PracticeLog(tmp_path / "log"), attempt()
    log.commit(one)
    log.score(one.id, 0.2)
    log.score(one.id, 0.4)
    assert log.read().attempts[0].points == 0.4


def test_a_torn_line_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log, one, two = PracticeLog(path), attempt(), attempt()
    log.commit(one)
    whole = path.read_bytes()
    for cut in range(1, len(whole)):
        path.write_bytes(whole + whole[:cut].removesuffix(b"\n"))
        log.commit(two)
        record = log.read()
        assert record.attempts[-1].id == two.id
        assert record.attempts[0].id == one.id
        # A line that lacks its newline alone is whole; every other cut is noticed.
        assert record.damaged == ((2,) if cut < len(whole) - 1 else ())


@settings(max_examples=50, deadline=None)
@given(junk=st.binary(max_size=80))
def test_junk_is_passed_over(tmp_path_factory: pytest.TempPathFactory, junk: bytes) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    path.write_bytes(junk + b"\n")
    log, one = PracticeLog(path), attempt()
    log.commit(one)
    assert [found.id for found in log.read().attempts] == [one.id]


@pytest.mark.parametrize(
    "line",
    [
        {"event": "score", "id": "nobody", "points": 1, "ticked": []},
        {"event": "commit", "id": "a"},
        {"event": "party", "id": "a"},
        [1, 2],
        {"event": "mock", "id": "m", "at": "2026-03-01T12:00:00", "questions": [], "minutes": 1},
    ],
)
def test_an_event_that_makes_no_sense_is_named_by_its_line(tmp_path: Path, line: object) -> None:
    path = tmp_path / "log"
    path.write_text(json.dumps(line) + "\n")
    assert PracticeLog(path).read().damaged == (1,)


def test_many_writers_do_not_disturb_each_other(tmp_path: Path) -> None:
    log = PracticeLog(tmp_path / "log")
    written = [attempt(answer="x" * (100 * n)) for n in range(60)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(log.commit, written))
    record = log.read()
    assert record.damaged == ()
    assert {found.id for found in record.attempts} == {one.id for one in written}


_WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from helpers.interview.log import Attempt, PracticeLog
log = PracticeLog(Path(sys.argv[1]))
for n in range(100_000):
    log.commit(Attempt(str(n), datetime.now(UTC), "q", "drill", "a" * 5000, 0.5, 1.0))
    print(n, flush=True)
"""


def test_a_killed_process_loses_nothing_that_it_had_committed(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).resolve().parents[2],
    ) as writer:  # fmt: skip
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(0.3)
        os.kill(writer.pid, signal.SIGKILL)
        promised = ["0", *writer.stdout.read().split()]
    log, mine = PracticeLog(path), attempt()
    log.commit(mine)
    record = log.read()
    kept = [found.id for found in record.attempts]
    assert kept[: len(promised)] == promised
    assert kept[-1] == mine.id
    assert len(record.damaged) <= 1


def test_export_is_whole_and_safe_in_a_spreadsheet() -> None:
    rows = [
        attempt(answer='=HYPERLINK("x")', points=0.5, ticked=(0, 3), follow_ups=(True,)),
        attempt(answer="two\nlines, and a comma"),
    ]
    read = list(csv.DictReader(io.StringIO(to_csv(rows))))
    assert [row["answer"] for row in read] == ['\'=HYPERLINK("x")', "two\nlines, and a comma"]
    assert (read[0]["points"], read[0]["ticked"], read[0]["follow_ups"]) == ("0.5", "0 3", "1")
    assert read[1]["points"] == ""
    assert json.loads(to_json(rows))[0]["at"] == NOON.isoformat()


def test_a_log_that_cannot_be_had_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InterviewError, match="name another with --log"):
        PracticeLog(tmp_path / "file" / "log").commit(attempt())
    with pytest.raises(InterviewError, match="cannot be read"):
        PracticeLog(tmp_path).read()


def test_the_log_lies_in_a_folder_of_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGESEC_HOME", str(tmp_path))
    assert default_path() == tmp_path / "interview.jsonl"
    monkeypatch.delenv("EDGESEC_HOME")
    assert default_path().parent.name == "edgesec"


def test_moments_are_kept_in_utc(tmp_path: Path) -> None:
    from datetime import timezone

    log = PracticeLog(tmp_path / "log")
    log.commit(attempt(at=NOON.astimezone(timezone(timedelta(hours=9)))))
    assert log.read().attempts[0].at == NOON
    assert log.read().attempts[0].at.tzinfo is UTC
