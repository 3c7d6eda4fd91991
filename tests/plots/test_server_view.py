import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex

from helpers import plots
from helpers.errors import DataError

STEPS = {
    "update": np.linspace(-1, 1, 12),
    "sent": np.random.default_rng(0).random(12),
    "mean": np.zeros((3, 4)),
}


def test_each_step_is_a_picture_above_its_histogram() -> None:
    figure = plots.server_view(STEPS, (3, 4))
    pictures, histograms = figure.axes[:3], figure.axes[3:]
    for ax, below, (title, values) in zip(pictures, histograms, STEPS.items(), strict=True):
        np.testing.assert_array_equal(np.asarray(ax.images[0].get_array()), values.reshape(3, 4))
        assert ax.get_title() == title
        assert sum(bar.get_height() for bar in below.patches) == 12  # type: ignore[attr-defined]
        assert below.get_xlabel() == "value"


def test_what_the_server_does_not_see_says_so_and_has_another_frame() -> None:
    figure = plots.server_view(STEPS, (3, 4), unseen=1, xlabel="weight")
    frames = [to_hex(ax.spines["top"].get_edgecolor()) for ax in figure.axes[:3]]
    assert frames[0] != frames[1] == frames[2]
    assert figure.axes[0].get_title().replace("\n", " ") == "update (not seen)"
    assert figure.axes[3].get_xlabel() == "weight"


def test_it_draws_on_the_figure_it_is_given() -> None:
    figure = plt.figure()
    assert plots.server_view(STEPS, (3, 4), figure=figure) is figure
    assert len(plt.get_fignums()) == 1


@pytest.mark.parametrize(
    ("steps", "arguments", "message"),
    [
        ({}, {}, "empty"),
        ({"a": np.zeros(11)}, {}, "'a' has 11 values"),
        ({"a": np.full(12, np.nan)}, {}, "NaN"),
        (STEPS, {"unseen": 4}, "unseen must be from 0 to the 3"),
    ],
)
def test_what_cannot_be_drawn_is_named(steps: dict, arguments: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        plots.server_view(steps, (3, 4), **arguments)
    assert plt.get_fignums() == []
