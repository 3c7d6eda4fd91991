"""A semester's submissions of lab 1: ours, nbgrader and otter-grader, in time and memory.

Run from the repository root:

    python benchmarks/grading.py            # the figures of the book
    python benchmarks/grading.py --quick    # a small pass over every part

The peers live in an environment of their own; without it that part is left out:

    python3.11 -m venv build/peers/graders
    build/peers/graders/bin/pip install nbgrader==0.9.6 otter-grader==7.0.0 numpy==1.26.4
    build/peers/graders/bin/pip install scipy==1.13.1 scikit-image==0.26.0 tqdm==4.70.1

``common/semester.py`` draws the submissions. Ours marks the whole semester, two submissions at a
time, until ``--minutes`` are over. Then, in blocks of a few, each grader marks the same ones, one
grader after the other, one submission at a time; the blocks give the spread. Last, the two peers
mark the whole semester beside each other, otter two submissions at a time and nbgrader one. Ours
gets the lab's notebook as it is and finds out what the answers rest on;
``common/grading_peers.py`` says what the peers get. Each judges by the same cases, so the marks can
be held beside each other.

The clock depends on what else the machine does; CPU time hardly does. A run that is stopped goes
on where it was; ``--again`` measures anew.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from common import process_tree
from common.figures import command_of, machine, record_path, spread
from common.grading_peers import Nbgrader, Otter, can_judge, together
from common.process_tree import Used
from common.semester import ROOT, Learner, semester, write_notebooks
from common.store import Row, Store, Unit

PEERS = ROOT / "build" / "peers" / "graders" / "bin"
SUBMISSIONS, SEED, HIDDEN_SEED = 300, 1, 7
EDGESEC = Path(sys.executable).with_name("edgesec")


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    learners = semester(SUBMISSIONS, SEED)
    blocks, size, count = (1, 2, 4) if options.quick else (options.blocks, 5, SUBMISSIONS)
    out = options.out or record_path(__file__, options.quick)
    command = command_of(__file__)
    store = Store(out, machine("numpy", "ipython"), command, summarise)
    step = SUBMISSIONS // (blocks * size)  # from the whole semester, not from its first days
    chosen = learners[::step]
    units = [whole(learners[:count], options.minutes)]
    units += [
        block(chosen[size * n : size * (n + 1)], n, options.peers)
        for n in range(blocks)
        if options.peers.exists()
    ]
    if options.peers.exists():
        can_judge(options.peers)
        units.append(whole_by_peers(learners[:count], options.peers))
    store.keep_only(units)
    left = store.run(units, time.monotonic() + 60 * options.minutes, options.again)
    print(report(summarise(store.rows)))
    print(f"written to {out}" + (f"; {left} runs are left" if left else ""))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a small pass over every part")
    parser.add_argument("--blocks", type=int, default=4, help="of five submissions (default: 4)")
    parser.add_argument("--minutes", type=float, default=60.0, help="time for it (default: 60)")
    parser.add_argument("--again", action="store_true", help="measure anew")
    parser.add_argument("--peers", type=Path, default=PEERS, help="programs of the peers")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    return parser.parse_args(arguments)


def block(learners: Sequence[Learner], number: int, programs: Path) -> Unit:
    """Return the unit that has each grader mark the same few submissions."""

    def work() -> Row:
        with tempfile.TemporaryDirectory(prefix="grading-") as name:
            folder, load = Path(name), os.getloadavg()[0]
            nbgrader = Nbgrader(programs, folder / "nbgrader", HIDDEN_SEED)
            otter = Otter(programs, folder / "otter", HIDDEN_SEED)
            used = {
                "ours": ours(learners, folder, 1, 3600),
                "nbgrader": nbgrader.grade(learners),
                "otter": otter.grade(learners),
            }
            points = {
                "ours": our_points(folder / "grades"),
                "nbgrader": nbgrader.points(),
                "otter": otter.points(),
            }
        return {
            "kinds": {learner.number: learner.kind for learner in learners},
            "used": {name: figures(one, len(learners)) for name, one in used.items()},
            "points": points,
            "load_average_before_and_after": [load, os.getloadavg()[0]],
        }

    settings = {"block": number, "learners": [learner.number for learner in learners]}
    return Unit("block", {**settings, "seed": SEED}, work)


def whole(learners: Sequence[Learner], minutes: float) -> Unit:
    """Return the unit that has ours mark the whole semester, or as much as fits in the time."""

    def work() -> Row:
        with tempfile.TemporaryDirectory(prefix="grading-") as name:
            folder, load = Path(name), os.getloadavg()[0]
            used = ours(learners, folder, 2, 60 * minutes)
            records = [json.loads(p.read_text()) for p in folder.glob("grades/records/*.json")]
            points = our_points(folder / "grades")
        return {
            "kinds": dict(Counter(learner.kind for learner in learners)),
            "graded": len(records),
            "states": dict(Counter(record["state"] for record in records)),
            "used": figures(used, len(records)),
            "seconds_of_one": spread([record["seconds"] for record in records]),
            "points": points,
            "load_average_before_and_after": [load, os.getloadavg()[0]],
        }

    return Unit("semester", {"submissions": len(learners), "jobs": 2, "seed": SEED}, work)


def whole_by_peers(learners: Sequence[Learner], programs: Path) -> Unit:
    """Return the unit that has the two peers mark the whole semester, beside each other."""

    def work() -> Row:
        with tempfile.TemporaryDirectory(prefix="grading-") as name:
            folder, load = Path(name), os.getloadavg()[0]
            nbgrader = Nbgrader(programs, folder / "nbgrader", HIDDEN_SEED)
            otters = [Otter(programs, folder / f"otter{n}", HIDDEN_SEED) for n in range(2)]
            with ThreadPoolExecutor() as pool:
                halves = [pool.submit(otters[n].grade, learners[n::2]) for n in range(2)]
                used = {
                    "nbgrader": nbgrader.grade(learners),
                    "otter": together([half.result() for half in halves]),
                }
            points = {
                "nbgrader": nbgrader.points(),
                "otter": otters[0].points() | otters[1].points(),
            }
        return {
            "used": {who: figures(one, len(learners)) for who, one in used.items()},
            "points": points,
            "load_average_before_and_after": [load, os.getloadavg()[0]],
        }

    return Unit("semester by peers", {"submissions": len(learners), "seed": SEED}, work)


def ours(learners: Sequence[Learner], folder: Path, jobs: int, timeout: float) -> Used:
    """Grade submissions with ``edgesec grade``."""
    write_notebooks(learners, folder / "handed-in")
    command = [str(EDGESEC), "grade", str(folder / "handed-in"), "--lab", "1", "--no-progress"]
    command += ["--out", str(folder / "grades"), "--seed", str(HIDDEN_SEED), "--jobs", str(jobs)]
    return process_tree.run(command, timeout, ROOT, {})


def our_points(out: Path) -> dict[int, float]:
    """Return the points by the number of the learner."""
    rows = csv.DictReader((out / "grades.csv").read_text("utf-8").splitlines())
    return {int(row["user"]) - 10_000: float(row["total"]) for row in rows}


def figures(used: Used, count: int) -> dict[str, Any]:
    """Return what a command used, and the CPU time of one submission."""
    return {**asdict(used), "cpu_seconds_each": used.cpu_seconds / max(count, 1)}


def summarise(rows: list[Row]) -> Row:
    """Say what the rows amount to."""
    blocks = [row for row in rows if row["experiment"] == "block"]
    wholes = [row for row in rows if row["experiment"] == "semester"]
    peers = [row for row in rows if row["experiment"] == "semester by peers"]
    found: Row = {
        "semester": wholes[-1] if wholes else None,
        "semester_by_peers": peers[-1] if peers else None,
        "graders": {},
        "ratio": {},
    }
    for name in ("ours", "nbgrader", "otter") if blocks else ():
        used = [row["used"][name] for row in blocks]
        found["graders"][name] = {
            "cpu_seconds_each": spread([one["cpu_seconds_each"] for one in used]),
            "peak_megabytes": spread([one["peak_megabytes"] for one in used]),
            "hung": sum(one["status"] is None for one in used),
        }
        ratios = [row["used"][name]["cpu_seconds_each"] for row in blocks]
        own = [row["used"]["ours"]["cpu_seconds_each"] for row in blocks]
        found["ratio"][name] = spread([a / b for a, b in zip(ratios, own, strict=True)])
    found["marks"] = [mark for row in blocks for mark in _marks(row)]
    if wholes and peers:
        ours_of = {int(number): mark for number, mark in wholes[-1]["points"].items()}
        found["same_marks"] = {
            who: sum(ours_of.get(int(number)) == mark for number, mark in marks.items())
            for who, marks in peers[-1]["points"].items()
        }
    return found


def _marks(row: Row) -> list[dict[str, Any]]:
    points = {who: {int(n): p for n, p in by.items()} for who, by in row["points"].items()}
    return [
        {"learner": int(n), "kind": kind, **{who: by.get(int(n)) for who, by in points.items()}}
        for n, kind in row["kinds"].items()
    ]


def report(found: Row) -> str:
    """Lay the main figures out as text."""
    lines = ["grader     CPU s each (lowest to highest)   peak MB   CPU as a multiple of ours"]
    for name, one in found["graders"].items():
        cpu, ratio = one["cpu_seconds_each"], found["ratio"][name]
        lines.append(
            f"{name:<10} {cpu['median']:6.2f} ({cpu['min']:.2f} to {cpu['max']:.2f})"
            f"{one['peak_megabytes']['max']:16.0f}   {ratio['median']:.1f} "
            f"({ratio['min']:.1f} to {ratio['max']:.1f})"
        )
    marks = found["marks"]
    for name in ("nbgrader", "otter"):
        same = sum(mark[name] == mark["ours"] for mark in marks)
        lines.append(f"marks as ours, {name}: {same} of {len(marks)}")
    whole_run = found["semester"]
    if whole_run:
        used, one = whole_run["used"], whole_run["seconds_of_one"]
        lines.append(
            f"{whole_run['graded']} submissions, two at a time: {used['cpu_seconds']:.0f} CPU s, "
            f"{used['seconds']:.0f} s by the clock, {used['peak_megabytes']:.0f} MB at most; "
            f"one took {one['median']:.1f} s ({one['min']:.1f} to {one['max']:.1f})"
        )
        each = used["cpu_seconds_each"]
        lines.append(f"CPU s each in that run: {each:.2f}")
    peers = found["semester_by_peers"]
    for name, used in peers["used"].items() if peers else ():
        lines.append(
            f"{name}, all of them: {used['cpu_seconds']:.0f} CPU s, "
            f"{used['cpu_seconds_each']:.2f} each, {used['peak_megabytes']:.0f} MB at most, "
            f"marks as ours {found['same_marks'][name]}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
