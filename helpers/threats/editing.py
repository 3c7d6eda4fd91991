"""Change a model and write it down again: parts taken out, controls put in, YAML.

A changed model is a new model, checked in full like any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from helpers._text import nearest, shown
from helpers.errors import ThreatModelError
from helpers.threats.model import SystemModel


def without(model: SystemModel, *names: str) -> SystemModel:
    """Return a model without some elements and flows, and the flows that lost an end.

    Acceptances of what is gone go too.

    Raises
    ------
    ThreatModelError
        If the model has no such part; with the nearest name.
    """
    _known(model, names)
    gone = {*names} | {flow.name for flow in model.flows if {flow.source, flow.target} & set(names)}
    return replace(
        model,
        elements=tuple(element for element in model.elements if element.name not in gone),
        flows=tuple(flow for flow in model.flows if flow.name not in gone),
        acceptances=tuple(a for a in model.acceptances if a.threat.split("@")[-1] not in gone),
    )


def with_controls(model: SystemModel, added: Mapping[str, Sequence[str]]) -> SystemModel:
    """Return a model with more controls.

    Parameters
    ----------
    model
        The system.
    added
        Controls for each element or flow, by its name; those it has already may be among them.

    Raises
    ------
    ThreatModelError
        If a part or a control does not exist, or the control cannot stand there.
    """
    _known(model, tuple(added))

    def controls(name: str, present: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*present, *added.get(name, ()))))

    return replace(
        model,
        elements=tuple(replace(e, controls=controls(e.name, e.controls)) for e in model.elements),
        flows=tuple(replace(f, controls=controls(f.name, f.controls)) for f in model.flows),
    )


def dumps(model: SystemModel) -> str:
    """Return a model as YAML; :func:`~helpers.threats.loading.loads` reads the same model back."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True  # a model file has none: each thing is written where it stands

    plain: dict[str, Any] = {
        key: _plain(getattr(model, key))
        for key in ("name", "title", "description", "personal", "sensitive", "wrong_answer")
    }
    plain["proprietary"] = model.proprietary
    for key in ("zones", "elements", "flows"):
        plain[key] = {part.name: _fields(part, "name") for part in getattr(model, key)}
    plain["acceptances"] = [_fields(acceptance) for acceptance in model.acceptances]
    kept = {key: value for key, value in plain.items() if value not in ("", []) or key == "flows"}
    return str(yaml.dump(kept, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100))


def _fields(part: Any, *left_out: str) -> dict[str, Any]:
    called = {"source": "from", "target": "to"}
    found = {field.name: getattr(part, field.name) for field in fields(part)}
    return {
        called.get(name, name): _plain(value)
        for name, value in found.items()
        if name not in left_out and value not in ("", (), False)
    }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _known(model: SystemModel, names: Sequence[str]) -> None:
    known = [part.name for part in model.targets]
    for name in names:
        if name not in known:
            raise ThreatModelError(
                f"model {model.name} has no part {shown(name)}; {nearest(name, known)}"
            )
