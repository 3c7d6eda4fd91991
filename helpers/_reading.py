"""Read YAML and JSON that nobody vouches for.

Of YAML every value keeps its line, and nothing can expand or run. The parser's events are turned
into plain values here, so that its dangerous parts never happen: no tags (hence no Python objects),
no anchors and aliases (hence no "billion laughs"), no key twice, and limits on size, depth and
count. A scalar stays the text that was written: ``no`` is not False and ``1e3`` is not a number
until somebody asks a :class:`~helpers._section.Section` for one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from helpers._text import shown
from helpers.errors import EdgesecError

MOST_BYTES = 256 * 1024
MOST_DEPTH = 12
MOST_VALUES = 20_000
_MOST_SHOWN = 20
# Ten times as fast, and in C: where PyYAML was built with libyaml.
_LIBYAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


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


def parse_json(content: str | bytes) -> Any:
    """Return what JSON says.

    Raises
    ------
    ValueError, RecursionError
        If it is not JSON, which has no NaN and no infinity, or is nested too deeply.
    """

    def refuse(constant: str) -> float:
        raise ValueError(f"{constant} is no number")

    return json.loads(content, parse_constant=refuse)


def parse(text: str, source: str, error: type[EdgesecError], *, ours: bool = False) -> Node:
    """Parse a YAML document.

    Parameters
    ----------
    text
        The document, at most 256 KiB.
    source
        What to call it in an error.
    error
        Exception to raise.
    ours
        Whether it ships with this package. Only then is it left to a parser written in C.

    Raises
    ------
    EdgesecError
        As ``error``. If it is no YAML, or uses what is not accepted here; with the line.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        raise error(f"{source} is larger than {MOST_BYTES // 1024} KiB: split it.")
    try:
        return _document(yaml.parse(text, Loader=_LIBYAML if ours else yaml.SafeLoader))
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
