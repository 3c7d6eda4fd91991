"""Training without TensorFlow gives what the in-process engine gives."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.errors import TaskError
from helpers.federated import (
    FederatedTask,
    LocalTraining,
    RobustAggregator,
    ServerOptimizer,
    local_updates,
)
from helpers.federated.deployment import DenseTask, hospital_data, train_locally
from helpers.federated.deployment.founding import Settings, plan

MakeTask = Callable[..., FederatedTask]


@pytest.mark.parametrize(
    ("data", "hidden", "local"),
    [
        ("breast_cancer", (), LocalTraining(epochs=2, batch_size=16, learning_rate=0.1)),
        ("breast_cancer", (16, 8), LocalTraining(batch_size=7, proximal_mu=0.5)),
        ("mnist", (12,), LocalTraining(batch_size=50, learning_rate=0.05)),
    ],
)
def test_updates_equal_those_of_the_vectorised_engine(
    data: str, hidden: tuple[int, ...], local: LocalTraining
) -> None:
    hospitals, dense = plan(Settings(clients=3, data=data, hidden=hidden, local=local, seed=4))  # type: ignore[arg-type]
    task = dense.federated_task(hospitals.clients, hospitals.test)
    expected = local_updates(task, task.initial_weights, 3, [0, 2])
    for client, update in zip([0, 2], expected, strict=True):
        trained = train_locally(
            dense.initial_weights, hospitals.clients[client], local, dense.seed, 3, client
        )
        for new, old, ours in zip(trained.weights, dense.initial_weights, update, strict=True):
            np.testing.assert_allclose(new - old, ours, atol=3e-6)
            assert new.dtype == np.float32


def test_a_saved_task_is_the_same_task(tmp_path: Path) -> None:
    task = DenseTask(
        (30, 5, 2),
        (10, 20, 30),
        local=LocalTraining(proximal_mu=0.1),
        server=ServerOptimizer.fedavgm(),
        clients_per_round=2,
        seed=9,
        aggregator=RobustAggregator("trimmed_mean", 1, options={}),
    )
    task.save(tmp_path)
    assert DenseTask.load(tmp_path).fingerprint == task.fingerprint
    assert task.fingerprint != replace(task, seed=8).fingerprint


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"layer_sizes": (30,)}, "layer_sizes"),
        ({"layer_sizes": (30, 1)}, "two classes"),
        ({"num_examples": ()}, "num_examples"),
        ({"clients_per_round": 3}, "clients_per_round=3"),
        ({"aggregator": RobustAggregator("fltrust", 0)}, "fltrust"),
        ({"initial_weights": (np.zeros((3, 2)),)}, "initial_weights"),
    ],
)
def test_a_dense_task_that_cannot_be_is_refused(settings: dict, named: str) -> None:
    with pytest.raises(TaskError, match=named):
        DenseTask(**{"layer_sizes": (30, 2), "num_examples": (5, 5), **settings})


def test_hospitals_hold_every_patient_once_and_see_other_tumours() -> None:
    hospitals = hospital_data("breast_cancer", 4, seed=0)
    rows = np.concatenate([client.x for client in hospitals.clients])
    assert len(rows) == len(np.unique(rows, axis=0)) == 569 - len(hospitals.test)
    np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(rows.std(axis=0), 1, atol=1e-3)
    size = [client.x[:, 0].mean() for client in hospitals.clients]
    assert size == sorted(size)
    assert size[-1] - size[0] > 0.5


def test_a_node_imports_no_tensorflow_and_refuses_to_start_with_it() -> None:
    code = (
        "import sys; sys.argv = ['node', '--help']\n"
        "import helpers.federated.deployment.processes.node\n"
        "print(sorted({m.split('.')[0] for m, v in sys.modules.items() if v is not None}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    loaded = set(eval(done.stdout))
    assert {"flwr", "numpy", "grpc"} <= loaded
    assert not {"tensorflow", "torch", "jax", "ray", "pandas", "sklearn"} & loaded
    early = subprocess.run(
        [sys.executable, "-c", "import pandas\n" + code],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "pandas is loaded already" in early.stderr


def test_the_package_loads_neither_flower_nor_cryptography() -> None:
    code = (
        "import sys, helpers.federated.deployment\n"
        "print({'flwr', 'cryptography', 'grpc', 'tensorflow'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "set()"
