"""Execute one notebook in this process's own kernel.

:mod:`helpers.course.run` starts one such process a lab, ``python -m helpers.course.execute JOB
PARENT``, so that a lab's time and memory are its own and nothing of it outlives the run. When the
parent dies, however it dies, the system sends this process SIGTERM; it then ends its kernel and
whatever that has started.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from helpers._files import write_atomically
from helpers._schemas import load_jsonschema
from helpers.course.cards import REPORT_MIME
from helpers.sandbox import linux

if TYPE_CHECKING:
    from helpers.course.kernels import SocketFileKernel, WaitingKernel

# Seconds. papermill writes the whole notebook before and after every cell, two CPU seconds a lab,
# and once more at its end, however that comes.
_SAVE_EVERY = 5.0


@dataclass(frozen=True)
class Job:
    """What to execute. Paths are absolute; `cells_done` grows by one byte a finished cell."""

    notebook: str
    output: str
    folder: str
    cells_done: str
    outcome: str
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What came of it. `cell` counts the cells of the notebook from 1; 0 where none failed."""

    passed: bool
    cell: int = 0
    error: str = ""
    report: dict[str, Any] | None = None


def execute(job: Job, kernel: WaitingKernel | None = None) -> Outcome:
    """Run the notebook under papermill and find its report."""
    load_jsonschema()  # nbformat's
    import nbformat
    import papermill

    from helpers.course.kernels import manager

    _register_engine(Path(job.cells_done), manager(kernel))
    cells = nbformat.read(job.notebook, as_version=4).cells
    try:
        papermill.execute_notebook(
            job.notebook,
            job.output,
            parameters=job.parameters,
            engine_name="counting",
            kernel_name="python3",
            cwd=job.folder,
            progress_bar=False,
            report_mode=False,
        )
    except papermill.PapermillExecutionError as error:
        cell = cell_number(cells, error.cell_index)
        return Outcome(False, cell, _one_line(f"{error.ename}: {error.evalue}"))
    except Exception as error:  # the kernel did not start, or died
        done = Path(job.cells_done).stat().st_size if Path(job.cells_done).exists() else 1
        cell = cell_number(cells, done - 1)  # the one that failed is counted
        return Outcome(False, cell, _one_line(f"{type(error).__name__}: {error}"))
    return Outcome(True, report=_report(nbformat.read(job.output, as_version=4)))


def _register_engine(cells_done: Path, kernel: type[SocketFileKernel]) -> None:
    from papermill.engines import NBClientEngine, papermill_engines

    class CountingEngine(NBClientEngine):
        """papermill's engine, which also says how far it is, and saves less often."""

        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, *args: Any, **kwargs: Any) -> Any:
            complete, save = nb_man.cell_complete, nb_man.save

            def saved(**how: Any) -> None:
                if (nb_man.now() - nb_man.last_save_time).total_seconds() >= _SAVE_EVERY:
                    save(**how)

            def counted(*cell: Any, **how: Any) -> None:
                complete(*cell, **how)
                with cells_done.open("ab") as file:
                    file.write(b".")

            nb_man.cell_complete, nb_man.save = counted, saved
            kwargs["kernel_manager_class"] = kernel
            with _kept_to_the_end(save):
                try:
                    return super().execute_managed_notebook(nb_man, *args, **kwargs)
                except BaseException:  # a kernel that died: papermill saves here for the last time
                    nb_man.save = save
                    raise

    papermill_engines.register("counting", CountingEngine)


@contextlib.contextmanager
def _kept_to_the_end(save: Callable[[], None]) -> Iterator[None]:
    """Save also when this process is told to end, so that the notebook shows how far it came."""
    end = signal.getsignal(signal.SIGTERM)

    def save_and_end(number: int, frame: FrameType | None) -> None:
        signal.signal(number, end)  # a second one does not wait for the disk
        try:
            save()
        finally:
            if callable(end):
                end(number, frame)
            else:
                os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, save_and_end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, end)


def cell_number(cells: Sequence[Any], executed_index: int) -> int:
    """Return which of a notebook's cells, counted from 1, papermill executed at an index.

    papermill adds one cell, the injected parameters, after the one tagged so.
    """
    tagged = [i for i, cell in enumerate(cells) if "parameters" in cell["metadata"].get("tags", [])]
    return executed_index + (0 if tagged and executed_index > tagged[0] else 1)


def _report(notebook: Any) -> dict[str, Any] | None:
    found = None
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            found = output.get("data", {}).get(REPORT_MIME, found)
    return found


def _one_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines)[:400]


def die_with(parent: int) -> None:
    """End this process, and whatever it has started, when its parent does."""
    signal.signal(signal.SIGTERM, lambda *_: _end(143))
    linux.die_with_parent(signal.SIGTERM)
    # What a kernel leaves behind when it dies becomes our child, so that we can end it.
    linux.adopt_orphans()
    if os.getppid() != parent:  # it died before the line above
        _end(143)


def end_descendants() -> None:
    """End whatever this process has started."""
    import psutil

    for _ in range(20):
        running = psutil.Process().children(recursive=True)
        if not running:
            return
        for process in running:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(running, timeout=1)


def _end(code: int) -> None:
    end_descendants()
    os._exit(code)


def main(path: str, parent: int, kernel: WaitingKernel | None = None) -> None:
    """Execute the job described in a JSON file and write its outcome beside it."""
    die_with(parent)
    job = Job(**json.loads(Path(path).read_text("utf-8")))
    outcome = execute(job, kernel)
    write_atomically(Path(job.outcome), json.dumps(asdict(outcome)))
    end_descendants()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
