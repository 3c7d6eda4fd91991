"""The audit: MT19937 against NumPy's own, and claims about Flower against its own functions."""

import base64
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.errors import TaskError
from helpers.federated.secure import SecureSettings, audit, keys, mersenne, quantise
from helpers.federated.secure.audit_round import (
    LARGEST,
    FlowerRound,
    flower_round,
    known_quantised,
)

KNOWN = 640  # the first values of a vector, which the server knows


def stream(seed: int, count: int) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, 1 << 32, count, np.uint32)


# --- the generator


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=20), st.integers(1, 227))
def test_the_first_words_are_numpys(seeds: list[int], count: int) -> None:
    words = mersenne.first_words(np.array(seeds, np.uint32), count)
    for column, seed in enumerate(seeds):
        np.testing.assert_array_equal(words[:, column], stream(seed, count))


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, mersenne.LAST_POSITION))
def test_two_numbers_give_the_seed(seed: int, position: int) -> None:
    numbers = stream(seed, 624)
    first, later = int(numbers[position]), int(numbers[position + mersenne.DISTANCE])
    assert mersenne.seeds_from_two(first, later, position) == [seed]


def test_two_numbers_of_no_stream_give_no_seed() -> None:
    rng = np.random.default_rng(0)
    pairs = rng.integers(0, 2**32, (200, 2))
    assert not any(mersenne.seeds_from_two(int(a), int(b)) for a, b in pairs)


def test_positions_out_of_reach_are_named() -> None:
    with pytest.raises(TaskError, match="position=396"):
        mersenne.seeds_from_two(1, 2, 396)
    with pytest.raises(TaskError, match="count=228"):
        mersenne.first_words(np.zeros(1, np.uint32), 228)


# --- what of a key reaches the mask


def base64_place(seed: int) -> int:
    """Return the place of a seed among those that folded base64 can take."""
    return sum((seed >> 8 * byte & 0x7F) << 7 * byte for byte in range(4))


def test_flower_folds_its_keys_to_32_bits_of_which_28_vary() -> None:
    made = audit.random_keys(1 << 16, base64=True, seed=1)
    seeds = audit.flower_seeds(made)
    measured = audit.key_bits(seeds)
    assert measured.varying_bits == audit.BASE64_SEED_BITS == 28
    assert 26.5 < measured.bits < 29.5
    assert not measured.is_lower_bound
    # The recorder saw what the real generator gets, and the fold is what the source says.
    for key, seed in list(zip(made, seeds, strict=True))[:5]:
        mask = audit.flower().pseudo_rand_gen(key, 1 << 32, [(50,)])[0]
        np.testing.assert_array_equal(mask, stream(int(seed), 50))
        words = np.frombuffer(key, "<u4")
        assert np.bitwise_xor.reduce(words) == seed
        assert audit.base64_seeds(*(base64_place(int(seed)) + np.array([0, 1])))[0] == seed


def test_real_pairwise_keys_of_flower_are_base64_text() -> None:
    functions = audit.flower()
    (own, _), (_, public) = functions.generate_key_pairs(), functions.generate_key_pairs()
    key = functions.generate_shared_key(own, public)
    assert len(key) == 44
    assert len(base64.urlsafe_b64decode(key)) == 32
    assert audit.flower_seeds([key])[0] & 0x80808080 == 0


def test_two_keys_with_one_mask_can_be_written_down() -> None:
    one, two = bytes(32), b"\1\2\3\4" * 2 + bytes(24)
    masks = [audit.flower().pseudo_rand_gen(key, 1 << 32, [(20,)])[0] for key in (one, two)]
    np.testing.assert_array_equal(*masks)
    assert (keys.expand(one, 20, 32) != keys.expand(two, 20, 32)).all()


def test_the_same_test_finds_nothing_in_our_expansion() -> None:
    made = audit.random_keys(1 << 14, base64=False, seed=2)
    measured = audit.key_bits(audit.our_fingerprints(made))
    assert measured.collisions == 0
    assert measured.is_lower_bound
    assert measured.varying_bits == 64
    one = made[0]
    marks = audit.our_fingerprints(
        (int.from_bytes(one, "little") ^ 1 << bit).to_bytes(32, "little") for bit in range(256)
    )
    assert len({*marks.tolist(), *audit.our_fingerprints([one]).tolist()}) == 257


@pytest.mark.parametrize("bits", [10, 14])
def test_the_birthday_test_counts_masks_whose_number_is_known(bits: int) -> None:
    marks = np.random.default_rng(3).integers(0, 2**bits, 4000).astype(np.uint32)
    measured = audit.key_bits(marks)
    assert abs(measured.bits - bits) < 0.2
    assert measured.varying_bits == bits
    assert audit.key_bits(np.arange(100, dtype=np.uint64)).is_lower_bound
    with pytest.raises(TaskError, match="number of fingerprints=1"):
        audit.key_bits(marks[:1])


# --- a real round of Flower


@pytest.fixture(scope="module")
def vectors() -> dict[int, np.ndarray]:
    rng = np.random.default_rng(4)
    shared = rng.normal(0, 0.1, KNOWN)
    return {n: np.r_[shared, rng.normal(0, 0.1, 200)] for n in (11, 22, 33)}


@pytest.fixture(scope="module")
def finished(vectors: dict[int, np.ndarray]) -> FlowerRound:
    return flower_round(vectors, dropped=[33])


@pytest.fixture(scope="module")
def known(vectors: dict[int, np.ndarray]) -> np.ndarray:
    return known_quantised(vectors[11], np.arange(KNOWN + 200) < KNOWN)


def test_flowers_round_adds_up(vectors: dict[int, np.ndarray], finished: FlowerRound) -> None:
    """The masks of the two that stay cancel once those with the dropped one are off."""
    total = (finished.residue(11) + finished.residue(22)) % (1 << 32)
    assert total[0] == 2 * LARGEST
    mean = audit.flower().dequantize([total[1:] / 2], 8.0, LARGEST)[0]
    np.testing.assert_allclose(mean, (vectors[11] + vectors[22]) / 2, atol=4e-6)


@pytest.mark.parametrize("client", [11, 22])
def test_a_server_that_follows_the_protocol_reads_a_client_from_what_it_knows_of_it(
    client: int, vectors: dict[int, np.ndarray], finished: FlowerRound, known: np.ndarray
) -> None:
    """After one dropout of three, one mask of 28 bits is all that hides the other two."""
    residue, other = finished.residue(client), 33 - client
    assert ((residue > LARGEST).mean()) > 0.99  # it is masked
    seed = audit.seed_from_known_values(residue, known, LARGEST, added=client > other)
    assert seed is not None
    read = finished.unmasked(client, other, seed)
    np.testing.assert_allclose(read, vectors[client], atol=4e-6)


def test_the_same_seed_is_found_by_search_without_knowing_anything(
    finished: FlowerRound, known: np.ndarray
) -> None:
    residue = finished.residue(22)
    seed = audit.seed_from_known_values(residue, known, LARGEST, added=True)
    assert seed is not None
    place = base64_place(seed)
    start = max(0, place - 100_000)
    search = audit.search_seed(residue, LARGEST, added=True, start=start, stop=place + 1)
    assert search.seed == seed
    assert search.tried == place + 1 - start
    assert search.cpu_hours(28) == pytest.approx(2**28 / search.rate / 3600)
    missed = audit.search_seed(residue, LARGEST, added=True, start=place + 1, stop=place + 70_000)
    assert missed.seed is None


def test_with_a_colluding_client_in_place_of_the_dropout_it_is_the_same(
    vectors: dict[int, np.ndarray], known: np.ndarray
) -> None:
    complete = flower_round(vectors)
    seed = audit.seed_from_known_values(complete.residue(11, [33]), known, LARGEST, added=False)
    assert seed is not None
    np.testing.assert_allclose(complete.unmasked(11, 22, seed, [33]), vectors[11], atol=4e-6)
    # Two masks are left where nobody colludes, and this attack takes off one.
    assert audit.seed_from_known_values(complete.residue(11), known, LARGEST, added=False) is None


def test_the_same_attacks_on_our_mask_find_nothing(vectors: dict[int, np.ndarray]) -> None:
    chosen = SecureSettings(clip=8.0, value_bits=22, modulus_bits=32)
    steps = quantise(vectors[11], chosen)
    rng = np.random.default_rng(5)
    for _ in range(3):
        residue = steps.copy()
        keys.add_mask(residue, rng.bytes(32))
        seed = audit.seed_from_known_values(
            residue, steps.astype(float), chosen.largest_value, added=True
        )
        assert seed is None
        search = audit.search_seed(residue, chosen.largest_value, added=True, stop=1 << 17)
        assert search.seed is None


def test_what_cannot_be_attacked_or_run_is_named(vectors: dict[int, np.ndarray]) -> None:
    with pytest.raises(TaskError, match="4 coordinates"):
        audit.search_seed(np.zeros(4), LARGEST, added=True)
    with pytest.raises(TaskError, match="2 clients of which 0"):
        flower_round({1: vectors[11], 2: vectors[22]})
    with pytest.raises(TaskError, match="3 clients of which 2"):
        flower_round(vectors, dropped=[11, 22])


def test_importing_flower_for_the_audit_leaves_tensorflow_alone() -> None:
    import subprocess

    probe = (
        "import sys; from helpers.federated.secure import audit; audit.flower();"
        "print('tensorflow' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split()[-1] == "False"
