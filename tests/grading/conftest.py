from __future__ import annotations

import importlib
import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.course import generate, source
from helpers.course.grading.anatomy import code_cells, dissect
from helpers.course.grading.examine import Rules
from helpers.course.grading.lab import GradedLab
from helpers.course.grading.records import Record
from helpers.course.grading.run import Run, grade
from helpers.sandbox import Limits
from helpers.sandbox.limits import MB
from tests.book.conftest import browser as browser
from tests.grading.hostile import recipes

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests" / "course" / "tiny"
# Tight: these tests hold bombs, and other work goes on around them. As many processes as may start
# hold less memory than is allowed, some 26 MB each before they ask for any: else the watcher, late
# on a busy machine, ends whichever cell runs when it looks at what a fork bomb left.
LIMITS = Limits(
    seconds=60, memory=1500 * MB, group_memory=600 * MB, processes=16, disk=16 * MB,
    file_size=8 * MB, shared_memory=MB, output=4 * MB,
)  # fmt: skip

Grade = Callable[..., list[Record]]


def _notebook(solved: bool) -> dict[str, Any]:
    made = generate.notebook(source.read(TINY / "01_tiny.py"), ROOT, solved=solved)
    content: dict[str, Any] = json.loads(generate.dumps(made))
    return content


@pytest.fixture(scope="session")
def solved() -> dict[str, Any]:
    return _notebook(solved=True)


@pytest.fixture(scope="session")
def unsolved() -> dict[str, Any]:
    return _notebook(solved=False)


@pytest.fixture(scope="session")
def lab(unsolved: dict[str, Any]) -> Iterator[GradedLab]:
    sys.path.insert(0, str(TINY))
    spec = importlib.import_module("tiny_lab").LAB
    given = dissect(code_cells(json.dumps(unsolved).encode()))
    yield GradedLab(spec, "01-tiny", "tiny_lab", given, readable=(str(TINY),))
    sys.path.remove(str(TINY))


@pytest.fixture(scope="session")
def rules() -> Rules:
    return Rules(seed=7, cell_seconds=1.5, whole=True, limits=LIMITS)


@pytest.fixture(scope="session")
def hostile_records(
    lab: GradedLab,
    rules: Rules,
    solved: dict[str, Any],
    unsolved: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Record]:
    """The records of every hostile submission and one honest one, graded in a single run."""
    outside = tmp_path_factory.mktemp("outside")
    (outside / "grades.csv").write_text("the marks of others")
    submissions = tmp_path_factory.mktemp("submissions")
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_UNIX) as unix,
    ):
        udp.bind(("127.0.0.1", 0))
        udp.setblocking(False)
        unix.bind(str(outside / "socket"))
        unix.listen()
        places = {
            "outside": str(outside),
            "tcp": tcp.getsockname()[1],
            "udp": udp.getsockname()[1],
            "process": os.getpid(),
        }
        for kind in recipes.ALL:
            data = recipes.notebook(kind, solved, unsolved, **places)
            (submissions / f"{kind.name}.ipynb").write_bytes(data)
        (submissions / "honest.ipynb").write_text(json.dumps(solved))
        out = tmp_path_factory.mktemp("grades")
        records = grade(Run(lab, submissions, out, rules, jobs=4, progress=False))
        with pytest.raises(BlockingIOError):
            udp.recv(16)
    assert {path.name for path in outside.iterdir()} == {"grades.csv", "socket"}
    return {record.learner: record for record in records}
