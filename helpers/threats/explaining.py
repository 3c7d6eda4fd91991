"""What a word of this room means: a rule, a control, a kind, a metric, an attribute, an id.

The name of a field of a model file is such a word too, and means the words that it takes.
"""

from __future__ import annotations

from collections.abc import Mapping

from helpers._text import nearest, shown
from helpers.errors import ThreatModelError
from helpers.threats import vocabulary
from helpers.threats.attributes import ATTRIBUTES
from helpers.threats.dread import RELIEF
from helpers.threats.measurement import METRICS
from helpers.threats.rules import ACCESS, STRIDE, Guess, Rule, all_rules

_TRUST = {name: who for name, (who, _) in vocabulary.TRUST.items()}


def explain(word: str) -> str:
    """Return what a word means, with all that this room knows of it.

    Raises
    ------
    ThreatModelError
        If it is no word of this room; with the nearest.
    """
    known = _known()
    if word not in known:
        raise ThreatModelError(f"unknown word {shown(word)}; {nearest(word, known)}")
    return "\n\n".join(known[word])


def _known() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}

    def add(word: str, text: str) -> None:
        found.setdefault(word, []).append(text)

    for name, words_of in _fields().items():
        listed = [f"  {word}: {meaning}" for word, meaning in words_of.items()]
        add(name, "\n".join(["field of a model file; it takes", *listed]))
    for rule in all_rules():
        add(rule.id, _rule(rule))
    for control in vocabulary.controls().values():
        add(control.name, _control(control))
    for name, kind in vocabulary.KINDS.items():
        roles = f"; roles: {', '.join(kind.roles)}" if kind.roles else ""
        add(name, f"kind of element ({kind.shape}): {kind.meaning}{roles}")
    for name, protocol in vocabulary.PROTOCOLS.items():
        brings = f"; brings {', '.join(protocol.provides)}" if protocol.provides else ""
        add(name, f"protocol ({protocol.medium}): {protocol.meaning}{brings}")
    for name, metric in METRICS.items():
        points = ", ".join(f"{value:g} → {score:g}" for value, score in metric.points)
        add(name, f"metric: {metric.meaning}\nlikelihood: {points}; {metric.reason}")
    for on, attributes in ATTRIBUTES.items():
        for name, attribute in attributes.items():
            words = ", ".join(attribute.words)
            add(name, f"attribute of {_a(on)}: {attribute.meaning}?\nwords: {words}")
    plain: dict[str, Mapping[str, str]] = {
        "role": vocabulary.ROLES, "data class": vocabulary.DATA_CLASSES,
        "hardware": vocabulary.HARDWARE, "kind of answer": vocabulary.ANSWERS,
        "consequence of a wrong answer": vocabulary.WRONG_ANSWER,
        "trust": _TRUST,
    }  # fmt: skip
    for what, meanings in plain.items():
        for name, meaning in meanings.items():
            add(name, f"{what}: {meaning}")
    for taxonomy in vocabulary.taxonomies().values():
        for identity, name in taxonomy["ids"].items():
            add(identity, f"{taxonomy['title']} {taxonomy['version']}: {name}{_used_by(identity)}")
    return found


def _fields() -> dict[str, Mapping[str, str]]:
    """Return the fields of a model file that take words of a list, with that list."""
    data = vocabulary.DATA_CLASSES
    return {
        "personal": data, "sensitive": data, "wrong_answer": vocabulary.WRONG_ANSWER,
        "trust": _TRUST, "hardware": vocabulary.HARDWARE,
        "kind": {name: kind.meaning for name, kind in vocabulary.KINDS.items()},
        "roles": vocabulary.ROLES, "holds": data, "answers": vocabulary.ANSWERS, "data": data,
        "protocol": {name: p.meaning for name, p in vocabulary.PROTOCOLS.items()},
        "controls": {name: c.meaning for name, c in vocabulary.controls().items()},
    }  # fmt: skip


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _rule(rule: Rule) -> str:
    conditions = [f"  {name}: {', '.join(words)}" for name, words in rule.when.items()]
    conditions += [f"  not {name}: {', '.join(words)}" for name, words in rule.unless.items()]
    guesses = {
        "damage": rule.damage, "reproducibility": rule.reproducibility,
        "exploitability": rule.exploitability, "discoverability": rule.discoverability,
    }  # fmt: skip
    scores = [
        f"  {name} {guess.score}: {guess.reason}" if isinstance(guess, Guess)
        else f"  {name} by {guess}, as the system model says"
        for name, guess in guesses.items()
    ]  # fmt: skip
    helps = [
        f"  {control} ({strength}, -{RELIEF[strength]})"
        for control, strength in rule.controls.items()
    ]
    stride = ", ".join(STRIDE[letter] for letter in rule.stride)
    lines = [
        f"rule: {rule.title} ({stride})", rule.what.replace("{target}", "it"), rule.why,
        f"applies to {_a(rule.on)} with", *conditions, f"access: {ACCESS[rule.access]}",
        "first guess", *scores, f"  affected: {rule.affected}", "helps", *helps,
        "measured by", *(f"  {measure}" for measure in rule.measures),
        "ids: " + (", ".join(i for ids in rule.ids.values() for i in ids)),
    ]  # fmt: skip
    return "\n".join(lines)


def _control(control: vocabulary.Control) -> str:
    against = [rule.id for rule in all_rules() if control.name in rule.controls]
    lines = [f"control on {', '.join(control.on)}: {control.meaning}"]
    if control.travels:
        lines.append("done in training; protects the model wherever it goes")
    if control.atlas:
        name = vocabulary.taxonomies()["atlas_mitigations"]["ids"][control.atlas]
        lines.append(f"nearest in MITRE ATLAS: {control.atlas} {name}")
    if against:
        lines.append(f"against: {', '.join(against)}")
    return "\n".join(lines)


def _used_by(identity: str) -> str:
    users = [rule.id for rule in all_rules() if any(identity in ids for ids in rule.ids.values())]
    return f"\nused by: {', '.join(users)}" if users else ""
