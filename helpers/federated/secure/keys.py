"""Keys, and what is derived from them: X25519, HKDF-SHA256, AES-256 in counter mode, an AEAD.

Every derived key is bound to its purpose, the round and the two clients, so that no key serves
twice. Keys are 256 bits from the curve to the stream: nothing on the way is shorter.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from helpers.errors import TaskError
from helpers.federated.secure.quantisation import reduce_words, word_type

KEY_BYTES = 32
TAG_BYTES = 16
Purpose = Literal["pairwise mask", "self mask", "share delivery"]
RandomBytes = Callable[[int], bytes]

# Encrypting zeros gives the key stream; this much at a time.
_BLOCK_BYTES = 1 << 16
_ZEROS = memoryview(bytes(_BLOCK_BYTES))
_DOMAIN = b"edge-ml-security/secure-aggregation/1/"


def teaching_bytes(seed: int, *stream: int) -> RandomBytes:
    """Return a source of reproducible bytes, for teaching and tests only.

    Who knows the seed knows every key: in production leave it out, and keys come from the
    operating system (``os.urandom``).
    """
    rng = np.random.default_rng([seed, *stream])
    return rng.bytes


@dataclass(frozen=True)
class KeyPair:
    """An X25519 key pair.

    Attributes
    ----------
    private, public
        32 bytes each.
    """

    private: bytes
    public: bytes

    @classmethod
    def new(cls, random_bytes: RandomBytes = os.urandom) -> KeyPair:
        """Make a pair from 32 random bytes."""
        return cls.of(random_bytes(KEY_BYTES))

    @classmethod
    def of(cls, private: bytes) -> KeyPair:
        """Return the pair of a private key."""
        key = X25519PrivateKey.from_private_bytes(private)
        return cls(private, key.public_key().public_bytes_raw())

    @cached_property
    def _key(self) -> X25519PrivateKey:
        return X25519PrivateKey.from_private_bytes(self.private)

    def exchange(self, other_public: bytes) -> bytes:
        """Return the X25519 secret with another public key; raise TaskError if that is none."""
        try:
            return self._key.exchange(X25519PublicKey.from_public_bytes(other_public))
        except ValueError as error:
            raise TaskError(f"A public key is not a usable X25519 key: {error}") from error


def shared_key(
    own: KeyPair,
    other_public: bytes,
    purpose: Purpose,
    round_number: int,
    first: int,
    second: int,
) -> bytes:
    """Agree on a 256-bit key with another client: HKDF-SHA256 of the X25519 secret.

    Parameters
    ----------
    own
        Own key pair.
    other_public
        The other's public key.
    purpose, round_number
        What the key is for; other uses give other keys.
    first, second
        The two clients: in ascending order where both need the same key, from sender to receiver
        where each direction has its own.

    Returns
    -------
    bytes
        32 bytes.

    Raises
    ------
    TaskError
        If the public key is not one, such as one of small order.
    """
    secret = own.exchange(other_public)
    return _derive(secret, purpose, round_number, first, second)


def _derive(secret: bytes, purpose: Purpose, round_number: int, first: int, second: int) -> bytes:
    info = _DOMAIN + purpose.encode() + struct.pack("<QQQ", round_number, first, second)
    return HKDF(hashes.SHA256(), KEY_BYTES, salt=None, info=info).derive(secret)


def self_mask_key(seed: bytes, round_number: int, client: int) -> bytes:
    """Return the key of a client's own mask from its 32-byte seed b_u."""
    return _derive(seed, "self mask", round_number, client, client)


def commitment(seed: bytes, round_number: int, client: int) -> bytes:
    """Return a hash that binds a client to its seed b_u, and hides it: 32 bytes."""
    bound = struct.pack("<QQ", round_number, client)
    return hashlib.sha256(_DOMAIN + b"commitment" + bound + seed).digest()


def expand(key: bytes, num_values: int, modulus_bits: int) -> np.ndarray:
    """Expand a key to a mask, uniform modulo 2^modulus_bits: the key stream of AES-256-CTR.

    Parameters
    ----------
    key
        32 bytes, used for this mask only (the counter starts at zero).
    num_values
        Length of the mask.
    modulus_bits
        From 1 to 64.

    Returns
    -------
    np.ndarray
        uint32 or uint64 ``(num_values,)``.
    """
    mask = np.zeros(num_values, word_type(modulus_bits))
    add_mask(mask, key)
    return reduce_words(mask, modulus_bits)


def add_mask(words: np.ndarray, key: bytes, *, subtract: bool = False) -> None:
    """Add the mask of a key to words ``(d,)``, or take it away, in place and without reducing.

    A block at a time, which stays in the processor's cache: no mask is ever stored as a whole.
    Reduce the words with :func:`reduce_words` when the last mask is in.
    """
    encryptor = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
    # The library asks for 15 bytes of room beyond the data.
    stream = np.empty(_BLOCK_BYTES + 16, np.uint8)
    length = _BLOCK_BYTES // words.itemsize
    for start in range(0, len(words), length):
        block = words[start : start + length]
        encryptor.update_into(_ZEROS[: block.nbytes], stream.data)
        mask = stream[: block.nbytes].view(words.dtype)
        (np.subtract if subtract else np.add)(block, mask, out=block)


def seal(key: bytes, plaintext: bytes, round_number: int, sender: int, receiver: int) -> bytes:
    """Encrypt and authenticate a message (ChaCha20-Poly1305) with a key used for it alone."""
    bound = struct.pack("<QQQ", round_number, sender, receiver)
    return ChaCha20Poly1305(key).encrypt(bytes(12), plaintext, bound)


def unseal(key: bytes, sealed: bytes, round_number: int, sender: int, receiver: int) -> bytes:
    """Decrypt what :func:`seal` made.

    Raises
    ------
    TaskError
        If it was changed, or made for another round, sender or receiver.
    """
    bound = struct.pack("<QQQ", round_number, sender, receiver)
    try:
        return ChaCha20Poly1305(key).decrypt(bytes(12), sealed, bound)
    except InvalidTag:
        raise TaskError(
            f"The shares from client {sender} for client {receiver} in round {round_number} are "
            "not authentic: they were changed on the way, or belong to another round or client."
        ) from None
