"""The survival benchmark's file says what its rows say."""

import json

import pytest
import watermark_survival
from common.figures import record_path

RESULTS = record_path("watermark_survival.py", quick=False)


def test_the_summary_is_that_of_the_rows() -> None:
    recorded = json.loads(RESULTS.read_text())
    again = watermark_survival.summary(recorded["rows"])["summary"]
    assert len(again) == len(recorded["summary"])
    for row, kept in zip(again, recorded["summary"], strict=True):
        assert (row["scheme"], row["attack"], row["seeds"]) == (
            kept["scheme"],
            kept["attack"],
            kept["seeds"],
        )
        assert row["evidence"] == pytest.approx(kept["evidence"])
        assert row["accuracy"] == pytest.approx(kept["accuracy"])


def test_every_victim_met_every_attack_with_the_same_seeds() -> None:
    rows = json.loads(RESULTS.read_text())["rows"]
    cells = watermark_survival.cells_of(rows)
    for _, mine in cells.groupby("scheme"):
        counts = mine.groupby("attack").seed.nunique()
        assert counts.nunique() == 1
    assert cells.accuracy.between(0, 1).all()
    assert cells.evidence.between(0, 1).all()
