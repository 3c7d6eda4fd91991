"""The parts of one DP-SGD step: q3 to q6."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import expit

from helpers.course.compare import Slips, close, or_explain, satisfies
from helpers.course.tasks import Case, FunctionTask
from helpers.privacy.dp_sgd import poisson_batch

_TOLERANCE = close(rtol=1e-4, atol=1e-6)

# --- q3: draw a batch


def _batch_reference(num_examples: int, sample_rate: float, seed: Any) -> np.ndarray:
    return poisson_batch(num_examples, sample_rate, np.random.default_rng(seed))


def _batch_cases(rng: np.random.Generator) -> list[Case]:
    seeds = iter(rng.permutation(10_000).tolist())
    cases = [Case((2000, 0.1, next(seeds)), "a batch of about 200") for _ in range(12)]
    cases += [Case((500, 0.9, next(seeds)), "nearly everybody") for _ in range(20)]
    cases += [Case((20, 0.02, next(seeds)), "a batch that may be empty") for _ in range(20)]
    return [*cases, Case((6, 1.0, next(seeds)), "sample rate 1: everybody"), cases[0]]


def _batch_problem(args: tuple[Any, ...], got: Any) -> str | None:
    num_examples, sample_rate, _ = args
    if isinstance(got, tuple):
        return "this is a tuple; np.where gives one: take its first item, or use np.flatnonzero"
    batch = np.asarray(got)
    if batch.dtype.kind == "b":
        return "these are yes and no; return the positions of the yes (np.flatnonzero)"
    if isinstance(got, np.ndarray) and not got.size and got.dtype.kind == "f":
        return "an empty batch must be an array of whole numbers too: dtype int, not float"
    if batch.ndim != 1 or (batch.size and batch.dtype.kind not in "iu"):
        return "return a one-dimensional array of whole numbers, the positions drawn"
    if len(np.unique(batch)) != len(batch):
        return "an example was drawn twice: with replacement, one patient could count several times"
    if batch.size and not 0 <= batch.min() <= batch.max() < num_examples:
        return f"positions must lie between 0 and {num_examples - 1}"
    if sample_rate == 1 and len(batch) != num_examples:
        return (
            f"with sample rate 1 all {num_examples} are drawn, got {len(batch)}: a coin shows "
            "heads when rng.random() < sample_rate"
        )
    return None


def _batch_relations(calls: list[tuple[tuple[Any, ...], Any]]) -> str | None:
    """Hold many batches against the law of independent coins."""
    drawn = [np.sort(np.asarray(got)) for _, got in calls]
    if not np.array_equal(drawn[0], drawn[-1]):
        return "the same seed drew differently: take every random draw from rng"
    if all(len(got) in (0, args[0]) for args, got in calls[:32]):
        return "one coin decided for everybody; each example needs its own"
    if all(np.array_equal(drawn[0], batch) for batch in drawn[1:12]):
        return "another seed drew the same: take every random draw from rng"
    for group, (args, _) in ((drawn[:12], calls[0]), (drawn[12:32], calls[12])):
        problem = _size_problem(np.array([len(batch) for batch in group]), *args[:2])
        if problem:
            return problem
    if all(len(batch) for batch in drawn[32:52]):
        return "no batch was ever empty: with 20 examples at rate 0.02 most must be; leave it empty"
    pooled = np.concatenate(drawn[:12])
    if abs((pooled < 1000).mean() - 0.5) > 0.06:
        return "examples at some positions are drawn more often than others"
    if sum(int((np.diff(batch) == 1).sum()) for batch in drawn[:12]) > 400:
        return "neighbours are drawn together; each example has a coin of its own"
    return None


def _size_problem(sizes: np.ndarray, num_examples: int, sample_rate: float) -> str | None:
    mean = num_examples * sample_rate
    deviation = math.sqrt(mean * (1 - sample_rate))
    if len(set(sizes.tolist())) == 1:
        return (
            f"every batch holds exactly {sizes[0]}: that is a fixed-size batch. Each example needs "
            "its own coin, so that sizes vary"
        )
    if abs(sizes.mean() - mean) > 5 * deviation / math.sqrt(len(sizes)):
        if abs(sizes.mean() - (num_examples - mean)) < 5 * deviation:
            return "the coin is the wrong way round: drawn when rng.random() < sample_rate"
        return f"{num_examples} at rate {sample_rate} gave batches of {sizes.mean():.0f} on average"
    if not 0.3 < sizes.std(ddof=1) / deviation < 1.9:
        return (
            f"the sizes of {len(sizes)} batches deviate by {sizes.std(ddof=1):.1f}; independent "
            f"coins deviate by {deviation:.1f}: toss one coin for each example"
        )
    return None


# --- q4: a gradient for each patient


def _gradients_reference(weights: Any, x: Any, y: Any) -> np.ndarray:
    return np.asarray((expit(x @ weights) - y)[:, None] * x)


def _gradients_cases(rng: np.random.Generator) -> list[Case]:
    def case(count: int, label: str) -> Case:
        x = rng.standard_normal((count, 5))
        return Case((0.5 * rng.standard_normal(5), x, rng.integers(2, size=count)), label)

    return [
        case(6, "six patients"),
        case(1, "one patient"),
        case(0, "an empty batch: shape (0, 5)"),
    ]


_GRADIENTS_SLIPS: Slips = {
    "an empty batch must give an array of shape (0, features), not (0,)": lambda w, x, y: np.zeros(
        0 if not len(y) else (1, 1, 1)
    ),
    "this is the mean over the batch; keep one row a patient": lambda *a: _gradients_reference(
        *a
    ).mean(axis=0),
    "this is the sum over the batch; keep one row a patient": lambda *a: _gradients_reference(
        *a
    ).sum(axis=0),
    "divided by the batch's size; a patient's gradient does not depend on the others": (
        lambda w, x, y: _gradients_reference(w, x, y) / max(1, len(y))
    ),
    "the sign is the other way round: probability minus label": lambda *a: (
        -_gradients_reference(*a)
    ),
    "the error is taken from the logits; turn them into probabilities with expit": (
        lambda w, x, y: (x @ w - y)[:, None] * x
    ),
    "the labels are missing from the error": lambda w, x, y: expit(x @ w)[:, None] * x,
    "this is the error alone; multiply it by the patient's row of x": lambda w, x, y: (
        expit(x @ w) - y
    ),
    "transposed: one row a patient, one column a weight": lambda *a: _gradients_reference(*a).T,
}


# --- q5: clip


def _clipped(gradients: Any, l2_norm_clip: float, power: float = 1.0) -> np.ndarray:
    norms = np.linalg.norm(gradients, axis=1) ** power
    return np.asarray(gradients * (l2_norm_clip / np.maximum(norms, l2_norm_clip))[:, None])


def _clip_reference(gradients: Any, l2_norm_clip: float) -> np.ndarray:
    return _clipped(gradients, l2_norm_clip).sum(axis=0)


def _clip_cases(rng: np.random.Generator) -> list[Case]:
    directions = rng.standard_normal((6, 4))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    lengths = np.array([0.1, 0.3, 0.5, 1.5, 4.0, 9.0])[:, None]
    dead = directions * lengths
    dead[1] = 0.0
    return [
        Case(
            (lengths * directions, 0.7), "three gradients shorter than the clip norm, three longer"
        ),
        Case((dead, 2.0), "one gradient is zero: no division by its norm"),
        Case((np.zeros((0, 4)), 1.0), "an empty batch: four zeros"),
    ]


def _shrunk(vector: Any, l2_norm_clip: float) -> np.ndarray:
    return np.asarray(vector * min(1.0, l2_norm_clip / max(float(np.linalg.norm(vector)), 1e-300)))


def _after_averaging(gradients: Any, clip: float) -> np.ndarray:
    return len(gradients) * _shrunk(gradients.sum(axis=0) / max(1, len(gradients)), clip)


_CLIP_SLIPS: Slips = {
    "an empty batch must give zeros, one for each weight, not the number 0": lambda g, c: (
        0.0 if not len(g) else np.zeros((1, 1, 1))
    ),
    "the sum was clipped; clip each patient's gradient, then add": lambda g, c: _shrunk(
        g.sum(axis=0), c
    ),
    "the mean was clipped; clip each patient's gradient, then add": lambda g, c: _shrunk(
        g.sum(axis=0) / max(1, len(g)), c
    ),
    "the mean was clipped and multiplied back; clip each patient's gradient, then add": (
        _after_averaging
    ),
    "every number was clipped by itself; shorten the whole gradient, keeping its direction": (
        lambda g, c: np.clip(g, -c, c).sum(axis=0)
    ),
    "every number of the sum was clipped by itself; clip each patient's gradient, then add": (
        lambda g, c: np.clip(g.sum(axis=0), -c, c)
    ),
    "every gradient was scaled to length 1; shorten the long ones to the clip norm": lambda g, c: (
        g / np.maximum(np.linalg.norm(g, axis=1, keepdims=True), 1e-300)
    ).sum(axis=0),
    "short gradients were stretched to the clip norm; only shorten": lambda g, c: (
        c * g / np.maximum(np.linalg.norm(g, axis=1, keepdims=True), 1e-300)
    ).sum(axis=0),
    "scaled by 1 / norm: the clip norm is missing": lambda g, c: (
        g / np.maximum(np.linalg.norm(g, axis=1, keepdims=True), 1)
    ).sum(axis=0),
    "this is the mean; return the sum": lambda g, c: _clip_reference(g, c) / max(1, len(g)),
    "nothing was clipped": lambda g, c: g.sum(axis=0),
    "these are the clipped gradients one by one; add them up": _clipped,
    "the norm was squared; take its square root": lambda g, c: _clipped(g, c, 2.0).sum(axis=0),
    "these are norms of columns; a patient's gradient is a row (axis=1)": lambda g, c: (
        g * np.minimum(1, c / np.maximum(np.linalg.norm(g, axis=0), 1e-300))
    ).sum(axis=0),
    "one factor for all, from the longest gradient; each patient has a factor of their own": (
        lambda g, c: g.sum(axis=0) * min(1, c / max([1e-300, *np.linalg.norm(g, axis=1)]))
    ),
    "long gradients were dropped; shorten them": lambda g, c: g[np.linalg.norm(g, axis=1) <= c].sum(
        axis=0
    ),
    "this is the L1 norm; take the L2 norm": lambda g, c: (
        g * (c / np.maximum(np.abs(g).sum(axis=1), c))[:, None]
    ).sum(axis=0),
}


# --- q6: add noise


def _noise_reference(
    total: Any, l2_norm_clip: float, noise_multiplier: float, expected_batch_size: float, seed: Any
) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = rng.normal(scale=noise_multiplier * l2_norm_clip, size=np.shape(total))
    return np.asarray((total + noise) / expected_batch_size)


def _noise_cases(rng: np.random.Generator) -> list[Case]:
    total = 50 * rng.standard_normal(4000)
    one, other = (int(seed) for seed in rng.permutation(10_000)[:2])
    return [
        Case((total[:5], 0.4, 0.0, 40.0, one), "no noise: the sum over the expected batch size"),
        Case((total, 0.4, 3.0, 40.0, one), "the noise over 4,000 coordinates"),
        Case((total, 2.0, 0.8, 12.5, one), "another clip norm, multiplier and batch"),
        Case((total, 0.4, 3.0, 40.0, one), "the second case again"),
        Case((total, 0.4, 3.0, 40.0, other), "the second case with another seed"),
    ]


def _noise_problem(args: tuple[Any, ...], got: Any) -> str | None:
    total, clip, multiplier, batch, _ = args
    if not isinstance(got, np.ndarray):
        return f"an array of shape {total.shape} was expected"
    value = got.astype(float)
    if value.shape != total.shape:
        return f"an array of shape {total.shape} was expected, got shape {value.shape}"
    if not np.isfinite(value).all():
        return "some values are not finite"
    slope = float(value @ total / (total @ total))
    if abs(slope * batch - 1) > 0.05:
        whole = "; it was not divided at all" if abs(slope - 1) < 0.05 else ""
        return f"the sum must be divided by the expected batch size, {batch:g}{whole}"
    residual = value * batch - total
    if multiplier == 0:
        quiet = np.abs(residual).max() < 1e-6 * np.abs(total).max()
        return None if quiet else "with noise multiplier 0 the noise must be 0 everywhere"
    return _law_problem(residual, clip, multiplier, batch)


def _law_problem(residual: np.ndarray, clip: float, multiplier: float, batch: float) -> str | None:
    deviation = float(residual.std())
    claimed = multiplier * clip
    if deviation < 1e-6 * claimed:
        added = abs(residual.mean()) > 1e-3 * claimed
        return (
            "one number was added to all; draw one for each coordinate"
            if added
            else ("no noise was added")
        )
    if abs(residual.mean()) > 6 * deviation / math.sqrt(len(residual)):
        return f"the noise has mean {residual.mean():.3g}; it must have mean 0"
    centred = residual - residual.mean()
    if not 2.5 < float(((centred / deviation) ** 4).mean()) < 3.7:
        return "the noise is not Gaussian with one deviation for all coordinates: use rng.normal"
    ratio = deviation / claimed
    if abs(ratio - 1) <= 0.06:
        return None
    for factor, explanation in _noise_slips(clip, multiplier, batch):
        if abs(ratio / factor - 1) < 0.06:
            return explanation
    return f"the noise on the sum has standard deviation {deviation:.3g}, not z x C = {claimed:g}"


def _noise_slips(clip: float, multiplier: float, batch: float) -> list[tuple[float, str]]:
    claimed = multiplier * clip
    return [
        (batch, "the noise was added after the division: add it to the sum, then divide both"),
        (1 / batch, "the noise was divided by the batch size twice"),
        (math.sqrt(batch), "the noise was divided by the square root of the batch size"),
        (1 / math.sqrt(batch), "the noise is too small by the square root of the batch size"),
        (1 / clip, "the clip norm is missing from the noise"),
        (1 / multiplier, "the noise multiplier is missing"),
        (claimed, "(z C)^2 is the variance; rng.normal takes the standard deviation z C"),
        (
            1 / math.sqrt(claimed),
            "rng.normal takes the standard deviation z C, not its square root",
        ),
        (clip, "the clip norm was multiplied in twice"),
        (multiplier, "the noise multiplier was multiplied in twice"),
    ]


def _noise_relations(calls: list[tuple[tuple[Any, ...], Any]]) -> str | None:
    first, again, other = (np.asarray(calls[index][1]) for index in (1, 3, 4))
    if not np.array_equal(first, again):
        return "the same seed gave other noise: take every random draw from rng"
    if np.array_equal(first, other):
        return "another seed gave the same noise: take every random draw from rng"
    return None


STEP = (
    FunctionTask(
        "q3", "Draw a batch", 1, _batch_reference, _batch_cases, satisfies(_batch_problem),
        "rng.random(num_examples) tosses one coin for each; np.flatnonzero finds the heads.",
        across=_batch_relations,
        show_expected=False,
    ),
    FunctionTask(
        "q4", "A gradient for each patient", 1, _gradients_reference, _gradients_cases,
        or_explain(_TOLERANCE, _GRADIENTS_SLIPS),
        "(probabilities - y)[:, None] is a column: it multiplies each row of x by its error.",
    ),
    FunctionTask(
        "q5", "Clip", 2, _clip_reference, _clip_cases, or_explain(_TOLERANCE, _CLIP_SLIPS),
        "One norm a row, kept as a column (keepdims=True). Which factor is 1 for every row up to "
        "the clip norm, a row of zeros among them?",
    ),
    FunctionTask(
        "q6", "Add noise", 2, _noise_reference, _noise_cases, satisfies(_noise_problem),
        "rng.normal(scale=..., size=...) draws it: which deviation, and how many numbers? The "
        "division is for the sum and the noise alike.",
        across=_noise_relations,
        show_expected=False,
    ),
)  # fmt: skip
