"""Rules cannot fail open, name only what exists, and each of them earns its place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import threats
from helpers.errors import ThreatModelError
from helpers.threats import rules as rules_
from helpers.threats import vocabulary
from helpers.threats.attributes import ATTRIBUTES, Attribute, Target
from helpers.threats.measurement import METRICS
from helpers.threats.model import SystemModel
from helpers.threats.privacy_by_design import questions
from helpers.threats.rules import Condition
from helpers.threats.zero_trust import TENETS

ROOT = Path(__file__).resolve().parents[2]
MODELS = [threats.load(name) for name in threats.shipped()]
MODELS.append(threats.load(Path(__file__).parent / "ecg_patch.yaml"))
TEXT = (vocabulary.DATA / "rules.yaml").read_text("utf-8")
ASKED_FOR = {
    "data-poisoning", "update-poisoning", "backdoor", "sybil", "gradient-inversion",
    "membership-inference", "model-inversion", "extraction", "evasion", "sponge", "flash-read-out",
    "poisoned-artefact", "rolled-back-artefact",
}  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("when: {kind: [sensor]}", "when: {knid: [sensor]}",
         "unknown attribute of a element 'knid'; did you mean 'kind'?"),
        ("when: {kind: [sensor]}", "when: {kind: [sensro]}", "did you mean 'sensor'?"),
        ("when: {kind: [sensor]}", "when: {kind: []}", "could never be met"),
        ("when: {kind: [sensor]}", "when: {}", "when is empty"),
        ("unless: {kind: [sensor, model]}", "unless: {kinds: [model]}", "did you mean 'kind'?"),
        ("access: network", "access: netwrok", "did you mean 'network'?"),
        ("sandboxing: partial", "sandbxing: partial", "did you mean 'sandboxing'?"),
        ("sandboxing: partial", "sandboxing: prtial", "did you mean 'partial'?"),
        ("AML.T0073", "AML.T9973", "unknown atlas id 'AML.T9973'"),
        ("NISTAML.013", "NISTAML.113", "unknown nist id"),
        ("ML02:2023", "ML20:2023", "unknown owasp id"),
        ("metric: bypass-rate", "metric: bypas-rate", "did you mean 'bypass-rate'?"),
        ("stride: [S]", "stride: [X]", "unknown letter of STRIDE 'X'"),
        ("affected: fleet", "affected: flet", "did you mean 'fleet'?"),
        ('damage: [6, "', 'damage: [16, "', "must be [score from 0 to 10, reason]"),
    ],
)  # fmt: skip
def test_a_typo_in_a_rule_fails_when_it_is_read(old: str, new: str, says: str) -> None:
    assert old in TEXT
    with pytest.raises(ThreatModelError) as refused:
        rules_.loads(TEXT.replace(old, new, 1))
    assert says in str(refused.value)
    assert "line " in str(refused.value)


def broken(read: object) -> dict[str, dict[str, Attribute]]:
    kind = replace(ATTRIBUTES["element"]["kind"], read=read)  # type: ignore[arg-type]
    return {**ATTRIBUTES, "element": {**ATTRIBUTES["element"], "kind": kind}}


def test_a_condition_that_raises_stops_the_analysis() -> None:
    def raises(model: SystemModel, target: Target) -> Iterable[str]:
        raise KeyError(target.name)

    with pytest.raises(ThreatModelError, match=r"Attribute kind of .* cannot be read: KeyError"):
        threats.analyse(MODELS[0], attributes=broken(raises))


def test_a_condition_that_answers_outside_its_words_stops_the_analysis() -> None:
    def strange(model: SystemModel, target: Target) -> Iterable[str]:
        return ["sensors"]

    with pytest.raises(ThreatModelError, match=r"gave \['sensors'\], which is not among its words"):
        threats.analyse(MODELS[0], attributes=broken(strange))


def test_every_rule_finds_something_in_a_system_that_is_here() -> None:
    found = {threat.rule.id for model in MODELS for threat in threats.analyse(model).threats}
    assert {rule.id for rule in threats.all_rules()} == found


def test_every_rule_is_silent_somewhere() -> None:
    for rule in threats.all_rules():
        assert not all(rule.applies(m, target) for m in MODELS for target in m.targets)


def test_the_machine_learning_threats_are_there_and_carry_ids() -> None:
    ml = {rule.id: rule for rule in threats.all_rules() if rule.ml}
    assert ml.keys() >= ASKED_FOR
    for rule in ml.values():
        assert rule.ids["owasp"] or rule.ids["nist"], rule.id
        assert rule.ids["ai_rmf"], rule.id
    assert all(ml[name].ids["atlas"] for name in ASKED_FOR)


def test_every_id_that_is_pinned_is_used_or_names_a_mitigation() -> None:
    used = {i for rule in threats.all_rules() for ids in rule.ids.values() for i in ids}
    used |= {control.atlas for control in vocabulary.controls().values()}
    pinned = {i for known in vocabulary.taxonomies().values() for i in known["ids"]}
    assert pinned == used - {""}


def test_every_catalogue_says_version_date_licence_and_source() -> None:
    for known in vocabulary.taxonomies().values():
        assert all(known[key] for key in ("title", "version", "date", "licence", "source"))


def test_every_control_helps_and_every_metric_measures() -> None:
    helps = {control for rule in threats.all_rules() for control in rule.controls}
    helps |= {control for question in questions() for control in question.answered_by}
    helps |= {control for tenet in TENETS for control in tenet.answered_by}
    measured = {measure.metric for rule in threats.all_rules() for measure in rule.measures}
    assert measured == METRICS.keys()
    assert vocabulary.controls().keys() - helps <= {"out-of-band-check"}


def test_every_attribute_is_asked_for_by_a_rule_or_a_question() -> None:
    conditions: list[Condition] = [*threats.all_rules(), *questions()]
    asked = {(item.on, name) for item in conditions for name in (*item.when, *item.unless)}
    assert asked == {(on, name) for on, known in ATTRIBUTES.items() for name in known}


def test_what_is_said_to_measure_is_there() -> None:
    for rule in threats.all_rules():
        for measure in rule.measures:
            if measure.by:
                path = ROOT.joinpath(*measure.by.split("."))
                assert path.is_dir() or path.with_suffix(".py").is_file(), measure.by
            if measure.lab:
                assert list((ROOT / "labs").glob(f"[0-9][0-9]-{measure.lab}.ipynb")), measure.lab


def test_an_exposed_process_on_a_network_gets_all_six_letters() -> None:
    hospital = next(model for model in MODELS if model.name == "hospital-consortium")
    analysis = threats.analyse(hospital)
    letters = {letter for t in analysis.of("server-app") for letter in t.rule.stride}
    assert letters == set("STRIDE")
    assert {
        letter for t in analysis.of("checkpoints") if not t.rule.ml for letter in t.rule.stride
    } == set("TRID")
    assert {
        letter for t in analysis.of("send-update") if not t.rule.ml for letter in t.rule.stride
    } == set("TID")
    assert {
        letter for t in analysis.of("clinician") if not t.rule.ml for letter in t.rule.stride
    } == set("SR")


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_adding_a_control_never_raises_a_risk_or_hides_a_threat(data: st.DataObject) -> None:
    model = data.draw(st.sampled_from(MODELS), label="model")
    element = data.draw(st.sampled_from(model.elements), label="element")
    fits = [
        control.name
        for control in vocabulary.controls().values()
        if element.shape in control.on and control.name not in element.controls
    ]
    control = data.draw(st.sampled_from(fits), label="control")
    safer = replace(element, controls=(*element.controls, control))
    elements = tuple(safer if e is element else e for e in model.elements)
    before = {t.id: t.risk for t in threats.analyse(model).threats}
    after = {t.id: t.risk for t in threats.analyse(replace(model, elements=elements)).threats}
    assert before.keys() == after.keys()
    assert all(after[identity] <= risk + 1e-9 for identity, risk in before.items())


def test_what_was_done_in_training_protects_the_model_where_it_runs() -> None:
    model = threats.load("smart-speaker")
    trainer = model.element("trainer")
    private = replace(trainer, controls=(*trainer.controls, "dp-training"))
    elements = tuple(private if e.name == "trainer" else e for e in model.elements)
    threat = threats.analyse(replace(model, elements=elements)).threat("membership-inference@flash")
    assert threat.present["dp-training"] == "trainer"
