"""The survival table as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from helpers import plots
from helpers.errors import WatermarkError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

ACCURACY = "accuracy"


def survival_map(
    summary: pd.DataFrame, schemes: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """Draw what is left of each mark after each attack, and of the model, as a heat map.

    Parameters
    ----------
    summary
        What :func:`helpers.watermark.survival.summarise` returned.
    schemes
        Columns, in order; None is every scheme.
    ax
        Axes to draw on; a new figure when left out.

    Returns
    -------
    Axes
        One row an attack. The first column is the accuracy of the pirated copy, the mean over the
        victims; each other column is the mean evidence for one scheme.

    Raises
    ------
    WatermarkError
        If a scheme is not in the table.
    """
    known = list(dict.fromkeys(summary["scheme"]))
    columns = list(schemes) if schemes is not None else known
    unknown = sorted(set(columns) - set(known))
    if unknown or not columns:
        raise WatermarkError(
            f"The table has no scheme {', '.join(unknown) or '(none given)'}; it has "
            f"{', '.join(known)}."
        )
    attacks = list(dict.fromkeys(summary["attack"]))
    chosen = summary[summary["scheme"].isin(columns)]
    evidence = chosen.pivot_table("evidence", "attack", "scheme").reindex(attacks)[columns]
    accuracy = chosen.groupby("attack")["accuracy"].mean().reindex(attacks)
    values = evidence.assign(**{ACCURACY: accuracy})[[ACCURACY, *columns]]
    return plots.heat_map(
        values.to_numpy(),
        attacks,
        [ACCURACY, *columns],
        "share: right answers, or mark found",
        ax,
        worst=None,
        limits=(0, 1),
    )
