"""Spare a process an import that nothing in it needs."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from typing import Any

_LITE = "tensorflow.lite.python.util"


def spare_jax() -> None:
    """Have TensorFlow Lite find no JAX while it is imported; anybody else finds it.

    ``import tensorflow`` imports JAX where it is installed, for a converter that nothing here uses:
    an eighth of its CPU time, in every process that runs a lab or a chapter.
    """
    sys.meta_path.insert(0, _NoJaxForLite())


class _NoJaxForLite(MetaPathFinder):
    def find_spec(self, fullname: str, *_: Any) -> None:
        """Leave every module to the finders that follow, but for this one."""
        asks = getattr(sys.modules.get(_LITE), "__spec__", None)
        if fullname == "jax" and getattr(asks, "_initializing", False):
            raise ModuleNotFoundError("TensorFlow Lite is spared jax.", name=fullname)
