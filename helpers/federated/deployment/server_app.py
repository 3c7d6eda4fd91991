"""The ServerApp: rounds with a deadline, a guard before the average, a checkpoint after it."""

from __future__ import annotations

import os
import secrets
import time
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from flwr.app import Context, Message
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.server import Grid
from flwr.serverapp import ServerApp

from helpers.errors import DivergenceError, TaskError
from helpers.federated.averaging import initial_server_state, server_step
from helpers.federated.checkpoint import Checkpoint, CheckpointFolder
from helpers.federated.deployment import messages
from helpers.federated.deployment.client_app import task_digest
from helpers.federated.deployment.dense_task import DenseTask
from helpers.federated.deployment.errors import DeploymentError, RejectedUpdate
from helpers.federated.deployment.layout import Layout, append_event, read_json, write_json
from helpers.federated.deployment.mailbox import Mailbox
from helpers.federated.deployment.numpy_training import accuracy, mean_loss
from helpers.federated.deployment.reports import last_checkpoint
from helpers.federated.deployment.updates import Admitted, Member, Ticket, UpdateGate
from helpers.federated.history import RoundRecord
from helpers.federated.receiving import average
from helpers.federated.robust.aggregator import ReceivedRound
from helpers.federated.sampling import round_generator, sample_clients
from helpers.federated.task import ClientData
from helpers.federated.traffic import bytes_per_round

FOLDER_VARIABLE = "EDGESEC_CONSORTIUM"
_POLL = 0.2
_ATTEMPTS = 5

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train the consortium's task; Flower calls this when a run starts."""
    server = Server(Layout(os.environ[FOLDER_VARIABLE]), grid, context.run_id)
    server.run()


class Server:
    """The rounds of one run.

    Parameters
    ----------
    layout
        The deployment's folder.
    grid
        Flower's way to the nodes.
    run_id
        Flower's number of this run. A server that was killed gets a new one when it resumes.
    """

    def __init__(self, layout: Layout, grid: Grid, run_id: int) -> None:
        self._layout, self._grid, self._run_id = layout, grid, run_id
        self._settings = layout.read_settings()
        self._task = DenseTask.load(layout.server)
        self._members = _members(layout, self._task)
        with np.load(layout.server / "test.npz", allow_pickle=False) as archive:
            self._test = ClientData(archive["x"], archive["y"])
        self._digest = task_digest(self._task.fingerprint)
        self._checkpoints = CheckpointFolder(layout.checkpoints, self._task.fingerprint)
        self._weights = list(self._task.initial_weights)
        self._previous = np.zeros(sum(w.size for w in self._weights), np.float32)
        self._optimiser = initial_server_state(self._task.server, self._weights)
        self._records: list[RoundRecord] = []
        self._first = 1
        self._gate = UpdateGate(self._task.shapes)
        self._mailbox = Mailbox(grid)

    def run(self) -> None:
        """Train up to the number of rounds that is asked for, from the last checkpoint on.

        Raises
        ------
        DeploymentError, DivergenceError
            If a round fails again and again, or training diverges.
        """
        self._resume()
        rounds, self._first = int(self._settings["rounds"]), len(self._records) + 1
        self._event("run started", run=str(self._run_id), first_round=self._first)
        for number in range(self._first, rounds + 1):
            self._records.append(self._round(number))
            self._save()
        self._log_late(rounds + 1)
        write_json(self._layout.history, [record.to_json() for record in self._records])
        weights = {f"w{i}": weight for i, weight in enumerate(self._weights)}
        np.savez(self._layout.server / "final_weights.npz", **weights)
        self._event("run finished", rounds=rounds)

    def _resume(self) -> None:
        saved = last_checkpoint(self._layout, self._task)
        if saved is None:
            return
        self._previous, *arrays = saved.arrays
        count = len(self._weights)
        self._weights, self._optimiser = arrays[:count], arrays[count:]
        self._records = saved.records

    def _save(self) -> None:
        arrays = [self._previous, *self._weights, *self._optimiser]
        self._checkpoints.save(Checkpoint(arrays, self._records))

    def _round(self, number: int) -> RoundRecord:
        task, start = self._task, time.perf_counter()
        sampled = sample_clients(task.seed, number, len(task.clients), task.num_sampled)
        quorum = min(int(self._settings["quorum"]), len(sampled))
        problem = ""
        for attempt in range(1, _ATTEMPTS + 1):
            admitted = sorted(self._attempt(number, sampled, quorum))
            problem = f"{len(admitted)} usable updates, {quorum} are needed"
            if len(admitted) >= quorum:
                try:
                    return self._apply(number, admitted, time.perf_counter() - start)
                except DivergenceError:
                    raise
                except TaskError as error:  # the robust rule cannot work with so few
                    problem = str(error)
            self._event("round repeated", round=number, attempt=attempt, reason=problem)
        raise DeploymentError(f"Round {number} failed {_ATTEMPTS} times: {problem}.")

    def _apply(self, number: int, admitted: list[Admitted], seconds: float) -> RoundRecord:
        """Aggregate one round's updates, take the server's step, and measure."""
        task = self._task
        clients = np.array([update.client for update in admitted], np.int64)
        vector = self._aggregate(number, clients, [u.weights for u in admitted])
        ends = np.cumsum([w.size for w in self._weights])[:-1]
        update = [
            part.reshape(w.shape)
            for part, w in zip(np.split(vector, ends), self._weights, strict=True)
        ]
        optimiser, weights = server_step(task.server, self._optimiser, self._weights, update)
        if not all(np.isfinite(w).all() for w in weights):
            raise DivergenceError(f"Training diverged in round {number}.")
        self._optimiser, self._weights, self._previous = optimiser, weights, vector
        counts = task.sizes[clients]
        traffic = bytes_per_round(task.shapes, len(clients))
        record = RoundRecord(
            round=number,
            clients=tuple(int(client) for client in clients),
            num_examples=int(counts.sum()),
            train_loss=float(np.average([u.train_loss for u in admitted], weights=counts)),
            test_accuracy=accuracy(weights, self._test),
            test_loss=mean_loss(weights, self._test),
            client_accuracy=None,  # would need the hospitals' data
            bytes_up=traffic.up,
            bytes_down=traffic.down,
            seconds=seconds,
        )
        self._event(
            "round done",
            round=number,
            clients=list(record.clients),
            test_accuracy=record.test_accuracy,
            seconds=round(seconds, 3),
        )
        return record

    def _aggregate(
        self, number: int, clients: np.ndarray, sent: list[list[np.ndarray]]
    ) -> np.ndarray:
        """Make one update, float32 ``(d,)``, of the weights that the clients sent."""
        task = self._task
        updates = np.stack(
            [
                np.concatenate([(n - o).ravel() for n, o in zip(new, self._weights, strict=True)])
                for new in sent
            ]
        )
        counts = task.sizes[clients] if task.weighting == "examples" else np.ones(len(clients))
        received = ReceivedRound(
            updates=updates,
            num_examples=np.asarray(counts, np.float64),
            clients=clients,
            round_number=number,
            previous=self._previous,
            server_update=None,
            rng=lambda: round_generator(task.seed, "aggregation", number),
        )
        return np.asarray((task.aggregator or average)(received), np.float32)

    def _attempt(self, number: int, sampled: np.ndarray, quorum: int) -> list[Admitted]:
        """Ask the sampled nodes that are online, and take in answers until the deadline."""
        asked = self._wait_for_nodes(number, set(sampled.tolist()), quorum)
        challenge = secrets.token_bytes(32)
        self._gate.open_round(self._run_id, number, challenge, asked)
        self._event("round started", round=number, clients=[m.client for m in asked.values()])
        tickets = {node: Ticket(self._run_id, number, challenge, node) for node in asked}
        sent = self._mailbox.send(
            number,
            {n: messages.instruction(t, self._weights, self._digest) for n, t in tickets.items()},
        )
        deadline = time.monotonic() + float(self._settings["deadline"])
        admitted: list[Admitted] = []
        for node, answer in self._mailbox.answers(sent, deadline):
            admitted += self._admitted(node, answer, number)
        for node in self._mailbox.unanswered(sent):
            self._reject(number, node, "no answer", "none before the deadline.")
        self._log_late(number)
        return admitted

    def _wait_for_nodes(self, number: int, sampled: set[int], quorum: int) -> dict[int, Member]:
        """Return the sampled nodes that are online, at least the quorum.

        The first round of a run waits for all of them until the deadline, because they start
        when the server does; later rounds do not wait for a node that is away.

        Parameters
        ----------
        number
            Number of the round.
        sampled
            Positions of the clients that this round draws.
        quorum
            How many must be online in the end; the wait for these has no limit.
        """
        patience = float(self._settings["deadline"]) if number == self._first else 0.0
        deadline = time.monotonic() + patience
        told = False
        while True:
            online = set(self._grid.get_node_ids())
            here = {
                node: member
                for node, member in self._members.items()
                if member.client in sampled and node in online
            }
            late = time.monotonic() > deadline
            if len(here) == len(sampled) or (late and len(here) >= quorum):
                return here
            if late and not told:
                told = True
                self._event("waiting for nodes", round=number, online=len(here), needed=quorum)
            time.sleep(_POLL)

    def _admitted(self, node: int, answer: Message | Exception, number: int) -> list[Admitted]:
        try:
            if isinstance(answer, Exception):  # whatever bytes can make of Flower's parser
                raise RejectedUpdate("malformed", f"{type(answer).__name__}: {answer}"[:200])
            sender = answer.metadata.src_node_id
            if sender == SUPERLINK_NODE_ID and answer.has_error():  # in place of the node's answer
                raise RejectedUpdate("no answer", (answer.error.reason or "unavailable")[:200])
            if sender != node:
                raise RejectedUpdate("wrong node", f"node {sender} answers for another.")
            admitted = self._gate.admit(node, messages.read_reply(answer))
            self._event("update admitted", round=number, node=self._members[node].name)
            return [admitted]
        except RejectedUpdate as error:
            self._reject(number, node, error.reason, error.detail)
            return []

    def _log_late(self, number: int) -> None:
        for node, asked in self._mailbox.late(before=number):
            self._reject(asked, node, "late", f"arrived in round {number}.")

    def _reject(self, number: int, node: int, reason: str, detail: str) -> None:
        member = self._members.get(node)
        self._event(
            "update rejected",
            round=number,
            node=member.name if member else str(node),
            reason=reason,
            detail=detail,
        )

    def _event(self, event: str, **details: Any) -> None:
        append_event(self._layout.events, event, **details)


def _members(layout: Layout, task: DenseTask) -> dict[int, Member]:
    """Return who may take part, by Flower's number of the node."""
    members = {}
    for line in read_json(layout.server / "members.json"):
        key = load_ssh_public_key((layout.server / "members" / f"{line['name']}.pub").read_bytes())
        assert isinstance(key, ec.EllipticCurvePublicKey)
        client = int(line["client"])
        members[int(line["node_id"])] = Member(client, line["name"], key, task.num_examples[client])
    return members
