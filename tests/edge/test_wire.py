from __future__ import annotations

import io
import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from helpers.edge.runtimes import wire


def reader(message: bytes):  # type: ignore[no-untyped-def]
    stream = io.BytesIO(message)

    def read(count: int) -> bytes:
        found = stream.read(count)
        if len(found) < count:
            raise EOFError
        return found

    return read


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.sampled_from(sorted(wire.DTYPES)).flatmap(
            lambda kind: arrays.arrays(kind, arrays.array_shapes(min_dims=0, max_side=3))
        ),
        max_size=3,
    ),
    st.binary(max_size=50),
)
def test_a_message_arrives_as_it_was_sent(sent: list[np.ndarray], blob: bytes) -> None:
    header, received, content = wire.unpack(reader(wire.pack({"do": "run"}, sent, blob)))
    assert (header, content) == ({"do": "run"}, blob)
    for one, other in zip(sent, received, strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        np.testing.assert_array_equal(one, other)


def message(header: object, body: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<IQ", len(text), len(body)) + text + body


@pytest.mark.parametrize(
    "sent",
    [
        struct.pack("<IQ", 2**31, 0),
        struct.pack("<IQ", 2, 2**60) + b"{}",
        message([]),
        message({"arrays": [], "blob": 5}),
        message({"arrays": [["object", 1]], "blob": 0}, bytes(8)),
        message({"arrays": [["float32", -1]], "blob": 8}, bytes(4)),
        message({"arrays": [["float32", 10**12]], "blob": 0}, bytes(4)),
        message({"arrays": [["float32", 0, 2**31, 2**31, 2**31]], "blob": 0}),
        message({"arrays": 3, "blob": 0}),
        struct.pack("<IQ", 3, 0) + b"\xff\xff\xff",
    ],
)
def test_nonsense_is_refused_before_memory_is_set_aside(sent: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.unpack(reader(sent))
