"""Collect what labs measured: from runs into the record, from learners' folders into a table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from helpers._files import write_atomically
from helpers._text import harmless_cell
from helpers.course import catalogue, results
from helpers.course.measurements import (
    FILE,
    LabMeasurements,
    Measured,
    folder,
    from_json,
    read,
    record,
    to_json,
)
from helpers.course.vocabulary import ATTACKS
from helpers.errors import CourseError

_TOLERANCE = 0.02  # of the value, or in a share: what arithmetic in another order changes
_COLUMNS = ("lab", "name", "attack", "defence", "subject", "metric", "value", "low", "high",
            "trials", "evidence", "setting", "profile", "seed", "points", "max_points",
            "date")  # fmt: skip

# The metrics that are a share which the attacker wins, and what a range of each is called.
WON = {
    "attack-success-rate": "attempts won",
    "bypass-rate": "control bypassed",
    "members-named": "members named",
    "extraction-fidelity": "answers copied",
    "accuracy-loss": "accuracy lost",
}


def of_report(report: dict[str, Any] | None, source: str) -> LabMeasurements:
    """Return what a lab's report says was measured.

    Raises
    ------
    CourseError
        If there is no report, it holds no measurements, or they have another form.
    """
    found = from_json((report or {}).get("measured"), source)
    if not found.measured:
        raise CourseError(f"{source}: the lab records no measurement; see lab.record")
    return found


def of_runs(
    build: Path, labs: Iterable[catalogue.LabFiles], variant: results.Variant = "solution"
) -> list[LabMeasurements]:
    """Return what the last runs of labs measured.

    Parameters
    ----------
    build : Path
        Build folder of the runs.
    labs : iterable of LabFiles
        Which.
    variant : {"solution", "learner"}
        Of the solutions or of the unsolved notebooks.

    Raises
    ------
    CourseError
        If a lab was not run there, did not end, or recorded nothing.
    """
    found = []
    for lab in labs:
        path = results.record_path(build, lab.title, variant)
        try:
            ran = results.LabResult(**json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            raise CourseError(
                f"{lab.title} was not run in {build}: {path.name} is missing"
            ) from None
        if ran.problem:
            raise CourseError(ran.problem)
        found.append(of_report(ran.report, lab.title))
    return found


def keep(found: Iterable[LabMeasurements], target: Path | None = None) -> list[Path]:
    """Write measurements into the record, a file a lab, and return the files that changed.

    Measurements that differ in their date alone change nothing.

    Raises
    ------
    CourseError
        If they are not of a whole solution in full.
    """
    changed = []
    for one in found:
        if one.profile != "full" or one.points != one.max_points:
            raise CourseError(
                f"{one.lab}: the record takes full runs of whole solutions, not the "
                f"{one.profile} profile with {one.points} of {one.max_points} points"
            )
        path = (target or folder()) / f"{one.lab}.json"
        text = json.dumps(to_json(one), indent=1) + "\n"
        if not path.is_file() or _undated(path.read_text("utf-8")) != _undated(text):
            write_atomically(path, text)
            changed.append(path)
    return changed


def _undated(text: str) -> Any:
    content = json.loads(text)
    return {**content, "date": ""} if isinstance(content, dict) else content


def in_folders(paths: Iterable[Path]) -> list[LabMeasurements]:
    """Return what learners kept: every ``measurements.json`` in or below the paths, sorted.

    Raises
    ------
    CourseError
        If there is none, or one is damaged.
    """
    files: list[Path] = []
    for path in paths:
        files += sorted(path.rglob(FILE)) if path.is_dir() else [path]
    if not files:
        raise CourseError(f"no {FILE} there; a lab writes it with lab.report()")
    return [read(file) for file in files]


def differences(recorded: LabMeasurements, found: LabMeasurements) -> list[str]:
    """Say where a run differs from the record by more than arithmetic in another order does.

    A value may move within the record's interval, and in any case by two hundredths of itself or
    of a share. Times are not compared.
    """
    old, new = ({one.name: one for one in lab.measured} for lab in (recorded, found))
    lines = [f"{found.lab}: {name} is not in the record" for name in new if name not in old]
    lines += [f"{found.lab}: {name} was not measured" for name in old if name not in new]
    for name in (name for name in old if name in new):
        if moved := _moved(old[name], new[name]):
            lines.append(f"{found.lab}: {name} {moved}")
    return lines


def other_settings(recorded: LabMeasurements, found: LabMeasurements) -> list[str]:
    """Say what a run measured in another setting than the record names, such as on other data."""
    old = {one.name: one.setting for one in recorded.measured}
    return [
        f"{found.lab}: {one.name}: {one.setting or 'no setting'!r}, in the record "
        f"{old[one.name] or 'none'!r}"
        for one in found.measured
        if old.get(one.name, one.setting) != one.setting
    ]


def moved_since(root: Path, build: Path) -> list[str]:
    """Say where the unsolved labs of a full build measured something else than the record holds."""
    ran = of_runs(build, catalogue.files(root), "learner")
    known = {one.lab: one for one in record()}
    return [
        line for found in ran if found.lab in known for line in differences(known[found.lab], found)
    ]


def _moved(old: Measured, new: Measured) -> str:
    if old.metric != new.metric:
        return f"is {new.metric}, in the record {old.metric}"
    slack = _TOLERANCE * max(1.0 if old.quantity.unit == "share" else 0.0, abs(old.value))
    low, high = old.interval or (old.value, old.value)
    within = min(low, old.value - slack) <= new.value <= max(high, old.value + slack)
    return "" if within or not old.quantity.steady else f"is {new.text}, in the record {old.text}"


def same_names(report: dict[str, Any] | None, lab: str) -> list[str]:
    """Say where the names that a run recorded are not those of the record; a gate of every lab.

    A lab that has no record yet differs from none.

    Raises
    ------
    CourseError
        If the run recorded nothing.
    """
    found = of_report(report, lab)
    known = {one.lab: one for one in record()}.get(found.lab)
    if known is None:
        return []
    old, new = ({one.name for one in each.measured} for each in (known, found))
    return [
        f"{lab}: {name} is {'not in the record' if name in new else 'in the record only'}; "
        f"run: edgesec results refresh {found.number}"
        for name in sorted(old ^ new)
    ]


def select(
    found: Iterable[LabMeasurements], *, lab: str = "", attack: str = "", defence: str = ""
) -> list[tuple[LabMeasurements, Measured]]:
    """Return measurements of a lab (name or number), an attack or a defence, by attack.

    Raises
    ------
    CourseError
        If nothing is left.
    """
    rows = [
        (one, measured)
        for one in found
        for measured in one.measured
        if lab in ("", one.lab, str(one.number), f"{one.number:02d}")
        and attack in ("", measured.attack)
        and defence in ("", measured.defence)
    ]
    if not rows:
        asked = ", ".join(filter(None, (lab and f"lab {lab}", attack, defence)))
        raise CourseError(
            f"nothing was measured of {asked or 'anything'}; see: edgesec results list"
        )
    order = list(ATTACKS)
    return sorted(rows, key=lambda row: (order.index(row[1].attack), row[0].number))


def beside_nothing(lab: LabMeasurements, one: Measured) -> str:
    """Say whether a measurement shows that its defence changed anything.

    It is held beside the one measurement of its lab that differs from it in the defence, which is
    none there, and in the subject alone. Intervals that overlap show no difference.

    Returns
    -------
    str
        ``"better"`` or ``"worse"`` for the defender, ``"changed"`` where no end is better,
        ``"no difference shown"``; empty if there is nothing to hold it beside or an interval is
        missing.
    """
    plain = [
        other
        for other in lab.measured
        if other.defence == "none"
        and (other.attack, other.metric, other.setting) == (one.attack, one.metric, one.setting)
    ]
    if one.defence == "none" or len(plain) != 1 or not (one.interval and plain[0].interval):
        return ""
    (low, high), (plain_low, plain_high) = one.interval, plain[0].interval
    if low <= plain_high and plain_low <= high:
        return "no difference shown"
    if one.quantity.better == "neither":
        return "changed"
    return "better" if (low > plain_high) == (one.quantity.better == "higher") else "worse"


def shares_won(found: Iterable[Measured]) -> list[str]:
    """Say what attacks achieved, one range a metric of :data:`WON`.

    Values of two metrics are never put into one range. A proved bound is no success of anybody,
    and where nobody attacked nobody won: both are left out.

    Returns
    -------
    list of str
        Such as ``["control bypassed: 0.00 to 1.00", "accuracy lost: 0.74"]``.
    """
    values: dict[str, list[float]] = {}
    for one in found:
        if one.metric in WON and one.evidence == "attack":
            values.setdefault(one.metric, []).append(one.value)
    return [f"{WON[metric]}: {_range(won)}" for metric, won in values.items()]


def _range(values: list[float]) -> str:
    return " to ".join(dict.fromkeys(f"{end:.2f}" for end in (min(values), max(values))))


def comparable(threat: str, metric: str) -> list[tuple[LabMeasurements, Measured]]:
    """Return what the record holds of a threat in a metric, the undefended first."""
    rows = [
        (lab, one)
        for lab in record()
        for one in lab.measured
        if (one.threat, one.metric) == (threat, metric) and one.evidence == "attack"
    ]
    return sorted(rows, key=lambda row: (row[1].defence != "none", row[0].number))


def to_csv(rows: Iterable[tuple[LabMeasurements, Measured]]) -> str:
    """Return rows of :func:`select` as CSV."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for lab, one in rows:
        low, high = one.interval or ("", "")
        row = {**vars(lab), **vars(one), "low": low, "high": high}
        writer.writerow({column: harmless_cell(row[column]) for column in _COLUMNS})
    return stream.getvalue()


def to_text(rows: Iterable[tuple[LabMeasurements, Measured]]) -> str:
    """Return rows of :func:`select` as lines for a terminal, an attack a block."""
    lines: list[str] = []
    heading = ""
    for lab, one in rows:
        if one.attack != heading:
            heading = one.attack
            lines += ["", ATTACKS[heading].title] if lines else [ATTACKS[heading].title]
        trials = f", {one.trials:,} trials" if one.trials else ""
        lines += [
            f"  lab {lab.number:<2}  {one.defence:<28} {one.metric} {one.text}{trials}",
            f"          {one.subject}{'; ' if one.setting else ''}{one.setting}",
        ]
    return "\n".join(lines)
