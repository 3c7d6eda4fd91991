"""The checks of every lab: ``train_across_devices`` defines ``LAB`` for the lab of that name."""

from __future__ import annotations

import importlib
import pkgutil

from helpers._text import nearest
from helpers.course.tasks import LabSpec
from helpers.errors import CourseError


def names() -> list[str]:
    """Return the names of all labs that have checks, sorted."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


def load(lab_name: str) -> LabSpec:
    """Return the specification of a lab.

    Raises
    ------
    CourseError
        If there is no such lab, or its module does not define ``LAB`` as it must.
    """
    module_name = f"{__name__}.{lab_name.replace('-', '_')}"
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name != module_name:
            raise
        raise CourseError(
            f"there are no checks for a lab called {lab_name!r}; {nearest(lab_name, names())}"
        ) from None
    spec = getattr(module, "LAB", None)
    if not isinstance(spec, LabSpec) or spec.name != lab_name:
        raise CourseError(f"{module_name} must define LAB = LabSpec({lab_name!r}, ...)")
    return spec
