"""Plain data, and its form on a JSON pipe.

A check compares *plain data* only: ``None``, booleans, numbers, strings, bytes, lists, tuples,
dicts and NumPy arrays of numbers. :func:`plain` copies a learner's result into that form without
calling a method that the learner could have written; :func:`dumps` and :func:`loads` carry it
between processes without pickle. Whatever arrives is validated before it is used.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import sys
from typing import Any

import numpy as np

from helpers._reading import parse_json
from helpers.errors import CourseError

MAX_BYTES = 64 * 2**20  # of one message, encoded
MAX_ITEMS = 1_000_000  # values in one message, an array counts as one
MAX_DEPTH = 20
MAX_INT_BITS = 1024
# Integers that differ by this have one hash: a dict of them takes time by their number squared.
_HASH_MODULUS = sys.hash_info.modulus
# bool, signed and unsigned integers, floats, complex: little-endian, fixed width
_INTEGERS = ("|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "<u4", "<u8")
DTYPES = ("|b1", *_INTEGERS, "<f2", "<f4", "<f8", "<c8", "<c16")
_TAG = "~"


class WireError(CourseError):
    """A value is not plain data, or a message is not a well-formed one."""


def plain(value: Any) -> Any:
    """Copy a value into fresh plain data.

    Subclasses of list, tuple and dict become the plain type, NumPy scalars become Python numbers,
    arrays become contiguous little-endian copies, and TensorFlow tensors become arrays.

    Raises
    ------
    WireError
        If the value, or something inside it, is not plain data; the message says what to return
        instead.
    """
    return _plain(value, 0, [0])


def _plain(value: Any, depth: int, count: list[int]) -> Any:
    count[0] += 1
    if depth > MAX_DEPTH:
        raise WireError(f"nested more than {MAX_DEPTH} levels deep")
    if count[0] > MAX_ITEMS:
        raise WireError(f"more than {MAX_ITEMS:,} values; return a NumPy array instead of lists")
    kind = type(value)
    if value is None or kind in (bool, float, complex, str, bytes):
        return value
    if kind is int:
        if value.bit_length() > MAX_INT_BITS:
            raise WireError(f"an integer of {value.bit_length()} bits (limit {MAX_INT_BITS})")
        return value
    if kind is np.ndarray:
        return _plain_array(value)
    # Unbound methods of the built-in types: a learner's subclass cannot answer in their place.
    if issubclass(kind, list):
        return [_plain(item, depth + 1, count) for item in list.__iter__(value)]
    if issubclass(kind, tuple):
        return tuple(_plain(item, depth + 1, count) for item in tuple.__iter__(value))
    if issubclass(kind, dict):
        return {_plain_key(key): _plain(item, depth + 1, count) for key, item in dict.items(value)}
    return _plain_foreign(value, kind)


def _plain_array(array: np.ndarray) -> Any:
    if array.dtype.kind == "U":
        return array.tolist()
    dtype = array.dtype.newbyteorder("<")
    if dtype.str not in DTYPES:
        raise WireError(f"an array of dtype {array.dtype}; return an array of numbers")
    if array.nbytes > MAX_BYTES:
        raise WireError(f"an array of {array.nbytes:,} bytes (limit {MAX_BYTES:,})")
    return np.array(array, dtype=dtype, order="C", copy=True)


def _plain_key(key: Any) -> Any:
    if isinstance(key, np.generic) and type(key).__module__ == "numpy":
        key = key.item()
    if type(key) not in (str, int, bool):
        raise WireError(f"a dict key of type {type(key).__name__}; use strings or integers")
    if type(key) is int and abs(key) >= _HASH_MODULUS:
        raise WireError("a dict key of more than 60 bits; use strings or small integers")
    return key


def _plain_foreign(value: Any, kind: type) -> Any:
    if issubclass(kind, np.generic) and kind.__module__ == "numpy":
        item = value.item()
        if type(item) in (bool, int, float, complex, str, bytes):
            return item
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None and issubclass(kind, tensorflow.Tensor | tensorflow.Variable):
        try:
            return _plain_array(np.array(value.numpy()))
        except (AttributeError, NotImplementedError):
            raise WireError("a symbolic tensor, which has no value; return an array") from None
    if issubclass(kind, np.ndarray):
        raise WireError(f"a {kind.__name__}, a special kind of array; return np.asarray(...) of it")
    if issubclass(kind, set | frozenset | range):
        raise WireError(f"a {kind.__name__}; return a list")
    raise WireError(
        f"an object of type {kind.__name__}; return numbers, strings, bytes, lists, "
        "dicts or NumPy arrays"
    )


def text_room(value: Any) -> int:
    """Return the bytes of the array that NumPy would make of a value's texts.

    An array gives each of its texts the room of the longest: a list of one text of ten million
    characters and ten thousand short ones, a small message, would become 400 GB.
    """
    count, longest, waiting = 0, 0, [value]
    while waiting:
        item = waiting.pop()
        count += 1
        if isinstance(item, list | tuple):
            waiting += item
        elif isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, str | bytes):
            longest = max(longest, len(item) * (4 if isinstance(item, str) else 1))
    return count * longest


def encode(value: Any) -> Any:
    """Return the JSON form of plain data: what JSON lacks is a dict tagged with ``"~"``."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {_TAG: "float", "v": repr(value)}
    if isinstance(value, list):
        return [encode(item) for item in value]
    if isinstance(value, tuple):
        return {_TAG: "tuple", "v": [encode(item) for item in value]}
    if isinstance(value, dict):
        return {_TAG: "dict", "v": [[encode(key), encode(item)] for key, item in value.items()]}
    if isinstance(value, complex):
        return {_TAG: "complex", "v": [encode(value.real), encode(value.imag)]}
    if isinstance(value, bytes):
        return {_TAG: "bytes", "v": base64.b64encode(value).decode("ascii")}
    return {
        _TAG: "array",
        "dtype": value.dtype.str,
        "shape": list(value.shape),
        "v": base64.b64encode(value.tobytes()).decode("ascii"),
    }


def dumps(value: Any, max_bytes: int = MAX_BYTES) -> bytes:
    """Return a value as one line of ASCII JSON, without the newline.

    Raises
    ------
    WireError
        If the value is not plain data or the message is longer than `max_bytes`.
    """
    message = json.dumps(encode(plain(value)), allow_nan=False, separators=(",", ":")).encode()
    if len(message) > max_bytes:
        raise WireError(f"a message of {len(message):,} bytes (limit {max_bytes:,})")
    return message


def loads(message: bytes, max_bytes: int = MAX_BYTES) -> Any:
    """Read what :func:`dumps` wrote, trusting nothing about it.

    Raises
    ------
    WireError
        If the message is too long, is not JSON, or holds anything that :func:`dumps` cannot write.
    """
    if len(message) > max_bytes:
        raise WireError(f"a message of {len(message):,} bytes (limit {max_bytes:,})")
    try:
        tree = parse_json(message)
    except (ValueError, RecursionError) as error:
        raise WireError(f"not a JSON message: {type(error).__name__}") from None
    return plain(_decode(tree, 0))


def _decode(tree: Any, depth: int) -> Any:
    if depth > 2 * MAX_DEPTH:
        raise WireError("nested too deep")
    if isinstance(tree, list):
        return [_decode(item, depth + 1) for item in tree]
    if not isinstance(tree, dict):
        return tree
    tag = tree.get(_TAG)
    decoder = _DECODERS.get(tag) if isinstance(tag, str) else None
    if decoder is None or "v" not in tree:
        raise WireError("an object without a known tag")
    return decoder(tree, depth + 1)


def _items(tree: Any, length: int | None = None) -> list[Any]:
    if not isinstance(tree, list) or (length is not None and len(tree) != length):
        raise WireError("a list was expected inside the message")
    return tree


def _decode_float(tree: dict[str, Any], depth: int) -> float:
    if tree["v"] not in ("nan", "inf", "-inf"):
        raise WireError("an unknown special float")
    return float(tree["v"])


def _decode_complex(tree: dict[str, Any], depth: int) -> complex:
    real, imag = (_decode(part, depth) for part in _items(tree["v"], 2))
    if type(real) is not float or type(imag) is not float:
        raise WireError("a complex number whose parts are not floats")
    return complex(real, imag)


def _decode_dict(tree: dict[str, Any], depth: int) -> dict[Any, Any]:
    pairs = [_items(pair, 2) for pair in _items(tree["v"])]
    keys = [_plain_key(key) for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise WireError("a dict with a repeated key")
    return {key: _decode(item, depth) for key, (_, item) in zip(keys, pairs, strict=True)}


def _decode_tuple(tree: dict[str, Any], depth: int) -> tuple[Any, ...]:
    return tuple(_decode(item, depth) for item in _items(tree["v"]))


def _decode_bytes(tree: dict[str, Any], depth: int) -> bytes:
    if not isinstance(tree["v"], str):
        raise WireError("bytes that are not base64 text")
    try:
        return base64.b64decode(tree["v"], validate=True)
    except (binascii.Error, ValueError):
        raise WireError("bytes that are not base64 text") from None


def _decode_array(tree: dict[str, Any], depth: int) -> np.ndarray:
    dtype, shape = tree.get("dtype"), _items(tree.get("shape"))
    if dtype not in DTYPES or len(shape) > 32:
        raise WireError("an array of an unknown dtype or of too many dimensions")
    if any(type(size) is not int or not 0 <= size <= MAX_BYTES for size in shape):
        raise WireError("an array with an impossible shape")
    data = _decode_bytes(tree, depth)
    if len(data) != math.prod(shape) * np.dtype(dtype).itemsize:
        raise WireError("an array whose data does not fill its shape")
    if dtype == "|b1" and data.strip(b"\0\1"):
        raise WireError("a boolean array with a byte that is neither 0 nor 1")
    try:
        return np.frombuffer(data, dtype=dtype).reshape(shape)
    except ValueError:  # no value, and yet too many along the other axes
        raise WireError("an array with an impossible shape") from None


_DECODERS = {
    "float": _decode_float,
    "complex": _decode_complex,
    "dict": _decode_dict,
    "tuple": _decode_tuple,
    "bytes": _decode_bytes,
    "array": _decode_array,
}
