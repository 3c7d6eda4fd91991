"""README.md and CITATION.cff repeat nothing by hand."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from helpers.course import derived
from helpers.errors import CourseError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def fork(tmp_path: Path) -> Path:
    """A copy of what is derived and what it is derived from."""
    for name in ("README.md", "CITATION.cff", "_config.yml"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "solutions", tmp_path / "solutions")
    return tmp_path


def test_this_repositorys_derived_files_are_up_to_date() -> None:
    assert derived.problems(ROOT) == []


def test_a_fork_changes_one_line_and_every_address_follows(fork: Path) -> None:
    config = fork / "_config.yml"
    old, new = "edge-ml-security/edge-ml-security", "someone/her-fork"
    config.write_text(config.read_text().replace(old, new))
    assert len(derived.problems(fork)) == 2
    assert {path.name for path in derived.write(fork)} == {"README.md", "CITATION.cff"}
    for name in ("README.md", "CITATION.cff"):
        text = (fork / name).read_text()
        assert new in text
        assert old not in text
    assert "https://someone.github.io/her-fork/" in (fork / "README.md").read_text()
    assert derived.write(fork) == []


def test_the_table_of_labs_names_each_lab_with_its_colab_link() -> None:
    text = (ROOT / "README.md").read_text()
    for solution in (ROOT / "solutions").glob("*.py"):
        notebook = f"labs/{solution.stem.replace('_', '-')}.ipynb"
        assert f"]({notebook})" in text
        assert f"/blob/main/{notebook})" in text


def test_a_lost_marker_is_named(fork: Path) -> None:
    readme = fork / "README.md"
    readme.write_text(readme.read_text().replace("<!-- BEGIN labs -->", ""))
    with pytest.raises(CourseError, match="BEGIN labs"):
        derived.texts(fork)
