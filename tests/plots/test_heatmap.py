import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle

from helpers import plots
from helpers.errors import DataError

VALUES = [[0.9, 0.1, 0.5], [0.8, np.nan, 0.7]]
ROWS, COLUMNS = ["mean", "krum"], ["none", "flip", "mimic"]


def framed(ax: Axes) -> list[tuple[int, int]]:
    frames = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    return sorted((round(f.get_y() + 0.47), round(f.get_x() + 0.47)) for f in frames)


def test_every_cell_shows_its_value_and_a_dash_where_there_is_none() -> None:
    ax = plots.heat_map(VALUES, ROWS, COLUMNS, "accuracy", title="Grid")
    shown = [text.get_text() for text in ax.texts]
    assert shown == ["0.90", "0.10", "0.50", "0.80", "–", "0.70"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ROWS
    assert [t.get_text() for t in ax.get_xticklabels()] == COLUMNS
    assert ax.get_title(loc="left") + ax.get_title() == "Grid"


def test_the_worst_of_each_row_is_framed_and_bold() -> None:
    ax = plots.heat_map(VALUES, ROWS, COLUMNS, "accuracy")
    assert framed(ax) == [(0, 1), (1, 2)]
    bold = [t.get_text() for t in ax.texts if t.get_fontweight() == "bold"]
    assert bold == ["0.10", "0.70"]
    assert framed(plots.heat_map(VALUES, ROWS, COLUMNS, "error", worst="highest")) == [
        (0, 0),
        (1, 0),
    ]
    assert framed(plots.heat_map(VALUES, ROWS, COLUMNS, "error", worst=None)) == []


def test_equal_worst_cells_are_all_framed_and_rows_without_values_none() -> None:
    ax = plots.heat_map([[0.2, 0.2], [np.nan, np.nan]], ROWS, ["a", "b"], "accuracy")
    assert framed(ax) == [(0, 0), (0, 1)]


def test_text_can_be_read_on_every_shade() -> None:
    values = np.linspace(0, 1, 40)[None]
    ax = plots.heat_map(values, ["a"], [str(i) for i in range(40)], "share", limits=(0, 1))
    (image,) = ax.images
    for text, value in zip(ax.texts, values[0], strict=True):
        ground = np.array(image.cmap(image.norm(value))[:3])
        lums = []
        for colour in (ground, np.array(to_rgba(text.get_color())[:3])):
            linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
            lums.append(linear @ [0.2126, 0.7152, 0.0722])
        contrast = (max(lums) + 0.05) / (min(lums) + 0.05)
        assert contrast >= 4.5, value


def test_colours_keep_the_limits_asked_for() -> None:
    ax = plots.heat_map(VALUES, ROWS, COLUMNS, "accuracy", limits=(0, 1))
    assert ax.images[0].get_clim() == (0, 1)
    assert plots.heat_map([[3.0]], ["a"], ["b"], "x").images[0].get_clim() == (2.5, 3.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": [1.0, 2.0]}, r"shape \(2,\)"),
        ({"values": [[np.inf, 0, 0], [0, 0, 0]]}, "finite"),
        ({"row_names": ["a"]}, "1 row names and 3 column names for a table of 2 x 3"),
        ({"label": " "}, "label"),
        ({"worst": "middle"}, "worst='middle'"),
        ({"limits": (1, 1)}, r"limits=\(1, 1\)"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments: dict, message: str) -> None:
    good = {"values": VALUES, "row_names": ROWS, "column_names": COLUMNS, "label": "accuracy"}
    with pytest.raises(DataError, match=message):
        plots.heat_map(**(good | arguments))
