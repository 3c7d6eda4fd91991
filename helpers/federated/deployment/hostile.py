"""A hospital that has been broken into: a real node, certificate and key in order, that lies.

It runs in place of the hospital's own ClientApp (``restart(name, app=APP)``) and lies as a plan in
its folder says, so that each check of the server can be tried against a member.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from helpers.federated.deployment import messages
from helpers.federated.deployment.client_app import Node, open_node
from helpers.federated.deployment.layout import read_json
from helpers.federated.deployment.lies import BACKWARDS, PLAN
from helpers.federated.deployment.numpy_training import Trained, train_locally
from helpers.federated.deployment.updates import SignedUpdate, Ticket, pack


class Answer(NamedTuple):
    """What goes into an update before it is signed; a lie changes one part of it."""

    ticket: Ticket
    arrays: dict[str, bytes]
    num_examples: int


def make_app(folder: Path) -> ClientApp:
    """Make the ClientApp of a hospital that lies.

    Parameters
    ----------
    folder
        The hospital's folder. ``lies.json`` there names the lie of each round, one of
        :data:`~helpers.federated.deployment.lies.LIES`; it is read anew each time, and a round that
        it does not name is honest.
    """
    node, app = open_node(folder), ClientApp()
    sent: list[SignedUpdate] = []

    @app.train()
    def train(message: Message, context: Context) -> Message:
        asked = messages.read_instruction(message)
        number = asked.ticket.round_number
        lie = (read_json(folder / PLAN) or {}).get(str(number), "")
        if lie == "crash":
            raise ValueError("power cut")
        if lie == "replay" and sent:
            return messages.carry(message, sent[0])
        trained = train_locally(
            asked.weights, node.data, node.task.local, node.task.seed, number, node.client
        )
        answer = _bend(lie, node, asked, trained)
        update = SignedUpdate(*answer, trained.train_loss).signed_by(node.key)
        sent.append(update)
        return messages.carry(message, update)

    return app


def _bend(lie: str, node: Node, asked: messages.Instruction, trained: Trained) -> Answer:
    """Make the answer that a lie gives; without one, the honest answer."""
    honest = Answer(asked.ticket, pack(trained.weights), len(node.data))
    if lie == "not a number":
        return honest._replace(arrays=pack([np.full_like(w, np.nan) for w in trained.weights]))
    if lie == "another round":
        return honest._replace(ticket=asked.ticket._replace(round_number=99))
    if lie == "heavy weight":
        return honest._replace(num_examples=10**9)
    if lie == "oversized":
        return honest._replace(arrays={**honest.arrays, "0": bytes(50_000)})
    if lie == "garbage":
        return honest._replace(arrays={**honest.arrays, "0": b"\x93NUMPY\x01\x00garbage"})
    if lie == "flood":  # more than the gateway takes in one message
        noise = np.random.default_rng(0).bytes(2_000_000)
        return honest._replace(arrays={**honest.arrays, "0": noise})
    if lie == "backwards":
        pairs = zip(asked.weights, trained.weights, strict=True)
        return honest._replace(arrays=pack([old - BACKWARDS * (new - old) for old, new in pairs]))
    return honest
