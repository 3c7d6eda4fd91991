"""Who may do what at the gateway: decided anew on every request."""

from __future__ import annotations

import datetime
import hmac
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from helpers.federated.deployment.layout import Layout

# Traffic that a node may cause, in largest messages: at once, and a second in the long run.
_BURST, _RATE = 20.0, 5.0
# Likewise in requests. A node that works makes some 25 a round, and looks 20 times a second.
_REQUESTS_BURST, _REQUESTS_RATE = 1_000.0, 200.0
_NEVER = datetime.datetime.min.replace(tzinfo=datetime.UTC)


@dataclass(frozen=True)
class Caller:
    """Who stands behind a connection.

    Attributes
    ----------
    name
        The name in the certificate.
    serial
        Its serial number.
    not_after
        End of its validity.
    """

    name: str
    serial: int
    not_after: datetime.datetime


class Allowance:
    """So much at once, so much a second in the long run, for each name apart (a leaky bucket).

    Parameters
    ----------
    burst
        Largest amount at once.
    rate
        Amount a second that is forgiven.
    """

    def __init__(self, burst: float, rate: float) -> None:
        self._burst, self._rate = burst, rate
        self._spent: dict[str, tuple[float, float]] = {}

    def covers(self, name: str, amount: float) -> bool:
        """Charge an amount to a name, and say whether it still keeps to its allowance."""
        now = time.monotonic()
        at, spent = self._spent.get(name, (now, 0.0))
        spent = max(0.0, spent - (now - at) * self._rate) + amount
        self._spent[name] = (now, min(spent, self._burst))
        return spent <= self._burst


class Policy:
    """Decides on each request by what the server knows at that moment.

    Parameters
    ----------
    layout
        Folder with the revocation list and the members' public keys; both are read again when
        they change, so that a revocation works at once.
    max_message_bytes
        Largest message; sets the traffic limit.
    """

    def __init__(self, layout: Layout, max_message_bytes: int) -> None:
        self._layout = layout
        self._read_at: dict[Path, int] = {}
        self._revoked: frozenset[int] = frozenset()
        self._crl_until = _NEVER
        self._crl_number = 0
        self._keys: dict[str, bytes] = {}
        self._bytes = Allowance(_BURST * max_message_bytes, _RATE * max_message_bytes)
        self._requests = Allowance(_REQUESTS_BURST, _REQUESTS_RATE)

    def refusal(self, caller: Caller, public_key: bytes, size: int = 0) -> str:
        """Return why a request is refused, or an empty string.

        Parameters
        ----------
        caller
            Who sent it, by the certificate.
        public_key
            Key with which the node authenticates itself to Flower, PEM.
        size
            Bytes of the request.
        """
        try:
            self._refresh()
        except (OSError, ValueError):
            return "the revocation list cannot be read"
        now = datetime.datetime.now(datetime.UTC)
        if now > self._crl_until:
            return "the revocation list is overdue"
        if caller.serial in self._revoked:
            return "certificate revoked"
        if now > caller.not_after:
            return "certificate expired"
        registered = self._keys.get(caller.name, b"")
        if not registered:
            return f"{caller.name} is not a member"
        if not hmac.compare_digest(registered, public_key.strip()):
            return f"the node's key is not the one registered for {caller.name}"
        if not self._requests.covers(caller.name, 1):
            return "too many requests"
        if not self._bytes.covers(caller.name, size):
            return "too much traffic"
        return ""

    def is_revoked(self, serial: int) -> bool:
        """Whether a serial number is on the list as it is now.

        Raises
        ------
        OSError, ValueError
            As for :func:`read_crl`.
        """
        self._refresh()
        return serial in self._revoked

    def _refresh(self) -> None:
        if self._changed(self._layout.crl):
            until, self._crl_until = self._crl_until, _NEVER  # a broken list lets nobody in
            crl = read_crl(self._layout)
            number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
            if number < self._crl_number:  # who was revoked since must not come back
                self._crl_until = until
                return
            self._crl_number = number
            self._revoked = frozenset(entry.serial_number for entry in crl)
            self._crl_until = crl.next_update_utc or _NEVER
        members = self._layout.server / "members"
        if self._changed(members):
            self._keys = {p.stem: p.read_bytes().strip() for p in members.glob("*.pem")}

    def _changed(self, path: Path) -> bool:
        stamp = path.stat().st_mtime_ns
        if self._read_at.get(path) == stamp:
            return False
        self._read_at[path] = stamp
        return True


def read_crl(layout: Layout) -> x509.CertificateRevocationList:
    """Read the server's revocation list.

    Raises
    ------
    OSError, ValueError
        If it cannot be read, or the consortium's authority did not sign it.
    """
    crl = x509.load_pem_x509_crl(layout.crl.read_bytes())
    root = x509.load_pem_x509_certificate((layout.server / "root.pem").read_bytes())
    key = root.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not crl.is_signature_valid(key):
        raise ValueError("the revocation list is not signed by the consortium's authority")
    return crl


def identify(certificate: bytes | None) -> Caller:
    """Read name, serial number and end of validity from a verified certificate (DER).

    Raises
    ------
    ValueError
        If there is none, or it does not name exactly one subject.
    """
    if certificate is None:
        raise ValueError("no certificate")
    parsed = x509.load_der_x509_certificate(certificate)
    names = parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(names) != 1:
        raise ValueError(f"the certificate names {len(names)} subjects")
    return Caller(str(names[0].value), parsed.serial_number, parsed.not_valid_after_utc)
