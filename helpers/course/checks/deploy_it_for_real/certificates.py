"""Whose certificate is accepted: q1."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from helpers.course.compare import satisfies
from helpers.course.tasks import Case, FunctionTask
from helpers.federated.deployment.authority import CertificateAuthority

_DAY = 86_400.0
_REASONS = ("", "other authority", "not in force", "wrong purpose", "revoked")
_PURPOSES = {"client": ExtendedKeyUsageOID.CLIENT_AUTH, "server": ExtendedKeyUsageOID.SERVER_AUTH}


def _reference(
    certificate: bytes, root: bytes, purpose: str, now: float, revoked: list[int]
) -> str:
    shown, ours = map(x509.load_der_x509_certificate, (certificate, root))
    try:
        shown.verify_directly_issued_by(ours)
    except (InvalidSignature, ValueError, TypeError):
        return "other authority"
    start, end = shown.not_valid_before_utc, shown.not_valid_after_utc
    if not start.timestamp() <= now <= end.timestamp():
        return "not in force"
    if (
        _PURPOSES[purpose]
        not in shown.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    ):
        return "wrong purpose"
    return "revoked" if shown.serial_number in revoked else ""


def _cases(rng: np.random.Generator) -> list[Case]:
    """Issue real certificates by two authorities of the same name, and one of another."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours, rogue = (CertificateAuthority.create(folder / who) for who in ("ours", "rogue"))
        clinic = CertificateAuthority.create(folder / "clinic", name="clinic")
        der = {
            "root": _der(ours.root_path),
            "client": _der(ours.issue("hospital-1", "client", folder / "a").certificate),
            "other": _der(ours.issue("hospital-2", "client", folder / "b").certificate),
            "server": _der(ours.issue("server", "server", folder / "c").certificate),
            "rogue": _der(rogue.issue("hospital-1", "client", folder / "d").certificate),
            "foreign": _der(clinic.issue("hospital-1", "client", folder / "f").certificate),
            "old": _der(ours.issue("hospital-1", "client", folder / "e", days=-1).certificate),
        }
    now = time.time() + float(rng.uniform(0, _DAY))
    others = [x509.load_der_x509_certificate(der["other"]).serial_number]
    member = x509.load_der_x509_certificate(der["client"])
    own = [member.serial_number]
    server = [x509.load_der_x509_certificate(der["server"]).serial_number]

    def case(
        which: str, label: str, purpose: str = "client", at: float = now, revoked: Any = ()
    ) -> Case:
        return Case((der[which], der["root"], purpose, at, list(revoked)), label)

    return [
        case("client", "a member's, in force", revoked=others),
        case("rogue", "of another authority that calls itself the same"),
        case("foreign", "of an authority with another name"),
        case(
            "rogue",
            "of another authority, for the other purpose, too early",
            "server",
            now - 7 * _DAY,
        ),
        case("old", "it ended yesterday"),
        case("client", "in its last second", at=member.not_valid_after_utc.timestamp()),
        case("client", "a week before it was issued", at=now - 7 * _DAY),
        case("client", "ten days later", at=now + 10 * _DAY),
        case("server", "the server's, where a client is expected"),
        case("server", "the server's, where a server is expected", purpose="server"),
        case("client", "a client's, where a server is expected", purpose="server"),
        case("client", "on the revocation list", revoked=[*others, *own]),
        case("other", "also on it", revoked=[*others, *own]),
        case("server", "the server's, where a client is expected, and revoked", revoked=server),
        case("server", "the server's, where a client is expected, too early", at=now - 7 * _DAY),
    ]


def _der(pem: Path) -> bytes:
    return x509.load_pem_x509_certificate(pem.read_bytes()).public_bytes(Encoding.DER)


_LET_IN = {
    "other authority": "this certificate was let in, and another authority signed it. The "
    "issuer's name proves nothing: a name is text that anyone can write. Verify the signature with "
    "verify_directly_issued_by",
    "wrong purpose": "this certificate was let in, and it was issued for the other purpose: a "
    "hospital could pass itself off as the server",
    "revoked": "this certificate was let in, and its serial number is on the list",
}


def _problem(args: tuple[Any, ...], got: Any) -> str | None:
    if not isinstance(got, str) or got not in _REASONS:
        return f"return one of {', '.join(map(repr, _REASONS))}"
    expected = _reference(*args)
    if got == expected:
        return None
    if expected == "not in force" and got == "":
        early = args[3] < x509.load_der_x509_certificate(args[0]).not_valid_before_utc.timestamp()
        when = "not begun yet" if early else "ended"
        return f"this certificate was let in, and at that moment its time has {when}"
    if got == "":
        return _LET_IN[expected]
    if expected == "":
        return f"refused as {got!r}, and nothing is wrong with it"
    return f"refused as {got!r}; the first of the list that applies is another"


CERTIFICATE = FunctionTask(
    "q1", "Let in or not", 2, _reference, _cases, satisfies(_problem),
    "verify_directly_issued_by raises where the signature is not the root's. Times in UTC have "
    ".timestamp(), in seconds. A certificate's purposes are a list: `in` looks in it.",
    show_expected=False,
)  # fmt: skip
