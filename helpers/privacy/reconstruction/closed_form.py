r"""Exact leaks: what a gradient gives away by division alone.

For a dense layer :math:`z = W^\top x + b` and any loss :math:`\ell` of one example,

.. math::
   \frac{\partial \ell}{\partial W_{ij}} = x_i\,\frac{\partial \ell}{\partial z_j},
   \qquad \frac{\partial \ell}{\partial b_j} = \frac{\partial \ell}{\partial z_j},

so one column of the kernel's gradient divided by the same unit's bias gradient *is* the input.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.errors import PrivacyError
from helpers.privacy._checks import require_not_negative, require_whole

# A bias gradient at or below this is taken as zero: the ratio would be rounding noise.
SMALLEST_BIAS_GRADIENT = 1e-12
# Share of the gradient's size that rounding may disturb when an update is turned back into one.
ROUNDING_SHARE = 0.01


def update_to_gradient(
    before: Sequence[ArrayLike],
    after: Sequence[ArrayLike],
    learning_rate: float,
    *,
    num_steps: int = 1,
) -> list[NDArray[np.float64]]:
    """Turn the weights a client received and returned into the gradient it used.

    After one step of plain SGD the result is the client's gradient up to rounding: a weight of
    size ``w`` stored in float32 disturbs it by about ``6e-8 * w / learning_rate``. After several
    steps each gradient was taken at different weights, so the result is the *mean* of the
    ``num_steps`` gradients along the client's path: a direction, no longer the gradient of any
    one loss at the weights the server sent.

    Parameters
    ----------
    before, after
        Weights sent to and received from the client: equally many arrays of equal shapes.
    learning_rate
        The client's SGD learning rate, positive.
    num_steps
        Local SGD steps between the two, at least 1.

    Returns
    -------
    list of float64 arrays
        ``(before - after) / (learning_rate * num_steps)``, one array for each weight.

    Raises
    ------
    PrivacyError
        On a different number or shape of arrays, a non-finite weight, or a learning rate or step
        count that is not positive.
    """
    if not (np.isfinite(learning_rate) and learning_rate > 0):
        raise PrivacyError(f"learning_rate must be a positive number; got {learning_rate}.")
    require_whole("num_steps", num_steps, at_least=1)
    if len(before) != len(after):
        raise PrivacyError(
            f"before has {len(before)} arrays and after has {len(after)}: pass both weight lists "
            "of the same model."
        )
    gradients = []
    for index, (old, new) in enumerate(zip(before, after, strict=True)):
        old, new = np.asarray(old, np.float64), np.asarray(new, np.float64)
        if old.shape != new.shape:
            raise PrivacyError(f"Weight {index} has shape {old.shape} before, {new.shape} after.")
        gradients.append((old - new) / (learning_rate * num_steps))
        _require_finite(gradients[-1], f"the change of weight {index}")
    return gradients


def invert_dense(
    grad_kernel: ArrayLike,
    grad_bias: ArrayLike,
    *,
    smallest: float = SMALLEST_BIAS_GRADIENT,
) -> NDArray[np.float64]:
    """Return the exact input of a dense layer from its gradient for one example.

    The unit with the largest bias gradient is used: its ratio suffers least from rounding. When
    the gradient is the mean over several examples, the result is a weighted mean of their
    inputs; see :func:`invert_dense_per_unit`. Several local steps on one example change nothing
    for a first layer: its input stays the same, so the mean gradient is still a multiple of it.

    Parameters
    ----------
    grad_kernel
        Gradient of the loss with respect to the kernel, shape ``(d, units)``.
    grad_bias
        Gradient with respect to the bias, shape ``(units,)``.
    smallest
        Bias gradients of at most this magnitude count as zero.

    Returns
    -------
    float64 array, shape ``(d,)``
        The layer's input; reshape it to the image's shape when the layer follows a flatten.

    Raises
    ------
    PrivacyError
        When shapes do not fit, a value is not finite, or every bias gradient is zero: no unit
        of the layer passed a gradient back, so it carries nothing about its input.

    References
    ----------
    Phong et al. (2018), "Privacy-Preserving Deep Learning via Additively Homomorphic
    Encryption", section III; Geiping et al. (2020), "Inverting Gradients", proposition 3.1.
    """
    require_not_negative("smallest", smallest)
    kernel, bias = _dense_gradient(grad_kernel, grad_bias)
    unit = int(np.argmax(np.abs(bias)))
    if abs(bias[unit]) <= smallest:
        raise PrivacyError(
            f"The largest bias gradient is {abs(bias[unit]):.3g}, at most {smallest:.3g}: the "
            "layer passed no gradient back (dead units or a saturated loss), so its input cannot "
            "be divided out. Use the gradient of another example, layer or round."
        )
    return np.asarray(kernel[:, unit] / bias[unit])


def invert_dense_per_unit(
    grad_kernel: ArrayLike,
    grad_bias: ArrayLike,
    *,
    smallest: float = SMALLEST_BIAS_GRADIENT,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    r"""Divide out what every unit of a dense layer says about a batch.

    For a loss averaged over a batch, unit ``j`` gives
    :math:`\sum_n w_{nj} x_n` with :math:`w_{nj} = \delta_{nj} / \sum_m \delta_{mj}`, where
    :math:`\delta_{nj}` is example ``n``'s gradient at the unit. The weights add up to 1 but may
    be negative. A ReLU unit that only one example switched on gives that example exactly.

    Parameters
    ----------
    grad_kernel
        Gradient of the loss with respect to the kernel, shape ``(d, units)``.
    grad_bias
        Gradient with respect to the bias, shape ``(units,)``.
    smallest
        Units with a bias gradient of at most this magnitude are left out.

    Returns
    -------
    inputs : float64 array, shape ``(alive, d)``
        One weighted mean of the batch for each unit that passed a gradient back.
    units : int64 array, shape ``(alive,)``
        Which units these are, ascending. Both are empty when no unit is alive.

    Raises
    ------
    PrivacyError
        When shapes do not fit or a value is not finite.
    """
    require_not_negative("smallest", smallest)
    kernel, bias = _dense_gradient(grad_kernel, grad_bias)
    units = np.flatnonzero(np.abs(bias) > smallest).astype(np.int64)
    return (kernel[:, units] / bias[units]).T, units


def infer_label(grad_last_bias: ArrayLike) -> int:
    """Return the label of the one example behind a gradient.

    With softmax cross-entropy the last bias's gradient is ``probabilities - one_hot(label)``:
    only the label's entry is negative.

    Parameters
    ----------
    grad_last_bias
        Gradient with respect to the bias of the layer that gives the logits, shape
        ``(num_classes,)``.

    Returns
    -------
    int
        The label.

    Raises
    ------
    PrivacyError
        When the entries are not finite, do not add up to zero (not a softmax cross-entropy), are
        all zero, or more than one is clearly negative (more than one label in the batch).

    References
    ----------
    Zhao et al. (2020), "iDLG: Improved Deep Leakage from Gradients", section 3.
    """
    gradient = _last_bias_gradient(grad_last_bias)
    label = int(np.argmin(gradient))
    clearly_negative = np.flatnonzero(gradient < ROUNDING_SHARE * gradient[label])
    if clearly_negative.size > 1:
        raise PrivacyError(
            f"Classes {clearly_negative.tolist()} all have a negative gradient: the update mixes "
            "several labels. Use estimate_label_counts with its batch size."
        )
    return label


def estimate_label_counts(
    grad_last_bias: ArrayLike,
    batch_size: int,
    mean_probabilities: ArrayLike | None = None,
) -> NDArray[np.int64]:
    r"""Estimate how many examples of each class a batch held.

    The mean gradient of class ``c`` is :math:`g_c = \bar p_c - n_c / B`, so
    :math:`n_c = B(\bar p_c - g_c)`. It is exact when the attacker knows the batch's mean
    predicted probabilities :math:`\bar p`; they have to be guessed, and the estimate is as good
    as the guess. The guess matters less for a model that has learnt nothing yet, whose
    predictions hardly depend on the input.

    Parameters
    ----------
    grad_last_bias
        Mean gradient with respect to the last bias, shape ``(num_classes,)``.
    batch_size
        Examples in the batch, at least 1.
    mean_probabilities
        The guess of the batch's mean softmax output, shape ``(num_classes,)``; uniform when
        left out.

    Returns
    -------
    int64 array, shape ``(num_classes,)``
        Counts that add up to ``batch_size``, rounded by largest remainder.

    Raises
    ------
    PrivacyError
        As :func:`infer_label` for the gradient; also when ``batch_size`` or
        ``mean_probabilities`` is out of range.
    """
    gradient = _last_bias_gradient(grad_last_bias)
    require_whole("batch_size", batch_size, at_least=1)
    probabilities = _probabilities(mean_probabilities, gradient.size)
    expected = np.clip(batch_size * (probabilities - gradient), 0.0, None)
    return _round_to_total(expected, batch_size)


def _round_to_total(expected: NDArray[np.float64], total: int) -> NDArray[np.int64]:
    """Round non-negative numbers to integers of a given sum (largest remainder)."""
    shares = expected * (total / expected.sum())
    counts = np.floor(shares + 1e-9).astype(np.int64)
    missing = total - int(counts.sum())
    counts[np.argsort(counts - shares, kind="stable")[:missing]] += 1
    return counts


def _probabilities(values: ArrayLike | None, num_classes: int) -> NDArray[np.float64]:
    if values is None:
        return np.full(num_classes, 1.0 / num_classes)
    probabilities = np.asarray(values, np.float64)
    if probabilities.shape != (num_classes,):
        raise PrivacyError(
            f"mean_probabilities must have shape ({num_classes},) like the gradient; "
            f"got {probabilities.shape}."
        )
    _require_finite(probabilities, "mean_probabilities")
    if probabilities.min() < 0 or abs(probabilities.sum() - 1) > 1e-3:
        raise PrivacyError(
            "mean_probabilities must be non-negative and add up to 1; got a minimum of "
            f"{probabilities.min():.3g} and a sum of {probabilities.sum():.6g}."
        )
    return probabilities


def _last_bias_gradient(values: ArrayLike) -> NDArray[np.float64]:
    gradient = np.asarray(values, np.float64)
    if gradient.ndim != 1 or gradient.size < 2:
        raise PrivacyError(
            "The last bias's gradient must have shape (num_classes,) with at least 2 classes; "
            f"got {gradient.shape}."
        )
    _require_finite(gradient, "the last bias's gradient")
    size = np.abs(gradient).sum()
    if size == 0:
        raise PrivacyError(
            "The last bias's gradient is zero everywhere: it carries nothing about a label."
        )
    if abs(gradient.sum()) > ROUNDING_SHARE * size:
        raise PrivacyError(
            f"The entries add up to {gradient.sum():.3g}; under softmax cross-entropy they add up "
            "to 0. Pass the gradient of the bias that gives the logits."
        )
    return gradient


def _dense_gradient(
    grad_kernel: ArrayLike, grad_bias: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    kernel, bias = np.asarray(grad_kernel, np.float64), np.asarray(grad_bias, np.float64)
    if kernel.ndim != 2 or bias.ndim != 1 or kernel.shape[1] != bias.size or kernel.size == 0:
        raise PrivacyError(
            "The kernel's gradient must have shape (d, units) and the bias's (units,); got "
            f"{kernel.shape} and {bias.shape}."
        )
    _require_finite(kernel, "the kernel's gradient")
    _require_finite(bias, "the bias's gradient")
    return kernel, bias


def _require_finite(values: NDArray[np.float64], what: str) -> None:
    bad = int(values.size - np.isfinite(values).sum())
    if bad:
        raise PrivacyError(
            f"{bad} of {values.size} values of {what} are NaN or infinite: the client's training "
            "diverged. Lower its learning rate."
        )
