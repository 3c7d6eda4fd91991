"""Adding under homomorphic encryption: CKKS through TenSEAL (Microsoft SEAL).

The clients encrypt, the server adds ciphertexts with a context that holds no key, and who has the
secret key opens the sum. **Who can decrypt?** By default every client, for all share the secret
key: one client that colludes with the server opens everybody's vector, where masking still protects
all but the colluders. With ``public_key=True`` a key holder alone, who must be somebody else than
the server and is trusted by all.

Two more things to know. Ciphertexts are malleable: nothing in them notices a change on the way, so
the transport must. And whoever publishes decrypted sums in full precision publishes the noise in
them, which gives the key away (Li and Micciancio, *On the security of homomorphic encryption on
approximate numbers*, EUROCRYPT 2021): add noise to what leaves the key holders.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from helpers.errors import PrivacyError, TaskError
from helpers.federated.secure.quantisation import finite_vector
from helpers.federated.validation import require_positive, require_whole

# Most bits the coefficient modulus may have for 128 bits of security against classical attacks,
# with a ternary secret: Albrecht et al., *Homomorphic encryption security standard*,
# HomomorphicEncryption.org, 2018, table 1.
SECURITY_BOUND: Mapping[int, int] = MappingProxyType(
    {1024: 27, 2048: 54, 4096: 109, 8192: 218, 16384: 438, 32768: 881}
)
# Standard deviation of fresh noise in SEAL, the one the standard's table assumes.
_NOISE = 3.2
LARGEST_ERROR = 1e-5


@dataclass(frozen=True)
class CkksParameters:
    """Parameters of CKKS for sums; :meth:`problems` says what speaks against them.

    Attributes
    ----------
    poly_modulus_degree
        N: a ciphertext holds N / 2 values.
    coeff_modulus_bits
        Bits of the primes; the last one never carries data.
    scale_bits
        Values are multiplied by 2^scale_bits before they are rounded.
    public_key
        Encrypt with a public key, so that clients need no secret; it makes more noise.

    Raises
    ------
    TaskError
        If SEAL knows no such degree, or a number of bits is out of its range.
    """

    poly_modulus_degree: int
    coeff_modulus_bits: tuple[int, ...]
    scale_bits: int
    public_key: bool = False

    def __post_init__(self) -> None:
        if self.poly_modulus_degree not in SECURITY_BOUND:
            raise TaskError(
                f"poly_modulus_degree={self.poly_modulus_degree} must be one of "
                f"{', '.join(map(str, SECURITY_BOUND))}."
            )
        object.__setattr__(self, "coeff_modulus_bits", tuple(self.coeff_modulus_bits))
        if len(self.coeff_modulus_bits) < 2:
            raise TaskError("coeff_modulus_bits needs a prime for data and one for keys.")
        for bits in self.coeff_modulus_bits:
            require_whole("coeff_modulus_bits", bits, at_least=2)
        require_whole("scale_bits", self.scale_bits, at_least=1)

    @property
    def slots(self) -> int:
        """Values a ciphertext holds."""
        return self.poly_modulus_degree // 2

    @property
    def total_bits(self) -> int:
        """Bits of the whole modulus, which security is measured by."""
        return sum(self.coeff_modulus_bits)

    @property
    def data_bits(self) -> int:
        """Bits of the modulus that ciphertexts live in."""
        return sum(self.coeff_modulus_bits[:-1])

    @property
    def expected_error(self) -> float:
        """Standard deviation of a decrypted value of one fresh ciphertext.

        With the secret key each coefficient gets noise of 3.2 and is rounded. With a public key
        SEAL encrypts at the full modulus and divides by the last prime, and the rounding of that,
        times the ternary secret, is what remains. A value is the real part of a sum of N
        coefficients, over the scale.
        """
        degree = self.poly_modulus_degree
        variance = _NOISE**2 + 1 / 12
        if self.public_key:
            variance = (1 + 2 * degree / 3) / 12
        return math.sqrt(variance * degree / 2) / 2.0**self.scale_bits

    def problems(self, num_clients: int, largest_value: float) -> list[str]:
        """Say why these parameters should not add vectors of so many clients.

        Parameters
        ----------
        num_clients
            Vectors that are added.
        largest_value
            Largest absolute value in one.

        Returns
        -------
        list of str
            Each names the bound; empty if all is well.

        Raises
        ------
        TaskError
            If ``num_clients`` or ``largest_value`` is not positive.
        """
        require_whole("num_clients", num_clients, at_least=1)
        require_positive("largest_value", largest_value)
        found = []
        bound = SECURITY_BOUND[self.poly_modulus_degree]
        if self.total_bits > bound:
            found.append(
                f"not 128-bit secure: the modulus has {self.total_bits} bits, and the Homomorphic "
                f"Encryption Standard allows {bound} for poly_modulus_degree="
                f"{self.poly_modulus_degree}"
            )
        error = self.expected_error * math.sqrt(num_clients) / num_clients
        if self.expected_error > LARGEST_ERROR:
            found.append(
                f"not precise: scale_bits={self.scale_bits} leaves an error of about "
                f"{self.expected_error:.0e} in each vector ({error:.0e} in the mean), above "
                f"{LARGEST_ERROR:.0e}; raise scale_bits"
            )
        needed = self.scale_bits + math.ceil(math.log2(num_clients * largest_value + 1)) + 1
        if needed > self.data_bits:
            found.append(
                f"overflow: the sum needs {needed} bits (scale, value and sign) and the primes for "
                f"data have {self.data_bits}"
            )
        return found


PRESETS: Mapping[str, CkksParameters] = MappingProxyType(
    {
        "small": CkksParameters(4096, (36, 37), 24),
        "compact": CkksParameters(4096, (54, 55), 40),
        "roomy": CkksParameters(8192, (60, 60), 40),
    }
)
"""Sound parameters for sums: the smallest ciphertexts, the smallest ones precise to 1e-9, and the
same precision with room for sums up to half a million."""

OFTEN_COPIED = CkksParameters(4096, (40, 20, 40), 20, public_key=True)
"""Copied from tutorials that multiply. For sums it is secure, imprecise, and carries a prime for a
multiplication that never comes."""


@dataclass(frozen=True)
class CkksKeys:
    """The parts of the setup, as bytes, each for somebody else.

    Attributes
    ----------
    parameters
        As asked for.
    holder
        Context with the secret key, for who decrypts the sum.
    client
        What a client encrypts with: the same as ``holder``, or, with ``public_key``, a context
        with the public key alone.
    server
        Context without any key: enough to add.
    """

    parameters: CkksParameters
    holder: bytes
    client: bytes
    server: bytes


def make_keys(
    parameters: CkksParameters | str,
    *,
    num_clients: int,
    largest_value: float,
    allow_unsound: bool = False,
) -> CkksKeys:
    """Make a secret key, and contexts without what others should not have.

    No Galois or relinearisation keys are made: adding needs none, and they are megabytes.

    Parameters
    ----------
    parameters
        Parameters, or the name of one of :data:`PRESETS`.
    num_clients, largest_value
        What will be added.
    allow_unsound
        Make them although there are problems, to measure what those do.

    Raises
    ------
    TaskError
        If the parameters are not sound, saying which bound they break.
    """
    chosen = _named(parameters)
    problems = chosen.problems(num_clients, largest_value)
    if problems and not allow_unsound:
        raise TaskError(
            f"{chosen} is refused: {'; '.join(problems)}. Use one of {', '.join(PRESETS)}."
        )
    import tenseal

    kinds = tenseal.ENCRYPTION_TYPE
    try:
        context = tenseal.context(
            tenseal.SCHEME_TYPE.CKKS,
            poly_modulus_degree=chosen.poly_modulus_degree,
            coeff_mod_bit_sizes=list(chosen.coeff_modulus_bits),
            encryption_type=kinds.ASYMMETRIC if chosen.public_key else kinds.SYMMETRIC,
        )
    except ValueError as error:
        raise TaskError(f"SEAL refuses {chosen}: {error}") from error
    context.global_scale = 2.0**chosen.scale_bits

    def part(secret: bool, public: bool) -> bytes:
        saved: bytes = context.serialize(
            save_secret_key=secret,
            save_public_key=public and chosen.public_key,
            save_galois_keys=False,
            save_relin_keys=False,
        )
        return saved

    holder = part(secret=True, public=True)
    client = part(secret=False, public=True) if chosen.public_key else holder
    return CkksKeys(chosen, holder, client, server=part(secret=False, public=False))


def encrypt(keys: CkksKeys, vector: np.ndarray) -> list[bytes]:
    """Encrypt a vector ``(d,)`` in as many ciphertexts as hold it, serialised.

    Raises
    ------
    TaskError
        If the vector is not finite, or the key's context cannot be read.
    """
    import tenseal

    values, context, slots = finite_vector(vector), _context(keys.client), keys.parameters.slots
    return [
        tenseal.ckks_vector(context, values[at : at + slots]).serialize()
        for at in range(0, len(values), slots)
    ]


def add(server_context: bytes, vectors: Sequence[Sequence[bytes]]) -> list[bytes]:
    """Add encrypted vectors, with no key at all: what the server does.

    Raises
    ------
    TaskError
        If a ciphertext is malformed, or the vectors have different lengths.
    """
    if not vectors or len({len(chunks) for chunks in vectors}) != 1:
        lengths = sorted({len(chunks) for chunks in vectors})
        raise TaskError(f"Vectors of {lengths} ciphertexts cannot be added: one length is needed.")
    context = _context(server_context)
    totals = []
    for chunks in zip(*vectors, strict=True):
        total = _ciphertext(context, chunks[0])
        for raw in chunks[1:]:
            other = _ciphertext(context, raw)
            if other.size() != total.size():
                raise TaskError(f"A ciphertext holds {other.size()} values, not {total.size()}.")
            total += other
        totals.append(total.serialize())
    return totals


def decrypt(context: bytes, chunks: Sequence[bytes]) -> np.ndarray:
    """Decrypt a vector, float64 ``(d,)``.

    Raises
    ------
    PrivacyError
        If the context holds no secret key, as the server's does not.
    TaskError
        If a ciphertext is malformed.
    """
    opened = _context(context)
    if not opened.is_private():
        raise PrivacyError(
            "This context holds no secret key: the server can add ciphertexts and not open them. "
            "Send the sum to a client."
        )
    return np.concatenate([np.asarray(_ciphertext(opened, raw).decrypt()) for raw in chunks])


@dataclass(frozen=True, eq=False)
class CkksRound:
    """What came out of a round, and what it cost.

    Attributes
    ----------
    total
        Sum of the vectors, float64 ``(d,)``.
    largest_error, typical_error
        Largest absolute and root mean square error of the mean.
    bytes_up, bytes_down
        Bytes that one client sends, and receives back.
    encrypt_seconds, add_seconds, decrypt_seconds
        CPU seconds of one client, of the server for all, and of one client.
    key_bytes
        Bytes of the server's context and of a client's.
    """

    total: np.ndarray
    largest_error: float
    typical_error: float
    bytes_up: int
    bytes_down: int
    encrypt_seconds: float
    add_seconds: float
    decrypt_seconds: float
    key_bytes: tuple[int, int]


def ckks_sum(
    vectors: np.ndarray | Sequence[np.ndarray],
    parameters: CkksParameters | str = "compact",
    *,
    allow_unsound: bool = False,
) -> CkksRound:
    """Add vectors under encryption, and compare with their true sum.

    Parameters
    ----------
    vectors
        One for each client, real ``(n, d)``.
    parameters, allow_unsound
        As for :func:`make_keys`.

    Raises
    ------
    TaskError
        If the parameters are not sound, or a vector is not finite.
    """
    rows = [finite_vector(vector) for vector in vectors]
    largest = max(1e-9, *(float(np.abs(row).max()) for row in rows))
    keys = make_keys(
        parameters, num_clients=len(rows), largest_value=largest, allow_unsound=allow_unsound
    )
    start = time.process_time()
    sent = [encrypt(keys, row) for row in rows]
    encrypted = time.process_time()
    added = add(keys.server, sent)
    summed = time.process_time()
    total = decrypt(keys.holder, added)
    opened = time.process_time()
    error = (total - np.sum(rows, axis=0, dtype=np.float64)) / len(rows)
    return CkksRound(
        total=total,
        largest_error=float(np.abs(error).max()),
        typical_error=float(np.sqrt((error**2).mean())),
        bytes_up=sum(map(len, sent[0])),
        bytes_down=sum(map(len, added)),
        encrypt_seconds=(encrypted - start) / len(rows),
        add_seconds=summed - encrypted,
        decrypt_seconds=opened - summed,
        key_bytes=(len(keys.server), len(keys.client)),
    )


def _named(parameters: CkksParameters | str) -> CkksParameters:
    if isinstance(parameters, CkksParameters):
        return parameters
    if parameters not in PRESETS:
        raise TaskError(f"{parameters!r} is no preset: use one of {', '.join(PRESETS)}.")
    return PRESETS[parameters]


def _context(raw: bytes) -> Any:
    import tenseal

    try:
        return tenseal.context_from(raw)
    except (ValueError, RuntimeError, TypeError) as error:
        raise TaskError(f"{len(raw)} bytes are no CKKS context: {error}") from error


def _ciphertext(context: Any, raw: bytes) -> Any:
    import tenseal

    try:
        return tenseal.ckks_vector_from(context, raw)
    except (ValueError, RuntimeError, TypeError) as error:
        raise TaskError(f"{len(raw)} bytes are no ciphertext of this context: {error}") from error
