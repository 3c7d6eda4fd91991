"""What grading gave for one submission, and its file: there whole, or not at all."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from helpers._files import write_atomically
from helpers.course.tasks import Verdict

State = Literal["graded", "not a notebook", "another lab", "stopped"]
VERSION = 1
_SHOWN = 4_000  # characters of each thing that a learner is told


@dataclass(frozen=True)
class TaskRecord:
    """The mark for one task and what its learner is told.

    `answer` is the learner's own text. `hidden` says that the visible cases were passed and the
    hidden ones were not; then nothing about those cases is in the record.
    """

    task: str
    title: str
    status: str
    points: int
    max_points: int
    explanation: str = ""
    called: str = ""
    expected: str = ""
    got: str = ""
    hint: str = ""
    answer: str = ""
    hidden: bool = False

    @classmethod
    def of(cls, found: Verdict, answer: str, hidden: bool) -> TaskRecord:
        """Keep of a verdict what is shown: it may quote megabytes that a function returned."""
        told: dict[str, Any] = {
            name: f"{value[:_SHOWN]} ..."
            if isinstance(value, str) and len(value) > _SHOWN
            else value
            for name, value in vars(found).items()
        }
        return cls(**told, answer=answer, hidden=hidden)


@dataclass(frozen=True)
class Record:
    """One graded submission.

    Attributes
    ----------
    key
        Stands for everything the result depends on: the file, the checks, the seed.
    ident
        A name for files, unique in the run.
    learner, user, platform, source
        Who handed it in, as the file's name says, and which file it was.
    state
        How far grading came.
    tasks
        One record a task, in order.
    memos
        Answers in the learner's own words, to be read by a person.
    notes
        What the instructor should know. It may quote the learner.
    seconds
        Time that grading took.
    code
        The submission's code, for comparing submissions.
    version
        Of this form; a record of another is graded again.
    """

    key: str
    ident: str
    learner: str
    user: str
    platform: str
    source: str
    state: State
    tasks: tuple[TaskRecord, ...] = ()
    memos: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    code: str = ""
    version: int = VERSION

    @property
    def points(self) -> int:
        """Points of all tasks together."""
        return sum(task.points for task in self.tasks)

    @property
    def max_points(self) -> int:
        """Points that could be had."""
        return sum(task.max_points for task in self.tasks)


def path_of(folder: Path, ident: str) -> Path:
    """Return where the record of a submission lies."""
    return folder / "records" / f"{ident}.json"


def save(folder: Path, record: Record) -> None:
    """Write a record; after a kill at any moment it is there whole, or not at all."""
    text = json.dumps(asdict(record), indent=1, ensure_ascii=True)
    write_atomically(path_of(folder, record.ident), text)


def load(folder: Path, ident: str, key: str) -> Record | None:
    """Return the record of a submission if it was made under the same key."""
    record = _read(path_of(folder, ident))
    return record if record is not None and record.key == key else None


def load_all(folder: Path) -> list[Record]:
    """Return every record of a run, in the order of the learners' names."""
    found = [_read(path) for path in (folder / "records").glob("*.json")]
    whole = [record for record in found if record is not None]
    return sorted(whole, key=lambda record: (record.learner.casefold(), record.ident))


def _read(path: Path) -> Record | None:
    try:
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
        tasks = tuple(TaskRecord(**task) for task in content.pop("tasks"))
        notes = tuple(content.pop("notes"))
        record = Record(**content, tasks=tasks, notes=notes)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return record if record.version == VERSION else None
