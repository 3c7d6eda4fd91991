"""Global and per-client accuracy against Keras and scikit-learn."""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss

from helpers import models
from helpers.federated import ClientData, FederatedTask
from helpers.federated.evaluation import Evaluator

MakeTask = Callable[..., FederatedTask]


def test_accuracy_and_loss_are_those_of_scikit_learn(task: FederatedTask) -> None:
    result = Evaluator(task)(task.initial_weights)
    model = task.model_fn()
    logits = model(task.test.x).numpy().astype(np.float64)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert result.test_accuracy == accuracy_score(task.test.y, logits.argmax(axis=1))
    assert result.test_loss == pytest.approx(log_loss(task.test.y, shares, labels=range(10)))
    assert result.client_accuracy is not None
    for client, accuracy in zip(task.clients, result.client_accuracy, strict=True):
        assert accuracy == accuracy_score(client.y, model(client.x).numpy().argmax(axis=1))


def test_sets_larger_than_one_call_are_scored_whole(make_task: MakeTask) -> None:
    small = make_task()
    rows = np.arange(2345) % len(small.test)
    large = make_task(test=ClientData(small.test.x[rows], small.test.y[rows]))
    result = Evaluator(large)(large.initial_weights)
    labels = large.model_fn()(large.test.x).numpy().argmax(axis=1)
    assert result.test_accuracy == accuracy_score(large.test.y, labels)


def test_one_logit_is_scored_as_a_binary_classifier(make_task: MakeTask) -> None:
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int32)
    task = make_task(
        model_fn=lambda: models.mlp((3,), 1, hidden=()),
        clients=[ClientData(x, y)],
        test=ClientData(x, y),
        loss="binary_crossentropy",
    )
    z = task.model_fn()(x).numpy()[:, 0].astype(np.float64)
    result = Evaluator(task)(task.initial_weights)
    assert result.test_accuracy == accuracy_score(y, z > 0)
    assert result.test_loss == pytest.approx(log_loss(y, 1 / (1 + np.exp(-z))))
