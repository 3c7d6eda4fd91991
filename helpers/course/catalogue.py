"""The labs there are: found by their sources, described by their checks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from helpers.course import checks, source
from helpers.errors import CourseError


@dataclass(frozen=True)
class LabFiles:
    """A lab by its files: the source, and the learner's notebook generated from it."""

    number: int
    name: str
    solution: Path
    notebook: Path

    @property
    def title(self) -> str:
        """Number and name as in the file names: ``01-some-lab``."""
        return self.notebook.stem


@dataclass(frozen=True)
class Entry:
    """A lab as the catalogue lists it. `minutes` is the expected working time."""

    number: int
    name: str
    title: str
    minutes: int
    tasks: int
    points: int
    notebook: Path


def files(root: Path, names: tuple[str, ...] = ()) -> list[LabFiles]:
    """Return the files of all labs in order, or of those named.

    Parameters
    ----------
    root : Path
        The repository.
    names : tuple of str
        Names (``some-lab``), numbers (``1``, ``01``) or both (``01-some-lab``).

    Raises
    ------
    CourseError
        If a source is misnamed, two share a number, or a name fits no lab.
    """
    found = []
    for path in sorted((root / "solutions").glob("*.py")):
        number, name = source.identify(path)
        notebook = root / "labs" / f"{number:02d}-{name}.ipynb"
        found.append(LabFiles(number, name, path, notebook))
    numbers = [lab.number for lab in found]
    twice = sorted({number for number in numbers if numbers.count(number) > 1})
    if twice:
        raise CourseError(f"{root / 'solutions'}: two labs have the number {twice[0]:02d}")
    return [lab for lab in found if _wanted(lab, names)] if _all_known(found, names) else []


def entries(root: Path) -> list[Entry]:
    """Return what the catalogue lists of every lab.

    Raises
    ------
    CourseError
        As :func:`files` and :func:`helpers.course.checks.load` do.
    """
    listed = []
    for lab in files(root):
        spec = checks.load(lab.name)
        listed.append(
            Entry(
                lab.number, lab.name, spec.title, spec.minutes, len(spec.tasks), spec.points,
                lab.notebook,
            )
        )  # fmt: skip
    return listed


def _keys(lab: LabFiles) -> set[str]:
    return {lab.name, lab.title, str(lab.number), f"{lab.number:02d}"}


def _wanted(lab: LabFiles, names: tuple[str, ...]) -> bool:
    return not names or bool(_keys(lab).intersection(names))


def _all_known(labs: list[LabFiles], names: tuple[str, ...]) -> bool:
    known = set().union(*map(_keys, labs))
    for name in names:
        if name not in known:
            titles = ", ".join(lab.title for lab in labs) or "none"
            raise CourseError(f"there is no lab {name!r}; labs: {titles}")
    return True
