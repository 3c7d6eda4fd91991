"""Is every offset of this FlatBuffer inside the file? The check TensorFlow Lite leaves out.

A FlatBuffer is a file of tables that point at each other with relative offsets; readers follow
them without looking. This walks every table of a model from its root, against the schema of
TensorFlow Lite (``schema.json``, derived from the reader classes that LiteRT ships), and refuses
the file at the first offset, length or union type that does not hold. The rules are those of the
FlatBuffers verifier (https://flatbuffers.dev/internals/): bounds, alignment, vtables, terminated
strings, and a limit on the number of tables.
"""

from __future__ import annotations

import functools
import json
import struct
from pathlib import Path
from typing import Any, NoReturn

from helpers.errors import EdgeError

IDENTIFIER = b"TFL3"
MAX_BYTES = 2**31 - 1  # offsets are signed 32 bits
MAX_TABLES = 1_000_000  # a few kilobytes can point at one table a million times


def check_structure(data: bytes) -> None:
    """Check that a ``.tflite`` file is a well-formed FlatBuffer of TensorFlow Lite's schema.

    Parameters
    ----------
    data
        The whole file.

    Raises
    ------
    EdgeError
        If the file is too short or too large, has another format, or an offset, length, alignment
        or union type in it is wrong; the message says where.
    """
    if len(data) < 16:
        raise EdgeError(f"The file has {len(data)} bytes: too short for a TensorFlow Lite model.")
    if len(data) > MAX_BYTES:
        raise EdgeError(f"The file has {len(data):,} bytes; a FlatBuffer ends at {MAX_BYTES:,}.")
    if data[4:8] != IDENTIFIER:
        raise EdgeError(
            f"The file is no TensorFlow Lite model: bytes 4 to 8 are {data[4:8]!r} and must be "
            f"{IDENTIFIER!r}."
        )
    _Walk(data).root()


@functools.cache
def _schema() -> dict[str, Any]:
    text = Path(__file__).with_name("schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    schema["tables"] = {
        name: [(int(slot), *kind.partition(":")[::2]) for slot, kind in fields.items()]
        for name, fields in schema["tables"].items()
    }
    return schema


class _Walk:
    """One walk over one file; ``visited`` keeps shared tables from being walked twice."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._visited: set[tuple[int, str]] = set()
        self._pending: list[tuple[int, str]] = []

    def root(self) -> None:
        self._queue(self._offset(0, "the root"), "Model")
        while self._pending:
            self._table(*self._pending.pop())

    def _queue(self, at: int, name: str) -> None:
        if (at, name) in self._visited:
            return
        self._visited.add((at, name))
        if len(self._visited) > MAX_TABLES:
            _refuse("the file", at, f"more than {MAX_TABLES:,} tables")
        self._pending.append((at, name))

    def _read(self, layout: str, at: int, what: str) -> int:
        size = struct.calcsize(layout)
        if at < 0 or at + size > len(self._data):
            _refuse(what, at, f"{size} bytes reach outside the file of {len(self._data)} bytes")
        if at % size:
            _refuse(what, at, f"not aligned to {size} bytes")
        value: int = struct.unpack_from(layout, self._data, at)[0]
        return value

    def _offset(self, at: int, what: str) -> int:
        """Follow a forward offset; zero would point at itself."""
        distance = self._read("<I", at, what)
        if not 0 < distance < len(self._data) - at:
            _refuse(what, at, f"its offset {distance} leaves the file of {len(self._data)} bytes")
        return at + distance

    def _table(self, at: int, name: str) -> None:
        vtable = at - self._read("<i", at, name)
        vtable_size = self._read("<H", vtable, f"{name}'s vtable")
        table_size = self._read("<H", vtable + 2, f"{name}'s vtable")
        if vtable_size < 4 or vtable_size % 2 or vtable + vtable_size > len(self._data):
            _refuse(f"{name}'s vtable", vtable, f"impossible size {vtable_size}")
        if table_size < 4 or at + table_size > len(self._data):
            _refuse(name, at, f"impossible size {table_size}")
        for slot, kind, detail in _schema()["tables"][name]:
            if slot + 2 > vtable_size:
                continue
            inside = self._read("<H", vtable + slot, f"{name}'s vtable")
            if inside:
                size = int(detail) if kind == "scalar" else 4
                if inside < 4 or inside + size > table_size:
                    _refuse(name, at, f"field {slot} lies at {inside} of {table_size} bytes")
                self._field(at + inside, kind, detail, f"{name} field {slot}")
            if kind == "union":
                self._union(at, vtable, slot, at + inside if inside else 0, detail)

    def _field(self, at: int, kind: str, detail: str, what: str) -> None:
        if kind == "scalar":
            if at % int(detail):
                _refuse(what, at, f"not aligned to {detail} bytes")
        elif kind == "table":
            self._queue(self._offset(at, what), detail)
        elif kind == "string":
            end = self._vector(at, 1, what)
            if end >= len(self._data) or self._data[end]:
                _refuse(what, end, "a string without its final zero")
        elif kind == "vector":
            self._vector(at, int(detail), what)
        elif kind == "tables":
            end = self._vector(at, 4, what)
            start = self._offset(at, what) + 4
            for item in range(start, end, 4):
                self._queue(self._offset(item, what), detail)

    def _vector(self, at: int, size: int, what: str) -> int:
        """Check a vector of items of ``size`` bytes; return where it ends."""
        start = self._offset(at, what)
        count = self._read("<I", start, what)
        if count * size > len(self._data) - start - 4:
            _refuse(what, start, f"{count:,} items of {size} bytes leave the file")
        if count and (start + 4) % size:
            _refuse(what, start, f"items not aligned to {size} bytes")
        return start + 4 + count * size

    def _union(self, at: int, vtable: int, slot: int, field: int, detail: str) -> None:
        """Check a union: the slot before it says which table it holds."""
        inside = self._read("<H", vtable + slot - 2, detail)
        kind = self._data[at + inside] if inside else 0
        if bool(kind) != bool(field):
            _refuse(detail, at, f"type {kind} {'without' if kind else 'with'} a value")
        if not kind:
            return
        name = _schema()["unions"][detail].get(str(kind))
        if name is None:
            _refuse(detail, at, f"unknown type {kind}")
        self._queue(self._offset(field, detail), name)


def _refuse(what: str, at: int, why: str) -> NoReturn:
    raise EdgeError(f"The .tflite file is damaged: {what} at byte {at}: {why}.")
