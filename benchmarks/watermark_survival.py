"""Which mark survives which attack: the survival table of a keyword spotter, over five seeds.

Run from the repository root:

    python benchmarks/watermark_survival.py              # what is missing, for 30 minutes
    python benchmarks/watermark_survival.py --minutes 90 # longer
    python benchmarks/watermark_survival.py --quick      # a small pass over everything, apart

Every seed trains a small DS-CNN on synthetic speech, puts a message and two kinds of triggers into
it, ships it as an int8 file behind keyed answers, takes its fingerprint, and lets a thief with
clips of their own loose on it. A second victim makes keyed mistakes. The file holds the accuracy of
each pirated copy beside what the owner's test says of it: 1 minus the bit error, or the share of
triggers that match. The row *independent model* is somebody who never saw the victim.

Every finished cell is kept in the folder build/ and is not done again.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import pandas as pd
from common.figures import command_of, machine, record_path
from common.stolen_spotter import QUICK, Sizes, Spotter
from common.store import Row, Store, Unit

from helpers.watermark.survival import COLUMNS, summarise, survival

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "watermark_survival"
NAME = "survival"
VICTIMS = ("product", "keyed mistakes")


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    out = options.out or record_path(__file__, options.quick)
    command = command_of(__file__)
    packages = ("tensorflow-cpu", "adversarial-robustness-toolbox", "numpy")
    store = Store(out, machine(*packages), command, summary)
    sizes = QUICK if options.quick else Sizes()
    made: list[Spotter] = []

    def spotter() -> Spotter:
        """Synthesise the clips once, and only if a unit has to be done."""
        if not made:
            import tensorflow as tf

            # On networks this small a second thread costs more than it brings.
            tf.config.threading.set_intra_op_parallelism_threads(1)
            tf.config.threading.set_inter_op_parallelism_threads(1)
            made.append(Spotter(sizes))
        return made[0]

    units = [
        Unit(
            NAME,
            {"victim": victim, "seed": seed, **asdict(sizes)},
            partial(attack_all, spotter, victim, seed),
        )
        for victim in VICTIMS
        for seed in range(1 if options.quick else options.seeds)
    ]
    left = store.run(units, time.monotonic() + 60 * options.minutes, options.again)
    store.write()
    print(report(store.rows))
    print(f"written to {out}" + (f"; {left} units left, repeat to go on" if left else ""))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one seed, tiny sizes")
    parser.add_argument("--seeds", type=int, default=5, help="seeds (default: 5)")
    parser.add_argument(
        "--minutes", type=float, default=30.0, help="start no victim later than this (default: 30)"
    )
    parser.add_argument("--again", action="store_true", help="repeat what was done before")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    return parser.parse_args(arguments)


def attack_all(spotter: Any, victim: str, seed: int) -> Row:
    """Return the cells of one victim of one seed."""
    from helpers.watermark.folding import suspect_of

    world = spotter()
    table = survival(
        {victim: world.victims()[victim]},
        world.attacks(),
        suspect_of,
        *world.test,
        seeds=[seed],
        settings=asdict(world.sizes),
        folder=BUILD / "cells",
    )
    kept = table.astype(object).where(table.notna(), None)
    return {"cells": kept.to_dict("records")}


def cells_of(rows: list[Row]) -> pd.DataFrame:
    """Return all cells as one survival table."""
    cells = [cell for row in rows for cell in row["cells"]]
    table = pd.DataFrame(cells, columns=list(COLUMNS))
    return table.astype({"accuracy": float, "evidence": float})


def summary(rows: list[Row]) -> Row:
    """Return mean and spread of every cell over the seeds."""
    return {"summary": summarise(cells_of(rows)).to_dict("records") if rows else []}


def report(rows: list[Row]) -> str:
    """Lay the table out as text: accuracy / evidence, means over the seeds."""
    found = summarise(cells_of(rows))
    found["cell"] = [
        f"{a:.2f}/{e:.2f}" for a, e in zip(found.accuracy, found.evidence, strict=True)
    ]
    wide = found.pivot_table("cell", "attack", "scheme", aggfunc="first", sort=False)
    return str(wide.to_string())


if __name__ == "__main__":
    main()
