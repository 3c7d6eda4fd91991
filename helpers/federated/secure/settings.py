"""What everyone in a secure aggregation agrees on beforehand, and the plan that follows from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from helpers.errors import PrivacyError, TaskError
from helpers.federated.validation import require_enough_clients, require_positive, require_whole

Rounding = Literal["nearest", "stochastic"]

# Masks are drawn as 32- or 64-bit words, so a modulus beyond 64 bits has no word to live in.
LARGEST_MODULUS_BITS = 64
LARGEST_VALUE_BITS = 32
LARGEST_NUM_CLIENTS = 1 << 20


@dataclass(frozen=True)
class SecureSettings:
    """Settings of secure aggregation by masking, known to every client and to the server.

    Attributes
    ----------
    clip
        Values are clipped to [-clip, clip] before they are quantised.
    value_bits
        Bits a client's value is quantised to, from 2 to 32: 2^value_bits - 1 equal steps.
    num_neighbours
        Clients that each client shares masks and key shares with (k, even); None, or as many as
        there are others, is all of them (Bonawitz et al. 2017). Fewer is the sparse graph of Bell
        et al. (2020); :func:`choose_graph` finds a number with a stated risk.
    threshold
        Share of its neighbours that must answer before a client's secret can be rebuilt: above
        one half, so that no secret of both kinds can be had from disjoint halves.
    min_survivors
        Fewest clients whose vectors may be added up; None is more than half of those that started.
    rounding
        ``"nearest"``, or ``"stochastic"``, which is unbiased.
    guard_bits
        Bits of the modulus beyond what the sum needs, at least: a sum of masks that do not cancel
        then falls outside the valid range in some coordinate, and the server notices.
    modulus_bits
        The modulus is 2^modulus_bits. None takes the bits that are needed, rounded up to bytes.

    Raises
    ------
    TaskError
        If a setting is out of range.

    References
    ----------
    Bonawitz et al., *Practical secure aggregation for privacy-preserving machine learning*,
    CCS 2017. Bell et al., *Secure single-server aggregation with (poly)logarithmic overhead*,
    CCS 2020.
    """

    clip: float = 1.0
    value_bits: int = 16
    num_neighbours: int | None = None
    threshold: float = 2 / 3
    min_survivors: int | None = None
    rounding: Rounding = "nearest"
    guard_bits: int = 2
    modulus_bits: int | None = None

    def __post_init__(self) -> None:
        require_positive("clip", self.clip)
        require_whole("value_bits", self.value_bits, at_least=2)
        if self.value_bits > LARGEST_VALUE_BITS:
            raise TaskError(f"value_bits={self.value_bits} must be at most {LARGEST_VALUE_BITS}.")
        if self.num_neighbours is not None:
            require_whole("num_neighbours", self.num_neighbours, at_least=2)
            if self.num_neighbours % 2:
                raise TaskError(
                    f"num_neighbours={self.num_neighbours} must be even: half of a client's "
                    "neighbours stand on each side of it."
                )
        if not 0.5 < self.threshold <= 1:
            raise TaskError(
                f"threshold={self.threshold!r} must be above 0.5 and at most 1: with half of the "
                "neighbours or fewer, two halves could give away both secrets of one client."
            )
        if self.min_survivors is not None:
            require_whole("min_survivors", self.min_survivors, at_least=2)
        if self.rounding not in ("nearest", "stochastic"):
            raise TaskError(f'rounding={self.rounding!r} must be "nearest" or "stochastic".')
        require_whole("guard_bits", self.guard_bits, at_least=0)
        if self.modulus_bits is not None:
            require_whole("modulus_bits", self.modulus_bits, at_least=1)

    @property
    def largest_value(self) -> int:
        """Largest quantised value of one client, 2^value_bits - 1; the smallest is 0."""
        return (1 << self.value_bits) - 1

    @property
    def step(self) -> float:
        """Distance of two neighbouring quantised values, in units of the vector."""
        return 2 * self.clip / self.largest_value

    @property
    def error_bound(self) -> float:
        """Largest error of one client's value, and of the mean, for values within the clip."""
        return self.step if self.rounding == "stochastic" else self.step / 2

    def plan(self, num_clients: int) -> Plan:
        """Work out what a round of so many clients needs.

        Raises
        ------
        TaskError
            If the sum could wrap around the modulus, or there are too few or too many clients.
        """
        require_whole("num_clients", num_clients, at_least=2)
        if num_clients > LARGEST_NUM_CLIENTS:
            raise TaskError(f"num_clients={num_clients} must be at most {LARGEST_NUM_CLIENTS}.")
        needed = (num_clients * self.largest_value).bit_length()
        bits = self._modulus_bits(needed, num_clients)
        others = num_clients - 1
        neighbours = others if self.num_neighbours is None else min(self.num_neighbours, others)
        survivors = num_clients // 2 + 1 if self.min_survivors is None else self.min_survivors
        require_enough_clients("min_survivors", survivors, num_clients)
        return Plan(
            num_clients=num_clients,
            num_neighbours=neighbours,
            # Rounded against binary fractions: 2/3 of 9 is 6, not 7.
            num_shares_needed=max(
                neighbours // 2 + 1, math.ceil(self.threshold * neighbours - 1e-9)
            ),
            min_survivors=survivors,
            modulus_bits=bits,
            largest_sum=num_clients * self.largest_value,
        )

    def _modulus_bits(self, needed: int, num_clients: int) -> int:
        least = needed + self.guard_bits
        bits = 8 * math.ceil(least / 8) if self.modulus_bits is None else self.modulus_bits
        if bits < needed:
            raise TaskError(
                f"modulus_bits={bits} would wrap around: the sum of {num_clients} values of "
                f"{self.value_bits} bits needs {needed} bits. Raise modulus_bits, or lower "
                "value_bits."
            )
        if bits > LARGEST_MODULUS_BITS:
            raise TaskError(
                f"The modulus needs {bits} bits and may have {LARGEST_MODULUS_BITS}: lower "
                f"value_bits={self.value_bits} or guard_bits={self.guard_bits}."
            )
        return bits


@dataclass(frozen=True)
class Plan:
    """What a round of a known number of clients needs; made by :meth:`SecureSettings.plan`.

    Attributes
    ----------
    num_clients
        Clients that started the round.
    num_neighbours
        Neighbours of each (k).
    num_shares_needed
        Shares that rebuild a secret (t), of k; more than half.
    min_survivors
        Fewest clients whose vectors may be added up.
    modulus_bits
        Vectors are added modulo 2^modulus_bits.
    largest_sum
        Largest sum of honest quantised values; it is below the modulus.
    """

    num_clients: int
    num_neighbours: int
    num_shares_needed: int
    min_survivors: int
    modulus_bits: int
    largest_sum: int

    @property
    def bytes_per_value(self) -> int:
        """Bytes a masked value takes on the network."""
        return math.ceil(self.modulus_bits / 8)

    def require_survivors(self, count: int) -> None:
        """Raise PrivacyError if so few vectors would be added that the sum says too much."""
        if count < self.min_survivors:
            raise PrivacyError(
                f"{count} of {self.num_clients} clients are left and min_survivors="
                f"{self.min_survivors}: a sum of so few would say too much about each. Start the "
                "round again with more clients."
            )
