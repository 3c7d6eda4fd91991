"""A round of Flower's SecAgg+ run by Flower's own functions, and what its server can read of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from helpers.errors import TaskError
from helpers.federated.secure import audit
from helpers.federated.secure.audit import flower

CLIP, LARGEST, MODULUS = 8.0, 1 << 22, 1 << 32  # the defaults of SecAggPlusWorkflow


@dataclass(frozen=True, eq=False)
class FlowerRound:
    """What the server of a SecAgg+ round holds when it has followed the protocol.

    Attributes
    ----------
    masked
        ``{client: quantised and masked vector}``, int64 ``(d + 1,)``: the client's weight in the
        mean first, then its values.
    public_keys
        ``{client: public key of masks}``.
    shares
        ``{(client, "active" or "dead"): shares}`` that the clients sent of each other's secrets.
    threshold
        Shares that rebuild a secret.
    states
        Each client's own state; what a client that colludes gives to the server.
    """

    masked: dict[int, np.ndarray]
    public_keys: dict[int, bytes]
    shares: dict[tuple[int, str], list[bytes]]
    threshold: int
    states: dict[int, Any]

    @cached_property
    def seeds(self) -> dict[int, bytes]:
        """``{client: self-mask seed}`` of those in the sum, rebuilt from their shares."""
        return self._rebuilt("active")

    @cached_property
    def private_keys(self) -> dict[int, bytes]:
        """``{client: mask key}`` of those that dropped out, rebuilt from their shares."""
        return self._rebuilt("dead")

    def _rebuilt(self, kind: str) -> dict[int, bytes]:
        combine = flower().combine_shares
        return {
            owner: combine(parts[: self.threshold])
            for (owner, its_kind), parts in self.shares.items()
            if its_kind == kind
        }

    def residue(self, client: int, colluding: Sequence[int] = ()) -> np.ndarray:
        """Take every mask off a client's vector that the server knows, modulo 2^32, ``(d + 1,)``.

        It knows the self mask, as the protocol lets it, and the pairwise masks with clients that
        dropped out or collude with it.
        """
        functions, size = flower(), len(self.masked[client])
        total = self.masked[client] - _mask(self.seeds[client], size)
        privates = dict(self.private_keys)
        privates.update({other: self.states[other].sk1 for other in colluding})
        public = functions.asymmetric.bytes_to_public_key(self.public_keys[client])
        for other, private in privates.items():
            key = functions.asymmetric.bytes_to_private_key(private)
            mask = _mask(functions.generate_shared_key(key, public), size)
            total = total - mask if client > other else total + mask
        return total % MODULUS

    def unmasked(self, client: int, other: int, seed: int, colluding: Sequence[int] = ()) -> Any:
        """Take the last mask off, with a recovered seed, and return the vector, float64 ``(d,)``.

        ``other`` is the neighbour that the mask is shared with.
        """
        mask = _mask(seed.to_bytes(4, "little"), len(self.masked[client]))
        residue = self.residue(client, colluding)
        total = (residue - mask if client > other else residue + mask) % MODULUS
        weight = total[0] / LARGEST
        return flower().dequantize([total[1:]], CLIP, LARGEST)[0] / weight


def flower_round(
    vectors: Mapping[int, np.ndarray],
    *,
    threshold: int = 2,
    dropped: Sequence[int] = (),
    max_weight: float = 1.0,
) -> FlowerRound:
    """Run a round of SecAgg+ in which everybody is everybody's neighbour.

    Each client is Flower's: ``_setup``, ``_share_keys``, ``_collect_masked_vectors`` and
    ``_unmask`` of its client mod, on real keys. Its stochastic rounding draws from NumPy's global
    generator.

    Parameters
    ----------
    vectors
        ``{client: model weights}``, real ``(d,)``; three clients at least.
    threshold
        Shares that rebuild a secret.
    dropped
        Clients that send no masked vector.
    max_weight
        Largest weight; each client has weight 1.

    Returns
    -------
    FlowerRound

    Raises
    ------
    TaskError
        If there are fewer than three clients, or too few are left.
    """
    if len(vectors) < 3 or len(vectors) - len(dropped) < max(threshold, 2):
        raise TaskError(
            f"{len(vectors)} clients of which {len(dropped)} drop out: three at least must start "
            f"and {max(threshold, 2)} stay."
        )
    states = _set_up(list(vectors), threshold, max_weight)
    public = {n: (state.pk1, state.pk2) for n, state in states.items()}
    mod = flower().mod
    inbox: dict[int, list[tuple[int, bytes]]] = {n: [] for n in states}
    for number, state in states.items():
        # Every client sees the keys in the same order, and shares follow that order.
        sent = mod._share_keys(state, {str(n): pair for n, pair in public.items()})
        for to, sealed in zip(sent["dsts"], sent["ctxts"], strict=True):
            inbox[to].append((number, sealed))
    here = [number for number in states if number not in dropped]
    masked = {n: _masked(states[n], vectors[n], inbox[n]) for n in here}
    return FlowerRound(
        masked=masked,
        public_keys={n: pair[0] for n, pair in public.items()},
        shares=_unmask_all(states, here, here, list(dropped)),
        threshold=threshold,
        states=states,
    )


def known_quantised(weights: np.ndarray, untouched: np.ndarray, weight: float = 1.0) -> np.ndarray:
    """Return what a server knows of a client's quantised vector, for ``seed_from_known_values``.

    Parameters
    ----------
    weights
        The global weights that the client started from, ``(d,)``.
    untouched
        Which of them local training leaves as they are, bool ``(d,)``, such as those that multiply
        pixels that are always black.
    weight
        The client's weight over the largest one. Flower's server sees it.

    Returns
    -------
    np.ndarray
        float64 ``(d + 1,)`` in units of a step, NaN where training may have moved them.
    """
    ratio = round(weight * LARGEST)
    values = (np.clip(weights * (ratio / LARGEST), -CLIP, CLIP) + CLIP) * (LARGEST / (2 * CLIP))
    return np.r_[float(ratio), np.where(untouched, values, np.nan)]


def _set_up(numbers: Sequence[int], threshold: int, max_weight: float) -> dict[int, Any]:
    mod = flower().mod
    configs = {
        "sample_num": len(numbers),
        "share_num": len(numbers),
        "threshold": threshold,
        "clipping_range": CLIP,
        "target_range": LARGEST,
        "mod_range": MODULUS,
        "max_weight": max_weight,
    }
    states = {}
    for number in numbers:
        states[number] = mod.SecAggPlusState()
        states[number].nid = number
        mod._setup(states[number], configs)
    return states


def _masked(state: Any, vector: np.ndarray, inbox: list[tuple[int, bytes]]) -> np.ndarray:
    from flwr.common import ndarrays_to_parameters
    from flwr.common.parameter import bytes_to_ndarray

    configs = {"srcs": [number for number, _ in inbox], "ctxts": [sealed for _, sealed in inbox]}
    parameters = ndarrays_to_parameters([np.asarray(vector, np.float64)])
    sent = flower().mod._collect_masked_vectors(state, configs, 1, parameters)
    return np.concatenate([bytes_to_ndarray(raw).ravel() for raw in sent["masked_params"]])


def _unmask_all(
    states: Mapping[int, Any], asked: Sequence[int], active: list[int], dead: list[int]
) -> dict[tuple[int, str], list[bytes]]:
    shares: dict[tuple[int, str], list[bytes]] = {}
    for number in asked:
        configs = {"active_nids": active, "dead_nids": dead}
        answer = flower().mod._unmask(states[number], configs)
        kinds = ["active"] * len(active) + ["dead"] * len(dead)
        for owner, kind, share in zip(answer["nids"], kinds, answer["shares"], strict=True):
            shares.setdefault((owner, kind), []).append(share)
    return shares


def _mask(key: bytes, size: int) -> np.ndarray:
    return np.concatenate(
        [part.ravel() for part in audit.flower().pseudo_rand_gen(key, MODULUS, [(1,), (size - 1,)])]
    )
