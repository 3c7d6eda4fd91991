"""The house style: colours, line styles and sizes shared by every figure."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from helpers.errors import DataError

# Okabe and Ito (2008), "Color Universal Design", without yellow, which vanishes on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# Seven markers and four dashes have no common period, so 28 lines differ without any colour.
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINE_STYLES = ("-", "--", "-.", ":")
# One hue from white to dark, so that more is darker in grey print too.
SEQUENTIAL_MAP = "Blues"
# Inches. Shrunk to a screen 390 pixels wide, 12-point text is still 12 * 390 / (6.4 * 72) = 10
# pixels high.
FIGURE_SIZE = (6.4, 4.0)

_SETTINGS: dict[str, Any] = {
    "figure.figsize": FIGURE_SIZE,
    "figure.dpi": 100,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.dpi": 200,
    "savefig.bbox": "tight",
    "font.size": 12,
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 12,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "legend.fontsize": 11,
    "legend.frameon": False,
    "axes.facecolor": "white",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.8,
    "lines.linewidth": 2.0,
    "lines.markersize": 6,
    "axes.prop_cycle": cycler(color=COLOURS),
    "image.cmap": SEQUENTIAL_MAP,
}


def use_style() -> None:
    """Make the house style Matplotlib's default for the rest of this process."""
    plt.style.use(_SETTINGS)


def axes_or_new(ax: Axes | None, size: tuple[float, float] = FIGURE_SIZE) -> Axes:
    """Return ``ax``, or the axes of a new figure of ``size`` inches on white."""
    if ax is not None:
        return ax
    _, new = plt.subplots(figsize=size, facecolor="white", layout="constrained")
    return new


def line_look(index: int) -> dict[str, Any]:
    """Return the colour, marker and dashes of the ``index``-th line of a figure."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": LINE_STYLES[index % len(LINE_STYLES)],
    }


def vector(values: ArrayLike, what: str) -> NDArray[np.float64]:
    """Return ``values`` as a non-empty float64 vector, or raise DataError naming ``what``."""
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or array.size == 0:
        raise DataError(f"{what} must be a non-empty vector; got shape {array.shape}.")
    return array


def require_label(text: str, what: str) -> None:
    """Raise DataError unless ``text`` says something: an axis without a unit cannot be read."""
    if not text.strip():
        raise DataError(f"{what} is empty: name the quantity and its unit.")
