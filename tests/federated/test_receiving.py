"""Aggregators, adversaries and worker momentum inside a task."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from helpers import models
from helpers.errors import TaskError
from helpers.federated import (
    Adversary,
    ClientData,
    FederatedTask,
    RobustAggregator,
    local_updates,
    robust,
    run,
)
from helpers.federated.byzantine import (
    ALittleIsEnough,
    AttackView,
    InnerProductManipulation,
    Mimic,
    Optimised,
    SignFlip,
    as_trained,
)
from helpers.federated.checkpoint import fingerprint
from helpers.federated.receiving import Receiver, average
from helpers.federated.vectorised import LocalTrainer, VectorisedEngine

MakeTask = Callable[..., FederatedTask]


def flat(arrays: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([array.ravel() for array in arrays])


def trained_round(task: FederatedTask) -> np.ndarray:
    """What one round of training adds to the initial weights."""
    engine = VectorisedEngine(task)
    engine.train(1, np.arange(len(task.clients)))
    return flat(engine.weights) - flat(list(task.initial_weights))


def made_up(task: FederatedTask, num_clients: int = 6, seed: int = 0) -> np.ndarray:
    """Updates that no client trained, of the size of the task's model, ``(num_clients, d)``."""
    size = sum(w.size for w in task.initial_weights)
    return np.random.default_rng(seed).normal(size=(num_clients, size)).astype(np.float32)


def one_round(task: FederatedTask, updates: np.ndarray) -> np.ndarray:
    """What the server makes of the updates of all clients in round 1."""
    return Receiver(task)(1, np.arange(len(task.clients)), updates, None)


@pytest.mark.parametrize(
    "model_fn",
    [
        lambda: models.mlp((8, 8, 1), 10, hidden=(16,)),
        lambda: models.small_cnn((8, 8, 1), 10, (8,), norm="group"),
    ],
    ids=["dense", "convolutional"],
)
def test_updates_kept_apart_are_those_of_each_client(
    make_task: MakeTask, model_fn: Callable
) -> None:
    task = make_task(model_fn=model_fn)
    trainer = LocalTrainer(task, num_clients=5, separate=True)
    clients = [4, 0, 5]
    arrays, _ = trainer(task.initial_weights, 3, clients)
    expected = local_updates(task, task.initial_weights, 3, clients)
    for row, update in enumerate(expected):
        for array, alone in zip(arrays, update, strict=True):
            np.testing.assert_allclose(array[row], alone, atol=2e-6)


@pytest.mark.parametrize("weighting", ["examples", "uniform"])
def test_an_adversary_that_behaves_changes_nothing(make_task: MakeTask, weighting: str) -> None:
    plain = make_task(weighting=weighting)
    watched = make_task(weighting=weighting, adversary=Adversary([1, 3], as_trained))
    np.testing.assert_allclose(trained_round(watched), trained_round(plain), atol=1e-6)


def test_the_engine_applies_what_the_rule_makes_of_the_updates(make_task: MakeTask) -> None:
    task = make_task(aggregator=RobustAggregator("trimmed_mean", num_byzantine=1))
    sent = np.stack([flat(u) for u in local_updates(task, task.initial_weights, 1, range(6))])
    np.testing.assert_allclose(trained_round(task), robust.trimmed_mean(sent, 1), atol=2e-6)


@pytest.mark.parametrize("rule", ["mean", "krum", "meamed", "geometric_median", "norm_clipping"])
def test_the_round_is_what_the_rule_makes_of_the_updates(make_task: MakeTask, rule: str) -> None:
    task = make_task(aggregator=RobustAggregator(rule, num_byzantine=1))
    updates = made_up(task)
    np.testing.assert_array_equal(one_round(task, updates), robust.RULES[rule](updates, 1))


def test_byzantine_updates_replace_those_of_their_clients_only(make_task: MakeTask) -> None:
    task = make_task(adversary=Adversary([4, 1], SignFlip(10.0)), weighting="uniform")
    updates = made_up(task)
    sent = updates.copy()
    sent[[1, 4]] *= -10
    np.testing.assert_allclose(one_round(task, updates), sent.mean(axis=0), atol=1e-5)


def test_the_adversary_sees_the_honest_updates_and_the_servers_answer(
    make_task: MakeTask,
) -> None:
    seen: list[AttackView] = []

    def watch(view: AttackView) -> np.ndarray:
        seen.append(view)
        return 2 * view.own

    rule = RobustAggregator("trimmed_mean", num_byzantine=2)
    task = make_task(aggregator=rule, adversary=Adversary([0, 5], watch))
    updates = made_up(task)
    result = one_round(task, updates)
    (view,) = seen
    np.testing.assert_array_equal(view.honest, updates[1:5])
    np.testing.assert_array_equal(view.own, updates[[0, 5]])
    assert view.honest_clients.tolist() == [1, 2, 3, 4]
    np.testing.assert_array_equal(view.response(2 * view.own), result)
    assert not np.array_equal(view.response(view.own), result)
    assert not view.previous.any()


def test_without_byzantine_clients_in_the_round_nobody_attacks(make_task: MakeTask) -> None:
    def never(view: AttackView) -> np.ndarray:
        raise AssertionError("no Byzantine client takes part")

    task = make_task(adversary=Adversary([0], never), weighting="uniform")
    updates = made_up(task, 3)
    result = Receiver(task)(1, np.array([1, 2, 5]), updates, None)
    np.testing.assert_allclose(result, updates.mean(axis=0), atol=1e-6)


def test_byzantine_clients_alone_in_a_round_know_only_themselves(make_task: MakeTask) -> None:
    task = make_task(adversary=Adversary([0, 1], InnerProductManipulation(1.0)))
    updates = made_up(task, 2)
    result = Receiver(task)(1, np.array([0, 1]), updates, None)
    np.testing.assert_allclose(result, -updates.mean(axis=0), atol=1e-6)


def test_worker_momentum_carries_over_the_rounds_a_client_takes_part_in(
    make_task: MakeTask,
) -> None:
    task = make_task(worker_momentum=0.5)
    receiver = Receiver(task)
    momenta: dict[int, np.ndarray] = {}
    for number, client in enumerate([2, 4, 2, 2], start=1):
        update = made_up(task, 1, seed=number)
        momenta[client] = 0.5 * momenta.get(client, update) + 0.5 * update
        result = receiver(number, np.array([client]), update, None)
        np.testing.assert_allclose(result, momenta[client][0], atol=1e-6)


def test_fltrust_follows_what_the_server_learns_from_its_own_data(make_task: MakeTask) -> None:
    clients = make_task().clients
    root = ClientData(clients[2].x[:10], clients[2].y[:10])
    task = make_task(aggregator=RobustAggregator("fltrust", 0), server_data=root)
    assert task.server_task is not None
    own = flat(local_updates(task.server_task, task.initial_weights, 1, [0])[0])
    sent = np.stack([flat(u) for u in local_updates(task, task.initial_weights, 1, range(6))])
    np.testing.assert_allclose(trained_round(task), robust.fltrust(sent, own), atol=2e-6)


def test_centred_clipping_starts_from_the_aggregate_of_the_round_before(
    make_task: MakeTask,
) -> None:
    options = {"l2_norm_clip": 0.05, "iterations": 1}
    task = make_task(aggregator=RobustAggregator("centred_clipping", 1, options=options))
    receiver, centre = Receiver(task), None
    for number in (1, 2, 3):
        sent = made_up(task, seed=number)
        centre = robust.centred_clipping(sent, 1, 0.05, centre, iterations=1)
        result = receiver(number, np.arange(6), sent, None)
        np.testing.assert_allclose(result, centre, atol=1e-6)


def test_bucketing_repeats_in_a_round_and_differs_in_the_next(make_task: MakeTask) -> None:
    rule = RobustAggregator("coordinate_median", 1, mixing="bucketing", bucket_size=2)
    task = make_task(aggregator=rule)
    updates = made_up(task)
    first, again = one_round(task, updates), one_round(task, updates)
    np.testing.assert_array_equal(first, again)
    later = [Receiver(task)(n, np.arange(6), updates, None) for n in (2, 3, 4)]
    assert any(not np.array_equal(first, other) for other in later)


def test_the_adversary_does_not_know_the_buckets_of_the_round(make_task: MakeTask) -> None:
    drawn = []

    def aggregator(received: robust.ReceivedRound) -> np.ndarray:
        drawn.append(received.rng().random())
        return received.updates.mean(axis=0)

    attack = Optimised(SignFlip(), evaluations=6)
    task = make_task(aggregator=aggregator, adversary=Adversary([0], attack))
    one_round(task, made_up(task))
    assert len(set(drawn[:-1])) == 1
    assert drawn[-1] != drawn[0]


def test_one_nan_update_is_dropped_and_the_round_goes_on(make_task: MakeTask) -> None:
    task = make_task(
        aggregator=RobustAggregator("trimmed_mean", 1, mixing="nearest-neighbour"),
        adversary=Adversary([3], lambda view: view.own * np.nan),
    )
    updates = made_up(task)
    honest = np.delete(updates, 3, axis=0)
    np.testing.assert_allclose(one_round(task, updates), honest.mean(axis=0), atol=1e-6)


def test_a_robust_rule_keeps_learning_where_the_average_fails(make_task: MakeTask) -> None:
    """On IID data: with six clients a rule cannot tell a rare class from an attack."""
    everyone = make_task()
    order = np.random.default_rng(0).permutation(len(everyone.stacked))
    x, y = everyone.stacked.x[order], everyone.stacked.y[order]
    clients = [ClientData(x[i::6], y[i::6]) for i in range(6)]
    task = make_task(clients=clients, adversary=Adversary([0], SignFlip(10.0)))
    accuracy: dict[str, float] = {}
    for name, aggregator in [("average", None), ("median", RobustAggregator("meamed", 1))]:
        history = run(dataclasses.replace(task, aggregator=aggregator), 20, progress=False)
        accuracy[name] = history.to_frame()["test_accuracy"].iloc[-1]
    assert accuracy["average"] < 0.3  # ten classes: guessing gives 0.1
    assert accuracy["median"] > 0.6


def test_an_attacked_run_resumes_where_it_stopped(make_task: MakeTask, tmp_path: Path) -> None:
    task = make_task(
        aggregator=RobustAggregator("centred_clipping", 1, mixing="bucketing"),
        adversary=Adversary([1, 2], Optimised(ALittleIsEnough(), evaluations=6)),
        worker_momentum=0.9,
        clients_per_round=5,
    )
    whole = run(task, 4, progress=False).weights
    run(task, 2, checkpoint_dir=tmp_path, progress=False)
    resumed = run(task, 4, checkpoint_dir=tmp_path, progress=False).weights
    assert all(np.array_equal(a, b) for a, b in zip(whole, resumed, strict=True))


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"aggregator": RobustAggregator("trimmed_mean", 2)}, "aggregator"),
        ({"aggregator": RobustAggregator("trimmed_mean", 1, mixing="bucketing")}, "aggregator"),
        ({"aggregator": average}, "aggregator"),
        ({"adversary": Adversary([0], Mimic(client=3))}, "adversary"),
        ({"adversary": Adversary([0], InnerProductManipulation(0.5))}, "adversary"),
        ({"adversary": Adversary([0], Optimised(SignFlip()))}, "adversary"),
        ({"worker_momentum": 0.8}, "worker_momentum"),
        ({"server_data": ClientData(np.ones((4, 8, 8, 1)), np.arange(4))}, "server_data"),
    ],
)
def test_byzantine_settings_are_part_of_what_tells_checkpoints_apart(
    make_task: MakeTask, change: dict, differs: str
) -> None:
    task = make_task(
        aggregator=RobustAggregator("trimmed_mean", 1),
        adversary=Adversary([0], Mimic()),
        worker_momentum=0.9,
    )
    before = fingerprint(task, "vectorised")
    after = fingerprint(dataclasses.replace(task, **change), "vectorised")
    assert json.loads(json.dumps(before)) == before
    assert [name for name in before if before[name] != after[name]] == [differs]


def test_a_fingerprint_is_the_same_in_every_process(make_task: MakeTask) -> None:
    """A function's repr holds its address, which no other process would find again."""
    task = make_task(aggregator=average, adversary=Adversary([0], as_trained))
    assert "0x" not in json.dumps(fingerprint(task, "vectorised"))


@pytest.mark.parametrize(
    "settings",
    [
        {"aggregator": RobustAggregator("krum", 1)},
        {"adversary": Adversary([0], SignFlip())},
        {"worker_momentum": 0.9},
    ],
)
def test_tensorflow_federated_refuses_what_it_cannot_do_and_says_why(
    make_task: MakeTask, settings: dict
) -> None:
    with pytest.raises(TaskError, match=r"only ever form the weighted sum .*vectorised"):
        run(make_task(**settings), 1, engine="tff", progress=False)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"aggregator": "krum"}, "aggregator='krum' must be callable"),
        ({"aggregator": RobustAggregator("fltrust", 1)}, "give server_data"),
        ({"adversary": Adversary([6], SignFlip())}, r"\[6\]: they must be among 0 to 5"),
        ({"adversary": Adversary(range(6), SignFlip())}, "leave at least one honest"),
        ({"worker_momentum": 1.0}, "worker_momentum=1.0"),
        (
            {"server_data": ClientData(np.ones((2, 3)), np.arange(2))},
            "server_data, taken as client 0",
        ),
    ],
)
def test_settings_that_do_not_fit_are_named_when_the_task_is_made(
    make_task: MakeTask, settings: dict, named: str
) -> None:
    with pytest.raises(TaskError, match=named):
        make_task(**settings)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"aggregator": lambda received: received.updates}, r"shape \(6, \d+\)"),
        ({"adversary": Adversary([0], lambda view: view.previous)}, "one update for each"),
        ({"aggregator": RobustAggregator("bulyan", 2)}, r"4 \* 2 \+ 3 = 11"),
    ],
)
def test_what_goes_wrong_inside_a_round_is_named(
    make_task: MakeTask, settings: dict, named: str
) -> None:
    task = make_task(**settings)
    updates = made_up(task)
    with pytest.raises(TaskError, match=named):
        one_round(task, updates)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: RobustAggregator("kurm", 1), "rule='kurm' is not known: use one of mean, krum"),
        (lambda: RobustAggregator("krum", 1, mixing="nn"), "mixing='nn'"),  # type: ignore[arg-type]
        (lambda: RobustAggregator("krum", -1), "num_byzantine=-1"),
        (lambda: RobustAggregator("krum", 1, bucket_size=0), "bucket_size=0"),
        (
            lambda: RobustAggregator("krum", 1, options={"l2_norm_clip": 1.0}),
            "krum has no option l2_norm_clip: it takes num_neighbours",
        ),
    ],
)
def test_an_aggregator_that_cannot_be_is_refused(make: Callable, named: str) -> None:
    with pytest.raises(TaskError, match=named):
        make()
