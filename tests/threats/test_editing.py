"""A model that was changed is a model, and what is written down reads back the same."""

from __future__ import annotations

import datetime
from dataclasses import replace

import pytest

from helpers import threats
from helpers.errors import ThreatModelError
from helpers.threats.editing import dumps, with_controls, without

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
