"""The questions a researcher may ask: a short, closed list, and never code.

A query is plain data. It says which exact integers are computed and how far one person can move
them, so that noise of the right size can be added. A *person* is one row, and neighbouring tables
differ in one row that is added or removed: the number of rows is itself private.

Values are clipped to public bounds and rounded to a grid *before* they are summed. Sums of
integers are exact, so the sensitivity is what it says. A sum of floats depends on the order of its
terms, and one row can move it by far more than its own size (Casacuberta et al. 2022).

S. Casacuberta, M. Shoemate, S. Vadhan, C. Wagaman (2022). Widespread underestimation of
sensitivity in differentially private libraries and how to fix it. CCS. arXiv:2207.10635.
"""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, ClassVar

import numpy as np

from helpers.errors import PrivacyError
from helpers.privacy.data_site.schema import Column, Schema, Table

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_MOST_CONDITIONS = 8
_MOST_BINS = 200


@dataclass(frozen=True)
class Where:
    """A condition on one column, such as ``Where("age", ">=", 60)``.

    Attributes
    ----------
    column
        Name of the column.
    compare
        One of ``==``, ``!=``, ``<``, ``<=``, ``>``, ``>=``; the first two for categories.
    value
        A finite number, or one of the categories.
    """

    column: str
    compare: str
    value: float | str

    def check(self, schema: Schema) -> Where:
        """Return it with its value as the column holds it; raise PrivacyError if it fits none."""
        column = schema.column(self.column)
        allowed = tuple(_COMPARE) if column.is_number else ("==", "!=")
        if self.compare not in allowed:
            raise PrivacyError(f"{self.compare!r} on {self.column!r}: use one of {allowed}.")
        if column.is_number:
            return replace(self, value=_finite(f"the value for {self.column}", self.value))
        if self.value not in column.categories:
            raise PrivacyError(
                f"{self.value!r} is no category of {self.column!r}: {', '.join(column.categories)}."
            )
        return self

    def rows(self, table: Table) -> np.ndarray:
        """Return bool ``(n,)``: the rows for which it holds; rows without a value never do."""
        values = table[self.column]
        return _recorded(values) & _COMPARE[self.compare](values, self.value)


@dataclass(frozen=True)
class Part:
    """Exact integers that one share of epsilon is spent on.

    Attributes
    ----------
    name
        What they are.
    values
        int64 ``(k,)``, in steps of the grid.
    sensitivity
        The most that adding or removing one row can change ``values`` by, summed over the k.
    unit
        One step, in the unit of the column.
    """

    name: str
    values: np.ndarray
    sensitivity: int
    unit: float


@dataclass(frozen=True)
class Query:
    """Base of all queries; :func:`from_json` makes them from what a researcher sent.

    Attributes
    ----------
    where
        Conditions that a row must meet, all of them, at most eight.
    """

    kind: ClassVar[str]
    where: tuple[Where, ...] = field(default=(), kw_only=True)

    def resolved(self, schema: Schema) -> Query:
        """Return the query in its one full spelling: defaults filled in, conditions in order.

        Raises
        ------
        PrivacyError
            If it does not fit the schema.
        """
        if len(self.where) > _MOST_CONDITIONS:
            raise PrivacyError(
                f"{len(self.where)} conditions; a query takes at most {_MOST_CONDITIONS}."
            )
        where = {condition.check(schema) for condition in self.where}
        return replace(
            self, where=tuple(sorted(where, key=lambda c: (c.column, c.compare, str(c.value))))
        )

    def parts(self, table: Table, schema: Schema) -> list[Part]:
        """Return what is computed on the table, exactly; the query must be resolved."""
        raise NotImplementedError

    def answer(self, noisy: list[np.ndarray], schema: Schema) -> float | list[float]:
        """Turn the noisy parts into the answer; post-processing.

        Each part is float64 ``(k,)`` in the unit of the column.
        """
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"kind": self.kind, **asdict(self)}

    def canonical(self) -> str:
        """Return one string for one question, by which repeats are recognised."""
        return json.dumps(self.to_json(), sort_keys=True, allow_nan=False)

    def _rows(self, table: Table, *needed: str) -> np.ndarray:
        """Return bool ``(n,)``: the rows that meet the conditions and record what is needed."""
        chosen = np.ones(len(next(iter(table.values()))), dtype=bool)
        for condition in self.where:
            chosen &= condition.rows(table)
        for name in needed:
            chosen &= _recorded(table[name])
        return chosen


@dataclass(frozen=True)
class Count(Query):
    """How many rows there are, or meet the conditions. May come out negative: that is the noise."""

    kind: ClassVar[str] = "count"

    def parts(self, table: Table, schema: Schema) -> list[Part]:
        """Return the count; one row changes it by 1."""
        return [_count_part(self._rows(table))]

    def answer(self, noisy: list[np.ndarray], schema: Schema) -> float:
        """Return the noisy count."""
        return float(noisy[0][0])


@dataclass(frozen=True)
class _Bounded(Query):
    """A query about the values of one number, clipped to ``low..high``.

    Bounds default to those of the column. Narrower ones need less noise and clip more.
    """

    column: str
    low: float | None = None
    high: float | None = None

    def resolved(self, schema: Schema) -> Query:
        """Fill in the bounds of the column and check those given."""
        column = schema.number(self.column)
        low = _finite("low", column.low if self.low is None else self.low)
        high = _finite("high", column.high if self.high is None else self.high)
        if not column.low <= low < high <= column.high:
            raise PrivacyError(
                f"Bounds {low:g}..{high:g} of {self.column!r} must be in order and lie within "
                f"{column.low:g}..{column.high:g}."
            )
        if high - low < column.resolution:
            raise PrivacyError(
                f"Bounds {low:g}..{high:g} of {self.column!r} are less than one step of "
                f"{column.resolution:g} apart; widen them."
            )
        return Query.resolved(replace(self, low=low, high=high), schema)

    def _limits(self) -> tuple[float, float]:
        if self.low is None or self.high is None:
            raise PrivacyError(f"{self.kind} of {self.column!r} is not resolved yet.")
        return self.low, self.high

    def _sum_part(self, table: Table, rows: np.ndarray, column: Column, origin: float) -> Part:
        """Sum the distances from `origin`, in steps; both ends decide the sensitivity."""
        limits = np.array(self._limits())

        def in_steps(values: np.ndarray) -> np.ndarray:
            return np.rint((np.clip(values, *limits) - origin) / column.resolution).astype(np.int64)

        total = in_steps(table[self.column][rows]).sum(dtype=np.int64)
        sensitivity = int(np.abs(in_steps(limits)).max())  # rounding is monotone: ends are worst
        return Part("sum", np.array([total]), max(sensitivity, 1), column.resolution)


@dataclass(frozen=True)
class Sum(_Bounded):
    """The sum of one number. One row moves it by the larger bound, whatever the sign."""

    kind: ClassVar[str] = "sum"

    def parts(self, table: Table, schema: Schema) -> list[Part]:
        """Return the sum of the clipped values."""
        rows = self._rows(table, self.column)
        return [self._sum_part(table, rows, schema.number(self.column), origin=0.0)]

    def answer(self, noisy: list[np.ndarray], schema: Schema) -> float:
        """Return the noisy sum."""
        return float(noisy[0][0])


@dataclass(frozen=True)
class Mean(_Bounded):
    """The mean of one number: a noisy sum over a noisy count, half of epsilon each.

    The sum is taken of distances from the middle of the bounds, which halves its sensitivity.
    """

    kind: ClassVar[str] = "mean"

    def parts(self, table: Table, schema: Schema) -> list[Part]:
        """Return the sum of distances from the middle, and the count."""
        rows = self._rows(table, self.column)
        column = schema.number(self.column)
        return [self._sum_part(table, rows, column, self._middle()), _count_part(rows)]

    def answer(self, noisy: list[np.ndarray], schema: Schema) -> float:
        """Return the quotient, back within the bounds."""
        total, count = float(noisy[0][0]), max(float(noisy[1][0]), 1.0)
        return float(np.clip(self._middle() + total / count, *self._limits()))

    def _middle(self) -> float:
        low, high = self._limits()
        return low + (high - low) / 2


@dataclass(frozen=True)
class Histogram(Query):
    """How many rows fall into each bin of a number, or each category.

    One row is in one bin, so all bins together have the sensitivity of one count. Bins are
    ``[edge, next edge)``, the last one closed; values outside are clipped into the outer bins.
    """

    kind: ClassVar[str] = "histogram"
    column: str
    edges: tuple[float, ...] = ()

    def resolved(self, schema: Schema) -> Query:
        """Check the edges: ascending within the bounds for a number, none for a category."""
        column = schema.column(self.column)
        edges = tuple(_finite("an edge", edge) for edge in self.edges)
        if not column.is_number and edges:
            raise PrivacyError(f"Column {self.column!r} holds categories: give no edges.")
        if column.is_number:
            _check_edges(edges, column)
        return Query.resolved(replace(self, edges=edges), schema)

    def parts(self, table: Table, schema: Schema) -> list[Part]:
        """Return the counts; one row changes one of them by 1."""
        column = schema.column(self.column)
        values = table[self.column][self._rows(table, self.column)]
        if column.is_number:
            clipped = np.clip(values, self.edges[0], self.edges[-1])
            held = np.histogram(clipped, np.array(self.edges))[0]
        else:
            held = np.array([np.count_nonzero(values == name) for name in column.categories])
        return [Part("counts", held.astype(np.int64), 1, 1.0)]

    def answer(self, noisy: list[np.ndarray], schema: Schema) -> list[float]:
        """Return the noisy counts, in the order of the edges or categories."""
        return [float(value) for value in noisy[0]]


@dataclass(frozen=True)
class Quantile(_Bounded):
    """The value below which a share of the rows lies, read off a noisy histogram of equal bins.

    The answer is exact to one bin at best; more bins are finer and noisier.
    """

    kind: ClassVar[str] = "quantile"
    share: float = 0.5
    bins: int = 50

    def resolved(self, schema: Schema) -> Query:
        """Check the share and the number of bins as well."""
        if not 0 < _finite("share", self.share) < 1:
            raise PrivacyError(f"share={self.share!r} must lie between 0 and 1.")
        if type(self.bins) is not int or not 2 <= self.bins <= _MOST_BINS:
            raise PrivacyError(f"bins={self.bins!r} must be a whole number in 2..{_MOST_BINS}.")
        return super().resolved(schema)

    def parts(self, table: Table, schema: Schema) -> list[Part]:
        """Return the histogram; one row changes one bin by 1."""
        edges = self._edges()
        values = table[self.column][self._rows(table, self.column)]
        held = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
        return [Part("counts", held.astype(np.int64), 1, 1.0)]

    def answer(self, noisy: list[np.ndarray], schema: Schema) -> float:
        """Return where the running sum of the noisy counts reaches the share."""
        edges = self._edges()
        reached = np.cumsum(np.maximum(noisy[0], 0.0))
        if reached[-1] <= 0:
            return float((edges[0] + edges[-1]) / 2)  # nothing but noise: the middle
        target = self.share * reached[-1]
        place = int(np.searchsorted(reached, target))
        before = reached[place - 1] if place else 0.0
        within = (target - before) / (reached[place] - before)
        return float(edges[place] + within * (edges[place + 1] - edges[place]))

    def _edges(self) -> np.ndarray:
        return np.linspace(*self._limits(), self.bins + 1)


KINDS: dict[str, type[Query]] = {
    query.kind: query for query in (Count, Sum, Mean, Histogram, Quantile)
}


def from_json(content: Any) -> Query:
    """Make a query from plain JSON values; anything that is not exactly one is refused.

    Parameters
    ----------
    content : Any
        What :meth:`Query.to_json` returns, such as ``{"kind": "mean", "column": "age"}``.

    Returns
    -------
    Query
        Not yet checked against a schema.

    Raises
    ------
    PrivacyError
        If the kind or a key is unknown, or a condition is malformed.
    """
    kind = content.get("kind") if isinstance(content, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise PrivacyError(f"A query is a JSON object whose kind is one of {', '.join(KINDS)}.")
    query = KINDS[kind]
    settings = {key: value for key, value in content.items() if key != "kind"}
    unknown = settings.keys() - {field.name for field in fields(query)}
    if unknown:
        raise PrivacyError(f"A {query.kind} takes no {sorted(unknown)[0]!r}.")
    try:
        settings["where"] = tuple(Where(**one) for one in settings.get("where", ()))
        settings |= {"edges": tuple(settings["edges"])} if "edges" in settings else {}
        return query(**settings)
    except TypeError as error:
        raise PrivacyError(f"The {query.kind} is malformed: {error}.") from error


def _recorded(values: np.ndarray) -> np.ndarray:
    return values != "" if values.dtype.kind == "U" else ~np.isnan(values)


def _count_part(rows: np.ndarray) -> Part:
    return Part("count", np.array([np.count_nonzero(rows)], dtype=np.int64), 1, 1.0)


def _check_edges(edges: tuple[float, ...], column: Column) -> None:
    if not 2 <= len(edges) <= _MOST_BINS + 1 or list(edges) != sorted(set(edges)):
        raise PrivacyError(
            f"{len(edges)} edges for {column.name!r}; give 2 to {_MOST_BINS + 1}, ascending."
        )
    if edges[0] < column.low or edges[-1] > column.high:
        raise PrivacyError(
            f"Edges {edges[0]:g}..{edges[-1]:g} leave the bounds of {column.name!r}, "
            f"{column.low:g}..{column.high:g}."
        )


def _finite(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise PrivacyError(f"{name} is {value!r}; it must be a finite number.")
    return float(value) + 0.0  # -0.0 becomes 0.0: one spelling for one number
