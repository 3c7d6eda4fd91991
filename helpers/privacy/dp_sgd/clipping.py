"""Clip every example's gradient and add them up, in one forward and one backward pass.

A tape watches only the outputs of the layers with a one-pass rule (see ``layers``). The gradients
at those outputs give each example's norm; scaled by the example's clip factor they give the sum of
clipped gradients, without a second backward pass. Variables of all other layers get per-example
gradients one by one, in a vectorised map (a loop, where TensorFlow cannot vectorise).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from helpers.errors import PrivacyError
from helpers.privacy._checks import require_positive
from helpers.privacy.dp_sgd.layers import Rule, Use, rule_for
from helpers.privacy.dp_sgd.per_example import Explicit, PerExample
from helpers.privacy.dp_sgd.recording import Call, recorded_calls
from helpers.privacy.dp_sgd.validation import (
    LossFunction,
    LossName,
    check_method,
    check_model,
    checked_data,
    loss_function,
    losses_of,
)

Method = Literal["ghost", "per_example"]


class ClippedSum(NamedTuple):
    """What one pass over a batch gives.

    Attributes
    ----------
    gradients
        Sum of clipped gradients, one tensor a trainable variable.
    norms
        Each example's gradient norm before clipping, float32 ``(n,)``.
    losses
        Each example's loss, float32 ``(n,)``.
    """

    gradients: list[tf.Tensor]
    norms: tf.Tensor
    losses: tf.Tensor


class Plan(NamedTuple):
    """How each variable of a model gets its per-example gradients.

    Attributes
    ----------
    ruled
        Layers with a one-pass rule, each with its rule.
    others
        Variables of all other layers.
    """

    ruled: list[tuple[tf.keras.layers.Layer, Rule]]
    others: list[tf.Variable]


def clipped_gradient_sum(
    model: tf.keras.Model,
    x: ArrayLike,
    y: ArrayLike,
    l2_norm_clip: float,
    loss: LossName | LossFunction = "sparse_categorical_crossentropy",
    method: Method = "ghost",
) -> list[NDArray[np.float32]]:
    r"""Return :math:`\sum_i g_i \min(1, C / \|g_i\|)`, the sum that DP-SGD adds noise to.

    Abadi et al. 2016, "Deep learning with differential privacy", Algorithm 1.

    Parameters
    ----------
    model
        A built Keras model with one input and one output. Called with ``training=True``.
    x
        Inputs, ``(n, *input_shape)``.
    y
        Labels, ``(n,)`` for the named losses.
    l2_norm_clip
        :math:`C`: no example adds a vector longer than this.
    loss
        Name, or function of ``(labels, outputs)`` that returns one value an example.
    method
        ``"ghost"`` uses the one-pass rules where there are any; ``"per_example"`` uses none.

    Returns
    -------
    list of np.ndarray
        float32, one array a trainable variable, in the order of ``model.trainable_variables``.

    Raises
    ------
    PrivacyError
        If the model, the data or a setting cannot be used for DP-SGD.
    """
    require_positive("l2_norm_clip", l2_norm_clip)
    check_method(method)
    check_model(model)
    inputs, labels = checked_data(model, x, y)
    tensors = tf.constant(inputs), tf.constant(labels)
    total = clipped_sum(model, plan(model, method), *tensors, l2_norm_clip, loss_function(loss))
    return [gradient.numpy() for gradient in total.gradients]


def plan(model: tf.keras.Model, method: Method = "ghost") -> Plan:
    """Decide which variables a one-pass rule serves.

    Only layers that a model calls directly are considered. One inside another layer, such as
    ``TimeDistributed``, may be called on a reshaped batch.

    Parameters
    ----------
    model
        A checked model.
    method
        As for :func:`clipped_gradient_sum`.

    Returns
    -------
    Plan
        Every trainable variable appears once.
    """
    variables = {v.ref(): v for v in model.trainable_variables}
    ruled = []
    for layer in _called_layers(model) if method == "ghost" else []:
        own = [v.ref() for v in layer.trainable_variables]
        rule = rule_for(layer) if own else None
        # A variable that two layers share is left to the map, which adds up its gradients.
        if rule is not None and all(ref in variables for ref in own):
            ruled.append((layer, rule))
            for ref in own:
                del variables[ref]
    return Plan(ruled, list(variables.values()))


def _called_layers(model: tf.keras.Model) -> list[tf.keras.layers.Layer]:
    found: dict[int, tf.keras.layers.Layer] = {}
    for layer in model.layers:
        inner = _called_layers(layer) if isinstance(layer, tf.keras.Model) else [layer]
        found |= {id(one): one for one in inner}
    return list(found.values())


def clipped_sum(
    model: tf.keras.Model,
    how: Plan,
    x: tf.Tensor,
    y: tf.Tensor,
    l2_norm_clip: float,
    loss: LossFunction,
    training: bool = True,
) -> ClippedSum:
    """Compute a :class:`ClippedSum` on tensors; for use inside a ``tf.function`` too.

    Parameters
    ----------
    model, how
        A checked model and its plan.
    x, y
        A batch of at least one example.
    l2_norm_clip
        Clip norm.
    loss
        Function of ``(labels, outputs)`` that returns one value an example.
    training
        Passed on to the model.

    Returns
    -------
    ClippedSum
        Gradients in the order of ``model.trainable_variables``.

    Raises
    ------
    PrivacyError
        While tracing, if the loss or a layer's outputs do not keep examples apart.
    """
    parts, losses = _one_pass(model, how, x, y, loss, training)
    owners = [layer.trainable_variables for layer, _ in how.ruled if id(layer) in parts]
    held: list[PerExample] = list(parts.values())
    if how.others:
        held.append(Explicit(_mapped(model, how.others, x, y, loss, training)))
        owners.append(how.others)
    norms = tf.sqrt(tf.add_n([part.squared_norms() for part in held]))
    weights = l2_norm_clip / tf.maximum(norms, l2_norm_clip)
    sums = {
        variable.ref(): gradient
        for variables, part in zip(owners, held, strict=True)
        for variable, gradient in zip(variables, part.weighted_sum(weights), strict=True)
    }
    return ClippedSum(
        [sums.get(v.ref(), tf.zeros_like(v)) for v in model.trainable_variables], norms, losses
    )


def _one_pass(
    model: tf.keras.Model,
    how: Plan,
    x: tf.Tensor,
    y: tf.Tensor,
    loss: LossFunction,
    training: bool,
) -> tuple[dict[int, PerExample], tf.Tensor]:
    """Run forward and backward once; return the gradients of each ruled layer that was called."""
    layers = [layer for layer, _ in how.ruled]
    with (
        tf.GradientTape(watch_accessed_variables=False) as tape,
        recorded_calls(layers, tape) as calls,
    ):
        losses = losses_of(loss, y, model(x, training=training), x.shape[0])
        total = tf.reduce_sum(losses)
    if model.losses:
        raise PrivacyError(
            f"Model {model.name!r} adds a loss of its own while it runs (add_loss). It is outside "
            "the per-example loss that is clipped: remove it."
        )
    cotangents = tape.gradient(
        total, [c.output for c in calls], unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    uses: dict[int, list[Use]] = {}
    for call, cotangent in zip(calls, cotangents, strict=True):
        _check_batch(call, x)
        uses.setdefault(id(call.layer), []).append(Use(call.inputs, cotangent))
    return {
        id(layer): rule(layer, uses[id(layer)]) for layer, rule in how.ruled if id(layer) in uses
    }, losses


def _check_batch(call: Call, x: tf.Tensor) -> None:
    if not call.output.shape[:1].is_compatible_with(x.shape[:1]):
        raise PrivacyError(
            f"Layer {call.layer.name!r} was called on {call.output.shape[0]} rows for a batch of "
            f'{x.shape[0]} examples: the model reshapes its batch. Use method="per_example".'
        )


def _mapped(
    model: tf.keras.Model,
    variables: Sequence[tf.Variable],
    x: tf.Tensor,
    y: tf.Tensor,
    loss: LossFunction,
    training: bool,
) -> list[tf.Tensor]:
    """Compute per-example gradients of some variables, one example at a time."""

    def gradients(example: tuple[tf.Tensor, tf.Tensor]) -> list[tf.Tensor]:
        one_x, one_y = (value[None] for value in example)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            value = tf.reduce_sum(losses_of(loss, one_y, model(one_x, training=training), 1))
        found = tape.gradient(value, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return [tf.convert_to_tensor(gradient) for gradient in found]

    if any(_needs_loop(module) for module in model.submodules):
        shapes = [tf.TensorSpec(v.shape, tf.float32) for v in variables]
        mapped: list[tf.Tensor] = tf.map_fn(gradients, (x, y), fn_output_signature=shapes)
    else:
        mapped = tf.vectorized_map(gradients, (x, y))
    # The map forgets static shapes, which the sums below need.
    return [tf.ensure_shape(g, (None, *v.shape)) for g, v in zip(mapped, variables, strict=True)]


def _needs_loop(module: tf.Module) -> bool:
    """Tell what TensorFlow cannot vectorise: loops of recurrent layers, grouped convolutions."""
    grouped = hasattr(module, "kernel_size") and getattr(module, "groups", 1) > 1
    return grouped or isinstance(module, tf.keras.layers.RNN)
