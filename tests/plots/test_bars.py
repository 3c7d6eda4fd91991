import numpy as np
import pytest
from matplotlib.container import BarContainer

from helpers import plots
from helpers.errors import DataError

VALUES = {"model": 31_873_600.0, "raw images": 47_040_000.0, "nothing": 0.0}


def test_bars_are_as_long_as_their_values_and_say_so() -> None:
    ax = plots.bars_with_values(VALUES, "bytes over 20 rounds", title="Traffic")
    (bars,) = (group for group in ax.containers if isinstance(group, BarContainer))
    np.testing.assert_array_equal([bar.get_width() for bar in bars], list(VALUES.values()))
    assert [text.get_text() for text in ax.texts] == ["31,873,600", "47,040,000", "0"]
    assert [text.get_text() for text in ax.get_yticklabels()] == list(VALUES)
    assert ax.get_xlabel() == "bytes over 20 rounds"


def test_the_first_entry_is_on_top() -> None:
    bottom, top = plots.bars_with_values(VALUES, "bytes").get_ylim()
    assert top < bottom


def test_values_and_ticks_are_written_in_the_unit_asked_for() -> None:
    ax = plots.bars_with_values(VALUES, "traffic", value_format=lambda v: f"{v / 1e6:.1f} MB")
    ax.figure.canvas.draw()
    assert ax.texts[0].get_text() == "31.9 MB"
    assert all(tick.get_text().endswith(" MB") for tick in ax.get_xticklabels())


def test_a_logarithmic_axis_can_be_asked_for() -> None:
    assert plots.bars_with_values({"a": 1.0, "b": 1e6}, "bytes", log=True).get_xscale() == "log"


@pytest.mark.parametrize(
    ("values", "arguments", "message"),
    [
        ({}, {}, "empty"),
        ({"a": -1.0}, {}, "'a'"),
        ({"a": np.nan}, {}, "nan"),
        ({"a": 0.0}, {"log": True}, "positive"),
        ({"a": 1.0}, {"xlabel": ""}, "xlabel"),
    ],
)
def test_what_a_bar_cannot_show_is_refused(values: dict, arguments: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        plots.bars_with_values(values, **({"xlabel": "bytes"} | arguments))
