import matplotlib.pyplot as plt
import numpy as np
import pytest

from helpers import plots
from helpers.errors import DataError

RNG = np.random.default_rng(0)
GREY = RNG.random((5, 6, 4, 1))
COLOUR = RNG.random((5, 6, 4, 3))


def shown(ax: plt.Axes) -> np.ndarray:
    return np.asarray(ax.images[0].get_array())


def test_a_grid_shows_every_image_in_order_with_its_title() -> None:
    titles = [f"client {index}" for index in range(5)]
    figure = plots.image_grid(GREY, titles, columns=3)
    for ax, image, title in zip(figure.axes, GREY, titles, strict=False):
        np.testing.assert_array_equal(shown(ax), image[..., 0])
        assert ax.get_title() == title
    assert [ax.get_visible() for ax in figure.axes] == [True] * 5 + [False]


def test_grey_images_share_one_scale_from_zero_to_one() -> None:
    figure = plots.image_grid(GREY * 0.1)
    assert {ax.images[0].get_clim() for ax in figure.axes} == {(0.0, 1.0)}


def test_colour_images_and_images_without_a_channel_axis_are_shown_too() -> None:
    np.testing.assert_array_equal(shown(plots.image_grid(COLOUR).axes[2]), COLOUR[2])
    np.testing.assert_array_equal(shown(plots.image_grid(GREY[..., 0]).axes[2]), GREY[2, ..., 0])


def test_values_outside_the_range_are_shown_as_the_nearest() -> None:
    figure = plots.image_grid(GREY * 3 - 1)
    np.testing.assert_array_equal(shown(figure.axes[0]), np.clip(GREY[0, ..., 0] * 3 - 1, 0, 1))


def test_a_comparison_puts_reconstructions_under_their_originals_with_scores() -> None:
    scores = [f"SSIM {index}" for index in range(5)]
    figure = plots.compare_images(GREY, 1 - GREY, scores)
    for column in range(5):
        np.testing.assert_array_equal(shown(figure.axes[column]), GREY[column, ..., 0])
        np.testing.assert_array_equal(shown(figure.axes[5 + column]), 1 - GREY[column, ..., 0])
        assert figure.axes[5 + column].get_xlabel() == scores[column]
    assert [figure.axes[row].get_ylabel() for row in (0, 5)] == ["original", "reconstructed"]


def test_a_comparison_can_have_several_labelled_rows() -> None:
    rows = {"one step": GREY, "five steps": 1 - GREY}
    figure = plots.compare_images(GREY, rows, {"five steps": ["bad"] * 5})
    labels = [figure.axes[row].get_ylabel() for row in (0, 5, 10)]
    assert labels == ["original", "one step", "five steps"]
    assert figure.axes[5].get_xlabel() == ""
    assert figure.axes[10].get_xlabel() == "bad"


def test_both_draw_on_the_figure_they_are_given() -> None:
    left, right = plt.figure().subfigures(1, 2, squeeze=False)[0]
    assert plots.image_grid(GREY, figure=left) is left
    assert plots.compare_images(GREY, GREY, figure=right) is right
    assert len(plt.get_fignums()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": GREY[0, ..., 0]}, "shape"),
        ({"images": RNG.random((2, 4, 4, 2))}, "shape"),
        ({"images": GREY * np.nan}, "NaN"),
        ({"titles": ["one"]}, "1 titles for 5 images"),
        ({"columns": 0}, "columns"),
    ],
)
def test_a_grid_refuses_what_it_cannot_show(arguments: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        plots.image_grid(**({"images": GREY} | arguments))
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    ("reconstructions", "scores", "message"),
    [
        (GREY[:3], None, "'reconstructed' has shape"),
        ({}, None, "empty"),
        (GREY, ["a"], "1 scores for 5 images"),
        ({"a": GREY}, {"b": ["x"] * 5}, r"Scores for \['b'\]"),
    ],
)
def test_a_comparison_refuses_what_does_not_match(reconstructions, scores, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match=message):
        plots.compare_images(GREY, reconstructions, scores)
    assert plt.get_fignums() == []
