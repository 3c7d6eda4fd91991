"""The registry of computations that the question bank may name.

A question never holds the number it asks for. It names one of these functions and its arguments,
and the number is computed when the bank is checked, practised or printed. Each function is a few
lines over a room of ``helpers``, and takes plain numbers and lists by name. A module is a subject.
"""

# Each subject puts its functions into the registry when it is imported.
from helpers.course.interview_answers import (  # noqa: F401
    device,
    evidence,
    federated,
    privacy,
    protocols,
    record,
    shuffling,
)
from helpers.course.interview_answers.registry import ANSWERS, calculate

__all__ = ["ANSWERS", "calculate"]
