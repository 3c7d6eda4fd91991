"""Reports, diagrams and exchange formats: complete, escaped, and readable by others."""

from __future__ import annotations

import datetime
import itertools
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt

from helpers import threats
from helpers.errors import ThreatModelError
from helpers.threats import otm
from helpers.threats.layout import lay_out
from helpers.threats.model import SystemModel

DAY = datetime.date(2026, 6, 1)
ROOT = Path(__file__).resolve().parents[2]
MODELS = [threats.load(name) for name in threats.shipped()]
MODELS.append(threats.load(Path(__file__).parent / "ecg_patch.yaml"))
HOSTILE = (
    "<script>alert(1)</script> | `x` **b** ![i](http://e.invalid/p.png) ]]> \" ' & {{7*7}} end"
)
SVG = "{http://www.w3.org/2000/svg}"


def hostile(model: SystemModel) -> SystemModel:
    """The same model with every free text replaced."""
    return replace(
        model,
        title=HOSTILE,
        description=HOSTILE,
        zones=tuple(replace(zone, title=HOSTILE) for zone in model.zones),
        elements=tuple(replace(element, title=HOSTILE) for element in model.elements),
        flows=tuple(replace(flow, title=HOSTILE) for flow in model.flows),
    )


class Tags(HTMLParser):
    """Collects tags and attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for key, value in attrs if key in ("src", "href")]


def test_a_report_keeps_controls_that_can_stand_nowhere_apart_from_those_that_would_help() -> None:
    report = threats.to_markdown(threats.analyse(threats.load("smart-speaker")), DAY)
    (found,) = [part for part in report.split("\n### ") if "Id membership-inference@flash;" in part]
    lines = re.findall(r"(?:Would help|Without a place in this model): .*", found.replace("\\", ""))
    assert "dp-training" in lines[0]
    assert "output-reduction" not in lines[0]
    assert lines[1:] == ["Without a place in this model: output-reduction"]
    (whole,) = [part for part in report.split("\n### ") if "Id flash-read-out@flash;" in part]
    assert "Without a place" not in whole


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_the_open_threat_model_fits_its_schema_and_names_only_what_it_has(
    model: SystemModel,
) -> None:
    document = json.loads(json.dumps(threats.to_otm(threats.analyse(model))))
    otm.check(document)
    known = {threat["id"] for threat in document["threats"]}
    mitigations = {mitigation["id"] for mitigation in document["mitigations"]}
    components = {component["id"] for component in document["components"]}
    zones = {zone["id"] for zone in document["trustZones"]}
    assets = {asset["id"] for asset in document["assets"]}
    for part in (*document["components"], *document["dataflows"]):
        assert {threat["threat"] for threat in part["threats"]} <= known
        for threat in part["threats"]:
            assert {m["mitigation"] for m in threat["mitigations"]} <= mitigations
    assert {c["parent"]["trustZone"] for c in document["components"]} <= zones
    for flow in document["dataflows"]:
        assert {flow["source"], flow["destination"]} <= components
        assert set(flow["assets"]) <= assets
    assert all(0 <= t["risk"]["likelihood"] <= 100 for t in document["threats"])


def test_a_document_that_does_not_fit_is_refused() -> None:
    document = threats.to_otm(threats.analyse(MODELS[0]))
    del document["trustZones"][0]["risk"]
    with pytest.raises(ThreatModelError, match="trustZones"):
        otm.check(document)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_the_report_names_every_element_flow_and_threat(model: SystemModel) -> None:
    analysis = threats.analyse(model)
    for text in (threats.to_markdown(analysis, DAY), threats.to_html(analysis, DAY)):
        plain = text.replace("\\", "")
        for target in model.targets:
            assert model.target_title(target.name).replace("'", "&#x27;") in plain or (
                model.target_title(target.name) in plain
            )
        for threat in analysis.threats:
            assert threat.id in plain
        assert "2026-06-01" in plain
        assert "AML.T" in plain


def test_the_html_stands_alone_and_runs_nothing() -> None:
    tags = Tags()
    page = threats.to_html(threats.analyse(hostile(MODELS[0])), DAY)
    tags.feed(page)
    assert not {"script", "img", "iframe", "link"} & tags.tags
    assert not tags.links
    assert "http://e.invalid" in page  # as text
    assert not re.search(r'="[^"]*e\.invalid', page)


def test_markdown_shows_hostile_titles_as_text() -> None:
    report = threats.to_markdown(threats.analyse(hostile(MODELS[0])), DAY)
    tags = Tags()
    tags.feed(MarkdownIt("commonmark").enable("table").render(report))
    assert not {"script", "img", "a", "strong"} & tags.tags
    rows = [line for line in report.splitlines() if line.startswith("| high")]
    columns = {len(re.findall(r"(?<!\\)\|", line)) for line in rows}
    assert columns == {8}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_the_drawing_holds_every_box_and_number_and_no_number_lies_on_a_box(
    model: SystemModel,
) -> None:
    root = ElementTree.fromstring(threats.to_svg(model, threats.analyse(model)))
    groups = root.findall(f"{SVG}g")
    assert len(groups) == len(model.elements)
    numbers = [int(text.text or "") for text in root.findall(f"{SVG}text[@class='n']")]
    assert numbers == list(range(1, len(model.flows) + 1))
    boxes = [group.findall(f"{SVG}rect")[-1] for group in groups]
    spots = [(float(c.get("cx", "")), float(c.get("cy", ""))) for c in root.findall(f"{SVG}circle")]
    for box in boxes:
        x, y, width, height = (float(box.get(k, "")) for k in ("x", "y", "width", "height"))
        inside = [s for s in spots if x < s[0] < x + width and y < s[1] < y + height]
        assert not inside
    places = {(box.get("x"), box.get("y")) for box in boxes}
    assert len(places) == len(boxes)


def test_hostile_titles_stay_text_in_the_drawing() -> None:
    root = ElementTree.fromstring(threats.to_svg(hostile(MODELS[1])))
    assert not root.findall(f".//{SVG}script")
    assert "<script>" in "".join(root.itertext())


def test_the_layout_is_the_same_each_time_and_a_flow_crosses_no_box() -> None:
    for model in MODELS:
        layout = lay_out(model)
        assert layout == lay_out(model)
        at = layout.places()
        assert len(set(at.values())) == len(at)
        for slots in layout.segments.values():
            columns = [at[slot][0] for slot in slots]
            assert all(abs(a - b) <= 1 for a, b in itertools.pairwise(columns))


def test_mermaid_quotes_what_it_would_interpret() -> None:
    text = threats.to_mermaid(hostile(MODELS[0]))
    assert text.startswith("flowchart LR\n")
    assert "<" not in text
    assert text.count("subgraph") == text.count("\n  end") == len(MODELS[0].zones)
    labels = re.findall(r'"([^"]*)"', text)
    assert all(re.fullmatch(r"[\w .,#;-]*", label) for label in labels)


def test_a_difference_tells_what_changed_and_what_it_did() -> None:
    model = threats.load("smart-speaker")
    flow = next(flow for flow in model.flows if flow.name == "settings")
    bonded = replace(flow, protocol="ble-bonded")
    trainer = model.element("trainer")
    other = replace(trainer, controls=("dp-training", "consent"))
    changed = replace(
        model,
        elements=tuple(other if e is trainer else e for e in model.elements),
        flows=tuple(bonded if f is flow else f for f in model.flows if f.name != "audio"),
    )
    found = threats.difference(threats.analyse(model), threats.analyse(changed))
    assert found.removed == ("flow audio",)
    assert found.changed == (
        "element trainer: controls +dp-training -holdout-gate",
        "flow settings: protocol ble → ble-bonded",
    )
    assert "wire-tapped@audio" in {threat.id for threat in found.gone}
    moved = {now.id: (old.risk, now.risk) for old, now in found.moved}
    assert moved["flow-discloses@settings"][0] > moved["flow-discloses@settings"][1]
    assert not found.empty
    same = threats.analyse(model)
    assert threats.difference(same, same).empty
    assert str(threats.difference(same, same)) == "no difference"


def test_the_hospital_model_names_code_that_is_there_and_claims_what_the_code_does() -> None:
    model = threats.load("hospital-consortium")
    coded = [element for element in model.elements if element.code]
    assert len(coded) >= 6
    for element in coded:
        assert (ROOT / element.code).is_file(), element.code
    deployment = ROOT / "helpers" / "federated" / "deployment"
    gateway = (deployment / "gateway.py").read_text("utf-8")
    assert "ssl.TLSVersion.TLSv1_3" in gateway
    assert "ssl.CERT_REQUIRED" in gateway
    assert "VERIFY_CRL_CHECK_LEAF" in gateway
    founding = (deployment / "founding.py").read_text("utf-8")
    # What the default settings do not do, the model does not claim.
    assert "aggregator: RobustAggregator | None = None" in founding
    assert "robust-aggregation" not in model.element("server-app").controls
    claimed = {c for flow in model.flows for c in flow.controls}
    assert not {"secure-aggregation", "local-noise"} & claimed


def test_no_text_from_outside_becomes_markup_or_begins_a_block() -> None:
    model = hostile(MODELS[1])
    identity = threats.analyse(model).threats[0].id
    accepted = threats.Acceptance(identity, "critical", HOSTILE, HOSTILE, DAY, DAY)
    found = threats.Measurement(
        threat="gradient-inversion", metric="reconstruction-gain", value=0.1, low=0.0, high=0.2,
        source=HOSTILE, setting=HOSTILE, date=DAY,
    )  # fmt: skip
    for start in ("- ", "+ ", "1. ", "2) ", ":::{note} ", "--- ", "=== "):
        changed = replace(model, description=start + HOSTILE, acceptances=(accepted,))
        analysis = threats.analyse(changed, [found])
        tags = Tags()
        markdown = threats.to_markdown(analysis, DAY)
        tags.feed(MarkdownIt("commonmark").enable("table").render(markdown))
        assert not {"script", "img", "a", "strong", "ol", "hr"} & tags.tags
        first = MarkdownIt("commonmark").render(markdown).split("\n")[1]
        assert first.startswith(f"<p>{start.strip()}")
    tags = Tags()
    tags.feed(threats.to_html(analysis, DAY))
    assert not {"script", "img"} & tags.tags
