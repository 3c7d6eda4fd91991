"""Run labs under papermill, each in a process of its own, at most two at a time.

A finished lab is never lost: its executed notebook and record are in place before the next step,
and a later run keeps them as long as the notebook, ``helpers``, the lock, profile and seed are the
same. Ending the runner, even with ``kill -9``, ends every process it started.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from tqdm import tqdm

import helpers
from helpers._files import one_at_a_time, take_lock
from helpers.course import generate, results, source
from helpers.course.catalogue import LabFiles
from helpers.course.execute import Job, Outcome, cell_number
from helpers.course.results import LabResult, Variant
from helpers.course.starting import Fresh, Process, Starter
from helpers.errors import CourseError

MAX_JOBS = 2  # one TensorFlow lab takes 600 MB and more
TIMEOUTS = {"fast": 600.0, "full": 3600.0}  # seconds a lab may take
_POLL = 0.1  # seconds


@dataclass(frozen=True)
class Settings:
    """How to run labs.

    Parameters
    ----------
    build : Path
        Receives ``<variant>/NN-name.ipynb`` and ``.json``, ``summary.json`` and ``summary.md``.
    profile : {"fast", "full"}
        Sizes of the labs.
    seed : int
        Passed to every lab.
    jobs : int
        Labs at a time, 1 or 2.
    timeout : float, optional
        Seconds one lab may take; by default that of the profile in :data:`TIMEOUTS`.
    force : bool
        Run labs again whose result could be kept.
    progress : bool
        Show a progress bar over all cells.
    shared : bool
        Let other shared runs work in the same folder: a lab that one of them is running is waited
        for, and its result kept. The labs then run one after another, the variants of
        each side by side where there are as many jobs.
    starter : Starter
        Starts the labs' processes; by default each is a new interpreter, as a learner's is. The
        time and memory of a nursery's leave out most of what was imported before.
    """

    build: Path
    profile: Literal["fast", "full"] = "fast"
    seed: int = 0
    jobs: int = MAX_JOBS
    timeout: float | None = None
    force: bool = False
    progress: bool = True
    shared: bool = False
    starter: Starter = field(default_factory=Fresh)

    def __post_init__(self) -> None:
        if not 1 <= self.jobs <= MAX_JOBS:
            raise CourseError(f"jobs is {self.jobs}; labs run 1 to {MAX_JOBS} at a time")
        if self.profile not in TIMEOUTS:
            raise CourseError(f"profile is {self.profile!r}; choose one of {', '.join(TIMEOUTS)}")
        if self.timeout is not None and self.timeout <= 0:
            raise CourseError(f"timeout is {self.timeout} s; give more than 0")

    @property
    def limit(self) -> float:
        """Seconds one lab may take."""
        return self.timeout or TIMEOUTS[self.profile]


def run_labs(
    root: Path, labs: Sequence[LabFiles], variants: Sequence[Variant], settings: Settings
) -> list[LabResult]:
    """Run each lab in each variant and return one result for each, in that order.

    A lab that fails is a result like any other; the others go on.

    Raises
    ------
    CourseError
        If another run works in the same build folder, unless both are shared.
    """
    wanted = [(lab, variant) for lab in labs for variant in variants]
    with alone_in(settings.build, shared=settings.shared):
        common = _common_key(root, settings)
        if settings.shared:
            ordered, turns = [], settings.build / ".work"
            turns.mkdir(exist_ok=True)
            for lab in labs:
                with _turn_of(lab, variants, turns):
                    each = [(lab, variant) for variant in variants]
                    ordered += _run_wanted(root, each, common, settings)
        else:
            ordered = _run_wanted(root, wanted, common, settings)
        results.save_summary(settings.build, ordered)
    return ordered


@contextlib.contextmanager
def _turn_of(lab: LabFiles, variants: Sequence[Variant], turns: Path) -> Iterator[None]:
    """Wait until no other shared run works on a lab, in any of the variants."""
    with contextlib.ExitStack() as held:
        for variant in sorted(set(variants)):  # in one order, so that no two wait for ever
            held.enter_context(one_at_a_time(turns / f"{variant}-{lab.title}.lock"))
        yield


def _run_wanted(
    root: Path, wanted: list[tuple[LabFiles, Variant]], common: bytes, settings: Settings
) -> list[LabResult]:
    """Run those whose result cannot be kept, and return the results in the order wanted."""
    found: dict[tuple[str, str], LabResult] = {}
    waiting: list[_Prepared] = []
    for lab, variant in wanted:
        ready = _prepare(root, lab, variant, common, settings)
        if isinstance(ready, LabResult):
            found[ready.lab, ready.variant] = ready
        else:
            waiting.append(ready)
    for result in _run_all(waiting, settings):
        found[result.lab, result.variant] = result
    return [found[lab.title, variant] for lab, variant in wanted]


@dataclass(frozen=True)
class _Prepared:
    lab: str
    variant: Variant
    key: str
    text: str
    cells: int


@dataclass
class _Running:
    prepared: _Prepared
    process: Process
    work: Path
    limit: float
    started: float = field(default_factory=time.monotonic)
    late: bool = False

    @property
    def cells_done(self) -> int:
        with contextlib.suppress(OSError):
            return (self.work / "cells_done").stat().st_size
        return 0


@contextlib.contextmanager
def alone_in(build: Path, shared: bool = False) -> Iterator[None]:
    """Hold a folder for this process; a second run in it gets a CourseError.

    Runs that are all `shared` do not disturb one another.
    """
    try:
        build.mkdir(parents=True, exist_ok=True)
        lock = take_lock(build / ".lock", shared)
    except OSError as error:
        raise CourseError(f"{build} cannot be written: {error.strerror}") from None
    if lock is None:
        raise CourseError(f"another run works in {build}; wait for it or end it")
    try:
        yield
    finally:
        os.close(lock)


def _common_key(root: Path, settings: Settings) -> bytes:
    digest = hashlib.sha256(f"{settings.profile} {settings.seed}".encode())
    package = Path(helpers.__file__).parent
    # Byte code, and the half-written byte code of a process that starts just now, is no source.
    files = [path for path in package.rglob("*") if "__pycache__" not in path.parts]
    sources = [path for path in files if path.is_file()]
    for path in [*sorted(sources), root / "requirements.txt"]:
        digest.update(path.name.encode())
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.digest()


def _prepare(
    root: Path, lab: LabFiles, variant: Variant, common: bytes, settings: Settings
) -> _Prepared | LabResult:
    try:
        text = _notebook_text(root, lab, variant)
        cells = len(json.loads(text)["cells"])
    except (CourseError, ValueError, KeyError) as error:
        failed = LabResult(lab.title, variant, "", "failed", error=str(error))
        results.save(settings.build, failed)
        return failed
    key = hashlib.sha256(common + text.encode()).hexdigest()
    kept = None if settings.force else results.load(settings.build, lab.title, variant, key)
    return kept or _Prepared(lab.title, variant, key, text, cells)


def _notebook_text(root: Path, lab: LabFiles, variant: Variant) -> str:
    if variant == "solution":
        return generate.dumps(generate.notebook(source.read(lab.solution), root, solved=True))
    if not lab.notebook.is_file():
        raise CourseError(f"{lab.notebook} is missing; run: edgesec labs generate")
    return lab.notebook.read_text("utf-8")


def _run_all(waiting: list[_Prepared], settings: Settings) -> Iterator[LabResult]:
    queue, running = list(waiting), list[_Running]()
    total = sum(prepared.cells + 1 for prepared in waiting)  # one more for injected parameters
    bar = tqdm(total=total, unit="cell", disable=not (settings.progress and waiting))
    finished = 0
    try:
        while queue or running:
            while queue and len(running) < settings.jobs:
                running.append(_start(queue.pop(0), settings))
            time.sleep(_POLL)
            for item in list(running):
                result = _poll(item, settings)
                if result:
                    running.remove(item)
                    finished += item.prepared.cells + 1
                    bar.write(f"{result.lab} ({result.variant}): {result.status}")
                    yield result
            done = finished + sum(item.cells_done for item in running)
            if done > bar.n:
                names = (f"{item.prepared.lab} ({item.prepared.variant})" for item in running)
                bar.set_description(", ".join(names), refresh=False)
                bar.update(done - bar.n)
    finally:
        for item in running:
            item.process.terminate()
        while any(item.process.poll() is None for item in running):
            time.sleep(_POLL)
        bar.close()


def _start(prepared: _Prepared, settings: Settings) -> _Running:
    work = settings.build.resolve() / ".work" / f"{prepared.variant}-{prepared.lab}"
    shutil.rmtree(work, ignore_errors=True)
    folder = work / "cwd"
    folder.mkdir(parents=True)
    (work / "in.ipynb").write_text(prepared.text, "utf-8")
    job = Job(
        notebook=str(work / "in.ipynb"),
        output=str(work / "out.ipynb"),
        folder=str(folder),
        cells_done=str(work / "cells_done"),
        outcome=str(work / "outcome.json"),
        parameters={"profile": settings.profile, "seed": settings.seed},
    )
    (work / "job.json").write_text(json.dumps(asdict(job)), "utf-8")
    process = settings.starter.start(
        "helpers.course.execute", work / "job.json", folder, environment(work), work / "log"
    )
    return _Running(prepared, process, work, settings.limit)


def environment(work: Path) -> dict[str, str]:
    """Return the kernel's environment: quiet, inline figures, and nothing written to the home."""
    package = str(Path(helpers.__file__).parents[1])
    path = os.environ.get("PYTHONPATH")
    changed = {
        "PYTHONPATH": f"{package}{os.pathsep}{path}" if path else package,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "JUPYTER_PREFER_ENV_PATH": "1",  # this environment's python3, not one of the user's
        "IPYTHONDIR": str(work / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(work / "jupyter"),
    }
    return {key: value for key, value in os.environ.items() if key != "MPLBACKEND"} | changed


def _poll(item: _Running, settings: Settings) -> LabResult | None:
    if not item.late and time.monotonic() - item.started > item.limit:
        item.late = True
        item.process.terminate()
    ended = item.process.poll()
    if ended is None:
        return None
    outcome = _outcome(item, ended.code)
    result = LabResult(
        lab=item.prepared.lab,
        variant=item.prepared.variant,
        key=item.prepared.key,
        status="timeout" if item.late else "passed" if outcome.passed else "failed",
        seconds=round(time.monotonic() - item.started, 2),
        cpu_seconds=ended.cpu_seconds,
        peak_memory_mb=ended.peak_memory_mb,
        cell=outcome.cell,
        error=outcome.error,
        report=outcome.report,
        fresh=isinstance(settings.starter, Fresh),
    )
    _keep(item, result, settings)
    return result


def _outcome(item: _Running, code: int) -> Outcome:
    at = cell_number(json.loads(item.prepared.text)["cells"], item.cells_done)
    if item.late:
        return Outcome(False, at, f"did not end within {item.limit:g} s")
    try:
        return Outcome(**json.loads((item.work / "outcome.json").read_text("utf-8")))
    except (OSError, ValueError):
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        log = (item.work / "log").read_text("utf-8", "replace").strip().splitlines()
        last = f": {log[-1][:300]}" if log else ""
        return Outcome(False, at, f"its process ended {how}{last}")


def _keep(item: _Running, result: LabResult, settings: Settings) -> None:
    """Put notebook and record in place, then drop the working folder."""
    record = results.record_path(settings.build, result.lab, result.variant)
    record.parent.mkdir(parents=True, exist_ok=True)
    record.unlink(missing_ok=True)  # it never describes another notebook than the one beside it
    executed = item.work / "out.ipynb"
    if executed.is_file():
        executed.replace(record.with_suffix(".ipynb"))
    results.save(settings.build, result)
    shutil.rmtree(item.work, ignore_errors=True)
