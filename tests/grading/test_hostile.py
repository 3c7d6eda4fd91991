"""Every kind of hostile submission scores what honest work in it deserves, and is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.course.grading.lab import GradedLab
from helpers.course.grading.marks import marked
from helpers.course.grading.pages import feedback, summary
from helpers.course.grading.records import Record
from helpers.course.grading.tables import as_csv
from tests.grading.hostile import recipes

NAMES = [kind.name for kind in recipes.ALL]


@pytest.mark.parametrize("kind", recipes.ALL, ids=NAMES)
def test_it_scores_what_honest_work_in_it_deserves(
    kind: recipes.Hostile, hostile_records: dict[str, Record]
) -> None:
    record = hostile_records[kind.name]
    notes = "\n".join(record.notes)
    assert (record.points, record.state) == (kind.points, kind.state), notes
    assert record.max_points == 6
    assert kind.told in notes


def test_the_run_goes_on_to_the_last_submission(hostile_records: dict[str, Record]) -> None:
    assert len(hostile_records) == len(recipes.ALL) + 1 >= 26
    assert hostile_records["honest"].points == 6
    assert hostile_records["honest"].notes == ()


def test_no_record_grows_with_what_a_submission_says(hostile_records: dict[str, Record]) -> None:
    for record in hostile_records.values():
        assert len(record.notes) <= 30
        told = [t for task in record.tasks for t in (task.explanation, task.got, task.called)]
        assert max(map(len, [*told, *record.notes])) <= 4_100


def test_nothing_of_theirs_is_markup_anywhere(
    hostile_records: dict[str, Record], lab: GradedLab, tmp_path: Path
) -> None:
    records = list(hostile_records.values())
    memos = marked(tmp_path, lab.spec, records)
    pages = [feedback(lab, record, memos[record.ident]) for record in records]
    pages.append(summary(lab, records, memos))
    for page in pages:
        assert "<script" not in page
        assert "<img src=x" not in page
    assert sum("&lt;script&gt;" in page for page in pages) == 5


def test_no_cell_of_a_table_is_a_formula() -> None:
    hostile = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "  =1", "\r=1", "＝1"]
    hostile += ["\0=1", "\u00a0=1", "\u200b=1", "\ufeff@A1"]  # blank once they are written
    for line in as_csv([[text] for text in hostile]).splitlines():
        assert line.strip('"').startswith("'")
    assert as_csv([["O'Neil", "a=b", -1.5]]) == "O'Neil,a=b,-1.5\n"
