"""Lab 5's checks: wrong answers are named, and another right answer passes."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from helpers.course.checks.put_it_on_the_device import LAB, STOPS
from helpers.course.tasks import judge_value
from helpers.edge.artefact import TensorContract
from tests.course.judging import judge_of

judged = judge_of(LAB)


def as_the_runtime_does(values: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
    return TensorContract("x", values.shape, "int8", scale, zero_point).encode(values)


def unclipped(values: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
    return (np.rint(values / scale) + zero_point).astype(np.int64).astype(np.int8)


def truncated(values: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
    return np.clip(values / scale + zero_point, -128, 127).astype(np.int8)


def as_uint8(low: float, high: float) -> tuple[float, int]:
    low, high = min(low, 0.0), max(high, 0.0)
    return (high - low) / 255, round(-low * 255 / (high - low))


def cut_off(low: float, high: float) -> tuple[float, int]:
    low, high = min(low, 0.0), max(high, 0.0)
    return (high - low) / 255, int(-128 - low * 255 / (high - low))


def first_of_each(labels: np.ndarray, per_class: int, seed: int) -> np.ndarray:
    return np.concatenate([np.flatnonzero(labels == c)[:per_class] for c in np.unique(labels)])


def any_clips(labels: np.ndarray, per_class: int, seed: int) -> np.ndarray:
    count = per_class * len(np.unique(labels))
    return np.random.default_rng(seed).choice(len(labels), count, replace=False)


def with_repeats(labels: np.ndarray, per_class: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    picked = [rng.choice(np.flatnonzero(labels == c), per_class) for c in np.unique(labels)]
    return np.concatenate(picked)


def shuffled(labels: np.ndarray, per_class: int, seed: int) -> np.ndarray:
    order = np.random.default_rng(seed).permutation(len(labels))
    return np.concatenate([order[labels[order] == c][:per_class] for c in np.unique(labels)])


def unseeded(labels: np.ndarray, per_class: int, seed: int) -> np.ndarray:
    return shuffled(labels, per_class, int.from_bytes(os.urandom(4)))


def wrapping(one: np.ndarray, other: np.ndarray) -> tuple[float, int]:
    return float(np.mean(one.argmax(1) == other.argmax(1))), int(np.abs(one - other).max())


def numpy_tail(seconds: np.ndarray, warm_up: int, share: int) -> float:
    return float(np.percentile(seconds[warm_up:], share, method="inverted_cdf")) * 1e3


def at_the_gate(**left_out: Any) -> Callable[..., str]:
    """Exercise 7 with something left out."""

    def answer(
        manifest: bytes, signature: bytes, public: bytes, sealed: bytes, product: str, now: list
    ) -> str:
        if left_out.get("reads_first"):
            json.loads(manifest)
        if left_out.get("trusts_words") and (early := refused(manifest, product, now)):
            return early
        key = load_der_public_key(public)
        assert isinstance(key, ec.EllipticCurvePublicKey)
        try:
            key.verify(signature, manifest, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            if not left_out.get("believes"):
                return "not genuine"
        try:
            stated = json.loads(manifest)
        except ValueError:
            return "not genuine"
        if stated["product"] != product and not left_out.get("any_product"):
            return "other product"
        version = left_out.get("as_", list)
        old = version(stated["version"]) < version(now)
        if old or (stated["version"] == now and not left_out.get("again")):
            return "old"
        whole = hashlib.sha256(sealed).hexdigest() == stated["sha256"]
        return "" if whole or left_out.get("unread") else "changed"

    return answer


def refused(manifest: bytes, product: str, now: list) -> str:
    """What a manifest that nobody vouches for says by itself."""
    try:
        stated = json.loads(manifest)
    except ValueError:
        return "not genuine"
    return "other product" if stated["product"] != product else "old" * (stated["version"] <= now)


def hash_first(manifest: bytes, signature: bytes, public: bytes, sealed: bytes, *rest: Any) -> str:
    """Exercise 7 with the file looked at before the rest of the manifest."""
    said = at_the_gate()(manifest, signature, public, sealed, *rest)
    if said in ("other product", "old"):
        whole = hashlib.sha256(sealed).hexdigest() == json.loads(manifest)["sha256"]
        return said if whole else "changed"
    return said


def two_numbers_alone(manifest: bytes, *rest: Any) -> str:
    """Exercise 7 with the last number of a version left out."""
    said = at_the_gate()(manifest, *rest)
    return said or ("old" if json.loads(manifest)["version"][:2] <= rest[-1][:2] else "")


def rounded_tail(rounded: Callable[[float], int]) -> Callable[..., float]:
    def answer(seconds: np.ndarray, warm_up: int, share: int) -> float:
        times = sorted(seconds[warm_up:])
        return float(times[rounded(share * len(times) / 100) - 1]) * 1e3

    return answer


def packed(version: list[int]) -> int:
    return version[0] * 10_000 + version[1] * 100 + version[2]


def as_text(version: list[int]) -> str:
    return ".".join(map(str, version))


WRONG: list[tuple[str, Callable[..., Any], str]] = [
    ("q1", unclipped, "clip before you make it int8"),
    ("q1", truncated, "np.rint"),
    ("q1", lambda v, s, z: np.clip(np.rint(v / s), -128, 127).astype(np.int8), "is missing"),
    ("q1", lambda v, s, z: np.clip(np.rint(v / s) + z, -128, 127), "the file takes int8"),
    ("q2", lambda low, high: ((high - low) / 255, round(-128 - low * 255 / (high - low))),
        "zero has to be in the range"),
    ("q2", as_uint8, "int8 begins at -128"),
    ("q2", lambda low, high: (max(-low, high) / 127, 0), "symmetric"),
    ("q2", cut_off, "cut off"),
    ("q3", any_clips, "were asked for"),
    ("q3", lambda labels, *a: tuple(range(8)), "return an array or a list"),
    ("q3", first_of_each, "no random sample"),
    ("q3", with_repeats, "picked twice"),
    ("q3", unseeded, "the same seed"),
    ("q4", lambda k: k.max(axis=tuple(range(k.ndim - 1))) / 127, "magnitude"),
    ("q4", lambda k: np.abs(k).max() / 127, "every dimension but the last"),
    ("q4", lambda k: np.abs(k).max(axis=tuple(range(k.ndim - 1))) / 128, "divide by 127"),
    ("q5", wrapping, "wraps to -1"),
    ("q5", lambda a, b: (float(np.mean(a == b)), int(np.abs(a.astype(int) - b).max())),
        "the top word of each row counts"),
    ("q6", lambda s, w, p: float(np.percentile(s[w:], p)) * 1e3, "between two runs"),
    ("q6", lambda s, w, p: numpy_tail(s, 0, p), "the warm-up is counted"),
    ("q6", lambda s, w, p: numpy_tail(s, w, p) / 1e3, "these are seconds"),
    ("q6", lambda s, w, p: numpy_tail(np.sort(s), w, p), "the first in time"),
    ("q6", rounded_tail(int), "round their number up"),
    ("q6", rounded_tail(round), "round their number up"),
    ("q7", at_the_gate(believes=True), "the signature is not one of our key"),
    ("q7", at_the_gate(any_product=True), "another product"),
    ("q7", at_the_gate(again=True), "a mended weakness would come back"),
    ("q7", at_the_gate(as_=as_text), "compare numbers in their order"),
    ("q7", at_the_gate(as_=packed), "a mended weakness would come back"),
    ("q7", at_the_gate(unread=True), "SHA-256 of another file"),
    ("q7", two_numbers_alone, "all of them, as lists do"),
    ("q7", hash_first, "the first of the list that applies is another"),
    ("q7", at_the_gate(trusts_words=True), "a manifest that nobody vouches for"),
]  # fmt: skip


@pytest.mark.parametrize(("task", "answer", "named"), WRONG)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_slip_is_named(task: str, answer: Callable[..., Any], named: str, seed: int) -> None:
    found = judged(task, answer, seed)
    assert found.status == "mismatch"
    assert named in found.explanation


def test_a_gate_that_reads_before_it_verifies_trips_over_garbage() -> None:
    assert judged("q7", at_the_gate(reads_first=True)).status == "error"


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        ("q1", as_the_runtime_does),
        ("q3", shuffled),
        ("q5", lambda a, b: (
            np.mean(a.argmax(1) == b.argmax(1)), np.abs(a.astype(np.int16) - b).max())),
        ("q5", lambda a, b: (
            1 - np.mean(a.argmax(1) != b.argmax(1)), np.abs(a.astype(np.int16) - b).max())),
        ("q5", lambda a, b: (np.mean(a.argmax(1) == b.argmax(1), dtype=np.float32),
            np.abs(a.astype(np.int16) - b).max())),
        ("q6", numpy_tail),
        ("q6", lambda s, w, p: sorted(s[w:])[math.ceil(p * len(s[w:]) / 100) - 1] * 1e3),
        ("q7", at_the_gate()),
        ("q7", at_the_gate(as_=tuple)),
    ],
)  # fmt: skip
def test_another_right_answer_passes_on_every_seed(task: str, answer: Callable[..., Any]) -> None:
    assert {judged(task, answer, seed).status for seed in range(5)} == {"passed"}


def test_every_attacker_has_one_letter_and_letters_may_be_capitals() -> None:
    task = LAB.task("q8")
    assert task is not None
    right = task.reference(0, "full")
    assert set(right.values()) == set(STOPS)
    capitals = {name: f" {letter.upper()}" for name, letter in right.items()}
    assert judge_value(task, capitals, right).status == "passed"  # type: ignore[arg-type]
    either = {**right, "changes a byte": "e"}
    assert judge_value(task, either, right).status == "passed"  # type: ignore[arg-type]
    wrong = judge_value(task, {**right, "reads the speaker's memory": "e"}, right)  # type: ignore[arg-type]
    assert wrong.status == "mismatch"
    assert wrong.explanation == "think again about: reads the speaker's memory"
    strange = judge_value(task, {**right, "changes a byte": "both"}, right)  # type: ignore[arg-type]
    assert "'both' is none of the letters" in strange.explanation
    more = judge_value(task, {**right, "somebody else": "e"}, right)  # type: ignore[arg-type]
    assert more.status == "mismatch"
