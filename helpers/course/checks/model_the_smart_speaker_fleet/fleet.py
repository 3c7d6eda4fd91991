"""The learner's own model, held against the documents it was read from: q3.

What is missing is told by quoting the sentence that says it, so that the learner reads again
instead of copying a list.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from helpers.course.compare import satisfies
from helpers.course.tasks import Case, FunctionTask
from helpers.errors import ThreatModelError
from helpers.threats import Comparison, Element, Flow, SystemModel, analyse, compare, load, loads
from helpers.threats.engine import controls_on
from helpers.threats.loading import MODELS

_REFERENCE = "smart-speaker"
# Two authors may differ in a few parts, and in how many of the controls they think worth a word.
_LEAST = {"elements": 0.85, "flows": 0.8, "crossings": 0.8, "controls": 0.6}
_MOST_UNWRITTEN = 4
_QUOTED = 3

_MUST_SHOW = {
    "extraction": (2, "Does the model answer, and what does whoever asks get to see (`answers`)?"),
    "flash-read-out": (4, "What does the chip hold, and who can hold the chip (`hardware`)?"),
    "membership-inference": (2, "What of the model does somebody outside get?"),
    "rolled-back-artefact": (13, "What is sent into the owner's home?"),
}

#: Each sentence of the documents, and the parts of the reference that it is about.
SENTENCES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("The speaker stands in its owner's home. Its microphone hears whoever talks in the room, and "
     "a lamp shows everybody when it listens.",
     ("talker", "microphone", "speech")),
    ("The microphone is wired to the wake-word model. The model tells the firmware, in memory, "
     "that the word was said and hands on the sound after it. Only the word gets out, no scores.",
     ("wake-word-model", "audio", "wake")),
    ("The firmware holds a key of its own, starts only signed code, checks the signature of what "
     "it installs, and uploads nothing unless the owner agreed.",
     ("speaker",)),
    ("Model, firmware and keys lie in a flash chip on the board; its debug port is locked. The "
     "model is loaded from there, and the firmware writes updates to it.",
     ("flash", "load-model", "write-flash")),
    ("The owner changes settings in an app on a phone, which leaves the home with its owner and "
     "talks to the firmware by Bluetooth Low Energy without bonding.",
     ("companion-app", "settings")),
    ("If the owner agreed, the firmware sends clips of mistakes, no more than is needed, and "
     "counts of false alarms to our cloud interface over HTTPS. The interface checks their form, "
     "limits how often a device may send, and keeps an audit log.",
     ("cloud-api", "upload-clips")),
    ("It files the clips in a clip store, over HTTPS. The store keeps clips and labels encrypted, "
     "open to named people only, and deletes them on a date. Every service behind the interface "
     "checks what each request may do.",
     ("clip-store", "store-clips")),
    ("A labelling desk fetches the clips without names, plays them over HTTPS to contractors who "
     "sit at home, takes their labels and files these in the clip store. The desk is open to "
     "named people, keeps an audit log, and shows only clips with consent.",
     ("label-desk", "listener", "fetch-clips", "play-clip", "send-label", "store-labels")),
    ("Retraining reads clips and labels from the store, of consenting owners only, and the counts "
     "of false alarms from the cloud interface. It keeps its model, which must pass a test on "
     "clips that nobody outside can write.",
     ("trainer", "read-examples", "count-false-alarms")),
    ("The new model goes over HTTPS to the signing service, in the release zone that a few named "
     "people may enter. Its keys never leave a secure element, two people must agree, and an "
     "audit log is kept.",
     ("signing-service", "propose-model")),
    ("A release engineer, who logs in with a second factor, orders the signing service over "
     "HTTPS to release; a second one has to agree.",
     ("release-engineer", "approve-release")),
    ("Signed models and firmware go over mutual TLS to the registry of the release zone; named "
     "people can open it, and it is backed up.",
     ("registry", "sign-release")),
    ("The update service in the cloud fetches the signed releases over HTTPS and sends them over "
     "HTTPS to a few speakers first, then to all.",
     ("update-service", "fetch-release", "update-fleet")),
    ("Speakers are built by a factory abroad, under contract, which writes the first firmware and "
     "a key into each of them.",
     ()),
)  # fmt: skip


def _reference() -> str:
    return (MODELS / f"{_REFERENCE}.yaml").read_text("utf-8")


def _problem(args: tuple[Any, ...], got: Any) -> str | None:
    if not isinstance(got, str):
        return "return the model as one string of YAML"
    try:
        own = replace(loads(got, "your model"), acceptances=())  # decisions come later
    except ThreatModelError as error:
        return _with_lines(str(error), got)
    reference = load(_REFERENCE)
    found = compare(own, reference)
    return (
        _facts(own, reference)
        or _coverage(own, reference, found)
        or _decisive(own)
        or _unwritten(own, reference)
    )


def _with_lines(message: str, text: str) -> str:
    """Quote each line that an error names: the text has no line numbers beside it."""
    lines = text.splitlines()

    def quote(match: re.Match[str]) -> str:
        number = int(match[1])
        known = 1 <= number <= len(lines)
        return f"{match[0]}, `{lines[number - 1].strip()[:60]}`" if known else match[0]

    return re.sub(r"line (\d+)", quote, message)


def _facts(own: SystemModel, reference: SystemModel) -> str | None:
    """Compare what is said of the system as a whole; the damage of every threat hangs on it."""
    for word in reference.sensitive:
        if word not in own.sensitive:
            return f"{word} is what people say at home: put it under `personal` and `sensitive`"
    if not own.proprietary:
        return "the model is what a competitor wants: write `proprietary: yes`"
    return None


def _coverage(own: SystemModel, reference: SystemModel, found: Comparison) -> str | None:
    tallies = {
        "elements": (found.elements.found, found.elements.of),
        "flows": (found.flows.found, found.flows.of),
        "crossings": _crossings(own, reference, found),
        "controls": (found.controls.found, found.controls.of),
    }
    short = [name for name, (has, of) in tallies.items() if has < _LEAST[name] * of]
    if not short:
        return None
    counted = ", ".join(f"{name} {has} of {of}" for name, (has, of) in tallies.items())
    asked = "; ".join(f"at least {_LEAST[name]:.0%} of the {name}" for name in short)
    paired = {pair.reference for pair in found.pairs}
    missed = {part.name for part in reference.targets if part.name not in paired}
    if short == ["crossings"]:
        missed = _wrong_side(own, reference, found)
    if short == ["controls"]:
        titles = {text.split(" on ", 1)[1] for text in found.controls.missed}
        missed = {p.name for p in reference.targets if reference.target_title(p.name) in titles}
    return "\n".join([f"Found: {counted}. Asked for: {asked}.", *_quotes(missed, short)])


def _crossings(own: SystemModel, reference: SystemModel, found: Comparison) -> tuple[int, int]:
    crossing = [flow.name for flow in reference.flows if reference.crosses(flow)]
    mine = {flow.name for flow in own.flows if own.crosses(flow)}
    return sum(p.reference in crossing and p.own in mine for p in found.pairs), len(crossing)


def _wrong_side(own: SystemModel, reference: SystemModel, found: Comparison) -> set[str]:
    flows = {flow.name: flow for flow in own.flows}
    there = {flow.name: reference.crosses(flow) for flow in reference.flows}
    return {
        pair.reference
        for pair in found.pairs
        if pair.own in flows and there.get(pair.reference) and not own.crosses(flows[pair.own])
    }


def _quotes(missed: set[str], short: list[str]) -> list[str]:
    what = {
        "controls": "says more about protection than your model",
        "crossings": "has data go to other hands; in your model they stay in one zone",
    }.get(short[0], "is not all in your model")
    numbers = [n for n, (_, parts) in enumerate(SENTENCES) if missed & set(parts)]
    return [f"Sentence {n + 1} {what}: “{SENTENCES[n][0]}”" for n in numbers[:_QUOTED]] + (
        [f"And sentences {', '.join(str(n + 1) for n in numbers[_QUOTED:])}."]
        if numbers[_QUOTED:]
        else []
    )


def _decisive(own: SystemModel) -> str | None:
    """Ask for the few words without which what the rest of the lab is about does not show."""
    if not any(element.kind == "device" for element in own.elements):
        return f"What runs the firmware is of kind `device`. Sentence 3: “{SENTENCES[2][0]}”"
    rules = {threat.rule.id for threat in analyse(own).threats}
    for rule, (number, question) in _MUST_SHOW.items():
        if rule not in rules:
            return f"{question} Sentence {number}: “{SENTENCES[number - 1][0]}”"
    for store in (element for element in own.elements if element.shape == "store"):
        sent = {word for flow in own.out_of(store.name) for word in flow.data}
        if not_held := sorted(sent - set(store.holds)):
            return f"{store.name} hands on {', '.join(not_held)}: what it keeps goes under `holds`."
    return None


def _unwritten(own: SystemModel, reference: SystemModel) -> str | None:
    """Refuse controls that no document speaks of: they would make threats smaller by wishing."""
    there = {part.name: part for part in reference.targets}
    partners = {pair.own: there[pair.reference] for pair in compare(own, reference).pairs}
    claimed = [
        f"{control} on {part.name}"
        for part in own.targets
        if part.name in partners
        for control in part.controls
        if control not in _written(reference, partners[part.name])
    ]
    if len(claimed) <= _MOST_UNWRITTEN:
        return None
    return (
        f"{len(claimed)} controls stand in your model that no document speaks of, such as "
        f"{'; '.join(claimed[:3])}. What is not written down is open: leave it out, and ask."
    )


def _written(reference: SystemModel, part: Element | Flow) -> set[str]:
    """Return the controls of a part, of its flows or its ends, and of their protocols."""
    own = set(controls_on(reference, part))
    if isinstance(part, Flow):
        return own
    flows = (*reference.into(part.name), *reference.out_of(part.name))
    return own.union(*(flow.protected_by for flow in flows))


FLEET = FunctionTask(
    "q3", "Model it", 4, _reference, lambda rng: [Case((), "your model")], satisfies(_problem),
    "Go through the documents sentence by sentence: who acts or stores, what goes where, who can "
    "touch it, what protects it. MENU lists every word.",
    show_expected=False,
    time_limit=20.0,
)  # fmt: skip
