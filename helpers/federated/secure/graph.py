"""Who masks with whom: a random ring of neighbours, and what can go wrong with it.

With every pair masked, the cost of a client grows with the number of clients. Bell et al. (2020)
give each client k neighbours drawn at random instead. Then three things can go wrong, with a
probability that :func:`graph_risk` bounds and :func:`choose_graph` keeps below what is asked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from helpers.errors import TaskError
from helpers.federated.secure.settings import SecureSettings
from helpers.federated.validation import require_between, require_positive, require_whole


def ring_of_neighbours(
    clients: Sequence[int], num_neighbours: int, rng: np.random.Generator
) -> dict[int, tuple[int, ...]]:
    """Seat the clients at random around a table; each knows the k/2 on either side.

    Parameters
    ----------
    clients
        Distinct client numbers.
    num_neighbours
        Even number k, or one less than the clients for all pairs.
    rng
        Source of the seating.

    Returns
    -------
    dict
        ``{client: sorted neighbours}``. The relation is mutual and the graph connected.

    Raises
    ------
    TaskError
        If k is odd or above the number of others.
    """
    require_whole("num_neighbours", num_neighbours, at_least=1)
    n = len(clients)
    if num_neighbours >= n:
        raise TaskError(f"num_neighbours={num_neighbours}: each of {n} clients has {n - 1} others.")
    if num_neighbours == n - 1:
        return {c: tuple(sorted(other for other in clients if other != c)) for c in clients}
    if num_neighbours % 2:
        raise TaskError(f"num_neighbours={num_neighbours} must be even, half on either side.")
    order = rng.permutation(np.asarray(clients, np.int64))
    half = num_neighbours // 2
    steps = np.r_[-half:0, 1 : half + 1]
    seats = (np.arange(n)[:, None] + steps) % n
    return {int(order[seat]): tuple(sorted(order[seats[seat]].tolist())) for seat in range(n)}


@dataclass(frozen=True)
class GraphRisk:
    """Upper bounds on what can go wrong in one round; the graph is the only thing drawn.

    Attributes
    ----------
    lost_recovery
        Probability that some client has too few neighbours left to rebuild its secret: the round
        fails, and nothing leaks.
    exposed_secret
        Probability that some honest client has so many corrupt neighbours that they can rebuild
        its secrets: the server and they can read its vector.
    disconnected
        Probability that the honest clients that stay fall into groups with no mask between them:
        the server and the corrupt ones then learn the sum of each group.
    """

    lost_recovery: float
    exposed_secret: float
    disconnected: float


def graph_risk(
    num_clients: int,
    num_neighbours: int,
    num_shares_needed: int,
    corrupt: float,
    dropout: float,
) -> GraphRisk:
    """Bound the risks of a random ring by union bounds over clients and places.

    Parameters
    ----------
    num_clients
        Clients in the round (n).
    num_neighbours
        Neighbours of each (k).
    num_shares_needed
        Shares that rebuild a secret (t).
    corrupt
        Share of the clients that pass all they know to the server, from 0 to below 1.
    dropout
        Share of the clients that drop out, from 0 to below 1. Like the corrupt ones, they do not
        depend on the seating: a server that chose whom to cut off after it had drawn the seats is
        not covered.

    Returns
    -------
    GraphRisk
        Each at most 1.

    Raises
    ------
    TaskError
        If an argument is out of range.

    Notes
    -----
    A client's neighbours are k of the n - 1 others, so the number of dropped or corrupt ones among
    them is hypergeometric. Survivors stay connected unless the ring has two gaps of at least k/2
    seats in a row each; there are n(n - 1)/2 pairs of places where two such gaps can begin, and
    each pair is empty with probability prod_{i<k} (m - i)/(n - i) for m removed clients.
    """
    from scipy.stats import hypergeom

    require_whole("num_clients", num_clients, at_least=2)
    require_whole("num_neighbours", num_neighbours, at_least=1)
    require_whole("num_shares_needed", num_shares_needed, at_least=1)
    require_between("corrupt", corrupt, 0.0, 1.0)
    require_between("dropout", dropout, 0.0, 1.0)
    n, k, t = num_clients, num_neighbours, num_shares_needed
    if not t <= k < n:
        raise TaskError(f"num_shares_needed={t} <= num_neighbours={k} < num_clients={n} is needed.")
    # Fractions such as 0.1 * 30 must not round up to one client more.
    num_corrupt, num_dropped = (math.ceil(share * n - 1e-9) for share in (corrupt, dropout))
    too_few = hypergeom.sf(k - t, n - 1, min(num_dropped, n - 1), k)
    too_many = hypergeom.sf(t - 1, n - 1, min(num_corrupt, n - 1), k)
    removed = min(num_corrupt + num_dropped, n)
    return GraphRisk(
        lost_recovery=_at_most_one(n * float(too_few)),
        exposed_secret=_at_most_one(n * float(too_many)),
        disconnected=_two_gaps(n, k, removed),
    )


def choose_graph(
    num_clients: int,
    *,
    corrupt: float = 0.1,
    dropout: float = 0.1,
    privacy_bits: float = 40.0,
    recovery_bits: float = 20.0,
) -> SecureSettings:
    """Find the fewest neighbours that keep the risks of a round small.

    Parameters
    ----------
    num_clients, corrupt, dropout
        As for :func:`graph_risk`.
    privacy_bits
        ``exposed_secret`` and ``disconnected`` together stay below 2^-privacy_bits.
    recovery_bits
        ``lost_recovery`` stays below 2^-recovery_bits.

    Returns
    -------
    SecureSettings
        With ``num_neighbours`` and ``threshold`` set; all pairs where no sparse graph is good
        enough. Change the rest with :func:`dataclasses.replace`.

    Raises
    ------
    TaskError
        If not even all pairs can hold the risks: too many corrupt or dropping clients.
    """
    require_positive("privacy_bits", privacy_bits)
    require_positive("recovery_bits", recovery_bits)
    require_whole("num_clients", num_clients, at_least=2)
    others = num_clients - 1
    for k in [*range(2, others, 2), others]:
        for t in range(k // 2 + 1, k + 1):
            risk = graph_risk(num_clients, k, t, corrupt, dropout)
            private = risk.exposed_secret + risk.disconnected <= 2.0**-privacy_bits
            if private and risk.lost_recovery <= 2.0**-recovery_bits:
                return SecureSettings(num_neighbours=None if k == others else k, threshold=t / k)
    raise TaskError(
        f"With corrupt={corrupt} and dropout={dropout} of {num_clients} clients no threshold keeps "
        "the secrets and still recovers from the dropouts: the two shares must be below 1 together."
    )


def _two_gaps(n: int, k: int, removed: int) -> float:
    if k >= n - 1 or removed < k:
        return 0.0
    logarithm = math.log(n) + math.log(n - 1) - math.log(2)
    logarithm += sum(math.log(removed - i) - math.log(n - i) for i in range(k))
    return _at_most_one(math.exp(min(logarithm, 0.0)))


def _at_most_one(probability: float) -> float:
    return min(probability, 1.0)
