"""Light and camera, in the terms of a certificate.

An L2 radius says little to someone who asks about a brighter lamp. :func:`light_in_l2` gives the
length of such a change, which for brightness grows with the root of the number of pixels: a shift
that nobody notices is often far outside of every radius. Then L2 is the wrong question, and
smoothing over the one number that changes is the right one
(:class:`~helpers.robustness.certification.smoothing.Smoothing`, ``over``): noise on the brightness,
or on the logarithm of the contrast. Both add up when done twice, which is what the proof needs, so
the radius bounds that number (Li et al., *TSS: transformation-specific smoothing for robustness
certification*, CCS 2021).

What such a certificate covers is the change itself, of every pixel by the same amount. A camera
that saturates, or rounds to 8 bits, does a little more, and that little is not covered. Rotation is
not offered: two rotations of a pixel grid are not one, as each interpolates, and without a bound of
that error the certificate would be false (Fischer, Baader and Vechev, *Certified defense to image
transformations via randomized smoothing*, NeurIPS 2020).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.errors import RobustnessError
from helpers.robustness._checks import require_finite, require_not_negative, require_positive
from helpers.robustness.budget import distances
from helpers.robustness.certification.noise import MID_GREY


def change_light(
    images: ArrayLike,
    *,
    brightness: float = 0.0,
    contrast: float = 1.0,
    noise: float = 0.0,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Change light and camera: contrast about mid-grey, then brightness, then sensor noise.

    Parameters
    ----------
    images
        ``(n, ...)`` in [0, 1].
    brightness
        Added to every pixel.
    contrast
        Factor of the distance from mid-grey, above 0.
    noise
        Standard deviation of Gaussian noise on each pixel.
    seed
        Of the noise.

    Returns
    -------
    numpy.ndarray
        float32 ``(n, ...)``, clipped to [0, 1] as a camera does.

    Raises
    ------
    RobustnessError
        If a number is out of its range, or there is no image.
    """
    clean = np.asarray(images, np.float32)
    require_finite("images", clean)
    require_positive("contrast", contrast)
    require_not_negative("noise", noise)
    if not math.isfinite(brightness):
        raise RobustnessError(f"brightness={brightness!r} must be finite.")
    changed = (clean - MID_GREY) * np.float32(contrast) + MID_GREY + np.float32(brightness)
    if noise:
        drawn = np.random.default_rng(seed).standard_normal(clean.shape, np.float32)
        changed += np.float32(noise) * drawn
    return np.clip(changed, 0, 1).astype(np.float32)


def light_in_l2(
    images: ArrayLike,
    *,
    brightness: float = 0.0,
    contrast: float = 1.0,
    noise: float = 0.0,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Return the L2 length of a change of light or camera on each image.

    Parameters
    ----------
    images
        ``(n, ...)`` in [0, 1].
    brightness, contrast, noise, seed
        As in :func:`change_light`.

    Returns
    -------
    numpy.ndarray
        float64 ``(n,)``, to compare with certified radii. Without clipping a shift of the
        brightness has the length of the shift times the root of the number of values.

    Raises
    ------
    RobustnessError
        As for :func:`change_light`.
    """
    changed = change_light(images, brightness=brightness, contrast=contrast, noise=noise, seed=seed)
    return distances(images, changed, "l2")
