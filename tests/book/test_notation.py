"""The page of letters keeps step with the formulas: what it says a chapter uses, it uses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CHAPTERS = Path(__file__).parents[2] / "chapters"
GREEK = {
    r"\varepsilon": "ε", r"\delta": "δ", r"\sigma": "σ", r"\alpha": "α", r"\Delta": "Δ",
}  # fmt: skip


def rows() -> list[tuple[list[str], list[str]]]:
    """The letters of each row of the tables, and the chapters that it names."""
    found = []
    for line in (CHAPTERS / "notation.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| $"):
            letters = re.findall(r"\$([^$]+)\$", cells[0])
            found.append((letters, re.findall(r"\(chapter-([\w-]+)\)", line)))
    return found


def formulas(chapter: str) -> str:
    """All maths of a chapter, without its code, and the Greek letters that its prose spells."""
    text = (CHAPTERS / f"{chapter}.md").read_text(encoding="utf-8")
    text = re.sub(r"^```\{code-cell\}.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    maths = re.findall(r"\$\$.+?\$\$|\$[^$\n]+\$", text, re.DOTALL)
    return "\n".join([*maths, *re.findall("[α-ωΑ-Ω]", text)])


@pytest.mark.parametrize(("letters", "chapters"), rows(), ids=lambda value: " ".join(value))
def test_every_chapter_named_uses_the_letter(letters: list[str], chapters: list[str]) -> None:
    assert chapters
    for chapter in chapters:
        for letter in letters:
            word = rf"{re.escape(letter)}(?![a-zA-Z])"
            alone = word if letter.startswith("\\") else rf"(?<![\\a-zA-Z]){word}"
            spelled = GREEK.get(letter, "")
            text = formulas(chapter)
            assert re.search(alone, text) or (spelled and spelled in text), (chapter, letter)


def test_no_letter_stands_twice() -> None:
    letters = [letter for row, _ in rows() for letter in row]
    assert len(letters) == len(set(letters))
