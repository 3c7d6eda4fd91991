"""Put a suspect's neurons back into the owner's order and scale before a mark is read.

Reordering neurons and rescaling channels cost a thief nothing and turn the bits read from the
weights into coin tosses. The order can be found again by comparing the suspect with the owner's
model, and there lies a trap: a comparison that looks at the marked kernel moves *any* model's
weights towards the mark, an innocent's too. So the marked kernel has no say in the order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from helpers.errors import WatermarkError
from helpers.watermark.suspect import Suspect

Array = NDArray[np.float32]
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
        of classes may differ.
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
        If a model hides its weights, the shapes differ, or ``marked`` is no kernel.

    References
    ----------
    Ainsworth, Hayase and Srinivasa, *Git Re-Basin: merging models modulo permutation symmetries*,
    ICLR 2023, section 3.2 (weight matching), here without the marked kernel and with scales.
    """
    _check(suspect, reference, marked)
    groups = channel_groups_of(reference)
    theirs, own = _unit_scale(suspect, groups), _unit_scale(reference, groups)
    orders = _match(theirs, own, groups, marked)
    kernels, biases = [*theirs.kernels], [*theirs.biases]
    for group, order in zip(groups, orders, strict=True):
        _reorder(kernels, biases, group, order)
    ordered = replace(suspect, kernels=kernels, biases=biases)
    return _to_scale_of(ordered, reference, groups)


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


def _unit_scale(model: Suspect, groups: Sequence[_Group]) -> Suspect:
    """Give every channel between two kernels weights of length 1."""
    return _rescaled(model, groups, None)


def _to_scale_of(model: Suspect, reference: Suspect, groups: Sequence[_Group]) -> Suspect:
    """Give every channel between two kernels weights as long as those of the reference."""
    return _rescaled(model, groups, reference)


def _rescaled(model: Suspect, groups: Sequence[_Group], reference: Suspect | None) -> Suspect:
    kernels = [np.asarray(kernel, np.float64) for kernel in model.kernels]
    biases = [np.asarray(bias, np.float64) for bias in model.biases]
    for group in groups:
        chain = (group.producer, *group.depthwise, group.consumer)
        for first, second in zip(chain[:-1], chain[1:], strict=True):
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


def _reorder(
    kernels: list[Array], biases: list[Array], group: _Group, order: NDArray[np.int64]
) -> None:
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
) -> list[NDArray[np.int64]]:
    """Return, for each group, which of the suspect's channels stands where."""
    orders: list[NDArray[np.int64] | None] = [None] * len(groups)
    split = next((g for g, group in enumerate(groups) if group.producer == marked), len(groups))
    first_pass = [*range(split), *reversed(range(split, len(groups)))]
    for g in first_pass:
        orders[g] = _assign(_distances(g, orders, theirs, own, groups, marked))
    for _ in range(_SWEEPS):
        before = [None if order is None else order.copy() for order in orders]
        for g in range(len(groups)):
            orders[g] = _assign(_distances(g, orders, theirs, own, groups, marked))
        if all(np.array_equal(a, b) for a, b in zip(before, orders, strict=True)):
            break
    return [order for order in orders if order is not None]


def _assign(distances: NDArray[np.float64]) -> NDArray[np.int64]:
    from scipy.optimize import linear_sum_assignment

    return np.asarray(linear_sum_assignment(distances)[1], np.int64)


def _distances(
    g: int,
    orders: Sequence[NDArray[np.int64] | None],
    theirs: Suspect,
    own: Suspect,
    groups: Sequence[_Group],
    marked: int | None,
) -> NDArray[np.float64]:
    """Squared distances ``(own channels, their channels)`` over what may be compared by now."""
    group = groups[g]
    parts: list[tuple[Array, Array]] = [
        (own.biases[p][:, None], theirs.biases[p][:, None])
        for p in (group.producer, *group.depthwise)
    ]
    for p in group.depthwise:
        if p != marked:
            parts.append(tuple(m.kernels[p].reshape(-1, group.channels).T for m in (own, theirs)))
    before = orders[g - 1] if g else None
    if group.producer != marked and (g == 0 or before is not None):
        columns = [own.kernels[group.producer], theirs.kernels[group.producer]]
        if before is not None:
            view = _view(columns[1], groups[g - 1].channels)[:, before]
            columns[1] = view.reshape(columns[1].shape)
        parts.append(tuple(c.reshape(-1, group.channels).T for c in columns))
    after = orders[g + 1] if g + 1 < len(groups) else None
    last = g + 1 == len(groups)
    classes_agree = own.kernels[-1].shape == theirs.kernels[-1].shape
    if group.consumer != marked and (classes_agree if last else after is not None):
        views = [_view(m.kernels[group.consumer], group.channels) for m in (own, theirs)]
        if after is not None:
            views[1] = views[1][..., after]
        parts.append(tuple(v.transpose(1, 0, 2).reshape(group.channels, -1) for v in views))
    return sum((_squared(a, b) for a, b in parts), np.zeros((group.channels, group.channels)))


def _squared(own: Array, theirs: Array) -> NDArray[np.float64]:
    a, b = own.astype(np.float64), theirs.astype(np.float64)
    return np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1) - 2 * a @ b.T
