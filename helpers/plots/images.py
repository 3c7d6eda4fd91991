"""Images, alone or beside what an attack made of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from numpy.typing import ArrayLike, NDArray

from helpers.errors import DataError

# Inches for one image: six abreast fill the width of a figure.
CELL = 1.05
# Inches kept for a line of text above or below each row, and for the row labels on the left.
TEXT_ROW = 0.3
LABEL_COLUMN = 1.3


def image_grid(
    images: ArrayLike,
    titles: Sequence[str] | None = None,
    columns: int = 6,
    *,
    figure: Figure | SubFigure | None = None,
) -> Figure | SubFigure:
    """Draw images in rows, from the top left.

    Parameters
    ----------
    images
        Shape ``(n, h, w)``, ``(n, h, w, 1)`` or ``(n, h, w, 3)``, values in [0, 1]; values
        outside are shown as the nearest of the two.
    titles
        One for each image.
    columns
        Images in a row, at most.
    figure
        Figure or subfigure to draw on; a new figure when left out.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        When the shape is not that of images, a pixel is not finite, or the titles do not fit.
    """
    pictures = _checked_images(images, "images")
    count = len(pictures)
    if columns < 1:
        raise DataError(f"columns must be at least 1; got {columns}.")
    if titles is not None and len(titles) != count:
        raise DataError(f"{len(titles)} titles for {count} images.")
    width = min(columns, count)
    rows = -(-count // width)
    axes = _cells(figure, rows, width, row_height=CELL + TEXT_ROW * (titles is not None))
    for index, ax in enumerate(axes.flat):
        if index >= count:
            ax.set_visible(False)
            continue
        _show(ax, pictures[index])
        if titles is not None:
            ax.set_title(titles[index], fontsize=11, loc="center", fontweight="normal")
    return axes.flat[0].figure


def compare_images(
    originals: ArrayLike,
    reconstructions: ArrayLike | Mapping[str, ArrayLike],
    scores: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    *,
    figure: Figure | SubFigure | None = None,
) -> Figure | SubFigure:
    """Draw originals in the top row and reconstructions below, column by column.

    Parameters
    ----------
    originals
        Shape ``(n, h, w)``, ``(n, h, w, 1)`` or ``(n, h, w, 3)``, values in [0, 1].
    reconstructions
        Images of the same shape in the order of ``originals``; or several rows of them as
        ``{row label: images}``.
    scores
        A text for each reconstruction, such as ``"SSIM 0.98"``, written below it; a mapping with
        the same row labels when ``reconstructions`` is one.
    figure
        Figure or subfigure to draw on; a new figure when left out.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        When shapes, row labels or the number of scores do not fit.
    """
    pictures = _checked_images(originals, "originals")
    rows = _rows(reconstructions, "reconstructed")
    texts = {} if scores is None else _rows(scores, "reconstructed")
    if not rows:
        raise DataError("reconstructions is empty: give at least one row of images.")
    if unknown := set(texts) - set(rows):
        raise DataError(f"Scores for {sorted(unknown)}, but the rows are {list(rows)}.")
    stacked = [("original", pictures, None)]
    for label, images in rows.items():
        checked = _checked_images(images, label)
        if checked.shape != pictures.shape:
            raise DataError(f"{label!r} has shape {checked.shape}; originals {pictures.shape}.")
        row_scores = texts.get(label)
        if row_scores is not None and len(row_scores) != len(pictures):
            raise DataError(f"{len(row_scores)} scores for {len(pictures)} images of {label!r}.")
        stacked.append((label, checked, row_scores))
    height = CELL + TEXT_ROW * bool(texts)
    axes = _cells(figure, len(stacked), len(pictures), height, margin=LABEL_COLUMN)
    for row, (label, images, row_scores) in zip(axes, stacked, strict=True):
        _fill_row(row, label, images, row_scores)
    return axes.flat[0].figure


def _fill_row(
    row: Sequence[Axes], label: str, images: NDArray[np.float64], scores: Sequence[str] | None
) -> None:
    for index, (ax, image) in enumerate(zip(row, images, strict=True)):
        _show(ax, image)
        if scores is not None:
            ax.set_xlabel(scores[index], fontsize=11)
    row[0].set_ylabel(label, fontsize=12, rotation=0, ha="right", va="center", labelpad=8)


def _rows(values: Any, default: str) -> dict[str, Any]:
    return dict(values) if isinstance(values, Mapping) else {default: values}


def _cells(
    figure: Figure | SubFigure | None,
    rows: int,
    columns: int,
    row_height: float,
    margin: float = 0.0,
) -> NDArray[Any]:
    if figure is None:
        size = (margin + CELL * columns, row_height * rows)
        figure = plt.figure(figsize=size, facecolor="white", layout="constrained")
    axes: NDArray[Any] = figure.subplots(rows, columns, squeeze=False)
    return axes


def _show(ax: Axes, image: NDArray[np.float64]) -> None:
    """Draw one image; keep the axes' frame so that a dark or white image has an edge."""
    flat = image[..., 0] if image.shape[-1] == 1 else image
    ax.imshow(np.clip(flat, 0.0, 1.0), cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set(visible=True, color="#888888", linewidth=0.8)


def _checked_images(images: ArrayLike, what: str) -> NDArray[np.float64]:
    array = np.asarray(images, np.float64)
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or array.shape[-1] not in (1, 3) or array.size == 0:
        raise DataError(
            f"{what} must have shape (n, h, w), (n, h, w, 1) or (n, h, w, 3); "
            f"got {np.shape(images)}."
        )
    if not np.isfinite(array).all():
        raise DataError(f"{what} has pixels that are NaN or infinite.")
    return array
