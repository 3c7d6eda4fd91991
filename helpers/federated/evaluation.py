"""Accuracy and loss of the global model, on the test set and on every client's data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import tensorflow as tf

from helpers.federated.model_check import build_model

if TYPE_CHECKING:
    from helpers.federated.task import ClientData, FederatedTask

# Examples scored in one call: large enough to keep the cores busy, small enough for CNNs' memory.
_CHUNK = 1000


class Evaluation(NamedTuple):
    """Quality of one set of weights.

    Attributes
    ----------
    test_accuracy, test_loss
        On the test set.
    client_accuracy
        On each client's data, float64 ``(num_clients,)``; None where that was not asked for.
    """

    test_accuracy: float
    test_loss: float
    client_accuracy: np.ndarray | None


class Evaluator:
    """Scores weights of a task's model, on the clients' data too unless told not to.

    Compiled once.
    """

    def __init__(self, task: FederatedTask, clients: bool = True) -> None:
        self._task = task
        self._clients = clients
        self._model = build_model(task)
        shape = task.test.x.shape[1:]
        self._logits = tf.function(
            lambda x: self._model(x, training=False),
            input_signature=[tf.TensorSpec((None, *shape), tf.float32)],
        )

    def __call__(self, weights: Sequence[np.ndarray]) -> Evaluation:
        """Evaluate float32 ``weights`` in the order of ``model.trainable_weights``."""
        for variable, weight in zip(self._model.trainable_weights, weights, strict=True):
            variable.assign(weight)
        logits = self._predict(self._task.test)
        return Evaluation(
            test_accuracy=float(self._correct(logits, self._task.test.y).mean()),
            test_loss=self._mean_loss(logits, self._task.test.y),
            client_accuracy=self._client_accuracy() if self._clients else None,
        )

    def _client_accuracy(self) -> np.ndarray:
        hits = self._correct(self._predict(self._task.stacked), self._task.stacked.y)
        return np.asarray(np.add.reduceat(hits, self._task.starts) / self._task.sizes)

    def _predict(self, data: ClientData) -> np.ndarray:
        chunks = range(0, len(data), _CHUNK)
        return np.concatenate([self._logits(data.x[at : at + _CHUNK]).numpy() for at in chunks])

    def _correct(self, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        if self._task.loss == "binary_crossentropy":
            return ((logits[:, 0] > 0) == labels).astype(np.float64)
        return (logits.argmax(axis=1) == labels).astype(np.float64)

    def _mean_loss(self, logits: np.ndarray, labels: np.ndarray) -> float:
        scores = logits.astype(np.float64)
        if self._task.loss == "binary_crossentropy":
            # One logit z is the two logits (0, z).
            scores = np.concatenate([np.zeros_like(scores), scores], axis=1)
        chosen = scores[np.arange(len(labels)), labels]
        return float((np.logaddexp.reduce(scores, axis=1) - chosen).mean())
