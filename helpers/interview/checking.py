"""Check a bank beyond its grammar: links, numbers, threats, code, and what a question must hold."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from helpers._text import nearest, shown
from helpers.errors import InterviewError
from helpers.interview.preparing import Calculator, prepare
from helpers.interview.question import Code, Numeric, Question
from helpers.interview.scoring import judge_cases, score_number
from helpers.interview.vocabulary import CHAPTERS

# Words a model answer takes: enough to be an answer, and no lecture.
_PROSE_WORDS = (80, 260)
_SHORT_WORDS = (25, 260)
_LEAST_RUBRIC = {"prose": 4, "machine": 2}
_FEWEST_FOLLOW_UPS = 2


@dataclass(frozen=True)
class Outside:
    """What a bank is checked against, and that this room does not know of.

    Attributes
    ----------
    chapters, labs
        Names of the pages there are.
    calculate
        Computes a named number.
    threats_of
        Gives the rules that find a threat at a target of a system model.
    run_code
        Calls a candidate's function in a sandbox: source and question in, one result a case out.
    """

    chapters: frozenset[str]
    labs: frozenset[str]
    calculate: Calculator
    threats_of: Callable[[str, str], Mapping[str, str]]
    run_code: Callable[[str, Code], Sequence[Any]]


def problems_of(question: Question, outside: Outside) -> list[str]:
    """Return what is wrong with one question that was read without error; one sentence each."""
    found = [*_lengths(question), *_links(question, outside), *_options(question)]
    try:
        prepared = prepare(question, outside.calculate)
    except InterviewError as error:
        return [*found, str(error).removeprefix(f"{question.id}: ")]
    if prepared.numeric is not None:
        found += _number(prepared.numeric)
    if question.code is not None:
        found += _code(question.code, outside)
    if question.system:
        found += _threats(question, outside)
    return found


def problems_of_bank(questions: Iterable[Question], outside: Outside) -> list[str]:
    """Return what is wrong with a bank, each with the file it is in."""
    listed = list(questions)
    found = [
        f"{question.topic}/{question.id}.yaml: {problem}"
        for question in listed
        for problem in problems_of(question, outside)
    ]
    titles = Counter(question.title for question in listed)
    found += [f"{n} questions are titled {title!r}" for title, n in titles.items() if n > 1]
    return found


def _lengths(question: Question) -> Iterator[str]:
    least = _LEAST_RUBRIC["machine" if question.scored_by_machine else "prose"]
    if len(question.rubric) < least:
        yield f"the rubric has {len(question.rubric)} points: {least} at least"
    if len(question.follow_ups) < _FEWEST_FOLLOW_UPS:
        yield f"follow_ups has {len(question.follow_ups)} entries: {_FEWEST_FOLLOW_UPS} at least"
    low, high = _SHORT_WORDS if question.scored_by_machine else _PROSE_WORDS
    words = len(question.answer.split())
    if not low <= words <= high:
        yield f"the answer has {words} words: {low} to {high}"
    if len(question.wrong_answer.split()) < 15:
        yield "wrong_answer is under 15 words: let the candidate talk"


def _links(question: Question, outside: Outside) -> Iterator[str]:
    home = CHAPTERS.get(question.topic, question.topic)
    if not question.chapters and home in outside.chapters:
        yield f"chapters is empty: the topic is taught in {home!r}"
    for kind, names, known in (
        ("chapter", question.chapters, outside.chapters),
        ("lab", question.labs, outside.labs),
    ):
        for name in names:
            if name not in known:
                yield f"there is no {kind} {shown(name)}; {nearest(name, known)}"


def _options(question: Question) -> Iterator[str]:
    right = sum(option.right for option in question.options)
    if question.format == "choice" and right != 1:
        yield f"{right} options are right: a choice has one right answer"
    if question.format == "choice" and not 3 <= len(question.options) <= 6:
        yield f"there are {len(question.options)} options: 3 to 6"
    if question.format == "select-the-threats" and (right < 2 or len(question.options) - right < 2):
        yield "at least two options must be right, and two wrong"
    if len({option.text for option in question.options}) < len(question.options):
        yield "an option stands there twice"


def _number(numeric: Numeric) -> Iterator[str]:
    assert numeric.value is not None
    for slip in numeric.slips:
        assert slip.value is not None
        if score_number(slip.value, numeric).points == 1:
            yield f"the slip {slip.text!r} leads to {slip.value:.4g}, which counts as right"


def _code(code: Code, outside: Outside) -> Iterator[str]:
    if not re.search(rf"^def {re.escape(code.name)}\(", code.stub, re.MULTILINE):
        yield f"the stub does not define {code.name}"
        return
    try:
        expected = expected_results(code, outside.calculate)
        solved = judge_cases(outside.run_code(code.solution, code), expected, code)
        stubbed = judge_cases(outside.run_code(code.stub, code), expected, code)
    except InterviewError as error:
        yield str(error)
        return
    if solved.points < 1:
        yield f"the solution does not pass: {solved.text}"
    if stubbed.points > 0:
        yield "the stub passes a case: a candidate who writes nothing would earn points"


def expected_results(code: Code, calculate: Calculator) -> list[Any]:
    """Return what the reference gives for every case of a code question."""
    return [calculate(code.reference, {"arguments": list(case)}) for case in code.cases]


def _threats(question: Question, outside: Outside) -> Iterator[str]:
    try:
        present = outside.threats_of(question.system, question.target)
    except InterviewError as error:
        yield str(error)
        return
    for option in question.options:
        if option.rule and (option.rule in present) != option.right:
            says = "finds" if option.rule in present else "does not find"
            yield f"helpers.threats {says} {option.rule!r} there, and the option says otherwise"
    named = {option.rule for option in question.options if option.right}
    if not named & set(present):
        yield "no right option names a rule of helpers.threats that holds there"
