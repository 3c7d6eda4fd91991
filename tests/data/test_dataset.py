"""A dataset cannot be made of parts that do not fit, and says where it came from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from helpers.data import Dataset
from helpers.errors import DataError


def parts(**changes: Any) -> dict[str, Any]:
    """The arguments of a small image dataset, some of them changed."""
    good: dict[str, Any] = {
        "name": "tiny",
        "x_train": np.zeros((6, 4, 4, 1), np.float32),
        "y_train": np.arange(6, dtype=np.int32) % 2,
        "x_test": np.ones((2, 4, 4, 1), np.float32),
        "y_test": np.array([0, 1], np.int32),
        "class_names": ("cat", "dog"),
        "source": "local",
        "origin": "made in a test",
        "licence": "CC0",
        "citation": "nobody <script>",
    }
    return good | changes


def table(**changes: Any) -> dict[str, Any]:
    return parts(
        x_train=np.full((6, 3), 1e4, np.float32),
        x_test=np.zeros((2, 3), np.float32),
        feature_names=("a", "b", "c"),
        **changes,
    )


def test_images_and_tables_that_fit_are_accepted() -> None:
    assert Dataset(**parts()).is_image
    assert not Dataset(**table()).is_image


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"x_train": np.zeros((6, 4, 4, 1))}, "x_train is float64"),
        ({"x_train": np.zeros((6, 4, 4), np.float32)}, r"x_train is float32 \(6, 4, 4\)"),
        ({"x_test": np.zeros((0, 4, 4, 1), np.float32)}, "non-empty"),
        ({"x_test": np.zeros((2, 5, 5, 1), np.float32)}, "one shape"),
        ({"x_train": np.full((6, 4, 4, 1), 255, np.float32)}, r"spans \[255, 255\]; scale"),
        ({"x_train": np.full((6, 4, 4, 1), np.nan, np.float32)}, "NaN"),
        ({"y_train": np.zeros(6, np.int64)}, "y_train is int64"),
        ({"y_train": np.zeros(5, np.int32)}, r"int32 \(6,\), one label"),
        ({"y_test": np.array([0, 2], np.int32)}, r"y_test spans 0\.\.2.*0\.\.1"),
        ({"y_test": np.array([-1, 0], np.int32)}, r"spans -1\.\.0"),
        ({"source": "somewhere"}, "'somewhere' is none of"),
    ],
)
def test_parts_that_do_not_fit_are_refused_by_name(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        Dataset(**parts(**changes))


def test_a_table_needs_a_name_for_every_column() -> None:
    with pytest.raises(DataError, match="3 columns but 2 feature names"):
        Dataset(**(table() | {"feature_names": ("a", "b")}))


def test_describe_says_source_size_terms_and_citation() -> None:
    text = Dataset(**parts()).describe()
    for needed in (
        "tiny",
        "local",
        "made in a test",
        "6 train + 2 test",
        "4 x 4 x 1",
        "CC0",
        "nobody",
    ):
        assert needed in text


def test_html_shows_the_same_facts_escaped() -> None:
    shown = Dataset(**parts())._repr_html_()
    assert "nobody &lt;script&gt;" in shown
    assert "<script>" not in shown
