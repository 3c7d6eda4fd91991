"""The bank, read once, and what it is checked against."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.course.interview import outside as course_outside
from helpers.interview import Outside, Question, load_bank, prepare
from helpers.interview.loading import BANK

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def bank() -> dict[str, Question]:
    return load_bank()


@pytest.fixture(scope="session")
def outside() -> Outside:
    return course_outside(ROOT)


@pytest.fixture(scope="session")
def prepared(bank: dict[str, Question], outside: Outside) -> dict[str, Question]:
    return {name: prepare(question, outside.calculate) for name, question in bank.items()}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Copy a question of the bank into a bank of its own, with some text replaced."""

    def copy(name: str, old: str = "", new: str = "") -> Path:
        (source,) = BANK.glob(f"*/{name}.yaml")
        text = source.read_text(encoding="utf-8")
        assert old in text
        path = tmp_path / source.parent.name / source.name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return path

    return copy
