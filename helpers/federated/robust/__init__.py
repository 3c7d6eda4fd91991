"""Robust aggregation: rules that give a useful update although some clients are Byzantine.

Every rule is a pure function of a matrix with one flattened update a row. ``num_byzantine`` (f in
the papers) is what the server *assumes*; no rule finds it out. :class:`RobustAggregator` joins a
rule to its pre-aggregation and is what a task takes.
"""

from helpers.federated.robust.aggregator import (
    RULES,
    Aggregator,
    ReceivedRound,
    RobustAggregator,
)
from helpers.federated.robust.centre import (
    centred_clipping,
    fltrust,
    geometric_median,
    mean,
    norm_clipping,
)
from helpers.federated.robust.coordinate import coordinate_median, meamed, trimmed_mean
from helpers.federated.robust.preaggregation import (
    bucketing,
    nearest_neighbour_mixing,
    worker_momentum,
)
from helpers.federated.robust.selection import bulyan, krum, multi_krum

__all__ = [
    "RULES",
    "Aggregator",
    "ReceivedRound",
    "RobustAggregator",
    "bucketing",
    "bulyan",
    "centred_clipping",
    "coordinate_median",
    "fltrust",
    "geometric_median",
    "krum",
    "meamed",
    "mean",
    "multi_krum",
    "nearest_neighbour_mixing",
    "norm_clipping",
    "trimmed_mean",
    "worker_momentum",
]
