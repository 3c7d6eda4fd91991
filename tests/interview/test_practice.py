"""Schedule, choice, calibration and coverage: what follows from a log."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from fsrs import Rating
from hypothesis import given
from hypothesis import strategies as st

from helpers.errors import InterviewError
from helpers.interview import LEVELS, Question, choosing
from helpers.interview.calibration import calibrate, over_time
from helpers.interview.coverage import by_chapter, by_level, by_topic
from helpers.interview.figures import calibration_figure
from helpers.interview.log import Attempt
from helpers.interview.schedule import LONGEST_GAP_DAYS, due, memories, rating

Bank = dict[str, Question]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def answered(
    question: str, points: float | None, day: float = 0, confidence: float = 0.9
) -> Attempt:
    at = NOON + timedelta(days=day)
    return Attempt(f"{question}{day}", at, question, "drill", "a", confidence, 60.0, points)


# --- the schedule


def test_a_failed_question_comes_back_before_a_known_one() -> None:
    found = memories([answered("known", 1.0), answered("failed", 0.1)], NOON)
    assert [memory.question for memory in found] == ["failed", "known"]
    assert NOON + timedelta(days=1) <= found[0].due < found[1].due


def test_intervals_grow_while_answers_are_right() -> None:
    attempts: list[Attempt] = []
    day, gaps = 0.0, []
    for _ in range(5):
        attempts.append(answered("q", 1.0, day))
        gap = (memories(attempts, NOON)[0].due - attempts[-1].at).total_seconds() / 86_400
        gaps.append(gap)
        day += gap
    assert gaps == sorted(gaps)
    assert gaps[-1] > 10 * gaps[0]
    assert gaps[-1] == LONGEST_GAP_DAYS
    forgotten = [*attempts, answered("q", 0.0, day)]
    assert memories(forgotten, NOON)[0].due - forgotten[-1].at < timedelta(days=gaps[-1])


def test_only_what_is_due_is_due() -> None:
    attempts = [answered("q", 1.0), answered("open", None)]
    (memory,) = memories(attempts, NOON)
    assert due(attempts, memory.due - timedelta(minutes=1)) == []
    assert due(attempts, memory.due) == ["q"]
    assert memory.times == 1


def test_the_schedule_does_not_depend_on_the_order_of_the_file() -> None:
    attempts = [answered("a", 1.0), answered("a", 0.6, 3), answered("b", 0.2, 1)]
    assert memories(attempts, NOON) == memories(attempts[::-1], NOON)


def test_right_by_luck_is_not_easy() -> None:
    assert rating(1.0, 0.9) == Rating.Easy
    assert rating(1.0, 0.4) == Rating.Good
    assert [rating(points, 0.9) for points in (0.49, 0.5, 0.75)] == [
        Rating.Again, Rating.Hard, Rating.Good]  # fmt: skip


# --- choosing


def test_a_mock_fits_its_time_and_is_mixed(bank: Bank) -> None:
    for seed in range(5):
        chosen = choosing.choose_mock(bank.values(), 45, [], random.Random(seed))
        assert 30 <= sum(question.minutes for question in chosen) <= 45
        assert len({question.id for question in chosen}) == len(chosen)
        assert max(Counter(question.topic for question in chosen).values()) <= 2
        levels = [LEVELS.index(question.level) for question in chosen]
        assert levels == sorted(levels)


def test_a_mock_is_repeatable_and_prefers_what_was_not_asked(bank: Bank) -> None:
    once = choosing.choose_mock(bank.values(), 30, [], random.Random(1))
    assert once == choosing.choose_mock(bank.values(), 30, [], random.Random(1))
    twins = [replace(bank["lens-flare"], id=name) for name in ("old", "new")]
    attempts = [answered("old", 1.0)]
    for seed in range(8):
        (chosen,) = choosing.choose_mock(twins, 15, attempts, random.Random(seed))
        assert chosen.id == "new"


def test_a_mock_that_is_too_short_says_how_short(bank: Bank) -> None:
    with pytest.raises(InterviewError, match="the shortest takes 15"):
        choosing.choose_mock([bank["lens-flare"]], 10, [], random.Random(0))


def test_selection_names_the_nearest_word(bank: Bank) -> None:
    with pytest.raises(InterviewError, match="did you mean 'principal'"):
        choosing.select(bank, levels=["principle"])
    assert {q.topic for q in choosing.select(bank, topics=["robustness"])} == {"robustness"}
    with pytest.raises(InterviewError, match="no question is left"):
        choosing.select({"lens-flare": bank["lens-flare"]}, levels=["junior"])


def test_a_drill_begins_with_what_was_practised_least(bank: Bank) -> None:
    attempts = [answered(name, 1.0) for name in bank if name != "lens-flare"]
    first, *_ = choosing.choose_drill(bank.values(), attempts, random.Random(0))
    assert first.id == "lens-flare"


# --- calibration


def test_calibration_is_computed_by_hand() -> None:
    attempts = [answered("a", 1.0, 0, 0.9), answered("b", 0.0, 1, 0.9), answered("c", None, 2)]
    found = calibrate(attempts)
    assert (found.count, found.confidence, found.points) == (2, 0.9, 0.5)
    assert found.gap == pytest.approx(0.4)
    assert found.squared_gap == pytest.approx((0.01 + 0.81) / 2)
    assert found.bins == ((2, pytest.approx(0.9), 0.5),)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30))
def test_every_answer_is_in_one_bin(pairs: list[tuple[float, float]]) -> None:
    attempts = [answered("q", p, day, c) for day, (c, p) in enumerate(pairs)]
    found = calibrate(attempts)
    assert sum(count for count, _, _ in found.bins) == len(pairs)
    assert found.squared_gap >= found.gap**2 - 1e-12
    assert over_time(attempts, len(pairs))[-1][2] == pytest.approx(found.points)


def test_a_prophet_has_no_gap() -> None:
    found = calibrate([answered("q", p, day, p) for day, p in enumerate((0.0, 0.5, 1.0))])
    assert found.squared_gap == 0


def test_calibration_of_nothing_says_what_to_do() -> None:
    with pytest.raises(InterviewError, match="edgesec interview drill"):
        calibrate([answered("q", None)])


def test_the_figure_shows_every_bin() -> None:
    attempts = [answered("q", float(day % 3 == 0), day, 0.3 + 0.1 * (day % 7)) for day in range(30)]
    left, right = calibration_figure(attempts).axes
    marks = [line for line in left.lines if line.get_marker() == "o"]
    assert len(marks) == len(calibrate(attempts).bins)
    assert [len(line.get_xdata()) for line in right.lines] == [30, 30]  # type: ignore[arg-type]


# --- coverage


def test_coverage_counts_each_question_once_a_topic(bank: Bank) -> None:
    attempts = [answered("lens-flare", 0.2), answered("lens-flare", 0.6, 1)]
    rows = {row.name: row for row in by_topic(bank, attempts)}
    assert sum(row.questions for row in rows.values()) == len(bank)
    assert (rows["robustness"].answered, rows["robustness"].points) == (1, 0.6)
    assert rows["federated-learning"].points is None
    assert sum(row.questions for row in by_level(bank, [])) == len(bank)


def test_a_chapter_without_questions_is_shown(bank: Bank) -> None:
    rows = {row.name: row.questions for row in by_chapter(bank, ["differential-privacy", "empty"])}
    assert rows["empty"] == 0
    assert rows["differential-privacy"] >= 2
