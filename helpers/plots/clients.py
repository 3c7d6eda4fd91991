"""Which client holds which classes."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from helpers.errors import DataError
from helpers.plots.style import SEQUENTIAL_MAP, axes_or_new

# Up to here a cell is large enough for its number to be read; above it the colour speaks alone.
MAX_NUMBERED_CLIENTS = 12
MAX_NUMBERED_CLASSES = 12
# Share of the largest count above which white text is easier to read than black.
DARK_CELL = 0.55


def who_holds_what(
    counts: ArrayLike,
    class_names: Sequence[str],
    ax: Axes | None = None,
    *,
    title: str | None = None,
) -> Axes:
    """Draw how many examples of each class each client holds.

    Parameters
    ----------
    counts
        Non-negative integers, shape ``(num_clients, num_classes)``.
    class_names
        Names of the classes, as many as ``counts`` has columns.
    ax
        Axes to draw on; a new figure when left out, taller for more clients.
    title
        Title of the axes.

    Returns
    -------
    Axes
        Clients downwards from 0, classes to the right; darker is more. Up to 12 clients and
        classes each cell shows its count.

    Raises
    ------
    DataError
        When ``counts`` is not a table of non-negative integers or the names do not fit.
    """
    table = np.asarray(counts)
    if table.ndim != 2 or table.size == 0 or not np.issubdtype(table.dtype, np.integer):
        raise DataError(
            "counts must be integers of shape (num_clients, num_classes); got "
            f"{table.dtype} of shape {table.shape}."
        )
    if table.min() < 0:
        raise DataError(f"counts must not be negative; got {table.min()}.")
    if len(class_names) != table.shape[1]:
        raise DataError(f"{len(class_names)} class names for {table.shape[1]} classes.")
    num_clients, num_classes = table.shape
    ax = axes_or_new(ax, (6.4, float(np.clip(1.4 + 0.34 * num_clients, 2.6, 6.4))))
    image = ax.imshow(
        table,
        cmap=SEQUENTIAL_MAP,
        vmin=0,
        vmax=max(1, int(table.max())),
        aspect="auto",
        interpolation="nearest",
    )
    ax.figure.colorbar(image, ax=ax, label="examples", pad=0.02)
    _label_cells(ax, class_names, num_clients)
    if num_clients <= MAX_NUMBERED_CLIENTS and num_classes <= MAX_NUMBERED_CLASSES:
        _write_counts(ax, table)
    if title:
        ax.set_title(title)
    return ax


def _label_cells(ax: Axes, class_names: Sequence[str], num_clients: int) -> None:
    crowded = sum(len(name) for name in class_names) > 40
    ax.set_xticks(range(len(class_names)), class_names, rotation=45 if crowded else 0)
    for text in ax.get_xticklabels():
        text.set_horizontalalignment("right" if crowded else "center")
        text.set_rotation_mode("anchor" if crowded else "default")
    ax.set(xlabel="class", ylabel="client")
    if num_clients <= MAX_NUMBERED_CLIENTS:
        ax.set_yticks(range(num_clients))
    else:
        ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(False)
    ax.set_xticks(np.arange(len(class_names) + 1) - 0.5, minor=True)
    ax.grid(which="minor", axis="x", color="white", linewidth=1.5)
    ax.tick_params(which="both", length=0)


def _write_counts(ax: Axes, table: np.ndarray) -> None:
    dark = DARK_CELL * max(1, int(table.max()))
    for (client, label), count in np.ndenumerate(table):
        ax.text(
            label,
            client,
            str(count),
            ha="center",
            va="center",
            fontsize=10,
            color="white" if count > dark else "black",
        )
