"""Put a suspect's neurons back into the owner's order and scale before a mark is read.

Reordering neurons and rescaling channels cost a thief nothing and turn the bits read from the
weights into coin tosses. The order can be found again by comparing the suspect with the owner's
model, and there lies a trap: a comparison that looks at the marked kernel moves *any* model's
weights towards the mark, an innocent's too. So the marked kernel has no say in the order.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.errors import WatermarkError
from helpers.watermark.suspect import Suspect

Array = NDArray[np.floating[Any]]
Order = NDArray[np.int64]
_SWEEPS = 20


@dataclass(frozen=True)
class _Group:
    """Channels between two mixing kernels, as positions in the list of kernels."""

    producer: int
    depthwise: tuple[int, ...]
    consumer: int
    channels: int


def align(suspect: Suspect, reference: Suspect, marked: int | None = None) -> Suspect:
    """Return the suspect with its channels in the order and scale of the owner's model.

    First each channel gets a scale of its own, which undoes any rescaling. Then channels are
    matched group by group, by the Hungarian method on squared distances: from the input up to the
    marked kernel, from the output down to it, and again in sweeps until nothing changes. Last they
    get the scale of the reference.

    Parameters
    ----------
    suspect, reference
        Models of one architecture with open weights, in the same runtime format. Only the number
        of classes may differ. In court the reference is the model that was committed to, see
        :func:`helpers.watermark.commitment.is_model_of`: a reference made after the suspect was
        seen can order its channels so that any key fits.
    marked
        Position of the kernel that holds the mark: its values take no part in the matching, or
        innocent models would be moved towards the mark. None matches on everything, which is right
        only if no mark is read afterwards.

    Returns
    -------
    Suspect
        Answers the same; kernels and biases reordered and rescaled.

    Raises
    ------
    WatermarkError
        If a model hides its weights or holds a number that is not finite, the shapes differ, or
        ``marked`` is no kernel.

    References
    ----------
    Ainsworth, Hayase and Srinivasa, *Git Re-Basin: merging models modulo permutation symmetries*,
    ICLR 2023, section 3.2 (weight matching), here without the marked kernel and with scales.
    """
    _check(suspect, reference, marked)
    groups = channel_groups_of(reference)
    theirs, own = _rescaled(suspect, groups), _rescaled(reference, groups)
    orders = _match(theirs, own, groups, marked)
    kernels: list[Array] = [*theirs.kernels]
    biases: list[Array] = [*theirs.biases]
    for group, order in zip(groups, orders, strict=True):
        _reorder(kernels, biases, group, order)
    ordered = replace(
        suspect,
        kernels=[np.asarray(kernel, np.float32) for kernel in kernels],
        biases=[np.asarray(bias, np.float32) for bias in biases],
    )
    return _rescaled(ordered, groups, reference)


def channel_groups_of(model: Suspect) -> list[_Group]:
    """Find the channels between each kernel and the next from the shapes alone.

    Raises
    ------
    WatermarkError
        If the kernels do not form a chain.
    """
    groups: list[_Group] = []
    producer, depthwise = None, []
    for position, (kernel, bias) in enumerate(zip(model.kernels, model.biases, strict=True)):
        if is_depthwise(kernel, bias):
            depthwise.append(position)
            continue
        if producer is not None:
            channels = model.kernels[producer].shape[-1]
            inputs = kernel.shape[-2]
            fits = inputs == channels or (kernel.ndim == 2 and inputs % channels == 0)
            if not fits or any(model.kernels[d].shape[2] != channels for d in depthwise):
                raise WatermarkError(
                    f"Kernel {position} of {model.name!r} takes {inputs} channels, but kernel "
                    f"{producer} before it gives {channels}: the layers are no chain."
                )
            groups.append(_Group(producer, tuple(depthwise), position, channels))
        producer, depthwise = position, []
    return groups


def is_depthwise(kernel: Array, bias: Array) -> bool:
    """Say whether a kernel is a depthwise one of multiplier 1: one bias an input channel."""
    return kernel.ndim == 4 and kernel.shape[3] == 1 and len(bias) == kernel.shape[2] != 1


def _check(suspect: Suspect, reference: Suspect, marked: int | None) -> None:
    for model in (suspect, reference):
        if not model.kernels:
            raise WatermarkError(f"{model.name!r} hides its weights: alignment has to read them.")
        if not all(np.isfinite(values).all() for values in (*model.kernels, *model.biases)):
            raise WatermarkError(f"{model.name!r} has a weight or bias that is not finite.")
    shapes = [[k.shape for k in m.kernels] for m in (suspect, reference)]
    same = len(shapes[0]) == len(shapes[1]) and shapes[0][:-1] == shapes[1][:-1]
    if not same or shapes[0][-1][:-1] != shapes[1][-1][:-1]:
        raise WatermarkError(
            f"{suspect.name!r} has kernels of shapes {shapes[0]}, {reference.name!r} of "
            f"{shapes[1]}: only models of one architecture can be aligned."
        )
    if marked is not None and not 0 <= marked < len(reference.kernels):
        raise WatermarkError(
            f"marked={marked} is no kernel: give 0 to {len(reference.kernels) - 1}, or None."
        )


def _view(kernel: Array, channels: int) -> Array:
    """View a kernel as ``(places, channels, out)``."""
    return kernel.reshape(-1, channels, kernel.shape[-1])


def _norms(kernel: Array, depthwise: bool) -> Array:
    """Length of each output channel's weights, ``(channels,)``; 1 where all are zero."""
    columns = kernel.reshape(-1, kernel.shape[2] if depthwise else kernel.shape[-1])
    lengths = np.sqrt(np.square(columns, dtype=np.float64).sum(axis=0))
    return np.where(lengths > 0, lengths, 1.0)


def _rescaled(
    model: Suspect, groups: Sequence[_Group], reference: Suspect | None = None
) -> Suspect:
    """Give every channel between two kernels weights as long as the reference's, or of length 1."""
    kernels = [np.asarray(kernel, np.float64) for kernel in model.kernels]
    biases = [np.asarray(bias, np.float64) for bias in model.biases]
    for group in groups:
        chain = (group.producer, *group.depthwise, group.consumer)
        for first, second in itertools.pairwise(chain):
            depthwise = first in group.depthwise
            wanted = 1.0 if reference is None else _norms(reference.kernels[first], depthwise)
            factors = wanted / _norms(kernels[first], depthwise)
            kernels[first] *= factors[:, None] if depthwise else factors
            biases[first] *= factors
            if second == group.consumer:
                view = _view(kernels[second], group.channels) / factors[:, None]
                kernels[second] = view.reshape(kernels[second].shape)
            else:
                kernels[second] /= factors[:, None]
    return replace(
        model,
        kernels=[kernel.astype(np.float32) for kernel in kernels],
        biases=[bias.astype(np.float32) for bias in biases],
    )


def _reorder(kernels: list[Array], biases: list[Array], group: _Group, order: Order) -> None:
    """Reorder one group's channels in place of the list's entries."""
    kernels[group.producer] = kernels[group.producer][..., order]
    biases[group.producer] = biases[group.producer][order]
    for position in group.depthwise:
        kernels[position] = kernels[position][:, :, order]
        biases[position] = biases[position][order]
    view = _view(kernels[group.consumer], group.channels)[:, order]
    kernels[group.consumer] = view.reshape(kernels[group.consumer].shape)


def _match(
    theirs: Suspect, own: Suspect, groups: Sequence[_Group], marked: int | None
) -> list[Order]:
    """Return, for each group, which of the suspect's channels stands where."""
    orders: dict[int, Order] = {}
    split = next((g for g, group in enumerate(groups) if group.producer == marked), len(groups))
    for g in (*range(split), *reversed(range(split, len(groups)))):
        orders[g] = _assign(g, orders, theirs, own, groups, marked)
    for _ in range(_SWEEPS):
        before = dict(orders)
        for g in range(len(groups)):
            orders[g] = _assign(g, orders, theirs, own, groups, marked)
        if all(np.array_equal(before[g], orders[g]) for g in orders):
            break
    return [orders[g] for g in range(len(groups))]


def _assign(
    g: int,
    orders: Mapping[int, Order],
    theirs: Suspect,
    own: Suspect,
    groups: Sequence[_Group],
    marked: int | None,
) -> Order:
    """Match one group's channels on what may be compared by now, the Hungarian way."""
    from scipy.optimize import linear_sum_assignment

    group = groups[g]
    distances = np.zeros((group.channels, group.channels))
    pairs = [*_inside(group, theirs, own, marked)]
    if group.producer != marked and (g == 0 or g - 1 in orders):
        pairs.append(_columns(g, orders, theirs, own, groups))
    is_last = g + 1 == len(groups)
    same_classes = own.kernels[-1].shape == theirs.kernels[-1].shape
    if group.consumer != marked and (same_classes if is_last else g + 1 in orders):
        pairs.append(_rows(g, orders, theirs, own, groups))
    for ours, other in pairs:
        a, b = ours.astype(np.float64), other.astype(np.float64)
        distances += np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1) - 2 * a @ b.T
    return np.asarray(linear_sum_assignment(distances)[1], np.int64)


def _inside(
    group: _Group, theirs: Suspect, own: Suspect, marked: int | None
) -> Iterator[tuple[Array, Array]]:
    """Yield what belongs to each channel alone, ``(channels, k)`` of both: biases, depthwise."""
    for p in (group.producer, *group.depthwise):
        yield own.biases[p][:, None], theirs.biases[p][:, None]
        if p != group.producer and p != marked:
            channels = group.channels
            yield own.kernels[p].reshape(-1, channels).T, theirs.kernels[p].reshape(-1, channels).T


def _columns(
    g: int, orders: Mapping[int, Order], theirs: Suspect, own: Suspect, groups: Sequence[_Group]
) -> tuple[Array, Array]:
    """Return the weights that make each channel, ``(channels, k)`` of both models."""
    channels, producer = groups[g].channels, groups[g].producer
    other: Array = theirs.kernels[producer]
    if g:
        other = _view(other, groups[g - 1].channels)[:, orders[g - 1]]
    return own.kernels[producer].reshape(-1, channels).T, other.reshape(-1, channels).T


def _rows(
    g: int, orders: Mapping[int, Order], theirs: Suspect, own: Suspect, groups: Sequence[_Group]
) -> tuple[Array, Array]:
    """Return the weights that read each channel, ``(channels, k)`` of both models."""
    channels, consumer = groups[g].channels, groups[g].consumer
    ours, other = (_view(model.kernels[consumer], channels) for model in (own, theirs))
    if g + 1 in orders:
        other = other[..., orders[g + 1]]
    return (
        ours.transpose(1, 0, 2).reshape(channels, -1),
        other.transpose(1, 0, 2).reshape(channels, -1),
    )
