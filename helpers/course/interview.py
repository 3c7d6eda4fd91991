"""What the question bank takes from the other rooms: numbers, threats, pages and a sandbox."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import helpers
from helpers.course.interview_answers import calculate
from helpers.errors import InterviewError, SandboxError, ThreatModelError
from helpers.interview.checking import Outside
from helpers.interview.question import Code

if TYPE_CHECKING:
    from helpers.interview.notebook import Practice

_SECONDS = 10.0  # for all cases of one question
_MAX_REPLY = 1 << 20
_MB = 2**20


def outside(root: Path | None = None) -> Outside:
    """Return everything a bank is checked against.

    Parameters
    ----------
    root : Path, optional
        The repository, for the pages that questions link to; without it there are none, which is
        enough to practise.
    """
    return Outside(
        chapters=_names(root, "chapters/[!_]*.md"),
        labs=_names(root, "labs/*.ipynb"),
        calculate=calculate,
        threats_of=threats_of,
        run_code=run_code,
    )


def _names(root: Path | None, pattern: str) -> frozenset[str]:
    return frozenset(path.stem for path in root.glob(pattern)) if root else frozenset()


def practice(log: str | Path | None = None, seed: int | None = None) -> Practice:
    """Return a desk for practising in a notebook, over the same log as ``edgesec interview``.

    Parameters
    ----------
    log : path, optional
        The practice log; by default that of the terminal.
    seed : int, optional
        Makes the choice of questions repeatable.
    """
    from IPython.display import Markdown, display

    from helpers.interview import load_bank
    from helpers.interview.log import PracticeLog, default_path
    from helpers.interview.notebook import Practice

    return Practice(
        load_bank(),
        PracticeLog(Path(log) if log else default_path()),
        outside(),
        clock=lambda: datetime.now(UTC),
        rng=random.Random(seed),
        show=lambda text: display(Markdown(text)),
    )


def threats_of(system: str, target: str) -> Mapping[str, str]:
    """Return the rules that find a threat at one target of a model that ships, with their titles.

    Raises
    ------
    InterviewError
        If there is no such model or target.
    """
    from helpers import threats

    try:
        found = threats.analyse(threats.load(system)).of(target)
    except ThreatModelError as error:
        raise InterviewError(str(error)) from error
    if not found:
        raise InterviewError(f"helpers.threats finds nothing at {target!r} of {system}.")
    return {threat.rule.id: threat.rule.title for threat in found}


def run_code(source: str, code: Code) -> list[dict[str, Any]]:
    """Call a candidate's function on every case, in a sandbox.

    Parameters
    ----------
    source : str
        What the candidate wrote; it runs in the sandbox alone.
    code : Code
        The name of the function and its cases; what it should return stays here.

    Returns
    -------
    list of dict
        For each case ``{"value": ...}`` or ``{"problem": text}``; if the program ends or hangs
        every case has that problem.

    Raises
    ------
    SandboxError
        If no sandbox can be put up on this machine.
    """
    from helpers.sandbox import Limits, Sandbox
    from helpers.sandbox.launch import REFUSED

    limits = Limits(
        seconds=_SECONDS, cpu_seconds=int(_SECONDS), memory=2048 * _MB, group_memory=1024 * _MB,
        processes=32, disk=16 * _MB, shared_memory=16 * _MB, file_size=16 * _MB, output=_MB,
    )  # fmt: skip
    environment = {"PYTHONPATH": str(Path(helpers.__file__).resolve().parents[1])}
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    command = [sys.executable, "-P", "-m", "helpers.course.interview_worker"]
    request = json.dumps({"source": source, "name": code.name, "cases": code.cases})
    with Sandbox(command, limits=limits, environment=environment) as box:
        try:
            box.send(request.encode(), _SECONDS)
            answer = json.loads(box.receive(_SECONDS, _MAX_REPLY))
        except (SandboxError, ValueError, RecursionError) as error:
            if box.exit_status == REFUSED:
                raise SandboxError(f"no sandbox on this machine: {box.errors.strip()}") from error
            answer = [{"problem": f"the program gave no answer: {error}"} for _ in code.cases]
    whole = isinstance(answer, list) and len(answer) == len(code.cases)
    if not whole or not all(isinstance(outcome, dict) for outcome in answer):
        return [{"problem": "the program answered with something else"} for _ in code.cases]
    return answer
