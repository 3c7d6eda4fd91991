"""Every aggregator against every attack: one call, one table, resumable.

A defence is as good as its worst case, and one attack or one split of the data says little about
it. The table has one row a cell; :func:`worst_case` reduces it and
:func:`helpers.plots.heat_map` draws it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from tqdm import tqdm

from helpers.errors import DivergenceError, TaskError
from helpers.federated.byzantine.adversary import Adversary, UpdateAttack
from helpers.federated.byzantine.data import Backdoor, Poison, poison_clients
from helpers.federated.byzantine.updates import as_trained
from helpers.federated.checkpoint import described, fingerprint, write_atomically
from helpers.federated.robust.aggregator import Aggregator, ReceivedRound
from helpers.federated.sampling import sample_clients
from helpers.federated.task import FederatedTask
from helpers.federated.validation import require_whole

if TYPE_CHECKING:
    import pandas as pd

    from helpers.federated.evaluation import Evaluator
    from helpers.federated.vectorised import LocalTrainer

NO_ATTACK = "no attack"
COLUMNS = (
    "aggregator",
    "attack",
    "heterogeneity",
    "num_byzantine",
    "seed",
    "accuracy",
    "backdoor_success",
    "diverged",
    "refused",
)


@dataclass(frozen=True)
class Scenario:
    """What the Byzantine clients of a cell do.

    Attributes
    ----------
    attack
        What they send.
    poison
        What happens to their data before training; None is nothing. With a
        :class:`~helpers.federated.byzantine.Backdoor` its success is measured too.
    """

    attack: UpdateAttack = as_trained
    poison: Poison | None = None


class Cell(NamedTuple):
    """One combination of the grid; the names are the keys of the mappings it was made from."""

    aggregator: str
    attack: str
    heterogeneity: float
    num_byzantine: int
    seed: int


def robustness_grid(
    make_task: Callable[[float, int], FederatedTask],
    aggregators: Mapping[str, Callable[[int], Aggregator]],
    scenarios: Mapping[str, Scenario],
    heterogeneity: Sequence[float],
    num_byzantine: Sequence[int],
    rounds: int,
    *,
    seeds: Sequence[int] = (0,),
    folder: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Train once for every aggregator, scenario, heterogeneity, number of Byzantine and seed.

    Which clients are Byzantine is drawn from the seed, and those of a smaller number are among
    those of a larger one. The server assumes the true number. Without Byzantine clients there is
    one cell an aggregator, named ``"no attack"``.

    Parameters
    ----------
    make_task
        Called as ``make_task(heterogeneity, seed)``, returns a task of all clients, all honest;
        its worker momentum and server data are kept.
    aggregators
        ``{name: function}``; the function makes an aggregator for an assumed number of Byzantine
        clients.
    scenarios
        ``{name: scenario}``.
    heterogeneity
        Values given to ``make_task``, such as Dirichlet's alpha.
    num_byzantine
        Numbers of Byzantine clients among all.
    rounds
        Rounds each cell trains.
    seeds
        Seeds given to ``make_task``.
    folder
        Folder in which each cell's result is saved when it is done. A later call finds it there
        if nothing that decides the result has changed. Functions are told apart by name only:
        give an attack or aggregator of your own a new name when you change its code.
    progress
        Whether to show a progress bar.

    Returns
    -------
    pandas.DataFrame
        One row a cell. ``accuracy`` is that of the global model on the test set after the last
        round: 0 where training ``diverged`` (a model of NaN answers nothing), NaN where the
        aggregator ``refused`` the numbers, with its reason. ``backdoor_success`` is the share of
        triggered test images of other classes that get the target, NaN without a backdoor.

    Raises
    ------
    TaskError
        If an argument is empty or out of range, before anything is trained.
    """
    import pandas as pd

    _check(aggregators, scenarios, heterogeneity, num_byzantine, rounds, seeds)
    saved = None if folder is None else _folder(folder)
    rows = []
    total = len(list(_cells(aggregators, scenarios, heterogeneity, num_byzantine, seeds)))
    with tqdm(total=total, desc="cells", disable=not progress) as bar:
        for alpha in heterogeneity:
            for seed in seeds:
                bench = _Bench(make_task(alpha, seed), scenarios, rounds, seed)
                for cell in _cells(aggregators, scenarios, [alpha], num_byzantine, [seed]):
                    bar.set_postfix_str(f"{cell.aggregator}, {cell.attack}", refresh=False)
                    aggregator = aggregators[cell.aggregator](cell.num_byzantine)
                    rows.append(cell._asdict() | _result(bench, cell, aggregator, saved))
                    bar.update()
    return pd.DataFrame(rows, columns=list(COLUMNS))


def worst_case(grid: pd.DataFrame) -> pd.DataFrame:
    """Find the attack that hurts each aggregator most.

    Parameters
    ----------
    grid
        What :func:`robustness_grid` returned.

    Returns
    -------
    pandas.DataFrame
        For each aggregator, heterogeneity and number of Byzantine the ``attack`` with the lowest
        ``accuracy`` (the mean over the seeds), in the order of the grid. Refused combinations are
        left out.
    """
    keys = ["aggregator", "heterogeneity", "num_byzantine"]
    usable = grid[grid["accuracy"].notna()]
    means = usable.groupby([*keys, "attack"], sort=False)["accuracy"].mean().reset_index()
    lowest = means.groupby(keys, sort=False)["accuracy"].idxmin()
    return means.loc[lowest, [*keys, "attack", "accuracy"]].reset_index(drop=True)


def _check(
    aggregators: Mapping[str, Any],
    scenarios: Mapping[str, Any],
    heterogeneity: Sequence[float],
    num_byzantine: Sequence[int],
    rounds: int,
    seeds: Sequence[int],
) -> None:
    require_whole("rounds", rounds, at_least=1)
    given = {
        "aggregators": aggregators,
        "scenarios": scenarios,
        "heterogeneity": heterogeneity,
        "num_byzantine": num_byzantine,
        "seeds": seeds,
    }
    for name, values in given.items():
        if not len(values):
            raise TaskError(f"{name} is empty: give at least one, or there is no cell to train.")
    for name, scenario in scenarios.items():
        if not isinstance(scenario, Scenario):
            raise TaskError(
                f"Scenario {name!r} is a {type(scenario).__name__}; wrap the attack or the poison "
                "as Scenario(attack=...) or Scenario(poison=...)."
            )
    if NO_ATTACK in scenarios:
        raise TaskError(f"{NO_ATTACK!r} is the name of the cells without Byzantine clients.")
    for count in num_byzantine:
        require_whole("num_byzantine", count, at_least=0)
        for make in aggregators.values():
            make(count)


def _cells(
    aggregators: Mapping[str, Any],
    scenarios: Mapping[str, Any],
    heterogeneity: Sequence[float],
    num_byzantine: Sequence[int],
    seeds: Sequence[int],
) -> Iterator[Cell]:
    for alpha in heterogeneity:
        for seed in seeds:
            for count in num_byzantine:
                for attack in scenarios if count else [NO_ATTACK]:
                    for aggregator in aggregators:
                        yield Cell(aggregator, attack, float(alpha), int(count), int(seed))


class _Bench:
    """The cells of one split of the data: what they share is made once."""

    def __init__(
        self, base: FederatedTask, scenarios: Mapping[str, Scenario], rounds: int, seed: int
    ) -> None:
        self.base = base
        self.scenarios = {**scenarios, NO_ATTACK: Scenario()}
        self.rounds = rounds
        self._order = np.random.default_rng([seed, len(base.clients)]).permutation(
            len(base.clients)
        )
        # Compiling takes longer than most cells train, so trainers are shared; caches belong to
        # the bench and go with it.
        self.trainer = cache(self._make_trainer)
        self.poisoned = cache(self._make_poisoned)
        self.evaluator = cache(self._make_evaluator)

    def byzantine(self, count: int) -> list[int]:
        return sorted(self._order[:count].tolist())

    def key(self, cell: Cell, aggregator: Aggregator) -> dict[str, Any]:
        """Return everything that decides a cell's result, as plain JSON values."""
        scenario = self.scenarios[cell.attack]
        return {
            "base": fingerprint(self.base, "vectorised"),
            "aggregator": described(aggregator),
            "scenario": described(scenario),
            "byzantine": self.byzantine(cell.num_byzantine),
            "rounds": self.rounds,
            "seed": cell.seed,
        }

    def task(self, cell: Cell, aggregator: Aggregator) -> FederatedTask:
        scenario = self.scenarios[cell.attack]
        byzantine = self.byzantine(cell.num_byzantine)
        adversary = Adversary(byzantine, scenario.attack) if byzantine else None
        task = self.poisoned(cell.attack, cell.num_byzantine, cell.seed)
        return task.under(aggregator, adversary)

    def _make_poisoned(self, attack: str, count: int, seed: int) -> FederatedTask:
        poison = self.scenarios[attack].poison
        if poison is None or not count:
            return self.base
        clients = poison_clients(self.base.clients, self.byzantine(count), poison, seed)
        return replace(self.base, clients=clients)

    def _make_trainer(self, task: FederatedTask) -> LocalTrainer:
        from helpers.federated.vectorised import LocalTrainer

        return LocalTrainer(task, task.num_sampled, separate=True)

    def _make_evaluator(self, attack: str | None) -> Evaluator:
        """Return the evaluator on the test set, or on that of a scenario's backdoor."""
        from helpers.federated.evaluation import Evaluator

        if attack is None:
            return Evaluator(self.base, clients=False)
        backdoor = self.scenarios[attack].poison
        assert isinstance(backdoor, Backdoor)
        task = replace(self.base, test=backdoor.test_set(self.base.test))
        return Evaluator(task, clients=False)


def _result(
    bench: _Bench, cell: Cell, aggregator: Aggregator, folder: Path | None
) -> dict[str, Any]:
    """Return a cell's result, from the folder if it is there."""
    if folder is None:
        return _train_cell(bench, cell, aggregator)
    key = bench.key(cell, aggregator)
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    path = folder / f"cell-{digest[:24]}.json"
    try:
        saved = json.loads(path.read_text())
        if saved["digest"] == digest:
            return dict(saved["result"])
    except (OSError, ValueError, KeyError):
        pass  # not there yet, or cut short: train it
    result = _train_cell(bench, cell, aggregator)
    content = {"cell": cell._asdict(), "digest": digest, "result": result}
    write_atomically(path, json.dumps(content, indent=1))
    return result


def _train_cell(bench: _Bench, cell: Cell, aggregator: Aggregator) -> dict[str, Any]:
    nothing = float("nan")
    result = {"accuracy": 0.0, "backdoor_success": nothing, "diverged": True, "refused": ""}
    refusal = _refusal(bench.base, aggregator)
    if refusal:
        return result | {"accuracy": nothing, "diverged": False, "refused": refusal}
    weights = _train(bench, bench.task(cell, aggregator), cell)
    if weights is None:
        return result
    result |= {"accuracy": bench.evaluator(None)(weights).test_accuracy, "diverged": False}
    if isinstance(bench.scenarios[cell.attack].poison, Backdoor):
        success = bench.evaluator(cell.attack)(weights).test_accuracy
        result["backdoor_success"] = success
    return result


def _train(bench: _Bench, task: FederatedTask, cell: Cell) -> list[np.ndarray] | None:
    """Return the final weights, or None where they or the honest updates stop being finite."""
    from helpers.federated.vectorised import VectorisedEngine

    shared = bench.trainer(bench.poisoned(cell.attack, cell.num_byzantine, cell.seed))
    engine = VectorisedEngine(task, trainer=shared)
    for number in range(1, bench.rounds + 1):
        clients = sample_clients(task.seed, number, len(task.clients), task.num_sampled)
        try:
            engine.train(number, clients)
        except DivergenceError:
            return None
        if not all(np.isfinite(w).all() for w in engine.weights):
            return None
    return engine.weights


def _refusal(task: FederatedTask, aggregator: Aggregator) -> str:
    """Try an aggregator on as many made-up updates as a round has; return why it refuses them."""
    size = 4
    probe = np.random.default_rng(0).standard_normal((task.num_sampled, size)).astype(np.float32)
    trusted = probe[0] if task.server_data is not None else None
    received = ReceivedRound(
        updates=probe,
        num_examples=np.ones(len(probe)),
        clients=np.arange(len(probe)),
        round_number=1,
        previous=np.zeros(size, np.float32),
        server_update=trusted,
        rng=lambda: np.random.default_rng(0),
    )
    try:
        aggregator(received)
    except TaskError as error:
        return str(error)
    return ""


def _folder(path: str | os.PathLike[str]) -> Path:
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TaskError(
            f"folder={str(path)!r} cannot be made ({error.strerror}): choose one of your own."
        ) from error
    return Path(path)
