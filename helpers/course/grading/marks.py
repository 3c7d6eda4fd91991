"""Marks for answers that a person reads: one for each line of the rubric, kept in SQLite.

A mark belongs to the text that was read. Whoever hands in another text is read anew, and the marks
of the first are kept in case it comes back.
"""

from __future__ import annotations

import csv
import hashlib
import io
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from helpers._files import write_atomically
from helpers._text import harmless_cell
from helpers.course.grading.records import Record
from helpers.course.grading.tables import Row, as_csv
from helpers.course.tasks import LabSpec
from helpers.errors import CourseError

MOST = 2  # points for a line of the rubric: 0 not met, 1 in part, 2 met
_TABLES = """
CREATE TABLE IF NOT EXISTS marks (
    ident TEXT, memo TEXT, digest TEXT, line INTEGER, points INTEGER,
    PRIMARY KEY (ident, memo, digest, line));
CREATE TABLE IF NOT EXISTS comments (
    ident TEXT, memo TEXT, digest TEXT, text TEXT, PRIMARY KEY (ident, memo, digest));
SELECT digest FROM marks LIMIT 0;
"""
_HERE = "ident=? AND memo=? AND digest=?"
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

    @property
    def place(self) -> tuple[str, str, str]:
        """What its marks are kept under: whose it is, which memo, and a digest of its text."""
        digest = hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()
        return self.ident, self.memo, digest


@dataclass(frozen=True)
class MemoMark:
    """What a memo of one learner has earned so far.

    Attributes
    ----------
    name, title
        Of the memo.
    lines
        The rubric, and the points for each of its lines; None where there are none yet.
    comment
        What its reader has to say.
    handed_in
        Whether there is a text. Without one there is nothing to wait for, and no point.
    """

    name: str
    title: str
    lines: tuple[tuple[str, int | None], ...]
    comment: str = ""
    handed_in: bool = True

    @property
    def points(self) -> int | None:
        """Points of all lines together; None while one of them is to be marked yet."""
        given = [points for _, points in self.lines]
        if not self.handed_in:
            return 0
        return None if None in given else sum(filter(None, given))

    @property
    def most(self) -> int:
        """Points that could be had."""
        return MOST * len(self.lines)


Marked = dict[str, tuple[MemoMark, ...]]  # by the ident of a record


def marked(out: Path, spec: LabSpec, records: Sequence[Record]) -> Marked:
    """Return what the memos of each learner have earned, by the marks in a run's folder."""
    path = out / "marks.sqlite3"
    marks = Marks(path) if path.exists() else None
    answers = {(answer.ident, answer.memo): answer for answer in queue(spec, records, False)}
    found: Marked = {}
    for record in records:
        memos = []
        for memo in spec.memos:
            answer = answers.get((record.ident, memo.name))
            none: tuple[list[int | None], str] = ([None] * len(memo.rubric), "")
            given, comment = marks.of(answer) if answer and marks else none
            lines = tuple(zip(memo.rubric, given, strict=True))
            memos.append(MemoMark(memo.name, memo.title, lines, comment, answer is not None))
        found[record.ident] = tuple(memos)
    return found


def pending(memos: Marked) -> int:
    """Return how many memos were handed in and are to be read yet."""
    return sum(memo.points is None for of_one in memos.values() for memo in of_one)


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
        place = (*answer.place, line)
        with closing(self._connect()) as connection, connection:
            connection.execute(f"DELETE FROM marks WHERE {_HERE} AND line=?", place)
            if points is not None:
                connection.execute("INSERT INTO marks VALUES (?, ?, ?, ?, ?)", (*place, points))

    def comment(self, answer: Answer, text: str) -> None:
        """Save what the reader has to say about an answer."""
        with closing(self._connect()) as connection, connection:
            connection.execute(
                "INSERT OR REPLACE INTO comments VALUES (?, ?, ?, ?)", (*answer.place, text)
            )

    def of(self, answer: Answer) -> tuple[list[int | None], str]:
        """Return the points for each line, None where there are none yet, and the comment."""
        place = answer.place
        with closing(self._connect()) as connection:
            rows = connection.execute(
                f"SELECT line, points FROM marks WHERE {_HERE}", place
            ).fetchall()
            text = connection.execute(f"SELECT text FROM comments WHERE {_HERE}", place).fetchone()
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

    An empty cell takes a mark back. A row or column that is not there changes nothing, so several
    readers can have a table each.

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
        read = row.get("answer")
        if read is not None and _bare(read) != _bare(str(harmless_cell(answer.text))):
            raise CourseError(
                f"{path}, row {number}: this is not the answer that was handed in last; "
                "--export writes the present ones"
            )
        for line in range(len(answer.rubric)):
            if f"line {line + 1}" not in row:
                continue
            text = (row[f"line {line + 1}"] or "").strip()
            if text and text not in map(str, range(MOST + 1)):
                raise CourseError(
                    f"{path}, row {number}: line {line + 1} is {text!r}; give 0 to {MOST}"
                )
            marks.save(answer, line, int(text) if text else None)
            count += bool(text)
        if "comment" in row:
            marks.comment(answer, row["comment"] or "")
    return count


def _bare(text: str) -> str:
    return "".join(text.split())  # a spreadsheet writes other ends of lines


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        text = path.read_text("utf-8-sig")  # Excel puts a mark in front
        return list(csv.DictReader(io.StringIO(text, newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise CourseError(f"{path} is no CSV file in UTF-8 ({error}); save it as one") from None
