"""Privacy by Design: the questions of LINDDUN, for each element and flow that concerns people.

STRIDE asks what an attacker can do. LINDDUN (Deng et al. 2011) asks what the system does to the
people whose data it uses even when everybody behaves. There is no score: a question has an answer
in place, or it is open.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from helpers._reading import Problem, refuse
from helpers._section import Section
from helpers.errors import ThreatModelError
from helpers.threats import vocabulary
from helpers.threats.attributes import ATTRIBUTES, Target
from helpers.threats.engine import controls_on
from helpers.threats.model import SystemModel
from helpers.threats.rules import condition_problems, holds, unknown


@dataclass(frozen=True)
class Question:
    """One question of LINDDUN.

    Attributes
    ----------
    name, letter, title
        The category.
    on
        ``"element"`` or ``"flow"``.
    when, unless
        Conditions, as of a rule.
    question
        What is asked.
    principle
        The principle of Privacy by Design behind it.
    answered_by
        Controls any of which is an answer.
    """

    name: str
    letter: str
    title: str
    on: str
    when: Mapping[str, tuple[str, ...]]
    unless: Mapping[str, tuple[str, ...]]
    question: str
    principle: str
    answered_by: tuple[str, ...]


@dataclass(frozen=True)
class Concern:
    """A question asked of one element or flow.

    Attributes
    ----------
    question
        The question.
    target, title
        Whom it is asked of.
    sensitive
        Whether the data are specially protected.
    answers
        Controls in place that answer it, and where they stand.
    """

    question: Question
    target: str
    title: str
    sensitive: bool
    answers: Mapping[str, str]

    @property
    def open(self) -> bool:
        """Whether nothing in place answers it."""
        return not self.answers


@functools.cache
def questions() -> tuple[Question, ...]:
    """Return the questions that ship."""
    source, found = "linddun.yaml", list[Problem]()
    section = vocabulary.shipped(source, found)
    read = section.named("concerns", functools.partial(_question, found))
    section.finish()
    refuse(source, found, ThreatModelError)
    return read


def _question(found: list[Problem], name: str, section: Section) -> Question:
    asked = Question(
        name,
        section.text("letter"),
        section.text("title"),
        section.text("on"),
        section.pairs("when"),
        section.pairs("unless"),
        section.text("question"),
        section.text("principle"),
        section.words("answered_by"),
    )
    wrong = condition_problems(asked, ATTRIBUTES)
    wrong += unknown("answered_by", asked.answered_by, vocabulary.controls(), "control")
    found += [Problem(f"question {name}: {text}", section.line_of(key)) for key, text in wrong]
    return asked


def privacy_concerns(model: SystemModel) -> tuple[Concern, ...]:
    """Ask every question of every element and flow that it fits; the open ones come first."""
    found = [
        _concern(model, question, target)
        for target in model.targets
        for question in questions()
        if holds(question, model, target, ATTRIBUTES)
    ]
    return tuple(sorted(found, key=lambda concern: (not concern.open, not concern.sensitive)))


def _concern(model: SystemModel, question: Question, target: Target) -> Concern:
    there = controls_on(model, target)
    about = ATTRIBUTES[question.on]["about-people"].of(model, target, "about-people")
    answers = {control: there[control] for control in question.answered_by if control in there}
    return Concern(
        question, target.name, model.target_title(target.name), "sensitive" in about, answers
    )
