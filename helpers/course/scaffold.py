"""Begin a lab: a small one that passes every gate at once, to be rewritten piece by piece."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from string import Template

from helpers._files import write_atomically
from helpers.course import catalogue
from helpers.errors import CourseError

_CAPTION = re.compile(r" *- caption: *(?P<caption>.+?) *")
_ENTRY = re.compile(r" +- file: ")


def new_lab(
    root: Path, title: str, number: int | None = None, part: str | None = None
) -> list[Path]:
    """Write source and checks of a new lab, and list it in ``_toc.yml``.

    The learner's notebook then comes from `helpers.course.generate`.

    Parameters
    ----------
    root
        The repository.
    title
        Title in plain letters; the file names are made from it.
    number
        Number of the lab; None takes the first that is free after all others.
    part
        Caption of the part of the book in which it comes last; None takes the part of the lab with
        the highest number.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    CourseError
        If the title gives no name, name or number are taken, or there is no such part.
    """
    labs = catalogue.files(root)
    name = name_of(title)
    number = number or max((lab.number for lab in labs), default=0) + 1
    for lab in labs:
        if number == lab.number or name == lab.name:
            raise CourseError(f"there is a lab {lab.title} already; choose another number or title")
    if not 1 <= number <= 99:
        raise CourseError(f"number={number} is not between 1 and 99")
    toc = root / "_toc.yml"
    beside = f"labs/{max(labs, key=lambda lab: lab.number).title}" if labs else "labs/"
    listed = _listed(toc.read_text("utf-8"), f"labs/{number:02d}-{name}", part, beside)
    module = name.replace("-", "_")
    made = {
        root / "solutions" / f"{number:02d}_{module}.py": "lab.txt",
        root / "helpers" / "course" / "checks" / f"{module}.py": "checks.txt",
    }
    taken = [path for path in made if path.exists()]
    if taken:
        raise CourseError(f"{taken[0]} is there already; delete it or choose another title")
    for path, template in made.items():
        text = (files("helpers.course") / "templates" / template).read_text("utf-8")
        write_atomically(path, Template(text).substitute(title=title, name=name, number=number))
    write_atomically(toc, listed)
    return [*made, toc]


def name_of(title: str) -> str:
    """Return the name of a lab with a title: ``Some lab!`` gives ``some-lab``.

    Raises
    ------
    CourseError
        If the title holds characters that a notebook's heading or a file's name cannot take.
    """
    name = "-".join(re.findall(r"[a-z0-9]+", title.lower()))
    if not re.fullmatch(r"[A-Za-z][\w ,:?!'-]*", title) or not name:
        raise CourseError(
            f"title={title!r}: begin with a letter and use letters, digits, spaces and , : ? ! ' -"
        )
    return name


def _listed(toc: str, entry: str, part: str | None, beside: str) -> str:
    """Return the text of ``_toc.yml`` with an entry at the end of a part, or of that of a lab."""
    lines = toc.splitlines()
    parts: dict[str, list[int]] = {}  # caption: where its entries stand
    for position, line in enumerate(lines):
        if match := _CAPTION.fullmatch(line):
            parts[match["caption"]] = []
        elif _ENTRY.match(line) and parts:
            parts[next(reversed(parts))].append(position)
    holding = [
        caption for caption, entries in parts.items() if any(beside in lines[p] for p in entries)
    ]
    chosen = part or (holding or [""])[0]
    if not parts.get(chosen):
        raise CourseError(f"part={chosen!r} is no part of _toc.yml; parts: {', '.join(parts)}")
    indent = lines[parts[chosen][0]].partition("-")[0]
    lines.insert(parts[chosen][-1] + 1, f"{indent}- file: {entry}")
    return "\n".join([*lines, ""])
