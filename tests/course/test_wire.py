from __future__ import annotations

import contextlib
import json
from collections import Counter, OrderedDict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from helpers.course.wire import DTYPES, MAX_DEPTH, WireError, dumps, loads, plain, text_room

numbers = st.integers(-(2**80), 2**80) | st.floats() | st.complex_numbers()
scalars = st.none() | st.booleans() | numbers | st.text() | st.binary(max_size=20)
arrays = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(np.dtype(dtype), hnp.array_shapes(min_dims=0, min_side=0, max_side=3))
)
keys = st.text() | st.integers(-100, 100)
values = st.recursive(
    scalars | arrays,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(keys, inner, max_size=4)
    ),
    max_leaves=12,
)


def same(a: Any, b: Any) -> bool:
    """Bitwise sameness, with NaN equal to itself; independent of how the wire encodes."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return repr(a) == repr(b)


@given(values)
def test_what_goes_in_comes_out(value: Any) -> None:
    assert same(loads(dumps(value)), value)


@given(values)
def test_a_message_is_one_line_of_ascii_json(value: Any) -> None:
    message = dumps(value)
    assert message.isascii()
    assert b"\n" not in message
    json.loads(message)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_and_nothing_else(message: bytes) -> None:
    with contextlib.suppress(WireError):
        loads(message)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["~", "v", "dtype", "shape", "x"]), inner, max_size=4)
        | st.fixed_dictionaries(
            {
                "~": st.sampled_from(["array", "dict", "tuple", "float", "complex", "bytes"]),
                "v": inner,
                "dtype": st.sampled_from([*DTYPES, "|O8", "<U4", "<M8[s]"]),
                "shape": inner,
            }
        )
    ),
    max_leaves=10,
)


@given(json_values)
def test_any_json_is_read_or_refused_and_nothing_else(tree: Any) -> None:
    try:
        value = loads(json.dumps(tree).encode())
    except WireError:
        return
    assert same(loads(dumps(value)), value)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"[" * 100_000, "not a JSON message"),
        (b"[" * 50 + b"]" * 50, "deep"),
        (b"NaN", "not a JSON message"),
        (b"9" * 5000, "not a JSON message"),
        (b'{"a": 1}', "known tag"),
        (b'{"~": "array", "dtype": "|O8", "shape": [1], "v": "AAAAAAAAAAA="}', "dtype"),
        (b'{"~": "array", "dtype": "<f4", "shape": [1000000], "v": "AAAA"}', "fill its shape"),
        (b'{"~": "array", "dtype": "<f4", "shape": [-1, -1], "v": "AAAAAA=="}', "shape"),
        (b'{"~": "array", "dtype": "|b1", "shape": [1], "v": "Ag=="}', "neither 0 nor 1"),
        (b'{"~": "dict", "v": [["a", 1], ["a", 2]]}', "repeated key"),
        (b'{"~": "dict", "v": [[["a"], 1]]}', "dict key"),
        (b'{"~": "dict", "v": [[2305843009213693951, 1]]}', "more than 60 bits"),
        (b'{"~": "float", "v": "1e400"}', "special float"),
    ],
)
def test_a_forged_message_is_refused(message: bytes, reason: str) -> None:
    with pytest.raises(WireError, match=reason):
        loads(message)


def test_a_message_over_the_limit_is_refused_on_both_sides() -> None:
    with pytest.raises(WireError, match="limit 10"):
        dumps("x" * 20, max_bytes=10)
    with pytest.raises(WireError, match="limit 10"):
        loads(b'"xxxxxxxxxxxxxxxxx"', max_bytes=10)


class Hostile:
    """Everything a comparison could be tricked with."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]

    def __array__(self) -> np.ndarray:
        raise AssertionError("called")

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return float

    def item(self) -> float:
        raise AssertionError("called")


class EqualToAll(float):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = float.__hash__


class HostileArray(np.ndarray):
    def __eq__(self, other: object) -> Any:
        return True

    __hash__ = None


@pytest.mark.parametrize(
    "value",
    [
        Hostile(),
        EqualToAll(1.0),
        np.zeros(3).view(HostileArray),
        np.ma.masked_array([1.0], [True]),
        np.array([object()]),
        np.array(["2020-01-01"], dtype="datetime64[D]"),
        {1, 2},
        range(3),
        (i for i in range(3)),
        lambda: 1,
        {"a": [1, {"b": Hostile()}]},
        {(1, 2): 3},
        2**2000,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_plain_data_is_refused_without_being_called(value: Any) -> None:
    with pytest.raises(WireError):
        plain(value)


def test_a_list_that_contains_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(WireError, match=str(MAX_DEPTH)):
        plain(endless)


def test_the_overridden_iteration_of_a_subclass_is_not_called() -> None:
    class Liar(list[int]):
        def __iter__(self) -> Any:
            raise AssertionError("called")

    assert plain(Liar([1, 2])) == [1, 2]


def test_common_relatives_of_plain_types_become_plain() -> None:
    assert same(plain(OrderedDict(a=1)), {"a": 1})
    assert same(plain(Counter("aab")), {"a": 2, "b": 1})
    assert same(plain(np.float32(0.5)), 0.5)
    assert same(plain(np.int64(3)), 3)
    assert same(plain({np.int64(1): 2}), {1: 2})
    assert same(plain(np.array(["a", "b"])), ["a", "b"])
    big_endian = np.array([1.5, 2.5], dtype=">f8")
    assert same(plain(big_endian), np.array([1.5, 2.5]))


def test_a_copy_shares_no_memory_with_the_original() -> None:
    original = {"a": [np.zeros(3)]}
    copy = plain(original)
    copy["a"][0][:] = 1
    copy["a"].append(2)
    assert same(original, {"a": [np.zeros(3)]})


def test_a_tensor_becomes_an_array_and_one_without_a_value_is_refused() -> None:
    tf = pytest.importorskip("tensorflow")
    assert same(plain(tf.constant([1.0, 2.0])), np.array([1.0, 2.0], np.float32))
    assert same(plain([tf.Variable(3)]), [np.array(3, np.int32)])
    with tf.Graph().as_default(), pytest.raises(WireError, match="symbolic"):
        plain(tf.constant(1.0))


def test_an_empty_array_may_not_be_endless_along_its_other_axes() -> None:
    message = b'{"~":"array","dtype":"<f8","shape":[0,67108864,67108864,67108864],"v":""}'
    with pytest.raises(WireError, match="impossible shape"):
        loads(message)


def test_the_room_of_texts_is_what_numpy_would_take() -> None:
    value = ["x" * 1000, *["y"] * 99]
    assert text_room(value) >= np.asarray(value).nbytes == 400_000
    assert text_room({"a": [b"12", (1.0, "abc")]}) == 7 * 12
