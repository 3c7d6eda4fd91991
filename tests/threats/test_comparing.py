"""What a learner left out, whatever they called things."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import threats
from helpers.threats.model import SystemModel

MODELS = [threats.load(name) for name in threats.shipped()]


def renamed(model: SystemModel, seed: int = 0) -> SystemModel:
    """The same system by an author who names and orders everything otherwise."""
    order = [
        model.elements[i] for i in np.random.default_rng(seed).permutation(len(model.elements))
    ]
    called = {element.name: f"part-{index}" for index, element in enumerate(order)}
    zones = {zone.name: f"area-{index}" for index, zone in enumerate(model.zones)}
    return replace(
        model,
        zones=tuple(replace(zone, name=zones[zone.name], title="") for zone in model.zones),
        elements=tuple(
            replace(e, name=called[e.name], zone=zones[e.zone], title="") for e in order
        ),
        flows=tuple(
            replace(f, name=f"way-{i}", source=called[f.source], target=called[f.target], title="")
            for i, f in enumerate(reversed(model.flows))
        ),
    )


def without(model: SystemModel, name: str) -> SystemModel:
    """The model without one element and the flows at it."""
    return replace(
        model,
        elements=tuple(e for e in model.elements if e.name != name),
        flows=tuple(f for f in model.flows if name not in (f.source, f.target)),
    )


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
@pytest.mark.parametrize("seed", range(4))
def test_other_names_and_another_order_cost_nothing(model: SystemModel, seed: int) -> None:
    found = threats.compare(renamed(model, seed), model)
    for tally in (found.elements, found.flows, found.threats, found.ml_threats, found.controls):
        assert tally.missed == ()
        assert tally.found == tally.of
    assert found.extra == ()


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_an_element_left_out_is_named_with_its_flows(data: st.DataObject) -> None:
    model = data.draw(st.sampled_from(MODELS), label="model")
    element = data.draw(st.sampled_from(model.elements), label="element")
    found = threats.compare(renamed(without(model, element.name)), model)
    lost = [f for f in model.flows if element.name in (f.source, f.target)]
    assert found.elements.of - found.elements.found == 1
    assert found.flows.of - found.flows.found >= len(lost)
    assert found.threats.share < 1


def test_what_is_missing_is_the_right_thing() -> None:
    model = threats.load("smart-speaker")
    found = threats.compare(renamed(without(model, "flash")), model)
    assert found.elements.missed == ("Flash memory (store, The owner's home)",)
    assert "The model file is read from the device: Flash memory" in found.ml_threats.missed


def test_a_control_left_out_is_named_where_it_belongs() -> None:
    model = threats.load("smart-speaker")
    speaker = model.element("speaker")
    bare = replace(speaker, controls=())
    own = replace(model, elements=tuple(bare if e is speaker else e for e in model.elements))
    found = threats.compare(renamed(own), model)
    assert set(found.controls.missed) == {
        f"{control} on Speaker firmware" for control in speaker.controls
    }


def test_another_kind_is_still_recognised_and_the_reason_says_so() -> None:
    model = threats.load("smart-speaker")
    service = model.element("update-service")
    otherwise = replace(service, kind="service")
    own = replace(model, elements=tuple(otherwise if e is service else e for e in model.elements))
    found = threats.compare(renamed(own), model)
    pair = next(pair for pair in found.pairs if pair.reference == "update-service")
    assert "kind service, there update-service" in pair.reason
    assert found.elements.missed == ()


def test_more_than_the_reference_is_no_fault() -> None:
    model = threats.load("smart-speaker")
    found = threats.compare(model, without(model, "companion-app"))
    assert found.elements.share == found.flows.share == 1
    assert found.extra == ("element companion-app", "flow settings")
    assert "more than the reference: element companion-app" in str(found)


def test_another_system_is_not_mistaken_for_the_reference() -> None:
    found = threats.compare(threats.load("drone"), threats.load("hospital-consortium"))
    assert found.elements.share < 0.8
    assert found.ml_threats.share < 0.5
    assert str(found).startswith("elements: ")
