"""Exercises on membership: a score, a rate, a likelihood ratio, and what noise would have to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from helpers.course.compare import Slips, close, or_explain, row_of
from helpers.course.tasks import Case, FunctionTask
from helpers.privacy.membership import lira_scores, scaled_confidence, threshold_attack

_TOLERANCE = close(rtol=1e-4, atol=1e-6)


# --- q1: how sure is the model?


def _confidence_cases(rng: np.random.Generator) -> list[Case]:
    labels = rng.integers(10, size=6)
    sure = rng.normal(0, 1, (4, 10))
    sure[np.arange(4), labels[:4]] += 60
    return [
        Case((rng.normal(0, 2, (6, 10)), labels), "six images"),
        Case((sure, labels[:4]), "a model so sure that its probability rounds to 1"),
        Case((rng.normal(0, 2, (5, 3)) + 800, rng.integers(3, size=5)), "large logits"),
    ]


def _log_probability(logits: Any, labels: Any) -> np.ndarray:
    from scipy.special import log_softmax

    return np.asarray(log_softmax(logits, axis=1)[np.arange(len(labels)), labels])


def _gap(logits: Any, labels: Any) -> np.ndarray:
    rows = np.arange(len(labels))
    others = np.array(logits, float)
    others[rows, labels] = -np.inf
    return np.asarray(np.asarray(logits)[rows, labels] - others.max(axis=1))


def _from_probabilities(logits: Any, labels: Any) -> np.ndarray:
    p = np.exp(_log_probability(logits, labels))
    return np.asarray(np.log(p) - np.log(1 - p))


def _only_logit(logits: Any, labels: Any) -> np.ndarray:
    return np.asarray(np.asarray(logits)[np.arange(len(labels)), labels])


def _with_zeros(logits: Any, labels: Any) -> np.ndarray:
    from scipy.special import logsumexp

    others = np.array(logits, float)
    others[np.arange(len(labels)), labels] = 0.0
    return np.asarray(_only_logit(logits, labels) - logsumexp(others, axis=1))


_CONFIDENCE_SLIPS: Slips = {
    "this is the probability p; the score is its logit": lambda logits, labels: np.exp(
        _log_probability(logits, labels)
    ),
    "the sign is turned: the true class's logit less the others'": lambda logits, labels: (
        -scaled_confidence(logits, labels)
    ),
    "this is about the class that the model finds likeliest; take the true one": (
        lambda logits, labels: scaled_confidence(logits, np.argmax(logits, axis=1))
    ),
    "the true class was set to 0, which adds exp(0) to the sum; set it to -np.inf": _with_zeros,
    "this is log p; the score is log p - log(1 - p)": _log_probability,
    "this is the distance to the largest other logit; all the others count": _gap,
    "this is the true class's logit alone": _only_logit,
    "1 - p has no digits left when p rounds to 1, and exp() overflows: use logsumexp over the "
    "other classes": _from_probabilities,
}


# --- q2: hits at few false accusations


def _hits_reference(member_scores: Any, other_scores: Any, limit: float) -> float:
    return threshold_attack(member_scores, other_scores).tpr_at_fpr(limit)


def _hits_cases(rng: np.random.Generator) -> list[Case]:
    members, others = rng.normal(1, 1, 61), rng.normal(0, 1, 40)
    return [
        Case((members, others, 0.3), "61 members, 40 others, at most 12 false accusations"),
        Case((members, others, 0.01), "at most 0.4 false accusations: none"),
        Case((np.array([5.0, 4, 3.9, 1]), np.arange(5.0), 0.1), "five others, none to be accused"),
        Case((np.array([3.0, 2, 2, 1]), np.array([2.0, 1, 1, 0]), 0.25), "ties"),
        Case((np.array([2.0, 1.0]), np.array([3.0, 0.0]), 0.1), "an outsider looks most like one"),
    ]


def _by_quantile(member_scores: Any, other_scores: Any, limit: float) -> float:
    return float(np.mean(np.asarray(member_scores) > np.quantile(other_scores, 1 - limit)))


def _swapped(member_scores: Any, other_scores: Any, limit: float) -> float:
    return _hits_reference(other_scores, member_scores, limit)


def _low_is_member(member_scores: Any, other_scores: Any, limit: float) -> float:
    return _hits_reference(-np.asarray(member_scores), -np.asarray(other_scores), limit)


def _two_rules(member_scores: Any, other_scores: Any, limit: float) -> float:
    members, others = np.asarray(member_scores), np.asarray(other_scores)
    kept = [t for t in np.concatenate([members, others]) if np.mean(others > t) <= limit]
    return max((float(np.mean(members >= t)) for t in kept), default=0.0)


def _others_alone(member_scores: Any, other_scores: Any, limit: float) -> float:
    members, others = np.asarray(member_scores), np.asarray(other_scores)
    kept = [t for t in others if np.mean(others >= t) <= limit]
    return max((float(np.mean(members >= t)) for t in kept), default=0.0)


_HITS_SLIPS: Slips = {
    "this is a number of members; a share was asked": lambda members, others, limit: (
        len(members) * _hits_reference(members, others, limit)
    ),
    "np.quantile interpolates between two scores; count the accusations instead": _by_quantile,
    "one rule accuses members and others: score >= threshold for both": _two_rules,
    "exactly `limit` of the others may be accused, and a member's own score may be the best "
    "threshold": (_others_alone),
    "here nobody else is accused at all; a share `limit` of them may be": (
        lambda members, others, limit: float(np.mean(members > np.max(others)))
    ),
    "members and others are the other way round": _swapped,
    "a high score says member; this accuses the low ones": _low_is_member,
}


# --- q3: the likelihood ratio


def _ratio_reference(target: Any, shadows: Any, inside: Any) -> np.ndarray:
    return lira_scores(target, shadows, np.asarray(inside, bool))


def _ratio_cases(rng: np.random.Generator) -> list[Case]:
    def case(models: int, forms: int, label: str) -> Case:
        inside = rng.permuted(np.tile(np.arange(models) < models // 2, (forms, 1)), axis=1).T
        hard = rng.normal(4, 2, forms)
        shadows = hard + np.where(inside, 1.5, 0.0) + rng.normal(0, 1, inside.shape)
        shadows = np.where(inside, shadows + rng.normal(0, 0.5, inside.shape), shadows)
        return Case((hard + rng.normal(1, 1, forms), shadows, inside), label)

    return [case(8, 5, "eight shadows, five forms"), case(6, 12, "six shadows, twelve forms")]


def _laws(shadows: Any, group: Any) -> tuple[np.ndarray, np.ndarray]:
    count = group.sum(axis=0)
    mean = (shadows * group).sum(axis=0) / count
    return mean, np.sqrt((group * (shadows - mean) ** 2).sum(axis=0) / count)


def _root_mean_square(widths: np.ndarray) -> float:
    return float(np.sqrt(np.mean(widths**2)))


def _ratio(
    one_mean: bool = False,
    all_shadows: bool = False,
    one_width: bool = False,
    own_width: bool = False,
    raw_width: bool = False,
    no_log: bool = False,
    average: Callable[[np.ndarray], float] = _root_mean_square,
) -> Callable[..., np.ndarray]:
    """A likelihood ratio with one thing wrong."""

    def score(target: Any, shadows: Any, inside: Any) -> np.ndarray:
        values, chosen = np.asarray(shadows, float), np.asarray(inside, bool)
        terms = []
        for group in (chosen, ~chosen):
            mean, width = _laws(values, group)
            if one_mean:
                mean = np.full_like(mean, values[group].mean())
            if all_shadows:
                mean = (values * group).mean(axis=0)
            if one_mean or all_shadows or raw_width:
                centre = values[group].mean() if raw_width else mean
                width = np.sqrt(np.mean(((values - centre)[group]) ** 2)) * np.ones_like(width)
            elif not own_width:
                width = np.full_like(width, average(width))
            terms.append((mean, width))
        if one_width:
            together = np.sqrt(np.mean([terms[0][1] ** 2, terms[1][1] ** 2], axis=0))
            terms = [(mean, together) for mean, _ in terms]
        logs = [
            -0.5 * ((target - mean) / width) ** 2 - (0 if no_log else np.log(width))
            for mean, width in terms
        ]
        return np.asarray(logs[0] - logs[1])

    return score


def _reversed(target: Any, shadows: Any, inside: Any) -> np.ndarray:
    return -_ratio_reference(target, shadows, inside)


_RATIO_SLIPS: Slips = {
    "the sign is the other way round: with minus without": _reversed,
    "the means were taken over all forms; each form has two means of its own": _ratio(
        one_mean=True
    ),
    "the sums were divided by the number of all shadows; divide by how many of them had the form, "
    "or had it not": _ratio(all_shadows=True),
    "each form got a deviation of its own; share one a group, over all forms": _ratio(
        own_width=True
    ),
    "the deviation is of the confidences themselves; take it of their distances to each form's "
    "own mean": _ratio(raw_width=True),
    "this takes the variance for the deviation: take its root": _ratio(
        average=lambda widths: float(np.mean(widths**2))
    ),
    "the forms' deviations were averaged; average the squares, and take the root last": _ratio(
        average=lambda widths: float(np.mean(widths))
    ),
    "-log(deviation) is missing in both terms: a narrow law is taller": _ratio(no_log=True),
    "both groups got the same deviation; those with and those without each have one": _ratio(
        one_width=True
    ),
}


# --- q4: what noise would have to do


def _auc_reference(gap: float, spread: float, noise: float) -> float:
    from scipy.stats import norm

    return float(norm.cdf(gap / np.sqrt(2 * (spread**2 + noise**2))))


def _auc_cases(rng: np.random.Generator) -> list[Case]:
    gap, spread = float(rng.uniform(1, 2)), float(rng.uniform(0.8, 1.2))
    return [
        Case((gap, spread, 0.0), "no noise"),
        Case((gap, spread, 0.1), "noise much smaller than the spread"),
        Case((gap, spread, 3.0), "noise much larger"),
        Case((0.0, spread, 0.3), "no gap: a coin"),
    ]


def _auc_without(factor: float, square: bool = True) -> Callable[[float, float, float], float]:
    def wrong(gap: float, spread: float, noise: float) -> float:
        from scipy.stats import norm

        width = np.sqrt(factor * (spread**2 + noise**2)) if square else factor * (spread + noise)
        return float(norm.cdf(gap / width))

    return wrong


def _noise_on_one_draw(gap: float, spread: float, noise: float) -> float:
    from scipy.stats import norm

    return float(norm.cdf(gap / np.sqrt(2 * spread**2 + noise**2)))


def _with_variance(gap: float, spread: float, noise: float) -> float:
    from scipy.stats import norm

    return float(norm.cdf(gap, scale=2 * (spread**2 + noise**2)))


_AUC_SLIPS: Slips = {
    "this is the probability that the draw with the form lies below": lambda *args: (
        1 - _auc_reference(*args)
    ),
    "this adds up the deviations of the two draws, and is how often a threshold half-way between "
    "the laws is right; of the difference of two draws the variances add up": _auc_without(4),
    "norm.cdf divides by a deviation, the root of the variance": _with_variance,
    "two scores are compared, and each has this deviation: the difference has twice the variance": (
        _auc_without(1)
    ),
    "deviations do not add up; variances do": _auc_without(np.sqrt(2), square=False),
    "the noise comes on both draws, so its variance counts twice, like the spread's": (
        _noise_on_one_draw
    ),
}


MEMBERS = (
    FunctionTask(
        "q1", "How sure is the model?", 1, scaled_confidence, _confidence_cases,
        or_explain(row_of(_TOLERANCE), _CONFIDENCE_SLIPS),
        "The right form, row by row. Take out each row's own class in a copy, then logsumexp over "
        "the rest.",
    ),
    FunctionTask(
        "q2", "Hits at few false accusations", 2, _hits_reference, _hits_cases,
        or_explain(_TOLERANCE, _HITS_SLIPS),
        "Only scores that occur need trying as thresholds. What share of the others does each "
        "accuse? It may be that none keeps to the limit.",
    ),
    FunctionTask(
        "q3", "The likelihood ratio", 3, _ratio_reference, _ratio_cases,
        or_explain(row_of(_TOLERANCE), _RATIO_SLIPS),
        "Both brackets are the same function, of the shadows with and of those without each "
        "form: a mean a form, and one deviation of what is left when the means are gone.",
    ),
    FunctionTask(
        "q4", "What noise would have to do", 1, _auc_reference, _auc_cases,
        or_explain(_TOLERANCE, _AUC_SLIPS),
        "The AUC is the probability that the difference of the two draws is positive. What is its "
        "mean, and what is its variance?",
    ),
)  # fmt: skip
