"""ExecuTorch's own environment: NumPy 2 and PyTorch cannot live with TensorFlow 2.14.

``edgesec edge install executorch`` makes it once, in the cache folder; from then on workers for
ExecuTorch start from there. The variable ``EDGESEC_EXECUTORCH`` names an environment that has
ExecuTorch already.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from helpers.errors import EdgeError

VARIABLE = "EDGESEC_EXECUTORCH"
REQUIREMENTS = ("executorch==1.5.1", "torch==2.13.0")
INSTALL = "edgesec edge install executorch"


def environment() -> Path:
    """Return the folder of the environment; it may not exist yet."""
    from helpers.data.folders import cache_folder

    chosen = os.environ.get(VARIABLE)
    return (
        Path(chosen).expanduser() if chosen else cache_folder() / REQUIREMENTS[0].replace("==", "-")
    )


def is_installed() -> bool:
    """Whether the environment is there, whole."""
    return _done(environment()).exists() or (
        VARIABLE in os.environ and _python(environment()).exists()
    )


def python() -> Path:
    """Return the environment's interpreter.

    Raises
    ------
    EdgeError
        If the environment is not installed.
    """
    if not is_installed():
        raise EdgeError(
            f"ExecuTorch is not installed in {str(environment())!r}. It needs an environment of "
            f"its own (about 1.5 GB): run `{INSTALL}`."
        )
    return _python(environment())


def install() -> Path:
    """Make the environment; what pip says goes to the terminal. An unfinished one is made anew.

    Returns
    -------
    Path
        The environment's folder.

    Raises
    ------
    EdgeError
        If the environment cannot be made or a package cannot be installed.
    """
    folder = environment()
    if is_installed():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run(
            [str(_python(folder)), "-m", "pip", "install", "--progress-bar", "on", *REQUIREMENTS],
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise EdgeError(
            f"ExecuTorch could not be installed in {str(folder)!r}: {error}. What pip said is "
            f"above; `{INSTALL}` starts again."
        ) from error
    # The mark comes last: a kill before it leaves an environment that counts as missing.
    _done(folder).write_text("\n".join(REQUIREMENTS), encoding="utf-8")
    return folder


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"


def _done(folder: Path) -> Path:
    return folder / "edgesec-complete"
