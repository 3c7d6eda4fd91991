"""Numbers and arrays out of range are refused by name before any work, and give no number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from helpers.errors import TaskError
from helpers.federated.byzantine.data import LabelFlip, LabelNoise, Trigger
from helpers.federated.byzantine.strength import line_search
from helpers.federated.byzantine.updates import alie_z
from helpers.federated.robust.coordinate import mean_of_closest
from helpers.federated.robust.preaggregation import worker_momentum
from helpers.federated.robust.selection import krum_scores
from helpers.federated.sampling import client_batches, poisson_clients, sample_clients
from helpers.federated.secure.aggregators import RobustThenPrivate
from helpers.federated.secure.graph import choose_graph
from helpers.federated.secure.groups import clean_groups
from helpers.federated.secure.protocol import secure_sum
from helpers.federated.secure.quantisation import dequantise
from helpers.federated.secure.settings import SecureSettings
from helpers.federated.secure.tradeoff import influence_of_one, ways_out
from helpers.federated.task import ClientData
from helpers.federated.traffic import bytes_per_round

UPDATES = np.random.default_rng(0).normal(size=(9, 6))
ALL = np.ones(9, bool)
SUM = np.array([1, 2, 3], np.uint64)


def poisoned(poison: Any, labels: Any) -> Any:
    data = ClientData(np.zeros((len(labels), 2)), np.asarray(labels))
    return poison(data, np.random.default_rng(0)).y


def parabola(x: float) -> float:
    return -((x - 1) ** 2)


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: poisson_clients(0, 1, 9, -1.0), r"sample_rate=-1\.0"),
    (lambda: poisson_clients(0, 1, 9, np.nan), "sample_rate=nan"),
    (lambda: poisson_clients(0, -1, 9, 0.5), "round_number=-1 must be a whole number"),
    (lambda: sample_clients(0, 1, 9, 0), "clients_per_round=0"),
    (lambda: sample_clients(0, 1, 3, 5), "clients_per_round=5 is more than the 3 clients"),
    (lambda: sample_clients(-1, 1, 9, 3), "^seed=-1"),
    (lambda: client_batches(0, 1, -1, 10, 3, 2), "^client=-1"),
    (lambda: client_batches(0, 1, 0, 10, -1, 2), "batch_size=-1"),
    (lambda: client_batches(0, 1, 0, 0, 3, 2), "num_examples=0"),
    (lambda: client_batches(0, 1, 0, 10, 3, 0), "epochs=0"),
    (lambda: mean_of_closest(UPDATES, 0), "count=0"),
    (lambda: mean_of_closest(UPDATES, 10), "count=10 values"),
    (lambda: worker_momentum(UPDATES, UPDATES[:3], ALL, 0.9), r"previous \(3, 6\)"),
    (lambda: worker_momentum(UPDATES, UPDATES, ALL[:, None], 0.9), r"started \(9, 1\)"),
    (lambda: krum_scores(np.ones((9, 9)), -1), "num_byzantine=-1"),
    (lambda: krum_scores(np.ones(81), 2), r"\(81,\) must be \(n, n\)"),
    (lambda: bytes_per_round([(3, 4)], np.nan), "num_clients=nan"),  # type: ignore[arg-type]
    (lambda: bytes_per_round([(3, 4)], 3, np.nan), "finite and above 0"),
    (lambda: alie_z(20, 2.5), r"num_byzantine=2\.5"),  # type: ignore[arg-type]
    (lambda: line_search(parabola, 20.0, 0.1, 9), r"low=20\.0 and high=0\.1"),
    (lambda: line_search(parabola, 0.1, np.nan, 9), "high=nan"),
    (lambda: line_search(parabola, 0.1, 20.0, 0), "evaluations=0"),
    (lambda: poisoned(LabelFlip(3), [0, 3]), "from 0 to 3 must be one class each, 0 to 2"),
    (lambda: poisoned(LabelFlip(3), [0.5, 1.5]), "one class each"),
    (lambda: poisoned(LabelNoise(3, 0.5), [-1, 1]), "from -1 to 1 must be one class each"),
    (lambda: Trigger((0, 1), np.nan), "value=nan"),
    (lambda: secure_sum([]), "at least 1"),
    (lambda: secure_sum(UPDATES[0]), "one row of numbers for each client"),
    (lambda: dequantise(SUM, 0, SecureSettings()), "count=0"),
    (lambda: influence_of_one(6, num_values=0), "num_values=0"),
    (lambda: ways_out(12, [0, 3], 1.0), r"group_sizes=\(0, 3\): size=0"),
    (lambda: ways_out(0, [2], 1.0), "num_clients=0"),
    (lambda: RobustThenPrivate(2, 1.0, 1.0).sensitivity(9, -1), "num_values=-1"),
    (lambda: choose_graph(2.5), r"num_clients=2\.5"),  # type: ignore[arg-type]
    (lambda: clean_groups(np.nan, 1, 3), "num_clients=nan"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("ask", "message"), REFUSED)
def test_what_is_out_of_range_is_refused_by_name(ask: Callable[[], Any], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        ask()


def test_whole_classes_may_be_floats_and_a_client_may_have_none() -> None:
    assert poisoned(LabelFlip(3), [0.0, 2.0]).tolist() == [2.0, 0.0]
    assert poisoned(LabelNoise(3, 1.0), np.zeros(0, int)).shape == (0,)
