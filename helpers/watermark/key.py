"""The owner's secret, and everything that a mark draws from it.

A mark whose projections or triggers may be *chosen* proves nothing: anyone can choose some that fit
a model which is already there. Here the owner keeps 32 random bytes and nothing else. Every sign,
label and place of a mark is the output of a pseudorandom function of those bytes, so that whoever
wants a key that fits a given model has to try one after another.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from helpers.errors import WatermarkError

_DOMAIN = b"edge-ml-security watermark key v1"
SECRET_BYTES = 32


@dataclass(frozen=True)
class Key:
    """A secret of 32 bytes, and a stream of pseudorandom numbers for each purpose.

    Two purposes give independent streams, and none gives the secret away. A stream depends on no
    library's random generator, so that a mark of today can be read in twenty years.

    Attributes
    ----------
    secret
        Exactly 32 bytes. Draw them with :meth:`fresh`; a password is no secret of this kind.

    Raises
    ------
    WatermarkError
        If the secret has another length.

    References
    ----------
    Krawczyk, Bellare and Canetti, *HMAC: keyed-hashing for message authentication*, RFC 2104, 1997.
    SHAKE256: *SHA-3 standard*, NIST FIPS 202, 2015.
    """

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.secret, bytes) or len(self.secret) != SECRET_BYTES:
            found = len(self.secret) if isinstance(self.secret, bytes) else type(self.secret)
            raise WatermarkError(
                f"A secret is {SECRET_BYTES} bytes, this one is {found}: draw it with Key.fresh()."
            )

    @classmethod
    def fresh(cls) -> Key:
        """Draw a key from the operating system's entropy."""
        return cls(secrets.token_bytes(SECRET_BYTES))

    def child(self, purpose: str) -> Key:
        """Return the key that this one gives for a purpose, independent of all others."""
        return Key(hmac.new(self.secret, _DOMAIN + purpose.encode(), hashlib.sha256).digest())

    def stream(self, purpose: str, size: int) -> bytes:
        """Return ``size`` pseudorandom bytes for a purpose."""
        return hashlib.shake_256(self.child(purpose).secret).digest(size)

    def bits(self, purpose: str, count: int) -> NDArray[np.bool_]:
        """Return ``count`` fair coins, bool."""
        drawn = np.frombuffer(self.stream(purpose, math.ceil(count / 8)), np.uint8)
        return np.unpackbits(drawn)[:count].astype(bool)

    def signs(self, purpose: str, shape: Sequence[int]) -> NDArray[np.float32]:
        """Return an array of fair -1 and +1, float32."""
        coins = self.bits(purpose, math.prod(shape))
        return np.where(coins, np.float32(1), np.float32(-1)).reshape(tuple(shape))

    def uniform(self, purpose: str, shape: Sequence[int]) -> NDArray[np.float64]:
        """Return an array of uniform numbers in [0, 1), float64."""
        words = np.frombuffer(self.stream(purpose, 8 * math.prod(shape)), "<u8")
        return ((words >> 11) * 2.0**-53).reshape(tuple(shape))

    def integers(self, purpose: str, below: int, count: int) -> NDArray[np.int64]:
        """Return ``count`` integers from 0 to ``below - 1``; their bias is under 1e-15."""
        return (self.uniform(purpose, (count,)) * below).astype(np.int64)
