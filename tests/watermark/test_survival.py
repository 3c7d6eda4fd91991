"""The survival table: every cell, resumable, with what was refused and what was spread."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from helpers import data
from helpers.errors import WatermarkError
from helpers.watermark.survival import NO_ATTACK, Victim, summarise, survival
from helpers.watermark.suspect import Suspect

DIGITS = data.load("digits", source="offline")
X, Y = DIGITS.x_test.reshape(len(DIGITS.x_test), -1), DIGITS.y_test


def centres(seed: int, noise: float = 0.0) -> np.ndarray:
    """A model of digits: the nearest class centre, of a share of the training data."""
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(DIGITS.x_train), 600, replace=False)
    x, y = DIGITS.x_train.reshape(len(DIGITS.x_train), -1)[chosen], DIGITS.y_train[chosen]
    means = np.stack([x[y == digit].mean(axis=0) for digit in range(10)])
    return means + noise * rng.standard_normal(means.shape)


def deploy(model: Any) -> Suspect:
    """Scores are minus the squared distances."""
    return Suspect(
        lambda x: -((x[:, None] - model) ** 2).sum(axis=2), [model.astype(np.float32)], [model[0]]
    )


def victim(seed: int) -> Victim:
    """The mark is the sign of every weight's deviation from the mean of its class."""
    model = centres(seed)
    signs = np.sign(model - model.mean())

    def kept(suspect: Suspect) -> float:
        weights = suspect.kernels[0]
        return float(np.mean(np.sign(weights - weights.mean()) == signs))

    return Victim(model, deploy(model), {"signs": kept, "none": lambda suspect: 0.0})


ATTACKS: dict[str, Callable[[Victim, int], Any]] = {
    "noise": lambda v, seed: v.model + np.random.default_rng(seed).normal(0, 3, v.model.shape),
    "box": lambda v, seed: Suspect(deploy(v.model).ask, [np.zeros((10, 64), np.float32)], [Y]),
}


def test_every_victim_meets_every_attack_with_every_seed() -> None:
    table = survival(
        {"a": victim, "b": victim}, ATTACKS, deploy, X, Y, seeds=(3, 5), progress=False
    )
    assert len(table) == 2 * 2 * 3 * 2  # victims, schemes, ways, seeds
    assert set(table.attack) == {NO_ATTACK, "noise", "box"}
    mine = table[(table.scheme == "signs") & (table.victim == "a")].set_index(["attack", "seed"])
    assert (mine.evidence[NO_ATTACK] == 1).all()
    assert (mine.accuracy[NO_ATTACK] > 0.8).all()
    assert (mine.accuracy["noise"] < 0.7).all()
    assert mine.accuracy["box", 3] == mine.accuracy[NO_ATTACK, 3]
    assert mine.evidence["box", 3] < 0.1


def test_a_stopped_table_goes_on_and_trains_only_what_is_missing(tmp_path: Path) -> None:
    made: list[int] = []

    def counted(seed: int) -> Victim:
        made.append(seed)
        return victim(seed)

    def stopped(v: Victim, seed: int) -> Any:
        raise KeyboardInterrupt

    def call(**attacks: Any) -> pd.DataFrame:
        return survival(
            {"a": counted}, attacks, deploy, X, Y, seeds=(1, 2), folder=tmp_path, progress=False
        )

    with pytest.raises(KeyboardInterrupt):
        call(noise=ATTACKS["noise"], box=stopped)
    assert made == [1]
    first = call(**ATTACKS)
    assert made == [1, 1, 2]
    again = call(**ATTACKS)
    assert made == [1, 1, 2]
    pd.testing.assert_frame_equal(first, again)


def test_other_settings_or_data_or_a_damaged_file_are_another_cell(tmp_path: Path) -> None:
    made: list[int] = []

    def counted(seed: int) -> Victim:
        made.append(seed)
        return victim(seed)

    def call(x: np.ndarray, settings: dict[str, int]) -> None:
        survival(
            {"a": counted}, {}, deploy, x, Y[: len(x)], seeds=(1,), settings=settings,
            folder=tmp_path, progress=False,
        )  # fmt: skip

    call(X, {"width": 1})
    call(X, {"width": 2})
    call(X[:100], {"width": 1})
    assert len(made) == 3
    for file in tmp_path.iterdir():
        file.write_text(file.read_text()[:20])
    call(X, {"width": 1})
    assert len(made) == 4


def test_an_attack_that_refuses_is_a_row_with_its_reason() -> None:
    def refuses(v: Victim, seed: int) -> Any:
        raise WatermarkError("no ReLU here")

    table = survival({"a": victim}, {"bad": refuses}, deploy, X, Y, seeds=(1,), progress=False)
    bad = table[table.attack == "bad"]
    assert set(bad.refused) == {"no ReLU here"}
    assert bad.accuracy.isna().all()
    assert set(summarise(table).attack) == {NO_ATTACK}


def test_the_summary_is_mean_and_spread_over_the_seeds() -> None:
    table = survival({"a": victim}, ATTACKS, deploy, X, Y, seeds=(1, 2, 3), progress=False)
    found = summarise(table).set_index(["scheme", "attack"])
    cells = table[(table.scheme == "signs") & (table.attack == "noise")]
    row = found.to_dict("index")["signs", "noise"]
    assert row["seeds"] == 3
    assert row["accuracy"] == pytest.approx(np.mean(cells.accuracy))
    assert row["evidence_std"] == pytest.approx(np.std(cells.evidence, ddof=1))
    assert row["evidence_min"] == min(cells.evidence)
    assert row["evidence_max"] == max(cells.evidence)


def test_bad_input_is_refused_before_anything_is_trained() -> None:
    def untouched(seed: int) -> Victim:
        raise AssertionError("trained")

    with pytest.raises(WatermarkError, match="victims is empty"):
        survival({}, ATTACKS, deploy, X, Y)
    with pytest.raises(WatermarkError, match="seeds is empty"):
        survival({"a": untouched}, ATTACKS, deploy, X, Y, seeds=())
    with pytest.raises(WatermarkError, match="'no attack'"):
        survival({"a": untouched}, {NO_ATTACK: ATTACKS["noise"]}, deploy, X, Y)
    with pytest.raises(WatermarkError, match="3 labels"):
        survival({"a": untouched}, ATTACKS, deploy, X, Y[:3])


def test_evidence_outside_its_range_is_an_error() -> None:
    def odd(seed: int) -> Victim:
        model = centres(seed)
        return Victim(model, deploy(model), {"odd": lambda suspect: 1.5})

    with pytest.raises(WatermarkError, match=r"\[0, 1\]"):
        survival({"a": odd}, {}, deploy, X, Y, seeds=(1,), progress=False)
