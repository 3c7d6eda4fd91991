"""A hospital that lies in another way each round; runs as a real node of a real deployment."""

from pathlib import Path

import numpy as np
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from helpers.federated.deployment import messages
from helpers.federated.deployment.client_app import open_node
from helpers.federated.deployment.numpy_training import train_locally
from helpers.federated.deployment.updates import SignedUpdate, pack

# What the attacker does in a round, and as what the server must refuse it.
ROUNDS = {
    1: ("honest", None),
    2: ("replay", "replayed"),
    3: ("nan", "not finite"),
    4: ("another round", "wrong round"),
    5: ("oversized", "oversized"),
    6: ("garbage", "malformed"),
    7: ("raise", "error"),
    8: ("heavy weight", "wrong count"),
    9: ("flood", "no answer"),
}


def make_app(folder: Path) -> ClientApp:
    """Make the attacker's ClientApp; it holds a genuine certificate and key."""
    node, app = open_node(folder), ClientApp()
    recorded: list[SignedUpdate] = []

    @app.train()
    def train(message: Message, context: Context) -> Message:
        asked = messages.read_instruction(message)
        what = ROUNDS[asked.ticket.round_number][0]
        weights, loss = train_locally(
            asked.weights, node.data, node.task.local, node.task.seed,
            asked.ticket.round_number, node.client,
        )  # fmt: skip
        ticket, count = asked.ticket, len(node.data)
        if what == "raise":
            raise ValueError("power cut")
        if what == "replay":
            return messages.carry(message, recorded[0])
        if what == "nan":
            weights = [np.full_like(w, np.nan) for w in weights]
        if what == "another round":
            ticket = ticket._replace(round_number=99)
        if what == "heavy weight":
            count = 10**9
        packed = pack(weights)
        if what == "oversized":
            packed["0"] = bytes(50_000)
        if what == "garbage":
            packed["0"] = b"\x93NUMPY\x01\x00garbage"
        if what == "flood":  # more than the gateway takes in one message
            packed["0"] = np.random.default_rng(0).bytes(2_000_000)
        update = SignedUpdate(ticket, packed, count, loss).signed_by(node.key)
        recorded.append(update)
        return messages.carry(message, update)

    return app
