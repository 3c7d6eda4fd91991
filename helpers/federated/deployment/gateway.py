"""The consortium's front door: mutual TLS before anything else, then one check a request.

Flower's server asks no client for a certificate. This gateway does, and is the only part of the
server that listens beyond the machine's own loopback interface:

1. **Handshake** (Python's ``ssl``, that is OpenSSL): TLS 1.3 only, a certificate of the consortium
   with the client purpose is required, and the revocation list is consulted. Who has none never
   gets to send a byte to Flower.
2. **Request** (gRPC): the certificate must *still* be unexpired and unrevoked, the key with which
   Flower authenticates the node must be the one registered for this certificate's name, the
   method must be one a node needs, the message and the traffic of the node must keep to limits.

The bytes are then passed on, over TLS, to Flower's own API on the loopback interface, which checks
the node's signature.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from helpers.federated.deployment.errors import DeploymentError
from helpers.federated.deployment.gateway_policy import Caller, Policy, identify
from helpers.federated.deployment.layout import Layout, append_event, read_json, write_json
from helpers.federated.deployment.scratch import SweptFolder

# What a node needs of Flower's Fleet API. Not RegisterNode: members are enrolled, not self-made.
METHODS = frozenset(
    f"/flwr.proto.Fleet/{name}"
    for name in (
        "ActivateNode", "DeactivateNode", "SendNodeHeartbeat", "PullMessages", "PushMessages",
        "GetRun", "GetFab", "PushObject", "PullObject", "ConfirmMessageReceived",
    )
)  # fmt: skip
_FORWARDED = ("flwr-public-key-bin", "flwr-signature-bin", "flwr-timestamp")
_HANDSHAKE_SECONDS, _CALL_SECONDS = 5.0, 30.0
_HANDSHAKES, _CONNECTIONS_EACH = 128, 8
# A peer that lost its power says no goodbye: the system asks after it, and gives up in a minute.
_KEEPALIVE = {socket.TCP_KEEPIDLE: 30, socket.TCP_KEEPINTVL: 10, socket.TCP_KEEPCNT: 3}
_CHUNK = 65_536


class Backend:
    """Flower's own API behind the gateway; found anew when the server has been restarted.

    Parameters
    ----------
    layout
        Folder in which the SuperLink announces its port.
    max_message_bytes
        Largest message either way.
    """

    def __init__(self, layout: Layout, max_message_bytes: int) -> None:
        self._state = layout.state("superlink")
        self._root = (layout.server / "root.pem").read_bytes()
        self._options = [
            ("grpc.max_send_message_length", max_message_bytes),
            ("grpc.max_receive_message_length", max_message_bytes),
        ]
        self._stamp = 0
        self._channel: grpc.aio.Channel | None = None

    async def call(self, method: str, request: bytes, metadata: list[tuple[str, Any]]) -> bytes:
        """Pass one request on and return the answer's bytes."""
        channel = self._current()
        answer: bytes = await channel.unary_unary(method)(
            request, metadata=tuple(metadata), timeout=_CALL_SECONDS
        )
        return answer

    def _current(self) -> grpc.aio.Channel:
        stamp = self._state.stat().st_mtime_ns
        if self._channel is None or stamp != self._stamp:
            port = read_json(self._state)["fleet"]
            credentials = grpc.ssl_channel_credentials(self._root)
            # The channel to a server that is gone is left to the garbage collector: closing it
            # would cancel requests that are still being answered.
            self._channel = grpc.aio.secure_channel(
                f"127.0.0.1:{port}", credentials, options=self._options
            )
            self._stamp = stamp
        return self._channel


class Gateway:
    """Accepts connections, and runs one small gRPC server for each caller behind it.

    Parameters
    ----------
    layout
        The deployment's folder.
    max_message_bytes
        Largest message a node may send.
    """

    def __init__(self, layout: Layout, max_message_bytes: int) -> None:
        self._layout = layout
        self._limit = max_message_bytes
        self._policy = Policy(layout, max_message_bytes)
        self._backend = Backend(layout, max_message_bytes)
        self._servers: dict[Caller, tuple[grpc.aio.Server, str]] = {}
        # Oldest first. What has not shown a certificate cannot keep out what has.
        self._handshaking: dict[asyncio.Task[None], None] = {}
        self._open: dict[str, dict[asyncio.Task[None], None]] = {}
        self._logged: dict[tuple[str, str], float] = {}
        self._sockets = SweptFolder("edgesec-")  # 0700, and a short path
        self._context = server_context(layout)
        self._crl_stamp = layout.crl.stat().st_mtime_ns

    async def serve(self, listener: socket.socket) -> None:
        """Answer who connects to a listening socket, until cancelled."""
        listener.setblocking(False)
        host, port = listener.getsockname()[:2]
        write_json(self._layout.state("gateway"), {"pid": os.getpid(), "host": host, "port": port})
        loop = asyncio.get_running_loop()
        refresh = loop.create_task(self._keep_list_fresh())
        with listener:
            while not refresh.done():
                try:
                    accepted, _ = await loop.sock_accept(listener)
                except OSError as error:  # gone again, or out of file descriptors
                    self._refused("?", f"accepting: {_reason(error)}")
                    await asyncio.sleep(0.05)
                    continue
                _keep_alive(accepted)
                if len(self._handshaking) >= _HANDSHAKES:
                    self._refused("?", "too many handshakes at once: the oldest was dropped")
                    _drop_oldest(self._handshaking)
                task = loop.create_task(self._connected(accepted))
                self._handshaking[task] = None
                task.add_done_callback(lambda done: self._handshaking.pop(done, None))
        await refresh

    async def _keep_list_fresh(self) -> None:
        while True:
            self._refresh_context()
            await asyncio.sleep(0.2)

    def _refresh_context(self) -> None:
        """Take a new revocation list into the handshake; OpenSSL keeps the one with the newest."""
        try:
            stamp = self._layout.crl.stat().st_mtime_ns
            if stamp != self._crl_stamp:
                self._crl_stamp = stamp
                self._context.load_verify_locations(self._layout.crl)
        except OSError as error:  # the handshake keeps the old list; requests are refused
            self._refused("?", f"the revocation list cannot be read: {_reason(error)}")

    async def _connected(self, accepted: socket.socket) -> None:
        """Shake hands with one connection, learn who it is, and serve it until it ends."""
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol,
                accepted,
                ssl=self._context,
                ssl_handshake_timeout=_HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=2.0,
            )
        except OSError as error:  # ssl.SSLError and time-outs are among them
            accepted.close()
            self._refused("?", f"handshake: {_reason(error)}")
            return
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        try:
            await self._welcome(reader, writer)
        except asyncio.CancelledError:  # dropped for a newer connection of the same member
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handshaking.pop(task, None)
        try:
            certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        except ValueError:  # asyncio takes a peer that hung up at the last moment for connected
            self._refused("?", "handshake: broken off")
            return
        try:
            caller = identify(certificate)
            revoked = self._policy.is_revoked(caller.serial)
        except (OSError, ValueError) as error:
            self._refused("?", str(error)[:200])
            return
        if revoked:
            self._refused(caller.name, "certificate revoked")
            return
        own = self._open.setdefault(caller.name, {})
        if len(own) >= _CONNECTIONS_EACH:
            self._refused(caller.name, "too many connections: the oldest was dropped")
            _drop_oldest(own)
        own[task] = None
        try:
            await self._pipe(caller, reader, writer)
        except OSError as error:
            self._refused(caller.name, f"connection: {_reason(error)}")
        finally:
            own.pop(task, None)

    async def _pipe(
        self, caller: Caller, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        path = await self._server_of(caller)
        inner_reader, inner_writer = await asyncio.open_unix_connection(path)
        directions = [
            asyncio.ensure_future(_copy(reader, inner_writer)),
            asyncio.ensure_future(_copy(inner_reader, writer)),
        ]
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for direction in directions:
                direction.cancel()
            await asyncio.gather(*directions, return_exceptions=True)
            inner_writer.close()

    async def _server_of(self, caller: Caller) -> str:
        """Start, once for each certificate, the gRPC server that knows for whom it answers."""
        if caller not in self._servers:
            path = f"{self._sockets.name}/{len(self._servers)}"
            server = grpc.aio.server(
                handlers=[_Forward(caller, self._answer)],
                options=[
                    ("grpc.max_receive_message_length", self._limit),
                    ("grpc.max_concurrent_streams", 64),
                    ("grpc.max_metadata_size", 16_384),
                ],
            )
            server.add_insecure_port(f"unix:{path}")
            self._servers[caller] = (server, path)
            await server.start()
        return self._servers[caller][1]

    async def _answer(
        self, caller: Caller, method: str, request: bytes, context: grpc.aio.ServicerContext
    ) -> bytes:
        metadata = {k: v for k, v in context.invocation_metadata() or () if k in _FORWARDED}
        public_key = metadata.get("flwr-public-key-bin", b"")
        refusal = self._policy.refusal(
            caller, public_key if isinstance(public_key, bytes) else b"", len(request)
        )
        if refusal:
            self._refused(caller.name, refusal)
            # Flower's nodes take PERMISSION_DENIED for "this run is over" and carry on.
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, refusal)
        try:
            return await self._backend.call(method, request, list(metadata.items()))
        except grpc.aio.AioRpcError as error:
            await context.abort(error.code(), error.details() or "")
        except (OSError, TypeError, KeyError, DeploymentError) as error:
            # The SuperLink has not announced itself yet, or in a way that cannot be read.
            await context.abort(grpc.StatusCode.UNAVAILABLE, f"the server is starting: {error}")
        raise AssertionError  # abort() raises

    def _refused(self, name: str, reason: str) -> None:
        """Log a refusal, each at most once a second: a log must not fill a disk."""
        now = time.monotonic()
        if now - self._logged.get((name, reason), -1e9) < 1 or len(self._logged) > 10_000:
            return
        self._logged[name, reason] = now
        try:
            append_event(self._layout.events, "connection refused", node=name, reason=reason)
        except OSError as error:  # a full disk must not open or close the door
            print(f"{name} refused ({reason}); not logged: {error}", file=sys.stderr)


class _Forward(grpc.GenericRpcHandler):
    """Hands every permitted method to one function, as bytes."""

    def __init__(
        self, caller: Caller, answer: Callable[[Caller, str, bytes, Any], Awaitable[bytes]]
    ) -> None:
        self._caller, self._answer = caller, answer

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler | None:
        """Return the handler of a method, or None (UNIMPLEMENTED) for one that no node needs."""
        method = handler_call_details.method
        if method not in METHODS:
            return None

        async def forward(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
            return await self._answer(self._caller, method, request, context)

        return grpc.unary_unary_rpc_method_handler(forward)


def server_context(layout: Layout) -> ssl.SSLContext:
    """Make the gateway's TLS settings: 1.3 only, client certificate required, list consulted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF | ssl.VERIFY_X509_STRICT
    context.load_verify_locations(layout.server / "root.pem")
    context.load_verify_locations(layout.crl)
    context.load_cert_chain(layout.server / "tls.pem", layout.server / "tls.key")
    context.set_alpn_protocols(["h2"])
    # A resumed session would skip the certificate, and with it the revocation list.
    context.num_tickets = 0
    return context


def _reason(error: OSError) -> str:
    """Say in few words why a connection failed."""
    verify = getattr(error, "verify_message", "")
    return str(verify or getattr(error, "reason", "") or str(error) or type(error).__name__)[:200]


def _keep_alive(accepted: socket.socket) -> None:
    with contextlib.suppress(OSError):
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE.items():
            accepted.setsockopt(socket.IPPROTO_TCP, option, value)


def _drop_oldest(tasks: dict[asyncio.Task[None], None]) -> None:
    oldest = next(iter(tasks))
    del tasks[oldest]
    oldest.cancel()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()


def main(root: str, host: str, port: int) -> None:
    """Run the gateway of a deployment in this process."""
    layout = Layout(root)
    settings = layout.read_settings()
    gateway = Gateway(layout, int(settings["max_message_bytes"]))
    try:
        listener = socket.create_server((host, port), backlog=128)
    except OSError as error:
        sys.exit(f"The gateway cannot listen on {host} port {port}: {error.strerror}.")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(gateway.serve(listener))


if __name__ == "__main__":
    from helpers.federated.deployment.processes.common import die_with_parent

    die_with_parent()
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
