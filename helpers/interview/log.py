"""The practice log: what was answered, how sure the candidate was, and what it earned.

One line of JSON an event, only ever appended and flushed to the disk before the candidate sees
anything that the event entitles them to: an answer is on the disk before its rubric is shown. A
process that is killed leaves at most a torn last line, which readers pass over and the next writer
closes off. Nothing else is stored; the schedule is what follows from reading the log.
"""

from __future__ import annotations

import csv
import fcntl
import io
import json
import math
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from helpers._text import harmless_cell
from helpers.errors import InterviewError


@dataclass(frozen=True)
class Attempt:
    """One answer to one question.

    Attributes
    ----------
    id
        Ties the events of an attempt together.
    at
        When the answer was committed, with time zone UTC.
    question
        Id of the question.
    sitting
        Id of the mock, or the word for what else it was part of, such as ``"drill"``.
    answer
        What was committed.
    confidence
        Share of the points that the candidate expected, 0 to 1, before seeing anything.
    seconds
        Time from question to answer.
    points
        What it earned, 0 to 1; None while prose waits for its rubric.
    ticked
        Numbers of the rubric points or options, from 0.
    follow_ups
        For each follow-up that was tried, whether the candidate had it.
    """

    id: str
    at: datetime
    question: str
    sitting: str
    answer: str
    confidence: float
    seconds: float
    points: float | None = None
    ticked: tuple[int, ...] = ()
    follow_ups: tuple[bool, ...] = ()


@dataclass(frozen=True)
class Mock:
    """A mock interview that was begun: its questions, the time for them, and when it began."""

    id: str
    at: datetime
    questions: tuple[str, ...]
    minutes: int
    ended: bool = False


@dataclass(frozen=True)
class Record:
    """What a log says.

    Attributes
    ----------
    attempts
        In the order they were committed.
    mocks
        In the order they were begun.
    damaged
        Numbers of the lines, from 1, that could not be read.
    """

    attempts: tuple[Attempt, ...]
    mocks: tuple[Mock, ...]
    damaged: tuple[int, ...] = ()


def default_path() -> Path:
    """Return where the log lies: below ``EDGESEC_HOME``, or in the platform's user data folder."""
    from platformdirs import user_data_path

    home = os.environ.get("EDGESEC_HOME")
    return (Path(home) if home else user_data_path("edgesec")) / "interview.jsonl"


class PracticeLog:
    """A log file; several processes may write to it at once.

    Parameters
    ----------
    path
        The file; made with its folder when the first event is written. Each method that writes
        raises InterviewError where it cannot.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def commit(self, attempt: Attempt) -> None:
        """Write an answer before anything about it is shown."""
        whole = asdict(attempt)
        kept = {key: whole[key] for key in _COMMITTED}
        self._append("commit", {**kept, "at": attempt.at.isoformat()})

    def score(self, attempt: str, points: float, ticked: Sequence[int] = ()) -> None:
        """Write what an answer earned; the last score of an attempt counts."""
        self._append("score", {"id": attempt, "points": points, "ticked": list(ticked)})

    def follow_up(self, attempt: str, had_it: bool) -> None:
        """Write whether the candidate had the next follow-up."""
        self._append("follow-up", {"id": attempt, "had_it": had_it})

    def begin(self, mock: Mock) -> None:
        """Write that a mock begins."""
        self._append(
            "mock",
            {
                "id": mock.id,
                "at": mock.at.isoformat(),
                "questions": list(mock.questions),
                "minutes": mock.minutes,
            },
        )

    def end(self, mock: str) -> None:
        """Write that a mock is over."""
        self._append("end", {"id": mock})

    def read(self) -> Record:
        """Return what the log says; a missing file says nothing.

        Raises
        ------
        InterviewError
            If the file cannot be read.
        """
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return Record((), ())
        except OSError as error:
            raise InterviewError(f"{self.path} cannot be read: {error.strerror}.") from error
        return _replayed(lines)

    def _append(self, kind: str, event: dict[str, Any]) -> None:
        line = json.dumps({"event": kind, **event}, ensure_ascii=False, allow_nan=False) + "\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab+") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                file.write(_newline_if_torn(file) + line.encode("utf-8", "surrogatepass"))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise InterviewError(
                f"{self.path} cannot be written to ({error.strerror}): name another with --log."
            ) from error


_COMMITTED = ("id", "question", "sitting", "answer", "confidence", "seconds")


def new_id() -> str:
    """Return an id that no other attempt or mock has."""
    return secrets.token_hex(6)


def _newline_if_torn(file: io.BufferedRandom) -> bytes:
    """Return the newline that a writer killed in mid-line left out."""
    if file.seek(0, os.SEEK_END) == 0:
        return b""
    file.seek(-1, os.SEEK_END)
    return b"" if file.read(1) == b"\n" else b"\n"


def _replayed(lines: Sequence[bytes]) -> Record:
    attempts: dict[str, Attempt] = {}
    mocks: dict[str, Mock] = {}
    damaged = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            _apply(json.loads(line), attempts, mocks)
        except (ValueError, KeyError, TypeError, RecursionError):
            damaged.append(number)
    return Record(tuple(attempts.values()), tuple(mocks.values()), tuple(damaged))


def _apply(event: dict[str, Any], attempts: dict[str, Attempt], mocks: dict[str, Mock]) -> None:
    kind, identity = event["event"], str(event["id"])
    if kind == "commit":
        attempts[identity] = Attempt(
            id=identity,
            at=_moment(event["at"]),
            question=str(event["question"]),
            sitting=str(event["sitting"]),
            answer=str(event["answer"]),
            confidence=_share(event["confidence"]),
            seconds=_finite(event["seconds"]),
        )
    elif kind == "score":
        ticked = tuple(int(index) for index in event["ticked"])
        points = _share(event["points"])
        attempts[identity] = replace(attempts[identity], points=points, ticked=ticked)
    elif kind == "follow-up":
        had = (*attempts[identity].follow_ups, bool(event["had_it"]))
        attempts[identity] = replace(attempts[identity], follow_ups=had)
    elif kind == "mock":
        questions = tuple(str(name) for name in event["questions"])
        mocks[identity] = Mock(identity, _moment(event["at"]), questions, int(event["minutes"]))
    elif kind == "end":
        mocks[identity] = replace(mocks[identity], ended=True)
    else:
        raise ValueError(kind)


def _moment(text: Any) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone")
    return moment.astimezone(UTC)


def _share(value: Any) -> float:
    number = _finite(value)
    if not 0 <= number <= 1:
        raise ValueError(value)
    return number


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number


def to_json(attempts: Sequence[Attempt]) -> str:
    """Return attempts as a JSON list."""
    rows = [{**asdict(attempt), "at": attempt.at.isoformat()} for attempt in attempts]
    return json.dumps(rows, indent=1, ensure_ascii=False) + "\n"


def to_csv(attempts: Sequence[Attempt]) -> str:
    """Return attempts as CSV with a header; lists are joined by spaces.

    A cell that a spreadsheet would take for a formula begins with an apostrophe.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([field.name for field in fields(Attempt)])
    for attempt in attempts:
        writer.writerow([_cell(value) for value in _values(attempt)])
    return out.getvalue()


def _values(attempt: Attempt) -> Iterator[Any]:
    for field in fields(Attempt):
        yield getattr(attempt, field.name)


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple):
        return " ".join(str(int(item)) for item in value)
    return "" if value is None else harmless_cell(value)
