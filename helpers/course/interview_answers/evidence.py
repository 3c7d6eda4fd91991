"""Evidence: watermarks, certificates, tests and their chances."""

from __future__ import annotations

import math

import numpy as np

from helpers.course.interview_answers.registry import answer
from helpers.errors import InterviewError

_YEAR = 365.25 * 86_400  # seconds


@answer
def chance_of_matches(matches: int, trials: int, chance: float) -> float:
    """Probability that an innocent model matches at least so many marks: the false claim."""
    from helpers.watermark.null import Null
    from helpers.watermark.scheme import Reading

    return Null("keyed", chance, chance, ()).p_value(Reading(matches, trials))


@answer
def chance_in_any(matches: int, trials: int, chance: float, tests: int) -> float:
    """Bound on the probability that one of several innocent models matches so often."""
    return min(1.0, tests * chance_of_matches(matches, trials, chance))


@answer
def fewest_matches(trials: int, chance: float, false_claims: float) -> int:
    """Fewest matches that keep the probability of a false claim at or below a limit.

    Raises
    ------
    InterviewError
        If not even all of them keep it.
    """
    from helpers.watermark.null import Null

    fewest = Null("keyed", chance, chance, ()).needed(trials, false_claims)
    if fewest is None:
        raise InterviewError(f"not even {trials} of {trials} matches reach {false_claims:g}.")
    return fewest


@answer
def fewest_of_many(trials: int, chance: float, false_claims: float, tests: int) -> int:
    """Fewest matches when the limit holds for all of several tests together (union bound)."""
    return fewest_matches(trials, chance, false_claims / tests)


@answer
def extra_matches(trials: int, chance: float, false_claims: float, tests: int) -> int:
    """Matches that several tests ask for beyond a single one."""
    many = fewest_of_many(trials, chance, false_claims, tests)
    return many - fewest_matches(trials, chance, false_claims)


@answer
def fewest_for_claim(trials: int, innocent_shares: list[float], false_claims: float,
                     tests: int) -> int:  # fmt: skip
    """Fewest bits for a claim, by the largest of one half and what innocents show; -1 if none."""
    from helpers.watermark.null import Null

    rate = max([0.5, *innocent_shares])
    fewest = Null("keyed", rate, 0.5, tuple(innocent_shares)).needed(trials, false_claims / tests)
    return -1 if fewest is None else fewest


@answer
def forging_years(bits: int, matches: int, keys_per_second: float) -> float:
    """Expected years until one random key matches so many bits of a message."""
    from helpers.watermark.ambiguity import tries_for

    return tries_for(bits, matches) / keys_per_second / _YEAR


@answer
def disguised(first: list[list[float]], bias: list[float], second: list[list[float]],
              order: list[int], factors: list[float]) -> list[list[list[float]]]:  # fmt: skip
    """Two dense layers with the hidden units in another order and at other scales."""
    scale = np.asarray(factors, float)
    inward = np.column_stack([first, bias])[order] * scale[:, None]
    outward = np.asarray(second, float)[:, order] / scale
    return [inward[:, :-1].tolist(), inward[:, -1:].T.tolist(), outward.tolist()]


@answer
def proportion_low(successes: int, trials: int, error_probability: float) -> float:
    """One-sided Clopper-Pearson lower bound of a proportion."""
    from helpers.privacy.auditing.bounds import proportion_bounds

    return proportion_bounds(successes, trials, error_probability)[0]


@answer
def proportion_high(successes: int, trials: int, error_probability: float) -> float:
    """One-sided Clopper-Pearson upper bound of a proportion."""
    from helpers.privacy.auditing.bounds import proportion_bounds

    return proportion_bounds(successes, trials, error_probability)[1]


@answer
def trials_without_failure(most: float, error_probability: float) -> int:
    """Fewest trials that, all without a failure, put the failure rate below a limit."""
    return math.ceil(math.log(error_probability) / math.log1p(-most))


@answer
def chance_of_any(chance: float, tries: int) -> float:
    """Probability of at least one success in independent tries."""
    return 1 - (1 - chance) ** tries


@answer
def share(part: float, whole: float) -> float:
    """A part as a share of the whole."""
    return part / whole


@answer
def precision_at(base_rate: float, true_positive_rate: float, false_positive_rate: float) -> float:
    """Share of the accused that are guilty."""
    hits = base_rate * true_positive_rate
    return hits / (hits + (1 - base_rate) * false_positive_rate)


@answer
def certified_radius(sigma: float, successes: int, samples: int, alpha: float) -> float:
    """L2 radius of randomised smoothing from the votes of the top class (Cohen et al. 2019)."""
    from helpers.robustness.certification.radius import certified_radius as radius

    return radius(sigma, successes, samples, alpha)


@answer
def radius_of_share(sigma: float, share: float) -> float:
    """L2 radius that randomised smoothing would have if the share of votes were exact."""
    from scipy.stats import norm

    return float(sigma * norm.ppf(share))


@answer
def largest_radius(sigma: float, samples: int, alpha: float) -> float:
    """L2 radius when every sample agrees: no certificate with these samples is larger."""
    from helpers.robustness.certification.radius import radius_ceiling

    return radius_ceiling(sigma, samples, alpha)


@answer
def samples_for_radius(sigma: float, radius: float, alpha: float) -> int:
    """Fewest samples with which a smoothed classifier can certify a radius at all."""
    from helpers.robustness.certification.radius import samples_needed

    return samples_needed(sigma, radius, alpha)


@answer
def certificate_seconds(sigma: float, radius: float, alpha: float, milliseconds: float) -> float:
    """Least seconds in which one image can get a radius certified, one sample after another."""
    return samples_for_radius(sigma, radius, alpha) * milliseconds / 1000


@answer
def sampling_seconds(samples: float, milliseconds: float) -> float:
    """Seconds that a number of inferences takes, one after another."""
    return samples * milliseconds / 1000


@answer
def lipschitz_radius(margin: float, constant: float, deviation: float) -> float:
    """L2 radius of a network with an L2 Lipschitz constant (Tsuzuku et al. 2018), for a file whose
    scores are never further than ``deviation`` from the network's.
    """
    return (margin - 2 * deviation) / (math.sqrt(2) * constant)


@answer
def shift_length(shift: float, height: int, width: int, channels: int) -> float:
    """L2 length of adding the same number to every value of an image."""
    return shift * math.sqrt(height * width * channels)


@answer
def samples_for_all(sigma: float, radius: float, alpha: float, images: int) -> int:
    """Fewest samples an image if all certificates together are wrong with ``alpha`` at most."""
    from helpers.robustness.certification.radius import alpha_of_each

    return samples_for_radius(sigma, radius, alpha_of_each(alpha, images, "all"))


@answer
def into_budget(clean: list[float], wanted: list[float], epsilon: float) -> list[float]:
    """Values moved into a maximum-norm budget around the clean ones, and into [0, 1]."""
    from helpers.robustness.budget import Budget

    moved: list[float] = Budget(epsilon).project([clean], [wanted])[0].tolist()
    return moved


@answer
def l2_step(clean: list[float], current: list[float], gradient: list[float], step: float,
            epsilon: float) -> list[float]:  # fmt: skip
    """One step of projected gradient ascent in L2, within [0, 1]."""
    from helpers.robustness.budget import Budget

    slope = np.asarray(gradient, float)
    length = float(np.linalg.norm(slope))
    wanted = np.asarray(current, float) + (step / length if length else 0.0) * slope
    moved: list[float] = Budget(epsilon, "l2").project([clean], [wanted])[0].tolist()
    return moved


@answer
def largest_l2(levels: float, dimensions: int) -> float:
    """Largest L2 norm of a perturbation of at most so many of 255 levels in every value."""
    return levels / 255 * math.sqrt(dimensions)


@answer
def levels_inside(radius: float, dimensions: int) -> float:
    """Most levels of 255 by which every value may change within an L2 radius."""
    return 255 * radius / math.sqrt(dimensions)


@answer
def steps_inside(epsilon: float, black: float, white: float, scale: float) -> int:
    """Most steps of a quantised input within a radius, which is a share of black to white."""
    return math.floor(epsilon * (white - black) / scale + 1e-4)


@answer
def left_by_all(clean: list[int], attacked: list[list[int]]) -> float:
    """Share of inputs right (1) before and after every attack: robust accuracy."""
    return float(np.mean(np.all([clean, *attacked], axis=0)))


@answer
def left_by_best(clean: list[int], attacked: list[list[int]]) -> float:
    """Share of inputs right before and after the one attack that leaves fewest."""
    return min(left_by_all(clean, [row]) for row in attacked)
