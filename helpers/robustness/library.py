"""Attacks of the Adversarial Robustness Toolbox (ART), judged by the deployed artefact."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from helpers.errors import RobustnessError
from helpers.robustness._checks import checked_pairs, require_whole
from helpers.robustness.budget import Budget, Norm
from helpers.robustness.losses import require_logits
from helpers.robustness.target import Outcome, Target, judge

# Takes an estimator of ART and gives one of its attacks.
MakeAttack = Callable[[Any], Any]


def art_classifier(target: Target, example: NDArray[np.float32]) -> Any:
    """Return the target's model with gradients as ART's ``TensorFlowV2Classifier``.

    Parameters
    ----------
    target
        With a model that gives logits.
    example
        Inputs ``(n, ...)``, for their shape and the number of classes.

    Returns
    -------
    art.estimators.classification.TensorFlowV2Classifier

    Raises
    ------
    RobustnessError
        If there is no model, or it gives probabilities.
    """
    with _quiet():
        from art.estimators.classification import TensorFlowV2Classifier

    model = target.differentiable()
    outputs = model(tf.constant(example[:8]))
    require_logits(outputs)
    return TensorFlowV2Classifier(
        model=model,
        nb_classes=int(outputs.shape[1]),
        input_shape=example.shape[1:],
        loss_object=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        clip_values=target.bounds,
    )


def art_black_box(target: Target, example: NDArray[np.float32]) -> Any:
    """Return the deployed artefact as an ART classifier without gradients.

    Parameters
    ----------
    target
        Only its ``ask`` is used.
    example
        Inputs ``(n, ...)``, for their shape and the number of classes.

    Returns
    -------
    art.estimators.classification.BlackBoxClassifier
    """
    with _quiet():
        from art.estimators.classification import BlackBoxClassifier

    classes = target.scores(example[:1]).shape[1]
    return BlackBoxClassifier(target.scores, example.shape[1:], classes, clip_values=target.bounds)


def carlini_wagner(
    target: Target,
    inputs: ArrayLike,
    labels: ArrayLike,
    *,
    confidence: float = 0.0,
    steps: int = 10,
    searches: int = 4,
    learning_rate: float = 0.1,
    seed: int = 0,
) -> Outcome:
    """Look for the shortest L2 change that fools the model with gradients.

    It stops on that model's boundary: :func:`helpers.robustness.transfer.overshoot` carries it on.

    Parameters
    ----------
    target
        With a model.
    inputs, labels
        Clean inputs ``(n, ...)`` and true classes ``(n,)``.
    confidence
        Lead that the wrong logit must have.
    steps
        Optimiser steps for each weight of the distance.
    searches
        Weights tried, by bisection.
    learning_rate
        Of the optimiser.
    seed
        Of NumPy's global generator, which ART draws from.

    Returns
    -------
    Outcome
        Of the artefact; distances in L2.

    Raises
    ------
    RobustnessError
        If the target has no model that gives logits.

    References
    ----------
    Carlini and Wagner, *Towards evaluating the robustness of neural networks*, IEEE S&P 2017.
    """

    def make(estimator: Any) -> Any:
        from art.attacks.evasion import CarliniL2Method

        return CarliniL2Method(
            estimator,
            confidence=confidence,
            max_iter=steps,
            binary_search_steps=searches,
            learning_rate=learning_rate,
            initial_const=1.0,  # logits are about that large; so few searches find no way there
            max_halving=3,
            max_doubling=3,
            batch_size=len(np.asarray(inputs)),
            verbose=False,
        )

    return _white_box(target, inputs, labels, make, "Carlini-Wagner L2", None, "l2", seed)


def deepfool(
    target: Target,
    inputs: ArrayLike,
    labels: ArrayLike,
    *,
    steps: int = 50,
    seed: int = 0,
) -> Outcome:
    """Step to the nearest boundary of the linearised model until the model is fooled.

    Parameters
    ----------
    target, inputs, labels, seed
        As for :func:`carlini_wagner`.
    steps
        At most.

    Returns
    -------
    Outcome
        Of the artefact; distances in L2.

    Raises
    ------
    RobustnessError
        If the target has no model that gives logits.

    References
    ----------
    Moosavi-Dezfooli, Fawzi and Frossard, *DeepFool: a simple and accurate method to fool deep
    neural networks*, CVPR 2016.
    """

    def make(estimator: Any) -> Any:
        from art.attacks.evasion import DeepFool

        size = len(np.asarray(inputs))
        return DeepFool(estimator, max_iter=steps, batch_size=size, verbose=False)

    return _white_box(target, inputs, labels, make, "DeepFool", None, "l2", seed)


def auto_attack(
    target: Target,
    inputs: ArrayLike,
    labels: ArrayLike,
    budget: Budget,
    *,
    steps: int = 20,
    restarts: int = 1,
    seed: int = 0,
) -> Outcome:
    """Run ART's AutoAttack with two step-size-free PGDs, to compare ``worst_case`` with.

    The PGDs climb on cross-entropy and on logit ratios.

    ART's own defaults (100 steps, 5 restarts, DeepFool, 5,000 queries of Square) take minutes for
    a hundred small images; :func:`helpers.robustness.transfer.worst_case` does the same job faster,
    and asks the artefact in its black-box part, which ART would ask of the model.

    Parameters
    ----------
    target, inputs, labels, seed
        As for :func:`carlini_wagner`.
    budget
        What may change.
    steps, restarts
        Of each PGD.

    Returns
    -------
    Outcome
        Of the artefact.

    Raises
    ------
    RobustnessError
        If the target has no model that gives logits, or a setting is out of its range.

    References
    ----------
    Croce and Hein, *Reliable evaluation of adversarial robustness with an ensemble of diverse
    parameter-free attacks*, ICML 2020.
    """
    require_whole("steps", steps, at_least=2)
    require_whole("restarts", restarts, at_least=1)
    order = np.inf if budget.norm == "linf" else 2
    size = len(np.asarray(inputs))

    def make(estimator: Any) -> Any:
        from art.attacks.evasion import AutoAttack, AutoProjectedGradientDescent

        parts = [
            AutoProjectedGradientDescent(
                estimator,
                norm=order,
                eps=budget.epsilon,
                eps_step=2 * budget.epsilon,
                max_iter=steps,
                nb_random_init=restarts,
                batch_size=size,
                loss_type=loss,
                verbose=False,
            )
            for loss in ("cross_entropy", "difference_logits_ratio")
        ]
        return AutoAttack(
            estimator,
            norm=order,
            eps=budget.epsilon,
            eps_step=2 * budget.epsilon,
            attacks=parts,
            batch_size=size,
        )

    return _white_box(target, inputs, labels, make, "AutoAttack", budget, budget.norm, seed)


def hop_skip_jump(
    target: Target,
    inputs: ArrayLike,
    labels: ArrayLike,
    norm: Norm = "l2",
    *,
    rounds: int = 10,
    evaluations: int = 200,
    seed: int = 0,
) -> Outcome:
    """Attack the artefact by its labels alone, walking along its boundary towards each input.

    Scores that saturate do not hinder it: it never reads one. Each walk starts from another of the
    given inputs, the nearest that the artefact puts in another class.

    Parameters
    ----------
    target
        Only its ``ask`` is used.
    inputs, labels
        Clean inputs ``(n, ...)`` and true classes ``(n,)``; of at least two classes as the artefact
        sees them.
    norm
        In which the change is made small.
    rounds
        Steps along the boundary.
    evaluations
        Questions to estimate one direction, at most.
    seed
        Of NumPy's global generator, which ART draws from.

    Returns
    -------
    Outcome
        With the queries that each input took.

    Raises
    ------
    RobustnessError
        If the artefact gives all inputs one label, or a setting is out of its range.

    References
    ----------
    Chen, Jordan and Wainwright, *HopSkipJumpAttack: a query-efficient decision-based attack*, IEEE
    S&P 2020.
    """
    clean, truth = checked_pairs(inputs, labels, target.bounds)
    require_whole("rounds", rounds, at_least=1)
    require_whole("evaluations", evaluations, at_least=10)
    given = target.labels(clean)
    starts = clean[_nearest_of_another_class(clean, given)]
    metered, meter = target.metered()
    with _quiet(), _seeded(seed):
        from art.attacks.evasion import HopSkipJump

        attack = HopSkipJump(
            art_black_box(metered, clean),
            norm=np.inf if norm == "linf" else 2,
            max_iter=rounds,
            max_eval=evaluations,
            init_eval=min(100, evaluations),
            verbose=False,
        )
        found, queries = clean.copy(), np.zeros(len(clean), np.int64)
        for i in np.flatnonzero(given == truth):
            before = meter.count
            found[i] = attack.generate(clean[[i]], x_adv_init=starts[[i]].copy())[0]
            queries[i] = meter.count - before
    found = np.clip(found, *target.bounds)
    return judge(target, clean, truth, found, attack="HopSkipJump", norm=norm, queries=queries)


def _nearest_of_another_class(
    clean: NDArray[np.float32], given: NDArray[np.int64]
) -> NDArray[np.int64]:
    if len(np.unique(given)) < 2:
        raise RobustnessError(
            f"The artefact gives all {len(clean)} inputs the label {given[0]}: HopSkipJump needs "
            "one of another class to start from."
        )
    flat = clean.reshape(len(clean), -1).astype(np.float64)
    squares = (flat**2).sum(axis=1)
    apart = squares[:, None] + squares[None, :] - 2 * flat @ flat.T
    return np.argmin(np.where(given[:, None] == given[None, :], np.inf, apart), axis=1)


def _white_box(
    target: Target,
    inputs: ArrayLike,
    labels: ArrayLike,
    make: MakeAttack,
    name: str,
    budget: Budget | None,
    norm: Norm,
    seed: int,
) -> Outcome:
    clean, truth = checked_pairs(inputs, labels, target.bounds)
    with _quiet(), _seeded(seed):
        attack = make(art_classifier(target, clean))
        found = np.asarray(attack.generate(clean.copy(), truth), np.float32)
    found = np.clip(found, *target.bounds)
    if budget is not None:  # ART keeps to a budget within a ten-thousandth of it
        found = budget.project(clean, found, target.bounds)
    return judge(target, clean, truth, found, attack=name, budget=budget, norm=norm)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed NumPy's global generator, and give it back as it was."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out the warning that ART gives where PyTorch is missing."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*PyTorch.*")
        yield
