"""Commitments, and the notary's register."""

import dataclasses
import datetime
import re

import numpy as np
import pytest

from helpers.errors import WatermarkError
from helpers.watermark.commitment import (
    Entry,
    Notary,
    check_register,
    commit,
    commitments_of,
    find_entry,
    is_model_of,
    moment_of,
    opens,
    scheme_digest,
)
from helpers.watermark.triggers import NoiseTriggers
from helpers.watermark.uchida import WeightMessage
from tests.watermark.conftest import OTHER, OWNER, SHIPPED

SCHEME = WeightMessage(2, bits=64)
DAY = datetime.timedelta(days=1)


def _register() -> tuple[tuple[Entry, ...], bytes]:
    notary = Notary()
    for day in range(3):
        notary.enter("acme", commit(OWNER, SCHEME, b"file %d" % day), SHIPPED + day * DAY)
    return notary.register, notary.public_key


def test_a_commitment_opens_to_the_secret_and_the_scheme_that_were_committed_to() -> None:
    commitment = commit(OWNER, SCHEME, b"file")
    assert opens(OWNER, SCHEME, commitment)
    assert not opens(OTHER, SCHEME, commitment)
    assert not opens(OWNER, dataclasses.replace(SCHEME, bits=63), commitment)
    assert not opens(OWNER, SCHEME, commit(OWNER, SCHEME, b"another file")) or (
        commit(OWNER, SCHEME, b"another file") != commitment
    )
    forged = dataclasses.replace(commitment, model=commit(OWNER, SCHEME, b"other").model)
    assert not opens(OWNER, SCHEME, forged)
    assert OWNER.secret.hex() not in str(commitment)
    assert is_model_of(commitment, b"file")
    assert not is_model_of(commitment, b"another file")


def test_the_public_inputs_of_a_scheme_are_part_of_what_is_committed_to() -> None:
    low, high = np.zeros((8, 1), np.float32), np.ones((8, 1), np.float32)
    one = NoiseTriggers(low, high, (8, 8, 1), 10)
    assert scheme_digest(one) == scheme_digest(NoiseTriggers(low.copy(), high, (8, 8, 1), 10))
    assert scheme_digest(one) != scheme_digest(NoiseTriggers(low, 2 * high, (8, 8, 1), 10))


def test_a_register_of_the_notary_passes() -> None:
    check_register(*_register())


@pytest.mark.parametrize(
    "change",
    [
        {"time": "2024-01-01T00:00:00+00:00"},
        {"claimant": "mallory"},
        {"digest": "00" * 32},
        {"number": 7},
        {"previous": "00" * 32},
        {"signature": "00" * 64},
        {"signature": "no hex"},
        {"signature": None},
        {"number": float("nan")},
        {"claimant": b"no text"},
    ],
)
def test_any_later_change_of_an_entry_is_seen(change: dict[str, object]) -> None:
    register, public = _register()
    altered = (register[0], dataclasses.replace(register[1], **change), register[2])  # type: ignore[arg-type]
    with pytest.raises(WatermarkError, match="Entry 1"):
        check_register(altered, public)


def test_an_entry_that_is_taken_out_or_moved_is_seen() -> None:
    register, public = _register()
    for altered in (register[1:], (register[0], register[2]), (register[1], register[0])):
        with pytest.raises(WatermarkError, match="does not follow"):
            check_register(altered, public)
    with pytest.raises(WatermarkError, match="not signed by this notary"):
        check_register(register, Notary().public_key)
    with pytest.raises(WatermarkError, match="32 bytes"):
        check_register(register, b"short")


@pytest.mark.parametrize("stamp", ["yesterday", "2025-01-01", None, "2025-13-01T00:00:00+00:00"])
def test_a_date_that_is_none_is_named(stamp: str) -> None:
    with pytest.raises(WatermarkError, match=re.escape(str(stamp))):
        moment_of(stamp)


def test_a_commitment_is_found_under_its_first_date_and_its_claimant_alone() -> None:
    notary, commitment = Notary(), commit(OWNER, SCHEME, b"file")
    first = notary.enter("acme", commitment, SHIPPED)
    notary.enter("acme", commitment, SHIPPED + DAY)
    notary.enter("acme", commit(OTHER, SCHEME, b"file"), SHIPPED + DAY)
    notary.enter("mallory", commitment, SHIPPED + 2 * DAY)
    assert find_entry("acme", commitment, notary.register) == first
    assert find_entry("nobody", commitment, notary.register) is None
    assert commitments_of("acme", notary.register) == 2


def test_a_notary_takes_no_date_without_zone_and_none_out_of_order() -> None:
    notary, commitment = Notary(), commit(OWNER, SCHEME, b"file")
    with pytest.raises(WatermarkError, match="no time zone"):
        notary.enter("acme", commitment, datetime.datetime(2025, 1, 1))
    notary.enter("acme", commitment)
    with pytest.raises(WatermarkError, match="before the last entry"):
        notary.enter("acme", commitment, SHIPPED)
