"""The device: codes, sizes, times, memory."""

from __future__ import annotations

import numpy as np

from helpers._text import nearest
from helpers.course.interview_answers.registry import answer
from helpers.errors import InterviewError


@answer
def model_kilobytes(parameters: int, bits: float) -> float:
    """Weights of a model in kB (1,000 bytes)."""
    return parameters * bits / 8 / 1000


@answer
def quantisation_step(low: float, high: float, bits: int) -> float:
    """Distance of two neighbouring codes of a uniform quantiser over a range."""
    return (high - low) / (2**bits - 1)


@answer
def affine_codes(values: list[float], low: float, high: float) -> list[int]:
    """Unsigned 8-bit codes of values over a range, clipped to it and rounded to the nearest."""
    step = quantisation_step(low, high, 8)
    codes: list[int] = np.rint((np.clip(values, low, high) - low) / step).astype(int).tolist()
    return codes


@answer
def roofline_milliseconds(device: str, arithmetic: str, macs: int, weights: int,
                          activations: int) -> float:  # fmt: skip
    """Milliseconds of the roofline of a device of ``helpers.edge.devices``.

    Raises
    ------
    InterviewError
        If there is no such device.
    """
    from helpers.edge.devices import DEVICES, Work, roofline

    if device not in DEVICES:
        raise InterviewError(f"there is no device {device!r}; {nearest(device, DEVICES)}")
    chosen = DEVICES[device]
    return roofline(Work(macs, weights, activations), chosen, arithmetic, chosen.clock_hz)[0]


@answer
def peak_bytes(sizes: list[int], first: list[int], last: list[int]) -> int:
    """Most bytes of activations that are alive in one operation; sizes are multiples of 16."""
    from helpers.edge.arena import plan_arena
    from helpers.edge.tflite.graph import Graph, Operation, Tensor

    nothing = np.empty(0, np.float32), np.empty(0, np.int64)
    tensors = tuple(
        Tensor(index, "", (size,), "int8", *nothing, 0, False, None)
        for index, size in enumerate(sizes)
    )
    operations = tuple(
        Operation(
            step,
            "",
            tuple(index for index, end in enumerate(last) if end == step),
            tuple(index for index, start in enumerate(first) if start == step),
        )
        for step in range(max(last) + 1)
    )
    return plan_arena(Graph("", tensors, operations, (), ())).lower_bound_bytes


@answer
def kernel_weights(codes: list[list[int]], scales: list[float]) -> list[list[float]]:
    """Weights that int8 codes stand for, one scale an output channel, symmetric about zero."""
    weights: list[list[float]] = (np.asarray(codes) * np.asarray(scales)[:, None]).tolist()
    return weights


@answer
def zero_point(low: float, high: float) -> int:
    """Code of an int8 ruler, from -128, on which zero lies."""
    return round(-128 - low / quantisation_step(low, high, 8))


@answer
def slowdown_of_rate(device: str, arithmetic: str, macs: int, weights: int, activations: int,
                     per_second: float) -> float:  # fmt: skip
    """A published rate's latency as a multiple of the roofline."""
    bound = roofline_milliseconds(device, arithmetic, macs, weights, activations)
    return 1000 / per_second / bound


@answer
def opening_cost(labour: float, unit: float, success: float) -> float:
    """Expected cost of opening one device, when each failed attempt costs as much again."""
    return (labour + unit) / success


@answer
def seconds_between_answers(labour: float, unit: float, success: float, questions: int,
                            hourly: float) -> float:  # fmt: skip
    """Seconds an answer must take so that asking costs as much as opening a device."""
    return opening_cost(labour, unit, success) / (questions * hourly) * 3600


@answer
def asking_cost(questions: int, seconds: float, hourly: float) -> float:
    """Cost of questions at so many seconds each on a bench that is paid by the hour."""
    return questions * seconds / 3600 * hourly
