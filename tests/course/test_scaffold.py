"""A lab that is begun with ``edgesec labs new`` passes every gate as it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.course import scaffold
from helpers.errors import CourseError

ROOT = Path(__file__).parents[2]
TOC = """\
format: jb-book
root: index
parts:
  - caption: First
    chapters:
      - file: chapters/one
        sections:
          - file: chapters/one/more
  - caption: Second
    chapters:
      - file: labs/01-tiny
      - file: chapters/two
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The repository by links, with files of its own where the command writes."""
    shutil.copytree(ROOT / "helpers", tmp_path / "helpers", copy_function=os.symlink)
    for folder in ("solutions", "labs"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for name in ("_toc.yml", "_config.yml", "README.md", "CITATION.cff", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def edgesec(clone: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "helpers", "labs", *arguments],
        cwd=clone, env={**os.environ, "PYTHONPATH": str(clone)},
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_new_lab_passes_every_gate_and_the_linter_at_once(clone: Path) -> None:
    said = edgesec(clone, "new", "How sure is a share?", "--number", "99", "--part", "Robustness")
    assert "wrote labs/99-how-sure-is-a-share.ipynb" in said
    assert "wrote README.md" in said
    checked = edgesec(clone, "check", "how-sure-is-a-share", "--no-progress")
    assert "1 / 1" in checked
    assert "every gate holds" in checked
    made = [
        str(clone / "solutions" / "99_how_sure_is_a_share.py"),
        str(clone / "helpers" / "course" / "checks" / "how_sure_is_a_share.py"),
    ]
    for verb in (["check"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *verb, *made]
        subprocess.run(command, cwd=clone, check=True, timeout=60)


def make_root(tmp_path: Path) -> Path:
    (tmp_path / "solutions").mkdir()
    (tmp_path / "solutions" / "01_tiny.py").write_text("")
    (tmp_path / "_toc.yml").write_text(TOC)
    (tmp_path / "helpers" / "course" / "checks").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("part", "before"),
    [
        (None, "      - file: chapters/two\n"),
        ("Second", "      - file: chapters/two\n"),
        ("First", "          - file: chapters/one/more\n"),
    ],
)
def test_it_is_listed_at_the_end_of_its_part(tmp_path: Path, part: str | None, before: str) -> None:
    root = make_root(tmp_path)
    scaffold.new_lab(root, "Some lab", part=part)
    line = "      - file: labs/02-some-lab\n"
    assert (root / "_toc.yml").read_text() == TOC.replace(before, before + line)


@pytest.mark.parametrize(
    ("title", "options", "said"),
    [
        ("<b>", {}, "begin with a letter"),
        ("", {}, "begin with a letter"),
        ("A $name", {}, "begin with a letter"),
        ("Tiny", {}, "there is a lab 01-tiny already"),
        ("Other", {"number": 1}, "there is a lab 01-tiny already"),
        ("Other", {"number": 100}, "number=100 is not between 1 and 99"),
        ("Other", {"part": "Third"}, "part='Third' is no part of _toc.yml; parts: First, Second"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    tmp_path: Path, title: str, options: dict, said: str
) -> None:
    root = make_root(tmp_path)
    before = sorted(root.rglob("*"))
    with pytest.raises(CourseError, match=said.replace("(", r"\(")):
        scaffold.new_lab(root, title, **options)
    assert sorted(root.rglob("*")) == before
    assert (root / "_toc.yml").read_text() == TOC


def test_checks_of_that_name_are_not_overwritten(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    mine = root / "helpers" / "course" / "checks" / "some_lab.py"
    mine.write_text("mine")
    with pytest.raises(CourseError, match="is there already"):
        scaffold.new_lab(root, "Some lab")
    assert mine.read_text() == "mine"
