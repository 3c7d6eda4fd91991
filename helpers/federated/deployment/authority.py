"""A small certificate authority for a consortium: one root, short-lived leaves, a revocation list.

Every host gets a certificate that says who it is (X.509 v3, RFC 5280) and holds only the key that
belongs to it. Losing a host costs one certificate: :meth:`CertificateAuthority.revoke` puts its
serial number on the revocation list, which the gateway consults at every handshake and request.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from helpers.federated.checkpoint import write_atomically
from helpers.federated.deployment.errors import DeploymentError

Kind = Literal["server", "client"]
NAME_PATTERN = re.compile(r"[a-z][a-z0-9-]{0,62}")
_HOST_PATTERN = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")
ROOT_DAYS, LEAF_DAYS = 365.0, 7.0
# Hosts whose clock is a little behind must not refuse a fresh certificate.
_CLOCK_SKEW = datetime.timedelta(minutes=5)


@dataclass(frozen=True)
class Issued:
    """One line of the authority's index.

    Attributes
    ----------
    name
        Who the certificate names, such as ``"hospital-2"``.
    kind
        ``"server"`` or ``"client"``; a certificate of one kind is refused in the other's place.
    serial
        Serial number in hexadecimal.
    not_after
        End of validity, ISO 8601 in UTC.
    revoked_at
        When it was revoked, or None.
    """

    name: str
    kind: Kind
    serial: str
    not_after: str
    revoked_at: str | None = None

    @property
    def expired(self) -> bool:
        """Whether its time is over."""
        return datetime.datetime.fromisoformat(self.not_after) < now()


@dataclass(frozen=True)
class Identity:
    """Paths of what one host receives from the authority.

    Attributes
    ----------
    certificate, key
        The host's certificate (PEM) and its private key (PEM, mode 0600).
    root
        The consortium's root certificate (PEM): whom the host trusts.
    """

    certificate: Path
    key: Path
    root: Path


class CertificateAuthority:
    """The consortium's root key and the list of what it signed.

    Make one with :meth:`create` or :meth:`open`.

    Parameters
    ----------
    folder
        Folder with ``root.pem``, ``root.key``, ``index.json`` and ``crl.pem``. The key signs new
        members: on real hosts this folder stays offline, at neither the server nor a hospital.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._root = x509.load_pem_x509_certificate((folder / "root.pem").read_bytes())
        key = serialization.load_pem_private_key((folder / "root.key").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key

    @classmethod
    def create(
        cls, folder: str | os.PathLike[str], name: str = "consortium", days: float = ROOT_DAYS
    ) -> CertificateAuthority:
        """Make a new root in an empty or new folder.

        Parameters
        ----------
        folder
            Where to keep it.
        name
            Name of the consortium, in the root certificate.
        days
            Validity of the root.

        Raises
        ------
        DeploymentError
            If the folder already holds an authority, or a value does not fit.
        """
        path = Path(folder)
        if (path / "root.key").exists() or (path / "root.pem").exists():
            raise DeploymentError(
                f"{path} already holds a certificate authority. Overwriting its key would orphan "
                "every certificate it signed: open it, or choose another folder."
            )
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{_checked(name)} root")])
        builder = (
            _builder(subject, subject, key.public_key(), _lifetime(days))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
        )
        certificate = builder.sign(key, hashes.SHA256())
        path.mkdir(parents=True, exist_ok=True)
        write_private(path / "root.key", _pem(key))
        write_new(path / "root.pem", certificate.public_bytes(serialization.Encoding.PEM))
        authority = cls(path)
        authority._save([])
        return authority

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> CertificateAuthority:
        """Open the authority in a folder.

        Raises
        ------
        DeploymentError
            If there is none.
        """
        if not (Path(folder) / "root.key").exists():
            raise DeploymentError(
                f"{folder} holds no certificate authority (root.key is missing): make one with "
                "`edgesec federate ca init`."
            )
        return cls(Path(folder))

    @property
    def crl_path(self) -> Path:
        """The current revocation list (PEM); the gateway needs a copy."""
        return self.folder / "crl.pem"

    @property
    def root_path(self) -> Path:
        """The root certificate (PEM); every host needs a copy."""
        return self.folder / "root.pem"

    def issued(self) -> list[Issued]:
        """Return everything ever signed, in order."""
        return [Issued(**line) for line in json.loads((self.folder / "index.json").read_text())]

    def issue(
        self,
        name: str,
        kind: Kind,
        folder: str | os.PathLike[str],
        *,
        hosts: Sequence[str] = ("localhost", "127.0.0.1"),
        days: float = LEAF_DAYS,
    ) -> Identity:
        """Make a key and a certificate for one host and write them to a folder.

        Parameters
        ----------
        name
            Who it is; goes into the certificate and, checked, into every log line.
        kind
            ``"server"`` or ``"client"``.
        folder
            Where ``tls.key``, ``tls.pem`` and ``root.pem`` go; that folder is what the host gets.
        hosts
            DNS names and addresses under which a server is reached; a client needs none.
        days
            Validity. Short lifetimes bound the harm of a stolen key that nobody noticed.
            Negative makes a certificate that has already expired, for tests.

        Raises
        ------
        DeploymentError
            If the folder already holds a certificate or key, or a value does not fit.
        """
        if kind not in ("server", "client"):
            raise DeploymentError(f'kind={kind!r} must be "server" or "client".')
        path, key = Path(folder), ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _checked(name))])
        server = kind == "server"
        names = [subject_name(host) for host in hosts] if server else [x509.DNSName(name)]
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        start, end = _lifetime(days)
        end = min(end, self._root.not_valid_after_utc)
        certificate = (
            _builder(subject, self._root.subject, key.public_key(), (start, end))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        paths = Identity(path / "tls.pem", path / "tls.key", path / "root.pem")
        path.mkdir(parents=True, exist_ok=True)
        write_private(paths.key, _pem(key))
        write_new(paths.certificate, certificate.public_bytes(serialization.Encoding.PEM))
        if not paths.root.exists():
            write_new(paths.root, self.root_path.read_bytes())
        line = Issued(name, kind, f"{certificate.serial_number:x}", end.isoformat())
        self._save([*self.issued(), line])
        return paths

    def revoke(self, who: str) -> list[Issued]:
        """Revoke all certificates of a name, or the one with a serial number.

        Parameters
        ----------
        who
            A name, or a serial number in hexadecimal.

        Returns
        -------
        list of Issued
            What was revoked now; the revocation list is rewritten.

        Raises
        ------
        DeploymentError
            If there is no such certificate in force.
        """
        lines, moment = self.issued(), now().isoformat()
        hits = [line for line in lines if who in (line.name, line.serial) and not line.revoked_at]
        if not hits:
            known = ", ".join(sorted({line.name for line in lines if not line.revoked_at}))
            raise DeploymentError(
                f"{who!r} has no certificate in force; there are certificates for: {known or '-'}."
            )
        revoked = {line.serial for line in hits}
        lines = [
            Issued(**{**asdict(line), "revoked_at": moment}) if line.serial in revoked else line
            for line in lines
        ]
        self._save(lines)
        return [line for line in lines if line.serial in revoked]

    def renew_crl(self, days: float = LEAF_DAYS) -> None:
        """Sign the revocation list anew; a gateway refuses everybody when its list is overdue."""
        self._save(self.issued(), days)

    def _save(self, lines: list[Issued], crl_days: float = LEAF_DAYS) -> None:
        moment = now()
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._root.subject)
            .last_update(moment - _CLOCK_SKEW)
            .next_update(moment + datetime.timedelta(days=crl_days))
            .add_extension(x509.CRLNumber(int(moment.timestamp() * 1000)), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        for line in lines:
            if line.revoked_at:
                entry = x509.RevokedCertificateBuilder(
                    int(line.serial, 16), datetime.datetime.fromisoformat(line.revoked_at)
                )
                builder = builder.add_revoked_certificate(entry.build())
        crl = builder.sign(self._key, hashes.SHA256())
        index = json.dumps([asdict(line) for line in lines], indent=1).encode()
        # The list first: a kill between the two leaves a certificate revoked, never the reverse.
        write_atomically(self.crl_path, crl.public_bytes(serialization.Encoding.PEM))
        write_atomically(self.folder / "index.json", index)


def write_private(path: Path, content: bytes) -> None:
    """Write a new file that only its owner can read (mode 0600 from its first byte on).

    Raises
    ------
    DeploymentError
        If the file exists.
    """
    _write(path, content, 0o600)


def write_new(path: Path, content: bytes) -> None:
    """Write a new file that everyone can read; raise DeploymentError if it exists."""
    _write(path, content, 0o644)


def _write(path: Path, content: bytes, mode: int) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError as error:
        raise DeploymentError(
            f"{path} exists and is not overwritten: move it away, or use another folder."
        ) from error
    with os.fdopen(handle, "wb") as file:
        file.write(content)


def now() -> datetime.datetime:
    """Return the time in UTC."""
    return datetime.datetime.now(datetime.UTC)


def _lifetime(days: float) -> tuple[datetime.datetime, datetime.datetime]:
    if not abs(days) <= 3650 or days == 0:
        raise DeploymentError(f"days={days!r} must be a number of days, at most 3650.")
    end = now() + datetime.timedelta(days=days)
    return min(now(), end) - _CLOCK_SKEW, end


def _checked(name: str) -> str:
    if not NAME_PATTERN.fullmatch(name):
        raise DeploymentError(
            f"name={name!r} must be lower-case letters, digits and hyphens, start with a letter, "
            "and have at most 63 characters."
        )
    return name


def subject_name(host: str) -> x509.GeneralName:
    """Return a server's name or address as its certificate holds it, or raise DeploymentError."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        if len(host) > 253 or not _HOST_PATTERN.fullmatch(host):
            raise DeploymentError(
                f"host={host[:80]!r} must be an address or a DNS name of ASCII letters, digits, "
                "hyphens and dots (an international name in its xn-- form)."
            ) from None
        return x509.DNSName(host)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    lifetime: tuple[datetime.datetime, datetime.datetime],
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(lifetime[0])
        .not_valid_after(lifetime[1])
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
