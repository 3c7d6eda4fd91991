"""Does an inverted image show its class, or one person's record?

A model is always sure of the images that were made to please it. So the class is judged by another
model, trained by somebody else, and the record by comparison with all records: a blurred face
resembles every face.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.errors import PrivacyError
from helpers.privacy._checks import require_classes


@dataclass(frozen=True, eq=False)
class RecordMatch:
    """How like the records of its class, and the others, each image is.

    Attributes
    ----------
    own
        Correlation with its own record, float64 ``(n,)``.
    others
        Mean correlation with all other records, float64 ``(n,)``: what any image would reach.
    rank
        1 where no record is more like the image than its own, int64 ``(n,)``.
    """

    own: NDArray[np.float64]
    others: NDArray[np.float64]
    rank: NDArray[np.int64]

    @property
    def identified(self) -> float:
        """Share of images that point to their own record before all others."""
        return float((self.rank == 1).mean())


def correlations(images: ArrayLike, records: ArrayLike) -> NDArray[np.float64]:
    """Return the Pearson correlation of every image with every record, pixel by pixel.

    Brightness and contrast do not count.

    Parameters
    ----------
    images
        float ``(n, ...)``.
    records
        float ``(m, ...)`` with the same shape of one.

    Returns
    -------
    float64 array, shape ``(n, m)``
        From -1 to 1; 0 for an image of one colour.

    Raises
    ------
    PrivacyError
        If shapes do not fit or a value is not finite.
    """
    first, second = (np.asarray(rows, np.float64) for rows in (images, records))
    if first.ndim < 2 or first.shape[1:] != second.shape[1:] or not first.size or not second.size:
        raise PrivacyError(
            f"images of shape {first.shape} and records of shape {second.shape} must hold at "
            "least one each, of one shape."
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise PrivacyError("Pixels are NaN or infinite: no correlation is defined for them.")
    return _unit(first) @ _unit(second).T


def match_records(images: ArrayLike, records: ArrayLike) -> RecordMatch:
    """Compare each image with its own record and with all others.

    Parameters
    ----------
    images
        One image a record, in their order, float ``(n, ...)``, at least two.
    records
        The records, float ``(n, ...)``.

    Returns
    -------
    RecordMatch
        Correlations and ranks.

    Raises
    ------
    PrivacyError
        As :func:`correlations`, or if the numbers differ.
    """
    found = correlations(images, records)
    count = len(found)
    if count < 2 or found.shape != (count, count):
        raise PrivacyError(
            f"{found.shape[0]} images and {found.shape[1]} records: give one image a record, and "
            "at least two, so that there are others to compare with."
        )
    own = found.diagonal().copy()
    others = (found.sum(axis=1) - own) / (count - 1)
    rank = 1 + ((found >= own[:, None]) & ~np.eye(count, dtype=bool)).sum(axis=1)
    return RecordMatch(own, others, rank.astype(np.int64))


def evaluator_accuracy(
    images: ArrayLike, labels: ArrayLike, evaluator: Callable[[NDArray[np.float32]], ArrayLike]
) -> float:
    """Return the share of images in which an independent classifier sees the intended class.

    Parameters
    ----------
    images
        float ``(n, ...)``.
    labels
        Intended classes, integers ``(n,)``.
    evaluator
        Images to scores, ``(n, classes)``; trained on other data than the attacked model, or at
        least by another recipe, and never asked during the attack.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    PrivacyError
        If the evaluator answers in another shape, or a label is none of its classes.
    """
    pictures, wanted = np.asarray(images, np.float32), np.asarray(labels)
    scores = np.asarray(evaluator(pictures))
    if scores.ndim != 2 or scores.shape[:1] != wanted.shape or not len(wanted):
        raise PrivacyError(
            f"The evaluator answered with shape {scores.shape} for labels of shape {wanted.shape}; "
            "expected (n, classes)."
        )
    require_classes("labels", wanted)
    if wanted.max() >= scores.shape[1]:
        raise PrivacyError(
            f"labels go up to {wanted.max()}, and the evaluator knows {scores.shape[1]} classes."
        )
    return float((scores.argmax(axis=1) == wanted).mean())


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each row with mean 0 and length 1; a constant row as zeros."""
    flat = rows.reshape(len(rows), -1)
    centred = flat - flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    # What remains of a constant row after rounding is no picture.
    flat_rows = length <= 1e-12 * np.linalg.norm(flat, axis=1, keepdims=True)
    return np.where(flat_rows, 0.0, centred / np.where(flat_rows, 1.0, length))
