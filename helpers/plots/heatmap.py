"""A table of measurements as colours and numbers, with the worst of each row marked."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from helpers.errors import DataError
from helpers.plots.style import COLOURS, SEQUENTIAL_MAP, axes_or_new, require_label

Worst = Literal["lowest", "highest"]

# Cells without a value, and the width of the frame around the worst.
MISSING = "#EEEEEE"
FRAME = 2.5


def heat_map(
    values: ArrayLike,
    row_names: Sequence[str],
    column_names: Sequence[str],
    label: str,
    ax: Axes | None = None,
    *,
    worst: Worst | None = "lowest",
    limits: tuple[float, float] | None = None,
    value_format: Callable[[float], str] = "{:.2f}".format,
    title: str | None = None,
) -> Axes:
    """Draw a table whose cells are coloured and numbered, the worst of each row framed.

    Parameters
    ----------
    values
        float ``(rows, columns)``; NaN is a cell that was not measured, shown as a dash.
    row_names, column_names
        As many as the table has rows and columns.
    label
        What the values are, with their unit; stands at the colour bar.
    ax
        Axes to draw on; a new figure when left out, larger for more cells.
    worst
        Frame and embolden the lowest or highest value of each row; None frames nothing.
    limits
        Values of the lightest and the darkest colour; None is the smallest and largest value.
    value_format
        Turns a value into the text of its cell.
    title
        Title of the axes.

    Returns
    -------
    Axes
        Rows downwards, columns to the right; darker is more.

    Raises
    ------
    DataError
        When the table is empty or not of real numbers, holds infinity, or the names do not fit.
    """
    table = _checked(values, row_names, column_names)
    require_label(label, "label")
    if worst not in ("lowest", "highest", None):
        raise DataError(f'worst={worst!r} must be "lowest", "highest" or None.')
    low, high = limits or _limits(table)
    if not low < high:
        raise DataError(f"limits=({low}, {high}) must rise.")
    size = (2.6 + 0.75 * table.shape[1], 1.8 + 0.42 * table.shape[0])
    ax = axes_or_new(ax, (max(6.4, size[0]), max(2.6, size[1])))
    colours = colormaps[SEQUENTIAL_MAP].with_extremes(bad=MISSING)
    image = ax.imshow(np.ma.masked_invalid(table), cmap=colours, vmin=low, vmax=high, aspect="auto")
    ax.figure.colorbar(image, ax=ax, label=label, pad=0.02)
    _name_cells(ax, row_names, column_names)
    marked = _worst_cells(table, worst)
    for (row, column), value in np.ndenumerate(table):
        text = "–" if np.isnan(value) else value_format(value)
        shade = np.asarray(image.cmap(image.norm(value)) if np.isfinite(value) else np.ones(4))
        weight = "bold" if marked[row, column] else "normal"
        ax.text(column, row, text, ha="center", va="center", color=_readable(shade), weight=weight)
    for row, column in np.argwhere(marked):
        corner = (column - 0.47, row - 0.47)
        ax.add_patch(Rectangle(corner, 0.94, 0.94, fill=False, edgecolor=COLOURS[1], lw=FRAME))
    if title:
        ax.set_title(title)
    return ax


def _checked(
    values: ArrayLike, row_names: Sequence[str], column_names: Sequence[str]
) -> np.ndarray:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or table.size == 0:
        raise DataError(f"values must be a table (rows, columns); got shape {table.shape}.")
    if np.isinf(table).any():
        raise DataError("values must be finite, or NaN for a cell that was not measured.")
    if (len(row_names), len(column_names)) != table.shape:
        raise DataError(
            f"{len(row_names)} row names and {len(column_names)} column names for a table of "
            f"{table.shape[0]} x {table.shape[1]}."
        )
    return table


def _limits(table: np.ndarray) -> tuple[float, float]:
    if np.isnan(table).all():
        return 0.0, 1.0
    low, high = float(np.nanmin(table)), float(np.nanmax(table))
    return (low, high) if low < high else (low - 0.5, low + 0.5)


def _worst_cells(table: np.ndarray, worst: Worst | None) -> np.ndarray:
    """Mark every cell that equals the worst of its row, bool ``(rows, columns)``."""
    if worst is None:
        return np.zeros(table.shape, bool)
    signed = table if worst == "lowest" else -table
    filled = np.where(np.isnan(signed), np.inf, signed)
    return np.isfinite(filled) & (filled == filled.min(axis=1, keepdims=True))


def _name_cells(ax: Axes, row_names: Sequence[str], column_names: Sequence[str]) -> None:
    ax.set_yticks(range(len(row_names)), row_names)
    ax.set_xticks(
        range(len(column_names)), column_names, rotation=35, ha="right", rotation_mode="anchor"
    )
    ax.grid(False)
    ax.tick_params(length=0)


def _readable(shade: np.ndarray) -> str:
    """Return black or white, whichever has the higher contrast on a colour (WCAG 2.2)."""
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in shade[:3]
    )
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "black" if (luminance + 0.05) / 0.05 >= 1.05 / (luminance + 0.05) else "white"
