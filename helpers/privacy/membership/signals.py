"""What an attacker reads off an answer: how sure the model is of the true label."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.errors import PrivacyError
from helpers.privacy._checks import require_choice, require_probability

Kind = Literal["logits", "probabilities"]

# A probability of exactly 0 or 1 would have an infinite logit. An int8 softmax gives both.
_FLOOR = 1e-6


def scaled_confidence(
    outputs: ArrayLike, labels: ArrayLike, kind: Kind = "logits", floor: float = _FLOOR
) -> NDArray[np.float64]:
    r"""Return the logit of the true label's probability, :math:`\log \frac{p_y}{1 - p_y}`.

    The scaling makes the confidences of many models of one kind look normal, which losses and
    probabilities do not (Carlini et al. 2022, section IV.C). From logits it is computed without
    rounding: the true logit minus the log-sum-exp of all others.

    Parameters
    ----------
    outputs
        What a model answers, float ``(..., n, classes)``.
    labels
        True labels, integers ``(n,)``.
    kind
        Whether the outputs are ``"logits"`` or ``"probabilities"``.
    floor
        Probabilities are clipped to ``[floor, 1 - floor]``; logits need no clipping.

    Returns
    -------
    float64 array, shape ``(..., n)``

    Raises
    ------
    PrivacyError
        If shapes, labels or values do not fit, or there are fewer than two classes.
    """
    require_choice("kind", kind, ("logits", "probabilities"))
    require_probability("floor", floor)
    values, own = _checked(outputs, labels)
    true = np.take_along_axis(values, own, axis=-1)[..., 0]
    if kind == "probabilities":
        if (values < -1e-6).any() or (values > 1 + 1e-6).any():
            raise PrivacyError(
                f"outputs span {values.min():g}..{values.max():g}: these are no probabilities. "
                'Say kind="logits".'
            )
        clipped = np.clip(true, floor, 1 - floor)
        return np.log(clipped) - np.log1p(-clipped)
    others = values.copy()
    np.put_along_axis(others, own, -np.inf, axis=-1)
    largest = others.max(axis=-1)
    return true - largest - np.log(np.exp(others - largest[..., None]).sum(axis=-1))


def cross_entropy(
    outputs: ArrayLike, labels: ArrayLike, kind: Kind = "logits", floor: float = _FLOOR
) -> NDArray[np.float64]:
    """Return the loss of each example; its negative is the score of Yeom et al. 2018.

    Parameters
    ----------
    outputs, labels, kind, floor
        As for :func:`scaled_confidence`.

    Returns
    -------
    float64 array, shape ``(..., n)``
        Natural units; at least 0.

    Raises
    ------
    PrivacyError
        As :func:`scaled_confidence`.
    """
    return np.logaddexp(0.0, -scaled_confidence(outputs, labels, kind, floor))


def _checked(
    outputs: ArrayLike, labels: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return outputs, and labels in a shape that picks one entry of each last axis."""
    values, own = np.asarray(outputs, np.float64), np.asarray(labels)
    if values.ndim < 2 or values.shape[-1] < 2 or own.shape != values.shape[-2:-1] or not own.size:
        raise PrivacyError(
            f"outputs of shape {values.shape} and labels of shape {own.shape} must be "
            "(..., n, classes) and (n,), with at least two classes."
        )
    if own.dtype.kind not in "iu" or own.min() < 0 or own.max() >= values.shape[-1]:
        raise PrivacyError(f"labels must be whole numbers from 0 to {values.shape[-1] - 1}.")
    if not np.isfinite(values).all():
        raise PrivacyError("outputs hold NaN or infinity: no confidence is defined for them.")
    index = np.broadcast_to(own.astype(np.int64), values.shape[:-1])
    return values, index[..., None]
