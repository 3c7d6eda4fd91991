"""Reconstruct training inputs from the gradient or the update that one client sent.

Three modules, from least to most work for the attacker:

``closed_form``
    exact answers by division: the input of a dense layer, the label of an example. NumPy only.
``optimisation``
    search for inputs whose gradient matches the one observed (DLG, Zhu et al. 2019; inverting
    gradients, Geiping et al. 2020). TensorFlow.
``quality``
    how close a reconstruction came: PSNR, SSIM, and which image of a batch is which.

TensorFlow loads when a name of ``optimisation`` is first used; the exact attacks do without it.
"""

from typing import TYPE_CHECKING, Any

from helpers.privacy.reconstruction.closed_form import (
    estimate_label_counts,
    infer_label,
    invert_dense,
    invert_dense_per_unit,
    update_to_gradient,
)
from helpers.privacy.reconstruction.quality import match, psnr, ssim

if TYPE_CHECKING:
    from helpers.privacy.reconstruction.optimisation import (
        Reconstruction,
        invert_gradients,
        loss_gradients,
    )

__all__ = [
    "Reconstruction",
    "estimate_label_counts",
    "infer_label",
    "invert_dense",
    "invert_dense_per_unit",
    "invert_gradients",
    "loss_gradients",
    "match",
    "psnr",
    "ssim",
    "update_to_gradient",
]


def __getattr__(name: str) -> Any:
    """Load the TensorFlow half on first use (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from helpers.privacy.reconstruction import optimisation

    return getattr(optimisation, name)
