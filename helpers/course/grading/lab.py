"""The lab that is graded: its checks, the notebook the learners got, and the private checks."""

from __future__ import annotations

import hashlib
import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from helpers.course import catalogue, checks, generate, source
from helpers.course.grading.anatomy import Anatomy, code_cells, dissect
from helpers.course.tasks import FunctionTask, LabSpec
from helpers.errors import CourseError


@dataclass(frozen=True)
class Private:
    """What an instructor keeps outside the repository: more seeds, and more checks by task."""

    seeds: tuple[int, ...] = ()
    checks: tuple[tuple[str, FunctionTask], ...] = ()
    digest: str = ""

    def of(self, task: str) -> list[FunctionTask]:
        """Return the extra checks of a task's function."""
        return [check for name, check in self.checks if name == task]


@dataclass(frozen=True)
class GradedLab:
    """A lab with all that grading it takes.

    `module` is the name of the module that defines the checks as ``LAB``, `given` the notebook
    that learners start from, `readable` what the sandbox must see to import them.
    """

    spec: LabSpec
    title: str
    module: str
    given: Anatomy
    private: Private = Private()
    readable: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Changes when the checks, the given notebook or the private checks do."""
        module = importlib.import_module(self.module)
        files = [Path(module.__file__)] if module.__file__ else []
        for folder in getattr(module, "__path__", ()):  # checks of several files
            files += sorted(Path(folder).rglob("*.py"))
        texts = [path.read_bytes() for path in files]
        parts = [*texts, self.given.code.encode(), self.private.digest.encode()]
        return hashlib.sha256(b"\0".join(parts)).hexdigest()


def load(root: Path, name: str, private: Path | None = None) -> GradedLab:
    """Return the lab of a name or number, as in ``edgesec labs list``.

    Raises
    ------
    CourseError
        If there is no such lab, or the private folder cannot be used.
    """
    (files,) = catalogue.files(root, (name,))
    spec = checks.load(files.name)
    made = generate.notebook(source.read(files.solution), root)
    given = dissect(code_cells(generate.dumps(made).encode()))
    module = f"{checks.__name__}.{files.name.replace('-', '_')}"
    kept = load_private(private, spec, root) if private else Private()
    return GradedLab(spec, files.title, module, given, kept)


def load_private(folder: Path, spec: LabSpec, root: Path) -> Private:
    """Read an instructor's own seeds and checks of a lab.

    The folder holds ``<lab_name>.py``. It may define ``SEEDS``, a sequence of whole numbers, each
    of which gives further hidden cases, and ``CHECKS``, a dict from the name of a task to a list
    of :class:`~helpers.course.tasks.FunctionTask` that its function must pass too.

    Raises
    ------
    CourseError
        If it is inside the repository, which submissions can read, or is not as it must be.
    """
    folder = folder.resolve()
    if folder.is_relative_to(root.resolve()):
        raise CourseError(
            f"--private {folder} is inside the repository; keep it outside, where no submission "
            "and no commit can reach it"
        )
    path = folder / f"{spec.name.replace('-', '_')}.py"
    if not path.is_file():
        raise CourseError(f"{path} does not exist; it defines SEEDS or CHECKS for this lab")
    module = _imported(path)
    seeds, extra = getattr(module, "SEEDS", ()), getattr(module, "CHECKS", {})
    if not all(type(seed) is int and seed >= 0 for seed in seeds):
        raise CourseError(f"{path}: SEEDS must be whole numbers of at least 0, not {seeds!r}")
    pairs = []
    for name, tasks in extra.items():
        if not isinstance(spec.task(name), FunctionTask):
            raise CourseError(f"{path}: CHECKS has {name!r}, which is no function of this lab")
        pairs += [(name, _function_task(task, path)) for task in tasks]
    if not seeds and not pairs:
        raise CourseError(f"{path} defines neither SEEDS nor CHECKS")
    return Private(tuple(seeds), tuple(pairs), hashlib.sha256(path.read_bytes()).hexdigest())


def _imported(path: Path) -> ModuleType:
    module = ModuleType(f"private_{path.stem}")
    try:
        exec(compile(path.read_text("utf-8"), str(path), "exec"), vars(module))
    except Exception as error:
        raise CourseError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return module


def _function_task(task: Any, path: Path) -> FunctionTask:
    if not isinstance(task, FunctionTask):
        raise CourseError(f"{path}: CHECKS holds {task!r}; it must hold FunctionTask")
    return task
