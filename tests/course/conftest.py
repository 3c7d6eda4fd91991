from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers._schemas import load_jsonschema
from helpers.course import checks
from helpers.course.tasks import LabSpec

load_jsonschema()  # nbformat's, before a test module imports it with a grammar that takes a second

TINY = Path(__file__).parent / "tiny"

CONFIG = """\
title: A course
repository:
  url: https://github.com/someone/some-course
  branch: main
"""
TOC = """\
format: jb-book
root: index
parts:
  - caption: Labs
    chapters:
      - file: labs/01-tiny
"""


@pytest.fixture
def spec(monkeypatch: pytest.MonkeyPatch) -> LabSpec:
    """The tiny lab's checks, importable by name here and in every kernel that a test starts."""
    monkeypatch.syspath_prepend(str(TINY))
    monkeypatch.setenv("PYTHONPATH", str(TINY))
    module = importlib.import_module("tiny_lab")
    monkeypatch.setitem(sys.modules, f"{checks.__name__}.tiny", module)
    lab: LabSpec = module.LAB
    return lab


@pytest.fixture
def make_root(tmp_path: Path) -> Callable[[], Path]:
    """Make a repository that holds the tiny lab."""

    def make() -> Path:
        root = tmp_path / "repository"
        (root / "solutions").mkdir(parents=True)
        (root / "_config.yml").write_text(CONFIG)
        (root / "_toc.yml").write_text(TOC)
        (root / "requirements.txt").write_text("numpy==1.26.4\n")
        shutil.copy(TINY / "01_tiny.py", root / "solutions")
        return root

    return make


@pytest.fixture
def root(spec: LabSpec, make_root: Callable[[], Path]) -> Path:
    """A repository with the tiny lab, whose checks can be found."""
    return make_root()
