"""An attacker who may only ask: q6 to q8."""

from __future__ import annotations

from typing import Any

import numpy as np

from helpers.course.compare import Slips, close, or_explain, row_of
from helpers.course.tasks import Case, FunctionTask
from helpers.robustness.queries import score_margins

# --- q6: what so many questions buy


def _within_reference(correct: Any, fooled: Any, asked: Any, most: int) -> float:
    right = np.asarray(correct, bool)
    return float(np.mean((np.asarray(fooled, bool) & (np.asarray(asked) <= most))[right]))


def _within_cases(rng: np.random.Generator) -> list[Case]:
    def case(images: int, most: int, label: str) -> Case:
        correct, fooled = rng.random(images) < 0.7, rng.random(images) < 0.5
        fooled = fooled | ~correct  # an error needs no attack
        asked = np.where(fooled, rng.integers(2, 200, images), 200)
        asked = np.where(correct, asked, 1)
        asked[np.flatnonzero(correct & fooled)[0]] = most
        return Case((correct, fooled, asked, most), label)

    return [
        case(50, 60, "sixty questions; one image falls with the very last"),
        case(40, 200, "as many as were ever asked: the others did not fall"),
        case(30, 2, "two questions: the clean image, and one change"),
    ]


_WITHIN_SLIPS: Slips = {
    "an image that did not fall stopped at the limit; it was not fooled": lambda c, f, a, m: (
        np.mean((np.asarray(a) <= m)[np.asarray(c, bool)])
    ),
    "an image wrong from the start has `fooled` too; of the once right ones was asked, above the "
    "line and below it": lambda c, f, a, m: (
        np.sum(np.asarray(f, bool) & (np.asarray(a) <= m)) / np.sum(np.asarray(c, bool))
    ),
    "images wrong from the start take one question and are nobody's success": (
        lambda c, f, a, m: np.mean(np.asarray(f, bool) & (np.asarray(a) <= m))
    ),
    "this is a share of all images; of the once right ones was asked": lambda c, f, a, m: np.mean(
        np.asarray(c, bool) & np.asarray(f, bool) & (np.asarray(a) <= m)
    ),
    "at most so many includes exactly so many": lambda c, f, a, m: np.mean(
        (np.asarray(f, bool) & (np.asarray(a) < m))[np.asarray(c, bool)]
    ),
    "this is the share that fell at all; leave out those that took more than `most`": (
        lambda c, f, a, m: np.mean(np.asarray(f, bool)[np.asarray(c, bool)])
    ),
    "this is a share of those that fell at all": lambda c, f, a, m: np.mean(
        (np.asarray(a) <= m)[np.asarray(c, bool) & np.asarray(f, bool)]
    ),
}

WITHIN = FunctionTask(
    "q6", "What so many questions buy", 1, _within_reference, _within_cases,
    or_explain(close(atol=1e-9), _WITHIN_SLIPS),
    "Start from the images that were right. Who of them fell, and who early enough?",
)  # fmt: skip

# --- q7: steps that change nothing


def _flat_reference(at_rest: Any, moved: Any, truth: Any) -> float:
    start = score_margins(at_rest, truth)
    return float(np.mean([score_margins(scores, truth) == start for scores in np.asarray(moved)]))


def _flat_cases(rng: np.random.Generator) -> list[Case]:
    def case(
        steps: int, images: int, classes: int, certain: float, label: str, per_step: int = 256
    ) -> Case:
        def codes() -> np.ndarray:
            return rng.integers(0, 8, (images, classes))

        truth = rng.integers(0, classes, images)
        rest = codes()
        moved = np.stack([np.where(rng.random((images, 1)) < certain, rest, codes())
                          for _ in range(steps)])  # fmt: skip
        rest[0], moved[0, 0] = 0, 0
        rest[0, truth[0]], moved[0, 0, truth[0]] = 5, 5
        other = (truth[0] + 1) % classes
        moved[0, 0, (other + 1) % classes if (other + 1) % classes != truth[0] else other] = -1
        return Case((rest / per_step, moved / per_step, truth), label)

    return [
        case(4, 307, 4, 0.5, "a file in steps of 1/256"),
        case(3, 31, 10, 0.9, "a file that is nearly always certain"),
        case(2, 23, 3, 0.0, "every step changes the scores, not every one the margin"),
        case(2, 40, 5, 0.5, "a float model, whose scores move by a millionth", 2**20),
    ]


def _flat_top(at_rest: Any, moved: Any, truth: Any) -> float:
    top = np.asarray(at_rest).max(axis=1)
    return float(np.mean([np.asarray(scores).max(axis=1) == top for scores in moved]))


def _flat_rows(at_rest: Any, moved: Any, truth: Any) -> float:
    return float(np.mean([(scores == at_rest).all(axis=1) for scores in np.asarray(moved)]))


def _flat_right(at_rest: Any, moved: Any, truth: Any) -> float:
    rows = np.arange(len(truth))
    start = np.asarray(at_rest)[rows, truth]
    return float(np.mean([np.asarray(scores)[rows, truth] == start for scores in moved]))


def _flat_leaders(at_rest: Any, moved: Any, truth: Any) -> float:
    def lead(scores: Any) -> np.ndarray:
        second, first = np.sort(np.asarray(scores), axis=1)[:, -2:].T
        return np.asarray(first - second)

    return float(np.mean([lead(scores) == lead(at_rest) for scores in moved]))


def _flat_labels(at_rest: Any, moved: Any, truth: Any) -> float:
    labels = np.argmax(at_rest, axis=-1)
    return float(np.mean([np.argmax(scores, axis=-1) == labels for scores in moved]))


def _flat_images(at_rest: Any, moved: Any, truth: Any) -> float:
    start = score_margins(at_rest, truth)
    still = [score_margins(scores, truth) == start for scores in np.asarray(moved)]
    return float(np.mean(np.all(still, axis=0)))


def _flat_rival(at_rest: Any, moved: Any, truth: Any) -> float:
    rows, others = np.arange(len(truth)), np.array(at_rest, float)
    others[rows, truth] = -np.inf
    rival = others.argmax(axis=1)

    def lead(scores: Any) -> np.ndarray:
        return np.asarray(scores[rows, truth] - scores[rows, rival])

    return float(np.mean([lead(scores) == lead(at_rest) for scores in np.asarray(moved)]))


_FLAT_SLIPS: Slips = {
    "these are the images that no change moves; each change of each image counts by itself": (
        _flat_images
    ),
    "after a change the best of the others may be another class: look for it anew": _flat_rival,
    "this watches the largest score; the attacker watches the right one less the best other": (
        _flat_top
    ),
    "this asks that no score changes at all; a margin can stand still while others move": (
        _flat_rows
    ),
    "this watches the right score alone; the margin also falls when another score rises": (
        _flat_right
    ),
    "the margin is the RIGHT class's, whether or not it leads: not the best less the second": (
        _flat_leaders
    ),
    "a step may change the margin and leave the label: compare the margins": _flat_labels,
    "a margin that moves by a millionth has moved: compare exactly, with ==": lambda r, m, t: float(
        np.mean([np.abs(score_margins(s, t) - score_margins(r, t)) < 1e-4 for s in np.asarray(m)])
    ),
    "these are the steps that change something": lambda r, m, t: 1 - _flat_reference(r, m, t),
    "the best of the OTHER scores: leave the right one out of the maximum": lambda r, m, t: float(
        np.mean(
            [_to_top(scores, t) == _to_top(r, t) for scores in np.asarray(m)]
        )
    ),
}  # fmt: skip


def _to_top(scores: Any, truth: Any) -> np.ndarray:
    values = np.asarray(scores)
    return np.asarray(values[np.arange(len(truth)), truth] - values.max(axis=1))


FLAT = FunctionTask(
    "q7", "Steps that change nothing", 2, _flat_reference, _flat_cases,
    or_explain(close(atol=1e-9), _FLAT_SLIPS),
    "Write the margin of one table of scores first: copy it, put -inf where the right class is, "
    "and take the maximum of what is left.",
)  # fmt: skip

# --- q8: how far the file's own boundary is


def _fall_reference(lengths: Any, right: Any) -> np.ndarray:
    fell = ~np.asarray(right, bool)
    first = np.argmax(fell, axis=0)
    return np.where(fell.any(axis=0), np.asarray(lengths, float)[first], np.nan)


def _fall_cases(rng: np.random.Generator) -> list[Case]:
    def case(points: int, images: int, chance: float, label: str) -> Case:
        lengths = np.geomspace(1, 4, points)
        right = rng.random((points, images)) > chance
        right[:, 0] = True  # never falls
        right[:, 1] = False  # fell where the attack stopped
        right[:, 2] = True
        right[points // 2, 2] = False  # falls, and is right again further out
        return Case((lengths, right), label)

    return [case(9, 7, 0.3, "nine lengths, seven images"), case(5, 12, 0.1, "most of them hold")]


def _last_right(lengths: Any, right: Any) -> np.ndarray:
    held = np.asarray(right, bool)[::-1]
    last = len(held) - 1 - np.argmax(held, axis=0)
    after = np.minimum(last + 1, len(held) - 1)
    return np.where(held.any(axis=0), np.asarray(lengths, float)[after], lengths[0])


def _last_wrong(lengths: Any, right: Any) -> np.ndarray:
    fell = ~np.asarray(right, bool)[::-1]
    last = len(fell) - 1 - np.argmax(fell, axis=0)
    return np.where(fell.any(axis=0), np.asarray(lengths, float)[last], np.nan)


def _for_good(lengths: Any, right: Any) -> np.ndarray:
    held = np.asarray(right, bool)
    found = np.where(held[-1], np.nan, _last_right(lengths, right))
    return np.asarray(found)


_FALL_SLIPS: Slips = {
    "an image that never falls has no such length: nan": lambda lengths, right: np.asarray(
        lengths, float
    )[np.argmax(~np.asarray(right, bool), axis=0)],
    "this is the first length at which it is still right; the first wrong one was asked for": (
        lambda lengths, right: np.where(
            np.asarray(right, bool).any(axis=0),
            np.asarray(lengths, float)[np.argmax(np.asarray(right, bool), axis=0)],
            np.nan,
        )
    ),
    "an image may be right again further out; take the first length at which it is wrong": (
        _last_right
    ),
    "from this length on it stays wrong; it may have been wrong before": _for_good,
    "this is the last length at which it is wrong; the first was asked for": _last_wrong,
    "this counts the lengths at which it is right; an image may be right again further out": (
        lambda lengths, right: np.where(
            (~np.asarray(right, bool)).any(axis=0),
            np.asarray(lengths, float)[
                np.minimum(np.asarray(right, bool).sum(axis=0), len(lengths) - 1)
            ],
            np.nan,
        )
    ),
    "an image that never falls has no such length: nan, not infinity": lambda lengths, right: (
        np.where((~np.asarray(right, bool)).any(axis=0), _fall_reference(lengths, right), np.inf)
    ),
    "these are places in the list; return the lengths that stand there": lambda lengths, right: (
        np.where(
            (~np.asarray(right, bool)).any(axis=0),
            np.argmax(~np.asarray(right, bool), axis=0).astype(float),
            np.nan,
        )
    ),
}

FALL = FunctionTask(
    "q8", "How far to go on", 2, _fall_reference, _fall_cases,
    or_explain(row_of(close(atol=1e-9)), _FALL_SLIPS),
    "np.argmax of a table of true and false gives the first true along an axis, and 0 where there "
    "is none.",
)  # fmt: skip
