"""DREAD: five scores from 0 to 10, each with its reason, and their mean.

Damage, Reproducibility, Exploitability, Affected users, Discoverability. They are opinions, so each
carries its reason, and :mod:`helpers.threats.stability` says how much of the ranking survives when
opinions differ by a point. Three rules, the same for every threat, turn a rule's first guess into
scores for one target:

* **Damage and affected users** follow from the system model: whose data, what a wrong answer does,
  one device or the fleet.
* **Exploitability** falls by :data:`OUT_OF_REACH` where the attacker cannot stand where the threat
  needs them to.
* **Each control in place** lowers reproducibility and exploitability by :data:`RELIEF`. That is the
  most doubtful number here, and the first that a measurement replaces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from helpers.threats import vocabulary
from helpers.threats.attributes import LEARNING, OF_ELEMENTS, Target
from helpers.threats.measurement import Measurement
from helpers.threats.model import LEVELS, Element, Flow, SystemModel, Zone
from helpers.threats.rules import Guess, Rule

FACTORS = ("damage", "reproducibility", "exploitability", "affected", "discoverability")
OUT_OF_REACH = 4
RELIEF = {"strong": 4, "partial": 1}
# Least risk of each level; below all of them it is low.
THRESHOLDS = {"critical": 8.0, "high": 6.5, "medium": 5.0}
_WRONG_ANSWER = {"nuisance": 3, "loss": 7, "injury": 10}
# What a machine acts on: falsified, it does at least this, and as much as a wrong answer does.
_ACTED_ON = {"input", "prediction", "model", "firmware", "command"}
_FALSE_CONTENT = 7
_DATA_DAMAGE = {"sensitive": 9, "credentials": 8, "personal": 7, "proprietary": 7, "other": 3}


@dataclass(frozen=True)
class Score:
    """One score.

    Attributes
    ----------
    value
        0 to 10.
    reason
        Why.
    spread
        Lowest and highest value a measurement allows; None for a guess.
    """

    value: float
    reason: str
    spread: tuple[float, float] | None = None


@dataclass(frozen=True)
class Dread:
    """The five scores of a threat."""

    damage: Score
    reproducibility: Score
    exploitability: Score
    affected: Score
    discoverability: Score

    @property
    def scores(self) -> tuple[Score, ...]:
        """The scores in the order of the name."""
        return tuple(getattr(self, factor) for factor in FACTORS)

    @property
    def risk(self) -> float:
        """Mean of all five."""
        return sum(score.value for score in self.scores) / 5

    @property
    def risk_without_discoverability(self) -> float:
        """Mean of the first four: an attack that is hard to find today is in a paper tomorrow."""
        return sum(score.value for score in self.scores[:4]) / 4

    @property
    def level(self) -> str:
        """The risk in a word."""
        return level_of(self.risk)


def level_of(risk: float) -> str:
    """Return the word for a risk from 0 to 10."""
    return next((name for name, least in THRESHOLDS.items() if risk >= least - 1e-9), LEVELS[0])


def first_guess(
    model: SystemModel, rule: Rule, target: Target, present: Mapping[str, str]
) -> Dread:
    """Score a threat before anybody has measured.

    Parameters
    ----------
    model, rule, target
        The threat.
    present
        Controls in place, and where.
    """
    relief = {control: RELIEF[rule.controls[control]] for control in present}
    reached, where = reach(model, rule, target)
    exploitability = rule.exploitability
    if not reached:
        exploitability = Guess(max(1, exploitability.score - OUT_OF_REACH), where)
    return Dread(
        damage=_damage(model, rule, target),
        reproducibility=_relieved(rule.reproducibility, relief),
        exploitability=_relieved(exploitability, relief),
        affected=_affected(model, rule, target),
        discoverability=Score(rule.discoverability.score, rule.discoverability.reason),
    )


def measured(guess: Dread, measurement: Measurement) -> Dread:
    """Replace the guesses at reproducibility and exploitability by a measurement."""
    reason = f"measured: {measurement}"
    score = Score(measurement.likelihood, reason, measurement.likelihood_range)
    return replace(guess, reproducibility=score, exploitability=score)


def reach(model: SystemModel, rule: Rule, target: Target) -> tuple[bool, str]:
    """Return whether the attacker a rule needs can stand there, and why not."""
    zones = _zones(model, target)
    flows = (
        [*model.into(target.name), *model.out_of(target.name)]
        if isinstance(target, Element)
        else [target]
    )
    exposed = any(zone.hardware == "exposed" for zone in zones)
    on_air = any(vocabulary.PROTOCOLS[flow.protocol].medium == "radio" for flow in flows)
    open_flow = on_air or any(_meets_others(model, flow) for flow in flows)
    tests = {
        "physical": (exposed, "the hardware is guarded"),
        "network": (open_flow or exposed, "it stays between zones of ours"),
        "query": (_asked_by_others(model, target), "only its own zone can ask it"),
        "insider": (
            any(zone.trust != "restricted" for zone in zones),
            "only a few named people come near",
        ),
        "member": (_taught_by_others(model, target), "only its own zone teaches it"),
        "supplier": (open_flow, "it stays between zones of ours"),
    }
    return tests[rule.access]


def _meets_others(model: SystemModel, flow: Flow) -> bool:
    """Whether a flow has an end where people stand who are not ours."""
    ends = (flow.source, flow.target)
    ours = {"operated", "restricted"}
    return model.crosses(flow) and any(model.zone_of(end).trust not in ours for end in ends)


def _zones(model: SystemModel, target: Target) -> list[Zone]:
    ends = [target.name] if isinstance(target, Element) else [target.source, target.target]
    return [model.zone_of(end) for end in ends]


def _asked_by_others(model: SystemModel, target: Target) -> bool:
    if not isinstance(target, Element):
        return True
    origins = OF_ELEMENTS["input-from"].of(model, target, "input-from")
    exposes = OF_ELEMENTS["exposes"].of(model, target, "exposes")
    taught = OF_ELEMENTS["receives"].of(model, target, "receives") & {"telemetry", "prediction"}
    return bool(origins - {"restricted"} or exposes - {"nothing"} or taught)


def _taught_by_others(model: SystemModel, target: Target) -> bool:
    if not isinstance(target, Element):
        return True
    origins = OF_ELEMENTS["taught-by"].of(model, target, "taught-by")
    return bool(origins - {"operated", "restricted"})


def _relieved(guess: Guess, relief: Mapping[str, int]) -> Score:
    if not relief:
        return Score(guess.score, guess.reason)
    value = max(min(1, guess.score), guess.score - sum(relief.values()))
    names = ", ".join(f"{control} -{points}" for control, points in relief.items())
    return Score(value, f"{guess.reason} ({guess.score}); in place: {names}")


def _damage(model: SystemModel, rule: Rule, target: Target) -> Score:
    if isinstance(rule.damage, Guess):
        return Score(rule.damage.score, rule.damage.reason)
    if rule.damage == "wrong-answer":
        what = vocabulary.WRONG_ANSWER[model.wrong_answer]
        return Score(_WRONG_ANSWER[model.wrong_answer], what)
    if rule.damage == "action":
        return _falsified(model, target)
    if rule.damage == "model":
        secret = "proprietary" if model.proprietary else "other"
        reason = "the model is a secret worth money" if model.proprietary else "it is no secret"
        return Score(_DATA_DAMAGE[secret], reason)
    if rule.damage == "training-data":
        words = {"training-data", "input"}
    else:
        words = set(target.data) if not isinstance(target, Element) else _handled(model, target)
    return _worst_data(model, words)


def _falsified(model: SystemModel, target: Target) -> Score:
    """Score what follows when content is false, by what a machine does with it."""
    if isinstance(target, Element):
        words = set(OF_ELEMENTS["receives"].of(model, target, "receives"))
    else:
        words = set(target.data)
    answer = _WRONG_ANSWER[model.wrong_answer]
    if words & _ACTED_ON and answer > _FALSE_CONTENT:
        what = vocabulary.WRONG_ANSWER[model.wrong_answer]
        return Score(answer, f"{', '.join(sorted(words & _ACTED_ON))} is acted on, and {what}")
    return Score(_FALSE_CONTENT, "the receiver acts on the attacker's content")


def _handled(model: SystemModel, element: Element) -> set[str]:
    return set(OF_ELEMENTS["handles"].of(model, element, "handles"))


def _worst_data(model: SystemModel, words: set[str]) -> Score:
    """Score what becomes known by the worst class among the data."""
    if "update" in words:
        words = words | {"training-data"}  # an update is a function of the data behind it
    tests = {
        "sensitive": words & set(model.sensitive),
        "credentials": words & {"credentials"},
        "personal": words & set(model.personal),
        "proprietary": words & {"model", "update"} if model.proprietary else set(),
        "other": words,
    }
    worst = next((name for name, found in tests.items() if found), "other")
    names = ", ".join(sorted(tests[worst])) or "nothing"
    said = {"proprietary": "a secret worth money", "other": "about nobody"}.get(worst, worst)
    reason = names if worst == "credentials" else f"{names}: {said}"
    return Score(_DATA_DAMAGE[worst], reason)


def _affected(model: SystemModel, rule: Rule, target: Target) -> Score:
    ends = [target] if isinstance(target, Element) else [
        model.element(target.source), model.element(target.target)
    ]  # fmt: skip
    among_many = any(end.many for end in ends)
    if rule.affected == "fleet" or (rule.affected == "target" and not among_many):
        fleet = any(element.many for element in model.elements)
        reason = "everybody the system serves" if not fleet else "the whole fleet"
        return Score(9, reason)
    if any(set(end.holds) & {*LEARNING} for end in ends) and not among_many:
        return Score(6, "everybody whose data lie there")
    return Score(3, "one device or person at a time")
