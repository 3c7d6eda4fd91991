"""Flower's own strategies and mods, run in this process on our tasks."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.client import NumPyClient
from flwr.client.mod import secaggplus_mod
from flwr.clientapp import ClientApp
from flwr.clientapp.mod import LocalDpMod, fixedclipping_mod
from flwr.common import MessageType, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server import LegacyContext, ServerConfig
from flwr.server.strategy import FedAvg as LegacyFedAvg
from flwr.server.workflow import DefaultWorkflow, SecAggPlusWorkflow
from flwr.serverapp.strategy import (
    DifferentialPrivacyClientSideFixedClipping,
    FedAvg,
    FedMedian,
    FedTrimmedAvg,
    Krum,
    MultiKrum,
)

from helpers.errors import TaskError
from helpers.federated import (
    Adversary,
    FederatedTask,
    ServerOptimizer,
    local_updates,
    robust,
    run,
)
from helpers.federated.byzantine import SignFlip
from helpers.federated.deployment import FlowerEngine, InProcessGrid, run_flower
from helpers.federated.deployment.flower import node_configs
from helpers.federated.deployment.mailbox import Mailbox

MakeTask = Callable[..., FederatedTask]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Flower logs each round at INFO."""
    logger = logging.getLogger("flwr")
    level = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(level)


def flat(arrays: Any) -> np.ndarray:
    return np.concatenate([np.ravel(array) for array in arrays])


def sent(task: FederatedTask) -> np.ndarray:
    """The clients' updates of round 1, one a row."""
    clients = range(len(task.clients))
    return np.stack([flat(u) for u in local_updates(task, task.initial_weights, 1, clients)])


def learned(task: FederatedTask, **settings: Any) -> np.ndarray:
    """What one round of Flower adds to the initial weights."""
    return flat(run_flower(task, 1, **settings).weights) - flat(task.initial_weights)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"clients_per_round": 3, "weighting": "uniform", "server": ServerOptimizer.fedavgm()},
    ],
)
def test_three_rounds_equal_the_vectorised_engine(make_task: MakeTask, settings: dict) -> None:
    task = make_task(**settings)
    theirs, ours = run_flower(task, 3), run(task, 3, progress=False)
    np.testing.assert_allclose(flat(theirs.weights), flat(ours.weights), atol=1e-5)
    assert [r.clients for r in theirs.records] == [r.clients for r in ours.records]
    for one, other in zip(theirs.records, ours.records, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, abs=1e-4)
        assert (one.bytes_up, one.num_examples) == (other.bytes_up, other.num_examples)


def test_a_run_repeats_bit_for_bit(task: FederatedTask) -> None:
    first, again = run_flower(task, 2).weights, run_flower(task, 2).weights
    np.testing.assert_array_equal(flat(first), flat(again))


@pytest.mark.parametrize(
    ("strategy", "ours"),
    [
        (FedMedian(), lambda u: robust.coordinate_median(u, 1)),
        (FedTrimmedAvg(beta=1 / 6), lambda u: robust.trimmed_mean(u, 1)),
        # Flower's Krum counts n - f - 2 neighbours.
        (Krum(num_malicious_nodes=1), lambda u: robust.krum(u, 1, num_neighbours=3)),
    ],
    ids=["median", "trimmed mean", "krum"],
)
def test_flowers_rules_and_ours_agree_on_real_updates(
    make_task: MakeTask, strategy: Any, ours: Callable[[np.ndarray], np.ndarray]
) -> None:
    task = make_task(weighting="uniform")
    np.testing.assert_allclose(learned(task, strategy=strategy), ours(sent(task)), atol=3e-6)


def test_multi_krum_survives_a_node_that_flips_its_update(make_task: MakeTask) -> None:
    task = make_task(weighting="uniform")

    def flips(message: Message, context: Context, call_next: Callable) -> Message:
        reply = call_next(message, context)
        if context.node_config["partition-id"] == 2:
            start = message.content.array_records["arrays"].to_numpy_ndarrays()
            trained = reply.content.array_records["arrays"].to_numpy_ndarrays()
            from helpers.federated.deployment.messages import array_record

            flipped = [s - 10 * (t - s) for s, t in zip(start, trained, strict=True)]
            reply.content["arrays"] = array_record(flipped)
        return reply

    honest = np.delete(sent(task), 2, axis=0).mean(axis=0)
    plain = learned(task, strategy=FedAvg(), mods=[flips])
    kept = learned(
        task, strategy=MultiKrum(num_malicious_nodes=1, num_nodes_to_select=4), mods=[flips]
    )
    assert plain @ honest < 0 < kept @ honest


def test_the_clipping_mod_bounds_every_update(make_task: MakeTask) -> None:
    task, clip = make_task(weighting="uniform"), 0.05
    strategy = DifferentialPrivacyClientSideFixedClipping(
        FedAvg(), noise_multiplier=0.0, clipping_norm=clip, num_sampled_clients=6
    )
    updates = sent(task)
    norms = np.linalg.norm(updates, axis=1, keepdims=True)
    assert norms.min() > clip
    expected = (updates * clip / norms).mean(axis=0)
    got = learned(task, strategy=strategy, mods=[fixedclipping_mod])
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_the_local_dp_mod_adds_the_noise_it_promises(make_task: MakeTask) -> None:
    task = make_task(weighting="uniform", clients=[make_task().clients[0]])
    sensitivity, epsilon, delta = 0.01, 0.5, 1e-5
    mod = LocalDpMod(clipping_norm=100.0, sensitivity=sensitivity, epsilon=epsilon, delta=delta)
    noise = learned(task, mods=[mod]) - learned(task)
    # The Gaussian mechanism of Dwork and Roth (2014), theorem A.1.
    promised = sensitivity * np.sqrt(2 * np.log(1.25 / delta)) / epsilon
    assert noise.std() == pytest.approx(promised, rel=0.1)  # over a thousand values


def test_secure_aggregation_of_flower_gives_the_sum(make_task: MakeTask) -> None:
    """SecAgg+ runs on Flower's older workflow; its quantisation bounds the error."""
    task = make_task(weighting="uniform")
    updates, start = sent(task), flat(task.initial_weights)

    class Client(NumPyClient):
        def __init__(self, client: int) -> None:
            self._client = client

        def fit(self, parameters: list, config: dict) -> tuple[list, int, dict]:
            return [np.concatenate(parameters) + updates[self._client]], 1, {}

    app = ClientApp(
        lambda context: Client(int(context.node_config["partition-id"])).to_client(),
        mods=[secaggplus_mod],
    )
    grid = InProcessGrid(app, node_configs(6))
    results: list[np.ndarray] = []

    class Remembering(LegacyFedAvg):
        def aggregate_fit(self, *arguments: Any) -> Any:
            parameters, metrics = super().aggregate_fit(*arguments)
            assert parameters is not None
            results.append(parameters_to_ndarrays(parameters)[0])
            return parameters, metrics

    strategy = Remembering(
        fraction_evaluate=0.0,
        min_fit_clients=6,
        min_available_clients=6,
        initial_parameters=ndarrays_to_parameters([start]),
    )
    context = LegacyContext(
        Context(1, 0, {}, RecordDict(), {}), ServerConfig(num_rounds=1), strategy
    )
    workflow = SecAggPlusWorkflow(
        num_shares=5,
        reconstruction_threshold=3,
        max_weight=1.0,
        clipping_range=2.0,
        quantization_range=1 << 20,
    )
    DefaultWorkflow(fit_workflow=workflow)(grid, context)
    np.testing.assert_allclose(results[0] - start, updates.mean(axis=0), atol=1e-4)


def test_an_app_that_raises_becomes_an_error_reply(make_task: MakeTask) -> None:
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        raise ValueError("no data today")

    grid = InProcessGrid(app, node_configs(2))
    record = RecordDict({"config": ConfigRecord()})
    asked = [Message(record, node, MessageType.TRAIN) for node in (1, 2, 9)]
    grid.online = [1]
    replies = list(grid.send_and_receive(asked))
    assert [reply.error.reason for reply in replies] == [
        "ValueError: no data today",
        "offline",
        "offline",
    ]


def test_nodes_share_no_memory_with_the_server() -> None:
    """Strategies send one and the same record to all: a node that writes must not be felt."""
    app = ClientApp()
    seen = []

    @app.train()
    def train(message: Message, context: Context) -> Message:
        seen.append(message.content.config_records["config"]["count"])
        message.content.config_records["config"]["count"] = -1
        return Message(message.content, reply_to=message)

    record = RecordDict({"config": ConfigRecord({"count": 7})})
    grid = InProcessGrid(app, node_configs(2))
    list(grid.send_and_receive([Message(record, n, MessageType.TRAIN) for n in (1, 2)]))
    assert seen == [7, 7]
    assert record["config"]["count"] == 7


@pytest.mark.parametrize(
    ("settings", "strategy", "named"),
    [
        ({"adversary": Adversary([0], SignFlip())}, None, "give one of Flower's strategies"),
        ({"server": ServerOptimizer.fedadam()}, FedAvg(), "leave one of them out"),
        ({"clients_per_round": 3}, FedAvg(min_available_nodes=4), "min_available_nodes=4"),
    ],
)
def test_what_does_not_fit_is_refused(
    make_task: MakeTask, settings: dict, strategy: Any, named: str
) -> None:
    with pytest.raises(TaskError, match=named):
        run_flower(make_task(**settings), 1, strategy=strategy)


def test_an_engine_restored_from_its_state_continues_the_same(make_task: MakeTask) -> None:
    task = make_task(server=ServerOptimizer.fedavgm())
    engine, everyone = FlowerEngine(task), np.arange(6)
    engine.train(1, everyone)
    other = FlowerEngine(replace(task))
    other.restore(engine.state())
    for one in (engine, other):
        one.train(2, everyone)
    np.testing.assert_array_equal(flat(engine.weights), flat(other.weights))
    with pytest.raises(TaskError, match="cannot be saved"):
        FlowerEngine(replace(task, server=ServerOptimizer.fedavg()), FedAvg()).state()


class HesitantGrid(InProcessGrid):
    """Holds back the answers of some nodes, and cannot parse those of others."""

    def __init__(self, held: set[int], broken: set[int]) -> None:
        app = ClientApp()

        @app.train()
        def train(message: Message, context: Context) -> Message:
            return Message(message.content, reply_to=message)

        super().__init__(app, node_configs(4))
        self.held, self.broken = held, broken
        self.asked: dict[str, int] = {}

    def push_messages(self, messages: Any) -> Any:
        ids = list(super().push_messages(messages))
        self.asked |= {i: m.metadata.dst_node_id for i, m in zip(ids, messages, strict=True)}
        return ids

    def pull_messages(self, message_ids: Any) -> Any:
        node = self.asked[message_ids[0]]
        if node in self.broken:
            raise ValueError("no such type")
        return [] if node in self.held else super().pull_messages(message_ids)


def test_the_mailbox_waits_until_the_deadline_and_finds_late_answers_once() -> None:
    grid = HesitantGrid(held={2}, broken={4})
    mailbox = Mailbox(grid)
    record = RecordDict({"config": ConfigRecord()})
    sent = mailbox.send(5, {n: Message(record, n, MessageType.TRAIN) for n in (1, 2, 3, 4)})
    came = dict(mailbox.answers(sent, time.monotonic() + 0.3))
    assert came.keys() == {1, 3, 4}
    assert isinstance(came[4], ValueError)
    assert mailbox.unanswered(sent) == [2]
    assert list(mailbox.late(before=6)) == []
    grid.held.clear()
    assert list(mailbox.late(before=5)) == [], "round 5 is not over"
    assert list(mailbox.late(before=6)) == [(2, 5)]
    assert list(mailbox.late(before=6)) == []
