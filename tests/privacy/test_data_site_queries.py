"""No row moves an answer by more than its sensitivity, and nothing but a query is a query."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.errors import PrivacyError
from helpers.privacy.data_site import (
    Column,
    Count,
    Histogram,
    Mean,
    Quantile,
    Query,
    Schema,
    Sum,
    Where,
    from_json,
)

SCHEMA = Schema(
    "patients",
    (
        Column("age", low=0, high=120, resolution=1),
        Column("change", low=-7.5, high=3.25, resolution=0.1),
        Column("ward", categories=("A", "B", "C")),
    ),
)

ages = st.one_of(st.floats(-1e6, 1e6), st.just(float("nan")))
rows = st.tuples(ages, ages, st.sampled_from(["A", "B", "C", ""]))
wheres = st.lists(
    st.one_of(
        st.builds(
            Where,
            st.sampled_from(["age", "change"]),
            st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
            st.floats(-10, 130),
        ),
        st.builds(Where, st.just("ward"), st.sampled_from(["==", "!="]), st.sampled_from("ABC")),
    ),
    max_size=3,
).map(tuple)


@st.composite
def bounded(draw: st.DrawFn) -> Query:
    column = SCHEMA.number(draw(st.sampled_from(["age", "change"])))
    fraction = draw(st.floats(0, 0.8))
    low = column.low + fraction * (column.high - column.low)
    high = draw(st.floats(low + 2 * column.resolution, column.high))
    kind = draw(st.sampled_from([Sum, Mean, Quantile]))
    return kind(column.name, low, high, where=draw(wheres))


questions = st.one_of(
    bounded(),
    st.builds(Count, where=wheres),
    st.builds(Histogram, st.just("ward"), where=wheres),
    st.builds(Histogram, st.just("age"), st.just((0.0, 18.0, 65.0, 120.0)), where=wheres),
)


def table_of(drawn: list[tuple[float, float, str]]) -> dict[str, np.ndarray]:
    return {
        "age": np.array([age for age, _, _ in drawn], float),
        "change": np.array([change for _, change, _ in drawn], float),
        "ward": np.array([ward for _, _, ward in drawn], "U1"),
    }


@settings(max_examples=300, deadline=None)
@given(questions, st.lists(rows, max_size=12), rows)
def test_one_more_row_moves_a_part_by_its_sensitivity_at_most(
    query: Query, people: list[tuple[float, float, str]], newcomer: tuple[float, float, str]
) -> None:
    resolved = query.resolved(SCHEMA)
    without = resolved.parts(SCHEMA.checked(table_of(people)), SCHEMA)
    with_one = resolved.parts(SCHEMA.checked(table_of([*people, newcomer])), SCHEMA)
    for before, after in zip(without, with_one, strict=True):
        assert before.values.dtype == np.int64
        assert before.sensitivity == after.sensitivity  # it must not depend on the table
        assert np.abs(after.values - before.values).sum() <= before.sensitivity


@pytest.mark.parametrize(
    ("query", "row"),
    [
        (Count(), (50.0, 0.0, "A")),
        (Sum("age"), (130.0, 0.0, "A")),
        (Sum("change"), (0.0, -9.0, "A")),
        (Mean("age", 20, 80), (200.0, 0.0, "A")),
        (Histogram("ward"), (0.0, 0.0, "C")),
        (Quantile("age"), (0.0, 0.0, "C")),
    ],
)
def test_some_row_does_move_it_that_far(query: Query, row: tuple[float, float, str]) -> None:
    # a sensitivity that is too large would be safe, and would waste the budget
    resolved = query.resolved(SCHEMA)
    without = resolved.parts(SCHEMA.checked(table_of([])), SCHEMA)
    with_one = resolved.parts(SCHEMA.checked(table_of([row])), SCHEMA)
    for before, after in zip(without, with_one, strict=True):
        assert np.abs(after.values - before.values).sum() == before.sensitivity


def test_the_sensitivities_are_those_of_the_textbook() -> None:
    table = SCHEMA.checked(table_of([]))

    def sensitivities(query: Query) -> list[int]:
        return [part.sensitivity for part in query.resolved(SCHEMA).parts(table, SCHEMA)]

    assert sensitivities(Count()) == [1]
    assert sensitivities(Sum("age")) == [120]
    assert sensitivities(Sum("change")) == [75]  # -7.5 in steps of 0.1
    assert sensitivities(Mean("age", 20, 80)) == [30, 1]  # half the range, and the count
    assert sensitivities(Histogram("ward")) == [1]


@settings(max_examples=100, deadline=None)
@given(st.lists(rows, min_size=1, max_size=40))
def test_without_noise_the_answers_are_numpys(people: list[tuple[float, float, str]]) -> None:
    table = SCHEMA.checked(table_of(people))
    age = table["age"][~np.isnan(table["age"])]
    rounded = np.rint(np.clip(age, 0, 120))

    def exact(query: Query) -> float | list[float]:
        parts = query.resolved(SCHEMA).parts(table, SCHEMA)
        noiseless = [part.values * part.unit for part in parts]
        return query.resolved(SCHEMA).answer(noiseless, SCHEMA)

    assert exact(Count()) == len(people)
    assert exact(Sum("age")) == rounded.sum()
    assert exact(Count(where=(Where("age", ">", 60),))) == np.count_nonzero(age > 60)
    held = [np.count_nonzero(table["ward"] == ward) for ward in "ABC"]
    assert exact(Histogram("ward")) == held
    if len(age):
        assert exact(Mean("age")) == pytest.approx(rounded.mean())
        median = exact(Quantile("age", bins=120))
        assert isinstance(median, float)
        slack = 1e-9
        assert np.count_nonzero(np.clip(age, 0, 120) < median - 1 - slack) <= len(age) / 2
        assert np.count_nonzero(np.clip(age, 0, 120) > median + 1 + slack) <= len(age) / 2


def test_the_order_of_the_rows_changes_nothing_where_floats_would() -> None:
    rng = np.random.default_rng(0)
    change = np.concatenate([rng.uniform(-7.5, 3.25, 5_000), [3.2] * 5_000])
    wide = Schema("one", (Column("change", low=-7.5, high=3.25, resolution=1e-8),))
    sums, floats = set(), set()
    for _ in range(10):
        order = rng.permutation(len(change))
        part = Sum("change").resolved(wide).parts(wide.checked({"change": change[order]}), wide)[0]
        sums.add(int(part.values[0]))
        floats.add(float(np.add.accumulate(change[order])[-1]))
    assert len(sums) == 1
    assert len(floats) > 1  # what the integers are for


@given(questions)
def test_a_query_survives_the_trip_through_json(query: Query) -> None:
    resolved = query.resolved(SCHEMA)
    again = from_json(json.loads(json.dumps(resolved.to_json())))
    assert again == resolved
    assert again.resolved(SCHEMA) == resolved


def test_one_question_has_one_spelling() -> None:
    old, ward = Where("age", ">", 60), Where("ward", "==", "A")
    spellings = [
        Mean("age", where=(old, ward)),
        Mean("age", 0, 120, where=(ward, old)),
        Mean("age", -0.0, 120.0, where=(ward, Where("age", ">", 60.0), old)),
    ]
    assert len({query.resolved(SCHEMA).canonical() for query in spellings}) == 1
    assert Mean("age", 0, 119).resolved(SCHEMA) != spellings[0].resolved(SCHEMA)


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        (Sum("height"), "no column 'height'"),
        (Sum("ward"), "holds categories"),
        (Mean("age", -5, 50), r"must be in order and lie within 0\.\.120"),
        (Mean("age", 50, 20), "must be in order"),
        (Mean("age", float("nan")), "finite number"),
        (Mean("age", 20, 20.5), "less than one step"),
        (Mean("age", True), "finite number"),
        (Quantile("age", share=1.0), "share=1.0"),
        (Quantile("age", bins=10**9), "bins=1000000000"),
        (Histogram("age"), "0 edges"),
        (Histogram("age", (0, 50, 50)), "ascending"),
        (Histogram("age", (0, 500)), "leave the bounds"),
        (Histogram("ward", (0, 1)), "give no edges"),
        (Count(where=(Where("ward", "<", "B"),)), "'<' on 'ward'"),
        (Count(where=(Where("ward", "==", "Z"),)), "'Z' is no category"),
        (Count(where=(Where("age", "__eq__", 3),)), "'__eq__' on 'age'"),
        (Count(where=(Where("age", "<", float("inf")),)), "finite number"),
        (Count(where=(Where("age", "<", 1),) * 9), "9 conditions"),
    ],
)
def test_a_query_that_does_not_fit_is_explained(query: Query, complaint: str) -> None:
    with pytest.raises(PrivacyError, match=complaint):
        query.resolved(SCHEMA)


HOSTILE: list[Any] = [
    None,
    [],
    "count",
    {"kind": "exec", "code": "import os"},
    {"kind": ["count"]},
    {"kind": "count", "table": "other"},
    {"kind": "count", "where": "age"},
    {"kind": "count", "where": [{"column": "age", "compare": "<"}]},
    {"kind": "count", "where": [{"column": "age", "compare": "<", "value": 1, "x": 2}]},
    {"kind": "mean"},
    {"kind": "histogram", "column": "age", "edges": 7},
    {"kind": "mean", "column": "age", "parts": "lambda: 0"},
]


@pytest.mark.parametrize("content", HOSTILE, ids=str)
def test_what_is_not_exactly_a_query_is_refused(content: Any) -> None:
    with pytest.raises(PrivacyError):
        from_json(content)


@pytest.mark.parametrize(
    "content",
    [
        {"kind": "mean", "column": ["age"]},
        {"kind": "mean", "column": "age", "low": "0; DROP TABLE log"},
        {"kind": "histogram", "column": "age", "edges": "abc"},
        {"kind": "count", "where": [{"column": "age", "compare": [], "value": 1}]},
        {"kind": "count", "where": [{"column": "ward", "compare": "==", "value": ["A"]}]},
        {"kind": "count", "where": [{"column": "age", "compare": "<", "value": {}}]},
    ],
    ids=str,
)
def test_values_of_the_wrong_kind_are_refused_by_the_schema(content: Any) -> None:
    with pytest.raises(PrivacyError):
        from_json(content).resolved(SCHEMA)


def test_the_mock_fits_the_schema_and_knows_nothing_of_the_table() -> None:
    mock = SCHEMA.mock(500, seed=3)
    assert set(mock) == {"age", "change", "ward"}
    SCHEMA.checked(mock)
    assert 0 <= mock["age"].min() < 10 < 110 < mock["age"].max() <= 120
    assert set(mock["ward"]) == {"A", "B", "C"}
    assert np.array_equal(mock["age"], SCHEMA.mock(500, seed=3)["age"])


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ({"age": [1.0]}, "the schema has"),
        ({"age": [1.0], "change": [1.0, 2.0], "ward": ["A"]}, "different lengths"),
        ({"age": ["x"], "change": [1.0], "ward": ["A"]}, "must hold numbers"),
        ({"age": [np.inf], "change": [1.0], "ward": ["A"]}, "holds infinity"),
        ({"age": [[1.0]], "change": [1.0], "ward": ["A"]}, r"shape \(1, 1\)"),
        ({"age": [1.0], "change": [1.0], "ward": ["D"]}, "'D', which is not among"),
    ],
)
def test_a_table_that_does_not_fit_is_explained(table: dict[str, Any], complaint: str) -> None:
    with pytest.raises(PrivacyError, match=complaint):
        SCHEMA.checked(table)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Column("x", low=1, high=1, resolution=1),
        lambda: Column("x", low=0, high=1, resolution=0),
        lambda: Column("x", low=0, high=float("inf"), resolution=1),
        lambda: Column("x", low=0, high=1, resolution=1e-12),
        lambda: Column("", low=0, high=1, resolution=1),
        lambda: Column("x", categories=("A", "A")),
        lambda: Schema("empty", ()),
        lambda: Schema("twice", (Column("x", categories=("A",)),) * 2),
    ],
)
def test_a_schema_without_sense_is_refused(make: Any) -> None:
    with pytest.raises(PrivacyError):
        make()


def test_noise_scales_are_exact_fractions_of_the_epsilon_that_was_written() -> None:
    from helpers.privacy.data_site.answering import exact, scales

    parts = Mean("age", 20, 80).resolved(SCHEMA).parts(SCHEMA.checked(table_of([])), SCHEMA)
    assert exact(0.1) == Fraction(1, 10)  # not the double nearest to it
    assert scales(parts, exact(0.1)) == [Fraction(600), Fraction(20)]
