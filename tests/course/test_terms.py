"""``helpers.course.terms``: what counts as prose, and which words are a term."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.course import terms
from helpers.course.terms import Link, Term
from helpers.errors import CourseError

GLOSSARY = """\
# Glossary

```{glossary}
differential privacy
DP
  A property of an algorithm.

  With a second paragraph.

local differential privacy
  All the noise at home.
```
"""


def first(page: str, *names: str | tuple[str, ...]) -> list[str]:
    """The words of the uses that lack a link, for a glossary of these names."""
    entries = [Term((name,) if isinstance(name, str) else name) for name in names]
    return [use.words for use in terms.unlinked(page, entries)]


def test_an_entry_may_have_several_names_and_several_paragraphs() -> None:
    dp, local = terms.read_glossary(GLOSSARY)
    assert dp.names == ("differential privacy", "DP")
    assert dp.name == "differential privacy"
    assert local.names == ("local differential privacy",)


@pytest.mark.parametrize(
    ("page", "complaint"),
    [
        ("# No glossary", "no ```{glossary}"),
        ("```{glossary}\nempty\n\nfull\n  Text.\n```\n", "'empty' has no text"),
        ("```{glossary}\nlast\n```\n", "'last' has no text"),
        ("```{glossary}\nIID\n  One.\n\niid\n  Two.\n```\n", "iid more than once"),
    ],
)
def test_a_glossary_that_sphinx_would_read_otherwise_is_refused(page: str, complaint: str) -> None:
    with pytest.raises(CourseError, match=complaint):
        terms.read_glossary(page)


@pytest.mark.parametrize(
    "page",
    [
        "---\ntitle: a canary\n---\n",
        "# A canary\n\n###### canary",
        "(canary)=",
        "% a canary in a comment",
        "<!-- a canary\nover two lines -->",
        "```python\ncanary = 1\n```",
        "```\ncanary\n```",
        "~~~\ncanary\n```\nstill canary\n~~~",
        "````{code-cell} ipython3\n---\nmystnb:\n  figure: {caption: A canary}\n---\ncanary\n````",
        "`canary` and ``a `canary` ``",
        "$canary$ and $$\ncanary\n$$",
        "{cite}`canary2020` and {glue:text}`canary:.2f`",
        "[the canary](other.md), ![a canary](canary.png), <https://canary.org>",
        "```{exercise}\n:label: canary\n```",
        "```{admonition} The canary\n:class: canary\n```",
        "```{exercise}\n:label: ex\n\n~~~python\ncanary\n~~~\n```",
        "```{unknown}\ncanary\n```",
        "pre-canary and canary-like and canaryish",
    ],
)
def test_what_is_no_prose_or_another_word_uses_no_term(page: str) -> None:
    assert first(page, "canary") == []


@pytest.mark.parametrize(
    "page",
    [
        "A canary.",
        "A cheap **canary** and *more*",
        "| a | canary |\n|---|---|",
        "- canaries, plural",
        "A price of 5$ for a canary, and 6$ more",
        "```{exercise}\n:label: ex\n\nPlant a canary.\n```",
        "````{solution} ex\n:class: dropdown\n\nA canary.\n````",
        ":::{admonition} Why\n:class: note\n\nA canary.\n:::",
        "```python\nx = 1\n```\nThen a canary.",
        "the canary's song",
    ],
)
def test_sentences_lists_tables_and_exercises_are_prose(page: str) -> None:
    [words] = first(page, "canary")
    assert words in {"canary", "canaries"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("anchor box", "Anchor boxes"),
        ("shadow model", "shadow-model"),
        ("man in the middle", "man\nin  the middle"),
        ("honest-but-curious", "honest but curious"),
        ("randomised smoothing", "randomized smoothing"),
        ("quantisation-aware training", "Quantization-aware training"),
        ("adversary", "adversaries"),
        ("mAP", "mAP"),
        ("Diffie–Hellman exchange", "Diffie–Hellman exchange"),
        ("L∞", "L∞"),
    ],
)
def test_plural_hyphen_line_break_and_spelling_do_not_hide_a_term(name: str, words: str) -> None:
    assert first(f"Say {words} here.", name) == [" ".join(words.split())]


@pytest.mark.parametrize(("name", "words"), [("mAP", "map"), ("ALIE", "Alie"), ("IID", "iid")])
def test_an_abbreviation_is_found_as_it_is_written_only(name: str, words: str) -> None:
    assert first(f"Say {words} here.", name) == []


def test_the_longest_name_takes_the_words() -> None:
    page = "Use local differential privacy. Then differential privacy."
    entries = [Term(("differential privacy",)), Term(("local differential privacy",))]
    found = [(use.term.name, use.start) for use in terms.uses(page, entries)]
    assert found == [("local differential privacy", 4), ("differential privacy", 37)]


@pytest.mark.parametrize(
    "page",
    [
        "A {term}`canary` and a canary.",
        "Many {term}`canaries <canary>` and a canary.",
        "A {term}`bird\n<canary>`, then a canary.",
        "A {term}`canary <yellow bird>` where canary means a bird.",
        "A [*canary*](../chapters/glossary.md) and a canary.",
    ],
)
def test_a_link_before_it_by_target_or_by_the_words_shown_is_enough(page: str) -> None:
    assert first(page, "canary") == []


@pytest.mark.parametrize(
    "page",
    [
        "A canary and a {term}`canary`.",
        "A {term}`bird` and a canary.",
        "`` {term}`canary` `` and a canary.",
        "```text\n{term}`canary`\n```\nThen a canary.",
        "A [canary](elsewhere.md), then a canary.",
    ],
)
def test_a_link_after_it_to_another_term_or_in_code_is_not(page: str) -> None:
    assert first(page, "canary") == ["canary"]


def test_a_link_to_one_name_of_an_entry_serves_the_others() -> None:
    assert first("{term}`differential privacy`, DP.", ("differential privacy", "DP")) == []
    assert first("DP, then {term}`differential privacy`.", ("differential privacy", "DP")) == ["DP"]


def test_a_plain_word_is_no_use_when_it_stands_alone() -> None:
    entries = [Term(("client",)), Term(("client drift",))]
    found = terms.unlinked("A client has client drift.", entries, plain={"client"})
    assert [use.name for use in found] == ["client drift"]


def test_a_use_says_on_which_line_it_stands() -> None:
    page = "---\na: b\n---\n\n```\ncode\n```\n\nA canary."
    [use] = terms.unlinked(page, [Term(("canary",))])
    assert (use.line, page[use.start :]) == (9, "canary.")


def test_links_are_found_in_order_with_what_they_show() -> None:
    assert terms.links("{term}`a <b>` [c](glossary.md#d)") == [
        Link(0, "a", "b"),
        Link(14, "c", "c"),
    ]


@given(st.text(alphabet="`~:{}()[]<>$#%-\n a|\\", max_size=80))
def test_blanking_keeps_every_character_in_its_place(page: str) -> None:
    text = terms.prose(page)
    assert len(text) == len(page)
    assert all(kept in (there, " ") for kept, there in zip(text, page, strict=True))
    assert text.count("\n") == page.count("\n")
