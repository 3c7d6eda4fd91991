"""What can be told of a chapter without building it: in a second, not after ten minutes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

CHAPTERS = sorted((Path(__file__).parents[2] / "chapters").glob("*.md"))
OPTIONS = re.compile(r"^```\{code-cell\}[^\n]*\n---\n(.*?)^---$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_the_options_of_every_cell_can_be_read_and_every_figure_has_words(chapter: Path) -> None:
    for options in OPTIONS.findall(chapter.read_text(encoding="utf-8")):
        shown = (yaml.safe_load(options) or {}).get("mystnb", {})
        if "figure" in shown:
            assert shown["image"]["alt"], options
            assert shown["figure"]["caption"], options
