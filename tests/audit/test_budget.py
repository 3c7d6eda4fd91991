"""The time that an audit may take is kept, and nothing that was found is lost."""

from __future__ import annotations

import copy
import json
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.audit.allowance import PART_SECONDS, Allowance, parse_duration
from helpers.audit.bench import Bench, Settings
from helpers.audit.data import Examples
from helpers.audit.results import Measure, Notes
from helpers.audit.runner import Clocks, run_audit
from helpers.audit.schema import check
from helpers.audit.sections import SECTIONS, Section
from helpers.audit.sections.accuracy import accuracy
from helpers.audit.sections.attacks import _Trial, _two_classes
from helpers.audit.sections.corruption import _Trial as _Spoilt
from helpers.audit.sections.corruption import _worst
from helpers.audit.session import Incident
from helpers.errors import AuditError, ModelMemoryError, OutOfTimeError
from helpers.robustness.budget import as_stored
from tests.audit.doubles import Clock, bench


def section(name: str, run: Any, weight: float = 1.0) -> Section:
    return Section(name, name.title(), "?", "-", run, weight)


def asks_for_ever(made: Bench, allowance: Allowance, notes: Notes) -> None:
    assert made.data is not None
    ask, x = made.answering(allowance), made.data.examples.x
    while True:
        ask(x)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("5m", 300), ("1h30m", 5400), ("1.5m", 90)]
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "5 minutes", "-3m", "m", "nan", "1e9", "8760h"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(AuditError, match="1h30m"):
        parse_duration(text)


@given(st.floats(1e-4, 0.4), st.floats(1, 60))
def test_a_guarded_model_stops_within_one_part_of_its_time(cost: float, seconds: float) -> None:
    clock = Clock()
    allowance = Allowance(seconds, clock)

    def slow(rows: np.ndarray) -> np.ndarray:
        clock.now += cost * len(rows)
        return rows

    with pytest.raises(OutOfTimeError, match="--budget"):
        allowance.guard(slow)(np.zeros((1_000_000, 1), np.float32))
    assert allowance.spent <= seconds + max(PART_SECONDS, cost) * 1.01


def test_the_answers_of_a_guarded_model_are_those_of_the_model() -> None:
    rows = np.random.default_rng(0).random((1000, 3), np.float32)
    assert np.array_equal(Allowance(60).guard(lambda part: part * 2)(rows), rows * 2)


def test_sections_share_the_time_and_what_one_leaves_the_next_ones_have() -> None:
    clock = Clock()
    made = bench(clock=clock, cost=0.01)
    quick = section("quick", lambda b, a, n: n.measures.append(Measure("m", "m", 1.0)))
    sections = (quick, section("greedy", asks_for_ever), section("last", asks_for_ever, 2.0))
    report = run_audit(made, 60, sections=sections, clocks=Clocks(clock))
    allowed = [entry["seconds_allowed"] for entry in report["sections"]]
    assert allowed[:2] == pytest.approx([15, 20], abs=0.5)
    assert report["seconds"] <= 60 + 2 * PART_SECONDS
    assert [entry["status"] for entry in report["sections"]] == ["done", "not done", "not done"]
    assert "give a larger --budget" in report["sections"][1]["not_done"][0]
    check(report)


def test_a_section_that_runs_out_of_time_reports_what_it_reached() -> None:
    clock = Clock()
    made = bench(count=2000, clock=clock, cost=0.01)
    report = run_audit(made, 10, sections=(section("accuracy", accuracy),), clocks=Clocks(clock))
    entry = report["sections"][0]
    assert entry["status"] == "partly"
    reached = entry["measures"][0]["trials"]
    assert 256 <= reached < 2000
    assert f"{2000 - reached} of 2000 examples" in entry["not_done"][0]


def test_a_section_that_fails_says_so_and_stops_no_other() -> None:
    def broken(made: Bench, allowance: Allowance, notes: Notes) -> None:
        notes.share("some", "Some", 1, 2)
        raise ZeroDivisionError("ours")

    def refuses(made: Bench, allowance: Allowance, notes: Notes) -> None:
        raise AuditError("no key was given")

    sections = (section("broken", broken), section("refuses", refuses),
                section("accuracy", accuracy))  # fmt: skip
    report = run_audit(bench(), 60, sections=sections)
    first, second, third = report["sections"]
    assert first["status"] == "partly"
    assert first["measures"][0]["value"] == 0.5
    assert first["not_done"] == ["This section failed: ZeroDivisionError: ours"]
    assert second["not_done"] == ["No key was given."]
    assert third["status"] == "done"
    assert report["complete"]


def test_an_interrupted_audit_keeps_what_it_has() -> None:
    kept: list[dict[str, Any]] = []

    def stopped(made: Bench, allowance: Allowance, notes: Notes) -> None:
        raise KeyboardInterrupt

    sections = (section("accuracy", accuracy), section("stopped", stopped),
                section("never", accuracy))  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        run_audit(bench(), 60, sections=sections, keep=lambda r: kept.append(copy.deepcopy(r)))
    assert [len(one["sections"]) for one in kept] == [0, 1, 2]
    last = check(kept[-1])
    assert not last["complete"]
    assert [entry["name"] for entry in last["sections"]] == ["accuracy", "stopped"]
    assert last["sections"][0]["measures"]


def test_what_a_file_does_to_its_process_is_a_finding() -> None:
    def crashes(made: Bench, allowance: Allowance, notes: Notes) -> None:
        made.model.incidents.append(Incident("crash", "run", "signal 11"))
        raise AuditError("the file ended its process")

    report = run_audit(bench(), 60, sections=(section("crashes", crashes),))
    (finding,) = report["sections"][0]["findings"]
    assert finding["severity"] == "high"
    assert "signal 11" in finding["evidence"]
    assert report["incidents"] == ["crash during run: signal 11"]


def test_pictures_that_are_attacked_are_not_those_that_a_copy_has_learnt_from() -> None:
    one = bench((8, 8, 1), count=200, span=(0.0, 1.0), images=100)
    trial = _Trial(one, Allowance(60))
    attacked = np.concatenate([pictures for pictures, _ in trial._groups()])
    thief = one.order[:100]
    for picture in as_stored(one.pictures(one.require_data().examples.x[thief])):
        assert not (attacked == picture).all(axis=(1, 2, 3)).any()


def test_without_gradients_the_file_is_still_asked() -> None:
    one = bench((8, 8, 1), count=40, span=(0.0, 1.0), images=20, attack_queries=4)

    def refuse(*_: object, **__: object) -> object:
        raise ModelMemoryError("the rehearsal took too much")

    vars(one.model)["replica"] = refuse
    report = run_audit(one, 60, sections=[s for s in SECTIONS if s.name == "attacks"])
    [found] = report["sections"]
    assert "square_success" in {measure["key"] for measure in found["measures"]}
    assert any("took too much" in reason for reason in found["not_done"])


def test_a_network_of_one_number_is_attacked_as_one_of_two_classes() -> None:
    import tensorflow as tf

    layers = [tf.keras.layers.Flatten(), tf.keras.layers.Dense(1)]
    network = tf.keras.Sequential([tf.keras.Input((4, 4, 1)), *layers])
    rows = np.random.default_rng(0).random((5, 4, 4, 1), np.float32)
    logits, both = network(rows).numpy(), _two_classes(network)(rows).numpy()
    np.testing.assert_allclose(both, np.concatenate([np.zeros_like(logits), logits], axis=1))


def test_a_short_audit_makes_the_best_copy_first(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    one = bench(count=200, clock=clock)

    def slow(*_: object, **__: object) -> None:
        clock.now += 20

    monkeypatch.setattr("helpers.watermark.removal.fit_scores", slow)
    chosen = [s for s in SECTIONS if s.name == "extraction"]
    report = run_audit(one, 30, sections=chosen, clocks=Clocks(clock))
    [found] = report["sections"]
    assert {m["key"]: m["value"] for m in found["measures"]}["queries"] == 100
    assert "3 of 4 copies, and the same network" in found["not_done"][0]
    assert one.student is not None


def test_a_model_that_gains_as_much_as_it_loses_has_no_weakness_shown() -> None:
    right, after = np.arange(200) < 30, np.arange(200) >= 170
    notes = Notes()
    pictures, truth = np.zeros((200, 8, 8, 1), np.float32), np.zeros(200, int)
    said = np.eye(2)[np.where(right, 0, 1)]
    trial = _Spoilt(lambda rows: said, Allowance(60), pictures, truth, 0)
    _worst(notes, trial, {"fog": after})
    assert [finding.severity for finding in notes.findings] == ["low"]


class RunningClock(Clock):
    """A clock on which every look costs a tenth of a second: what never looks, never ends."""

    def __call__(self) -> float:
        self.now += 0.1
        return self.now


def test_the_training_of_a_copy_ends_with_its_time() -> None:
    one = bench(count=400)
    chosen = [s for s in SECTIONS if s.name == "extraction"]
    report = run_audit(one, 20, sections=chosen, clocks=Clocks(RunningClock()))
    [found] = report["sections"]
    assert report["seconds"] < 20 + 1
    assert found["status"] == "not done"
    assert "4 of 4 copies" in found["not_done"][0]


def test_a_check_that_has_no_time_is_named_and_what_was_found_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "sklearn.linear_model", raising=False)  # still to be loaded
    clock = Clock()
    one = bench(count=200, clock=clock, cost=0.01)
    x, y = one.require_data().examples.x, one.require_data().examples.y
    parts = (Examples(x[:100], y[:100]), Examples(x[100:], y[100:]))
    one.data = replace(one.require_data(), members=parts[0], nonmembers=parts[1])
    chosen = [s for s in SECTIONS if s.name == "membership"]
    report = run_audit(one, 3.5, sections=chosen, clocks=Clocks(clock))
    [found] = report["sections"]
    assert {m["key"] for m in found["measures"]} == {"auc", "named", "accused"}
    assert "Whether members and non-members differ without the model" in found["not_done"][0]


def test_a_slow_model_meets_every_corruption_with_fewer_pictures() -> None:
    clock = Clock()
    one = bench((8, 8, 1), count=200, clock=clock, cost=0.05, span=(0.0, 1.0), images=100)
    chosen = [s for s in SECTIONS if s.name == "corruption"]
    report = run_audit(one, 30, sections=chosen, clocks=Clocks(clock))
    [found] = report["sections"]
    assert report["seconds"] <= 30 + PART_SECONDS
    assert "of 100 pictures: the time is enough for" in found["not_done"][0]
    [table] = found["tables"]
    assert table["columns"][-1] == "Severity 3"
    assert len(table["rows"]) >= 9  # all, or all but one that a last look at the clock kept out


def test_a_slow_model_is_asked_one_row_before_more() -> None:
    clock = Clock()
    one = bench(count=200, clock=clock, cost=3.0)
    report = run_audit(one, 30, sections=SECTIONS, clocks=Clocks(clock))
    assert report["seconds"] <= 30 + 3.0 * 2


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("epsilon", -1.0),
        ("epsilon", np.nan),
        ("seed", -1),
        ("images", -1),
        ("images", 2.5),
        ("attack_queries", 1),
        ("images", True),
        ("epsilon", "4/255"),
        ("epsilon", None),
        ("epsilon", True),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(setting: str, value: Any) -> None:
    with pytest.raises(AuditError, match=f"{setting}={value!r} must"):
        Settings(**{setting: value})


def test_settings_of_numpys_types_are_written_to_json() -> None:
    given = Settings(np.int64(3), np.float32(0.5), np.int64(5), np.int32(20))  # type: ignore[arg-type]
    assert json.dumps([given.seed, given.epsilon, given.images, given.attack_queries]) == (
        "[3, 0.5, 5, 20]"
    )
