"""What comes out of the sandbox is a stranger's claim: read field by field, and bounded.

A worker that a hostile file has taken over can answer anything. It cannot be kept from lying about
its own numbers; it can be kept from handing over a type, a size or a text that harms the reader.
Every function here raises :class:`ClaimError` where the claim is of another kind than its own.
"""

from __future__ import annotations

import math
import unicodedata
from typing import Any

from helpers.errors import AuditError

MAX_TEXT = 200  # characters of a name


class ClaimError(AuditError):
    """A worker has answered something that is no answer."""


def table(value: Any, most: int = 1000) -> dict[str, Any]:
    """Return a JSON object of at most so many entries."""
    if not isinstance(value, dict) or len(value) > most:
        raise ClaimError(f"An object of at most {most:,} entries was expected.")
    return value


def row(value: Any, most: int) -> list[Any]:
    """Return a JSON list of at most so many items."""
    if not isinstance(value, list) or len(value) > most:
        raise ClaimError(f"A list of at most {most:,} items was expected.")
    return value


def whole(value: Any, low: int = 0, high: int = 2**62) -> int:
    """Return a whole number between two bounds."""
    if type(value) is not int or not low <= value <= high:
        raise ClaimError(f"A whole number from {low:,} to {high:,} was expected.")
    return value


def number(value: Any) -> float:
    """Return a finite number."""
    if type(value) not in (int, float) or not math.isfinite(value) or abs(value) > 1e300:
        raise ClaimError("A finite number was expected.")
    return float(value)


def flag(value: Any) -> bool:
    """Return true or false."""
    if type(value) is not bool:
        raise ClaimError("True or false was expected.")
    return value


def text(value: Any, most: int = MAX_TEXT) -> str:
    """Return a text that is safe to show on a terminal: shortened, control characters escaped."""
    if not isinstance(value, str):
        raise ClaimError("A text was expected.")
    short = value if len(value) <= most else f"{value[:most]}…"
    return "".join(c if _shows(c) else c.encode("unicode_escape").decode() for c in short)


def _shows(character: str) -> bool:
    # Cc and Cf move the cursor or turn the direction of the text; Cs and Co have no look.
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
