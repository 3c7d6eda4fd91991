"""Knock on a gateway: what an outsider, or a member who oversteps, is answered."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import grpc

from helpers.federated.deployment.authority import Identity

_SECONDS = 20.0
# What an HTTP/2 client sends first: the preface, and a frame of settings that sets none.
HTTP2_OPENING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)


class Flight(NamedTuple):
    """What one side sends before it waits for the other.

    Attributes
    ----------
    sender
        ``"client"`` or ``"server"``.
    data
        Its bytes, as a listener sees them.
    """

    sender: str
    data: bytes


def client_context(root: Path | None, identity: Identity | None = None) -> ssl.SSLContext:
    """Make a client's TLS settings, which offer HTTP/2 as gRPC does.

    Parameters
    ----------
    root
        Root certificate (PEM) that the client trusts; None trusts anybody, as an attacker does.
    identity
        Certificate and key that it presents; None presents none.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if root is None:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    else:
        context.load_verify_locations(root)
    if identity is not None:
        context.load_cert_chain(identity.certificate, identity.key)
    context.set_alpn_protocols(["h2"])
    return context


def greet(address: str, context: ssl.SSLContext) -> str:
    """Shake hands and wait for a word of the server; returns ``"let in"`` or why not.

    In TLS 1.3 a client has finished before the server has looked at its certificate: it learns of
    a refusal only when it reads.
    """
    host, _, port = address.rpartition(":")
    try:
        with (
            socket.create_connection((host, int(port)), timeout=_SECONDS) as raw,
            context.wrap_socket(raw, server_hostname="localhost") as wrapped,
        ):
            wrapped.sendall(HTTP2_OPENING)  # who has been let in is answered with settings
            return "let in" if wrapped.recv(1) else "hung up"
    except ssl.SSLError as error:
        return (error.reason or str(error)).lower().replace("_", " ")
    except OSError as error:
        return str(error.strerror or error).lower()


def say(address: str, opening: bytes) -> str:
    """Send bytes without TLS, or none, and wait; returns what happened."""
    host, _, port = address.rpartition(":")
    start = time.monotonic()
    with socket.create_connection((host, int(port)), timeout=_SECONDS) as raw:
        try:
            raw.sendall(opening)
            answer = b""
            while received := raw.recv(4096):
                answer += received
        except ConnectionResetError:
            pass
        except TimeoutError:
            return "still connected"
    return f"hung up on after {time.monotonic() - start:.0f} s"


def call(
    address: str,
    root: Path,
    identity: Identity | None,
    *,
    public_key: bytes | None = None,
    method: str = "/flwr.proto.Fleet/PullMessages",
    body: bytes = b"",
) -> str:
    """Make one gRPC call; returns its status and what the server says.

    Parameters
    ----------
    address
        The gateway, ``host:port``.
    root
        Root certificate (PEM).
    identity
        Certificate and key of the caller; None presents none.
    public_key
        Key (PEM) under which the caller claims to be registered at Flower.
    method, body
        What is called, and with which bytes.
    """
    pair: tuple[bytes | None, bytes | None] = (None, None)
    if identity is not None:
        pair = (identity.key.read_bytes(), identity.certificate.read_bytes())
    credentials = grpc.ssl_channel_credentials(root.read_bytes(), *pair)
    metadata = [("flwr-public-key-bin", public_key)] if public_key else []
    with grpc.secure_channel(address, credentials) as channel:
        try:
            channel.unary_unary(method)(body, metadata=metadata, timeout=_SECONDS)
        except grpc.RpcError as error:
            details = error.details() or ""
            if details.startswith("failed to connect"):  # then come addresses and ports
                details = details.rpartition(": ")[2]
            return f"{error.code().name}: {details}"
    return "OK"


def knock(
    address: str,
    root: str | Path,
    folder: str | Path | None = None,
    node_key: str | Path | None = None,
) -> str:
    """Ask for work with what lies in a folder, as :func:`call` does.

    Parameters
    ----------
    address
        The gateway, ``host:port``.
    root
        Root certificate by which to recognise the server (PEM).
    folder
        Folder with ``tls.pem`` and ``tls.key`` to present; None, or an empty one, presents none.
    node_key
        Public node key to claim (PEM); None claims none.

    Returns
    -------
    str
        gRPC's status and what it says, such as ``"UNAUTHENTICATED: certificate revoked"``; ``"OK"``
        if there was no refusal.
    """
    identity = None
    if folder and (Path(folder) / "tls.key").exists():
        identity = Identity(Path(folder) / "tls.pem", Path(folder) / "tls.key", Path(root))
    public_key = Path(node_key).read_bytes() if node_key else None
    return call(address, Path(root), identity, public_key=public_key)


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> list[Flight]:
    """Let two sides shake hands in memory, so that each flight's bytes can be counted.

    Returns
    -------
    list of Flight
        In order. After it the client may send its first request.

    Raises
    ------
    ssl.SSLError
        If one side refuses the other.
    """
    pipes = {name: (ssl.MemoryBIO(), ssl.MemoryBIO()) for name in ("client", "server")}
    sides = {
        "client": client.wrap_bio(*pipes["client"], server_hostname="localhost"),
        "server": server.wrap_bio(*pipes["server"], server_side=True),
    }
    flights: list[Flight] = []
    turns: Sequence[tuple[str, str]] = (("client", "server"), ("server", "client"))
    for sender, receiver in (*turns, *turns):
        with contextlib.suppress(ssl.SSLWantReadError):
            sides[sender].do_handshake()
        if data := pipes[sender][1].read():
            flights.append(Flight(sender, data))
            pipes[receiver][0].write(data)
    return flights
