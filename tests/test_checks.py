"""What may be required of a setting, at its limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from helpers._checks import Requirements
from helpers.errors import EdgesecError, PrivacyError

REQUIRE = Requirements(PrivacyError)
NONE_OF_THEM = (None, True, "1", [1], float("nan"), float("inf"), np.float32("nan"))
CASES: dict[str, tuple[Callable[[str, Any], None], tuple[Any, ...], tuple[Any, ...], str]] = {
    "whole": (
        lambda name, value: REQUIRE.whole(name, value, at_least=2),
        (2, np.int8(2), 1 << 80),
        (1, 2.0, np.int64(1), np.float64(2)),
        "a whole number of at least 2.",
    ),
    "positive": (
        REQUIRE.positive,
        (1, 1e-300, np.float32(1)),
        (0, -1, np.int8(0)),
        "a finite number above 0.",
    ),
    "not_negative": (
        REQUIRE.not_negative,
        (0, 1e-300, np.float32(0)),
        (-1, -1e-300),
        "a finite number of at least 0.",
    ),
    "rate": (REQUIRE.rate, (1, 1e-300), (0, 1.001), "a number with 0 < s <= 1."),
    "probability": (REQUIRE.probability, (0.5, 1e-300), (0, 1), "a number with 0 < s < 1."),
    "share": (REQUIRE.share, (0, 0.999), (-1e-300, 1), "a number with 0 <= s < 1."),
    "between": (
        lambda name, value: REQUIRE.between(name, value, 2, 3.5),
        (2, 3, np.float32(3)),
        (1, 3.5),
        "a number with 2 <= s < 3.5.",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_setting_is_taken_up_to_its_limits(name: str) -> None:
    require, good, bad, must = CASES[name]
    for value in good:
        require("s", value)
    for value in (*NONE_OF_THEM, *bad):
        with pytest.raises(PrivacyError) as caught:
            require("s", value)
        assert str(caught.value) == f"s={value!r} must be {must}"


def test_a_choice_is_one_of_those_named() -> None:
    REQUIRE.choice("s", "a", {"a": 1, "b": 2})
    for value in ("c", None, ["a"]):
        with pytest.raises(PrivacyError) as caught:
            REQUIRE.choice("s", value, ("a", "b"))
        assert str(caught.value) == f"s={value!r} is not known: choose one of a, b."


@pytest.mark.parametrize(
    "error", [e for e in EdgesecError.__subclasses__() if e.__module__ == EdgesecError.__module__]
)
def test_each_room_raises_its_own(error: type[EdgesecError]) -> None:
    with pytest.raises(error, match="s=0 must"):
        Requirements(error).positive("s", 0)
