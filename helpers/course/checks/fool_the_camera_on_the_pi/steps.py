"""How much may change, and which way is uphill: q1 to q3."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from helpers.course.compare import Slips, close, equal, or_explain
from helpers.course.tasks import Case, FunctionTask
from helpers.robustness.budget import Budget

# --- q1: a radius in the file's own steps

_NEARLY = 1e-4  # of a step: float32 keeps a scale to seven digits


def _levels_reference(epsilon: float, scale: float) -> int:
    return math.floor(epsilon / scale + _NEARLY)


def _levels_cases(rng: np.random.Generator) -> list[Case]:
    pixel = float(np.float32(1 / 255))
    levels = int(rng.integers(5, 30))
    return [
        Case((4 / 255, pixel), "4/255, a file that takes pixels: float32 keeps 1/255 inexactly"),
        Case((levels / 255, pixel), f"{levels}/255"),
        Case((0.0088, pixel), "2.24 steps: two are inside"),
        Case((0.01, pixel), "2.55 steps: the third would be too far"),
        Case((2.999 / 255, pixel), "2.999 steps: the third is still too far"),
        Case((8 / 255, float(np.float32(2 / 255))), "a file with steps twice as long"),
        Case((0.003, pixel), "less than one step: nothing may change"),
    ]


_LEVELS_SLIPS: Slips = {
    "float32 keeps 1/255 as a little more, so 4/255 comes out as 3.9999998: add a tolerance of a "
    "ten-thousandth before you round down": lambda epsilon, scale: math.floor(epsilon / scale),
    "the tolerance is for the last digits of a float32: a ten-thousandth of a step": (
        lambda epsilon, scale: math.floor(epsilon / scale + 0.01)
    ),
    "2.55 steps allow two: a third would leave the radius, so round down": lambda epsilon, scale: (
        round(epsilon / scale)
    ),
    "this rounds up, and so leaves the radius": lambda epsilon, scale: math.ceil(
        epsilon / scale - _NEARLY
    ),
    "this counts pixel levels of 1/255; the file's own step is `scale`": lambda epsilon, scale: (
        math.floor(epsilon * 255 + _NEARLY)
    ),
    "return a whole number of steps": lambda epsilon, scale: epsilon / scale,
}

LEVELS = FunctionTask(
    "q1", "How many steps of the file", 1, _levels_reference, _levels_cases,
    or_explain(equal(), _LEVELS_SLIPS),
    "epsilon / scale is a number of steps, up to the last digits. Which whole number is the most "
    "that stays inside?",
)  # fmt: skip

# --- q2: one step as long as the radius


def _fgsm_reference(images: Any, gradient: Any, epsilon: float) -> np.ndarray:
    return np.clip(images + epsilon * np.sign(gradient), 0.0, 1.0)


def _fgsm_cases(rng: np.random.Generator) -> list[Case]:
    def case(shape: tuple[int, ...], epsilon: float, label: str) -> Case:
        images, gradient = rng.random(shape), 1e-3 * rng.standard_normal(shape)
        gradient.ravel()[::7] = 0.0
        gradient.ravel()[3::7] *= 1e-9
        return Case((images, gradient, epsilon), label)

    return [
        case((3, 4, 4, 3), 4 / 255, "three small images"),
        case((2, 5, 5, 1), 0.5, "a radius so large that many pixels end black or white"),
        case((1, 2, 2, 3), 0.0, "no radius: nothing changes"),
    ]


_FGSM_SLIPS: Slips = {
    "this goes downhill: it makes the model more certain of the right class": lambda x, g, e: (
        np.clip(x - e * np.sign(g), 0, 1)
    ),
    "the sign is missing: a gradient of 0.001 hardly moves a pixel": lambda x, g, e: np.clip(
        x + e * np.asarray(g), 0, 1
    ),
    "the gradient was divided by its largest value, so all pixels but one move by less than the "
    "radius: its sign alone counts": lambda x, g, e: np.clip(
        x + e * np.asarray(g) / np.abs(g).max(), 0, 1
    ),
    "the gradient was divided by its length; its sign alone counts, pixel by pixel": (
        lambda x, g, e: np.clip(x + e * np.asarray(g) / np.linalg.norm(g), 0, 1)
    ),
    "a pixel stays between 0 and 1: clip the result": lambda x, g, e: x + e * np.sign(g),
    "this clips the change to [0, 1], so no pixel ever gets darker": lambda x, g, e: (
        x + np.clip(e * np.sign(g), 0, 1)
    ),
    "a slope counts however small it is; only where it is exactly zero does a pixel stay": (
        lambda x, g, e: np.clip(x + e * np.sign(g) * (np.abs(g) > 1e-7), 0, 1)
    ),
    "where the gradient is zero, nothing is gained by moving up": lambda x, g, e: np.clip(
        x + e * np.where(np.asarray(g) >= 0, 1.0, -1.0), 0, 1
    ),
    "where the gradient is zero, nothing is gained by moving down": lambda x, g, e: np.clip(
        x + e * np.where(np.asarray(g) > 0, 1.0, -1.0), 0, 1
    ),
}

FGSM = FunctionTask(
    "q2", "One step uphill", 1, _fgsm_reference, _fgsm_cases,
    or_explain(close(atol=1e-6), _FGSM_SLIPS),
    "Each pixel goes the whole radius, up where the gradient is above zero and down where it is "
    "below.",
)  # fmt: skip

# --- q3: many small steps


def _step_reference(clean: Any, current: Any, gradient: Any, size: float, epsilon: float) -> Any:
    wanted = np.asarray(current, np.float64) + size * np.sign(gradient)
    low, high = np.asarray(clean) - epsilon, np.asarray(clean) + epsilon
    return np.clip(np.clip(wanted, low, high), 0.0, 1.0)


def _step_cases(rng: np.random.Generator) -> list[Case]:
    def case(size: float, epsilon: float, label: str) -> Case:
        clean = rng.random((2, 4, 4, 3))
        start = clean + rng.uniform(-epsilon, epsilon, clean.shape)
        current = Budget(epsilon).project(clean, start).astype(np.float64)
        gradient = rng.standard_normal(clean.shape)
        gradient.ravel()[::7] = 0.0  # where no slope is, the sign is 0
        return Case((clean, current, gradient, size, epsilon), label)

    return [
        case(0.02, 0.05, "a step that may lead out of the budget"),
        case(0.005, 0.05, "a small step"),
        case(0.3, 0.4, "far enough to leave [0, 1]"),
        case(0.1, 0.03, "a step longer than the radius"),
    ]


_STEP_SLIPS: Slips = {
    "each step stays within epsilon of the last one, but many steps lead out: measure from the "
    "clean image": lambda c, x, g, s, e: np.clip(
        np.asarray(x) + np.clip(s * np.sign(g), -e, e), 0, 1
    ),
    "the step starts at `current`, where the gradient was taken, not at `clean`": (
        lambda c, x, g, s, e: np.clip(
            np.clip(c + s * np.sign(g), np.asarray(c) - e, np.asarray(c) + e), 0, 1
        )
    ),
    "the result may still lie outside [0, 1]": lambda c, x, g, s, e: np.clip(
        x + s * np.sign(g), np.asarray(c) - e, np.asarray(c) + e
    ),
    "this goes downhill": lambda c, x, g, s, e: np.clip(
        np.clip(x - s * np.sign(g), np.asarray(c) - e, np.asarray(c) + e), 0, 1
    ),
    "the sign is missing": lambda c, x, g, s, e: np.clip(
        np.clip(x + s * np.asarray(g), np.asarray(c) - e, np.asarray(c) + e), 0, 1
    ),
    "a step is `size` long; `epsilon` is the radius of the box": lambda c, x, g, s, e: np.clip(
        np.clip(x + e * np.sign(g), np.asarray(c) - e, np.asarray(c) + e), 0, 1
    ),
}

STEP = FunctionTask(
    "q3", "One of many steps", 2, _step_reference, _step_cases,
    or_explain(close(atol=1e-6), _STEP_SLIPS),
    "Three things in order: walk, go back into the box around the clean image, clip to [0, 1].",
)  # fmt: skip
