"""Weather: fog and rain between the camera and the ground."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from helpers.robustness.perturbations.image import (
    Image,
    deposit,
    fractal_noise,
    line_kernel,
    perturbation,
    spread_light,
    to_coded,
    to_linear,
)

# ImageNet-C: weight of the fog against 1 of the picture, and decay of its roughness
FOG_WEIGHT_DECAY = ((1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4))
# Linear; half of full scale as a file codes it, the mean of the published fog. The camera keeps its
# exposure of the whole picture, so thick fog comes out grey and not white.
_FOG_LIGHT = np.array([0.22, 0.225, 0.235], np.float32)
_FOG_PATCHES = (0.25, 0.25, 0.25, 0.35, 0.35)  # spread of the density, of its mean

RAIN_STREAKS = (80, 160, 260, 400, 600)  # a frame
RAIN_TRANSMISSION = (0.93, 0.87, 0.80, 0.72, 0.64)  # of the veil of far drops
# Distances from the camera: share of the drops, length and width of a streak in sides, opacity
_RAIN_LAYERS = ((0.60, 0.035, 0.004, 0.35), (0.30, 0.075, 0.007, 0.45), (0.10, 0.150, 0.011, 0.55))
_RAIN_LIGHT = np.array([0.72, 0.74, 0.78], np.float32)  # linear; drops refract the sky
_RAIN_VEIL = np.array([0.55, 0.56, 0.58], np.float32)  # linear; far drops lit by the sky
_RAIN_TILT = np.deg2rad(25.0)


@perturbation
def fog(image: Image, severity: int, rng: np.random.Generator) -> NDArray[np.floating]:
    """Put fog between the camera and a ground at one distance.

    Koschmieder's law: of the light of the ground the share ``t = exp(-b d)`` arrives, and fog lit
    by the sky adds ``(1 - t) A``. Seen from a drone the distance ``d`` is nearly the same all over,
    so the density ``b`` alone varies, in banks. ImageNet-C mixes the picture, of weight 1, with fog
    of weight w = 1.5, 2, 2.5, 2.5, 3, which leaves ``1 / (1 + w)`` of the contrast; here that is
    the mean of ``t``, and the fog is as bright as theirs. The banks become rougher, as there.

    Parameters
    ----------
    image
        float32 ``(h, w, 3)`` in [0, 1].
    severity
        0 (unchanged) to 5.
    rng
        Draws the banks.

    Returns
    -------
    numpy.ndarray
        float32, as the image.

    Raises
    ------
    RobustnessError
        If the image or the severity is not as said.
    """
    weight, decay = FOG_WEIGHT_DECAY[severity - 1]
    banks = fractal_noise(image.shape[:2], rng, decay)
    density = np.clip(1.0 + _FOG_PATCHES[severity - 1] * banks, 0.2, None)
    through = np.exp(-np.log1p(weight) * density)[..., None]
    through = np.minimum(through / through.mean() / (1.0 + weight), 1.0)
    return to_coded(to_linear(image) * through + _FOG_LIGHT * (1.0 - through))


@perturbation
def rain(image: Image, severity: int, rng: np.random.Generator) -> NDArray[np.floating]:
    """Let rain fall between the camera and the ground.

    A falling drop crosses many pixels during the exposure and leaves a streak. It refracts light
    from most of the sky, so a streak is brighter than what is behind it (Garg and Nayar, *Vision
    and rain*, IJCV 2007). Near drops are few, long and wide, far ones many, short and thin; the
    farthest melt into a veil, which acts as fog does. 80, 160, 260, 400 and 600 streaks a frame,
    and a veil that lets 93, 87, 80, 72 and 64 % through; the constants are ours.

    Parameters
    ----------
    image, severity
        As for :func:`fog`.
    rng
        Draws the slant of the rain and the place of each streak.

    Returns
    -------
    numpy.ndarray
        float32, as the image.

    Raises
    ------
    RobustnessError
        If the image or the severity is not as said.
    """
    angle = np.pi / 2 + rng.uniform(-_RAIN_TILT, _RAIN_TILT)
    depth = np.zeros((*image.shape[:2], 1), np.float32)
    for share, length, width, opacity in _RAIN_LAYERS:
        count = round(share * RAIN_STREAKS[severity - 1])
        depth += opacity * _streaks(image.shape[:2], count, length, width, angle, rng)
    clear = np.exp(-depth)
    veil = RAIN_TRANSMISSION[severity - 1]
    behind = to_linear(image) * veil + _RAIN_VEIL * (1.0 - veil)
    return to_coded(behind * clear + _RAIN_LIGHT * (1.0 - clear))


def _streaks(
    shape: tuple[int, ...],
    count: int,
    length: float,
    width: float,
    angle: float,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Return how often drops covered each pixel, ``(h, w, 1)``; a thin streak covers a part."""
    from scipy.ndimage import gaussian_filter

    side = np.sqrt(shape[0] * shape[1])
    margin = int(np.ceil(length * side / 2)) + 1  # streaks that begin outside
    canvas = np.zeros((shape[0] + 2 * margin, shape[1] + 2 * margin), np.float32)
    # The margin is a share of the frame, so that one seed gives the same rain at every size.
    y, x = rng.uniform(-length / 2, 1 + length / 2, (2, count))
    deposit(
        canvas,
        x * shape[1] + margin - 0.5,
        y * shape[0] + margin - 0.5,
        length * side * width * side,
    )
    lines = spread_light(canvas[..., None], line_kernel(length * side, angle))[..., 0]
    # A Gaussian of this deviation is as high in its middle as a streak of that width.
    wide = gaussian_filter(lines, width * side / np.sqrt(2 * np.pi))
    return wide[margin : margin + shape[0], margin : margin + shape[1], None]
