"""Inside the sandbox: what is in a model file, as plain values. Nothing here is trusted."""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from math import prod
from typing import Any

from helpers.edge.arena import plan_arena
from helpers.edge.macs import count_costs
from helpers.edge.runtimes.backends import Backend
from helpers.edge.tflite.graph import Graph, Tensor
from helpers.errors import EdgeError

_STANDARD_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
_MAX_CONFIG = 2**24


def describe_contract(backend: Backend, stateful: bool) -> dict[str, Any]:
    """Return what a loaded model takes and gives."""
    sides = zip(
        ("inputs", "outputs"), (backend.contract.inputs, backend.contract.outputs),
        backend.open_shapes(), strict=True,
    )  # fmt: skip
    contract: dict[str, Any] = {
        name: [
            {
                "name": item.name[:1000],
                "shape": shape,
                "dtype": item.dtype,
                "scale": item.scale,
                "zero_point": item.zero_point,
            }
            for item, shape in zip(items, shapes, strict=True)
        ]
        for name, items, shapes in sides
    }
    return {**contract, "stateful": stateful or backend.contract.stateful}


def describe_tflite(graph: Graph | None, data: bytes, unreadable: str) -> dict[str, Any]:
    """Return what is in a ``.tflite`` file; without a graph only why there is none."""
    if graph is None:
        return {**_description([], [], {}), "unreadable": unreadable}
    every = [graph, *graph.others]
    kinds = [operation.kind for part in every for operation in part.operations]
    weights = [
        tensor
        for part in every
        for tensor in part.tensors
        if tensor.data is not None and (tensor.data.dtype.kind == "f" or len(tensor.scales))
    ]
    computed = Counter(t.dtype for t in graph.tensors if t.data is None and t.dtype != "resource")
    arena = plan_arena(graph)
    return {
        **_description(kinds, _custom(kinds), _tflite_metadata(data)),
        "parameters": sum(tensor.size for tensor in weights),
        "weight_bytes": sum(tensor.num_bytes for tensor in weights),
        "weight_types": _sizes(weights),
        "activation_types": dict(computed),
        "per_channel": any(len(tensor.scales) > 1 for tensor in weights),
        "macs": count_costs(graph).macs,
        "arena_bytes": arena.planned_bytes,
        "state_bytes": arena.state_bytes,
    }


def _description(
    kinds: Iterable[str], custom: Iterable[str], metadata: dict[str, str]
) -> dict[str, Any]:
    return {
        "operators": dict(Counter(kinds).most_common(500)),
        "custom_operators": sorted(set(custom))[:100],
        "parameters": 0, "weight_bytes": 0, "weight_types": {}, "activation_types": {},
        "per_channel": False, "macs": None, "arena_bytes": None, "state_bytes": None,
        "metadata": {
            name[:1000]: value[:2000] for name, value in list(metadata.items())[:100] if value
        },
        "notes": [], "unreadable": "",
    }  # fmt: skip


def _custom(kinds: Iterable[str]) -> list[str]:
    return [kind.removeprefix("CUSTOM:") for kind in kinds if kind.startswith("CUSTOM:")]


def _sizes(tensors: list[Tensor]) -> dict[str, int]:
    sizes: Counter[str] = Counter()
    for tensor in tensors:
        sizes[tensor.dtype] += tensor.size
    return dict(sizes)


def _tflite_metadata(data: bytes) -> dict[str, str]:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(data, 0)
    said = {"description": (model.Description() or b"").decode("utf-8", "replace")}
    for index in range(min(50, model.MetadataLength())):
        entry = model.Metadata(index)
        name = (entry.Name() or b"").decode("utf-8", "replace")
        if entry.Buffer() < model.BuffersLength():
            content = model.Buffers(entry.Buffer())
            size = content.DataLength()
            start = content.DataAsNumpy()[:200].tobytes().rstrip(b"\0") if size else b""
            text = start.decode("ascii", "replace")
            said[name] = text if text.isprintable() and text else f"{size:,} bytes"
    return said


def describe_onnx(data: bytes) -> dict[str, Any]:
    """Return what is in an ``.onnx`` file.

    Raises
    ------
    EdgeError
        If its weights lie in other files.
    """
    import onnx

    model = onnx.load_model_from_string(data)
    outside = [
        t.name for t in model.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL
    ]
    if outside:
        raise EdgeError(
            f"{len(outside)} weights lie in other files ({outside[0]!r} first): an audit takes one "
            "file. Save the model with its weights inside (onnx.save_model with "
            "save_as_external_data=False)"
        )
    nodes = list(_nodes([*model.graph.node, *(n for f in model.functions for n in f.node)]))
    foreign = [f"{n.domain}::{n.op_type}" for n in nodes if n.domain not in _STANDARD_DOMAINS]
    types: Counter[str] = Counter()
    size = 0
    inside = [
        a.t for n in nodes if n.op_type == "Constant" for a in n.attribute if a.name == "value"
    ]
    for tensor in (*model.graph.initializer, *inside):
        kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        types[kind.name] += prod(tensor.dims)
        size += prod(tensor.dims) * kind.itemsize
    metadata = {
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "description": model.doc_string,
        **{entry.key: entry.value for entry in model.metadata_props},
    }
    return {
        **_description([node.op_type for node in nodes], foreign, metadata),
        "parameters": sum(types.values()),
        "weight_bytes": size,
        "weight_types": dict(types),
    }


def _nodes(nodes: Iterable[Any]) -> Iterator[Any]:
    """Yield nodes and those of the branches and loops inside them."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for part in (attribute.g, *attribute.graphs):
                yield from _nodes(part.node)


def explain(said: str, description: dict[str, Any], data: bytes) -> str:
    """Return what a runtime's refusal means, or nothing where it speaks for itself."""
    if "unresolved custom op" in said:
        names = ", ".join(description["custom_operators"][:10])
        return f"the operations {names} are the maker's own: only the maker's program runs them"
    if description["unreadable"]:
        return f"{description['unreadable']} The runtime says: {said}"
    sizes = _open_inputs(data) if data[4:8] == b"TFL3" else []
    if sizes and "Select TensorFlow op" not in said:
        return (
            f"its input leaves sizes open ({sizes[0]}), and it does not run until they are fixed: "
            f"say --input-shape, or export it with fixed sizes. The runtime says: {said}"
        )
    return ""


def _open_inputs(data: bytes) -> list[str]:
    """Return the shapes of inputs that leave more than the batch open."""
    from ai_edge_litert import schema_py_generated as schema

    part = schema.Model.GetRootAs(data, 0).Subgraphs(0)
    tensors = [part.Tensors(part.Inputs(index)) for index in range(part.InputsLength())]
    shapes = [
        [tensor.ShapeSignature(place) for place in range(tensor.ShapeSignatureLength())]
        for tensor in tensors
    ]
    return [
        " x ".join("?" if size < 0 else str(size) for size in shape)
        for shape in shapes
        if min(shape[1:], default=0) < 0
    ]


def find_code_in_keras(data: bytes) -> list[str]:
    """Return what in a Keras file runs code of its author when it is loaded.

    Raises
    ------
    EdgeError
        If the file holds no configuration that can be read.
    """
    try:
        parts = list(_parts(json.loads(_keras_config(data))))
    # JSON spells a letter in several ways and Keras reads them all, so it is read as Keras does.
    except (ValueError, RecursionError) as error:
        raise EdgeError(f"the file's configuration is no JSON: {error}") from error
    found = []
    lambdas = sum(part.get("class_name") in ("Lambda", "__lambda__") for part in parts)
    if lambdas:
        found.append(
            f"The file holds {lambdas} Lambda layer(s) or function(s): whoever loads it runs its "
            "author's Python code."
        )
    modules = {str(part["module"]) for part in parts if part.get("class_name")
               and part.get("module") and _is_foreign(part)}  # fmt: skip
    if modules:
        found.append(
            f"Loading the file imports and calls Python code outside Keras, which its author "
            f"chose: {', '.join(sorted(modules)[:10])}."
        )
    return found


def _parts(config: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of a configuration."""
    waiting = [config]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
        if isinstance(part, dict | list):
            waiting.extend(part.values() if isinstance(part, dict) else part)


def _is_foreign(part: dict[str, Any]) -> bool:
    if part["module"] == "builtins":  # so a function of Keras is written down
        return part["class_name"] != "function"
    return str(part["module"]).partition(".")[0] not in ("keras", "tensorflow", "tf_keras")


def _keras_config(data: bytes) -> str:
    if data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if "config.json" not in archive.namelist():
                raise EdgeError("the zip archive holds no config.json, so it is no Keras model")
            with archive.open("config.json") as file:
                config = file.read(_MAX_CONFIG + 1)
        if len(config) > _MAX_CONFIG:
            raise EdgeError(f"its config.json holds more than {_MAX_CONFIG:,} bytes")
        return config.decode("utf-8", "replace")
    import h5py

    with h5py.File(io.BytesIO(data), "r") as file:
        config = file.attrs.get("model_config", "")
        if not config:
            raise EdgeError("the HDF5 file holds weights alone, no model: save the whole model")
        return config if isinstance(config, str) else bytes(config).decode("utf-8", "replace")
