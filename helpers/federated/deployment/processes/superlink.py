"""Flower's SuperLink, every API of it on the loopback interface: ``python -m ... FOLDER``."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from helpers.federated.deployment.processes.common import (
    die_with_parent,
    free_ports,
    stay_small,
    work_alone,
)

die_with_parent()
stay_small()

from flwr.server.app import run_superlink
from flwr.server.superlink.fleet.message_handler import message_handler
from flwr.server.superlink.linkstate import LinkStateFactory
from flwr.server.superlink.serverappio.serverappio_servicer import (
    ServerAppIoServicer,
)
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.object_store.utils import store_mapping_and_register_objects

from helpers.federated.deployment.layout import Layout, write_json


def main(root: str) -> None:
    """Run Flower's own command with the arguments of this deployment."""
    layout = Layout(root)
    work_alone(layout.server / "superlink.lock")
    control, appio, fleet = free_ports(3)
    server = layout.server
    sys.argv = [
        "flower-superlink",
        *("--control-api-address", f"127.0.0.1:{control}"),
        *("--serverappio-api-address", f"127.0.0.1:{appio}"),
        *("--fleet-api-address", f"127.0.0.1:{fleet}"),
        *("--ssl-ca-certfile", str(server / "root.pem")),
        *("--ssl-certfile", str(server / "tls.pem")),
        *("--ssl-keyfile", str(server / "tls.key")),
        *("--isolation", "process"),
        "--enable-supernode-auth",
        # On disk, so that a SuperLink that is killed and started again knows its members.
        *("--database", str(server / "superlink.db")),
        *("--storage-dir", str(server / "ffs")),
    ]
    _register_before_announcing()
    # Makes the tables before several threads would at once, and fail on a locked database.
    LinkStateFactory(str(server / "superlink.db")).state()
    ObjectStoreFactory(str(server / "superlink.db")).store()
    LinkStateFactory.state = _once_a_thread(LinkStateFactory.state)  # type: ignore[method-assign,assignment]
    ObjectStoreFactory.store = _once_a_thread(ObjectStoreFactory.store)  # type: ignore[method-assign,assignment]
    ports = {"pid": os.getpid(), "control": control, "appio": appio, "fleet": fleet}
    write_json(layout.state("superlink"), ports)
    run_superlink()


def _register_before_announcing() -> None:
    """Close a race of Flower 1.23 that loses messages in both directions.

    The SuperLink first records that a message is there and then of what parts it consists. Who asks
    in between is told that there is nothing, and the message is deleted for good.
    """
    push_answer = message_handler.push_messages
    push_instructions = ServerAppIoServicer.PushMessages

    def push_messages(request: Any, state: Any, store: Any) -> Any:
        store_mapping_and_register_objects(store, request=request)
        return push_answer(request, state, store)

    def PushMessages(self: ServerAppIoServicer, request: Any, context: Any) -> Any:  # noqa: N802
        store_mapping_and_register_objects(self.objectstore_factory.store(), request=request)
        return push_instructions(self, request, context)

    message_handler.push_messages = push_messages
    ServerAppIoServicer.PushMessages = PushMessages  # type: ignore[method-assign]


def _once_a_thread(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Keep one database connection a thread; Flower opens one, with its tables, a request."""
    kept = threading.local()

    def state(factory: Any) -> Any:
        if not hasattr(kept, "state"):
            kept.state = make(factory)
        return kept.state

    return state


if __name__ == "__main__":
    main(sys.argv[1])
