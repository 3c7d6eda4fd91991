"""The course's own machinery: solutions to labs, learner checks, running labs, grading.

A lab needs one name, ``from helpers.course import Lab``. It is imported on first use, so that
:mod:`helpers.course.colab` can be loaded before NumPy is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from helpers.course.session import Lab

__all__ = ["Lab"]


def __getattr__(name: str) -> Any:
    if name == "Lab":
        from helpers.course.session import Lab

        return Lab
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
