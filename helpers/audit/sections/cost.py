"""What one inference takes: measured on this machine, estimated for devices that are not here."""

from __future__ import annotations

import numpy as np

from helpers.audit.allowance import Allowance
from helpers.audit.bench import Bench
from helpers.audit.results import Measure, Notes
from helpers.edge.devices import DEVICES, Arithmetic, estimate, work_of
from helpers.edge.macs import count_costs
from helpers.errors import EdgesecError

MOST_RUNS = 200
LEAST_RUNS = 5
THREADS = 1
_SHARE = 0.5  # of the section's time, for the runs that are timed


def cost(bench: Bench, allowance: Allowance, notes: Notes) -> None:
    """Time single runs, measure the memory of a fresh process, and estimate for devices."""
    try:
        _latency(bench, allowance, notes)
        _memory(bench, allowance, notes)
    except EdgesecError as error:
        notes.not_done.append(f"Latency and memory here: {error}")
    try:
        _estimates(bench, notes)
    except EdgesecError as error:
        notes.not_done.append(f"Estimates for devices: {error}")


def _latency(bench: Bench, allowance: Allowance, notes: Notes) -> None:
    allowance.require()
    seconds = bench.model.latency(1, THREADS, 0)
    each = max(float(seconds[0]), 1e-6)
    runs = int(np.clip(allowance.left * _SHARE / each, 0, MOST_RUNS))
    if runs < LEAST_RUNS:
        notes.not_done.append(f"More than one run, which is slow at first: it takes {each:.2g} s.")
    else:
        seconds = bench.model.latency(runs, THREADS, min(10, runs))
    middle, low, high = (float(v) * 1e3 for v in np.percentile(seconds, [50, 5, 95]))
    notes.measures.append(Measure(
        "latency", f"Latency here, median (5th to 95th percentile of {len(seconds)} runs, "
        f"{THREADS} thread)", middle, low, high, "ms", better="lower",
    ))  # fmt: skip


def _memory(bench: Bench, allowance: Allowance, notes: Notes) -> None:
    allowance.require()
    peak = bench.model.peak_memory(within=allowance.left)
    # One process was measured, and the next one differs by some pages: nothing to call worse.
    notes.measures.append(Measure(
        "memory", "Memory here that loading and one run add to the runtime's",
        peak.model_bytes / 2**20, unit="MiB",
    ))  # fmt: skip


def _estimates(bench: Bench, notes: Notes) -> None:
    work = work_of(count_costs(bench.model.graph()))
    arithmetic = _arithmetic(bench)
    names = bench.settings.devices or tuple(DEVICES)
    rows = []
    for name in names:
        device = DEVICES[name]
        # A device computes in what it can: the Jetson Nano has no int8 path.
        published = {point.arithmetic for point in device.published}
        chosen = arithmetic if arithmetic in published else "float16"
        if chosen not in published:
            notes.not_done.append(f"{device.title}: nothing is published for {arithmetic} on it.")
            continue
        try:
            found = estimate(work, name, chosen)
            found.require_calibrated()
        except EdgesecError as error:
            notes.not_done.append(f"{device.title}: {error}")
            continue
        notes.measures.append(Measure(
            f"estimate-{name}", f"Estimated latency on {device.title}, {chosen}",
            found.milliseconds, found.low, found.high, "ms", kind="estimated", better="lower",
        ))  # fmt: skip
        rows.append((
            device.title, chosen, f"{found.milliseconds:.3g} ms",
            f"{found.low:.3g} to {found.high:.3g} ms", found.bound_by, found.points,
        ))  # fmt: skip
    if rows:
        notes.table(
            "Estimated latency on devices that are not here: none of it was measured",
            ("Device", "Numbers", "Estimate", "Four of five stacks lie in", "Bound by",
             "Published latencies it rests on"), rows,
        )  # fmt: skip


def _arithmetic(bench: Bench) -> Arithmetic:
    """Return the numbers that most of the file computes in."""
    kinds = bench.model.description.activation_types
    commonest = max(kinds, key=kinds.__getitem__, default="float32")
    if commonest in ("int8", "uint8", "int16"):
        return "int8"
    return "float16" if commonest == "float16" else "float32"
