"""How the tests are dealt out, and what each process has of the machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import conftest

ROOT = Path(__file__).parents[1]
OWN_BOOKS = [f"{conftest.BOOK}/{name}" for name in conftest.OWN_BOOKS]


@pytest.mark.parametrize("name", [*conftest.WAITING, *conftest.MEANWHILE, *OWN_BOOKS])
def test_a_file_that_has_its_place_by_name_is_there(name: str) -> None:
    assert (ROOT / name).is_file()


@pytest.mark.parametrize("name", conftest.LONG)
def test_a_long_test_that_has_its_place_by_name_is_there(name: str) -> None:
    assert any(f"def {name}" in path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))


def test_as_many_processes_as_cores_have_one_thread_each(tmp_path: Path) -> None:
    (tmp_path / "test_threads.py").write_text(
        "import os\n"
        "def test_threads():\n"
        "    for pool in ('INTRAOP', 'INTEROP'):\n"
        "        assert os.environ[f'TF_NUM_{pool}_THREADS'] == '1'\n"
    )
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(tmp_path),
               "-p", "tests.conftest", "-p", "no:cacheprovider", "-n", str(conftest.CORES),
               str(tmp_path)]  # fmt: skip
    ours = ("PYTEST_", "TF_NUM_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
