"""Take what :mod:`helpers._reading` read apart, field by field, noting all that is wrong."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable
from typing import TypeVar

from helpers._reading import Node, Problem
from helpers._text import acting_character, nearest, shown

NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")
Made = TypeVar("Made")


def as_number(text: str) -> int | float | None:
    """Return the number that a text writes, or None; infinities and NaN are none."""
    if re.fullmatch(r"[-+]?\d{1,15}", text, re.ASCII):
        return int(text)
    if re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?", text, re.ASCII):
        value = float(text)
        return value if math.isfinite(value) else None
    return None


class Section:
    """A mapping whose fields are asked for one by one; what nobody asked for is a problem.

    Parameters
    ----------
    node
        What should be the mapping.
    what
        What it is, for errors, such as ``"element 'camera'"``.
    problems
        Where to put what is wrong; fields that are wrong return their default.
    """

    def __init__(self, node: Node, what: str, problems: list[Problem]) -> None:
        self._what, self._problems, self.line = what, problems, node.line
        self._asked: set[str] = set()
        self._fields: dict[str, Node] = {}
        if isinstance(node.value, dict):
            self._fields = node.value
        elif node.value:  # nothing at all is an empty section
            self.wrong(node, f"{what} must be a list of `field: value` lines")

    def wrong(self, node: Node, text: str) -> None:
        """Note a problem at the line of a node."""
        self._problems.append(Problem(text, node.line))

    def line_of(self, key: str) -> int:
        """Return the line of a field, or of the section where it is missing."""
        return self._fields[key].line if key in self._fields else self.line

    def text(self, key: str, default: str | None = None, most: int = 400) -> str:
        """Return a text field on one line; without a default it must be there, and not empty."""
        return " ".join(self.lines(key, default, most).split())

    def lines(self, key: str, default: str | None = None, most: int = 4000) -> str:
        """Return a text field with its line ends, such as Markdown or code."""
        node = self._asked_for(key, default is None)
        if node is None:
            return default or ""
        if not isinstance(node.value, str):
            self.wrong(node, f"{key} of {self._what} must be text")
        elif len(node.value) > most:
            self.wrong(node, f"{key} of {self._what} is longer than {most} characters")
        elif acting := acting_character(node.value):
            self.wrong(node, f"{key} of {self._what} holds {acting}, which cannot be shown")
        elif default is None and not node.value.strip():
            self.wrong(node, f"{key} of {self._what} is empty")
        else:
            return node.value.strip("\n")
        return default or ""

    def words(self, key: str) -> tuple[str, ...]:
        """Return a list of words; one word may stand without brackets; missing is none."""
        node = self._asked_for(key)
        if node is None or node.value in ("", {}):
            return ()
        if isinstance(node.value, dict):
            self.wrong(node, f"{key} of {self._what} must be a list such as [a, b]")
            return ()
        items = node.value if isinstance(node.value, list) else [node]
        for item in items:
            if not isinstance(item.value, str) or len(item.value) > 64:
                self.wrong(item, f"{key} of {self._what} must list words of at most 64 characters")
                return ()
        return tuple(str(item.value) for item in items)

    def phrases(self, key: str) -> tuple[str, ...]:
        """Return a list of texts of at most 400 characters; missing or wrong is none."""
        node = self._asked_for(key, required=True)
        items = node.value if node is not None and isinstance(node.value, list) else []
        texts = [item.value for item in items if isinstance(item.value, str)]
        return tuple(text for text in texts if len(text) <= 400)

    def wrong_at(self, key: str, text: str) -> None:
        """Note a problem at the line of a field."""
        self._problems.append(Problem(f"{self._what}: {text}", self.line_of(key)))

    def is_text(self, key: str) -> bool:
        """Whether a field is there and holds a single text."""
        return key in self._fields and isinstance(self._fields[key].value, str)

    def whole(self, key: str, low: int, high: int) -> int:
        """Return a whole number between two limits."""
        text = self.text(key)
        if re.fullmatch(r"-?\d{1,9}", text) and low <= int(text) <= high:
            return int(text)
        if text:
            node = self._fields[key]
            self.wrong(node, f"{key} of {self._what} is {shown(text)}: use {low} to {high}")
        return low

    def number(self, key: str, low: float, high: float, default: float | None = None) -> float:
        """Return a number between two limits; without a default it must be there."""
        text = self.text(key, None if default is None else "")
        value = as_number(text)
        if value is not None and low <= value <= high:
            return value
        if text:
            node = self._fields[key]
            self.wrong(node, f"{key} of {self._what} is {shown(text)}: use {low:g} to {high:g}")
        return low if default is None else default

    def node(self, key: str) -> Node | None:
        """Return a field as it was read, for values of no fixed form; missing is None."""
        return self._asked_for(key)

    def flag(self, key: str) -> bool:
        """Return a yes-or-no field; missing is no."""
        text = self.text(key, "no").lower()
        if text not in ("yes", "no", "true", "false"):
            self.wrong(self._fields[key], f"{key} of {self._what} is {shown(text)}: use yes or no")
        return text in ("yes", "true")

    def day(self, key: str) -> datetime.date:
        """Return a date written as 2026-05-31."""
        text = self.text(key)
        try:
            if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
                return datetime.date.fromisoformat(text)
        except ValueError:
            pass
        if text:
            where = self._fields[key]
            self.wrong(where, f"{key} of {self._what} is {shown(text)}: use a date as 2026-05-31")
        return datetime.date.min

    def named(self, key: str, make: Callable[[str, Section], Made]) -> tuple[Made, ...]:
        """Return what `make` makes of each entry of a mapping from names to sections."""
        node = self._asked_for(key)
        if node is None or not node.value:
            return ()
        if not isinstance(node.value, dict):
            self.wrong(node, f"{key} must be `name:` lines, each with its fields below")
            return ()
        made = []
        for name, entry in node.value.items():
            if not NAME.fullmatch(name):
                text = "use lower-case letters, digits and hyphens, a letter first, at most 64"
                self.wrong(entry, f"{shown(name)} is no name: {text}")
                continue
            section = Section(entry, f"{key.rstrip('s')} {name!r}", self._problems)
            made.append(make(name, section))
            section.finish()
        return tuple(made)

    def listed(self, key: str, make: Callable[[Section], Made]) -> tuple[Made, ...]:
        """Return what `make` makes of each entry of a list of sections."""
        node = self._asked_for(key)
        if node is None or not node.value:
            return ()
        if not isinstance(node.value, list):
            self.wrong(node, f"{key} must be a list: a dash before each entry")
            return ()
        made = []
        for entry in node.value:
            section = Section(entry, f"entry of {key}", self._problems)
            made.append(make(section))
            section.finish()
        return tuple(made)

    def pairs(self, key: str) -> dict[str, tuple[str, ...]]:
        """Return a mapping from words to lists of words."""
        node = self._asked_for(key)
        if node is None or not node.value:
            return {}
        section = Section(node, f"{key} of {self._what}", self._problems)
        return {word: section.words(word) for word in section._fields}

    def finish(self) -> None:
        """Note every field that nobody asked for."""
        for key in self._fields.keys() - self._asked:
            node = self._fields[key]
            self.wrong(node, f"{self._what} has no {shown(key)}; {nearest(key, self._asked)}")

    def _asked_for(self, key: str, required: bool = False) -> Node | None:
        self._asked.add(key)
        if required and key not in self._fields:
            self._problems.append(Problem(f"{self._what} lacks `{key}:`", self.line))
        return self._fields.get(key)
