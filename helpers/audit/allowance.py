"""Time that an audit may take, shared out to its sections.

A library cannot be stopped in the middle of a computation, but nearly all that a section does goes
through questions to the model. So the questions are what is stopped: asked in small parts, each of
them only while time is left.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from helpers.errors import AuditError, OutOfTimeError

Ask = Callable[[NDArray[np.float32]], NDArray[np.float32]]
PART_SECONDS = 0.5  # aimed at for one part of a question, so that the end is overrun by no more
MOST_ROWS = 256
_UNITS = {"s": 1, "m": 60, "h": 3600}


def parse_duration(text: str) -> float:
    """Read a duration such as ``90s``, ``5m``, ``1h30m`` or a number of seconds.

    Returns
    -------
    float
        Seconds, above 0.

    Raises
    ------
    AuditError
        If the text is no duration.
    """
    given = text.strip().lower()
    if re.fullmatch(r"(?:\d+(?:\.\d+)?[smh])+", given):
        parts = re.findall(r"(\d+(?:\.\d+)?)([smh])", given)
        seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    elif re.fullmatch(r"\d+(?:\.\d+)?", given):
        seconds = float(given)
    else:
        seconds = 0.0
    if not 0 < seconds <= 7 * 24 * 3600:
        raise AuditError(f"{text!r} is no time: write 90s, 5m or 1h30m, at most a week.")
    return seconds


@dataclass
class Allowance:
    """Seconds that somebody may use, counted from when this was made.

    Attributes
    ----------
    seconds
        All of them.
    clock
        Tells the time; monotonic.
    """

    seconds: float
    clock: Callable[[], float] = time.monotonic
    _start: float = field(init=False)

    def __post_init__(self) -> None:
        self._start = self.clock()

    @property
    def spent(self) -> float:
        """Seconds since it began."""
        return self.clock() - self._start

    @property
    def left(self) -> float:
        """Seconds that are left, never negative."""
        return max(0.0, self.seconds - self.spent)

    def part(self, share: float) -> Allowance:
        """Return an allowance over a share of what is left."""
        return Allowance(self.left * share, self.clock)

    def require(self, seconds: float = 0.0, what: str = "more") -> None:
        """Raise OutOfTimeError unless more than so many seconds are left."""
        if self.left <= seconds:
            needed = f", and {what} takes about {seconds:.0f} s" if seconds else ""
            raise OutOfTimeError(
                f"of {self.seconds:.0f} s for this section {self.left:.0f} s were left{needed}: "
                "give a larger --budget"
            )

    def guard(self, ask: Ask) -> Ask:
        """Return the same model, which answers only while time is left.

        Rows are asked about in parts of about half a second, the first of them one row, and the
        time is looked at before each: the end is overrun by one part, or by one row if that takes
        longer.

        Raises
        ------
        OutOfTimeError
            On asking, once the time is over.
        """
        pace = _Pace()

        def guarded(rows: NDArray[np.float32]) -> NDArray[np.float32]:
            parts = []
            start = 0
            while start < len(rows):
                self.require()
                part = rows[start : start + pace.rows]
                before = self.clock()
                parts.append(np.asarray(ask(part)))
                pace.learn(len(part), self.clock() - before)
                start += len(part)
            return np.concatenate(parts)

        return guarded


@dataclass
class _Pace:
    """How many rows fill a part, learnt from the parts before."""

    rows: int = 1

    def learn(self, rows: int, seconds: float) -> None:
        fitting = PART_SECONDS * rows / seconds if seconds > 0 else MOST_ROWS
        self.rows = int(np.clip(min(fitting, 4 * self.rows), 1, MOST_ROWS))
