"""Model inversion: what does a class look like to this model, and whose picture is that?

``search``
    images that the model is sure of, found along its gradient. TensorFlow.
``judging``
    whether such an image shows the class, or one record of it. NumPy only.

The attacked model is the one on the device: rebuild the file as a differentiable model first
(``helpers.edge.replica``). TensorFlow loads when a name of ``search`` is first used.
"""

from typing import TYPE_CHECKING, Any

from helpers.privacy.inversion.judging import (
    RecordMatch,
    correlations,
    evaluator_accuracy,
    match_records,
)

if TYPE_CHECKING:
    from helpers.privacy.inversion.search import Inversion, invert

__all__ = [
    "Inversion",
    "RecordMatch",
    "correlations",
    "evaluator_accuracy",
    "invert",
    "match_records",
]


def __getattr__(name: str) -> Any:
    """Load the TensorFlow half on first use (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from helpers.privacy.inversion import search

    return getattr(search, name)
