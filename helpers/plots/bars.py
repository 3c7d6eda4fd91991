"""A few quantities side by side, each with its value written out."""

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from helpers.errors import DataError
from helpers.plots.style import COLOURS, axes_or_new, require_label


def plain_number(value: float) -> str:
    """Write a number without an exponent: ``31,873,600``, ``0.125``."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def bars_with_values(
    values: Mapping[str, float],
    xlabel: str,
    ax: Axes | None = None,
    *,
    value_format: Callable[[float], str] = plain_number,
    log: bool = False,
    title: str | None = None,
) -> Axes:
    """Draw horizontal bars, first entry on top, with each value at the end of its bar.

    Parameters
    ----------
    values
        ``{label: value}``, finite and not negative; positive when ``log``.
    xlabel
        Label of the value axis, with its unit.
    ax
        Axes to draw on; a new figure when left out, taller for more bars.
    value_format
        Turns a value into the text at the end of its bar and, on a linear axis, at the ticks.
    log
        Use a logarithmic axis.
    title
        Title of the axes.

    Returns
    -------
    Axes

    Raises
    ------
    DataError
        When there is nothing to draw or a value does not fit the axis.
    """
    require_label(xlabel, "xlabel")
    if not values:
        raise DataError("values is empty: give at least one {label: value}.")
    for label, value in values.items():
        if not np.isfinite(value) or value < 0 or (log and value == 0):
            needed = "positive" if log else "not negative"
            raise DataError(f"The value of {label!r} must be finite and {needed}; got {value}.")
    ax = axes_or_new(ax, (6.4, 1.2 + 0.5 * len(values)))
    labels, lengths = list(values), list(values.values())
    bars = ax.barh(labels, lengths, color=COLOURS[0], height=0.65)
    ax.bar_label(bars, [value_format(length) for length in lengths], padding=4)
    ax.invert_yaxis()
    ax.grid(False, axis="y")
    ax.set_xlabel(xlabel)
    if log:
        ax.set_xscale("log")
    else:
        ax.xaxis.set_major_locator(MaxNLocator(nbins=4))
        ax.xaxis.set_major_formatter(lambda value, _: value_format(value))
    # Room for the longest value text, which stands outside its bar.
    ax.margins(x=0.25)
    if title:
        ax.set_title(title)
    return ax
