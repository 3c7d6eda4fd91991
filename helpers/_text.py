"""Words that strangers wrote, in our messages and pages: quoted, escaped, and what they meant."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

_MOST_KNOWN = 40
_FORMULA = ("=", "+", "-", "@", "\n", "＝", "＋", "－", "＠")
_BLANKS = ("\t", "\r")
_TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a sentence that names the known word nearest to `word`, or all of a few."""
    words = sorted(known)
    near = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    more = f", and {len(words) - _MOST_KNOWN} more" if len(words) > _MOST_KNOWN else ""
    return f"known: {', '.join(words[:_MOST_KNOWN])}{more}" if words else "there are none"


def printable(text: str) -> str:
    """Return foreign text for a terminal: ``?`` for control characters, which would steer it."""
    return "".join(c if c.isprintable() else "?" for c in text)


def shown(text: str) -> str:
    """Return foreign text quoted, short, and without control characters."""
    clean = printable(text)
    return repr(clean if len(clean) <= 60 else clean[:57] + "...")


def harmless_cell(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula; what is not text stays as it is.

    An apostrophe in front, as OWASP's page on CSV injection advises.
    """
    if not isinstance(value, str):
        return value
    text = "".join(c if c.isprintable() or c == "\n" else " " for c in value)
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) or value[:1] in _BLANKS else text


def escape_markdown(text: str) -> str:
    """Return text for Markdown: no markup, no HTML, one line."""
    return re.sub(r"([\\`*_{}\[\]<>|~#!$&])", r"\\\1", " ".join(text.split()))


def acting_character(text: str) -> str:
    """Return the name of the first character that acts instead of being shown; none is empty.

    Control characters steer a terminal and are not allowed in SVG; those that turn the direction of
    writing make a text read differently from what it says. Line ends and tabs are spaces here.
    """
    for character in text:
        hidden = unicodedata.category(character) in ("Cc", "Cs") and character not in "\t\n\r\x85"
        if hidden or character in _TURNS or character in "\ufffe\uffff":
            return f"U+{ord(character):04X}"
    return ""
