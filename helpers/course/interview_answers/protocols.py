"""Protocols and desks: certificates, shares, budgets of a data site."""

from __future__ import annotations

import functools
import math

import numpy as np

from helpers.course.interview_answers.privacy import composed_epsilon, laplace_scale
from helpers.course.interview_answers.registry import answer
from helpers.errors import InterviewError


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
    """Fewest clients to invite so that enough answer, each independently with a probability.

    Raises
    ------
    InterviewError
        If a probability is out of its range.
    """
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


@answer
def sending_seconds(num_bytes: int, bits_per_second: float) -> float:
    """Time on the air of so many bytes."""
    return 8 * num_bytes / bits_per_second
