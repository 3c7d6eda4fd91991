"""A security case: a claim stands on its evidence or is said not to, and nothing goes missing."""

from __future__ import annotations

import datetime
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from helpers.cli.threats import command
from helpers.errors import ThreatModelError
from helpers.threats.evidence import Evidence, digest, evidence_from_json
from helpers.threats.security_case import (
    Examination,
    Risk,
    SecurityCase,
    case_from_json,
    cite,
    examine,
    find,
    read_case,
    write_case,
)
from helpers.threats.security_case_page import case_to_html, framed

DAY = datetime.date(2026, 7, 1)
FILE = b"TFL3 a model"
EVIDENCE = {
    "understands": Evidence(digest(FILE), "share", 0.8, 0.75, 0.84, "480 clips", "lab 14", DAY),
    "private": Evidence(digest(FILE), "epsilon", 7.9, 7.9, 7.9, "delta 1e-5", "lab 14", DAY),
}
RISK = Risk("flash-read-out@flash", "It is read.", "accept", "A. Person", DAY, "the mark names it")


def claim(name: str, relation: str, limit: float) -> Any:
    return cite(
        EVIDENCE[name], name=name, text=f"{name} <b>", because="b", relation=relation, limit=limit
    )


CASE = SecurityCase(
    name="speaker 2.0",
    goal="It may ship.",
    argument="One claim a part.",
    artefact="model.tflite",
    sha256=digest(FILE),
    claims=(claim("understands", "at least", 0.7), claim("private", "at most", 8)),
    risks=(RISK,),
    not_covered=("voices of people",),
)


def examined(case: SecurityCase = CASE, **changes: Any) -> Examination:
    given: dict[str, Any] = {
        "artefact": FILE,
        "evidence": {name: e.to_bytes() for name, e in EVIDENCE.items()},
        "today": DAY,
    }
    return examine(case, **(given | changes))


def test_a_case_holds_whose_claims_and_risks_are_in_order() -> None:
    found = examined()
    assert found.objections == ()
    assert [finding.state for finding in found.findings] == ["supported", "supported"]


@given(
    low=st.floats(0, 1), middle=st.floats(0, 1), high=st.floats(0, 1), limit=st.floats(0, 1),
    relation=st.sampled_from(["at least", "at most"]),
)  # fmt: skip
def test_the_worse_end_decides(
    low: float, middle: float, high: float, limit: float, relation: str
) -> None:
    low, middle, high = sorted((low, middle, high))
    evidence = Evidence("0" * 64, "share", middle, low, high, "s", "s", DAY)
    cited = cite(evidence, name="c", text="t", because="b", relation=relation, limit=limit)
    found = find(cited, evidence.to_bytes(), "0" * 64)
    holds = low >= limit if relation == "at least" else high <= limit
    assert found.state == ("supported" if holds else "not supported")
    assert found.evidence == evidence


@pytest.mark.parametrize(
    ("changes", "state", "says"),
    [
        ({"artefact": b"another"}, "stale", "not the file that this case was made for"),
        ({"artefact": None}, "stale", "is not there"),
        ({"evidence": {}}, "missing", "evidence/understands.json"),
        (
            {"evidence": {n: e.to_bytes() + b" " for n, e in EVIDENCE.items()}},
            "changed",
            "not the file that the claim cites",
        ),
    ],
)
def test_what_was_exchanged_after_the_measurement_is_seen(
    changes: dict[str, Any], state: str, says: str
) -> None:
    found = examined(**changes)
    assert {finding.state for finding in found.findings} == {state}
    assert says in " ".join(found.objections)


def test_a_swapped_file_is_seen_even_if_the_case_is_made_to_name_it() -> None:
    found = examined(replace(CASE, sha256=digest(b"another")), artefact=b"another")
    assert [finding.state for finding in found.findings] == ["stale", "stale"]


def test_a_missed_number_is_shown_and_needs_an_owner() -> None:
    missed = replace(CASE, claims=(claim("understands", "at least", 0.9), CASE.claims[1]))
    found = examined(missed)
    assert [finding.state for finding in found.findings] == ["not supported", "supported"]
    assert len(found.objections) == 1
    owned = replace(missed, risks=(RISK, replace(RISK, threat="unmet@understands")))
    found = examined(owned)
    assert found.objections == ()
    assert found.findings[0].state == "not supported"
    assert "A. Person answers for it" in case_to_html(owned, found, DAY)


def test_nobody_can_answer_for_evidence_that_is_not_there() -> None:
    owned = replace(CASE, risks=(RISK, replace(RISK, threat="unmet@understands")))
    assert examined(owned, evidence={}).waived == ()
    assert len(examined(owned, artefact=b"another").objections) == 3


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"decision": "open"}, "nobody has decided"),
        ({"owner": " "}, "no owner"),
        ({"reason": ""}, "no reason"),
        ({"until": DAY - datetime.timedelta(days=1)}, "ended on 2026-06-30"),
    ],
)
def test_a_risk_that_nobody_answers_for_blocks(change: dict[str, Any], says: str) -> None:
    found = examined(replace(CASE, risks=(replace(RISK, **change),)))
    assert says in found.objections[0]


def test_a_decision_that_is_none_is_refused_with_the_nearest() -> None:
    with pytest.raises(ThreatModelError, match="did you mean 'accept'"):
        replace(RISK, decision="acept")  # type: ignore[arg-type]


def test_whoever_examines_brings_the_threats_that_must_be_decided() -> None:
    assert examined(required=[RISK.threat]).objections == ()
    found = examined(replace(CASE, risks=()), required=[RISK.threat])
    assert found.objections == ("flash-read-out@flash: the case does not list it",)


def test_a_case_without_claims_does_not_hold() -> None:
    assert examined(replace(CASE, claims=())).objections == ("the case claims nothing",)


def test_a_case_comes_back_from_its_folder(tmp_path: Path) -> None:
    case, artefact, evidence = read_case(write_case(tmp_path / "case", CASE, FILE, EVIDENCE))
    assert (case, artefact) == (CASE, FILE)
    assert evidence == {name: e.to_bytes() for name, e in EVIDENCE.items()}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"artefact": "../secret"}, "artefact"),
        ({"sha256": "0"}, "sha256"),
        ({"claims": [{}]}, "claims"),
        ({"goal": "a\x1b[2J"}, "U+001B"),
        ({"claims": [CASE.to_json()["claims"][0] | {"limit": 10**400}]}, "limit"),
        ({"more": 1}, "more"),
    ],
)
def test_a_case_of_another_form_is_refused_with_the_place(
    change: dict[str, Any], says: str
) -> None:
    content = json.loads(json.dumps(CASE.to_json()))
    with pytest.raises(ThreatModelError, match=r"case: ") as error:
        case_from_json(content | change)
    assert says in str(error.value)


def test_the_same_claim_twice_is_refused() -> None:
    with pytest.raises(ThreatModelError, match="two claims"):
        replace(CASE, claims=CASE.claims * 2)


@pytest.mark.parametrize("interval", [[0.9, 1.0], [0.0, 0.1], [0.0, float("inf")], [0.1, 10**400]])
def test_a_value_outside_its_interval_is_no_evidence(interval: list[float]) -> None:
    content = json.loads(EVIDENCE["understands"].to_bytes()) | {"interval": interval}
    with pytest.raises(ThreatModelError):
        evidence_from_json(content)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"value": NaN}', b"\xff", b"[" * 100_000])
def test_evidence_that_cannot_be_read_supports_nothing(content: bytes) -> None:
    cited = replace(CASE.claims[0], sha256=digest(content))
    assert find(cited, content, digest(FILE)).state == "missing"


class Page(HTMLParser):
    """Collects tags, ids and links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids |= {value or "" for key, value in attrs if key == "id"}
        self.links += [value or "" for key, value in attrs if key in ("href", "src")]


class Frame(HTMLParser):
    """The title of a frame and the page that it holds."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.title = self.within = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "iframe":
            found = dict(attrs)
            self.title, self.within = found["title"] or "", found["srcdoc"] or ""


def test_every_claim_links_to_its_number_on_the_same_page() -> None:
    page = Page(case_to_html(CASE, examined(), DAY))
    assert [link.removeprefix("#") for link in page.links] == [
        f"evidence-{claim.name}" for claim in CASE.claims
    ]
    assert {link.removeprefix("#") for link in page.links} <= page.ids


def test_a_framed_page_keeps_its_links_and_says_what_it_is() -> None:
    plain = case_to_html(CASE, examined(), DAY)
    outer = Frame(framed(plain, 'The "case"'))
    assert outer.title == 'The "case"'
    assert "base" not in Page(plain).tags
    assert Page(outer.within).links == ["about:srcdoc", *Page(plain).links]
    assert outer.within.replace('<base href="about:srcdoc">', "") == plain


def test_every_cell_carries_the_name_of_its_column_for_a_narrow_screen() -> None:
    page = case_to_html(CASE, examined(), DAY)
    assert page.count("<td ") == page.count("<td data-label=") == 4 * len(CASE.claims) + 5
    assert "<td>" not in page


def test_texts_of_others_are_shown_and_not_obeyed() -> None:
    hostile = "<script>alert(1)</script><img src=x> \" ' &"
    case = replace(
        CASE,
        name=hostile,
        goal=hostile,
        argument=hostile,
        claims=tuple(replace(c, text=hostile, because=hostile) for c in CASE.claims),
        risks=(replace(RISK, threat=hostile, text=hostile, owner=hostile, reason=hostile),),
        not_covered=(hostile,),
    )
    page = Page(case_to_html(case, examined(case, required=[hostile + "2"]), DAY))
    assert not {"script", "img", "b"} & set(page.tags)


def test_the_command_fails_closed_and_writes_the_page(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "case", CASE, FILE, EVIDENCE)
    arguments = ["case", str(folder), "--today", str(DAY), "--out", str(tmp_path / "case.html")]
    passed = CliRunner().invoke(command, arguments)
    assert passed.exit_code == 0, passed.output
    assert "the case holds" in passed.output
    assert (tmp_path / "case.html").read_text("utf-8").startswith("<!doctype html>")
    by_model = CliRunner().invoke(command, [*arguments, "--model", "smart-speaker"])
    assert by_model.exit_code != 0
    assert "does not list it" in str(by_model.exception)
    (folder / "model.tflite").write_bytes(b"another")
    assert "stale" in str(CliRunner().invoke(command, arguments).exception)
