"""What can be told of a chapter without building it: in a second, not after ten minutes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHAPTERS = sorted((ROOT / "chapters").glob("*.md"))
OPTIONS = re.compile(r"^```\{code-cell\}[^\n]*\n---\n(.*?)^---$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_the_options_of_every_cell_can_be_read_and_every_figure_has_words(chapter: Path) -> None:
    for options in OPTIONS.findall(chapter.read_text(encoding="utf-8")):
        shown = (yaml.safe_load(options) or {}).get("mystnb", {})
        if "figure" in shown:
            assert shown["image"]["alt"], options
            assert shown["figure"]["caption"], options


def taught() -> list[Path]:
    """The chapters of the numbered parts of the book: those that teach a skill."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    files = [
        page["file"] for part in toc["parts"] if "numbered" in part for page in part["chapters"]
    ]
    return [ROOT / f"{file}.md" for file in files if file.startswith("chapters/")]


@pytest.mark.parametrize("chapter", taught(), ids=lambda path: path.stem)
def test_a_chapter_says_first_what_one_can_do_after_it_and_last_what_one_may_be_asked(
    chapter: Path,
) -> None:
    text = chapter.read_text(encoding="utf-8")
    opening = text.partition("\n## ")[0]
    assert "\nAfter it you can\n\n- " in opening, "list what, before the first section"
    assert text.count("```{interview-about}") == 1
    sections = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert sections[-2:] == ["Questions you may be asked", "Pointers"]
