"""What a round costs on the network."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from helpers.errors import TaskError
from helpers.federated.validation import require_whole


class Traffic(NamedTuple):
    """Bytes of model data in one round, summed over the clients.

    Attributes
    ----------
    up
        Sent by the clients to the server.
    down
        Sent by the server to the clients.
    """

    up: int
    down: int

    @property
    def total(self) -> int:
        """Bytes in both directions."""
        return self.up + self.down


def bytes_per_round(
    shapes: Iterable[Sequence[int]],
    num_clients: int,
    bytes_per_value: float = 4,
    bytes_per_value_up: float | None = None,
) -> Traffic:
    """Count the bytes that one round moves: each client receives the model and sends one back.

    Headers, encryption and metrics are left out: they do not grow with the model.

    Parameters
    ----------
    shapes
        Shape of each weight array, such as ``[w.shape for w in history.weights]``.
    num_clients
        Number of clients that take part.
    bytes_per_value
        Bytes a weight takes on the way down: 4 for float32, 1 for int8, 0.5 for 4 bits.
    bytes_per_value_up
        Bytes a weight takes on the way up; None is the same as down.

    Returns
    -------
    Traffic
        Whole bytes, rounded up for each client.

    Raises
    ------
    TaskError
        If a count is negative or a size not positive.
    """
    up = bytes_per_value if bytes_per_value_up is None else bytes_per_value_up
    require_whole("num_clients", num_clients, at_least=0)
    if not all(0 < size < math.inf for size in (up, bytes_per_value)):
        raise TaskError(
            f"bytes a value ({bytes_per_value} down, {up} up) must be finite and above 0."
        )
    values = sum(math.prod(shape) for shape in shapes)
    return Traffic(
        up=num_clients * math.ceil(values * up),
        down=num_clients * math.ceil(values * bytes_per_value),
    )
