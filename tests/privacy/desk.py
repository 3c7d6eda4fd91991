"""A small table behind a desk, for the tests of the data site."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np

from helpers.privacy.data_site import Column, Count, DataSite, Query, Schema, Where

SCHEMA = Schema(
    "patients",
    (
        Column("age", low=0, high=120, resolution=1),
        Column("ward", categories=("A", "B")),
    ),
)
TABLE = {
    "age": np.arange(1_000) % 90,
    "ward": np.where(np.arange(1_000) % 4 == 0, "A", "B"),
}


def new_site(path: Path, epsilon: float = 1.0, **settings: Any) -> DataSite:
    settings = {"randbelow": random.Random(0).randrange, **settings}
    return DataSite.create(path / "site.db", TABLE, SCHEMA, epsilon, 1e-6, **settings)


def reopened(path: Path, **settings: Any) -> DataSite:
    return DataSite.open(path / "site.db", TABLE, **settings)


def approved(site: DataSite, query: Query, epsilon: float, researcher: str = "ana") -> int:
    number = site.submit(researcher, query, epsilon, "a study")
    site.approve(number, "owner")
    return number


def older_than(age: int) -> Count:
    return Count(where=(Where("age", ">", age),))
