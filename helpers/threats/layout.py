"""Where the boxes of a data-flow diagram go: zones side by side, few crossings, no box crossed.

A small layered layout (Sugiyama, Tagawa and Toda 1981). Zones become neighbouring columns; a flow
that passes a column on its way gets an empty slot there, so that it runs between the boxes and
never behind one. A seeded local search then swaps slots to shorten and untangle the flows.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from helpers.threats.model import SystemModel

_PER_COLUMN = 4
_MOST_PERMUTED = 6
_WORK = 400_000
Slot = str | tuple[str, int]  # an element, or a flow's passage through a column


@dataclass
class Layout:
    """A grid of slots.

    Attributes
    ----------
    zones
        Zone of each column, left to right.
    columns
        What stands in each column, top to bottom.
    segments
        For each flow the slots from its source to its target.
    """

    zones: list[str]
    columns: list[list[Slot]]
    segments: dict[str, list[Slot]] = field(default_factory=dict)

    def places(self) -> dict[Slot, tuple[int, float]]:
        """Return column and row of every slot; columns are centred on row 0."""
        return {
            slot: (index, row - (len(column) - 1) / 2)
            for index, column in enumerate(self.columns)
            for row, slot in enumerate(column)
        }


def lay_out(model: SystemModel, seed: int = 0) -> Layout:
    """Find places for the elements of a model.

    Parameters
    ----------
    model
        What to draw.
    seed
        Of the search.
    """
    zones = [zone for zone in _zone_order(model) if any(e.zone == zone for e in model.elements)]
    layout = Layout([], [])
    for zone in zones:
        for column in _split(model, zone):
            layout.zones.append(zone)
            layout.columns.append(list(column))
    _thread(layout, model)
    _improve(layout, np.random.default_rng(seed))
    return layout


def _zone_order(model: SystemModel) -> list[str]:
    """Return the order of zones in which flows between them are shortest."""
    names = [zone.name for zone in model.zones]
    pairs = [(model.element(f.source).zone, model.element(f.target).zone) for f in model.flows]
    if len(names) > _MOST_PERMUTED:
        return names

    def length(order: tuple[str, ...]) -> int:
        at = {name: index for index, name in enumerate(order)}
        return sum(abs(at[a] - at[b]) for a, b in pairs)

    orders: list[tuple[str, ...]] = list(itertools.permutations(names))
    shortest = min(orders, key=length)
    return list(shortest)


def _split(model: SystemModel, zone: str) -> list[list[str]]:
    """Deal the elements of a zone into columns, those that send before those that receive."""
    names = [element.name for element in model.elements if element.zone == zone]
    inner = [(f.source, f.target) for f in model.flows if {f.source, f.target} <= set(names)]
    depth = dict.fromkeys(names, 0)
    for _ in names:  # flows may run in circles, so this ends by count
        for source, target in inner:
            if depth[target] <= depth[source] < len(names) // _PER_COLUMN:
                depth[target] = depth[source] + 1
    ordered = sorted(names, key=lambda name: (depth[name], names.index(name)))
    count = -(-len(ordered) // _PER_COLUMN)
    size = -(-len(ordered) // count)
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


def _thread(layout: Layout, model: SystemModel) -> None:
    """Give every flow its slots, with a passage in each column between its ends."""
    column_of = {slot: i for i, column in enumerate(layout.columns) for slot in column}
    for flow in model.flows:
        start, end = column_of[flow.source], column_of[flow.target]
        step = 1 if end >= start else -1
        passages: list[Slot] = []
        for column in range(start + step, end, step) if start != end else ():
            passages.append((flow.name, column))
            layout.columns[column].append(passages[-1])
        layout.segments[flow.name] = [flow.source, *passages, flow.target]


def _improve(layout: Layout, rng: np.random.Generator) -> None:
    """Swap slots of one column as long as that shortens or untangles."""
    steps = [pair for slots in layout.segments.values() for pair in itertools.pairwise(slots)]
    movable = [column for column in layout.columns if len(column) > 1]
    if not movable:
        return
    best = _cost(layout, steps)
    for _ in range(min(3000, _WORK // (1 + len(steps) ** 2 // 4))):
        column = movable[rng.integers(len(movable))]
        i, j = rng.choice(len(column), 2, replace=False)
        column[i], column[j] = column[j], column[i]
        cost = _cost(layout, steps)
        if cost > best:
            column[i], column[j] = column[j], column[i]
        best = min(best, cost)


def _cost(layout: Layout, steps: list[tuple[Slot, Slot]]) -> float:
    """Score a layout: crossings, then length, then flows that pass a box of their own column."""
    at = layout.places()
    between: dict[int, list[tuple[float, float]]] = {}
    cost = 0.0
    for source, target in steps:
        (left, top), (right, bottom) = sorted((at[source], at[target]))
        if left == right:
            cost += 0.3 + 3 * (abs(top - bottom) - 1)
        else:
            between.setdefault(left, []).append((top, bottom))
            cost += 0.4 * abs(top - bottom)
    return cost + 2.0 * sum(_crossings(lines) for lines in between.values())


def _crossings(lines: list[tuple[float, float]]) -> int:
    return sum(_cross(a, b) for a, b in itertools.combinations(lines, 2))


def _cross(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return (a[0] - b[0]) * (a[1] - b[1]) < 0


def zone_spans(layout: Layout) -> Iterator[tuple[str, int, int]]:
    """Yield each zone with its first and last column."""
    start = 0
    for zone, columns in itertools.groupby(layout.zones):
        count = len(list(columns))
        yield zone, start, start + count - 1
        start += count
