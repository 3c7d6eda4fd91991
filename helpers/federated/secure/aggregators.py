"""Secure aggregation as an aggregator of a task: real masked sums inside a training run.

Each takes a :class:`~helpers.federated.robust.ReceivedRound`, as
:class:`~helpers.federated.robust.RobustAggregator` does; give one to a task as ``aggregator``. Keys
come from the operating system: a sum does not depend on them, so a run repeats bit by bit all the
same (with ``rounding="nearest"``).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from helpers.errors import TaskError
from helpers.federated.robust.aggregator import ReceivedRound, RobustAggregator
from helpers.federated.robust.coordinate import trimmed_mean
from helpers.federated.secure.groups import secure_group_means
from helpers.federated.secure.protocol import secure_sum
from helpers.federated.secure.settings import SecureSettings
from helpers.federated.validation import require_positive, require_whole


@dataclass(frozen=True)
class SecureMean:
    """FedAvg over one masked sum: the server never sees an update.

    Attributes
    ----------
    settings
        Settings of the rounds; ``clip`` must hold the updates.
    max_examples
        Largest number of examples that a client may claim, agreed beforehand: each client then
        sends its update times its share of it, and the share, and both are added up. None counts
        every client alike, for a task with ``weighting="uniform"``.

    Raises
    ------
    TaskError
        If ``max_examples`` is given and not positive.

    Notes
    -----
    The mean is off by at most ``settings.error_bound`` where clients count alike, and by at most
    ``2 * n * settings.error_bound / (sum of shares)`` where they are weighed, for updates within
    the clip. A client whose update is not finite drops out of the sum. Byzantine clients are taken
    to run this code too, so what they send is clipped;
    :func:`~helpers.federated.secure.influence_of_one` measures one that does not.
    """

    settings: SecureSettings = field(default_factory=SecureSettings)
    max_examples: float | None = None

    def __post_init__(self) -> None:
        if self.max_examples is not None:
            require_positive("max_examples", self.max_examples)

    def __call__(self, received: ReceivedRound) -> np.ndarray:
        """Aggregate a round, ``(d,)``.

        Raises
        ------
        TaskError
            If the clients' weights differ and ``max_examples`` is None, or one is above it.
        """
        rows, weights = received.updates, received.num_examples
        if self.max_examples is None:
            if len(np.unique(weights)) > 1:
                raise TaskError(
                    f"Clients hold {weights.min():.0f} to {weights.max():.0f} examples and "
                    "max_examples is None, which counts them alike: give max_examples, or the "
                    'task weighting="uniform".'
                )
            return self._summed(rows, received).mean.astype(rows.dtype)
        if weights.max() > self.max_examples:
            raise TaskError(
                f"A client holds {weights.max():.0f} examples, above max_examples="
                f"{self.max_examples}: raise it, or let the client claim no more."
            )
        clip = self.settings.clip
        shares = (weights / self.max_examples)[:, None]
        # Clipped first: what is weighed must be what a client with full weight could send.
        weighed = np.c_[np.clip(rows, -clip, clip) * shares, shares * clip]
        total = self._summed(weighed, received).total
        return (total[:-1] / (total[-1] / clip)).astype(rows.dtype)

    def _summed(self, rows: np.ndarray, received: ReceivedRound):  # type: ignore[no-untyped-def]
        return secure_sum(
            rows,
            self.settings,
            clients=received.clients.tolist(),
            round_number=received.round_number,
            keep_view=False,
        )


@dataclass(frozen=True)
class SecureGroups:
    """A robust rule over the means of groups, each a masked sum.

    Attributes
    ----------
    rule
        Applied to one row a group; its ``num_byzantine`` counts groups, and as many groups as
        there are Byzantine clients may be spoilt.
    group_size
        Clients a group, at least 2: each hides among so many.
    settings
        Settings of each group's round.

    Raises
    ------
    TaskError
        If ``group_size`` is below 2.
    """

    rule: RobustAggregator
    group_size: int
    settings: SecureSettings = field(default_factory=SecureSettings)

    def __post_init__(self) -> None:
        require_whole("group_size", self.group_size, at_least=2)

    @property
    def needs_server_update(self) -> bool:
        """Whether the rule compares with an update that the server trains itself."""
        return self.rule.needs_server_update

    def __call__(self, received: ReceivedRound) -> np.ndarray:
        """Aggregate a round, ``(d,)``.

        Raises
        ------
        TaskError
            If the rule cannot work with so few groups, or a group is too small.
        """
        means = secure_group_means(
            received.updates,
            self.group_size,
            self.settings,
            received.rng(),
            round_number=received.round_number,
        )
        seen = replace(
            received,
            updates=means,
            num_examples=np.ones(len(means)),
            clients=np.arange(len(means)),
        )
        return self.rule(seen)


@dataclass(frozen=True)
class RobustThenPrivate:
    """Trim each coordinate and add noise to what leaves, in a place that everybody trusts.

    Nothing is hidden from the aggregator: it sees every update, as robustness wants. What leaves
    it is differentially private for each client, by the Gaussian mechanism.

    Attributes
    ----------
    num_byzantine
        Values trimmed on each side of each coordinate (f).
    clip
        Each coordinate of each update is clipped to [-clip, clip].
    noise_multiplier
        Standard deviation of the noise over the sensitivity; an accountant turns it into epsilon
        (one Gaussian mechanism a round, replacement of one client, no amplification).

    Raises
    ------
    TaskError
        If a setting is out of its range.

    Notes
    -----
    Replacing one client moves the sum of the n - 2f middle values of a coordinate by at most
    2 * clip: sorted values shift by one place at most, and the steps between them telescope. So
    the L2 sensitivity of the trimmed mean is 2 * clip * sqrt(d) / (n - 2f), n / (n - 2f) times
    that of the mean.
    """

    num_byzantine: int
    clip: float
    noise_multiplier: float

    def __post_init__(self) -> None:
        require_whole("num_byzantine", self.num_byzantine, at_least=0)
        require_positive("clip", self.clip)
        require_positive("noise_multiplier", self.noise_multiplier)

    def sensitivity(self, num_clients: int, num_values: int) -> float:
        """Return how far, in L2, replacing one client can move the trimmed mean.

        Raises
        ------
        TaskError
            If all updates of so few clients would be trimmed, or a number is not positive.
        """
        require_whole("num_clients", num_clients, at_least=1)
        require_whole("num_values", num_values, at_least=1)
        kept = num_clients - 2 * self.num_byzantine
        if kept < 1:
            raise TaskError(
                f"num_byzantine={self.num_byzantine} trims all of {num_clients} updates."
            )
        return 2 * self.clip * float(np.sqrt(num_values)) / kept

    def __call__(self, received: ReceivedRound) -> np.ndarray:
        """Aggregate a round, ``(d,)``."""
        rows = np.nan_to_num(received.updates, nan=0.0)
        clipped = np.clip(rows, -self.clip, self.clip)
        centre = trimmed_mean(clipped, self.num_byzantine)
        scale = self.noise_multiplier * self.sensitivity(*rows.shape)
        noise = received.rng().normal(0.0, scale, rows.shape[1])
        return (centre + noise).astype(rows.dtype)
