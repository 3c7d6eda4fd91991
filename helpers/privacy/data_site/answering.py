"""From a table and a query to a noisy answer, and what the answer costs."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from helpers.privacy._checks import require_positive
from helpers.privacy.data_site import noise
from helpers.privacy.data_site.queries import Part, Query
from helpers.privacy.data_site.records import NoisyPart
from helpers.privacy.data_site.schema import Schema, Table
from helpers.privacy.ledger import Charge

CONFIDENCE = 0.95


def noisy_answer(
    query: Query, table: Table, schema: Schema, epsilon: Fraction, randbelow: noise.RandBelow
) -> tuple[float | list[float], tuple[NoisyPart, ...]]:
    """Answer a resolved query with noise: the one place where a table is turned into output."""
    parts = query.parts(table, schema)
    shown, arrays = [], []
    for part, scale in zip(parts, scales(parts, epsilon), strict=True):
        steps = [int(value) + noise.rounded_laplace(scale, randbelow) for value in part.values]
        values = [step * part.unit for step in steps]
        margin = noise.noise_margin(scale, CONFIDENCE) * part.unit
        shown.append(NoisyPart(part.name, tuple(values), margin))
        arrays.append(np.array(values))
    return query.answer(arrays, schema), tuple(shown)


def margins(parts: Sequence[Part], epsilon: float) -> dict[str, float]:
    """Return how far the noise of each part reaches, in the unit of the column."""
    return {
        part.name: noise.noise_margin(scale, CONFIDENCE) * part.unit
        for part, scale in zip(parts, scales(parts, exact(epsilon)), strict=True)
    }


def scales(parts: Sequence[Part], epsilon: Fraction) -> list[Fraction]:
    """Return the scale of each part's noise in steps: epsilon is shared equally among them."""
    return [Fraction(part.sensitivity * len(parts)) / epsilon for part in parts]


def charge_for(query: Query, schema: Schema, epsilon: float) -> Charge:
    """Return what an answer costs: one Laplace release a part, each at its share of epsilon."""
    num_parts = len(query.parts(schema.mock(1, seed=0), schema))
    return Charge(num_parts / epsilon, steps=num_parts, noise="laplace")


def exact(epsilon: float) -> Fraction:
    """Return epsilon as the decimal fraction it was written as, for exact sampling.

    Raises
    ------
    PrivacyError
        If it is not a finite number above 0.
    """
    require_positive("epsilon", epsilon)
    return Fraction(repr(float(epsilon)))
