"""The system model: zones of trust, what stands in them, and what flows between.

Built in Python or read from YAML (:mod:`helpers.threats.loading`), it is checked in full when it is
made: a word that does not exist, a name that nothing bears, or a combination that cannot be is an
error, never a threat that goes missing.
"""

from __future__ import annotations

import datetime
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass, field

from helpers._reading import Problem, refuse
from helpers._section import NAME
from helpers._text import nearest, shown
from helpers.errors import ThreatModelError
from helpers.threats import vocabulary

LEVELS = ("low", "medium", "high", "critical")
_MOST_ELEMENTS, _MOST_FLOWS = 200, 500
_MOST_PROBLEMS = 100  # of one model; a name that is nearly right is looked for among all
# Where a problem sits: ("flows", "upload", "protocol"), so that a file can say on which line.
Place = tuple[str, ...]


@dataclass(frozen=True)
class Zone:
    """An area in which everybody who can touch a machine is trusted alike.

    Attributes
    ----------
    name
        Its name.
    trust
        A word of :data:`~helpers.threats.vocabulary.TRUST`: who can touch what stands here.
    hardware
        A word of :data:`~helpers.threats.vocabulary.HARDWARE`.
    title
        What people call it.
    """

    name: str
    trust: str
    hardware: str = "guarded"
    title: str = ""


@dataclass(frozen=True)
class Element:
    """Something that acts on data, holds them, or stands outside.

    Attributes
    ----------
    name
        Its name.
    kind
        A word of :data:`~helpers.threats.vocabulary.KINDS`.
    zone
        Name of its zone.
    roles
        What it does for the model, words of :data:`~helpers.threats.vocabulary.ROLES`.
    holds
        Data classes at rest in it.
    answers
        What whoever asks gets to see, a word of :data:`~helpers.threats.vocabulary.ANSWERS`.
    many
        Whether it stands for many alike, such as every device of a fleet.
    controls
        What protects it, words of :func:`~helpers.threats.vocabulary.controls`.
    title
        What people call it.
    code
        File that implements it, where there is one.
    """

    name: str
    kind: str
    zone: str
    roles: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    answers: str = "none"
    many: bool = False
    controls: tuple[str, ...] = ()
    title: str = ""
    code: str = ""

    @property
    def shape(self) -> str:
        """Its shape in a data-flow diagram."""
        return vocabulary.KINDS[self.kind].shape


@dataclass(frozen=True)
class Flow:
    """Data on their way from one element to another.

    Attributes
    ----------
    name
        Its name.
    source, target
        Names of elements.
    data
        Data classes that it carries.
    protocol
        A word of :data:`~helpers.threats.vocabulary.PROTOCOLS`.
    controls
        What protects it beyond what the protocol provides.
    title
        What people call it.
    """

    name: str
    source: str
    target: str
    data: tuple[str, ...]
    protocol: str
    controls: tuple[str, ...] = ()
    title: str = ""

    @property
    def protected_by(self) -> tuple[str, ...]:
        """Its controls and those of its protocol."""
        return (*vocabulary.PROTOCOLS[self.protocol].provides, *self.controls)


@dataclass(frozen=True)
class Acceptance:
    """A named person's decision to live with a threat, up to a level and until a day.

    Attributes
    ----------
    threat
        Id of the threat, ``rule@target``.
    level
        Highest level that is accepted; above it the acceptance no longer holds.
    by, reason
        Who decided, and why.
    on, until
        First and last day on which it holds.
    """

    threat: str
    level: str
    by: str
    reason: str
    on: datetime.date
    until: datetime.date

    def covers(self, level: str, today: datetime.date) -> bool:
        """Whether it holds today for a risk of this level."""
        return self.on <= today <= self.until and LEVELS.index(level) <= LEVELS.index(self.level)


@dataclass(frozen=True)
class SystemModel:
    """A system, whole and checked.

    Attributes
    ----------
    name, title, description
        What it is called and what it is.
    zones, elements, flows
        Its parts.
    personal, sensitive
        Data classes that are about people here, and those that the law protects specially.
    wrong_answer
        What a wrong answer does, a word of :data:`~helpers.threats.vocabulary.WRONG_ANSWER`.
    proprietary
        Whether the model itself is a secret worth stealing.
    acceptances
        Recorded decisions.
    locate
        Gives the line of a place in a file, for errors.

    Raises
    ------
    ThreatModelError
        If a part is not as it must be; with every problem and the nearest valid word.
    """

    name: str
    zones: tuple[Zone, ...]
    elements: tuple[Element, ...]
    flows: tuple[Flow, ...]
    title: str = ""
    description: str = ""
    personal: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()
    wrong_answer: str = "loss"
    proprietary: bool = False
    acceptances: tuple[Acceptance, ...] = ()
    locate: InitVar[Callable[[Place], int] | None] = None
    _locate: Callable[[Place], int] | None = field(init=False, repr=False, compare=False)
    _index: _Index = field(init=False, repr=False, compare=False)

    def __post_init__(self, locate: Callable[[Place], int] | None) -> None:
        object.__setattr__(self, "_locate", locate)
        # A stranger's model is not looked through before its size is known, nor for every mistake.
        for found in (_sizes(self), itertools.islice(problems(self), _MOST_PROBLEMS)):
            located = [Problem(text, self.line_of(place)) for place, text in found]
            which = ", the first of them" if len(located) == _MOST_PROBLEMS else ""
            refuse(f"model {shown(self.name)}{which}", located, ThreatModelError)
        object.__setattr__(self, "_index", _Index(self))

    def line_of(self, place: Place) -> int:
        """Return the line of a place in the file it was read from, 0 if there is none."""
        return self._locate(place) if self._locate else 0

    def element(self, name: str) -> Element:
        """Return the element with this name."""
        return self._index.elements[name]

    def zone_of(self, element: str) -> Zone:
        """Return the zone in which an element stands."""
        return self._index.zones[self.element(element).zone]

    @property
    def targets(self) -> tuple[Element | Flow, ...]:
        """Everything that can be threatened: elements, then flows."""
        return (*self.elements, *self.flows)

    def into(self, element: str) -> list[Flow]:
        """Return the flows that end at an element."""
        return self._index.into[element]

    def out_of(self, element: str) -> list[Flow]:
        """Return the flows that start at an element."""
        return self._index.out_of[element]

    def crosses(self, flow: Flow) -> bool:
        """Whether a flow leaves its zone."""
        return self.element(flow.source).zone != self.element(flow.target).zone

    def target_title(self, name: str) -> str:
        """Return what people call an element or a flow."""
        title = self._index.titles[name]
        return title or name.replace("-", " ")


class _Index:
    """The parts of a model by name, so that a large one is looked through once."""

    def __init__(self, model: SystemModel) -> None:
        self.elements = {element.name: element for element in model.elements}
        self.zones = {zone.name: zone for zone in model.zones}
        self.titles = {part.name: part.title for part in model.targets}
        self.into: dict[str, list[Flow]] = {name: [] for name in self.elements}
        self.out_of: dict[str, list[Flow]] = {name: [] for name in self.elements}
        for flow in model.flows:
            self.into[flow.target].append(flow)
            self.out_of[flow.source].append(flow)


def problems(model: SystemModel) -> Iterator[tuple[Place, str]]:
    """Yield what is wrong with a model, and where."""
    yield from _names(model)
    yield from _word(("wrong_answer",), model.wrong_answer, vocabulary.WRONG_ANSWER, "consequence")
    for key in ("personal", "sensitive"):
        words = getattr(model, key)
        yield from _words((key,), words, vocabulary.DATA_CLASSES, "data class")
    for element in model.elements:
        if element.kind in vocabulary.KINDS and element.shape == "store":
            yield from _from_nowhere(model, element)
    for word in model.sensitive:
        if word not in model.personal:
            yield ("sensitive",), f"{shown(word)} is sensitive but not under personal: add it there"
    for zone in model.zones:
        yield from _word(("zones", zone.name, "trust"), zone.trust, vocabulary.TRUST, "trust")
        at: Place = ("zones", zone.name, "hardware")
        yield from _word(at, zone.hardware, vocabulary.HARDWARE, "hardware")
    for element in model.elements:
        yield from _element_problems(model, element)
    for flow in model.flows:
        yield from _flow_problems(model, flow)
    for acceptance in model.acceptances:
        at = ("acceptances", acceptance.threat)
        yield from _word(at, acceptance.level, LEVELS, "level")
        if acceptance.until < acceptance.on:
            yield at, f"acceptance of {shown(acceptance.threat)} ends before it begins"


def _sizes(model: SystemModel) -> Iterator[tuple[Place, str]]:
    for what, least, parts, most in (
        ("zones", 1, model.zones, 50),
        ("elements", 1, model.elements, _MOST_ELEMENTS),
        ("flows", 0, model.flows, _MOST_FLOWS),
    ):
        if not least <= len(parts) <= most:
            yield (what,), f"a model has {least} to {most} {what}; this one has {len(parts)}"


def _names(model: SystemModel) -> Iterator[tuple[Place, str]]:
    if not NAME.fullmatch(model.name):
        yield ("name",), f"{shown(model.name)} is no name: use lower-case letters, digits, hyphens"
    named = [(what, part.name) for what in ("zones", "elements", "flows")
             for part in getattr(model, what)]  # fmt: skip
    for what, name in named:
        if not NAME.fullmatch(name):
            yield (what, name), f"{shown(name)} is no name: use lower-case letters, digits, hyphens"
    # Elements and flows share one space of names: a threat's id names its target by one word.
    for name, count in Counter(n for what, n in named if what != "zones").items():
        if count > 1:
            yield ("flows", name), f"{shown(name)} names {count} elements or flows: rename one"
    for name, count in Counter(n for what, n in named if what == "zones").items():
        if count > 1:
            yield ("zones", name), f"{shown(name)} names {count} zones: rename one"


def _element_problems(model: SystemModel, element: Element) -> Iterator[tuple[Place, str]]:
    place: Place = ("elements", element.name)
    zones = [zone.name for zone in model.zones]
    yield from _word((*place, "zone"), element.zone, zones, "zone")
    yield from _words((*place, "holds"), element.holds, vocabulary.DATA_CLASSES, "data class")
    yield from _words((*place, "roles"), element.roles, vocabulary.ROLES, "role")
    yield from _word((*place, "answers"), element.answers, vocabulary.ANSWERS, "kind of answer")
    known_controls = vocabulary.controls()
    yield from _words((*place, "controls"), element.controls, known_controls, "control")
    yield from _word((*place, "kind"), element.kind, vocabulary.KINDS, "kind")
    kind = vocabulary.KINDS.get(element.kind)
    if kind is None:
        return
    for role in element.roles:
        if role in vocabulary.ROLES and role not in kind.roles:
            can = ", ".join(kind.roles) or "none"
            yield (*place, "roles"), f"a {element.kind} cannot have the role {role}; it can: {can}"
    if element.answers != "none" and "infers" not in element.roles:
        yield (*place, "answers"), f"{element.name} answers but has not the role infers"
    for control in element.controls:
        if control in known_controls and kind.shape not in known_controls[control].on:
            fits = ", ".join(known_controls[control].on)
            text = f"{control} cannot stand on a {element.kind} ({kind.shape}); it fits: {fits}"
            yield (*place, "controls"), text


def _from_nowhere(model: SystemModel, store: Element) -> Iterator[tuple[Place, str]]:
    """Yield what a store gives away without having it: a threat upstream would go missing."""
    had = {*store.holds}.union(*(flow.data for flow in model.flows if flow.target == store.name))
    for flow in model.flows:
        for word in flow.data:
            if flow.source == store.name and word in vocabulary.DATA_CLASSES and word not in had:
                text = f"{store.name} sends {word} and neither holds nor receives it"
                yield (
                    ("flows", flow.name, "data"),
                    f"{text}: add it to holds, or draw what brings it",
                )


def _flow_problems(model: SystemModel, flow: Flow) -> Iterator[tuple[Place, str]]:
    place: Place = ("flows", flow.name)
    by_name = {element.name: element for element in model.elements}
    yield from _word((*place, "from"), flow.source, by_name, "element")
    yield from _word((*place, "to"), flow.target, by_name, "element")
    yield from _words((*place, "data"), flow.data, vocabulary.DATA_CLASSES, "data class")
    if not flow.data:
        yield (*place, "data"), f"flow {flow.name} carries nothing: name its data"
    known_controls = vocabulary.controls()
    yield from _words((*place, "controls"), flow.controls, known_controls, "control")
    for control in flow.controls:
        if control in known_controls and "flow" not in known_controls[control].on:
            yield (*place, "controls"), f"{control} cannot stand on a flow; put it on an element"
    yield from _word((*place, "protocol"), flow.protocol, vocabulary.PROTOCOLS, "protocol")
    ends = [by_name.get(flow.source), by_name.get(flow.target)]
    if None not in ends and all(end.kind in vocabulary.KINDS for end in ends if end):
        yield from _impossible(flow, *[end for end in ends if end])


def _impossible(flow: Flow, source: Element, target: Element) -> Iterator[tuple[Place, str]]:
    """Yield what two ends and a protocol cannot be together."""
    place: Place = ("flows", flow.name)
    if source is target:
        yield place, f"flow {flow.name} ends where it starts: leave it out"
    if "process" not in (source.shape, target.shape) and flow.protocol != "person":
        text = f"neither {source.name} nor {target.name} is a process, and data do not move alone"
        yield place, f"{text}: put the program that moves them in between"
    protocol = vocabulary.PROTOCOLS.get(flow.protocol)
    if protocol is None:
        return
    if protocol.medium in ("memory", "wiring") and source.zone != target.zone:
        text = f"{flow.protocol} joins parts of one machine, but {source.name} and {target.name}"
        yield (*place, "protocol"), f"{text} stand in two zones"
    if protocol.medium == "world" and "captures" not in target.roles:
        yield (*place, "protocol"), f"{target.name} cannot sense the world: it lacks role captures"
    if protocol.medium == "world" and flow.controls:
        yield (*place, "controls"), "the physical world carries no control: put it on the sensor"


def _word(
    place: Place, word: str, known: Mapping[str, object] | Sequence[str], what: str
) -> Iterator[tuple[Place, str]]:
    if word not in known:
        yield place, f"unknown {what} {shown(word)}; {nearest(word, known)}"


def _words(
    place: Place, words: Sequence[str], known: Mapping[str, object], what: str
) -> Iterator[tuple[Place, str]]:
    for word in words:
        yield from _word(place, word, known, what)
    for word, count in Counter(words).items():
        if count > 1:
            yield place, f"{what} {shown(word)} stands {count} times: once is enough"
