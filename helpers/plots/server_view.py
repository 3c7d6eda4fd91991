"""What a server gets to see, step by step: each vector as a picture and as a histogram."""

import textwrap
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from helpers.errors import DataError
from helpers.plots.style import COLOURS

# Inches: four steps abreast fill the width of a figure.
COLUMN, PICTURE, HISTOGRAM = 1.75, 1.75, 1.15
TITLE_WIDTH = 17
BINS = 32


def server_view(
    steps: Mapping[str, ArrayLike],
    image_shape: tuple[int, int],
    *,
    unseen: int = 0,
    xlabel: str = "value",
    figure: Figure | SubFigure | None = None,
) -> Figure | SubFigure:
    """Draw vectors side by side, each as a picture above the histogram of its values.

    Parameters
    ----------
    steps
        ``{title: values}`` from left to right, such as a client's update, what it sends, the sum
        of what all send, and the mean; each real ``(height * width,)`` or ``(height, width)``.
    image_shape
        Height and width of the pictures.
    unseen
        How many of the first steps the server does *not* see; they get a frame of their own.
    xlabel
        Label under the histograms, with the unit.
    figure
        Figure or subfigure to draw on; a new figure when left out.

    Returns
    -------
    Figure
        Black is the smallest value of each step and white its largest.

    Raises
    ------
    DataError
        When there is no step, or one does not fill the picture or is not finite.
    """
    if not steps:
        raise DataError("steps is empty: give at least one {title: values}.")
    if not 0 <= unseen <= len(steps):
        raise DataError(f"unseen must be from 0 to the {len(steps)} steps; got {unseen}.")
    pictures = {title: _checked(title, values, image_shape) for title, values in steps.items()}
    if figure is None:
        size = (COLUMN * len(steps), PICTURE + HISTOGRAM + 0.75)
        figure = plt.figure(figsize=size, facecolor="white", layout="constrained")
    axes = figure.subplots(
        2, len(pictures), squeeze=False, gridspec_kw={"height_ratios": [PICTURE, HISTOGRAM]}
    )
    for column, (title, picture) in enumerate(pictures.items()):
        colour = COLOURS[1] if column < unseen else COLOURS[0]
        heading = f"{title} (not seen)" if column < unseen else title
        _draw_picture(axes[0, column], picture, textwrap.fill(heading, TITLE_WIDTH), colour)
        _draw_histogram(axes[1, column], picture, colour, xlabel)
    return figure


def _draw_picture(ax: Axes, picture: NDArray[np.float64], title: str, colour: str) -> None:
    ax.imshow(picture, cmap="gray", interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    ax.set_title(title, fontsize=11, loc="center", fontweight="normal")
    for spine in ax.spines.values():
        spine.set(visible=True, color=colour, linewidth=2.0)


def _draw_histogram(ax: Axes, picture: NDArray[np.float64], colour: str, xlabel: str) -> None:
    ax.hist(picture.ravel(), bins=BINS, color=colour)
    ax.set(yticks=[], xlabel=xlabel)
    ax.spines["left"].set_visible(False)
    ax.grid(False)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=2))


def _checked(title: str, values: ArrayLike, shape: tuple[int, int]) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    if array.size != shape[0] * shape[1]:
        raise DataError(f"{title!r} has {array.size} values; a picture of {shape} is needed.")
    if not np.isfinite(array).all():
        raise DataError(f"{title!r} has values that are NaN or infinite.")
    return array.reshape(shape)
