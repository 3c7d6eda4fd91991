"""Which class was taken for which."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from helpers.errors import DataError
from helpers.plots.heatmap import heat_map


def confusion_matrix(
    labels: ArrayLike,
    predictions: ArrayLike,
    class_names: Sequence[str],
    ax: Axes | None = None,
    *,
    title: str | None = None,
) -> Axes:
    """Draw which class was taken for which, as shares of each true class.

    Parameters
    ----------
    labels, predictions
        Integers ``(n,)``, indices into `class_names`.
    class_names
        What each class is called.
    ax
        Axes to draw on; a new figure when left out.
    title
        Title of the axes.

    Returns
    -------
    Axes
        True classes downwards, predictions to the right; each row adds up to 1. A class that
        never occurs is a row of dashes.

    Raises
    ------
    DataError
        When the two do not fit together or name a class that is not there.
    """
    truth, guess = np.asarray(labels), np.asarray(predictions)
    if truth.ndim != 1 or truth.shape != guess.shape or truth.size == 0:
        raise DataError(
            f"labels has shape {truth.shape} and predictions {guess.shape}; both must be (n,)."
        )
    count = len(class_names)
    both = np.concatenate([truth, guess])
    if both.dtype.kind not in "iu" or both.min() < 0 or both.max() >= count:
        raise DataError(f"labels and predictions must be integers in 0..{count - 1}.")
    table = np.zeros((count, count))
    np.add.at(table, (truth, guess), 1.0)
    occurs = table.sum(axis=1, keepdims=True)
    shares = np.divide(table, occurs, out=np.full_like(table, np.nan), where=occurs > 0)
    ax = heat_map(
        shares,
        class_names,
        class_names,
        "share of the true class",
        ax,
        worst=None,
        limits=(0.0, 1.0),
        value_format=lambda share: f"{share:.2f}".removeprefix("0") if share else "",
        title=title,
    )
    ax.set(xlabel="predicted", ylabel="true")
    return ax
