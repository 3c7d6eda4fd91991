"""What a lab measures is one form, is checked, and comes back as it was written."""

from __future__ import annotations

import csv
import dataclasses
import datetime
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from helpers.cli.results import command
from helpers.course import Lab, catalogue, collecting, measurements, results
from helpers.course.measurements import LabMeasurements, Measured, from_json, made, to_json
from helpers.course.tasks import LabSpec
from helpers.course.vocabulary import ATTACKS, DEFENCES, QUANTITIES
from helpers.errors import CourseError

ROOT = Path(__file__).parents[2]
WORDS: dict[str, Any] = {
    "attack": "evasion", "defence": "none", "subject": "the int8 file", "metric": "accuracy",
}  # fmt: skip


def one(name: str = "pgd-int8", **changes: Any) -> Measured:
    return made(name, **({"value": 0.5} | WORDS | changes))


def lab(*measured: Measured, **changes: Any) -> LabMeasurements:
    fields: dict[str, Any] = {
        "lab": "some-lab", "number": 3, "title": "Some lab", "profile": "full", "seed": 0,
        "date": datetime.date(2026, 6, 1), "points": 4, "max_points": 4,
    }  # fmt: skip
    return LabMeasurements(**(fields | changes), measured=measured or (one(),))


@given(
    st.sampled_from(sorted(QUANTITIES)), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1),
    st.sampled_from(sorted(ATTACKS)), st.sampled_from(sorted(DEFENCES)),
    st.none() | st.integers(1, 10**6), st.text(st.characters(min_codepoint=32, max_codepoint=126)),
)  # fmt: skip
def test_what_was_written_is_read_again(
    metric: str, a: float, b: float, c: float, attack: str, defence: str, trials: int, about: str
) -> None:
    quantity = QUANTITIES[metric]
    span = min(quantity.high, 1e3) - quantity.low
    low, value, high = sorted(quantity.low + span * share for share in (a, b, c))
    measured = one(
        attack=attack, defence=defence, metric=metric, value=value, interval=(low, high),
        trials=trials, setting=about[:300],
    )  # fmt: skip
    document = json.loads(json.dumps(to_json(lab(measured))))
    assert from_json(document) == lab(measured)


@given(st.integers(1, 400), st.floats(0, 1))
def test_a_share_of_counted_things_has_its_exact_interval(trials: int, share: float) -> None:
    successes = round(share * trials)
    found = one(value=None, successes=np.int64(successes), trials=np.int64(trials))
    oracle = stats.binomtest(successes, trials).proportion_ci(0.95, "exact")
    assert found.interval == pytest.approx(tuple(oracle), abs=1e-9)
    assert found.value == successes / trials


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "PGD int8"}, "is no name"),
        ({"attack": "evasoin"}, "did you mean 'evasion'"),
        ({"defence": "hope"}, "unknown defence 'hope'"),
        ({"metric": "acuracy"}, "did you mean 'accuracy'"),
        ({"evidence": "proof"}, "unknown evidence"),
        ({"subject": " "}, "what was measured"),
        ({"subject": "x" * 81}, "at most 80"),
        ({"setting": "\x1b[2J"}, "plain characters"),
        ({"value": float("nan")}, "finite"),
        ({"value": 1.2}, "between 0 and 1, not at 1.2"),
        ({"value": "much"}, "could not convert"),
        ({"value": None}, "give a value, or successes and trials"),
        ({"interval": (0.6, 0.7)}, "outside its interval"),
        ({"interval": (0.4,)}, "finite"),
        ({"interval": 0.4}, "not iterable"),
        ({"trials": 0}, "whole number from 1"),
        ({"successes": 3, "trials": 2, "value": None}, "3 successes in 2 trials"),
        ({"successes": 1, "trials": 2}, "not both"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(CourseError, match=said):
        one(**({"name": "pgd-int8"} | changes))


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "edgesec-measurements/2"}, {"more": 1}, {"date": "2026-02-30"}, {"number": 0},
        {"measurements": [{}]}, {"measurements": "none"}, {"profile": "slow"}, {"lab": "../other"},
    ],
)  # fmt: skip
def test_a_document_of_another_form_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(CourseError):
        from_json(to_json(lab()) | change)


def test_a_name_given_twice_is_refused() -> None:
    document = to_json(lab())
    document["measurements"] *= 2
    with pytest.raises(CourseError, match="pgd-int8 is there twice"):
        from_json(document)


@pytest.mark.parametrize("text", ["", "[" * 10_000, '{"a": NaN}', "3", "x" * 300_000])
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "measurements.json"
    path.write_text(text)
    with pytest.raises(CourseError):
        measurements.read(path)


def test_a_lab_keeps_what_it_recorded_and_reports_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = Lab("sums", seed=2, profile="fast", spec=LabSpec("sums", 7, "Sums", 10, ()),
                  folder=tmp_path)  # fmt: skip
    session.record("pgd-int8", **WORDS, value=np.float32(0.25))
    session.record("pgd-int8", **WORDS, successes=1, trials=2)  # again: it replaces the first
    session.record("broken", **WORDS, value=7)
    session.report()
    said = capsys.readouterr().out
    assert "Recorded pgd-int8: accuracy 0.500 [0.013, 0.987] (the int8 file)" in said
    assert "Not recorded: broken: accuracy lies between 0 and 1, not at 7" in said
    kept = measurements.read(tmp_path / "measurements.json")
    assert (kept.lab, kept.number, kept.seed, kept.profile) == ("sums", 7, 2, "fast")
    assert [(m.name, m.value) for m in kept.measured] == [("pgd-int8", 0.5)]


def test_a_lab_that_recorded_nothing_keeps_no_file(tmp_path: Path) -> None:
    Lab("sums", spec=LabSpec("sums", 7, "Sums", 10, ()), folder=tmp_path).report()
    assert not (tmp_path / "measurements.json").exists()


# --- the record --------------------------------------------------------------------------------


def test_the_record_holds_every_lab_whole_and_in_full() -> None:
    record = measurements.record()
    assert [found.lab for found in record] == [found.name for found in catalogue.files(ROOT)]
    for found in record:
        assert found.profile == "full"
        assert (found.seed, found.points) == (0, found.max_points)
        assert found.measured


def test_every_word_is_used_and_its_chapter_is_there() -> None:
    rows = [row for found in measurements.record() for row in found.measured]
    for known, used in [
        (ATTACKS, {row.attack for row in rows}),
        (DEFENCES, {row.defence for row in rows}),
    ]:
        assert sorted(set(known) - used) == []
        for subject in known.values():
            assert not subject.page or (ROOT / f"{subject.page}.md").is_file(), subject


def test_the_page_of_results_shows_every_attack() -> None:
    page = (ROOT / "chapters" / "what-is-true.md").read_text("utf-8")
    shown = set(
        re.findall(r'"([a-z-]+)"', "".join(re.findall(r"^table\(.*?\)$", page, re.M | re.S)))
    )
    assert shown == set(ATTACKS)


def test_a_lab_or_name_that_is_not_there_is_named() -> None:
    with pytest.raises(CourseError, match="did you mean 'the-frontier'"):
        measurements.of_lab("the-fronteer")
    with pytest.raises(CourseError, match="did you mean 'pgd-int8'"):
        lab()["pgd-int9"]


# --- collecting --------------------------------------------------------------------------------


def test_the_record_takes_whole_solutions_in_full_only(tmp_path: Path) -> None:
    for wrong in (lab(profile="fast"), lab(points=3)):
        with pytest.raises(CourseError, match="full runs of whole solutions"):
            collecting.keep([wrong], tmp_path)
    (path,) = collecting.keep([lab()], tmp_path)
    assert measurements.read(path) == lab()
    later = dataclasses.replace(lab(), date=datetime.date(2026, 6, 2))
    assert collecting.keep([later], tmp_path) == []
    assert collecting.keep([lab(one(value=0.6))], tmp_path) == [path]


def test_a_run_differs_from_the_record_only_by_more_than_noise() -> None:
    recorded = lab(one(interval=(0.3, 0.7)), one("float"), one("time", metric="milliseconds"))
    same = lab(one(value=0.69), one("float", value=0.519), one("time", metric="milliseconds",
               value=9.0))  # fmt: skip
    assert collecting.differences(recorded, same) == []
    other = lab(one(value=0.71), one("float", metric="recall"), one("more"))
    assert collecting.differences(recorded, other) == [
        "some-lab: more is not in the record",
        "some-lab: time was not measured",
        "some-lab: pgd-int8 is 0.710, in the record 0.500 [0.300, 0.700]",
        "some-lab: float is recall, in the record accuracy",
    ]


@pytest.mark.parametrize(("flags", "written"), [([], False), (["--new-settings"], True)])
def test_the_record_takes_another_setting_only_if_told_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: list[str], written: bool
) -> None:
    [files] = catalogue.files(ROOT, ("08",))
    recorded = next(one for one in measurements.record() if one.number == 8)
    first, *others = recorded.measured
    found = dataclasses.replace(
        recorded, measured=(dataclasses.replace(first, setting="drawn pictures"), *others)
    )
    report = {"measured": to_json(found)}
    results.save(tmp_path, results.LabResult(files.title, "solution", "", "passed", report=report))
    monkeypatch.setattr("helpers.cli.results._ran", lambda *_: (tmp_path, [files]))
    monkeypatch.setattr(collecting, "folder", lambda: tmp_path)
    done = CliRunner().invoke(command, ["refresh", *flags])
    assert (tmp_path / f"{recorded.lab}.json").is_file() == written
    if not written:
        [line] = done.output.splitlines()
        assert f"{first.name}: 'drawn pictures', in the record {first.setting!r}" in line
        assert "1 measured in another setting" in str(done.exception)


def test_a_run_that_recorded_nothing_or_other_names_fails_the_gate() -> None:
    with pytest.raises(CourseError, match="records no measurement"):
        collecting.same_names({"measured": to_json(lab()) | {"measurements": []}}, "03-some-lab")
    known = measurements.record()[0]
    renamed = dataclasses.replace(known, measured=(one("new-name"), *known.measured[1:]))
    assert collecting.same_names({"measured": to_json(known)}, "01") == []
    (line, other) = sorted(collecting.same_names({"measured": to_json(renamed)}, "01"))
    assert "new-name is not in the record" in line + other
    assert f"{known.measured[0].name} is in the record only" in line + other


@pytest.mark.parametrize(
    ("metric", "interval", "said"),
    [
        ("accuracy", (0.6, 0.7), "better"),
        ("accuracy", (0.1, 0.2), "worse"),
        ("accuracy", (0.35, 0.6), "no difference shown"),
        ("attack-success-rate", (0.1, 0.2), "better"),
        ("attack-success-rate", (0.6, 0.7), "worse"),
        ("agreement", (0.6, 0.7), "changed"),
        ("accuracy", None, ""),
    ],
)
def test_a_defence_is_held_beside_none(
    metric: str, interval: tuple[float, float] | None, said: str
) -> None:
    plain = one("plain", metric=metric, value=0.4, interval=(0.3, 0.5))
    value = 0.4 if interval is None else sum(interval) / 2
    mended = one("mended", metric=metric, defence="augmentation", value=value, interval=interval)
    assert collecting.beside_nothing(lab(plain, mended), mended) == said
    assert collecting.beside_nothing(lab(plain, mended), plain) == ""


def test_a_defence_is_held_beside_the_same_attack_only() -> None:
    plain = one("plain", value=0.4, interval=(0.3, 0.5))
    mended = one("mended", defence="augmentation", value=0.8, interval=(0.7, 0.9), setting="PGD")
    twice = one("twice", value=0.4, interval=(0.3, 0.5), setting="PGD")
    assert collecting.beside_nothing(lab(plain, mended), mended) == ""
    assert collecting.beside_nothing(lab(twice, mended), mended) == "better"
    again = dataclasses.replace(twice, name="again")
    assert collecting.beside_nothing(lab(twice, again, mended), mended) == ""


def test_what_an_attacker_wins_is_a_range_of_one_metric() -> None:
    lies = {"attack": "byzantine-clients", "defence": "signed-updates", "metric": "bypass-rate"}
    found = [
        one("clumsy", **lies, value=0.0, evidence="attack"),
        one("fine", **lies, value=1.0, evidence="attack"),
        one("lost", **lies | {"metric": "accuracy-loss"}, value=0.737, evidence="attack"),
        one("proved", **lies | {"metric": "members-named"}, value=0.3, evidence="bound"),
        one("untried", **lies, value=0.5, evidence="measurement"),
        one("other", **lies | {"metric": "recall"}, value=0.2, evidence="attack"),
    ]
    assert collecting.shares_won(found) == [
        "control bypassed: 0.00 to 1.00",
        "accuracy lost: 0.74",
    ]
    assert collecting.shares_won(found[3:]) == []
    for metric in collecting.WON:
        assert (QUANTITIES[metric].unit, QUANTITIES[metric].better) == ("share", "lower")


def test_the_index_of_results_mixes_no_two_metrics() -> None:
    page = (ROOT / "chapters" / "what-is-true.md").read_text("utf-8")
    (code, *_) = re.findall(r"^:tags: \[hide-input\]\n(.*?)^```$", page, re.M | re.S)
    lies = {"attack": "byzantine-clients", "defence": "signed-updates", "evidence": "attack"}
    names: dict[str, Any] = {}
    with matplotlib.rc_context():
        exec(code, names)
    names["RECORD"] = [
        lab(
            one("passed", **lies, metric="bypass-rate", value=0.25),
            one("lost", **lies, metric="accuracy-loss", value=0.75),
        )
    ]
    row = names["summed_up"]("byzantine-clients", "signed-updates")
    assert "control bypassed: 0.25; accuracy lost: 0.75" in row


def test_the_command_lists_the_record_and_a_learners_folder(tmp_path: Path) -> None:
    (tmp_path / "some-lab").mkdir()
    text = json.dumps(to_json(lab()))
    (tmp_path / "some-lab" / "measurements.json").write_text(text)
    shown = CliRunner().invoke(command, ["list", str(tmp_path)]).output
    assert "Evasion by small changes" in shown
    assert "none                         accuracy 0.500\n          the int8 file" in shown
    shown = CliRunner().invoke(command, ["list", "--csv"]).output
    rows = list(csv.DictReader(io.StringIO(shown)))
    assert len(rows) == sum(len(found.measured) for found in measurements.record())
    assert all(math.isfinite(float(row["value"])) for row in rows)
    nothing = CliRunner().invoke(command, ["list", str(tmp_path), "--lab", "4"])
    assert "nothing was measured of lab 4" in str(nothing.exception)


def test_the_command_prints_the_published_schema() -> None:
    printed = json.loads(CliRunner().invoke(command, ["schema"]).output)
    assert printed["properties"]["schema"]["const"] == measurements.SCHEMA
