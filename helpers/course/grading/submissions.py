"""Find submissions in what learning platforms export, whatever they call the files.

Known are Canvas (``nameofstudent_LATE_12345_67890_file.ipynb``), Moodle (a folder
``Name Surname_123456_assignsubmission_file_``), and plain names: the first folder, or the file's
own name, is the learner. A learner's own zip may stand for the notebook in it. Nothing is ever
unpacked to the disk, so a path inside an archive leads nowhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from helpers.course.grading.examine import MAX_NOTEBOOK
from helpers.errors import CourseError

_CANVAS = re.compile(
    r"(?P<name>[^_]+)(?P<late>_LATE)?_(?P<user>\d+)_(?P<submission>\d+)_(?P<file>.+)"
)
_MOODLE = re.compile(r"(?P<name>.+?)_(?P<user>\d+)_assignsubmission_(?:file|onlinetext)_?.*")
_ATTEMPT = re.compile(r"-(\d{1,3})$")  # Canvas numbers resubmissions
_NOISE = re.compile(r"(^|/)(\.|__MACOSX/|.*\.ipynb_checkpoints/|.*assignsubmission_onlinetext_)")
_MAX_MEMBERS = 10_000  # files in one archive
_MAX_NAME = 1_000  # characters; looking for words in a longer one takes by its length squared
_MAX_ARCHIVE = 30 * 2**20  # bytes of a learner's own archive


@dataclass(frozen=True)
class Place:
    """A file on the disk, or `inner` steps down into archives that lie there."""

    path: Path
    inner: tuple[str, ...] = ()

    def read(self, limit: int) -> bytes:
        """Return the bytes of the file.

        Raises
        ------
        CourseError
            If it cannot be read or has more than `limit` bytes.
        """
        try:
            if not self.inner:
                with self.path.open("rb") as file:
                    return _limited(file.read(limit + 1), limit)
            archive = zipfile.ZipFile(self.path)
            for step in self.inner[:-1]:
                with archive, archive.open(step) as file:
                    data = _limited(file.read(_MAX_ARCHIVE + 1), _MAX_ARCHIVE)
                archive = zipfile.ZipFile(io.BytesIO(data))
            with archive, archive.open(self.inner[-1]) as file:
                return _limited(file.read(limit + 1), limit)
        except CourseError:
            raise
        except Exception as error:  # a damaged archive raises what its decompressor happens to
            raise CourseError(f"the file cannot be read: {type(error).__name__}") from None

    def size(self) -> int:
        """Return the bytes of the file on the disk; 0 if it has gone meanwhile."""
        with contextlib.suppress(OSError):
            return self.path.stat().st_size
        return 0

    def members(self) -> list[str]:
        """Return the names of the files in the archive that lies here; none if it is broken."""
        try:
            if self.inner:
                data = self.read(_MAX_ARCHIVE)
                archive = zipfile.ZipFile(io.BytesIO(data))
            else:
                archive = zipfile.ZipFile(self.path)
            with archive:
                names = [item.filename for item in archive.infolist() if not item.is_dir()]
        except Exception:
            return []
        return [name for name in names[:_MAX_MEMBERS] if len(name) <= _MAX_NAME]


def _limited(data: bytes, limit: int) -> bytes:
    if len(data) > limit:
        raise CourseError(f"the file has more than {limit >> 20} MB; clear its outputs")
    return data


@dataclass(frozen=True)
class Submission:
    """One learner's submission.

    `ident` names its files and is unique in a run, `source` says where it came from, `others` are
    the learner's files that were not chosen.
    """

    ident: str
    learner: str
    user: str
    platform: str
    source: str
    place: Place
    late: bool = False
    others: tuple[str, ...] = ()

    def read(self) -> bytes:
        """Return the bytes of the notebook.

        Raises
        ------
        CourseError
            If there is no notebook in what was handed in, or it cannot be read.
        """
        suffix = PurePosixPath(self.source).suffix.lower()
        if suffix == ".ipynb":
            return self.place.read(MAX_NOTEBOOK)
        if suffix != ".zip":
            raise CourseError(f"a notebook (.ipynb) was expected, not {suffix or 'this file'}")
        if not self.place.inner and self.place.size() > _MAX_ARCHIVE:
            raise CourseError(f"the archive has more than {_MAX_ARCHIVE >> 20} MB")
        inside = [name for name in self.place.members() if _is_notebook(name)]
        if not inside:
            raise CourseError("there is no notebook in this archive, or it is damaged")
        chosen = Place(self.place.path, (*self.place.inner, min(inside, key=_depth)))
        return chosen.read(MAX_NOTEBOOK)


def _is_notebook(name: str) -> bool:
    return name.lower().endswith(".ipynb") and not _NOISE.search(name)


def _depth(name: str) -> tuple[int, str]:
    return name.count("/"), name


def collect(source: Path, wanted: tuple[str, ...] = ()) -> list[Submission]:
    """Return the submissions in a folder or an archive, one a learner, in a fixed order.

    Parameters
    ----------
    source : Path
        A folder, or a zip of one.
    wanted : tuple of str
        Words that the right file's name is likely to hold, where a learner has several.

    Raises
    ------
    CourseError
        If there is nothing to grade.
    """
    if source.is_dir():
        files = [
            (path.relative_to(source).as_posix(), Place(path))
            for path in sorted(source.rglob("*"))
            if path.is_file() and not path.is_symlink()
        ]
    elif zipfile.is_zipfile(source):
        names = sorted(Place(source).members())
        files = list(zip(_below(names), (Place(source, (name,)) for name in names), strict=True))
    else:
        raise CourseError(f"{source} is neither a folder nor a zip archive of submissions")
    files = [(name, place) for name, place in files if not _NOISE.search(name)]
    exported = all(
        _stated(parts)
        for parts in (PurePosixPath(name).parts for name, _ in files if _is_notebook(name))
        if len(parts) > 1 and not _MOODLE.fullmatch(parts[0])
    )
    by_learner: dict[tuple[str, str, str], list[Submission]] = {}
    for name, place in files:
        found = _identify(name, place, exported)
        by_learner.setdefault((found.platform, found.user, found.learner), []).append(found)
    chosen = [_chosen(group, wanted) for group in by_learner.values()]
    if not any(PurePosixPath(found.source).suffix in (".ipynb", ".zip") for found in chosen):
        raise CourseError(f"there are no notebooks in {source}")
    return sorted(_numbered(chosen), key=lambda found: (found.learner.casefold(), found.ident))


def _below(names: list[str]) -> list[str]:
    """Leave out the one folder that an archive of a folder begins with."""
    tops = {name.partition("/")[0] for name in names if not _NOISE.search(name)}
    notebooks = [name for name in names if _is_notebook(name)]
    if len(tops) == 1 and len(notebooks) > 1 and not _MOODLE.fullmatch(min(tops)):
        return [name.partition("/")[2] or name for name in names]
    return names


def _stated(parts: tuple[str, ...]) -> tuple[str, str, str, bool] | None:
    """Return what a platform wrote into a path: learner, number, platform, whether it was late.

    It stands before the learner's own file name, which may look like another platform's.
    """
    *folders, file = parts
    for part in folders:
        if moodle := _MOODLE.fullmatch(part):
            return moodle["name"], moodle["user"], "Moodle", False
    if canvas := _CANVAS.fullmatch(file):
        return canvas["name"], canvas["user"], "Canvas", bool(canvas["late"])
    if moodle := _MOODLE.fullmatch(file):
        return moodle["name"], moodle["user"], "Moodle", False
    return None


def _identify(name: str, place: Place, exported: bool) -> Submission:
    """Say whose file it is.

    In a folder of their own, learners name files as they like. What looks like a platform's name
    there is believed only where it stands in all folders, as in what a platform exported.
    """
    parts = PurePosixPath(name).parts
    believed = exported or len(parts) == 1 or _MOODLE.fullmatch(parts[0])
    if believed and (stated := _stated(parts)):
        learner, user, platform, late = stated
        return Submission("", learner, user, platform, name, place, late)
    return Submission("", parts[0] if len(parts) > 1 else Path(name).stem, "", "", name, place)


def _chosen(group: list[Submission], wanted: tuple[str, ...]) -> Submission:
    """Return a learner's last attempt at the right lab, as far as file names tell."""

    def rank(found: Submission) -> tuple[bool, bool, int, str]:
        path = PurePosixPath(found.source)
        attempt = _ATTEMPT.search(path.stem)
        likely = any(word in path.stem.lower() for word in wanted)
        notebook = path.suffix.lower() in (".ipynb", ".zip")
        return notebook, likely, int(attempt[1]) if attempt else 0, path.name

    best = max(group, key=rank)
    others = tuple(sorted(found.source for found in group if found is not best))
    return replace(best, others=others)


def _numbered(found: list[Submission]) -> Iterator[Submission]:
    """Give each submission a name for its files: readable, harmless, unique and lasting."""
    for item in found:
        text = f"{item.platform}\0{item.user}\0{item.learner}"
        digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        readable = re.sub(r"[^A-Za-z0-9]+", "-", item.learner).strip("-")[:40] or "learner"
        yield replace(item, ident=f"{readable}-{digest}")
