"""Between Flower's messages and ours: instructions to train, and signed replies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from flwr.common import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Message,
    MessageType,
    MetricRecord,
    RecordDict,
)
from flwr.common.constant import SType

from helpers.federated.deployment.errors import RejectedUpdate
from helpers.federated.deployment.updates import SignedUpdate, Ticket, pack

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec


class Instruction(NamedTuple):
    """What the server asks a node to do.

    Attributes
    ----------
    ticket
        For what the answer will be good.
    weights
        Global weights, float32.
    task
        SHA-256 of the task's fingerprint; a node trains only the task that it agreed to.
    """

    ticket: Ticket
    weights: list[np.ndarray]
    task: str


def instruction(ticket: Ticket, weights: Sequence[np.ndarray], task: str) -> Message:
    """Make the message that asks a node to train, from the global weights, float32."""
    config = {
        "server-round": ticket.round_number,
        "challenge": ticket.challenge,
        "task": task,
    }
    return Message(
        RecordDict({"arrays": array_record(weights), "config": ConfigRecord(config)}),  # type: ignore[arg-type]
        dst_node_id=ticket.node_id,
        message_type=MessageType.TRAIN,
        group_id=str(ticket.round_number),
    )


def read_instruction(message: Message) -> Instruction:
    """Read what :func:`instruction` made, on the node."""
    config = message.content.config_records["config"]
    ticket = Ticket(
        message.metadata.run_id,
        int(config["server-round"]),  # type: ignore[arg-type]
        bytes(config["challenge"]),  # type: ignore[arg-type]
        message.metadata.dst_node_id,
    )
    weights = message.content.array_records["arrays"].to_numpy_ndarrays()
    return Instruction(ticket, weights, str(config["task"]))


def reply(
    message: Message,
    key: ec.EllipticCurvePrivateKey,
    weights: Sequence[np.ndarray],
    num_examples: int,
    train_loss: float,
    ticket: Ticket | None = None,
) -> Message:
    """Sign an update and make the message that carries it to the server.

    Parameters
    ----------
    message
        The instruction that it answers.
    key
        The node's key.
    weights
        New weights.
    num_examples, train_loss
        What the client reports.
    ticket
        For what to sign it; None is what the instruction asks for. (An attacker signs otherwise.)
    """
    update = SignedUpdate(
        read_instruction(message).ticket if ticket is None else ticket,
        pack(weights),
        num_examples,
        train_loss,
    )
    return carry(message, update.signed_by(key))


def carry(message: Message, update: SignedUpdate) -> Message:
    """Make the reply that carries a signed update."""
    arrays = {
        name: Array("float32", (), SType.NUMPY, content) for name, content in update.arrays.items()
    }
    metrics: dict[str, Any] = {"num-examples": update.num_examples, "train-loss": update.train_loss}
    proof = {
        "run": str(update.ticket.run_id),
        "round": update.ticket.round_number,
        "challenge": update.ticket.challenge,
        "node": str(update.ticket.node_id),
        "signature": update.signature,
    }
    content = {
        "arrays": ArrayRecord(arrays),
        "metrics": MetricRecord(metrics),
        "proof": ConfigRecord(proof),  # type: ignore[arg-type]
    }
    return Message(RecordDict(content), reply_to=message)  # type: ignore[arg-type]


def read_reply(message: Message) -> SignedUpdate:
    """Read a reply without believing anything in it.

    Raises
    ------
    RejectedUpdate
        If it is an error or lacks a part.
    """
    if message.has_error():
        raise RejectedUpdate("error", f"the node reports: {str(message.error.reason)[:200]}")
    try:
        proof = message.content.config_records["proof"]
        metrics = message.content.metric_records["metrics"]
        arrays = message.content.array_records["arrays"]
        ticket = Ticket(
            _unsigned(proof["run"]),
            _unsigned(proof["round"]),
            _bytes(proof["challenge"]),
            _unsigned(proof["node"]),
        )
        return SignedUpdate(
            ticket,
            {str(name): _bytes(array.data) for name, array in arrays.items()},
            _count(metrics["num-examples"]),
            float(metrics["train-loss"]),  # type: ignore[arg-type]
            _bytes(proof["signature"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise RejectedUpdate(
            "malformed", f"the reply lacks a part or has a wrong one ({error!r:.120})."
        ) from error


def array_record(weights: Sequence[np.ndarray]) -> ArrayRecord:
    """Make an ArrayRecord whose names are positions, so that their order is kept."""
    named = {str(i): Array(np.ascontiguousarray(w)) for i, w in enumerate(weights)}
    return ArrayRecord(named)


def _unsigned(value: object) -> int:
    number = int(value)  # type: ignore[call-overload]
    if not 0 <= number < 2**64:
        raise ValueError(f"{number} is not a number of 64 bits")
    return int(number)


def _count(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value < 2**62:
        raise ValueError(f"{value!r} is not a count")
    return value


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(f"{type(value).__name__} instead of bytes")
    return value
