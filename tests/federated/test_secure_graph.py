"""The ring of neighbours, and its risks against enumeration and simulation."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from helpers.errors import TaskError
from helpers.federated.secure import SecureSettings, choose_graph, graph_risk, ring_of_neighbours


def matrix(graph: dict[int, tuple[int, ...]]) -> np.ndarray:
    places = {client: place for place, client in enumerate(graph)}
    found = np.zeros((len(graph), len(graph)), bool)
    for client, others in graph.items():
        found[places[client], [places[other] for other in others]] = True
    return found


@settings(deadline=None)
@given(st.integers(3, 30), st.integers(1, 14), st.integers(0, 99))
def test_neighbours_are_mutual_equally_many_and_all_connected(n: int, half: int, seed: int) -> None:
    k = min(2 * half, n - 1)
    clients = (np.arange(n) * 7 + 3).tolist()
    graph = ring_of_neighbours(clients, k, np.random.default_rng(seed))
    adjacent = matrix(graph)
    assert sorted(graph) == sorted(clients)
    assert (adjacent.sum(axis=1) == k).all()
    assert (adjacent == adjacent.T).all()
    assert not adjacent.diagonal().any()
    assert connected_components(csr_matrix(adjacent))[0] == 1


def test_the_seats_are_random() -> None:
    rng = np.random.default_rng(0)
    pairs = [0 in ring_of_neighbours(range(11), 4, rng)[1] for _ in range(2000)]
    # Four of the ten others: 0.4, give or take 5 standard deviations.
    assert abs(np.mean(pairs) - 0.4) < 5 * np.sqrt(0.24 / 2000)


def test_the_bound_on_falling_apart_holds_for_every_set_of_removed_clients() -> None:
    for n, k, removed in ((10, 4, 5), (9, 2, 4), (11, 4, 7), (8, 7, 5)):
        adjacent = matrix(ring_of_neighbours(range(n), k, np.random.default_rng(1)))
        apart = []
        for gone in combinations(range(n), removed):
            stay = np.setdiff1d(np.arange(n), gone)
            parts = connected_components(csr_matrix(adjacent[np.ix_(stay, stay)]))[0]
            apart.append(parts > 1)
        bound = graph_risk(n, k, k, 0.0, removed / n).disconnected
        exact = float(np.mean(apart))
        assert exact <= bound + 1e-12
        assert bound <= 4 * exact + 1e-12  # and is no empty promise


def test_the_other_bounds_hold_in_simulation_and_are_not_idle() -> None:
    n, k, t = 40, 8, 6
    rng = np.random.default_rng(2)
    lost, exposed, rounds = 0, 0, 4000
    adjacent = matrix(ring_of_neighbours(range(n), k, rng)).astype(int)
    for _ in range(rounds):
        order = rng.permutation(n)
        dropped, corrupt = np.zeros(n, bool), np.zeros(n, bool)
        dropped[order[:4]], corrupt[order[4:14]] = True, True
        lost += bool((adjacent @ ~dropped < t).any())
        exposed += bool((adjacent @ corrupt >= t)[~corrupt].any())
    risk = graph_risk(n, k, t, corrupt=10 / n, dropout=4 / n)
    noise = 5 / np.sqrt(rounds)
    for seen, bound in ((lost, risk.lost_recovery), (exposed, risk.exposed_secret)):
        assert 0 < seen / rounds <= bound + noise
        assert bound <= 4 * seen / rounds + noise


@pytest.mark.parametrize("n", [10, 100, 1000])
def test_the_chosen_graph_keeps_the_risks_and_none_sparser_does(n: int) -> None:
    chosen = choose_graph(n, corrupt=0.1, dropout=0.1)
    plan = chosen.plan(n)
    risk = graph_risk(n, plan.num_neighbours, plan.num_shares_needed, 0.1, 0.1)
    assert risk.exposed_secret + risk.disconnected <= 2**-40
    assert risk.lost_recovery <= 2**-20
    sparser = plan.num_neighbours - 2
    for t in range(sparser // 2 + 1, sparser + 1):
        risk = graph_risk(n, sparser, t, 0.1, 0.1)
        assert risk.exposed_secret + risk.disconnected > 2**-40 or risk.lost_recovery > 2**-20


def test_neighbours_grow_far_slower_than_clients() -> None:
    ks = [choose_graph(n).plan(n).num_neighbours for n in (100, 1000, 10_000)]
    assert ks[2] - ks[1] <= ks[1] - ks[0]
    assert ks[2] < 100


def test_all_pairs_are_taken_where_no_sparse_graph_is_safe() -> None:
    assert choose_graph(12, corrupt=1 / 2, dropout=1 / 3).num_neighbours is None
    with pytest.raises(TaskError, match="no threshold"):
        choose_graph(30, corrupt=0.5, dropout=0.5)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: ring_of_neighbours(range(9), 3, np.random.default_rng(0)), "=3 must be even"),
        (lambda: ring_of_neighbours(range(4), 4, np.random.default_rng(0)), "has 3 others"),
        (lambda: graph_risk(10, 4, 5, 0.1, 0.1), "num_shares_needed=5"),
        (lambda: graph_risk(10, 4, 3, 1.0, 0.1), "corrupt=1.0"),
        (lambda: choose_graph(10, privacy_bits=0), "privacy_bits=0"),
    ],
)
def test_impossible_graphs_are_named(call, named: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(TaskError, match=named):
        call()


def test_settings_with_more_neighbours_than_others_take_all() -> None:
    assert SecureSettings(num_neighbours=20).plan(6).num_neighbours == 5
