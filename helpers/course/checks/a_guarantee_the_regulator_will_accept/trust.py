"""Attacking a certificate: a step inside the ball, and who catches what. q7 and q8."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from helpers.course.compare import Slips, close, or_explain
from helpers.course.tasks import Case, FunctionTask, ValueTask

# --- q7: one step of the attack


def _step(
    towards: float = 1.0,
    unit: bool = True,
    sign: bool = False,
    project: str = "ball",
    guard: bool = True,
) -> Callable[[Any, Any, float, float], np.ndarray]:
    """A step of projected gradient ascent in L2, or one with one thing wrong."""

    def step(change: Any, gradient: Any, size: float, radius: float) -> np.ndarray:
        slope = np.asarray(gradient, float)
        length = np.linalg.norm(slope)
        divide = unit and (length > 0 or not guard)
        direction = np.sign(slope) if sign else slope / length if divide else slope
        moved = np.asarray(change, float) + towards * size * direction
        far = np.linalg.norm(moved)
        if project == "sphere":
            return moved * (radius / far)
        return moved * min(1.0, radius / far) if project == "ball" and far else moved

    return step


def _step_cases(rng: np.random.Generator) -> list[Case]:
    def case(size: float, radius: float, start: float, label: str) -> Case:
        change, gradient = rng.standard_normal((2, 6, 6, 3))
        return Case((change * start / np.linalg.norm(change), gradient, size, radius), label)

    return [
        case(0.1, 0.5, 0.1, "a step that stays inside"),
        case(0.3, 0.5, 0.5, "a step from the edge"),
        case(0.1, 0.5, 0.0, "the first step"),
        Case((np.full((2, 2, 3), 0.01), np.zeros((2, 2, 3)), 0.1, 0.5), "no slope: stay"),
        Case(
            (np.zeros((2, 2, 3)), np.zeros((2, 2, 3)), 0.1, 0.5), "no slope at the first step: stay"
        ),
    ]


_STEP_SLIPS: Slips = {
    "the step goes downhill; the attack climbs": _step(towards=-1.0),
    "the gradient must be brought to length 1 first, or its size decides how far the step goes": (
        _step(unit=False)
    ),
    "that is the step for the largest change of a pixel; in L2 the direction is the gradient "
    "itself, brought to length 1": _step(sign=True),
    "the result leaves the ball: shrink it to `radius` where it is longer": _step(project="none"),
    "a gradient of zeros has no length to divide by: then the change stays": _step(guard=False),
    "a change that is shorter than `radius` stays as it is": _step(project="sphere"),
}

# --- q8: who catches what

CATCHERS = {
    "v": "the verifier, which reads the certificate alone",
    "a": "the verifier, if it is also given the file on the device",
    "d": "only somebody who votes anew with the file, on the certificate's own images",
    "n": "none of them",
}
TAMPERINGS = {
    "larger radius": "one radius is made larger",
    "smaller alpha": "alpha is lowered to a tenth, and nothing else is changed",
    "invented votes": "votes are moved to the winning class, and every other number is made to fit",
    "another file": "the device gets a retrained file; the certificate stays",
    "easy lesions": "only lesions that look easy are certified, honestly",
    "one run": "the device runs the file once an answer, without noise, and shows the certificate",
}
_RIGHT = {
    "larger radius": "v",
    "smaller alpha": "v",
    "invented votes": "d",
    "another file": "a",
    "easy lesions": "n",
    "one run": "n",
}
_REMINDERS = {
    "larger radius": "the verifier computes every radius from the votes",
    "smaller alpha": "the verifier computes the bound of each image with alpha",
    "invented votes": "the verifier only has the votes; where would others come from?",
    "another file": "which line of the certificate names the file?",
    "easy lesions": "every certificate is true here; what was never in the file?",
    "one run": "file, images and votes are all honest here; what runs on the device?",
}


def _catch_problem(got: Any, expected: Any, args: tuple[Any, ...]) -> str | None:
    if not isinstance(got, dict) or set(got) != set(TAMPERINGS):
        return f"a dict with these keys was expected: {', '.join(map(repr, TAMPERINGS))}"
    given = {name: str(letter).strip().lower() for name, letter in got.items()}
    unknown = [letter for letter in given.values() if letter not in CATCHERS]
    if unknown:
        return f"{unknown[0]!r} is none of the letters {', '.join(CATCHERS)}"
    wrong = [name for name in TAMPERINGS if given[name] != _RIGHT[name]]
    return f"{wrong[0]!r}: {_REMINDERS[wrong[0]]}" if wrong else None


STEP = FunctionTask(
    "q7", "A step inside the radius", 2, _step(), _step_cases,
    or_explain(close(), _STEP_SLIPS),
    "np.linalg.norm gives the length of an array of any shape. Two lengths matter: that of the "
    "gradient, and that of the change after the step. Either may be 0.",
)  # fmt: skip
CAUGHT_BY = ValueTask(
    "q8", "Who catches what", 2, lambda seed, profile: dict(_RIGHT), _catch_problem,
    "Ask of each: does the certificate still agree with itself, with the file, with new votes?",
    tells=True,
)  # fmt: skip
