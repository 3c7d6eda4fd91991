"""Published results beside ours: the same setting, several seeds, one JSON file to plot from.

Run from the repository root:

    python benchmarks/published_results.py              # what is missing, for 5 minutes
    python benchmarks/published_results.py --minutes 60 # longer
    python benchmarks/published_results.py --quick      # a small pass over every part, apart

* TensorFlow Privacy's MNIST tutorial: accuracy of both published settings, with our DP-SGD.
* McMahan et al. (2017), Table 1: rounds of FedAvg and FedSGD to 97 % on MNIST, with our engine.
* Claims on Byzantine rules of Allouah et al. (2023), Xie et al. (2019) and Baruch et al. (2019),
  with our grid.

Every finished run is written at once and is not done again, so the command can be stopped and
repeated. It needs the whole of MNIST (``edgesec data fetch mnist``, or a folder named in
EDGESEC_DATA).
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

from common import published_byzantine, published_dp, published_fedavg
from common.figures import command_of, machine, record_path
from common.store import Row, Store, Unit

IID = published_fedavg.IID
FEDERATED = tuple(published_fedavg.CELLS)
EXPERIMENTS = (published_dp.NAME, IID, published_byzantine.NAME, *FEDERATED[1:])


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    out = options.out or record_path(__file__, options.quick)
    command = command_of(__file__)
    versions = machine("tensorflow-cpu", "tensorflow-privacy", "dp-accounting", "numpy")
    store = Store(out, versions, command, summarise)
    left, deadline = 0, time.monotonic() + 60 * options.minutes
    for name in options.only or EXPERIMENTS:
        if left == 0 and name in FEDERATED and not options.quick:
            search = published_fedavg.search_units(name)
            left += store.run(search, deadline, options.again)
        if left == 0:
            left += store.run(planned(name, options, store), deadline, options.again)
    store.write()
    print(report(summarise(store.rows)))
    print(f"written to {out}" + (f"; {left} or more runs left, repeat to go on" if left else ""))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a small pass over every part")
    parser.add_argument("--only", nargs="+", choices=EXPERIMENTS, help="some experiments only")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of a result (default: 3)")
    parser.add_argument(
        "--minutes", type=float, default=5.0, help="start no run later than this (default: 5)"
    )
    parser.add_argument("--again", action="store_true", help="repeat what was done before")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    return parser.parse_args(arguments)


def planned(name: str, options: argparse.Namespace, store: Store) -> list[Unit]:
    """Return the runs of one experiment."""
    seeds = 1 if options.quick else options.seeds
    if name == published_dp.NAME:
        return published_dp.units(seeds, options.quick)
    if name == published_byzantine.NAME:
        return published_byzantine.units(seeds, options.quick)
    if options.quick:
        return published_fedavg.quick_units(name)
    rate = published_fedavg.best_rate(name, rows_of(name, store.rows))
    # A run of the others takes as long as all those of FedAvg on IID data.
    return published_fedavg.seed_units(name, rate, seeds if name == IID else 1)


def rows_of(name: str, rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["experiment"] == name]


def summarise(rows: list[Row]) -> Row:
    """Return what is known of each experiment that has a run."""
    found: Row = {}
    for name in EXPERIMENTS:
        mine = rows_of(name, rows)
        if not mine:
            continue
        if name == published_dp.NAME:
            found[name] = published_dp.summary(mine)
        elif name == published_byzantine.NAME:
            found[name] = published_byzantine.summary(mine)
        else:
            found[name] = published_fedavg.summary(name, mine)
    return {"experiments": found}


def report(result: Row) -> str:
    """Lay the main figures out as text."""
    lines: list[str] = []
    for name, part in result["experiments"].items():
        if name == published_dp.NAME:
            lines += published_dp.lines(part)
        elif name == published_byzantine.NAME:
            lines += published_byzantine.lines(part)
        else:
            lines += published_fedavg.lines(name, part)
    return "\n".join(lines)


if __name__ == "__main__":
    main()
