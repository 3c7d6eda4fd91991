"""From a system model to its threats: every rule against every element and every flow.

>>> from helpers import threats
>>> analysis = threats.analyse(threats.load("smart-speaker"))
>>> analysis.threats[0].id
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from helpers._reading import Problem, refuse
from helpers._text import nearest, shown
from helpers.errors import ThreatModelError
from helpers.threats import vocabulary
from helpers.threats.attributes import ATTRIBUTES, Attribute, Target, upstream
from helpers.threats.dread import Dread, first_guess, measured
from helpers.threats.measurement import Measurement
from helpers.threats.model import LEVELS, Acceptance, Element, Flow, SystemModel
from helpers.threats.rules import Rule, all_rules


@dataclass(frozen=True)
class Threat:
    """One threat to one element or flow.

    Attributes
    ----------
    rule
        The rule that found it.
    target
        Name of the element or flow.
    title
        What people call the target.
    scores
        DREAD, each score with its reason.
    present
        Controls of the rule that are in place, and where.
    missing
        Controls of the rule that are not.
    measurement
        What was measured, if anything.
    acceptance
        The decision to live with it, if one is recorded; whether it holds is asked of it.
    """

    rule: Rule
    target: str
    title: str
    scores: Dread
    present: Mapping[str, str]
    missing: tuple[str, ...]
    measurement: Measurement | None = None
    acceptance: Acceptance | None = None

    @property
    def id(self) -> str:
        """``rule@target``."""
        return f"{self.rule.id}@{self.target}"

    @property
    def risk(self) -> float:
        """Mean of the five scores."""
        return self.scores.risk

    @property
    def level(self) -> str:
        """The risk in a word."""
        return self.scores.level

    @property
    def statement(self) -> str:
        """What happens, in a sentence."""
        return self.rule.what.replace("{target}", f'"{self.title}"')

    def accepted(self, today: datetime.date) -> bool:
        """Whether a recorded acceptance holds today."""
        return self.acceptance is not None and self.acceptance.covers(self.level, today)

    @property
    def rmf_functions(self) -> tuple[str, ...]:
        """Functions of the NIST AI RMF under which something has been done about it."""
        done = {
            "GOVERN": self.acceptance is not None,
            "MAP": True,
            "MEASURE": self.measurement is not None,
            "MANAGE": bool(self.present) or self.acceptance is not None,
        }
        return tuple(name for name, has in done.items() if has)


@dataclass(frozen=True)
class Analysis:
    """A model and its threats, the riskiest first.

    Attributes
    ----------
    model
        The system.
    threats
        What was found.
    """

    model: SystemModel
    threats: tuple[Threat, ...]

    def threat(self, identity: str) -> Threat:
        """Return the threat with an id.

        Raises
        ------
        ThreatModelError
            If there is none; with the nearest id.
        """
        for threat in self.threats:
            if threat.id == identity:
                return threat
        known = [threat.id for threat in self.threats]
        raise ThreatModelError(f"There is no threat {shown(identity)}; {nearest(identity, known)}")

    def of(self, target: str) -> tuple[Threat, ...]:
        """Return the threats to an element or a flow."""
        return tuple(threat for threat in self.threats if threat.target == target)

    def counts(self) -> dict[str, int]:
        """Return how many threats there are of each level, the highest first."""
        found = Counter(threat.level for threat in self.threats)
        return {level: found[level] for level in reversed(LEVELS)}

    def unaccepted(self, at: str, today: datetime.date) -> tuple[Threat, ...]:
        """Return the threats at a level or above that no acceptance covers today: the gate of CI.

        Parameters
        ----------
        at
            A word of :data:`~helpers.threats.model.LEVELS`.
        today
            The day on which acceptances are judged.

        Raises
        ------
        ThreatModelError
            If the level does not exist.
        """
        if at not in LEVELS:
            raise ThreatModelError(f"unknown level {shown(at)}; {nearest(at, LEVELS)}")
        return tuple(
            threat
            for threat in self.threats
            if LEVELS.index(threat.level) >= LEVELS.index(at) and not threat.accepted(today)
        )


def analyse(
    model: SystemModel,
    measurements: Iterable[Measurement] = (),
    *,
    using: Sequence[Rule] | None = None,
    attributes: Mapping[str, Mapping[str, Attribute]] = ATTRIBUTES,
) -> Analysis:
    """Derive, score and rank the threats of a system.

    Parameters
    ----------
    model
        The system.
    measurements
        Results that replace guessed scores.
    using
        Rules; those that ship when left out.
    attributes
        What the rules may ask.

    Raises
    ------
    ThreatModelError
        If an attribute cannot be read, or a measurement or an acceptance speaks of a threat that
        this system does not have.
    """
    found = {}
    for target in model.targets:
        for rule in all_rules() if using is None else using:
            if rule.applies(model, target, attributes):
                threat = _threat(model, rule, target)
                found[threat.id] = threat
    for measurement in measurements:
        _measure(found, measurement)
    refuse(f"model {shown(model.name)}", _without_threat(model, found), ThreatModelError)
    for acceptance in model.acceptances:
        found[acceptance.threat] = replace(found[acceptance.threat], acceptance=acceptance)
    ranked = sorted(found.values(), key=lambda threat: (-threat.risk, threat.id))
    return Analysis(model, tuple(ranked))


def _without_threat(model: SystemModel, found: Mapping[str, Threat]) -> Iterator[Problem]:
    """Yield the acceptances of what is no threat: stale ones may cover something new later."""
    for acceptance in model.acceptances:
        name = acceptance.threat
        if name not in found:
            text = f"an acceptance names {shown(name)}, which is no threat to it"
            line = model.line_of(("acceptances", name))
            yield Problem(f"{text}; {nearest(name, found)}", line)


def _threat(model: SystemModel, rule: Rule, target: Target) -> Threat:
    there = controls_on(model, target)
    present = {control: there[control] for control in rule.controls if control in there}
    missing = tuple(control for control in rule.controls if control not in there)
    scores = first_guess(model, rule, target, present)
    return Threat(rule, target.name, model.target_title(target.name), scores, present, missing)


def _measure(found: dict[str, Threat], measurement: Measurement) -> None:
    """Replace guesses by a measurement, for one target or for every one with that threat."""
    wanted = f"{measurement.threat}@{measurement.target}"
    speaks_of = [
        identity
        for identity, threat in found.items()
        if (identity == wanted if measurement.target else threat.rule.id == measurement.threat)
    ]
    if not speaks_of:
        what = wanted if measurement.target else measurement.threat
        known = list(found) if measurement.target else {t.rule.id for t in found.values()}
        raise ThreatModelError(
            f"A measurement speaks of {shown(what)}, which this system does not have; "
            f"{nearest(what, known)}"
        )
    for identity in speaks_of:
        threat = found[identity]
        metrics = [measure.metric for measure in threat.rule.measures]
        if measurement.metric not in metrics:
            raise ThreatModelError(
                f"{measurement.metric} does not measure {threat.rule.id}; its metrics are "
                f"{', '.join(metrics)}."
            )
        if _counts(measurement, threat.measurement):
            scores = measured(threat.scores, measurement)
            found[identity] = replace(threat, scores=scores, measurement=measurement)


def _counts(new: Measurement, old: Measurement | None) -> bool:
    """Whether a measurement counts beside another of the same threat.

    Of two attacks the better one counts, of two bounds the tighter. A bound overrules an attack,
    unless the attack did what the bound rules out: then the bound is wrong.
    """
    if old is None:
        return True
    if new.evidence == old.evidence:
        better = new.likelihood > old.likelihood
        return better if new.evidence == "attack" else not better
    attack, bound = (new, old) if new.evidence == "attack" else (old, new)
    refuted = attack.metric == bound.metric and attack.low > bound.high
    return (new is attack) == refuted


def controls_on(model: SystemModel, target: Target) -> dict[str, str]:
    """Return every control that protects a target, and where it stands.

    A flow is protected by its own controls, its protocol, and those of both its ends. An element is
    protected by its own; by one that every flow into it from another zone has; and by what was done
    when the model that reaches it was trained.
    """
    there: dict[str, str] = {}
    elements = [target] if isinstance(target, Element) else _ends(model, target)
    for element in elements:
        there |= dict.fromkeys(element.controls, element.name)
        there |= _travelled(model, element)
    if isinstance(target, Flow):
        return there | dict.fromkeys(target.protected_by, target.name)
    crossing = [flow for flow in model.into(target.name) if model.crosses(flow)]
    shared = set.intersection(*(set(flow.protected_by) for flow in crossing)) if crossing else set()
    return dict.fromkeys(sorted(shared), "every flow into it") | there


def _ends(model: SystemModel, flow: Flow) -> list[Element]:
    return [model.element(flow.source), model.element(flow.target)]


def _travelled(model: SystemModel, element: Element) -> dict[str, str]:
    known = vocabulary.controls()
    return {
        control: origin.name
        for flow in upstream(model, element.name, ("model", "update"))
        for origin in [model.element(flow.source)]
        for control in origin.controls
        if known[control].travels
    }
