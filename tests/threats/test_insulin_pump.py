"""The engine on a second system that it was not written for: a machine that doses by a forecast.

A person who had not written the rules listed what an expert would name before the first run. That
run found 33 of these 37. Commands that nobody checks, and what a device did, were missing for a
reason that has nothing to do with pumps, so the rules were mended; :data:`OUT_OF_SIGHT` is left.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers import threats

# What somebody who knows the field would name, and where.
EXPECTED = {
    "a dose order is forged or replayed over Bluetooth": "flow-tampered@order-dose",
    "another phone passes for the wearer's": "process-spoofed@app",
    "a message to the pump runs code": "process-elevates@pump",
    "a command is obeyed from somebody who may not give it": "command-misused@pump",
    "glucose readings are forged on the air": "flow-tampered@glucose",
    "glucose readings are listened to": "flow-discloses@glucose",
    "the radio is jammed and no order arrives": "flow-denied@order-dose",
    "the pump is flooded": "process-denied@pump",
    "pressure or another liquid fools the sensor": "sensor-spoofed@glucose-sensor",
    "the sensor falls off": "sensor-blinded@glucose-sensor",
    "a series of readings is crafted to bend the forecast": "evasion@forecaster",
    "heat or a drug makes the forecast wrong": "physical-perturbation@forecaster",
    "work drains the battery": "sponge@forecaster",
    "the model is read from a lost pump": "flash-read-out@pump-flash",
    "the model is copied by asking it": "extraction@forecaster",
    "the model tells who was in its data": "membership-inference@forecaster",
    "so does the stolen file": "membership-inference@pump-flash",
    "the model tells what glucose curves look like": "model-inversion@forecaster",
    "wearers enter meals that they did not eat": "data-poisoning@refit",
    "uploads plant a trigger": "backdoor@refit",
    "a model with a backdoor is installed": "poisoned-artefact@install",
    "an old model is installed again": "rolled-back-artefact@install",
    "the signing service is taken over": "process-tampered@signing",
    "somebody logs in as the clinician": "person-spoofed@clinician",
    "the clinician denies having set a limit": "person-repudiates@clinician",
    "somebody logs in as the parent": "person-spoofed@parent",
    "after an overdose nobody can show what the pump did": "process-repudiates@pump",
    "readings are stolen from the cloud": "store-discloses@readings",
    "readings are locked for ransom": "store-denied@readings",
    "the released model is exchanged": "store-tampered@releases",
    "the parent is shown a false forecast": "output-forged@watch",
    "the phone is shown a false forecast": "output-forged@status",
    "the clinician's limits are changed on the way": "flow-tampered@push-limits",
    "a malformed upload takes over the interface": "process-elevates@api",
    "another app on the phone reads glucose": "process-discloses@app",
}
# Expected beforehand and not found. Doses shape the glucose that the model is fitted to, and the
# drawing has no flow for that; a model that decays for one group of wearers has no attacker.
OUT_OF_SIGHT = {"feedback-skewing@refit", "decay"}
# There is no federation, and no model from outside.
ABSENT = {
    "gradient-inversion", "crafted-model", "property-inference", "update-poisoning", "sybil",
    "tainted-base-model",
}  # fmt: skip


@pytest.fixture(scope="module")
def analysis() -> threats.Analysis:
    return threats.analyse(threats.load(Path(__file__).parent / "insulin_pump.yaml"))


@pytest.mark.parametrize("expected", EXPECTED.values(), ids=list(EXPECTED))
def test_an_expected_threat_is_found(analysis: threats.Analysis, expected: str) -> None:
    assert analysis.threat(expected)


def test_what_cannot_be_here_is_not_claimed(analysis: threats.Analysis) -> None:
    found = {threat.rule.id for threat in analysis.threats}
    assert not (ABSENT | OUT_OF_SIGHT) & ({threat.id for threat in analysis.threats} | found)


def test_a_forged_dose_ranks_no_lower_than_a_watched_forecast(analysis: threats.Analysis) -> None:
    forged = analysis.threat("flow-tampered@order-dose")
    assert forged.scores.damage.value == 10
    assert forged.level == "high"
    assert forged.risk > analysis.threat("flow-discloses@watch").risk


def test_whoever_only_stands_before_a_sensor_has_no_login() -> None:
    drone = threats.analyse(threats.load("drone"))
    assert not drone.of("scene")


def test_zero_trust_asks_inside_a_zone_too(analysis: threats.Analysis) -> None:
    asked = {check.flow for check in threats.zero_trust_checks(analysis.model)}
    assert {"glucose", "keep", "install"} <= asked
    assert not {"load", "meal", "tissue", "forecast"} & asked
