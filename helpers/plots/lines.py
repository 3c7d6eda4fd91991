"""Quantities that change over rounds, steps or settings."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from helpers.errors import DataError
from helpers.plots.style import COLOURS, axes_or_new, line_look, require_label, vector

# A marker tells lines apart; on every one of many points they would merge into a band.
MARKERS_PER_LINE = 12
BAND_OPACITY = 0.2


def curves(
    series: Mapping[str, tuple[ArrayLike, ArrayLike]],
    xlabel: str,
    ylabel: str,
    ax: Axes | None = None,
    *,
    bands: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
    title: str | None = None,
    xscale: str = "linear",
    yscale: str = "linear",
    ylim: tuple[float, float] | None = None,
) -> Axes:
    """Draw one line for each entry of ``series``, told apart by colour, marker and dashes.

    Parameters
    ----------
    series
        ``{label: (x, y)}``, vectors of equal length. NaN in ``y`` leaves a gap.
    xlabel, ylabel
        Axis labels, with units.
    ax
        Axes to draw on; a new figure when left out.
    bands
        ``{label: (lower, upper)}`` shaded behind the line of that label, on its ``x``.
    title
        Title of the axes.
    xscale, yscale
        Matplotlib scale names.
    ylim
        Limits of the vertical axis.

    Returns
    -------
    Axes

    Raises
    ------
    DataError
        When there is nothing to draw, lengths differ, a band has no line or an axis no label.
    """
    require_label(xlabel, "xlabel")
    require_label(ylabel, "ylabel")
    lines = _checked_lines(series)
    shaded = _checked_bands(bands or {}, lines)
    ax = axes_or_new(ax)
    for index, (label, (x, y)) in enumerate(lines.items()):
        look = line_look(index)
        ax.plot(x, y, label=label, markevery=max(1, len(x) // MARKERS_PER_LINE), **look)
        if label in shaded:
            lower, upper = shaded[label]
            ax.fill_between(x, lower, upper, color=look["color"], alpha=BAND_OPACITY, linewidth=0)
    ax.set(xlabel=xlabel, ylabel=ylabel, xscale=xscale, yscale=yscale)
    if xscale == "linear" and all(np.all(x == np.round(x)) for x, _ in lines.values()):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if ylim is not None:
        ax.set_ylim(*ylim)
    if title:
        ax.set_title(title)
    if len(lines) > 1 or shaded:
        ax.legend()
    return ax


def spread(
    values_by_round: Sequence[ArrayLike],
    xlabel: str,
    ylabel: str,
    ax: Axes | None = None,
    *,
    rounds: ArrayLike | None = None,
    quantiles: tuple[float, float] = (0.1, 0.9),
    title: str | None = None,
    ylim: tuple[float, float] | None = None,
) -> Axes:
    """Draw how a quantity is spread over clients, round by round.

    Parameters
    ----------
    values_by_round
        One vector of client values for each round; lengths may differ. NaN (a client that took no
        part) is left out.
    xlabel, ylabel
        Axis labels, with units.
    ax
        Axes to draw on; a new figure when left out.
    rounds
        The rounds' numbers; 1, 2, ... when left out.
    quantiles
        Lower and upper quantile of the shaded band.
    title, ylim
        As for :func:`curves`.

    Returns
    -------
    Axes
        With the median, the band, and the lowest and highest client as dotted lines.

    Raises
    ------
    DataError
        When a round has no value, ``rounds`` does not fit or the quantiles are not ascending
        within [0, 1].
    """
    low, high = quantiles
    if not 0 <= low < high <= 1:
        raise DataError(f"quantiles must ascend within [0, 1]; got {quantiles}.")
    summary = _summarise(values_by_round, (0.0, low, 0.5, high, 1.0))
    count = len(summary)
    x = np.arange(1, count + 1, dtype=np.float64) if rounds is None else vector(rounds, "rounds")
    if len(x) != count:
        raise DataError(f"rounds has {len(x)} entries for {count} rounds of values.")
    worst, lower, median, upper, best = summary.T
    ax = curves({"median client": (x, median)}, xlabel, ylabel, ax, title=title, ylim=ylim)
    ax.fill_between(
        x,
        lower,
        upper,
        color=COLOURS[0],
        alpha=BAND_OPACITY,
        linewidth=0,
        label=f"{low:.0%} to {high:.0%} of clients",
    )
    ax.plot(x, worst, color=COLOURS[0], linestyle=":", label="lowest and highest client")
    ax.plot(x, best, color=COLOURS[0], linestyle=":")
    ax.legend()
    return ax


def _summarise(
    values_by_round: Sequence[ArrayLike], quantiles: tuple[float, ...]
) -> NDArray[np.float64]:
    """Return quantiles over clients, shape ``(rounds, len(quantiles))``."""
    if len(values_by_round) == 0:
        raise DataError("values_by_round is empty: give at least one round.")
    rows = []
    for index, values in enumerate(values_by_round):
        row = vector(values, f"values_by_round[{index}]")
        row = row[~np.isnan(row)]
        if row.size == 0:
            raise DataError(f"values_by_round[{index}] has no value that is not NaN.")
        rows.append(np.quantile(row, quantiles))
    return np.stack(rows)


def _checked_lines(
    series: Mapping[str, tuple[ArrayLike, ArrayLike]],
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    if not series:
        raise DataError("series is empty: give at least one {label: (x, y)}.")
    lines = {}
    for label, (x, y) in series.items():
        xs, ys = vector(x, f"x of {label!r}"), vector(y, f"y of {label!r}")
        if len(xs) != len(ys):
            raise DataError(f"{label!r} has {len(xs)} x values and {len(ys)} y values.")
        lines[label] = (xs, ys)
    return lines


def _checked_bands(
    bands: Mapping[str, tuple[ArrayLike, ArrayLike]],
    lines: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    checked = {}
    for label, (lower, upper) in bands.items():
        if label not in lines:
            raise DataError(f"Band {label!r} has no line; the lines are {list(lines)}.")
        low, high = vector(lower, f"lower of {label!r}"), vector(upper, f"upper of {label!r}")
        expected = len(lines[label][0])
        if len(low) != expected or len(high) != expected:
            raise DataError(
                f"Band {label!r} has {len(low)} lower and {len(high)} upper values for a line of "
                f"{expected}."
            )
        if (low > high).any():
            raise DataError(f"Band {label!r} has a lower value above its upper one.")
        checked[label] = (low, high)
    return checked
