"""Execute the chapters of the book ahead of Sphinx, each in a process of its own, two at a time.

Sphinx executes one chapter after another. What it finds in its cache it does not execute, so the
book takes half as long when the cache is filled before. ``python -m helpers.course.chapters JOB
PARENT`` is one of the processes; when the one that started it dies, it ends with its kernel.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from helpers._files import one_at_a_time
from helpers._schemas import load_jsonschema
from helpers.course.execute import die_with, end_descendants
from helpers.course.run import MAX_JOBS, environment
from helpers.course.starting import Fresh, Starter

if TYPE_CHECKING:
    from helpers.course.kernels import WaitingKernel

_POLL = 0.1  # seconds


@dataclass(frozen=True)
class Job:
    """What to execute. Paths are absolute; an `outcome` is written where a cell raises."""

    page: str
    cache: str
    folder: str
    outcome: str
    timeout: int  # seconds a cell may take
    packages: str  # the folder whose `helpers` the chapter imports


def execute(
    root: Path,
    pages: Sequence[Path],
    cache: Path,
    timeout: int,
    progress: bool = False,
    starter: Starter | None = None,
) -> dict[Path, str]:
    """Put every chapter into Sphinx's cache that is not there, executed.

    Runs in several processes share a cache: a chapter that one of them executes the others wait
    for.

    Parameters
    ----------
    root : Path
        The repository, whose ``helpers`` the chapters import.
    pages : sequence of Path
        The chapters; a page without code to run is passed over.
    cache : Path
        The folder of the cache.
    timeout : int
        Seconds one cell may take.
    progress : bool
        Whether to show a progress bar.
    starter : Starter, optional
        Starts the processes; by default each is a new interpreter.

    Returns
    -------
    dict of Path to str
        What went wrong, for each chapter that does not run to its end. It is not in the cache.
    """
    from myst_nb.core.read import is_myst_markdown_notebook

    chapters = [page for page in pages if is_myst_markdown_notebook(page.read_text("utf-8"))]
    cache.mkdir(parents=True, exist_ok=True)
    missing = [page for page in chapters if not _is_there(page, cache)]
    start, stop = starter or Fresh(), threading.Event()
    bar = tqdm(total=len(missing), unit="chapter", disable=not (progress and missing))
    with bar, ThreadPoolExecutor(MAX_JOBS) as pool:
        errors = {}
        try:
            for page, error in zip(
                missing,
                pool.map(
                    lambda page: _execute_apart(root, page, cache, timeout, start, stop), missing
                ),
                strict=True,
            ):
                bar.update()
                if error:
                    errors[page] = error
        finally:
            stop.set()  # the pool waits for what runs in it, also after Ctrl-C
    return errors


def _execute_apart(
    root: Path, page: Path, cache: Path, timeout: int, starter: Starter, stop: threading.Event
) -> str:
    """Execute one chapter in a process of its own and return what went wrong, or nothing."""
    with one_at_a_time(cache / f"{page.stem}.lock"), tempfile.TemporaryDirectory() as place:
        if stop.is_set():
            return ""
        if _is_there(page, cache):  # another process has just executed it
            return ""
        work = Path(place)
        folder, outcome, log = work / "cwd", work / "outcome", work / "log"
        folder.mkdir()
        job = Job(str(page), str(cache), str(folder), str(outcome), timeout, str(root))
        (work / "job.json").write_text(json.dumps(asdict(job)), "utf-8")
        process = starter.start(__name__, work / "job.json", folder, environment(work), log)
        while (ended := process.poll()) is None:
            if stop.wait(_POLL):
                process.terminate()
                time.sleep(_POLL)
        if outcome.exists():
            return outcome.read_text("utf-8")
        if ended.code == 0:
            return ""
        return f"{log.read_text('utf-8', 'replace')}its process ended with code {ended.code}"


def _is_there(page: Path, cache: Path) -> bool:
    load_jsonschema()  # nbformat's
    from jupyter_cache import get_cache
    from myst_nb.core.read import MystMetadataParsingError, myst_nb_reader_plugin

    # What is not in the cache is a KeyError, a cell that cannot be read the other.
    with one_at_a_time(cache / "lock"), contextlib.suppress(KeyError, MystMetadataParsingError):
        get_cache(cache).match_cache_notebook(myst_nb_reader_plugin(str(page)))
        return True
    return False


def _execute(job: Job, kernel: WaitingKernel | None) -> None:
    load_jsonschema()  # nbformat's
    from jupyter_cache import get_cache
    from jupyter_cache.base import CacheBundleIn
    from jupyter_cache.executors.utils import single_nb_execution
    from myst_nb.core.read import myst_nb_reader_plugin

    from helpers.course.kernels import manager

    notebook = myst_nb_reader_plugin(job.page)
    done = single_nb_execution(
        notebook, job.folder, job.timeout, False, kernel_manager_class=manager(kernel)
    )
    if done.err is not None:
        Path(job.outcome).write_text(done.exc_string or repr(done.err), "utf-8")
        return
    with one_at_a_time(Path(job.cache, "lock")):
        get_cache(job.cache).cache_notebook_bundle(
            CacheBundleIn(notebook, job.page, data={"execution_seconds": done.time}),
            check_validity=False,
            overwrite=True,
        )


def main(path: str, parent: int, kernel: WaitingKernel | None = None) -> None:
    """Execute the chapter described in a JSON file and put it into the cache."""
    die_with(parent)
    job = Job(**json.loads(Path(path).read_text("utf-8")))
    # This process has its own helpers by now; the kernel takes those of the book.
    os.environ["PYTHONPATH"] = os.pathsep.join([job.packages, os.environ["PYTHONPATH"]])
    _execute(job, kernel)
    end_descendants()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
