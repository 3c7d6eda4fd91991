"""Who takes part and in which order examples are seen: pure functions of the seed and the round.

Because nothing here depends on what happened before, every engine sees the same batches and a
resumed run continues exactly where it stopped.
"""

import numpy as np

from helpers.federated.validation import require_enough_clients, require_rate, require_whole

_PARTICIPANTS, _SHUFFLE = 0, 1
_STREAMS = {"aggregation": 2, "attack": 3, "guess": 4}
_COINS = 5


def sample_clients(
    seed: int, round_number: int, num_clients: int, clients_per_round: int
) -> np.ndarray:
    """Draw the clients of one round, uniformly and without replacement.

    Parameters
    ----------
    seed
        Seed of the task.
    round_number
        Number of the round, from 1.
    num_clients
        Number of clients to draw from.
    clients_per_round
        Number of clients to draw.

    Returns
    -------
    np.ndarray
        Sorted int64 ``(clients_per_round,)``.

    Raises
    ------
    TaskError
        If a number is out of its range.
    """
    require_whole("clients_per_round", clients_per_round, at_least=1)
    require_whole("num_clients", num_clients, at_least=1)
    require_enough_clients("clients_per_round", clients_per_round, num_clients)
    if clients_per_round == num_clients:
        return np.arange(num_clients, dtype=np.int64)
    rng = _generator(seed, _PARTICIPANTS, round_number=round_number)
    return np.sort(rng.choice(num_clients, clients_per_round, replace=False)).astype(np.int64)


def poisson_clients(
    seed: int, round_number: int, num_clients: int, sample_rate: float
) -> np.ndarray:
    """Let each client join one round by a coin of its own (Poisson sampling).

    This is the sampling that privacy amplification is proved for. The number that joins varies and
    may be zero. Who knows the seed knows who took part, and for them nothing is amplified.

    Parameters
    ----------
    seed
        Seed of the task.
    round_number
        Number of the round, from 1.
    num_clients
        Number of clients.
    sample_rate
        Probability with which each joins, above 0 and at most 1.

    Returns
    -------
    np.ndarray
        Sorted int64 ``(clients that join,)``; may be empty.

    Raises
    ------
    TaskError
        If a number is out of its range.
    """
    require_whole("num_clients", num_clients, at_least=1)
    require_rate("sample_rate", sample_rate)
    rng = _generator(seed, _COINS, round_number=round_number)
    return np.flatnonzero(rng.random(num_clients) < sample_rate).astype(np.int64)


def epoch_orders(
    seed: int, round_number: int, client: int, num_examples: int, epochs: int
) -> np.ndarray:
    """Shuffle a client's examples anew for each local epoch.

    Returns
    -------
    np.ndarray
        int64 ``(epochs, num_examples)``; each row is a permutation of ``range(num_examples)``.

    Raises
    ------
    TaskError
        If a number is out of its range.
    """
    require_whole("num_examples", num_examples, at_least=1)
    require_whole("epochs", epochs, at_least=1)
    rng = _generator(seed, _SHUFFLE, round_number=round_number, client=client)
    return np.stack([rng.permutation(num_examples) for _ in range(epochs)])


def client_batches(
    seed: int, round_number: int, client: int, num_examples: int, batch_size: int, epochs: int
) -> list[np.ndarray]:
    """List the batches on which one client trains in one round.

    Parameters
    ----------
    seed
        Seed of the task.
    round_number
        Number of the round, from 1.
    client
        Position of the client in the task.
    num_examples
        Number of its examples.
    batch_size
        Examples a batch; the last of an epoch may be smaller.
    epochs
        Number of passes over the data.

    Returns
    -------
    list of np.ndarray
        int64 positions in the client's own data, in the order of training.

    Raises
    ------
    TaskError
        If a number is out of its range.
    """
    require_whole("batch_size", batch_size, at_least=1)
    orders = epoch_orders(seed, round_number, client, num_examples, epochs)
    return [
        order[start : start + batch_size]
        for order in orders
        for start in range(0, num_examples, batch_size)
    ]


def round_generator(seed: int, stream: str, round_number: int) -> np.random.Generator:
    """Return the generator of one round for what is not sampling or shuffling.

    Parameters
    ----------
    seed
        Seed of the task.
    stream
        ``"aggregation"`` (the server's coins), ``"attack"`` (the adversary's) or ``"guess"`` (the
        server's as the adversary imagines them); all are independent.
    round_number
        Number of the round, from 1.

    Returns
    -------
    numpy.random.Generator
    """
    return _generator(seed, _STREAMS[stream], round_number=round_number)


def _generator(seed: int, stream: int, **key: int) -> np.random.Generator:
    for name, number in {"seed": seed, **key}.items():
        require_whole(name, number, at_least=0)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream, *key.values())))
