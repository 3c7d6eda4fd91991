"""What README.md and CITATION.cff repeat from elsewhere, written by machine.

The table of labs comes from the catalogue, links to the repository from ``_config.yml``. In
README.md they stand between ``<!-- BEGIN name -->`` and ``<!-- END name -->``; in CITATION.cff
it is the line ``repository-code``.
"""

from __future__ import annotations

import re
from pathlib import Path

from helpers._files import write_atomically
from helpers.course import address, catalogue
from helpers.errors import CourseError

_COLAB_BADGE = "https://colab.research.google.com/assets/colab-badge.svg"


def texts(root: Path) -> dict[Path, str]:
    """Return what each derived file should hold now; a file that is not there derives nothing.

    Raises
    ------
    CourseError
        If one of the marked places is missing.
    """
    fill = {root / "README.md": _readme, root / "CITATION.cff": _citation}
    return {
        path: filler(path.read_text("utf-8"), root)
        for path, filler in fill.items()
        if path.is_file()
    }


def problems(root: Path) -> list[str]:
    """Return a sentence for each derived file that is not what its sources give."""
    return [
        f"{path} is out of date; run: edgesec labs generate"
        for path, text in texts(root).items()
        if path.read_text("utf-8") != text
    ]


def write(root: Path) -> list[Path]:
    """Write every derived file whose text has changed, and return those files."""
    changed = []
    for path, text in texts(root).items():
        if path.read_text("utf-8") != text:
            write_atomically(path, text)
            changed.append(path)
    return changed


def _readme(text: str, root: Path) -> str:
    text = _fill(text, "badges", _badges(root))
    return _fill(text, "labs", _lab_table(root))


def _fill(text: str, name: str, content: str) -> str:
    pattern = re.compile(rf"(<!-- BEGIN {name} -->\n).*?(\n<!-- END {name} -->)", re.DOTALL)
    filled, count = pattern.subn(lambda match: match[1] + content + match[2], text)
    if count != 1:
        raise CourseError(f"README.md needs <!-- BEGIN {name} --> … <!-- END {name} --> once")
    return filled


def _badges(root: Path) -> str:
    repo = address.repository(root)
    workflow = f"{repo.url}/actions/workflows/ci.yml"
    binder = (
        f"https://mybinder.org/v2/gh/{repo.owner}/{repo.name}/{repo.branch}?urlpath=lab/tree/labs"
    )
    return (
        f"[![CI]({workflow}/badge.svg?branch={repo.branch})]({workflow}) "
        f"[Read the book]({repo.book_url}) · [Open the labs in Binder]({binder})"
    )


def _lab_table(root: Path) -> str:
    rows = ["| | lab | minutes | points | |", "|---|---|---|---|---|"]
    for lab in catalogue.entries(root):
        path = lab.notebook.relative_to(root).as_posix()
        colab = f"[![Open in Colab]({_COLAB_BADGE})]({address.colab_url(root, path)})"
        rows.append(
            f"| {lab.number} | [{lab.title}]({path}) | {lab.minutes} | {lab.points} | {colab} |"
        )
    return "\n".join(rows)


def _citation(text: str, root: Path) -> str:
    line = f'repository-code: "{address.repository(root).url}"'
    filled, count = re.subn(r"^repository-code:.*$", line, text, flags=re.MULTILINE)
    if count != 1:
        raise CourseError("CITATION.cff needs one line that begins with repository-code:")
    return filled
