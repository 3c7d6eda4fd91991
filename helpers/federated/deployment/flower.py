"""Flower's strategies and client mods in one process: no Ray, no sockets, the real code.

Flower talks to its nodes through a ``Grid``. :class:`InProcessGrid` is one whose nodes are
functions in this process, so that a strategy and the mods around a ClientApp can be run, measured
and tested at the price of their arithmetic. :class:`FlowerEngine` runs a
:class:`~helpers.federated.FederatedTask` on it.
"""

from __future__ import annotations

import copy
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from flwr.app import ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
from flwr.common.typing import Run
from flwr.server import Grid
from flwr.serverapp.strategy import FedAvg, Strategy
from tqdm import tqdm

from helpers.errors import DivergenceError, TaskError
from helpers.federated.averaging import initial_server_state, server_step
from helpers.federated.deployment.messages import array_record
from helpers.federated.history import History, RoundRecord
from helpers.federated.sampling import sample_clients
from helpers.federated.traffic import bytes_per_round
from helpers.federated.validation import require_whole

if TYPE_CHECKING:
    from helpers.federated.task import FederatedTask

Mod = Callable[[Message, Context, Callable[[Message, Context], Message]], Message]


class InProcessGrid(Grid):
    """A grid whose nodes answer in this process, one after another.

    Parameters
    ----------
    app
        The ClientApp that every node runs.
    node_configs
        Configuration of each node, by its number.
    run_id
        Number of the run.

    Attributes
    ----------
    online
        Numbers of the nodes that :meth:`get_node_ids` reports, ascending; assign to it to have
        nodes come and go.
    """

    def __init__(
        self,
        app: ClientApp,
        node_configs: Mapping[int, Mapping[str, Any]],
        run_id: int = 1,
    ) -> None:
        self._app = app
        self._run = Run.create_empty(run_id)
        self._contexts = {
            node: Context(run_id, node, dict(config), RecordDict(), {})
            for node, config in node_configs.items()
        }
        self._replies: dict[str, Message] = {}
        self.online = sorted(node_configs)

    @property
    def run(self) -> Run:
        """The run to which all messages belong."""
        return self._run

    def set_run(self, run_id: int) -> None:
        """Change the number of the run."""
        self._run = Run.create_empty(run_id)

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Make a message; Flower's older workflows ask the grid to."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """Return the numbers of the nodes that are online."""
        return list(self.online)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Have each node answer the message for it."""
        return [self._deliver(message) for message in messages]

    def _deliver(self, message: Message) -> str:
        # As on a network, both sides have a copy of their own: strategies send one record to all.
        received = copy.deepcopy(message)
        number = uuid.uuid4().hex
        received.metadata.__dict__ |= {
            "_run_id": self._run.run_id,
            "_message_id": number,
            "_src_node_id": SUPERLINK_NODE_ID,
        }
        context = self._contexts.get(received.metadata.dst_node_id)
        if context is None or context.node_id not in self.online:
            reply = Message(Error(ErrorCode.NODE_UNAVAILABLE, "offline"), reply_to=received)
        else:
            try:
                reply = copy.deepcopy(self._app(received, context))
            except Exception as error:  # what Flower's own runner turns into an error reply
                reason = f"{type(error).__name__}: {error}"
                code = ErrorCode.CLIENT_APP_RAISED_EXCEPTION
                reply = Message(Error(code, reason), reply_to=received)
        reply.metadata.__dict__["_message_id"] = uuid.uuid4().hex
        self._replies[number] = reply
        return number

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the answers to some messages, each once."""
        return [self._replies.pop(number) for number in message_ids if number in self._replies]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Push messages and return the answers, in the order of the messages."""
        return self.pull_messages(self.push_messages(messages))


def task_app(task: FederatedTask, mods: Sequence[Mod] = ()) -> ClientApp:
    """Make a ClientApp that trains a task's clients with the vectorised engine's trainer.

    Parameters
    ----------
    task
        The task; node ``n`` is client ``n - 1``, see :func:`node_configs`.
    mods
        Flower's mods, outermost first, such as ``flwr.clientapp.mod.fixedclipping_mod``.
    """
    from helpers.federated.vectorised import LocalTrainer

    trainer = LocalTrainer(task, num_clients=1)
    app = ClientApp()

    @app.train(mods=list(mods))
    def train(message: Message, context: Context) -> Message:
        client = int(context.node_config["partition-id"])
        weights = message.content.array_records["arrays"].to_numpy_ndarrays()
        round_number = int(message.content.config_records["config"]["server-round"])  # type: ignore[arg-type]
        update, loss = trainer(weights, round_number, [client])
        trained = [w + u for w, u in zip(weights, update, strict=True)]
        weight = int(task.sizes[client]) if task.weighting == "examples" else 1
        metrics = MetricRecord({"num-examples": weight, "train-loss": loss})
        content = {"arrays": array_record(trained), "metrics": metrics}
        return Message(RecordDict(content), reply_to=message)  # type: ignore[arg-type]

    return app


def node_configs(num_clients: int) -> dict[int, dict[str, int]]:
    """Number the nodes of an :class:`InProcessGrid`: node ``n`` holds the data of client n - 1."""
    return {
        client + 1: {"partition-id": client, "num-partitions": num_clients}
        for client in range(num_clients)
    }


class FlowerEngine:
    """Runs rounds of a task with Flower's strategies; fits ``helpers.federated.engine.Engine``.

    Parameters
    ----------
    task
        The task. It draws the clients of a round and their batches; the strategy aggregates.
    strategy
        One of ``flwr.serverapp.strategy``; its result is the new global model. None is ``FedAvg``
        followed by the task's own server optimiser.
    mods
        Flower's mods around every client, outermost first.

    Raises
    ------
    TaskError
        If the task has parts that only our engines know.
    """

    def __init__(
        self, task: FederatedTask, strategy: Strategy | None = None, mods: Sequence[Mod] = ()
    ) -> None:
        if task.needs_each_update:
            raise TaskError(
                "The Flower engine does not take an aggregator, adversary, worker_momentum or "
                "private_aggregator: give one of Flower's strategies, or use "
                'engine="vectorised".'
            )
        if getattr(task, "sample_rate", None) is not None:
            raise TaskError("The Flower engine draws a fixed number of clients: no sample_rate.")
        if strategy is not None and task.server.name != "fedavg":
            raise TaskError(
                f"The task has the server optimiser {task.server.name} and the strategy "
                f"{type(strategy).__name__} is one too: leave one of them out."
            )
        self._task, self._own_step = task, strategy is None
        self._strategy = strategy or FedAvg(min_train_nodes=1, min_available_nodes=1)
        self._grid = InProcessGrid(task_app(task, mods), node_configs(len(task.clients)))
        self._weights = list(task.initial_weights)
        self._server = initial_server_state(task.server, self._weights)

    @property
    def weights(self) -> list[np.ndarray]:
        """Global weights, float32."""
        return list(self._weights)

    def train(self, round_number: int, clients: np.ndarray) -> float:
        """Run one round and return the mean training loss.

        Raises
        ------
        TaskError
            If the strategy waits for more nodes than take part, or a client fails.
        """
        self._grid.online = [int(client) + 1 for client in clients]
        self._require_enough(len(clients))
        asked = self._strategy.configure_train(
            round_number, array_record(self._weights), ConfigRecord(), self._grid
        )
        # Strategies shuffle with the global generator; float sums would follow the shuffle.
        messages = sorted(asked, key=lambda message: message.metadata.dst_node_id)
        replies = list(self._grid.send_and_receive(messages))
        for reply in replies:
            if reply.has_error():
                raise TaskError(f"Node {reply.metadata.src_node_id} failed: {reply.error.reason}")
        loss = self._mean_loss(replies)
        arrays, _ = self._strategy.aggregate_train(round_number, replies)
        if arrays is None:
            raise TaskError(f"{type(self._strategy).__name__} returned no weights.")
        self._take(arrays.to_numpy_ndarrays())
        return loss

    def _take(self, averaged: list[np.ndarray]) -> None:
        if not self._own_step:
            self._weights = [np.asarray(array, np.float32) for array in averaged]
            return
        update = [(a - w).astype(np.float32) for a, w in zip(averaged, self._weights, strict=True)]
        self._server, self._weights = server_step(
            self._task.server, self._server, self._weights, update
        )

    def _mean_loss(self, replies: list[Message]) -> float:
        """Mean over all batches; read before a strategy or its wrapper drops the metric."""
        nodes = np.array([reply.metadata.src_node_id - 1 for reply in replies])
        records = [next(iter(reply.content.metric_records.values())) for reply in replies]
        losses = [float(record["train-loss"]) for record in records]  # type: ignore[arg-type]
        return float(np.average(losses, weights=self._task.sizes[nodes]))

    def _require_enough(self, clients: int) -> None:
        # A strategy that misses nodes waits for them, here for ever. Wrappers keep the strategy.
        inner = getattr(self._strategy, "strategy", self._strategy)
        for name in ("min_train_nodes", "min_available_nodes"):
            if (least := getattr(inner, name, 0)) > clients:
                raise TaskError(
                    f"{type(inner).__name__} waits for {name}={least} nodes, but {clients} take "
                    "part in a round: lower it."
                )

    def state(self) -> list[np.ndarray]:
        """Return everything the next round depends on.

        Raises
        ------
        TaskError
            With a strategy of Flower's, which may remember what cannot be asked of it.
        """
        if not self._own_step:
            raise TaskError(
                f"A run with {type(self._strategy).__name__} cannot be saved: Flower's strategies "
                "do not hand out what they remember. Leave checkpoint_dir out."
            )
        return [*self._weights, *self._server]

    def restore(self, arrays: Sequence[np.ndarray]) -> None:
        """Continue from what :meth:`state` returned."""
        count = len(self._weights)
        self._weights, self._server = list(arrays[:count]), list(arrays[count:])


def run_flower(
    task: FederatedTask,
    rounds: int,
    *,
    strategy: Strategy | None = None,
    mods: Sequence[Mod] = (),
    progress: bool = False,
) -> History:
    """Train a task with one of Flower's strategies, in this process.

    Parameters
    ----------
    task
        What to train.
    rounds
        Number of rounds.
    strategy, mods
        As for :class:`FlowerEngine`.
    progress
        Whether to show a progress bar.

    Returns
    -------
    History
        As from :func:`helpers.federated.run`.

    Raises
    ------
    TaskError
        If an argument does not fit or training diverges.
    """
    from helpers.federated.evaluation import Evaluator

    require_whole("rounds", rounds, at_least=1)
    engine, evaluate = FlowerEngine(task, strategy, mods), Evaluator(task)
    records = []
    for number in tqdm(range(1, rounds + 1), desc="rounds", disable=not progress):
        clients = sample_clients(task.seed, number, len(task.clients), task.num_sampled)
        start = time.perf_counter()
        loss = engine.train(number, clients)
        seconds = time.perf_counter() - start
        if not all(np.isfinite(w).all() for w in engine.weights):
            raise DivergenceError(f"Training diverged in round {number}.")
        scores = evaluate(engine.weights)
        traffic = bytes_per_round([w.shape for w in engine.weights], len(clients))
        records.append(
            RoundRecord(
                round=number,
                clients=tuple(int(client) for client in clients),
                num_examples=int(task.sizes[clients].sum()),
                train_loss=loss,
                test_accuracy=scores.test_accuracy,
                test_loss=scores.test_loss,
                client_accuracy=scores.client_accuracy,
                bytes_up=traffic.up,
                bytes_down=traffic.down,
                seconds=seconds,
            )
        )
    return History(records, engine.weights)
