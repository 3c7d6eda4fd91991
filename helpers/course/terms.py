"""Where a page first uses a term of the glossary, and whether that place links to it.

Pages are MyST Markdown. Prose is what a reader reads as sentences: the text of paragraphs, lists,
tables, exercises and notes. Headings, code, maths, roles such as ``{cite}``, the words of links,
the options of a directive and comments are not.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache

from helpers.errors import CourseError

# Directives whose body is prose; of any other fence nothing is read.
_PROSE_DIRECTIVES = {"admonition", "div", "exercise", "note", "prf:algorithm", "solution", "tip",
                     "warning"}  # fmt: skip
_FENCE = re.compile(r" {0,3}(?P<mark>`{3,}|~{3,}|:{3,})\s*(?P<what>.*?)\s*")
_DIRECTIVE = re.compile(r"\{(?P<name>[\w:.-]+)\}.*")
_FRONT_MATTER = re.compile(r"---\n.*?\n---\n", re.DOTALL)
_BLANKED_LINES = re.compile(r"#{1,6}\s.*|\([\w:-]+\)=\s*|%.*")
_OPTION = re.compile(r":[\w-]+:.*")
_ROLE = r"\{(?P<role>[\w:.-]+)\}(?P<ticks>`+)(?P<inside>.+?)(?<!`)(?P=ticks)(?!`)"
_INLINE = re.compile(
    r"<!--.*?-->"
    rf"|{_ROLE}"
    r"|(?<!`)(?P<code>`+)(?!`).+?(?<!`)(?P=code)(?!`)"
    r"|(?<!\\)\$\$.+?\$\$"
    r"|(?<!\\)\$(?! )[^$\n]+?(?<!\s)\$"
    r"|!?\[(?P<words>[^\]]*)\]\((?P<address>[^)\s]*)\)"
    r"|<https?://[^>]*>",
    re.DOTALL,
)
_TARGET = re.compile(r"(?P<shown>.+?)\s*<(?P<target>[^<>]+)>", re.DOTALL)
_GLOSSARY = re.compile(r"^```\{glossary\}\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Term:
    """One entry of the glossary: its names, which mean the same. The first is the entry's own."""

    names: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name under which the entry stands."""
        return self.names[0]


@dataclass(frozen=True)
class Link:
    """A link to the glossary: where it starts, the words it shows and the name it points to."""

    start: int
    shown: str
    target: str


@dataclass(frozen=True)
class Use:
    """A place at which a term stands in plain prose: by which of its names, where, in which words.

    `line` counts from 1.
    """

    term: Term
    name: str
    start: int
    line: int
    words: str


def read_glossary(page: str) -> list[Term]:
    """Return the entries of the page's ``{glossary}`` directive.

    Lines without indentation that follow each other are names of one entry, as Sphinx reads them.

    Raises
    ------
    CourseError
        If the page has no glossary, a name stands twice, or an entry has no text.
    """
    block = _GLOSSARY.search(page)
    if block is None:
        raise CourseError("The page has no ```{glossary} directive that begins and ends a line.")
    terms: list[Term] = []
    names: list[str] = []
    for line in [*block["body"].splitlines(), ""]:
        if line.startswith(" ") and line.strip():
            terms += [Term(tuple(names))] if names else []
            names = []
        elif line.strip():
            names.append(line.strip())
        elif names:
            raise CourseError(f"The glossary's entry {names[0]!r} has no text below it: write one.")
    every = [name.casefold() for term in terms for name in term.names]
    twice = sorted({name for name in every if every.count(name) > 1})
    if twice:
        raise CourseError(f"The glossary has {', '.join(twice)} more than once: keep one.")
    return terms


def prose(page: str) -> str:
    """Return the page with all that is not prose turned into blanks, every place where it was."""
    text = _without_lines(page)
    return _INLINE.sub(lambda found: _blank(found[0]), text)


def links(page: str) -> list[Link]:
    """Return the page's links to the glossary, in their order, without those inside code.

    These are ``{term}`` roles and, for labs, plain links to ``glossary.md`` that show a name.
    """
    found = []
    for match in _INLINE.finditer(_without_lines(page)):
        if match["role"] == "term":
            inside = " ".join(match["inside"].split())
            parts = _TARGET.fullmatch(inside)
            shown, target = (parts["shown"], parts["target"]) if parts else (inside, inside)
            found.append(Link(match.start(), shown, target))
        elif match["address"] and re.search(r"\bglossary\.(md|html)(#|$)", match["address"]):
            words = " ".join(match["words"].split()).strip("*_")
            found.append(Link(match.start(), words, words))
    return found


def uses(page: str, terms: list[Term]) -> list[Use]:
    """Return every place at which a term stands in plain prose, without its links, in order.

    Where names overlap the longest counts: *local differential privacy* is no use of
    *differential privacy*. A plural, a hyphen for a space and British or American ``-ise`` are the
    same name. An abbreviation such as mAP is found as it is written only.
    """
    owners = sorted(
        ((name, term) for term in terms for name in term.names),
        key=lambda pair: len(pair[0]),
        reverse=True,
    )
    names = "|".join(f"({_spelling(name)})" for name, _ in owners)
    any_name = re.compile(rf"(?<![\w-])(?=\w)(?:{names})(?![\w-])")
    text = prose(page)
    found = []
    for match in any_name.finditer(text) if owners else ():
        name, term = owners[(match.lastindex or 1) - 1]
        line = text.count("\n", 0, match.start()) + 1
        found.append(Use(term, name, match.start(), line, " ".join(match[0].split())))
    return found


def unlinked(page: str, terms: list[Term], plain: Collection[str] = ()) -> list[Use]:
    """Return the first use of each term that stands in plain prose before any link to the term.

    A link counts for the entry it points to, and for an entry of which it shows the name: in a
    page on proofs *certificate* may link to *robustness certificate*. Names in `plain` are ordinary
    words too: where one stands alone, it is not taken for the term.
    """
    first: dict[Term, Use] = {}
    for use in uses(page, terms):
        if use.name not in plain:
            first.setdefault(use.term, use)
    linked = links(page)
    return [
        use
        for term, use in first.items()
        if not any(link.start < use.start and covers(link, term) for link in linked)
    ]


def covers(link: Link, term: Term) -> bool:
    """Whether a link points to a term or shows its name."""
    asked = {_key(link.target), _key(link.shown)}
    return any(_key(name) in asked for name in term.names)


@cache
def _key(words: str) -> str:
    """Return what the spellings of a name have in common."""
    key = re.sub(r"[\s-]+", " ", words.casefold())
    key = re.sub(r"i[sz](?=e|ing|ation)", "is", key)
    return re.sub(r"(?:ies|y|e?s?)$", "", key)


def _spelling(name: str) -> str:
    """Return a pattern, without a group that captures, for a name as prose spells it."""
    words = [re.escape(word) for word in re.split(r"[\s-]+", name)]
    if re.search(r"[^aeiou]y$", words[-1]):
        words[-1] = words[-1][:-1] + "(?:y|ies)"
    elif words[-1][-1:].isalpha():
        words[-1] += "(?:e?s)?"
    pattern = re.sub(r"i[sz](?=e|ing|ation)", "i[sz]", r"[\s-]+".join(words))
    abbreviation = len(words) == 1 and name[1:] != name[1:].lower()
    return rf"(?{'' if abbreviation else 'i'}:{pattern})"


def _without_lines(page: str) -> str:
    """Blank the front matter, code, directives' own lines, headings, targets and comments."""
    front = _FRONT_MATTER.match(page)
    if front:
        page = _blank(front[0]) + page[front.end() :]
    lines = page.split("\n")
    fences: list[tuple[str, bool]] = []  # mark and whether the body is prose, outermost first
    options = False  # whether the line may still be an option of the directive that just began
    for place, line in enumerate(lines):
        fence = _FENCE.fullmatch(line)
        inside_prose = all(is_prose for _, is_prose in fences)
        options = options and bool(_OPTION.fullmatch(line))
        if fence and fences and not fence["what"] and _closes(fence["mark"], fences[-1][0]):
            fences.pop()
        elif fence and inside_prose and fence["what"]:
            directive = _DIRECTIVE.fullmatch(fence["what"])
            options = directive is not None and directive["name"] in _PROSE_DIRECTIVES
            fences.append((fence["mark"], options))
        elif fence and inside_prose:
            fences.append((fence["mark"], False))
        elif inside_prose and not options and not _BLANKED_LINES.fullmatch(line):
            continue
        lines[place] = _blank(line)
    return "\n".join(lines)


def _closes(mark: str, opened: str) -> bool:
    return mark[0] == opened[0] and len(mark) >= len(opened)


def _blank(text: str) -> str:
    """Return blanks in place of a text, with its line ends where they were."""
    return re.sub(r"[^\n]", " ", text)
