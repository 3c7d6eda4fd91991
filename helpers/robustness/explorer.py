"""A picture of designs that answers questions: which axes, what budget, what is left.

It is one piece of HTML with its own script and no outside parts, so that it works in a notebook and
in a book that is nothing but files. Without scripts its table still shows the front.
"""

from __future__ import annotations

import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import numpy as np

from helpers.errors import RobustnessError
from helpers.plots.style import COLOURS
from helpers.robustness.frontier import (
    Design,
    Measure,
    pareto_front,
    value_table,
    within_budget,
)


class Explorer:
    """Designs to look at from any two sides.

    Parameters
    ----------
    designs
        What is compared.
    measures
        What counts; the first is across, the second up, until somebody chooses otherwise.
    colour_by
        The trait that gives colour and shape; at most four values.
    limits
        The budget to begin with, by the key of a measure.

    Raises
    ------
    RobustnessError
        If a number is missing, the trait is not there or has more than four values, there are fewer
        than two measures, or a limit is of no measure.
    """

    def __init__(
        self,
        designs: Sequence[Design],
        measures: Sequence[Measure],
        colour_by: str,
        limits: Mapping[str, float] | None = None,
    ) -> None:
        if len(measures) < 2:
            raise RobustnessError(f"{len(measures)} measures: a picture needs two.")
        value_table(designs, measures)
        missing = next((d.name for d in designs if colour_by not in d.traits), None)
        if missing is not None:
            raise RobustnessError(f"{missing!r} has no trait {colour_by!r}.")
        groups = {design.traits[colour_by] for design in designs}
        if len(groups) > 4:
            raise RobustnessError(
                f"{colour_by!r} has {len(groups)} values; colours and shapes tell four apart."
            )
        self.designs, self.measures = list(designs), list(measures)
        self._colour_by, self._limits = colour_by, dict(limits or {})
        self.front()  # says now what is wrong with a limit

    def front(self) -> list[Design]:
        """Return what is within the budget and on the front of the first two measures."""
        kept = within_budget(self.designs, self.measures, self._limits)
        if not kept:
            return []
        two = self.measures[:2]
        best = pareto_front(value_table(kept, two), [m.higher_is_better for m in two])
        found = [design for design, on in zip(kept, best, strict=True) if on]
        return sorted(found, key=lambda design: design.values[two[0].key])

    def __repr__(self) -> str:
        names = ", ".join(design.name for design in self.front())
        return f"{len(self.designs)} designs; on the front within the budget: {names or 'none'}"

    def _repr_html_(self) -> str:
        data = json.dumps(self._data(), allow_nan=False).replace("<", "\\u003c")
        own = f"explorer-{hashlib.sha256(data.encode()).hexdigest()[:12]}"
        script = files("helpers.robustness").joinpath("explorer.js").read_text(encoding="utf-8")
        return (
            f'<div id="{own}" class="explorer">{self._controls()}{_CHART}{self._legend()}'
            f"{self._table()}</div>"
            f'<script>{script.rstrip()}(document.getElementById("{own}"), {data});</script>'
        )

    def _data(self) -> dict[str, Any]:
        keys = [measure.key for measure in self.measures]
        return {
            "measures": [
                {"key": m.key, "title": m.title, "higher": m.higher_is_better}
                for m in self.measures
            ],
            "designs": [
                {
                    "name": d.name,
                    "group": d.traits[self._colour_by],
                    "values": {key: float(d.values[key]) for key in keys},
                }
                for d in self.designs
            ],
            "colours": list(COLOURS)[:4],
        }

    def _controls(self) -> str:
        def choice(part: str, title: str, chosen: int) -> str:
            options = "".join(
                f'<option value="{i}"{" selected" if i == chosen else ""}>'
                f"{html.escape(m.title)}</option>"
                for i, m in enumerate(self.measures)
            )
            return (
                f'<label>{title} <select data-part="{part}" aria-label="{title}">{options}</select>'
                "</label>"
            )

        def limit(number: int, measure: Measure) -> str:
            value = self._limits.get(measure.key)
            bound = "at least" if measure.higher_is_better else "at most"
            given = "" if value is None else f' value="{value:g}"'
            title = f"{html.escape(measure.title)} {bound}"
            return (
                f'<label>{title} <input type="number" step="any" data-limit="{number}"{given} '
                f'aria-label="{title}" style="width: 7em"></label>'
            )

        limits = "".join(limit(*pair) for pair in enumerate(self.measures))
        row = "display: flex; flex-wrap: wrap; gap: .4em 1.2em; margin: .4em 0"
        return (
            f'<div data-needs-script hidden><div style="{row}">'
            f"{choice('x', 'Across', 0)}{choice('y', 'Up', 1)}</div>"
            f'<fieldset style="{row}"><legend>Budget</legend>{limits}</fieldset></div>'
        )

    def _told(self) -> str:
        kept = within_budget(self.designs, self.measures, self._limits)
        return (
            f"{len(kept)} of {len(self.designs)} designs keep to the budget; {len(self.front())} "
            "of them are on the front of these two measures."
        )

    def _legend(self) -> str:
        groups = dict.fromkeys(design.traits[self._colour_by] for design in self.designs)
        marks = zip("●■◆▲", COLOURS, groups, strict=False)
        words = "; ".join(
            f'<span aria-hidden="true" style="color: {colour}">{mark}</span> {html.escape(group)}'
            for mark, colour, group in marks
        )
        return (
            f"<p>{html.escape(self._colour_by)}: {words}. Filled: within the budget. "
            "Thick rim and dashed line: on the front of these two measures.</p>"
        )

    def _table(self) -> str:
        heads = "".join(f'<th scope="col">{html.escape(m.title)}</th>' for m in self.measures)
        rows = "".join(
            f'<tr><th scope="row">{html.escape(d.name)}</th>'
            + "".join(f"<td>{_short(d.values[m.key])}</td>" for m in self.measures)
            + "</tr>"
            for d in self.front()
        )
        return (
            f'<p data-part="told" role="status">{self._told()}</p>'
            '<div style="overflow-x: auto" tabindex="0" role="region" '
            'aria-label="designs on the front"><table><thead><tr>'
            f'<th scope="col">on the front</th>{heads}</tr></thead>'
            f'<tbody data-part="rows">{rows}</tbody></table></div>'
        )


_CHART = (
    '<svg data-part="chart" viewBox="0 0 640 400" role="img" '
    'style="width: 100%; max-width: 44rem; height: auto"></svg>'
)


def _short(value: float) -> str:
    """Four digits, with thousands set apart, as the script writes them."""
    rounded = float(np.format_float_positional(value, precision=4, fractional=False))
    return f"{rounded:,.10g}" if "e" not in f"{rounded:.10g}" else f"{rounded:g}"
