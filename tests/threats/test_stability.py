"""How firm a ranking is, against cases whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from helpers import threats
from helpers.errors import ThreatModelError
from helpers.threats.dread import Dread, Score, level_of
from helpers.threats.figures import rank_intervals
from helpers.threats.stability import rank_stability

ANALYSIS = threats.analyse(threats.load("smart-speaker"))


def scored(*values: float, spread: tuple[float, float] | None = None) -> list[threats.Threat]:
    """Threats whose five scores are all the same."""
    base = ANALYSIS.threats[0]
    return [
        replace(base, target=f"t{index}", scores=Dread(*[Score(value, "", spread)] * 5))
        for index, value in enumerate(values)
    ]


def test_without_disagreement_nothing_moves() -> None:
    found = rank_stability(scored(9, 7, 5, 3), top=2, noise=0, draws=50)
    assert found.overlap == 1
    assert found.rank_low.tolist() == found.rank_high.tolist() == [1, 2, 3, 4]


def test_risks_far_apart_keep_their_order() -> None:
    found = rank_stability(scored(2, 9, 6), top=1, draws=200)
    assert found.ids[0].endswith("@t1")
    assert found.overlap == 1


def test_equal_risks_are_shuffled() -> None:
    found = rank_stability(scored(*[5] * 20), top=5, draws=4000)
    assert found.by_chance == 0.25
    assert found.overlap == pytest.approx(0.25, abs=0.01)
    assert found.stays == pytest.approx(np.full(20, 0.25), abs=0.03)


def test_two_threats_a_point_apart_swap_as_often_as_the_dice_say() -> None:
    # One factor of four differs by 1; sums of four fair draws from -1, 0, 1 decide.
    base = scored(5, 5)
    higher = replace(base[0], scores=replace(base[0].scores, damage=Score(6, "")))
    found = rank_stability([higher, base[1]], top=1, draws=20_000, discoverability=False)
    one = np.array([1, 1, 1]) / 3
    total = one
    for _ in range(7):  # the difference of two sums of four is a sum of eight
        total = np.convolve(total, one)
    difference = np.arange(-8, 9)
    stays = total[difference > -1].sum() + total[difference == -1].sum() / 2
    assert found.overlap == pytest.approx(stays, abs=0.01)


def test_what_was_measured_does_not_wobble() -> None:
    firm = rank_stability(scored(6, 5, spread=(5.5, 5.5)), top=1, draws=300)
    assert firm.stays.sum() == pytest.approx(1)
    measured = scored(6, spread=(6, 6)) + scored(5, spread=(5, 5))
    assert rank_stability(measured, top=1, draws=300).overlap == 1


def test_the_shipped_rankings_are_firmer_than_chance_and_far_from_firm() -> None:
    for name in threats.shipped():
        found = rank_stability(threats.analyse(threats.load(name)).threats)
        assert found.by_chance < found.overlap < 0.95


def test_the_same_seed_gives_the_same_answer() -> None:
    first, again = (rank_stability(ANALYSIS.threats, draws=100, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.stays, again.stays)


@pytest.mark.parametrize("wrong", [{"top": 0}, {"top": 10_000}, {"noise": -1}, {"draws": 0}])
def test_what_cannot_be_ranked_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ThreatModelError):
        rank_stability(ANALYSIS.threats, **wrong)  # type: ignore[arg-type]


def test_risk_is_the_mean_and_its_word_follows_the_thresholds() -> None:
    scores = Dread(*(Score(value, "") for value in (10, 8, 6, 4, 2)))
    assert scores.risk == 6
    assert scores.risk_without_discoverability == 7
    assert [level_of(risk) for risk in (0, 4.99, 5, 6.5, 8, 10)] == [
        "low", "low", "medium", "high", "critical", "critical",
    ]  # fmt: skip


def test_the_figure_shows_every_interval_and_where_the_top_ends() -> None:
    found = rank_stability(ANALYSIS.threats, draws=100)
    axes = rank_intervals(found, most=8)
    assert [label.get_text() for label in axes.get_yticklabels()] == list(found.ids[:8])
    segments = axes.collections[0].get_segments()  # type: ignore[attr-defined]
    assert [(line[0][0], line[1][0]) for line in segments] == list(
        zip(found.rank_low[:8], found.rank_high[:8], strict=True)
    )
    assert axes.get_xlabel()
