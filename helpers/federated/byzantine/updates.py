"""Attacks on the updates: what a Byzantine client sends instead of what it learned."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import ClassVar, Literal

import numpy as np

from helpers.errors import TaskError
from helpers.federated.byzantine.adversary import AttackView
from helpers.federated.robust.matrix import squared_distances, squared_norms
from helpers.federated.validation import require_positive, require_whole

Direction = Literal["deviation", "unit", "sign"]


@dataclass(frozen=True)
class SignFlip:
    """Each Byzantine client sends its own update times ``-scale``.

    Li et al., *RSA: Byzantine-robust stochastic aggregation methods for distributed learning from
    heterogeneous datasets*, AAAI 2019, section 5.

    Raises
    ------
    TaskError
        If ``scale`` is not positive.
    """

    scale: float = 1.0
    strength: ClassVar[str] = "scale"

    def __post_init__(self) -> None:
        require_positive("scale", self.scale)

    def __call__(self, view: AttackView) -> np.ndarray:
        """Return the updates sent, ``(b, d)``."""
        return -self.scale * view.own


@dataclass(frozen=True)
class InnerProductManipulation:
    """All send the mean of the honest updates times ``-epsilon`` (IPM, also FOE).

    A small ``epsilon`` hides among the honest updates and still turns the aggregate's inner
    product with the true mean negative. Xie, Koyejo and Gupta, *Fall of empires: breaking
    Byzantine-tolerant SGD by inner product manipulation*, UAI 2019, section 4.

    Raises
    ------
    TaskError
        If ``epsilon`` is not positive.
    """

    epsilon: float
    strength: ClassVar[str] = "epsilon"

    def __post_init__(self) -> None:
        require_positive("epsilon", self.epsilon)

    def __call__(self, view: AttackView) -> np.ndarray:
        """Return the updates sent, ``(b, d)``."""
        return view.everyone_sends(-self.epsilon * view.honest.mean(axis=0, dtype=np.float64))


@dataclass(frozen=True)
class ALittleIsEnough:
    """All send the honest mean minus ``z`` standard deviations in each coordinate (ALIE).

    ``z=None`` is the paper's: so far from the mean that, were the coordinates normal, enough
    honest clients would still lie further out. Baruch, Baruch and Goldberg, *A little is enough:
    circumventing defenses for distributed learning*, NeurIPS 2019, Algorithm 3.

    Raises
    ------
    TaskError
        If ``z`` is given and not positive.
    """

    z: float | None = None
    strength: ClassVar[str] = "z"

    def __post_init__(self) -> None:
        if self.z is not None:
            require_positive("z", self.z)

    def __call__(self, view: AttackView) -> np.ndarray:
        """Return the updates sent, ``(b, d)``."""
        z = alie_z(view.num_clients, view.num_byzantine) if self.z is None else self.z
        mean = view.honest.mean(axis=0, dtype=np.float64)
        return view.everyone_sends(mean - z * _deviation(view.honest))


def alie_z(num_clients: int, num_byzantine: int) -> float:
    """Return ALIE's z_max for n clients of which f are Byzantine.

    s = floor(n / 2 + 1) - f honest clients must be won over; z_max is the (n - f - s) / (n - f)
    quantile of the standard normal distribution (Baruch et al. 2019, equation 1).

    Raises
    ------
    TaskError
        If the Byzantine clients are no strict minority, or a number is not whole.
    """
    require_whole("num_clients", num_clients, at_least=1)
    require_whole("num_byzantine", num_byzantine, at_least=0)
    if not 0 < 2 * num_byzantine < num_clients:
        raise TaskError(
            f"ALIE's z is defined for a minority: num_byzantine={num_byzantine} of {num_clients}. "
            "Give z yourself."
        )
    honest = num_clients - num_byzantine
    supporters = num_clients // 2 + 1 - num_byzantine
    return NormalDist().inv_cdf((honest - supporters) / honest)


@dataclass(frozen=True)
class MinMax:
    """Go as far from the honest mean as keeps every distance within the honest clients' own.

    All send mean + gamma * direction with the largest gamma for which no honest update is further
    from it than the two furthest honest updates are from each other. Shejwalkar and Houmansadr,
    *Manipulating the Byzantine*, NDSS 2021, section IV-B, which searches for gamma by halving;
    here it is the root of a quadratic for each honest update.

    Attributes
    ----------
    direction
        Against the honest updates' standard deviation (``"deviation"``), or against their mean's
        unit vector (``"unit"``) or sign (``"sign"``); section IV-A.

    Raises
    ------
    TaskError
        If the direction is unknown.
    """

    direction: Direction = "deviation"

    def __post_init__(self) -> None:
        _require_direction(self.direction)

    def __call__(self, view: AttackView) -> np.ndarray:
        """Return the updates sent, ``(b, d)``."""
        mean, offsets, step = _geometry(view.honest, self.direction)
        limit = squared_distances(view.honest).max()
        # |mean + gamma * step - x|^2 = limit, for each x: a gamma^2 + 2 b gamma + c = 0, c <= 0.
        a = step @ step
        b = -offsets @ step
        c = np.minimum(squared_norms(offsets) - limit, 0.0)
        gamma = ((np.sqrt(b * b - a * c) - b) / a).min() if a > 0 else 0.0
        return view.everyone_sends(mean + gamma * step)


@dataclass(frozen=True)
class MinSum:
    """As :class:`MinMax`, with the sum of squared distances to the honest updates as the limit.

    The largest gamma for which that sum stays within the largest such sum of any honest update.
    Shejwalkar and Houmansadr, NDSS 2021, section IV-B; here in closed form.

    Attributes
    ----------
    direction
        As for :class:`MinMax`.

    Raises
    ------
    TaskError
        If the direction is unknown.
    """

    direction: Direction = "deviation"

    def __post_init__(self) -> None:
        _require_direction(self.direction)

    def __call__(self, view: AttackView) -> np.ndarray:
        """Return the updates sent, ``(b, d)``."""
        mean, offsets, step = _geometry(view.honest, self.direction)
        limit = squared_distances(view.honest).sum(axis=1).max()
        # The sum at mean + gamma * step is its value at the mean plus h * gamma^2 * |step|^2.
        room = max(limit - squared_norms(offsets).sum(), 0.0)
        a = len(offsets) * (step @ step)
        gamma = np.sqrt(room / a) if a > 0 else 0.0
        return view.everyone_sends(mean + gamma * step)


@dataclass(frozen=True)
class Mimic:
    """All copy one honest client, so that its data outweigh everybody else's.

    Nothing is out of the ordinary about the copies: on non-IID data this skews every rule that
    treats rare updates as wrong. Karimireddy, He and Jaggi, *Byzantine-robust learning on
    heterogeneous datasets via bucketing*, ICLR 2022, section 3.2.

    Attributes
    ----------
    client
        Position of the copied client. None, and any client that is not in the round, is the
        honest client of the round furthest out along the direction in which honest updates vary
        most.
    """

    client: int | None = None

    def __call__(self, view: AttackView) -> np.ndarray:
        """Return the updates sent, ``(b, d)``."""
        present = np.flatnonzero(view.honest_clients == self.client)
        row = present[0] if self.client is not None and len(present) else _most_extreme(view.honest)
        return view.everyone_sends(view.honest[row])


@dataclass(frozen=True)
class FreeRider:
    """Send something that looks like an update without having trained.

    Attributes
    ----------
    disguise
        ``"none"`` sends zeros, ``"previous"`` the last aggregate, which everyone could compute
        from the global models (Lin, Du and Liu, *Free-riders in federated learning*, 2019, delta
        weights), ``"noise"`` the last aggregate's norm in a random direction.

    Raises
    ------
    TaskError
        If the disguise is unknown.
    """

    disguise: Literal["none", "previous", "noise"] = "previous"

    def __post_init__(self) -> None:
        if self.disguise not in ("none", "previous", "noise"):
            raise TaskError(f'disguise={self.disguise!r} must be "none", "previous" or "noise".')

    def __call__(self, view: AttackView) -> np.ndarray:
        """Return the updates sent, ``(b, d)``."""
        if self.disguise == "none":
            return np.zeros_like(view.own)
        if self.disguise == "previous":
            return view.everyone_sends(view.previous)
        noise = view.rng.standard_normal(view.own.shape)
        norms = np.linalg.norm(noise, axis=1, keepdims=True)
        return (noise * np.linalg.norm(view.previous) / norms).astype(view.own.dtype)


@dataclass(frozen=True)
class ModelReplacement:
    """Multiply the own update, so that it survives the average: the global model becomes theirs.

    With ``boost`` = n / (b * server learning rate) a plain average is replaced whole. It serves
    to plant a backdoor, so the Byzantine clients train on data poisoned with
    :class:`~helpers.federated.byzantine.Backdoor`. Bagdasaryan et al., *How to backdoor federated
    learning*, AISTATS 2020, equation 3.

    Attributes
    ----------
    boost
        Factor; None is n / b.

    Raises
    ------
    TaskError
        If ``boost`` is given and not positive.
    """

    boost: float | None = None
    strength: ClassVar[str] = "boost"

    def __post_init__(self) -> None:
        if self.boost is not None:
            require_positive("boost", self.boost)

    def __call__(self, view: AttackView) -> np.ndarray:
        """Return the updates sent, ``(b, d)``."""
        boost = view.num_clients / view.num_byzantine if self.boost is None else self.boost
        return np.asarray(boost * view.own, dtype=view.own.dtype)


def as_trained(view: AttackView) -> np.ndarray:
    """Send the own update unchanged: the attack, if any, is in the data, ``(b, d)``."""
    return view.own


def _require_direction(direction: str) -> None:
    if direction not in ("deviation", "unit", "sign"):
        raise TaskError(f'direction={direction!r} must be "deviation", "unit" or "sign".')


def _geometry(honest: np.ndarray, direction: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the honest mean ``(d,)``, the offsets from it ``(h, d)`` and the direction ``(d,)``.

    The directions are those of Shejwalkar and Houmansadr, section IV-A: against the standard
    deviation, the mean's unit vector, or its sign.
    """
    points = honest.astype(np.float64)
    mean = points.mean(axis=0)
    if direction == "deviation":
        step = -_deviation(honest)
    elif direction == "sign":
        step = -np.sign(mean)
    else:
        step = -mean / max(float(np.linalg.norm(mean)), np.finfo(np.float64).tiny)
    return mean, points - mean, step


def _deviation(honest: np.ndarray) -> np.ndarray:
    """Sample standard deviation of each coordinate, float64 ``(d,)``; zero for one client."""
    if len(honest) == 1:
        return np.zeros(honest.shape[1])
    return honest.std(axis=0, ddof=1, dtype=np.float64)


def _most_extreme(honest: np.ndarray) -> int:
    """Return the row furthest out along the first principal axis of the rows."""
    offsets = honest - honest.mean(axis=0)
    # The left singular vectors come from the small h x h product.
    _, axes = np.linalg.eigh(offsets.astype(np.float64) @ offsets.T)
    return int(np.abs(axes[:, -1]).argmax())
