from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from helpers.course import catalogue, gates, generate, source
from helpers.course.tasks import LabSpec, ValueTask
from helpers.errors import CourseError


@pytest.fixture
def generated(root: Path) -> Path:
    generate.generate(root)
    return root


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_proper_lab_passes_every_gate(generated: Path) -> None:
    assert gates.all_problems(generated) == []


def test_a_notebook_edited_by_hand_is_noticed(generated: Path) -> None:
    edit(generated / "labs" / "01-tiny.ipynb", "weighted mean", "mean")
    assert any("edgesec labs generate" in problem for problem in gates.all_problems(generated))


def test_a_missing_notebook_is_noticed(root: Path) -> None:
    assert any("is missing" in problem for problem in gates.all_problems(root))


@pytest.mark.parametrize(
    "line",
    [
        "return total / float(weights.sum())",
        "    x = 1 if y else 2  # return total  /  float(weights.sum())",
        "assert np.isclose(np.linalg.norm(unit(np.array([3.0, 4.0]))), 1.0)",
        "I would weight every client by its examples.",
    ],
)
def test_a_line_of_the_solution_in_the_notebook_is_noticed(generated: Path, line: str) -> None:
    path = generated / "labs" / "01-tiny.ipynb"
    notebook = json.loads(path.read_text())
    notebook["cells"][3]["source"].append("\n" + line)
    path.write_text(json.dumps(notebook))
    lab = source.read(generated / "solutions" / "01_tiny.py")
    assert any("shows this line of the solution" in p for p in gates.leaks(lab, path))


def test_a_solution_repeated_in_the_given_part_is_a_leak(generated: Path) -> None:
    path = generated / "solutions" / "01_tiny.py"
    edit(path, "# You are asked", "# Use `total = float((values * weights).sum())`. You are asked")
    generate.generate(generated)
    assert any("shows this line" in problem for problem in gates.all_problems(generated))


@pytest.mark.parametrize(
    "line",
    ["", ")", "return total", "else:", "for i in range(n):", "total = 0", "return", '"""', "# yes"],
)
def test_a_trivial_line_tells_nothing(line: str) -> None:
    assert not gates.is_telling(line)


@pytest.mark.parametrize(
    "line",
    [
        "total += weight * update",
        "return np.median(x)",
        "# divide by the sum",
        "model.fit(x, y)",
        "a / b",
    ],
)
def test_a_line_with_three_words_of_its_own_tells_something(line: str) -> None:
    assert gates.is_telling(line)


def test_a_lab_that_is_not_in_the_table_of_contents_is_noticed(generated: Path) -> None:
    edit(generated / "_toc.yml", "labs/01-tiny", "labs/02-other")
    problems = gates.listed(generated)
    assert any("does not list labs/01-tiny" in problem for problem in problems)
    assert any("labs/02-other" in problem for problem in problems)


def test_a_notebook_without_a_source_is_noticed(generated: Path) -> None:
    (generated / "labs" / "09-orphan.ipynb").write_text("{}")
    assert any("09-orphan.ipynb has no source" in problem for problem in gates.listed(generated))


def test_a_task_that_only_the_checks_know_is_noticed(generated: Path, spec: LabSpec) -> None:
    lab = source.read(generated / "solutions" / "01_tiny.py")
    more = dataclasses.replace(
        spec, tasks=(*spec.tasks, ValueTask("q4", "more", 1, lambda seed, profile: 1))
    )
    problems = gates.tasks_match(lab, more)
    assert any("q4 is given 0 times" in problem for problem in problems)
    assert any("q4 is never checked" in problem for problem in problems)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('@lab.task("q1")', '@lab.task("q9")', "lab.task('q9') is not in the lab's checks"),
        ('@lab.task("q2")', '@lab.task("q1")', "q1 is given 2 times"),
        ('lab.check("q3")', "", "q3 is never checked"),
        ('    "memo",', '    "note",', "lab.memo('memo', ...) does not stand there"),
        ("lab.report()", "", "does not end with lab.report()"),
    ],
)
def test_a_source_that_differs_from_its_checks_is_noticed(
    generated: Path, spec: LabSpec, old: str, new: str, problem: str
) -> None:
    path = generated / "solutions" / "01_tiny.py"
    edit(path, old, new)
    assert any(problem in found for found in gates.tasks_match(source.read(path), spec))


def test_a_broken_lab_is_a_problem_and_the_others_are_still_judged(generated: Path) -> None:
    (generated / "solutions" / "02_broken.py").write_text("# %%\na = = 1\n")
    (generated / "solutions" / "03_unknown.py").write_text(
        (generated / "solutions" / "01_tiny.py").read_text()
    )
    generated.joinpath("labs", "01-tiny.ipynb").unlink()
    problems = "\n".join(gates.all_problems(generated))
    for part in ("02_broken.py:2", "no checks for a lab called 'unknown'", "01-tiny.ipynb is miss"):
        assert part in problems


def test_what_an_unsolved_and_a_solved_lab_must_earn() -> None:
    def report(points: int, status: str) -> dict[str, object]:
        task = {"name": "q1", "status": status, "points": points, "max_points": 2}
        return {"points": points, "max_points": 2, "tasks": [task]}

    assert gates.earned_nothing(report(0, "not attempted")) == []
    assert gates.earned_nothing(report(0, "error"))
    assert gates.earned_nothing(report(2, "passed"))
    assert gates.earned_nothing(None)
    assert gates.earned_everything(report(2, "passed")) == []
    assert gates.earned_everything(report(0, "mismatch"))
    assert gates.earned_everything({"points": 0, "max_points": 0, "tasks": []})
    assert gates.earned_everything(None)


def test_the_catalogue_describes_every_lab(generated: Path) -> None:
    (entry,) = catalogue.entries(generated)
    assert (entry.number, entry.name, entry.minutes, entry.tasks, entry.points) == (
        1, "tiny", 5, 3, 6,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["tiny", "1", "01", "01-tiny"])
def test_a_lab_is_known_by_name_and_number(generated: Path, name: str) -> None:
    assert [lab.name for lab in catalogue.files(generated, (name,))] == ["tiny"]


def test_an_unknown_lab_and_a_number_used_twice_are_refused(generated: Path) -> None:
    with pytest.raises(CourseError, match="no lab 'huge'; labs: 01-tiny"):
        catalogue.files(generated, ("huge",))
    (generated / "solutions" / "01_again.py").write_text("")
    with pytest.raises(CourseError, match="two labs have the number 01"):
        catalogue.files(generated)


def test_a_memo_may_stand_earlier_too_to_show_its_rubric(generated: Path, spec: LabSpec) -> None:
    path = generated / "solutions" / "01_tiny.py"
    edit(path, 'lab.predict("guess"', 'lab.memo("memo")\nlab.predict("guess"')
    assert gates.tasks_match(source.read(path), spec) == []
