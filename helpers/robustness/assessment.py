"""Assess the file that ships, and say in RobustBench's terms what it withstands.

A robust accuracy means nothing alone. RobustBench (Croce, Andriushchenko, Sehwag, Debenedetti,
Flammarion, Chiang, Mittal and Hein, *RobustBench: a standardized adversarial robustness benchmark*,
NeurIPS Datasets and Benchmarks 2021) therefore states it with the model, the threat model, the
radius, the clean accuracy and the attack. So does the :class:`FileAssessment` here, for one
artefact: the deployed interpreter is the only judge, an image counts only as it can be saved in 8
bits, and on each image the best of several attacks counts.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from tqdm import tqdm

from helpers.errors import RobustnessError
from helpers.robustness._checks import checked_pairs, require_positive, require_whole
from helpers.robustness.budget import Budget, as_stored, round_to_stored
from helpers.robustness.findings import Finding, Needs, find
from helpers.robustness.masking import Verdict, check_masking
from helpers.robustness.queries import square
from helpers.robustness.target import Outcome, Target, judge, proportion_interval
from helpers.robustness.transfer import transfer, worst_case


@dataclass(frozen=True)
class Subject:
    """What was assessed, as the report names it.

    Attributes
    ----------
    name
        Of the artefact.
    sha256
        Of its bytes, 64 hexadecimal digits.
    num_bytes
        Its size.
    data
        Which inputs it was assessed on.
    """

    name: str
    sha256: str
    num_bytes: int
    data: str


@dataclass(frozen=True)
class Plan:
    """How hard the attacks try.

    Attributes
    ----------
    epsilon
        L-infinity radius, inputs in [0, 1]; ``4 / 255`` is four levels of an 8-bit image.
    steps, restarts
        Of each white-box attack.
    queries
        Questions that a black-box attack may ask about one input.
    examined
        Inputs, the first so many, that the masking checklist tries; 0 leaves it out.
    seed
        Of all that is drawn.

    Raises
    ------
    RobustnessError
        If a setting is out of its range, or ``epsilon`` is less than one level of an 8-bit image.
    """

    epsilon: float
    steps: int = 40
    restarts: int = 2
    queries: int = 500
    examined: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        require_positive("epsilon", self.epsilon)
        if self.epsilon < 1 / 255:
            raise RobustnessError(
                f"epsilon={self.epsilon:.6g} is less than one level of an 8-bit image "
                f"({1 / 255:.6g}): nothing that can be saved lies within it."
            )
        least_of = {"steps": 2, "restarts": 1, "queries": 1, "examined": 0, "seed": 0}
        for name, least in least_of.items():
            require_whole(name, getattr(self, name), least)


@dataclass(frozen=True, eq=False)
class Result:
    """What one attack left.

    Attributes
    ----------
    attack
        Its name.
    needs
        ``"the file"`` or ``"its answers"``.
    robust
        bool ``(n,)``: inputs right before and after.
    queries
        Median of the questions that a fooled input took; None for an attack that asks none.
    """

    attack: str
    needs: Needs
    robust: np.ndarray
    queries: int | None = None

    @property
    def accuracy(self) -> float:
        """Robust accuracy under this attack alone."""
        return float(self.robust.mean())


@dataclass(frozen=True)
class Comparison:
    """The same attack on the model that the file was made from.

    Attributes
    ----------
    clean, robust
        Accuracies of that model, the second under the attack named below.
    file_clean, file_robust
        Those of the file, on the same inputs.
    agreement
        Share of clean inputs to which both give one label.
    attack
        White-box on each by its own gradients; each judges its own.
    chance
        Two-sided p-value of a sign test on the inputs that only one of them withstands.
    """

    clean: float
    robust: float
    file_clean: float
    file_robust: float
    agreement: float
    attack: str
    chance: float


@dataclass(frozen=True, eq=False)
class FileAssessment:
    """A file, a threat model, and what is left of its accuracy. Made by :func:`assess`.

    Attributes
    ----------
    subject, plan
        What was assessed, and how.
    correct
        bool ``(n,)``: inputs that the artefact classifies right.
    results
        One an attack.
    masking
        The checklist for masked gradients; None where it could not run.
    comparison
        With the model that the file was made from; None without one.
    without_gradients
        Why no white-box attack ran; empty if one did.
    made
        When, UTC.
    """

    subject: Subject
    plan: Plan
    correct: np.ndarray
    results: tuple[Result, ...]
    masking: Verdict | None = None
    comparison: Comparison | None = None
    without_gradients: str = ""
    made: str = field(
        default_factory=lambda: datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    )

    @property
    def clean_accuracy(self) -> float:
        """Share of inputs right before any attack."""
        return float(self.correct.mean())

    @property
    def robust(self) -> np.ndarray:
        """Which inputs every attack left right, bool ``(n,)``."""
        return np.logical_and.reduce([result.robust for result in self.results])

    @property
    def robust_accuracy(self) -> float:
        """Share of inputs that every attack left right: an upper bound."""
        return float(self.robust.mean())

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What asks for a decision, worst first."""
        return find(self)

    @property
    def checklist(self) -> str:
        """The checklist for masked gradients as text."""
        return "The checklist did not run." if self.masking is None else self.masking.to_text()

    def interval(self, mask: ArrayLike | None = None) -> tuple[float, float]:
        """Return the exact 95% interval of a share of inputs; of the robust accuracy if left out.

        Parameters
        ----------
        mask
            bool ``(n,)``, such as ``correct`` or a result's ``robust``.
        """
        chosen = self.robust if mask is None else np.asarray(mask)
        return proportion_interval(int(chosen.sum()), len(chosen))


def assess(
    target: Target,
    inputs: ArrayLike,
    labels: ArrayLike,
    subject: Subject,
    plan: Plan,
    *,
    original: Callable[..., object] | None = None,
    without_gradients: str = "",
    progress: bool = False,
) -> FileAssessment:
    """Attack one artefact in several ways and rate what was found.

    Parameters
    ----------
    target
        The artefact, and the model with gradients read from it. Without such a model only
        questions are asked, and the report says so.
    inputs, labels
        Images ``(n, height, width, channels)`` in [0, 1] and true classes ``(n,)``; 200 or more
        give sharp intervals. They are rounded to 8 bits first.
    subject
        For the report.
    plan
        Radius and effort.
    original
        The Keras model that the file was made from, inputs to logits, for comparison.
    without_gradients
        Why the target has no model, in words.
    progress
        Whether to show a progress bar.

    Returns
    -------
    FileAssessment
        Results, checklist, comparison and findings.

    Raises
    ------
    RobustnessError
        If inputs and labels do not fit the target, or it classifies none of them right.
    """
    clean, truth = checked_pairs(inputs, labels, target.bounds)
    clean = as_stored(clean)
    scores = target.scores(clean)
    if truth.max() >= scores.shape[1]:
        raise RobustnessError(
            f"label {truth.max()}, but {target.name!r} answers {scores.shape[1]} classes."
        )
    correct = np.argmax(scores, axis=1) == truth
    if not correct.any():
        raise RobustnessError(
            f"{target.name!r} classifies none of {len(truth)} inputs right: nothing to attack. "
            "Check the order of the classes and the range of the inputs."
        )
    trial = _Trial(target, clean, truth, plan)
    has_model = target.model is not None
    with tqdm(total=5 if has_model else 1, desc="assess", disable=not progress) as bar:
        results = tuple(trial.results(bar))
        masking = trial.masking(bar) if has_model and plan.examined else None
        compared = None
        if has_model and original is not None:
            compared = trial.against(original, results[0], bar)
    return FileAssessment(
        subject, plan, correct, results, masking, compared,
        "" if has_model else without_gradients or "There is no model with gradients.",
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Trial:
    """One artefact, one set of inputs, one plan."""

    target: Target
    clean: NDArray[np.float32]
    truth: NDArray[np.int64]
    plan: Plan

    @property
    def budget(self) -> Budget:
        return Budget(self.plan.epsilon)

    def results(self, bar: tqdm) -> list[Result]:
        """Run the attacks: with gradients first, then by questions alone."""
        plan = self.plan
        results = []
        if self.target.model is not None:
            bar.set_postfix_str("PGD")
            results.append(self.pgd())
            bar.update()
            bar.set_postfix_str("several losses")
            results.append(self.further(results[0]))
            bar.update()
        bar.set_postfix_str("Square")
        found = square(
            self.target, self.clean, self.truth, plan.epsilon, queries=plan.queries, seed=plan.seed
        )
        results.append(self.saved(found, f"Square, {plan.queries} questions", "its answers"))
        bar.update()
        return results

    def pgd(self) -> Result:
        """Attack with gradients, up the cross-entropy, judged as saved."""
        plan = self.plan
        found = transfer(
            self.target, self.clean, self.truth, self.budget,
            steps=plan.steps, restarts=plan.restarts, seed=plan.seed,
        )  # fmt: skip
        return self.saved(found, f"PGD-{plan.steps}, cross-entropy", "the file")

    def further(self, first: Result) -> Result:
        """Attack what PGD left with the other losses too, and judge it as saved."""
        left, robust = np.flatnonzero(first.robust), first.robust.copy()
        name = f"PGD-{self.plan.steps}, three losses in turn"
        if len(left):
            rest = replace(self, clean=self.clean[left], truth=self.truth[left])
            found = worst_case(
                self.target, rest.clean, rest.truth, self.budget, steps=self.plan.steps,
                restarts=self.plan.restarts, queries=0, seed=self.plan.seed,
            )  # fmt: skip
            robust[left] = rest.saved(found, name, "the file").robust
        return Result(name, "the file", robust)

    def saved(self, outcome: Outcome, name: str, needs: Needs) -> Result:
        """Judge what an attack made as it can be saved: rounded to 8 bits."""
        stored = round_to_stored(self.clean, outcome.adversarial, self.budget)
        saved = judge(self.target, self.clean, self.truth, stored, attack=name, budget=self.budget)
        hit = outcome.correct & outcome.fooled
        asked = None
        if outcome.queries is not None and hit.any():
            asked = int(np.median(outcome.queries[hit]))
        return Result(name, needs, saved.robust, asked)

    def masking(self, bar: tqdm) -> Verdict:
        bar.set_postfix_str("masking checklist")
        first = slice(self.plan.examined)
        verdict = check_masking(
            self.target, self.clean[first], self.truth[first], self.budget,
            steps=max(2, self.plan.steps // 2), queries=self.plan.queries, seed=self.plan.seed,
        )  # fmt: skip
        bar.update()
        return verdict

    def against(self, original: Callable[..., object], ours: Result, bar: tqdm) -> Comparison:
        """Attack the model that the file was made from as the file was, judged by itself."""
        import tensorflow as tf

        bar.set_postfix_str("the original")

        def ask(rows: NDArray[np.float32]) -> np.ndarray:
            parts = [rows[i : i + 256] for i in range(0, len(rows), 256)]
            return np.concatenate([np.asarray(original(tf.constant(part))) for part in parts])

        itself = Target(ask, original, self.target.bounds, "original")
        theirs = replace(self, target=itself).pgd()
        labels = [held.labels(self.clean) for held in (itself, self.target)]
        bar.update()
        only = int((ours.robust & ~theirs.robust).sum()), int((theirs.robust & ~ours.robust).sum())
        return Comparison(
            float(np.mean(labels[0] == self.truth)),
            theirs.accuracy,
            float(np.mean(labels[1] == self.truth)),
            ours.accuracy,
            float(np.mean(labels[0] == labels[1])),
            ours.attack,
            float(stats.binomtest(only[0], sum(only)).pvalue) if sum(only) else 1.0,
        )
