"""What a model leaves out beside a reference, whatever its author called things.

Two people name the same thing differently. So elements are paired by what they are (kind, zone,
roles, what they hold and what flows through them) and only a little by name, so that the pairs
together agree best; flows are paired by their ends and what they carry. Every pair comes with its
reason, because a learner should be able to disagree.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from helpers.threats.engine import Analysis, analyse, controls_on
from helpers.threats.model import Element, Flow, SystemModel

# Below this agreement, from 0 to 1, two parts are not taken for the same.
LEAST_AGREEMENT = 0.5
_FROM_NEIGHBOURS, _ROUNDS = 0.3, 3
Part = TypeVar("Part", Element, Flow)


@dataclass(frozen=True)
class Pair:
    """A part of a model and the part of the reference it stands for.

    Attributes
    ----------
    own, reference
        Their names.
    agreement
        From 0 to 1.
    reason
        In what they agree and differ.
    """

    own: str
    reference: str
    agreement: float
    reason: str


@dataclass(frozen=True)
class Tally:
    """How much of the reference was found.

    Attributes
    ----------
    found, of
        Counts.
    missed
        What was not, in words.
    """

    found: int
    of: int
    missed: tuple[str, ...]

    @property
    def share(self) -> float:
        """Share found, 1 where there was nothing to find."""
        return self.found / self.of if self.of else 1.0


@dataclass(frozen=True)
class Comparison:
    """A model beside a reference.

    Attributes
    ----------
    pairs
        Elements and flows that were taken for the same.
    elements, flows, threats, ml_threats, controls
        What of the reference was found.
    extra
        Elements and flows that the reference does not have; not a fault.
    """

    pairs: tuple[Pair, ...]
    elements: Tally
    flows: Tally
    threats: Tally
    ml_threats: Tally
    controls: Tally
    extra: tuple[str, ...]

    def __str__(self) -> str:
        lines = []
        for what in ("elements", "flows", "threats", "ml_threats", "controls"):
            tally: Tally = getattr(self, what)
            lines.append(f"{what.replace('ml_', 'ML ')}: {tally.found} of {tally.of}")
            lines += [f"  missing: {missed}" for missed in tally.missed]
        lines += [f"more than the reference: {extra}" for extra in self.extra]
        return "\n".join(lines)


def compare(own: SystemModel, reference: SystemModel) -> Comparison:
    """Compare a model with a reference.

    Parameters
    ----------
    own
        A learner's model.
    reference
        What it is held against.
    """
    elements = _paired(own.elements, reference.elements, _element_likeness(own, reference))
    same = {pair.reference: pair.own for pair in elements}
    flow_likeness = [[_like_flows(a, b, same) for b in reference.flows] for a in own.flows]
    flows = _paired(own.flows, reference.flows, flow_likeness)
    same |= {pair.reference: pair.own for pair in flows}
    taken = set(same.values())
    extra = [f"element {e.name}" for e in own.elements if e.name not in taken]
    extra += [f"flow {f.name}" for f in own.flows if f.name not in taken]
    mine, theirs = analyse(own), analyse(reference)
    return Comparison(
        pairs=(*elements, *flows),
        elements=_tally(
            [(e.name in same, _element_words(reference, e)) for e in reference.elements]
        ),
        flows=_tally([(f.name in same, _flow_words(reference, f)) for f in reference.flows]),
        threats=_threats(mine, theirs, same, ml=False),
        ml_threats=_threats(mine, theirs, same, ml=True),
        controls=_controls(own, reference, same),
        extra=tuple(extra),
    )


def _paired(
    own: Sequence[Part], reference: Sequence[Part], likeness: list[list[tuple[float, str]]]
) -> list[Pair]:
    """Pair parts one to one so that the sum of agreements is largest (Hungarian method)."""
    from scipy.optimize import linear_sum_assignment

    if not own or not reference:
        return []
    agreement = np.array([[score for score, _ in row] for row in likeness])
    # A pair under the limit is worth nothing, so that it never costs another pair its partner.
    rows, columns = linear_sum_assignment(
        np.where(agreement < LEAST_AGREEMENT, 0.0, agreement), maximize=True
    )
    return [
        Pair(own[i].name, reference[j].name, *likeness[i][j])
        for i, j in zip(rows, columns, strict=True)
        if agreement[i, j] >= LEAST_AGREEMENT
    ]


def _element_likeness(own: SystemModel, reference: SystemModel) -> list[list[tuple[float, str]]]:
    """Return how alike elements are: in themselves, and in whom they exchange data with.

    Two sensors of one device differ only in what listens to them. So the agreement of neighbours
    is mixed in, then that of the neighbours' neighbours, as in the similarity flooding of Melnik,
    Garcia-Molina and Rahm (2002).
    """
    alone = [[_like_elements(own, a, reference, b) for b in reference.elements]
             for a in own.elements]  # fmt: skip
    base = np.array([[score for score, _ in row] for row in alone])
    mixed = base
    for _ in range(_ROUNDS):
        around = _neighbour_likeness(own, reference, mixed)
        mixed = (1 - _FROM_NEIGHBOURS) * base + _FROM_NEIGHBOURS * around
    return [
        [(float(mixed[i, j]), reason) for j, (_, reason) in enumerate(row)]
        for i, row in enumerate(alone)
    ]


def _neighbour_likeness(
    own: SystemModel, reference: SystemModel, mixed: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return for each pair of elements how well their flows and the far ends of these agree."""
    from scipy.optimize import linear_sum_assignment

    row = {element.name: index for index, element in enumerate(own.elements)}
    column = {element.name: index for index, element in enumerate(reference.elements)}
    around = np.ones_like(mixed)
    for a, i in row.items():
        mine = _far_ends(own, a)
        for b, j in column.items():
            theirs = _far_ends(reference, b)
            if not mine and not theirs:
                continue
            agreement = np.array(
                [[(way == way_there) * _shared(data, data_there) * mixed[row[end], column[far]]
                  for way_there, data_there, far in theirs]
                 for way, data, end in mine]
            ).reshape(len(mine), len(theirs))  # fmt: skip
            best = agreement[linear_sum_assignment(agreement, maximize=True)].sum()
            around[i, j] = best / max(len(mine), len(theirs))
    return around


def _far_ends(model: SystemModel, element: str) -> list[tuple[str, tuple[str, ...], str]]:
    coming = [("in", flow.data, flow.source) for flow in model.into(element)]
    return coming + [("out", flow.data, flow.target) for flow in model.out_of(element)]


def _like_elements(
    own: SystemModel, a: Element, reference: SystemModel, b: Element
) -> tuple[float, str]:
    zone_a, zone_b = own.zone_of(a.name), reference.zone_of(b.name)
    kind = 1.0 if a.kind == b.kind else 0.4 if a.shape == b.shape else 0.0
    traits = [
        (4.0, kind, f"kind {a.kind}", f"kind {a.kind}, there {b.kind}"),
        (2.0, float(zone_a.trust == zone_b.trust), f"trust {zone_a.trust}",
         f"trust {zone_a.trust}, there {zone_b.trust}"),
        (2.0, _shared(a.roles, b.roles), "roles",
         f"roles {_list(a.roles)}, there {_list(b.roles)}"),
        (1.0, _shared(a.holds, b.holds), "holdings",
         f"holds {_list(a.holds)}, there {_list(b.holds)}"),
        (2.0, _shared(_through(own, a), _through(reference, b)), "flows", "other flows"),
        (1.0, _names_alike(a.name, b.name), "name", ""),
    ]  # fmt: skip
    return _weighed(traits)


def _like_flows(a: Flow, b: Flow, same: dict[str, str]) -> tuple[float, str]:
    ends = float(same.get(b.source) == a.source) + float(same.get(b.target) == a.target)
    if ends < 2:
        return 0.0, "other ends"
    traits = [
        (4.0, 1.0, "ends", ""),
        (4.0, _shared(a.data, b.data), "data", f"carries {_list(a.data)}, there {_list(b.data)}"),
        (1.0, float(a.protocol == b.protocol), "protocol", f"{a.protocol}, there {b.protocol}"),
        (0.5, _names_alike(a.name, b.name), "name", ""),
    ]
    return _weighed(traits)


def _weighed(traits: list[tuple[float, float, str, str]]) -> tuple[float, str]:
    """Return the weighted mean of agreements, and a sentence on which agree and which differ."""
    total = sum(weight for weight, *_ in traits)
    agreement = sum(weight * value for weight, value, *_ in traits) / total
    alike = [same for _, value, same, _ in traits if value == 1]
    differs = [text for _, value, _, text in traits if value < 1 and text]
    reason = f"same {', '.join(alike)}" if alike else "similar"
    return agreement, reason + (f"; {'; '.join(differs)}" if differs else "")


def _shared(a: Sequence[str] | set[str], b: Sequence[str] | set[str]) -> float:
    """Return how much two sets share (Jaccard); two empty ones agree."""
    union = {*a, *b}
    return len({*a} & {*b}) / len(union) if union else 1.0


def _through(model: SystemModel, element: Element) -> set[str]:
    coming = {f"in {word}" for flow in model.into(element.name) for word in flow.data}
    return coming | {f"out {word}" for flow in model.out_of(element.name) for word in flow.data}


def _names_alike(a: str, b: str) -> float:
    return difflib.SequenceMatcher(None, a, b).ratio()


def _list(words: Sequence[str]) -> str:
    return ", ".join(words) or "nothing"


def _tally(found: list[tuple[bool, str]]) -> Tally:
    return Tally(sum(has for has, _ in found), len(found), tuple(t for has, t in found if not has))


def _element_words(model: SystemModel, element: Element) -> str:
    zone = model.zone_of(element.name)
    return f"{model.target_title(element.name)} ({element.kind}, {zone.title or zone.name})"


def _flow_words(model: SystemModel, flow: Flow) -> str:
    ends = f"{model.target_title(flow.source)} → {model.target_title(flow.target)}"
    return f"{ends} ({', '.join(flow.data)}; {flow.protocol})"


def _threats(mine: Analysis, theirs: Analysis, same: dict[str, str], *, ml: bool) -> Tally:
    have = {threat.id for threat in mine.threats}
    return _tally(
        [
            (f"{threat.rule.id}@{same.get(threat.target)}" in have,
             f"{threat.rule.title}: {threat.title}")
            for threat in theirs.threats
            if threat.rule.ml or not ml
        ]
    )  # fmt: skip


def _controls(own: SystemModel, reference: SystemModel, same: dict[str, str]) -> Tally:
    mine = {part.name: part for part in own.targets}
    found = []
    for part in reference.targets:
        partner = mine.get(same.get(part.name, ""))
        there = controls_on(own, partner) if partner else {}
        title = reference.target_title(part.name)
        found += [(control in there, f"{control} on {title}") for control in part.controls]
    return _tally(found)
