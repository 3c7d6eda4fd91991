"""The loop around every engine: ask, sample, train, measure, save, report."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, get_args

import numpy as np
from tqdm import tqdm

from helpers.errors import DivergenceError, TaskError
from helpers.federated.checkpoint import Checkpoint, CheckpointFolder, fingerprint
from helpers.federated.history import History, RoundRecord, UpcomingRound
from helpers.federated.private import PrivateAggregator
from helpers.federated.task import FederatedTask
from helpers.federated.traffic import bytes_per_round
from helpers.federated.validation import require_whole

EngineName = Literal["vectorised", "tff"]
Callback = Callable[[RoundRecord, list[np.ndarray]], Any]
Gate = Callable[[UpcomingRound], Any]


class Engine(Protocol):
    """What the loop needs from an engine.

    An engine of a private task also takes the run's
    :class:`~helpers.federated.private.PrivateAggregator`, gives it each round's updates through
    :func:`~helpers.federated.private.private_update`, and leaves its state to the loop.
    """

    @property
    def weights(self) -> list[np.ndarray]:
        """Global weights, float32, in the order of ``model.trainable_weights``."""
        ...

    def train(self, round_number: int, clients: np.ndarray) -> float:
        """Run one round with these clients, int64 ``(n,)``, and return the mean training loss.

        There is at least one client, except in a private task: a round that nobody joins still
        releases its noise there. What is returned is then ignored.
        """
        ...

    def state(self) -> list[np.ndarray]:
        """Return everything the next round depends on."""
        ...

    def restore(self, arrays: Sequence[np.ndarray]) -> None:
        """Continue from what :meth:`state` returned."""
        ...


def run(
    task: FederatedTask,
    rounds: int,
    *,
    engine: EngineName = "vectorised",
    evaluate_every: int = 1,
    evaluate_clients: bool = True,
    callbacks: Sequence[Callback] = (),
    before_round: Sequence[Gate] = (),
    checkpoint_dir: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> History:
    """Train a task for a number of rounds.

    The same task and seed give bit-identical weights on one machine. Engines agree on who takes
    part and on every batch, and therefore on the weights up to the order of float32 sums.

    Parameters
    ----------
    task
        What to train.
    rounds
        Number of rounds in total; rounds found in ``checkpoint_dir`` count.
    engine
        ``"vectorised"`` (ours) or ``"tff"`` (TensorFlow Federated).
    evaluate_every
        Evaluate the global model each so many rounds; the last round always is.
    evaluate_clients
        Whether to evaluate on the data of every client too, which takes longest, or on the test
        set alone.
    callbacks
        Each is called after a round as ``callback(record, weights)``; one that returns True ends
        the run after that round.
    before_round
        Each is called before a round as ``gate(upcoming)``, with an
        :class:`~helpers.federated.history.UpcomingRound`; one that returns False ends the run
        before that round. :class:`helpers.privacy.rounds.RoundBudget` is one.
    checkpoint_dir
        Folder in which each round is saved. A later call with the same task and folder resumes
        there, also after a kill, and ends with the same weights as an uninterrupted run. That of a
        private task holds the state of its noise: keep it as secret as the data.
    progress
        Whether to show a progress bar.

    Returns
    -------
    History
        Records of all rounds, and the final weights.

    Raises
    ------
    TaskError
        If an argument does not fit, training diverges to NaN or infinity, or the checkpoints
        belong to another task or to a longer run.
    """
    require_whole("rounds", rounds, at_least=1)
    require_whole("evaluate_every", evaluate_every, at_least=1)
    if not isinstance(task, FederatedTask):
        raise TaskError(f"task is a {type(task).__name__}; give a FederatedTask.")
    if engine not in get_args(EngineName):
        raise TaskError(f"engine={engine!r} is not known: use one of {get_args(EngineName)}.")
    from helpers.federated.evaluation import Evaluator

    folder = None
    if checkpoint_dir is not None:
        folder = CheckpointFolder(checkpoint_dir, fingerprint(task, engine))
    saved = None if folder is None else _saved_within(task, folder, rounds)
    runner = _Runner(task, engine)
    records = []
    if saved is not None:
        runner.restore(saved.arrays)
        records = saved.records
    evaluate = Evaluator(task, evaluate_clients)
    bar = tqdm(total=rounds, initial=len(records), desc="rounds", disable=not progress)
    with bar:
        for number in range(len(records) + 1, rounds + 1):
            if not _all_admit(before_round, runner.upcoming(number)):
                break
            scores = evaluate if number % evaluate_every == 0 or number == rounds else None
            records.append(_round(task, runner, number, scores))
            if folder is not None:
                folder.save(Checkpoint(runner.state(), records))
            _show(bar, records[-1])
            answers = [callback(records[-1], runner.engine.weights) for callback in callbacks]
            if any(isinstance(answer, bool | np.bool_) and answer for answer in answers):
                break
    return History(records, runner.engine.weights)


class _Runner:
    """An engine, and what the loop keeps beside it for a private task: its noise and its name."""

    def __init__(self, task: FederatedTask, engine: EngineName) -> None:
        self._task = task
        self._run_id = uuid.uuid4()
        self.private = None if task.private_aggregator is None else task.private_aggregator.fresh()
        self.engine = _make_engine(task, engine, self.private)

    def upcoming(self, number: int) -> UpcomingRound:
        if self.private is None:
            return UpcomingRound(number, self._run_id.hex)
        return UpcomingRound(
            number, self._run_id.hex, self.private.noise_multiplier, self._task.participation_rate
        )

    def state(self) -> list[np.ndarray]:
        if self.private is None:
            return self.engine.state()
        name = np.frombuffer(self._run_id.bytes, np.uint8)
        return [name, *self.private.state(), *self.engine.state()]

    def restore(self, arrays: list[np.ndarray]) -> None:
        if self.private is not None:
            held = 1 + len(self.private.state())
            self._run_id = uuid.UUID(bytes=arrays[0].tobytes())
            self.private.restore(arrays[1:held])
            arrays = arrays[held:]
        self.engine.restore(arrays)


def _all_admit(gates: Sequence[Gate], upcoming: UpcomingRound) -> bool:
    answers = [gate(upcoming) for gate in gates]
    return not any(isinstance(answer, bool | np.bool_) and not answer for answer in answers)


def _make_engine(
    task: FederatedTask, name: EngineName, private: PrivateAggregator | None
) -> Engine:
    if name == "tff":
        if task.aggregator is not None or task.adversary is not None or task.worker_momentum > 0:
            raise TaskError(
                'engine="tff" cannot take an aggregator, adversary or worker_momentum: the '
                "averaging processes of TensorFlow Federated only ever form the weighted sum of "
                "the updates, and these need each update by itself, some with a memory of the "
                'client that sent it. Use engine="vectorised".'
            )
        from helpers.federated.tff_engine import PrivateTffEngine, TffEngine

        return TffEngine(task) if private is None else PrivateTffEngine(task, private)
    from helpers.federated.vectorised import VectorisedEngine

    return VectorisedEngine(task, private=private)


def local_updates(
    task: FederatedTask,
    weights: Sequence[np.ndarray],
    round_number: int,
    clients: Sequence[int] | np.ndarray,
) -> list[list[np.ndarray]]:
    """Return what each client would send to the server in one round.

    Parameters
    ----------
    task
        The task; its local training settings and seed decide the update.
    weights
        Global weights that the clients start from, float32.
    round_number
        Number of the round, from 1; it decides the batches.
    clients
        Positions of the clients.

    Returns
    -------
    list of list of np.ndarray
        For each client, its trained weights minus ``weights``, float32.

    Raises
    ------
    TaskError
        If there is no such client, or the weights have other shapes than the model's.
    """
    for client in clients:
        if not 0 <= client < len(task.clients):
            raise TaskError(f"client {client} is not one of 0 to {len(task.clients) - 1}.")
    shapes = [w.shape for w in task.initial_weights]
    if [np.shape(w) for w in weights] != shapes:
        raise TaskError(f"weights have shapes {[np.shape(w) for w in weights]}, not {shapes}.")
    from helpers.federated.vectorised import LocalTrainer

    trainer = LocalTrainer(task, num_clients=1)
    return [trainer(weights, round_number, [client])[0] for client in clients]


_RELEASED = (
    "Rounds of this private task may have been released already, and starting again would release "
    "them a second time without accounting for the first: restore the folder, or pay for both and "
    "use another checkpoint_dir."
)


def _saved_within(task: FederatedTask, folder: CheckpointFolder, rounds: int) -> Checkpoint | None:
    checkpoint = folder.load("" if task.private_aggregator is None else _RELEASED)
    if checkpoint is not None and len(checkpoint.records) > rounds:
        raise TaskError(
            f"The checkpoints already hold {len(checkpoint.records)} rounds, more than "
            f"rounds={rounds}: ask for at least as many, or use another checkpoint_dir."
        )
    return checkpoint


def _round(
    task: FederatedTask,
    runner: _Runner,
    number: int,
    evaluate: Callable[[list[np.ndarray]], Any] | None,
) -> RoundRecord:
    clients = task.participants(number)
    private = runner.private
    clip = None if private is None else float(private.l2_norm_clip)
    start = time.perf_counter()
    # Nobody joined: without noise to release, nothing happens, not even the server's momentum.
    loss = runner.engine.train(number, clients) if len(clients) or private is not None else 0.0
    seconds = time.perf_counter() - start
    weights = runner.engine.weights
    _require_finite(task, number, loss if len(clients) else 0.0, weights)
    scores = evaluate(weights) if evaluate is not None else None
    traffic = bytes_per_round([w.shape for w in weights], len(clients))
    return RoundRecord(
        round=number,
        clients=tuple(int(client) for client in clients),
        num_examples=int(task.sizes[clients].sum()),
        train_loss=loss if len(clients) else float("nan"),
        test_accuracy=scores.test_accuracy if scores else None,
        test_loss=scores.test_loss if scores else None,
        client_accuracy=scores.client_accuracy if scores else None,
        bytes_up=traffic.up,
        bytes_down=traffic.down,
        seconds=seconds,
        noise_multiplier=None if private is None else float(private.noise_multiplier),
        l2_norm_clip=clip,
        sample_rate=None if private is None else task.participation_rate,
    )


def _require_finite(
    task: FederatedTask, number: int, loss: float, weights: list[np.ndarray]
) -> None:
    if np.isfinite(loss) and all(np.isfinite(w).all() for w in weights):
        return
    raise DivergenceError(
        f"Training diverged in round {number} (mean training loss {loss}): lower the local "
        f"learning_rate={task.local.learning_rate} or the server's "
        f"learning_rate={task.server.learning_rate}, or scale the features to [0, 1]."
    )


def _show(bar: tqdm, record: RoundRecord) -> None:
    if record.test_accuracy is not None:
        bar.set_postfix(accuracy=f"{record.test_accuracy:.3f}", refresh=False)
    bar.update()
