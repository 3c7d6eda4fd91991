"""What was traced for a model, kept for as long as the model lives and no longer."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable
from typing import Any

import tensorflow as tf

_TRACED: weakref.WeakKeyDictionary[Any, dict[Hashable, Callable[..., Any]]] = (
    weakref.WeakKeyDictionary()
)


def traced(
    model: Callable[[Any], Any],
    key: Hashable,
    trace: Callable[[Callable[[Any], Any]], Callable[..., Any]],
) -> Callable[..., Any]:
    """Return what ``trace`` made of a model under a key; it is made once.

    Parameters
    ----------
    model
        Keras model, or another function of inputs.
    key
        All else that decides what is traced.
    trace
        Takes a function that answers as the model does, and gives what is kept. That function does
        not keep the model alive: if it did, what is kept for the model would keep the model.
    """
    try:
        known = _TRACED.setdefault(model, {})
    except TypeError:  # it cannot be hashed, or not be referred to weakly
        return trace(lambda inputs: answer(model, inputs))
    if key not in known:
        alive = weakref.ref(model)
        known[key] = trace(lambda inputs: answer(alive(), inputs))
    return known[key]


def answer(model: Any, inputs: Any) -> Any:
    """Return what a model says, in inference mode."""
    if isinstance(model, tf.keras.Model):
        return model(inputs, training=False)
    return model(inputs)
