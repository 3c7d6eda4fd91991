from __future__ import annotations

import inspect
import json
import re
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import helpers.edge.tflite.structure as structure
from helpers.edge.tflite.graph import read_graph
from helpers.edge.tflite.structure import check_structure
from helpers.errors import EdgeError
from tests.edge.conftest import WAKE_WORDS, wake_word

SIZES = {
    "Bool": 1, "Uint8": 1, "Int8": 1, "Uint16": 2, "Int16": 2, "Uint32": 4, "Int32": 4,
    "Uint64": 8, "Int64": 8, "Float32": 4, "Float64": 8,
}  # fmt: skip


def field_kind(body: str) -> str:
    """What a generated accessor reads, in the words of schema.json."""
    if ".Union(" in body:
        return "union"
    if "Indirect" in body:
        table = re.search(r"obj = (\w+)\(\)", body)[1]  # type: ignore[index]
        return f"tables:{table}" if ".Vector(" in body else f"table:{table}"
    if ".Vector(" in body:
        return f"vector:{SIZES[re.search(r'number_types.(.+?)Flags, a', body)[1]]}"  # type: ignore[index]
    if ".String(" in body:
        return "string"
    return f"scalar:{SIZES[re.search(r'number_types.([A-Z][a-z0-9]+)Flags, o', body)[1]]}"  # type: ignore[index]


def test_the_schema_is_that_of_the_reader_classes_litert_ships() -> None:
    from ai_edge_litert import schema_py_generated as generated

    ours = json.loads(Path(structure.__file__).with_name("schema.json").read_text())
    source = inspect.getsource(generated)
    found = {}
    for name, body in re.findall(
        r"^class (\w+)\(object\):\n(?=    __slots__)(.*?)(?=^(?:class|def) |\Z)",
        source,
        re.S | re.M,
    ):
        fields = {}
        for method, code in re.findall(
            r"    def (\w+)\(self[^)]*\):\n(.*?)(?=\n    def |\n    @|\Z)", body, re.S
        ):
            slot = re.search(r"Offset\((\d+)\)\)", code)
            if slot and not method.endswith(("AsNumpy", "Length", "IsNone")):
                fields[slot[1]] = field_kind(code)
        found[name] = fields
    assert found.keys() == ours["tables"].keys()
    for name, fields in found.items():
        stored = {slot: kind.split(":")[0] if kind.startswith("union") else kind
                  for slot, kind in ours["tables"][name].items()}  # fmt: skip
        assert fields == stored, name
    for union, members in ours["unions"].items():
        kinds = {
            str(v): k for k, v in vars(getattr(generated, union)).items() if isinstance(v, int)
        }
        assert members == {number: kind for number, kind in kinds.items() if kind != "NONE"}


@pytest.mark.parametrize("name", WAKE_WORDS)
def test_a_real_file_is_sound(name: str) -> None:
    check_structure(wake_word(name).read_bytes())


def test_a_file_cut_anywhere_is_refused() -> None:
    content = wake_word("alexa").read_bytes()
    for end in [*range(0, 64), *range(64, len(content), 997)]:
        with pytest.raises(EdgeError):
            read_graph(content[:end])


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_noise_is_refused_and_nothing_else_is_raised(noise: bytes) -> None:
    with pytest.raises(EdgeError):
        read_graph(noise)
    with pytest.raises(EdgeError):
        read_graph(noise[:4] + b"TFL3" + noise[4:])


def test_another_format_is_named() -> None:
    with pytest.raises(EdgeError, match="no TensorFlow Lite model"):
        check_structure(b"\x89PNG\r\n\x1a\n" + bytes(64))


def test_a_vector_longer_than_the_file_is_refused() -> None:
    content = bytearray(wake_word("alexa").read_bytes())
    root = struct.unpack_from("<I", content)[0]
    vtable = root - struct.unpack_from("<i", content, root)[0]
    subgraphs = root + struct.unpack_from("<H", content, vtable + 8)[0]
    vector = subgraphs + struct.unpack_from("<I", content, subgraphs)[0]
    struct.pack_into("<I", content, vector, 0x7FFFFFFF)
    with pytest.raises(EdgeError, match=r"2,147,483,647 items .* leave the file"):
        check_structure(bytes(content))
