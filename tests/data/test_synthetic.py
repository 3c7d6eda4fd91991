"""Drawn images can be learnt, are not trivial, and depend on the seed alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from skimage.feature import hog
from sklearn.linear_model import RidgeClassifier

from helpers.data import synthetic


@pytest.mark.parametrize(("side", "channels"), [(28, 1), (32, 3)])
def test_images_have_the_shape_range_and_balance_promised(side: int, channels: int) -> None:
    images, labels = synthetic.shapes(203, side, channels, np.random.default_rng(0))
    assert images.shape == (203, side, side, channels)
    assert images.dtype == np.float32
    assert labels.dtype == np.int32
    assert images.min() >= 0
    assert images.max() <= 1
    assert set(np.bincount(labels)) == {20, 21}


def test_the_generator_alone_decides_the_images() -> None:
    first, again, other = (
        synthetic.shapes(50, 28, 1, np.random.default_rng(seed))[0] for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_edges_tell_the_classes_that_single_pixels_do_not() -> None:
    rng = np.random.default_rng(0)
    x, y = synthetic.shapes(3_000, 28, 1, rng)
    x_test, y_test = synthetic.shapes(1_000, 28, 1, rng)

    def accuracy(features: Callable[[np.ndarray], np.ndarray]) -> float:
        model = RidgeClassifier(alpha=10.0).fit([features(image) for image in x], y)
        return float(model.score([features(image) for image in x_test], y_test))

    def edges(image: np.ndarray) -> np.ndarray:
        return hog(image[..., 0], pixels_per_cell=(7, 7), cells_per_block=(2, 2))

    # chance is 0.1; its standard error over 1,000 images is below 0.01
    pixels = accuracy(np.ravel)
    assert 0.2 < pixels < 0.6
    assert accuracy(edges) > pixels + 0.2
