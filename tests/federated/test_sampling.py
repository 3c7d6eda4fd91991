"""Who takes part, and in which order examples are seen."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from helpers.federated import client_batches, sample_clients
from helpers.federated.sampling import poisson_clients

SEEDS = st.integers(0, 2**40)


@given(seed=SEEDS, round_number=st.integers(1, 10_000), total=st.integers(1, 60), data=st.data())
def test_a_round_has_the_asked_number_of_distinct_clients(
    seed: int, round_number: int, total: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, total))
    chosen = sample_clients(seed, round_number, total, count)
    assert len(set(chosen.tolist())) == count
    assert chosen.min() >= 0
    assert chosen.max() < total


@given(
    seed=SEEDS,
    client=st.integers(0, 1000),
    examples=st.integers(1, 80),
    batch=st.integers(1, 30),
    epochs=st.integers(1, 3),
)
def test_each_epoch_shows_every_example_exactly_once(
    seed: int, client: int, examples: int, batch: int, epochs: int
) -> None:
    batches = client_batches(seed, 1, client, examples, batch, epochs)
    per_epoch = -(-examples // batch)
    assert len(batches) == epochs * per_epoch
    for epoch in range(epochs):
        seen = np.concatenate(batches[epoch * per_epoch : (epoch + 1) * per_epoch])
        assert sorted(seen) == list(range(examples))
    assert all(1 <= len(b) <= batch for b in batches)


@given(seed=SEEDS, round_number=st.integers(1, 1000))
def test_rounds_can_be_asked_in_any_order(seed: int, round_number: int) -> None:
    def both(number: int) -> list[int]:
        order = client_batches(seed, number, 3, 30, 30, 1)[0]
        return [*sample_clients(seed, number, 50, 10), *order]

    alone = both(round_number)
    both(round_number + 1)
    assert both(round_number) == alone


def test_seed_round_and_client_each_change_the_order() -> None:
    orders = [
        tuple(client_batches(seed, number, client, 40, 40, 1)[0])
        for seed in (0, 1)
        for number in (1, 2)
        for client in (0, 1)
    ]
    assert len(set(orders)) == 8


def test_epochs_of_one_round_are_shuffled_differently() -> None:
    first, second = client_batches(0, 1, 0, 40, 40, 2)
    assert not np.array_equal(first, second)


def test_sampling_is_uniform_over_clients() -> None:
    rounds, total, count = 4000, 10, 3
    hits = np.zeros(total)
    for number in range(1, rounds + 1):
        hits[sample_clients(7, number, total, count)] += 1
    share = count / total
    # Five standard deviations of a binomial count: a fair sampler fails once in a million.
    assert np.abs(hits - rounds * share).max() < 5 * np.sqrt(rounds * share * (1 - share))


@given(seed=SEEDS, round_number=st.integers(1, 10_000), total=st.integers(1, 60))
def test_with_rate_one_every_client_joins_every_round(
    seed: int, round_number: int, total: int
) -> None:
    assert poisson_clients(seed, round_number, total, 1.0).tolist() == list(range(total))


@given(seed=SEEDS, round_number=st.integers(1, 1000), low=st.floats(0.01, 0.5))
def test_a_higher_rate_only_ever_adds_clients(seed: int, round_number: int, low: float) -> None:
    few = poisson_clients(seed, round_number, 40, low)
    assert set(few) <= set(poisson_clients(seed, round_number, 40, low + 0.4))


def test_poisson_sampling_tosses_an_independent_coin_a_client_and_round() -> None:
    rounds, total, rate = 4000, 8, 0.3
    joined = np.zeros((rounds, total))
    for number in range(1, rounds + 1):
        joined[number - 1, poisson_clients(11, number, total, rate)] = 1
    # Five standard deviations of each estimate: a fair sampler fails once in ten thousand runs.
    deviation = np.sqrt(rate * (1 - rate) / rounds)
    assert np.abs(joined.mean(axis=0) - rate).max() < 5 * deviation
    apart = ~np.eye(total, dtype=bool)
    # Drawing a fixed number would correlate every two clients by -1 / (total - 1) = -0.14.
    assert np.abs(np.corrcoef(joined.T)[apart]).max() < 5 / np.sqrt(rounds)
    over_time = [np.corrcoef(joined[1:, c], joined[:-1, c])[0, 1] for c in range(total)]
    assert np.abs(over_time).max() < 5 / np.sqrt(rounds)
    empty, nobody = (joined.sum(axis=1) == 0).mean(), (1 - rate) ** total
    assert abs(empty - nobody) < 5 * np.sqrt(nobody * (1 - nobody) / rounds)
