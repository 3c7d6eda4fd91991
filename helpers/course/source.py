"""Read a lab's one source, a jupytext py:percent file, and tell its solution from its problem.

In code cells, a line of its own opens and closes a region::

    # BEGIN SOLUTION          the learner's notebook gets a stub instead
    # END SOLUTION
    # BEGIN HIDDEN            not in the learner's notebook
    # END HIDDEN

In markdown cells the lines are ``<!-- BEGIN SOLUTION -->`` and so on. Labs are plain Python: no
IPython magics.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from helpers._schemas import load_jsonschema
from helpers.errors import CourseError

Kind = Literal["code", "markdown"]

_FILE_NAME = re.compile(r"(?P<number>\d\d)_(?P<name>[a-z0-9_]+)\.py")
_MARKER = {
    "code": re.compile(r"\s*# (?P<edge>BEGIN|END) (?P<what>SOLUTION|HIDDEN)\s*"),
    "markdown": re.compile(r"\s*<!-- (?P<edge>BEGIN|END) (?P<what>SOLUTION|HIDDEN) -->\s*"),
}
# Anything that looks like a marker but is not one would leak what it was meant to hide.
_LOOKS_LIKE_MARKER = re.compile(
    r"(#|<!--)\W*(begin|end)\W*(of\W*)?(the\W*)?(solution|hidden)", re.I
)
_PLACEHOLDER = "*Your answer here.*"


@dataclass(frozen=True)
class Region:
    """Lines ``first`` to ``last`` of a cell, both markers included, counted from 0."""

    what: str
    first: int
    last: int


@dataclass(frozen=True)
class Cell:
    """One cell of a source, with its regions. `number` counts all cells from 1."""

    kind: Kind
    text: str
    tags: tuple[str, ...]
    number: int
    regions: tuple[Region, ...]


@dataclass(frozen=True)
class Source:
    """A lab's source: ``solutions/01_some_lab.py`` has number 1 and the name ``some-lab``."""

    path: Path
    number: int
    name: str
    cells: tuple[Cell, ...]

    @property
    def notebook_name(self) -> str:
        """File name of the learner's notebook: ``01-some-lab.ipynb``."""
        return f"{self.number:02d}-{self.name}.ipynb"


def identify(path: Path) -> tuple[int, str]:
    """Return number and name of a lab from the name of its source.

    Raises
    ------
    CourseError
        If the file is not called ``NN_name.py``.
    """
    match = _FILE_NAME.fullmatch(path.name)
    if match is None:
        raise CourseError(f"{path}: a lab's source is called NN_name.py, as in 01_some_lab.py")
    return int(match["number"]), match["name"].replace("_", "-")


def read(path: Path) -> Source:
    """Read and validate a source.

    Raises
    ------
    CourseError
        With file and line, if a marker is unbalanced, nested, misspelt or inside a string, or a
        cell is not valid Python with or without its solution.
    """
    load_jsonschema()  # nbformat's, which jupytext imports
    import jupytext

    number, name = identify(path)
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CourseError(f"{path} cannot be read: {error}") from None
    try:
        notebook = jupytext.reads(text, fmt="py:percent")
    except Exception as error:  # of its many parsers: YAML headers, JSON cell options, nbformat
        reason = str(error).strip().partition("\n")[0]
        raise CourseError(f"{path} is not a py:percent notebook: {reason}") from None
    lines = _Locator(path, text)
    cells = tuple(
        _cell(position, raw, lines) for position, raw in enumerate(notebook.cells, start=1)
    )
    source = Source(path, number, name, cells)
    for cell in cells:
        _must_compile(solution_text(cell), cell, lines)
        _must_compile(student_text(cell), cell, lines)
    return source


def solution_text(cell: Cell) -> str:
    """Return a cell as the solution has it: everything but the marker lines."""
    marks = {line for region in cell.regions for line in (region.first, region.last)}
    kept = [line for number, line in enumerate(cell.text.splitlines()) if number not in marks]
    return "\n".join(kept).strip("\n")


def student_text(cell: Cell) -> str:
    """Return a cell as the learner gets it: solutions are stubs, hidden regions are gone.

    The entries of a dict leave an empty dict: with ``...`` between its braces it would be a set.
    """
    lines = cell.text.splitlines()
    for region in reversed(cell.regions):
        gone = region.what == "HIDDEN" or _are_entries(cell, region)
        lines[region.first : region.last + 1] = [] if gone else [_stub(cell, region)]
    return "\n".join(lines).strip("\n")


def region_lines(cell: Cell) -> list[str]:
    """Return the lines inside a cell's regions."""
    lines = cell.text.splitlines()
    return [line for region in cell.regions for line in lines[region.first + 1 : region.last]]


class _Locator:
    """Finds where in the file a marker or a cell stands: jupytext does not say."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        lines = list(enumerate(text.splitlines(), start=1))
        self._marks = iter([n for n, line in lines if _LOOKS_LIKE_MARKER.search(line)])
        self._text = [line for _, line in lines]

    def next_mark(self) -> int:
        return next(self._marks)

    def of_cell(self, cell: Cell, offset: int) -> int:
        """Return the line of the file that holds line `offset` of a cell, as near as it can."""
        wanted = cell.text.splitlines()
        for start in range(len(self._text) - len(wanted) + 1):
            if self._text[start : start + len(wanted)] == wanted:
                return start + offset + 1
        return 1

    def error(self, line: int, message: str) -> CourseError:
        return CourseError(f"{self._path}:{line}: {message}")


def _cell(number: int, raw: Any, lines: _Locator) -> Cell:
    kind: Kind = "code" if raw.cell_type == "code" else "markdown"
    regions = _regions(kind, raw.source, lines)
    return Cell(kind, raw.source, tuple(raw.metadata.get("tags", ())), number, tuple(regions))


def _regions(kind: Kind, text: str, lines: _Locator) -> list[Region]:
    comments = _comment_lines(text) if kind == "code" else None
    found: list[Region] = []
    opened: tuple[str, int, int] | None = None
    for number, line in enumerate(text.splitlines()):
        if not _LOOKS_LIKE_MARKER.search(line):
            continue
        at = lines.next_mark()
        match = _MARKER[kind].fullmatch(line)
        if match is None or (comments is not None and number not in comments):
            raise lines.error(at, f"{line.strip()!r} looks like a marker but is not one; {_SYNTAX}")
        edge, what = match["edge"], match["what"]
        if edge == "BEGIN":
            if opened:
                raise lines.error(at, f"BEGIN {what} inside the region opened in line {opened[2]}")
            opened = (what, number, at)
        elif opened is None or opened[0] != what:
            raise lines.error(at, f"END {what} without BEGIN {what}")
        else:
            if not "".join(text.splitlines()[opened[1] + 1 : number]).strip():
                raise lines.error(at, f"the {what} region is empty")
            found.append(Region(what, opened[1], number))
            opened = None
    if opened:
        raise lines.error(opened[2], f"BEGIN {opened[0]} is not closed in its cell")
    return found


_SYNTAX = (
    "write '# BEGIN SOLUTION' (code) or '<!-- BEGIN SOLUTION -->' (markdown) on a line of its own, "
    "outside strings; likewise END and HIDDEN"
)


def _tokens(text: str) -> list[tokenize.TokenInfo]:
    found = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            found.append(token)
    except (tokenize.TokenError, IndentationError):
        pass  # the compiler says it better, see _must_compile
    return found


def _comment_lines(text: str) -> set[int]:
    return {t.start[0] - 1 for t in _tokens(text) if t.type == tokenize.COMMENT}


def _stub(cell: Cell, region: Region) -> str:
    lines = cell.text.splitlines()
    inside = lines[region.first + 1 : region.last]
    indent = re.match(r"\s*", lines[region.first])[0]  # type: ignore[index]
    if cell.kind == "markdown":
        return indent + _PLACEHOLDER
    if _bracket_depth(cell.text, region.first):
        code = [
            t for t in _tokens("\n".join(inside)) if t.string.strip() and t.type != tokenize.COMMENT
        ]
        return f"{indent}...{',' if code and code[-1].string == ',' else ''}"
    if _in_function(cell.text, region.first):
        return f"{indent}raise NotImplementedError"
    return f"{indent}...  # your code here"


def _are_entries(cell: Cell, region: Region) -> bool:
    """Tell whether a region holds entries of a dict, ``key: value``, and nothing else."""
    inside = cell.text.splitlines()[region.first + 1 : region.last]
    if cell.kind == "markdown" or not _bracket_depth(cell.text, region.first):
        return False
    try:
        tree = ast.parse("\n".join(["{", *inside, "}"]), mode="eval")
    except SyntaxError:
        return False
    return isinstance(tree.body, ast.Dict)


def _bracket_depth(text: str, line: int) -> int:
    before = [t.string for t in _tokens(text) if t.type == tokenize.OP and t.start[0] - 1 < line]
    return sum(s in "([{" for s in before) - sum(s in ")]}" for s in before)


def _in_function(text: str, line: int) -> bool:
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return False
    return any(
        node.lineno - 1 < line < (node.end_lineno or 0)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def _must_compile(text: str, cell: Cell, lines: _Locator) -> None:
    if cell.kind != "code":
        return
    try:
        compile(text, str(cell.number), "exec", dont_inherit=True)
    except SyntaxError as error:
        whole = text == solution_text(cell)
        what = "is not valid Python" if whole else "is not valid Python once its solution is out"
        # With regions taken out, the compiler's line is not the file's.
        at = lines.of_cell(cell, 0 if cell.regions else (error.lineno or 1) - 1)
        raise lines.error(at, f"cell {cell.number} {what}: {error.msg}") from None
