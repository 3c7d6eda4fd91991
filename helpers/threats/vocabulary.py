"""The words of a system model: what there is, what it may do, and what each word means.

A closed vocabulary is what lets a typo be an error. Everything that looks at a model (rules,
checks, diagrams, comparison) uses these words and no others.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers._reading import Problem, parse, read_file, refuse
from helpers._section import Section
from helpers.errors import ThreatModelError

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Kind:
    """A kind of element.

    Attributes
    ----------
    meaning
        What it is.
    shape
        Its shape in a data-flow diagram: ``"process"``, ``"store"`` or ``"external"``. It decides
        which STRIDE threats apply.
    roles
        ML roles that it may have.
    """

    meaning: str
    shape: str
    roles: tuple[str, ...] = ()


KINDS = {
    "device": Kind(
        "a computer in the field that may sense, infer and train", "process",
        ("captures", "infers", "trains", "evaluates"),
    ),
    "sensor": Kind("turns the physical world into data", "process", ("captures",)),
    "store": Kind("data at rest: a disk, a flash chip, a database", "store"),
    "model": Kind("a trained model that answers", "process", ("infers",)),
    "trainer": Kind("computes an update or a model from data", "process", ("trains", "evaluates")),
    "aggregator": Kind(
        "combines what many trainers send", "process", ("aggregates", "evaluates", "distributes")
    ),
    "registry": Kind("keeps released models and firmware", "store"),
    "update-service": Kind("sends artefacts to devices", "process", ("distributes",)),
    "service": Kind(
        "any other program: a gateway, an app, a back end", "process",
        ("infers", "evaluates", "distributes", "labels"),
    ),
    "operator": Kind("a person of ours", "external", ("labels", "queries")),
    "external-party": Kind(
        "a person or organisation that is not ours", "external", ("labels", "queries", "supplies")
    ),
}  # fmt: skip

ROLES = {
    "captures": "records examples or inputs",
    "labels": "says what an example is",
    "trains": "fits a model to data",
    "aggregates": "combines updates into a model",
    "evaluates": "decides whether a model is good enough",
    "distributes": "hands a model to those who run it",
    "infers": "answers with a model",
    "queries": "asks a model and sees its answers",
    "supplies": "delivers data, models or software from outside",
}

DATA_CLASSES = {
    "input": "what a model is asked about",
    "training-data": "examples that a model is fitted to",
    "labels": "what the examples are said to be",
    "update": "what training sends: weights, gradients, or activations of a split network",
    "model": "a model's weights, as a file or in a message",
    "prediction": "a model's answer",
    "firmware": "software for a device",
    "telemetry": "what devices report about themselves and their use",
    "command": "what changes a configuration or starts an action",
    "credentials": "keys, passwords, certificates",
    "log": "a record of who did what",
}

# Who can touch what stands in a zone, from the least to the most trusted; the number is a rating
# from 0 to 100 as the Open Threat Model wants it.
TRUST = {
    "untrusted": ("anybody", 0),
    "customer": ("whoever owns the device", 25),
    "partner": ("another organisation under contract", 50),
    "operated": ("our staff", 75),
    "restricted": ("a few named people", 100),
}
HARDWARE = {
    "exposed": "a stranger can hold the hardware alone, with tools and time",
    "guarded": "walls, locks and people stand between a stranger and the hardware",
}
ANSWERS = {
    "none": "nobody outside sees answers",
    "label": "the answer alone",
    "scores": "the answer with a score for each class",
}
WRONG_ANSWER = {
    "nuisance": "a wrong answer annoys",
    "loss": "a wrong answer costs money or a secret",
    "injury": "a wrong answer can hurt somebody",
}


@dataclass(frozen=True)
class Protocol:
    """How a flow travels.

    Attributes
    ----------
    meaning
        What it is.
    medium
        ``"memory"``, ``"wiring"``, ``"network"``, ``"radio"``, ``"media"``, ``"person"`` or
        ``"world"``.
    provides
        Controls that come with it.
    """

    meaning: str
    medium: str
    provides: tuple[str, ...] = ()


_TLS = ("encryption", "server-authentication", "message-authentication")
_MUTUAL = (*_TLS, "peer-authentication")
PROTOCOLS = {
    "memory": Protocol("inside one machine: memory, files, pipes", "memory"),
    "wiring": Protocol("a board or a cable inside the case: I2C, SPI, UART, CAN", "wiring"),
    "http": Protocol("HTTP without TLS", "network"),
    "https": Protocol("HTTP over TLS; the server shows a certificate", "network", _TLS),
    "mqtt": Protocol("MQTT without TLS", "network"),
    "mqtts": Protocol("MQTT over TLS; the broker shows a certificate", "network", _TLS),
    "grpc": Protocol("gRPC without TLS", "network"),
    "mutual-tls": Protocol("TLS in which both ends show a certificate", "network", _MUTUAL),
    "ssh": Protocol("SSH with keys", "network", _MUTUAL),
    "radio": Protocol("a radio link without protection", "radio"),
    "ble": Protocol("Bluetooth Low Energy without bonding", "radio"),
    "ble-bonded": Protocol(
        "Bluetooth Low Energy, bonded with authenticated pairing", "radio",
        ("encryption", "peer-authentication", "message-authentication"),
    ),
    "lorawan": Protocol(
        "LoRaWAN, joined over the air with a key of the device's own", "radio",
        ("encryption", "peer-authentication", "message-authentication", "replay-protection"),
    ),
    "media": Protocol("a memory card or stick that somebody carries", "media"),
    "person": Protocol("a person at a screen, a keyboard or in speech", "person"),
    "world": Protocol("light, sound, motion: the physical world itself", "world"),
}  # fmt: skip


@dataclass(frozen=True)
class Control:
    """Something that can be done against a threat.

    Attributes
    ----------
    name
        Its word.
    meaning
        What it is.
    on
        Where it can stand: ``"flow"``, or shapes of elements.
    atlas
        The nearest mitigation of MITRE ATLAS, if there is one.
    travels
        Whether it was done in training and protects the model wherever it goes.
    """

    name: str
    meaning: str
    on: tuple[str, ...]
    atlas: str = ""
    travels: bool = False


def shipped(source: str, problems: list[Problem]) -> Section:
    """Return the contents of a file of `DATA`; what is wrong with it is added to the problems."""
    text = read_file(DATA / source, ThreatModelError)
    return Section(parse(text, source, ThreatModelError), source, problems)


@functools.cache
def controls() -> dict[str, Control]:
    """Return every control by its name."""
    source = "controls.yaml"
    problems: list[Problem] = []
    section = shipped(source, problems)

    def make(name: str, entry: Section) -> Control:
        means, on = entry.text("means"), entry.words("on")
        return Control(name, means, on, entry.text("atlas", ""), entry.flag("travels"))

    made = section.named("controls", make)
    section.finish()
    refuse(source, problems, ThreatModelError)
    return {control.name: control for control in made}


@functools.cache
def taxonomies() -> dict[str, dict[str, Any]]:
    """Return the pinned catalogues by name, each with title, version, date, licence and ids."""
    loaded: dict[str, dict[str, Any]] = json.loads((DATA / "taxonomies.json").read_text("utf-8"))
    return loaded
