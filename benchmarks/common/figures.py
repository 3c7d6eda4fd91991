"""What every benchmark reports: a spread instead of one number, and the machine it came from."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from helpers._files import write_atomically

ROOT = Path(__file__).parents[2]


def record_path(script: str, quick: bool) -> Path:
    """Return where a benchmark writes: its record, or apart from it what a quick pass found."""
    folder = Path("build", "benchmarks") if quick else Path("benchmarks", "results")
    return ROOT / folder / f"{Path(script).stem}.json"


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, smallest and largest value."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def machine(*packages: str) -> dict[str, Any]:
    """Describe the processor, Python and the versions of some packages."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }


def command_of(script: str) -> str:
    """Return the command that runs a benchmark as this process does; `script` is its file.

    Where something lies on this machine is left out.
    """
    arguments = ["PATH" if Path(argument).is_absolute() else argument for argument in sys.argv[1:]]
    return " ".join(["python", f"benchmarks/{Path(script).name}", *arguments])


def stamp(script: str, load_before: float, *packages: str) -> dict[str, Any]:
    """Say where a result comes from: the machine and its load before and after, date, command."""
    load = [load_before, os.getloadavg()[0]]
    return {
        "machine": {**machine(*packages), "load_average_before_and_after": load},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command_of(script),
    }


def save(path: Path, result: dict[str, Any], report: str = "") -> None:
    """Write a result as JSON, show what it says, and say where it is."""
    write_atomically(path, json.dumps(result, indent=1) + "\n")
    if report:
        print(report)
    print(f"written to {path}")
