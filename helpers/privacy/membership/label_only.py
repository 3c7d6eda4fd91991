"""Membership from labels alone: a device that shows no confidence still leaks.

The *gap* attack guesses *member* where the label is right, which members' labels more often are.
It cannot find a member at a low false-positive rate, as it has one threshold. The *robustness*
attacks ask again: a model holds on to the label of an example it was trained on over more
disturbances (Choquette-Choo, Tramèr, Carlini and Papernot, "Label-only membership inference
attacks", ICML 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.errors import PrivacyError
from helpers.privacy._checks import require_classes, require_positive, require_whole

# Inputs of a shape to class labels, integers (n,): the whole interface of the attacked device.
Labeller = Callable[[NDArray[np.float32]], ArrayLike]


def gap_scores(labels: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """Score 1 where the device gives the true label and 0 elsewhere.

    Parameters
    ----------
    labels
        What the device says, integers ``(n,)``.
    y
        True labels, integers ``(n,)``.

    Returns
    -------
    float64 array, shape ``(n,)``

    Raises
    ------
    PrivacyError
        If the shapes differ, or one of them holds no class numbers.
    """
    said, true = np.asarray(labels), np.asarray(y)
    if said.shape != true.shape or said.ndim != 1:
        raise PrivacyError(
            f"labels of shape {said.shape} and y of shape {true.shape} must both be (n,)."
        )
    require_classes("labels", said)
    require_classes("y", true)
    return (said == true).astype(np.float64)


def noise_scores(
    predict: Labeller,
    x: ArrayLike,
    y: ArrayLike,
    *,
    deviations: Sequence[float] = (0.1, 0.2, 0.4),
    copies: int = 8,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Score each example by the share of noisy copies that keep its true label.

    All models are asked about the same copies, so scores of target and shadows compare.

    Parameters
    ----------
    predict
        The device: inputs to labels.
    x
        Inputs, float ``(n, ...)``, in the range [0, 1] of images; copies are clipped to it.
    y
        True labels, integers ``(n,)``.
    deviations
        Standard deviations of the Gaussian noise.
    copies
        Copies of each deviation: the queries an example are ``1 + copies * len(deviations)``.
    seed
        Of the noise.

    Returns
    -------
    float64 array, shape ``(n,)``
        From 0 to 1; the example itself counts as one copy.

    Raises
    ------
    PrivacyError
        If a setting is out of range, shapes do not fit, or the device answers in another shape.
    """
    require_whole("copies", copies, at_least=1)
    require_whole("seed", seed, at_least=0)
    for deviation in deviations:
        require_positive("deviation", deviation)
    inputs = np.asarray(x, np.float32)
    if not np.isfinite(inputs).all():
        raise PrivacyError("x holds NaN or infinity: give inputs in the range [0, 1] of images.")
    rng = np.random.default_rng(seed)

    def disturbed() -> Iterator[NDArray[np.float32]]:
        yield inputs
        for deviation in deviations:
            for _ in range(copies):
                noise = rng.normal(0.0, deviation, inputs.shape).astype(np.float32)
                yield np.clip(inputs + noise, 0.0, 1.0)

    return _kept(predict, disturbed(), inputs, y)


def _kept(
    predict: Labeller,
    copies: Iterator[NDArray[np.float32]],
    inputs: NDArray[np.float32],
    y: ArrayLike,
) -> NDArray[np.float64]:
    """Return the share of copies of each input that get the true label."""
    true = np.asarray(y)
    if true.shape != inputs.shape[:1] or not len(true):
        raise PrivacyError(
            f"y of shape {true.shape} must hold one label for each of the {len(inputs)} inputs."
        )
    rounds: list[NDArray[np.float64]] = []
    for copy in copies:
        labels = np.asarray(predict(copy))
        if labels.shape != true.shape or labels.dtype.kind not in "iu":
            raise PrivacyError(
                f"The device answered {labels.dtype} {labels.shape}; expected {len(true)} integer "
                "labels. Take the argmax of its scores."
            )
        rounds.append(gap_scores(labels, true))
    return np.asarray(np.mean(rounds, axis=0), np.float64)
