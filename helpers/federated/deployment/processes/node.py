"""A hospital: Flower's SuperNode and, in a process of its own, the ClientApp.

``python -m helpers.federated.deployment.processes.node FOLDER --server HOST:PORT`` is all that a
hospital runs. The SuperNode is Flower's own, with three things set from outside:

* its channel presents the hospital's certificate (mutual TLS, which Flower has no option for);
* it asks for work at least once a second instead of every three seconds, and sends on the way the
  replies that Flower's loop has overlooked;
* a node that was killed first signs off under its own key, because the server would otherwise take
  it for online, and refuse it, until its heartbeat is overdue.

The ClientApp's process is long-lived: Flower's own would import everything anew for each message.
If either of the two dies, the other ends too, for a SuperNode without its ClientApp accepts work
that nobody does.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from logging import ERROR
from pathlib import Path
from threading import Lock, Thread
from types import SimpleNamespace
from typing import Any

from helpers.federated.deployment.layout import write_json
from helpers.federated.deployment.processes.common import (
    PARENT_VARIABLE,
    Pace,
    die_with_parent,
    free_ports,
    poll_quickly,
    stay_small,
)

die_with_parent()
stay_small()

import grpc
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from flwr.app import Error
from flwr.client.grpc_rere_client import connection
from flwr.clientapp import ClientApp
from flwr.common import Message
from flwr.common.constant import TRANSPORT_TYPE_GRPC_RERE, ErrorCode
from flwr.common.grpc import create_channel
from flwr.common.inflatable_utils import ObjectUnavailableError
from flwr.common.logger import log
from flwr.common.retry_invoker import RetryInvoker
from flwr.proto.appio_pb2 import ListAppsToLaunchRequest, RequestTokenRequest
from flwr.proto.clientappio_pb2_grpc import ClientAppIoStub
from flwr.proto.fleet_pb2 import DeactivateNodeRequest
from flwr.proto.fleet_pb2_grpc import FleetStub
from flwr.supercore.object_store.utils import store_mapping_and_register_objects
from flwr.supernode import start_client_internal as supernode
from flwr.supernode.runtime.run_clientapp import (
    pull_clientappinputs,
    push_clientappoutputs,
)
from flwr.supernode.servicer.clientappio import ClientAppIoServicer

_RETRY_SECONDS, _PATIENCE = 2.0, 60
_PASSING = (
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)
DEFAULT_APP = "helpers.federated.deployment.client_app:make_app"


def main() -> None:
    """Run one hospital until it is ended."""
    parser = argparse.ArgumentParser(description="Run a hospital's node.")
    parser.add_argument("folder", type=Path, help="the hospital's folder")
    parser.add_argument("--server", required=True, metavar="HOST:PORT", help="the gateway")
    parser.add_argument(
        "--app",
        default=DEFAULT_APP,
        metavar="MODULE:FUNCTION",
        help="makes the ClientApp from the folder [default: %(default)s]",
    )
    parser.add_argument("--state", type=Path, help="file in which to announce the process ids")
    arguments = parser.parse_args()  # fmt: skip
    poll_quickly()
    app = _load(arguments.app)(arguments.folder)
    address = f"127.0.0.1:{free_ports(1)[0]}"
    # Both processes share what is imported so far; gRPC has not started a thread yet.
    parent, child = os.getpid(), os.fork()
    if child == 0:
        os.environ[PARENT_VARIABLE] = str(parent)
        die_with_parent()
        _run_client_app(app, address)
        return
    Thread(target=_end_with, args=(child,), daemon=True).start()
    if arguments.state:
        write_json(arguments.state, {"pid": os.getpid(), "clientapp": child})
    try:
        _run_supernode(arguments.folder, arguments.server, address)
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    sys.exit(1)  # a SuperNode only ever ends because it was refused


def _load(reference: str) -> Callable[[Path], ClientApp]:
    module, _, name = reference.partition(":")
    make: Callable[[Path], ClientApp] = getattr(importlib.import_module(module), name)
    return make


def _end_with(child: int) -> None:
    os.waitpid(child, 0)
    os._exit(1)


def _run_supernode(folder: Path, server: str, address: str) -> None:
    key = load_ssh_private_key((folder / "node.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    credentials = partial(
        grpc.ssl_channel_credentials,
        private_key=(folder / "tls.key").read_bytes(),
        certificate_chain=(folder / "tls.pem").read_bytes(),
    )
    connection.create_channel = partial(_mutual_tls_channel, credentials)
    supernode.grpc_request_response = partial(
        _after_signing_off, supernode.grpc_request_response, folder / "node_id"
    )
    supernode._make_simple_grpc_retry_invoker = _retry_invoker
    outbox = Outbox(supernode._push_messages)
    supernode._push_messages = outbox.push  # type: ignore[assignment]
    _register_before_storing()
    supernode.time = SimpleNamespace(sleep=waiting(outbox, Pace()))  # type: ignore[assignment]
    supernode.start_client_internal(
        server_address=server,
        node_config={},
        root_certificates=(folder / "root.pem").read_bytes(),
        insecure=False,
        transport=TRANSPORT_TYPE_GRPC_RERE,
        authentication_keys=(key, key.public_key()),
        isolation="process",
        clientappio_api_address=address,
        flwr_path=folder,
    )


class Outbox:
    """Sends what Flower's loop has overlooked.

    The loop takes a message, waits until there is *a* reply, and sends that. Where a run ends just
    after the last part of a message has come, the loop drops the message and the ClientApp answers
    it all the same. From then on every reply would wait for the next message, and be late.

    Parameters
    ----------
    push
        Flower's function that waits for replies and sends them.
    """

    def __init__(self, push: Callable[..., None]) -> None:
        self._push = push
        self._arguments: dict[str, Any] = {}

    def push(self, **arguments: Any) -> None:
        """Do what Flower's function does, and remember with what."""
        self._arguments = arguments
        self._push(**arguments)

    def flush(self) -> None:
        """Send the replies that are there, without waiting for any."""
        if not self._arguments:
            return
        state = self._arguments["state"]
        if replies := state.get_messages(is_reply=True):  # which marks them as taken
            taken = SimpleNamespace(
                get_messages=lambda **_: replies, delete_messages=state.delete_messages
            )
            self._push(**{**self._arguments, "state": taken})


def waiting(outbox: Outbox, pace: Pace) -> Callable[[float], None]:
    """Return what stands in for the pauses of Flower's loop."""

    def sleep(seconds: float) -> None:
        # Three seconds is Flower's wait for work, half a second its wait for the ClientApp.
        if seconds < 1:
            pace.worked()
        else:
            outbox.flush()
        pace.wait()

    return sleep


def _register_before_storing() -> None:
    """Close a race of Flower 1.23: a reply seen before its parts are known ends the loop."""
    push = ClientAppIoServicer.PushMessage

    def PushMessage(self: ClientAppIoServicer, request: Any, context: Any) -> Any:  # noqa: N802
        store_mapping_and_register_objects(self.objectstore_factory.store(), request=request)
        return push(self, request, context)

    ClientAppIoServicer.PushMessage = PushMessage  # type: ignore[method-assign]


def _mutual_tls_channel(
    credentials: Callable[..., grpc.ChannelCredentials],
    server_address: str,
    insecure: bool,
    root_certificates: bytes,
    max_message_length: int,
    interceptors: Any,
) -> grpc.Channel:
    """Make Flower's channel, with the hospital's certificate in it."""
    assert not insecure
    channel = grpc.secure_channel(
        server_address,
        credentials(root_certificates),
        options=[
            ("grpc.max_send_message_length", max_message_length),
            ("grpc.max_receive_message_length", max_message_length),
            ("grpc.initial_reconnect_backoff_ms", 200),
            ("grpc.min_reconnect_backoff_ms", 2000),
            ("grpc.max_reconnect_backoff_ms", int(1000 * _RETRY_SECONDS)),
        ],
    )
    return grpc.intercept_channel(channel, *interceptors)


@contextmanager
def _after_signing_off(connect: Callable, remembered: Path, *arguments: Any) -> Iterator[tuple]:
    """Sign off a former life of this node, connect, and remember under which number."""
    address, _, _, limit, root, keys = arguments
    if remembered.exists():
        sign = connection.NodeAuthClientInterceptor(*keys)
        create_channel: Any = connection.create_channel
        channel = create_channel(address, False, root, limit, [sign])
        _sign_off(FleetStub(channel), int(remembered.read_text()))
        channel.close()
    with connect(*arguments) as primitives:
        remembered.write_text(str(primitives[0]))
        yield primitives


def _sign_off(stub: FleetStub, node_id: int) -> None:
    """Ask until the server has answered, whatever it says."""
    while True:
        try:
            stub.DeactivateNode(DeactivateNodeRequest(node_id=node_id), timeout=10)
        except grpc.RpcError as error:
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                time.sleep(1)
                continue
            # It had signed off, or is not known (any more), or is refused: connecting will tell.
        return


def _retry_invoker() -> RetryInvoker:
    """Retry for ever while the server is away, at most two seconds apart.

    A server that is there and stumbles (its database is busy, it does not know this node *yet*, or
    takes it for online from before) is asked again too, but not for ever.
    """
    stumbles = [0]

    def gives_up(error: Exception) -> bool:
        code = error.code()  # type: ignore[attr-defined]
        if code is grpc.StatusCode.PERMISSION_DENIED:  # Flower's way to say that a run is over
            raise supernode.RunNotRunningException
        if code is grpc.StatusCode.UNAUTHENTICATED:
            # The heartbeat may be the one to hear it, while the main thread waits for an answer
            # of the ClientApp that never comes; an exception would then end the heartbeat alone.
            log(ERROR, "The server refuses this node: %s", error.details())  # type: ignore[attr-defined]
            os._exit(1)
        if code in _PASSING:
            stumbles[0] += 1
            return stumbles[0] > _PATIENCE
        return code is not grpc.StatusCode.UNAVAILABLE

    def forgets(_: Any) -> None:
        stumbles[0] = 0

    def waits() -> Generator[float, None, None]:
        delay = 0.1
        while True:
            yield delay
            delay = min(2 * delay, _RETRY_SECONDS)

    return RetryInvoker(
        wait_gen_factory=waits,
        recoverable_exceptions=grpc.RpcError,
        max_tries=None,
        max_time=None,
        on_success=forgets,
        should_giveup=gives_up,
        jitter=None,
    )


def _run_client_app(app: ClientApp, address: str) -> None:
    """Answer the SuperNode's messages, each in a thread of its own.

    A server that dies while it hands out a message leaves the node with the first part of it, and
    Flower then waits up to two hours for the others. The messages of the next run must not wait
    with it.
    """
    stub = ClientAppIoStub(create_channel(address, insecure=True))
    pace, turn = Pace(longest=0.5), Lock()
    while True:
        try:
            runs = stub.ListAppsToLaunch(ListAppsToLaunchRequest(), timeout=10).run_ids
            tokens = [stub.RequestToken(RequestTokenRequest(run_id=run)).token for run in runs]
            for token in filter(None, tokens):
                Thread(target=_answer_or_end, args=(app, stub, token, turn), daemon=True).start()
                pace.worked()
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
        pace.wait()


def _answer_or_end(app: ClientApp, stub: ClientAppIoStub, token: str, turn: Lock) -> None:
    try:
        _answer(app, stub, token, turn)
    except ObjectUnavailableError as error:
        log(ERROR, "A message never arrived whole", exc_info=error)
    except Exception as error:
        if isinstance(error, grpc.RpcError) and error.code() is grpc.StatusCode.UNAVAILABLE:
            return
        log(ERROR, "The ClientApp's process ends", exc_info=error)
        os._exit(1)


def _answer(app: ClientApp, stub: ClientAppIoStub, token: str, turn: Lock) -> None:
    message, context, _, _ = pull_clientappinputs(stub, token)
    with turn:  # the app may count on being called once at a time
        try:
            reply = app(message, context)
        # Whatever the hospital's app raises becomes an error reply, as with Flower's own runner.
        except Exception as error:
            log(ERROR, "ClientApp raised an exception", exc_info=error)
            reason = f"{type(error).__name__}: {error}"
            reply = Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason), reply_to=message)
        push_clientappoutputs(stub, token, reply, context)


if __name__ == "__main__":
    main()
