"""Lab 13's checks: a model is judged by what it says of its documents, and slips are named."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import threats
from helpers.course.checks.model_the_smart_speaker_fleet import LAB, decisions, ranking, shapes
from helpers.course.checks.model_the_smart_speaker_fleet.fleet import SENTENCES
from helpers.course.compare import Slips
from helpers.course.tasks import Verdict
from helpers.threats.editing import dumps, with_controls, without
from tests.course.judging import each, judge_of

judged = judge_of(LAB)

SOLUTION = Path(__file__).parents[2] / "solutions" / "13_model_the_smart_speaker_fleet.py"
REFERENCE = threats.load("smart-speaker")


def model_judged(text: Any) -> Verdict:
    return judged("q3", lambda: text)


# ---------------------------------------------------------------------------- the model


def test_the_notebook_shows_the_documents_that_the_check_quotes() -> None:
    shown = " ".join(re.sub(r"^# *", "", SOLUTION.read_text("utf-8"), flags=re.M).split())
    for number, (sentence, _) in enumerate(SENTENCES, start=1):
        assert f"{number}. {sentence}" in shown


def test_each_part_of_the_reference_is_in_exactly_one_sentence() -> None:
    told = [part for _, parts in SENTENCES for part in parts]
    assert sorted(told) == sorted(part.name for part in REFERENCE.targets)


def test_names_do_not_matter_and_a_factory_is_welcome() -> None:
    called = {element.name: f"thing-{n}" for n, element in enumerate(REFERENCE.elements)}
    abroad = threats.Zone("abroad", "partner")
    factory = threats.Element("works", "external-party", "abroad", roles=("supplies",))
    own = replace(
        REFERENCE,
        zones=(*REFERENCE.zones, abroad),
        elements=(*(replace(e, name=called[e.name]) for e in REFERENCE.elements), factory),
        flows=tuple(
            replace(f, name=f"way-{n}", source=called[f.source], target=called[f.target])
            for n, f in enumerate(REFERENCE.flows)
        ),
    )
    assert model_judged(dumps(own)).status == "passed"


@pytest.mark.parametrize("element", [e.name for e in REFERENCE.elements])
def test_one_element_may_be_missing_unless_too_much_hangs_on_it(element: str) -> None:
    found = model_judged(dumps(without(REFERENCE, element)))
    lost = sum(element in (flow.source, flow.target) for flow in REFERENCE.flows)
    if lost <= 1:
        assert found.status == "passed"
    if lost > 3:
        assert found.status == "mismatch"


def test_what_is_missing_is_told_by_its_sentence() -> None:
    found = model_judged(dumps(without(REFERENCE, "label-desk", "listener")))
    assert found.status == "mismatch"
    assert "Sentence 8 is not all in your model: “A labelling desk fetches" in found.explanation
    assert "listener" not in found.explanation


def test_everybody_in_one_zone_is_a_model_without_boundaries() -> None:
    own = replace(REFERENCE, elements=tuple(
        replace(e, zone="cloud") if e.zone == "release" else e for e in REFERENCE.elements
    ))  # fmt: skip
    found = model_judged(dumps(own))
    assert "at least 80% of the crossings" in found.explanation
    assert "Sentence 10 has data go to other hands" in found.explanation


def test_controls_left_out_and_controls_made_up_are_both_refused() -> None:
    bare = replace(REFERENCE, elements=tuple(replace(e, controls=()) for e in REFERENCE.elements))
    assert "says more about protection" in model_judged(dumps(bare)).explanation
    wished = ["anti-rollback", "sandboxing", "remote-attestation", "tamper-response", "watermark"]
    own = with_controls(REFERENCE, {"speaker": wished})
    assert "no document speaks of" in model_judged(dumps(own)).explanation
    assert model_judged(dumps(with_controls(REFERENCE, {"speaker": wished[:2]}))).points == 4


def test_a_control_may_stand_where_the_sentence_lets_one_put_it() -> None:
    https = {flow.name: ["encryption"] for flow in REFERENCE.flows if flow.protocol == "https"}
    services = ["label-desk", "trainer", "signing-service", "update-service"]
    assert len(https) > 4
    for added in (https, {name: ["authorisation"] for name in services}):
        assert model_judged(dumps(with_controls(REFERENCE, added))).status == "passed"


def test_what_a_store_hands_on_it_has_to_hold() -> None:
    elements = (replace(e, holds=()) if e.name == "registry" else e for e in REFERENCE.elements)
    found = model_judged(dumps(replace(REFERENCE, elements=tuple(elements))))
    assert "what it keeps goes under `holds`" in found.explanation


def test_what_the_damage_hangs_on_is_asked_first() -> None:
    assert (
        "proprietary: yes" in model_judged(dumps(replace(REFERENCE, proprietary=False))).explanation
    )
    own = replace(REFERENCE, sensitive=())
    assert "`sensitive`" in model_judged(dumps(own)).explanation


@pytest.mark.parametrize(
    ("old", "new", "asked"),
    [
        ("    answers: label\n", "", "what does whoever asks get to see"),
        ("hardware: exposed", "hardware: guarded", "who can hold the chip"),
        ("kind: device", "kind: service", "of kind `device`"),
    ],
)
def test_a_model_that_hides_what_the_lab_is_about_is_sent_back(
    old: str, new: str, asked: str
) -> None:
    assert asked in model_judged(dumps(REFERENCE).replace(old, new)).explanation


def test_a_mistake_in_the_file_comes_with_its_line_and_its_text() -> None:
    text = dumps(REFERENCE).replace("kind: sensor", "kind: senser")
    found = model_judged(text).explanation
    assert "`kind: senser`" in found
    assert "did you mean 'sensor'?" in found


@pytest.mark.parametrize("text", [None, 3, "", "zones: [", "a: &b 1", "x" * 300_000])
def test_what_is_no_model_is_a_mismatch_and_never_a_crash(text: Any) -> None:
    found = model_judged(text)
    assert found.status == "mismatch"
    assert "cannot be judged" not in found.explanation


# ---------------------------------------------------------------------------- the functions

SLIPS: dict[str, Slips] = {
    "q2": shapes._CROSSINGS_SLIPS,
    "q4": ranking._KEPT_SLIPS,
    "q5": shapes._TENETS_SLIPS,
    "q6": decisions._LIKELIHOOD_SLIPS,
    "q7": decisions._GATE_SLIPS,
}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("name", "told", "slip"), each(SLIPS))
def test_a_slip_is_named(name: str, told: str, slip: Callable[..., Any], seed: int) -> None:
    found = judged(name, slip, seed)
    assert (found.status, found.explanation) == ("mismatch", told)


@pytest.mark.parametrize(
    ("flows", "people", "named"),
    [("STID", "SR", "what acts is at its ends"), ("TID", "STRIDE", "not ours to protect")],
)
def test_a_wrong_letter_is_named_with_its_reason(flows: str, people: str, named: str) -> None:
    def answer(kinds: dict[str, str], names: list[str]) -> dict[str, str]:
        own = {"store": "TRID", "registry": "TRID", "operator": people, "external-party": people}
        return {n: own.get(k, "STRIDE") for n, k in kinds.items()} | dict.fromkeys(names, flows)

    assert named in judged("q1", answer).explanation


def test_letters_may_be_written_apart() -> None:
    def answer(kinds: dict[str, str], names: list[str]) -> dict[str, str]:
        right = shapes._letters_reference(kinds, names)
        return {name: ", ".join(letters) for name, letters in right.items()}

    assert judged("q1", answer).status == "passed"


def test_the_share_kept_agrees_with_the_library_on_every_seed() -> None:
    analysis = threats.analyse(REFERENCE)
    scores = np.array([[s.value for s in t.scores.scores] for t in analysis.threats])
    theirs = threats.rank_stability(analysis.threats).overlap
    assert ranking._kept_reference(scores, 5, 1, 2000, 3) == pytest.approx(theirs, abs=0.03)

    def another(scores: Any, top: int, noise: int, draws: int, seed: int) -> float:
        rng, kept = np.random.default_rng(seed + 1), 0
        first = set(np.argsort(-scores.mean(axis=1), kind="stable")[:top].tolist())
        for _ in range(draws):
            moved = scores + rng.integers(-noise, noise + 1, scores.shape)
            total = moved.clip(0, 10).sum(axis=1) + rng.random(len(scores)) / 2
            kept += len(first & set(np.argsort(-total)[:top].tolist()))
        return kept / draws / top

    assert {judged("q4", another, seed).status for seed in range(8)} == {"passed"}


@pytest.mark.parametrize("bounds", [(0, None), (None, 10)])
def test_a_score_ends_at_both_ends(bounds: tuple[int | None, int | None]) -> None:
    def half(scores: Any, top: int, noise: int, draws: int, seed: int) -> float:
        rng = np.random.default_rng(seed)
        first = np.argsort(-scores.mean(axis=1), kind="stable")[:top]
        moved = scores + rng.integers(-noise, noise, (draws, *scores.shape), endpoint=True)
        risk = moved.clip(*bounds).mean(axis=2)
        now = np.lexsort((rng.random(risk.shape), -risk), axis=1)[:, :top]
        return float(np.isin(now, first).mean())

    assert judged("q4", half).status == "mismatch"


def test_the_gate_agrees_with_the_library() -> None:
    day = datetime.date(2026, 6, 1)
    analysis = threats.analyse(REFERENCE)
    findings = [{"id": t.id, "level": t.level} for t in analysis.threats]
    for at in threats.model.LEVELS:
        ours = decisions._gate_reference(findings, [], at, str(day))
        assert ours == [t.id for t in analysis.unaccepted(at, day)]
