"""What a notebook holds, found by its text alone: no cell is run, no metadata is trusted.

For a submission this runs inside the sandbox, before any of its code: reading hostile JSON and
parsing hostile source is already work for an untrusted process.
"""

from __future__ import annotations

import ast
import contextlib
import json
import re
import symtable
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from helpers.errors import CourseError

_SHOWN = 20_000  # characters of one answer that are kept for feedback
_CODE = 400_000  # characters of all code that are kept for comparing submissions
_MAX_CELLS = 2_000
_BY_TEXT = frozenset(("eval", "exec", "get_ipython", "globals", "locals", "vars"))  # use any name
# By these a notebook can get at the course's own answers without an import that says so.
_REACHES = frozenset((
    "__bases__", "__builtins__", "__closure__", "__code__", "__globals__", "__import__",
    "__subclasses__", "_getframe", "cell_contents", "ctypes", "currentframe", "eval",
    "exec", "f_back", "f_globals", "f_locals", "gc", "getsource", "importlib", "inspect",
    "modules", "pkgutil", "reference", "runpy", "settrace", "setprofile", "subprocess",
    "multiprocessing", "tb_frame",
))  # fmt: skip


@dataclass(frozen=True)
class Anatomy:
    """A notebook's code and what it names.

    Attributes
    ----------
    cells
        The code cells, plain Python: magics are translated.
    labs
        Names of the labs for which it makes a session, as in ``Lab("tiny")``.
    sources
        By task, the text of the answer: the decorated function, or the call of ``lab.answer``.
    functions
        By task, the name of the decorated function.
    checks
        Names of the tasks that a ``lab.check`` stands for.
    imports
        Modules of the course that it imports from, with the names: ``helpers.data:load``.
    reaches
        Names in its code by which Python reaches into its own process: ``gc``, ``__closure__``.
    parameters
        Position of the cell that sets both ``profile`` and ``seed``, or -1.
    seed
        The seed set there, or 0.
    needed
        Positions of the cells that what is handed in rests on: see :func:`needed_cells`.
    broken
        Positions of the cells that are not Python.
    alone
        Tasks whose function uses nothing that another cell assigns or changes: only what it
        imports, and names that no cell knows.
    """

    cells: tuple[str, ...]
    labs: tuple[str, ...] = ()
    sources: dict[str, str] = field(default_factory=dict)
    functions: dict[str, str] = field(default_factory=dict)
    checks: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    reaches: tuple[str, ...] = ()
    parameters: int = -1
    seed: int = 0
    needed: tuple[int, ...] = ()
    broken: tuple[int, ...] = ()
    alone: tuple[str, ...] = ()

    @property
    def code(self) -> str:
        """All code, as far as it is kept for comparing submissions."""
        return "\n\n".join(self.cells)[:_CODE]


def code_cells(data: bytes) -> list[str]:
    """Return the code cells of a notebook file.

    Raises
    ------
    CourseError
        If it is not a notebook.
    """
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CourseError(f"it is not a notebook: {type(error).__name__} in its JSON") from None
    cells = content.get("cells") if isinstance(content, dict) else None
    if not isinstance(cells, list):
        raise CourseError("it is not a notebook: it has no list of cells")
    code = [cell for cell in cells if isinstance(cell, dict) and cell.get("cell_type") == "code"]
    if len(code) > _MAX_CELLS:
        raise CourseError(f"it has {len(code)} code cells (limit {_MAX_CELLS})")
    return [_text(cell.get("source")) for cell in code]


def _text(source: Any) -> str:
    lines = source if isinstance(source, list) else [source]
    return "".join(line for line in lines if isinstance(line, str))


def dissect(texts: Sequence[str]) -> Anatomy:
    """Find out what code cells hold."""
    from IPython.core.inputtransformer2 import TransformerManager

    cells, trees, broken, magics = [], [], [], TransformerManager()
    for number, text in enumerate(texts):
        try:
            translated = magics.transform_cell(text)
            trees.append((number, _parse(translated)))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            translated = text
            broken.append(number)
        cells.append(translated)
    found = _Finder()
    for number, tree in trees:
        found.visit_cell(number, tree, cells[number])
    names = _names_of(cells, trees)
    return Anatomy(
        tuple(cells), tuple(found.labs), found.sources, found.functions, tuple(found.checks),
        tuple(sorted(found.imports)), tuple(sorted(found.reaches)), found.parameters, found.seed,
        needed_cells(names, found.handing_in), tuple(broken), _alone(names, found.places),
    )  # fmt: skip


def _names_of(cells: Sequence[str], trees: Sequence[tuple[int, ast.Module]]) -> dict[int, _Names]:
    names = {}
    for number, tree in trees:
        with contextlib.suppress(SyntaxError, RecursionError, MemoryError):
            names[number] = _Names.of(cells[number], tree)
    return names


def _alone(names: Mapping[int, _Names], places: Mapping[str, int]) -> tuple[str, ...]:
    if any("*" in cell.imports for cell in names.values()):
        return ()
    found = []
    for task, place in places.items():
        others = [cell for number, cell in names.items() if number != place]
        made = {"lab"}.union(*((cell.gives - cell.imports) | cell.changes for cell in others))
        imported = set().union(*(cell.imports for cell in names.values()))
        used = names[place].used if place in names else made
        if not (used - {"lab"} - imported) & made and not used & _BY_TEXT:
            found.append(task)
    return tuple(found)


def needed_cells(names: Mapping[int, _Names], wanted: set[int]) -> tuple[int, ...]:
    """Return the positions of some cells and of all that they rest on.

    A cell rests on those that assign, import or define a name it uses, or change in place what
    such a name stands for. Training and plots on which no answer rests are left out: running a
    lab whole takes a hundred times longer than judging its answers.
    """
    modules = {"lab"}.union(*(cell.imports for cell in names.values()))
    chosen, before = set(wanted), -1
    while len(chosen) != before:
        before = len(chosen)
        used = set().union(*(names[number].used for number in chosen if number in names))
        for number, cell in names.items():
            if "*" in cell.imports or used & (cell.gives | (cell.changes - modules)):
                chosen.add(number)
    return tuple(sorted(chosen))


@dataclass(frozen=True)
class _Names:
    """The global names that a cell uses, gives a value to, imports, or changes in place."""

    used: frozenset[str]
    gives: frozenset[str]
    imports: frozenset[str]
    changes: frozenset[str]

    @staticmethod
    def of(cell: str, tree: ast.Module) -> _Names:
        table = symtable.symtable(cell, "cell", "exec")
        used: set[str] = set()
        gives: set[str] = set()
        for symbol in table.get_symbols():
            if symbol.is_referenced():
                used.add(symbol.get_name())
            if symbol.is_assigned() or symbol.is_imported():
                gives.add(symbol.get_name())
        tables = table.get_children()
        while tables:
            inner = tables.pop()
            used |= {name.get_name() for name in inner.get_symbols() if name.is_global()}
            tables += inner.get_children()
        imports = {name.get_name() for name in table.get_symbols() if name.is_imported()}
        if any(isinstance(n, ast.ImportFrom) and n.names[0].name == "*" for n in tree.body):
            imports.add("*")
        changes = {_root(node) for node in tree.body} - {""}
        return _Names(*map(frozenset, (used, gives, imports, changes)))


def _root(node: ast.stmt) -> str:
    """Return the name whose object a statement changes: ``x`` in ``x[0] = 1`` or ``x.add(1)``."""
    part: Any = None
    if isinstance(node, ast.Assign | ast.AugAssign):
        part = node.targets[0] if isinstance(node, ast.Assign) else node.target
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        part = node.value.func
    if not isinstance(part, ast.Attribute | ast.Subscript):
        return ""
    while isinstance(part, ast.Attribute | ast.Subscript):
        part = part.value
    return part.id if isinstance(part, ast.Name) else ""


def without_idle_imports(cells: Mapping[int, str]) -> dict[int, str]:
    """Return cells without what they import and none of them uses; every line keeps its number.

    A lab's first cell imports for the whole lab. For its answers alone most of that is idle, and
    it would take longer than all the rest of marking a submission.
    """
    trees: dict[int, ast.Module] = {}
    used: set[str] = set()
    for number, cell in cells.items():
        with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError):
            trees[number] = _parse(cell)
            used |= _Names.of(cell, trees[number]).used
    if used & _BY_TEXT:
        return dict(cells)
    return {n: _trimmed(cell, trees[n], used) if n in trees else cell for n, cell in cells.items()}


def _trimmed(cell: str, tree: ast.Module, used: set[str]) -> str:
    lines = cell.split("\n")
    places = [range(node.lineno - 1, node.end_lineno or node.lineno) for node in tree.body]
    held = Counter(line for place in places for line in place)
    for node, place in zip(tree.body, places, strict=True):
        if not isinstance(node, ast.Import | ast.ImportFrom) or _is_future(node) or "\r" in cell:
            continue
        kept = [item for item in node.names if _bound(item) in used or item.name == "*"]
        if len(kept) < len(node.names) and all(held[line] == 1 for line in place):
            node.names = kept
            text = ast.unparse(node) if kept else ""
            lines[place.start : place.stop] = [text, *[""] * (len(place) - 1)]
    return "\n".join(lines)


def _is_future(node: ast.Import | ast.ImportFrom) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _bound(item: ast.alias) -> str:
    return item.asname or item.name.partition(".")[0]


def definitions(cell: str) -> str:
    """Return only what a cell defines: its imports, functions and classes, and the session."""
    try:
        tree = _parse(cell)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
    kept = [node for node in tree.body if isinstance(node, kinds) or _is_session(node)]
    return "\n".join(ast.unparse(node) for node in kept)


def _parse(text: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of "\d" in a learner's string
        return ast.parse(text)


def _is_session(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and any(
        isinstance(part, ast.Call) and _called(part) == "Lab" for part in ast.walk(node)
    )


def _called(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _first_text(call: ast.Call) -> str:
    named = [item.value for item in call.keywords if item.arg == "name"]
    for node in [*call.args[:1], *named]:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
    return ""


class _Finder:
    """Collects what cells name, in order; where a name comes twice the last one stands."""

    def __init__(self) -> None:
        self.labs: list[str] = []
        self.sources: dict[str, str] = {}
        self.functions: dict[str, str] = {}
        self.places: dict[str, int] = {}  # the cell of each function
        self._number = -1
        self.checks: list[str] = []
        self.imports: set[str] = set()
        self.reaches: set[str] = set()
        self.parameters, self.seed = -1, 0
        self.handing_in: set[int] = set()

    def visit_cell(self, number: int, tree: ast.Module, text: str) -> None:
        self._number = number
        for node in ast.walk(tree):
            if _called(node) in ("Lab", "task", "answer", "memo"):
                self.handing_in.add(number)
            if isinstance(node, ast.FunctionDef):
                self._function(node, text)
            elif isinstance(node, ast.Call):
                self._call(node, text)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                self.imports.update(_course_imports(node))
            self.reaches.update(_REACHES & set(_names_in(node)))
        self._parameters(number, tree)

    def _function(self, node: ast.FunctionDef, text: str) -> None:
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and _called(decorator) == "task":
                task = _first_text(decorator)
                self.functions[task] = node.name
                self.places[task] = self._number
                self.sources[task] = (ast.get_source_segment(text, node) or "")[:_SHOWN]

    def _call(self, node: ast.Call, text: str) -> None:
        called, name = _called(node), _first_text(node)
        if called == "Lab" and name and name not in self.labs:
            self.labs.append(name)
        elif called == "answer" and name:
            self.sources[name] = (ast.get_source_segment(text, node) or "")[:_SHOWN]
        elif called == "check" and name and name not in self.checks:
            self.checks.append(name)

    def _parameters(self, number: int, tree: ast.Module) -> None:
        values = {
            target.id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        if self.parameters < 0 and {"profile", "seed"} <= values.keys():
            self.parameters = number
            self.handing_in.add(number)
            seed = getattr(values["seed"], "value", None)
            self.seed = seed if type(seed) is int and 0 <= seed < 2**31 else 0


def _names_in(node: ast.AST) -> Iterator[str]:
    """Return the words of a name, an attribute, an import, or a string that could be a name."""
    if isinstance(node, ast.Name) and node.id not in ("modules", "reference"):  # of their own
        yield node.id
    elif isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.alias | ast.ImportFrom):
        yield from ((node.name if isinstance(node, ast.alias) else node.module) or "").split(".")
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield from node.value.split(".") if re.fullmatch(r"[\w.]{2,100}", node.value) else ()


def _course_imports(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (item.name for item in node.names if item.name.startswith("helpers"))
    elif (node.module or "").startswith("helpers"):
        yield from (f"{node.module}:{item.name}" for item in node.names)
