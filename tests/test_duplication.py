"""No passage stands in two files: pylint's symilar looks for the same lines in a row."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LINES = 10  # that say something: a lone bracket does not count
CODE = ("helpers", "solutions", "benchmarks", "scripts", "_ext")


@pytest.mark.parametrize("folders", [CODE, ("tests",)], ids=["code", "tests"])
def test_no_passage_stands_in_two_files(folders: tuple[str, ...]) -> None:
    files = [str(path) for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    command = [
        sys.executable, "-c", "from pylint import run_symilar; run_symilar()",
        f"--duplicates={LINES}", "--ignore-docstrings", "--ignore-imports", *files,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "duplicates=0 " in done.stdout, done.stdout[:4000]
