"""A model is checked whole: every wrong word, dangling name and impossible combination is named."""

from __future__ import annotations

import datetime
import textwrap
import time
from dataclasses import replace

import pytest

from helpers import threats
from helpers.errors import ThreatModelError
from helpers.threats import loading
from helpers.threats.model import Acceptance, Element, Flow, SystemModel, Zone

SPEAKER = (loading.MODELS / "smart-speaker.yaml").read_text("utf-8")


def line_of(fragment: str, text: str = SPEAKER) -> int:
    return text[: text.index(fragment)].count("\n") + 1


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("kind: sensor\n", "kind: sensro\n", "unknown kind 'sensro'; did you mean 'sensor'?"),
        ("roles: [captures]", "roles: [captrues]", "did you mean 'captures'?"),
        ("protocol: ble}", "protocol: blee}", "unknown protocol 'blee'; did you mean 'ble'?"),
        ("holds: [credentials]\n    many", "holds: [credentails]\n    many",
         "unknown data class 'credentails'; did you mean 'credentials'?"),
        ("controls: [secure-boot,", "controls: [secure-boots,", "did you mean 'secure-boot'?"),
        ("from: talker,", "from: talkr,", "unknown element 'talkr'; did you mean 'talker'?"),
        ("zone: release\n    title: Signing", "zone: relase\n    title: Signing",
         "unknown zone 'relase'; did you mean 'release'?"),
        ("trust: customer", "trust: custmer", "unknown trust 'custmer'; did you mean 'customer'?"),
        ("wrong_answer: nuisance", "wrong_answer: nuisanc", "did you mean 'nuisance'?"),
        ("answers: label", "answers: lable", "did you mean 'label'?"),
        ("proprietary: yes", "proprietary: maybe", "use yes or no"),
        ("many: yes\n    controls: [notice]", "mny: yes\n    controls: [notice]",
         "has no 'mny'; did you mean 'many'?"),
        ("sensitive: [input, training-data]", "sensitive: [input, model]",
         "'model' is sensitive but not under personal"),
        ("    roles: [infers]\n    answers: label", "    answers: label",
         "answers but has not the role infers"),
        ("    kind: registry", "    kind: registry\n    roles: [aggregates]",
         "a registry cannot have the role aggregates"),
        ("controls: [debug-port-locked]", "controls: [secure-boot]",
         "secure-boot cannot stand on a store (store); it fits: process"),
        ("controls: [data-minimisation]", "controls: [secure-boot]", "cannot stand on a flow"),
        ("to: microphone, data: [input], protocol: world",
         "to: speaker, data: [input], protocol: world",
         "speaker cannot sense the world: it lacks role captures"),
        ("data: [input], protocol: world}",
         "data: [input], protocol: world, controls: [encryption]}", "carries no control"),
        ("to: cloud-api, data: [training-data, telemetry], protocol: https",
         "to: cloud-api, data: [training-data, telemetry], protocol: memory",
         "memory joins parts of one machine"),
        ("{from: clip-store, to: trainer", "{from: clip-store, to: registry",
         "is a process, and data do not move alone"),
        ("{from: clip-store, to: trainer", "{from: trainer, to: trainer", "ends where it starts"),
        ("data: [input], protocol: wiring", "data: [], protocol: wiring", "carries nothing"),
        ("controls: [staged-rollout]", "controls: [staged-rollout, staged-rollout]", "2 times"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_line_and_the_nearest_word(
    old: str, new: str, says: str
) -> None:
    assert old in SPEAKER
    text = SPEAKER.replace(old, new, 1)
    with pytest.raises(ThreatModelError) as refused:
        threats.loads(text, "speaker.yaml")
    message = str(refused.value)
    assert says in message
    stated = {int(part.split("line ")[1].split(":")[0]) for part in message.splitlines()[1:]}
    changed = line_of(new, text)
    spans = range(changed, changed + new.count("\n") + 1)
    assert stated & {*spans, changed - 1}, message


def test_the_example_of_the_reference_is_a_model() -> None:
    assert loading.__doc__
    example = loading.__doc__.split("::\n", 1)[1].split("``edgesec", 1)[0]
    analysis = threats.analyse(threats.loads(textwrap.dedent(example)))
    assert analysis.threat("flash-read-out@feeder").accepted(DAY)


def test_all_problems_are_told_at_once() -> None:
    text = SPEAKER.replace("kind: sensor", "kind: sensro").replace("protocol: ble}", "protocol: x}")
    with pytest.raises(ThreatModelError, match="2 problems"):
        threats.loads(text)


def stranger(elements: int, flows: int) -> str:
    """A model whose flows all begin and end at elements that are nearly there."""
    long = "x" * 16
    parts = "".join(
        f"  {long}-{n}: {{kind: device, zone: home, controls: []}}\n" for n in range(elements)
    )
    ways = "".join(
        f"  f{n}: {{from: {long}-a{n}, to: {long}-b{n}, data: [input], protocol: ble}}\n"
        for n in range(flows)
    )
    return f"name: own\nzones:\n  home: {{trust: customer}}\nelements:\n{parts}flows:\n{ways}"


@pytest.mark.parametrize(
    ("elements", "flows", "says"),
    [(600, 600, "this one has 600"), (190, 490, "the first of them: 100 problems")],
)
def test_a_strangers_model_is_refused_in_seconds(elements: int, flows: int, says: str) -> None:
    started = time.process_time()
    with pytest.raises(ThreatModelError, match=says):
        threats.loads(stranger(elements, flows))
    assert time.process_time() - started < 10


def test_a_model_in_python_is_checked_alike() -> None:
    zone = Zone("home", "customer")
    camera = Element("camera", "sensor", "home", roles=("captures",))
    hub = Element("hub", "device", "home")
    flow = Flow("frames", "camera", "hub", ("input",), "wiring")
    model = SystemModel("tiny", (zone,), (camera, hub), (flow,))
    assert threats.analyse(model).threats
    with pytest.raises(ThreatModelError, match="unknown element 'hob'; did you mean 'hub'"):
        replace(model, flows=(replace(flow, target="hob"),))
    with pytest.raises(ThreatModelError, match="'hub' names 2 elements or flows"):
        replace(model, flows=(replace(flow, name="hub"),))
    with pytest.raises(ThreatModelError, match="1 to 200 elements"):
        replace(model, elements=(), flows=())


DAY = datetime.date(2026, 6, 1)


def accepted(model: SystemModel, **changes: object) -> SystemModel:
    worst = threats.analyse(model).threats[0]
    acceptance = Acceptance(
        worst.id, worst.level, "Head of product", "replaced in autumn",
        DAY, DAY + datetime.timedelta(days=90),
    )  # fmt: skip
    return replace(model, acceptances=(replace(acceptance, **changes),))  # type: ignore[arg-type]


def test_an_acceptance_opens_the_gate_on_its_days_and_up_to_its_level() -> None:
    model = accepted(threats.load("smart-speaker"))
    analysis = threats.analyse(model)
    worst = analysis.threats[0]
    assert worst.acceptance is not None
    for day, holds in ((DAY, True), (worst.acceptance.until, True),
                       (DAY - datetime.timedelta(days=1), False),
                       (worst.acceptance.until + datetime.timedelta(days=1), False)):  # fmt: skip
        assert (worst not in analysis.unaccepted(worst.level, day)) is holds
    lower = threats.analyse(accepted(threats.load("smart-speaker"), level="medium"))
    assert lower.threats[0] in lower.unaccepted("high", DAY)


def test_an_acceptance_of_nothing_is_an_error() -> None:
    model = accepted(threats.load("smart-speaker"), threat="flash-read-out@flesh")
    with pytest.raises(ThreatModelError, match="did you mean 'flash-read-out@flash'"):
        threats.analyse(model)
    with pytest.raises(ThreatModelError, match="ends before it begins"):
        accepted(threats.load("smart-speaker"), until=DAY - datetime.timedelta(days=1))


def test_acceptances_are_read_from_the_file() -> None:
    entry = (
        "acceptances:\n  - threat: flash-read-out@flash\n    level: high\n    by: A. Person\n"
        "    reason: no budget\n    on: 2026-06-01\n    until: 2026-13-01\n"
    )
    with pytest.raises(ThreatModelError, match="until of entry of acceptances is '2026-13-01'"):
        threats.loads(SPEAKER + entry)
    model = threats.loads(SPEAKER + entry.replace("2026-13-01", "2026-12-01"))
    assert threats.analyse(model).threat("flash-read-out@flash").accepted(DAY)
