"""Lab 7's checks: right answers pass in any form, slips are named, and forgeries must be forged."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from helpers.course.checks.whose_model_is_it import LAB, court, evidence, forgery
from helpers.course.compare import Slips
from tests.course.judging import each, judge_of

judged = judge_of(LAB)

SLIPS: dict[str, Slips] = {
    "q1": evidence._READ_SLIPS,
    "q2": evidence._RATE_SLIPS,
    "q3": evidence._P_SLIPS,
    "q4": evidence._NEEDED_SLIPS,
    "q6": court._HEARD_SLIPS,
}


@pytest.mark.parametrize(("name", "told", "slip"), each(SLIPS))
def test_a_slip_fails_and_is_named(name: str, told: str, slip: Callable[..., Any]) -> None:
    found = judged(name, slip)
    assert (found.status, found.explanation) == ("mismatch", told)


def _with_lengths(width: int, secret: bytes, settings: bytes, file: bytes) -> str:
    """Exercise 5 with lengths that wrap around."""
    parts = (secret, settings, file)
    lengths = ((len(part) % 256**width).to_bytes(width, "little") for part in parts)
    joined = b"".join(length + part for length, part in zip(lengths, parts, strict=True))
    return hashlib.sha256(joined).hexdigest()


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("q1", lambda k, s, m: np.count_nonzero(np.equal(s.dot(k.reshape(-1)) > 0, m))),
        ("q3", lambda k, n, p: stats.binomtest(k, n, p, alternative="greater").pvalue),
        ("q5", lambda s, t, f: hashlib.sha256(
            json.dumps([part.hex() for part in (s, t, f)]).encode()).hexdigest()),
        ("q5", lambda *parts: _with_lengths(4, *parts)),
        ("q5", lambda *parts: hashlib.sha256(
            b"".join(b"%d:" % len(part) + part for part in parts)).hexdigest()),
        ("q5", lambda s, t, f: hashlib.sha256(
            b"".join(hashlib.sha256(part).digest() for part in (s, t, f))).hexdigest()),
    ],
)  # fmt: skip
def test_another_way_that_is_right_passes(name: str, other: Callable[..., Any]) -> None:
    assert judged(name, other).status == "passed"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda s, t, f: hashlib.sha256(s + t + f).hexdigest(), "where one part ends"),
        (lambda s, t, f: hashlib.sha256(b"|".join((s, t, f))).hexdigest(), "where one part ends"),
        (lambda s, t, f: hashlib.sha256(b"||".join((s, t, f))).hexdigest(), "where one part ends"),
        (lambda s, t, f: hashlib.sha256(b"\r\n".join((s, t, f))).hexdigest(), "one part ends"),
        (lambda *parts: hashlib.sha256(
            b"".join(b"%d" % len(part) + part for part in parts)).hexdigest(), "one part ends"),
        (lambda *parts: hashlib.sha256(
            b"".join(b"%d" % len(part) for part in parts) + b"".join(parts)).hexdigest(),
            "one part ends"),
        (lambda s, t, f: hmac.new(s, b"%d:" % len(t) + t + f, "sha256").hexdigest(),
            "one part ends"),
        (lambda s, t, f: hashlib.sha256(s + b"|" + f).hexdigest(), "another scheme"),
        (lambda s, t, f: hashlib.sha256(t + f).hexdigest(), "another secret"),
        (lambda s, t, f: s.hex(), "can be read"),
        (lambda s, t, f: hashlib.sha256(b"".join(sorted(
            hashlib.sha256(part).digest() for part in (s, t, f)))).hexdigest(), "which part"),
        (lambda s, t, f: hashlib.sha256(
            s.ljust(64) + t.ljust(1000) + f).hexdigest(), "where one part ends"),
        (lambda *parts: _with_lengths(1, *parts), "in them and however many"),
        (lambda *parts: _with_lengths(2, *parts), "in them and however many"),
        (lambda s, t, f: hashlib.sha256(s + t + f).digest(), "hexadecimal"),
        (lambda s, t, f: hashlib.md5(s + t + f).hexdigest(), "hexadecimal"),
        (
            lambda s, t, f: hashlib.sha256(
                b"".join(p.ljust(64, b"\0") for p in (s, t, f))
            ).hexdigest(),
            "where one part ends",
        ),
    ],
)  # fmt: skip
def test_a_commitment_that_binds_too_little_is_told_so(
    answer: Callable[..., Any], message: str
) -> None:
    found = judged("q5", answer)
    assert found.status == "mismatch"
    assert message in found.explanation


def test_the_key_is_asked_about_before_the_register() -> None:
    def register_first(claim: Any, register: Any, first_seen: str) -> Any:
        opened = court._heard_reference({**claim, "opens": True}, register, first_seen)
        return opened or court._heard_reference(claim, register, first_seen)

    found = judged("q6", register_first)
    assert found.status == "mismatch"
    assert "whatever the register says" in found.explanation


def _honest(kernel: Any, message: Any, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).choice([-1.0, 1.0], (len(message), kernel.size))


def _obvious(kernel: Any, message: Any, seed: int) -> np.ndarray:
    row = np.sign(kernel.ravel())
    return np.where(np.asarray(message)[:, None], row, -row)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (_honest, "bits are read as they should be"),
        (_obvious, "copies of one another"),
        (lambda k, m, s: 2 * forgery._forge_reference(k, m, s), "-1 or"),
        (lambda k, m, s: forgery._forge_reference(k, m, s).T, "shape"),
        (lambda k, m, s: None, "shape"),
        (lambda k, m, s: forgery._forge_reference(k, m, secrets.randbits(30)), "the same seed"),
    ],
)
def test_a_forgery_must_read_the_message_and_look_honest(
    answer: Callable[..., Any], message: str
) -> None:
    found = judged("q7", answer)
    assert found.status == "mismatch"
    assert message in found.explanation
