"""The certificate authority, and what its certificates do in a real handshake."""

import datetime
import socket
import ssl
import stat
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from helpers.cli.federate import command
from helpers.federated.deployment import CertificateAuthority, DeploymentError, Identity
from helpers.federated.deployment.gateway import server_context
from helpers.federated.deployment.gateway_policy import Caller, Policy, identify
from helpers.federated.deployment.layout import Layout


@pytest.fixture(scope="module")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> tuple[CertificateAuthority, Layout]:
    """An authority, and a server's folder as the gateway reads it."""
    layout = Layout(tmp_path_factory.mktemp("consortium"))
    authority = CertificateAuthority.create(layout.ca)
    authority.issue("server", "server", layout.server)
    publish(authority, layout)
    return authority, layout


def publish(authority: CertificateAuthority, layout: Layout) -> None:
    layout.crl.write_bytes(authority.crl_path.read_bytes())


def handshake(
    layout: Layout, identity: Identity | None, highest: ssl.TLSVersion | None = None
) -> str:
    """Say the name that the server saw, or "refused: " and OpenSSL's reason."""
    outcome: list[str] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        accepted, _ = listener.accept()
        accepted.settimeout(10)
        try:
            with server_context(layout).wrap_socket(accepted, server_side=True) as wrapped:
                outcome.append(identify(wrapped.getpeercert(binary_form=True)).name)
                wrapped.sendall(b"welcome")
        except OSError as error:
            reason = getattr(error, "verify_message", "") or getattr(error, "reason", error)
            outcome.append(f"refused: {reason}")
            accepted.close()

    thread = threading.Thread(target=serve)
    thread.start()
    context = ssl.create_default_context(cafile=str(layout.ca / "root.pem"))
    if highest is not None:
        context.maximum_version = highest
    if identity is not None:
        context.load_cert_chain(identity.certificate, identity.key)
    try:
        with (
            socket.create_connection(listener.getsockname(), timeout=10) as raw,
            context.wrap_socket(raw, server_hostname="localhost") as wrapped,
        ):
            wrapped.recv(10)
    except OSError:
        pass  # in TLS 1.3 the client learns of a refusal only when it reads
    thread.join(20)
    listener.close()
    return outcome[0]


def test_a_member_is_let_in_by_name(
    consortium: tuple[CertificateAuthority, Layout], tmp_path: Path
) -> None:
    authority, layout = consortium
    assert handshake(layout, authority.issue("hospital-1", "client", tmp_path)) == "hospital-1"


@pytest.mark.parametrize("bad", ["none", "expired", "rogue", "server's", "revoked"])
def test_everybody_else_is_refused_in_the_handshake(
    consortium: tuple[CertificateAuthority, Layout], tmp_path: Path, bad: str
) -> None:
    authority, layout = consortium
    identity, expected = None, "peer did not return a certificate|PEER_DID_NOT_RETURN"
    if bad == "expired":
        identity = authority.issue("hospital-1", "client", tmp_path / "h", days=-1)
        expected = "certificate has expired"
    if bad == "rogue":  # the same names, another key
        rogue = CertificateAuthority.create(tmp_path / "ca")
        identity = rogue.issue("hospital-1", "client", tmp_path / "h")
        expected = "unable to get local issuer|self-signed|signature failure|unable to get certif"
    if bad == "server's":
        identity = authority.issue("server", "server", tmp_path / "h")
        expected = "unsuitable certificate purpose|unsupported certificate purpose"
    if bad == "revoked":
        identity = authority.issue("hospital-7", "client", tmp_path / "h")
        assert handshake(layout, identity) == "hospital-7"
        authority.revoke("hospital-7")
        publish(authority, layout)
        expected = "certificate revoked"
    outcome = handshake(layout, identity)
    assert outcome.startswith("refused")
    assert any(part in outcome for part in expected.split("|")), outcome


def test_nobody_is_let_in_with_tls_1_2(
    consortium: tuple[CertificateAuthority, Layout], tmp_path: Path
) -> None:
    authority, layout = consortium
    identity = authority.issue("hospital-1", "client", tmp_path)
    outcome = handshake(layout, identity, ssl.TLSVersion.TLSv1_2)
    assert "UNSUPPORTED_PROTOCOL" in outcome


def test_an_overdue_revocation_list_lets_nobody_in(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    authority = CertificateAuthority.create(layout.ca)
    authority.issue("server", "server", layout.server)
    identity = authority.issue("hospital-1", "client", tmp_path / "h")
    authority.renew_crl(days=-0.001)
    publish(authority, layout)
    assert "CRL has expired" in handshake(layout, identity)
    authority.renew_crl()
    publish(authority, layout)
    assert handshake(layout, identity) == "hospital-1"


def test_private_keys_can_be_read_by_their_owner_alone(tmp_path: Path) -> None:
    authority = CertificateAuthority.create(tmp_path / "ca")
    identity = authority.issue("hospital-1", "client", tmp_path / "h")
    for key in (tmp_path / "ca" / "root.key", identity.key):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_certificates_say_what_they_are_for_and_no_more(tmp_path: Path) -> None:
    authority = CertificateAuthority.create(tmp_path / "ca")
    client = authority.issue("hospital-1", "client", tmp_path / "c", days=3)
    server = authority.issue("server", "server", tmp_path / "s", hosts=["fl.example", "10.0.0.1"])
    root, one, other = (
        x509.load_pem_x509_certificate(path.read_bytes())
        for path in (authority.root_path, client.certificate, server.certificate)
    )
    one.verify_directly_issued_by(root)
    assert one.not_valid_after_utc - datetime.datetime.now(datetime.UTC) < datetime.timedelta(3)
    assert one.serial_number != other.serial_number
    usage = one.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [purpose._name for purpose in usage] == ["clientAuth"]
    basic = root.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (basic.ca, basic.path_length) == (True, 0)
    names = other.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["fl.example"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.1"]
    assert isinstance(root.public_key(), ec.EllipticCurvePublicKey)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    authority = CertificateAuthority.create(tmp_path / "ca")
    authority.issue("hospital-1", "client", tmp_path / "h")
    before = (tmp_path / "h" / "tls.key").read_bytes()
    with pytest.raises(DeploymentError, match="exists and is not overwritten"):
        authority.issue("hospital-2", "client", tmp_path / "h")
    with pytest.raises(DeploymentError, match="already holds a certificate authority"):
        CertificateAuthority.create(tmp_path / "ca")
    assert (tmp_path / "h" / "tls.key").read_bytes() == before
    assert [line.name for line in authority.issued()] == ["hospital-1"]


def test_revoking_a_serial_leaves_the_others_in_force(tmp_path: Path) -> None:
    authority = CertificateAuthority.create(tmp_path / "ca")
    authority.issue("hospital-1", "client", tmp_path / "a")
    authority.issue("hospital-1", "client", tmp_path / "b")
    first, second = authority.issued()
    assert [line.serial for line in authority.revoke(first.serial)] == [first.serial]
    crl = x509.load_pem_x509_crl(authority.crl_path.read_bytes())
    assert {f"{entry.serial_number:x}" for entry in crl} == {first.serial}
    assert [line.serial for line in authority.revoke("hospital-1")] == [second.serial]
    assert all(line.revoked_at for line in CertificateAuthority.open(tmp_path / "ca").issued())
    with pytest.raises(DeploymentError, match="no certificate in force"):
        authority.revoke("hospital-1")


@pytest.mark.parametrize("name", ["", "Hospital", "../x", "a b", "x" * 64, "a\nb"])
def test_names_that_could_mislead_are_refused(tmp_path: Path, name: str) -> None:
    authority = CertificateAuthority.create(tmp_path / "ca")
    with pytest.raises(DeploymentError, match="must be lower-case"):
        authority.issue(name, "client", tmp_path / "h")
    assert not (tmp_path / "h").exists()


def test_a_missing_authority_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match="holds no certificate authority"):
        CertificateAuthority.open(tmp_path)


# -- the gateway's decision on each request -----------------------------------------------------


def at_gateway(tmp_path: Path) -> tuple[CertificateAuthority, Layout, Policy, Caller, bytes]:
    """A server's folder with one member, and that member at the gateway."""
    layout = Layout(tmp_path)
    authority = CertificateAuthority.create(layout.ca)
    identity = authority.issue("hospital-1", "client", tmp_path / "h")
    (layout.server / "members").mkdir(parents=True)
    (layout.server / "members" / "hospital-1.pem").write_bytes(b"KEY\n")
    (layout.server / "root.pem").write_bytes(authority.root_path.read_bytes())
    publish(authority, layout)
    parsed = x509.load_pem_x509_certificate(identity.certificate.read_bytes())
    caller = identify(parsed.public_bytes(Encoding.DER))
    return authority, layout, Policy(layout, max_message_bytes=1_000), caller, b"KEY"


def test_a_request_is_judged_by_what_is_known_at_that_moment(tmp_path: Path) -> None:
    authority, layout, policy, caller, key = at_gateway(tmp_path)
    assert policy.refusal(caller, key) == ""
    assert "not the one registered" in policy.refusal(caller, b"ANOTHER")
    assert "not the one registered" in policy.refusal(caller, b"")
    assert "not a member" in policy.refusal(replace(caller, name="hospital-2"), key)
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=1)
    assert policy.refusal(replace(caller, not_after=past), key) == "certificate expired"
    authority.revoke("hospital-1")
    publish(authority, layout)
    assert policy.refusal(caller, key) == "certificate revoked"
    assert policy.refusal(replace(caller, serial=caller.serial + 1), key) == ""


def test_a_list_that_cannot_be_read_or_is_overdue_lets_nobody_in(tmp_path: Path) -> None:
    authority, layout, policy, caller, key = at_gateway(tmp_path)
    layout.crl.write_bytes(b"torn")
    assert policy.refusal(caller, key) == "the revocation list cannot be read"
    assert policy.refusal(caller, key) == "the revocation list is overdue"
    authority.renew_crl(days=-0.001)
    publish(authority, layout)
    assert policy.refusal(caller, key) == "the revocation list is overdue"
    authority.renew_crl()
    publish(authority, layout)
    assert policy.refusal(caller, key) == ""


def test_an_older_list_does_not_bring_a_revoked_member_back(tmp_path: Path) -> None:
    authority, layout, policy, caller, key = at_gateway(tmp_path)
    before = layout.crl.read_bytes()
    authority.revoke("hospital-1")
    publish(authority, layout)
    assert policy.refusal(caller, key) == "certificate revoked"
    layout.crl.write_bytes(before)
    assert policy.refusal(caller, key) == "certificate revoked"


def test_a_list_that_another_authority_signed_lets_nobody_in(tmp_path: Path) -> None:
    _, layout, policy, caller, key = at_gateway(tmp_path)
    assert policy.refusal(caller, key) == ""
    rogue = CertificateAuthority.create(tmp_path / "rogue")
    layout.crl.write_bytes(rogue.crl_path.read_bytes())
    assert policy.refusal(caller, key) == "the revocation list cannot be read"
    assert policy.refusal(caller, key) == "the revocation list is overdue"


def test_a_member_that_asks_too_often_is_slowed_down(tmp_path: Path) -> None:
    _, layout, policy, caller, key = at_gateway(tmp_path)
    answers = [policy.refusal(caller, key) for _ in range(5_000)]
    assert answers[:500] == [""] * 500
    assert "too many requests" in answers
    (layout.server / "members" / "hospital-2.pem").write_bytes(b"KEY\n")
    assert policy.refusal(replace(caller, name="hospital-2"), key) == ""


def test_a_member_that_floods_is_slowed_down_and_the_others_are_not(tmp_path: Path) -> None:
    _, layout, policy, caller, key = at_gateway(tmp_path)
    (layout.server / "members" / "hospital-2.pem").write_bytes(b"KEY\n")
    answers = [policy.refusal(caller, key, 1_000) for _ in range(40)]
    assert answers[0] == ""
    assert answers[-1] == "too much traffic"
    assert policy.refusal(replace(caller, name="hospital-2"), key, 1_000) == ""


# -- the command --------------------------------------------------------------------------------


def test_the_command_makes_revokes_and_shows_certificates(tmp_path: Path) -> None:
    folder, runner = str(tmp_path / "ca"), CliRunner()

    def ca(*arguments: str) -> str:
        done = runner.invoke(command, ["ca", *arguments], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    ca("init", folder)
    ca("issue", folder, "hospital-1", "--out", str(tmp_path / "h"))
    ca("issue", folder, "server", "--server", "--host", "fl.example", "--out", str(tmp_path / "s"))
    assert stat.S_IMODE((tmp_path / "h" / "node.key").stat().st_mode) == 0o600
    assert not (tmp_path / "s" / "node.key").exists()
    assert "revoked hospital-1" in ca("revoke", folder, "hospital-1")
    shown = ca("show", folder).splitlines()
    assert [line.split()[:3] for line in shown] == [
        ["hospital-1", "client", "revoked"],
        ["server", "server", "in"],
    ]
    with pytest.raises(DeploymentError, match="already holds"):
        runner.invoke(command, ["ca", "init", folder], catch_exceptions=False)
