"""Real numbers as int8 codes: q1 to q4."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from helpers.course.compare import Slips, all_of, close, equal, or_explain, satisfies
from helpers.course.tasks import Case, FunctionTask

_LEAST, _MOST = -128, 127  # of int8

# --- q1: real numbers to codes


def _quantise_reference(values: Any, scale: float, zero_point: int) -> np.ndarray:
    codes = np.rint(np.asarray(values, np.float64) / scale) + zero_point
    return np.clip(codes, _LEAST, _MOST).astype(np.int8)


def _quantise_cases(rng: np.random.Generator) -> list[Case]:
    scale, zero_point = float(rng.uniform(0.3, 0.7)), int(rng.integers(20, 60))

    def reals(lowest: int, highest: int, shape: tuple[int, ...]) -> np.ndarray:
        """Real numbers whose codes lie in a range, none of them half-way between two codes."""
        codes = rng.integers(lowest, highest + 1, shape) + rng.uniform(-0.4, 0.4, shape)
        return (codes - zero_point) * scale

    return [
        Case((reals(-100, 100, (12,)), scale, zero_point), "all within reach of int8"),
        Case((np.zeros(3), scale, zero_point), "zeros: exactly the zero point"),
        Case((reals(-100, 100, (4, 5)), scale, 0), "a zero point of 0, two dimensions"),
        Case((reals(140, 220, (6,)), scale, zero_point), "too large for any code"),
        Case((reals(-240, -140, (6,)), scale, zero_point), "too small for any code"),
        Case((reals(-90, 90, (2, 3, 4)), scale / 50, -128), "fine steps, a zero point at the end"),
    ]


def _is_int8(args: tuple[Any, ...], got: Any) -> str | None:
    kind = np.asarray(got).dtype
    return None if kind == np.int8 else f"the file takes int8, and this is {kind}: .astype(np.int8)"


def _coded(values: Any, scale: float, zero_point: int) -> Any:
    return np.clip(np.rint(values / scale) + zero_point, _LEAST, _MOST)


_QUANTISE_SLIPS: Slips = {
    "beyond the last code it starts again at the other end: clip before you make it int8": (
        lambda v, s, z: (np.rint(v / s) + z).astype(np.int64).astype(np.int8)
    ),
    "the fraction is cut off; the nearest code is wanted: np.rint": (
        lambda v, s, z: np.clip(np.trunc(v / s) + z, _LEAST, _MOST).astype(np.int8)
    ),
    "the fraction is cut off after the zero point was added; np.rint takes the nearest": (
        lambda v, s, z: np.clip(np.trunc(v / s + z), _LEAST, _MOST).astype(np.int8)
    ),
    "the zero point is missing": lambda v, s, z: _coded(v, s, 0).astype(np.int8),
    "the zero point is added on the way to codes and taken off on the way back": (
        lambda v, s, z: _coded(v, s, -z).astype(np.int8)
    ),
    "divide by the scale: it says how much one code is worth": (
        lambda v, s, z: _coded(v, 1 / s, z).astype(np.int8)
    ),
    "clip after the zero point is added: it is the code that has to fit": (
        lambda v, s, z: (
            (np.clip(np.rint(v / s), _LEAST, _MOST) + z).astype(np.int64).astype(np.int8)
        )
    ),
}

# --- q2: scale and zero point of a range


def _range_reference(low: float, high: float) -> tuple[float, int]:
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / (_MOST - _LEAST)
    return scale, int(np.rint(_LEAST - low / scale))


def _range_cases(rng: np.random.Generator) -> list[Case]:
    near, far = float(rng.uniform(3, 9)), float(rng.uniform(40, 90))

    def span(zero_point: float, scale: float) -> tuple[float, float]:
        low = (_LEAST - zero_point) * scale
        return low, low + (_MOST - _LEAST) * scale

    # A part of a code off, so that cutting it off, or rounding always one way, is found out.
    high_zero, low_zero = float(rng.integers(90, 120)) - 0.3, float(rng.integers(-120, -90)) + 0.3
    scale = float(rng.uniform(0.2, 0.4))
    return [
        Case(span(high_zero, scale), "a range with zero inside"),
        Case(span(low_zero, scale), "the other way round"),
        Case((0.0, far), "behind a ReLU: nothing below zero"),
        Case((near, far), "zero lies below the range"),
        Case((-far, -near), "zero lies above the range"),
        Case(span(high_zero, scale / 1e4), "small numbers"),
    ]


def _ranged(
    low: float, high: float, *, zero: bool = True, steps: int = 255, first: int = _LEAST
) -> tuple[float, int]:
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / steps
    return scale, int(np.rint(first - low / scale))


_RANGE_SLIPS: Slips = {
    "zero has to be in the range, or no code would stand for it: padding and ReLU need it": (
        lambda low, high: _ranged(low, high, zero=False)
    ),
    "256 codes have 255 steps between them": lambda low, high: _ranged(low, high, steps=256),
    "these are codes from 0 to 255; int8 begins at -128": (
        lambda low, high: _ranged(low, high, first=0)
    ),
    "this scale is symmetric about zero, as for weights; here the codes should span the range": (
        lambda low, high: (max(-low, high) / 127, 0)
    ),
    "the zero point is a code, a whole number: round it": lambda low, high: (
        _ranged(low, high)[0],
        _LEAST - min(low, 0.0) / _ranged(low, high)[0],
    ),
    "the fraction of the zero point is cut off; the nearest whole number is wanted: round": (
        lambda low, high: (
            _ranged(low, high)[0],
            math.trunc(_LEAST - min(low, 0.0) / _ranged(low, high)[0]),
        )
    ),
    "the zero point has the wrong sign: the low end must become -128": lambda low, high: (
        _ranged(low, high)[0],
        -_ranged(low, high)[1],
    ),
}

# --- q4: one scale a channel


def _channels_reference(kernel: Any) -> np.ndarray:
    magnitudes = np.abs(np.asarray(kernel))
    return magnitudes.max(axis=tuple(range(magnitudes.ndim - 1))) / _MOST


def _channels_cases(rng: np.random.Generator) -> list[Case]:
    def kernel(*shape: int) -> np.ndarray:
        return (rng.normal(size=shape) * 10 ** rng.uniform(-2, 0, shape[-1])).astype(np.float32)

    negative = -np.abs(kernel(3, 3, 1, 4))
    return [
        Case((kernel(10, 4, 1, 6),), "a convolution: 6 channels"),
        Case((kernel(1, 1, 8, 8),), "a 1x1 convolution with as many channels in as out"),
        Case((kernel(16, 5),), "a dense layer"),
        Case((negative,), "weights below zero only"),
    ]


_CHANNELS_SLIPS: Slips = {
    "one scale for the whole kernel: each output channel, the last dimension, gets its own": (
        lambda k: np.full(k.shape[-1], np.abs(k).max() / 127)
    ),
    "this is one number for the whole kernel: reduce over every dimension but the last": (
        lambda k: np.abs(k).max() / 127
    ),
    "the largest *magnitude* counts: a weight of -3 needs as much room as one of 3": (
        lambda k: k.max(axis=tuple(range(k.ndim - 1))) / 127
    ),
    "the codes are symmetric, from -127 to 127: divide by 127": (
        lambda k: np.abs(k).max(axis=tuple(range(k.ndim - 1))) / 128
    ),
    "255 steps are for a range from low to high; here 127 codes go up from zero": (
        lambda k: np.abs(k).max(axis=tuple(range(k.ndim - 1))) / 255
    ),
    "these are the largest magnitudes; the scale is what one of 127 steps is worth": (
        lambda k: np.abs(k).max(axis=tuple(range(k.ndim - 1)))
    ),
}

# --- q3: what stands for all inputs


def _sample_reference(labels: Any, per_class: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    labels = np.asarray(labels)
    return np.concatenate(
        [
            rng.choice(np.flatnonzero(labels == label), per_class, replace=False)
            for label in np.unique(labels)
        ]
    )


def _sample_cases(rng: np.random.Generator) -> list[Case]:
    even = rng.permutation(np.repeat(np.arange(12), 40))
    uneven = rng.permutation(np.repeat(np.arange(5), [300, 20, 20, 30, 200]))
    gaps = rng.permutation(np.repeat([2, 3, 7], 25))
    one, other = (int(seed) for seed in rng.permutation(1000)[:2])
    return [
        Case((even, 10, one), "twelve words, all equally frequent"),
        Case((even, 10, other), "another seed"),
        Case((even, 10, one), "the first seed again"),
        Case((uneven, 15, one), "five classes, three of them rare"),
        Case((gaps, 25, one), "the classes 2, 3 and 7 alone, and every clip of each"),
    ]


def _sample_problem(args: tuple[Any, ...], got: Any) -> str | None:
    labels, per_class, _ = args
    if isinstance(got, tuple):  # which would index by several axes
        return "return an array or a list: the places of the clips"
    picked = np.asarray(got)
    if picked.ndim != 1 or picked.dtype.kind not in "iu":
        return "return one-dimensional whole numbers: the places of the clips"
    if len(picked) and not 0 <= picked.min() <= picked.max() < len(labels):
        return f"places go from 0 to {len(labels) - 1}"
    if len(np.unique(picked)) < len(picked):
        return "a clip is picked twice: replace=False"
    classes = np.unique(labels)
    counts = {int(c): int(np.sum(labels[picked] == c)) for c in classes}
    wrong = [c for c, count in counts.items() if count != per_class]
    if not wrong:
        return None
    return f"class {wrong[0]} is there {counts[wrong[0]]} times; {per_class} were asked for"


def _sample_relations(calls: list[tuple[tuple[Any, ...], Any]]) -> str | None:
    first, other, again = (set(np.asarray(result).tolist()) for _, result in calls[:3])
    if first != again:
        return "the same seed must pick the same clips: use np.random.default_rng(seed)"
    if first == other:
        return "another seed picked the same clips: the first of each class are no random sample"
    return None


QUANTISE = FunctionTask(
    "q1", "From numbers to codes", 2, _quantise_reference, _quantise_cases,
    all_of(satisfies(_is_int8), or_explain(equal(), _QUANTISE_SLIPS)),
    "Keep the order of the formula. np.rint rounds, np.clip saturates; int8 has room for a code "
    "only once it is clipped.",
)  # fmt: skip
RANGE = FunctionTask(
    "q2", "From a range to scale and zero point", 2, _range_reference, _range_cases,
    or_explain(close(rtol=1e-6, atol=0, parts=("the scale", "the zero point")), _RANGE_SLIPS),
    "Extend the range first. How many steps lie between 256 codes? The zero point is the one with "
    "which exercise 1 gives -128 for the low end; round it, and make it an int.",
)  # fmt: skip
CHANNELS = FunctionTask(
    "q4", "A scale of its own for every channel", 1, _channels_reference, _channels_cases,
    or_explain(close(rtol=1e-5, atol=0), _CHANNELS_SLIPS),
    ".max takes a tuple of dimensions. Which are they in a kernel of four, and in one of two? What "
    "must 127 steps of the scale reach?",
)  # fmt: skip
SAMPLE = FunctionTask(
    "q3", "What stands for all inputs", 1, _sample_reference, _sample_cases,
    satisfies(_sample_problem),
    "For each of np.unique(labels): the places where it stands (np.flatnonzero), and rng.choice of "
    "them, without putting back. np.concatenate joins the pieces.",
    across=_sample_relations,
    show_expected=False,
)  # fmt: skip
