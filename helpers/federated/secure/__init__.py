"""Secure aggregation: the server learns the sum of the clients' vectors, and not one of them.

:func:`secure_sum` runs a whole round of masking (Bonawitz et al. 2017; the sparse graph of Bell et
al. 2020) and keeps what the server saw of it. :class:`Client` and :class:`Server` are the same
round as state machines of bytes, to run over any transport. :class:`SecureMean` and
:class:`SecureGroups` are aggregators of a task. :mod:`~helpers.federated.secure.ckks` adds under
homomorphic encryption instead, :mod:`~helpers.federated.secure.audit` measures another library.
"""

from helpers.federated.secure import audit, audit_round, ckks, keys, mersenne, shamir
from helpers.federated.secure.aggregators import RobustThenPrivate, SecureGroups, SecureMean
from helpers.federated.secure.client import Client
from helpers.federated.secure.graph import (
    GraphRisk,
    choose_graph,
    graph_risk,
    ring_of_neighbours,
)
from helpers.federated.secure.groups import (
    clean_groups,
    group_means,
    random_groups,
    secure_group_means,
)
from helpers.federated.secure.messages import decode, encode
from helpers.federated.secure.protocol import SecureRound, ServerView, secure_sum
from helpers.federated.secure.quantisation import dequantise, quantise
from helpers.federated.secure.server import Rejection, Server
from helpers.federated.secure.settings import Plan, SecureSettings
from helpers.federated.secure.tradeoff import (
    Influence,
    conflict,
    influence_of_one,
    shifted,
    ways_out,
)

__all__ = [
    "Client",
    "GraphRisk",
    "Influence",
    "Plan",
    "Rejection",
    "RobustThenPrivate",
    "SecureGroups",
    "SecureMean",
    "SecureRound",
    "SecureSettings",
    "Server",
    "ServerView",
    "audit",
    "audit_round",
    "choose_graph",
    "ckks",
    "clean_groups",
    "conflict",
    "decode",
    "dequantise",
    "encode",
    "graph_risk",
    "group_means",
    "influence_of_one",
    "keys",
    "mersenne",
    "quantise",
    "random_groups",
    "ring_of_neighbours",
    "secure_group_means",
    "secure_sum",
    "shamir",
    "shifted",
    "ways_out",
]
