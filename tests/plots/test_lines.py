import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.lines import Line2D

from helpers import plots
from helpers.errors import DataError

ROUNDS = np.arange(1, 41)


def drawn(line: Line2D) -> np.ndarray:
    return np.asarray(line.get_ydata(), np.float64)


def legend_texts(ax: plt.Axes) -> list[str]:
    legend = ax.get_legend()
    assert legend is not None
    return [text.get_text() for text in legend.get_texts()]


def test_curves_draw_the_values_they_were_given_under_their_labels() -> None:
    series = {"IID": (ROUNDS, ROUNDS / 40), "Dirichlet": (ROUNDS[:9], np.sqrt(ROUNDS[:9]))}
    ax = plots.curves(series, "round", "test accuracy", title="Two curves")
    assert [line.get_label() for line in ax.lines] == list(series)
    for line, (x, y) in zip(ax.lines, series.values(), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), x)
        np.testing.assert_array_equal(line.get_ydata(), y)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("round", "test accuracy")
    assert ax.get_title() == ax.get_title(loc="center") == "Two curves"
    assert legend_texts(ax) == list(series)


def test_curves_differ_in_colour_marker_and_dashes() -> None:
    ax = plots.curves({str(k): (ROUNDS, ROUNDS * k) for k in range(4)}, "round", "bytes")
    looks = [(line.get_color(), line.get_marker(), line.get_linestyle()) for line in ax.lines]
    for aspect in zip(*looks, strict=True):
        assert len(set(aspect)) == 4


def test_a_band_is_shaded_between_its_bounds() -> None:
    lower, upper = ROUNDS - 1.0, ROUNDS + 2.0
    ax = plots.curves({"mean": (ROUNDS, ROUNDS)}, "round", "loss", bands={"mean": (lower, upper)})
    (band,) = (artist for artist in ax.collections if isinstance(artist, PolyCollection))
    corners = {tuple(corner) for corner in np.asarray(band.get_paths()[0].vertices)}
    assert set(zip(ROUNDS, lower, strict=True)) | set(zip(ROUNDS, upper, strict=True)) <= corners


def test_rounds_are_ticked_at_whole_numbers() -> None:
    ax = plots.curves({"a": ([1, 2, 3], [0, 1, 0])}, "round", "loss")
    ticks = ax.get_xticks()
    np.testing.assert_array_equal(ticks, np.round(ticks))


def test_curves_draw_on_the_axes_they_are_given() -> None:
    _, axes = plt.subplots(1, 2)
    assert plots.curves({"a": ([1, 2], [3, 4])}, "x", "y", ax=axes[1]) is axes[1]
    assert len(axes[0].lines) == 0
    assert len(plt.get_fignums()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"series": {}}, "empty"),
        ({"series": {"a": ([1, 2], [1])}}, "2 x values and 1 y values"),
        ({"series": {"a": ([], [])}}, "non-empty"),
        ({"xlabel": " "}, "xlabel"),
        ({"ylabel": ""}, "ylabel"),
        ({"bands": {"b": ([0, 0], [1, 1])}}, "'b' has no line"),
        ({"bands": {"a": ([0], [1, 1])}}, "1 lower and 2 upper"),
        ({"bands": {"a": ([2, 0], [1, 1])}}, "above"),
    ],
)
def test_curves_refuse_what_they_cannot_draw(arguments: dict, message: str) -> None:
    given = {"series": {"a": ([1, 2], [3, 4])}, "xlabel": "round", "ylabel": "loss"} | arguments
    with pytest.raises(DataError, match=message):
        plots.curves(**given)
    assert plt.get_fignums() == []


def test_spread_draws_median_and_extremes_of_the_clients_that_took_part() -> None:
    rng = np.random.default_rng(0)
    values = [rng.random(size) for size in (5, 8, 1)]
    values[1][3] = np.nan
    ax = plots.spread(values, "round", "client accuracy", rounds=[2, 4, 6])
    median, lowest, highest = ax.lines
    np.testing.assert_array_equal(median.get_xdata(), [2, 4, 6])
    np.testing.assert_allclose(drawn(median), [np.nanmedian(row) for row in values])
    np.testing.assert_allclose(drawn(lowest), [np.nanmin(row) for row in values])
    np.testing.assert_allclose(drawn(highest), [np.nanmax(row) for row in values])
    assert legend_texts(ax) == [
        "median client", "10% to 90% of clients", "lowest and highest client",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values_by_round": []}, "empty"),
        ({"values_by_round": [[1.0], [np.nan]]}, r"values_by_round\[1\]"),
        ({"quantiles": (0.9, 0.1)}, "ascend"),
        ({"rounds": [1]}, "1 entries for 2 rounds"),
    ],
)
def test_spread_refuses_what_it_cannot_draw(arguments: dict, message: str) -> None:
    given = {"values_by_round": [[1.0], [2.0]], "xlabel": "round", "ylabel": "loss"} | arguments
    with pytest.raises(DataError, match=message):
        plots.spread(**given)
