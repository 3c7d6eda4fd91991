"""What a data site publishes about its table: columns, public bounds, and an invented mock."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from helpers.errors import PrivacyError

Table = dict[str, np.ndarray]

_MOST_STEPS = 2**31  # so that a sum over any table that fits in memory fits into int64
_LONGEST_NAME = 100


@dataclass(frozen=True)
class Column:
    """One column: a number with public bounds, or one of some public categories.

    Attributes
    ----------
    name
        Its name, at most 100 characters.
    low, high
        Bounds of a number. Take them from what everybody knows (an age lies in 0..120), never
        from the table: its largest value is somebody's.
    resolution
        Grid of a number, such as 0.1 for a length noted in tenths; values are rounded to it, and
        answers are multiples of it.
    categories
        The values of a category; empty for a number.

    Raises
    ------
    PrivacyError
        If the name is too long or empty, a category is given twice, or the bounds and the
        resolution are no grid that can be summed exactly.
    """

    name: str
    low: float = 0.0
    high: float = 0.0
    resolution: float = 0.0
    categories: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not 0 < len(self.name) <= _LONGEST_NAME:
            raise PrivacyError(f"A column is called {self.name!r}; use 1 to 100 characters.")
        if self.categories:
            self._check_categories()
        else:
            self._check_bounds()

    @property
    def is_number(self) -> bool:
        """Whether it holds numbers."""
        return not self.categories

    def _check_categories(self) -> None:
        if not all(isinstance(value, str) for value in self.categories):
            raise PrivacyError(f"Column {self.name!r}: categories must be strings.")
        if len(set(self.categories)) < len(self.categories):
            raise PrivacyError(f"Column {self.name!r} lists a category twice.")

    def _check_bounds(self) -> None:
        low, high, step = self.low, self.high, self.resolution
        if not all(math.isfinite(value) for value in (low, high, step)) or low >= high or step <= 0:
            raise PrivacyError(
                f"Column {self.name!r} has bounds {low!r}..{high!r} and resolution {step!r}; give "
                "finite bounds with low < high and a resolution above 0, or categories."
            )
        steps = max(abs(low), abs(high), high - low) / step
        if steps > _MOST_STEPS:
            raise PrivacyError(
                f"Column {self.name!r} spans {steps:.3g} steps of {step:g}; at most "
                f"{_MOST_STEPS:,} are allowed. Use a coarser resolution."
            )


@dataclass(frozen=True)
class Schema:
    """The public description of a table.

    Attributes
    ----------
    name
        What the table is called.
    columns
        Its columns, in order.

    Raises
    ------
    PrivacyError
        If there is no column, or two have the same name.
    """

    name: str
    columns: tuple[Column, ...]

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        if not names or len(set(names)) < len(names):
            raise PrivacyError(f"Columns {names}: there must be some, each name once.")

    def column(self, name: object) -> Column:
        """Return the column called `name`.

        Raises
        ------
        PrivacyError
            If there is none.
        """
        for column in self.columns:
            if column.name == name:
                return column
        known = ", ".join(column.name for column in self.columns)
        raise PrivacyError(f"There is no column {name!r} in {self.name}: it has {known}.")

    def number(self, name: object) -> Column:
        """Return the column called `name`, which must hold numbers.

        Raises
        ------
        PrivacyError
            If there is none, or it holds categories.
        """
        column = self.column(name)
        if not column.is_number:
            raise PrivacyError(f"Column {name!r} holds categories; ask for a Count or a Histogram.")
        return column

    def checked(self, table: Mapping[str, Any]) -> Table:
        """Return a copy of `table` that has this schema: floats for numbers, strings else.

        NaN in a number and the empty string in a category mean *not recorded*. Numbers outside
        the bounds stay: every query clips them.

        Raises
        ------
        PrivacyError
            If columns are missing or too many, differ in length, or hold what they must not.
        """
        names = [column.name for column in self.columns]
        if sorted(table) != sorted(names):
            raise PrivacyError(f"The table has columns {sorted(table)}; the schema has {names}.")
        copy: Table = {}
        for column in self.columns:
            copy[column.name] = _checked_values(column, np.asarray(table[column.name]))
        lengths = {name: len(values) for name, values in copy.items()}
        if len(set(lengths.values())) > 1:
            raise PrivacyError(f"The columns have different lengths: {lengths}.")
        return copy

    def mock(self, num_rows: int, seed: int) -> Table:
        """Invent rows that fit the schema; nothing in them comes from the table.

        Each column is uniform over its bounds or categories, and independent of the others, so
        code runs on it as on the table and no result on it means anything.

        Parameters
        ----------
        num_rows : int
            How many.
        seed : int
            Source of all randomness.

        Returns
        -------
        dict of str to numpy.ndarray
            One array a column.
        """
        rng = np.random.default_rng(seed)
        mock: Table = {}
        for column in self.columns:
            if column.is_number:
                steps = int((column.high - column.low) / column.resolution)
                drawn = column.low + column.resolution * rng.integers(0, steps + 1, num_rows)
                mock[column.name] = np.clip(drawn, column.low, column.high)
            else:
                mock[column.name] = rng.choice(np.array(column.categories), num_rows)
        return mock

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"name": self.name, "columns": [asdict(column) for column in self.columns]}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Schema:
        """Rebuild what :meth:`to_json` returned."""
        columns = [
            Column(**{**entry, "categories": tuple(entry["categories"])})
            for entry in content["columns"]
        ]
        return cls(content["name"], tuple(columns))


def _checked_values(column: Column, values: np.ndarray) -> np.ndarray:
    if values.ndim != 1:
        raise PrivacyError(f"Column {column.name!r} has shape {values.shape}; it must be (n,).")
    if column.is_number:
        if values.dtype.kind not in "iufb":
            raise PrivacyError(f"Column {column.name!r} is {values.dtype}; it must hold numbers.")
        if np.isinf(numbers := values.astype(np.float64)).any():
            raise PrivacyError(f"Column {column.name!r} holds infinity; use NaN if not recorded.")
        return numbers
    words = values.astype(str)
    unknown = set(words.tolist()) - {*column.categories, ""}
    if unknown:
        raise PrivacyError(
            f"Column {column.name!r} holds {sorted(unknown)[0]!r}, which is not among its "
            "categories; list every category that may occur, whether or not it does."
        )
    return words
