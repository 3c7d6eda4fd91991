"""What is trained, on whose data, and how: the definition that every engine runs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from helpers.errors import TaskError
from helpers.federated import validation
from helpers.federated.private import PrivateAggregator, check_private_settings
from helpers.federated.sampling import poisson_clients, sample_clients

if TYPE_CHECKING:
    import tensorflow as tf

    from helpers.federated.byzantine.adversary import Adversary
    from helpers.federated.robust.aggregator import Aggregator

Loss = Literal["sparse_categorical_crossentropy", "binary_crossentropy"]
Weighting = Literal["examples", "uniform"]


@dataclass(frozen=True, eq=False)
class ClientData:
    """The examples of one client (or of the test set).

    Attributes
    ----------
    x
        Features, float32 ``(n, ...)``; other real dtypes are converted by the task.
    y
        Labels, int32 ``(n,)``.
    """

    x: np.ndarray
    y: np.ndarray

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.y)


@dataclass(frozen=True)
class LocalTraining:
    """How a client trains on its own data between receiving and sending a model.

    Plain SGD, as ClientUpdate in Algorithm 1 of McMahan et al. (2017); with ``proximal_mu`` the
    local objective of FedProx, Li et al. (2020), equation 2.

    Attributes
    ----------
    epochs
        Passes over the client's data.
    batch_size
        Examples a step; the last batch of an epoch may be smaller and is used.
    learning_rate
        SGD step size.
    proximal_mu
        Weight of (mu / 2) * ||w - w_global||^2 in the local objective; 0 is plain FedAvg.

    Raises
    ------
    TaskError
        If a setting is out of its range.
    """

    epochs: int = 1
    batch_size: int = 20
    learning_rate: float = 0.1
    proximal_mu: float = 0.0

    def __post_init__(self) -> None:
        validation.require_whole("epochs", self.epochs, at_least=1)
        validation.require_whole("batch_size", self.batch_size, at_least=1)
        validation.require_positive("learning_rate", self.learning_rate)
        validation.require_between("proximal_mu", self.proximal_mu, 0.0, np.inf)


@dataclass(frozen=True)
class ServerOptimizer:
    """How the server applies the averaged update, which it treats as a negative gradient.

    Make one with :meth:`fedavg`, :meth:`fedavgm` or :meth:`fedadam`.

    Attributes
    ----------
    name
        ``"fedavg"``, ``"fedavgm"`` or ``"fedadam"``.
    learning_rate
        Server step size.
    momentum
        Momentum of FedAvgM.
    beta_1, beta_2, epsilon
        Decay rates and adaptivity (tau in Reddi et al.) of FedAdam.

    Raises
    ------
    TaskError
        If the name is unknown, or a setting is out of its range.
    """

    name: Literal["fedavg", "fedavgm", "fedadam"]
    learning_rate: float = 1.0
    momentum: float = 0.0
    beta_1: float = 0.9
    beta_2: float = 0.99
    epsilon: float = 1e-3

    def __post_init__(self) -> None:
        if self.name not in ("fedavg", "fedavgm", "fedadam"):
            raise TaskError(
                f"server optimiser {self.name!r} is not known: "
                'use "fedavg", "fedavgm" or "fedadam".'
            )
        validation.require_positive("server learning_rate", self.learning_rate)
        for name in ("momentum", "beta_1", "beta_2"):
            validation.require_between(name, getattr(self, name), 0.0, 1.0)
        validation.require_positive("epsilon", self.epsilon)

    @classmethod
    def fedavg(cls, learning_rate: float = 1.0) -> ServerOptimizer:
        """Average and replace: Algorithm 1 of McMahan et al., AISTATS 2017."""
        return cls("fedavg", learning_rate)

    @classmethod
    def fedavgm(cls, learning_rate: float = 1.0, momentum: float = 0.9) -> ServerOptimizer:
        """Server momentum: Hsu, Qi and Brown, *Measuring the effects of non-identical data
        distribution for federated visual classification*, 2019, section 4.3.
        """
        return cls("fedavgm", learning_rate, momentum=momentum)

    @classmethod
    def fedadam(
        cls,
        learning_rate: float = 1e-2,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        epsilon: float = 1e-3,
    ) -> ServerOptimizer:
        """Adam on the server: Algorithm 2 of Reddi et al., *Adaptive federated optimization*,
        ICLR 2021, with the bias correction of Kingma and Ba (2015), which TensorFlow Federated
        applies and Algorithm 2 leaves out.
        """
        return cls("fedadam", learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon)


@dataclass(frozen=True, eq=False)
class FederatedTask:
    """One federated learning problem, complete and checked: every engine runs this same object.

    Constructing it builds the model once, checks everything that would otherwise fail or mislead
    after minutes of training, and fixes the initial weights. A ``model_fn`` that sets its own
    seeds keeps its weights; an unseeded one is drawn from ``seed`` (which sets TensorFlow's global
    seed for that moment, as Keras offers no other way).

    Attributes
    ----------
    model_fn
        Called without arguments, returns a new Keras model that maps float32 ``(n, ...)`` to
        float32 logits ``(n, num_classes)``. It must build the model from scratch each time.
    clients
        Data of each client; a client is named by its position.
    test
        Held-out data for the global accuracy and loss.
    local
        Training on a client.
    server
        Server optimiser.
    clients_per_round
        Clients sampled each round without replacement; None is all of them.
    sample_rate
        Probability with which each client joins each round by a coin of its own (Poisson
        sampling), in place of ``clients_per_round``: rounds differ in size, and one that nobody
        joins changes nothing. Privacy amplification is proved for this sampling.
    weighting
        ``"examples"`` weighs each update by the client's number of examples, ``"uniform"``
        counts every client alike.
    seed
        Decides sampling, shuffling and unseeded initial weights. Amplification of privacy rests on
        not knowing who took part, and so on keeping the seed secret.
    loss
        ``"sparse_categorical_crossentropy"`` on logits, or ``"binary_crossentropy"`` on one logit.
    aggregator
        Makes one update of a round's updates, such as a
        :class:`~helpers.federated.robust.RobustAggregator`; None is the weighted average.
    adversary
        Byzantine clients and what they send; None is none.
    worker_momentum
        Momentum that each client applies to the updates it sends, from 0 (none) to below 1.
    server_data
        Clean examples of the server's own, on which it trains each round as a client does, for
        rules that compare with it (FLTrust).
    private_aggregator
        Makes the rounds differentially private, client by client, such as
        :class:`helpers.privacy.dp_fedavg.DPFedAvg`; None does not. Each run starts from a fresh
        one. It takes uniform weights, Poisson sampling or full participation, and no aggregator.
        It protects from those who see the released models. An adversary of this task that reads
        honest updates has seen more than that, and no epsilon covers what it passes on.
    initial_weights
        Of the model, float32, in the order of its ``trainable_weights``; not given but found.

    Raises
    ------
    TaskError
        If anything does not fit together; the message names the value and the remedy.
    """

    model_fn: Callable[[], tf.keras.Model]
    clients: Sequence[ClientData]
    test: ClientData
    local: LocalTraining = field(default_factory=LocalTraining)
    server: ServerOptimizer = field(default_factory=ServerOptimizer.fedavg)
    clients_per_round: int | None = None
    sample_rate: float | None = None
    weighting: Weighting = "examples"
    seed: int = 0
    loss: Loss = "sparse_categorical_crossentropy"
    aggregator: Aggregator | None = None
    adversary: Adversary | None = None
    worker_momentum: float = 0.0
    server_data: ClientData | None = None
    private_aggregator: PrivateAggregator | None = None
    initial_weights: tuple[np.ndarray, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # A frozen dataclass is filled this way; nothing changes after construction.
        object.__setattr__(self, "clients", tuple(self.clients))
        self._check_settings()
        clients, test = validation.clean_data(self.clients, self.test)
        object.__setattr__(self, "clients", tuple(ClientData(x, y) for x, y in clients))
        object.__setattr__(self, "test", ClientData(*test))
        from helpers.federated import model_check

        object.__setattr__(self, "initial_weights", model_check.checked_initial_weights(self))
        _ = self.server_task

    def _check_settings(self) -> None:
        if not isinstance(self.local, LocalTraining):
            raise TaskError(f"local={self.local!r} must be a LocalTraining.")
        if not isinstance(self.server, ServerOptimizer):
            raise TaskError(
                f"server={self.server!r} must be a ServerOptimizer, such as "
                "ServerOptimizer.fedavg()."
            )
        if not callable(self.model_fn):
            raise TaskError(
                "model_fn must be a function that returns a new Keras model, not a model: "
                "wrap it as model_fn=lambda: helpers.models.mlp((28, 28, 1), 10)."
            )
        if self.weighting not in ("examples", "uniform"):
            raise TaskError(f'weighting={self.weighting!r} must be "examples" or "uniform".')
        if self.loss not in ("sparse_categorical_crossentropy", "binary_crossentropy"):
            raise TaskError(
                f'loss={self.loss!r} must be "sparse_categorical_crossentropy" or '
                '"binary_crossentropy".'
            )
        validation.require_whole("seed", self.seed, at_least=0)
        if not self.clients:
            raise TaskError("clients is empty: a federated task needs at least one client.")
        if self.clients_per_round is not None:
            validation.require_whole("clients_per_round", self.clients_per_round, at_least=1)
            validation.require_enough_clients(
                "clients_per_round",
                self.clients_per_round,
                len(self.clients),
                otherwise="; lower it or use None for all",
            )
        if self.sample_rate is not None:
            validation.require_rate("sample_rate", self.sample_rate)
            if self.clients_per_round is not None:
                raise TaskError(
                    f"clients_per_round={self.clients_per_round} draws a fixed number of clients, "
                    f"sample_rate={self.sample_rate} lets each join by its own coin: give one."
                )
        self._check_byzantine_settings()
        if self.private_aggregator is not None:
            check_private_settings(self)

    def _check_byzantine_settings(self) -> None:
        validation.require_between("worker_momentum", self.worker_momentum, 0.0, 1.0)
        if self.aggregator is not None and not callable(self.aggregator):
            raise TaskError(
                f"aggregator={self.aggregator!r} must be callable, such as "
                'RobustAggregator("trimmed_mean", num_byzantine=2).'
            )
        if getattr(self.aggregator, "needs_server_update", False) and self.server_data is None:
            raise TaskError(
                f"{self.aggregator!r} compares with an update of the server's own: give "
                "server_data, a small clean ClientData that the server trusts."
            )
        if self.adversary is None:
            return
        byzantine = self.adversary.clients
        if byzantine[-1] >= len(self.clients) or len(byzantine) == len(self.clients):
            raise TaskError(
                f"The adversary controls clients {list(byzantine)}: they must be among 0 to "
                f"{len(self.clients) - 1} and leave at least one honest."
            )

    @property
    def num_sampled(self) -> int:
        """Number of clients that take part in each round.

        Raises
        ------
        TaskError
            If the task samples by ``sample_rate``: rounds then differ in size.
        """
        if self.sample_rate is not None:
            raise TaskError(
                f"With sample_rate={self.sample_rate} rounds differ in size: ask participants() "
                "for the clients of a round, or use clients_per_round for a fixed number."
            )
        return len(self.clients) if self.clients_per_round is None else self.clients_per_round

    @property
    def participation_rate(self) -> float:
        """Probability with which a client takes part in a round."""
        if self.sample_rate is not None:
            return float(self.sample_rate)
        return self.num_sampled / len(self.clients)

    def participants(self, round_number: int) -> np.ndarray:
        """Draw the clients of a round.

        Parameters
        ----------
        round_number
            Number of the round, from 1.

        Returns
        -------
        np.ndarray
            Sorted positions, int64 ``(n,)``; with ``sample_rate`` n varies and may be 0.
        """
        key = self.seed, round_number, len(self.clients)
        if self.sample_rate is not None:
            return poisson_clients(*key, self.sample_rate)
        return sample_clients(*key, self.num_sampled)

    def under(self, aggregator: Aggregator | None, adversary: Adversary | None) -> FederatedTask:
        """Return the same task with another rule at the server and another adversary.

        Data and model are shared as they were checked, so this is quick where
        ``dataclasses.replace`` builds the model again.

        Parameters
        ----------
        aggregator
            How the server combines the updates; None for the weighted mean.
        adversary
            Who lies, and how; None where all are honest.

        Raises
        ------
        TaskError
            If either does not fit the task.
        """
        other = copy.copy(self)  # what is cached depends on neither
        object.__setattr__(other, "aggregator", aggregator)
        object.__setattr__(other, "adversary", adversary)
        other._check_settings()
        return other

    @property
    def needs_each_update(self) -> bool:
        """Whether the server must see the updates of a round one by one."""
        parts = self.aggregator, self.adversary, self.private_aggregator
        return any(part is not None for part in parts) or self.worker_momentum > 0

    @cached_property
    def server_task(self) -> FederatedTask | None:
        """The task of which the server is the only client, or None without ``server_data``.

        Raises
        ------
        TaskError
            If ``server_data`` would not do as a client's.
        """
        if self.server_data is None:
            return None
        try:
            return replace(
                self,
                clients=[self.server_data],
                clients_per_round=None,
                sample_rate=None,
                private_aggregator=None,
                aggregator=None,
                adversary=None,
                worker_momentum=0.0,
                server_data=None,
            )
        except TaskError as error:
            raise TaskError(f"server_data, taken as client 0: {error}") from error

    @cached_property
    def sizes(self) -> np.ndarray:
        """Number of examples of each client, int64 ``(num_clients,)``."""
        return np.array([len(client) for client in self.clients], dtype=np.int64)

    @cached_property
    def stacked(self) -> ClientData:
        """All clients' examples in one pair of arrays, in the order of the clients."""
        return ClientData(
            np.concatenate([client.x for client in self.clients]),
            np.concatenate([client.y for client in self.clients]),
        )

    @cached_property
    def starts(self) -> np.ndarray:
        """Position in :attr:`stacked` of each client's first example, int64 ``(num_clients,)``."""
        return np.concatenate([[0], np.cumsum(self.sizes)[:-1]]).astype(np.int64)
