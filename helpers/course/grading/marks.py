"""Marks for answers that a person reads: one for each line of the rubric, kept in SQLite."""

from __future__ import annotations

import csv
import hashlib
import io
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from helpers.course.generate import write_atomically
from helpers.course.grading.records import Record
from helpers.course.grading.tables import Row, as_csv
from helpers.course.tasks import LabSpec
from helpers.errors import CourseError

MOST = 2  # points for a line of the rubric: 0 not met, 1 in part, 2 met
_TABLES = """
CREATE TABLE IF NOT EXISTS marks (
    ident TEXT, memo TEXT, line INTEGER, points INTEGER, PRIMARY KEY (ident, memo, line));
CREATE TABLE IF NOT EXISTS comments (
    ident TEXT, memo TEXT, text TEXT, PRIMARY KEY (ident, memo));
"""
_FIXED = ("ident", "learner", "memo", "answer")


@dataclass(frozen=True)
class Answer:
    """One answer in the queue."""

    ident: str
    learner: str
    memo: str
    title: str
    rubric: tuple[str, ...]
    text: str


def queue(spec: LabSpec, records: Sequence[Record], anonymous: bool) -> list[Answer]:
    """Return every answer to be read; anonymous ones come without a name, in a mixed order."""
    rubrics = {memo.name: memo for memo in spec.memos}
    found = [
        Answer(r.ident, r.learner, name, rubrics[name].title, rubrics[name].rubric, text)
        for r in records
        for name, text in sorted(r.memos.items())
        if name in rubrics
    ]
    if not anonymous:
        return found
    found.sort(key=lambda item: hashlib.sha256(f"{item.memo}{item.ident}".encode()).digest())
    return [Answer(a.ident, "", a.memo, a.title, a.rubric, a.text) for a in found]


class Marks:
    """The marks of one grading run. Each call saves at once; any process may read beside it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with closing(self._connect()) as connection, connection:
                connection.executescript(_TABLES)
        except sqlite3.Error as error:
            raise CourseError(f"{path} is no file of marks: {error}") from None

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=10)

    def save(self, answer: Answer, line: int, points: int | None) -> None:
        """Save the points for one line of the rubric; None takes them back.

        Raises
        ------
        CourseError
            If there is no such line, or it cannot earn so many points.
        """
        if not 0 <= line < len(answer.rubric):
            raise CourseError(f"the rubric of {answer.memo} has no line {line + 1}")
        if points is not None and (type(points) is not int or not 0 <= points <= MOST):
            raise CourseError(f"a line earns 0 to {MOST} points, not {points!r}")
        place = (answer.ident, answer.memo, line)
        with closing(self._connect()) as connection, connection:
            connection.execute("DELETE FROM marks WHERE ident=? AND memo=? AND line=?", place)
            if points is not None:
                connection.execute("INSERT INTO marks VALUES (?, ?, ?, ?)", (*place, points))

    def comment(self, answer: Answer, text: str) -> None:
        """Save what the reader has to say about an answer."""
        with closing(self._connect()) as connection, connection:
            connection.execute(
                "INSERT OR REPLACE INTO comments VALUES (?, ?, ?)",
                (answer.ident, answer.memo, text),
            )

    def of(self, answer: Answer) -> tuple[list[int | None], str]:
        """Return the points for each line, None where there are none yet, and the comment."""
        place = (answer.ident, answer.memo)
        with closing(self._connect()) as connection:
            rows = connection.execute(
                "SELECT line, points FROM marks WHERE ident=? AND memo=?", place
            ).fetchall()
            text = connection.execute(
                "SELECT text FROM comments WHERE ident=? AND memo=?", place
            ).fetchone()
        points = dict(rows)
        return [points.get(line) for line in range(len(answer.rubric))], text[0] if text else ""


def export(path: Path, answers: Sequence[Answer], marks: Marks) -> None:
    """Write the queue with its marks as CSV, to be filled in and read back by :func:`restore`."""
    longest = max((len(answer.rubric) for answer in answers), default=0)
    lines = [f"line {number}" for number in range(1, longest + 1)]
    rows: list[Row] = [[*_FIXED, *lines, "comment", "points", "of"]]
    for answer in answers:
        given, comment = marks.of(answer)
        cells = ["" if points is None else points for points in given]
        cells += [""] * (longest - len(given))
        total, most = sum(filter(None, given)), MOST * len(given)
        fixed = [answer.ident, answer.learner, answer.memo, answer.text]
        rows.append([*fixed, *cells, comment, total, most])
    write_atomically(path, as_csv(rows))


def restore(path: Path, answers: Sequence[Answer], marks: Marks) -> int:
    """Read marks from a CSV that :func:`export` wrote, and return how many lines have one.

    Raises
    ------
    CourseError
        With the row, if it names no answer in the queue or holds no proper mark.
    """
    known = {(answer.ident, answer.memo): answer for answer in answers}
    count = 0
    for number, row in enumerate(_rows(path), start=2):
        answer = known.get((str(row.get("ident")), str(row.get("memo"))))
        if answer is None:
            raise CourseError(f"{path}, row {number}: there is no such answer in this run")
        for line in range(len(answer.rubric)):
            text = (row.get(f"line {line + 1}") or "").strip()
            if text and text not in map(str, range(MOST + 1)):
                raise CourseError(
                    f"{path}, row {number}: line {line + 1} is {text!r}; give 0 to {MOST}"
                )
            marks.save(answer, line, int(text) if text else None)
            count += bool(text)
        marks.comment(answer, row.get("comment") or "")
    return count


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        text = path.read_text("utf-8-sig")  # Excel puts a mark in front
        return list(csv.DictReader(io.StringIO(text, newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise CourseError(f"{path} is no CSV file in UTF-8 ({error}); save it as one") from None
