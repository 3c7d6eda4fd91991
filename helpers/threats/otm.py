"""Write an analysis as Open Threat Model JSON, version 0.2.0, for other tools to read.

:func:`check` holds a document to the format as ``otm_format`` states it.
"""

from __future__ import annotations

from typing import Any

from helpers._schemas import load_jsonschema
from helpers.errors import ThreatModelError
from helpers.threats import otm_format, vocabulary
from helpers.threats.dread import RELIEF
from helpers.threats.engine import Analysis, Threat
from helpers.threats.model import Element, Flow, SystemModel, Zone
from helpers.threats.rules import STRIDE

VERSION = "0.2.0"


def to_otm(analysis: Analysis) -> dict[str, Any]:
    """Return an analysis as an Open Threat Model document.

    Likelihood is the mean of reproducibility, exploitability and discoverability, impact that of
    damage and affected users, both out of 100; each threat of the document is one rule at one
    target, because its risk depends on where it stands.

    Parameters
    ----------
    analysis
        What to write.

    Raises
    ------
    ThreatModelError
        If the document should not fit the format.
    """
    model = analysis.model
    document = {
        "otmVersion": VERSION,
        "project": {
            "name": model.title or model.name,
            "id": model.name,
            "description": model.description,
        },
        "assets": [_asset(model, word) for word in _data_classes(model)],
        "trustZones": [_zone(zone) for zone in model.zones],
        "components": [_component(analysis, element) for element in model.elements],
        "dataflows": [_dataflow(analysis, flow) for flow in model.flows],
        "threats": [_threat(threat) for threat in analysis.threats],
        "mitigations": _mitigations(analysis),
    }
    check(document)
    return document


def check(document: Any) -> None:
    """Hold a document to the format.

    Raises
    ------
    ThreatModelError
        If it does not fit; with the place.
    """
    jsonschema = load_jsonschema()
    errors = jsonschema.Draft7Validator(otm_format.schema()).iter_errors(document)
    worst = jsonschema.exceptions.best_match(errors)
    if worst is not None:
        raise ThreatModelError(f"not OTM {VERSION}: at {worst.json_path}: {worst.message[:200]}")


def _data_classes(model: SystemModel) -> list[str]:
    used = {word for flow in model.flows for word in flow.data}
    used |= {word for element in model.elements for word in element.holds}
    return [word for word in vocabulary.DATA_CLASSES if word in used]


def _asset(model: SystemModel, word: str) -> dict[str, Any]:
    secret = (
        100 if word in (*model.sensitive, "credentials") else 70 if word in model.personal else 30
    )
    wrong = {"nuisance": 30, "loss": 70, "injury": 100}[model.wrong_answer]
    return {
        "name": vocabulary.DATA_CLASSES[word],
        "id": word,
        "risk": {"confidentiality": secret, "integrity": wrong, "availability": 50},
    }


def _zone(zone: Zone) -> dict[str, Any]:
    who, rating = vocabulary.TRUST[zone.trust]
    return {
        "id": f"zone-{zone.name}",
        "name": zone.title or zone.name,
        "description": f"can be touched by {who}; hardware {zone.hardware}",
        "risk": {"trustRating": rating},
    }


def _component(analysis: Analysis, element: Element) -> dict[str, Any]:
    return {
        "id": element.name,
        "name": analysis.model.target_title(element.name),
        "type": element.kind,
        "parent": {"trustZone": f"zone-{element.zone}"},
        "assets": {"stored": list(element.holds)},
        "threats": [_instance(threat) for threat in analysis.of(element.name)],
        "tags": list(element.roles),
    }


def _dataflow(analysis: Analysis, flow: Flow) -> dict[str, Any]:
    return {
        "id": flow.name,
        "name": analysis.model.target_title(flow.name),
        "source": flow.source,
        "destination": flow.target,
        "assets": list(flow.data),
        "threats": [_instance(threat) for threat in analysis.of(flow.name)],
        "tags": [flow.protocol],
    }


def _instance(threat: Threat) -> dict[str, Any]:
    state = "accepted" if threat.acceptance else "partly-mitigated" if threat.present else "exposed"
    return {
        "threat": threat.id,
        "state": state,
        "mitigations": [
            {
                "mitigation": f"{control}-{threat.rule.controls[control]}",
                "state": "implemented" if control in threat.present else "recommended",
            }
            for control in threat.rule.controls
        ],
    }


def _threat(threat: Threat) -> dict[str, Any]:
    scores = threat.scores
    likely = (scores.reproducibility, scores.exploitability, scores.discoverability)
    impact = (scores.damage, scores.affected)
    return {
        "id": threat.id,
        "name": threat.rule.title,
        "description": f"{threat.statement} {threat.rule.why}",
        "categories": [STRIDE[letter] for letter in threat.rule.stride],
        "risk": {
            "likelihood": round(sum(score.value for score in likely) / 3 * 10, 1),
            "likelihoodComment": "; ".join(score.reason for score in likely),
            "impact": round(sum(score.value for score in impact) / 2 * 10, 1),
            "impactComment": "; ".join(score.reason for score in impact),
        },
        "tags": [identity for ids in threat.rule.ids.values() for identity in ids],
    }


def _mitigations(analysis: Analysis) -> list[dict[str, Any]]:
    known = vocabulary.controls()
    used = {
        (control, strength)
        for threat in analysis.threats
        for control, strength in threat.rule.controls.items()
    }
    return [
        {
            "id": f"{control}-{strength}",
            "name": control.replace("-", " "),
            "description": known[control].meaning,
            "riskReduction": RELIEF[strength] * 10,
        }
        for control, strength in sorted(used)
    ]
