"""Measure whether a DP-SGD implementation keeps its promise.

``bounds``
    lower bounds on epsilon from guesses. NumPy and SciPy only.
``canaries``
    run an implementation on canaries and read what its steps gave away.
``audit``
    :func:`audit_dp_sgd`: the tests and the report.

TensorFlow loads when a name of the last two is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from helpers.privacy.auditing.bounds import (
    epsilon_lower_bound,
    one_run_epsilon,
    one_run_p_value,
    proportion_bounds,
)

if TYPE_CHECKING:
    from helpers.privacy.auditing.audit import (
        AuditReport,
        Finding,
        audit_dp_sgd,
        judge,
        participation_scores,
    )
    from helpers.privacy.auditing.canaries import (
        AuditSettings,
        Observations,
        Trainer,
        fit_dp_trainer,
        observe,
    )

__all__ = [
    "AuditReport",
    "AuditSettings",
    "Finding",
    "Observations",
    "Trainer",
    "audit_dp_sgd",
    "epsilon_lower_bound",
    "fit_dp_trainer",
    "judge",
    "observe",
    "one_run_epsilon",
    "one_run_p_value",
    "participation_scores",
    "proportion_bounds",
]

_HOMES = {
    "AuditReport": "audit",
    "AuditSettings": "canaries",
    "Finding": "audit",
    "Observations": "canaries",
    "Trainer": "canaries",
    "audit_dp_sgd": "audit",
    "fit_dp_trainer": "canaries",
    "judge": "audit",
    "observe": "canaries",
    "participation_scores": "audit",
}


def __getattr__(name: str) -> Any:
    """Load the TensorFlow parts on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"helpers.privacy.auditing.{_HOMES[name]}"), name)
