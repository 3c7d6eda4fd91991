"""What was traced for a model, kept for as long as the model lives and no longer."""

from __future__ import annotations

import types
import weakref
from collections.abc import Callable, Hashable
from typing import Any

import tensorflow as tf


class _Owned(dict[Hashable, Callable[..., Any]]):
    """What was traced for one function, by key, and for it together with one more."""

    def __init__(self, owner: Any) -> None:
        super().__init__()
        self.owner = weakref.ref(owner)
        self.further: weakref.WeakKeyDictionary[Any, _Owned] = weakref.WeakKeyDictionary()


_TRACED: weakref.WeakKeyDictionary[Any, _Owned] = weakref.WeakKeyDictionary()


def traced(
    functions: tuple[Callable[..., Any], ...],
    key: Hashable,
    trace: Callable[..., Callable[..., Any]],
) -> Callable[..., Any] | None:
    """Return what ``trace`` made of a model under a key; it is made once.

    Parameters
    ----------
    functions
        Keras model, or another function of inputs, and other functions that are traced with it,
        such as a loss. What is kept goes with the first of them that goes.
    key
        All else that decides what is traced.
    trace
        Takes functions that answer as these do, and gives what is kept. They keep none of these
        alive: if they did, what is kept for the model would keep the model.

    Returns
    -------
    callable or None
        None if nothing can be kept: a function cannot be hashed, or not be referred to weakly, or
        is a method of an object that is equal to one already known and not the same.
    """
    level, answers = _TRACED, []
    for function in functions:
        holder: Any = function
        part: Callable[..., Any] | None = None
        if isinstance(function, types.MethodType):  # a new object each time; what it is of stays
            holder, part = function.__self__, function.__func__
        try:
            owned = level.setdefault(holder, _Owned(holder))
        except TypeError:
            return None
        if part is not None and owned.owner() is not holder:
            return None  # methods of equal objects are not equal
        level, key = owned.further, (part, key)
        answers.append(_weakly(owned.owner, part))
    if key not in owned:
        owned[key] = trace(*answers)
    return owned[key]


def _weakly(owner: weakref.ref[Any], part: Callable[..., Any] | None) -> Callable[..., Any]:
    if part is not None:
        return lambda *inputs: part(owner(), *inputs)
    return lambda *inputs: answer(owner(), *inputs)


def answer(model: Any, *inputs: Any) -> Any:
    """Return what a model says, in inference mode; any other function says what it says."""
    if isinstance(model, tf.keras.Model):
        return model(*inputs, training=False)
    return model(*inputs)
