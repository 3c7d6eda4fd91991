"""Lab 6's checks: wrong answers are named, and other right answers pass."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from helpers.course.checks.what_the_small_model_remembers import LAB, faces, members, terminal
from helpers.course.compare import Slips
from tests.course.judging import each, judge_of

judged = judge_of(LAB)

SLIPS: dict[str, Slips] = {
    "q1": members._CONFIDENCE_SLIPS,
    "q2": members._HITS_SLIPS,
    "q3": members._RATIO_SLIPS,
    "q4": members._AUC_SLIPS,
    "q5": faces._STEP_SLIPS,
    "q6": faces._IDENTIFIED_SLIPS,
    "q7": faces._RECOGNISE_SLIPS,
}


@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize(("name", "told", "slip"), each(SLIPS))
def test_a_slip_is_named(name: str, told: str, slip: Callable[..., Any], seed: int) -> None:
    with np.errstate(all="ignore"):
        found = judged(name, slip, seed)
    assert found.status == "mismatch"
    assert told in found.explanation


def test_a_quantile_of_the_others_is_no_threshold_on_any_seed() -> None:
    def accused(member: np.ndarray, other: np.ndarray, limit: float) -> float:
        return float(np.mean(member >= np.quantile(other, 1 - limit)))

    assert {judged("q2", accused, seed).status for seed in range(10)} == {"mismatch"}


def confidence_by_loops(logits: np.ndarray, labels: np.ndarray) -> list[float]:
    scores = []
    for row, label in zip(logits, labels, strict=True):
        others = [value for j, value in enumerate(row) if j != label]
        top = max(others)
        scores.append(row[label] - top - math.log(sum(math.exp(v - top) for v in others)))
    return scores


def hits_by_sorting(member: np.ndarray, other: np.ndarray, limit: float) -> float:
    allowed = math.floor(limit * len(other) + 1e-9)
    ranked = sorted(other, reverse=True)
    if allowed >= len(ranked):
        return 1.0
    return float(np.mean([score > ranked[allowed] for score in member]))


def ratio_by_scipy(target: np.ndarray, shadows: np.ndarray, inside: np.ndarray) -> np.ndarray:
    from scipy.stats import norm

    logs = []
    for group in (inside, ~inside):
        chosen = [shadows[group[:, person], person] for person in range(shadows.shape[1])]
        means = np.array([values.mean() for values in chosen])
        rest = np.concatenate([values - values.mean() for values in chosen])
        logs.append(norm(means, math.sqrt(np.mean(rest**2))).logpdf(target))
    return np.asarray(logs[0] - logs[1])


def auc_by_erf(gap: float, spread: float, noise: float) -> float:
    return 0.5 * (1 + math.erf(gap / math.sqrt(4 * (spread**2 + noise**2))))


def step_by_tape(
    image: np.ndarray, kernel: np.ndarray, bias: np.ndarray, person: int, rate: float
) -> np.ndarray:
    pixels = tf.Variable(image)
    with tf.GradientTape() as tape:
        logits = tf.linalg.matvec(kernel, pixels, transpose_a=True) + bias
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(person, logits)
    return np.clip(image - rate * tape.gradient(loss, pixels).numpy(), 0, 1)


def identified_by_loops(c: np.ndarray) -> float:
    people = range(len(c))
    return sum(all(c[i, i] > c[i, j] for j in people if j != i) for i in people) / len(c)


def recognise_by_loops(codes: np.ndarray, templates: np.ndarray, threshold: float) -> list[int]:
    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / math.sqrt((a @ a) * (b @ b)))

    named = []
    for code in codes:
        likeness = [cosine(code, template) for template in templates]
        best = max(range(len(likeness)), key=likeness.__getitem__, default=-1)
        named.append(best if best >= 0 and likeness[best] >= threshold else -1)
    return named


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("q1", confidence_by_loops),
        ("q2", hits_by_sorting),
        ("q3", ratio_by_scipy),
        ("q3", lambda *args: ratio_by_scipy(*args).tolist()),
        ("q4", auc_by_erf),
        ("q5", step_by_tape),
        ("q6", identified_by_loops),
        ("q7", recognise_by_loops),
        ("q7", lambda *args: np.array(recognise_by_loops(*args), int)),
    ],
)
def test_another_right_answer_passes(name: str, answer: Callable[..., Any], seed: int) -> None:
    found = judged(name, answer, seed)
    assert found.status == "passed", found.explanation


def test_names_of_people_where_numbers_are_asked_for_are_told_so() -> None:
    found = judged("q7", lambda *args: [str(person) for person in recognise_by_loops(*args)])
    assert found.status == "mismatch"
    assert "a row of values was expected" in found.explanation


def test_the_terminal_sees_frames_of_the_right_people_and_no_photograph_twice() -> None:
    staff, public = terminal.photographs()
    assert staff.shape == (40, 25, 25, 1)
    assert public.shape == (60, 25, 25, 1)
    together = np.concatenate([staff, public]).reshape(100, -1)
    assert len(np.unique(together, axis=0)) == 100
    images, people = terminal.frames(staff, 3, seed=1)
    assert images.shape == (120, 25, 25, 1)
    assert list(people[:4]) == [0, 0, 0, 1]
    assert images.min() >= 0
    assert images.max() <= 1
    assert np.array_equal(images, terminal.frames(staff, 3, seed=1)[0])
    assert not np.array_equal(images, terminal.frames(staff, 3, seed=2)[0])
