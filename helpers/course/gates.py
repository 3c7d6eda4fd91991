"""What must hold of every lab. Each gate returns its problems, one sentence each; none is good."""

from __future__ import annotations

import ast
import builtins
import io
import json
import keyword
import re
import tokenize
from collections import Counter
from pathlib import Path
from typing import Any

from helpers.course import catalogue, checks, contents, generate, source
from helpers.course.source import Source
from helpers.course.tasks import LabSpec, ValueTask
from helpers.errors import CourseError

_TELLING = 3  # words


def all_problems(root: Path, names: tuple[str, ...] = ()) -> list[str]:
    """Return the problems of every gate that needs no notebook to be run, for the labs named."""
    try:
        labs = catalogue.files(root, names)
    except CourseError as error:
        return [str(error)]
    problems = listed(root)
    for lab in labs:
        try:
            problems += up_to_date(lab, root)
            problems += leaks(source.read(lab.solution), lab.notebook)
            problems += tasks_match(source.read(lab.solution), checks.load(lab.name))
        except CourseError as error:
            problems.append(str(error))
    return problems


def up_to_date(lab: catalogue.LabFiles, root: Path) -> list[str]:
    """A learner's notebook is, byte for byte, what its source generates."""
    text = generate.learner_text(lab.solution, root)
    if not lab.notebook.is_file():
        return [f"{lab.notebook} is missing; run: edgesec labs generate"]
    if lab.notebook.read_bytes() != text.encode():
        return [f"{lab.notebook} is not what {lab.solution} gives; run: edgesec labs generate"]
    return []


def leaks(lab: Source, notebook: Path) -> list[str]:
    """No telling line of a solution or hidden region stands in the learner's notebook."""
    try:
        cells = json.loads(notebook.read_text("utf-8"))["cells"]
    except (OSError, ValueError, KeyError) as error:
        return [f"{notebook} cannot be read as a notebook ({type(error).__name__})"]
    shown = [_squeeze(line) for cell in cells for line in "".join(cell["source"]).splitlines()]
    shown += [_squeeze(json.dumps(cell.get("outputs", []))) for cell in cells]
    problems = []
    for cell in lab.cells:
        for line in source.region_lines(cell):
            text = _squeeze(line)
            if is_telling(line) and any(text in other for other in shown):
                problems.append(f"{notebook}: shows this line of the solution: {line.strip()}")
    return problems


def is_telling(line: str) -> bool:
    """Tell whether a line says something about a solution.

    It does with three different words of its own, or with two and arithmetic between them.
    Keywords, built-ins, the numbers 0 and 1 and punctuation are not its own: ``return total``,
    ``for i in range(n):`` and ``)`` tell nothing, ``total / count`` does. In comments and prose
    every word counts.
    """
    words: set[str] = set()
    arithmetic, before = False, ""
    try:
        for token in tokenize.generate_tokens(io.StringIO(line.strip()).readline):
            if token.type == tokenize.COMMENT:
                words.update(re.findall(r"\w+", token.string))
            elif token.type in (tokenize.NAME, tokenize.NUMBER, tokenize.STRING):
                words.add("." * (before == ".") + token.string)  # the sum in x.sum is no built-in
            arithmetic = arithmetic or token.string in _ARITHMETIC
            before = token.string
    except (tokenize.TokenError, SyntaxError):
        words.update(re.findall(r"\w+", line))
    return len(words - _COMMON) >= (_TELLING - arithmetic)


_COMMON = {*keyword.kwlist, *dir(builtins), "0", "1", "0.0", "1.0"}
_ARITHMETIC = {*"+-*/@%", "**", "//", "+=", "-=", "*=", "/=", "@="}


def _squeeze(line: str) -> str:
    return " ".join(line.split())


def listed(root: Path) -> list[str]:
    """Every lab is in ``_toc.yml`` with its own number, and every notebook has a source."""
    labs = catalogue.files(root)
    try:
        in_toc = {entry.file.removesuffix(".ipynb") for entry in contents.entries(root)}
    except CourseError as error:
        return [str(error)]
    problems = [
        f"_toc.yml does not list labs/{lab.title}"
        for lab in labs
        if f"labs/{lab.title}" not in in_toc
    ]
    sources = {lab.notebook for lab in labs}
    for notebook in sorted((root / "labs").glob("*.ipynb")):
        if notebook not in sources:
            problems.append(f"{notebook} has no source in solutions/; delete it or write one")
    known = {f"labs/{lab.title}" for lab in labs}
    for entry in sorted(in_toc):
        if entry.startswith("labs/") and entry not in known:
            problems.append(f"_toc.yml lists {entry}, which has no source in solutions/")
    return problems


def tasks_match(lab: Source, spec: LabSpec) -> list[str]:
    """Each task is given once in the source, checked, and in the specification.

    Each memo stands there at least once: an earlier ``lab.memo(name)`` may show its rubric.
    """
    calls = _lab_calls(lab)
    problems = []
    if spec.number != lab.number:
        problems.append(f"{lab.path}: the checks say this is lab {spec.number}, not {lab.number}")
    for task in spec.tasks:
        method = "answer" if isinstance(task, ValueTask) else "task"
        given = calls[method, task.name]
        if given != 1:
            problems.append(f"{lab.path}: {task.name} is given {given} times with lab.{method}")
        if not calls["check", task.name]:
            problems.append(f"{lab.path}: {task.name} is never checked with lab.check")
    for memo in spec.memos:
        if not calls["memo", memo.name]:
            problems.append(f"{lab.path}: lab.memo({memo.name!r}, ...) does not stand there")
    known = {item.name for item in (*spec.tasks, *spec.memos)}
    for method, name in sorted(calls):
        if method != "predict" and method != "report" and name not in known:
            problems.append(f"{lab.path}: lab.{method}({name!r}) is not in the lab's checks")
    if not calls["report", ""]:
        problems.append(f"{lab.path}: does not end with lab.report()")
    return problems


def _lab_calls(lab: Source) -> Counter[tuple[str, str]]:
    calls: Counter[tuple[str, str]] = Counter()
    for cell in lab.cells:
        if cell.kind != "code":
            continue
        for node in ast.walk(ast.parse(source.solution_text(cell))):
            match node:
                case ast.Call(func=ast.Attribute(ast.Name("lab"), method), args=args) if method in (
                    "task",
                    "answer",
                    "check",
                    "memo",
                    "predict",
                    "report",
                ):
                    first = args[0].value if args and isinstance(args[0], ast.Constant) else ""
                    calls[method, str(first)] += 1
    return calls


def earned_nothing(report: dict[str, Any] | None) -> list[str]:
    """An unsolved lab's report: no point, and every task *not attempted*."""
    if report is None:
        return ["the unsolved lab gave no report; does it end with lab.report()?"]
    wrong = [task for task in report["tasks"] if task["status"] != "not attempted"]
    problems = [
        f"unsolved, {task['name']} is {task['status']}, not 'not attempted'" for task in wrong
    ]
    if report["points"] != 0:
        problems.append(f"unsolved, the lab earns {report['points']} points instead of none")
    return problems


def earned_everything(report: dict[str, Any] | None) -> list[str]:
    """A solved lab's report: every point."""
    if report is None:
        return ["the solved lab gave no report; does it end with lab.report()?"]
    wrong = [task for task in report["tasks"] if task["points"] != task["max_points"]]
    problems = [f"solved, {task['name']} is {task['status']}" for task in wrong]
    if not report["max_points"]:
        problems.append("solved, the lab has no points to earn")
    return problems
