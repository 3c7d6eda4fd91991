from __future__ import annotations

from pathlib import Path

import pytest

from helpers.course.address import colab_url, find_root, repository
from helpers.errors import CourseError


def config(root: Path, text: str) -> Path:
    (root / "_config.yml").write_text(text)
    return root


def test_every_address_follows_from_one_line(tmp_path: Path) -> None:
    root = config(tmp_path, "repository:\n  url: https://github.com/me/fork\n  branch: dev\n")
    assert repository(root).url == "https://github.com/me/fork"
    assert colab_url(root, "labs/01-a.ipynb") == (
        "https://colab.research.google.com/github/me/fork/blob/dev/labs/01-a.ipynb"
    )


@pytest.mark.parametrize("end", ["", "/", ".git"])
def test_the_usual_spellings_of_an_address_are_understood(tmp_path: Path, end: str) -> None:
    root = config(tmp_path, f"repository: {{url: 'https://github.com/me/a.b{end}'}}")
    assert repository(root) == repository(
        config(tmp_path, "repository: {url: 'https://github.com/me/a.b'}")
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "repository: 3",
        "repository: {url: 'https://example.org/me/x'}",
        "repository: {url: 'https://github.com/me'}",
        "repository: {url: 'https://github.com/me/x', branch: 'a b'}",
        "a: [",
    ],
)
def test_an_unusable_address_is_told_with_its_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(CourseError, match=r"_config\.yml"):
        repository(config(tmp_path, text))


def test_the_root_is_found_from_anywhere_inside(tmp_path: Path) -> None:
    config(tmp_path, "")
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / "solutions").mkdir()
    assert find_root(deep) == tmp_path.resolve()


def test_outside_a_clone_the_message_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CourseError, match="change into the clone"):
        find_root(tmp_path)
