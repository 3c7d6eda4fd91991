"""Read a system model from YAML: a file, a text, or one of the models that ship.

A whole model, small::

    name: bird-feeder
    title: A camera that names birds
    personal: [input]               # data about people: whoever walks past
    wrong_answer: nuisance          # or loss, or injury
    zones:
      garden: {trust: customer, hardware: exposed}
      cloud: {trust: operated}
    elements:
      camera: {kind: sensor, zone: garden, roles: [captures], many: yes}
      feeder:
        kind: device
        zone: garden
        roles: [infers]
        answers: label
        holds: [model]
        many: yes
        controls: [secure-boot]
      releases: {kind: update-service, zone: cloud, roles: [distributes], holds: [model]}
    flows:
      frames: {from: camera, to: feeder, data: [input], protocol: wiring}
      update: {from: releases, to: feeder, data: [model], protocol: https}
    acceptances:
      - threat: flash-read-out@feeder
        level: high
        by: A. Person, product owner
        reason: the model is public
        on: 2026-06-01
        until: 2026-12-31

``edgesec threats explain protocol`` lists the words that this field takes, and so for ``kind``,
``roles``, ``controls`` and the others; with one of these words it says what that means. A question
to a model is ``input``, its answer ``prediction``. A receiver of satellite signals is a ``sensor``
that senses the ``world``. What a store sends it must hold or receive.

Fields of an element and a flow are those of :class:`~helpers.threats.model.Element` and
:class:`~helpers.threats.model.Flow`, with ``from`` and ``to`` for the ends of a flow.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from helpers._files import exists
from helpers._reading import Node, Problem, parse, read_file, refuse
from helpers._section import Section
from helpers._text import nearest, shown
from helpers.errors import ThreatModelError
from helpers.threats.model import Acceptance, Element, Flow, Place, SystemModel, Zone

MODELS = Path(__file__).parent / "models"


def shipped() -> list[str]:
    """Return the names of the models that ship."""
    return sorted(path.stem for path in MODELS.glob("*.yaml"))


def load(name_or_path: str | Path) -> SystemModel:
    """Load a model that ships, by its name, or one of your own, by its path.

    Parameters
    ----------
    name_or_path
        Such as ``"smart-speaker"``, or ``"mine.yaml"``.

    Raises
    ------
    ThreatModelError
        If there is none, or it is not as it must be; with every problem, its line, and the nearest
        valid word.
    """
    path = Path(name_or_path)
    if str(name_or_path) in shipped():
        path = MODELS / f"{name_or_path}.yaml"
    elif path.suffix not in (".yaml", ".yml") and not exists(path):
        near = nearest(str(name_or_path), shipped())
        raise ThreatModelError(
            f"There is no model {shown(str(name_or_path))}; {near} "
            "A file of your own ends in .yaml."
        )
    return loads(read_file(path, ThreatModelError), path.name)


def loads(text: str, source: str = "model") -> SystemModel:
    """Read a model from YAML text.

    Parameters
    ----------
    text
        At most 256 KiB.
    source
        What to call it in an error.

    Raises
    ------
    ThreatModelError
        As for :func:`load`.
    """
    root = parse(text, source, ThreatModelError)
    found: list[Problem] = []
    parts = _parts(Section(root, "the model", found))
    # A field that could not be read has left a gap; what follows from the gap is noise.
    refuse(source, found, ThreatModelError)
    return SystemModel(**parts, locate=functools.partial(_line, root))


def _parts(section: Section) -> dict[str, Any]:
    parts = {
        "name": section.text("name", most=64),
        "title": section.text("title", ""),
        "description": section.text("description", "", most=4000),
        "personal": section.words("personal"),
        "sensitive": section.words("sensitive"),
        "wrong_answer": section.text("wrong_answer", "loss"),
        "proprietary": section.flag("proprietary"),
        "zones": section.named("zones", _zone),
        "elements": section.named("elements", _element),
        "flows": section.named("flows", _flow),
        "acceptances": section.listed("acceptances", _acceptance),
    }
    section.finish()
    return parts


def _zone(name: str, section: Section) -> Zone:
    return Zone(
        name,
        section.text("trust"),
        section.text("hardware", "guarded"),
        section.text("title", ""),
    )


def _element(name: str, section: Section) -> Element:
    return Element(
        name,
        section.text("kind"),
        section.text("zone"),
        section.words("roles"),
        section.words("holds"),
        section.text("answers", "none"),
        section.flag("many"),
        section.words("controls"),
        section.text("title", ""),
        section.text("code", ""),
    )


def _flow(name: str, section: Section) -> Flow:
    return Flow(
        name,
        section.text("from"),
        section.text("to"),
        section.words("data"),
        section.text("protocol"),
        section.words("controls"),
        section.text("title", ""),
    )


def _acceptance(section: Section) -> Acceptance:
    return Acceptance(
        section.text("threat"),
        section.text("level"),
        section.text("by"),
        section.text("reason", most=2000),
        section.day("on"),
        section.day("until"),
    )


def _line(root: Node, place: Place) -> int:
    """Return the line of a place, or of the nearest part around it that is in the file."""
    node = root
    for step in place:
        if isinstance(node.value, list):
            return next((n.line for n in node.value if _names(n, step)), node.line)
        if not isinstance(node.value, dict) or step not in node.value:
            return node.line
        node = node.value[step]
    return node.line


def _names(entry: Node, threat: str) -> bool:
    return (
        isinstance(entry.value, dict)
        and "threat" in entry.value
        and entry.value["threat"].value == threat
    )
