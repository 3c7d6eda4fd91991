"""All sections in turn, each within its share of the time, each kept as soon as it is there."""

from __future__ import annotations

import datetime
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tqdm import tqdm

from helpers.audit.allowance import Allowance
from helpers.audit.bench import Bench, Settings
from helpers.audit.data import AuditData
from helpers.audit.results import Notes, Rated
from helpers.audit.schema import SCHEMA, check
from helpers.audit.sections import SECTIONS, Section
from helpers.audit.sections.answers import not_finite
from helpers.audit.session import Incident
from helpers.errors import EdgesecError
from helpers.robustness.findings import RULE

Keep = Callable[[dict[str, Any]], None]
MOST_LINE = 400  # characters of a line of the report


@dataclass(frozen=True)
class Clocks:
    """Where an audit reads the time; a test turns the hands itself.

    Attributes
    ----------
    monotonic
        Seconds, for the budget.
    today
        Now, with a time zone, for the report.
    """

    monotonic: Callable[[], float] = time.monotonic
    today: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC)


def run_audit(
    bench: Bench,
    budget: float,
    *,
    sections: Sequence[Section] = SECTIONS,
    keep: Keep | None = None,
    progress: bool = False,
    clocks: Clocks | None = None,
) -> dict[str, Any]:
    """Run the sections and return the report as plain values.

    Each section may use its share of the time that is left, by weight, so what one does not need
    the later ones have. A section that fails says so in the report; none stops another.

    Parameters
    ----------
    bench
        Model and data.
    budget
        Seconds for all sections together.
    sections
        What is measured.
    keep
        Called with the report before the first section and after each, so that an interrupted audit
        keeps what it has.
    progress
        Whether to show a progress bar.
    clocks
        Where the time is read.

    Returns
    -------
    dict
        As ``audit.schema.json`` says; ``complete`` is False if it was interrupted, in which case
        the interrupt is raised again after ``keep``.
    """
    clocks = clocks or Clocks()
    report = check(_head(bench, budget, clocks))  # loads the validator before the time runs
    if keep is not None:  # whatever comes now, nobody takes an older audit for this one
        keep(report)
    total = Allowance(budget, clocks.monotonic)
    weights = [section.weight for section in sections]
    with tqdm(total=len(sections), desc="audit", unit="section", disable=not progress) as bar:
        for place, section in enumerate(sections):
            bar.set_postfix_str(section.title)
            allowance = total.part(weights[place] / sum(weights[place:]))
            entry, stopped = _run(section, bench, allowance)
            report["sections"].append(entry)
            report["seconds"] = round(total.spent, 3)
            report["model"]["answers"] = bench.taken_as[:MOST_LINE]
            report["incidents"] = [incident_text(one) for one in bench.model.incidents]
            report["complete"] = stopped is None and place == len(sections) - 1
            if keep is not None:
                keep(report)
            if stopped is not None:
                raise stopped
            bar.update()
    return report


def _run(
    section: Section, bench: Bench, allowance: Allowance
) -> tuple[dict[str, Any], BaseException | None]:
    """Run one section; return what it found, and what interrupted the audit, if anything did."""
    notes, before = Notes(), bench.model.queries
    known, judged, broken = len(bench.model.incidents), bench.judged, bench.broken
    stopped: BaseException | None = None
    try:
        section.run(bench, allowance, notes)
    except EdgesecError as error:
        notes.not_done.append(_sentence(str(error)))
    except (KeyboardInterrupt, SystemExit) as interrupt:
        notes.not_done.append("The audit was interrupted here.")
        stopped = interrupt
    # A fault of ours in one section must not cost the practitioner the others.
    except Exception as error:
        notes.not_done.append(f"This section failed: {type(error).__name__}: {error}"[:500])
    _rate_incidents(notes, bench.model.incidents[known:])
    if bench.broken > broken:
        notes.findings.append(not_finite(bench.broken - broken, bench.judged - judged))
    asked = bench.model.queries - before
    entry = section_entry(section, notes, allowance.spent, allowance.seconds, asked)
    return entry, stopped


def _head(bench: Bench, budget: float, clocks: Clocks) -> dict[str, Any]:
    task = bench.model.task
    said = f"classifier of {task.classes} classes" if task.classes else f"other: {task.reason}"
    model = {
        "name": bench.path.name,
        "sha256": bench.model.sha256,
        "bytes": bench.model.size_bytes,
        "format": bench.model.format,
        "task": said[:MOST_LINE],
        "answers": "",
    }
    return head(model, bench.data, bench.settings, budget, clocks)


def head(
    model: dict[str, Any],
    data: AuditData | None,
    settings: Settings,
    budget: float,
    clocks: Clocks,
) -> dict[str, Any]:
    """Return a report before its first section; ``model`` as ``audit.schema.json`` says."""
    return {
        "schema": SCHEMA,
        "made": clocks.today().isoformat(timespec="seconds"),
        "complete": False,
        "seconds": 0.0,
        "verdict": {"outcome": "measured", "reason": ""},
        "model": model,
        "data": None if data is None else {
            "name": data.name,
            "sha256": data.sha256,
            "examples": len(data.examples),
            "span": None if data.span is None else list(data.span),
        },
        "settings": {"budget": budget, **_plain(settings)},
        "software": {name: version(name) for name in ("edge-ml-security", "numpy")},
        "machine": f"{platform.machine()}, {platform.system()}",
        "severity_rule": RULE,
        "incidents": [],
        "sections": [],
    }  # fmt: skip


def _plain(settings: Settings) -> dict[str, Any]:
    """Return settings as plain values; of keys the names, of a secret nothing."""
    plain = {name: value for name, value in vars(settings).items() if name != "mark"}
    for name in ("public_key", "signature"):
        plain[name] = None if plain[name] is None else Path(plain[name]).name
    mark = settings.mark
    return {
        **plain,
        "devices": list(settings.devices),
        "mark": None if mark is None else {"layer": mark.layer, "bits": mark.bits},
    }


def section_entry(
    section: Section, notes: Notes, seconds: float, allowed: float, queries: int
) -> dict[str, Any]:
    """Return what a section found as plain values, with the time that it took and was allowed."""
    return {
        "name": section.name,
        "title": section.title,
        "question": section.question,
        "limits": section.limits,
        "seconds": round(seconds, 3),
        "seconds_allowed": round(allowed, 3),
        "queries": queries,
        **notes.to_dict(),
    }


def incident_text(incident: Incident) -> str:
    """Return what a file did to its process in one line."""
    return f"{incident.kind} during {incident.during}: {incident.detail}"[:1000]


def _rate_incidents(notes: Notes, incidents: list[Incident]) -> None:
    """Add a finding if the file harmed the processes that ran it in this section."""
    if incidents:
        notes.findings.append(Rated(
            "The file ended or overran the process that ran it", "high",
            "; ".join(map(incident_text, incidents))[:2000],
            "Run it nowhere outside a sandbox until somebody knows why.",
            "A crash in a runtime is where an attack on the device begins: high.",
        ))  # fmt: skip


def _sentence(text: str) -> str:
    """Return a text that begins like a sentence and ends like one."""
    first = text[:1].upper() + text[1:]
    return first if first.endswith((".", "!", "?")) else f"{first}."
