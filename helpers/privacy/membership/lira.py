r"""The likelihood-ratio attack, LiRA: how surprising is the confidence *for this example*?

Shadow models are trained like the target, each with a random half of the examples. For every
example their confidences form two groups, trained with it and without it; a normal law is fitted to
each, and the target's confidence is judged by both (Carlini, Chien, Nasr, Song, Terzis and Tramèr,
"Membership inference attacks from first principles", IEEE S&P 2022, Algorithm 1).

Everything here is about confidences that are already there; ``shadows`` trains the models.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.errors import PrivacyError
from helpers.privacy._checks import require_choice

Mode = Literal["online", "offline"]
Variance = Literal["global", "example"]

# Shadows that answer alike to the last bit (few-bit models do) would leave a law without width.
_SMALLEST_DEVIATION = 1e-6


def lira_scores(
    target: ArrayLike,
    shadows: ArrayLike,
    members: ArrayLike,
    *,
    mode: Mode = "online",
    variance: Variance = "global",
) -> NDArray[np.float64]:
    r"""Score each example by how much more likely the target's confidence is for a member.

    Parameters
    ----------
    target
        Confidences of the attacked model, float ``(n,)``, best from
        :func:`~helpers.privacy.membership.signals.scaled_confidence`.
    shadows
        The same of each shadow model, float ``(shadows, n)``.
    members
        Which examples each shadow was trained on, bool ``(shadows, n)``.
    mode
        ``"online"``: log-likelihood ratio :math:`\log p(\phi | \mathrm{in}) -
        \log p(\phi | \mathrm{out})`. ``"offline"``: distance above the *out* group in its
        deviations, which needs no shadow trained on the example and can be prepared before it is
        known (their equation 4, of which this is a monotone function).
    variance
        ``"global"``: all examples share one deviation a group, which is best with few shadows;
        ``"example"``: each has its own, best with 64 and more (their section VI.C).

    Returns
    -------
    float64 array, shape ``(n,)``
        Higher means *member*.

    Raises
    ------
    PrivacyError
        If shapes or values do not fit, or an example has too few shadows of a kind that is needed:
        one, or two for a variance of its own.
    """
    require_choice("mode", mode, ("online", "offline"))
    require_choice("variance", variance, ("global", "example"))
    values, inside = checked_shadows(shadows, members)
    observed = np.asarray(target, np.float64)
    if observed.shape != values.shape[1:] or not np.isfinite(observed).all():
        raise PrivacyError(
            f"target of shape {observed.shape} must be {values.shape[1]} finite confidences, "
            "one for each column of shadows."
        )
    mean, deviation = _law(values, ~inside, variance, "without")
    standard = (observed - mean) / deviation
    if mode == "offline":
        return standard
    outside = -0.5 * standard**2 - np.log(deviation)
    mean, deviation = _law(values, inside, variance, "with")
    return -0.5 * ((observed - mean) / deviation) ** 2 - np.log(deviation) - outside


def leave_one_out(
    confidence: ArrayLike,
    members: ArrayLike,
    *,
    mode: Mode = "online",
    variance: Variance = "global",
) -> NDArray[np.float64]:
    """Attack every model in turn, with the others as its shadows.

    One set of models gives as many targets, and so a spread (Carlini et al. 2022, section V.A). Its
    mirror image, the model trained on exactly the other half, is left out with the target: so each
    example is judged by equally many shadows of both kinds, whether it is a member or not.

    Parameters
    ----------
    confidence
        Confidences of all models, float ``(models, n)``.
    members
        Which examples each was trained on, bool ``(models, n)``, best from
        :func:`~helpers.privacy.membership.shadows.paired_halves`.
    mode, variance
        As for :func:`lira_scores`.

    Returns
    -------
    float64 array, shape ``(models, n)``
        Row by row the scores of one target; compare them with the same row of ``members``.

    Raises
    ------
    PrivacyError
        As :func:`lira_scores`.
    """
    values, inside = checked_shadows(confidence, members)
    scores = np.empty_like(values)
    for index, row in enumerate(inside):
        kept = (inside == row).any(axis=1)
        kept[index] = False
        scores[index] = lira_scores(
            values[index], values[kept], inside[kept], mode=mode, variance=variance
        )
    return scores


def checked_shadows(
    values: ArrayLike, members: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return values and members as arrays of one shape, ``(models, n)``.

    Raises
    ------
    PrivacyError
        If they have another shape, ``members`` is not bool, or a value is NaN or infinite.
    """
    matrix, inside = np.asarray(values, np.float64), np.asarray(members)
    if matrix.ndim != 2 or not matrix.size or inside.shape != matrix.shape:
        raise PrivacyError(
            f"values of shape {matrix.shape} and members of shape {inside.shape} must both be "
            "(models, n), one row a model."
        )
    if inside.dtype != bool:
        raise PrivacyError(f"members is {inside.dtype}; it must be bool: True where trained on.")
    if not np.isfinite(matrix).all():
        raise PrivacyError("values hold NaN or infinity; scaled_confidence() gives neither.")
    return matrix, inside


def _law(
    values: NDArray[np.float64], group: NDArray[np.bool_], variance: Variance, kind: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit a normal law an example to the shadows of one kind; mean and deviation, ``(n,)``."""
    count = group.sum(axis=0)
    needed = 2 if variance == "example" else 1
    if count.min(initial=needed) < needed:
        raise PrivacyError(
            f"Example {int(count.argmin())} has {int(count.min())} shadows trained {kind} it; "
            f'variance={variance!r} needs at least {needed}. Train more shadows, or use "offline" '
            "for examples that no shadow has seen."
        )
    mean = (values * group).sum(axis=0) / count
    squares = (group * (values - mean) ** 2).sum(axis=0)
    if variance == "example":
        deviation = np.sqrt(squares / count)
    else:
        deviation = np.full(len(mean), np.sqrt(squares.sum() / count.sum()))
    return mean, np.maximum(deviation, _SMALLEST_DEVIATION)
