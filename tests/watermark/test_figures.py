"""The survival table as a picture."""

import numpy as np
import pandas as pd
import pytest

from helpers.errors import WatermarkError
from helpers.watermark.figures import survival_map
from helpers.watermark.survival import summarise

CELLS = pd.DataFrame(
    [
        {
            "victim": victim,
            "scheme": scheme,
            "attack": attack,
            "seed": seed,
            "accuracy": 0.8 + 0.1 * seed,
            "evidence": evidence,
            "refused": "",
        }
        for victim, scheme, attack, evidence in (
            ("a", "bits", "none", 1.0),
            ("a", "bits", "prune", 0.5),
            ("b", "triggers", "none", 0.25),
        )
        for seed in (0, 1)
    ]
)


def test_rows_are_attacks_and_columns_are_accuracy_and_schemes() -> None:
    ax = survival_map(summarise(CELLS))
    assert [t.get_text() for t in ax.get_yticklabels()] == ["none", "prune"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["accuracy", "bits", "triggers"]
    drawn = np.ma.filled(ax.images[0].get_array(), np.nan)
    np.testing.assert_allclose(drawn, [[0.85, 1.0, 0.25], [0.85, 0.5, np.nan]])


def test_a_scheme_that_is_not_there_is_named() -> None:
    with pytest.raises(WatermarkError, match="no scheme fingerprint; it has bits, triggers"):
        survival_map(summarise(CELLS), ["bits", "fingerprint"])
