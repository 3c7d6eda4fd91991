"""Membership inference: was this example in the training set?

``signals``
    how sure an answer is of the true label, in a form that behaves.
``threshold``
    any score as an attack: its curve, area and rates, with bounds.
``lira``
    the likelihood-ratio attack with shadow models.
``summary``
    several attacked models summed up, with intervals.
``label_only``
    attacks on a device that shows a label and nothing else.
``shadows``
    train shadow models, keep them, and deploy them like the target.

TensorFlow loads when a name of the last is first used; the others are NumPy and SciPy.
"""

from typing import TYPE_CHECKING, Any

from helpers.privacy.membership.label_only import gap_scores, noise_scores
from helpers.privacy.membership.lira import leave_one_out, lira_scores
from helpers.privacy.membership.signals import cross_entropy, scaled_confidence
from helpers.privacy.membership.summary import Leakage, leakage
from helpers.privacy.membership.threshold import (
    Estimate,
    OperatingPoint,
    ThresholdAttack,
    threshold_attack,
)

if TYPE_CHECKING:
    from helpers.privacy.membership.shadow_training import ShadowTraining
    from helpers.privacy.membership.shadows import ShadowModels, paired_halves, train_shadows

__all__ = [
    "Estimate",
    "Leakage",
    "OperatingPoint",
    "ShadowModels",
    "ShadowTraining",
    "ThresholdAttack",
    "cross_entropy",
    "gap_scores",
    "leakage",
    "leave_one_out",
    "lira_scores",
    "noise_scores",
    "paired_halves",
    "scaled_confidence",
    "threshold_attack",
    "train_shadows",
]

_SHADOWS = ("ShadowModels", "ShadowTraining", "paired_halves", "train_shadows")


def __getattr__(name: str) -> Any:
    """Load the TensorFlow part on first use (PEP 562)."""
    if name not in _SHADOWS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from helpers.privacy.membership import shadow_training, shadows

    return getattr(shadow_training if name == "ShadowTraining" else shadows, name)
