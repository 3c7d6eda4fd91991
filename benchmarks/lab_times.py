"""What each lab asks of a machine: CPU time and memory, solved, in both profiles.

Run from the repository root:

    python benchmarks/lab_times.py              # what is missing, for 20 minutes
    python benchmarks/lab_times.py --quick      # the first lab, apart
    python benchmarks/lab_times.py --runs build/labs   # what a build folder holds needs no run

Each lab's solved notebook runs as ``edgesec labs run`` runs it, in a process of its own. CPU time
is that of all its processes, memory the largest resident size of one of them. Every finished lab is
written at once and is not run again.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from common.figures import command_of, machine, record_path
from common.store import Row, Store, Unit

from helpers.course import catalogue, results
from helpers.course.run import Settings, run_labs
from helpers.errors import CourseError

ROOT = Path(__file__).parents[1]
Profile = Literal["fast", "full"]
PROFILES: tuple[Profile, ...] = ("full", "fast")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="the first lab alone")
    parser.add_argument(
        "--minutes", type=float, default=20.0, help="start no lab later; 0 runs none"
    )
    parser.add_argument("--again", action="store_true", help="repeat what was done before")
    parser.add_argument(
        "--runs", type=Path, action="append", default=[], metavar="FOLDER",
        help="take runs from here, as `edgesec labs run --variant solution` leaves them",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args(arguments)
    out = options.out or record_path(__file__, options.quick)
    command = command_of(__file__)
    store = Store(out, machine("tensorflow-cpu", "numpy"), command, summary)
    runs = runs_in(options.runs)
    wanted = units(options.quick, runs)
    ready = [unit for unit in wanted if (unit.settings["lab"], unit.settings["profile"]) in runs]
    store.run(ready, math.inf, options.again)
    others = [unit for unit in wanted if unit not in ready]
    left = store.run(others, time.monotonic() + 60 * options.minutes, options.again)
    store.write()
    print(f"written to {out}" + (f"; {left} labs left, repeat to go on" if left else ""))


Runs = dict[tuple[str, str], results.LabResult]


def runs_in(folders: Sequence[Path]) -> Runs:
    """Return the runs of solutions in build folders, by lab and profile; a later one counts.

    Not those of ``make test``, whose processes share their imports.
    """
    found: Runs = {}
    for path in (path for folder in folders for path in sorted(folder.glob("solution/*.json"))):
        result = results.LabResult(**json.loads(path.read_text("utf-8")))
        if result.fresh and not result.problem and result.report is not None:
            found[result.lab.partition("-")[2], result.report["profile"]] = result
    return found


def units(quick: bool, runs: Runs) -> list[Unit]:
    """List everything there is to do, what a learner runs first."""
    labs = catalogue.files(ROOT)
    wanted: list[tuple[catalogue.LabFiles, Profile]] = [
        (lab, profile) for profile in PROFILES for lab in labs
    ]
    return [
        Unit("lab", {"lab": lab.name, "profile": profile}, partial(row, lab, profile, runs))
        for lab, profile in wanted[: 1 if quick else None]
    ]


def row(lab: catalogue.LabFiles, profile: Profile, runs: Runs) -> Row:
    """Say what one lab's solved notebook took, and run it if nobody has."""
    result = runs.get((lab.name, profile))
    if result is None:
        with tempfile.TemporaryDirectory() as build:
            settings = Settings(Path(build), profile, jobs=1, progress=False)
            [result] = run_labs(ROOT, [lab], ["solution"], settings)
    if result.problem:
        raise CourseError(result.problem)
    return {
        "cpu_seconds_of_all_processes": round(result.cpu_seconds, 1),
        "peak_megabytes": round(result.peak_memory_mb),
    }


def summary(rows: list[Row]) -> Row:
    """What all labs together take, by profile."""
    return {
        "cpu_minutes": {
            profile: round(
                sum(
                    row["cpu_seconds_of_all_processes"]
                    for row in rows
                    if row["settings"]["profile"] == profile
                )
                / 60,
                1,
            )
            for profile in PROFILES
        }
    }


if __name__ == "__main__":
    main()
