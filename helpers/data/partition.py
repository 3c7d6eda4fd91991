"""Ways to divide examples among clients: at random, by a Dirichlet law, by a feature, by site.

A partition is a list with one int64 array of indices a client. It is disjoint and complete:
every example belongs to exactly one client.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from helpers.errors import DataError

_MAX_DRAWS = 1_000


def iid(labels: np.ndarray, num_clients: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Deal the examples out at random, in parts whose sizes differ by one at most.

    Parameters
    ----------
    labels : numpy.ndarray
        integers ``(n,)``; only their number matters.
    num_clients : int
        Between 1 and n.
    rng : numpy.random.Generator
        Source of all randomness.

    Returns
    -------
    list of numpy.ndarray
        int64 indices, sorted within a client.

    Raises
    ------
    DataError
        If there are more clients than examples.
    """
    labels = _checked(labels, num_clients, min_examples=1)
    order = rng.permutation(len(labels))
    return [np.sort(part) for part in np.array_split(order, num_clients)]


def dirichlet(
    labels: np.ndarray,
    num_clients: int,
    alpha: float,
    rng: np.random.Generator,
    min_examples: int = 1,
    equal_sizes: bool = False,
) -> list[np.ndarray]:
    """Give every client its own mix of classes, drawn from a Dirichlet law.

    Small `alpha`: a client sees few classes. Large `alpha`: every client sees the same mix. Two
    forms are in use:

    - By class (default; Yurochkin et al. 2019, section 4): the examples of each class are
      divided by shares drawn from ``Dir(alpha, ..., alpha)`` over the *clients*. Clients differ
      in their classes and in how many examples they hold, as devices do.
    - By client (`equal_sizes`; Hsu et al. 2019, section 3): each client draws its class
      proportions from ``Dir(alpha * p)``, with p the proportions of the whole, and takes its
      examples accordingly without replacement; a class that runs out is left out of later
      draws. All clients hold the same number, give or take one.

    The two alphas are not on one scale: p sums to 1, so Hsu's alpha of 1 over ten equal classes
    is a concentration of 0.1 a class.

    Parameters
    ----------
    labels : numpy.ndarray
        integers ``(n,)``.
    num_clients : int
        Between 1 and n.
    alpha : float
        Concentration, above 0.
    rng : numpy.random.Generator
        Source of all randomness.
    min_examples : int
        The fewest examples any client may hold. Divisions that break this are drawn again.
    equal_sizes : bool
        Whether to use the form by client.

    Returns
    -------
    list of numpy.ndarray
        int64 indices, sorted within a client.

    Raises
    ------
    DataError
        If `alpha` is not positive and finite, or `min_examples` cannot be met.

    References
    ----------
    T.-M. H. Hsu, H. Qi, M. Brown (2019). Measuring the effects of non-identical data
    distribution for federated visual classification. arXiv:1909.06335.

    M. Yurochkin et al. (2019). Bayesian nonparametric federated learning of neural networks.
    ICML. arXiv:1905.12022.
    """
    labels = _checked(labels, num_clients, min_examples)
    if not (np.isfinite(alpha) and alpha > 0):
        raise DataError(f"alpha is {alpha}; it must be a positive finite number.")
    if equal_sizes:
        return _by_client(labels, num_clients, alpha, rng)
    for _ in range(_MAX_DRAWS):
        parts = _by_class(labels, num_clients, alpha, rng)
        if min(len(part) for part in parts) >= min_examples:
            return parts
    raise DataError(
        f"None of {_MAX_DRAWS:,} draws gave each of {num_clients} clients {min_examples} of the "
        f"{len(labels):,} examples at alpha={alpha:g}; raise alpha, or lower num_clients or "
        "min_examples, or set equal_sizes=True."
    )


def by_feature(
    values: np.ndarray,
    shares: Sequence[float],
    rng: np.random.Generator,
    overlap: float = 0.0,
) -> list[np.ndarray]:
    """Give every client its own range of one feature, as hospitals differ in their case mix.

    A screening centre sees small tumours, a referral centre large ones. The examples are put in
    order of `values` and cut into consecutive parts of the given sizes, so client 0 holds the
    lowest values and the last client the highest. With an `overlap` the ranges blur: the order is
    that of ``rank / n + overlap * z`` with z standard normal, so that 0 cuts cleanly, 0.2 leaves
    neighbours mixed, and a large overlap deals the examples out at random.

    Nothing about the labels enters. Classes differ between clients as far as the feature tells
    them apart; :func:`helpers.data.heterogeneity.measure` says how far that is.

    Parameters
    ----------
    values : numpy.ndarray
        ``(n,)``, the feature by which clients differ: finite numbers in any unit.
    shares : sequence of float
        One part a client of the whole, above 0; they are divided by their sum.
    rng : numpy.random.Generator
        Source of all randomness: ties and the overlap.
    overlap : float
        Standard deviation of the blur, in shares of the whole; at least 0.

    Returns
    -------
    list of numpy.ndarray
        int64 indices, sorted within a client; sizes are those of `shares`, rounded.

    Raises
    ------
    DataError
        If `values`, `shares` or `overlap` are out of range, or a client would be empty.
    """
    values = np.asarray(values)
    if values.ndim != 1 or values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        raise DataError(
            f"values is {values.dtype} {values.shape}; it must be finite numbers (n,), one an "
            "example."
        )
    if not (np.isfinite(overlap) and overlap >= 0):
        raise DataError(f"overlap is {overlap}; it must be a finite number of at least 0.")
    ends = _ends_of(shares, len(values))
    shuffled = rng.permutation(len(values))  # so that ties fall by chance, not by row number
    order = shuffled[np.argsort(values[shuffled], kind="stable")]
    places = (np.arange(len(values)) + 0.5) / max(len(values), 1)
    blurred = places + overlap * rng.standard_normal(len(values))
    order = order[np.argsort(blurred, kind="stable")]
    return [np.sort(part).astype(np.int64) for part in np.split(order, ends[:-1])]


def by_site(sites: Sequence[object] | np.ndarray) -> list[np.ndarray]:
    """Give each site (hospital, user, device) its own examples.

    Parameters
    ----------
    sites : sequence
        ``(n,)``, the site each example comes from: strings or integers.

    Returns
    -------
    list of numpy.ndarray
        int64 indices, one array a site, in the order of ``numpy.unique(sites)``.

    Raises
    ------
    DataError
        If `sites` is empty or not one-dimensional.
    """
    values = np.asarray(sites)
    if values.ndim != 1 or values.size == 0:
        raise DataError(f"sites has shape {values.shape}; it must be (n,) with n > 0.")
    names, site_of = np.unique(values, return_inverse=True)
    return [np.flatnonzero(site_of == site).astype(np.int64) for site in range(len(names))]


def counts(labels: np.ndarray, parts: Sequence[np.ndarray], num_classes: int) -> np.ndarray:
    """Count who holds what.

    Parameters
    ----------
    labels : numpy.ndarray
        integers ``(n,)`` in ``0 .. num_classes - 1``.
    parts : sequence of numpy.ndarray
        A partition.
    num_classes : int
        How many classes there are.

    Returns
    -------
    numpy.ndarray
        int64 ``(num_clients, num_classes)``: examples of each class that each client holds.

    Raises
    ------
    DataError
        If a label is outside the classes.
    """
    labels = np.asarray(labels)
    if labels.size and (labels.min() < 0 or labels.max() >= num_classes):
        raise DataError(
            f"labels span {labels.min()}..{labels.max()}; {num_classes} classes allow "
            f"0..{num_classes - 1}."
        )
    rows = [np.bincount(labels[part], minlength=num_classes) for part in parts]
    return np.array(rows, dtype=np.int64).reshape(len(parts), num_classes)


def _checked(labels: np.ndarray, num_clients: int, min_examples: int) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(f"labels is {labels.dtype} {labels.shape}; it must be integers (n,).")
    if num_clients < 1 or min_examples < 0:
        raise DataError(
            f"num_clients is {num_clients} and min_examples {min_examples}; the first must be at "
            "least 1, the second at least 0."
        )
    needed = num_clients * max(min_examples, 1)
    if needed > len(labels):
        raise DataError(
            f"{num_clients} clients with {max(min_examples, 1)} examples each need {needed:,}; "
            f"there are {len(labels):,}. Ask for fewer clients or fewer examples."
        )
    return labels


def _ends_of(shares: Sequence[float], num_examples: int) -> np.ndarray:
    """Return where each client's part ends when `num_examples` are cut by `shares`."""
    parts = np.asarray(shares, dtype=float)
    if parts.ndim != 1 or parts.size == 0 or not np.isfinite(parts).all() or parts.min() <= 0:
        raise DataError(f"shares is {shares!r}; it must hold one positive number a client.")
    ends = np.rint(np.cumsum(parts) / parts.sum() * num_examples).astype(np.int64)
    if np.diff(ends, prepend=0).min() < 1:
        raise DataError(
            f"shares {shares!r} leave a client of {num_examples:,} examples with none; ask for "
            "fewer clients or raise the smallest share."
        )
    return ends


def _by_class(
    labels: np.ndarray, num_clients: int, alpha: float, rng: np.random.Generator
) -> list[np.ndarray]:
    owner = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        shares = rng.dirichlet(np.full(num_clients, alpha))
        ends = np.rint(np.cumsum(shares) * len(members)).astype(np.int64)
        ends[-1] = len(members)  # the shares sum to 1 only up to rounding
        owner[members] = np.repeat(np.arange(num_clients), np.diff(ends, prepend=0))
    return [np.flatnonzero(owner == client) for client in range(num_clients)]


def _by_client(
    labels: np.ndarray, num_clients: int, alpha: float, rng: np.random.Generator
) -> list[np.ndarray]:
    names, class_of = np.unique(labels, return_inverse=True)
    pools = [rng.permutation(np.flatnonzero(class_of == k)) for k in range(len(names))]
    left = np.array([len(pool) for pool in pools])
    prior = left / left.sum()
    sizes = [len(part) for part in np.array_split(np.arange(len(labels)), num_clients)]
    parts = []
    for size in sizes:
        wanted = _draw_counts(size, rng.dirichlet(alpha * prior), left, rng)
        taken = [pool[n - w : n] for pool, n, w in zip(pools, left, wanted, strict=True)]
        parts.append(np.sort(np.concatenate(taken)))
        left = left - wanted
    return parts


def _draw_counts(
    size: int, proportions: np.ndarray, left: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw how many of each class to take: `size` in all, never more than is left of one."""
    taken = np.zeros_like(left)
    while (missing := size - int(taken.sum())) > 0:
        weights = np.where(taken < left, proportions, 0.0)
        if weights.sum() <= 0:  # the client's classes have run out: take of what there is
            weights = (left - taken).astype(float)
        draw = rng.multinomial(missing, weights / weights.sum())
        taken = np.minimum(taken + draw, left)
    return taken
