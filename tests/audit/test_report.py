"""Report, card, comparison and threat scores are made from the JSON, and only from it."""

from __future__ import annotations

import copy
import datetime
import html.parser
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import threats
from helpers._schemas import load_jsonschema
from helpers.audit import schema
from helpers.audit.card import to_card
from helpers.audit.compare import compare
from helpers.audit.data import read_npz
from helpers.audit.report import Beside, comparison_to_html, to_html, undone_of
from helpers.audit.results import Chart, Measure, Notes, Rated, Series
from helpers.audit.runner import run_audit
from helpers.audit.sections import SECTIONS, Section
from helpers.audit.sections.extraction import _report
from helpers.audit.threat_scores import MEASURED, to_measurements
from helpers.audit.timing import PeakMemory
from helpers.errors import AuditError
from helpers.threats.measurement import from_json, to_json
from tests.audit.doubles import bench

HOSTILE = "<script>alert(1)</script> | `x` [a](javascript:b) {{ 7*7 }} \x1b[31m \u202e"


def made_by(fill: Any, name: str = "attacks") -> dict[str, Any]:
    """The report of an audit with one section."""
    run = Section(name, "Attacks", "?", "-", lambda bench, allowance, notes: fill(notes))
    return run_audit(bench(), 60, sections=(run,))


def with_share(successes: int, trials: int = 100, key: str = "success") -> dict[str, Any]:
    return made_by(lambda notes: notes.share(key, "Fooled", successes, trials, "lower"))


@pytest.fixture(scope="module")
def hostile() -> dict[str, Any]:
    """A report in which everything that a file could say is hostile."""

    def fill(notes: Notes) -> None:
        notes.table(HOSTILE, (HOSTILE,), [(HOSTILE,)])
        notes.not_done.append(HOSTILE)
        notes.findings.append(Rated(HOSTILE, "high", HOSTILE, HOSTILE, HOSTILE))
        notes.measures.append(Measure("m", HOSTILE, 1.0, 0.5, 1.5, "ms"))
        notes.charts.append(
            Chart(HOSTILE, HOSTILE, "share", (Series("$" + HOSTILE, (1.0, 2.0), (0.0, 1.0)),))
        )

    report = made_by(fill)
    report["model"]["name"] = report["model"]["task"] = HOSTILE
    report["incidents"] = [HOSTILE]
    return schema.check(report)


class _Page(html.parser.HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_nothing_that_a_file_says_acts_in_the_page(hostile: dict[str, Any]) -> None:
    text = to_html(hostile)
    page = _Page(text)
    assert not {"script", "iframe", "object", "link", "form"} & {tag for tag, _ in page.tags}
    links = [attrs["href"] for tag, attrs in page.tags if tag == "a"]
    assert all(link is not None and link.startswith("#") for link in links)
    sources = [attrs["src"] for tag, attrs in page.tags if tag == "img"]
    assert sources
    assert all(source is not None and source.startswith("data:image/") for source in sources)
    assert not {"\x1b", "\u202e"} & set(text)
    assert "7*7" in text
    assert "default-src 'none'" in text


def test_what_others_measured_stands_beside_an_audits_own_numbers(
    hostile: dict[str, Any],
) -> None:
    assert 'id="beside"' not in to_html(hostile)
    others = (("0.195", "reader <b>float32</b>, lab 6"), ("0.023", "reader with noise, lab 6"))
    text = to_html(hostile, [Beside("members named", "0.500", others)])
    place = text.index('id="beside"')
    shown = text[place : text.index("</table>", place)]
    for part in ("members named", "0.500", "0.195", "reader &lt;b&gt;float32&lt;/b&gt;", "0.023"):
        assert part in shown


def test_every_picture_is_told_in_words(hostile: dict[str, Any]) -> None:
    alts = [attrs.get("alt") for tag, attrs in _Page(to_html(hostile)).tags if tag == "img"]
    assert all(alt and "0.0% at 1, 100.0% at 2" in alt for alt in alts)


def test_nothing_that_a_file_says_acts_in_the_card(hostile: dict[str, Any]) -> None:
    from markdown_it import MarkdownIt

    page = _Page(MarkdownIt("commonmark").enable("table").render(to_card(hostile)))
    assert not {"script", "a", "img"} & {tag for tag, _ in page.tags}


def test_the_report_has_the_published_form_and_survives_the_file(
    hostile: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "audit.json"
    path.write_text(schema.dump(hostile))
    assert schema.read(path) == hostile
    published = json.loads(schema.schema_text())
    load_jsonschema().Draft202012Validator.check_schema(published)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda r: r.update(schema="edgesec-audit/3"),
        lambda r: r["verdict"].update(outcome="perhaps"),
        lambda r: r.update(extra=1),
        lambda r: r["model"].update(sha256="no"),
        lambda r: r["sections"][0].update(status="perhaps"),
        lambda r: r["sections"][0]["measures"][0].pop("better"),
        lambda r: r["sections"][0]["measures"][0].update(value="many"),
    ],
)
def test_what_has_another_form_is_refused(spoil: Any, tmp_path: Path) -> None:
    report = with_share(3)
    spoil(report)
    with pytest.raises(AuditError):
        schema.check(report)
    (tmp_path / "a.json").write_text(json.dumps(report))
    with pytest.raises(AuditError):
        schema.read(tmp_path / "a.json")


def test_an_audit_of_the_form_before_is_still_read(tmp_path: Path) -> None:
    report = with_share(3)
    older = {**report, "schema": "edgesec-audit/1"}
    del older["verdict"]
    older["model"] = {k: v for k, v in report["model"].items() if k != "answers"}
    (tmp_path / "a.json").write_text(json.dumps(older))
    assert schema.read(tmp_path / "a.json") == report
    assert not compare(schema.read(tmp_path / "a.json"), report).cautions


def test_a_reason_that_several_sections_share_is_given_once(hostile: dict[str, Any]) -> None:
    changed = copy.deepcopy(hostile)
    changed["sections"].append({**changed["sections"][0], "name": "cost", "title": "Cost"})
    [(sections, reason)] = undone_of(changed)
    assert [section["name"] for section in sections] == ["attacks", "cost"]
    assert reason == HOSTILE


@pytest.mark.parametrize("text", ["", "[]", "{", '{"schema": NaN}', "[" * 100_000])
def test_what_is_no_report_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(AuditError):
        schema.read(tmp_path / "a.json")


def test_the_sections_have_names_of_their_own_and_say_their_limits() -> None:
    names = [section.name for section in SECTIONS]
    assert len(set(names)) == len(names)
    assert all(section.limits and section.question for section in SECTIONS)
    assert names.index("extraction") < names.index("attacks")


# ---------------------------------------------------------------------------- comparison


@settings(max_examples=20)
@given(st.integers(0, 100))
def test_an_audit_compared_with_itself_shows_no_change(successes: int) -> None:
    report = with_share(successes)
    found = compare(report, report)
    assert {change.verdict for change in found.changes} == {"same"}
    assert not found.findings
    assert not found.worse


@settings(max_examples=40)
@given(st.integers(0, 100), st.integers(0, 100))
def test_what_is_better_one_way_is_worse_the_other_way(first: int, second: int) -> None:
    pair = with_share(first), with_share(second)
    there, back = (compare(*order).changes[0].verdict for order in (pair, pair[::-1]))
    opposite = {"better": "worse", "worse": "better"}
    assert back == opposite.get(there, there)
    if there in opposite:  # then a test of two proportions agrees
        assert (there == "better") == (second < first)
        assert abs(first - second) >= 10


def test_a_difference_within_the_intervals_is_no_change() -> None:
    assert compare(with_share(50), with_share(56)).changes[0].verdict == "no change shown"
    assert compare(with_share(50), with_share(90)).changes[0].verdict == "worse"
    assert compare(with_share(50), with_share(90)).worse


def test_a_finding_that_comes_is_worse_and_a_note_is_not() -> None:
    def found(severity: Any) -> dict[str, Any]:
        return made_by(lambda n: n.findings.append(Rated("It", severity, "e", "a", "r")))

    nothing = made_by(lambda notes: None)
    assert compare(nothing, found("low")).worse
    assert not compare(nothing, found("note")).worse
    assert compare(found("low"), found("high")).worse
    assert not compare(found("high"), found("low")).worse
    assert not compare(found("high"), nothing).worse


def test_other_data_and_settings_are_pointed_out() -> None:
    first, second = with_share(3), with_share(3)
    second["data"]["sha256"] = "0" * 64
    second["settings"]["epsilon"] = 0.5
    second["complete"] = False
    said = " ".join(compare(first, second).cautions)
    assert "different examples" in said
    assert "epsilon was" in said
    assert "interrupted" in said


def test_the_page_of_a_comparison_escapes_what_it_shows(hostile: dict[str, Any]) -> None:
    other = with_share(3)
    text = comparison_to_html(hostile, other, compare(hostile, other))
    assert "<script" not in text
    assert "only before" in text


# ---------------------------------------------------------------------------- threat scores


def test_a_measured_attack_changes_the_score_of_a_threat() -> None:
    model = threats.load("smart-speaker")
    guessed = {t.id: t for t in threats.analyse(model).threats if t.rule.id == "evasion"}
    assert guessed
    for successes, higher in ((100, True), (0, False)):
        found = to_measurements(with_share(successes))
        again = from_json(json.loads(json.dumps(to_json(found))))
        measured = {t.id: t for t in threats.analyse(model, again).threats}
        for ident, before in guessed.items():
            after = measured[ident]
            assert after.measurement is not None
            assert (after.risk >= before.risk) == higher


def test_every_number_that_scores_a_threat_names_a_known_rule_and_metric() -> None:
    rules = {rule.id for rule in threats.all_rules()}
    for (name, key), (rule, metric) in MEASURED.items():
        assert rule in rules
        assert name in {section.name for section in SECTIONS}
        report = made_by(
            lambda notes, key=key: notes.share(key, "Some", 30, 100, "lower"), name=name
        )
        (found,) = to_measurements(report, target="camera")
        assert (found.threat, found.metric, found.target) == (rule, metric, "camera")
        assert found.low <= found.value <= found.high
        assert found.date == datetime.datetime.fromisoformat(report["made"]).date()


@pytest.mark.parametrize(("without", "scored"), [(60, True), (93, False), (96, False)])
def test_a_copy_scores_a_threat_only_if_questions_bought_it(without: int, scored: bool) -> None:
    """The finding of the section and the score are of one mind."""
    curve = SimpleNamespace(
        said=np.zeros(100), queries=[50, 100], agreed=[80, 96], sold="answers"
    )  # fmt: skip
    report = made_by(lambda notes: _report(notes, curve, without), name="extraction")  # type: ignore[arg-type]
    [finding] = report["sections"][0]["findings"]
    assert [m.value for m in to_measurements(report)] == ([0.96] if scored else [])
    assert (finding["severity"] != "low") == scored


@pytest.mark.parametrize(("low", "scored"), [(0.45, True), (0.55, False)])
def test_members_who_differ_without_the_model_score_no_threat(low: float, scored: bool) -> None:
    def fill(notes: Notes) -> None:
        notes.share("named", "Named", 30, 100, "lower")
        notes.measures.append(Measure("blind_auc", "Without the model", 0.6, low, 0.7, "share"))

    assert bool(to_measurements(made_by(fill, name="membership"))) == scored


def test_a_number_of_another_section_scores_nothing() -> None:
    assert not to_measurements(made_by(lambda n: n.share("success", "S", 1, 2), name="accuracy"))


def test_a_report_holds_finite_numbers() -> None:
    with pytest.raises(AuditError, match="finite"):
        Measure("m", "m", float(np.nan))


def test_what_was_not_done_stands_beside_what_was_found(hostile: dict[str, Any]) -> None:
    changed = copy.deepcopy(hostile)
    changed["sections"][0]["not_done"] = ["Half of it: no time."]
    text = to_html(changed)
    assert text.index("What was not done") < text.index("Half of it: no time.")
    assert "Half of it: no time." in to_card(changed)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1" + 400 * "0"])
def test_a_number_that_no_computer_holds_is_refused(number: str, tmp_path: Path) -> None:
    text = json.dumps(with_share(50)).replace('"value": 0.5', f'"value": {number}')
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(AuditError, match="value"):
        schema.read(tmp_path / "a.json")


def test_what_a_page_is_made_from_is_there_or_the_report_is_refused() -> None:
    spoilt: list[dict[str, Any]] = [{"settings": {}}, {"made": "yesterday"}]
    for spoil in spoilt:
        with pytest.raises(AuditError):
            schema.check({**with_share(3), **spoil})


def test_an_estimate_is_called_one_in_the_card_and_its_interval_is_not_called_95() -> None:
    estimated = Measure("e", "Latency on a board", 5.0, 3.0, 8.0, "ms", kind="estimated")
    card = to_card(made_by(lambda notes: notes.measures.append(estimated), "cost"))
    assert "| estimated, not measured |" in card
    assert "an estimate four of five stacks" in card


def test_memory_that_differs_by_some_pages_is_not_called_worse() -> None:
    def audit(size: float) -> dict[str, Any]:
        one = bench()
        vars(one.model)["peak_memory"] = lambda within: PeakMemory(0, int(size * 2**20))
        chosen = [section for section in SECTIONS if section.name == "cost"]
        return run_audit(one, 60, sections=chosen)

    found = compare(audit(10.0), audit(10.1))
    assert not found.worse
    assert "changed" in [change.verdict for change in found.changes]


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(AuditError, match="no regular file"):
        schema.read(tmp_path / "pipe")
    with pytest.raises(AuditError, match="no regular file"):
        read_npz(tmp_path / "pipe")
