"""A question of the bank, and the parts that only some formats have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from helpers.interview.vocabulary import MACHINE_SCORED

Plain: TypeAlias = "str | int | float | list[Plain]"


@dataclass(frozen=True)
class Compute:
    """A number that ``helpers`` computes; the bank names the computation and never the number.

    Attributes
    ----------
    function
        Name in the course's registry of computations.
    arguments
        What it is called with, all by name.
    """

    function: str
    arguments: Mapping[str, Plain]


@dataclass(frozen=True)
class RubricPoint:
    """One thing that a good answer says, with its weight from 1 to 5."""

    text: str
    weight: int


@dataclass(frozen=True)
class FollowUp:
    """The next question of an interviewer who digs deeper, and what to say."""

    question: str
    answer: str


@dataclass(frozen=True)
class Option:
    """One of the answers to choose from.

    Attributes
    ----------
    text
        What it says.
    right
        Whether it belongs to the answer.
    why
        Why it does or does not.
    rule
        For a threat: the rule of ``helpers.threats`` that finds it; empty where no rule speaks.
    """

    text: str
    right: bool
    why: str
    rule: str = ""


@dataclass(frozen=True)
class Slip:
    """A wrong number that a known mistake leads to, and what to say about it."""

    compute: Compute
    text: str
    value: float | None = None


@dataclass(frozen=True)
class Numeric:
    """What a numeric question asks for.

    Attributes
    ----------
    compute
        How the number is found.
    unit
        Unit to answer in, ``"1"`` for a plain number.
    tolerance
        Relative error that is still right.
    slips
        Wrong numbers with a known cause.
    value
        The number, once it has been computed.
    """

    compute: Compute
    unit: str
    tolerance: float
    slips: tuple[Slip, ...] = ()
    value: float | None = None


@dataclass(frozen=True)
class Code:
    """A function to write, and how it is judged.

    Attributes
    ----------
    name
        Name of the function.
    stub
        What the candidate starts from.
    solution
        A function that passes.
    reference
        Name of the function in the registry whose results are the right ones.
    cases
        Positional arguments of each call.
    tolerance
        Absolute error of a number that is still right.
    """

    name: str
    stub: str
    solution: str
    reference: str
    cases: tuple[tuple[Plain, ...], ...]
    tolerance: float = 1e-9


@dataclass(frozen=True)
class Question:
    """One question of the bank.

    Attributes
    ----------
    id
        Name of its file without the suffix.
    title
        Short, for lists; does not give the answer away.
    level, topic, format
        Words of :mod:`helpers.interview.vocabulary`.
    minutes
        Time for the answer without the follow-ups.
    scenario
        The situation, as an interviewer would set it out.
    question
        What is asked.
    rubric
        What a good answer says.
    answer
        A model answer, Markdown.
    wrong_answer
        What a wrong answer sounds like: confident, in the words of a candidate.
    mistake
        The common mistake: what it is and where it comes from.
    follow_ups
        A chain that digs deeper.
    chapters, labs
        Names of the pages that teach this.
    another_answer
        A good answer in quite other words, for measuring what scores prose.
    values
        Computed numbers that the texts show as ``{{name}}`` or ``{{name:.2f}}``.
    numeric, options, code
        What the format needs.
    system, target
        For threats: a system model that ships, and the element or flow that is looked at.
    """

    id: str
    title: str
    level: str
    topic: str
    format: str
    minutes: int
    scenario: str
    question: str
    rubric: tuple[RubricPoint, ...]
    answer: str
    wrong_answer: str
    mistake: str
    follow_ups: tuple[FollowUp, ...]
    chapters: tuple[str, ...]
    labs: tuple[str, ...] = ()
    another_answer: str = ""
    values: Mapping[str, Compute] = field(default_factory=dict)
    numeric: Numeric | None = None
    options: tuple[Option, ...] = ()
    system: str = ""
    target: str = ""
    code: Code | None = None

    @property
    def scored_by_machine(self) -> bool:
        """Whether a machine scores the answer, or the candidate against the rubric."""
        return self.format in MACHINE_SCORED

    @property
    def prompt(self) -> str:
        """What the candidate is shown: scenario and question, Markdown."""
        return f"{self.scenario}\n\n{self.question}"
