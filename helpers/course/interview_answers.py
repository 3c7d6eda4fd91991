"""The registry of computations that the question bank may name.

A question never holds the number it asks for. It names one of these functions and its arguments,
and the number is computed when the bank is checked, practised or printed. Each function is a few
lines over a room of ``helpers``, and takes plain numbers and lists by name.
"""

from __future__ import annotations

import functools
import inspect
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_type_hints

import numpy as np

from helpers._reading import nearest
from helpers.errors import EdgesecError, InterviewError
from helpers.interview.question import Plain

Function = TypeVar("Function", bound=Callable[..., Any])
ANSWERS: dict[str, Callable[..., Any]] = {}

_MEGA = 1e6
_YEAR = 365.25 * 86_400  # seconds


def answer(function: Function) -> Function:
    """Put a function into the registry under its own name."""
    ANSWERS[function.__name__] = function
    return function


def calculate(function: str, arguments: Mapping[str, Plain]) -> Any:
    """Call a function of the registry.

    Parameters
    ----------
    function : str
        Its name.
    arguments : mapping
        Its arguments by name, or ``{"arguments": [...]}`` alone for a positional call.

    Returns
    -------
    float, int or list
        The number; a list for the references of code questions.

    Raises
    ------
    InterviewError
        If there is no such function, the arguments do not fit it, or it refuses them.
    """
    if function not in ANSWERS:
        raise InterviewError(
            f"there is no computation {function!r}; {nearest(function, ANSWERS)} "
            "(helpers/course/interview_answers.py)"
        )
    call = ANSWERS[function]
    positional = arguments.get("arguments")
    try:
        if isinstance(positional, list) and len(arguments) == 1:
            bound = inspect.signature(call).bind(*positional)
        else:
            bound = inspect.signature(call).bind(**arguments)
    except TypeError as error:
        raise InterviewError(f"{function}{inspect.signature(call)}: {error}") from error
    for name, kind in get_type_hints(call).items():
        if name in bound.arguments:
            _require(function, name, bound.arguments[name], kind)
    try:
        return _computed(function, json.dumps([bound.args, bound.kwargs]))
    except EdgesecError as error:
        raise InterviewError(f"{function}: {error}") from error


@functools.lru_cache(maxsize=2048)
def _computed(function: str, arguments: str) -> Any:
    """Compute once what a bank asks for several times; some accountants take seconds."""
    args, kwargs = json.loads(arguments)
    return ANSWERS[function](*args, **kwargs)


def _require(function: str, name: str, value: Plain, kind: Any) -> None:
    fits = {float: (int, float), int: (int,), str: (str,)}.get(kind, (list,))
    if not isinstance(value, fits):
        wanted = getattr(kind, "__name__", str(kind))
        raise InterviewError(f"{function}: {name}={value!r} must be of type {wanted}.")


# --- privacy --------------------------------------------------------------------------------------


@answer
def dp_epsilon(noise_multiplier: float, batch: float, records: int, steps: int, delta: float,
               method: str = "rdp", sampling: str = "poisson") -> float:  # fmt: skip
    """Epsilon of DP-SGD with batches of an expected size."""
    from helpers.privacy.accounting import epsilon

    rate = batch / records
    return epsilon(noise_multiplier, rate, steps, delta, method, sampling)  # type: ignore[arg-type]


@answer
def noise_for_epsilon(
    epsilon: float, batch: float, records: int, steps: int, delta: float
) -> float:
    """Least noise multiplier that keeps DP-SGD within epsilon (RDP accountant)."""
    from helpers.privacy.accounting import calibrate_noise

    return calibrate_noise(epsilon, batch / records, steps, delta, method="rdp")


@answer
def largest_true_positive_rate(epsilon: float, delta: float, false_positive_rate: float) -> float:
    """Most members that any attack finds at a false-positive rate, under (epsilon, delta)-DP."""
    fpr = false_positive_rate
    return min(1.0, math.exp(epsilon) * fpr + delta, 1 - math.exp(-epsilon) * (1 - delta - fpr))


@answer
def largest_posterior(epsilon: float, prior: float) -> float:
    """Largest belief in membership after seeing the output, under epsilon-DP."""
    odds = math.exp(epsilon) * prior / (1 - prior)
    return odds / (1 + odds)


@answer
def scaled_probability(epsilon: float, prior: float) -> float:
    """A belief multiplied by e^epsilon: what somebody gets who forgets the odds."""
    return math.exp(epsilon) * prior


@answer
def gaussian_true_positive_rate(
    noise_multiplier: float, releases: int, false_positive_rate: float
) -> float:
    """Power of the best attack on so many Gaussian releases (Dong, Roth and Su 2022)."""
    from scipy.stats import norm

    shift = math.sqrt(releases) / noise_multiplier
    return float(norm.cdf(norm.ppf(false_positive_rate) + shift))


@answer
def epsilon_proved(true_positives: int, members: int, false_positives: int, others: int,
                   delta: float, confidence: float = 0.95) -> float:  # fmt: skip
    """Epsilon that an audit with independent trials proves to be exceeded."""
    from helpers.privacy.auditing.bounds import epsilon_lower_bound

    return epsilon_lower_bound(true_positives, members, false_positives, others, delta, confidence)


@answer
def log_ratio(part: float, whole: float) -> float:
    """Natural logarithm of a ratio: the epsilon that two exactly known rates would prove."""
    return math.log(part / whole)


@answer
def laplace_scale(sensitivity: float, epsilon: float) -> float:
    """Scale of the Laplace noise that makes a release epsilon-DP."""
    return sensitivity / epsilon


@answer
def laplace_margin(sensitivity: float, epsilon: float, confidence: float) -> float:
    """Distance that Laplace noise does not exceed, with a probability."""
    return laplace_scale(sensitivity, epsilon) * -math.log(1 - confidence)


@answer
def laplace_normal_margin(sensitivity: float, epsilon: float) -> float:
    """1.96 standard deviations of Laplace noise: what the rule for a normal law would say."""
    return 1.96 * math.sqrt(2) * laplace_scale(sensitivity, epsilon)


@answer
def odds_factor(epsilon: float) -> float:
    """Factor by which the odds of a guess may rise under epsilon-DP."""
    return math.exp(epsilon)


@answer
def composed_epsilon(epsilon: float, releases: int) -> float:
    """Epsilon of several releases by plain composition, or of a group of records."""
    return epsilon * releases


@answer
def noise_in_mean(noise_multiplier: float, clip: float, batch: float) -> float:
    """Standard deviation of the noise in each coordinate of DP-SGD's mean gradient."""
    return noise_multiplier * clip / batch


@answer
def local_noise_in_mean(noise_multiplier: float, clip: float, parties: int) -> float:
    """Standard deviation in the mean when every party adds all of the noise itself."""
    return noise_in_mean(noise_multiplier, clip, parties) * math.sqrt(parties)


@answer
def clip_and_scale(gradients: list[list[float]], clip: float, expected: float) -> list[float]:
    """DP-SGD's step before the noise: clipped gradients over the expected batch."""
    if not gradients:
        raise InterviewError("an empty batch has no dimension here: give one gradient or more")
    scale = len(gradients) / expected
    return [scale * value for value in clip_and_average(gradients, clip)]


@answer
def expected_count(trials: int, probability: float) -> float:
    """Mean number of successes."""
    return trials * probability


@answer
def membership_auc(gap: float, scatter: float, rounding: float) -> float:
    """Area under the curve of the best attack on one record, both groups normal."""
    from scipy.stats import norm

    return float(norm.cdf(gap / math.sqrt(2 * (scatter**2 + rounding**2))))


@answer
def rounding_for_auc(gap: float, scatter: float, area: float) -> float:
    """Deviation of rounding noise that brings the best attack down to an area under the curve."""
    from scipy.stats import norm

    return math.sqrt((gap / float(norm.ppf(area))) ** 2 / 2 - scatter**2)


@answer
def total_noise_for_auc(gap: float, area: float) -> float:
    """Deviation of all noise together at which the best attack has an area under the curve."""
    return rounding_for_auc(gap, 0.0, area)


@answer
def leftover_for_auc(gap: float, scatter: float, area: float) -> float:
    """Rounding noise for an area, if deviations and not their squares added: a slip."""
    return total_noise_for_auc(gap, area) - scatter


@answer
def members_found(members: list[float], others: list[float], limit: float) -> float:
    """Highest true-positive rate of a threshold with at most so many false positives."""
    from helpers.privacy.membership.threshold import threshold_attack

    return threshold_attack(members, others).tpr_at_fpr(limit)


@answer
def likelihood_score(confidence: float, inside: list[float], outside: list[float]) -> float:
    """Log-likelihood ratio of one record, each kind of shadow with its own normal law."""
    from helpers.privacy.membership.lira import lira_scores

    shadows = np.asarray([*inside, *outside], float)[:, None]
    members = np.arange(len(shadows))[:, None] < len(inside)
    return float(lira_scores([confidence], shadows, members, variance="example")[0])


# --- federated ------------------------------------------------------------------------------------


@answer
def round_megabytes(parameters: int, clients: int, bytes_down: float = 4.0,
                    bytes_up: float = 4.0, rounds: int = 1) -> float:  # fmt: skip
    """Model data of some rounds in both directions, in MB (10^6 bytes)."""
    from helpers.federated.traffic import bytes_per_round

    return rounds * bytes_per_round([[parameters]], clients, bytes_down, bytes_up).total / _MEGA


@answer
def round_gigabytes(parameters: int, clients: int, bytes_down: float = 4.0,
                    bytes_up: float = 4.0, rounds: int = 1) -> float:  # fmt: skip
    """Model data of some rounds in both directions, in GB (10^9 bytes)."""
    return round_megabytes(parameters, clients, bytes_down, bytes_up, rounds) / 1000


@answer
def upload_seconds(parameters: int, megabits_per_second: float, bytes_up: float = 4.0) -> float:
    """Seconds that one client takes to send its update."""
    from helpers.federated.traffic import bytes_per_round

    return bytes_per_round([[parameters]], 1, 4.0, bytes_up).up * 8 / (megabits_per_second * _MEGA)


@answer
def weighted_mean(values: list[float], weights: list[float]) -> float:
    """FedAvg's mean of one coordinate."""
    return float(np.average(values, weights=weights))


@answer
def fedavg(updates: list[list[float]], examples: list[float]) -> list[float]:
    """FedAvg's mean of whole vectors, weighted by the numbers of examples."""
    mean: list[float] = np.average(np.asarray(updates, float), axis=0, weights=examples).tolist()
    return mean


@answer
def attacker_factor(clients: int, honest: float, target: float) -> float:
    """What one client must send to move the plain mean of one coordinate to a target."""
    return clients * target - (clients - 1) * honest


@answer
def least_kappa(clients: int, byzantine: int) -> float:
    """Smallest robustness coefficient any rule can have (Allouah et al. 2023)."""
    return byzantine / (clients - 2 * byzantine)


@answer
def trimmed_mean(values: list[float], byzantine: int) -> float:
    """Mean of one coordinate without its largest and smallest values."""
    from helpers.federated.robust.coordinate import trimmed_mean as rule

    return float(rule(np.asarray(values, float)[:, None], byzantine)[0])


@answer
def krum_choice(updates: list[list[float]], byzantine: int) -> list[float]:
    """The update that Krum selects."""
    from helpers.federated.robust.selection import krum

    chosen: list[float] = krum(np.asarray(updates, float), byzantine).tolist()
    return chosen


@answer
def secure_modulus_bits(clients: int, value_bits: int) -> int:
    """Bits of the modulus that a masked sum needs so that it cannot wrap, without guard bits."""
    return (clients * ((1 << value_bits) - 1)).bit_length()


@answer
def secure_round_megabytes(parameters: int, clients: int, value_bits: int) -> float:
    """Masked vectors that a server receives in one round, in MB (10^6 bytes)."""
    from helpers.federated.secure.settings import SecureSettings

    plan = SecureSettings(value_bits=value_bits).plan(clients)
    return parameters * clients * plan.bytes_per_value / _MEGA


@answer
def pairwise_masks(clients: int) -> int:
    """Shared secrets in secure aggregation when every pair of clients has one."""
    return math.comb(clients, 2)


@answer
def clip_and_average(updates: list[list[float]], clip: float) -> list[float]:
    """Clip each update to an L2 norm, then take the mean."""
    rows = np.asarray(updates, float)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    factors = np.minimum(1.0, clip / np.maximum(norms, 1e-300))
    clipped: list[float] = (rows * factors).mean(axis=0).tolist()
    return clipped


@answer
def exposure_days(noticed_after: float, listed_after: float, lifetime_left: float) -> float:
    """Days that a stolen key works: until it is on the list or has expired."""
    return min(noticed_after + listed_after, lifetime_left)


# --- protocols and desks --------------------------------------------------------------------------


@answer
def server_momentum(start: float, changes: list[float], momentum: float, rate: float) -> float:
    """One weight after rounds of FedAvgM, from the averaged change of each (Hsu et al. 2019)."""
    weight, velocity = start, 0.0
    for change in changes:
        velocity = momentum * velocity + change
        weight += rate * velocity
    return weight


@answer
def divided_gradient(kernel: list[list[float]], bias: list[float]) -> list[float]:
    """The input of a dense layer from its gradient for one example (Phong et al. 2018)."""
    from helpers.privacy.reconstruction.closed_form import invert_dense

    divided: list[float] = invert_dense(kernel, bias).tolist()
    return divided


@answer
def fewest_invited(needed: int, answers: float, confidence: float) -> int:
    """Fewest clients to invite so that enough answer, each independently with a probability."""
    from scipy.stats import binom

    if not 0 < answers <= 1 or not 0 < confidence < 1:
        raise InterviewError(f"answers={answers} and confidence={confidence} must lie within 0..1")
    invited = needed
    while binom.sf(needed - 1, invited, answers) < confidence:
        invited += 1
    return invited


@answer
def repeats_to_pin(epsilon: float, deviations: float) -> int:
    """Fresh Laplace answers to one count whose mean is within half a person of the truth."""
    one = math.sqrt(2) * laplace_scale(1.0, epsilon)
    return math.ceil((deviations * one / 0.5) ** 2)


@answer
def repeats_cost(epsilon: float, deviations: float) -> float:
    """What these answers cost by plain composition."""
    return composed_epsilon(epsilon, repeats_to_pin(epsilon, deviations))


@answer
def clients_for_noise(multiplier: float, noise: float, clip: float, dimensions: int,
                      liars: float) -> int:  # fmt: skip
    """Fewest clients at which a trimmed mean's noise is small enough for a multiplier."""
    from helpers.federated.secure.aggregators import RobustThenPrivate

    move = RobustThenPrivate(0, clip, multiplier).sensitivity(1, dimensions)
    return math.ceil(multiplier * move / (noise * (1 - 2 * liars)))


@answer
def desk_charges(requests: list[list[float]], budget: float) -> list[float]:
    """What a desk charges for (question, epsilon): 0 for a repeat, -1 for a refusal."""
    spent, recorded, charges = 0.0, set(), []
    for request in requests:
        question, price = tuple(request), request[1]
        if question in recorded:
            charges.append(0.0)
        elif spent + price > budget + 1e-12:
            charges.append(-1.0)
        else:
            recorded.add(question)
            spent += price
            charges.append(price)
    return charges


@answer
def clean_groups(clients: int, byzantine: int, size: int) -> float:
    """Expected number of groups without a liar, for groups drawn at random."""
    from helpers.federated.secure.groups import clean_groups as expected

    return expected(clients, byzantine, size)


@answer
def counted_updates(messages: list[list[int]], challenge: int) -> list[int]:
    """Positions of the messages (sender, challenge, signature holds) that a server counts."""
    counted: list[int] = []
    turns: set[int] = set()
    for position, (sender, answered, holds) in enumerate(messages):
        if holds and answered == challenge and sender not in turns:
            turns.add(sender)
            counted.append(position)
    return counted


@answer
def mean_exposure_days(lifetime: float, renewed_before: float, noticed_share: float,
                       noticed_after: float) -> float:  # fmt: skip
    """Mean days that a stolen key works, for thefts at a random time of a certificate's use."""
    least, most = renewed_before, lifetime
    limit = min(max(noticed_after, least), most)
    later = ((most - least) ** 2 - (most - limit) ** 2) / (2 * (most - least))
    seen = min(noticed_after, least) + later
    return noticed_share * seen + (1 - noticed_share) * (least + most) / 2


@answer
def order_turns(difference: int, factors: int) -> float:
    """Probability that scores off by -1, 0 or 1 turn two threats round; a coin breaks ties."""
    noise = functools.reduce(np.convolve, [np.full(3, 1 / 3)] * (2 * factors))
    shift = np.arange(noise.size) - 2 * factors + difference
    return float(noise[shift < 0].sum() + noise[shift == 0].sum() / 2)


@answer
def failing_threats(risks: list[float], accepted: list[list[float]], gate: float,
                    today: int) -> list[int]:  # fmt: skip
    """Positions of the threats at a gate that no acceptance (threat, up to, last day) covers."""
    covered = {
        int(threat)
        for threat, up_to, last_day in accepted
        if today <= last_day and risks[int(threat)] <= up_to
    }
    return [i for i, risk in enumerate(risks) if risk >= gate and i not in covered]


# --- evidence -------------------------------------------------------------------------------------


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
    """Fewest matches that keep the probability of a false claim at or below a limit."""
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
def proportion_ends(successes: int, trials: int, confidence: float) -> list[float]:
    """Two-sided Clopper-Pearson interval of a proportion."""
    from helpers.robustness.target import proportion_interval

    return list(proportion_interval(successes, trials, confidence))


@answer
def trials_without_failure(most: float, error_probability: float) -> int:
    """Fewest trials that, all without a failure, put the failure rate below a limit."""
    return math.ceil(math.log(error_probability) / math.log1p(-most))


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
    from scipy.stats import norm

    return float(sigma * norm.ppf(proportion_low(successes, samples, alpha)))


@answer
def radius_of_share(sigma: float, share: float) -> float:
    """L2 radius that randomised smoothing would have if the share of votes were exact."""
    from scipy.stats import norm

    return float(sigma * norm.ppf(share))


@answer
def largest_radius(sigma: float, samples: int, alpha: float) -> float:
    """L2 radius when every sample agrees: no certificate with these samples is larger."""
    return certified_radius(sigma, samples, samples, alpha)


@answer
def samples_for_radius(sigma: float, radius: float, alpha: float) -> int:
    """Fewest samples with which a smoothed classifier can certify a radius at all."""
    from scipy.stats import norm

    return math.ceil(math.log(alpha) / float(norm.logcdf(radius / sigma)))


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
def mean_performance_under_corruption(scores: list[list[float]]) -> float:
    """Mean over perturbations of the mean over severities (Michaelis et al. 2019)."""
    from helpers.robustness.perturbations.scores import robustness

    return robustness(1.0, {str(number): row for number, row in enumerate(scores)}).mpc


@answer
def relative_performance(clean: float, scores: list[list[float]]) -> float:
    """Mean performance under corruption as a share of the clean performance."""
    from helpers.robustness.perturbations.scores import robustness

    return robustness(clean, {str(number): row for number, row in enumerate(scores)}).relative


@answer
def largest_l2(levels: float, dimensions: int) -> float:
    """Largest L2 norm of a perturbation of at most so many of 255 levels in every value."""
    return levels / 255 * math.sqrt(dimensions)


@answer
def levels_inside(radius: float, dimensions: int) -> float:
    """Most levels of 255 by which every value may change within an L2 radius."""
    return 255 * radius / math.sqrt(dimensions)


# --- the device -----------------------------------------------------------------------------------


@answer
def model_kilobytes(parameters: int, bits: float) -> float:
    """Weights of a model in kB (1,000 bytes)."""
    return parameters * bits / 8 / 1000


@answer
def quantisation_step(low: float, high: float, bits: int) -> float:
    """Distance of two neighbouring codes of a uniform quantiser over a range."""
    return (high - low) / (2**bits - 1)


@answer
def affine_codes(values: list[float], low: float, high: float) -> list[int]:
    """Unsigned 8-bit codes of values over a range, clipped to it and rounded to the nearest."""
    step = quantisation_step(low, high, 8)
    codes: list[int] = np.rint((np.clip(values, low, high) - low) / step).astype(int).tolist()
    return codes


@answer
def budget_left(frames_per_second: float, spent_milliseconds: list[float]) -> float:
    """Milliseconds of a frame that are left after what is already spent in it."""
    return 1000 / frames_per_second - sum(spent_milliseconds)


@answer
def roofline_milliseconds(device: str, arithmetic: str, macs: int, weights: int,
                          activations: int) -> float:  # fmt: skip
    """Milliseconds that no software beats on a device of ``helpers.edge.devices``."""
    from helpers.edge.devices import DEVICES, Work, roofline

    if device not in DEVICES:
        raise InterviewError(f"there is no device {device!r}; {nearest(device, DEVICES)}")
    chosen = DEVICES[device]
    return roofline(Work(macs, weights, activations), chosen, arithmetic, chosen.clock_hz)[0]


@answer
def convolution_macs(height: int, width: int, kernel: int, channels_in: int,
                     channels_out: int) -> int:  # fmt: skip
    """Multiply-accumulates of a convolution, by the size of its output."""
    return height * width * kernel * kernel * channels_in * channels_out


@answer
def separable_macs(height: int, width: int, kernel: int, channels_in: int,
                   channels_out: int) -> int:  # fmt: skip
    """Multiply-accumulates of a depthwise-separable convolution, by the size of its output."""
    return height * width * channels_in * (kernel * kernel + channels_out)


@answer
def peak_bytes(sizes: list[int], first: list[int], last: list[int]) -> int:
    """Most bytes of activations that are alive in one operation; sizes are multiples of 16."""
    from helpers.edge.arena import plan_arena
    from helpers.edge.tflite.graph import Graph, Operation, Tensor

    nothing = np.empty(0, np.float32), np.empty(0, np.int64)
    tensors = tuple(
        Tensor(index, "", (size,), "int8", *nothing, 0, False, None)
        for index, size in enumerate(sizes)
    )
    operations = tuple(
        Operation(
            step,
            "",
            tuple(index for index, end in enumerate(last) if end == step),
            tuple(index for index, start in enumerate(first) if start == step),
        )
        for step in range(max(last) + 1)
    )
    return plan_arena(Graph("", tensors, operations, (), ())).lower_bound_bytes


@answer
def kernel_weights(codes: list[list[int]], scales: list[float]) -> list[list[float]]:
    """Weights that int8 codes stand for, one scale an output channel, symmetric about zero."""
    weights: list[list[float]] = (np.asarray(codes) * np.asarray(scales)[:, None]).tolist()
    return weights


@answer
def rounded_kernel(weights: list[list[float]], bits: int) -> list[list[float]]:
    """A kernel rounded to a few bits with one scale a row."""
    from helpers.edge.quantise import round_weights

    rounded: list[list[float]] = round_weights(weights, bits, axis=0)[0].tolist()
    return rounded


@answer
def zero_point(low: float, high: float) -> int:
    """Code of an int8 ruler, from -128, on which zero lies."""
    return round(-128 - low / quantisation_step(low, high, 8))


@answer
def slowdown_of_rate(device: str, arithmetic: str, macs: int, weights: int, activations: int,
                     per_second: float) -> float:  # fmt: skip
    """A published rate's latency as a multiple of what no software beats."""
    bound = roofline_milliseconds(device, arithmetic, macs, weights, activations)
    return 1000 / per_second / bound


@answer
def opening_cost(labour: float, unit: float, success: float) -> float:
    """Expected cost of opening one device, when each failed attempt costs as much again."""
    return (labour + unit) / success


@answer
def seconds_between_answers(labour: float, unit: float, success: float, questions: int,
                            hourly: float) -> float:  # fmt: skip
    """Seconds an answer must take so that asking costs as much as opening a device."""
    return opening_cost(labour, unit, success) / (questions * hourly) * 3600


@answer
def asking_cost(questions: int, seconds: float, hourly: float) -> float:
    """Cost of questions at so many seconds each on a bench that is paid by the hour."""
    return questions * seconds / 3600 * hourly


@answer
def days_of_queries(queries: int, per_day: float, accounts: int = 1) -> float:
    """Days that an extraction takes under a rate limit."""
    return queries / (per_day * accounts)


@answer
def seconds_to_search(bits: int, guesses_per_second: float) -> float:
    """Expected seconds to find a key by trying: half of the keys."""
    return 2.0 ** (bits - 1) / guesses_per_second


@answer
def dread_risk(scores: list[float]) -> float:
    """Mean of the five DREAD scores."""
    return float(np.mean(scores))
