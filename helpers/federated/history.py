"""What a federated run leaves behind."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class RoundRecord:
    """Measurements of one round.

    In a private task only the weights, ``noise_multiplier``, ``l2_norm_clip`` and ``sample_rate``
    are private. Everything else here is measured without noise, for the eyes of the one who
    simulates: epsilon does not cover publishing it.

    Attributes
    ----------
    round
        Number of the round, from 1.
    clients
        Positions of the clients that took part; none where Poisson sampling drew none.
    num_examples
        Examples that they hold together.
    train_loss
        Mean loss over every batch they trained on, each before its own step; NaN without clients.
    test_accuracy, test_loss
        Of the global model after the round; None in rounds that are not evaluated.
    client_accuracy
        Accuracy of the global model on the data of *every* client, float64 ``(num_clients,)``;
        its spread says whom the average model fails. None in rounds that are not evaluated, or
        not on the clients' data.
    bytes_up, bytes_down
        Model data that the clients sent and received together.
    seconds
        Wall time of the round's training, without evaluation and checkpoint. The first round of
        the TensorFlow Federated engine includes its compilation.
    noise_multiplier, l2_norm_clip
        With which a private task released the round's update; None in any other task.
    sample_rate
        Probability with which each client joined, for accounting; None in a task that is not
        private.
    """

    round: int
    clients: tuple[int, ...]
    num_examples: int
    train_loss: float
    test_accuracy: float | None
    test_loss: float | None
    client_accuracy: np.ndarray | None
    bytes_up: int
    bytes_down: int
    seconds: float
    noise_multiplier: float | None = None
    l2_norm_clip: float | None = None
    sample_rate: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain values that JSON keeps exactly."""
        values = asdict(self)
        if self.client_accuracy is not None:
            values["client_accuracy"] = self.client_accuracy.tolist()
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> RoundRecord:
        """Make a record from what :meth:`to_json` returned."""
        accuracy = values["client_accuracy"]
        restored = {
            "clients": tuple(values["clients"]),
            "client_accuracy": None if accuracy is None else np.array(accuracy),
        }
        return cls(**{**values, **restored})


@dataclass(frozen=True)
class UpcomingRound:
    """What is known of a round before it starts, for those who may forbid it.

    Attributes
    ----------
    round
        Number of the round, from 1.
    run_id
        Name of the run, drawn when it starts; a resumed run keeps it.
    noise_multiplier
        Of the update that a private task will release; None in any other task.
    sample_rate
        Probability with which each client joins; None in a task that is not private.
    """

    round: int
    run_id: str
    noise_multiplier: float | None = None
    sample_rate: float | None = None


@dataclass(frozen=True, eq=False)
class History:
    """Records and final global weights of a run.

    Attributes
    ----------
    records
        One a round, in order.
    weights
        Final global weights, float32, in the order of ``model.trainable_weights``
        (``model.set_weights`` takes them).
    """

    records: list[RoundRecord]
    weights: list[np.ndarray]

    def to_frame(self) -> pd.DataFrame:
        """Return one row a round; per-client accuracy becomes its mean, spread and minimum.

        Returns
        -------
        pandas.DataFrame
            Columns of :class:`RoundRecord`, with ``num_clients`` for ``clients`` and
            ``client_accuracy_mean``, ``_std``, ``_min`` for ``client_accuracy``. Rounds that were
            not evaluated hold NaN. The three columns of a private release are there if the task
            was private.
        """
        import pandas as pd

        return pd.DataFrame([_row(record) for record in self.records])


def _row(record: RoundRecord) -> dict[str, float]:
    def number(value: float | None) -> float:
        return float("nan") if value is None else value

    accuracy = np.array([np.nan]) if record.client_accuracy is None else record.client_accuracy
    released = {
        name: getattr(record, name)
        for name in ("noise_multiplier", "l2_norm_clip", "sample_rate")
        if record.noise_multiplier is not None
    }
    return {
        "round": record.round,
        "num_clients": len(record.clients),
        "num_examples": record.num_examples,
        "train_loss": record.train_loss,
        "test_accuracy": number(record.test_accuracy),
        "test_loss": number(record.test_loss),
        "client_accuracy_mean": float(accuracy.mean()),
        "client_accuracy_std": float(accuracy.std()),
        "client_accuracy_min": float(accuracy.min()),
        "bytes_up": record.bytes_up,
        "bytes_down": record.bytes_down,
        "seconds": record.seconds,
        **released,
    }
