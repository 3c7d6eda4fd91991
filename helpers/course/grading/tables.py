"""The marks as CSV files: for a person, in nbgrader's columns, and for Canvas and Moodle.

Names, file names and notes come from strangers, and a spreadsheet runs a cell that begins with
``=``. Such cells get an apostrophe in front, as OWASP's page on CSV injection advises.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from helpers.course.generate import write_atomically
from helpers.course.grading.lab import GradedLab
from helpers.course.grading.records import Record

Row = Sequence[str | int | float]

# The columns of `nbgrader export`, in its order.
_NBGRADER = (
    "assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email",
    "raw_score", "late_submission_penalty", "score", "max_score",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\n", "＝", "＋", "－", "＠")
_BLANKS = ("\t", "\r")


def harmless(value: str | int | float) -> str | int | float:
    """Return a cell that no spreadsheet takes for a formula; numbers stay numbers."""
    if not isinstance(value, str):
        return value
    text = "".join(c if c.isprintable() or c == "\n" else " " for c in value)
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) or value[:1] in _BLANKS else text


def write_tables(out: Path, lab: GradedLab, records: Sequence[Record]) -> list[Path]:
    """Write every table that the records give, and return the files."""
    tables = {"grades.csv": _grades(lab, records), "nbgrader.csv": _nbgrader(lab, records)}
    canvas = [record for record in records if record.platform == "Canvas"]
    moodle = [record for record in records if record.platform == "Moodle"]
    if canvas:
        tables["canvas.csv"] = _canvas(lab, canvas)
    if moodle:
        tables["moodle.csv"] = _moodle(lab, moodle)
    for name, rows in tables.items():
        write_atomically(out / name, as_csv(rows))
    return [out / name for name in tables]


def as_csv(rows: Iterable[Row]) -> str:
    """Return rows as the text of a CSV file, every cell made harmless."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([harmless(cell) for cell in row] for row in rows)
    return stream.getvalue()


def _grades(lab: GradedLab, records: Sequence[Record]) -> list[Row]:
    tasks = [task.name for task in lab.spec.tasks]
    header = ["learner", "user", "platform", "file", "status", *tasks, "total", "of", "minutes"]
    rows: list[Row] = [[*header, "notes"]]
    for record in records:
        rows.append([
            record.learner, record.user, record.platform, record.source, record.state,
            *(task.points for task in record.tasks), record.points, record.max_points,
            round(record.seconds / 60, 2), "; ".join(record.notes),
        ])  # fmt: skip
    return rows


def _nbgrader(lab: GradedLab, records: Sequence[Record]) -> list[Row]:
    rows: list[Row] = [_NBGRADER]
    for record in records:
        student = record.user or record.learner
        points, most = float(record.points), float(record.max_points)
        rows.append([lab.title, "", "", student, "", record.learner, "", points, 0.0, points, most])
    return rows


def _canvas(lab: GradedLab, records: Sequence[Record]) -> list[Row]:
    """Return Canvas's gradebook import: students are matched by their ID."""
    columns = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", lab.spec.title]
    most: Row = ["    Points Possible", "", "", "", "", lab.spec.points]
    rows: list[Row] = [[r.learner, r.user, "", "", "", r.points] for r in records]
    return [columns, most, *rows]


def _moodle(lab: GradedLab, records: Sequence[Record]) -> list[Row]:
    """Return Moodle's offline grading worksheet: participants are matched by identifier."""
    rows: list[Row] = [
        [f"Participant {record.user}", record.learner, record.points, record.max_points]
        for record in records
    ]
    return [["Identifier", "Full name", "Grade", "Maximum grade"], *rows]
