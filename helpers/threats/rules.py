"""The rules that derive threats, read from ``data/rules.yaml`` and checked word by word.

A rule is a condition, a reason, a first guess at its scores, what helps against it, and what would
measure it. Nothing in it is code, so nothing in it can fail while a model is being looked at: what
is wrong with a rule comes out when it is read.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from helpers._reading import Problem, parse, read_file, refuse
from helpers._section import Section
from helpers._text import nearest, shown
from helpers.errors import ThreatModelError
from helpers.threats import vocabulary
from helpers.threats.attributes import ATTRIBUTES, Attribute, Target
from helpers.threats.measurement import METRICS
from helpers.threats.model import Element, SystemModel

STRIDE = {
    "S": "spoofing",
    "T": "tampering",
    "R": "repudiation",
    "I": "information disclosure",
    "D": "denial of service",
    "E": "elevation of privilege",
}
ACCESS = {
    "physical": "the attacker must hold or stand before the hardware",
    "network": "the attacker must be on the path or able to connect",
    "query": "the attacker must be able to give inputs or ask",
    "member": "the attacker must take part in the training",
    "insider": "the attacker must run or enter the machine",
    "supplier": "the attacker must deliver something that is installed",
}
STRENGTHS = ("strong", "partial")
DAMAGE_FROM = ("wrong-answer", "action", "data", "training-data", "model")
AFFECTED = ("one", "fleet", "target")
TAXONOMIES = ("atlas", "nist", "owasp", "ai_rmf")


class Condition(Protocol):
    """What a rule and a question have in common: whom they ask, and when they apply."""

    @property
    def on(self) -> str:
        """``"element"`` or ``"flow"``."""

    @property
    def when(self) -> Mapping[str, tuple[str, ...]]:
        """What must be met."""

    @property
    def unless(self) -> Mapping[str, tuple[str, ...]]:
        """What must not be met."""


@dataclass(frozen=True)
class Guess:
    """A score that somebody chose, from 0 to 10, and why."""

    score: int
    reason: str


@dataclass(frozen=True)
class Measure:
    """What would measure a threat.

    Attributes
    ----------
    metric
        A name of :data:`helpers.threats.measurement.METRICS`.
    by
        Module of this package that computes it, if it is there.
    lab
        Lab that computes it, if it is there.
    planned
        What will, in words, where nothing does yet.
    """

    metric: str
    by: str = ""
    lab: str = ""
    planned: str = ""

    def __str__(self) -> str:
        where = f"`{self.by}`" if self.by else ""
        where += f"{' in ' if where else ''}lab {self.lab}" if self.lab else ""
        return f"{self.metric}: {where or f'planned, {self.planned}'}"


@dataclass(frozen=True)
class Rule:
    """One kind of threat.

    Attributes
    ----------
    id, title
        What it is called.
    on
        ``"element"`` or ``"flow"``.
    stride
        Letters of STRIDE.
    when, unless
        Conditions: attribute to words. All of `when` must be met, none of `unless`.
    access
        What the attacker needs, a word of :data:`ACCESS`.
    what
        What happens, with ``{target}`` in it.
    why
        Why it matters.
    damage
        A guess, or what in the system model decides it: a word of :data:`DAMAGE_FROM`.
    reproducibility, exploitability, discoverability
        Guesses.
    affected
        A word of :data:`AFFECTED`.
    controls
        What helps, and whether it is strong or partial.
    measures
        What would measure it.
    ids
        Ids in each of :data:`TAXONOMIES`.
    ml
        Whether it is particular to machine learning.
    """

    id: str
    title: str
    on: str
    stride: tuple[str, ...]
    when: Mapping[str, tuple[str, ...]]
    unless: Mapping[str, tuple[str, ...]]
    access: str
    what: str
    why: str
    damage: Guess | str
    reproducibility: Guess
    exploitability: Guess
    discoverability: Guess
    affected: str
    controls: Mapping[str, str]
    measures: tuple[Measure, ...]
    ids: Mapping[str, tuple[str, ...]]
    ml: bool = False

    def applies(
        self,
        model: SystemModel,
        target: Target,
        attributes: Mapping[str, Mapping[str, Attribute]] = ATTRIBUTES,
    ) -> bool:
        """Whether this threat exists for one element or flow.

        Raises
        ------
        ThreatModelError
            If an attribute cannot be read.
        """
        return holds(self, model, target, attributes)


def holds(
    condition: Condition,
    model: SystemModel,
    target: Target,
    attributes: Mapping[str, Mapping[str, Attribute]],
) -> bool:
    """Whether a condition is met by one element or flow.

    Raises
    ------
    ThreatModelError
        If an attribute cannot be read.
    """
    if (condition.on == "element") != isinstance(target, Element):
        return False
    known = attributes[condition.on]
    asked = {*condition.when, *condition.unless}
    read = {name: known[name].of(model, target, name) for name in asked}
    return all(read[name] & set(words) for name, words in condition.when.items()) and not any(
        read[name] & set(words) for name, words in condition.unless.items()
    )


@functools.cache
def all_rules() -> tuple[Rule, ...]:
    """Return the rules that ship."""
    return loads(read_file(vocabulary.DATA / "rules.yaml", ThreatModelError), "rules.yaml")


def loads(
    text: str,
    source: str = "rules",
    attributes: Mapping[str, Mapping[str, Attribute]] = ATTRIBUTES,
) -> tuple[Rule, ...]:
    """Read rules from YAML text, in the form that ``data/rules.yaml`` explains.

    Parameters
    ----------
    text
        The rules.
    source
        What to call them in an error.
    attributes
        What a condition may ask, by ``"element"`` and ``"flow"``.

    Raises
    ------
    ThreatModelError
        If a word in them does not exist; with every problem, its line and the nearest word.
    """
    found: list[Problem] = []
    section = Section(parse(text, source, ThreatModelError), source, found)
    read = section.named("rules", functools.partial(_rule, found, attributes))
    section.finish()
    if not read:
        found.append(Problem("there are no rules", 1))
    refuse(source, found, ThreatModelError)
    return read


def _rule(
    found: list[Problem],
    attributes: Mapping[str, Mapping[str, Attribute]],
    name: str,
    section: Section,
) -> Rule:
    on = section.text("on")
    rule = Rule(
        id=name,
        title=section.text("title"),
        on=on,
        stride=section.words("stride"),
        when=section.pairs("when"),
        unless=section.pairs("unless"),
        access=section.text("access"),
        what=section.text("what"),
        why=section.text("why"),
        damage=section.text("damage") if section.is_text("damage") else _guess(section, "damage"),
        reproducibility=_guess(section, "reproducibility"),
        exploitability=_guess(section, "exploitability"),
        discoverability=_guess(section, "discoverability"),
        affected=section.text("affected"),
        controls={word: "".join(how) for word, how in section.pairs("controls").items()},
        measures=section.listed("measured", _measure),
        ids={
            "atlas": section.words("atlas"),
            "nist": section.words("nist"),
            "owasp": section.words("owasp"),
            "ai_rmf": section.words("rmf"),
        },
        ml=section.flag("ml"),
    )
    for key, text in _problems(rule, attributes):
        found.append(Problem(f"rule {name}: {text}", section.line_of(key)))
    return rule


def _guess(section: Section, key: str) -> Guess:
    words = section.phrases(key)
    if len(words) != 2 or not words[0].isdecimal() or not 0 <= int(words[0]) <= 10:
        section.wrong_at(key, f"{key} must be [score from 0 to 10, reason]")
        return Guess(0, "")
    return Guess(int(words[0]), words[1])


def _measure(section: Section) -> Measure:
    return Measure(
        section.text("metric"),
        section.text("by", ""),
        section.text("lab", ""),
        section.text("planned", ""),
    )


def _problems(
    rule: Rule, attributes: Mapping[str, Mapping[str, Attribute]]
) -> list[tuple[str, str]]:
    """Return what in a rule is not a known word, and in which field."""
    found = condition_problems(rule, attributes)
    found += unknown("stride", rule.stride, STRIDE, "letter of STRIDE")
    found += unknown("access", [rule.access], ACCESS, "access")
    found += unknown("affected", [rule.affected], AFFECTED, "word")
    found += unknown("controls", rule.controls, vocabulary.controls(), "control")
    found += unknown("controls", rule.controls.values(), STRENGTHS, "strength")
    found += unknown("measured", [m.metric for m in rule.measures], METRICS, "metric")
    if isinstance(rule.damage, str):
        found += unknown("damage", [rule.damage], DAMAGE_FROM, "source of damage")
    for taxonomy, ids in rule.ids.items():
        known = vocabulary.taxonomies()[taxonomy]["ids"]
        field = "rmf" if taxonomy == "ai_rmf" else taxonomy
        found += unknown(field, ids, known, f"{taxonomy} id")
    for key, missing in (
        ("stride", not rule.stride),
        ("controls", not rule.controls),
        ("measured", not rule.measures),
    ):
        if missing:
            found.append((key, f"{key} is empty"))
    found += [
        ("measured", f"{m.metric} must name `by`, `lab` or `planned`")
        for m in rule.measures
        if not (m.by or m.lab or m.planned)
    ]
    return found


def condition_problems(
    rule: Condition, attributes: Mapping[str, Mapping[str, Attribute]]
) -> list[tuple[str, str]]:
    """Return what in a condition is not a known word, and in which field."""
    found = unknown("on", [rule.on], attributes, "kind of target")
    if not rule.when:
        found.append(("when", "when is empty"))
    for field, conditions in (("when", rule.when), ("unless", rule.unless)):
        asked = attributes.get(rule.on, {})
        found += unknown(field, conditions, asked, f"attribute of a {rule.on}")
        for attribute, words in conditions.items():
            if attribute in asked:
                found += unknown(field, words, asked[attribute].words, f"word of {attribute}")
            if not words:
                found.append((field, f"{attribute} names no word, so it could never be met"))
    return found


def unknown(
    field: str, words: Collection[str], known: Collection[str], what: str
) -> list[tuple[str, str]]:
    """Return a problem for each word that is not known."""
    return [
        (field, f"unknown {what} {shown(word)}; {nearest(word, known)}")
        for word in words
        if word not in known
    ]
