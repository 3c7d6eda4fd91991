"""A hospital's ClientApp: train on the data that lies in its folder, sign, answer."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from helpers.federated.deployment import messages
from helpers.federated.deployment.dense_task import DenseTask
from helpers.federated.deployment.errors import DeploymentError
from helpers.federated.deployment.numpy_training import train_locally
from helpers.federated.task import ClientData


class Node(NamedTuple):
    """What a hospital's folder holds.

    Attributes
    ----------
    client
        The hospital's position in the task.
    task
        The task that it agreed to.
    data
        Its examples.
    key
        The key that signs its updates.
    """

    client: int
    task: DenseTask
    data: ClientData
    key: ec.EllipticCurvePrivateKey


def open_node(folder: str | Path) -> Node:
    """Read a hospital's folder.

    Raises
    ------
    DeploymentError
        If the data do not fit the task.
    """
    path = Path(folder)
    settings = json.loads((path / "node.json").read_text())
    task, client = DenseTask.load(path), int(settings["client"])
    with np.load(path / "data.npz", allow_pickle=False) as archive:
        data = ClientData(archive["x"].astype(np.float32), archive["y"].astype(np.int32))
    shape = (task.num_examples[client], task.layer_sizes[0])
    if data.x.shape != shape or data.y.shape != shape[:1]:
        raise DeploymentError(
            f"{path / 'data.npz'} holds x {data.x.shape} and y {data.y.shape}; this hospital "
            f"joined with x {shape}. Join again with the new data."
        )
    key = load_ssh_private_key((path / "node.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return Node(client, task, data, key)


def task_digest(fingerprint: dict[str, Any]) -> str:
    """Return the SHA-256 of a task's fingerprint, in hexadecimal."""
    return hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()


def make_app(folder: Path) -> ClientApp:
    """Make the ClientApp of one hospital.

    The app is installed on the node. Flower would send the server's code to every node with the
    first message; here it is not run, so that whoever takes over the server does not get code
    into a hospital.

    Parameters
    ----------
    folder
        The hospital's folder.

    Raises
    ------
    DeploymentError
        If the folder's data are not those the hospital joined with; in a round, if the server asks
        for another task or sends weights of other shapes.
    """
    node = open_node(folder)
    agreed = task_digest(node.task.fingerprint)
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        asked = messages.read_instruction(message)
        if asked.task != agreed:
            raise DeploymentError("the server asks for another task than this hospital agreed to.")
        if [w.shape for w in asked.weights] != node.task.shapes:
            raise DeploymentError("the server sent weights of other shapes than the task's.")
        trained = train_locally(
            asked.weights,
            node.data,
            node.task.local,
            node.task.seed,
            asked.ticket.round_number,
            node.client,
        )
        return messages.reply(
            message, node.key, trained.weights, len(node.data), trained.train_loss
        )

    return app
