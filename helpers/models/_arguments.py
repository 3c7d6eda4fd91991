"""Arguments that every reference network takes: checked once, and turned into layer seeds."""

from collections.abc import Sequence

import numpy as np

from helpers.errors import TaskError


def check(input_shape: Sequence[int], num_classes: int, rank: int | None = None) -> tuple[int, ...]:
    """Check the shape of one example and the number of outputs.

    Parameters
    ----------
    input_shape
        Shape of one example, without the batch dimension.
    num_classes
        Number of logits; 1 is one logit for a binary task.
    rank
        Number of dimensions the network needs, or None for any.

    Returns
    -------
    tuple of int
        The input shape as plain integers.

    Raises
    ------
    TaskError
        If a dimension is not positive, the rank is wrong, or ``num_classes`` is below 1.
    """
    shape = tuple(int(size) for size in input_shape)
    if not shape or min(shape) < 1:
        raise TaskError(f"input_shape={shape} must hold positive sizes, such as (28, 28, 1).")
    if rank is not None and len(shape) != rank:
        raise TaskError(
            f"input_shape={shape} has {len(shape)} dimensions; this network takes images of shape "
            "(height, width, channels). Add the channel dimension: x[..., None]."
        )
    if num_classes < 1:
        raise TaskError(f"num_classes={num_classes} must be at least 1.")
    return shape


def layer_seeds(seed: int, count: int) -> list[int]:
    """Derive one independent seed a layer, so that no two layers start from the same numbers.

    Raises
    ------
    TaskError
        If `seed` is negative.
    """
    if seed < 0:
        raise TaskError(f"seed={seed} must not be negative.")
    return [int(s) for s in np.random.SeedSequence(seed).generate_state(count) >> 1]
