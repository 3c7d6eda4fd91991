"""Whole rounds of masking: the sum, dropouts, and what the server can and cannot see."""

import socket
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from helpers.errors import EdgesecError, PrivacyError, TaskError
from helpers.federated.secure import (
    Client,
    SecureRound,
    SecureSettings,
    Server,
    keys,
    quantise,
    secure_sum,
)
from helpers.federated.secure.messages import STAGES, Stage


def drawn(seed: int, n: int, d: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1.2, 1.2, (n, d)).astype(np.float32)


def exact_sum(rows: np.ndarray, chosen: SecureSettings) -> np.ndarray:
    """The sum of quantised vectors in Python's unbounded integers."""
    return np.sum([quantise(row, chosen).astype(object) for row in rows], axis=0)


def require_true_sum(finished: SecureRound, rows: np.ndarray) -> None:
    stay = rows[list(finished.survivors)]
    chosen = finished.settings
    assert finished.view.quantised_sum.tolist() == exact_sum(stay, chosen).tolist()
    clipped = np.clip(stay.astype(np.float64), -chosen.clip, chosen.clip)
    assert np.abs(finished.mean - clipped.mean(axis=0)).max() <= chosen.error_bound * (1 + 1e-9)


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 9), st.integers(1, 40), st.integers(2, 24), st.floats(0.1, 2), st.booleans())
def test_the_sum_is_exact_and_the_mean_within_the_bound(
    n: int, d: int, bits: int, clip: float, sparse: bool
) -> None:
    chosen = SecureSettings(clip=clip, value_bits=bits, num_neighbours=4 if sparse else None)
    rows = drawn(n * d, n, d)
    finished = secure_sum(rows, chosen)
    assert finished.survivors == tuple(range(n))
    require_true_sum(finished, rows)


@settings(deadline=None, max_examples=30)
@given(
    st.dictionaries(st.integers(0, 8), st.sampled_from(STAGES), max_size=5),
    st.sampled_from([None, 6]),
)
def test_a_round_with_dropouts_gives_the_sum_of_the_rest_or_says_why_not(
    dropouts: dict[int, Stage], neighbours: int | None
) -> None:
    rows = drawn(3, 9, 12)
    chosen = SecureSettings(num_neighbours=neighbours)
    try:
        finished = secure_sum(rows, chosen, dropouts=dropouts, seed=1)
    except EdgesecError:
        finished = None
    if finished is None:
        assert len(dropouts) >= 3  # two of nine are always recovered from
        return
    gone = {client for client, stage in dropouts.items() if stage != "unmask"}
    assert set(finished.survivors) == set(range(9)) - gone
    assert finished.dropped == dropouts
    assert not finished.failed
    assert not finished.rejected
    require_true_sum(finished, rows)


@pytest.mark.parametrize("stage", STAGES)
def test_the_round_is_refused_below_the_threshold_of_each_stage(stage: Stage) -> None:
    rows, dropouts = drawn(4, 9, 5), dict.fromkeys(range(5), stage)
    expected = TaskError if stage == "unmask" else PrivacyError
    if stage == "advertise":
        # Whoever has not started does not count: the others are a round of their own.
        assert secure_sum(rows, dropouts=dropouts).survivors == (5, 6, 7, 8)
        dropouts = dict.fromkeys(range(8), stage)
    with pytest.raises(expected, match=r"clients are left|cannot be rebuilt|sent their keys"):
        secure_sum(rows, dropouts=dropouts)


def test_extreme_values_add_up_without_wrapping_around() -> None:
    for bits in (2, 16, 32):
        chosen = SecureSettings(clip=2.0, value_bits=bits, guard_bits=0)
        rows = np.tile([9.0, -9.0], (7, 1))
        finished = secure_sum(rows, chosen)
        np.testing.assert_allclose(finished.total, [14.0, -14.0], rtol=1e-12)


def test_the_sum_does_not_depend_on_the_keys_and_a_seed_repeats_them() -> None:
    rows = drawn(5, 5, 30)
    one, two = secure_sum(rows, seed=1), secure_sum(rows, seed=1)
    other, real = secure_sum(rows, seed=2), secure_sum(rows)
    for finished in (two, other, real):
        np.testing.assert_array_equal(finished.total, one.total)
    np.testing.assert_array_equal(one.view.masked[0], two.view.masked[0])
    assert (one.view.masked[0] != other.view.masked[0]).any()
    assert (one.view.masked[0] != real.view.masked[0]).any()


def test_the_server_never_gets_both_kinds_of_shares_of_one_client() -> None:
    dropouts: dict[int, Stage] = {1: "mask", 4: "mask", 6: "unmask", 8: "share"}
    chosen = SecureSettings(num_neighbours=12, threshold=0.51)
    view = secure_sum(drawn(6, 14, 9), chosen, dropouts=dropouts).view
    seen: dict[int, set[str]] = {}
    for (_, owner), kind in view.shares.items():
        seen.setdefault(owner, set()).add(kind)
    assert seen.pop(1) == seen.pop(4) == {"key"}
    assert 8 not in seen
    assert all(kinds == {"seed"} for kinds in seen.values())


def test_masked_vectors_look_uniform_even_with_the_self_mask_off() -> None:
    """A constant vector, and everything the server rebuilds in an honest round."""
    rows = np.full((4, 20_000), 0.25)
    finished = secure_sum(rows, SecureSettings(), seed=3)
    seeds = {
        number: Client(
            number, 1, SecureSettings(), 1, random_bytes=keys.teaching_bytes(3, number + 1)
        )._seed
        for number in range(4)
    }
    total = np.zeros(20_000, np.uint32)
    for number, words in finished.view.masked.items():
        bare = words.copy()
        keys.add_mask(bare, keys.self_mask_key(seeds[number], 1, number), subtract=True)
        total += bare
        for seen in (words, bare):
            counts = np.bincount((seen & 0xFFFFFF) >> 16, minlength=256)
            assert chisquare(counts).pvalue > 1e-6
    # Without self masks the pairwise ones cancel in the sum, and there only.
    assert set((total & 0xFFFFFF).tolist()) == {int(finished.view.quantised_sum[0])}


def test_what_the_server_sees_is_kept_step_by_step() -> None:
    rows = drawn(7, 6, 25)
    finished = secure_sum(rows, SecureSettings(num_neighbours=4), dropouts={2: "mask"})
    view, plan = finished.view, finished.plan
    assert set(view.public_keys) == set(range(6))
    assert set(view.sealed) == {(a, b) for a, others in view.neighbours.items() for b in others}
    assert set(view.masked) == {0, 1, 3, 4, 5}
    added = sum(words.astype(object) for words in view.masked.values())
    assert (added % 2**plan.modulus_bits == view.masked_sum).all()
    pictures = finished.pictures(3, slice(0, 16))
    assert [values.shape for values in pictures.values()] == [(16,)] * 3
    with pytest.raises(TaskError, match="no vector of client 2"):
        finished.pictures(2)
    unseen = secure_sum(rows, keep_view=False)
    assert not unseen.view.masked


def test_bytes_are_those_on_the_wire() -> None:
    sizes: dict[tuple[Stage, int], int] = {}

    def watch(stage: Stage, client: int, raw: bytes) -> bytes:
        sizes[stage, client] = len(raw)
        return raw

    finished = secure_sum(drawn(8, 10, 1000), tamper=watch)
    for stage in STAGES:
        assert finished.bytes_up[stage] == {c: sizes[stage, c] for c in range(10)}
        assert finished.bytes_per_client()[stage] == np.mean([sizes[stage, c] for c in range(10)])
    # Three bytes a value and a short header.
    assert 3000 < sizes["mask", 0] < 3050


def test_clients_of_any_number_take_part() -> None:
    rows = drawn(9, 4, 6)
    finished = secure_sum(rows, clients=[70, 3, 4_000_000_000, 12])
    assert finished.survivors == (70, 3, 4_000_000_000, 12)
    np.testing.assert_allclose(finished.mean, np.clip(rows, -1, 1).mean(axis=0), atol=2e-5)


def test_the_same_classes_run_over_sockets() -> None:
    """Each client a thread with a TCP connection of its own; one hangs up after its shares."""
    n, d, chosen = 5, 300, SecureSettings()
    rows = drawn(10, n, d)
    listener = socket.create_server(("127.0.0.1", 0))

    def send(stream: socket.socket, raw: bytes) -> None:
        stream.sendall(len(raw).to_bytes(4, "little") + raw)

    def receive(stream: socket.socket) -> bytes:
        def exactly(count: int) -> bytes:
            found = b""
            while len(found) < count and (more := stream.recv(count - len(found))):
                found += more
            return found

        return exactly(int.from_bytes(exactly(4), "little"))

    def client(number: int) -> None:
        with socket.create_connection(listener.getsockname()) as stream:
            me = Client(number, d, chosen, 1)
            send(stream, number.to_bytes(4, "little"))
            send(stream, me.advertise())
            send(stream, me.share_keys(receive(stream)))
            inbox = receive(stream)
            if number == 2:
                return
            send(stream, me.mask(inbox, rows[number]))
            send(stream, me.unmask(receive(stream)))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(n)]
    for thread in threads:
        thread.start()
    lines = {}
    for _ in range(n):
        stream, _ = listener.accept()
        stream.settimeout(60)
        lines[int.from_bytes(receive(stream), "little")] = stream
    server = Server(range(n), d, chosen, 1)

    def collect(answers: dict[int, bytes]) -> list[tuple[int, bytes]]:
        for number, raw in answers.items():
            send(lines[number], raw)
        return [(number, raw) for number in answers if (raw := receive(lines[number]))]

    first = [(number, receive(stream)) for number, stream in lines.items()]
    shares = collect(server.advertised(first))
    masked = collect(server.shared(shares))
    total = server.unmasked(collect(server.masked(masked)))
    for thread in threads:
        thread.join(timeout=60)
    for stream in [*lines.values(), listener]:
        stream.close()
    assert server.dropped == {2: "mask"}
    expected = np.clip(rows[[0, 1, 3, 4]], -1, 1).sum(axis=0)
    assert np.abs(total - expected).max() <= 4 * chosen.error_bound * (1 + 1e-6)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"dropouts": {9: "mask"}}, r"dropouts=\{9: 'mask'\}"),
        ({"dropouts": {1: "masks"}}, "advertise, share, mask, unmask"),
        ({"clients": [0, 1]}, "2 clients for 4 vectors"),
        ({"clients": [0, 1, 1, 2]}, "distinct"),
        ({"clients": [0, 1, 2, 2**32]}, "at most"),
        ({"round_number": -1}, "round_number=-1"),
        ({"settings": SecureSettings(min_survivors=5)}, "min_survivors=5"),
    ],
)
def test_arguments_that_make_no_round_are_named(arguments: dict, named: str) -> None:
    with pytest.raises(TaskError, match=named):
        secure_sum(drawn(0, 4, 3), **arguments)
