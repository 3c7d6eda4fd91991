"""Start a run and be its ServerApp: ``python -m ... FOLDER``.

Enrols the members' keys at the SuperLink, ends what an earlier server left unfinished, submits the
app, and runs it with Flower's own runner.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from queue import Queue

from helpers.federated.deployment.processes.common import (
    die_with_parent,
    poll_quickly,
    stay_small,
    work_alone,
)

die_with_parent()
stay_small()

import grpc
from flwr.cli.build import build_fab_from_files
from flwr.common.grpc import create_channel
from flwr.common.logger import mirror_output_to_queue
from flwr.proto.appio_pb2 import RequestTokenRequest
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    ListRunsRequest,
    RegisterNodeRequest,
    StartRunRequest,
    StopRunRequest,
)
from flwr.proto.control_pb2_grpc import ControlStub
from flwr.proto.fab_pb2 import Fab
from flwr.proto.serverappio_pb2_grpc import ServerAppIoStub
from flwr.server.serverapp.app import run_serverapp

from helpers.federated.deployment.layout import Layout, read_json, write_json
from helpers.federated.deployment.mailbox import bound_uploads
from helpers.federated.deployment.server_app import FOLDER_VARIABLE

_SUPERLINK_SECONDS = 60.0
# All that Flower ships: a reference to code that is installed on the server. The nodes receive it
# too and never run it.
_APP = {
    "pyproject.toml": b"""
[project]
name = "consortium"
version = "1.0.0"
description = "A consortium's federated task"
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "consortium"

[tool.flwr.app.components]
serverapp = "consortium.server:app"
clientapp = "consortium.client:app"
""",
    "consortium/__init__.py": b"",
    "consortium/server.py": b"from helpers.federated.deployment.server_app import app\n",
    "consortium/client.py": b"raise RuntimeError('nodes run the app that they installed')\n",
}


def main(root: str) -> None:
    """Run until the training is complete."""
    layout = Layout(root)
    work_alone(layout.server / "serverapp.lock")
    os.environ[FOLDER_VARIABLE] = str(layout.root)
    poll_quickly()
    bound_uploads()
    log_queue: Queue[str | None] = Queue()
    mirror_output_to_queue(log_queue)
    write_json(layout.state("serverapp"), {"pid": os.getpid()})
    ports = _ports(layout)
    control = ControlStub(_control_channel(layout, ports["control"]))
    enrol(layout, control)
    run_id = _start_run(control)
    address = f"127.0.0.1:{ports['appio']}"
    with create_channel(address, insecure=True) as channel:
        token = ServerAppIoStub(channel).RequestToken(RequestTokenRequest(run_id=run_id)).token
    run_serverapp(address, log_queue, token, flwr_dir=str(layout.server / "flwr"))


def _ports(layout: Layout) -> dict[str, int]:
    deadline = time.monotonic() + _SUPERLINK_SECONDS
    while (ports := read_json(layout.state("superlink"))) is None:
        if time.monotonic() > deadline:
            sys.exit("The SuperLink has not announced its ports: start it first.")
        time.sleep(0.1)
    return dict(ports)


def enrol(layout: Layout, control: ControlStub) -> None:
    """Register the members' public keys, and note under which numbers Flower knows them."""
    members = read_json(layout.server / "members.json")
    keys = {m["name"]: (layout.server / "members" / f"{m['name']}.pem") for m in members}
    known = {node.public_key: node.node_id for node in _nodes(control)}
    for member in members:
        key = keys[member["name"]].read_bytes()
        if key not in known:
            known[key] = control.RegisterNode(RegisterNodeRequest(public_key=key)).node_id
        member["node_id"] = str(known[key])
    write_json(layout.server / "members.json", members)


def _nodes(control: ControlStub) -> list:
    deadline = time.monotonic() + _SUPERLINK_SECONDS
    while True:
        try:
            return list(control.ListNodes(ListNodesRequest(), timeout=5).nodes_info)
        except grpc.RpcError as error:
            if time.monotonic() > deadline:
                raise
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            time.sleep(0.1)


def _start_run(control: ControlStub) -> int:
    """Stop what is unfinished, so that nobody works for it any more, and start anew."""
    for run_id, run in control.ListRuns(ListRunsRequest()).run_dict.items():
        if not run.status.status.startswith("finished"):
            control.StopRun(StopRunRequest(run_id=run_id))
    fab = Fab(content=build_fab_from_files(dict(_APP)))
    return int(control.StartRun(StartRunRequest(fab=fab)).run_id)


def _control_channel(layout: Layout, port: int) -> grpc.Channel:
    root: Path = layout.server / "root.pem"
    return create_channel(f"127.0.0.1:{port}", insecure=False, root_certificates=root.read_bytes())


if __name__ == "__main__":
    main(sys.argv[1])
