"""The vectorised engine against federated averaging written out in NumPy."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import models
from helpers.federated import (
    ClientData,
    FederatedTask,
    LocalTraining,
    client_batches,
    local_updates,
    run,
    weighted_average,
)
from helpers.federated._lanes import compiled_training
from helpers.federated.vectorised import LocalTrainer, plan_round

MakeTask = Callable[..., FederatedTask]


def softmax_regression(task: FederatedTask, client: int) -> tuple[list[np.ndarray], float]:
    """Train one client in round 1 in float64; returns its update and summed loss."""
    x = task.clients[client].x.reshape(len(task.clients[client]), -1).astype(np.float64)
    y, local = task.clients[client].y, task.local
    start = [w.astype(np.float64) for w in task.initial_weights]
    kernel, bias = (w.copy() for w in start)
    loss = 0.0
    for rows in client_batches(task.seed, 1, client, len(y), local.batch_size, local.epochs):
        scores = x[rows] @ kernel + bias
        scores -= scores.max(axis=1, keepdims=True)
        error = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        loss -= np.log(error[np.arange(len(rows)), y[rows]]).sum()
        error[np.arange(len(rows)), y[rows]] -= 1
        error /= len(rows)
        pull = local.proximal_mu
        gradients = x[rows].T @ error + pull * (kernel - start[0]), error.sum(axis=0)
        kernel -= local.learning_rate * gradients[0]
        bias -= local.learning_rate * (gradients[1] + pull * (bias - start[1]))
    return [kernel - start[0], bias - start[1]], loss


@pytest.mark.parametrize("weighting", ["examples", "uniform"])
@pytest.mark.parametrize(
    "local",
    [
        LocalTraining(),
        LocalTraining(epochs=3, batch_size=7, learning_rate=0.3),
        LocalTraining(epochs=2, batch_size=500, proximal_mu=2.0),
    ],
)
def test_a_round_is_federated_averaging_in_numpy(
    make_task: MakeTask, local: LocalTraining, weighting: str
) -> None:
    task = make_task(
        model_fn=lambda: models.mlp((8, 8, 1), 10, hidden=()),
        local=local,
        weighting=weighting,
        clients_per_round=4,
    )
    history = run(task, 1, progress=False)
    record = history.records[0]
    updates, losses = zip(*(softmax_regression(task, c) for c in record.clients), strict=True)
    sizes = [len(task.clients[c]) for c in record.clients]
    mean = weighted_average(updates, sizes if weighting == "examples" else [1] * 4)
    for new, old, update in zip(history.weights, task.initial_weights, mean, strict=True):
        np.testing.assert_allclose(new, old + update, atol=1e-6)
    assert record.num_examples == sum(sizes)
    assert record.train_loss == pytest.approx(sum(losses) / (sum(sizes) * local.epochs), rel=1e-5)


def test_the_round_is_the_weighted_average_of_what_the_clients_send(task: FederatedTask) -> None:
    history = run(task, 1, progress=False)
    clients = history.records[0].clients
    updates = local_updates(task, task.initial_weights, 1, clients)
    mean = weighted_average(updates, [len(task.clients[c]) for c in clients])
    for new, old, update in zip(history.weights, task.initial_weights, mean, strict=True):
        np.testing.assert_allclose(new, old + update, atol=1e-6)


def test_one_client_with_one_full_batch_sends_a_gradient_step(task: FederatedTask) -> None:
    alone = dataclasses.replace(task, local=LocalTraining(batch_size=1000, learning_rate=0.5))
    (update,) = local_updates(alone, alone.initial_weights, 1, [2])
    model, data = alone.model_fn(), alone.clients[2]
    with tf.GradientTape() as tape:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(data.y, model(data.x))
        loss = tf.reduce_mean(losses)
    for sent, gradient in zip(update, tape.gradient(loss, model.trainable_weights), strict=True):
        np.testing.assert_allclose(sent, -0.5 * gradient, atol=1e-6)


def test_with_one_client_federated_learning_is_plain_training_in_keras(
    make_task: MakeTask,
) -> None:
    data = make_task().clients[0]
    task = make_task(clients=[data], local=LocalTraining(batch_size=16))
    model = task.model_fn()
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf.keras.optimizers.SGD(0.1), loss)
    for number in (1, 2, 3):
        for rows in client_batches(task.seed, number, 0, len(data), 16, 1):
            model.train_on_batch(data.x[rows], data.y[rows])
    for ours, keras in zip(run(task, 3, progress=False).weights, model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, keras, atol=1e-5)


def test_the_regularisers_of_a_model_take_part(make_task: MakeTask) -> None:
    def model_fn() -> tf.keras.Model:
        decay = tf.keras.regularizers.L2(0.5)
        dense = tf.keras.layers.Dense(10, kernel_initializer="ones", kernel_regularizer=decay)
        return tf.keras.Sequential(
            [tf.keras.layers.Input((8, 8, 1)), tf.keras.layers.Flatten(), dense]
        )

    blank = ClientData(np.zeros((20, 8, 8, 1)), np.zeros(20))
    weights = run(make_task(model_fn=model_fn, clients=[blank]), 1, progress=False).weights
    # Blank images give no gradient to the kernel: one step shrinks it by 2 * 0.5 * 0.1.
    np.testing.assert_allclose(weights[0], 0.9, rtol=1e-6)


def test_a_proximal_term_holds_clients_near_the_global_model(task: FederatedTask) -> None:
    def distance(mu: float) -> float:
        local = LocalTraining(epochs=5, proximal_mu=mu)
        nearer = dataclasses.replace(task, local=local)
        (update,) = local_updates(nearer, task.initial_weights, 1, [0])
        return float(np.sqrt(sum((u**2).sum() for u in update)))

    assert distance(5.0) < distance(1.0) < distance(0.0)


@settings(deadline=None, max_examples=10)
@given(batch=st.integers(1, 60), epochs=st.integers(1, 3), number=st.integers(1, 99))
def test_the_plan_holds_every_clients_batches_and_nothing_else(
    task: FederatedTask, batch: int, epochs: int, number: int
) -> None:
    task = dataclasses.replace(task, local=LocalTraining(epochs=epochs, batch_size=batch))
    plan = plan_round(task, number, [4, 1], rows=3)
    for row, client in enumerate([4, 1]):
        size = len(task.clients[client])
        expected = client_batches(task.seed, number, client, size, batch, epochs)
        assert plan.steps[row] == len(expected)
        for turn, rows in enumerate(expected):
            count = plan.batch_sizes[row, turn]
            assert plan.batches[row, turn, :count].tolist() == (rows + task.starts[client]).tolist()
        assert plan.shares[row] == size
    assert plan.steps[2] == plan.shares[2] == plan.batch_sizes[2].sum() == 0


def test_rounds_with_other_clients_do_not_compile_again(make_task: MakeTask) -> None:
    traces = []

    class Counted(tf.keras.layers.Dense):
        def call(self, inputs: tf.Tensor) -> tf.Tensor:
            if not tf.executing_eagerly():
                traces.append(1)
            return super().call(inputs)

    def model_fn() -> tf.keras.Model:
        return tf.keras.Sequential([tf.keras.layers.Flatten(), Counted(10)])

    task = make_task(model_fn=model_fn, clients_per_round=3)
    counts: list[int] = []
    run(task, 6, callbacks=[lambda *_: counts.append(len(traces))], progress=False)
    assert counts[0] > 0
    assert counts == [counts[0]] * 6


@pytest.mark.parametrize("xla", [False, True])
@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_lanes_and_xla_change_nothing_but_the_speed(
    task: FederatedTask, lanes: int, xla: bool
) -> None:
    expected, loss = LocalTrainer(task, 6)(task.initial_weights, 1, range(6))
    update, other = LocalTrainer(task, 6, lanes, xla)(task.initial_weights, 1, range(6))
    assert loss == pytest.approx(other, rel=1e-5)
    for a, b in zip(expected, update, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_penalty_on_activations_counts_no_padding(make_task: MakeTask) -> None:
    def model_fn() -> tf.keras.Model:
        dense = tf.keras.layers.Dense(10, activity_regularizer=tf.keras.regularizers.L2(1.0))
        flat = tf.keras.layers.Flatten(input_shape=(8, 8, 1))
        return tf.keras.Sequential([flat, dense])

    task = make_task(model_fn=model_fn)
    padded = dataclasses.replace(task, local=LocalTraining(batch_size=1000))
    exact = dataclasses.replace(task, local=LocalTraining(batch_size=len(task.clients[0])))
    first, second = (local_updates(t, task.initial_weights, 1, [0])[0] for t in (padded, exact))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize(
    "model_fn",
    [
        lambda: models.mlp((8, 8, 1), 10, hidden=(16,)),
        lambda: models.small_cnn((8, 8, 1), 10, (8,), norm="group"),
    ],
    ids=["dense", "convolutional"],
)
def test_the_same_seed_gives_the_same_bits(make_task: MakeTask, model_fn: Callable) -> None:
    task = make_task(model_fn=model_fn, clients_per_round=4)
    first, again = (run(task, 3, progress=False).weights for _ in range(2))
    other = run(dataclasses.replace(task, seed=1), 3, progress=False).weights
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def trained(task: FederatedTask) -> list[np.ndarray]:
    return run(task, 2, progress=False).weights


def test_a_compiled_training_is_shared_and_carries_nothing_over(make_task: MakeTask) -> None:
    class Own(tf.keras.Sequential):
        """Not known to be a plain chain of layers, so compiled for its task alone."""

    def other_fn() -> tf.keras.Model:
        return models.mlp((8, 8, 1), 10, seed=7)

    task = make_task(model_fn=lambda: models.mlp((8, 8, 1), 10))
    clients = [ClientData(1 - client.x, client.y[::-1]) for client in task.clients]
    other = dataclasses.replace(task, model_fn=other_fn, clients=clients, seed=1)
    alone = dataclasses.replace(other, model_fn=lambda: Own(other_fn().layers))
    shape = plan_round(task, 1, [], 3).batches.shape
    one, two, three = (
        compiled_training(each, 2, shape, None, separate=False) for each in (task, other, alone)
    )
    assert one is two is not three
    before = trained(task)
    for shared, expected in zip(trained(other), trained(alone), strict=True):
        np.testing.assert_array_equal(shared, expected)
    for first, again in zip(before, trained(task), strict=True):
        np.testing.assert_array_equal(first, again)


def test_what_changes_a_training_is_not_shared(make_task: MakeTask) -> None:
    def network(
        activation: object = "relu", decay: object = None, dtype: str = "float32"
    ) -> tf.keras.Model:
        hidden = tf.keras.layers.Dense(5, activation, kernel_regularizer=decay, dtype=dtype)
        layers = [tf.keras.layers.Input((8, 8, 1)), tf.keras.layers.Flatten(), hidden]
        return tf.keras.Sequential([*layers, tf.keras.layers.Dense(10)])

    tasks = [
        make_task(model_fn=network),
        make_task(model_fn=network, local=LocalTraining(learning_rate=0.2)),
        make_task(model_fn=network, local=LocalTraining(proximal_mu=0.2)),
        make_task(model_fn=lambda: network("tanh")),
        make_task(model_fn=lambda: network(lambda values: values**2)),
        make_task(model_fn=lambda: network(lambda values: values**3)),
        make_task(model_fn=lambda: network(decay=tf.keras.regularizers.L2(0.1))),
        make_task(model_fn=lambda: network(decay=tf.keras.regularizers.L2(0.2))),
        make_task(model_fn=lambda: network(dtype="mixed_bfloat16")),
    ]
    shape = plan_round(tasks[0], 1, [], 3).batches.shape
    made = [compiled_training(task, 2, shape, None, separate=False) for task in tasks]
    assert len({id(training) for training in made}) == len(tasks)
