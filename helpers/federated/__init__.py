"""Federated learning: one definition of a task, run by interchangeable engines.

Define a :class:`FederatedTask`, give it to :func:`run`, read the :class:`History`. Importing this
room loads no machine-learning library; TensorFlow loads when a task is made.
"""

from helpers.federated.averaging import weighted_average
from helpers.federated.byzantine.adversary import Adversary
from helpers.federated.engine import local_updates, run
from helpers.federated.history import History, RoundRecord, UpcomingRound
from helpers.federated.private import PrivateAggregator
from helpers.federated.robust.aggregator import RobustAggregator
from helpers.federated.sampling import client_batches, poisson_clients, sample_clients
from helpers.federated.task import ClientData, FederatedTask, LocalTraining, ServerOptimizer
from helpers.federated.traffic import Traffic, bytes_per_round

__all__ = [
    "Adversary",
    "ClientData",
    "FederatedTask",
    "History",
    "LocalTraining",
    "PrivateAggregator",
    "RobustAggregator",
    "RoundRecord",
    "ServerOptimizer",
    "Traffic",
    "UpcomingRound",
    "bytes_per_round",
    "client_batches",
    "local_updates",
    "poisson_clients",
    "run",
    "sample_clients",
    "weighted_average",
]
