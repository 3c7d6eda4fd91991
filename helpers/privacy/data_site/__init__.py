"""Data access by request: the data stay, questions come, noisy answers leave under a budget.

A :class:`DataSite` keeps one private table. It publishes a :class:`Schema` and a mock, takes
requests for a few named statistics from researchers, lets the owner approve or deny them, and
answers with Laplace noise charged to a :class:`helpers.privacy.ledger.PrivacyLedger`. Every step
is an entry of a hash-chained log that is also the site's only memory. Queries are data, never
code: nothing that a researcher sends is executed.

``queries`` has the statistics and their sensitivities, ``noise`` the exact sampler, ``answering``
puts them together, ``audit_log`` is the chain, ``records`` reads it, ``site`` is the desk.
"""

from helpers.privacy.data_site.audit_log import Anchor, Entry, check_chain
from helpers.privacy.data_site.noise import noise_margin, rounded_laplace
from helpers.privacy.data_site.queries import (
    Count,
    Histogram,
    Mean,
    Quantile,
    Query,
    Sum,
    Where,
    from_json,
)
from helpers.privacy.data_site.records import Assessment, NoisyPart, Release, Request
from helpers.privacy.data_site.schema import Column, Schema
from helpers.privacy.data_site.site import DataSite, Researcher

__all__ = [
    "Anchor",
    "Assessment",
    "Column",
    "Count",
    "DataSite",
    "Entry",
    "Histogram",
    "Mean",
    "NoisyPart",
    "Quantile",
    "Query",
    "Release",
    "Request",
    "Researcher",
    "Schema",
    "Sum",
    "Where",
    "check_chain",
    "from_json",
    "noise_margin",
    "rounded_laplace",
]
