"""What secure aggregation costs robustness, measured: one hidden client, and a grid of ways out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from helpers.errors import TaskError
from helpers.federated.grid import Scenario, robustness_grid
from helpers.federated.robust.aggregator import Aggregator, RobustAggregator
from helpers.federated.secure import messages
from helpers.federated.secure.aggregators import RobustThenPrivate, SecureGroups, SecureMean
from helpers.federated.secure.messages import Stage
from helpers.federated.secure.protocol import secure_sum
from helpers.federated.secure.quantisation import pack_words, reduce_words, unpack_words
from helpers.federated.secure.settings import Plan, SecureSettings
from helpers.federated.task import FederatedTask
from helpers.federated.validation import require_whole

if TYPE_CHECKING:
    import pandas as pd


def shifted(raw: bytes, steps: np.ndarray | int, plan: Plan) -> bytes:
    """Add whole steps to a masked vector: what a client that does not run our code can send.

    Parameters
    ----------
    raw
        A :class:`~helpers.federated.secure.messages.MaskedVector`, as bytes.
    steps
        Whole numbers, ``(d,)`` or one for all.
    plan
        Of the round, the first of its run.
    """
    limit = len(raw)
    message = messages.decode(raw, messages.MaskedVector, round_number=1, limit=limit)
    words = unpack_words(message.packed, plan.modulus_bits).copy()
    words += np.asarray(steps).astype(np.int64).astype(words.dtype)
    packed = pack_words(reduce_words(words, plan.modulus_bits), plan.modulus_bits)
    return messages.encode(messages.MaskedVector(1, message.client, packed))


class Influence(NamedTuple):
    """How far one client moves the mean.

    Attributes
    ----------
    behaviour
        What it does.
    moved
        Largest change of a coordinate of the mean, in units of the clip.
    noticed
        Whether the server sees that something is wrong (it cannot see who).
    """

    behaviour: str
    moved: float
    noticed: bool


def influence_of_one(
    num_clients: int,
    settings: SecureSettings | None = None,
    *,
    num_values: int = 100,
    seed: int = 0,
) -> list[Influence]:
    """Let one client misbehave in otherwise equal rounds of masking, and measure.

    The others send values around zero, a tenth of the clip wide. The client sends the largest value
    that our code lets it; then, with code of its own, as much beyond the range as three quarters
    of the room that the others leave in the sum; then noise in place of its masks.

    Parameters
    ----------
    num_clients
        Clients in a round.
    settings
        None is the defaults.
    num_values
        Length of the vectors.
    seed
        Decides vectors and keys.

    Returns
    -------
    list of Influence
        ``moved`` is NaN where the server noticed: there is no mean.

    Raises
    ------
    TaskError
        If a number is out of its range.
    """
    require_whole("num_values", num_values, at_least=1)
    settings = SecureSettings() if settings is None else settings
    plan = settings.plan(num_clients)
    rng = np.random.default_rng(seed)
    rows = rng.uniform(-0.1, 0.1, (num_clients, num_values)) * settings.clip
    rows[0] = 0.0
    honest = secure_sum(rows, settings, seed=seed, keep_view=False).mean
    at_clip = rows.copy()
    at_clip[0] = settings.clip
    room = int(0.75 * num_clients * settings.largest_value / 2)
    noise = rng.integers(0, 1 << min(plan.modulus_bits, 62), num_values)
    cases: list[tuple[str, np.ndarray, np.ndarray | int]] = [
        ("largest value in range", at_clip, 0),
        ("out of range, sum in range", rows, room),
        ("masks that do not cancel", rows, noise),
    ]
    found = []
    for name, sent, steps in cases:

        def tamper(stage: Stage, client: int, raw: bytes, steps: np.ndarray | int = steps) -> bytes:
            return shifted(raw, steps, plan) if stage == "mask" and client == 0 else raw

        try:
            mean = secure_sum(sent, settings, seed=seed, keep_view=False, tamper=tamper).mean
        except TaskError:
            found.append(Influence(name, float("nan"), True))
        else:
            moved = float(np.abs(mean - honest).max()) / settings.clip
            found.append(Influence(name, moved, False))
    return found


def ways_out(
    num_clients: int,
    group_sizes: Sequence[int],
    clip: float,
    *,
    rule: str = "trimmed_mean",
    noise_multiplier: float | None = None,
    private_clip: float | None = None,
    value_bits: int = 16,
) -> tuple[dict[str, Callable[[int], Aggregator]], dict[str, int]]:
    """Make the aggregators to compare: secret, robust, and what lies between.

    Parameters
    ----------
    num_clients
        Clients in a round.
    group_sizes
        Sizes of the groups to try, from 2.
    clip
        Values are clipped to [-clip, clip] by all that clip.
    rule
        Robust rule, by name.
    noise_multiplier
        Of robust-then-private; None leaves it out.
    private_clip
        Clip of robust-then-private, whose noise grows with it; None is ``clip``.
    value_bits
        Bits a value is quantised to.

    Returns
    -------
    aggregators
        ``{name: function of the assumed number of Byzantine clients}``, as
        :func:`~helpers.federated.grid.robustness_grid` takes them.
    hidden_among
        ``{name: clients in the smallest sum that the aggregator sees}``.

    Raises
    ------
    TaskError
        If a number is out of its range.
    """
    require_whole("num_clients", num_clients, at_least=1)
    for size in group_sizes:
        require_whole(f"group_sizes={tuple(group_sizes)}: size", size, at_least=2)
    settings = SecureSettings(clip=clip, value_bits=value_bits)
    makers: dict[str, Callable[[int], Aggregator]] = {
        "secure mean": lambda f: SecureMean(settings),
        f"{rule}, nothing hidden": lambda f: RobustAggregator(rule, f),
    }
    hidden = {"secure mean": num_clients, f"{rule}, nothing hidden": 1}
    for size in group_sizes:
        name = f"groups of {size}, {rule}"
        most = (num_clients // size - 1) // 2
        makers[name] = _grouped(rule, size, most, settings)
        hidden[name] = size
    if noise_multiplier is not None:
        makers["trimmed, then private"] = _private(
            clip if private_clip is None else private_clip, noise_multiplier
        )
        hidden["trimmed, then private"] = 1
    return makers, hidden


def _grouped(
    rule: str, size: int, most: int, settings: SecureSettings
) -> Callable[[int], Aggregator]:
    return lambda f: SecureGroups(RobustAggregator(rule, min(f, most)), size, settings)


def _private(clip: float, noise_multiplier: float) -> Callable[[int], Aggregator]:
    return lambda f: RobustThenPrivate(f, clip, noise_multiplier)


def conflict(
    make_task: Callable[[float, int], FederatedTask],
    scenarios: Mapping[str, Scenario],
    num_byzantine: Sequence[int],
    group_sizes: Sequence[int],
    rounds: int,
    *,
    clip: float,
    rule: str = "trimmed_mean",
    noise_multiplier: float | None = None,
    private_clip: float | None = None,
    heterogeneity: Sequence[float] = (1.0,),
    seeds: Sequence[int] = (0,),
    progress: bool = True,
) -> pd.DataFrame:
    """Train with every way out under every attack: privacy on one axis, robustness on the other.

    Parameters
    ----------
    make_task, scenarios, num_byzantine, rounds, heterogeneity, seeds, progress
        As for :func:`~helpers.federated.grid.robustness_grid`. The task takes
        ``weighting="uniform"``: a sum cannot check what clients claim.
    group_sizes, clip, rule, noise_multiplier, private_clip
        As for :func:`ways_out`.

    Returns
    -------
    pandas.DataFrame
        The grid's rows with a column ``hidden_among``: the clients in the smallest sum that the
        aggregator sees, 1 where it sees every update.
    """
    num_clients = make_task(heterogeneity[0], seeds[0]).num_sampled
    makers, hidden = ways_out(
        num_clients,
        group_sizes,
        clip,
        rule=rule,
        noise_multiplier=noise_multiplier,
        private_clip=private_clip,
    )
    grid = robustness_grid(
        make_task,
        makers,
        scenarios,
        heterogeneity,
        num_byzantine,
        rounds,
        seeds=seeds,
        progress=progress,
    )
    return grid.assign(hidden_among=grid["aggregator"].map(hidden))
