"""What the labs measured, as data: one form for every lab, and the record that the book draws on.

A lab says what it found with ``lab.record(...)``. Its report carries the findings, a learner keeps
them as ``measurements.json``, and ``edgesec results`` collects them from runs. Those of the full
solutions with seed 0 lie in ``helpers/course/measured/``: tables, questions and reports take their
numbers from there, so that none is typed twice.
"""

from __future__ import annotations

import datetime
import functools
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from helpers._reading import parse_json, read_file
from helpers._schemas import mismatch
from helpers._text import acting_character, nearest
from helpers.course.vocabulary import ATTACKS, DEFENCES, QUANTITIES, Quantity
from helpers.errors import CourseError, ThreatModelError
from helpers.threats.measurement import rate

SCHEMA = "edgesec-measurements/1"
FILE = "measurements.json"
EVIDENCE = ("attack", "bound", "measurement")
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_LONGEST = {"subject": 80, "setting": 300}


@dataclass(frozen=True)
class Measured:
    """One thing that a lab measured.

    Attributes
    ----------
    name
        Names it within its lab, such as ``"pgd-int8"``.
    attack, defence
        Of :data:`helpers.course.vocabulary.ATTACKS` and ``DEFENCES``; ``"none"`` if there is none.
    subject
        What was measured, in a few words: ``"the int8 file"``.
    metric
        Of :data:`helpers.course.vocabulary.QUANTITIES`.
    value
        The value, in the metric's unit.
    interval
        Lower and upper end of what the value may be, or None where the lab has none.
    trials
        How many inputs, members or runs it rests on, or None if it is computed.
    evidence
        ``"attack"``: somebody tried; ``"bound"``: it holds for every attacker within the stated
        limits; ``"measurement"``: nobody attacked.
    setting
        Data, strength of the attack, what the interval is, in a sentence.
    threat
        The rule of :mod:`helpers.threats` that this speaks of; empty if none.

    Raises
    ------
    CourseError
        If a word is not in its vocabulary, a number cannot be, or a text is too long.
    """

    name: str
    attack: str
    defence: str
    subject: str
    metric: str
    value: float
    interval: tuple[float, float] | None = None
    trials: int | None = None
    evidence: str = "measurement"
    setting: str = ""
    threat: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise CourseError(f"{self.name!r} is no name; give one such as 'pgd-int8'")
        words: list[tuple[str, str, Iterable[str]]] = [
            ("attack", self.attack, ATTACKS),
            ("defence", self.defence, DEFENCES),
            ("metric", self.metric, QUANTITIES),
            ("evidence", self.evidence, EVIDENCE),
        ]
        for what, word, known in words:
            if word not in known:
                raise CourseError(
                    f"{self.name}: unknown {what} {word!r}; {nearest(str(word), known)}"
                )
        for what, longest in _LONGEST.items():
            text = getattr(self, what)
            if not isinstance(text, str) or len(text) > longest or acting_character(text):
                raise CourseError(
                    f"{self.name}: {what} must be a text of at most {longest} plain characters"
                )
        if not self.subject.strip():
            raise CourseError(f"{self.name}: say in `subject` what was measured")
        if self.trials is not None and (type(self.trials) is not int or self.trials < 1):
            raise CourseError(f"{self.name}: trials is {self.trials!r}; give a whole number from 1")
        self._check_numbers()

    def _check_numbers(self) -> None:
        quantity, numbers = self.quantity, [self.value, *(self.interval or ())]
        if len(numbers) not in (1, 3) or not all(
            isinstance(number, float) and math.isfinite(number) for number in numbers
        ):
            raise CourseError(f"{self.name}: value and interval must be finite numbers")
        if not all(quantity.low <= number <= quantity.high for number in numbers):
            raise CourseError(
                f"{self.name}: {self.metric} lies between {quantity.low:g} and {quantity.high:g}, "
                f"not at {', '.join(f'{number:g}' for number in numbers)}"
            )
        if self.interval and not self.interval[0] <= self.value <= self.interval[1]:
            raise CourseError(
                f"{self.name}: the value {self.value:g} lies outside its interval "
                f"[{self.interval[0]:g}, {self.interval[1]:g}]"
            )

    @property
    def quantity(self) -> Quantity:
        """What the metric is, its unit, and which end is the better one."""
        return QUANTITIES[self.metric]

    @property
    def text(self) -> str:
        """The value with its unit and interval, as a table shows it."""
        return self.quantity.written(self.value, self.interval)


@dataclass(frozen=True)
class LabMeasurements:
    """What one run of one lab measured.

    `points` of `max_points` says whose work it is: with all points the learner's (or the
    solution's), with none the reference's.
    """

    lab: str
    number: int
    title: str
    profile: str
    seed: int
    date: datetime.date
    points: int
    max_points: int
    measured: tuple[Measured, ...]

    @property
    def page(self) -> str:
        """The page of the book: ``labs/08-fool-the-camera-on-the-pi``."""
        return f"labs/{self.number:02d}-{self.lab}"

    def __getitem__(self, name: str) -> Measured:
        """Return the measurement of a name.

        Raises
        ------
        CourseError
            If the lab has none of that name.
        """
        named = {one.name: one for one in self.measured}
        if name not in named:
            raise CourseError(f"lab {self.lab} measured no {name!r}; {nearest(name, named)}")
        return named[name]


def made(
    name: str,
    *,
    value: Any = None,
    successes: Any = None,
    interval: Any = None,
    trials: Any = None,
    **rest: Any,
) -> Measured:
    """Return a measurement from numbers that may be NumPy's.

    Parameters
    ----------
    name : str
        Its name.
    value, interval : float, (float, float)
        As in :class:`Measured`; or instead of both
    successes : int
        How many of the `trials` it was: value and exact 95 % interval follow from the two
        (Clopper and Pearson 1934).
    trials : int
        As in :class:`Measured`.
    **rest
        Its other fields.

    Raises
    ------
    CourseError
        As :class:`Measured`, or if a field is missing or unknown.
    """
    try:
        count = None if trials is None else int(trials)
        if successes is not None:
            if value is not None or interval is not None or count is None:
                raise CourseError(f"{name}: give successes and trials, or a value, not both")
            value, *interval = rate(int(successes), count)
        if value is None:
            raise CourseError(f"{name}: give a value, or successes and trials")
        ends = None if interval is None else tuple(float(end) for end in interval)
        return Measured(name, value=float(value), interval=ends, trials=count, **rest)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, ThreatModelError) as error:
        raise CourseError(f"{name}: {error}") from None


def to_json(found: LabMeasurements) -> dict[str, Any]:
    """Return the form that ``measurements.schema.json`` describes."""
    entry = asdict(found)
    measured = [
        {
            key: list(value) if key == "interval" else value
            for key, value in one.items()
            if value not in ("", None)
        }
        for one in entry.pop("measured")
    ]
    entry["date"] = found.date.isoformat()
    return {"schema": SCHEMA, **entry, "measurements": measured}


@functools.cache
def schema_text() -> str:
    """Return the JSON schema as it is published."""
    return files("helpers.course").joinpath("measurements.schema.json").read_text("utf-8")


def from_json(content: Any, source: str = "measurements") -> LabMeasurements:
    """Read what :func:`to_json` wrote, or what claims to be that.

    Parameters
    ----------
    content
        Decoded JSON.
    source : str
        What to call it in an error.

    Raises
    ------
    CourseError
        If it has another form, with the place, or a number that cannot be.
    """
    if problem := mismatch(json.loads(schema_text()), content):
        raise CourseError(f"{source}: {problem}")
    rest = {k: v for k, v in content.items() if k not in ("schema", "measurements", "date")}
    try:
        date = datetime.date.fromisoformat(content["date"])
        measured = tuple(made(**entry) for entry in content["measurements"])
    except (ValueError, CourseError) as error:
        raise CourseError(f"{source}: {error}") from None
    names = [one.name for one in measured]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CourseError(f"{source}: {twice[0]} is there twice")
    return LabMeasurements(**rest, date=date, measured=measured)


def read(path: Path) -> LabMeasurements:
    """Read one file of measurements.

    Raises
    ------
    CourseError
        If it cannot be read, is too large, is no JSON, or has another form.
    """
    try:
        content = parse_json(read_file(path, CourseError))
    except (ValueError, RecursionError) as error:
        raise CourseError(f"{path} is not JSON: {error}") from None
    return from_json(content, path.name)


def record() -> tuple[LabMeasurements, ...]:
    """Return what the course's own solutions measured in full, in the order of the labs.

    Raises
    ------
    CourseError
        If a file of the record is damaged.
    """
    return tuple(_record().values())


def of_lab(name: str) -> LabMeasurements:
    """Return the record of one lab, by its name: ``"fool-the-camera-on-the-pi"``.

    Raises
    ------
    CourseError
        If there is no record of such a lab.
    """
    found = _record()
    if name not in found:
        raise CourseError(f"no measurements of lab {name!r}; {nearest(name, found)}")
    return found[name]


@functools.cache
def _record() -> Mapping[str, LabMeasurements]:
    found = [read(path) for path in folder().glob("*.json")]
    return {one.lab: one for one in sorted(found, key=lambda one: one.number)}


def folder() -> Path:
    """Return where the record lies: one file a lab."""
    return Path(str(files("helpers.course").joinpath("measured")))
