from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import psutil
import pytest

from helpers.course import catalogue, gates, generate, results
from helpers.course.results import LabResult, Variant
from helpers.course.run import Settings, alone_in, run_labs
from helpers.course.starting import Fresh, Starter
from helpers.errors import CourseError


def run(root: Path, *variants: Variant, **settings: object) -> list[LabResult]:
    chosen = {"progress": False, "timeout": 60, **settings}
    return run_labs(
        root,
        catalogue.files(root),
        variants or ("learner",),
        Settings(root / "build", **chosen),  # type: ignore[arg-type]
    )


def add_lab(root: Path, number: int, name: str, code: str) -> None:
    """Add a lab that needs no checks."""
    (root / "solutions" / f"{number:02d}_{name}.py").write_text(
        f'# %% [markdown]\n# # {name}\n\n# %% tags=["parameters"]\nprofile = "full"\nseed = 0\n\n'
        f"# %%\n{code}\n"
    )


@pytest.fixture
def bare(make_root: Callable[[], Path]) -> Path:
    """A repository without labs."""
    root = make_root()
    (root / "solutions" / "01_tiny.py").unlink()
    return root


@pytest.fixture(params=["fresh", "forked"])
def way(request: pytest.FixtureRequest) -> Starter:
    """Each way to start a lab's process."""
    if request.param == "fresh":
        return Fresh()
    starter: Starter = request.getfixturevalue("starter")
    return starter


def eventually(condition: Callable[[], bool], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_unsolved_earns_nothing_and_solved_earns_everything(root: Path, way: Starter) -> None:
    generate.generate(root)
    unsolved, solved = run(root, "learner", "solution", starter=way)
    assert (unsolved.error, solved.error) == ("", "")
    assert gates.earned_nothing(unsolved.report) == []
    assert gates.earned_everything(solved.report) == []
    assert (unsolved.points, solved.points) == ("0 / 6", "6 / 6")
    for result in (unsolved, solved):
        assert result.status == "passed"
        assert result.cpu_seconds > 0
        assert result.peak_memory_mb > 30
        executed = nbformat.read(root / "build" / result.variant / "01-tiny.ipynb", as_version=4)
        assert "".join(str(cell) for cell in executed.cells).count("'fast'")
        assert all(cell.get("execution_count", 1) for cell in executed.cells)
    assert "| 01-tiny | solution | passed |" in (root / "build" / "summary.md").read_text()
    assert len(json.loads((root / "build" / "summary.json").read_text())) == 2

    again = run(root, "learner", "solution")
    assert [result.reused for result in again] == [True, True]
    assert again[1].report == solved.report


def test_a_failing_lab_is_told_with_its_cell_and_the_others_go_on(bare: Path, way: Starter) -> None:
    add_lab(bare, 1, "syntax", "a = = 1")
    add_lab(bare, 2, "raises", "print(1)\n\n# %%\n1 / 0")
    add_lab(bare, 3, "works", "print(1)")
    syntax, raises, works = run(bare, "solution", starter=way)
    assert "01_syntax.py:9: cell 3 is not valid Python" in syntax.problem
    assert raises.problem == "02-raises (solution), cell 5: ZeroDivisionError: division by zero"
    assert works.problem == ""
    executed = nbformat.read(bare / "build" / "solution" / "02-raises.ipynb", as_version=4)
    assert "ZeroDivisionError" in str(executed.cells[-1].outputs)
    assert "02-raises (solution), cell 5" in (bare / "build" / "summary.md").read_text()

    add_lab(bare, 2, "raises", "print(2)")
    _, raises, works = run(bare, "solution")
    assert (raises.status, raises.reused, works.reused) == ("passed", False, True)


def test_a_learners_notebook_with_a_syntax_error_is_told_with_its_cell(bare: Path) -> None:
    add_lab(bare, 1, "learner", "print(1)")
    generate.generate(bare)
    path = bare / "labs" / "01-learner.ipynb"
    path.write_text(path.read_text().replace("print(1)", "print(1"))
    (result,) = run(bare)
    assert result.problem.startswith("01-learner (learner), cell 4: SyntaxError")


def test_a_lab_that_does_not_end_is_ended_with_all_its_processes(bare: Path, way: Starter) -> None:
    add_lab(
        bare, 1, "endless",
        "print('this far')\n\n# %%\nimport subprocess, time\nfrom pathlib import Path\n"
        "child = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        "Path('pid').write_text(str(child.pid))\ntime.sleep(600)",
    )  # fmt: skip
    # Long enough for a busy machine to start the kernel; the sleep is far longer.
    (result,) = run(bare, "solution", timeout=15, starter=way)
    assert result.status == "timeout"
    assert result.problem == "01-endless (solution), cell 5: did not end within 15 s"
    executed = nbformat.read(bare / "build" / "solution" / "01-endless.ipynb", as_version=4)
    assert "this far" in str(executed.cells[-2].outputs)
    assert not [
        p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", "600"]
    ]


def test_a_kernel_that_dies_is_told(bare: Path, way: Starter) -> None:
    add_lab(bare, 1, "dies", "print('this far')\n\n# %%\nimport os\nos.kill(os.getpid(), 9)")
    (result,) = run(bare, "solution", starter=way)
    assert result.status == "failed"
    assert result.problem.startswith("01-dies (solution), cell 5: DeadKernelError")
    executed = nbformat.read(bare / "build" / "solution" / "01-dies.ipynb", as_version=4)
    assert "this far" in str(executed.cells[-2].outputs)


_RUNNER = """
import sys
from pathlib import Path
from helpers.course import catalogue
from helpers.course.nursery import Nursery
from helpers.course.run import Settings, environment, run_labs
from helpers.course.starting import Fresh
root = Path(sys.argv[1])
starter = Fresh() if sys.argv[2] == "fresh" else Nursery(environment(root))
settings = Settings(root / "build", jobs=1, progress=False, starter=starter)
run_labs(root, catalogue.files(root), ["solution"], settings)
"""


@pytest.mark.parametrize("how", ["fresh", "forked"])
def test_killing_the_runner_leaves_no_process_and_loses_no_finished_lab(
    bare: Path, how: str
) -> None:
    add_lab(bare, 1, "quick", "print(1)")
    add_lab(
        bare, 2, "slow",
        "import os, time\nfrom pathlib import Path\nflag = Path('../../../../killed')\n"
        "if not flag.exists():\n"
        "    Path('../../../../kernel').write_text(str(os.getpid()))\n    time.sleep(600)",
    )  # fmt: skip
    runner = subprocess.Popen([sys.executable, "-c", _RUNNER, str(bare), how])
    kernel = bare / "kernel"
    assert eventually(lambda: kernel.exists() and kernel.read_text() != "", 90)
    started = psutil.Process(runner.pid).children(recursive=True)
    assert int(kernel.read_text()) in [process.pid for process in started]
    os.kill(runner.pid, signal.SIGKILL)
    runner.wait()
    assert eventually(lambda: not any(process.is_running() for process in started))

    (bare / "killed").touch()
    quick, slow = run(bare, "solution")
    assert (quick.status, quick.reused) == ("passed", True)
    assert (slow.status, slow.reused) == ("passed", False)


def test_whatever_a_result_depends_on_is_in_its_key(bare: Path) -> None:
    def key(**settings: object) -> str:
        (result,) = run(bare, "solution", timeout=0.01, **settings)
        return result.key

    add_lab(bare, 1, "a", "print(1)")
    keys = [key(), key(), key(seed=1), key(profile="full")]
    (bare / "requirements.txt").write_text("numpy==2\n")
    keys.append(key())
    add_lab(bare, 1, "a", "print(2)")
    keys.append(key())
    assert keys[0] == keys[1]
    assert len(set(keys)) == 5


def test_a_damaged_record_or_a_missing_notebook_is_run_again(bare: Path) -> None:
    build = bare / "build"
    result = LabResult("01-a", "solution", "key", "passed")
    results.save(build, result)
    notebook = build / "solution" / "01-a.ipynb"
    assert results.load(build, "01-a", "solution", "key") is None
    notebook.write_text("{}")
    assert results.load(build, "01-a", "solution", "key") is not None
    assert results.load(build, "01-a", "solution", "other") is None
    results.record_path(build, "01-a", "solution").write_text('{"lab": "01')
    assert results.load(build, "01-a", "solution", "key") is None


def test_two_runs_do_not_share_a_build_folder(bare: Path) -> None:
    import fcntl

    (bare / "build").mkdir()
    with (bare / "build" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(CourseError, match="another run works in"):
            run(bare)


def test_shared_runs_of_one_folder_run_a_lab_once_in_both_variants_side_by_side(bare: Path) -> None:
    add_lab(
        bare, 1, "meets",
        "import time\nfrom pathlib import Path\nruns = Path('../../../../runs')\n"
        "with runs.open('a') as f:\n    print('x', file=f)\n"
        "while runs.read_text() != 'x\\nx\\n':\n    time.sleep(0.05)",
    )  # fmt: skip
    generate.generate(bare)
    orders: list[list[Variant]] = [["learner", "solution"], ["solution", "learner"]]
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(run, bare, *variants, shared=True) for variants in orders]
        found = [[(r.variant, r.status, r.reused) for r in done.result()] for done in runs]
    assert [[variant for variant, _, _ in results] for results in found] == orders
    assert sorted(one for results in found for one in results) == [
        (variant, "passed", reused)
        for variant in ("learner", "solution")
        for reused in (False, True)
    ]
    with alone_in(bare / "build", shared=True), pytest.raises(CourseError, match="another run"):
        run(bare, "solution")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"jobs": 3}, "1 to 2"), ({"profile": "quick"}, "choose one of"), ({"timeout": 0}, "than 0")],
)
def test_unusable_settings_are_refused(
    bare: Path, settings: dict[str, object], reason: str
) -> None:
    with pytest.raises(CourseError, match=reason):
        run(bare, **settings)
