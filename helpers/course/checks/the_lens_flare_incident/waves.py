"""Where the energy of a change lies, and what one band of it does: q2 and q3."""

from __future__ import annotations

from typing import Any

import numpy as np

from helpers.course.compare import Slips, close, or_explain
from helpers.course.tasks import Case, FunctionTask


def _radius(side: int) -> np.ndarray:
    cycles = np.fft.fftfreq(side) * side
    return np.hypot(cycles[:, None], cycles[None, :])


def _smooth(rng: np.random.Generator, count: int, side: int, edge: float) -> np.ndarray:
    """Draw changes with most of their energy below an edge."""
    noise = np.fft.fft2(rng.standard_normal((count, side, side, 3)), axes=(1, 2))
    noise *= np.where(_radius(side) < edge, 1.0, 0.15)[None, :, :, None]
    return np.fft.ifft2(noise, axes=(1, 2)).real * 0.1


# --- q2: share of the energy


def _share_reference(changes: Any, edge: float) -> float:
    energy = np.abs(np.fft.fft2(changes, axes=(1, 2))) ** 2
    low = _radius(changes.shape[1]) < edge
    return float(energy[:, low].sum() / energy.sum())


def _share_cases(rng: np.random.Generator) -> list[Case]:
    y, x = np.mgrid[:16, :16]
    slow = np.cos(2 * np.pi * (2 * x + y) / 16)[None, :, :, None] * np.ones((1, 1, 1, 3))
    return [
        Case((_smooth(rng, 4, 16, 4.0), 4.0), "mostly smooth"),
        Case(
            (np.array([1, 3])[:, None, None, None] * _smooth(rng, 2, 16, 4.0), 4.0),
            "one picture changes more than the other",
        ),
        Case((rng.standard_normal((3, 16, 16, 3)), 4.0), "grain has energy everywhere"),
        Case((slow, 2.5), "one wave of 2.24 cycles, below 2.5: 1"),
        Case((slow, 2.0), "the same wave, below 2: 0"),
        Case((np.full((2, 8, 8, 3), 0.2), 1.0), "a brighter picture is all frequency 0"),
        Case((_smooth(rng, 2, 16, 3.0), 3.0), "exactly 3 cycles is not below 3"),
    ]


def _share_of_amplitude(changes: Any, edge: float) -> float:
    size = np.abs(np.fft.fft2(changes, axes=(1, 2)))
    return float(size[:, _radius(changes.shape[1]) < edge].sum() / size.sum())


def _share_by(low: Any) -> Any:
    def share(changes: Any, edge: float) -> float:
        energy = np.abs(np.fft.fft2(changes, axes=(1, 2))) ** 2
        return float(energy[:, low(changes.shape[1], edge)].sum() / energy.sum())

    return share


def _square(side: int, edge: float) -> np.ndarray:
    cycles = np.abs(np.fft.fftfreq(side) * side)
    return np.maximum(cycles[:, None], cycles[None, :]) < edge


def _wrong_axes(changes: Any, edge: float) -> float:
    energy = np.abs(np.fft.fft2(changes)) ** 2
    return float(energy[:, _radius(changes.shape[1]) < edge].sum() / energy.sum())


def _share_of_each(changes: Any, edge: float) -> float:
    return float(np.mean([_share_reference(one[None], edge) for one in changes]))


def _share_through(energy_of: Any) -> Any:
    def share(changes: Any, edge: float) -> Any:
        energy = energy_of(np.fft.fft2(changes, axes=(1, 2)))
        return (energy[:, _radius(changes.shape[1]) < edge].sum() / energy.sum()).item()

    return share


_SHARE_SLIPS: Slips = {
    "a wave is a complex number, and its square is one too: square its size, np.abs(...)": (
        _share_through(np.square)
    ),
    "a wave's size takes both parts of the complex number: np.abs, not .real": _share_through(
        lambda waves: waves.real**2
    ),
    "`cycles` lies in the order of fft2 already: shift neither it nor the waves": _share_by(
        lambda n, e: np.fft.fftshift(_radius(n) < e)
    ),
    "this is the share of the amplitude; energy is its square": _share_of_amplitude,
    "this is the share above the edge": lambda c, e: 1.0 - _share_reference(c, e),
    "np.fft.fft2 works on the last two axes unless told otherwise: axes=(1, 2)": _wrong_axes,
    "the edge itself is not below it: use <, not <=": _share_by(lambda n, e: _radius(n) <= e),
    "a wave that goes down AND across is faster than either: use the given `cycles`": _share_by(
        _square
    ),
    "this is the mean of the pictures' shares; take the energy of all together, then divide": (
        _share_of_each
    ),
    "leave frequency 0 in: a veil is mostly that": _share_by(
        lambda n, e: (_radius(n) < e) & (_radius(n) > 0)
    ),
}

SHARE = FunctionTask(
    "q2", "Where the energy is", 2, _share_reference, _share_cases,
    or_explain(close(rtol=1e-5), _SHARE_SLIPS),
    "np.abs(np.fft.fft2(changes, axes=(1, 2))) ** 2 has the shape of the changes. Index its second "
    "and third axis at once with a mask of shape (side, side).",
)  # fmt: skip

# --- q3: one band of a change


def _band_reference(clean: Any, spoilt: Any, keep: Any) -> np.ndarray:
    waves = np.fft.fft2(spoilt - clean, axes=(1, 2)) * keep[None, :, :, None]
    return np.clip(clean + np.fft.ifft2(waves, axes=(1, 2)).real, 0.0, 1.0)


def _band_cases(rng: np.random.Generator) -> list[Case]:
    def case(keep: np.ndarray, label: str) -> Case:
        clean = rng.uniform(0.1, 0.9, (3, 16, 16, 3))
        spoilt = np.clip(clean + 3 * _smooth(rng, 3, 16, 4.0) + 0.2, 0, 1)
        return Case((clean, spoilt, keep), label)

    low = _radius(16) < 4
    down = np.broadcast_to(np.abs(np.fft.fftfreq(16, 1 / 16))[:, None] < 2, (16, 16)).copy()
    return [
        case(low, "the slow waves of the change"),
        case(~low, "the fast waves of the change"),
        case(down, "waves that are slow downwards, and anything across"),
        case(np.ones((16, 16), bool), "all of it: the spoilt picture"),
        case(np.zeros((16, 16), bool), "none of it: the clean picture"),
    ]


def _waves_of_spoilt(spoilt: Any, keep: Any) -> np.ndarray:
    waves = np.fft.fft2(spoilt, axes=(1, 2)) * keep[None, :, :, None]
    return np.asarray(np.fft.ifft2(waves, axes=(1, 2)).real)


def _filtered_spoilt(clean: Any, spoilt: Any, keep: Any) -> np.ndarray:
    return np.clip(_waves_of_spoilt(spoilt, keep), 0.0, 1.0)


def _spoilt_on_top(clean: Any, spoilt: Any, keep: Any) -> np.ndarray:
    return np.clip(clean + _waves_of_spoilt(spoilt, keep), 0.0, 1.0)


def _without_signs(clean: Any, spoilt: Any, keep: Any) -> np.ndarray:
    return np.clip(clean + np.abs(_not_clipped(clean, spoilt, keep) - clean), 0.0, 1.0)


def _not_clipped(clean: Any, spoilt: Any, keep: Any) -> np.ndarray:
    waves = np.fft.fft2(spoilt - clean, axes=(1, 2)) * keep[None, :, :, None]
    return np.asarray(clean + np.fft.ifft2(waves, axes=(1, 2)).real)


def _along_the_last_axes(clean: Any, spoilt: Any, keep: Any) -> np.ndarray:
    waves = np.fft.fft2(spoilt - clean) * keep[None, :, :, None]
    return np.clip(clean + np.fft.ifft2(waves).real, 0.0, 1.0)


_BAND_SLIPS: Slips = {
    "fft2 and ifft2 work on the last two axes unless told otherwise: axes=(1, 2)": (
        _along_the_last_axes
    ),
    "this filters the spoilt picture; filter only the CHANGE, and add it to the clean one": (
        _filtered_spoilt
    ),
    "these are waves of the spoilt picture; filter spoilt - clean": _spoilt_on_top,
    "the change also darkens: take .real of what ifft2 gives, not its size": _without_signs,
    "this keeps the waves that `keep` does not name": lambda c, s, k: _band_reference(c, s, ~k),
    "`keep` lies in the order of fft2 already: shift neither it nor the waves": (
        lambda c, s, k: _band_reference(c, s, np.fft.fftshift(k))
    ),
    "the first axis of `keep` goes with the rows of a picture: it is turned over here": (
        lambda c, s, k: _band_reference(c, s, k.T)
    ),
    "no camera gives less than 0 or more than 1: clip": _not_clipped,
    "this is only the change; add it to the clean picture": lambda c, s, k: np.clip(
        _not_clipped(c, s, k) - c, 0, 1
    ),
    "the change is spoilt minus clean": lambda c, s, k: np.clip(
        2 * c - _not_clipped(c, s, k), 0, 1
    ),
}

BAND = FunctionTask(
    "q3", "One band of the flare", 2, _band_reference, _band_cases,
    or_explain(close(rtol=1e-5, atol=1e-5), _BAND_SLIPS),
    "Which picture is to be filtered? fft2 and ifft2 both take axes=(1, 2). How must `keep` be "
    "indexed to go along with (n, side, side, 3)? And what comes back is complex, by rounding.",
)  # fmt: skip
