"""How much working memory a model needs on a microcontroller, planned from the file.

A microcontroller runs a model in one block of memory, the arena, in which activations whose lives
do not overlap share space. The planner here is the greedy one of TensorFlow Lite for
Microcontrollers: the largest tensor first, each at the lowest offset that is free while it lives.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from helpers.edge.tflite.graph import Graph, read_graph

ALIGNMENT = 16  # bytes, as in TensorFlow Lite for Microcontrollers


@dataclass(frozen=True)
class Arena:
    """A plan of the activations of one model.

    Attributes
    ----------
    planned_bytes
        Size of the plan: what the activations need together.
    lower_bound_bytes
        The most that is alive during one operation: no plan can be smaller.
    state_bytes
        Variables that live from one run to the next, on top of the plan.
    offsets
        Tensor index to its offset in the plan.
    """

    planned_bytes: int
    lower_bound_bytes: int
    state_bytes: int
    offsets: dict[int, int]


def plan_arena(source: str | os.PathLike[str] | bytes | Graph) -> Arena:
    """Plan the activations of a ``.tflite`` file.

    What a runtime adds (its own structures, scratch space of its kernels) is not in the plan, so
    the arena of a real device is larger.

    Parameters
    ----------
    source
        Path of a ``.tflite`` file, its bytes, or a graph read before.

    Returns
    -------
    Arena
        The plan.

    Raises
    ------
    EdgeError
        If the file cannot be read or is damaged.

    References
    ----------
    Pisarchyk and Lee, *Efficient memory management for deep neural net inference*,
    arXiv:2001.03288, section 5 (greedy by size for offset calculation).
    """
    graph = source if isinstance(source, Graph) else read_graph(source)
    lives = _lives(graph)
    sizes = {index: _aligned(graph.tensors[index].num_bytes) for index in lives}
    offsets: dict[int, int] = {}
    for index in sorted(lives, key=lambda i: (-sizes[i], lives[i][0], i)):
        neighbours = sorted(
            (offsets[other], sizes[other]) for other in offsets if _meet(lives[index], lives[other])
        )
        at = 0
        for start, size in neighbours:
            if at + sizes[index] <= start:
                break
            at = max(at, start + size)
        offsets[index] = at
    return Arena(
        planned_bytes=max((offsets[i] + sizes[i] for i in offsets), default=0),
        lower_bound_bytes=_widest(lives, sizes, len(graph.operations)),
        state_bytes=_state_bytes(graph),
        offsets=offsets,
    )


def _lives(graph: Graph) -> dict[int, tuple[int, int]]:
    """First and last operation of each activation; inputs and outputs live at the ends."""
    last = len(graph.operations) - 1
    lives = dict.fromkeys(graph.inputs, (0, 0))
    for operation in graph.operations:
        for index in (*operation.inputs, *operation.outputs):
            if index < 0:
                continue
            tensor = graph.tensors[index]
            if tensor.data is None and not tensor.is_variable and tensor.dtype != "resource":
                first = lives.get(index, (operation.index, operation.index))[0]
                lives[index] = (first, operation.index)
    for index in graph.outputs:
        if index in lives:
            lives[index] = (lives[index][0], last)
    return lives


def _meet(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def _widest(lives: dict[int, tuple[int, int]], sizes: dict[int, int], steps: int) -> int:
    alive = (
        sum(sizes[index] for index, (first, last) in lives.items() if first <= step <= last)
        for step in range(steps)
    )
    return max(alive, default=0)


def _state_bytes(graph: Graph) -> int:
    """Bytes of variable tensors, and of what is read back from resource variables."""
    total = sum(tensor.num_bytes for tensor in graph.tensors if tensor.is_variable)
    for operation in graph.operations:
        if operation.kind == "READ_VARIABLE":
            total += sum(graph.tensors[index].num_bytes for index in operation.outputs)
    return total


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
