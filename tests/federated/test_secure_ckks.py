"""Sums under CKKS: error against its model, sizes, who can decrypt, and what is refused."""

import numpy as np
import pytest

from helpers.errors import PrivacyError, TaskError
from helpers.federated.secure import ckks

ROWS = np.random.default_rng(0).uniform(-1, 1, (4, 9000))


@pytest.mark.parametrize("name", [*ckks.PRESETS, "often copied"])
def test_the_error_is_what_the_noise_model_says(name: str) -> None:
    chosen = ckks.PRESETS.get(name, ckks.OFTEN_COPIED)
    finished = ckks.ckks_sum(ROWS, chosen, allow_unsound=True)
    expected = chosen.expected_error / np.sqrt(len(ROWS))
    assert 0.7 * expected < finished.typical_error < 1.4 * expected
    assert finished.largest_error < 30 * expected
    np.testing.assert_allclose(finished.total, ROWS.sum(axis=0), atol=100 * expected)


def test_encrypting_with_a_public_key_costs_precision_and_no_secret() -> None:
    secret = ckks.PRESETS["compact"]
    public = ckks.CkksParameters(4096, (54, 55), 40, public_key=True)
    assert public.expected_error > 3 * secret.expected_error
    made = ckks.make_keys(public, num_clients=2, largest_value=1)
    sealed = [ckks.encrypt(made, row) for row in ROWS[:2]]
    total = ckks.add(made.server, sealed)
    for nobody in (made.server, made.client):
        with pytest.raises(PrivacyError, match="holds no secret key"):
            ckks.decrypt(nobody, total)
    np.testing.assert_allclose(ckks.decrypt(made.holder, total), ROWS[:2].sum(axis=0), atol=1e-7)


def test_the_server_adds_without_a_key_and_any_client_can_decrypt() -> None:
    made = ckks.make_keys("compact", num_clients=2, largest_value=1)
    sealed = [ckks.encrypt(made, row) for row in ROWS[:2]]
    assert len(made.server) < 200 < len(made.client)
    with pytest.raises(PrivacyError, match="holds no secret key"):
        ckks.decrypt(made.server, sealed[0])
    # The secret key is shared, and so one client reads another's vector.
    np.testing.assert_allclose(ckks.decrypt(made.client, sealed[1]), ROWS[1], atol=1e-7)


@pytest.mark.parametrize("size", [1, 2047, 2048, 2049, 5000])
def test_vectors_of_any_length_are_cut_into_ciphertexts(size: int) -> None:
    rows = ROWS[:2, :size]
    finished = ckks.ckks_sum(rows, "small")
    assert finished.total.shape == (size,)
    np.testing.assert_allclose(finished.total, rows.sum(axis=0), atol=3e-4)
    made = ckks.make_keys("small", num_clients=2, largest_value=1)
    assert len(ckks.encrypt(made, rows[0])) == -(-size // 2048)


def test_a_ciphertext_is_many_times_the_vector_and_presets_keep_their_order() -> None:
    sizes = {name: ckks.ckks_sum(ROWS[:1, :8192], name).bytes_up for name in ckks.PRESETS}
    assert sizes["small"] < sizes["compact"] < sizes["roomy"]
    assert 4 < sizes["small"] / (4 * 8192) < 8


@pytest.mark.parametrize(
    ("parameters", "clients", "largest", "named"),
    [
        (ckks.OFTEN_COPIED, 10, 1.0, "not precise: scale_bits=20"),
        (ckks.CkksParameters(4096, (55, 55), 40), 3, 1.0, "has 110 bits.*allows 109"),
        (ckks.CkksParameters(8192, (60, 60, 60, 60), 40), 3, 1.0, "has 240 bits.*allows 218"),
        (ckks.CkksParameters(4096, (54, 55), 52), 3, 1.0, "overflow: the sum needs 55 bits"),
        ("small", 10_000, 10.0, "overflow: the sum needs 42 bits"),
        ("tiny", 3, 1.0, "'tiny' is no preset"),
    ],
)
def test_unsound_parameters_are_refused_by_their_bound(
    parameters: ckks.CkksParameters | str, clients: int, largest: float, named: str
) -> None:
    with pytest.raises(TaskError, match=named):
        ckks.make_keys(parameters, num_clients=clients, largest_value=largest)


def test_the_bounds_are_the_ones_that_seal_enforces() -> None:
    """SEAL refuses more bits than the same table allows: one bit over fails, the table's passes."""
    import tenseal

    def accepted(degree: int, bits: list[int]) -> bool:
        try:
            tenseal.context(
                tenseal.SCHEME_TYPE.CKKS, poly_modulus_degree=degree, coeff_mod_bit_sizes=bits
            )
        except ValueError:
            return False
        return True

    for degree in (2048, 4096, 8192):
        bound, count = ckks.SECURITY_BOUND[degree], {2048: 2, 4096: 2, 8192: 4}[degree]
        bits = [bound // count] * count
        bits[-1] += bound - sum(bits)
        assert accepted(degree, bits)
        bits[0] += 1
        assert not accepted(degree, bits)


@pytest.mark.parametrize("damage", ["empty", "cut", "longer", "zeros", "other scheme"])
def test_what_is_no_ciphertext_is_refused(damage: str) -> None:
    made = ckks.make_keys("small", num_clients=2, largest_value=1)
    (good,) = ckks.encrypt(made, ROWS[0, :100])
    other = ckks.make_keys("roomy", num_clients=2, largest_value=1)
    bad = {
        "empty": b"",
        "cut": good[: len(good) // 2],
        "longer": good + b"zz",
        "zeros": bytes(len(good)),
        "other scheme": ckks.encrypt(other, ROWS[0, :100])[0],
    }[damage]
    with pytest.raises(TaskError, match=r"no ciphertext|holds 0 values"):
        ckks.add(made.server, [[good], [bad]])


def test_vectors_that_do_not_match_are_refused() -> None:
    made = ckks.make_keys("small", num_clients=2, largest_value=1)
    long, short = ckks.encrypt(made, ROWS[0, :3000]), ckks.encrypt(made, ROWS[0, :100])
    with pytest.raises(TaskError, match=r"Vectors of \[1, 2\] ciphertexts"):
        ckks.add(made.server, [long, short])
    with pytest.raises(TaskError, match="holds 100 values, not 2048"):
        ckks.add(made.server, [long[:1], short])
    with pytest.raises(TaskError, match="Coordinate 1 of the vector is nan"):
        ckks.encrypt(made, np.array([0.0, np.nan]))
    with pytest.raises(TaskError, match="no CKKS context"):
        ckks.add(b"nothing", [short])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((5000, (40, 40), 30), "poly_modulus_degree=5000"),
        ((4096, (40,), 30), "a prime for data and one for keys"),
        ((4096, (40, 1), 30), "coeff_modulus_bits=1"),
        ((4096, (40, 40), 0), "scale_bits=0"),
    ],
)
def test_parameters_that_make_no_sense_are_named(arguments: tuple, named: str) -> None:
    with pytest.raises(TaskError, match=named):
        ckks.CkksParameters(*arguments)
