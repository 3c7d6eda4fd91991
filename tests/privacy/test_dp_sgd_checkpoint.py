"""A private run that is killed goes on with its own noise, and every step stays accounted for."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from helpers import models
from helpers.errors import PrivacyError
from helpers.privacy import accounting
from helpers.privacy.dp_sgd import fit_dp
from helpers.privacy.dp_sgd.training import DPHistory, StepRecord, _Stepper
from helpers.privacy.ledger import Charge, PrivacyLedger

Digits = tuple[np.ndarray, np.ndarray]
STEPS = 7
SETTINGS: dict[str, Any] = {
    "noise_multiplier": 1.0,
    "l2_norm_clip": 1.0,
    "sample_rate": 0.1,
    "steps": STEPS,
    "learning_rate": 0.3,
    "momentum": 0.9,
    "seed": 3,
    "checkpoint_every": 2,
    "progress": False,
}


def tiny(activation_seed: int = 0) -> tf.keras.Model:
    return models.mlp((28, 28, 1), 10, hidden=(5,), seed=activation_seed)


def trained(digits: Digits, **changes: Any) -> tuple[list[np.ndarray], DPHistory]:
    # Another start than the interrupted run's: a checkpoint brings its own weights.
    model = tiny(changes.pop("start", 0))
    history = fit_dp(model, *digits, **{**SETTINGS, **changes})
    return model.get_weights(), history


def killed_at_five(record: StepRecord, _: tf.keras.Model) -> None:
    if record.step == 5:
        raise KeyboardInterrupt


@pytest.fixture(scope="module")
def interrupted(
    digits: Digits, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, PrivacyLedger]:
    """The folder of a run killed after step 5, when steps up to 4 had been saved."""
    folder, ledger = tmp_path_factory.mktemp("run"), PrivacyLedger(50.0, 1e-5)
    with pytest.raises(KeyboardInterrupt):
        trained(digits, checkpoint_dir=folder, ledger=ledger, callbacks=[killed_at_five])
    assert sorted(path.name for path in folder.glob("*.json")) == [
        "step-000002.json",
        "step-000004.json",
    ]
    return folder, ledger


@pytest.fixture(scope="module")
def whole(digits: Digits) -> tuple[list[np.ndarray], DPHistory]:
    """What an uninterrupted run ends with."""
    return trained(digits)


def test_a_resumed_run_ends_with_the_same_bits_and_every_step_on_record(
    digits: Digits,
    interrupted: tuple[Path, PrivacyLedger],
    whole: tuple[list[np.ndarray], DPHistory],
    tmp_path: Path,
) -> None:
    folder = shutil.copytree(interrupted[0], tmp_path / "copy")
    seen: list[int] = []
    weights, history = trained(
        digits,
        start=9,
        checkpoint_dir=folder,
        ledger=interrupted[1],
        callbacks=[lambda record, _: seen.append(record.step)],
    )
    assert seen == [5, 6, 7]
    for ours, theirs in zip(weights, whole[0], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    key = ("step", "batch_size", "loss", "clipped_share")
    one, other = (
        [[getattr(record, name) for name in key] for record in h.records]
        for h in (history, whole[1])
    )
    assert one == other
    assert history.epsilon(1e-5, "rdp") == accounting.epsilon(1.0, 0.1, STEPS, 1e-5)
    # Paid once; also by a ledger of which the charge was lost with the killed process.
    assert [charge.steps for charge in interrupted[1].charges] == [STEPS]
    lost = PrivacyLedger(50.0, 1e-5)
    trained(digits, checkpoint_dir=folder, ledger=lost, callbacks=[lambda *_: pytest.fail("ran")])
    assert [charge.steps for charge in lost.charges] == [STEPS]
    assert lost.charges[0].run == interrupted[1].charges[0].run


def test_no_noise_is_ever_added_to_two_batches(
    digits: Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[tuple[str, bytes]] = []
    original = _Stepper.step

    def spy(
        self: _Stepper, number: int, x: np.ndarray, y: np.ndarray, stream: np.random.SeedSequence
    ) -> StepRecord:
        taken.append((str(stream.generate_state(8)), x.tobytes()))
        return original(self, number, x, y, stream)

    monkeypatch.setattr(_Stepper, "step", spy)
    settings = {"seed": None, "checkpoint_dir": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        trained(digits, **settings, callbacks=[killed_at_five])
    trained(digits, **settings)
    assert len(taken) == 5 + 3
    # Step 5 was taken twice: the same batch with the same noise, so nothing new was released.
    assert taken[4] == taken[5]
    assert len({noise for noise, _ in taken}) == len(set(taken)) == STEPS


def test_more_steps_cost_the_difference_and_must_fit(
    digits: Digits, whole: tuple[list[np.ndarray], DPHistory], tmp_path: Path
) -> None:
    ledger = PrivacyLedger(accounting.epsilon(1.0, 0.1, STEPS, 1e-5) + 1e-6, 1e-5)
    trained(digits, steps=3, checkpoint_dir=tmp_path, ledger=ledger)
    weights, _ = trained(digits, checkpoint_dir=tmp_path, ledger=ledger)
    np.testing.assert_array_equal(weights[0], whole[0][0])
    assert [charge.steps for charge in ledger.charges] == [STEPS]
    with pytest.raises(PrivacyError, match="fit_dp would bring"):
        trained(digits, steps=STEPS + 1, checkpoint_dir=tmp_path, ledger=ledger)
    with pytest.raises(PrivacyError, match="already hold 7 steps, more than steps=5"):
        trained(digits, steps=5, checkpoint_dir=tmp_path)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"learning_rate": 0.1}, r"learning_rate was 0\.3, is now 0\.1"),
        ({"noise_multiplier": 2}, r"noise_multiplier was 1\.0, is now 2"),
        ({"seed": None}, "seed was 3, is now None"),
        ({"max_batch": 8}, "max_batch was 1024, is now 8"),
        ({"method": "per_example"}, "method was 'ghost'"),
    ],
)
def test_checkpoints_of_another_run_are_refused_with_what_differs(
    digits: Digits, interrupted: tuple[Path, PrivacyLedger], change: dict[str, Any], named: str
) -> None:
    with pytest.raises(PrivacyError, match=named):
        trained(digits, checkpoint_dir=interrupted[0], **change)


def test_other_data_or_layers_are_another_run(
    digits: Digits, interrupted: tuple[Path, PrivacyLedger]
) -> None:
    x, y = digits
    with pytest.raises(PrivacyError, match=r"data was .*SHA-256"):
        trained((x[:-1], y[:-1]), checkpoint_dir=interrupted[0])
    wider = models.mlp((28, 28, 1), 10, hidden=(6,))
    with pytest.raises(PrivacyError, match="layers was"):
        fit_dp(wider, x, y, **SETTINGS, checkpoint_dir=interrupted[0])


def test_damage_falls_back_one_checkpoint_and_never_to_the_start(
    digits: Digits,
    interrupted: tuple[Path, PrivacyLedger],
    whole: tuple[list[np.ndarray], DPHistory],
    tmp_path: Path,
) -> None:
    folder = shutil.copytree(interrupted[0], tmp_path / "copy")
    (folder / "step-000004.npz").write_bytes(b"cut")
    with pytest.warns(UserWarning, match="step-000004"):
        weights, _ = trained(digits, checkpoint_dir=folder)
    np.testing.assert_array_equal(weights[0], whole[0][0])
    for path in folder.glob("*.npz"):
        path.write_bytes(b"cut")
    with (
        pytest.warns(UserWarning, match="damaged"),
        pytest.raises(PrivacyError, match="forget the steps"),
    ):
        trained(digits, checkpoint_dir=folder)


def test_a_charge_without_a_run_is_a_charge_by_itself() -> None:
    ledger = PrivacyLedger(50.0, 1e-5)
    for _ in range(2):
        ledger.charge(Charge(2.0, 0.1, 5))
    assert [charge.steps for charge in ledger.charges] == [5, 5]
