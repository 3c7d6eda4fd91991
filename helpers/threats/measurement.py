"""What was measured, and the rule that turns it into a likelihood.

A score that somebody guessed gives way to a number that somebody measured. A measurement says which
threat it speaks of, its metric, value and interval, where it comes from and when. Two rules make it
a likelihood from 0 to 10:

* **The metric's own curve**, straight lines between stated points (:data:`METRICS`). They are a
  convention: what counts is that it is written down, and the same for everybody.
* **What kind of evidence it is.** An *attack* that fails shows that this attack fails, so it never
  brings a likelihood under :data:`ATTACK_FLOOR`. A *bound*, such as a differential-privacy
  guarantee, holds for every attacker and may bring it to 0.

Of an interval the end that is worse for the defender counts.
"""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from helpers._reading import parse_json, read_file
from helpers._schemas import mismatch
from helpers._text import acting_character, nearest, shown
from helpers.errors import ThreatModelError

SCHEMA = "edgesec-threat-measurement/1"
ATTACK_FLOOR = 3.0
Evidence = Literal["attack", "bound"]


@dataclass(frozen=True)
class Metric:
    """A quantity that says how well an attack works.

    Attributes
    ----------
    meaning
        What it is.
    low, high
        Values that it can have.
    points
        ``(value, likelihood)``, both rising; straight lines between, constant outside.
    reason
        Why the points lie where they lie.
    """

    meaning: str
    low: float
    high: float
    points: tuple[tuple[float, float], ...]
    reason: str

    def likelihood(self, value: float) -> float:
        """Return the likelihood, 0 to 10, of a value."""
        (before, score), *rest = self.points
        if value <= before:
            return score
        for after, next_score in rest:
            if value <= after:
                return score + (next_score - score) * (value - before) / (after - before)
            before, score = after, next_score
        return score


METRICS = {
    "reconstruction-gain": Metric(
        "structural similarity of the best reconstruction, less that of a control picture which "
        "was not in the data", -2, 2, ((0, 0), (0.1, 3), (0.3, 7), (0.5, 10)),
        "what a control reaches too has not leaked; half a unit above it is plainly the picture",
    ),
    "members-named": Metric(
        "share of members that an attacker names who accuses 1 % of outsiders", 0, 1,
        ((0.01, 0), (0.02, 2), (0.05, 4), (0.1, 5), (0.3, 8), (1, 10)),
        "1 % is what guessing gives; averages hide the few who are named with certainty",
    ),
    "accuracy-loss": Metric(
        "accuracy without the attack less accuracy under it", -1, 1,
        ((0, 0), (0.02, 3), (0.1, 7), (0.3, 10)),
        "two points are within what training runs differ; thirty make a model useless",
    ),
    "attack-success-rate": Metric(
        "share of attempts in which the attacker gets the wanted answer", 0, 1,
        ((0, 0), (0.05, 4), (0.5, 9), (0.9, 10)),
        "an attacker can try again, so one success in twenty is already a way in",
    ),
    "extraction-fidelity": Metric(
        "share of inputs on which the copy answers as the model does", 0, 1,
        ((0.5, 0), (0.8, 5), (0.95, 10)),
        "two models trained alike agree often too; at 95 % the copy can be sold in its place",
    ),
    "cost-inflation": Metric(
        "time or energy of the worst input found, as a multiple of the median input's", 1, 1e6,
        ((1, 0), (1.5, 3), (3, 7), (10, 10)),
        "half as much again fits in most margins; ten times drains a day's battery in hours",
    ),
    "bypass-rate": Metric(
        "share of attempts that got past the control", 0, 1,
        ((0, 0), (0.01, 5), (0.1, 9), (1, 10)),
        "a security control has no acceptable failure rate; chance alone explains almost none",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Measurement:
    """One measured result.

    Attributes
    ----------
    threat
        The rule it speaks of, such as ``"gradient-inversion"``.
    metric
        A name of :data:`METRICS`.
    value, low, high
        The value and its interval.
    source
        What gave it: a lab, a command, a report.
    date
        When.
    evidence
        ``"attack"`` or ``"bound"``.
    target
        The element or flow it speaks of; empty for every one with this threat.
    setting
        What was measured, in a sentence: system, data, how many.

    Raises
    ------
    ThreatModelError
        If a value is outside what its metric can have, or does not lie in its interval, or a text
        holds what cannot be shown.
    """

    threat: str
    metric: str
    value: float
    low: float
    high: float
    source: str
    date: datetime.date
    evidence: Evidence = "attack"
    target: str = ""
    setting: str = ""

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise ThreatModelError(
                f"unknown metric {shown(self.metric)}; {nearest(self.metric, METRICS)}"
            )
        metric = METRICS[self.metric]
        if not all(math.isfinite(number) for number in (self.value, self.low, self.high)):
            raise ThreatModelError(f"{self.metric} must be finite numbers.")
        if not metric.low <= self.low <= self.value <= self.high <= metric.high:
            raise ThreatModelError(
                f"{self.metric} is {self.value:g} in [{self.low:g}, {self.high:g}]: the value must "
                f"lie in its interval, and both within [{metric.low:g}, {metric.high:g}]."
            )
        if acting := acting_character(self.source + self.setting):
            raise ThreatModelError(f"source or setting holds {acting}, which cannot be shown.")
        if self.evidence not in ("attack", "bound"):
            raise ThreatModelError(f"evidence is {shown(str(self.evidence))}: use attack or bound.")

    @property
    def likelihood(self) -> float:
        """The likelihood, 0 to 10, of the end of the interval that is worse for the defender."""
        return self._floored(self.high)

    @property
    def likelihood_range(self) -> tuple[float, float]:
        """The likelihoods of both ends."""
        return self._floored(self.low), self._floored(self.high)

    def _floored(self, value: float) -> float:
        floor = ATTACK_FLOOR if self.evidence == "attack" else 0.0
        return max(floor, METRICS[self.metric].likelihood(value))

    def __str__(self) -> str:
        return (
            f"{self.metric} {self.value:.3g} [{self.low:.3g}, {self.high:.3g}], "
            f"{self.evidence}, {self.source}, {self.date.isoformat()}"
        )


def rate(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float, float]:
    """Return a share with its exact interval (Clopper and Pearson 1934).

    Parameters
    ----------
    successes, trials
        How often it happened, of how many attempts.
    confidence
        Of the two-sided interval.

    Returns
    -------
    tuple
        Share, lower end, upper end.

    Raises
    ------
    ThreatModelError
        If there were no trials, or more successes than trials.
    """
    if trials < 1 or not 0 <= successes <= trials or not 0 < confidence < 1:
        raise ThreatModelError(
            f"{successes} successes in {trials} trials at confidence {confidence}: give at least "
            "one trial, no more successes than trials, and a confidence between 0 and 1."
        )
    from scipy.special import betaincinv

    tail = (1 - confidence) / 2
    low = betaincinv(successes, trials - successes + 1, tail) if successes else 0.0
    high = betaincinv(successes + 1, trials - successes, 1 - tail) if successes < trials else 1.0
    return successes / trials, float(low), float(high)


def read_json(path: str | Path) -> Any:
    """Return the content of a JSON file of at most 256 KiB; NaN and the like are refused.

    Raises
    ------
    ThreatModelError
        If it cannot be read or is not JSON.
    """
    try:
        return parse_json(read_file(Path(path), ThreatModelError))
    except (ValueError, RecursionError) as error:
        raise ThreatModelError(f"{path} is not JSON: {error}.") from error


def to_json(measurements: tuple[Measurement, ...]) -> dict[str, Any]:
    """Return measurements in the form that :func:`from_json` reads and the schema describes."""
    entries = []
    for measurement in measurements:
        entry = asdict(measurement)
        entry["interval"] = [entry.pop("low"), entry.pop("high")]
        entry["date"] = measurement.date.isoformat()
        entries.append({key: value for key, value in entry.items() if value != ""})
    return {"schema": SCHEMA, "measurements": entries}


def from_json(content: Any, source: str = "measurements") -> tuple[Measurement, ...]:
    """Read measurements; ``data/measurement.schema.json`` describes the form.

    Parameters
    ----------
    content
        Decoded JSON.
    source
        What to call it in an error.

    Raises
    ------
    ThreatModelError
        If it has not that form; with the place.
    """
    from helpers.threats.vocabulary import DATA

    schema = json.loads((DATA / "measurement.schema.json").read_text("utf-8"))
    if problem := mismatch(schema, content):
        raise ThreatModelError(f"{source}: {problem}")
    return tuple(_one(entry, f"{source}: {entry['threat']}") for entry in content["measurements"])


def _one(entry: Mapping[str, Any], where: str) -> Measurement:
    fields = {key: value for key, value in entry.items() if key != "interval"}
    try:
        fields["date"] = datetime.date.fromisoformat(entry["date"])
        low, high = (float(end) for end in entry["interval"])
        return Measurement(**fields, low=low, high=high)
    except (ValueError, OverflowError, ThreatModelError) as error:
        raise ThreatModelError(f"{where}: {error}") from error
