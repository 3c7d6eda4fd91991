"""Small federated tasks on real handwritten digits (8x8, scikit-learn)."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

from helpers import data, models
from helpers.federated import ClientData, FederatedTask

NUM_CLIENTS = 6


def digits_clients() -> tuple[list[ClientData], ClientData]:
    """Return 360 digits on six unequal, non-IID clients, and 120 for testing."""
    digits = data.load("digits", source="offline")
    x, y = digits.x_train[:360], digits.y_train[:360]
    parts = data.partition.dirichlet(y, NUM_CLIENTS, 0.5, np.random.default_rng(1), min_examples=5)
    clients = [ClientData(x[part], y[part]) for part in parts]
    return clients, ClientData(digits.x_test[:120], digits.y_test[:120])


@pytest.fixture(scope="session")
def make_task() -> Callable[..., FederatedTask]:
    """Return a function that makes a task; keyword arguments change its settings."""
    clients, test = digits_clients()

    def make(**settings: Any) -> FederatedTask:
        defaults: dict[str, Any] = {"model_fn": lambda: models.mlp((8, 8, 1), 10, hidden=(16,))}
        return FederatedTask(**{"clients": clients, "test": test, **defaults, **settings})

    return make


@pytest.fixture(scope="session")
def task(make_task: Callable[..., FederatedTask]) -> FederatedTask:
    """A small task with every setting at its default."""
    return make_task()
