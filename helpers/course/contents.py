"""The pages of the book, as its table of contents ``_toc.yml`` lists them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from helpers.errors import CourseError


def lab_pages(root: Path) -> list[str]:
    """Return the names of the labs in the book, in order: ``["01-train-across-devices", ...]``.

    Raises
    ------
    CourseError
        If ``_toc.yml`` is missing or is not a table of contents.
    """
    return [Path(name).stem for name in _pages(root) if Path(name).parent == Path("labs")]


def chapter_pages(root: Path) -> list[str]:
    """Return the pages written in Markdown, in order: ``["index", "chapters/routes", ...]``.

    Raises
    ------
    CourseError
        As :func:`lab_pages` does.
    """
    return [name for name in _pages(root) if (root / f"{name}.md").is_file()]


def read_yaml(path: Path) -> Any:
    """Return what a YAML file of the book says.

    Raises
    ------
    CourseError
        If it is not valid YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise CourseError(f"{path.name} is not valid YAML: {error}") from error


def _pages(root: Path) -> list[str]:
    path = root / "_toc.yml"
    if not path.is_file():
        raise CourseError(f"{root} is not the repository: it has no _toc.yml. Run this from there.")
    return list(_files_in(read_yaml(path)))


def _files_in(toc: Any) -> Iterator[str]:
    """Walk a table of contents and yield every page it names."""
    if isinstance(toc, dict):
        for name in ("root", "file"):
            if name in toc:
                yield toc[name]
        for value in toc.values():
            yield from _files_in(value)
    elif isinstance(toc, list):
        for value in toc:
            yield from _files_in(value)
