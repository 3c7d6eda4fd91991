"""The chapters of the book, each executed by itself; the book under test is built from these."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.course import book, contents
from helpers.course.starting import Starter

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("chapter", contents.chapter_pages(ROOT))
def test_every_cell_of_a_chapter_runs(chapter: str, starter: Starter) -> None:
    assert book.execute_chapters(ROOT, [chapter], starter=starter) == {}
