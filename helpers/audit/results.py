"""What a section of an audit has to say, in plain values.

A section writes into :class:`Notes` while it works, so whatever stops it, what it has found so far
is kept. Everything in the notes is a number or a text: the report, the comparison and the threat
scores are made from these values alone, and from nothing else.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from helpers.errors import AuditError
from helpers.robustness.findings import Finding
from helpers.robustness.target import proportion_interval

Kind = Literal["measured", "estimated", "read"]
Better = Literal["higher", "lower", ""]
Status = Literal["done", "partly", "not done"]


@dataclass(frozen=True)
class Measure:
    """One number of the report.

    Attributes
    ----------
    key
        Name within its section; the same in every audit.
    title
        In words.
    value, low, high
        The number and its interval; None where it has none.
    unit
        Such as ``"ms"``; ``"share"`` for a number from 0 to 1.
    trials
        Examples that the number rests on.
    kind
        ``"measured"`` here, ``"estimated"``, or ``"read"`` from the file.
    better
        Which direction the owner of the model wants; empty where neither is better.

    Raises
    ------
    AuditError
        If a number is not finite.
    """

    key: str
    title: str
    value: float
    low: float | None = None
    high: float | None = None
    unit: str = ""
    trials: int | None = None
    kind: Kind = "measured"
    better: Better = ""

    def __post_init__(self) -> None:
        for number in (self.value, self.low, self.high):
            if number is not None and not math.isfinite(number):
                raise AuditError(f"{self.key} is {number}: a report holds finite numbers.")


@dataclass(frozen=True)
class Table:
    """A table of plain texts."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Series:
    """One line of a chart; ``low`` and ``high`` are empty or as long as ``x``."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


@dataclass(frozen=True)
class Chart:
    """Lines over one axis, each a share from 0 to 1."""

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    x_log: bool = False


@dataclass(frozen=True)
class Rated(Finding):
    """A finding with the reason for its severity.

    Attributes
    ----------
    rationale
        Why the severity is what it is, by which rule.
    """

    rationale: str = ""


@dataclass
class Notes:
    """What a section has found so far.

    Attributes
    ----------
    measures, tables, charts, findings
        Results.
    not_done
        What was left out of this audit, and why; one sentence each.
    """

    measures: list[Measure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    findings: list[Rated] = field(default_factory=list)
    not_done: list[str] = field(default_factory=list)

    def share(
        self, key: str, title: str, successes: int, trials: int, better: Better = ""
    ) -> Measure:
        """Note a share of trials with its exact 95% interval, and return it."""
        low, high = proportion_interval(successes, trials)
        made = Measure(key, title, successes / trials, low, high, "share", trials, better=better)
        self.measures.append(made)
        return made

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Note a table; every cell becomes text."""
        cells = tuple(tuple(str(cell) for cell in row) for row in rows)
        self.tables.append(Table(title, tuple(columns), cells))

    @property
    def status(self) -> Status:
        """Whether all, some or nothing of the section was done."""
        if not self.not_done:
            return "done"
        return "partly" if self.measures or self.tables or self.findings else "not done"

    def to_dict(self) -> dict[str, Any]:
        """Return the notes as plain values for JSON."""
        plain = {
            "status": self.status,
            "measures": [asdict(measure) for measure in self.measures],
            "tables": [asdict(table) for table in self.tables],
            "charts": [asdict(chart) for chart in self.charts],
            "findings": [asdict(finding) for finding in self.findings],
            "not_done": self.not_done,
        }
        decoded: dict[str, Any] = json.loads(json.dumps(plain, allow_nan=False))
        return decoded


def interval_text(low: float | None, high: float | None, unit: str = "share") -> str:
    """Write an interval as a report shows it; empty without one."""
    if low is None or high is None:
        return ""
    if unit == "share":
        return f"{low:.1%} to {high:.1%}"
    return f"{low:.3g} to {high:.3g}"
