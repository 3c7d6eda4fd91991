"""Results that are collected one unit at a time: a stopped run goes on where it was."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from helpers._files import write_atomically

Row = dict[str, Any]


@dataclass(frozen=True)
class Unit:
    """One run, such as one seed of an experiment.

    Attributes
    ----------
    experiment
        Name of the experiment it belongs to.
    settings
        Everything that decides its result, as plain JSON values; two units with the same settings
        are the same unit.
    work
        Makes the result, plain JSON values.
    """

    experiment: str
    settings: dict[str, Any]
    work: Callable[[], Row]

    @property
    def label(self) -> str:
        """Name for a progress bar."""
        short = {k: v for k, v in self.settings.items() if isinstance(v, int | str)}
        return ", ".join([self.experiment, *(f"{k} {v}" for k, v in short.items())])


class Store:
    """Rows in one JSON file, written whole after each unit.

    Parameters
    ----------
    path
        The file; it is read if it is there.
    machine
        Description of this machine, kept with each row.
    command
        The command, kept with each row.
    summarise
        Says what the rows amount to; its answer is written before them.
    """

    def __init__(
        self, path: Path, machine: Row, command: str, summarise: Callable[[list[Row]], Row]
    ) -> None:
        self.path = path
        self._summarise = summarise
        self._stamp = {"machine": machine, "command": command}
        self.rows: list[Row] = json.loads(path.read_text())["rows"] if path.exists() else []

    def find(self, unit: Unit) -> Row | None:
        """Return the row of a unit that was done before."""
        return next((row for row in self.rows if _same(row, unit)), None)

    def keep_only(self, units: Sequence[Unit]) -> None:
        """Forget the rows of other units, where rows of one plan make no sense beside another's."""
        self.rows = [row for row in self.rows if any(_same(row, unit) for unit in units)]

    def run(self, units: Sequence[Unit], deadline: float, again: bool) -> int:
        """Do the units that are not done yet, and return how many are left.

        Parameters
        ----------
        units
            What there is to do, the most wanted first.
        deadline
            No unit starts later than this, on the clock of ``time.monotonic``.
        again
            Whether to do also what was done before.
        """
        todo = [unit for unit in units if again or self.find(unit) is None]
        with tqdm(total=len(units), initial=len(units) - len(todo), desc="runs") as bar:
            for number, unit in enumerate(todo):
                if time.monotonic() > deadline:
                    return len(todo) - number
                bar.set_postfix_str(unit.label)
                wall, cpu = time.perf_counter(), time.process_time()
                result = unit.work()
                row = {
                    "experiment": unit.experiment,
                    "settings": unit.settings,
                    **result,
                    "seconds": round(time.perf_counter() - wall, 1),
                    "cpu_seconds": round(time.process_time() - cpu, 1),
                    "date": datetime.now(UTC).isoformat(timespec="seconds"),
                    **self._stamp,
                }
                self.rows = [row for row in self.rows if not _same(row, unit)] + [row]
                self.write()
                bar.update()
        return 0

    def write(self) -> None:
        """Write the rows and what is said about them, all or nothing."""
        content = {**self._summarise(self.rows), "rows": self.rows}
        write_atomically(self.path, json.dumps(content, indent=1) + "\n")


def _same(row: Row, unit: Unit) -> bool:
    # Through JSON, as tuples become lists there.
    settings = json.loads(json.dumps(unit.settings))
    return bool(row["experiment"] == unit.experiment and row["settings"] == settings)
