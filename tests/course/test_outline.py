"""What a lab's opening says of it, read for the page for instructors."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.course import catalogue, checks, source
from helpers.course.outline import outline
from helpers.course.tasks import FunctionTask
from helpers.errors import CourseError

ROOT = Path(__file__).parents[2]
LABS = catalogue.files(ROOT)


@pytest.mark.parametrize("lab", LABS, ids=[lab.title for lab in LABS])
def test_every_lab_says_what_is_done_in_it_what_is_kept_and_what_is_needed(
    lab: catalogue.LabFiles,
) -> None:
    found = outline(source.read(lab.solution))
    assert len(found.aim.split()) > 25
    assert "ou keep" in found.aim or "You end with" in found.aim, found.aim
    assert found.needs.startswith("You need ")
    assert found.needs.endswith(".")
    assert "](" not in found.aim + found.needs
    tasks = {t.name for t in checks.load(lab.name).tasks if isinstance(t, FunctionTask)}
    assert set(found.functions) == tasks
    assert all(found.functions.values()), found.functions


def written(folder: Path, opening: str) -> source.Source:
    path = folder / "07_some_lab.py"
    cell = "\n".join(f"# {line}".rstrip() for line in opening.splitlines())
    path.write_text(f"# %% [markdown]\n{cell}\n\n# %%\nx = 1\n")
    return source.read(path)


def test_links_and_emphasis_become_words_and_the_story_behind_is_left_out(tmp_path: Path) -> None:
    lab = written(
        tmp_path,
        "# Some lab\n\n*About an hour.*\n\nYou will *measure*\na thing.\n\nYou keep `it`.\n\n"
        "You need [NumPy](https://numpy.org) and time. The chapter [X](x.md) tells more.",
    )
    found = outline(lab)
    assert found.aim == "You will measure a thing. You keep it."
    assert found.needs == "You need NumPy and time."


@pytest.mark.parametrize(
    "opening",
    [
        "# Some lab\n\n*About an hour.*\n\nYou need NumPy.",
        "# Some lab\n\nYou will measure.\n\nYou keep it.\n\nYou need NumPy.",
        "# Some lab\n\n*About an hour.*\n\nYou will measure.",
    ],
    ids=["no aim", "no time", "no needs"],
)
def test_another_opening_is_refused_with_what_it_needs(tmp_path: Path, opening: str) -> None:
    with pytest.raises(CourseError, match=r"07_some_lab\.py: the first cell needs a heading"):
        outline(written(tmp_path, opening))
