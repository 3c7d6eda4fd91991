"""The secret, and the streams it gives."""

import hashlib

import numpy as np
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hmac import HMAC
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from helpers.errors import WatermarkError
from helpers.watermark.key import Key

KEY = Key(bytes(range(32)))
PURPOSES = st.text(max_size=20)


def test_a_stream_is_shake256_of_an_hmac_of_the_secret() -> None:
    mac = HMAC(KEY.secret, hashes.SHA256())
    mac.update(b"edge-ml-security watermark key v1message")
    shake = hashes.Hash(hashes.SHAKE256(40))
    shake.update(mac.finalize())
    assert KEY.stream("message", 40) == shake.finalize()


def test_the_streams_stay_what_they_are() -> None:
    # A mark of today is read with the library of another day: these numbers must never change
    content = KEY.signs("a", (3, 5)).tobytes() + KEY.integers("b", 10, 4).astype("<i8").tobytes()
    assert hashlib.sha256(content).hexdigest()[:16] == "d17f76954dc60436"


@given(PURPOSES, PURPOSES)
def test_purposes_and_keys_tell_streams_apart(one: str, other: str) -> None:
    assert (KEY.stream(one, 16) == KEY.stream(other, 16)) == (one == other)
    assert KEY.child(one).stream(other, 16) != KEY.stream(other, 16)
    assert Key(bytes(32)).stream(one, 16) != KEY.stream(one, 16)


def test_signs_bits_and_integers_are_fair() -> None:
    signs = KEY.signs("s", (100, 200))
    assert signs.shape == (100, 200)
    assert set(np.unique(signs)) == {-1, 1}
    assert stats.binomtest(int(KEY.bits("b", 20_000).sum()), 20_000).pvalue > 1e-3
    assert stats.chisquare(np.bincount(KEY.integers("i", 7, 20_000), minlength=7)).pvalue > 1e-3
    assert stats.kstest(KEY.uniform("u", (5_000,)), "uniform").pvalue > 1e-3


def test_a_fresh_key_is_another_each_time_and_does_not_print_its_secret() -> None:
    one, other = Key.fresh(), Key.fresh()
    assert one != other
    assert one.secret.hex() not in repr(one)
    assert repr(one.secret) not in repr(one)


@pytest.mark.parametrize("secret", [b"short", b"x" * 33, "x" * 32])
def test_what_is_no_secret_is_refused(secret: bytes) -> None:
    with pytest.raises(WatermarkError, match=r"32 bytes.*Key\.fresh"):
        Key(secret)
