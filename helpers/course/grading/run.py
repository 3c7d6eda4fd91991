"""Grade every submission of a folder: several at a time, and never one twice.

A submission's record is on the disk, whole, before the next one begins in its place; a run that
is killed at any moment goes on where it stopped. What a record depends on is in its key: the
submitted file, the checks, the private checks, the seed and the limits.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

import helpers
from helpers._files import write_atomically
from helpers.course.grading import records
from helpers.course.grading.examine import Examined, Rules, examine, nothing
from helpers.course.grading.lab import GradedLab
from helpers.course.grading.records import Record
from helpers.course.grading.submissions import Submission, collect
from helpers.course.run import alone_in
from helpers.errors import CourseError, SandboxError


@dataclass(frozen=True)
class Run:
    """One grading run.

    Parameters
    ----------
    lab : GradedLab
        What is graded.
    source, out : Path
        Folder or archive of submissions, and the folder for everything that is written.
    rules : Rules
        How each submission is examined.
    jobs : int
        Submissions at a time.
    force : bool
        Grade again what has a record.
    progress : bool
        Show a progress bar.
    """

    lab: GradedLab
    source: Path
    out: Path
    rules: Rules
    jobs: int = 1
    force: bool = False
    progress: bool = True


def seed_of(out: Path, lab: str, given: int | None) -> int:
    """Return the seed of the run in a folder: the one given, else the stored, else a new one.

    Raises
    ------
    CourseError
        If the folder cannot be written, holds the marks of another lab, or another run works in it.
    """
    with alone_in(out):  # whose seed must not change under it
        return _seed_of(out, lab, given)


def _seed_of(out: Path, lab: str, given: int | None) -> int:
    stored = _settings(out) if (out / "run.json").is_file() else {"lab": lab, "seed": None}
    if stored["lab"] != lab:
        raise CourseError(f"{out} holds the marks of lab {stored['lab']}; give another --out")
    seed = given if given is not None else stored["seed"]
    seed = secrets.randbelow(2**31) if seed is None else seed
    write_atomically(out / "run.json", json.dumps({"lab": lab, "seed": seed}) + "\n", CourseError)
    return seed


def lab_of(out: Path) -> str:
    """Return the name of the lab whose marks a folder holds."""
    return str(_settings(out)["lab"])


def _settings(out: Path) -> dict[str, Any]:
    path = out / "run.json"
    try:
        stored = json.loads(path.read_text("utf-8"))
        return {"lab": str(stored["lab"]), "seed": int(stored["seed"])}
    except OSError as error:
        raise CourseError(f"{path}: {error.strerror}; grade into this folder first") from None
    except (ValueError, KeyError, TypeError):
        raise CourseError(f"{path} is damaged; delete it and give --seed") from None


def grade(run: Run) -> list[Record]:
    """Grade every submission and return the records in the order of the learners' names.

    Raises
    ------
    CourseError
        If there is nothing to grade or another run works in the same folder.
    SandboxError
        If the sandbox does not start.
    """
    spec = run.lab.spec
    words = (run.lab.title, spec.name, spec.name.replace("-", "_"))
    found = collect(run.source, words)
    with alone_in(run.out):
        by_ident = {record.ident: record for record in _all_records(run, found)}
    return [by_ident[submission.ident] for submission in found]


def _all_records(run: Run, found: Sequence[Submission]) -> Iterator[Record]:
    pool = ThreadPoolExecutor(run.jobs, thread_name_prefix="grade")
    futures: list[Future[Record]] = [pool.submit(_graded, run, item) for item in found]
    try:
        with tqdm(total=len(found), unit="notebook", disable=not run.progress) as bar:
            for future in as_completed(futures):
                record = future.result()
                bar.update()
                yield record
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _graded(run: Run, submission: Submission) -> Record:
    """Return the record of one submission, from the disk or from grading it now."""
    started = time.monotonic()
    try:
        notebook = submission.read()
    except CourseError as error:
        notebook, problem = b"", str(error)
    else:
        problem = ""
    key = _key(run, submission, notebook)
    kept = None if run.force else records.load(run.out, submission.ident, key)
    if kept is not None:
        return kept
    found = nothing(run.lab, "not a notebook", problem) if problem else _examined(run, notebook)
    failed = found.state == "stopped" and any(note.startswith(_OURS) for note in found.notes)
    record = Record(
        key="" if failed else key,
        ident=submission.ident,
        learner=submission.learner,
        user=submission.user,
        platform=submission.platform,
        source=submission.source,
        state=found.state,
        tasks=found.tasks,
        memos=found.memos,
        notes=(*_notes(submission), *found.notes),
        seconds=round(time.monotonic() - started, 1),
        code=found.code,
    )
    records.save(run.out, record)
    return record


_OURS = "the grader itself failed"


def _examined(run: Run, notebook: bytes) -> Examined:
    try:
        return examine(run.lab, notebook, run.rules)
    except SandboxError:
        raise
    except Exception as error:  # one submission must not end the run for all the others
        note = f"{_OURS} ({type(error).__name__}: {error}); run it again"
        return nothing(run.lab, "stopped", note)


def _notes(submission: Submission) -> Iterator[str]:
    if submission.late:
        yield "handed in late, says Canvas"
    if submission.others:
        yield f"of several files this one was graded; not: {', '.join(submission.others)[:300]}"


def _key(run: Run, submission: Submission, notebook: bytes) -> str:
    rules = {name: value for name, value in asdict(run.rules).items() if name != "layers"}
    parts = [helpers.__version__, records.VERSION, run.lab.digest, rules, submission.source]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    digest.update(notebook)
    return digest.hexdigest()
