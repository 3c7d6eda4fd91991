"""Test-time filters: what a camera can do to a frame before the detector sees it.

A filter needs no training and works with a model that nobody may touch. It also changes frames that
were fine, so its price shows on clean pictures first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from helpers.errors import RobustnessError
from helpers.robustness._checks import require_finite, require_whole

_LEAST_RANGE = 1e-3  # of full scale: a picture of one colour stays as it is
# Clear drawn streets span 0.27 of full scale and more; in fog of severity 3 nearly all span less.
HAZY = 0.25


def stretch_contrast(
    images: NDArray[np.float32], low: float = 1.0, high: float = 99.0, narrow: float = 1.0
) -> NDArray[np.float32]:
    """Spread each picture's brightness over the whole range.

    Fog and veiling glare add light to every pixel, and dusk takes it away: both leave a narrow
    range of brightness. This moves the darkest and the brightest hundredth to 0 and 1, by one
    factor and one shift for all three channels, so that colours keep their proportions. A cloud
    that is brighter than everything else defeats it.

    Parameters
    ----------
    images
        float32 ``(n, h, w, 3)`` in [0, 1].
    low, high
        Percentiles that become 0 and 1.
    narrow
        Only pictures whose two percentiles are closer than this are changed; 1 changes all. A
        condition keeps a filter for fog away from clear days.

    Returns
    -------
    numpy.ndarray
        float32, as the images.

    Raises
    ------
    RobustnessError
        If the shape is another, a value is not finite, the percentiles do not rise within 0 to 100
        or `narrow` is no share.
    """
    _require_images(images)
    if not 0 <= low < high <= 100 or not 0 < narrow <= 1:
        raise RobustnessError(
            f"low={low} and high={high} must rise within 0 to 100, and narrow={narrow} must be a "
            "share above 0 and at most 1."
        )
    flat = images.reshape(len(images), -1)
    dark, bright = np.percentile(flat, [low, high], axis=1)[..., None, None, None]
    span = bright - dark
    useful = (span > _LEAST_RANGE) & (span < narrow if narrow < 1 else True)
    stretched = (images - dark) / np.where(useful, span, 1.0)
    return np.where(useful, np.clip(stretched, 0.0, 1.0), images).astype(np.float32)


def median(images: NDArray[np.float32], size: int = 3) -> NDArray[np.float32]:
    """Replace each value by the median around it, channel by channel.

    It removes what is thinner than half the window, such as noise and streaks of rain, and with
    them the windscreen of a small car.

    Parameters
    ----------
    images
        float32 ``(n, h, w, 3)``.
    size
        Side of the window, odd, at least 3.

    Returns
    -------
    numpy.ndarray
        float32, as the images.

    Raises
    ------
    RobustnessError
        If the shape is another or the size is not as said.
    """
    from scipy.ndimage import median_filter

    _require_images(images)
    require_whole("size", size, at_least=3)
    if size % 2 == 0:
        raise RobustnessError(f"size={size} must be odd.")
    return np.asarray(median_filter(images, (1, size, size, 1), mode="nearest"), np.float32)


FILTERS: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    "stretch": stretch_contrast,
    "stretch if hazy": partial(stretch_contrast, narrow=HAZY),
    "median": median,
}


def _require_images(images: NDArray[np.generic]) -> None:
    if images.dtype != np.float32 or images.ndim != 4 or images.shape[3] != 3 or not images.size:
        raise RobustnessError(
            f"images are {images.dtype} {images.shape}; expected float32 (n, h, w, 3)."
        )
    require_finite("images", images)
