"""Charts of an audit, on axes and as pictures that lie inside a page."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.audit.schema import clean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_TICKS = 6  # of a logarithmic axis


def draw_chart(chart: dict[str, Any], ax: Axes) -> Axes:
    """Draw a chart of a report on axes; shares from 0 to 1, intervals as bands."""
    from helpers.plots.lines import curves

    series, bands = {}, {}
    for line in chart["series"]:
        label = _drawn(line["name"])
        series[label] = (line["x"], line["y"])
        if line["low"] and line["high"]:
            bands[label] = (line["low"], line["high"])
    curves(
        series, _drawn(chart["x_label"]), _drawn(chart["y_label"]), ax, bands=bands,
        xscale="log" if chart["x_log"] else "linear", ylim=(-0.02, 1.02),
    )  # fmt: skip
    if chart["x_log"]:
        at = chart["series"][0]["x"]
        ticks = at[:: max(1, -(-len(at) // _MOST_TICKS))]
        ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.set_xticks([], minor=True)
    return ax


def chart_address(chart: dict[str, Any]) -> str:
    """Draw a chart of a report and return it as a data address of an SVG picture."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    from helpers.plots import use_style

    stream = io.BytesIO()
    with mpl.rc_context():
        use_style()
        mpl.rcParams["svg.hashsalt"] = "edgesec"
        figure = Figure(figsize=(6.0, 3.6), layout="constrained")
        FigureCanvasSVG(figure)
        draw_chart(chart, figure.subplots())
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _drawn(text: str) -> str:
    """Return text that matplotlib draws as it stands: no formula, nothing that acts."""
    return clean(text).replace("$", r"\$")


def chart_words(chart: dict[str, Any]) -> str:
    """Return a chart in words, for whoever does not see it."""
    lines = []
    for line in chart["series"]:
        x, y = np.array(line["x"], float), np.array(line["y"], float)
        lines.append(f"{line['name']}: {y[0]:.1%} at {x[0]:g}, {y[-1]:.1%} at {x[-1]:g}")
    return f"{chart['title']}. {chart['y_label']} over {chart['x_label']}. {'; '.join(lines)}."
