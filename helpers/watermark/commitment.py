"""A promise about a secret, made before the dispute, that shows nothing of the secret.

Whoever may choose a key after seeing the suspect can always find one that fits, if it is given time
enough. So the owner hands in a hash of the secret, of the scheme and of the marked model when the
model ships, and a third party signs it with the date. In court the secret must open that hash.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from helpers.errors import WatermarkError
from helpers.watermark.key import Key
from helpers.watermark.scheme import Scheme

_DOMAIN = b"edge-ml-security watermark commitment v1"


@dataclass(frozen=True)
class Commitment:
    """What the owner hands in: one hash over secret, scheme and marked model.

    Attributes
    ----------
    digest
        SHA-256, in hexadecimal digits. The secret's 256 random bits hide it.
    scheme
        Digest of the scheme's settings, public inputs included.
    model
        SHA-256 of the marked model as it ships.
    """

    digest: str
    scheme: str
    model: str


@dataclass(frozen=True)
class Entry:
    """One line of a notary's register.

    Attributes
    ----------
    number
        From 0.
    time
        When it was handed in, ISO 8601 in UTC.
    claimant
        Who handed it in. Whoever commits to many keys is held to have tried them all.
    digest
        Of the commitment.
    previous
        Hash of the entry before; zeros for the first.
    signature
        Of the notary, over all of the above, in hexadecimal digits.
    """

    number: int
    time: str
    claimant: str
    digest: str
    previous: str
    signature: str

    @property
    def hash(self) -> str:
        """SHA-256 of the entry, in hexadecimal digits."""
        return hashlib.sha256(_canonical(asdict(self))).hexdigest()


def commit(key: Key, scheme: Scheme, model: bytes) -> Commitment:
    """Commit to a secret, a scheme and a marked model.

    Parameters
    ----------
    key, scheme
        With which the model was marked.
    model
        The marked model as it ships: the bytes of the ``.tflite`` file.
    """
    settings, file = scheme_digest(scheme), hashlib.sha256(model).hexdigest()
    return Commitment(_digest(key, settings, file), settings, file)


def opens(key: Key, scheme: Scheme, commitment: Commitment) -> bool:
    """Say whether a secret and a scheme are those that were committed to."""
    digest = _digest(key, scheme_digest(scheme), commitment.model)
    return hmac.compare_digest(digest, commitment.digest)


def is_model_of(commitment: Commitment, model: bytes) -> bool:
    """Say whether a file is the marked model that was committed to.

    A suspect may be aligned with that model alone. Whoever may bring another one as the reference
    can write into it the order of a suspect's neurons that fits their key.
    """
    return hmac.compare_digest(hashlib.sha256(model).hexdigest(), commitment.model)


def _digest(key: Key, scheme: str, model: str) -> str:
    content = _canonical({"scheme": scheme, "model": model})
    # The secret itself, not a stream of it: no purpose of the key may ever equal the commitment.
    return hmac.new(key.secret, _DOMAIN + content, hashlib.sha256).hexdigest()


def scheme_digest(scheme: Scheme) -> str:
    """Return SHA-256 over a scheme's name and settings; arrays with shape, type and content."""
    settings = {name: _described(value) for name, value in sorted(vars(scheme).items())}
    return hashlib.sha256(_canonical({"name": scheme.name, **settings})).hexdigest()


def _described(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        held = np.ascontiguousarray(value)
        content = hashlib.sha256(held.tobytes()).hexdigest()
        return [str(held.dtype), list(held.shape), content]
    return value


def _canonical(content: dict[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


class Notary:
    """A third party that dates what it is handed, in a chain that shows any later change.

    Parameters
    ----------
    private_key
        Of Ed25519; a new one if None.

    References
    ----------
    Haber and Stornetta, *How to time-stamp a digital document*, Journal of Cryptology 3, 1991. A
    public time-stamping authority does the same over RFC 3161.
    """

    def __init__(self, private_key: Ed25519PrivateKey | None = None) -> None:
        self._private = private_key or Ed25519PrivateKey.generate()
        self._entries: list[Entry] = []

    @property
    def public_key(self) -> bytes:
        """The 32 bytes that everybody checks entries with."""
        return self._private.public_key().public_bytes_raw()

    @property
    def register(self) -> tuple[Entry, ...]:
        """All entries so far."""
        return tuple(self._entries)

    def enter(
        self, claimant: str, commitment: Commitment, time: datetime.datetime | None = None
    ) -> Entry:
        """Date a claimant's commitment; ``time`` with a zone, now if None.

        Raises
        ------
        WatermarkError
            If the time has no zone or lies before the last entry's.
        """
        moment = time or datetime.datetime.now(datetime.UTC)
        if moment.tzinfo is None:
            raise WatermarkError(f"{moment} has no time zone: give one, such as datetime.UTC.")
        stamp = moment.astimezone(datetime.UTC).isoformat()
        if self._entries and moment < moment_of(self._entries[-1].time):
            raise WatermarkError(f"{stamp} lies before the last entry, {self._entries[-1].time}.")
        previous = self._entries[-1].hash if self._entries else "0" * 64
        body = {
            "number": len(self._entries),
            "time": stamp,
            "claimant": claimant,
            "digest": commitment.digest,
            "previous": previous,
        }
        signature = self._private.sign(_DOMAIN + _canonical(body)).hex()
        entry = Entry(**body, signature=signature)  # type: ignore[arg-type]
        self._entries.append(entry)
        return entry


def check_register(register: tuple[Entry, ...], public_key: bytes) -> None:
    """Check every signature, number, date and link of a register.

    Entries missing at the end leave no trace, and with them the keys that a claimant had tried:
    take the register from the notary, never from a party.

    Raises
    ------
    WatermarkError
        Naming the first entry that is wrong, or if the key is no Ed25519 key.
    """
    try:
        public = Ed25519PublicKey.from_public_bytes(public_key)
    except (ValueError, TypeError) as error:
        raise WatermarkError("The notary's public key must be 32 bytes of Ed25519.") from error
    previous, last = "0" * 64, None
    for number, entry in enumerate(register):
        body = asdict(entry)
        signature = body.pop("signature")
        try:
            public.verify(bytes.fromhex(signature), _DOMAIN + _canonical(body))
        except (InvalidSignature, ValueError, TypeError) as error:
            raise WatermarkError(f"Entry {number} is not signed by this notary.") from error
        if entry.number != number or entry.previous != previous:
            raise WatermarkError(f"Entry {number} does not follow the one before it.")
        moment = moment_of(entry.time)
        if last is not None and moment < last:
            raise WatermarkError(f"Entry {number} is dated before the one before it.")
        previous, last = entry.hash, moment


def find_entry(claimant: str, commitment: Commitment, register: tuple[Entry, ...]) -> Entry | None:
    """Return the first entry of a claimant's commitment, or None."""
    for entry in register:
        if (entry.claimant, entry.digest) == (claimant, commitment.digest):
            return entry
    return None


def commitments_of(claimant: str, register: tuple[Entry, ...]) -> int:
    """Count the different commitments that a claimant has handed in.

    A claimant under ten names is counted as ten: it is the notary who has to know whom they serve.
    """
    return len({entry.digest for entry in register if entry.claimant == claimant})


def moment_of(stamp: str) -> datetime.datetime:
    """Read an entry's time.

    Raises
    ------
    WatermarkError
        If it is no ISO 8601 date with a time zone.
    """
    try:
        moment = datetime.datetime.fromisoformat(stamp)
    except (ValueError, TypeError) as error:
        raise WatermarkError(f"{stamp!r} is no date in ISO 8601.") from error
    if moment.tzinfo is None:
        raise WatermarkError(f"{stamp!r} has no time zone.")
    return moment
