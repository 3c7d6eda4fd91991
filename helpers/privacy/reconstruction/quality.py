"""How close a reconstruction came to the original."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from helpers.errors import PrivacyError

# Side of the square window over which SSIM compares two images, skimage's default. It fits the
# 8 x 8 digits; the Gaussian window of Wang et al. (2004) needs 11 pixels.
SSIM_WINDOW = 7


def psnr(a: ArrayLike, b: ArrayLike, *, data_range: float = 1.0) -> float:
    """Return the peak signal-to-noise ratio of two images.

    Parameters
    ----------
    a, b
        Images of one shape, ``(h, w)`` or ``(h, w, c)``.
    data_range
        Distance between the darkest and the brightest possible value.

    Returns
    -------
    float
        Decibels; infinite for equal images.

    Raises
    ------
    PrivacyError
        When the shapes differ or are not those of an image, or a value is not finite.
    """
    first, second = _pair(a, b)
    if np.array_equal(first, second):
        return float("inf")
    return float(peak_signal_noise_ratio(first, second, data_range=data_range))


def ssim(a: ArrayLike, b: ArrayLike, *, data_range: float = 1.0) -> float:
    """Return the mean structural similarity of two images.

    Parameters
    ----------
    a, b
        Images of one shape, ``(h, w)`` or ``(h, w, c)``, at least 7 pixels on each side.
    data_range
        Distance between the darkest and the brightest possible value.

    Returns
    -------
    float
        1 for equal images, about 0 for unrelated ones; may be negative.

    Raises
    ------
    PrivacyError
        When the shapes differ, are not those of an image or are smaller than the window, or a
        value is not finite.

    References
    ----------
    Wang et al. (2004), "Image Quality Assessment: From Error Visibility to Structural
    Similarity", with a uniform window.
    """
    first, second = _pair(a, b)
    if min(first.shape[:2]) < SSIM_WINDOW:
        raise PrivacyError(
            f"SSIM compares windows of {SSIM_WINDOW} x {SSIM_WINDOW} pixels; the images are "
            f"{first.shape[0]} x {first.shape[1]}. Use psnr for smaller images."
        )
    channel_axis = -1 if first.ndim == 3 else None
    return float(
        structural_similarity(
            first, second, win_size=SSIM_WINDOW, data_range=data_range, channel_axis=channel_axis
        )
    )


def match(images: ArrayLike, originals: ArrayLike) -> NDArray[np.int64]:
    """Pair the reconstructions of a batch with its originals.

    A gradient is a sum over the batch, so an attack finds its members in no particular order.
    The pairing minimises the total squared error (Hungarian algorithm).

    Parameters
    ----------
    images, originals
        Arrays of one shape, ``(n, ...)``.

    Returns
    -------
    int64 array, shape ``(n,)``
        A permutation: ``images[result]`` is in the order of ``originals``.

    Raises
    ------
    PrivacyError
        When the shapes differ, the batch is empty or a value is not finite.
    """
    first, second = np.asarray(images, np.float64), np.asarray(originals, np.float64)
    if first.shape != second.shape or first.ndim < 2 or first.size == 0:
        raise PrivacyError(
            "images and originals must be batches of one shape (n, ...); got "
            f"{first.shape} and {second.shape}."
        )
    _require_finite_images(first, second)
    first, second = first.reshape(len(first), -1), second.reshape(len(second), -1)
    cost = ((second[:, None, :] - first[None, :, :]) ** 2).sum(axis=2)
    return np.asarray(linear_sum_assignment(cost)[1], np.int64)


def _pair(a: ArrayLike, b: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if first.shape != second.shape or first.ndim not in (2, 3) or first.size == 0:
        raise PrivacyError(
            "Both images must have one shape, (h, w) or (h, w, c); got "
            f"{first.shape} and {second.shape}."
        )
    _require_finite_images(first, second)
    return first, second


def _require_finite_images(*images: NDArray[np.float64]) -> None:
    bad = sum(int(array.size - np.isfinite(array).sum()) for array in images)
    if bad:
        raise PrivacyError(f"{bad} pixels are NaN or infinite: no distance is defined for them.")
