"""The part of the Open Threat Model format, version 0.2.0, that this room writes.

Stated here as a JSON schema of our own and stricter than the format: it knows no field that
:mod:`~helpers.threats.otm` does not write, and numbers that are shares of a hundred stay within it.
So a document that fits this one fits the published one, which lies with the specification at
https://github.com/iriusrisk/OpenThreatModel.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string", "minLength": 1}
_SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 100}
_STATES = ("exposed", "partly-mitigated", "accepted")


def schema() -> Schema:
    """Return the schema (JSON Schema, draft 7)."""
    names = _many(_TEXT)
    answer = _record(mitigation=_TEXT, state={"enum": ["implemented", "recommended"]})
    found = _many(_record(threat=_TEXT, state={"enum": list(_STATES)}, mitigations=_many(answer)))
    asset_risk = _record(confidentiality=_SHARE, integrity=_SHARE, availability=_SHARE)
    zone_risk = _record(trustRating=_SHARE)
    return _record(
        otmVersion={"const": "0.2.0"},
        project=_record(name=_TEXT, id=_TEXT, description={"type": "string"}),
        assets=_many(_record(name=_TEXT, id=_TEXT, risk=asset_risk)),
        trustZones=_many(_record(id=_TEXT, name=_TEXT, description=_TEXT, risk=zone_risk)),
        components=_many(_component(found, names)),
        dataflows=_many(_dataflow(found, names)),
        threats=_many(_threat(names)),
        mitigations=_many(_record(id=_TEXT, name=_TEXT, description=_TEXT, riskReduction=_SHARE)),
    )


def _component(found: Schema, names: Schema) -> Schema:
    return _record(
        id=_TEXT,
        name=_TEXT,
        type=_TEXT,
        parent=_record(trustZone=_TEXT),
        assets=_record(stored=names),
        threats=found,
        tags=names,
    )


def _dataflow(found: Schema, names: Schema) -> Schema:
    return _record(
        id=_TEXT,
        name=_TEXT,
        source=_TEXT,
        destination=_TEXT,
        assets=names,
        threats=found,
        tags=names,
    )


def _threat(names: Schema) -> Schema:
    risk = _record(likelihood=_SHARE, likelihoodComment=_TEXT, impact=_SHARE, impactComment=_TEXT)
    return _record(id=_TEXT, name=_TEXT, description=_TEXT, categories=names, risk=risk, tags=names)


def _record(**fields: Schema) -> Schema:
    """An object with just these fields."""
    return {
        "type": "object",
        "required": list(fields),
        "properties": fields,
        "additionalProperties": False,
    }


def _many(item: Schema) -> Schema:
    return {"type": "array", "items": item}
