"""Messages that are wrong on purpose: each is refused by name, and nobody else suffers."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.errors import PrivacyError, TaskError
from helpers.federated.secure import (
    Client,
    SecureRound,
    SecureSettings,
    Server,
    decode,
    encode,
    secure_sum,
    shifted,
)
from helpers.federated.secure.messages import (
    Inbox,
    MaskedVector,
    Message,
    PublicKeys,
    Roster,
    SealedShares,
    Stage,
    UnmaskRequest,
    UnmaskShares,
)

N, D = 7, 20
ROWS = np.random.default_rng(0).uniform(-1, 1, (N, D))
KINDS: dict[Stage, type[Message]] = {
    "advertise": PublicKeys,
    "share": SealedShares,
    "mask": MaskedVector,
    "unmask": UnmaskShares,
}
Change = Callable[[bytes], bytes]


def sent_by_three(stage: Stage, change: Change, **arguments: object) -> SecureRound:
    """A round in which client 3 sends something else at one stage."""

    def tamper(at: Stage, client: int, raw: bytes) -> bytes:
        return change(raw) if at == stage and client == 3 else raw

    return secure_sum(ROWS, tamper=tamper, **arguments)  # type: ignore[arg-type]


def edited(stage: Stage, **changes: object) -> Change:
    """Change fields of a message; a function changes what is there."""

    def change(raw: bytes) -> bytes:
        message = decode(raw, KINDS[stage], round_number=1, limit=len(raw))
        new = {
            name: value(getattr(message, name)) if callable(value) else value
            for name, value in changes.items()
        }
        return encode(dataclasses.replace(message, **new))  # type: ignore[arg-type]

    return change


def without_one(entries: dict) -> dict:
    return dict(list(entries.items())[1:])


REFUSED: dict[str, tuple[Stage, Change, str]] = {
    "nothing": ("advertise", lambda raw: b"", "cut short"),
    "other bytes": ("share", lambda raw: b"\0" * len(raw), "this is something else"),
    "cut short": ("share", lambda raw: raw[:-1], "cut short"),
    "too long": ("unmask", lambda raw: raw + b"\0", "too many"),
    "oversized": ("mask", lambda raw: raw + bytes(10**6), "at most"),
    "another stage": ("mask", lambda raw: encode(PublicKeys(1, 3, b"a" * 32, b"b" * 32)), "Masked"),
    "another round": ("mask", edited("mask", round_number=2), "for round 2; round 1 is on"),
    "in another's name": ("mask", edited("mask", client=4), "in the name of another"),
    "a short vector": ("mask", edited("mask", packed=lambda p: p[:-3]), "A vector of 19 values"),
    "half a value": ("mask", edited("mask", packed=lambda p: p[:-1]), "whole number of 3-byte"),
    "a weak key": ("advertise", edited("advertise", mask_key=bytes(32)), "not a usable X25519"),
    "one key twice": (
        "advertise",
        edited("advertise", mask_key=b"k" * 32, share_key=b"k" * 32),
        "the same key",
    ),
    "too few shares": ("share", edited("share", sealed=without_one), "its neighbours"),
    "shares not asked for": (
        "unmask",
        edited("unmask", key_shares=lambda _: {5: bytes(33)}),
        "not those that were asked for",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_message_drops_its_sender_and_nobody_else(case: str) -> None:
    stage, change, named = REFUSED[case]
    finished = sent_by_three(stage, change)
    assert finished.dropped == {3: stage}
    (rejection,) = finished.rejected
    assert (rejection.stage, rejection.sender) == (stage, 3)
    assert named in rejection.reason
    stay = ROWS if stage == "unmask" else np.delete(ROWS, 3, axis=0)
    np.testing.assert_allclose(finished.mean, stay.mean(axis=0), atol=2e-5)


@settings(deadline=None, max_examples=50)
@given(st.sampled_from(sorted(KINDS)), st.data())
def test_no_bytes_whatever_crash_the_server(stage: Stage, data: st.DataObject) -> None:
    def change(raw: bytes) -> bytes:
        changed = bytearray(raw)
        for _ in range(data.draw(st.integers(1, 3))):
            changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
        return bytes(changed[: len(changed) - data.draw(st.sampled_from([0, 0, 0, 1, 40]))])

    try:
        reason, left = "", len(sent_by_three(stage, change).survivors)
    except (TaskError, PrivacyError) as error:
        reason, left = str(error), 0
    # Whoever gets a share that does not open stops, so a changed share key stops all neighbours and
    # the round may lose too many; a changed mask key, commitment or vector makes the sum worthless.
    known = ("out of range", "rebuild another secret", "clients are left", "cannot be rebuilt")
    assert left > N / 2 or any(words in reason for words in known)


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from([*KINDS.values(), Roster, Inbox, UnmaskRequest]))
def test_random_bytes_are_no_message(raw: bytes, kind: type[Message]) -> None:
    for candidate in (raw, b"SAg1" + bytes([kind.kind]) + (1).to_bytes(8, "little") + raw):
        try:
            message = decode(candidate, kind, round_number=1, limit=300)
        except TaskError:
            continue
        assert encode(message) == candidate


# --- towards the server


def joined(n: int = N) -> tuple[Server, list[Client], list[tuple[int, bytes]]]:
    chosen = SecureSettings()
    clients = [Client(number, D, chosen, 1) for number in range(n)]
    first = [(number, client.advertise()) for number, client in enumerate(clients)]
    return Server(range(n), D, chosen, 1), clients, first


def test_a_client_that_sends_twice_or_uninvited_counts_once() -> None:
    server, _, first = joined()
    again = Client(2, D, SecureSettings(), 1).advertise()
    stranger = Client(99, D, SecureSettings(), 1).advertise()
    rosters = server.advertised([*first, (2, again), (99, stranger)])
    assert set(rosters) == set(range(N))
    assert [r.sender for r in server.rejected] == [2, 99]
    assert "already sent" in server.rejected[0].reason
    assert "not waited for" in server.rejected[1].reason


def test_the_server_goes_through_its_stages_once_and_in_order() -> None:
    server, _, first = joined()
    with pytest.raises(TaskError, match="plan is known after"):
        server.shared([])
    server.advertised(first)
    with pytest.raises(TaskError, match="at stage 'share' of the round, not at 'advertise'"):
        server.advertised(first)
    with pytest.raises(TaskError, match="at stage 'share' of the round, not at 'mask'"):
        server.masked([])


def test_false_shares_are_found_out_and_others_used() -> None:
    def falsify(shares: dict[int, bytes]) -> dict[int, bytes]:
        return dict.fromkeys(shares, b"\1" * 32 + b"\0")

    finished = sent_by_three("unmask", edited("unmask", seed_shares=falsify))
    np.testing.assert_allclose(finished.mean, ROWS.mean(axis=0), atol=2e-5)
    all_needed = SecureSettings(threshold=1.0)
    with pytest.raises(TaskError, match="rebuild another secret than it advertised"):
        sent_by_three("unmask", edited("unmask", seed_shares=falsify), settings=all_needed)


def test_a_false_commitment_stops_the_round_with_its_clients_name() -> None:
    with pytest.raises(TaskError, match="self mask of client 3 rebuild another secret"):
        sent_by_three("share", edited("share", commitment=bytes(32)))


def test_masks_that_do_not_cancel_are_noticed() -> None:
    plan = SecureSettings().plan(N)
    noise = np.random.default_rng(0).integers(0, 2**24, D)
    with pytest.raises(TaskError, match="of 20 coordinates of the sum are out of range"):
        sent_by_three("mask", lambda raw: shifted(raw, noise, plan))


def test_a_value_out_of_range_is_not_noticed_while_the_sum_is_in_range() -> None:
    """What masking cannot do, said by a test."""
    chosen, rows = SecureSettings(), np.zeros((N, D))
    plan = chosen.plan(N)
    steps = int(2.5 * chosen.largest_value / 2)

    def tamper(stage: Stage, client: int, raw: bytes) -> bytes:
        return shifted(raw, steps, plan) if (stage, client) == ("mask", 3) else raw

    finished = secure_sum(rows, chosen, tamper=tamper)
    np.testing.assert_allclose(finished.total, 2.5, atol=1e-3)
    assert not finished.rejected


# --- towards a client


def before_unmasking() -> tuple[Client, UnmaskRequest]:
    server, clients, first = joined()
    rosters = server.advertised(first)
    inboxes = server.shared([(i, c.share_keys(rosters[i])) for i, c in enumerate(clients)])
    masked = [(i, c.mask(inboxes[i], ROWS[i])) for i, c in enumerate(clients) if i != 5]
    requests = server.masked(masked)
    asked = decode(requests[0], UnmaskRequest, round_number=1, limit=10**4)
    assert asked.dropped == (5,)
    return clients[0], asked


@pytest.mark.parametrize(
    ("changes", "error", "named"),
    [
        ({"dropped": (5, 1)}, PrivacyError, r"both kinds of shares of clients \[1\]"),
        ({"num_survivors": 3}, PrivacyError, "3 of 7 clients are left"),
        ({"survived": (1, 77)}, TaskError, r"holds no shares of \[77\]"),
        ({"round_number": 2}, TaskError, "for round 2; round 1 is on"),
        ({"client": 1}, TaskError, "for client 1 came to client 0"),
    ],
)
def test_a_client_refuses_what_would_give_it_away(
    changes: dict, error: type[Exception], named: str
) -> None:
    client, asked = before_unmasking()
    with pytest.raises(error, match=named):
        client.unmask(encode(dataclasses.replace(asked, **changes)))
    # It does not answer a better-looking request afterwards either.
    with pytest.raises(TaskError, match="the round is over"):
        client.unmask(encode(asked))


def test_a_client_answers_once() -> None:
    client, asked = before_unmasking()
    answer = decode(client.unmask(encode(asked)), UnmaskShares, round_number=1, limit=10**4)
    assert set(answer.seed_shares) == {1, 2, 3, 4, 6}
    assert set(answer.key_shares) == {5}
    other_kind = dataclasses.replace(asked, survived=(), dropped=(1, 2))
    with pytest.raises(TaskError, match="the round is over"):
        client.unmask(encode(other_kind))


def test_shares_replayed_from_another_round_or_changed_are_not_authentic() -> None:
    server, clients, first = joined()
    rosters = server.advertised(first)
    own = clients[1].share_keys(rosters[1])
    old_server, old_clients, old_first = joined()
    old_rosters = old_server.advertised(old_first)
    old = decode(
        old_clients[1].share_keys(old_rosters[1]), SealedShares, round_number=1, limit=10**4
    )
    fresh = decode(own, SealedShares, round_number=1, limit=10**4)
    clients[0].share_keys(rosters[0])
    sealed = {c: bytes(82) for c in range(2, N)} | {1: old.sealed[0]}
    with pytest.raises(TaskError, match="from client 1 for client 0 in round 1 are not authentic"):
        clients[0].mask(encode(Inbox(1, 0, {1: old.sealed[0], **sealed})), ROWS[0])
    clients[2].share_keys(rosters[2])
    swapped = {1: fresh.sealed[0]} | {c: bytes(82) for c in (0, 3, 4, 5, 6)}
    with pytest.raises(TaskError, match="from client 1 for client 2"):
        clients[2].mask(encode(Inbox(1, 2, swapped)), ROWS[2])


def test_a_client_checks_its_roster() -> None:
    server, _, first = joined()
    rosters = server.advertised(first)
    good = decode(rosters[0], Roster, round_number=1, limit=10**4)
    one, two = good.neighbours[1], good.neighbours[2]
    wrong = {
        "agreed on": {"neighbours": {1: one, 2: two}},
        "5 neighbours|agreed on": {"neighbours": without_one(good.neighbours)},
        "public key twice": {"neighbours": good.neighbours | {1: two}},
        "num_clients=1": {"num_clients": 1},
        "for client 4": {"client": 4},
    }
    for named, changes in wrong.items():
        client = Client(0, D, SecureSettings(), 1)
        client.advertise()
        with pytest.raises(TaskError, match=named):
            client.share_keys(encode(dataclasses.replace(good, **changes)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("vector", "named"),
    [
        (np.full(D, np.nan), "Coordinate 0 of the vector is nan"),
        (np.zeros(D + 1), r"shape \(21,\), not \(20,\)"),
    ],
)
def test_a_client_masks_no_nan_and_no_other_length(vector: np.ndarray, named: str) -> None:
    server, clients, first = joined()
    rosters = server.advertised(first)
    inboxes = server.shared([(i, c.share_keys(rosters[i])) for i, c in enumerate(clients)])
    with pytest.raises(TaskError, match=named):
        clients[0].mask(inboxes[0], vector)


def test_one_client_of_nan_drops_out_and_the_others_go_on() -> None:
    rows = ROWS.copy()
    rows[2, 7] = np.inf
    finished = secure_sum(rows)
    assert "Coordinate 7 of the vector is inf" in finished.failed[2]
    assert finished.dropped == {2: "mask"}
    np.testing.assert_allclose(finished.mean, np.delete(ROWS, 2, 0).mean(axis=0), atol=2e-5)


def test_a_client_goes_through_its_stages_in_order() -> None:
    client = Client(0, D, SecureSettings(), 1)
    with pytest.raises(TaskError, match=r"asked for stage 'mask'.*'advertise' is due"):
        client.mask(b"", ROWS[0])
    client.advertise()
    with pytest.raises(TaskError, match="stage 'share' is due"):
        client.advertise()
    with pytest.raises(TaskError, match="bytes are needed"):
        client.share_keys("text")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((-1, D, SecureSettings(), 1), "client=-1"),
        ((2**32, D, SecureSettings(), 1), "at most"),
        ((0, 0, SecureSettings(), 1), "num_values=0"),
        ((0, D, SecureSettings(), 1.5), "round_number=1.5"),
    ],
)
def test_a_client_that_cannot_be_is_named(arguments: tuple, named: str) -> None:
    with pytest.raises(TaskError, match=named):
        Client(*arguments)
