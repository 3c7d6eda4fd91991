"""Standardise features that nobody may pool: means and deviations from sums of sums.

A model wants columns of mean 0 and deviation 1. With data at several sites the mean and the
deviation of *all* rows follow from three things that each site can add up on its own: its number
of rows, the sum of each column, and the sum of each column's squares. The sites send those, the
server adds them, and everybody standardises with the same numbers. Because only the sum over the
sites is needed, it can go through secure aggregation.

The sums are exact statistics of a site's patients. They are not differentially private, and a
site with one row sends that row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from helpers.errors import DataError


@dataclass(frozen=True, eq=False)
class FeatureSums:
    """What one site, or several together, add up over their rows.

    Attributes
    ----------
    count : int
        Rows.
    total : numpy.ndarray
        float64 ``(num_features,)``, sum of ``x - centre``.
    total_squares : numpy.ndarray
        float64 ``(num_features,)``, sum of ``(x - centre)**2``.
    """

    count: int
    total: np.ndarray
    total_squares: np.ndarray

    def __add__(self, other: FeatureSums) -> FeatureSums:
        """Return the sums over the rows of both."""
        if self.total.shape != other.total.shape:
            raise DataError(
                f"One site sums {len(self.total)} features and another {len(other.total)}; all "
                "sites must use the same columns in the same order."
            )
        return FeatureSums(
            self.count + other.count,
            self.total + other.total,
            self.total_squares + other.total_squares,
        )


@dataclass(frozen=True, eq=False)
class Standardiser:
    """Subtracts a mean and divides by a deviation, column by column.

    Attributes
    ----------
    mean, std : numpy.ndarray
        float64 ``(num_features,)``; ``std`` is 1 where a column never varies.
    """

    mean: np.ndarray
    std: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Return the standardised rows, float32 ``(n, num_features)``."""
        table = _table(features)
        if table.shape[1] != len(self.mean):
            raise DataError(
                f"features has {table.shape[1]} columns; the standardiser knows {len(self.mean)}."
            )
        return ((table - self.mean) / self.std).astype(np.float32)


def feature_sums(features: np.ndarray, centre: np.ndarray | None = None) -> FeatureSums:
    """Add up one site's rows.

    Parameters
    ----------
    features : numpy.ndarray
        ``(n, num_features)``, finite.
    centre : numpy.ndarray, optional
        ``(num_features,)``, a public guess at the means, the same at every site; default 0. The
        variance is a difference of two large numbers, and loses one digit for each power of ten
        by which a column's squared mean exceeds its variance; a guess close by keeps them.

    Returns
    -------
    FeatureSums
        In float64.

    Raises
    ------
    DataError
        If `features` is not a finite table, or `centre` does not fit it.
    """
    table = _table(features)
    guess = np.zeros(table.shape[1]) if centre is None else np.asarray(centre, dtype=np.float64)
    if guess.shape != (table.shape[1],):
        raise DataError(f"centre has shape {guess.shape}; it must be ({table.shape[1]},).")
    shifted = table - guess
    return FeatureSums(len(table), shifted.sum(axis=0), np.square(shifted).sum(axis=0))


def standardiser(sums: FeatureSums, centre: np.ndarray | None = None) -> Standardiser:
    """Turn the sums over all sites into the standardiser that each of them applies.

    Parameters
    ----------
    sums : FeatureSums
        Over every site: ``sum(parts[1:], start=parts[0])``.
    centre : numpy.ndarray, optional
        The same as for :func:`feature_sums`.

    Returns
    -------
    Standardiser
        With the mean and the (population) standard deviation of all rows.

    Raises
    ------
    DataError
        If there are no rows, or the sums cannot come from any rows.
    """
    if sums.count < 1:
        raise DataError(f"The sums are over {sums.count} rows; at least one is needed.")
    mean = sums.total / sums.count
    mean_square = sums.total_squares / sums.count
    variance = mean_square - np.square(mean)
    rounding = 64 * np.finfo(np.float64).eps * mean_square
    if not np.all(variance >= -rounding):
        worst = int(np.argmin(variance))
        raise DataError(
            f"Column {worst} would have the variance {variance[worst]:g}: no rows have these sums. "
            "Did every site subtract the same centre, and was every site added once?"
        )
    std = np.sqrt(np.where(variance > rounding, variance, 1.0))
    guess = 0.0 if centre is None else np.asarray(centre, dtype=np.float64)
    return Standardiser(mean + guess, std)


def _table(features: np.ndarray) -> np.ndarray:
    table = np.asarray(features, dtype=np.float64)
    if table.ndim != 2 or table.size == 0 or not np.isfinite(table).all():
        raise DataError(
            f"features has shape {table.shape} and {np.count_nonzero(~np.isfinite(table))} values "
            "that are not finite; it must be a non-empty table (n, num_features) of numbers."
        )
    return table
