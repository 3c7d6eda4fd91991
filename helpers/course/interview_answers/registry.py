"""Where the computations are kept, and how one is called by name."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_type_hints

from helpers._text import nearest
from helpers.errors import EdgesecError, InterviewError
from helpers.interview.question import Plain

Function = TypeVar("Function", bound=Callable[..., Any])
ANSWERS: dict[str, Callable[..., Any]] = {}


def answer(function: Function) -> Function:
    """Put a function into the registry under its own name."""
    ANSWERS[function.__name__] = function
    return function


def calculate(function: str, arguments: Mapping[str, Plain]) -> Any:
    """Call a function of the registry.

    Parameters
    ----------
    function : str
        Its name.
    arguments : mapping
        Its arguments by name, or ``{"arguments": [...]}`` alone for a positional call.

    Returns
    -------
    float, int or list
        The number; a list for the references of code questions.

    Raises
    ------
    InterviewError
        If there is no such function, the arguments do not fit it, or it refuses them.
    """
    if function not in ANSWERS:
        raise InterviewError(
            f"there is no computation {function!r}; {nearest(function, ANSWERS)} "
            "(helpers/course/interview_answers/)"
        )
    call = ANSWERS[function]
    positional = arguments.get("arguments")
    try:
        if isinstance(positional, list) and len(arguments) == 1:
            bound = inspect.signature(call).bind(*positional)
        else:
            bound = inspect.signature(call).bind(**arguments)
    except TypeError as error:
        raise InterviewError(f"{function}{inspect.signature(call)}: {error}") from error
    for name, kind in get_type_hints(call).items():
        if name in bound.arguments:
            _require(function, name, bound.arguments[name], kind)
    try:
        return _computed(function, json.dumps([bound.args, bound.kwargs]))
    except EdgesecError as error:
        raise InterviewError(f"{function}: {error}") from error


@functools.lru_cache(maxsize=2048)
def _computed(function: str, arguments: str) -> Any:
    """Compute once what a bank asks for several times; some accountants take seconds."""
    args, kwargs = json.loads(arguments)
    return ANSWERS[function](*args, **kwargs)


def _require(function: str, name: str, value: Plain, kind: Any) -> None:
    fits = {float: (int, float), int: (int,), str: (str,)}.get(kind, (list,))
    if not isinstance(value, fits):
        wanted = getattr(kind, "__name__", str(kind))
        raise InterviewError(f"{function}: {name}={value!r} must be of type {wanted}.")
