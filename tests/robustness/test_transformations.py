"""Input transformations: what they do, and what is left of them under who knows them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from helpers.errors import RobustnessError
from helpers.robustness.budget import Budget
from helpers.robustness.gradients import vanishing_gradients
from helpers.robustness.losses import logits_of
from helpers.robustness.target import Target
from helpers.robustness.transformations import (
    adapt,
    attack_defended,
    defend,
    fewer_levels,
    jpeg,
    median,
    random_resizing,
)
from tests.robustness.conftest import Examples

if TYPE_CHECKING:
    import tensorflow as tf

IMAGES = np.random.default_rng(0).random((3, 8, 10, 3)).astype(np.float32)


@given(st.integers(1, 8))
def test_few_bits_leave_few_levels_and_a_second_pass_changes_nothing(bits: int) -> None:
    once = fewer_levels(bits)(IMAGES)
    assert len(np.unique(once)) <= 2**bits
    assert np.abs(once - IMAGES).max() <= 0.5 / (2**bits - 1) + 1e-6
    np.testing.assert_array_equal(fewer_levels(bits)(once), once)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_pillows(channels: int) -> None:
    images = IMAGES[..., :channels]
    stream = io.BytesIO()
    code = np.rint(images[1] * 255).astype(np.uint8)
    Image.fromarray(code[..., 0] if channels == 1 else code).save(stream, "JPEG", quality=30)
    expected = np.asarray(Image.open(stream)).reshape(code.shape) / 255
    np.testing.assert_allclose(jpeg(30)(images)[1], expected, atol=1e-6)


def test_the_median_is_scipys() -> None:
    expected = ndimage.median_filter(IMAGES, (1, 3, 3, 1), mode="reflect")
    np.testing.assert_allclose(median(3)(IMAGES), expected)


def test_a_random_size_draws_anew_for_each_image_and_repeats_from_a_seed() -> None:
    same = np.ones((4, 16, 16, 1), np.float32)
    shrunk = random_resizing(0.5)(same, seed=1)
    areas = shrunk.sum(axis=(1, 2, 3)) / 256
    assert len(np.unique(areas)) == 4
    assert (areas > 0.2).all()
    assert (areas < 1).all()
    np.testing.assert_array_equal(random_resizing(0.5)(same, seed=1), shrunk)
    assert (random_resizing(0.5)(same, seed=2) != shrunk).any()


@pytest.fixture(scope="module")
def source(network: tf.keras.Model) -> Target:
    """Float answers and logits with gradients: what the defence does, and nothing else."""
    logits = logits_of(network)
    return Target(lambda rows: np.asarray(logits(rows)), logits)


def test_rounding_masks_the_gradient_and_bpda_gives_it_back(
    source: Target, examples: Examples
) -> None:
    x, y = examples
    levels, budget = fewer_levels(2), Budget(0.2)
    assert vanishing_gradients(defend(source, levels).differentiable(), x, y) == 1
    assert vanishing_gradients(adapt(source, levels).differentiable(), x, y) < 0.05
    naive = attack_defended(source, levels, x, y, budget, knows="naive")
    adaptive = attack_defended(source, levels, x, y, budget)
    assert naive.correct.mean() > 0.9
    assert adaptive.robust_accuracy < naive.robust_accuracy - 0.3


def test_a_random_size_stops_who_does_not_know_it_and_not_who_averages(
    source: Target, examples: Examples
) -> None:
    x, y = examples[0][:60], examples[1][:60]
    resize, budget = random_resizing(0.85), Budget(0.2)
    unaware = attack_defended(source, resize, x, y, budget, knows="unaware")
    averaged = attack_defended(source, resize, x, y, budget, steps=10)
    assert averaged.robust_accuracy < unaware.robust_accuracy - 0.1


def test_settings_out_of_range_are_refused(source: Target, examples: Examples) -> None:
    with pytest.raises(RobustnessError, match="bits=0"):
        fewer_levels(0)
    with pytest.raises(RobustnessError, match="quality=99"):
        jpeg(99)
    with pytest.raises(RobustnessError, match="smallest=1"):
        random_resizing(1)
    with pytest.raises(RobustnessError, match="knows='all'"):
        attack_defended(source, jpeg(), *examples, Budget(0.1), knows="all")  # type: ignore[arg-type]
