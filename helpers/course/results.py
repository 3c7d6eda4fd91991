"""What running the labs gave: one record a lab and variant, and their summary table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from helpers._files import write_atomically

Variant = Literal["learner", "solution"]
_HEADER = ("lab", "variant", "status", "time", "CPU time", "peak memory", "points")


@dataclass(frozen=True)
class LabResult:
    """One execution of one lab.

    `seconds` is wall time, `cpu_seconds` that of the whole process tree, `peak_memory_mb` the
    largest resident size of a single process in it. `key` stands for everything the result
    depends on. `report` is what the lab's ``lab.report()`` published. `fresh` says that its process
    was a new interpreter: what others take leaves out the imports that were made for them.
    """

    lab: str
    variant: Variant
    key: str
    status: Literal["passed", "failed", "timeout"]
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_mb: float = 0.0
    cell: int = 0
    error: str = ""
    report: dict[str, Any] | None = None
    reused: bool = False
    fresh: bool = True

    @property
    def points(self) -> str:
        """Points as ``3 / 10``, or a dash where the lab gave no report."""
        if self.report is None:
            return "-"
        return f"{self.report['points']} / {self.report['max_points']}"

    @property
    def problem(self) -> str:
        """One sentence on what went wrong, or nothing."""
        if self.status == "passed":
            return ""
        where = f", cell {self.cell}" if self.cell else ""
        return f"{self.lab} ({self.variant}){where}: {self.error}"


def record_path(build: Path, lab: str, variant: str) -> Path:
    """Return where the record of a lab lies, beside its executed notebook."""
    return build / variant / f"{lab}.json"


def save(build: Path, result: LabResult) -> None:
    """Write a record; a reader sees the old one or the new one."""
    text = json.dumps(asdict(replace(result, reused=False)), indent=1, sort_keys=True)
    write_atomically(record_path(build, result.lab, result.variant), text + "\n")


def load(build: Path, lab: str, variant: str, key: str) -> LabResult | None:
    """Return the record of a passed run under the same key whose notebook is there, if any."""
    path = record_path(build, lab, variant)
    try:
        result = LabResult(**json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    complete = result.status == "passed" and path.with_suffix(".ipynb").is_file()
    return replace(result, reused=True) if complete and result.key == key else None


def save_summary(build: Path, results: Sequence[LabResult]) -> None:
    """Write ``summary.json`` and ``summary.md``."""
    rows = [asdict(result) for result in results]
    write_atomically(build / "summary.json", json.dumps(rows, indent=1, sort_keys=True) + "\n")
    cells = [_HEADER, ("---",) * len(_HEADER), *map(_row, results)]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    lines += [f"\n- {result.problem}" for result in results if result.problem]
    write_atomically(build / "summary.md", "\n".join(lines) + "\n")


def table(results: Sequence[LabResult]) -> str:
    """Return the summary as aligned text, followed by what went wrong."""
    rows = [_HEADER, *map(_row, results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join(lines + [result.problem for result in results if result.problem])


def _row(result: LabResult) -> tuple[str, ...]:
    return (
        result.lab,
        result.variant,
        result.status + (" (kept)" if result.reused else ""),
        f"{result.seconds:.0f} s",
        f"{result.cpu_seconds:.0f} s",
        f"{result.peak_memory_mb:.0f} MB",
        result.points,
    )
