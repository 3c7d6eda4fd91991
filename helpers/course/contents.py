"""The pages of the book, as its table of contents ``_toc.yml`` lists them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from helpers.errors import CourseError


@dataclass(frozen=True)
class Entry:
    """A page of the table of contents.

    Attributes
    ----------
    file
        Its source without suffix, such as ``chapters/routes``.
    level
        0 outside the parts, 1 within a part, 2 below another page, and so on.
    part
        Title of the part that begins with it, or empty.
    """

    file: str
    level: int
    part: str = ""


def entries(root: Path) -> list[Entry]:
    """Return the pages that ``_toc.yml`` of a repository lists, in order, the cover first.

    Raises
    ------
    CourseError
        If ``_toc.yml`` is missing or is not a table of contents.
    """
    path = root / "_toc.yml"
    if not path.is_file():
        raise CourseError(f"{root} is not the repository: it has no _toc.yml. Run this from there.")
    toc = read_yaml(path)
    try:
        found = [Entry(toc["root"], 0)]
        for part in toc.get("parts", [{"chapters": toc.get("chapters", [])}]):
            caption = part.get("caption", "")
            pages = list(_below(part["chapters"], 1 if caption else 0))
            found += [Entry(pages[0].file, pages[0].level, caption), *pages[1:]] if pages else []
    except (KeyError, TypeError, AttributeError) as error:
        raise CourseError(
            f"{path} is not a table of contents: {type(error).__name__}: {error}"
        ) from error
    return found


def _below(pages: list[dict[str, Any]], level: int) -> Iterator[Entry]:
    for page in pages:
        yield Entry(page["file"], level)
        yield from _below(page.get("sections", []), level + 1)


def lab_pages(root: Path) -> list[str]:
    """Return the names of the labs in the book, in order: ``["01-train-across-devices", ...]``.

    Raises
    ------
    CourseError
        As :func:`entries` does.
    """
    files = [Path(entry.file) for entry in entries(root)]
    return [file.stem for file in files if file.parent == Path("labs")]


def chapter_pages(root: Path) -> list[str]:
    """Return the pages written in Markdown, in order: ``["index", "chapters/routes", ...]``.

    Raises
    ------
    CourseError
        As :func:`entries` does.
    """
    return [entry.file for entry in entries(root) if (root / f"{entry.file}.md").is_file()]


def read_yaml(path: Path) -> Any:
    """Return what a YAML file of the book says.

    Raises
    ------
    CourseError
        If it cannot be read or is not valid YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise CourseError(f"{path.name} cannot be read: {error}") from error
