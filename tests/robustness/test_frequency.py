"""Bands, spectra, band-limited attacks and sensitivity maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.errors import RobustnessError
from helpers.robustness.frequency import (
    Band,
    band_limited_pgd,
    band_pass,
    fourier_wave,
    radial_frequencies,
    sensitivity_map,
    spectrum,
)

if TYPE_CHECKING:
    import tensorflow as tf

    from tests.robustness.conftest import Examples


def drawn(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).random(shape).astype(np.float32)


@given(st.integers(2, 9), st.integers(2, 9), st.floats(0.5, 6))
def test_two_bands_that_share_all_frequencies_add_up_to_the_picture(
    height: int, width: int, cut: float
) -> None:
    images = drawn(height * 10 + width, 2, height, width, 3)
    top = radial_frequencies(height, width).max()
    if cut > top:
        with pytest.raises(RobustnessError, match="its highest is"):
            Band(cut, cut + 1).mask(height, width)
        return
    parts = band_pass(images, Band(0, cut)) + band_pass(images, Band(cut, top + 1))
    np.testing.assert_allclose(parts, images, atol=1e-5)


def test_a_filter_keeps_a_wave_of_its_band_and_removes_any_other() -> None:
    wave = fourier_wave(16, 16, 3, 4)[None, :, :, None]  # 5 cycles: 3, 4, 5
    np.testing.assert_allclose(band_pass(wave, Band(4.9, 5.1)), wave, atol=1e-6)
    np.testing.assert_allclose(band_pass(wave, Band(0, 4.9)), 0, atol=1e-6)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 8), (8, 8), (3, 0), (-2, 5), (8, 0)])
def test_every_wave_has_length_one_and_one_frequency(row: int, column: int) -> None:
    wave = fourier_wave(16, 16, row, column)
    assert np.linalg.norm(wave) == pytest.approx(1)
    found = spectrum(wave[None, :, :, None])
    assert found.share.sum() == pytest.approx(1)
    assert found.share[round(np.hypot(row, column))] == pytest.approx(1)


def test_energy_in_the_rings_is_that_of_the_pixels() -> None:
    """Parseval: a mixture of two waves spreads as the squares of their lengths."""
    both = 3 * fourier_wave(20, 12, 2, 1) + 4 * fourier_wave(20, 12, -6, 3)
    found = spectrum(both[None, :, :, None])
    slow = round(np.hypot(2, 1 * 20 / 12))
    assert found.share[slow] == pytest.approx(9 / 25)
    assert found.below(slow + 1) == pytest.approx(9 / 25)


def test_an_attack_keeps_to_its_budget_and_its_band(
    network: tf.keras.Model, examples: Examples
) -> None:
    import tensorflow as tf

    logits = tf.keras.models.clone_model(network)
    logits.set_weights(network.get_weights())
    logits.layers[-1].activation = tf.keras.activations.linear
    inputs, labels = examples
    # away from black and white, where clipping would leak
    inputs = 0.25 + 0.5 * inputs
    band, epsilon = Band(0.5, 2.5), 0.2
    spoilt = band_limited_pgd(logits, inputs, labels, epsilon, band, steps=10)
    change = spoilt - inputs
    lengths = np.linalg.norm(change.reshape(len(change), -1), axis=1)
    assert lengths.max() <= epsilon * (1 + 1e-4)
    assert np.abs(change - band_pass(change, band)).max() < 1e-5

    def accuracy(rows: np.ndarray) -> float:
        return float(np.mean(logits.predict(rows, verbose=0).argmax(1) == labels))

    # gradient, not energy: a random change of the same band and length does less
    random = band_pass(np.random.default_rng(0).normal(size=inputs.shape), band)
    random *= epsilon / np.linalg.norm(random.reshape(len(random), -1), axis=1)[:, None, None, None]
    assert accuracy(spoilt) < accuracy(inputs + random.astype(np.float32)) - 0.1
    again = band_limited_pgd(logits, inputs, labels, epsilon, band, steps=10)
    np.testing.assert_array_equal(spoilt, again)


def test_a_map_finds_the_wave_that_a_classifier_listens_to() -> None:
    """A classifier that measures one wave and nothing else."""
    side, inputs = 8, np.full((40, 8, 8, 3), 0.5, np.float32)
    wave = fourier_wave(side, side, -2, 3)

    def predict(images: np.ndarray) -> np.ndarray:
        seen = ((images - 0.5) * wave[None, :, :, None]).sum(axis=(1, 2))
        return (np.abs(seen).max(axis=1) > 0.1).astype(np.int64)

    found = sensitivity_map(predict, inputs, np.zeros(40, int), epsilon=0.5)
    assert found.clean_error == 0
    hit = np.argwhere(found.errors > 0)
    assert [(found.rows[i], found.columns[j]) for i, j in hit] == [(-2, 3)]
    assert found.errors.max() == 1
    few = sensitivity_map(predict, inputs, np.zeros(40, int), 0.5, frequencies=[0, 2, 3])
    assert few.columns.tolist() == [0, 2, 3]
    assert few.rows.tolist() == [-3, -2, 0, 2, 3]


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(RobustnessError, match="from 3 to 3"):
        Band(3, 3)
    with pytest.raises(RobustnessError, match=r"\(4, 4\)"):
        band_pass(np.zeros((4, 4)), Band(0, 1))
    with pytest.raises(RobustnessError, match="No picture differs"):
        spectrum(np.zeros((1, 4, 4, 1)))
    with pytest.raises(RobustnessError, match="above 2"):
        sensitivity_map(
            lambda x: np.zeros(len(x), np.int64),
            np.zeros((1, 4, 4, 1)),
            np.zeros(1, int),
            0.1,
            frequencies=[3],
        )
