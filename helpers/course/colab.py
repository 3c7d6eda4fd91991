"""Make a Colab runtime ready for a lab. Standard library only: it runs before anything is there.

The setup cell of every learner's notebook calls :func:`setup`. Colab's runtime 2025.07 has the
Python that the course needs; on it what the labs lack is added and the kernel is restarted
once. On another runtime the cell stops and says what to change. Who cannot change it can run the
lab in a Python 3.11 beside Colab's own, see :func:`use_python_311`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from helpers.course import pins
from helpers.errors import CourseError

PYTHON = (3, 11)
_DISTRIBUTION = "edge-ml-security"

_WRONG_PYTHON = """\
This lab needs Python 3.11, and this runtime has {have}.

In the menu choose Runtime > Change runtime type > Runtime version 2025.07, save, and run this
cell again.

If 2025.07 is not offered, run this in a new cell instead. It installs Python 3.11 beside this one
(about 3 GB on the runtime's disk) and runs every cell after it there. Completion and the variable
pane then still show the outer Python, which knows nothing of the lab:

    colab.use_python_311("{root}")
"""

Run = Callable[[list[str]], None]


class NotReadyError(CourseError):
    """The runtime cannot hold the course; a notebook shows the message alone."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


def setup(root: str | Path) -> None:
    """Install what the labs need into this runtime; without effect when it is there.

    Parameters
    ----------
    root : path
        The clone of the course.

    Raises
    ------
    NotReadyError
        If this is not Python 3.11.
    CourseError
        If an installation failed.
    """
    root = Path(root)
    if getattr(_shell(), "course_bridge", None):
        print("Ready: cells run in Python 3.11.")
        return
    if sys.version_info[:2] != PYTHON:
        have = ".".join(map(str, sys.version_info[:3]))
        raise NotReadyError(_WRONG_PYTHON.format(have=have, root=root))
    missing = not_installed(pins.read(root / "labs" / "requirements.txt"))
    if not missing and installed_version(_DISTRIBUTION):
        print("Ready.")
        return
    stale = imported(missing)
    print(f"Installing {len(missing)} packages, this takes some minutes ...")
    install(root, missing)
    if stale:
        print("Restarting the kernel once, so that the new packages are used.")
        print("Then choose Runtime > Run all.")
        restart_kernel()
    else:
        print("Ready.")


def installed_version(name: str) -> str | None:
    """Return the version of an installed distribution, or ``None``."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def not_installed(wanted: Mapping[str, str]) -> list[str]:
    """Return the names whose pinned version is not the installed one."""
    importlib.invalidate_caches()
    return [name for name, version in wanted.items() if installed_version(name) != version]


def imported(names: Iterable[str]) -> list[str]:
    """Return those distributions of which this process has already imported a module.

    Replacing them under a running kernel would mix two versions.
    """
    wanted = {pins.canonical(name) for name in names}
    owners = importlib.metadata.packages_distributions()
    return sorted(
        {
            owner
            for module in {name.partition(".")[0] for name in list(sys.modules)}
            for owner in owners.get(module, [])
            if pins.canonical(owner) in wanted
        }
    )


def install(root: Path, missing: Iterable[str], run: Run | None = None) -> None:
    """Install the lock of the labs and then the course itself.

    Parameters
    ----------
    root : Path
        The clone.
    missing : iterable of str
        Distributions that will change.
    run : callable, optional
        Runs one command; for tests.

    Raises
    ------
    CourseError
        If a command fails, or a package is not there afterwards.
    """
    run = run or _run
    pip = [sys.executable, "-m", "pip"]
    lock = root / "labs" / "requirements.txt"
    if "tensorflow-cpu" in missing and installed_version("tensorflow"):
        # Both write into the same folder; left in place, files of two versions would mix.
        run([*pip, "uninstall", "--quiet", "--yes", "tensorflow"])
    run([*pip, "install", "--quiet", "--no-deps", "--require-hashes", "-r", str(lock)])
    run([*pip, "install", "--quiet", "--no-deps", "--no-build-isolation", str(root)])
    left = not_installed(pins.read(lock))
    if left:
        raise CourseError(f"pip ended well, but these are still not there: {', '.join(left)}")


def restart_kernel() -> None:
    """Restart the kernel of this notebook; the runtime keeps what is installed."""
    _shell().kernel.do_shutdown(restart=True)


def use_python_311(root: str | Path, folder: str | Path = "/content/python311") -> None:
    """Install Python 3.11 and the course beside this Python; run all later cells there.

    Parameters
    ----------
    root : path
        The clone of the course.
    folder : path
        Where the environment goes; one that is complete is used again.
    """
    from helpers.course.bridge import connect

    python = make_environment(Path(root), Path(folder))
    connect(str(python))
    print("From the next cell on, code runs in Python 3.11. Run the lab from its top.")


def make_environment(root: Path, folder: Path, run: Run | None = None) -> Path:
    """Make a Python 3.11 environment from the course's complete lock; return its Python."""
    run = run or _run
    python, done = folder / "bin" / "python", folder / ".complete"
    if done.is_file():
        return python
    run([sys.executable, "-m", "pip", "install", "--quiet", "uv"])
    uv = [sys.executable, "-m", "uv"]
    target = ["--python", str(python)]
    run([*uv, "venv", "--quiet", "--clear", "--python", "3.11", str(folder)])
    lock = str(root / "requirements.txt")
    run([*uv, "pip", "sync", "--quiet", *target, "--require-hashes", lock])
    run([*uv, "pip", "install", "--quiet", *target, "--no-deps", "--no-build-isolation", str(root)])
    done.touch()
    return python


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        tail = "\n".join(done.stdout.strip().splitlines()[-5:])
        raise CourseError(f"this command failed: {' '.join(command)}\n{tail}")


def _shell() -> Any:
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None
