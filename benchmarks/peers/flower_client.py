"""The client of flower_rounds.py, in a module that Ray's workers can import too."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

Weights = list[np.ndarray]


@cache
def read(path: str) -> dict[str, Any]:
    """Read the task once a process."""
    with np.load(path) as found:
        task: dict[str, Any] = dict(found)
    count = sum(1 for name in task if name.startswith("x_"))
    layers = sum(1 for name in task if name.startswith("w_"))
    return {**task, "clients": count, "weights": [task[f"w_{i}"] for i in range(layers)]}


def make_client(path: str, kind: str) -> ClientApp:
    """Make a client that trains on its own examples, in the order given for the round."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        task = read(path)
        client = int(context.node_config["partition-id"])
        number = str(message.content.config_records["config"]["server-round"])
        order = task[f"order_{number}_{client}"]
        x, y = task[f"x_{client}"][order], task[f"y_{client}"][order]
        weights = message.content.array_records["arrays"].to_numpy_ndarrays()
        fit = fit_numpy if kind == "numpy" else fit_keras
        trained = fit(weights, x, y, int(task["batch_size"]), float(task["learning_rate"]))
        reply = RecordDict()
        reply["arrays"] = ArrayRecord(trained)
        reply["metrics"] = MetricRecord({"num-examples": len(y)})
        return Message(reply, reply_to=message)

    return app


def fit_numpy(weights: Weights, x: np.ndarray, y: np.ndarray, size: int, rate: float) -> Weights:
    """One epoch of SGD on a network of ReLU layers, by hand: a client with next to no overhead."""
    weights = [w.copy() for w in weights]
    kernels, biases = weights[::2], weights[1::2]
    x = x.reshape(len(x), -1)
    for start in range(0, len(x), size):
        inputs = [x[start : start + size]]
        labels = y[start : start + size]
        for kernel, bias in zip(kernels[:-1], biases[:-1], strict=True):
            inputs.append(np.maximum(inputs[-1] @ kernel + bias, 0))
        logits = inputs[-1] @ kernels[-1] + biases[-1]
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        error = shares / shares.sum(axis=1, keepdims=True)
        error[np.arange(len(labels)), labels] -= 1
        error /= len(labels)
        for layer in reversed(range(len(kernels))):
            below = error @ kernels[layer].T * (inputs[layer] > 0) if layer else None
            kernels[layer] -= np.float32(rate) * (inputs[layer].T @ error)
            biases[layer] -= np.float32(rate) * error.sum(axis=0)
            error = below
    return weights


def fit_keras(weights: Weights, x: np.ndarray, y: np.ndarray, size: int, rate: float) -> Weights:
    """One epoch of ``fit`` on one model that is compiled once a process."""
    model = keras_model(rate)
    model.set_weights(weights)
    model.fit(x, y, batch_size=size, epochs=1, shuffle=False, verbose=0)
    return [np.asarray(w) for w in model.get_weights()]


@cache
def keras_model(rate: float) -> Any:
    """Build the network named in the environment, as federated_engines.py does."""
    import tensorflow as tf
    from common.federated_peers import MODELS

    model = MODELS[os.environ["BENCHMARK_MODEL"]]()
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf.keras.optimizers.SGD(rate), loss)
    return model
