"""The survival table: every attack on every marked model, in one call that can be resumed.

What survives is said by two numbers together. A mark that is gone from a model which no longer
knows the task has done its work.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from helpers._files import write_atomically
from helpers.errors import EdgesecError, WatermarkError
from helpers.watermark.suspect import Suspect

if TYPE_CHECKING:
    import pandas as pd
    import tensorflow as tf

NO_ATTACK = "no attack"
COLUMNS = ("victim", "scheme", "attack", "seed", "accuracy", "evidence", "refused")


@dataclass(frozen=True, eq=False)
class Victim:
    """A marked model as the thief finds it, and the tests that the owner will run on a suspect.

    Attributes
    ----------
    model
        The Keras model. Whoever holds the file has this much: weights and architecture can be read
        back from it.
    deployed
        The same model as it answers on the device; what a thief asks who cannot open it.
    evidence
        ``{scheme: function}``: each function takes a suspect and returns a share in [0, 1], such
        as one minus the bit error or the share of triggers that match.
    """

    model: tf.keras.Model
    deployed: Suspect
    evidence: Mapping[str, Callable[[Suspect], float]]


# The victim and a seed to the pirated copy: a Keras model, which is then deployed like the
# victim, or a suspect that the attack has deployed itself.
Attack = Callable[[Victim, int], "tf.keras.Model | Suspect"]


class Cell(NamedTuple):
    """One combination of the table."""

    victim: str
    attack: str
    seed: int


def survival(
    victims: Mapping[str, Callable[[int], Victim]],
    attacks: Mapping[str, Attack],
    deploy: Callable[[tf.keras.Model], Suspect],
    x: ArrayLike,
    y: ArrayLike,
    *,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    settings: Mapping[str, Any] | None = None,
    folder: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Attack every victim in every way, and measure what is left of the mark and of the model.

    Parameters
    ----------
    victims
        ``{name: function}``; the function makes the victim of a seed, and is called only if one of
        its cells is not saved yet.
    attacks
        ``{name: attack}``. The row ``"no attack"`` is there without asking.
    deploy
        Turns a Keras model into what the court gets: through ``helpers.edge`` into an int8 file,
        say.
    x, y
        Test data that nobody trained on, ``(n, ...)`` and ``(n,)``.
    seeds
        Given to victims and attacks.
    settings
        Whatever else decides the results, as plain JSON values; part of what a saved cell is known
        by. Functions are told apart by name only.
    folder
        Folder in which each cell is saved when it is done.
    progress
        Whether to show a progress bar.

    Returns
    -------
    pandas.DataFrame
        One row for each victim, scheme, attack and seed: ``accuracy`` on the test data and
        ``evidence``, both in [0, 1], both NaN where the attack ``refused`` to run, with its reason.

    Raises
    ------
    WatermarkError
        If an argument is empty or does not fit, before anything is trained.
    """
    import pandas as pd

    inputs, labels = np.asarray(x, np.float32), np.asarray(y)
    _check(victims, attacks, inputs, labels, seeds)
    saved = None if folder is None else _Saved(Path(folder), inputs, labels, settings or {})
    rows: list[dict[str, Any]] = []
    ways = [NO_ATTACK, *attacks]
    with tqdm(
        total=len(victims) * len(seeds) * len(ways), desc="attacks", disable=not progress
    ) as bar:
        for name, make in victims.items():
            for seed in seeds:
                bench = _Bench(make, seed, deploy, inputs, labels)
                for way in ways:
                    cell = Cell(name, way, int(seed))
                    bar.set_postfix_str(f"{name}, {way}, seed {seed}", refresh=False)
                    found = None if saved is None else saved.load(cell)
                    if found is None:
                        found = bench.measure(attacks.get(way), int(seed))
                        if saved is not None:
                            saved.store(cell, found)
                    rows += list(_rows(cell, found))
                    bar.update()
    return pd.DataFrame(rows, columns=list(COLUMNS))


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Reduce a survival table to mean, spread and number of seeds.

    Parameters
    ----------
    table
        What :func:`survival` returned.

    Returns
    -------
    pandas.DataFrame
        For each scheme and attack, in the order of the table: ``accuracy`` and ``evidence`` (means
        over the seeds), ``accuracy_std``, ``evidence_std`` (sample standard deviations, NaN for
        one seed), ``evidence_min``, ``evidence_max`` and ``seeds``. Refused cells are left out.
    """
    ran = table[table["accuracy"].notna()]
    groups = ran.groupby(["scheme", "attack"], sort=False)
    return groups.agg(
        accuracy=("accuracy", "mean"),
        accuracy_std=("accuracy", "std"),
        evidence=("evidence", "mean"),
        evidence_std=("evidence", "std"),
        evidence_min=("evidence", "min"),
        evidence_max=("evidence", "max"),
        seeds=("seed", "nunique"),
    ).reset_index()


class _Bench:
    """One victim of one seed, made when first needed."""

    def __init__(
        self,
        make: Callable[[int], Victim],
        seed: int,
        deploy: Callable[[tf.keras.Model], Suspect],
        x: NDArray[np.float32],
        y: NDArray[Any],
    ) -> None:
        self._make, self._seed, self._deploy = make, seed, deploy
        self._x, self._y = x, y
        self._victim: Victim | None = None

    def measure(self, attack: Attack | None, seed: int) -> dict[str, Any]:
        """Run one attack; None is none."""
        if self._victim is None:
            self._victim = self._make(self._seed)
        victim = self._victim
        try:
            made = victim.deployed if attack is None else attack(victim, seed)
            suspect = made if isinstance(made, Suspect) else self._deploy(made)
            accuracy = float(np.mean(suspect.labels(self._x) == self._y))
        except EdgesecError as error:
            nothing = dict.fromkeys(victim.evidence, None)
            return {"accuracy": None, "evidence": nothing, "refused": str(error)}
        evidence = {name: float(test(suspect)) for name, test in victim.evidence.items()}
        wrong = {name: value for name, value in evidence.items() if not 0 <= value <= 1}
        if wrong:
            raise WatermarkError(f"Evidence must lie in [0, 1]; got {wrong}.")
        return {"accuracy": accuracy, "evidence": evidence, "refused": ""}


class _Saved:
    """Cells in a folder, each a JSON file under a name that decides its content."""

    def __init__(
        self,
        folder: Path,
        x: NDArray[np.float32],
        y: NDArray[Any],
        settings: Mapping[str, Any],
    ) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WatermarkError(
                f"folder={str(folder)!r} cannot be made ({error.strerror}): choose one of your own."
            ) from error
        data = hashlib.sha256(np.ascontiguousarray(x).tobytes())
        data.update(np.ascontiguousarray(y, np.int64).tobytes())
        self._folder = folder
        self._common = {"data": data.hexdigest(), "settings": dict(settings)}

    def _path(self, cell: Cell) -> Path:
        key = json.dumps({**self._common, "cell": cell._asdict()}, sort_keys=True)
        return self._folder / f"cell-{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"

    def load(self, cell: Cell) -> dict[str, Any] | None:
        """Return a cell's result, or None if it is not there or was cut short."""
        try:
            found = json.loads(self._path(cell).read_text())
            return dict(found["result"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def store(self, cell: Cell, result: dict[str, Any]) -> None:
        """Write a cell's result, all or nothing."""
        content = {"cell": cell._asdict(), "result": result}
        write_atomically(self._path(cell), json.dumps(content, indent=1) + "\n")


def _rows(cell: Cell, found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    nothing = float("nan")
    for scheme, evidence in found["evidence"].items():
        yield {
            **cell._asdict(),
            "scheme": scheme,
            "accuracy": nothing if found["accuracy"] is None else found["accuracy"],
            "evidence": nothing if evidence is None else evidence,
            "refused": found["refused"],
        }


def _check(
    victims: Mapping[str, Any],
    attacks: Mapping[str, Any],
    x: NDArray[np.float32],
    y: NDArray[Any],
    seeds: Sequence[int],
) -> None:
    for name, values in {"victims": victims, "seeds": seeds}.items():
        if not len(values):
            raise WatermarkError(f"{name} is empty: give at least one, or there is nothing to do.")
    if NO_ATTACK in attacks:
        raise WatermarkError(f"{NO_ATTACK!r} is the name of the row without an attack.")
    if len(x) != len(y) or not len(x):
        raise WatermarkError(f"{len(x)} test inputs and {len(y)} labels: give one label an input.")
