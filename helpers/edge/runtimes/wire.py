"""Messages between a caller and a worker process: JSON and raw arrays, never pickles.

A worker runs files that nobody vouches for, so what it answers is not trusted either: nothing in an
answer is executed, and its size and element types are checked before memory is set aside for it.
Only the standard library and NumPy are needed, because a worker may live in another environment.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_HEADER = 16 * 2**20
MAX_PAYLOAD = 2**31
MAX_RANK = 32  # NumPy's own; the product of a million sizes would take hours
_WHOLE = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
DTYPES = frozenset(("bool", *_WHOLE, "float16", "float32", "float64"))
_PREFIX = struct.Struct("<IQ")


class WireError(Exception):
    """The other side said something that is no message."""


def pack(header: dict[str, Any], arrays: Sequence[NDArray[Any]] = (), blob: bytes = b"") -> bytes:
    """Return a message.

    Parameters
    ----------
    header
        Plain JSON values.
    arrays
        Arrays that travel with it.
    blob
        Bytes that travel with it, such as a model file.
    """
    described = [[a.dtype.name, *a.shape] for a in arrays]
    text = json.dumps({**header, "arrays": described, "blob": len(blob)}).encode()
    body = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays) + blob
    return _PREFIX.pack(len(text), len(body)) + text + body


def unpack(
    read: Callable[[int], bytes], max_header: int = MAX_HEADER, max_payload: int = MAX_PAYLOAD
) -> tuple[dict[str, Any], list[NDArray[Any]], bytes]:
    """Read one message.

    Parameters
    ----------
    read
        Returns exactly so many bytes, or raises.
    max_header, max_payload
        Bytes that the header, and the arrays and blob together, may have.

    Returns
    -------
    tuple
        Header, arrays and blob.

    Raises
    ------
    WireError
        If the message is malformed or larger than allowed.
    """
    text_size, body_size = _PREFIX.unpack(read(_PREFIX.size))
    if text_size > max_header or body_size > max_payload:
        raise WireError(f"a message of {text_size:,} + {body_size:,} bytes is too large")
    try:
        header = json.loads(read(text_size))
        arrays = [
            (str(kind), tuple(int(size) for size in sizes)) for kind, *sizes in header.pop("arrays")
        ]
        blob_size = int(header.pop("blob"))
    # Lists within lists exhaust the stack, and an infinite size is no whole number.
    except (
        ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError
    ) as error:  # fmt: skip
        raise WireError(f"a message without a proper header ({error!r})") from error
    return header, *_split(read(body_size), arrays, blob_size)


def _split(
    body: bytes, described: list[tuple[str, tuple[int, ...]]], blob_size: int
) -> tuple[list[NDArray[Any]], bytes]:
    sizes = []
    for dtype, shape in described:
        sane = len(shape) <= MAX_RANK and all(0 <= size <= MAX_PAYLOAD for size in shape)
        if dtype not in DTYPES or not sane:
            raise WireError(f"an array of type {dtype[:40]!r} and shape {shape[:MAX_RANK]}")
        sizes.append(math.prod(shape) * np.dtype(dtype).itemsize)
    if sum(sizes) + blob_size != len(body) or blob_size < 0:
        raise WireError("a message whose arrays do not have the announced size")
    arrays, at = [], 0
    for (dtype, shape), size in zip(described, sizes, strict=True):
        try:
            array = np.frombuffer(body, dtype, math.prod(shape), at).reshape(shape)
        except ValueError:  # no value at all, and yet too many along the other axes
            raise WireError(f"an array of the impossible shape {shape}") from None
        arrays.append(array.copy())
        at += size
    return arrays, body[at:]
