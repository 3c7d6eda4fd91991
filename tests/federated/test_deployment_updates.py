"""What the server lets into the average, and what it does not."""

import io
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.federated.deployment import Member, RejectedUpdate, SignedUpdate, Ticket, UpdateGate
from helpers.federated.deployment.updates import pack

SHAPES = [(3, 2), (2,)]
KEYS = {node: ec.generate_private_key(ec.SECP384R1()) for node in (11, 12)}
NOW: dict[str, Any] = {"run_id": 5, "round_number": 2, "challenge": b"n" * 32}


def members() -> dict[int, Member]:
    return {
        node: Member(node - 11, f"hospital-{node - 10}", key.public_key(), 20)
        for node, key in KEYS.items()
    }


@pytest.fixture
def gate() -> UpdateGate:
    """A gate in round 2 of run 5, which was in round 1 before."""
    gate = UpdateGate(SHAPES)
    gate.open_round(5, 1, b"o" * 32, members())
    gate.open_round(**NOW, members=members())
    return gate


def update(node: int = 11, signer: int | None = None, **changes: Any) -> SignedUpdate:
    """An update that is in order, but for the changes; signed after them."""
    ticket = Ticket(node_id=node, **NOW)._replace(
        **{k: v for k, v in changes.items() if k in Ticket._fields}
    )
    arrays = changes.get("arrays", [np.full(shape, node, np.float32) for shape in SHAPES])
    packed = arrays if isinstance(arrays, dict) else pack(arrays)
    made = SignedUpdate(ticket, packed, 20, 0.5)
    made = replace(
        made, **{k: v for k, v in changes.items() if k in ("num_examples", "train_loss")}
    )
    return made.signed_by(KEYS[signer or node])


def refusal(gate: UpdateGate, sender: int, sent: SignedUpdate) -> str:
    with pytest.raises(RejectedUpdate) as caught:
        gate.admit(sender, sent)
    return caught.value.reason


def test_an_update_in_order_is_let_in_unchanged(gate: UpdateGate) -> None:
    admitted = gate.admit(12, update(12))
    assert (admitted.client, admitted.train_loss) == (1, 0.5)
    for weights, shape in zip(admitted.weights, SHAPES, strict=True):
        np.testing.assert_array_equal(weights, np.full(shape, 12, np.float32))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: update(round_number=1, challenge=b"o" * 32), "replayed"),
        (lambda: update(challenge=b"x" * 32), "replayed"),
        (lambda: update(round_number=3), "wrong round"),
        (lambda: update(run_id=4), "wrong run"),
        (lambda: update(node_id=12), "wrong node"),
        (lambda: update(signer=12), "bad signature"),
        (lambda: update(num_examples=2_000), "wrong count"),
        (lambda: update(train_loss=math.nan), "not finite"),
        (lambda: update(train_loss=1e308), "wrong loss"),
        (lambda: update(train_loss=-0.5), "wrong loss"),
        (lambda: update(arrays=[np.full(s, np.nan, np.float32) for s in SHAPES]), "not finite"),
        (lambda: update(arrays=[np.full(s, -np.inf, np.float32) for s in SHAPES]), "not finite"),
        (lambda: update(arrays=[np.zeros((2, 3), np.float32), np.zeros(2, np.float32)]),
         "wrong shape"),
        (lambda: update(arrays=[np.zeros(s, np.float64) for s in SHAPES]), "wrong shape"),
        (lambda: update(arrays=[np.zeros(s, ">f4") for s in SHAPES]), "wrong shape"),
        (lambda: update(arrays=[np.zeros(SHAPES[0], np.float32)]), "wrong shape"),
        (lambda: update(arrays=[np.zeros(100_000, np.float32), np.zeros(2, np.float32)]),
         "oversized"),
        (lambda: update(arrays={"0": b"not an array", "1": b""}), "malformed"),
    ],
)  # fmt: skip
def test_an_update_out_of_order_is_refused_and_says_why(
    gate: UpdateGate, make: Callable[[], SignedUpdate], reason: str
) -> None:
    assert refusal(gate, 11, make()) == reason
    assert gate.admit(11, update()).client == 0, "a refused update must not use up the turn"


def test_a_node_that_is_not_in_the_round_is_refused(gate: UpdateGate) -> None:
    assert refusal(gate, 13, update()) == "unknown node"


def test_one_node_counts_once(gate: UpdateGate) -> None:
    gate.admit(11, update())
    assert refusal(gate, 11, update()) == "duplicate"
    gate.admit(12, update(12))


def test_a_replay_stays_refused_after_the_server_was_restarted() -> None:
    """A new server knows no old challenge, but it draws a new one and has a new run."""
    gate = UpdateGate(SHAPES)
    gate.open_round(6, 2, b"m" * 32, members())
    assert refusal(gate, 11, update()) == "wrong run"
    assert refusal(gate, 11, update(run_id=6)) == "replayed"


def test_another_attempt_at_the_same_round_refuses_the_first_ones_updates(
    gate: UpdateGate,
) -> None:
    gate.open_round(5, 2, b"second attempt".ljust(32), members())
    assert refusal(gate, 11, update()) == "replayed"


@pytest.mark.parametrize(
    "tamper",
    [
        lambda u: replace(u, num_examples=21),
        lambda u: replace(u, train_loss=0.25),
        lambda u: replace(u, arrays=pack([np.ones(s, np.float32) for s in SHAPES])),
        lambda u: replace(u, arrays=dict(zip("10", u.arrays.values(), strict=True))),
        lambda u: replace(u, signature=u.signature[:-1]),
        lambda u: replace(u, signature=b""),
    ],
)
def test_the_signature_covers_every_part(
    gate: UpdateGate, tamper: Callable[[SignedUpdate], SignedUpdate]
) -> None:
    assert refusal(gate, 11, tamper(update())) == "bad signature"


def test_a_header_that_claims_terabytes_allocates_nothing(gate: UpdateGate) -> None:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": "<f4", "fortran_order": False, "shape": (10**13,)}
    )
    sent = update(arrays={"0": buffer.getvalue(), "1": pack([np.zeros(2, np.float32)])["0"]})
    assert refusal(gate, 11, sent) == "wrong shape"


@given(st.binary(max_size=300), st.binary(max_size=300))
@settings(max_examples=150, deadline=None)
def test_whatever_a_member_signs_the_gate_answers_with_a_reason(one: bytes, two: bytes) -> None:
    """A member's own key gets anything past the signature; the parser must survive it."""
    gate = UpdateGate(SHAPES)
    gate.open_round(**NOW, members=members())
    good = pack([np.zeros(SHAPES[0], np.float32)])["0"]
    assert refusal(gate, 11, update(arrays={"0": one, "1": two})) in ("malformed", "wrong shape")
    assert refusal(gate, 11, update(arrays={"0": good[:10] + one, "1": two})) in (
        "malformed",
        "wrong shape",
    )


def test_arrays_in_fortran_order_keep_their_values(gate: UpdateGate) -> None:
    kernel = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(3, 2))
    admitted = gate.admit(11, update(arrays=[kernel, np.zeros(2, np.float32)]))
    np.testing.assert_array_equal(admitted.weights[0], kernel)
