import matplotlib.pyplot as plt
import numpy as np
import pytest

from helpers import plots
from helpers.errors import DataError

COUNTS = np.random.default_rng(0).integers(0, 50, size=(4, 3))
NAMES = ("cat", "dog", "ship")


def test_each_cell_holds_the_count_of_its_client_and_class() -> None:
    ax = plots.who_holds_what(COUNTS, NAMES, title="Four clients")
    np.testing.assert_array_equal(np.asarray(ax.images[0].get_array()), COUNTS)
    written = {text.get_position(): text.get_text() for text in ax.texts}
    assert written == {(c, k): str(COUNTS[k, c]) for k in range(4) for c in range(3)}


def test_axes_name_clients_classes_and_the_unit_of_colour() -> None:
    ax = plots.who_holds_what(COUNTS, NAMES)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("class", "client")
    assert [text.get_text() for text in ax.get_xticklabels()] == list(NAMES)
    colorbar = ax.images[0].colorbar
    assert colorbar is not None
    assert colorbar.ax.get_ylabel() == "examples"


def test_client_zero_is_at_the_top_and_more_is_darker() -> None:
    ax = plots.who_holds_what(COUNTS, NAMES)
    bottom, top = ax.get_ylim()
    assert top < bottom
    lightness = ax.images[0].cmap(np.linspace(0, 1, 64))[:, :3] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) < 0).all()


def test_many_clients_are_drawn_without_numbers() -> None:
    counts = np.ones((100, 10), np.int64)
    ax = plots.who_holds_what(counts, [str(label) for label in range(10)])
    assert len(ax.texts) == 0
    np.testing.assert_array_equal(np.asarray(ax.images[0].get_array()), counts)


def test_clients_without_a_single_example_can_be_drawn() -> None:
    ax = plots.who_holds_what(np.zeros((2, 2), np.int64), ["a", "b"])
    ax.figure.canvas.draw()
    assert ax.images[0].get_clim() == (0, 1)


@pytest.mark.parametrize(
    ("counts", "names", "message"),
    [
        (COUNTS[0], NAMES, "shape"),
        (COUNTS / 2, NAMES, "float64"),
        (-COUNTS, NAMES, "negative"),
        (COUNTS, NAMES[:2], "2 class names for 3 classes"),
        (COUNTS[:0], NAMES, "shape"),
    ],
)
def test_what_is_not_a_table_of_counts_is_refused(counts, names, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match=message):
        plots.who_holds_what(counts, names)
    assert plt.get_fignums() == []
