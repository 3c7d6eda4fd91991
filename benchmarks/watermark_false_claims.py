"""How often an innocent model is accused: the level claimed beside the level observed.

Run from the repository root:

    python benchmarks/watermark_false_claims.py              # what is missing, for 60 minutes
    python benchmarks/watermark_false_claims.py --quick      # one small block, apart

A hundred keyword spotters that nobody marked, in ten blocks of ten, and ten thousand fresh keys, a
thousand a block. Every key is read from one spotter of its block, and its p-value taken from the
chance that the scheme promises. A tenth of the keys is read from all ten spotters of the block,
and each p-value taken from a null measured on the other nine, as a court does. The boundary
fingerprint has no chance of its own; there each spotter is ranked among the others of its block.

Written are, for each level, how many p-values reached it, and the 99 % Clopper-Pearson interval of
their rate. A claim holds if the interval does not lie above its level.

Every finished block is written at once and is not done again, so the command can be stopped and
repeated.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

from common import innocent_models as innocents
from common.figures import command_of, machine, record_path
from common.store import Row, Store, Unit
from scipy import stats

NAME = "false claims"
BLOCKS, MODELS, KEYS, COURT_SHARE = 10, 10, 1000, 10


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one small block")
    parser.add_argument("--minutes", type=float, default=60.0, help="start no block later")
    parser.add_argument("--again", action="store_true", help="repeat what was done before")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args(arguments)
    out = options.out or record_path(__file__, options.quick)
    command = command_of(__file__)
    store = Store(out, machine("tensorflow-cpu", "numpy", "scipy"), command, summary)
    keys = 20 if options.quick else KEYS
    common = {"models": MODELS, "keys": keys, "clips": innocents.CLIPS, "epochs": innocents.EPOCHS}
    units = [
        Unit(NAME, {"block": block, **common}, partial(block_row, block, keys))
        for block in range(1 if options.quick else BLOCKS)
    ]
    left = store.run(units, time.monotonic() + 60 * options.minutes, options.again)
    store.write()
    print(report(summary(store.rows)))
    print(f"written to {out}" + (f"; {left} blocks left, repeat to go on" if left else ""))


def block_row(block: int, keys: int) -> Row:
    """Train ten innocents, and count how many p-values reach each level."""
    owner, *models = innocents.train_block(block, MODELS + 1)
    suspects = [innocents.quick_suspect(model) for model in models]
    drawn = [innocents.MASTER.child(f"block {block} key {n}") for n in range(keys)]
    clips = innocents.speech()
    right = [float((s.labels(clips["x_test"]) == clips["y_test"]).mean()) for s in suspects]
    counts = {}
    for scheme in innocents.keyed_schemes():
        counts[scheme.name] = {
            "by design": counted(innocents.p_values_by_design(scheme, suspects, drawn)),
            "measured": counted(
                innocents.p_values_as_claimed(scheme, suspects, drawn[: keys // COURT_SHARE])
            ),
        }
    ranked = innocents.fingerprint_p_values(owner, suspects, drawn[0])
    counts["boundary fingerprint"] = {"measured": counted(ranked)}
    return {"accuracy": right, "counts": counts}


def counted(p_values: Sequence[float]) -> Row:
    """Count the p-values at or below each level."""
    reached = [sum(p <= level for p in p_values) for level in innocents.LEVELS]
    return {"tried": len(p_values), "reached": reached}


def summary(rows: list[Row]) -> Row:
    """Add the blocks up."""
    table = []
    for scheme in rows[0]["counts"] if rows else ():
        for null in rows[0]["counts"][scheme]:
            cells = [row["counts"][scheme][null] for row in rows]
            tried = sum(cell["tried"] for cell in cells)
            for position, level in enumerate(innocents.LEVELS):
                reached = sum(cell["reached"][position] for cell in cells)
                low, high = stats.binomtest(reached, tried).proportion_ci(0.99, "exact")
                table.append(
                    {
                        "scheme": scheme,
                        "null": null,
                        "level": level,
                        "tried": tried,
                        "reached": reached,
                        "observed": reached / tried,
                        "interval": [low, high],
                        "holds": bool(low <= level),
                    }
                )
    models = sum(len(row["accuracy"]) for row in rows)
    return {"models": models, "keys": sum(row["settings"]["keys"] for row in rows), "table": table}


def report(found: Row) -> str:
    """Lay the table out as text."""
    lines = [f"{found['models']} innocent models, {found['keys']} keys"]
    lines += [
        f"{row['scheme']:24} {row['null']:10} claimed {row['level']:<7g} observed "
        f"{row['observed']:.5f} ({row['reached']} of {row['tried']})"
        + ("" if row["holds"] else "  ABOVE")
        for row in found["table"]
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
