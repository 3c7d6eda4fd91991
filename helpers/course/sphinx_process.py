"""Run Sphinx in a process of its own and show how far it has come."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
from tqdm import tqdm

from helpers._schemas import IRI_GRAMMAR

# ``python -m sphinx``, spared a grammar that no page needs, as in `load_jsonschema`, and a third of
# its time: the collector looks through all that was read again and again, and nothing of it goes.
# Nor is it taken apart at the end, another ten seconds: what is registered first comes last.
_START = f"""
import atexit, gc, os, sys
code = 1
atexit.register(lambda: (sys.stdout.flush(), sys.stderr.flush(), os._exit(code)))
gc.set_threshold(100_000, 10, 10)
sys.modules.setdefault("{IRI_GRAMMAR}", None)
from sphinx.cmd.build import main
code = main(sys.argv[1:])
"""
_PROGRESS = re.compile(r"(reading sources|writing output)\.\.\. \[\s*(\d+)%\] (\S+)")


def run(root: Path, log: Path, arguments: list[str], progress: bool) -> int:
    """Run Sphinx with some arguments and return its exit code.

    Parameters
    ----------
    root : Path
        The repository, put on the path of the book's own extension.
    log : Path
        Receives what Sphinx prints.
    arguments : list of str
        The command line of ``sphinx-build``.
    progress : bool
        Whether to show a progress bar.
    """
    command = [sys.executable, "-c", _START, *arguments]
    changed = {
        "NO_COLOR": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")])),
        "JUPYTER_PREFER_ENV_PATH": "1",  # this environment's python3, not one of the user's
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_ENABLE_ONEDNN_OPTS": "0",
    }
    # Without MPLBACKEND the kernel shows its figures in the page.
    environment = {k: v for k, v in os.environ.items() if k != "MPLBACKEND"} | changed
    # A file and not a pipe: a process that a chapter leaves behind cannot hold the build up.
    with log.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            command,
            stdout=stream,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
        )
        try:
            _follow(process, log, progress)
        finally:
            if process.poll() is None:
                _end(process)
    return process.returncode


def _end(process: subprocess.Popen[bytes]) -> None:
    """End Sphinx before its time, and the processes among which it has shared the pages."""
    children = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    process.wait()
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.terminate()
    psutil.wait_procs(children)


def _follow(process: subprocess.Popen[bytes], log: Path, progress: bool) -> None:
    """Show how far Sphinx has come, until it ends."""
    with (
        log.open(encoding="utf-8", errors="replace") as lines,
        tqdm(total=100, disable=not progress, bar_format="{desc} |{bar}| {elapsed}") as bar,
    ):
        running = True
        while running:
            running = process.poll() is None
            for line in lines:
                if found := _PROGRESS.match(line):
                    phase, percent, page = found.groups()
                    bar.n = int(percent)
                    bar.set_description_str(f"{phase.split()[0]} {page}")
            bar.refresh()
            if running:
                time.sleep(0.1)
