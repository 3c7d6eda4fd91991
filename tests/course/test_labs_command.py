from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.cli import main

Edgesec = Callable[..., tuple[int, str, str]]


@pytest.fixture
def edgesec(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Edgesec:
    monkeypatch.chdir(root)

    def call(*args: str) -> tuple[int, str, str]:
        try:
            main(args=["labs", *args])
        except SystemExit as ended:
            code = int(ended.code or 0)
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


def test_list_describes_the_labs(edgesec: Edgesec) -> None:
    assert edgesec("list") == (0, "01  tiny  A tiny lab  (5 min, 3 tasks, 6 points)\n", "")


def test_generate_writes_and_then_has_nothing_to_write(edgesec: Edgesec) -> None:
    code, _, problems = edgesec("generate", "--check")
    assert code == 1
    assert "01-tiny.ipynb is missing; run: edgesec labs generate" in problems
    assert edgesec("generate")[:2] == (0, "wrote labs/01-tiny.ipynb\n")
    assert edgesec("generate")[:2] == (0, "everything generated is up to date\n")
    assert edgesec("generate", "--check")[0] == 0


def test_check_holds_the_lab_to_every_gate(edgesec: Edgesec, root: Path) -> None:
    edgesec("generate")
    code, shown, _ = edgesec("check", "--no-progress")
    assert code == 0
    assert "every gate holds" in shown
    assert "0 / 6" in shown
    assert "6 / 6" in shown

    path = root / "solutions" / "01_tiny.py"
    path.write_text(path.read_text().replace("total / float", "2 * total / float"))
    code, shown, problems = edgesec("check", "tiny", "--no-progress")
    assert code == 1
    assert "01-tiny: solved, q1 is mismatch" in problems
    assert "1 problem, see above" in problems


def test_a_mistake_in_the_call_is_one_clear_line(
    edgesec: Edgesec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, problem = edgesec("run", "huge")
    assert (code, problem) == (1, "edgesec: there is no lab 'huge'; labs: 01-tiny\n")
    monkeypatch.chdir(tmp_path)
    code, _, problem = edgesec("list")
    assert code == 1
    assert "not inside a clone" in problem


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom helpers.cli import main\n"
        "try:\n    main(args=['labs', 'run', '--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'numpy', 'papermill', 'nbformat', 'jupytext', 'tensorflow'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--variant" in done.stdout
