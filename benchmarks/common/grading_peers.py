"""Lab 1 as an assignment of nbgrader and of otter-grader: the same exercises, points and cases.

The peers' notebook holds the imports that the answers need, the seven functions and the tests. Of
the lab itself, its data, plots and training, it holds nothing: a peer runs every cell that it is
given, so this is the least that the lab can cost it.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import process_tree
from common.process_tree import Used
from common.semester import ROOT, TASKS, Learner, function, solution, write_bare

from helpers.course.checks.train_across_devices import LAB

_IMPORTS = "import numpy as np\n\nfrom helpers.models import softmax_regression"
_CELL_SECONDS = 10  # as one call may take with us
_HANGS = 60.0  # seconds, after which somebody would end a grader that has no limit of its own
_POINTS = {task.name: task.points for task in LAB.tasks}


def _cell(text: str, ident: str, **metadata: Any) -> dict[str, Any]:
    return {
        "cell_type": "code", "id": ident, "metadata": metadata, "outputs": [],
        "execution_count": None, "source": text,
    }  # fmt: skip


def _notebook(cells: list[dict[str, Any]]) -> dict[str, Any]:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def _name(task: str) -> str:
    return function(task, None).partition("def ")[2].partition("(")[0]


class Nbgrader:
    """A course with one assignment; submissions are graded a block at a time.

    nbgrader executes a submission with a kernel as the user who grades: no limit but one on the
    time of a cell, no sandbox. It clears changes to its test cells before.
    """

    def __init__(self, programs: Path, folder: Path, seed: int) -> None:
        self._programs, self._folder = programs, folder
        self._environment = _environment(programs, seed)
        source = folder / "source" / "lab1" / "lab1.ipynb"
        source.parent.mkdir(parents=True)
        (folder / "nbgrader_config.py").write_text(
            f"c = get_config()\nc.CourseDirectory.root = {str(folder)!r}\n"
            f"c.ExecutePreprocessor.timeout = {_CELL_SECONDS}\n"
        )
        source.write_text(json.dumps(_notebook(self._cells())))
        subprocess.run(
            self._command("generate_assignment"), cwd=folder, check=True, capture_output=True,
            env={**os.environ, **self._environment},
        )  # fmt: skip
        self._given = json.loads((folder / "release" / "lab1" / "lab1.ipynb").read_text())

    def _cells(self) -> list[dict[str, Any]]:
        cells = [_cell(_IMPORTS, "imports")]
        for task in TASKS:
            both = {"schema_version": 3, "locked": False, "task": False}
            answer = {**both, "grade": False, "solution": True, "grade_id": task}
            test = {**both, "grade": True, "solution": False, "locked": True}
            points: dict[str, Any] = {"grade_id": f"test-{task}", "points": _POINTS[task]}
            body = f"### BEGIN SOLUTION\n{solution(task)}\n### END SOLUTION"
            cells += [
                _cell(function(task, body), task, nbgrader=answer),
                _cell(
                    f"from lab1_judge import passes\n\nassert passes({task!r}, {_name(task)})",
                    f"test-{task}", nbgrader={**test, **points},
                ),
            ]  # fmt: skip
        return cells

    def _command(self, verb: str, *more: str) -> list[str]:
        return [str(self._programs / "nbgrader"), verb, "lab1", *more]

    def grade(self, learners: Sequence[Learner]) -> Used:
        """Grade some submissions, and write their feedback."""
        for learner in learners:
            path = self._folder / "submitted" / f"learner{learner.number}" / "lab1" / "lab1.ipynb"
            write_bare(learner, path, self._given, lambda cell: _task_of(cell["metadata"]))
        steps = [
            process_tree.run(self._command(verb), 3600, self._folder, self._environment)
            for verb in ("autograde", "generate_feedback")
        ]
        return together(steps)

    def points(self) -> dict[int, float]:
        """Return the points of every submission graded so far."""
        out = self._folder / "grades.csv"
        subprocess.run(
            [str(self._programs / "nbgrader"), "export", f"--to={out}"], cwd=self._folder,
            check=True, capture_output=True, env={**os.environ, **self._environment},
        )  # fmt: skip
        rows = csv.DictReader(out.read_text().splitlines())
        return {int(r["student_id"].removeprefix("learner")): float(r["raw_score"]) for r in rows}


def _task_of(metadata: dict[str, Any]) -> str:
    name = metadata.get("nbgrader", {}).get("grade_id", "")
    return name if name in TASKS else ""


class Otter:
    """An autograder archive; each submission is a command of its own.

    ``otter run`` executes a submission in the local environment, without limits and without a
    sandbox. ``otter grade`` puts each into a container, which needs Docker, and is not measured.
    """

    def __init__(self, programs: Path, folder: Path, seed: int) -> None:
        self._programs, self._folder = programs, folder
        self._environment = _environment(programs, seed)
        (folder / "tests").mkdir(parents=True)
        for task in TASKS:
            code = f">>> from lab1_judge import passes\n>>> passes({task!r}, {_name(task)})\nTrue"
            suite = {"type": "doctest", "scored": True, "setup": "", "teardown": ""}
            suite["cases"] = [{"code": code, "hidden": False, "locked": False}]
            test = {"name": task, "points": _POINTS[task], "suites": [suite]}
            (folder / "tests" / f"{task}.py").write_text(f"OK_FORMAT = True\n\ntest = {test!r}\n")
        subprocess.run(
            [str(programs / "otter"), "generate", "-t", "tests", "-o", "autograder.zip"],
            cwd=folder, check=True, capture_output=True, env={**os.environ, **self._environment},
        )  # fmt: skip
        cells = [_cell(_IMPORTS, "imports")]
        cells += [_cell(function(task, None), task) for task in TASKS]
        self._given, self._points = _notebook(cells), dict[int, float]()

    def grade(self, learners: Sequence[Learner]) -> Used:
        """Grade some submissions, one after the other."""
        return together([self._grade(learner) for learner in learners])

    def _grade(self, learner: Learner) -> Used:
        path = self._folder / "submitted" / f"learner{learner.number}.ipynb"
        write_bare(learner, path, self._given, lambda c: c["id"] if c["id"] in TASKS else "")
        out = self._folder / "results" / str(learner.number)
        command = [str(self._programs / "otter"), "run", "-a", "autograder.zip", "-o", str(out)]
        out.mkdir(parents=True)
        used = process_tree.run([*command, str(path)], _HANGS, self._folder, self._environment)
        found = out / "results.json"
        if found.exists():
            tests = json.loads(found.read_text())["tests"]
            scores = [test["score"] for test in tests if test.get("score") is not None]
            self._points[learner.number] = float(sum(scores))
        return used

    def points(self) -> dict[int, float]:
        """Return the points of every submission that gave a result."""
        return self._points


def _environment(programs: Path, seed: int) -> dict[str, str]:
    return {
        "PATH": os.pathsep.join([str(programs), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "benchmarks" / "peers")]),
        "BENCHMARK_SEED": str(seed),
    }


def can_judge(programs: Path) -> None:
    """End the benchmark if the peers' environment lacks what the tests import.

    Without this each answer would fail its test there, and every mark be 0.
    """
    done = subprocess.run(
        [str(programs / "python"), "-c", "import lab1_judge"],
        env={**os.environ, **_environment(programs, 0)}, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1]
        raise SystemExit(f"{programs} cannot run the tests ({reason}); install it as --help says")


def together(steps: Sequence[Used]) -> Used:
    """Return what commands used that ran one after the other."""
    return Used(
        sum(step.cpu_seconds for step in steps),
        sum(step.seconds for step in steps),
        max(step.peak_megabytes for step in steps),
        sum(step.processes for step in steps),
        None if any(step.status is None for step in steps) else max(s.status or 0 for s in steps),
    )
