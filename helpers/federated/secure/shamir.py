"""Shamir's secret sharing: any t of n shares rebuild a secret, fewer say nothing about it.

The secret is the value at 0 of a random polynomial of degree t - 1 over a prime field; a share is
its value elsewhere. Shamir, *How to share a secret*, Communications of the ACM, 1979.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from helpers.errors import TaskError
from helpers.federated.validation import require_whole

# The smallest prime above 2^256 (tests check it): every 32-byte secret is an element of the field.
PRIME = (1 << 256) + 297
SECRET_BYTES = 32
SHARE_BYTES = 33

RandomBytes = Callable[[int], bytes]


def split(
    secret: bytes, threshold: int, points: Sequence[int], random_bytes: RandomBytes
) -> dict[int, bytes]:
    """Split a secret into one share for each point.

    Parameters
    ----------
    secret
        32 bytes.
    threshold
        Shares that rebuild it (t), from 1 to the number of points.
    points
        Where the polynomial is evaluated: distinct whole numbers from 1.
    random_bytes
        Returns that many uniform bytes, such as ``os.urandom``.

    Returns
    -------
    dict
        ``{point: share}``, 33 bytes each.

    Raises
    ------
    TaskError
        If an argument does not fit.
    """
    if len(secret) != SECRET_BYTES:
        raise TaskError(f"The secret has {len(secret)} bytes; {SECRET_BYTES} are needed.")
    require_whole("threshold", threshold, at_least=1)
    if threshold > len(points):
        raise TaskError(f"threshold={threshold} of {len(points)} shares could never be reached.")
    _require_points(points)
    coefficients = [_element(random_bytes) for _ in range(threshold - 1)]
    coefficients.append(int.from_bytes(secret, "little"))
    shares = {}
    for x in points:
        # Points are small, so the reduction can wait until the end of Horner's rule.
        value = 0
        for coefficient in coefficients:
            value = value * x + coefficient
        shares[x] = (value % PRIME).to_bytes(SHARE_BYTES, "little")
    return shares


def combine(shares: Mapping[int, bytes]) -> bytes:
    """Rebuild a secret.

    Parameters
    ----------
    shares
        ``{point: share}``, exactly as many as the threshold it was split with. Fewer, or a false
        one, give another secret without notice: compare with a public key or a commitment.

    Returns
    -------
    bytes
        32 bytes.

    Raises
    ------
    TaskError
        If a share is not one, or the result is not a 32-byte secret.
    """
    weights = _lagrange_at_zero(tuple(shares))
    total = 0
    for weight, (x, share) in zip(weights, shares.items(), strict=True):
        value = int.from_bytes(share, "little")
        if len(share) != SHARE_BYTES or value >= PRIME:
            raise TaskError(
                f"The share of point {x} is not one: {SHARE_BYTES} bytes below the prime are "
                f"needed, it has {len(share)}."
            )
        total += weight * value
    secret = total % PRIME
    if secret >> (8 * SECRET_BYTES):
        raise TaskError("The shares do not belong together: they rebuild no 32-byte secret.")
    return secret.to_bytes(SECRET_BYTES, "little")


@lru_cache(maxsize=4096)
def _lagrange_at_zero(points: tuple[int, ...]) -> tuple[int, ...]:
    """Return the weights of the shares at these points: the same for every secret of a group."""
    if not points:
        raise TaskError("There are no shares to combine.")
    _require_points(points)
    whole = 1
    for x in points:
        whole *= x
    denominators = []
    for x in points:
        # The product of all others, over the product of the differences: whole / x / prod(y - x).
        value = x
        for y in points:
            if y != x:
                value *= y - x
        denominators.append(value % PRIME)
    return tuple(whole * inverse % PRIME for inverse in _inverses(denominators))


def _inverses(values: Sequence[int]) -> list[int]:
    """Invert many elements with one inversion (Montgomery's trick)."""
    products = [1]
    for value in values:
        products.append(products[-1] * value % PRIME)
    inverse = pow(products[-1], -1, PRIME)
    found = []
    for value, before in zip(reversed(values), reversed(products[:-1]), strict=True):
        found.append(inverse * before % PRIME)
        inverse = inverse * value % PRIME
    return found[::-1]


def _element(random_bytes: RandomBytes) -> int:
    """Draw a uniform element of the field, by rejection."""
    while True:
        drawn = int.from_bytes(random_bytes(SHARE_BYTES), "little") >> (8 * SHARE_BYTES - 257)
        if drawn < PRIME:
            return drawn


def _require_points(points: Sequence[int]) -> None:
    if len(set(points)) != len(points) or min(points) < 1 or max(points) >= 1 << 32:
        raise TaskError(
            f"points={list(points)} must be distinct whole numbers from 1: the value at 0 is the "
            "secret itself."
        )
