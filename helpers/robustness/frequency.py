"""How a model's answers depend on fine and coarse structure: bands, spectra, sensitivity maps.

A picture is a sum of waves. Coarse structure, such as a veil of light, is in waves that go through
the picture a few times; fine structure, such as grain, in those that go through it often.
Frequencies here are counted in cycles a picture, along its rows and columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from helpers.errors import RobustnessError
from helpers.robustness._checks import checked_pairs, require_not_negative, require_whole
from helpers.robustness._traced import traced
from helpers.robustness.losses import cross_entropy, require_logits

# Inputs (n, h, w, c) -> class indices (n,).
Labels = Callable[[NDArray[np.float32]], NDArray[np.int64]]
_BATCH = 256


@dataclass(frozen=True)
class Band:
    """A ring of frequencies.

    Attributes
    ----------
    low, high
        Cycles a picture; from ``low`` up to but not including ``high``. The mean, frequency zero,
        is in a band whose ``low`` is 0. Corners of a square spectrum reach ``side / sqrt(2)``.

    Raises
    ------
    RobustnessError
        If the band is empty or begins below 0.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high:
            raise RobustnessError(
                f"A band from {self.low} to {self.high} holds nothing: give 0 <= low < high, in "
                "cycles a picture."
            )

    def mask(self, height: int, width: int) -> NDArray[np.bool_]:
        """Return which coefficients of ``np.fft.fft2`` lie in the band, bool ``(height, width)``.

        Raises
        ------
        RobustnessError
            If none does.
        """
        radius = radial_frequencies(height, width)
        chosen: NDArray[np.bool_] = (self.low <= radius) & (radius < self.high)
        if not chosen.any():
            raise RobustnessError(
                f"No frequency of a {height} x {width} picture lies from {self.low:g} to "
                f"{self.high:g}; its highest is {radius.max():.4g} cycles."
            )
        return chosen


def radial_frequencies(height: int, width: int) -> NDArray[np.float64]:
    """Return the frequency of each coefficient of ``np.fft.fft2``, ``(height, width)``, in cycles.

    A picture that is not square is measured along its longer side, so that a ring holds waves of
    one length in pixels.
    """
    _require_sides(height, width)
    side = max(height, width)
    rows, columns = np.fft.fftfreq(height) * side, np.fft.fftfreq(width) * side
    return np.hypot(rows[:, None], columns[None, :])


def band_pass(images: ArrayLike, band: Band) -> NDArray[np.float32]:
    """Keep one band of pictures, or of differences of pictures.

    Parameters
    ----------
    images
        ``(n, h, w, c)``.
    band
        What to keep. ``Band(0, f)`` is a low-pass filter. The result may leave [0, 1].

    Returns
    -------
    numpy.ndarray
        float32 ``(n, h, w, c)``.

    Raises
    ------
    RobustnessError
        If the pictures are not finite, or not ``(n, h, w, c)``.
    """
    values = _pictures(images)
    spectrum = np.fft.fft2(values, axes=(1, 2))
    spectrum *= band.mask(*values.shape[1:3])[None, :, :, None]
    return np.fft.ifft2(spectrum, axes=(1, 2)).real.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Spectrum:
    """How the energy of pictures is spread over rings of one cycle's width.

    Attributes
    ----------
    frequencies
        float64 ``(rings,)``: 0, 1, 2, ... cycles a picture.
    share
        float64 ``(rings,)``: share of the whole energy, sums to 1.
    """

    frequencies: NDArray[np.float64]
    share: NDArray[np.float64]

    def below(self, frequency: float) -> float:
        """Return the share of the energy in rings below a frequency."""
        return float(self.share[self.frequencies < frequency].sum())


def spectrum(differences: ArrayLike) -> Spectrum:
    """Return where the energy of changes lies, on the mean over pictures and colours.

    Parameters
    ----------
    differences
        ``(n, h, w, c)``, such as spoilt minus clean pictures. Each picture counts alike, however
        large its change.

    Returns
    -------
    Spectrum
        Shares by ring; a ring holds the frequencies that round to its number.

    Raises
    ------
    RobustnessError
        If no picture has changed.
    """
    values = _pictures(differences)
    energy = (np.abs(np.fft.fft2(values, axes=(1, 2))) ** 2).sum(axis=3)
    totals = energy.sum(axis=(1, 2))
    if not (totals > 0).any():
        raise RobustnessError("No picture differs: there is no energy to spread.")
    energy = (energy[totals > 0] / totals[totals > 0, None, None]).mean(axis=0)
    rings = np.rint(radial_frequencies(*values.shape[1:3])).astype(int)
    share = np.bincount(rings.ravel(), energy.ravel())
    return Spectrum(np.arange(len(share), dtype=np.float64), share / share.sum())


def band_limited_pgd(
    model: tf.keras.Model,
    inputs: ArrayLike,
    labels: ArrayLike,
    epsilon: float,
    band: Band,
    *,
    steps: int = 20,
    step_size: float | None = None,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Attack with a change that has waves of one band only: PGD in L2 on a subspace.

    Each gradient is filtered before its step, so that the attack climbs as steeply as the band
    allows; the change is shortened to the budget. Two bands with the same ``epsilon`` have the same
    energy to spend. At the end pixels are clipped to [0, 1], which leaks a little into other bands:
    :func:`spectrum` of the change tells how much.

    Parameters
    ----------
    model
        Keras model, pictures to logits.
    inputs, labels
        float32 ``(n, h, w, c)`` in [0, 1], and classes ``(n,)``.
    epsilon
        L2 radius.
    band
        Where the change may have energy.
    steps, step_size
        Gradient steps, and their length; 2.5 ``epsilon / steps`` when left out.
    seed
        Of the random starts.

    Returns
    -------
    numpy.ndarray
        float32 ``(n, h, w, c)`` in [0, 1], within ``epsilon``.

    Raises
    ------
    RobustnessError
        If a setting is out of its range, or no frequency lies in the band.

    References
    ----------
    Sharma, Ding and Brubaker, *On the effectiveness of low frequency perturbations*, IJCAI 2019.
    """
    clean, truth = checked_pairs(inputs, labels)
    _pictures(clean)
    require_not_negative("epsilon", epsilon)
    require_whole("steps", steps, at_least=1)
    step = 2.5 * epsilon / steps if step_size is None else step_size
    require_not_negative("step_size", step)
    require_logits(np.asarray(model(tf.constant(clean[:8]), training=False)))
    mask = tf.constant(band.mask(*clean.shape[1:3])[None, None], tf.complex64)
    rng = np.random.default_rng(seed)
    climb = _compiled(model, clean.shape[1:])
    found = []
    for i in range(0, len(clean), _BATCH):
        rows, goal = clean[i : i + _BATCH], truth[i : i + _BATCH]
        start = tf.constant(rng.normal(size=rows.shape), tf.float32)
        settings = (np.float32(epsilon), np.float32(step), np.int32(steps))
        found.append(climb(tf.constant(rows), tf.constant(goal), start, mask, *settings))
    return np.concatenate([part.numpy() for part in found])


def _compiled(model: tf.keras.Model, shape: tuple[int, ...]) -> Callable[..., Any]:
    """Trace the attack once for a model and pictures of one shape, whatever the band."""
    kept = traced((model,), ("band", shape), lambda answers: _loop(answers, shape))
    return _loop(model, shape) if kept is None else kept


def _loop(answers: Callable[[Any], Any], shape: tuple[int, ...]) -> Callable[..., Any]:
    rows, labels = tf.TensorSpec((None, *shape), tf.float32), tf.TensorSpec((None,), tf.int64)
    mask, number = tf.TensorSpec((1, 1, *shape[:2]), tf.complex64), tf.TensorSpec((), tf.float32)
    signature = (rows, labels, rows, mask, number, number, tf.TensorSpec((), tf.int32))
    compiled: Callable[..., Any] = tf.function(partial(_climb, answers), input_signature=signature)
    return compiled


def _climb(
    answers: Any, rows: Any, goal: Any, start: Any, mask: Any, epsilon: Any, step: Any, steps: Any
) -> Any:
    change = tf.ensure_shape(_shortened(_filtered(start, mask), epsilon), rows.shape)
    for _ in tf.range(steps):
        with tf.GradientTape() as tape:
            tape.watch(change)
            logits = answers(tf.clip_by_value(rows + change, 0.0, 1.0))
            losses = cross_entropy(logits, goal)
        uphill = _filtered(tape.gradient(losses, change), mask)
        moved = change + step * uphill / tf.maximum(_length(uphill), 1e-12)
        change = tf.ensure_shape(_shortened(moved, epsilon), rows.shape)
    return tf.clip_by_value(rows + change, 0.0, 1.0)


def _filtered(values: Any, mask: Any) -> Any:
    """Keep the waves of a mask ``(1, 1, h, w)``, picture by picture and colour by colour."""
    planes = tf.cast(tf.transpose(values, (0, 3, 1, 2)), tf.complex64)
    kept = tf.signal.ifft2d(tf.signal.fft2d(planes) * mask)
    return tf.transpose(tf.math.real(kept), (0, 2, 3, 1))


def _length(values: Any) -> Any:
    return tf.sqrt(tf.reduce_sum(tf.square(values), axis=(1, 2, 3), keepdims=True))


def _shortened(change: Any, epsilon: Any) -> Any:
    return change * tf.minimum(1.0, epsilon / tf.maximum(_length(change), 1e-12))


@dataclass(frozen=True, eq=False)
class SensitivityMap:
    """Error rate under one wave at a time.

    Attributes
    ----------
    rows, columns
        int64: frequencies down and across that were tried, in cycles a picture.
    errors
        float64 ``(rows, columns)``: share of pictures that the model gets wrong.
    clean_error
        Share that it gets wrong unchanged.
    epsilon
        L2 length of a wave.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    errors: NDArray[np.float64]
    clean_error: float
    epsilon: float


def sensitivity_map(
    predict: Labels,
    inputs: ArrayLike,
    labels: ArrayLike,
    epsilon: float,
    *,
    frequencies: Sequence[int] | None = None,
    seed: int = 0,
    progress: bool = False,
) -> SensitivityMap:
    """Add one wave of fixed energy at a time, and count errors.

    Parameters
    ----------
    predict
        Pictures to labels, such as ``target.labels`` of the deployed file.
    inputs, labels
        float32 ``(n, h, w, c)`` in [0, 1], and classes ``(n,)``.
    epsilon
        L2 length of a wave over all colours; each colour has its own random sign.
    frequencies
        Whole cycles a picture to try, across from 0 and down both ways; all up to half the shorter
        side when left out.
    seed
        Of the signs, which differ from picture to picture.
    progress
        Whether to show a progress bar.

    Returns
    -------
    SensitivityMap
        Rows from the most negative frequency to the highest, columns from 0. The other half is its
        mirror image: a real wave has both.

    Raises
    ------
    RobustnessError
        If a setting is out of its range.

    References
    ----------
    Yin, Gontijo Lopes, Shlens, Cubuk and Gilmer, *A Fourier perspective on model robustness in
    computer vision*, NeurIPS 2019, section 3.
    """
    clean, truth = checked_pairs(inputs, labels)
    _pictures(clean)
    require_not_negative("epsilon", epsilon)
    across = _tried(frequencies, min(clean.shape[1:3]) // 2)
    down = np.unique(np.concatenate([-across, across]))
    rng = np.random.default_rng(seed)
    errors = np.zeros((len(down), len(across)))
    with tqdm(total=errors.size, desc="waves", unit="wave", disable=not progress) as bar:
        for i, row in enumerate(down):
            for j, column in enumerate(across):
                wave = fourier_wave(clean.shape[1], clean.shape[2], int(row), int(column))
                signs = rng.choice([-1.0, 1.0], (len(clean), 1, 1, clean.shape[3]))
                change = signs * wave[None, :, :, None] * (epsilon / np.sqrt(clean.shape[3]))
                spoilt = np.clip(clean + change, 0.0, 1.0).astype(np.float32)
                errors[i, j] = float(np.mean(predict(spoilt) != truth))
                bar.update()
    clean_error = float(np.mean(predict(clean) != truth))
    return SensitivityMap(down, across, errors, clean_error, float(epsilon))


def fourier_wave(height: int, width: int, row: int, column: int) -> NDArray[np.float64]:
    """Return the wave of one frequency, ``(height, width)``, with L2 length 1.

    Parameters
    ----------
    height, width
        Of the picture.
    row, column
        Whole cycles down and across; a wave of both signs is the same one.

    Raises
    ------
    RobustnessError
        If a side or a frequency is no whole number.
    """
    _require_sides(height, width)
    for name, cycles in (("row", row), ("column", column)):
        require_whole(name, cycles, at_least=-max(height, width))
    y, x = np.mgrid[:height, :width]
    # A quarter turn less, and the fastest wave would be sampled where it is zero.
    wave = np.cos(2 * np.pi * (row * y / height + column * x / width) - np.pi / 4)
    return np.asarray(wave / np.linalg.norm(wave))


def _require_sides(height: int, width: int) -> None:
    require_whole("height", height, at_least=1)
    require_whole("width", width, at_least=1)


def _tried(frequencies: Sequence[int] | None, most: int) -> NDArray[np.int64]:
    if frequencies is None:
        return np.arange(most + 1)
    for frequency in frequencies:
        require_whole("frequencies", frequency, at_least=0)
        if frequency > most:
            raise RobustnessError(
                f"frequencies={frequency} is above {most}, half the shorter side: it would be "
                "seen as a slower wave."
            )
    if not len(frequencies):
        raise RobustnessError("frequencies is empty: give at least one.")
    return np.unique(np.asarray(frequencies, np.int64))


def _pictures(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    if array.ndim != 4 or not array.size or not np.isfinite(array).all():
        raise RobustnessError(
            f"An array of shape {array.shape} was given; expected finite pictures (n, h, w, c)."
        )
    return array
