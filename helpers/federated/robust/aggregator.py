"""A robust rule as a task takes it: with its pre-aggregation, and what it may know of the round."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from helpers.errors import TaskError
from helpers.federated.robust import centre, coordinate, selection
from helpers.federated.robust.matrix import usable_updates
from helpers.federated.robust.preaggregation import bucketing, nearest_neighbour_mixing
from helpers.federated.validation import require_whole

Mixing = Literal["none", "nearest-neighbour", "bucketing"]

RULES: Mapping[str, Callable[..., np.ndarray]] = MappingProxyType(
    {
        "mean": centre.mean,
        "krum": selection.krum,
        "multi_krum": selection.multi_krum,
        "bulyan": selection.bulyan,
        "coordinate_median": coordinate.coordinate_median,
        "trimmed_mean": coordinate.trimmed_mean,
        "meamed": coordinate.meamed,
        "geometric_median": centre.geometric_median,
        "centred_clipping": centre.centred_clipping,
        "norm_clipping": centre.norm_clipping,
        "fltrust": centre.fltrust,
    }
)
# Filled in from the round, not by the user.
_FROM_ROUND = {"updates", "num_byzantine", "centre", "server_update"}


@dataclass(frozen=True, eq=False)
class ReceivedRound:
    """What the server knows when it aggregates a round.

    Attributes
    ----------
    updates
        One flattened update a row, in the order of ``clients``, float32 ``(n, d)``.
    num_examples
        Weight each client *claims*, float64 ``(n,)``. Robust rules leave it alone: a Byzantine
        client may claim any number.
    clients
        Positions of the clients, int64 ``(n,)``.
    round_number
        Number of the round, from 1.
    previous
        Aggregate of the round before, float32 ``(d,)``; zero in the first.
    server_update
        What the server trained on the task's ``server_data``, float32 ``(d,)``, or None.
    rng
        Makes the server's random generator for this round; each call starts it anew.
    """

    updates: np.ndarray
    num_examples: np.ndarray
    clients: np.ndarray
    round_number: int
    previous: np.ndarray
    server_update: np.ndarray | None
    rng: Callable[[], np.random.Generator]


Aggregator = Callable[[ReceivedRound], np.ndarray]


@dataclass(frozen=True)
class RobustAggregator:
    """A robust rule with its pre-aggregation; give it to a task as ``aggregator``.

    Attributes
    ----------
    rule
        Name of a rule in :data:`RULES`.
    num_byzantine
        Assumed number of Byzantine clients among those of a round.
    mixing
        ``"nearest-neighbour"`` (Allouah et al. 2023) or ``"bucketing"`` (Karimireddy et al. 2022)
        before the rule.
    bucket_size
        Updates a bucket.
    options
        Further arguments of the rule, such as ``{"l2_norm_clip": 1.0}``.

    Raises
    ------
    TaskError
        If there is no such rule, mixing or option.
    """

    rule: str
    num_byzantine: int
    mixing: Mixing = "none"
    bucket_size: int = 2
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise TaskError(f"rule={self.rule!r} is not known: use one of {', '.join(RULES)}.")
        if self.mixing not in ("none", "nearest-neighbour", "bucketing"):
            raise TaskError(
                f'mixing={self.mixing!r} must be "none", "nearest-neighbour" or "bucketing".'
            )
        require_whole("num_byzantine", self.num_byzantine, at_least=0)
        require_whole("bucket_size", self.bucket_size, at_least=1)
        known = set(inspect.signature(RULES[self.rule]).parameters) - _FROM_ROUND
        unknown = sorted(set(self.options) - known)
        if unknown:
            raise TaskError(
                f"{self.rule} has no option {', '.join(unknown)}: it takes "
                f"{', '.join(sorted(known)) or 'none'}."
            )

    @property
    def needs_server_update(self) -> bool:
        """Whether the rule compares with an update that the server trains itself."""
        return self.rule == "fltrust"

    def __call__(self, received: ReceivedRound) -> np.ndarray:
        """Aggregate a round, ``(d,)``.

        Raises
        ------
        TaskError
            If the rule cannot work with this many updates; the message names the limit.
        """
        if self.rule == "fltrust":
            if received.server_update is None:
                raise TaskError(
                    "fltrust needs the server's own update: give the task server_data, a small "
                    "clean ClientData that the server trusts."
                )
            rows = received.updates if self.mixing == "none" else self._mixed(received)[0]
            return centre.fltrust(rows, received.server_update)
        rows, num_byzantine = self._mixed(received)
        extra = {"centre": received.previous} if self.rule == "centred_clipping" else {}
        return RULES[self.rule](rows, num_byzantine, **extra, **self.options)

    def _mixed(self, received: ReceivedRound) -> tuple[np.ndarray, int]:
        rows, num_byzantine = usable_updates(received.updates, self.num_byzantine)
        if self.mixing == "nearest-neighbour":
            rows = nearest_neighbour_mixing(rows, num_byzantine)
        elif self.mixing == "bucketing":
            rows = bucketing(rows, num_byzantine, self.bucket_size, received.rng())
        return rows, num_byzantine
