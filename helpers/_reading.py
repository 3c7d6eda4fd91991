"""Read YAML that nobody vouches for: every value keeps its line, and nothing can expand or run.

The parser's events are turned into plain values here, so that the dangerous parts of YAML never
happen: no tags (hence no Python objects), no anchors and aliases (hence no "billion laughs"), no
key twice, and limits on size, depth and count. A scalar stays the text that was written: ``no`` is
not False and ``1e3`` is not a number until a field asks for one.
"""

from __future__ import annotations

import datetime
import difflib
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import yaml

from helpers.errors import EdgesecError

MOST_BYTES = 256 * 1024
MOST_DEPTH = 12
MOST_VALUES = 20_000
NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")
_MOST_SHOWN = 20
_MOST_KNOWN = 40
_TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
Made = TypeVar("Made")


@dataclass(frozen=True)
class Node:
    """A value and the line it stands on, counted from 1.

    Attributes
    ----------
    value
        Text, a list of nodes, or a dict from text to node.
    line
        Line in the file.
    """

    value: str | list[Node] | dict[str, Node]
    line: int


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes
    ----------
    text
        What is wrong, and what to do.
    line
        Line in the file; 0 where there is no file.
    """

    text: str
    line: int = 0

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}" if self.line else self.text


def refuse(source: str, problems: Iterable[Problem], error: type[EdgesecError]) -> None:
    """Raise one error that lists all problems in the order of their lines, if there are any."""
    found = sorted(dict.fromkeys(problems), key=lambda problem: problem.line)
    if not found:
        return
    shown = [f"  {problem}" for problem in found[:_MOST_SHOWN]]
    if len(found) > _MOST_SHOWN:
        shown.append(f"  and {len(found) - _MOST_SHOWN} more")
    count = f"{len(found)} problem{'s' if len(found) > 1 else ''}"
    raise error("\n".join([f"{source}: {count}", *shown]))


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a sentence that names the known word nearest to `word`, or all of a few."""
    words = sorted(known)
    near = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    more = f", and {len(words) - _MOST_KNOWN} more" if len(words) > _MOST_KNOWN else ""
    return f"known: {', '.join(words[:_MOST_KNOWN])}{more}" if words else "there are none"


def shown(text: str) -> str:
    """Return foreign text quoted, short, and without control characters."""
    clean = "".join(c if c.isprintable() else "?" for c in text)
    return repr(clean if len(clean) <= 60 else clean[:57] + "...")


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


def exists(path: Path) -> bool:
    """Whether there is such a file; a name that no file can have has none."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def read_file(path: Path, error: type[EdgesecError]) -> str:
    """Return the text of a file of at most 256 KiB.

    Raises
    ------
    EdgesecError
        As ``error``. If it cannot be read, is larger, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as refused:
        raise error(f"{path} cannot be read: {refused.strerror}.") from refused
    except ValueError as refused:  # a name that no file can have
        raise error(f"{shown(str(path))} cannot be read: {refused}.") from refused
    if len(content) > MOST_BYTES:
        raise error(f"{path} is larger than {MOST_BYTES // 1024} KiB: split it.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        raise error(f"{path} is not UTF-8 text (byte {wrong.start}).") from wrong


def parse(text: str, source: str, error: type[EdgesecError]) -> Node:
    """Parse a YAML document.

    Parameters
    ----------
    text
        The document, at most 256 KiB.
    source
        What to call it in an error.
    error
        Exception to raise.

    Raises
    ------
    EdgesecError
        As ``error``. If it is no YAML, or uses what is not accepted here; with the line.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        raise error(f"{source} is larger than {MOST_BYTES // 1024} KiB: split it.")
    try:
        return _document(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as wrong:
        mark = wrong.problem_mark or wrong.context_mark
        what = wrong.problem or wrong.context or "this is not YAML"
        refuse(source, [Problem(f"not YAML: {what}", mark.line + 1 if mark else 0)], error)
    except yaml.YAMLError as wrong:  # characters that YAML does not allow
        first = str(wrong).splitlines()[0]
        line = text.count("\n", 0, getattr(wrong, "position", 0)) + 1
        refuse(source, [Problem(f"not YAML: {first}", line)], error)
    except _RefusedError as wrong:
        refuse(source, [wrong.problem], error)
    raise AssertionError  # refuse() raised


class _RefusedError(Exception):
    """A construct that is YAML and not accepted here."""

    def __init__(self, event: yaml.Event, text: str) -> None:
        self.problem = Problem(text, _line(event))


def _document(events: Iterator[yaml.Event]) -> Node:
    """Build the one document of a stream, without recursion."""
    root: list[Node] = []
    # One entry a collection that is open: its node, and the key that waits for its value.
    open_nodes: list[tuple[Node, list[Node]]] = []
    for count, event in enumerate(_accepted(events)):
        if count > MOST_VALUES:
            raise _RefusedError(event, f"more than {MOST_VALUES:,} values")
        if isinstance(event, yaml.CollectionEndEvent):
            open_nodes.pop()
            continue
        node = _empty_node(event)
        if open_nodes:
            _put(*open_nodes[-1], node, event)
        elif root:
            raise _RefusedError(event, "a second document: one file holds one")
        else:
            root.append(node)
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((node, []))
            if len(open_nodes) > MOST_DEPTH:
                raise _RefusedError(event, f"nested more than {MOST_DEPTH} deep")
    return root[0] if root else Node({}, 1)


def _accepted(events: Iterator[yaml.Event]) -> Iterator[yaml.Event]:
    """Pass on scalars and collections; refuse what could expand or run."""
    for event in events:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise _RefusedError(event, "anchors (&) and aliases (*) are not accepted: write it out")
        if getattr(event, "tag", None) is not None:
            raise _RefusedError(event, "tags (!) are not accepted: write plain text")
        if isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
            yield event


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0


def _empty_node(event: yaml.Event) -> Node:
    line = _line(event)
    if isinstance(event, yaml.ScalarEvent):
        return Node(event.value, line)
    return Node([] if isinstance(event, yaml.SequenceStartEvent) else {}, line)


def _put(parent: Node, waiting: list[Node], node: Node, event: yaml.Event) -> None:
    if isinstance(parent.value, list):
        parent.value.append(node)
    elif not waiting:
        if not isinstance(node.value, str):
            raise _RefusedError(event, "a key must be plain text")
        waiting.append(node)
    else:
        key = str(waiting.pop().value)
        assert isinstance(parent.value, dict)
        if key in parent.value:
            raise _RefusedError(event, f"{shown(key)} stands here twice: keep one")
        parent.value[key] = node


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
