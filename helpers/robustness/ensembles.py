"""Randomised ensembles: several files on the device, one drawn for each question."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from helpers.errors import RobustnessError
from helpers.robustness._checks import checked_pairs
from helpers.robustness.target import Outcome, Target


def randomise(members: Sequence[Target], *, seed: int = 0) -> Target:
    """Answer each input by a member drawn at random.

    Parameters
    ----------
    members
        Artefacts of one task, two at least, with the same bounds.
    seed
        Of the draws. A device draws from its operating system's generator instead.

    Returns
    -------
    Target
        Its answers are one member's. Its model, if every member has one, is the mean of their
        logits: what an attacker who holds the files climbs, as the expectation over the draw.

    Raises
    ------
    RobustnessError
        If there are fewer than two members, or their bounds differ.

    References
    ----------
    Pinot, Ettedgui, Rizk, Chevaleyre and Atif, *Randomization matters: how to defend against strong
    adversarial attacks*, ICML 2020, where the draw is made for the same reason.
    """
    if len(members) < 2 or len({member.bounds for member in members}) > 1:
        raise RobustnessError(
            f"{len(members)} members: an ensemble needs two or more, with the same bounds."
        )
    rng = np.random.default_rng(seed)

    def ask(inputs: NDArray[np.float32]) -> NDArray[np.floating]:
        drawn = rng.integers(len(members), size=len(inputs))
        parts = {k: members[k].scores(inputs[drawn == k]) for k in np.unique(drawn)}
        scores = np.empty((len(inputs), next(iter(parts.values())).shape[1]))
        for k, part in parts.items():
            scores[drawn == k] = part
        return scores

    models = [member.model for member in members if member.model is not None]
    mean = _mean_of(models) if len(models) == len(members) else None
    return Target(ask, mean, members[0].bounds, f"one of {len(members)}")


def expected_robustness(
    members: Sequence[Target], inputs: ArrayLike, labels: ArrayLike, outcome: Outcome
) -> float:
    """Return the chance that one draw is right on the clean and one on the changed input.

    An attack on a random answer is judged on one draw; this is the mean over all of them.

    Parameters
    ----------
    members
        Of the ensemble.
    inputs, labels
        Clean inputs ``(n, ...)`` and true classes ``(n,)``.
    outcome
        What an attack made of them.

    Returns
    -------
    float
        Expected robust accuracy.
    """
    clean, truth = checked_pairs(inputs, labels, members[0].bounds)
    before, after = (
        np.mean([member.labels(rows) == truth for member in members], axis=0)
        for rows in (clean, outcome.adversarial)
    )
    return float(np.mean(before * after))


def _mean_of(models: Sequence[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    def mean(inputs: Any) -> Any:
        return tf.add_n([model(inputs) for model in models]) / len(models)

    return mean
