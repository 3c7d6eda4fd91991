"""A grading run: the same marks for the same seed, and no submission lost or marked twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.course.compare import close
from helpers.course.grading import records
from helpers.course.grading.examine import Rules, examine
from helpers.course.grading.lab import GradedLab, Private, load, load_private
from helpers.course.grading.marks import marked
from helpers.course.grading.records import Record
from helpers.course.grading.run import Run, grade, lab_of, seed_of
from helpers.course.grading.tables import write_tables
from helpers.course.run import alone_in
from helpers.course.tasks import Case, FunctionTask
from helpers.errors import CourseError
from tests.grading.conftest import ROOT, TINY
from tests.grading.hostile import recipes


def submit(folder: Path, content: dict[str, Any], *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text(json.dumps(content))
    return folder


def spoilt(kind: recipes.Hostile, solved: dict[str, Any], unsolved: dict[str, Any]) -> bytes:
    return recipes.notebook(kind, solved, unsolved)


def test_an_unsolved_notebook_earns_nothing_and_nothing_was_attempted(
    lab: GradedLab, rules: Rules, unsolved: dict[str, Any]
) -> None:
    found = examine(lab, json.dumps(unsolved).encode(), rules)
    assert [task.points for task in found.tasks] == [0, 0, 0]
    assert {task.status for task in found.tasks} == {"not attempted"}
    assert found.notes == []


def test_a_wrong_answer_is_explained_and_costs_only_itself(
    lab: GradedLab, rules: Rules, solved: dict[str, Any], unsolved: dict[str, Any]
) -> None:
    wrong = recipes.Hostile("", recipes.answering("return float(values.mean())"))
    q1, q2, q3 = examine(lab, spoilt(wrong, solved, unsolved), rules).tasks
    assert (q1.points, q2.points, q3.points) == (0, 2, 1)
    assert q1.status == "mismatch"
    assert "largest difference" in q1.explanation
    assert q1.called.startswith("mine(float64 (5,)")
    assert q1.hint == "divide by the sum of the weights"
    assert "return float(values.mean())" in q1.answer


def test_the_whole_notebook_is_run_only_where_another_cell_could_mend_an_answer(
    lab: GradedLab, rules: Rules, solved: dict[str, Any], unsolved: dict[str, Any]
) -> None:
    quick, mean = replace(rules, whole=False), "return float(np.average(values, weights=weights))"

    def handed_in(body: str) -> bytes:
        def spoil(cells: recipes.Cells) -> recipes.Cells:
            cells = recipes.first("table = {}\ndef fill(t): t['x'] = 1")(cells)
            cells = recipes.last("fill(table)\nraise ValueError('it was run')")(cells)
            changed = recipes.answering(body)(cells)
            assert isinstance(changed, list)
            return changed

        return spoilt(recipes.Hostile("", spoil), solved, unsolved)

    found = examine(lab, handed_in(f"table['x']\n{mean}"), quick)
    assert found.tasks[0].points == 3
    assert "it was run" in "".join(found.notes)
    found = examine(lab, handed_in("return a_name_that_no_cell_knows"), quick)
    assert found.tasks[0].status == "error"
    assert "it was run" not in "".join(found.notes)


def test_what_a_learner_is_told_does_not_depend_on_the_hidden_inputs(
    lab: GradedLab, rules: Rules, solved: dict[str, Any], unsolved: dict[str, Any]
) -> None:
    (kind,) = [kind for kind in recipes.ALL if kind.name == "hidden inputs told to the learner"]
    data = spoilt(kind, solved, unsolved)
    other = replace(rules, seed=8)
    one, two = examine(lab, data, rules), examine(lab, data, other)
    assert "HIDDEN" in one.tasks[1].explanation
    assert (one.tasks, one.memos, one.notes) == (two.tasks, two.memos, two.notes)


def test_a_function_that_fails_on_hidden_inputs_alone_learns_nothing_of_them(
    lab: GradedLab, rules: Rules, solved: dict[str, Any], unsolved: dict[str, Any]
) -> None:
    (kind,) = [kind for kind in recipes.ALL if "by heart" in kind.name]
    q1 = examine(lab, spoilt(kind, solved, unsolved), rules).tasks[0]
    assert q1.hidden
    assert (q1.called, q1.expected, q1.got) == ("", "", "")
    assert q1.explanation.startswith("It passes the cases of lab.check and fails on others")


def test_private_checks_count_and_stay_outside(
    lab: GradedLab, rules: Rules, solved: dict[str, Any], tmp_path: Path
) -> None:
    check = FunctionTask(
        "empty", "one value", 0, lambda values, weights: 7.0,
        lambda rng: [Case((np.array([7.0]), np.array([2.0])))], close(),
    )  # fmt: skip
    stricter = FunctionTask(
        "no", "impossible", 0, lambda values, weights: 0.0,
        lambda rng: [Case((np.array([7.0]), np.array([2.0])))], close(),
    )  # fmt: skip
    data = json.dumps(solved).encode()
    for extra, points in ((check, 3), (stricter, 0)):
        private = Private((11, 12), (("q1", extra),))
        held = GradedLab(lab.spec, lab.title, lab.module, lab.given, private, lab.readable)
        q1 = examine(held, data, rules).tasks[0]
        assert (q1.points, q1.hidden) == (points, points == 0)


def test_a_private_folder_is_read_and_refused_inside_the_repository(
    lab: GradedLab, tmp_path: Path
) -> None:
    path = tmp_path / "tiny.py"
    path.write_text("SEEDS = (3, 4)\n")
    assert load_private(tmp_path, lab.spec, ROOT).seeds == (3, 4)
    with pytest.raises(CourseError, match="is inside the repository"):
        load_private(ROOT / "tests", lab.spec, ROOT)
    for text, problem in (
        ("SEEDS = (-1,)", "whole numbers"),
        ("CHECKS = {'q9': []}", "no function of this lab"),
        ("CHECKS = {'q1': [1]}", "must hold FunctionTask"),
        ("1 / 0", "ZeroDivisionError"),
        ("", "neither SEEDS nor CHECKS"),
    ):
        path.write_text(text)
        with pytest.raises(CourseError, match=problem):
            load_private(tmp_path, lab.spec, ROOT)


def test_the_labs_of_the_course_can_be_graded_by_number() -> None:
    found = load(ROOT, "1")
    assert found.spec.name == "train-across-devices"
    assert found.given.functions["q3"]
    assert found.given.parameters >= 0
    with pytest.raises(CourseError, match="there is no lab"):
        load(ROOT, "99")


def test_the_seed_is_drawn_once_and_kept(tmp_path: Path) -> None:
    drawn = seed_of(tmp_path, "tiny", None)
    assert seed_of(tmp_path, "tiny", None) == drawn
    assert seed_of(tmp_path, "tiny", 5) == 5
    assert seed_of(tmp_path, "tiny", None) == 5
    assert lab_of(tmp_path) == "tiny"
    with pytest.raises(CourseError, match="holds the marks of lab tiny; give another --out"):
        seed_of(tmp_path, "other", 5)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(CourseError, match="is damaged"):
        lab_of(tmp_path)


def test_the_seed_of_a_folder_in_which_a_run_works_stays(tmp_path: Path) -> None:
    seed_of(tmp_path, "tiny", 5)
    with alone_in(tmp_path), pytest.raises(CourseError, match="another run works in"):
        seed_of(tmp_path, "tiny", 6)
    assert seed_of(tmp_path, "tiny", None) == 5


def test_what_the_marks_rest_on_changes_with_every_file_of_the_checks(
    lab: GradedLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "checks_of_two_files"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "one.py").write_text("A = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    held = replace(lab, module=folder.name)
    before = held.digest
    (folder / "one.py").write_text("A = 2\n")
    assert held.digest != before


KILLED = """
import importlib, json, sys
from pathlib import Path
sys.path.insert(0, {tiny!r})
from helpers.course.grading.anatomy import code_cells, dissect
from helpers.course.grading.examine import Rules
from helpers.course.grading.lab import GradedLab
from helpers.course.grading.run import Run, grade
spec = importlib.import_module("tiny_lab").LAB
given = dissect(code_cells(Path({given!r}).read_bytes()))
lab = GradedLab(spec, "01-tiny", "tiny_lab", given, readable=({tiny!r},))
rules = Rules(seed=7, cell_seconds=60.0, whole=True)  # the cell that sleeps, too
grade(Run(lab, Path({source!r}), Path({out!r}), rules, jobs=2, progress=False))
"""


def test_a_killed_run_leaves_no_process_and_goes_on_without_marking_twice(
    lab: GradedLab, solved: dict[str, Any], unsolved: dict[str, Any], tmp_path: Path
) -> None:
    source = submit(tmp_path / "in", solved, "a.ipynb", "b.ipynb", "c.ipynb")
    slow = recipes.Hostile("", recipes.first("import time\ntime.sleep(47.11)"))
    (source / "d.ipynb").write_bytes(spoilt(slow, solved, unsolved))
    out, given = tmp_path / "out", tmp_path / "given.ipynb"
    given.write_text(json.dumps(unsolved))
    code = KILLED.format(tiny=str(TINY), given=str(given), source=str(source), out=str(out))
    grader = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    deadline = time.monotonic() + 60
    while len(list(out.glob("records/*.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    children = _descendants(grader.pid)
    grader.send_signal(signal.SIGKILL)
    grader.wait()
    assert children
    assert _all_end(children)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("records/*.json")}
    assert len(before) == 3
    (source / "d.ipynb").write_text(json.dumps(solved))
    rules = Rules(seed=7, cell_seconds=60.0, whole=True)
    found = grade(Run(lab, source, out, rules, progress=False))
    assert [(r.learner, r.points) for r in found] == [("a", 6), ("b", 6), ("c", 6), ("d", 6)]
    after = {path.name: path.stat().st_mtime_ns for path in out.glob("records/*.json")}
    assert {name: after[name] for name in before} == before
    # What can change between two runs with one seed is how long they took.
    again = grade(Run(lab, source, tmp_path / "again", rules, jobs=4, progress=False))
    assert [_timeless(r) for r in again] == [_timeless(r) for r in found]


def _timeless(record: Record) -> dict[str, Any]:
    return {**vars(record), "seconds": 0}


def _descendants(process: int) -> list[int]:
    from helpers.sandbox.process import descendants

    return descendants(process)


def _all_end(processes: list[int]) -> bool:
    for _ in range(100):
        if not any(_alive(process) for process in processes):
            return True
        time.sleep(0.05)
    return False


def _alive(process: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


def test_another_submission_seed_or_check_is_graded_anew_and_a_damaged_record_too(
    lab: GradedLab, rules: Rules, solved: dict[str, Any], tmp_path: Path
) -> None:
    source = submit(tmp_path / "in", solved, "a.ipynb")
    run = Run(lab, source, tmp_path / "out", rules, progress=False)
    (first,) = grade(run)
    assert records.load(run.out, first.ident, first.key) == first
    assert records.load(run.out, first.ident, "another key") is None
    records.path_of(run.out, first.ident).write_text('{"half": ')
    assert records.load(run.out, first.ident, first.key) is None
    other = Run(lab, source, run.out, replace(rules, seed=8), progress=False)
    assert grade(other)[0].key != first.key


def test_tables_hold_every_learner_and_the_columns_that_platforms_ask_for(
    lab: GradedLab, tmp_path: Path
) -> None:
    tasks = tuple(
        records.TaskRecord(t.name, t.title, "passed", t.points, t.points) for t in lab.spec.tasks
    )
    made = [
        Record("k", "a", "doe", "12", "Canvas", "f", "graded", tasks, {"memo": "I decide"}),
        Record("k", "b", "=Ann", "34", "Moodle", "g", "stopped", tasks, notes=("=note",)),
    ]
    write_tables(tmp_path, lab, made, marked(tmp_path, lab.spec, made))
    rows = (tmp_path / "grades.csv").read_text().splitlines()
    assert rows[0] == (
        "learner,user,platform,file,status,q1,q2,q3,exercises,memo,total,of,minutes,notes"
    )
    assert rows[1:] == [
        "doe,12,Canvas,f,graded,3,2,1,6,pending,pending,10,0.0,",
        "'=Ann,34,Moodle,g,stopped,3,2,1,6,0,6,10,0.0,'=note",
    ]
    assert (tmp_path / "canvas.csv").read_text().splitlines() == [
        "Student,ID,SIS User ID,SIS Login ID,Section,A tiny lab,A tiny lab: memo",
        "    Points Possible,,,,,6,4",
        "doe,12,,,,6,",
    ]
    assert (tmp_path / "moodle.csv").read_text().splitlines()[1] == "Participant 34,'=Ann,6,6"
    assert (tmp_path / "moodle-memo.csv").read_text().splitlines()[1] == "Participant 34,'=Ann,0,4"
    assert (tmp_path / "nbgrader.csv").read_text().splitlines()[1:3] == [
        "01-tiny,,,12,,doe,,6.0,0.0,6.0,6.0",
        "01-tiny-memo,,,12,,doe,,,0.0,,4.0",
    ]


def test_it_is_no_mark_that_a_notebook_holds(
    lab: GradedLab, rules: Rules, unsolved: dict[str, Any]
) -> None:
    """A notebook executed elsewhere, with outputs that show full marks, earns nothing."""
    shown = {"output_type": "display_data", "data": {"text/html": "6 of 6"}, "metadata": {}}
    cells = [{**c, "outputs": [shown]} for c in unsolved["cells"] if c["cell_type"] == "code"]
    found = examine(lab, json.dumps({**unsolved, "cells": cells}).encode(), rules)
    assert sum(task.points for task in found.tasks) == 0
