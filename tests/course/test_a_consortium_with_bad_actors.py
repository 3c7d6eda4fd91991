"""Lab 3's checks: wrong answers are named, other right answers pass, attacks are measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from helpers.course.checks.a_consortium_with_bad_actors import LAB, rules
from helpers.course.checks.a_consortium_with_bad_actors.masks import pair_streams
from helpers.course.checks.a_consortium_with_bad_actors.rules import aggregate
from helpers.course.tasks import FunctionTask
from tests.course.judging import judge_of

judged = judge_of(LAB)


def squares(rows: np.ndarray) -> np.ndarray:
    return np.square(rows[:, None] - rows[None]).sum(axis=2)


def mix_loop(rows: np.ndarray, f: int, *, own: bool = True) -> np.ndarray:
    nearest = [np.argsort(line)[0 if own else 1 :][: len(rows) - f] for line in squares(rows)]
    return np.stack([rows[chosen].mean(axis=0) for chosen in nearest])


def mix_onto_itself(rows: np.ndarray, f: int) -> np.ndarray:
    rows[:] = mix_loop(rows, f)
    return rows


def masked_with(later: int, earlier: int, wrap: bool = True) -> Callable[..., np.ndarray]:
    def answer(words: np.ndarray, client: int, streams: np.ndarray, bits: int) -> np.ndarray:
        before, after = streams[:client].sum(axis=0), streams[client + 1 :].sum(axis=0)
        total = words + later * after + earlier * before
        return np.asarray(total % 2**bits if wrap else total)

    return answer


def first_only(masked: np.ndarray, gone: list[int], streams: np.ndarray, bits: int) -> np.ndarray:
    added = np.sign(np.array(gone[:1], dtype=int)[:, None] - np.arange(len(masked)))
    off = sum(sign @ streams[:, out] for sign, out in zip(added, gone[:1], strict=True))
    return np.asarray((masked.sum(axis=0) - off) % 2**bits)


def bits(marks: np.ndarray, instead_of_none: float = 3) -> float:
    counts = np.unique(marks, return_counts=True)[1]
    meeting = (counts * (counts - 1) / 2).sum()
    return float(np.log2(len(marks) * (len(marks) - 1) / 2 / (meeting or instead_of_none)))


def repeats(marks: np.ndarray) -> float:
    n = len(marks)
    return float(np.log2(n * (n - 1) / 2 / ((n - len(np.unique(marks))) or 3)))


def along(honest: np.ndarray, goal: np.ndarray, count: int, strength: float) -> np.ndarray:
    return np.tile(honest.mean(axis=0) + strength * goal, (count, 1))


def searched(honest: np.ndarray, goal: np.ndarray, count: int, rule: str) -> np.ndarray:
    def push(strength: float) -> float:
        sent = along(honest, goal, count, strength)
        return float(aggregate(np.concatenate([sent, honest]), rule, count) @ goal)

    return along(honest, goal, count, max(np.linspace(0.01, 2, 100), key=push))


def last_of_the_worst(honest: np.ndarray, count: int, rule: str, factors: np.ndarray) -> float:
    centre = honest.mean(axis=0)
    lies = [np.tile(-factor * centre, (count, 1)) for factor in factors[::-1]]
    sent = [aggregate(np.concatenate([honest, rows]), rule, count) for rows in lies]
    return float(factors[::-1][np.argmax(np.linalg.norm(np.stack(sent) - centre, axis=1))])


WRONG: list[tuple[str, Callable[..., Any], str]] = [
    ("q1", lambda u, f: u.mean(axis=0), "nothing was cut"),
    ("q1", lambda u, f: np.sort(u, axis=0)[f:-f].mean(axis=0) if f else np.nan * u[0], "f:n"),
    ("q1", lambda u, f: np.sort(u, axis=0)[: len(u) - f].mean(axis=0), "only the largest"),
    ("q1", lambda u, f: np.sort(u, axis=1)[f : len(u) - f].mean(axis=0), "each column"),
    ("q1", lambda u, f: np.median(u, axis=0), "median"),
    ("q2", lambda u, k: np.sort(squares(u), axis=1)[:, :k].sum(axis=1), "its own neighbour"),
    ("q2", lambda u, k: np.sort(squares(u) ** 0.5, axis=1)[:, 1 : k + 1].sum(axis=1), "square"),
    ("q2", lambda u, k: squares(u).sum(axis=1), "all others"),
    (
        "q2",
        lambda u, k: np.array([np.sort(row[row > 0])[:k].sum() for row in squares(u)]),
        "another that equals it is a neighbour",
    ),
    ("q3", lambda u, f: mix_loop(u, f, own=False), "itself was left out"),
    ("q3", lambda u, f: mix_loop(u, f + 1), "too few"),
    ("q3", mix_onto_itself, "changes its argument"),
    ("q4", lambda h, b, r, factors: factors[-1], "loudest"),
    ("q4", last_of_the_worst, "the first counts"),
    ("q4", lambda h, b, r, factors: factors[0], ""),
    ("q4", lambda *a: rules._factor(*a, liars=1), ""),
    ("q4", lambda *a: rules._factor(*a, replaced=True), ""),
    ("q5", masked_with(1, 1), "every stream was added"),
    ("q5", masked_with(-1, 1), "signs are exchanged"),
    ("q5", masked_with(1, -1, wrap=False), "modulus is missing"),
    ("q6", lambda m, d, s, b: m.sum(axis=0) % 2**b, "still lie on the sum"),
    ("q6", lambda m, d, s, b: (m.sum(axis=0) - s[:, d].sum(axis=(0, 1))) % 2**b, "all streams"),
    ("q6", first_only, "only the first"),
    ("q7", repeats, "six pairs"),
    ("q7", lambda m: bits(m, instead_of_none=1), "three, not one"),
    ("q7", lambda m: min(bits(m), bits(np.arange(len(m)))), "one pair is one pair"),
    ("q7", lambda m: bits(m) + 1, "one bit too many"),
    ("q7", lambda m: bits(m) * np.log(2), "base 2"),
    ("q8", lambda h, g, b, r: along(h, g, b, 1)[0], "one row a liar"),
    ("q8", lambda h, g, b, r: along(h, g, b, 1e3), ""),
    ("q8", lambda h, g, b, r: along(h, g, b, 0), "along the goal"),
    ("q8", lambda h, g, b, r: along(h, g, b, -0.3), "away"),
    ("q8", lambda h, g, b, r: along(h, g, b, np.nan), "not finite"),
    ("q8", lambda h, g, b, r: np.tile(-h.mean(axis=0), (b, 1)), ""),
]


@pytest.mark.parametrize(("task", "answer", "named"), WRONG)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_slip_is_named(task: str, answer: Callable[..., Any], named: str, seed: int) -> None:
    found = judged(task, answer, seed)
    assert found.status == "mismatch"
    assert named in found.explanation


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        ("q1", lambda u, f: (np.sort(u, axis=0)[f : len(u) - f].sum(axis=0)) / (len(u) - 2 * f)),
        ("q2", lambda u, k: np.array([np.sort(line)[1 : k + 1].sum() for line in squares(u)])),
        ("q2", lambda u, k: [float(np.sort(line)[1 : k + 1].sum()) for line in squares(u)]),
        ("q3", mix_loop),
        ("q5", masked_with(1, -1)),
        ("q7", bits),
        ("q8", searched),
    ],
)
def test_another_right_answer_passes_on_every_seed(task: str, answer: Callable[..., Any]) -> None:
    assert {judged(task, answer, seed).status for seed in range(8)} == {"passed"}


@pytest.mark.parametrize("seed", range(5))
def test_krum_takes_a_lie_in_the_cases_that_say_so(seed: int) -> None:
    task = LAB.task("q4")
    assert isinstance(task, FunctionTask)
    cases = task.cases(np.random.default_rng(seed))
    taken = []
    for honest, liars, rule, factors in (c.args for c in cases if c.args[2] == "krum"):
        lies = np.tile(
            -task.reference(honest, liars, rule, factors) * honest.mean(axis=0), (liars, 1)
        )
        chosen = aggregate(np.concatenate([honest, lies]), rule, liars)
        taken.append(bool(np.allclose(chosen, lies[0])))
    assert taken == [True, True, False]


def test_the_references_pass_their_own_checks_on_every_seed() -> None:
    for task in LAB.tasks:
        assert isinstance(task, FunctionTask)
        assert {judged(task.name, task.reference, seed).status for seed in range(8)} == {"passed"}


def test_masks_by_the_reference_cancel_in_the_sum_of_all() -> None:
    task = LAB.task("q5")
    assert isinstance(task, FunctionTask)
    rng = np.random.default_rng(0)
    streams, words = pair_streams(rng, 6, 9, 24), rng.integers(0, 1 << 16, (6, 9))
    sent = [task.reference(words[k], k, streams[k], 24) for k in range(6)]
    np.testing.assert_array_equal(np.sum(sent, axis=0) % (1 << 24), words.sum(axis=0))
