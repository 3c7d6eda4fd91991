"""Arrays that come in as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from helpers.errors import DataError

if TYPE_CHECKING:
    import numpy as np


def load_array(path: Path) -> np.ndarray:
    """Read a ``.npy`` file; nothing in it is run.

    Raises
    ------
    DataError
        If it is none.
    """
    import numpy as np

    from helpers.data.arrays import DAMAGE

    try:
        loaded = np.load(path, allow_pickle=False)
    except DAMAGE as error:
        raise DataError(f"{path} is no .npy array: {error}") from error
    if not isinstance(loaded, np.ndarray):
        raise DataError(f"{path} is no .npy array: it is an archive of them.")
    return loaded
