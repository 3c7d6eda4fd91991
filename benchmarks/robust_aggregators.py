"""Our robust rules beside ByzFL's and Flower's, on the same matrices of updates.

Run from the repository root:

    python benchmarks/robust_aggregators.py            # the figures of the book
    python benchmarks/robust_aggregators.py --quick    # small matrices only

For each rule, number of clients and number of parameters: CPU seconds on one thread, multiple of
ours, and the largest difference of the results. Flower's rules come with the project. ByzFL needs
torch and so an environment of its own; without it that part is left out:

    python3.11 -m venv build/peers/byzfl
    build/peers/byzfl/bin/pip install byzfl "torch==2.13.0"

(on Linux add ``--extra-index-url https://download.pytorch.org/whl/cpu`` for the small build.)

A call that would take longer than ``--limit`` seconds, judged by the next smaller matrix, is left
out and says so.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # Flower imports TensorFlow
# One thread each, so that CPU seconds compare the work and not the waiting of idle threads.
os.environ.update({f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")})

import numpy as np
from common.figures import record_path, save, spread, stamp
from common.peers import run_peer
from tqdm import tqdm

from helpers.federated import robust
from helpers.federated.robust.matrix import squared_distances
from helpers.federated.robust.selection import krum_scores

ROOT = Path(__file__).parents[1]
BYZFL = ROOT / "build" / "peers" / "byzfl" / "bin" / "python"
PEER = ROOT / "benchmarks" / "peers" / "byzfl_rules.py"
NUM_CLIENTS, NUM_PARAMETERS = (10, 30, 100), (10_000, 100_000, 1_000_000)
Rule = Callable[[np.ndarray, int], np.ndarray]


@dataclass(frozen=True)
class Case:
    """One rule with settings that a peer shares.

    Attributes
    ----------
    name
        What the row is called.
    ours
        Our rule of a matrix and f.
    byzfl
        Name of ByzFL's, if it has it with these settings.
    flower
        Flower's, of a matrix and f.
    power
        The time grows with this power of the number of clients.
    note
        What to know about differences.
    """

    name: str
    ours: Rule
    byzfl: str | None = None
    flower: Rule | None = None
    power: int = 1
    note: str = ""


def cases() -> list[Case]:
    """List the comparisons; neighbours and iterations are set to what the peer uses."""
    return [
        Case("mean", robust.mean, "Average", flower_rule("mean")),
        Case("coordinate median", robust.coordinate_median, "Median", flower_rule("median")),
        Case("trimmed mean", robust.trimmed_mean, "TrMean", flower_rule("trimmed")),
        Case("meamed", robust.meamed, "Meamed"),
        Case("krum, n-f-1 neighbours", byzfl_krum(robust.krum), "Krum", power=2),
        Case("multi-krum, n-f-1 neighbours", byzfl_krum(robust.multi_krum), "MultiKrum", power=2),
        Case("krum, n-f-2 neighbours", robust.krum, None, flower_rule("krum"), 2),
        Case("multi-krum, n-f-2 neighbours", robust.multi_krum, None, flower_rule("multi"), 2),
        Case("bulyan", robust.bulyan, None, flower_rule("bulyan"), 3),
        Case("geometric median, 3 iterations", three_weiszfeld, "GeometricMedian"),
        Case("centred clipping, 3 iterations", clip_three_times, "CenteredClipping"),
        Case("nearest-neighbour mixing", robust.nearest_neighbour_mixing, "NNM", power=2),
    ]


def byzfl_krum(rule: Callable[..., np.ndarray]) -> Rule:
    return lambda updates, f: rule(updates, f, num_neighbours=len(updates) - f - 1)


def three_weiszfeld(updates: np.ndarray, f: int) -> np.ndarray:
    start = np.zeros(updates.shape[1])
    return robust.geometric_median(updates, f, 0.1, max_iterations=3, tolerance=0.0, start=start)


def clip_three_times(updates: np.ndarray, f: int) -> np.ndarray:
    return robust.centred_clipping(updates, f, l2_norm_clip=10.0, iterations=3)


def flower_rule(name: str) -> Rule:
    """Return one of Flower's rules; each update is one client's only layer, of weight 1."""
    return partial(_flower, name)


def _flower(name: str, updates: np.ndarray, f: int) -> np.ndarray:
    from flwr.server.strategy import aggregate

    results = [([update], 1) for update in updates]
    if name == "mean":
        made = aggregate.aggregate(results)
    elif name == "median":
        made = aggregate.aggregate_median(results)
    elif name == "trimmed":
        # Flower takes a share and rounds down: half an update more gives exactly f.
        made = aggregate.aggregate_trimmed_avg(results, (f + 0.5) / len(updates))
    elif name == "bulyan":
        made = aggregate.aggregate_bulyan(results, f, aggregate.aggregate_krum, to_keep=0)
    else:
        keep = len(updates) - f if name == "multi" else 0
        made = aggregate.aggregate_krum(results, f, keep)
    return np.asarray(made[0])


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    before = os.getloadavg()[0]
    clients = NUM_CLIENTS[:2] if options.quick else NUM_CLIENTS
    parameters = NUM_PARAMETERS[:2] if options.quick else NUM_PARAMETERS
    use_byzfl = options.byzfl_python.exists()
    if not use_byzfl:
        print(f"ByzFL is left out: there is no {options.byzfl_python} (see --help).")
    rows: list[dict[str, Any]] = []
    versions: dict[str, Any] = {}
    with tqdm(total=len(clients) * len(parameters), desc="matrices") as bar:
        for d in parameters:
            for n in clients:
                bar.set_postfix_str(f"{n} updates of {d:,}")
                updates, f = matrix(n, d)
                made = measure(updates, f, options, rows)
                if use_byzfl:
                    versions = add_byzfl(updates, f, options, made, rows)
                rows += [{k: v for k, v in row.items() if k != "_result"} for row in made]
                bar.update()
    result = {
        "rows": rows,
        "repeats": options.repeats,
        "limit_seconds": options.limit,
        "byzfl": versions or None,
        "quick": options.quick,
        **stamp(__file__, before, "numpy", "flwr"),
    }
    out = options.out or record_path(__file__, options.quick)
    save(out, result, report(result))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small matrices only")
    parser.add_argument("--repeats", type=int, default=3, help="timed calls (default: 3)")
    parser.add_argument(
        "--limit", type=float, default=2.0, help="leave out longer calls, seconds (default: 2)"
    )
    parser.add_argument("--byzfl-python", type=Path, default=BYZFL, help="interpreter with ByzFL")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    return parser.parse_args(arguments)


def matrix(n: int, d: int) -> tuple[np.ndarray, int]:
    """Make updates around a common mean, f of them thrown far off; f is the most Bulyan takes."""
    rng, f = np.random.default_rng([n, d]), (n - 3) // 4
    updates = rng.standard_normal((n, d), np.float32) * 0.1 + rng.standard_normal(d, np.float32)
    updates[:f] *= -3
    return updates, f


def measure(
    updates: np.ndarray, f: int, options: argparse.Namespace, before: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Time our rules and Flower's in turns; differences are of the results."""
    n, d = updates.shape
    rows = []
    for case in tqdm(cases(), desc=f"{n} x {d:,}", leave=False):
        row: dict[str, Any] = {"rule": case.name, "clients": n, "parameters": d, "num_byzantine": f}
        wanted = {"ours": case.ours} | ({"flower": case.flower} if case.flower else {})
        engines: dict[str, Rule] = {}
        for name, rule in wanted.items():
            predicted = expected(case, name, n, d, before)
            if predicted > options.limit:
                row[name] = {"left_out": f"about {predicted:.0f} s expected"}
            else:
                engines[name] = rule
        times, made = in_turns(engines, updates, f, options.repeats)
        row |= {name: {"cpu_seconds": spread(values)} for name, values in times.items()}
        if "flower" in made and "ours" in made:
            compare(row, "flower", made["ours"], made["flower"], updates, f)
        row["_result"] = made.get("ours")
        rows.append(row)
    return rows


def expected(case: Case, engine: str, n: int, d: int, before: list[dict[str, Any]]) -> float:
    """Predict a call's seconds from the nearest smaller matrix; infinity if that was left out."""
    smaller = [
        row
        for row in before
        if row["rule"] == case.name and row["clients"] <= n and row["parameters"] <= d
    ]
    if not smaller or engine not in smaller[-1]:
        return 0.0
    guesses = []
    for row in smaller:
        growth = (n / row["clients"]) ** case.power * d / row["parameters"]
        if "cpu_seconds" in row[engine]:
            guesses.append((growth, growth * row[engine]["cpu_seconds"]["median"]))
    return min(guesses)[1] if guesses else float("inf")


def in_turns(
    engines: dict[str, Rule], updates: np.ndarray, f: int, repeats: int
) -> tuple[dict[str, list[float]], dict[str, np.ndarray]]:
    """Call each rule to warm up, then in turns, so that a drift hits all alike."""
    made = {name: rule(updates, f) for name, rule in engines.items()}
    inner = {name: round(0.02 / max(once(r, updates, f), 1e-5)) for name, r in engines.items()}
    times: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(repeats):
        for name, rule in engines.items():
            calls = max(inner[name], 1)
            times[name].append(sum(once(rule, updates, f) for _ in range(calls)) / calls)
    return times, made


def once(rule: Rule, updates: np.ndarray, f: int) -> float:
    start = time.process_time()
    rule(updates, f)
    return time.process_time() - start


def compare(
    row: dict[str, Any],
    peer: str,
    ours: np.ndarray,
    theirs: np.ndarray,
    updates: np.ndarray,
    f: int,
) -> None:
    """Add a peer's multiple of our time and the largest difference of the results."""
    found = row[peer]
    found["multiple_of_ours"] = (
        found["cpu_seconds"]["median"] / row["ours"]["cpu_seconds"]["median"]
    )
    found["largest_difference"] = float(np.abs(ours - theirs).max())
    if row["rule"].startswith("krum") and found["largest_difference"] > 0:
        # Krum returns one of the updates. In float32 two scores may tie that float64 tells apart.
        neighbours = len(updates) - f - (1 if "n-f-1" in row["rule"] else 2)
        scores = krum_scores(squared_distances(updates), f, neighbours)
        chosen = [int(np.abs(updates - one).max(axis=1).argmin()) for one in (ours, theirs)]
        gap = float(scores[chosen[1]] / scores[chosen[0]] - 1)
        found |= {"chosen": chosen, "relative_score_gap": gap}


def add_byzfl(
    updates: np.ndarray,
    f: int,
    options: argparse.Namespace,
    made: list[dict[str, Any]],
    before: list[dict[str, Any]],
) -> dict[str, Any]:
    """Run ByzFL on the same matrix in its own process and add its figures."""
    n, d = updates.shape
    named = {case.name: case for case in cases() if case.byzfl}
    wanted = {}
    for row in made:
        case, ours = named.get(row["rule"]), row["_result"]
        if case is None or ours is None:
            continue
        predicted = max(
            expected(case, f"byzfl {kind}", n, d, before) for kind in ("numpy", "torch")
        )
        if predicted > options.limit:
            left_out = {"left_out": f"about {predicted:.0f} s expected"}
            row |= {"byzfl numpy": left_out, "byzfl torch": left_out}
        else:
            wanted[str(case.byzfl)] = (row, ours)
    with tempfile.TemporaryDirectory() as folder:
        given, results = Path(folder) / "updates.npy", Path(folder) / "results.npz"
        np.save(given, updates)
        arguments = [str(given), str(results), str(f), str(options.repeats), *wanted]
        answer = run_peer(options.byzfl_python, PEER, arguments, timeout=600)
        with np.load(results) as found:
            for rule, (row, ours) in wanted.items():
                for kind in ("numpy", "torch"):
                    row[f"byzfl {kind}"] = {"cpu_seconds": spread(answer["seconds"][rule][kind])}
                    theirs = found[f"{rule} {kind}"]
                    compare(row, f"byzfl {kind}", ours, theirs, updates, f)
    return dict(answer["versions"])


def report(result: dict[str, Any]) -> str:
    """Lay the figures out as text: our time, then each peer's multiple and largest difference."""
    lines = []
    peers = ("flower", "byzfl numpy", "byzfl torch")
    for row in result["rows"]:
        ours = row["ours"].get("cpu_seconds")
        cells = [f"{row['rule']:<31}{row['clients']:>4} x {row['parameters']:>9,}"]
        cells.append(f"{1e3 * ours['median']:9.1f} ms" if ours else "left out")
        if ours:
            cells.append(f"({1e3 * ours['min']:.1f} to {1e3 * ours['max']:.1f})")
        for peer in peers:
            found = row.get(peer)
            if found and "multiple_of_ours" in found:
                gap = found.get("relative_score_gap")
                cells.append(
                    f"{peer} {found['multiple_of_ours']:.2f} x, {found['largest_difference']:.0e}"
                    + (f" (another update, scores {gap:.0e} apart);" if gap else ";")
                )
            elif found and "left_out" in found:
                cells.append(f"{peer} left out, {found['left_out']};")
        lines.append(" ".join(cells))
    for peer in peers:
        values = [
            r[peer]["multiple_of_ours"]
            for r in result["rows"]
            if "multiple_of_ours" in r.get(peer, {})
        ]
        if values:
            lines.append(
                f"{peer}: {statistics.median(values):.2f} times our CPU time in the median of "
                f"{len(values)} cells ({min(values):.2f} to {max(values):.2f})"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
