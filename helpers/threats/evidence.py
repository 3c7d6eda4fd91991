"""Evidence: a number, its interval, and the hash of the file that was measured."""

from __future__ import annotations

import datetime
import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from helpers._reading import parse_json
from helpers._schemas import mismatch
from helpers._text import acting_character, shown
from helpers.errors import ThreatModelError

EVIDENCE_SCHEMA = "edgesec-evidence/1"


@dataclass(frozen=True)
class Evidence:
    """One measured number, and what it was measured on.

    Attributes
    ----------
    measures
        SHA-256 of the file that was measured.
    quantity
        What the number is, with its unit.
    value, low, high
        The number and its interval; a bound or a count has an interval of one point.
    setting
        Data, how many, which attack, which seed.
    source
        What gave it, so that it can be had again.
    date
        When.

    Raises
    ------
    ThreatModelError
        If a number is not finite, or the value does not lie in its interval.
    """

    measures: str
    quantity: str
    value: float
    low: float
    high: float
    setting: str
    source: str
    date: datetime.date

    def __post_init__(self) -> None:
        if not all(math.isfinite(number) for number in (self.value, self.low, self.high)):
            raise ThreatModelError(f"{shown(self.quantity)}: value and interval must be finite.")
        if not self.low <= self.value <= self.high:
            raise ThreatModelError(
                f"{shown(self.quantity)}: {self.value:g} does not lie in its interval "
                f"[{self.low:g}, {self.high:g}]."
            )

    def to_bytes(self) -> bytes:
        """Return the evidence file."""
        content = asdict(self) | {"schema": EVIDENCE_SCHEMA, "date": self.date.isoformat()}
        content["interval"] = [content.pop("low"), content.pop("high")]
        return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()


def digest(content: bytes) -> str:
    """Return SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def evidence_from_json(content: Any, source: str = "evidence") -> Evidence:
    """Read evidence; ``data/security-case.schema.json`` describes the form.

    Raises
    ------
    ThreatModelError
        If it has not that form; with the place.
    """
    check_form(content, source, "evidence")
    low, high = content["interval"]
    kept = {key: content[key] for key in ("measures", "quantity", "value", "setting", "source")}
    return Evidence(**kept, low=low, high=high, date=day(content["date"], source))


def check_form(content: Any, source: str, part: str = "") -> None:
    """Refuse decoded JSON that is not as ``data/security-case.schema.json`` says.

    Parameters
    ----------
    content
        Decoded JSON.
    source
        What to call it in an error.
    part
        A definition of the schema; empty for a whole case.

    Raises
    ------
    ThreatModelError
        If it has not that form, or a text holds what cannot be shown; with the place.
    """
    from helpers.threats.vocabulary import DATA

    schema = json.loads((DATA / "security-case.schema.json").read_text("utf-8"))
    if part:
        schema = {"$defs": schema["$defs"], "$ref": f"#/$defs/{part}"}
    if problem := mismatch(schema, content):
        raise ThreatModelError(f"{source}: {problem}")
    for text in _texts(content):
        if acting := acting_character(text):
            raise ThreatModelError(
                f"{source}: {shown(text)} holds {acting}, which cannot be shown."
            )


def _texts(content: Any) -> Iterable[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, Mapping | list):
        for inner in content.values() if isinstance(content, Mapping) else content:
            yield from _texts(inner)


def day(text: str, where: str) -> datetime.date:
    """Return the day that a text writes, or raise ThreatModelError, which names `where`."""
    try:
        return datetime.date.fromisoformat(text)
    except ValueError as error:
        raise ThreatModelError(
            f"{where}: {shown(text)} is no day of the calendar; write year, month and day, as in "
            "2026-12-31."
        ) from error


def decoded(content: bytes) -> Any:
    """Return what JSON says, or raise ThreatModelError; NaN and the like are refused."""
    try:
        return parse_json(content)
    except (ValueError, RecursionError) as error:
        raise ThreatModelError(f"it is not JSON: {error}.") from error
