"""The kernel's cap over a group of processes: what is written where, and that it holds."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from helpers.sandbox import Limits, cgroup, run
from helpers.sandbox.limits import MB

LIMITS = Limits(seconds=20, group_memory=200 * MB, disk=4 * MB, shared_memory=MB, processes=16)
PROBLEM = cgroup.problem(LIMITS)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with the files that a delegated group has; nothing acts on what is written."""
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    (tmp_path / "cgroup.procs").write_text("41\n")
    return tmp_path


def test_the_limits_are_those_of_the_sandbox_and_its_files_in_memory(tree: Path) -> None:
    top = cgroup.delegated(tree, 41)
    assert (tree / "edgesec" / "cgroup.procs").read_text() == "41"
    assert (tree / "cgroup.subtree_control").read_text() == "+memory +pids"
    made = cgroup.Group(top, LIMITS)
    made.add(43)
    written = {path.name: path.read_text() for path in made.folder.iterdir()}
    assert written == {
        "memory.max": str(205 * MB), "pids.max": "19", "memory.swap.max": "0",
        "memory.oom.group": "1", "cgroup.procs": "43",
    }  # fmt: skip
    assert cgroup.delegated(tree / "edgesec", 41) == tree  # once it has moved


def test_where_it_cannot_be_made_the_reason_is_said(tree: Path) -> None:
    with pytest.raises(cgroup.NoGroupError, match="holds other processes too"):
        cgroup.delegated(tree, 42)
    (tree / "cgroup.controllers").write_text("hugetlb pids\n")
    with pytest.raises(cgroup.NoGroupError, match="has no control over memory"):
        cgroup.delegated(tree, 41)
    with pytest.raises(cgroup.NoGroupError, match="is not its own: No such file"):
        cgroup.delegated(tree / "nowhere", 41)
    with pytest.raises(cgroup.NoGroupError, match="no cgroup v2 with limits"):
        cgroup.Group(tree / "nowhere", LIMITS)


@pytest.mark.skipif(bool(PROBLEM), reason=f"no cgroup v2 can be made here: {PROBLEM}")
def test_memory_that_no_process_shows_is_counted_too() -> None:
    code = (
        "import socket\nheld = []\n"
        "for _ in range(100):\n"
        "    pair = socket.socketpair()\n    pair[0].setblocking(False)\n    held.append(pair)\n"
        "    try:\n        while True: pair[0].send(bytes(65536))\n"
        "    except BlockingIOError: pass\n"
        "print('BROKEN')"
    )
    tight = Limits(seconds=20, group_memory=8 * MB, disk=MB, shared_memory=MB)
    assert b"BROKEN" not in run([sys.executable, "-S", "-c", code], limits=tight).output
