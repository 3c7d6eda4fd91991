"""Where datasets live on this machine.

Two environment variables steer it; they are documented here and nowhere else.

``EDGESEC_DATA``
    A folder of copies you already have. Looked at first, never written to. For a dataset
    called ``NAME`` it may hold ``NAME.npz``, or ``NAME_subset.npz`` with a part of it. Either
    holds four arrays: ``x_train`` and ``x_test``, uint8, ``(n, 28, 28)`` (MNIST, Fashion-MNIST)
    or ``(n, 32, 32, 3)`` (CIFAR-10); ``y_train`` and ``y_test``, integers ``(n,)``. For
    ``heart_disease`` it may hold a folder ``heart-disease`` with the four files of UCI,
    ``processed.cleveland.data`` and so on; for ``spoken_digits``, a folder ``free-spoken-digits``
    with the recordings of that dataset, ``0_george_0.wav`` and so on; for ``aerial_cars``, a folder
    ``aerial-cars`` with the photographs and, for each, the text file of its boxes; for ``ph2``, a
    folder ``ph2`` with the pictures and ``labels.csv``; for ``derma_mnist``, a folder ``medmnist``
    with ``dermamnist.npz`` as MedMNIST publishes it. For
    ``speech_commands`` the four arrays are int16 ``(n, 16000)`` and integers, and there may be
    ``x_validation`` and ``y_validation``.
``EDGESEC_CACHE``
    Where fetched datasets and models and synthetic speech are kept. Default: the operating system's
    cache folder for ``edgesec``.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from helpers.errors import DataError

LOCAL_VARIABLE = "EDGESEC_DATA"
CACHE_VARIABLE = "EDGESEC_CACHE"


def local_folder() -> Path | None:
    """Return the folder that ``EDGESEC_DATA`` names, or None when it is not set.

    Raises
    ------
    DataError
        If it is set to something that is not a folder.
    """
    value = os.environ.get(LOCAL_VARIABLE)
    if not value:
        return None
    folder = Path(value).expanduser()
    if not folder.is_dir():
        raise DataError(
            f"{LOCAL_VARIABLE} is {value!r}, which is not a folder; correct it or unset it."
        )
    return folder


def cache_folder() -> Path:
    """Return the folder that keeps fetched datasets; it may not exist yet."""
    value = os.environ.get(CACHE_VARIABLE)
    if value:
        return Path(value).expanduser()
    with warnings.catch_warnings():
        # In a notebook it asks for the widgets of a progress bar; ours are plain text.
        warnings.simplefilter("ignore")
        import pooch

    return Path(pooch.os_cache("edgesec"))


@contextmanager
def writing_to(folder: Path) -> Iterator[Path]:
    """Turn "cannot write there" inside the block into a :class:`DataError` naming the folder.

    The folder is made and tried before the block runs, so that a download of minutes does not
    end in a refusal to save it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        yield folder
    except OSError as error:
        raise DataError(
            f"Cannot write to the cache folder {folder}: {error.strerror or error}. "
            f"Free some space there, or set {CACHE_VARIABLE} to a folder you can write to."
        ) from error
