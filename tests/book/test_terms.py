"""A reader who does not know a word can follow it: where a term is first used, it links.

The rule is: **in every chapter, the first place in the prose at which a term of the glossary stands
links to its entry.** Once for the whole book would be too seldom. The routes begin at different
chapters, the week before an interview takes seven of them, and a search engine opens any page in
the middle of the book: each chapter is somebody's first. Every time would be too often; a page full
of links has none that stands out. So it is once a page, there where the word is first met, whether
or not the page explains it later.

A lab comes after its chapter and is read in Colab as well, where no ``{term}`` works. There a term
needs a plain link to the glossary only if no page before the lab has linked to it.

The sources are read as text (``helpers.course.terms``); nothing is built.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Set
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers.course import terms

ROOT = Path(__file__).parents[2]
GLOSSARY = ROOT / "chapters" / "glossary.md"
ENTRIES = terms.read_glossary(GLOSSARY.read_text(encoding="utf-8"))

# Names that mean something else as well. They are linked where they are taught, and nowhere by
# force: a test cannot tell which of the two a sentence means.
PLAIN = {
    "MAC": "also a message authentication code",
    "client": "also the side that opens a connection, and who pays",
    "fingerprint": "also the hash of a key or of a file",
    "round": "also a shape, a way around, and what quantisation does to a number",
    "sensitivity": "also the share of the ill who are found, and how easily a model is moved",
    "update": "also a new release of a product",
}


def reading_order() -> list[str]:
    """The pages that are read from top to bottom, in the order of the table of contents."""

    def files(items: list[dict[str, Any]]) -> Iterator[str]:
        for item in items:
            yield item["file"]
            yield from files(item.get("sections", []))

    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    listings = re.compile(r"chapters/(api/.*|questions/.*|glossary|notation|references)")
    pages = [page for part in toc["parts"] for page in files(part["chapters"])]
    return [page for page in pages if not listings.fullmatch(page)]


@cache
def text(page: str) -> str:
    """The Markdown of a page; of a lab, what its learner reads."""
    if page.startswith("chapters/"):
        return (ROOT / f"{page}.md").read_text(encoding="utf-8")
    cells = json.loads((ROOT / f"{page}.ipynb").read_text(encoding="utf-8"))["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


@cache
def linked(page: str) -> frozenset[terms.Term]:
    """The entries that a page links to."""
    links = terms.links(text(page))
    return frozenset(entry for entry in ENTRIES if any(terms.covers(link, entry) for link in links))


def complaints(page: str, known: Set[terms.Term] = frozenset()) -> list[str]:
    """A sentence for each term that stands in the page before a link to it, plain words aside."""
    return [
        f"line {use.line}: {use.words!r} is in the glossary, as {use.term.name!r}"
        for use in terms.unlinked(text(page), ENTRIES, PLAIN)
        if use.term not in known
    ]


ORDER = reading_order()
CHAPTERS = [page for page in ORDER if page.startswith("chapters/")]
LABS = [page for page in ORDER if page.startswith("labs/")]


@pytest.mark.parametrize("page", CHAPTERS)
def test_a_chapter_links_each_term_where_it_first_uses_it(page: str) -> None:
    assert complaints(page) == [], "write {term}`name`, or {term}`words <name>`"


@pytest.mark.parametrize("page", LABS)
def test_a_lab_uses_no_term_that_neither_it_nor_a_page_before_it_has_linked(page: str) -> None:
    before = [linked(earlier) for earlier in ORDER[: ORDER.index(page)]]
    known = frozenset().union(*before)
    assert complaints(page, known) == [], "write [words](../chapters/glossary.md)"


def test_each_entry_names_the_chapter_that_teaches_it_and_that_chapter_links_back() -> None:
    glossary = GLOSSARY.read_text(encoding="utf-8")
    for entry in ENTRIES:
        body = rf"^{re.escape(entry.names[-1])}\n((?:  .*\n)+)"
        [own] = re.findall(body, glossary, re.MULTILINE)
        taught = re.search(r"See \[\]\(chapter-([\w-]+)\)\.$", own.strip())
        assert taught, f"end {entry.name!r} with: See [](chapter-...)."
        assert entry in linked(f"chapters/{taught[1]}"), f"{taught[1]} has no {entry.name!r}"


def test_every_role_points_to_an_entry() -> None:
    names = {name.casefold() for entry in ENTRIES for name in entry.names}
    for page in CHAPTERS:
        for role in re.findall(r"\{term\}`([^`]+)`", text(page)):
            target = role.rpartition("<")[2].rstrip(">")
            assert target.casefold() in names, f"{page}: {role}"


def test_the_plain_words_are_entries() -> None:
    assert set(PLAIN) <= {name for entry in ENTRIES for name in entry.names}
