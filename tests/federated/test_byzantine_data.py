"""Poisoned and low-quality data."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.errors import TaskError
from helpers.federated import ClientData
from helpers.federated.byzantine import (
    Backdoor,
    LabelFlip,
    LabelNoise,
    SensorDrift,
    Trigger,
    poison_clients,
)

TRIGGER = Trigger.corner((4, 4, 1), size=2)


def images(n: int = 40) -> ClientData:
    rng = np.random.default_rng(0)
    return ClientData(
        rng.random((n, 4, 4, 1), dtype=np.float32) / 2, rng.integers(0, 5, n).astype(np.int32)
    )


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def test_flipping_labels_twice_gives_them_back() -> None:
    data = images()
    once = LabelFlip(5)(data, rng())
    assert (once.y == 4 - data.y).all()
    assert (LabelFlip(5)(once, rng()).y == data.y).all()


@given(rate=st.floats(0, 1), n=st.integers(1, 60))
def test_label_noise_makes_exactly_the_share_wrong(rate: float, n: int) -> None:
    data = images(n)
    noisy = LabelNoise(5, rate)(data, rng())
    assert (noisy.y != data.y).sum() == round(rate * n)
    assert noisy.y.dtype == np.int32
    assert set(np.unique(noisy.y)) <= set(range(5))


def test_label_noise_reaches_every_other_class() -> None:
    data = ClientData(np.zeros((400, 2)), np.full(400, 3))
    counts = np.bincount(LabelNoise(5, 1.0)(data, rng()).y, minlength=5)
    assert counts[3] == 0
    assert (counts[[0, 1, 2, 4]] > 60).all()


def test_a_drifting_sensor_starts_right_and_ends_with_the_whole_drift() -> None:
    data = images()
    drifted = SensorDrift(gain=2.0, offset=0.5)(data, rng())
    np.testing.assert_allclose(drifted.x[0], data.x[0])
    np.testing.assert_allclose(drifted.x[-1], 2 * data.x[-1] + 0.5, rtol=1e-6)
    error = np.abs(drifted.x - data.x).mean(axis=(1, 2, 3))
    assert error[:10].mean() < error[10:20].mean() < error[-10:].mean()
    assert drifted.x.dtype == np.float32
    assert (drifted.y == data.y).all()


def test_sensor_noise_grows_to_its_standard_deviation() -> None:
    data = ClientData(np.zeros((2000, 50), np.float32), np.zeros(2000))
    noise = SensorDrift(noise=0.3)(data, rng()).x
    assert noise[-100:].std() == pytest.approx(0.3, rel=0.05)
    assert noise[:100].std() < 0.02


def test_a_backdoor_stamps_its_share_and_leaves_the_rest() -> None:
    data = images()
    before = data.x.copy()
    poisoned = Backdoor(TRIGGER, target=2, fraction=0.25)(data, rng())
    changed = (poisoned.x != data.x).any(axis=(1, 2, 3))
    assert changed.sum() == 10
    assert (poisoned.x[changed, 2:, 2:] == 1).all()
    assert (poisoned.x[:, :2] == data.x[:, :2]).all()
    assert (poisoned.y[changed] == 2).all()
    assert (poisoned.y[~changed] == data.y[~changed]).all()
    np.testing.assert_array_equal(data.x, before)


def test_the_success_of_a_backdoor_is_measured_on_other_classes_only() -> None:
    data = images()
    stamped = Backdoor(TRIGGER, target=2).test_set(data)
    assert len(stamped) == (data.y != 2).sum()
    assert (stamped.y == 2).all()
    assert (stamped.x[:, 2:, 2:] == 1).all()


def test_only_the_chosen_clients_are_poisoned_each_by_its_own_coins() -> None:
    clients = [images(), images(), images()]
    poisoned = poison_clients(clients, [0, 2], LabelNoise(5, 0.5), seed=4)
    assert poisoned[1] is clients[1]
    assert (poisoned[0].y != poisoned[2].y).any()
    alone = poison_clients(clients, [2], LabelNoise(5, 0.5), seed=4)
    assert (alone[2].y == poisoned[2].y).all()


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: LabelFlip(1), "num_classes=1"),
        (lambda: LabelNoise(5, 1.5), "rate=1.5"),
        (lambda: SensorDrift(noise=-1), "noise=-1"),
        (lambda: SensorDrift(offset=np.nan), "offset=nan"),
        (lambda: Trigger.corner((4, 4, 1), size=5), "size=5 does not fit an image of 4 x 4"),
        (lambda: Trigger((99,)).stamp(images().x), r"\(99,\) must lie in 0 to 15"),
        (lambda: Backdoor(TRIGGER, target=-1), "target=-1"),
        (lambda: Backdoor(TRIGGER, target=1, fraction=2), "fraction=2"),
        (
            lambda: Backdoor(TRIGGER, 0).test_set(ClientData(np.zeros((2, 16)), np.zeros(2))),
            "class 0",
        ),
        (lambda: poison_clients([images()], [1], LabelFlip(5), 0), "client 1 is not one of 0 to 0"),
    ],
)
def test_settings_that_make_no_sense_are_named(make: Callable, named: str) -> None:
    with pytest.raises(TaskError, match=named):
        make()
