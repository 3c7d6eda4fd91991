"""All sections in turn, each within its share of the time, each kept as soon as it is there."""

from __future__ import annotations

import datetime
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tqdm import tqdm

from helpers.audit.allowance import Allowance
from helpers.audit.bench import Bench, classes_of
from helpers.audit.model import Incident
from helpers.audit.results import Notes, Rated
from helpers.audit.schema import SCHEMA, check
from helpers.audit.sections import SECTIONS, Section
from helpers.errors import EdgesecError
from helpers.robustness.findings import RULE

Keep = Callable[[dict[str, Any]], None]


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
        Called with the report so far after each section, so that an interrupted audit keeps what it
        has.
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
    total = Allowance(budget, clocks.monotonic)
    weights = [section.weight for section in sections]
    with tqdm(total=len(sections), desc="audit", unit="section", disable=not progress) as bar:
        for place, section in enumerate(sections):
            bar.set_postfix_str(section.title)
            allowance = total.part(weights[place] / sum(weights[place:]))
            entry, stopped = _run(section, bench, allowance)
            report["sections"].append(entry)
            report["seconds"] = round(total.spent, 3)
            report["incidents"] = [_incident(one) for one in bench.model.incidents]
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
    known = len(bench.model.incidents)
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
    return _entry(section, notes, allowance, bench.model.queries - before), stopped


def _head(bench: Bench, budget: float, clocks: Clocks) -> dict[str, Any]:
    settings = asdict(bench.settings)
    for name in ("public_key", "signature"):
        settings[name] = None if settings[name] is None else Path(settings[name]).name
    settings["devices"] = list(settings["devices"])
    data = bench.data
    return {
        "schema": SCHEMA,
        "made": clocks.today().isoformat(timespec="seconds"),
        "complete": False,
        "seconds": 0.0,
        "model": {
            "name": bench.path.name,
            "sha256": bench.model.sha256,
            "bytes": bench.model.size_bytes,
            "format": bench.model.format,
            "task": _task(bench),
        },
        "data": None if data is None else {
            "name": data.name,
            "sha256": data.sha256,
            "examples": len(data.examples),
            "span": None if data.span is None else list(data.span),
        },
        "settings": {"budget": budget, **settings},
        "software": {name: version(name) for name in ("edge-ml-security", "numpy")},
        "machine": f"{platform.machine()}, {platform.system()}",
        "severity_rule": RULE,
        "incidents": [],
        "sections": [],
    }  # fmt: skip


def _entry(section: Section, notes: Notes, allowance: Allowance, queries: int) -> dict[str, Any]:
    return {
        "name": section.name,
        "title": section.title,
        "question": section.question,
        "limits": section.limits,
        "seconds": round(allowance.spent, 3),
        "seconds_allowed": round(allowance.seconds, 3),
        "queries": queries,
        **notes.to_dict(),
    }


def _task(bench: Bench) -> str:
    classes = classes_of(bench.model)
    said = f"classifier of {classes} classes" if classes else f"other: {bench.model.task.reason}"
    return said[:400]


def _incident(incident: Incident) -> str:
    return f"{incident.kind} during {incident.during}: {incident.detail}"[:1000]


def _rate_incidents(notes: Notes, incidents: list[Incident]) -> None:
    """Add a finding if the file harmed the processes that ran it in this section."""
    if incidents:
        notes.findings.append(Rated(
            "The file ended or overran the process that ran it", "high",
            "; ".join(map(_incident, incidents))[:2000],
            "Run it nowhere outside a sandbox until somebody knows why.",
            "A crash in a runtime is where an attack on the device begins: high.",
        ))  # fmt: skip


def _sentence(text: str) -> str:
    """Return a text that begins like a sentence and ends like one."""
    first = text[:1].upper() + text[1:]
    return first if first.endswith((".", "!", "?")) else f"{first}."
