"""Sharing, keys, masks and quantisation against their definitions and published vectors."""

import hashlib
import hmac
import struct

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from helpers.errors import PrivacyError, TaskError
from helpers.federated.secure import SecureSettings, dequantise, keys, quantise, shamir
from helpers.federated.secure.quantisation import pack_words, reduce_words, unpack_words

SECRETS = st.binary(min_size=32, max_size=32)


# --- Shamir


def test_the_field_is_the_smallest_prime_above_32_bytes() -> None:
    from Crypto.Util.number import isPrime

    primes = [n for n in range(1 << 256, shamir.PRIME + 1) if isPrime(n)]
    assert primes == [shamir.PRIME]


def naive_value_at_zero(shares: dict[int, bytes]) -> int:
    """Lagrange's formula as it stands in the books."""
    total = 0
    for x, share in shares.items():
        term = int.from_bytes(share, "little")
        for other in shares:
            if other != x:
                term = term * other % shamir.PRIME * pow(other - x, -1, shamir.PRIME)
        total += term
    return total % shamir.PRIME


@settings(max_examples=40, deadline=None)
@given(SECRETS, st.integers(1, 12), st.integers(0, 8), st.integers(0, 10**6))
def test_any_t_shares_rebuild_the_secret(
    secret: bytes, threshold: int, more: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    points = rng.choice(2**20, threshold + more, replace=False) + 1
    shares = shamir.split(secret, threshold, points.tolist(), rng.bytes)
    chosen = rng.choice(points, threshold, replace=False).tolist()
    some = {x: shares[x] for x in chosen}
    assert shamir.combine(some) == secret
    assert naive_value_at_zero(some) == int.from_bytes(secret, "little")


@settings(deadline=None)
@given(SECRETS, SECRETS, st.integers(2, 8))
def test_one_share_less_fits_every_secret(secret: bytes, other: bytes, threshold: int) -> None:
    """Perfect secrecy: whatever t - 1 shares are, some last share makes any secret of them."""
    rng = np.random.default_rng(0)
    points = range(1, threshold + 1)
    shares = shamir.split(secret, threshold, points, rng.bytes)
    # The weight of the last share, read off by moving it by one.
    last = int.from_bytes(shares[threshold], "little")
    plus_one = dict(shares)
    plus_one[threshold] = ((last + 1) % shamir.PRIME).to_bytes(33, "little")
    weight = naive_value_at_zero(plus_one) - naive_value_at_zero(shares)
    wanted = int.from_bytes(other, "little") - int.from_bytes(secret, "little")
    forged = (last + wanted * pow(weight, -1, shamir.PRIME)) % shamir.PRIME
    assert shamir.combine({**shares, threshold: forged.to_bytes(33, "little")}) == other


@settings(deadline=None)
@given(SECRETS, SECRETS)
def test_shares_add_up_to_shares_of_the_sum(one: bytes, two: bytes) -> None:
    rng = np.random.default_rng(1)
    a, b = (shamir.split(s, 3, range(1, 5), rng.bytes) for s in (one, two))
    added = {
        x: ((int.from_bytes(a[x], "little") + int.from_bytes(b[x], "little")) % shamir.PRIME)
        for x in (1, 2, 4)
    }
    total = naive_value_at_zero({x: value.to_bytes(33, "little") for x, value in added.items()})
    whole = int.from_bytes(one, "little") + int.from_bytes(two, "little")
    assert total == whole % shamir.PRIME


def test_shares_are_spread_over_the_whole_field() -> None:
    rng = np.random.default_rng(2)
    first = [shamir.split(bytes(32), 2, [1, 2], rng.bytes)[1] for _ in range(2000)]
    counts = np.bincount([share[31] >> 4 for share in first], minlength=16)
    assert chisquare(counts).pvalue > 1e-4


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((bytes(31), 2, [1, 2]), "31 bytes"),
        ((bytes(32), 0, [1, 2]), "threshold=0"),
        ((bytes(32), 3, [1, 2]), "threshold=3 of 2"),
        ((bytes(32), 2, [0, 1]), "distinct whole numbers from 1"),
        ((bytes(32), 2, [1, 1]), "distinct whole numbers from 1"),
    ],
)
def test_what_cannot_be_shared_is_refused(arguments: tuple, named: str) -> None:
    secret, threshold, points = arguments
    with pytest.raises(TaskError, match=named):
        shamir.split(secret, threshold, points, bytes)


@pytest.mark.parametrize(
    "shares", [{}, {0: bytes(33)}, {1: bytes(32)}, {1: b"\xff" * 33}, {1: b"\0" * 32 + b"\1"}]
)
def test_what_is_no_share_is_refused(shares: dict) -> None:
    with pytest.raises(TaskError):
        shamir.combine(shares)


# --- keys and masks


def test_the_key_agreement_is_that_of_rfc_7748() -> None:
    scalar = "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"
    point = "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"
    secret = "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"
    pair = keys.KeyPair.of(bytes.fromhex(scalar))
    assert pair.exchange(bytes.fromhex(point)).hex() == secret


def test_both_ends_derive_the_key_by_hkdf_and_other_contexts_another() -> None:
    one, two = keys.KeyPair.new(), keys.KeyPair.new()
    context: tuple[keys.Purpose, int, int, int] = ("pairwise mask", 7, 3, 9)
    key = keys.shared_key(one, two.public, *context)
    assert key == keys.shared_key(two, one.public, *context)
    # RFC 5869 by hand, with an empty salt and one block of output.
    extracted = hmac.digest(bytes(32), one.exchange(two.public), "sha256")
    info = b"edge-ml-security/secure-aggregation/1/pairwise mask" + struct.pack("<QQQ", 7, 3, 9)
    assert key == hmac.digest(extracted, info + b"\1", "sha256")
    other_contexts: list[tuple[keys.Purpose, int, int, int]] = [
        ("share delivery", 7, 3, 9),
        ("pairwise mask", 8, 3, 9),
        ("pairwise mask", 7, 9, 3),
        ("pairwise mask", 7, 3, 10),
    ]
    others = [keys.shared_key(one, two.public, *other) for other in other_contexts]
    assert len({key, *others}) == 5


def test_a_key_of_small_order_is_refused() -> None:
    with pytest.raises(TaskError, match="not a usable X25519 key"):
        keys.KeyPair.new().exchange(bytes(32))


@pytest.mark.parametrize("bits", [8, 13, 24, 32, 40, 64])
def test_a_mask_is_the_key_stream_of_aes_256_in_counter_mode(bits: int) -> None:
    key, size = hashlib.sha256(b"key").digest(), 40_000  # more than one block of the loop
    mask = keys.expand(key, size, bits)
    width = 4 if bits <= 32 else 8
    counters = b"".join(i.to_bytes(16, "big") for i in range(-(-size * width // 16)))
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    stream = np.frombuffer(encryptor.update(counters), f"<u{width}", size)
    np.testing.assert_array_equal(mask, [int(word) % (1 << bits) for word in stream])
    np.testing.assert_array_equal(keys.expand(key, 100, bits), mask[:100])


def test_adding_and_taking_off_a_mask_leaves_nothing() -> None:
    words = np.arange(70_001, dtype=np.uint32)
    keys.add_mask(words, b"k" * 32)
    assert (words != np.arange(70_001)).mean() > 0.999
    keys.add_mask(words, b"k" * 32, subtract=True)
    np.testing.assert_array_equal(words, np.arange(70_001))


def test_a_sealed_message_opens_for_its_receiver_and_round_only() -> None:
    key = b"k" * 32
    sealed = keys.seal(key, b"share", 3, 1, 2)
    assert keys.unseal(key, sealed, 3, 1, 2) == b"share"
    changed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for bad in ((sealed, 4, 1, 2), (sealed, 3, 2, 1), (changed, 3, 1, 2), (b"", 3, 1, 2)):
        with pytest.raises(TaskError, match="not authentic"):
            keys.unseal(key, *bad)


def test_teaching_bytes_repeat_and_differ_by_stream() -> None:
    assert keys.teaching_bytes(1, 2)(40) == keys.teaching_bytes(1, 2)(40)
    assert keys.teaching_bytes(1, 2)(40) != keys.teaching_bytes(1, 3)(40)


# --- quantisation

vectors = st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=50).map(np.array)


@settings(deadline=None)
@given(vectors, st.integers(2, 32), st.floats(0.01, 4), st.sampled_from(["nearest", "stochastic"]))
def test_the_error_is_within_the_bound_and_values_within_the_clip(
    vector: np.ndarray, bits: int, clip: float, rounding: str
) -> None:
    chosen = SecureSettings(clip=clip, value_bits=bits, rounding=rounding)  # type: ignore[arg-type]
    steps = quantise(vector, chosen, np.random.default_rng(0))
    assert steps.max() <= chosen.largest_value == 2**bits - 1
    back = dequantise(steps, 1, chosen)
    room = 1e-9 * clip
    assert np.abs(back - np.clip(vector, -clip, clip)).max() <= chosen.error_bound + room


def test_stochastic_rounding_is_right_on_average_and_nearest_is_not() -> None:
    vector = np.full(200_000, 0.1)
    means = {}
    for rounding in ("nearest", "stochastic"):
        chosen = SecureSettings(value_bits=3, rounding=rounding)
        steps = quantise(vector, chosen, np.random.default_rng(4))
        means[rounding] = dequantise(steps, 1, chosen).mean()
    spread = SecureSettings(value_bits=3).step / 2 / np.sqrt(len(vector))
    assert abs(means["stochastic"] - 0.1) < 5 * spread
    assert abs(means["nearest"] - 0.1) > 20 * spread


@settings(deadline=None)
@given(st.integers(2, 5000), st.integers(2, 32), st.integers(0, 6))
def test_no_sum_can_wrap_around(count: int, bits: int, guard: int) -> None:
    chosen = SecureSettings(value_bits=bits, guard_bits=guard)
    plan = chosen.plan(count)
    assert count * chosen.largest_value == plan.largest_sum
    assert plan.largest_sum < 2 ** (plan.modulus_bits - guard)
    tight = plan.largest_sum.bit_length()
    SecureSettings(value_bits=bits, modulus_bits=tight).plan(count)
    with pytest.raises(TaskError, match="would wrap around"):
        SecureSettings(value_bits=bits, modulus_bits=tight - 1).plan(count)


@settings(deadline=None)
@given(st.integers(1, 64), st.lists(st.integers(0, 2**64 - 1), max_size=30))
def test_words_survive_packing_into_bytes(bits: int, values: list[int]) -> None:
    kind = np.uint32 if bits <= 32 else np.uint64
    words = np.array([value % (1 << bits) for value in values], kind)
    raw = pack_words(words, bits)
    assert len(raw) == len(words) * -(-bits // 8)
    np.testing.assert_array_equal(unpack_words(raw, bits), words)


def test_bytes_that_are_no_words_are_refused() -> None:
    with pytest.raises(TaskError, match="not a whole number of 3-byte values"):
        unpack_words(bytes(10), 24)
    with pytest.raises(TaskError, match="not below 2\\^20"):
        unpack_words(b"\xff\xff\xff", 20)
    assert reduce_words(np.array([2**20 + 5], np.uint32), 20)[0] == 5


@pytest.mark.parametrize(
    ("vector", "named"),
    [
        (np.array([0.0, np.nan]), "Coordinate 1 of the vector is nan"),
        (np.array([-np.inf, 0.0]), "Coordinate 0 of the vector is -inf"),
        (np.zeros((2, 2)), r"shape \(2, 2\)"),
        (np.zeros(0), r"shape \(0,\)"),
        (np.array(["a"]), "dtype"),
        (np.array([1j]), "dtype complex"),
    ],
)
def test_what_cannot_be_quantised_is_named(vector: np.ndarray, named: str) -> None:
    with pytest.raises(TaskError, match=named):
        quantise(vector, SecureSettings())


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"clip": 0.0}, "clip=0.0"),
        ({"clip": float("nan")}, "clip=nan"),
        ({"value_bits": 1}, "value_bits=1"),
        ({"value_bits": 33}, "value_bits=33"),
        ({"num_neighbours": 5}, "num_neighbours=5 must be even"),
        ({"threshold": 0.5}, "threshold=0.5 must be above 0.5"),
        ({"threshold": 1.1}, "threshold=1.1"),
        ({"min_survivors": 1}, "min_survivors=1"),
        ({"rounding": "up"}, "rounding='up'"),
        ({"guard_bits": -1}, "guard_bits=-1"),
    ],
)
def test_settings_out_of_range_are_named(arguments: dict, named: str) -> None:
    with pytest.raises(TaskError, match=named):
        SecureSettings(**arguments)


def test_a_plan_needs_enough_clients_and_a_modulus_that_fits() -> None:
    with pytest.raises(TaskError, match="num_clients=1"):
        SecureSettings().plan(1)
    with pytest.raises(TaskError, match="min_survivors=5 is more than the 4"):
        SecureSettings(min_survivors=5).plan(4)
    with pytest.raises(TaskError, match="The modulus needs"):
        SecureSettings(value_bits=32, guard_bits=40).plan(4)
    with pytest.raises(PrivacyError, match="2 of 10 clients are left"):
        SecureSettings().plan(10).require_survivors(2)


def test_more_than_half_of_the_neighbours_are_needed_for_a_secret() -> None:
    for count in range(2, 40):
        plan = SecureSettings(threshold=0.501).plan(count)
        assert 2 * plan.num_shares_needed > plan.num_neighbours
    assert SecureSettings().plan(10).num_shares_needed == 6
