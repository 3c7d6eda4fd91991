"""The marks as CSV files: for a person, in nbgrader's columns, and for Canvas and Moodle.

Exercises and memos are columns of their own, or files where a platform takes one grade at a time:
a memo that nobody has read yet is ``pending`` for a person and an empty cell for a platform, which
leaves the grade there as it is. It is never a zero.

Names, file names and notes come from strangers, and a spreadsheet runs a cell that begins with
``=``: see :func:`helpers._text.harmless_cell`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from helpers._files import write_atomically
from helpers._text import harmless_cell
from helpers.course.grading.lab import GradedLab
from helpers.course.grading.records import Record

if TYPE_CHECKING:
    from helpers.course.grading.marks import Marked, MemoMark

PENDING = "pending"
Row = Sequence[str | int | float]

# The columns of `nbgrader export`, in its order.
_NBGRADER = (
    "assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email",
    "raw_score", "late_submission_penalty", "score", "max_score",
)  # fmt: skip


def write_tables(out: Path, lab: GradedLab, records: Sequence[Record], memos: Marked) -> list[Path]:
    """Write every table that the records and the marks of the memos give; return the files."""
    tables = {
        "grades.csv": _grades(lab, records, memos),
        "nbgrader.csv": _nbgrader(lab, records, memos),
    }
    canvas = [record for record in records if record.platform == "Canvas"]
    moodle = [record for record in records if record.platform == "Moodle"]
    if canvas:
        tables["canvas.csv"] = _canvas(lab, canvas, memos)
    if moodle:
        tables["moodle.csv"] = _moodle([(r, r.points, r.max_points) for r in moodle])
        for number, memo in enumerate(lab.spec.memos):
            found = [(record, memos[record.ident][number]) for record in moodle]
            tables[f"moodle-{memo.name}.csv"] = _moodle([(r, _cell(m), m.most) for r, m in found])
    for name, rows in tables.items():
        write_atomically(out / name, as_csv(rows))
    return [out / name for name in tables]


def total(record: Record, memos: Sequence[MemoMark]) -> int | None:
    """Return all points of a learner; None while a memo is to be read yet."""
    points = [memo.points for memo in memos]
    return None if None in points else record.points + sum(filter(None, points))


def _cell(memo: MemoMark, pending: str = "") -> int | str:
    return pending if memo.points is None else memo.points


def as_csv(rows: Iterable[Row]) -> str:
    """Return rows as the text of a CSV file, every cell made harmless."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([harmless_cell(cell) for cell in row] for row in rows)
    return stream.getvalue()


def _grades(lab: GradedLab, records: Sequence[Record], memos: Marked) -> list[Row]:
    tasks = [task.name for task in lab.spec.tasks]
    names = [memo.name for memo in lab.spec.memos]
    header = ["learner", "user", "platform", "file", "status", *tasks, "exercises", *names]
    rows: list[Row] = [[*header, "total", "of", "minutes", "notes"]]
    for record in records:
        marks = memos[record.ident]
        whole = total(record, marks)
        rows.append([
            record.learner, record.user, record.platform, record.source, record.state,
            *(task.points for task in record.tasks), record.points,
            *(_cell(memo, PENDING) for memo in marks), PENDING if whole is None else whole,
            record.max_points + sum(memo.most for memo in marks),
            round(record.seconds / 60, 2), "; ".join(record.notes),
        ])  # fmt: skip
    return rows


def _nbgrader(lab: GradedLab, records: Sequence[Record], memos: Marked) -> list[Row]:
    """Return one row a learner for the exercises, and one for each memo."""
    rows: list[Row] = [_NBGRADER]
    for record in records:
        student, points = record.user or record.learner, float(record.points)
        parts: list[tuple[str, float | str, float]] = [
            (lab.title, points, float(record.max_points))
        ]
        for memo in memos[record.ident]:
            given = "" if memo.points is None else float(memo.points)
            parts.append((f"{lab.title}-{memo.name}", given, float(memo.most)))
        rows += [
            [name, "", "", student, "", record.learner, "", given, 0.0, given, most]
            for name, given, most in parts
        ]
    return rows


def _canvas(lab: GradedLab, records: Sequence[Record], memos: Marked) -> list[Row]:
    """Return Canvas's gradebook import: students are matched by their ID."""
    title, marks = lab.spec.title, [memos[record.ident] for record in records]
    columns = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", title]
    columns += [f"{title}: {memo.name}" for memo in lab.spec.memos]
    most: Row = [
        "    Points Possible",
        "",
        "",
        "",
        "",
        lab.spec.points,
        *(m.most for m in marks[0]),
    ]
    rows: list[Row] = [
        [record.learner, record.user, "", "", "", record.points, *map(_cell, memos_of_one)]
        for record, memos_of_one in zip(records, marks, strict=True)
    ]
    return [columns, most, *rows]


def _moodle(marks: Sequence[tuple[Record, int | str, int]]) -> list[Row]:
    """Return Moodle's offline grading worksheet: participants are matched by identifier."""
    rows: list[Row] = [
        [f"Participant {record.user}", record.learner, points, most]
        for record, points, most in marks
    ]
    return [["Identifier", "Full name", "Grade", "Maximum grade"], *rows]
