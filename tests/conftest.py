"""What every test shares.

Property-based tests draw the same examples on every run, so that a red run can be repeated;
``pytest --hypothesis-profile=explore`` draws new ones.
"""

import gc
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from helpers.course.starting import Starter

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, max_examples=500)
settings.load_profile("repeatable")

# Else gRPC, once a test has used it, runs on in a child between fork and exec, and can end it when
# the child closes what it inherited: `pexpect.spawn` then finds a terminal that says nothing.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

# A shell's background job ignores Ctrl-C, and so would every process that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

# As many threads as a process has cores to itself: more would wait for each other, at a cost.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    share = max(1, CORES // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))
    for pool in ("INTRAOP", "INTEROP"):
        os.environ.setdefault(f"TF_NUM_{pool}_THREADS", str(share))

# As in the kernels of labs and chapters: what TensorFlow makes is many, small, and stays.
gc.set_threshold(20_000, 10, 10)


# Long tests that need no other: each a unit of its own, and the first to be dealt out.
LONG = ("test_unsolved_it_runs_and_earns_nothing", "test_every_cell_of_a_chapter_runs")

OWN_BOOKS = ("test_build.py", "test_chapters.py")  # these build small books of their own, or none
BOOK, PHONE = "tests/book", "tests/book on a phone"
# What one process does while another builds the book: about as long.
MEANWHILE = ("tests/test_types.py",)
# What mostly waits: for servers, kernels, sandboxed processes and time limits. Beside what computes
# it costs little, so one process more than there are cores begins with it.
WAITING = (
    "tests/federated/test_deployment_processes.py",
    "tests/grading/test_hostile.py",
    "tests/course/test_run.py",
    "tests/course/test_scaffold.py",
    "tests/audit/test_model.py",
    "tests/grading/test_run.py",
    "tests/sandbox/test_sandbox.py",
    "tests/audit/test_ending.py",
    "tests/interview/test_command.py",
    "tests/interview/test_code.py",
    "tests/grading/test_review_keys.py",
)


def _folder(scope: str) -> str:
    """Return where the file of a unit lies."""
    return scope.partition("::")[0].rpartition("/")[0]


@pytest.fixture(scope="session")
def starter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starter]:
    """What starts the processes of labs and chapters here, all from one that did their imports."""
    from helpers.course import nursery, run

    with nursery.opened(run.environment(tmp_path_factory.mktemp("nursery"))) as starter:
        yield starter


class ByFile(LoadScopeScheduling):
    """A file's tests in one process, which makes its fixtures once; those of the whole book in two.

    The labs and the chapters are executed first; the book is built from them. Each of two processes
    walks over half of its pages.
    """

    def _split_scope(self, nodeid: str) -> str:
        file, _, test = nodeid.partition("::")
        if test.startswith(LONG):
            return nodeid
        if not file.startswith("tests/book/") or file.endswith(OWN_BOOKS):
            return file
        return PHONE if "[phone" in test else BOOK

    def _assign_work_unit(self, node: Any) -> None:
        """Hand out the next unit; of equal ones, one of a folder that no other process began.

        So the fixtures of a folder's conftest.py, and what it imports, are made once.
        """
        beside = len(self.nodes) > CORES and node is self.nodes[-1]
        rank = self._rank_beside if beside else self._rank
        begun = {
            _folder(scope)
            for other, units in self.assigned_work.items()
            if other is not node
            for scope in units
        }
        first = min(self.workqueue, key=lambda s: (rank(s), _folder(s) in begun))
        self.workqueue.move_to_end(first, last=False)
        super()._assign_work_unit(node)

    def _reschedule(self, node: Any) -> None:
        """Keep one test ahead of a process, not two: a lab that waits there could run elsewhere."""
        units = self.assigned_work[node]
        while self.workqueue and not node.shutting_down and self._pending_of(units) < 2:
            self._assign_work_unit(node)
        if not self.workqueue:
            super()._reschedule(node)

    @staticmethod
    def _rank(scope: str) -> int:
        """The long ones, then the book made from them, then all else, large files first."""
        order = ("::" in scope, scope == BOOK, scope in MEANWHILE, scope == PHONE, True)
        return order.index(True)

    @staticmethod
    def _rank_beside(scope: str) -> int:
        """What waits, then what needs no lab and no book, then what is left."""
        needs = "::" in scope or scope in (BOOK, PHONE)
        return (scope in WAITING, not needs, True).index(True)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Start one process more than there are cores (``-n auto``), unless xdist was told a number."""
    return None if os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS") else CORES + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Deal out the tests when they run beside one another (``pytest -n auto``)."""
    return ByFile(config, log)
