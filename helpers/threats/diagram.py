"""The data-flow diagram of a system: SVG of our own, and Mermaid text.

Shapes follow the conventions of STRIDE: a process is round, a store lies between two lines, what is
outside is a rectangle; a shadow stands for many alike. A dashed box is a zone of trust. Flows are
numbered, and the numbers are explained below the drawing.
"""

from __future__ import annotations

import html
import itertools
import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from helpers.threats.engine import Analysis
from helpers.threats.layout import Layout, Slot, lay_out, zone_spans
from helpers.threats.model import Element, Flow, SystemModel

_WIDTH, _HEIGHT = 148, 56
_COLUMN, _ROW = 236, 96
_MARGIN, _HEAD, _LINE = 44, 54, 19
_FILL = {"process": "#E3EEF6", "store": "#E4F3EC", "external": "#F3F3F3"}
# Scoped to the drawing: inside a page its rules must not reach the page.
_STYLE = "".join(
    f".dfd {rule}}}"
    for rule in (
        "text{font:13px sans-serif;fill:#111", ".t{font-weight:600", ".s{font-size:11px;fill:#444",
        ".n{font-size:11px;font-weight:600;fill:#fff", ".zt{fill:#8A3407;font-weight:600",
        ".z{fill:none;stroke:#B3450E;stroke-dasharray:7 5", ".b{stroke:#111;stroke-width:1.3",
        ".e{fill:none;stroke:#444;stroke-width:1.3", ".c{fill:#0063A0", ".r{fill:#B3450E",
        ".p{fill:#fff",
    )
)  # fmt: skip
Point = tuple[float, float]


@dataclass(frozen=True)
class _Edge:
    """A flow as it is drawn: a smooth curve through points."""

    number: int
    flow: Flow
    points: list[Point]

    def at(self, share: float) -> Point:
        """Return the point of the curve at a share of its way."""
        pieces = len(self.points) // 3
        piece = min(int(share * pieces), pieces - 1)
        t = share * pieces - piece
        a, b, c, d = self.points[3 * piece : 3 * piece + 4]
        weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
        x, y = (
            sum(w * point[axis] for w, point in zip(weights, (a, b, c, d), strict=True))
            for axis in (0, 1)
        )
        return x, y

    def path(self) -> str:
        """Return the curve as SVG path data."""
        (x, y), *rest = self.points
        curves = [rest[i : i + 3] for i in range(0, len(rest), 3)]
        drawn = ("C" + " ".join(f"{px:.1f} {py:.1f}" for px, py in curve) for curve in curves)
        return f"M{x:.1f} {y:.1f}{''.join(drawn)}"


def to_svg(model: SystemModel, analysis: Analysis | None = None) -> str:
    """Return the data-flow diagram as one SVG document, all text escaped.

    Parameters
    ----------
    model
        What to draw.
    analysis
        If given, each box and flow says how many of its threats are high or critical.
    """
    layout = lay_out(model)
    centre = _centres(layout)
    edges = _edges(model, layout, centre)
    bottom = max(y for _, y in centre.values()) + _HEIGHT / 2 + _MARGIN
    width = _MARGIN * 2 + _COLUMN * (len(layout.columns) - 1) + _WIDTH + 60
    legend, height = _legend(edges, model, width, bottom + 26)
    worst = _worst(analysis) if analysis else {}
    boxes = [_box(model, e, centre[e.name], worst.get(e.name, 0)) for e in model.elements]
    title = html.escape(model.title or model.name)
    said = f"{len(model.elements)} elements in {len(model.zones)} zones, {len(model.flows)} flows"
    return "\n".join(
        [
            '<svg xmlns="http://www.w3.org/2000/svg" class="dfd" '
            f'viewBox="0 0 {width:.0f} {height:.0f}" '
            f'width="{width:.0f}" height="{height:.0f}" role="img">',
            f"<title>Data-flow diagram: {title}</title><desc>{said}; listed below it.</desc>",
            f"<style>{_STYLE}</style>",
            '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
            'markerHeight="7" orient="auto"><path d="M0 0 10 5 0 10z" fill="#444"/></marker>'
            "</defs>",
            f'<rect class="p" width="{width:.0f}" height="{height:.0f}"/>',
            *_zone_boxes(model, layout, bottom),
            *(f'<path class="e" marker-end="url(#head)" d="{edge.path()}"/>' for edge in edges),
            *boxes,
            *_numbers(edges, centre, model, worst),
            *legend,
            "</svg>\n",
        ]
    )


def to_mermaid(model: SystemModel) -> str:
    """Return the diagram as Mermaid text, which many viewers of Markdown draw."""
    lines = ["flowchart LR"]
    for zone in model.zones:
        lines.append(f'  subgraph zone-{zone.name}["{_quoted(zone.title or zone.name)}"]')
        for element in model.elements:
            if element.zone == zone.name:
                left, right = {
                    "process": ("([", "])"), "store": ("[(", ")]"), "external": ("[", "]"),
                }[element.shape]  # fmt: skip
                title = _quoted(model.target_title(element.name))
                lines.append(f'    n-{element.name}{left}"{title}"{right}')
        lines.append("  end")
    for number, flow in enumerate(model.flows, 1):
        label = _quoted(f"{number}. {', '.join(flow.data)}")
        lines.append(f'  n-{flow.source} -- "{label}" --> n-{flow.target}')
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Return text that Mermaid shows as it is: its own entity codes for what it would interpret."""
    return "".join(c if c.isalnum() or c in " .,-" else f"#{ord(c)};" for c in text)


def _worst(analysis: Analysis) -> dict[str, int]:
    counts: dict[str, int] = {}
    for threat in analysis.threats:
        if threat.level in ("high", "critical"):
            counts[threat.target] = counts.get(threat.target, 0) + 1
    return counts


def _centres(layout: Layout) -> dict[Slot, Point]:
    tallest = max(len(column) for column in layout.columns)
    middle = _MARGIN + _HEAD + _HEIGHT / 2 + (tallest - 1) / 2 * _ROW
    return {
        slot: (_MARGIN + 30 + _WIDTH / 2 + column * _COLUMN, middle + row * _ROW)
        for slot, (column, row) in layout.places().items()
    }


def _edges(model: SystemModel, layout: Layout, centre: dict[Slot, Point]) -> list[_Edge]:
    """Draw every flow from a point of its own on the side of its source to one of its target."""
    ports = _ports(model, layout, centre)
    edges = []
    for number, flow in enumerate(model.flows, 1):
        inner = [centre[slot] for slot in layout.segments[flow.name][1:-1]]
        start, end = ports[flow.name, 0], ports[flow.name, 1]
        if centre[flow.source][0] == centre[flow.target][0]:
            points = _beside(start, end)
        else:
            points = _through([start, *inner, end])
        edges.append(_Edge(number, flow, points))
    return edges


def _ports(
    model: SystemModel, layout: Layout, centre: dict[Slot, Point]
) -> dict[tuple[str, int], Point]:
    """Spread the ends of flows along the sides of the boxes, in the order in which they leave."""
    sides: dict[tuple[str, int], list[tuple[float, str, int]]] = {}
    for flow in model.flows:
        slots = layout.segments[flow.name]
        for which, (here, there) in enumerate(((slots[0], slots[1]), (slots[-1], slots[-2]))):
            across = centre[there][0] - centre[here][0]
            side = 1 if across >= 0 else -1
            sides.setdefault((str(here), side), []).append((centre[there][1], flow.name, which))
    ports = {}
    for (name, side), ends in sides.items():
        x, y = centre[name]
        ends.sort()
        for index, (_, flow_name, which) in enumerate(ends, 1):
            offset = _HEIGHT * (index / (len(ends) + 1) - 0.5)
            ports[flow_name, which] = (x + side * _WIDTH / 2, y + offset)
    return ports


def _beside(start: Point, end: Point) -> list[Point]:
    """A bow at the right of a column."""
    bulge = 26 + 0.16 * abs(end[1] - start[1])
    return [start, (start[0] + bulge, start[1]), (end[0] + bulge, end[1]), end]


def _through(points: Sequence[Point]) -> list[Point]:
    """A curve that is level at every point it passes; a passage is crossed in a straight line."""
    across = 1 if points[-1][0] > points[0][0] else -1
    stops = [points[0]]
    for x, y in points[1:-1]:
        stops += [(x - across * _WIDTH / 2, y), (x + across * _WIDTH / 2, y)]
    stops.append(points[-1])
    curve = [stops[0]]
    for (x0, y0), (x1, y1) in itertools.pairwise(stops):
        half = (x1 - x0) / 2
        curve += [(x0 + half, y0), (x1 - half, y1), (x1, y1)]
    return curve


def _zone_boxes(model: SystemModel, layout: Layout, bottom: float) -> Iterable[str]:
    titles = {zone.name: zone.title or zone.name for zone in model.zones}
    trust = {zone.name: zone.trust for zone in model.zones}
    for zone, first, last in zone_spans(layout):
        x = _MARGIN + first * _COLUMN - 4
        width = (last - first) * _COLUMN + _WIDTH + 68
        height = bottom - _MARGIN / 2 - _MARGIN + 8
        yield (
            f'<rect class="z" x="{x}" y="{_MARGIN - 16}" width="{width}" height="{height:.0f}" '
            f'rx="10"/><text class="zt" x="{x + 12}" y="{_MARGIN + 4}">'
            f"{html.escape(_short(titles[zone], width // 7))}</text>"
            f'<text class="s" x="{x + 12}" y="{_MARGIN + 20}">{trust[zone]}</text>'
        )


def _box(model: SystemModel, element: Element, at: Point, worst: int) -> str:
    x, y = at[0] - _WIDTH / 2, at[1] - _HEIGHT / 2
    shadow = _shape(element.shape, x, y - 6) if element.many else ""
    lines = textwrap.wrap(model.target_title(element.name), 20, max_lines=2, placeholder="...")
    top = at[1] - 6 * len(lines) + 4
    text = "".join(
        f'<text class="t" text-anchor="middle" x="{at[0]:.0f}" y="{top + 15 * i:.0f}">'
        f"{html.escape(line)}</text>"
        for i, line in enumerate(lines)
    )
    kind = (
        f'<text class="s" text-anchor="middle" x="{at[0]:.0f}" '
        f'y="{top + 15 * len(lines) - 1:.0f}">{element.kind}</text>'
    )
    badge = _badge((x + _WIDTH - 10, y - 2), "r", worst) if worst else ""
    return f"<g>{shadow}{_shape(element.shape, x, y)}{text}{kind}{badge}</g>"


def _shape(shape: str, x: float, y: float) -> str:
    place = f'x="{x:.0f}" y="{y:.0f}" width="{_WIDTH}" height="{_HEIGHT}" fill="{_FILL[shape]}"'
    if shape == "store":
        lines = "".join(
            f'<path class="b" d="M{x:.0f} {line:.0f}h{_WIDTH}"/>' for line in (y, y + _HEIGHT)
        )
        return f"<rect {place}/>{lines}"
    return f'<rect class="b" rx="{_HEIGHT // 2 if shape == "process" else 0}" {place}/>'


def _badge(at: Point, look: str, number: int) -> str:
    return (
        f'<circle class="{look}" cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="10"/>'
        f'<text class="n" text-anchor="middle" x="{at[0]:.1f}" y="{at[1] + 4:.1f}">{number}</text>'
    )


def _numbers(
    edges: list[_Edge], centre: dict[Slot, Point], model: SystemModel, worst: dict[str, int]
) -> Iterable[str]:
    """Put each flow's number on its curve, where it covers no box and no other number."""
    boxes = [centre[element.name] for element in model.elements]
    taken: list[Point] = []
    for edge in edges:
        shares = (0.5, 0.42, 0.58, 0.34, 0.66, 0.26, 0.74, 0.2, 0.8, 0.15, 0.85)
        spot = max((edge.at(share) for share in shares), key=lambda p: _room(p, boxes, taken))
        taken.append(spot)
        yield _badge(spot, "r" if worst.get(edge.flow.name) else "c", edge.number)


def _room(point: Point, boxes: list[Point], taken: list[Point]) -> float:
    """Return how far a point is from boxes and numbers; enough is enough."""
    near = [math.dist(point, other) for other in taken]
    near += [
        max(abs(point[0] - x) - _WIDTH / 2, abs(point[1] - y) - _HEIGHT / 2) + 10 for x, y in boxes
    ]
    return min(min(near, default=99.0), 22.0)


def _legend(
    edges: list[_Edge], model: SystemModel, width: float, top: float
) -> tuple[list[str], float]:
    """List the flows below the drawing, in as many columns as fit."""
    columns = max(1, int(width // 380))
    rows = -(-len(edges) // columns)
    each = (width - 2 * _MARGIN) / columns
    lines = []
    for index, edge in enumerate(edges):
        column, row = divmod(index, max(rows, 1))
        x, y = _MARGIN + column * each, top + row * _LINE
        text = f"{edge.number}. {model.target_title(edge.flow.name)}: "
        text += f"{', '.join(edge.flow.data)} ({edge.flow.protocol})"
        text = html.escape(_short(text, int(each // 6.2)))
        lines.append(f'<text class="s" x="{x:.0f}" y="{y:.0f}">{text}</text>')
    return lines, top + rows * _LINE + 10


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
