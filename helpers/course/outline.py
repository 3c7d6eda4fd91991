"""What a lab teaches, read from where it stands: the opening of its notebook, and its checks.

A lab's first cell says in paragraphs of its own what the learner will do and keep, and what they
need for it (``You need ...``). The titles of its exercises and the lines of its rubrics are in its
:class:`~helpers.course.tasks.LabSpec`. So a page on all labs repeats nothing by hand.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from helpers.course.source import Source
from helpers.errors import CourseError

_LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")
_EMPHASIS = re.compile(r"[*`]+")
_NEEDS = "You need "


@dataclass(frozen=True)
class Outline:
    """A lab in its own plain words.

    Attributes
    ----------
    aim
        What the learner does in it, and what they keep.
    needs
        What they have to know before, one sentence.
    functions
        For each exercise that asks for a function: what the function returns or does, the first
        line of its docstring.
    """

    aim: str
    needs: str
    functions: dict[str, str]


def outline(lab: Source) -> Outline:
    """Return what a lab's notebook says of itself.

    Raises
    ------
    CourseError
        If the first cell is not a heading, a line in italics on time and machine, what the learner
        does, and a paragraph that begins with ``You need``.
    """
    paragraphs = [" ".join(text.split()) for text in lab.cells[0].text.split("\n\n")]
    starts = [number for number, text in enumerate(paragraphs) if text.startswith(_NEEDS)]
    # A heading and the line on time and machine come first.
    if len(starts) != 1 or starts[0] < 3 or not paragraphs[1].startswith("*"):
        raise CourseError(
            f"{lab.path}: the first cell needs a heading, a line such as *About two hours. ...*, "
            f"what the learner does, and one paragraph that begins with {_NEEDS.strip()!r}"
        )
    aim = " ".join(paragraphs[2 : starts[0]])
    needs = re.split(r"(?<=\.) (?=[A-Z])", _plain(paragraphs[starts[0]]))[0]
    return Outline(_plain(aim), needs, _functions(lab))


def _functions(lab: Source) -> dict[str, str]:
    found = {}
    for cell in lab.cells:
        if cell.kind != "code" or "@lab.task(" not in cell.text:
            continue
        for node in ast.parse(cell.text).body:
            match node:
                case ast.FunctionDef(
                    decorator_list=[ast.Call(ast.Attribute(attr="task"), [ast.Constant(task)])]
                ):
                    text = ast.get_docstring(node) or ""
                    found[str(task)] = text.partition("\n")[0]
    return found


def _plain(text: str) -> str:
    return _EMPHASIS.sub("", _LINK.sub(r"\1", text))
