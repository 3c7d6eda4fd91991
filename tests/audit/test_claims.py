"""Whatever a worker answers, the reader believes it or raises its own error."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.audit import claims, graphs
from helpers.audit.claims import ClaimError
from helpers.audit.description import ModelContract, Port, find_task, read_contract
from helpers.audit.description import read_description as read
from helpers.edge.runtimes import wire
from helpers.edge.tflite.graph import read_graph
from helpers.errors import EdgesecError, ModelContractError
from tests.edge.conftest import wake_word

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = scalars | st.lists(scalars, max_size=3) | st.dictionaries(st.text(max_size=5), scalars)
PORT = {"name": "x", "shape": [None, 4], "dtype": "int8", "scale": 0.5, "zero_point": -3}
CONTRACT = {"inputs": [PORT], "outputs": [PORT], "stateful": False}
DESCRIPTION = {
    "operators": {"CONV_2D": 2}, "custom_operators": [], "parameters": 8, "weight_bytes": 8,
    "weight_types": {"int8": 8}, "activation_types": {"int8": 2}, "per_channel": True, "macs": 9,
    "arena_bytes": None, "state_bytes": 0, "metadata": {"a": "b"}, "notes": [], "unreadable": "",
}  # fmt: skip


def replaced(sound: Any, place: int, value: Any) -> Any:
    """A copy of JSON values with one of them, counted from the outside in, replaced."""
    copy = json.loads(json.dumps(sound))
    spots: list[tuple[Any, Any]] = []
    waiting = [copy]
    while waiting:
        part = waiting.pop(0)
        keys = list(part) if isinstance(part, dict) else range(len(part))
        spots += [(part, key) for key in keys]
        waiting += [part[key] for key in keys if isinstance(part[key], dict | list)]
    part, key = spots[place % len(spots)]
    part[key] = value
    return copy


@given(st.integers(0, 100), values)
def test_a_wrong_value_anywhere_is_believed_or_refused(place: int, value: Any) -> None:
    for read_claim, sound in (
        (read_contract, CONTRACT),
        (lambda claim: read(claim, "litert"), DESCRIPTION),
    ):
        try:
            read_claim(replaced(sound, place, value))
        except ClaimError:
            continue


def test_a_sound_contract_is_read_as_it_is() -> None:
    port = Port("x", (None, 4), "int8", 0.5, -3)
    assert read_contract(CONTRACT) == ModelContract((port,), (port,), False)
    assert port.range == (-62.5, 65.0)
    assert read(DESCRIPTION, "litert").macs == 9


GRAPH, ARRAYS = graphs.encode(read_graph(wake_word("hey_jarvis").read_bytes()))


def test_a_graph_comes_back_as_it_was() -> None:
    before = read_graph(wake_word("hey_jarvis").read_bytes())
    after = graphs.decode(json.loads(json.dumps(GRAPH)), ARRAYS)
    assert [o.kind for o in after.operations] == [o.kind for o in before.operations]
    assert [o.inputs for o in after.operations] == [o.inputs for o in before.operations]
    for ours, theirs in zip(after.tensors, before.tensors, strict=True):
        assert (ours.shape, ours.dtype, ours.axis) == (theirs.shape, theirs.dtype, theirs.axis)
        np.testing.assert_array_equal(ours.scales, theirs.scales)
        np.testing.assert_array_equal(ours.zero_points, theirs.zero_points)
        assert (ours.data is None) == (theirs.data is None)
        if ours.data is not None and theirs.data is not None:
            np.testing.assert_array_equal(ours.data, theirs.data)


@given(st.integers(0, 5000), scalars | st.lists(st.integers(-2, 99), max_size=5))
def test_a_graph_with_one_wrong_value_is_refused_or_fits_together(place: int, value: Any) -> None:
    try:
        graph = graphs.decode(replaced(GRAPH, place, value), ARRAYS)
    except EdgesecError:
        return
    assert len(graph.tensors) == len(GRAPH["tensors"])


@given(st.text(max_size=300))
def test_a_text_that_is_shown_moves_no_cursor(text: str) -> None:
    assert all(c.isprintable() or unicodedata.category(c) == "Zs" for c in claims.text(text))


@pytest.mark.parametrize(
    "header",
    [
        b"[" * 100_000,
        b'{"arrays": [["int8", 0, ' + b"9" * 30 + b']], "blob": 0}',
        b'{"arrays": [["int8"' + b", 9" * 10_000 + b']], "blob": 0}',
        b'{"arrays": [["int8", Infinity]], "blob": 0}',
        b'{"arrays": [["object", 1]], "blob": 0}',
        b'{"arrays": [], "blob": -1}',
        b"[]",
    ],
)
def test_a_message_made_to_harm_its_reader_is_no_message(header: bytes) -> None:
    content = iter([wire._PREFIX.pack(len(header), 0), header, b""])
    with pytest.raises(wire.WireError):
        wire.unpack(lambda count: next(content))


def test_a_message_larger_than_allowed_is_not_read() -> None:
    content = iter([wire._PREFIX.pack(10, 1000)])
    with pytest.raises(wire.WireError, match="too large"):
        wire.unpack(lambda count: next(content), 100, 999)


def test_texts_where_numbers_are_needed_are_named() -> None:
    with pytest.raises(ModelContractError, match=r"words \(\?, string\) takes no numbers"):
        Port("words", (None,), "string").encode(np.zeros(1))


IMAGE = Port("x", (None, 8, 8, 3), "uint8", 0.0, 0)
SCORES = Port("y", (None, 10), "float32")


@pytest.mark.parametrize(
    ("inputs", "outputs", "stateful", "why"),
    [
        ([IMAGE], [SCORES], False, ""),
        ([IMAGE], [Port("y", (None, 1, 1, 10), "uint8")], False, ""),
        ([IMAGE], [SCORES], True, "keeps state"),
        ([IMAGE, IMAGE], [SCORES], False, "2 inputs"),
        ([IMAGE], [SCORES, SCORES], False, "2 outputs"),
        ([], [SCORES], False, "0 inputs"),
        ([Port("x", (None, 20), "int32")], [SCORES], False, "indices"),
        ([Port("x", (None, None, None, 3), "float32")], [SCORES], False, "open sizes"),
        ([Port("x", (), "float32")], [SCORES], False, "no batch"),
        ([IMAGE], [Port("y", (None, 8, 8), "float32")], False, "is a map"),
        ([IMAGE], [Port("y", (None, None), "float32")], False, "--input-shape"),
        ([IMAGE], [Port("y", (10,), "float32")], False, "not one row"),
        ([IMAGE], [Port("y", (None, 10), "seq(map(int64,tensor(float)))")], False, "no scores"),
    ],
)
def test_what_cannot_be_attacked_is_named(
    inputs: list[Port], outputs: list[Port], stateful: bool, why: str
) -> None:
    task = find_task(ModelContract(tuple(inputs), tuple(outputs), stateful))
    assert task.kind == ("other" if why else "classifier")
    assert why in task.reason
    assert task.classes == (0 if why else 10)
