"""A federated task is checked whole before any training starts."""

import dataclasses
import random
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from helpers import models
from helpers.errors import TaskError
from helpers.federated import ClientData, FederatedTask, LocalTraining, ServerOptimizer
from helpers.federated.byzantine import Adversary, SignFlip
from helpers.federated.robust import RobustAggregator

MakeTask = Callable[..., FederatedTask]
layers = tf.keras.layers


def a_client(n: int = 6, **changes: np.ndarray) -> ClientData:
    x = changes.get("x", np.zeros((n, 8, 8, 1), np.float32))
    return ClientData(x, changes.get("y", np.zeros(n, np.int32)))


def a_network(*middle: tf.keras.layers.Layer, end: tf.keras.layers.Layer | None = None) -> Callable:
    def model_fn() -> tf.keras.Model:
        last = layers.Dense(10) if end is None else end
        return tf.keras.Sequential([layers.Input((8, 8, 1)), layers.Flatten(), *middle, last])

    return model_fn


def test_the_room_is_imported_without_tensorflow() -> None:
    code = "import helpers.federated, helpers.models, sys; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("clients", "named"),
    [
        ([], "clients is empty"),
        ([a_client(), a_client(0)], "client 1 has no examples"),
        ([a_client(), a_client(x=np.zeros((6, 9, 9, 1)))], "client 1 has examples of shape"),
        ([a_client(x=np.zeros((5, 8, 8, 1)))], r"the shape must be \(6, ...\)"),
        ([a_client(y=np.zeros((6, 10)))], "argmax"),
        ([a_client(y=np.array([0, 1, 2, 3, 4, 10]))], "label 10, .* 10 classes"),
        ([a_client(y=np.array([0, 1, 2, 3, 4, -1]))], "labels from -1 to 4"),
        ([a_client(y=np.array([0, 1, 2, 3, 4, 0.5]))], "whole class numbers"),
        ([a_client(x=np.full((6, 8, 8, 1), "a"))], "dtype"),
        ([np.zeros((3, 8, 8, 1))], "ClientData"),
    ],
)
def test_data_that_do_not_fit_are_named(make_task: MakeTask, clients: list, named: str) -> None:
    with pytest.raises(TaskError, match=named):
        make_task(clients=clients)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_named_with_its_place(
    make_task: MakeTask, bad: float
) -> None:
    x = np.zeros((6, 8, 8, 1), np.float32)
    x[4, 2, 1] = bad
    with pytest.raises(TaskError, match=r"client 1 has NaN or infinity .* example 4"):
        make_task(clients=[a_client(), a_client(x=x)])


def test_plus_and_minus_infinity_do_not_cancel(make_task: MakeTask) -> None:
    x = np.zeros((6, 8, 8, 1), np.float32)
    x[0, 0, 0], x[1, 0, 0] = np.inf, -np.inf
    with pytest.raises(TaskError, match="infinity"):
        make_task(clients=[a_client(x=x)])


def test_the_test_set_is_checked_too(make_task: MakeTask) -> None:
    with pytest.raises(TaskError, match="the test set has label 12"):
        make_task(test=a_client(y=np.full(6, 12)))


def test_integers_and_doubles_are_converted(make_task: MakeTask) -> None:
    task = make_task(clients=[a_client(x=np.ones((6, 8, 8, 1), np.uint8), y=np.ones(6))])
    assert task.clients[0].x.dtype == np.float32
    assert task.clients[0].y.dtype == np.int32


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"clients_per_round": 7}, "clients_per_round=7 is more than the 6"),
        ({"clients_per_round": 0}, "clients_per_round=0"),
        ({"weighting": "size"}, "weighting='size'"),
        ({"seed": -1}, "seed=-1"),
        ({"loss": "hinge"}, "loss='hinge'"),
        ({"server": "fedavg"}, "ServerOptimizer"),
        ({"local": {"epochs": 1}}, "LocalTraining"),
        ({"model_fn": "mlp"}, "must be a function"),
    ],
)
def test_settings_that_do_not_fit_are_named(
    make_task: MakeTask, settings: dict, named: str
) -> None:
    with pytest.raises(TaskError, match=named):
        make_task(**settings)


@pytest.mark.parametrize(
    "wrong",
    [
        {"learning_rate": 0.0},
        {"learning_rate": -0.1},
        {"learning_rate": float("nan")},
        {"learning_rate": "0.1"},
        {"epochs": 0},
        {"epochs": 1.5},
        {"batch_size": True},
        {"proximal_mu": -1.0},
        {"proximal_mu": float("inf")},
    ],
)
def test_local_training_refuses_what_cannot_train(wrong: dict) -> None:
    with pytest.raises(TaskError, match=next(iter(wrong))):
        LocalTraining(**wrong)


def test_server_optimisers_refuse_rates_out_of_range() -> None:
    with pytest.raises(TaskError, match=r"momentum=1\.0"):
        ServerOptimizer.fedavgm(momentum=1.0)
    with pytest.raises(TaskError, match="server learning_rate=0"):
        ServerOptimizer.fedavg(0)
    with pytest.raises(TaskError, match="not known"):
        ServerOptimizer("sgd")  # type: ignore[arg-type]


def test_batch_normalisation_is_refused_with_what_to_use_instead(make_task: MakeTask) -> None:
    with pytest.raises(TaskError, match=r"GroupNormalization"):
        make_task(model_fn=a_network(layers.BatchNormalization()))


def test_a_nested_batch_normalisation_is_found(make_task: MakeTask) -> None:
    inner = tf.keras.Sequential([layers.Dense(4), layers.BatchNormalization()])
    with pytest.raises(TaskError, match=r"GroupNormalization"):
        make_task(model_fn=a_network(inner))


def test_dropout_is_refused_because_engines_could_not_agree(make_task: MakeTask) -> None:
    with pytest.raises(TaskError, match="random numbers of its own"):
        make_task(model_fn=a_network(layers.Dropout(0.5)))


def test_frozen_layers_are_refused(make_task: MakeTask) -> None:
    with pytest.raises(TaskError, match="non-trainable"):
        make_task(model_fn=a_network(layers.Dense(4, trainable=False)))


@pytest.mark.parametrize(
    "end",
    [
        lambda: layers.Dense(10, activation="softmax"),
        lambda: layers.Dense(10, activation="sigmoid"),
        lambda: layers.Softmax(),
        lambda: layers.Lambda(lambda z: tf.nn.softmax(z[:, :10])),
    ],
)
def test_a_model_that_ends_with_probabilities_is_refused(
    make_task: MakeTask, end: Callable
) -> None:
    with pytest.raises(TaskError, match="takes logits"):
        make_task(model_fn=lambda: a_network(layers.Dense(10), end=end())())


def test_a_model_fn_that_raises_is_reported_with_its_cause(make_task: MakeTask) -> None:
    def model_fn() -> tf.keras.Model:
        raise ZeroDivisionError("no such layer")

    with pytest.raises(TaskError, match="ZeroDivisionError: no such layer") as caught:
        make_task(model_fn=model_fn)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_model_fn_that_forgets_to_return_is_told_so(make_task: MakeTask) -> None:
    with pytest.raises(TaskError, match=r"returned NoneType.* return"):
        make_task(model_fn=lambda: None)


def test_a_model_for_another_input_shape_is_refused(make_task: MakeTask) -> None:
    with pytest.raises(TaskError, match=r"examples of shape \(8, 8, 1\)"):
        make_task(model_fn=lambda: models.mlp((28, 28, 1), 10))


def test_outputs_that_are_not_logits_of_classes_are_refused(make_task: MakeTask) -> None:
    with pytest.raises(TaskError, match="num_classes"):
        make_task(model_fn=lambda: tf.keras.Sequential([layers.Input((8, 8, 1)), layers.Dense(3)]))
    with pytest.raises(TaskError, match="binary_crossentropy"):
        make_task(model_fn=a_network(end=layers.Dense(1)))
    with pytest.raises(TaskError, match="needs one logit"):
        make_task(loss="binary_crossentropy")


def test_an_unseeded_model_starts_from_the_tasks_seed(make_task: MakeTask) -> None:
    first, again, other = (make_task(model_fn=a_network(), seed=s) for s in (5, 5, 6))
    assert np.array_equal(first.initial_weights[0], again.initial_weights[0])
    assert not np.array_equal(first.initial_weights[0], other.initial_weights[0])


def test_a_seeded_model_keeps_its_own_weights(make_task: MakeTask) -> None:
    expected = models.mlp((8, 8, 1), 10, hidden=(16,)).get_weights()
    task = make_task(seed=99)
    assert all(np.array_equal(a, b) for a, b in zip(task.initial_weights, expected, strict=True))


def test_making_a_task_leaves_numpys_and_pythons_random_state_alone(make_task: MakeTask) -> None:
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    expected = np.random.RandomState(1).rand(), random.Random(1).random()
    make_task()
    assert (np.random.rand(), random.random()) == expected  # noqa: NPY002


def test_a_task_cannot_be_changed_but_copied_with_changes(task: FederatedTask) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        task.seed = 3  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        task.initial_weights[0][:] = 0
    assert dataclasses.replace(task, clients_per_round=2).num_sampled == 2


def test_a_task_under_another_rule_is_the_same_as_one_made_with_it(make_task: MakeTask) -> None:
    root, rule = a_client(3), RobustAggregator("fltrust", 0)
    base = make_task(server_data=root)
    liar = Adversary([1], SignFlip(2.0))
    shared = base.under(rule, liar)
    made = dataclasses.replace(base, aggregator=rule, adversary=liar)
    for name in (field.name for field in dataclasses.fields(FederatedTask)):
        if name not in ("clients", "test", "initial_weights"):
            assert getattr(shared, name) is getattr(made, name), name
    assert shared.clients is base.clients
    for mine, theirs in zip(shared.initial_weights, made.initial_weights, strict=True):
        assert np.array_equal(mine, theirs)
    assert np.array_equal(shared.sizes, made.sizes)
    root_task, made_task = shared.server_task, made.server_task
    assert root_task is not None
    assert made_task is not None
    assert np.array_equal(root_task.clients[0].x, made_task.clients[0].x)
    assert np.array_equal(root_task.clients[0].y, made_task.clients[0].y)
    assert (base.aggregator, base.adversary) == (None, None)


def test_a_rule_or_adversary_that_does_not_fit_is_refused_as_when_a_task_is_made(
    task: FederatedTask,
) -> None:
    with pytest.raises(TaskError, match="server_data"):
        task.under(RobustAggregator("fltrust", 0), None)
    with pytest.raises(TaskError, match="leave at least one honest"):
        task.under(None, Adversary([6], SignFlip(2.0)))
