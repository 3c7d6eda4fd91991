"""Vendors with optimisers to audit: q8."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.course.tasks import ValueTask
from helpers.privacy.dp_sgd import poisson_batch

if TYPE_CHECKING:
    from helpers.privacy.auditing import Trainer

#: What may be wrong with a vendor's optimiser, by the letter that the lab asks for.
DIAGNOSES = {
    "a": "nothing: it is sound",
    "b": "the noise is divided by all examples, not by the expected batch",
    "c": "the noise is divided by the size of the batch that was drawn",
    "d": "the noise's variance is used as its standard deviation",
    "e": "the average is clipped, not each example",
    "f": "batches are shuffled and cut, and accounted for as Poisson",
    "g": "one noise is drawn and used in every step",
}
_VENDORS = ("Aster", "Birch", "Cedar", "Dill")


def vendors(seed: int) -> dict[str, Trainer]:
    """Return the optimisers on offer, for :func:`helpers.privacy.auditing.audit_dp_sgd`.

    Parameters
    ----------
    seed
        The lab's; another seed deals the faults out differently.

    Returns
    -------
    dict
        By name. At most one is sound.
    """
    return {name: _sealed(fault) for name, fault in _faults(seed).items()}


def _faults(seed: int, profile: str = "full") -> dict[str, str]:
    letters = np.random.default_rng([seed, 2]).permutation(list(DIAGNOSES))
    return dict(zip(_VENDORS, letters.tolist(), strict=False))


def _sealed(fault: str) -> Trainer:
    """Hide the fault from a look at the function."""

    def train(model: Any, x: Any, y: Any, **settings: Any) -> None:
        _vendor_train(fault, model, x, y, **settings)

    return train


def _vendor_train(
    fault: str,
    model: Any,
    x: Any,
    y: Any,
    *,
    noise_multiplier: float,
    l2_norm_clip: float,
    sample_rate: float,
    steps: int,
    learning_rate: float,
    seed: int,
    after_step: Callable[[], None],
) -> None:
    rng = np.random.default_rng([seed, 3])
    expected, deviation = sample_rate * len(x), noise_multiplier * l2_norm_clip
    cut = np.array_split(rng.permutation(len(x)), max(1, round(1 / sample_rate)))
    frozen = [rng.normal(size=v.shape) for v in model.trainable_variables]
    for step in range(steps):
        batch = poisson_batch(len(x), sample_rate, rng)
        if fault == "f":
            batch = cut[step % len(cut)]
        divisor = {"b": len(x), "c": max(1, len(batch))}.get(fault, expected)
        scale = (deviation**2 if fault == "d" else deviation) / divisor
        sums = _vendor_sums(model, x[batch], y[batch], l2_norm_clip, fault)
        for index, (variable, total) in enumerate(
            zip(model.trainable_variables, sums, strict=True)
        ):
            noise = frozen[index] if fault == "g" else rng.normal(size=variable.shape)
            step_taken = learning_rate * (total / expected + scale * noise)
            variable.assign_sub(step_taken.astype(np.float32))
        after_step()


def _vendor_sums(model: Any, x: Any, y: Any, clip: float, fault: str) -> list[np.ndarray]:
    """Sum the batch's gradients: each clipped, or (fault e) their average clipped."""
    import tensorflow as tf

    from helpers.privacy.dp_sgd import clipped_gradient_sum

    if not len(x):
        return [np.zeros(v.shape) for v in model.trainable_variables]
    if fault != "e":
        return [np.asarray(part) for part in clipped_gradient_sum(model, x, y, clip)]
    with tf.GradientTape() as tape:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, model(x))
        loss = tf.reduce_mean(losses)
    found = [tf.convert_to_tensor(g) for g in tape.gradient(loss, model.trainable_variables)]
    factor = len(x) * min(1.0, clip / max(float(tf.linalg.global_norm(found)), 1e-30))
    return [factor * part.numpy() for part in found]


def _same_letters(got: Any, expected: Any, args: tuple[Any, ...]) -> str | None:
    tidy = {str(name): str(letter).strip().lower() for name, letter in dict(got).items()}
    return None if tidy == expected else "at least one vendor is named wrongly"


VENDORS = ValueTask(
    "q8", "Name the bug", 2, _faults, _same_letters,
    "A dict: each vendor's name, and the letter of its bug. Audit each; see which test fails, and "
    "by how much: b, c and d all fail the same one. A vendor may be sound.",
)  # fmt: skip
