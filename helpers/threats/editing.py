"""Change a model and write it down again: parts taken out, controls put in, YAML.

A changed model is a new model, checked in full like any other.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from helpers._text import nearest, shown
from helpers.errors import ThreatModelError
from helpers.threats import vocabulary
from helpers.threats.attributes import upstream
from helpers.threats.engine import Analysis
from helpers.threats.model import Acceptance, Flow, SystemModel


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
        If a part or a control does not exist, or the control cannot stand there, or the controls
        of a part are no list.
    """
    _known(model, tuple(added))
    for name, words in added.items():
        if isinstance(words, str) or not isinstance(words, Collection):
            raise ThreatModelError(
                f"the controls of {name} are {shown(str(words))}; give a list of words, such as "
                '["access-control"]'
            )

    def controls(name: str, present: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*present, *added.get(name, ()))))

    return replace(
        model,
        elements=tuple(replace(e, controls=controls(e.name, e.controls)) for e in model.elements),
        flows=tuple(replace(f, controls=controls(f.name, f.controls)) for f in model.flows),
    )


def places_for(model: SystemModel, target: str, control: str) -> tuple[str, ...]:
    """Return where a control has to be put, on all of it, to protect an element or a flow.

    On the part itself where the control fits it; else on every flow that comes into the element
    from another zone, or at the first end of the flow that it fits; else, where it travels with a
    model, on an element that this model comes from, rather one that trains it. Nowhere, ``()``, if
    none of these is there: then this control cannot help.

    Raises
    ------
    ThreatModelError
        If the model has no such part, or there is no such control.
    """
    _known(model, (target,))
    known = vocabulary.controls()
    if control not in known:
        raise ThreatModelError(f"unknown control {shown(control)}; {nearest(control, known)}")
    fits = known[control].on
    part = next(part for part in model.targets if part.name == target)
    if isinstance(part, Flow):
        ends = [end for end in (part.source, part.target) if _shape(model, end) in fits]
        return (target,) if "flow" in fits and _carries(part) else tuple(ends[:1])
    if _shape(model, target) in fits:
        return (target,)
    crossing = [flow for flow in model.into(target) if model.crosses(flow)]
    if "flow" in fits and crossing and all(map(_carries, crossing)):
        return tuple(flow.name for flow in crossing)
    return _makers(model, target, fits)[:1] if known[control].travels else ()


def _carries(flow: Flow) -> bool:
    """Whether a flow can have controls: light and sound cannot."""
    return vocabulary.PROTOCOLS[flow.protocol].medium != "world"


def _makers(model: SystemModel, target: str, fits: Collection[str]) -> tuple[str, ...]:
    """Return whom the model that reaches an element comes from, those that train it first."""
    flows = upstream(model, target, ("model", "update"))
    sources = dict.fromkeys(flow.source for flow in flows if _shape(model, flow.source) in fits)
    return tuple(sorted(sources, key=lambda name: "trains" not in model.element(name).roles))


def _shape(model: SystemModel, element: str) -> str:
    return vocabulary.KINDS[model.element(element).kind].shape


def with_acceptances(
    analysis: Analysis, accepted: Mapping[str, Sequence[str]], on: datetime.date
) -> SystemModel:
    """Return the model that was analysed, with threats accepted at their present level.

    Parameters
    ----------
    analysis
        The model's threats.
    accepted
        Who accepts it, why, and until which day (``"2026-12-31"``), for each threat by its id.
        They take the place of the acceptances that the model has.
    on
        The first day on which they hold.

    Raises
    ------
    ThreatModelError
        If there is no such threat, or what is said of one is not three texts with a date as the
        last.
    """
    decisions = []
    for identity, said in accepted.items():
        level = analysis.threat(identity).level
        if not (isinstance(said, list | tuple) and len(said) == 3 and _texts(said)):
            raise ThreatModelError(
                f"{identity} is accepted as {shown(str(said))}; say who, why, and until when: "
                f'("A. Person, head of product", "because ...", "{on}")'
            )
        by, reason, until = said
        try:
            last = datetime.date.fromisoformat(until)
        except ValueError:
            raise ThreatModelError(
                f"{identity} is accepted until {shown(until)}, which is no date; write year, "
                f'month, day, such as "{on}"'
            ) from None
        decisions.append(Acceptance(identity, level, by, reason, on, last))
    return replace(analysis.model, acceptances=tuple(decisions))


def _texts(values: Sequence[object]) -> bool:
    return all(isinstance(value, str) for value in values)


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
