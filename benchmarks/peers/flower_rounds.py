"""Peer of federated_engines.py: FedAvg as a Flower app, with Ray or in this process.

Run by federated_engines.py; the environment needs flwr and numpy, for ``--backend ray``
``flwr[simulation]``, for ``--client keras`` also tensorflow. Reads the task from an .npz file,
writes the weights after each round to another, prints the seconds of each round as a JSON object.
"""

from __future__ import annotations

import argparse
import copy
import importlib.metadata
import json
import os
import time
from collections.abc import Iterable
from typing import Any

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import numpy as np
from flower_client import Weights, make_client, read
from flwr.app import ArrayRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.typing import Run
from flwr.server.grid import Grid
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task")
    parser.add_argument("out")
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--backend", choices=("in-process", "ray"), required=True)
    parser.add_argument("--client", choices=("numpy", "keras"), required=True)
    options = parser.parse_args()
    client_app = make_client(options.task, options.client)
    task = read(options.task)
    trail: list[Weights] = []
    wall: list[float] = []
    cpu: list[float] = []

    def after(server_round: int, arrays: ArrayRecord) -> None:
        # Called before the first round and after each.
        wall.append(time.perf_counter())
        cpu.append(time.process_time())
        if server_round:
            trail.append(arrays.to_numpy_ndarrays())

    def serve(grid: Grid) -> None:
        nodes = task["clients"]
        FedAvg(
            fraction_train=1.0,
            fraction_evaluate=0.0,
            min_train_nodes=nodes,
            min_available_nodes=nodes,
        ).start(grid, ArrayRecord(task["weights"]), options.rounds, evaluate_fn=after)

    if options.backend == "ray":
        simulate(client_app, serve, task["clients"])
    else:
        serve(InProcessGrid(client_app, task["clients"]))
    np.savez(options.out, **{f"{r}_{i}": w for r, ws in enumerate(trail) for i, w in enumerate(ws)})
    packages = ("flwr", "ray") if options.backend == "ray" else ("flwr",)
    result = {
        "seconds": np.diff(wall).tolist(),
        # Ray's workers are processes of their own, whose work this clock does not see.
        "cpu_seconds": np.diff(cpu).tolist() if options.backend == "in-process" else None,
        # Flower starts Ray within its first round.
        "first_round_seconds": wall[1] - wall[0],
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }
    print(json.dumps(result), flush=True)


class InProcessGrid(Grid):
    """Hand each message to the client app in this process, one node after another."""

    def __init__(self, app: ClientApp, nodes: int) -> None:
        self._app = app
        self._contexts = {
            node: Context(0, node, {"partition-id": node - 1}, RecordDict(), {})
            for node in range(1, nodes + 1)
        }
        self._replies: dict[str, Message] = {}

    def set_run(self, run_id: int) -> None:
        """Ignore the run: there is one."""

    @property
    def run(self) -> Run:
        """Return the only run."""
        return Run.create_empty(0)

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Make a message to a node."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """Return the nodes."""
        return list(self._contexts)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Let the nodes answer at once."""
        numbers = []
        for number, message in enumerate(messages):
            # A node owns what it received, as it would across a wire.
            received = copy.deepcopy(message)
            received.metadata.__dict__["_message_id"] = str(number)
            context = self._contexts[message.metadata.dst_node_id]
            self._replies[str(number)] = self._app(received, context)
            numbers.append(str(number))
        return numbers

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the answers."""
        return [self._replies.pop(number) for number in message_ids]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Send and return the answers."""
        return self.pull_messages(self.push_messages(messages))


def simulate(client_app: ClientApp, serve: Any, nodes: int) -> None:
    """Run the app in Flower's simulation engine, one core a client."""
    from flwr.simulation import run_simulation

    server_app = ServerApp()

    @server_app.main()
    def main(grid: Grid, context: Context) -> None:
        serve(grid)

    resources: dict[str, Any] = {"num_cpus": 1, "num_gpus": 0.0}
    run_simulation(server_app, client_app, nodes, backend_config={"client_resources": resources})


if __name__ == "__main__":
    main()
