import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from helpers import plots
from helpers.errors import DataError

NAMES = ["yes", "no", "up", "never said"]
RNG = np.random.default_rng(0)
LABELS, GUESSES = RNG.integers(0, 3, 200), RNG.integers(0, 4, 200)


def test_the_shares_are_those_of_scikit_learn() -> None:
    ax = plots.confusion_matrix(LABELS, GUESSES, NAMES)
    shown = np.ma.filled(np.ma.asarray(ax.images[0].get_array()), np.nan)
    expected = confusion_matrix(LABELS, GUESSES, labels=range(4), normalize="true")
    np.testing.assert_allclose(shown[:3], expected[:3])
    assert np.isnan(shown[3]).all()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted", "true")


def test_cells_are_short_enough_for_twelve_classes() -> None:
    ax = plots.confusion_matrix([0, 0, 1, 1], [0, 1, 1, 1], NAMES[:2])
    assert [text.get_text() for text in ax.texts] == [".50", ".50", "", "1.00"]


@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [
        ([0, 1], [0], "must be"),
        ([], [], "must be"),
        ([0, 4], [0, 0], r"0\.\.3"),
        ([0.0, 1.0], [0, 0], "integers"),
    ],
)
def test_what_cannot_be_counted_is_refused(labels: list, predictions: list, message: str) -> None:
    with pytest.raises(DataError, match=message):
        plots.confusion_matrix(labels, predictions, NAMES)
