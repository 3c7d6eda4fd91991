"""The engine on a system that it was not written for.

The expectations were written down from the description alone, before the first run.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers import threats

# What somebody who knows the field would name, and where.
EXPECTED = {
    "a stranger reads the model out of a lost patch": "flash-read-out@patch",
    "somebody beside the patient listens to Bluetooth": "flow-discloses@alarm",
    "somebody beside the patient forges an alarm": "output-forged@alarm",
    "the Bluetooth link is jammed": "flow-denied@alarm",
    "a model is changed on its way to the patch": "flow-tampered@install",
    "a model with a backdoor is installed": "poisoned-artefact@install",
    "an old model is installed again": "rolled-back-artefact@install",
    "an ECG is crafted that looks healthy to the model": "evasion@patch",
    "movement or a loose electrode fools the model": "physical-perturbation@patch",
    "an electrode is off": "sensor-blinded@electrodes",
    "a signal generator stands in for a heart": "sensor-spoofed@electrodes",
    "input drains the battery": "sponge@patch",
    "the model is copied by asking it": "extraction@patch",
    "the model tells who was in its training data": "membership-inference@patch",
    "the model tells what a class looks like": "model-inversion@patch",
    "patients' uploads poison the training": "data-poisoning@retrainer",
    "uploads or labels plant a trigger": "backdoor@retrainer",
    "use of the product bends the next model": "feedback-skewing@retrainer",
    "the strips are stolen from the cloud": "store-discloses@strips",
    "the released model is exchanged in the registry": "store-tampered@releases",
    "a malformed upload takes over the interface": "process-elevates@api",
    "somebody logs in as the cardiologist": "person-spoofed@cardiologist",
    "the phone app is imitated": "process-spoofed@app",
}
# There is no federation, and no model from outside.
ABSENT = {"gradient-inversion", "crafted-model", "update-poisoning", "sybil", "tainted-base-model"}


@pytest.fixture(scope="module")
def analysis() -> threats.Analysis:
    return threats.analyse(threats.load(Path(__file__).parent / "ecg_patch.yaml"))


@pytest.mark.parametrize("expected", EXPECTED.values(), ids=list(EXPECTED))
def test_an_expected_threat_is_found(analysis: threats.Analysis, expected: str) -> None:
    assert analysis.threat(expected)


def test_what_cannot_be_here_is_not_claimed(analysis: threats.Analysis) -> None:
    assert not ABSENT & {threat.rule.id for threat in analysis.threats}


def test_the_open_radio_ranks_above_the_flows_inside_the_cloud(analysis: threats.Analysis) -> None:
    def exploitability(identity: str) -> float:
        return analysis.threat(identity).scores.exploitability.value

    for rule in ("flow-discloses", "flow-tampered"):
        inside = [exploitability(f"{rule}@{flow}") for flow in ("keep", "learn", "release")]
        assert exploitability(f"{rule}@install") > max(inside)


def test_heart_data_raise_privacy_questions_and_no_flow_passes_zero_trust(
    analysis: threats.Analysis,
) -> None:
    concerns = threats.privacy_concerns(analysis.model)
    letters = {concern.question.letter for concern in concerns}
    assert letters == {"L", "I", "Nr", "D", "Dd", "U", "Nc"}
    assert all(check.failed for check in threats.zero_trust_checks(analysis.model))
