"""Derive notebooks from a lab's source: the learner's, and the solved one that tests run."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from helpers._files import write_atomically
from helpers.course import address, catalogue, source
from helpers.course.source import Cell, Source
from helpers.errors import CourseError

COLAB_RUNTIME = "2025.07"  # the Colab runtime that has Python 3.11
_CHAPTER_LINK = re.compile(r"\]\(\.\./(?P<page>chapters/[\w-]+)\.md\)")
_SETUP = """\
# In Colab only: fetches the course and what this lab needs, some minutes the first time.
import sys

if "google.colab" in sys.modules:
    import subprocess
    from pathlib import Path

    course = "{folder}"
    if not Path(course, "helpers").is_dir():
        url = "{url}"
        clone = ["git", "clone", "--quiet", "--depth", "1", "--branch", "{branch}", url, course]
        subprocess.run(clone, check=True)
    sys.path.insert(0, course)
    from helpers.course import colab

    colab.setup(course)
"""


def notebook(lab: Source, root: Path, solved: bool = False) -> Any:
    """Return a lab as an ``nbformat`` 4.5 notebook without outputs.

    Parameters
    ----------
    lab : Source
        The parsed source.
    root : Path
        The repository, for its web address.
    solved : bool
        Keep the solutions and run the hidden checks, instead of stubs.

    Raises
    ------
    CourseError
        If the source does not begin with a title or has no proper parameters cell.
    """
    import nbformat

    _must_begin_with_title(lab)
    _must_have_parameters(lab)
    text_of = source.solution_text if solved else source.student_text
    texts = [(cell.kind, text_of(cell), cell.tags) for cell in lab.cells]
    first_code = next(i for i, (kind, _, _) in enumerate(texts) if kind == "code")
    texts[0] = (texts[0][0], _with_colab_link(texts[0][1], lab, root), texts[0][2])
    book = address.repository(root).book_url
    texts = [(kind, _with_book_links(kind, text, book), tags) for kind, text, tags in texts]
    texts.insert(first_code, ("code", setup_text(root), ()))
    made = nbformat.v4.new_notebook(cells=list(_cells(texts)), metadata=_metadata())
    nbformat.validate(made)
    return made


def dumps(made: Any) -> str:
    """Return a notebook as the text of its file, the same bytes for the same cells."""
    import nbformat

    return nbformat.writes(made, version=4).rstrip("\n") + "\n"


def learner_text(path: Path, root: Path) -> str:
    """Return the text of the learner's notebook for the source at `path`."""
    return dumps(notebook(source.read(path), root))


def generate(root: Path) -> list[Path]:
    """Write every learner's notebook whose text has changed, and return those files."""
    changed = []
    texts = [(lab.notebook, learner_text(lab.solution, root)) for lab in catalogue.files(root)]
    for path, text in texts:
        if not path.is_file() or path.read_bytes() != text.encode():
            write_atomically(path, text)
            changed.append(path)
    return changed


def setup_text(root: Path) -> str:
    """Return the code of the Colab setup cell."""
    repo = address.repository(root)
    folder = f"/content/{repo.name}"
    return _SETUP.format(folder=folder, branch=repo.branch, url=repo.url).rstrip("\n")


def _metadata() -> dict[str, Any]:
    return {
        "colab": {"provenance": [], "runtime_attributes": {"runtime_version": COLAB_RUNTIME}},
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }


def _cells(texts: Iterable[tuple[str, str, tuple[str, ...]]]) -> Iterable[Any]:
    from nbformat.v4 import new_code_cell, new_markdown_cell

    seen: dict[tuple[str, str], int] = {}
    for kind, text, tags in texts:
        if not text.strip():  # all of it was hidden
            continue
        count = seen[kind, text] = seen.get((kind, text), 0) + 1
        make = new_code_cell if kind == "code" else new_markdown_cell
        metadata = {"tags": list(tags)} if tags else {}
        digest = hashlib.sha256(f"{kind}\n{count}\n{text}".encode()).hexdigest()
        yield make(text, id=digest[:12], metadata=metadata)


def _must_begin_with_title(lab: Source) -> None:
    first = lab.cells[0] if lab.cells else None
    if first is None or first.kind != "markdown" or not first.text.startswith("# "):
        raise CourseError(f"{lab.path}: the first cell must be markdown and begin with '# Title'")


def _must_have_parameters(lab: Source) -> None:
    cells = [cell for cell in lab.cells if "parameters" in cell.tags]
    names = _assigned(cells[0]) if len(cells) == 1 else set()
    if not {"profile", "seed"} <= names:
        raise CourseError(
            f"{lab.path}: needs exactly one cell '# %% tags=[\"parameters\"]' that sets profile "
            f"and seed; found {len(cells)} such cells setting {sorted(names) or 'nothing'}"
        )


def _assigned(cell: Cell) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(cell.text)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def _with_book_links(kind: str, text: str, book: str) -> str:
    # A relative link to a chapter leads nowhere in Colab, which holds this one file.
    if kind != "markdown":
        return text
    return _CHAPTER_LINK.sub(lambda match: f"]({book}{match['page']}.html)", text)


def _with_colab_link(text: str, lab: Source, root: Path) -> str:
    # A link and not a badge: an image would be fetched from another site on every page view.
    url = address.colab_url(root, f"labs/{lab.notebook_name}")
    title, _, rest = text.partition("\n")
    link = f"[Open this lab in Colab]({url})"
    return re.sub(r"\n{3,}", "\n\n", f"{title}\n\n{link}\n\n{rest}").rstrip("\n")
