"""Signs that gradients are masked, and that a robustness number cannot be trusted.

An attack gives an upper bound of robust accuracy. It says little if the attack was blind. Athalye,
Carlini and Wagner, *Obfuscated gradients give a false sense of security* (ICML 2018, section 3.1),
list what a blind attack looks like, and Carlini et al., *On evaluating adversarial robustness*
(arXiv:1902.06705), what to try. The checklist here tries it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from helpers.errors import RobustnessError
from helpers.robustness._checks import checked_pairs, require_positive, require_whole
from helpers.robustness.budget import Budget
from helpers.robustness.gradients import Pgd, vanishing_gradients
from helpers.robustness.losses import LossName, margin
from helpers.robustness.queries import flat_differences, score_margins, square
from helpers.robustness.target import Outcome, Target, judge
from helpers.robustness.transfer import surrogates

LIKELY = 0.05  # of a one-sided sign test; a sign shows below it
DEAD = 0.05  # share of inputs without a gradient from which on it shows
FLAT = 0.25  # share of small steps that change nothing from which on it shows
LEFT = 0.05  # share that may survive a budget that allows everything


@dataclass(frozen=True)
class Sign:
    """One item of the checklist.

    Attributes
    ----------
    name
        What is looked for.
    shows
        Whether it was seen.
    measured
        The numbers, in words.
    advice
        What to do if it shows.
    distrusts
        Whether it makes the white-box number untrustworthy. One that does not only warns of a kind
        of attack that sees little here.
    """

    name: str
    shows: bool
    measured: str
    advice: str
    distrusts: bool = True


@dataclass(frozen=True)
class Verdict:
    """What the checklist says about a robust accuracy.

    Attributes
    ----------
    claimed
        Robust accuracy under the white-box attack that is under examination.
    strongest
        Lowest robust accuracy that anything in the checklist reached: on each input the best.
    signs
        The checklist.
    """

    claimed: float
    strongest: float
    signs: tuple[Sign, ...]

    @property
    def trustworthy(self) -> bool:
        """Whether no sign speaks against the number. It can still be wrong, but not for these."""
        return not any(sign.shows and sign.distrusts for sign in self.signs)

    def to_text(self) -> str:
        """Return the verdict and the checklist, as plain text."""
        lines = [
            f"White-box robust accuracy {self.claimed:.3f}; strongest attack {self.strongest:.3f}."
        ]
        lines.append(
            "No sign of masked gradients."
            if self.trustworthy
            else f"Do not trust {self.claimed:.3f}: the attack behind it is blind or weak."
        )
        for sign in self.signs:
            lines.append(f"[{'!' if sign.shows else ' '}] {sign.name}: {sign.measured}.")
            if sign.shows:
                lines.append(f"    {sign.advice}")
        return "\n".join(lines)


def check_masking(
    target: Target,
    inputs: ArrayLike,
    labels: ArrayLike,
    budget: Budget,
    *,
    loss: LossName | Callable = "cross_entropy",
    steps: int = 20,
    queries: int = 300,
    others: Sequence[Callable] = (),
    seed: int = 0,
) -> Verdict:
    """Run the checklist on the white-box attack that a robustness number rests on.

    Parameters
    ----------
    target
        The deployed artefact, and the model whose gradients were used.
    inputs, labels
        Clean inputs ``(n, ...)`` and true classes ``(n,)``; two hundred or more give sharp answers.
    budget
        An L-infinity budget of the claim.
    loss, steps
        Of the white-box attack under examination: PGD.
    queries
        Questions to the artefact for each input in the black-box attack.
    others
        Models of the same task, inputs to logits, to transfer from; none leaves that sign out.
    seed
        Of all that is drawn.

    Returns
    -------
    Verdict
        The signs, and whether the number can be trusted.

    Raises
    ------
    RobustnessError
        If the budget is not L-infinity, is zero, the inputs are not images, or the target has no
        model with gradients.
    """
    clean, truth = checked_pairs(inputs, labels, target.bounds)
    require_whole("queries", queries, at_least=1)
    require_whole("steps", steps, at_least=2)
    require_positive("epsilon", budget.epsilon)
    if budget.norm != "linf":
        raise RobustnessError("The checklist works on an L-infinity budget.")
    trial = _Trial(target, clean, truth, budget, loss, steps, seed)
    many, one, longer = trial.pgd(steps), trial.pgd(1), trial.pgd(5 * steps)
    random = trial.random(max(10, queries // 10))
    asked = square(target, clean, truth, budget.epsilon, queries=queries, seed=seed)
    borrowed = surrogates(target, others, clean, truth, budget, steps=steps, seed=seed)
    signs = [
        _beats("One step beats many", one, many, "Use smaller steps, or another loss."),
        _beats(
            "Random changes beat gradients", random, many,
            "The gradient points nowhere. Look for rounding, saturation or randomness in front.",
        ),
        _beats(
            "Black-box beats white-box", asked, many,
            "Report the black-box number, and attack with a straight-through gradient.",
        ),
        *(
            _beats(f"{outcome.attack} beats white-box", outcome, many,
                   "Another model's gradients are better guides than this one's own.")
            for outcome in borrowed
        ),
        _beats(
            "More steps still find more", longer, many,
            "The attack has not converged: take more steps and restarts before reporting.",
        ),
        trial.unbounded(),
        trial.dead_gradients(),
        trial.flat_scores(),
    ]  # fmt: skip
    outcomes = [many, one, longer, random, asked, *borrowed]
    strongest = np.logical_and.reduce([outcome.robust for outcome in outcomes])
    return Verdict(many.robust_accuracy, float(strongest.mean()), tuple(signs))


def _beats(name: str, stronger: Outcome, weaker: Outcome, advice: str) -> Sign:
    """Whether one attack fools inputs that another leaves, more than chance would: a sign test."""
    only = int((weaker.robust & ~stronger.robust).sum())
    missed = int((stronger.robust & ~weaker.robust).sum())
    chance = stats.binomtest(only, only + missed, alternative="greater").pvalue if only else 1.0
    measured = (
        f"robust accuracy {stronger.robust_accuracy:.3f} against {weaker.robust_accuracy:.3f}; "
        f"{only} inputs fall only to the first, {missed} only to the second"
    )
    return Sign(name, bool(chance < LIKELY), measured, advice)


@dataclass(frozen=True, eq=False)
class _Trial:
    """One claim under examination."""

    target: Target
    clean: NDArray[np.float32]
    truth: NDArray[np.int64]
    budget: Budget
    loss: LossName | Callable
    steps: int
    seed: int

    def pgd(self, steps: int, budget: Budget | None = None) -> Outcome:
        held = budget or self.budget
        attack = Pgd(self.target.differentiable(), "linf", self.loss, self.target.bounds)
        found = attack(
            self.clean, self.truth, held.epsilon,
            steps=steps, step_size=held.epsilon if steps == 1 else None,
            random_start=steps > 1, judge=self.target.labels, seed=self.seed,
        )  # fmt: skip
        name = f"PGD, {steps} steps"
        return judge(self.target, self.clean, self.truth, found, attack=name, budget=held)

    def random(self, draws: int) -> Outcome:
        """Corners of the budget drawn at random, each input until one fools the artefact."""
        rng, found = np.random.default_rng(self.seed), self.clean.copy()
        standing = np.flatnonzero(self.target.labels(self.clean) == self.truth)
        for _ in range(draws):
            if not len(standing):
                break
            rows = self.clean[standing]
            corner = rows + self.budget.epsilon * rng.choice([-1.0, 1.0], rows.shape)
            found[standing] = self.budget.project(rows, corner, self.target.bounds)
            given = self.target.labels(found[standing])
            standing = standing[given == self.truth[standing]]
        return judge(
            self.target, self.clean, self.truth, found, attack="random", budget=self.budget
        )

    def unbounded(self) -> Sign:
        low, high = self.target.bounds
        free = self.pgd(2 * self.steps, Budget(high - low))
        return Sign(
            "An unbounded budget fails",
            free.robust_accuracy > LEFT,
            f"robust accuracy {free.robust_accuracy:.3f} where any input may become any other",
            "The attack cannot even turn one image into another: it is broken.",
        )

    def dead_gradients(self) -> Sign:
        share = vanishing_gradients(self.target.differentiable(), self.clean, self.truth, self.loss)
        return Sign(
            "Gradients vanish",
            share > DEAD,
            f"{share:.1%} of the inputs have a gradient of exactly zero",
            "Attack logits instead of probabilities, with the margin loss, through a "
            "straight-through gradient where something rounds.",
        )

    def flat_scores(self) -> Sign:
        share = flat_differences(self.target, self.clean, self.truth, seed=self.seed)
        return Sign(
            "Scores of the artefact are flat",
            share > FLAT,
            f"{share:.1%} of steps of 1/255 change its margin by exactly nothing",
            "A score-based black-box attack sees little here, so its failure proves nothing: "
            "attack by transfer, or by labels.",
            distrusts=False,
        )


def loss_landscape(
    model: Callable,
    example: ArrayLike,
    label: int,
    epsilon: float,
    *,
    points: int = 21,
    bounds: tuple[float, float] = (0.0, 1.0),
    seed: int = 0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the margin around one input, along the gradient's signs and along random signs.

    A smooth slope says that a gradient is a guide; steps, plateaus or noise say that it is none.

    Parameters
    ----------
    model
        Inputs ``(n, ...)`` to scores ``(n, classes)``: a Keras model, or a target's ``ask``.
    example, label
        One input, without the batch dimension, and its true class.
    epsilon
        How far to go to either side.
    points
        On each axis.
    bounds
        Smallest and largest number that an input may hold.
    seed
        Of the random signs. For a function without a gradient both axes are random.

    Returns
    -------
    offsets
        float64 ``(points,)``, from ``-epsilon`` to ``epsilon``.
    margins
        float64 ``(points, points)``: right score less the best other one; rows along the gradient,
        columns along random signs. Below zero the model errs. :func:`helpers.plots.heat_map` draws
        it.

    Raises
    ------
    RobustnessError
        If a setting is out of its range.
    """
    clean, truth = checked_pairs(np.asarray(example)[None], np.array([label]), bounds)
    require_positive("epsilon", epsilon)
    require_whole("points", points, at_least=2)
    rng = np.random.default_rng(seed)
    along, across = (rng.choice([-1.0, 1.0], clean.shape[1:]) for _ in range(2))
    if isinstance(model, tf.keras.Model):
        start = tf.constant(clean)
        with tf.GradientTape() as tape:
            tape.watch(start)
            slope = margin(model(start), tf.constant(truth))
        along = np.sign(np.asarray(tape.gradient(slope, start))[0])
    offsets = np.linspace(-epsilon, epsilon, points)
    moves = offsets[:, None, None] * along.ravel() + offsets[None, :, None] * across.ravel()
    rows = clean + moves.reshape(points * points, *clean.shape[1:])
    scores = np.asarray(model(np.clip(rows, *bounds).astype(np.float32)))
    margins = score_margins(scores, np.full(len(rows), label))
    return offsets, margins.reshape(points, points)
