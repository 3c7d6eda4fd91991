"""What a rule can ask about an element or a flow: every attribute, its words, and how it is read.

An attribute gives a set of words from a closed vocabulary. A rule's condition is met when one of
its words is among them, so a condition can be checked completely when it is read: an attribute or
a word that does not exist is an error there, and never a condition that quietly fails.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from helpers.errors import ThreatModelError
from helpers.threats.model import Element, Flow, SystemModel
from helpers.threats.vocabulary import (
    ANSWERS,
    DATA_CLASSES,
    HARDWARE,
    KINDS,
    PROTOCOLS,
    ROLES,
    TRUST,
)

Target = Element | Flow
LEARNING = ("training-data", "labels", "update")
_SHAPES = ("process", "store", "external")
_MEDIA = tuple(dict.fromkeys(protocol.medium for protocol in PROTOCOLS.values()))
_ROLES = (*ROLES, "none")
_ABOUT_PEOPLE = ("no", "personal", "sensitive")


@dataclass(frozen=True)
class Attribute:
    """Something a rule can ask.

    Attributes
    ----------
    meaning
        The question it answers.
    words
        All answers there are.
    read
        Reads the answers off a target.
    """

    meaning: str
    words: Collection[str]
    read: Callable[[SystemModel, Target], Iterable[str]]

    def of(self, model: SystemModel, target: Target, name: str) -> frozenset[str]:
        """Return the answers for one target.

        Raises
        ------
        ThreatModelError
            If reading fails or gives a word outside the vocabulary: a threat may be missing then.
        """
        try:
            found = frozenset(self.read(model, target))
        except Exception as error:  # whatever it is, a threat must not go missing
            raise ThreatModelError(
                f"Attribute {name} of {target.name} cannot be read: "
                f"{type(error).__name__}: {error}. No threat list is given without it."
            ) from error
        if strange := found - frozenset(self.words):
            raise ThreatModelError(
                f"Attribute {name} of {target.name} gave {sorted(map(str, strange))}, which is "
                f"not among its words {sorted(self.words)}."
            )
        return found


def upstream(
    model: SystemModel, element: str, carrying: Collection[str], under: Collection[str] = ()
) -> list[Flow]:
    """Return the flows by which some data reach an element, directly or through others.

    Further up they may travel `under` other names too: what is uploaded as an example is asked
    about later.
    """
    found: dict[str, Flow] = {}
    waiting = [element]
    while waiting:
        at = waiting.pop()
        names = {*carrying} if at == element else {*carrying, *under}
        for flow in model.into(at):
            if flow.name not in found and names & set(flow.data):
                found[flow.name] = flow
                waiting.append(flow.source)
    return list(found.values())


def _origins(model: SystemModel, element: Element, carrying: Collection[str]) -> set[str]:
    """Return the trust of everybody from whom some data come, however far away."""
    origins = set()
    under = ("training-data",) if "input" in carrying else ()
    for flow in upstream(model, element.name, carrying, under):
        source = model.element(flow.source)
        origins.add(model.zone_of(source.name).trust)
        if source.kind == "external-party" or "supplies" in source.roles:
            origins.add("supplier")
        if flow.protocol == "world":
            origins.add("world")
    if "captures" in element.roles and "input" in carrying:
        origins.add("world")
    return origins


def _exposes(model: SystemModel, element: Element) -> set[str]:
    """Return what somebody who is not trusted gets of a model here."""
    found = {"label": {"answers"}, "scores": {"answers", "scores"}}.get(element.answers, set())
    if "model" in element.holds and model.zone_of(element.name).trust in (
        "untrusted", "customer", "partner",
    ):  # fmt: skip
        found = found | {"model"}
    return found or {"nothing"}


def _media(model: SystemModel, element: Element) -> set[str]:
    flows = (*model.into(element.name), *model.out_of(element.name))
    return {PROTOCOLS[flow.protocol].medium for flow in flows}


def _commanded_over(model: SystemModel, element: Element) -> set[str]:
    commands = [flow for flow in model.into(element.name) if "command" in flow.data]
    return {PROTOCOLS[flow.protocol].medium for flow in commands}


def _received(model: SystemModel, element: Element) -> set[str]:
    return {word for flow in model.into(element.name) for word in flow.data}


def _handled(model: SystemModel, element: Element) -> set[str]:
    sent = {word for flow in model.out_of(element.name) for word in flow.data}
    return _received(model, element) | sent | set(element.holds)


def _supplied(model: SystemModel, element: Element) -> set[str]:
    return {
        word
        for flow in model.into(element.name)
        if "supplies" in model.element(flow.source).roles
        for word in flow.data
    }


def _about_people(model: SystemModel, words: Iterable[str]) -> set[str]:
    """Return how far data are about people; an update and a model are what was learned from."""
    found = set(words)
    if found & {"update", "model"}:
        found |= {"training-data"}
    return ({"sensitive"} if found & set(model.sensitive) else set()) | (
        {"personal"} if found & set(model.personal) else {"no"}
    )


def _programmed(_: SystemModel, element: Element, received: set[str]) -> str:
    """Whether there is something in it to replace; a bare sensor has nothing."""
    replaceable = {"firmware", "model", "credentials"} & ({*element.holds} | received)
    return "yes" if element.kind != "sensor" or replaceable else "no"


def _learned_from(model: SystemModel, _: Element) -> set[str]:
    about_people = set(model.personal) & {*LEARNING, "input"}
    return {"personal"} if about_people else {"impersonal"}


def _reachable(model: SystemModel, flow: Flow) -> bool:
    return model.crosses(flow) or PROTOCOLS[flow.protocol].medium in ("radio", "media")


def _of_element(
    meaning: str, words: Collection[str], read: Callable[[SystemModel, Element], Iterable[str]]
) -> Attribute:
    def checked(model: SystemModel, target: Target) -> Iterable[str]:
        assert isinstance(target, Element)
        return read(model, target)

    return Attribute(meaning, words, checked)


def _of_flow(
    meaning: str, words: Collection[str], read: Callable[[SystemModel, Flow], Iterable[str]]
) -> Attribute:
    def checked(model: SystemModel, target: Target) -> Iterable[str]:
        assert isinstance(target, Flow)
        return read(model, target)

    return Attribute(meaning, words, checked)


OF_ELEMENTS = {
    "kind": _of_element("what is it", KINDS, lambda _, e: [e.kind]),
    "shape": _of_element("what shape has it in a diagram", _SHAPES, lambda _, e: [e.shape]),
    "role": _of_element("what does it do for the model", _ROLES, lambda _, e: e.roles or ["none"]),
    "holds": _of_element("what is at rest in it", DATA_CLASSES, lambda _, e: e.holds),
    "answers": _of_element("what do those who ask see", ANSWERS, lambda _, e: [e.answers]),
    "programmed": _of_element(
        "does it run or keep what can be replaced: software, a model, keys", ("yes", "no"),
        lambda model, e: [_programmed(model, e, _received(model, e))],
    ),
    "zone-trust": _of_element(
        "who can touch it", TRUST, lambda model, e: [model.zone_of(e.name).trust]
    ),
    "hardware": _of_element(
        "can a stranger hold it", HARDWARE, lambda model, e: [model.zone_of(e.name).hardware]
    ),
    "reached": _of_element("by what media is it connected", _MEDIA, _media),
    "commanded-over": _of_element("by what media do commands come", _MEDIA, _commanded_over),
    "receives": _of_element("what comes in", DATA_CLASSES, _received),
    "handles": _of_element("what comes in, goes out or rests", DATA_CLASSES, _handled),
    "taught-by": _of_element(
        "from whom, however far away, come the data it learns from",
        (*TRUST, "supplier", "world"), lambda model, e: _origins(model, e, LEARNING),
    ),
    "input-from": _of_element(
        "from whom, however far away, come the inputs it answers",
        (*TRUST, "supplier", "world"), lambda model, e: _origins(model, e, ("input",)),
    ),
    "exposes": _of_element(
        "what of a model does somebody untrusted get here",
        ("answers", "scores", "model", "nothing"), _exposes,
    ),
    "learned-from": _of_element(
        "are the data it learned from about people", ("personal", "impersonal"), _learned_from
    ),
    "about-people": _of_element(
        "are data it handles about people", _ABOUT_PEOPLE,
        lambda model, e: _about_people(model, _handled(model, e)),
    ),
    "receives-from-supplier": _of_element("what do suppliers deliver", DATA_CLASSES, _supplied),
}  # fmt: skip

OF_FLOWS = {
    "data": _of_flow("what does it carry", DATA_CLASSES, lambda _, f: f.data),
    "about-people": _of_flow(
        "are its data about people", _ABOUT_PEOPLE, lambda model, f: _about_people(model, f.data)
    ),
    "medium": _of_flow("how does it travel", _MEDIA, lambda _, f: [PROTOCOLS[f.protocol].medium]),
    "crosses": _of_flow(
        "does it leave its zone", ("yes", "no"),
        lambda model, f: ["yes" if model.crosses(f) else "no"],
    ),
    "reachable": _of_flow(
        "does it leave its zone, or pass through the air or somebody's hands", ("yes", "no"),
        lambda model, f: ["yes" if _reachable(model, f) else "no"],
    ),
    "target-sends": _of_flow(
        "what does the receiver send on or back", DATA_CLASSES,
        lambda model, f: {word for sent in model.out_of(f.target) for word in sent.data},
    ),
    "target-role": _of_flow(
        "what does the receiver do for the model", _ROLES,
        lambda model, f: model.element(f.target).roles or ["none"],
    ),
    "target-trust": _of_flow(
        "who can touch the receiver", TRUST, lambda m, f: [m.zone_of(f.target).trust]
    ),
}  # fmt: skip

ATTRIBUTES = {"element": OF_ELEMENTS, "flow": OF_FLOWS}
