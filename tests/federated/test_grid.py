"""The grid of aggregators and attacks."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers import data, models
from helpers.errors import TaskError
from helpers.federated import ClientData, FederatedTask, LocalTraining, RobustAggregator
from helpers.federated.byzantine import (
    Backdoor,
    LabelFlip,
    ModelReplacement,
    SignFlip,
    Trigger,
    as_trained,
)
from helpers.federated.grid import COLUMNS, Scenario, robustness_grid, worst_case
from helpers.federated.receiving import average

AGGREGATORS: dict[str, Callable] = {
    "mean": lambda f: RobustAggregator("mean", f),
    "trimmed mean": lambda f: RobustAggregator("trimmed_mean", f),
    "Bulyan": lambda f: RobustAggregator("bulyan", f),
}
SCENARIOS = {
    "sign flip": Scenario(SignFlip(10.0)),
    "label flip": Scenario(poison=LabelFlip(10)),
    "backdoor": Scenario(
        ModelReplacement(), Backdoor(Trigger.corner((28, 28, 1)), target=0, fraction=0.5)
    ),
}
NUM_CLIENTS = 8


@cache
def images() -> data.Dataset:
    return data.load("mnist", source="offline")


def make_task(alpha: float, seed: int) -> FederatedTask:
    """800 real MNIST images on eight clients, and 300 for testing."""
    mnist = images()
    x, y = mnist.x_train[:800], mnist.y_train[:800]
    parts = data.partition.dirichlet(y, NUM_CLIENTS, alpha, np.random.default_rng(seed), 10)
    return FederatedTask(
        lambda: models.mlp((28, 28, 1), 10, hidden=()),
        [ClientData(x[part], y[part]) for part in parts],
        ClientData(mnist.x_test[:300], mnist.y_test[:300]),
        local=LocalTraining(epochs=2, batch_size=20, learning_rate=0.1),
        seed=seed,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("grid")


@pytest.fixture(scope="module")
def grid(folder: Path) -> pd.DataFrame:
    return robustness_grid(
        make_task, AGGREGATORS, SCENARIOS, [10.0], [0, 2], 6, folder=folder, progress=False
    )


def accuracy(grid: pd.DataFrame, aggregator: str, attack: str) -> float:
    row = grid[(grid.aggregator == aggregator) & (grid.attack == attack)]
    return float(row.accuracy.iloc[0])


def test_there_is_one_row_a_cell(grid: pd.DataFrame) -> None:
    assert tuple(grid.columns) == COLUMNS
    assert len(grid) == 3 * (1 + 3)
    assert not grid.duplicated(["aggregator", "attack", "num_byzantine"]).any()
    assert set(grid[grid.num_byzantine == 0].attack) == {"no attack"}


def test_a_robust_rule_survives_what_breaks_the_mean(grid: pd.DataFrame) -> None:
    assert accuracy(grid, "mean", "no attack") > 0.7  # ten classes: guessing gives 0.1
    assert accuracy(grid, "mean", "sign flip") < 0.4
    assert accuracy(grid, "trimmed mean", "sign flip") > 0.6


def test_the_success_of_a_backdoor_stands_beside_the_accuracy(grid: pd.DataFrame) -> None:
    measured = grid[grid.attack == "backdoor"].set_index("aggregator").backdoor_success
    assert measured["mean"] > 0.8
    assert measured["mean"] > measured["trimmed mean"] + 0.2
    assert grid[grid.attack != "backdoor"].backdoor_success.isna().all()


def test_numbers_a_rule_cannot_work_with_are_told_not_trained(grid: pd.DataFrame) -> None:
    refused = grid[(grid.aggregator == "Bulyan") & (grid.num_byzantine == 2)]
    assert refused.accuracy.isna().all()
    assert refused.refused.str.contains("there are 8").all()
    assert (grid.drop(refused.index).refused == "").all()


def test_the_worst_case_is_the_attack_with_the_lowest_accuracy(grid: pd.DataFrame) -> None:
    worst = worst_case(grid).set_index(["aggregator", "num_byzantine"])
    for key, cells in grid[grid.refused == ""].groupby(["aggregator", "num_byzantine"]):
        found = worst.loc[key]  # type: ignore[index]
        assert found.accuracy == cells.accuracy.min()
        assert found.attack in set(cells[cells.accuracy == found.accuracy].attack)
    assert len(worst) == 5
    assert ("Bulyan", 2) not in worst.index


def test_the_worst_case_is_over_means_of_seeds() -> None:
    rows = [("r", "a", 1.0, 1, s, acc) for s, acc in [(0, 0.2), (1, 0.8)]]
    rows += [("r", "b", 1.0, 1, s, 0.4) for s in (0, 1)]
    worst = worst_case(pd.DataFrame(rows, columns=list(COLUMNS[:6])))
    assert worst.attack.tolist() == ["b"]
    assert worst.accuracy.tolist() == [0.4]


def test_a_second_call_takes_every_cell_from_the_folder(
    grid: pd.DataFrame, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a saved cell was trained again")

    monkeypatch.setattr("helpers.federated.grid._train_cell", never)
    again = robustness_grid(
        make_task, AGGREGATORS, SCENARIOS, [10.0], [0, 2], 6, folder=folder, progress=False
    )
    pd.testing.assert_frame_equal(again, grid)


@pytest.mark.parametrize("damage", ["cut short", "of another cell"])
def test_a_lost_or_damaged_cell_is_trained_again(
    grid: pd.DataFrame, folder: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[tuple] = []

    def train(bench: object, cell: tuple, aggregator: object) -> dict:
        trained.append(cell)
        return grid.loc[2, list(COLUMNS[5:])].to_dict()

    path, other = sorted(folder.glob("cell-*.json"))[:2]
    kept = path.read_bytes()
    path.write_bytes(kept[:50] if damage == "cut short" else other.read_bytes())
    monkeypatch.setattr("helpers.federated.grid._train_cell", train)
    robustness_grid(
        make_task, AGGREGATORS, SCENARIOS, [10.0], [0, 2], 6, folder=folder, progress=False
    )
    assert len(trained) == 1
    path.write_bytes(kept)


@pytest.mark.parametrize("change", ["rounds", "aggregator", "attack"])
def test_a_cell_whose_making_changed_is_not_taken_from_the_folder(
    grid: pd.DataFrame, folder: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []

    def train(bench: object, cell: tuple, aggregator: object) -> dict:
        trained.append(cell[0])
        return grid.loc[0, list(COLUMNS[5:])].to_dict()

    monkeypatch.setattr("helpers.federated.grid._train_cell", train)
    rule = (lambda f: RobustAggregator("mean", f, mixing="bucketing"), AGGREGATORS["mean"])
    attack = Scenario(SignFlip(9.0)) if change == "attack" else SCENARIOS["sign flip"]
    robustness_grid(
        make_task,
        {"mean": rule[change != "aggregator"]},
        {"sign flip": attack},
        [10.0],
        [2],
        7 if change == "rounds" else 6,
        folder=folder,
        progress=False,
    )
    assert trained == ["mean"]


def test_a_model_of_nan_answers_nothing() -> None:
    grid = robustness_grid(
        make_task,
        {"average": lambda f: average},
        {"explode": Scenario(lambda view: view.own * np.nan)},
        [10.0],
        [3],
        3,
        progress=False,
    )
    assert grid.diverged.tolist() == [True]
    assert grid.accuracy.tolist() == [0.0]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"rounds": 0}, "rounds=0"),
        ({"aggregators": {}}, "aggregators is empty"),
        ({"heterogeneity": []}, "heterogeneity is empty"),
        ({"num_byzantine": [-1]}, "num_byzantine=-1"),
        ({"scenarios": {"flip": as_trained}}, "'flip' is a function; wrap"),
        ({"scenarios": {"no attack": Scenario()}}, "'no attack' is the name"),
        ({"aggregators": {"a": lambda f: RobustAggregator("kurm", f)}}, "kurm"),
    ],
)
def test_what_makes_no_grid_is_named_before_anything_is_trained(change: dict, named: str) -> None:
    def never(alpha: float, seed: int) -> FederatedTask:
        raise AssertionError("no task is needed to see this")

    good: dict = {
        "make_task": never,
        "aggregators": AGGREGATORS,
        "scenarios": SCENARIOS,
        "heterogeneity": [1.0],
        "num_byzantine": [1],
        "rounds": 1,
    }
    with pytest.raises(TaskError, match=named):
        robustness_grid(**(good | change), progress=False)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TaskError, match=r"file.* cannot be made"):
        robustness_grid(
            make_task, AGGREGATORS, SCENARIOS, [1.0], [1], 1, folder=tmp_path / "file" / "x"
        )
