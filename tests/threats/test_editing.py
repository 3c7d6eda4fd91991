"""A model that was changed is a model, and what is written down reads back the same."""

from __future__ import annotations

import datetime
from dataclasses import replace

import pytest

from helpers import threats
from helpers.errors import ThreatModelError
from helpers.threats import vocabulary
from helpers.threats.editing import (
    dumps,
    places_for,
    with_acceptances,
    with_controls,
    without,
)

MODELS = [threats.load(name) for name in threats.shipped()]
IDS = [model.name for model in MODELS]


def accepted(model: threats.SystemModel) -> threats.SystemModel:
    day = datetime.date(2026, 6, 1)
    worst = threats.analyse(model).threats[0]
    decision = threats.Acceptance(worst.id, "high", "A. Person", "a pilot: one month", day, day)
    return replace(model, acceptances=(decision,))


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_what_is_written_reads_back_the_same(model: threats.SystemModel) -> None:
    for written in (model, accepted(model)):
        assert threats.loads(dumps(written)) == written


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_a_part_takes_its_flows_and_its_acceptances_along(model: threats.SystemModel) -> None:
    worst = threats.analyse(model).threats[0].target
    less = without(accepted(model), worst)
    assert all(worst not in (part.name, *ends(part)) for part in less.targets)
    assert less.acceptances == ()
    assert threats.analyse(less).threats


def ends(part: threats.Element | threats.Flow) -> tuple[str, ...]:
    return (part.source, part.target) if isinstance(part, threats.Flow) else ()


def test_a_control_lowers_its_threat_and_stands_once() -> None:
    model = threats.load("smart-speaker")
    guarded = with_controls(model, {"flash": ["read-out-protection", "debug-port-locked"]})
    assert guarded.element("flash").controls == ("debug-port-locked", "read-out-protection")
    risks = [threats.analyse(m).threat("flash-read-out@flash").risk for m in (model, guarded)]
    assert risks[1] < risks[0]


def test_an_unknown_part_is_named_with_the_nearest() -> None:
    model = threats.load("smart-speaker")
    for change in (lambda: without(model, "flahs"), lambda: with_controls(model, {"flahs": []})):
        with pytest.raises(ThreatModelError, match="did you mean 'flash'"):
            change()


@pytest.mark.parametrize("controls", ["read-out-protection", None, 3])
def test_controls_that_are_no_list_are_refused_in_one_line(controls: object) -> None:
    with pytest.raises(ThreatModelError, match=r"the controls of flash are .* give a list") as told:
        with_controls(threats.load("smart-speaker"), {"flash": controls})  # type: ignore[dict-item]
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_a_missing_control_counts_once_it_stands_wherever_it_is_said_to_belong(
    model: threats.SystemModel,
) -> None:
    for threat in threats.analyse(model).threats:
        strong = [c for c in threat.missing if threat.rule.controls[c] == "strong"]
        for control in strong:
            places = places_for(model, threat.target, control)
            if not places:
                continue
            built = threats.analyse(with_controls(model, {place: [control] for place in places}))
            kept = {t.id: t for t in built.threats}
            assert threat.id not in kept or control in kept[threat.id].present


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_a_control_without_a_place_does_not_count_even_where_everything_that_can_has_it(
    model: threats.SystemModel,
) -> None:
    model = replace(model, acceptances=())
    nowhere = {
        (threat.id, control)
        for threat in threats.analyse(model).threats
        for control in threat.missing
        if not places_for(model, threat.target, control)
    }
    assert nowhere
    for control in {control for _, control in nowhere}:
        built = threats.analyse(
            with_controls(model, {part: [control] for part in carriers(model, control)})
        )
        present = {t.id: t.present for t in built.threats}
        assert not [i for i, c in nowhere if c == control and c in present.get(i, {c})]


def carriers(model: threats.SystemModel, control: str) -> list[str]:
    """Every part that can have a control: light and sound can have none."""
    fits = vocabulary.controls()[control].on
    parts = [e.name for e in model.elements if vocabulary.KINDS[e.kind].shape in fits]
    return parts + [f.name for f in model.flows if "flow" in fits and f.protocol != "world"]


def test_what_was_done_in_training_stands_on_the_trainer_of_a_stored_model() -> None:
    model = threats.load("smart-speaker")
    assert places_for(model, "flash", "dp-training") == ("trainer",)
    assert places_for(model, "flash", "output-reduction") == ()
    assert places_for(model, "speech", "message-authentication") == ()


def test_a_control_of_connections_has_no_place_where_nothing_comes_from_another_zone() -> None:
    model = threats.load("smart-speaker")
    assert places_for(model, "flash", "read-out-protection") == ("flash",)
    assert places_for(model, "label-desk", "peer-authentication") == ("send-label",)
    assert places_for(model, "trainer", "peer-authentication") == ()
    with pytest.raises(ThreatModelError, match="did you mean 'peer-authentication'"):
        places_for(model, "flash", "peer-authentification")


def test_a_decision_is_taken_at_the_present_level_from_the_first_day() -> None:
    found, day = threats.analyse(threats.load("smart-speaker")), datetime.date(2026, 7, 1)
    said = {"flash-read-out@flash": ("A. Person", "a pilot", "2026-12-31")}
    (decision,) = with_acceptances(found, said, day).acceptances
    assert decision.level == found.threat("flash-read-out@flash").level
    assert (decision.on, decision.until) == (day, datetime.date(2026, 12, 31))


@pytest.mark.parametrize(
    ("identity", "said", "told"),
    [
        ("flash-read-out@flahs", ("A. Person", "a pilot", "2026-12-31"), "did you mean"),
        ("flash-read-out@flash", ("A. Person", "a pilot"), "say who, why, and until when"),
        ("flash-read-out@flash", "A. Person", "say who, why, and until when"),
        ("flash-read-out@flash", ("A. Person", "a pilot", "2026-31-12"), "which is no date"),
    ],
)
def test_a_decision_that_cannot_be_read_says_what_is_missing(
    identity: str, said: tuple[str, ...], told: str
) -> None:
    found = threats.analyse(threats.load("smart-speaker"))
    with pytest.raises(ThreatModelError, match=told):
        with_acceptances(found, {identity: said}, datetime.date(2026, 7, 1))
