"""Model files, damaged: by accident, and by somebody who knows the format."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

NASTY = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
SIZES = (-(2**31), -1, 0, 1, 3, 2**16, 2**31 - 1)

Mutator = Callable[[bytes, np.random.Generator], bytes]


def flip_bits(content: bytes, rng: np.random.Generator) -> bytes:
    """Flip one to eight bits."""
    damaged = bytearray(content)
    for _ in range(int(rng.integers(1, 9))):
        damaged[int(rng.integers(len(damaged)))] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def flip_early_bits(content: bytes, rng: np.random.Generator) -> bytes:
    """Flip bits where a file keeps its structure rather than its weights."""
    return flip_bits(content[:2048], rng) + content[2048:]


def set_words(content: bytes, rng: np.random.Generator) -> bytes:
    """Replace aligned words by values at the edges of their types."""
    damaged = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        at = int(rng.integers(len(damaged) // 4)) * 4
        if at + 4 <= len(damaged):
            struct.pack_into("<I", damaged, at, NASTY[int(rng.integers(len(NASTY)))])
    return bytes(damaged)


def swap_words(content: bytes, rng: np.random.Generator) -> bytes:
    """Swap aligned words, so that offsets point at what others pointed at."""
    damaged = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        one, other = (int(rng.integers(len(damaged) // 4)) * 4 for _ in range(2))
        first, second = damaged[one : one + 4], damaged[other : other + 4]
        damaged[one : one + 4], damaged[other : other + 4] = second, first
    return bytes(damaged)


def truncate(content: bytes, rng: np.random.Generator) -> bytes:
    """Cut the end off."""
    return content[: int(rng.integers(8, len(content)))]


def edit_flatbuffer(content: bytes, rng: np.random.Generator) -> bytes:
    """Change one to three fields of a ``.tflite`` and write it well-formed."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(bytearray(content), 0)
    for _ in range(int(rng.integers(1, 4))):
        _edit_part(model.subgraphs[0], model, rng)
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _edit_part(part: Any, model: Any, rng: np.random.Generator) -> None:
    tensor = part.tensors[int(rng.integers(len(part.tensors)))]
    operation = part.operators[int(rng.integers(len(part.operators)))]
    kind = int(rng.integers(8))
    if kind == 0 and tensor.shape is not None and len(tensor.shape):
        tensor.shape = np.array(tensor.shape)
        tensor.shape[int(rng.integers(len(tensor.shape)))] = _choose(SIZES, rng)
    elif kind == 1:
        tensor.type = int(rng.integers(20))
    elif kind == 2:
        tensor.buffer = int(rng.integers(len(model.buffers)))
    elif kind == 3 and len(operation.inputs):
        operation.inputs = np.array(operation.inputs)
        operation.inputs[int(rng.integers(len(operation.inputs)))] = int(
            rng.integers(-1, len(part.tensors) + 1)
        )
    elif kind == 4:
        operation.opcodeIndex = int(rng.integers(len(model.operatorCodes)))
    elif kind == 5:
        code = model.operatorCodes[int(rng.integers(len(model.operatorCodes)))]
        code.builtinCode = code.deprecatedBuiltinCode = int(rng.integers(127))
    elif kind == 6 and operation.builtinOptions is not None:
        names = [n for n, v in vars(operation.builtinOptions).items() if type(v) is int]
        if names:  # of which some hold eight bits, some 32
            name = names[int(rng.integers(len(names)))]
            setattr(operation.builtinOptions, name, int(rng.integers(-2, 128)))
    elif kind == 7 and tensor.quantization is not None and tensor.quantization.scale is not None:
        scales = np.array(tensor.quantization.scale, np.float32)
        scales[:] = _choose((0.0, -1.0, 1e-38, 1e38, float("nan"), float("inf")), rng)
        tensor.quantization.scale = scales


def edit_onnx(content: bytes, rng: np.random.Generator) -> bytes:
    """Change one to three fields of an ``.onnx`` and write it well-formed."""
    import onnx

    model = onnx.load_model_from_string(content)
    for _ in range(int(rng.integers(1, 4))):
        _edit_onnx_graph(onnx, model.graph, rng)
    data: bytes = model.SerializeToString()
    return data


def _edit_onnx_graph(onnx: Any, graph: Any, rng: np.random.Generator) -> None:
    node = graph.node[int(rng.integers(len(graph.node)))]
    kind = int(rng.integers(6))
    if kind == 0 and graph.initializer:
        tensor = graph.initializer[int(rng.integers(len(graph.initializer)))]
        if tensor.dims:
            tensor.dims[int(rng.integers(len(tensor.dims)))] = _choose(SIZES, rng)
    elif kind == 1 and graph.initializer:
        tensor = graph.initializer[int(rng.integers(len(graph.initializer)))]
        tensor.data_type = int(rng.integers(24))
    elif kind == 2 and graph.initializer:
        tensor = graph.initializer[int(rng.integers(len(graph.initializer)))]
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="/etc/passwd")
    elif kind == 3 and node.input:
        node.input[int(rng.integers(len(node.input)))] = node.output[0] if node.output else ""
    elif kind == 4:
        node.op_type = _choose(("Loop", "If", "Reshape", "Conv", "Expand", "Tile", "Gather"), rng)
    elif kind == 5 and node.attribute:
        attribute = node.attribute[int(rng.integers(len(node.attribute)))]
        attribute.i = _choose(SIZES, rng)
        for place in range(len(attribute.ints)):
            attribute.ints[place] = _choose(SIZES, rng)


def edit_keras(content: bytes, rng: np.random.Generator) -> bytes:
    """Change numbers and class names in a ``.keras`` file's configuration, and zip it again."""
    names = ("Lambda", "Dense", "Functional", "os.system", "TFOpLambda", "InputLayer")

    def edited(value: Any, depth: int = 0) -> Any:
        if isinstance(value, dict):
            return {key: edited(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list):
            return [edited(item, depth + 1) for item in value]
        if rng.random() > 0.02:
            return value
        if type(value) is int:
            return _choose((*SIZES, 10**18), rng)
        return _choose(names, rng) if isinstance(value, str) else [value]

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["config.json"] = json.dumps(edited(json.loads(parts["config.json"]))).encode()
    return _zipped(parts)


def inflate_keras(content: bytes, rng: np.random.Generator) -> bytes:
    """Replace a part of a ``.keras`` file by hundreds of megabytes of zeros, zipped small."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = _choose(sorted(parts), rng)
    parts[name] = parts[name] + bytes(int(rng.integers(200, 800)) * 2**20)
    return _zipped(parts)


def _zipped(parts: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return file.getvalue()


def _choose(values: Any, rng: np.random.Generator) -> Any:
    return values[int(rng.integers(len(values)))]


BYTES: dict[str, Mutator] = {
    "bits": flip_bits,
    "early bits": flip_early_bits,
    "words": set_words,
    "swaps": swap_words,
    "cut": truncate,
}
MUTATORS: dict[str, dict[str, Mutator]] = {
    "tflite": {**BYTES, "fields": edit_flatbuffer},
    "onnx": {**BYTES, "fields": edit_onnx},
    "keras": {**BYTES, "fields": edit_keras, "inflated": inflate_keras},
    "h5": BYTES,
}
