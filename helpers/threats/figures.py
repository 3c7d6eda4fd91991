"""Figures of a threat analysis, in the book's look."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from helpers.plots.style import COLOURS, axes_or_new
from helpers.threats.stability import Stability


def rank_intervals(stability: Stability, ax: Axes | None = None, *, most: int = 15) -> Axes:
    """Draw between which ranks each threat lies when scorers differ.

    Parameters
    ----------
    stability
        From :func:`~helpers.threats.stability.rank_stability`.
    ax
        Axes to draw on; a new figure when left out.
    most
        How many threats to show, the first by rank.

    Returns
    -------
    Axes
    """
    count = min(most, len(stability.ids))
    ax = axes_or_new(ax, (7.4, 1.4 + 0.34 * count))
    rank = np.arange(1, count + 1)
    low, high = stability.rank_low[:count], stability.rank_high[:count]
    ax.hlines(rank, low, high, color=COLOURS[0], linewidth=4, alpha=0.35)
    ax.plot(rank, rank, "o", color=COLOURS[0], label="rank as scored")
    ax.axvline(stability.top + 0.5, color=COLOURS[1], linestyle="--", linewidth=1.5)
    ax.set_yticks(rank, stability.ids[:count])
    ax.set_ylim(count + 0.6, 0.4)
    ax.set_xlabel("rank, in 90 % of draws")
    ax.set_title(f"{stability.overlap:.0%} of the top {stability.top} stay there")
    return ax
