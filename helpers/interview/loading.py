"""Read the bank: one YAML file a question, strictly.

A question is written so::

    title: An epsilon from a noise multiplier
    level: mid
    topic: differential-privacy        # the folder it lies in
    format: numeric
    minutes: 6
    scenario: ...                      # texts are Markdown; a bar (|) keeps their lines
    question: ...
    rubric:
      - {weight: 3, point: "Names the sampler, since the number depends on it."}
    answer: ...
    wrong_answer: ...                  # what a wrong answer sounds like
    mistake: ...
    follow_ups:
      - {question: "...", answer: "..."}
    chapters: [differential-privacy]
    labs: [02-train-under-a-privacy-budget]
    numeric:
      unit: "1"
      tolerance: 0.05
      compute: {function: dp_epsilon, arguments: {noise_multiplier: 1.1, ...}}

Every text is checked for what is missing, and every word for what exists; an error names the file,
the line and the nearest word. What the fields mean is in :mod:`helpers.interview.question`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from helpers._reading import Node, Problem, parse, read_file, refuse
from helpers._section import Section, as_number
from helpers._text import nearest, shown
from helpers.errors import InterviewError
from helpers.interview.question import (
    Code,
    Compute,
    FollowUp,
    Numeric,
    Option,
    Plain,
    Question,
    RubricPoint,
    Slip,
)
from helpers.interview.vocabulary import FORMATS, LEVELS, TOPICS

Made = TypeVar("Made")
BANK = Path(__file__).parent / "bank"


def load_bank(folder: Path = BANK) -> dict[str, Question]:
    """Read every question of a bank.

    Parameters
    ----------
    folder
        Holds one folder a topic, with one file a question.

    Returns
    -------
    dict
        ``{id: question}``, sorted by topic, level and id.

    Raises
    ------
    InterviewError
        If the folder holds no question, or a file is not as it must be; every file is named.
    """
    found: dict[str, Question] = {}
    wrong: list[str] = []
    for path in sorted(folder.glob("*/*.yaml")):
        try:
            question = load_question(path)
            if question.id in found:
                other = found[question.id].topic
                raise InterviewError(f"{path}: {question.id!r} stands under {other} too: rename it")
            found[question.id] = question
        except InterviewError as error:
            wrong.append(str(error))
    if wrong:
        raise InterviewError("\n".join(wrong))
    if not found:
        raise InterviewError(f"{folder} holds no question: expected <topic>/<id>.yaml below it.")
    topics, levels = list(TOPICS), list(LEVELS)
    order = sorted(
        found.values(), key=lambda q: (topics.index(q.topic), levels.index(q.level), q.id)
    )
    return {question.id: question for question in order}


def load_question(path: Path) -> Question:
    """Read one question from ``<topic>/<id>.yaml``.

    Raises
    ------
    InterviewError
        If the file cannot be read or is not as it must be, with every problem and its line.
    """
    where = f"{path.parent.name}/{path.name}"
    problems: list[Problem] = []
    text = read_file(path, InterviewError)
    node = parse(text, where, InterviewError, ours=path.is_relative_to(BANK))
    root = Section(node, "the question", problems)
    question = _question(root, path.stem, problems)
    root.finish()
    if question.topic != path.parent.name:
        root.wrong_at("topic", f"the file lies in the folder {shown(path.parent.name)}")
    refuse(where, problems, InterviewError)
    return question


def _question(root: Section, identity: str, problems: list[Problem]) -> Question:
    form = _one_of(root, "format", FORMATS)
    return Question(
        id=identity,
        title=root.text("title", most=90),
        level=_one_of(root, "level", LEVELS),
        topic=_one_of(root, "topic", TOPICS),
        format=form,
        minutes=root.whole("minutes", 1, 60),
        scenario=root.lines("scenario"),
        question=root.lines("question"),
        rubric=root.listed("rubric", _point),
        answer=root.lines("answer"),
        wrong_answer=root.lines("wrong_answer"),
        mistake=root.lines("mistake"),
        follow_ups=root.listed("follow_ups", _follow_up),
        chapters=root.words("chapters"),
        labs=root.words("labs"),
        another_answer=root.lines("another_answer", ""),
        values=_computes(root, "values", problems),
        numeric=_part(root, "numeric", _numeric, problems) if form == "numeric" else None,
        options=_options(root, form),
        system=root.text("system", "") if form == "select-the-threats" else "",
        target=root.text("target", "") if form == "select-the-threats" else "",
        code=_part(root, "code", _code, problems) if form == "code" else None,
    )


def _one_of(section: Section, key: str, known: tuple[str, ...] | Mapping[str, str]) -> str:
    word = section.text(key)
    if word and word not in known:
        section.wrong_at(key, f"there is no {key} {shown(word)}; {nearest(word, known)}")
    return word if word in known else next(iter(known))


def _point(entry: Section) -> RubricPoint:
    return RubricPoint(entry.text("point"), entry.whole("weight", 1, 5))


def _follow_up(entry: Section) -> FollowUp:
    return FollowUp(entry.lines("question"), entry.lines("answer"))


def _options(root: Section, form: str) -> tuple[Option, ...]:
    if form not in ("choice", "select-the-threats"):
        return ()
    threats = form == "select-the-threats"

    def option(entry: Section) -> Option:
        rule = entry.text("rule", "") if threats else ""
        return Option(entry.text("text"), entry.flag("right"), entry.text("why"), rule)

    return root.listed("options", option)


def _part(
    root: Section,
    key: str,
    make: Callable[[Section, list[Problem]], Made],
    problems: list[Problem],
) -> Made | None:
    """Read a part that this format must have."""
    node = root.node(key)
    if node is None:
        root.wrong_at("format", f"this format needs `{key}:`")
        return None
    section = Section(node, key, problems)
    made = make(section, problems)
    section.finish()
    return made


def _numeric(section: Section, problems: list[Problem]) -> Numeric:
    return Numeric(
        compute=_compute(section, "compute", problems),
        unit=section.text("unit", most=40),
        tolerance=section.number("tolerance", 0.0, 0.5),
        slips=section.listed("slips", functools.partial(_slip, problems)),
    )


def _slip(problems: list[Problem], entry: Section) -> Slip:
    return Slip(_compute(entry, "compute", problems), entry.text("text"))


def _code(section: Section, problems: list[Problem]) -> Code:
    cases = _plain(section.node("cases"), problems)
    rows = cases if isinstance(cases, list) else []
    if not rows or not all(isinstance(row, list) for row in rows):
        section.wrong_at("cases", "must be a list of calls, each a list of arguments")
    return Code(
        name=section.text("name"),
        stub=section.lines("stub"),
        solution=section.lines("solution"),
        reference=section.text("reference"),
        cases=tuple(tuple(row) for row in rows if isinstance(row, list)),
        tolerance=section.number("tolerance", 0.0, 1.0, default=1e-9),
    )


def _computes(root: Section, key: str, problems: list[Problem]) -> dict[str, Compute]:
    node = root.node(key)
    if node is None:
        return {}
    section = Section(node, key, problems)
    names = list(node.value) if isinstance(node.value, dict) else []
    found = {name: _compute(section, name, problems) for name in names}
    section.finish()
    return found


def _compute(section: Section, key: str, problems: list[Problem]) -> Compute:
    node = section.node(key)
    if node is None:
        section.wrong_at(key, f"lacks `{key}: {{function: ..., arguments: {{...}}}}`")
        return Compute("", {})
    inner = Section(node, key, problems)
    function, given = inner.text("function"), inner.node("arguments")
    inner.finish()
    if given is None or not isinstance(given.value, dict):
        inner.wrong_at("arguments", "must be `name: value` pairs")
        return Compute(function, {})
    return Compute(function, {name: _plain(node, problems) for name, node in given.value.items()})


def _plain(node: Node | None, problems: list[Problem]) -> Plain:
    """Turn what was read into numbers, texts and lists of them."""
    if node is None:
        return []
    if isinstance(node.value, str):
        number = as_number(node.value)
        return node.value if number is None else number
    if isinstance(node.value, list):
        return [_plain(item, problems) for item in node.value]
    problems.append(Problem("use numbers, words and lists here", node.line))
    return []
