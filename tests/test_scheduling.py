"""The order in which the tests are dealt out: a file that it names is there."""

from __future__ import annotations

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
