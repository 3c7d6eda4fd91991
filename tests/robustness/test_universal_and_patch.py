from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from helpers import data
from helpers.errors import RobustnessError
from helpers.robustness.budget import Budget, Norm
from helpers.robustness.losses import logits_of
from helpers.robustness.patch import (
    PRINTABLE,
    Placement,
    apply_patch,
    save_patch,
    train_patch,
)
from helpers.robustness.target import Target, judge
from helpers.robustness.universal import apply_perturbation, universal_perturbation
from tests.robustness.conftest import Examples

if TYPE_CHECKING:
    import tensorflow as tf

LIE = Placement(scale=(0.5, 0.6), turn=15, light=0.1)


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.25), ("l2", 1.5)])
def test_one_perturbation_fools_the_file_on_images_it_was_not_made_from(
    target: Target,
    network: tf.keras.Model,
    digits: data.Dataset,
    examples: Examples,
    norm: Norm,
    epsilon: float,
) -> None:
    x, y = examples
    budget = Budget(epsilon, norm)
    rows = slice(0, 500)
    change = universal_perturbation(
        logits_of(network), digits.x_train[rows], digits.y_train[rows], budget, epochs=5
    )
    assert change.shape == x.shape[1:]
    rng = np.random.default_rng(0)
    noise = budget.project(np.zeros_like(change)[None], rng.choice([-9, 9], change.shape)[None],
                           (-np.inf, np.inf))[0]  # fmt: skip
    left = {
        name: judge(target, x, y, apply_perturbation(x, c), attack=name, budget=budget)
        for name, c in (("universal", change), ("random", noise))
    }
    assert left["universal"].robust_accuracy < left["random"].robust_accuracy - 0.15


def test_a_trained_patch_does_more_than_a_random_one_wherever_it_lies(
    target: Target, network: tf.keras.Model, digits: data.Dataset, examples: Examples
) -> None:
    x, y = examples
    patch = train_patch(
        logits_of(network), digits.x_train, digits.y_train, wanted=3, placement=LIE, side=6
    )
    assert patch.min() >= PRINTABLE[0] - 1e-6
    assert patch.max() <= PRINTABLE[1] + 1e-6
    noise = np.random.default_rng(0).uniform(*PRINTABLE, patch.shape)
    says = {
        name: np.mean(target.labels(apply_patch(x[y != 3], p, LIE, seed=5)) == 3)
        for name, p in (("trained", patch), ("random", noise))
    }
    assert says["trained"] > says["random"] + 0.15


def test_an_unturned_patch_is_put_down_pixel_for_pixel_and_inside() -> None:
    patch = np.linspace(0.1, 0.9, 16).reshape(4, 4, 1).astype(np.float32)
    exact = Placement(scale=(0.5, 0.5), turn=0, light=0)
    covered = []
    for seed in range(8):
        image = apply_patch(np.zeros((1, 8, 8, 1)), patch, exact, seed)[0, ..., 0]
        covered.append(image.sum())
    # Between pixels the patch is spread out, and nothing of it is lost at the edge.
    np.testing.assert_allclose(covered, patch.sum(), rtol=0.2)
    whole = apply_patch(np.zeros((1, 4, 4, 1)), patch, Placement((1, 1), 0, 0))
    np.testing.assert_allclose(whole[0], patch, atol=1e-5)


def test_a_quarter_turn_turns_the_patch() -> None:
    from helpers.robustness import patch as module

    print_ = np.random.default_rng(1).random((5, 5, 1)).astype(np.float32)
    rng = np.random.default_rng(2)
    transforms, light = module._draw(Placement((1, 1), 0, 0), 1, (5, 5), 5, rng)
    np.testing.assert_allclose(transforms[0], [1, 0, 0, 0, 1, 0, 0, 0], atol=1e-6)
    # The same by a right angle about the middle (2, 2): x' = y, y' = 4 - x.
    turned = np.array([[0, 1, 0, -1, 0, 4, 0, 0]], np.float32)
    import tensorflow as tf

    placed = module._placed(tf.zeros((1, 5, 5, 1)), tf.constant(print_), turned, light)
    np.testing.assert_allclose(placed[0], np.rot90(print_, -1), atol=1e-5)


def test_a_saved_patch_prints_at_the_size_asked_for(tmp_path: Path) -> None:
    patch = np.random.default_rng(3).random((6, 6, 3))
    image = Image.open(save_patch(tmp_path / "patch.png", patch, centimetres=8))
    assert image.mode == "RGB"
    assert image.size[0] / image.info["dpi"][0] * 2.54 == pytest.approx(8, rel=0.01)
    block = image.size[0] // 6
    middle = np.asarray(image)[block // 2 :: block, block // 2 :: block]
    np.testing.assert_array_equal(middle, np.rint(patch * 255))


def test_what_cannot_be_a_patch_is_refused(
    tmp_path: Path, network: tf.keras.Model, examples: Examples
) -> None:
    x, y = examples
    with pytest.raises(RobustnessError, match="scale"):
        Placement(scale=(0.5, 1.5))
    with pytest.raises(RobustnessError, match=r"ends in \.png"):
        save_patch(tmp_path / "patch.jpg", np.zeros((4, 4, 3)))
    with pytest.raises(RobustnessError, match=r"must be \(side, side, 1\)"):
        apply_patch(x, np.zeros((4, 4, 3)))
    with pytest.raises(RobustnessError, match="gives probabilities"):
        train_patch(network, x, y)
