"""DP-SGD for Keras models: Poisson sampling, per-example clipping, noise.

``sampling``
    true Poisson sampling. NumPy only.
``clipping``
    the sum of clipped per-example gradients in one pass; ``layers``, ``per_example`` and
    ``recording`` are its parts.
``training``
    :func:`fit_dp`, the training loop.
``validation``
    the models and data it refuses, and why.

TensorFlow loads when a name of the last three is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from helpers.privacy.dp_sgd.sampling import poisson_batch, poisson_batches

if TYPE_CHECKING:
    from helpers.privacy.dp_sgd.clipping import clipped_gradient_sum
    from helpers.privacy.dp_sgd.training import DPHistory, StepRecord, fit_dp
    from helpers.privacy.dp_sgd.validation import check_model

__all__ = [
    "DPHistory",
    "StepRecord",
    "check_model",
    "clipped_gradient_sum",
    "fit_dp",
    "poisson_batch",
    "poisson_batches",
]

_HOMES = {
    "DPHistory": "training",
    "StepRecord": "training",
    "check_model": "validation",
    "clipped_gradient_sum": "clipping",
    "fit_dp": "training",
}


def __getattr__(name: str) -> Any:
    """Load the TensorFlow parts on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"helpers.privacy.dp_sgd.{_HOMES[name]}"), name)
