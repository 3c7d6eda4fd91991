"""What the sensor and the radio link do: too little light, and compression."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from helpers.robustness.perturbations.image import (
    Image,
    perturbation,
    scale_of,
    to_coded,
    to_linear,
)

PHOTONS_AT_WHITE = (60.0, 25.0, 12.0, 5.0, 3.0)  # ImageNet-C's shot noise, a pixel at 224
LOW_LIGHT_EXPOSURE = (0.6, 0.45, 0.33, 0.24, 0.17)  # of the light of a well-exposed picture
_READ_NOISE = 1.0  # electrons, standard deviation
JPEG_QUALITY = (25, 18, 15, 10, 7)  # ImageNet-C


@perturbation
def low_light(image: Image, severity: int, rng: np.random.Generator) -> NDArray[np.floating]:
    """Take the picture at dusk: darker, and grainy because light comes in photons.

    A pixel counts photons, and a count of mean N scatters by the root of N (Poisson); the amplifier
    adds read noise of one electron. White is worth 60, 25, 12, 5 and 3 photons, the published
    constants of ImageNet-C's shot noise, at 224 pixels. A larger pixel collects more: at 96 pixels
    a side it gets 5.4 times as many. On top, the picture stays underexposed: 60, 45, 33, 24 and
    17 % of the light, which are our constants.

    Parameters
    ----------
    image
        float32 ``(h, w, 3)`` in [0, 1].
    severity
        0 (unchanged) to 5.
    rng
        Draws the photons and the read noise.

    Returns
    -------
    numpy.ndarray
        float32, as the image.

    Raises
    ------
    RobustnessError
        If the image or the severity is not as said.
    """
    white = PHOTONS_AT_WHITE[severity - 1] / scale_of(image) ** 2
    electrons = rng.poisson(to_linear(image) * white) + rng.normal(0.0, _READ_NOISE, image.shape)
    return to_coded(LOW_LIGHT_EXPOSURE[severity - 1] * electrons / white)


@perturbation
def jpeg(image: Image, severity: int, rng: np.random.Generator) -> NDArray[np.floating]:
    """Send the picture through a narrow radio link: JPEG at low quality.

    JPEG rounds the cosine transform of each block of 8 by 8 pixels. The quality is that of
    ImageNet-C: 25, 18, 15, 10, 7. The camera compresses the frame it takes, not the small picture
    that a detector gets. So an image well below 224 pixels is enlarged by a whole factor,
    compressed, and averaged back. It comes out a little better than from a real frame, because it
    never had the fine detail that JPEG loses first.

    Parameters
    ----------
    image, severity
        As for :func:`low_light`.
    rng
        Not used: nothing about it is random.

    Returns
    -------
    numpy.ndarray
        float32, as the image.

    Raises
    ------
    RobustnessError
        If the image or the severity is not as said.
    """
    from PIL import Image as Pictures

    factor = max(1, round(1 / scale_of(image)))
    height, width = image.shape[:2]
    picture = Pictures.fromarray(np.rint(image * 255).astype(np.uint8))
    if factor > 1:
        picture = picture.resize((width * factor, height * factor), Pictures.Resampling.BICUBIC)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=JPEG_QUALITY[severity - 1])
    with Pictures.open(file) as decoded:
        pixels = np.asarray(decoded, np.float32) / 255
    return pixels.reshape(height, factor, width, factor, 3).mean(axis=(1, 3))
