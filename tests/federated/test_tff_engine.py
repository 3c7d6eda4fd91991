"""TensorFlow Federated and the vectorised engine give the same weights.

Both see the same clients and batches, so that they differ only by the order in which float32 sums
are taken: inside a matrix product, over a batch, over clients. After one round the weights may
differ by a few units in the last place of numbers of order one (2^-23 is 1.2e-7): hence
``ONE_ROUND``. Each further round starts from weights that already differ and trains on: gradient
steps carry the difference along and can amplify it, most of all where a ReLU switches for one
engine and not for the other. ``FIVE_ROUNDS`` therefore leaves a decade more. A wrong weight, batch
or sign moves the weights by a sizeable part of a round's step, and the test checks that every step
is at least a hundred times the tolerance.
"""

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from helpers import models
from helpers.federated import (
    ClientData,
    FederatedTask,
    LocalTraining,
    ServerOptimizer,
    client_batches,
    run,
)
from helpers.federated.history import History

ROOT = Path(__file__).parents[2]
MakeTask = Callable[..., FederatedTask]
ONE_ROUND, FIVE_ROUNDS = 1e-6, 1e-5

SETTINGS: dict[str, dict] = {
    "fedavg": {},
    "partial participation, uniform weights, two epochs": {
        "clients_per_round": 3,
        "weighting": "uniform",
        "local": LocalTraining(epochs=2, batch_size=7),
    },
    "fedavgm": {"server": ServerOptimizer.fedavgm(0.7, 0.8), "clients_per_round": 4},
    "fedadam": {"server": ServerOptimizer.fedadam(), "clients_per_round": 4},
    "fedprox": {"local": LocalTraining(epochs=2, proximal_mu=0.5)},
    "uniform fedprox under fedadam": {
        "local": LocalTraining(epochs=2, proximal_mu=1.0),
        "server": ServerOptimizer.fedadam(),
        "weighting": "uniform",
    },
    "convolutions with group normalisation": {
        "model_fn": lambda: models.small_cnn((8, 8, 1), 10, (8,), norm="group")
    },
}


def both(task: FederatedTask, rounds: int) -> tuple[list[History], list[float], list[float]]:
    """Run both engines; returns histories, largest difference and largest step of each round."""
    trails: list[list[list[np.ndarray]]] = []
    histories = []
    for engine in ("vectorised", "tff"):
        trail: list[list[np.ndarray]] = [list(task.initial_weights)]
        callback = [lambda _, weights, trail=trail: trail.append(weights)]
        histories.append(run(task, rounds, engine=engine, callbacks=callback, progress=False))
        trails.append(trail)
    ours, theirs = trails
    apart = [largest(a, b) for a, b in zip(ours[1:], theirs[1:], strict=True)]
    return histories, apart, [largest(a, b) for a, b in zip(ours[1:], ours[:-1], strict=True)]


def largest(first: list[np.ndarray], second: list[np.ndarray]) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("name", SETTINGS)
def test_engines_agree_after_every_round(make_task: MakeTask, name: str) -> None:
    (ours, theirs), apart, steps = both(make_task(**SETTINGS[name]), 5)
    assert apart[0] < ONE_ROUND
    assert max(apart) < FIVE_ROUNDS
    assert min(steps) > 100 * FIVE_ROUNDS, "the model hardly moved: agreement would say nothing"
    for a, b in zip(ours.records, theirs.records, strict=True):
        assert a.clients == b.clients
        assert (a.num_examples, a.bytes_up, a.bytes_down) == (
            b.num_examples,
            b.bytes_up,
            b.bytes_down,
        )
        assert a.train_loss == pytest.approx(b.train_loss, abs=1e-5)
        assert a.test_loss == pytest.approx(b.test_loss, abs=1e-5)


def test_engines_agree_on_one_logit(make_task: MakeTask) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 4)).astype(np.float32)
    y = (x.sum(axis=1) > 0).astype(np.int32)
    sets = [ClientData(x[rows], y[rows]) for rows in np.split(np.arange(90), [20, 50])]
    task = make_task(
        model_fn=lambda: models.mlp((4,), 1, hidden=(8,)),
        clients=sets,
        test=sets[0],
        loss="binary_crossentropy",
        local=LocalTraining(batch_size=6, learning_rate=0.5),
    )
    _, apart, steps = both(task, 2)
    assert max(apart) < FIVE_ROUNDS
    assert min(steps) > 0.01


def test_a_resumed_run_continues_with_the_same_server_state(
    make_task: MakeTask, tmp_path: Path
) -> None:
    task = make_task(server=ServerOptimizer.fedadam(), clients_per_round=2)
    run(task, 2, engine="tff", checkpoint_dir=tmp_path, progress=False)
    resumed = run(task, 4, engine="tff", checkpoint_dir=tmp_path, progress=False)
    whole = run(task, 4, engine="tff", progress=False)
    assert largest(resumed.weights, whole.weights) == 0


@pytest.fixture(scope="module")
def notebook() -> subprocess.CompletedProcess[str]:
    """A process that trains inside a running event loop, counts TFF's workers and ends.

    One of its own: TFF's context belongs to the main thread, and in this process another test's
    tool may keep a loop running there already.
    """
    code = """
        import asyncio, os
        import numpy as np
        from helpers import models
        from helpers.federated import ClientData, FederatedTask, run

        data = ClientData(np.eye(4, dtype=np.float32), np.arange(4))
        task = FederatedTask(lambda: models.mlp((4,), 4, hidden=()), [data], data)

        async def cell():
            return run(task, 1, engine="tff", progress=False)

        print("rounds", len(asyncio.run(cell()).records))
        from helpers.federated.tff_engine import _worker_children
        print("workers", len(_worker_children(os.getpid())), flush=True)
    """
    # subprocess.run reads the pipe to its end, which an orphaned worker would never let come.
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=ROOT, capture_output=True, text=True, timeout=180,
    )  # fmt: skip


def test_it_runs_inside_a_running_event_loop_as_in_a_notebook(
    notebook: subprocess.CompletedProcess[str],
) -> None:
    assert notebook.returncode == 0, notebook.stderr
    assert "rounds 1" in notebook.stdout


def test_no_worker_outlives_its_process_and_holds_the_output_open(
    notebook: subprocess.CompletedProcess[str],
) -> None:
    assert notebook.returncode == 0, notebook.stderr
    assert "workers 1" in notebook.stdout


def test_fedprox_of_tff_itself_has_the_opposite_sign(task: FederatedTask) -> None:
    """Why the engine brings its own proximal optimiser; when this fails, TFF has been mended."""
    data, mu, rate = task.clients[0], 2.0, 0.1
    features = data.x.reshape(len(data), -1)
    batches = client_batches(0, 1, 0, len(data), 5, 1)

    def closed_form(sign: float) -> np.ndarray:
        kernel, bias = np.zeros((64, 10)), np.zeros(10)
        for rows in batches:
            scores = features[rows] @ kernel + bias
            error = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
            error[np.arange(len(rows)), data.y[rows]] -= 1
            kernel = kernel - rate * (features[rows].T @ error / len(rows) + sign * mu * kernel)
            bias = bias - rate * (error.mean(axis=0) + sign * mu * bias)
        return kernel

    def zeros() -> tf.keras.Model:
        dense = tf.keras.layers.Dense(10, kernel_initializer="zeros")
        return tf.keras.Sequential([tf.keras.layers.Input((64,)), dense])

    def tff_zeros() -> tff.learning.models.VariableModel:
        return tff.learning.models.from_keras_model(
            zeros(),
            loss=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            input_spec=(tf.TensorSpec((None, 64)), tf.TensorSpec((None,), tf.int32)),
        )

    process = tff.learning.algorithms.build_weighted_fed_prox(
        tff_zeros, mu, tff.learning.optimizers.build_sgdm(rate)
    )
    order = np.concatenate(batches)
    examples = tf.data.Dataset.from_tensor_slices((features[order], data.y[order])).batch(5)
    state = process.next(process.initialize(), [examples]).state
    theirs = process.get_model_weights(state).trainable[0]
    ours = FederatedTask(
        zeros,
        [ClientData(features, data.y)],
        ClientData(features, data.y),
        local=LocalTraining(batch_size=5, learning_rate=rate, proximal_mu=mu),
    )
    for engine in ("vectorised", "tff"):
        weights = run(ours, 1, engine=engine, progress=False).weights
        np.testing.assert_allclose(weights[0], closed_form(+1), atol=1e-6)
    np.testing.assert_allclose(theirs, closed_form(-1), rtol=1e-4, atol=1e-5)
