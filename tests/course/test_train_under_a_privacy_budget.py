"""Lab 2's checks: wrong answers are named, and an audit tells its vendors' faults apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from helpers.course.checks.train_under_a_privacy_budget import DIAGNOSES, LAB, vendors
from helpers.privacy.accounting import calibrate_noise
from helpers.privacy.auditing import AuditReport, audit_dp_sgd
from tests.course.judging import judge_of

judged = judge_of(LAB)


def rng(seed: Any) -> np.random.Generator:
    return np.random.default_rng(seed)


def clip_average(gradients: np.ndarray, clip: float) -> np.ndarray:
    mean = gradients.sum(axis=0) / max(1, len(gradients))
    length = float(np.linalg.norm(mean))
    return np.asarray(len(gradients) * mean * min(1, clip / max(length, 1e-12)))


def noisy(scale: Callable[[float, float, float], float]) -> Callable[..., np.ndarray]:
    def answer(total: np.ndarray, clip: float, z: float, batch: float, seed: int) -> np.ndarray:
        return np.asarray(
            (total + scale(clip, z, batch) * rng(seed).normal(size=len(total))) / batch
        )

    return answer


def drawn_with_binomial_size(count: int, rate: float, seed: int) -> np.ndarray:
    source = rng(seed)
    return source.choice(count, source.binomial(count, rate), replace=False)


def solved_wrongly(epsilon: float, delta: float, rate: np.ndarray) -> np.ndarray:
    hits, misses = np.exp(epsilon) * rate + delta, 1 - np.exp(epsilon) * (1 - rate - delta)
    return np.minimum(1, np.minimum(hits, misses))


def searched_up_to_ten(target: float, rate: float, steps: int, delta: float) -> float:
    return min(10.0, 1.005 * calibrate_noise(target, rate, steps, delta, "rdp"))


WRONG: list[tuple[str, Callable[..., Any], str]] = [
    ("q3", lambda n, q, s: rng(s).permutation(n)[: int(n * q)], "fixed-size"),
    ("q3", lambda n, q, s: rng(s).integers(n, size=int(n * q)), "with replacement"),
    ("q3", lambda n, q, s: np.flatnonzero(rng(0).random((n,)) < q), "another seed drew the same"),
    ("q3", lambda n, q, s: np.append(np.flatnonzero(rng(s).random(n - 1) < q), n - 1), "empty"),
    ("q3", lambda n, q, s: np.arange(n if rng(s).random() < q else 0), "one coin"),
    ("q5", clip_average, "multiplied back"),
    ("q5", lambda g, c: np.clip(g, -c, c).sum(axis=0), "clipped by itself"),
    ("q6", noisy(lambda c, z, b: (z * c) ** 2), "variance"),
    ("q6", noisy(lambda c, z, b: z * c * b), "after the division"),
    ("q6", noisy(lambda c, z, b: z * c / b), "divided by the batch size twice"),
    ("q6", lambda t, c, z, b, s: (t + rng(s).normal(0, z * c)) / b, "one number was added"),
    ("q6", lambda t, c, z, b, s: (t + rng(s).laplace(0, z * c / 2**0.5, len(t))) / b, "Gaussian"),
    ("q2", solved_wrongly, "exp(-epsilon)"),
    ("q7", searched_up_to_ten, "more than the budget of 0.3"),
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
        ("q3", drawn_with_binomial_size),
        ("q3", lambda n, q, s: [i for i, coin in enumerate(rng(s).random((n,))) if coin < q]),
        ("q6", lambda t, c, z, b, s: t / b + rng(s).normal(0, z * c / b, t.shape)),
        ("q6", noisy(lambda c, z, b: z * c)),
    ],
)
def test_another_right_answer_passes_on_every_seed(task: str, answer: Callable[..., Any]) -> None:
    # The laws are tested on samples: none of these seeds may give a false alarm.
    assert {judged(task, answer, seed).status for seed in range(25)} == {"passed"}


def vendor_with(letter: str) -> AuditReport:
    vendor_task = LAB.task("q8")
    assert vendor_task is not None
    for seed in range(50):
        dealt = vendor_task.reference(seed, "full")
        for name, fault in dealt.items():
            if fault == letter:
                return audit_dp_sgd(vendors(seed)[name])
    raise AssertionError(f"no seed deals {letter}")


@pytest.mark.parametrize("letter", sorted(DIAGNOSES))
def test_an_audit_tells_each_fault_from_the_others(letter: str) -> None:
    report = vendor_with(letter)
    failed = {finding.name for finding in report.findings if not finding.passed}
    expected = dict.fromkeys("bcd", "noise") | {"e": "contribution", "f": "privacy profile"}
    expected["g"] = "fresh noise"
    assert expected.get(letter, "none") in (failed or {"none"}), report.describe()
    # The three that fail the same test differ in how much noise there is.
    ratio = report.findings[0].measured
    near = {"b": (0.04, 0.06), "d": (0.17, 0.23)}.get(letter, (0.9, 1.1))
    assert near[0] < ratio < near[1]
