from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from helpers.edge.artefact import Artefact
from helpers.edge.tflite.graph import _unpack, read_graph
from helpers.errors import EdgeError
from tests.edge.conftest import edited, wake_word


def of_kind(model: Any, name: str) -> Any:
    """The first operation of a kind in a model's object form."""
    from ai_edge_litert import schema_py_generated as schema

    code = getattr(schema.BuiltinOperator, name)
    return next(
        op
        for op in model.subgraphs[0].operators
        if model.operatorCodes[op.opcodeIndex].builtinCode == code
    )


def test_the_graph_is_the_one_tensorflow_lite_sees(artefacts: dict[str, Artefact]) -> None:
    import tensorflow as tf

    for artefact in artefacts.values():
        graph = artefact.graph()
        engine = tf.lite.Interpreter(
            model_content=artefact.data,
            experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        engine.allocate_tensors()
        theirs = engine._get_ops_details()
        assert [o.kind for o in graph.operations] == [o["op_name"] for o in theirs]
        for operation, other in zip(graph.operations, theirs, strict=True):
            assert operation.inputs == tuple(other["inputs"])
        for tensor in graph.tensors:
            about = engine._get_tensor_details(tensor.index, 0)
            assert tensor.shape == tuple(about["shape"])
            assert np.dtype(tensor.dtype) == about["dtype"]
            np.testing.assert_array_equal(tensor.scales, about["quantization_parameters"]["scales"])
            if tensor.data is not None:
                np.testing.assert_array_equal(tensor.data, engine.get_tensor(tensor.index))


def test_a_streaming_model_says_that_it_keeps_state(artefacts: dict[str, Artefact]) -> None:
    assert read_graph(wake_word("alexa")).is_stateful
    assert not artefacts["int8"].graph().is_stateful


def test_packed_codes_unpack_low_bits_first() -> None:
    raw = np.array([0x8F, 0x17], np.uint8)
    assert _unpack(raw, 4, 4, signed=True).tolist() == [-1, -8, 7, 1]
    assert _unpack(raw, 3, 4, signed=False).tolist() == [15, 8, 7]
    assert _unpack(raw[:1], 4, 2, signed=True).tolist() == [-1, -1, 0, -2]


def tensor_out_of_range(model: Any) -> None:
    of_kind(model, "CONV_2D").inputs[0] = 10_000


def output_out_of_range(model: Any) -> None:
    model.subgraphs[0].outputs = [-5]


def no_stride(model: Any) -> None:
    of_kind(model, "CONV_2D").builtinOptions.strideH = 0


def no_window(model: Any) -> None:
    of_kind(model, "MAX_POOL_2D").builtinOptions.filterWidth = -3


def absent_input(model: Any) -> None:
    of_kind(model, "ADD").inputs[1] = -1


def unknown_code(model: Any) -> None:
    model.operatorCodes[0].builtinCode = 30_000


def buffer_out_of_range(model: Any) -> None:
    model.subgraphs[0].tensors[0].buffer = 9_999


def buffer_too_small(model: Any) -> None:
    sizes = [0 if b.data is None else len(b.data) for b in model.buffers]
    largest = model.buffers[int(np.argmax(sizes))]
    largest.data = largest.data[:-4]


def scale_is_nan(model: Any) -> None:
    tensor = next(
        t for t in model.subgraphs[0].tensors if t.quantization and t.quantization.scale is not None
    )
    tensor.quantization.scale = [float("nan")]


def scales_do_not_fit(model: Any) -> None:
    tensor = next(
        t
        for t in model.subgraphs[0].tensors
        if t.quantization and t.quantization.scale is not None and len(t.quantization.scale) > 1
    )
    tensor.quantization.quantizedDimension = 17


def shape_is_huge(model: Any) -> None:
    model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]].shape = [1 << 20, 1 << 20, 4, 1]


def runs_before_it_is_written(model: Any) -> None:
    model.subgraphs[0].operators = model.subgraphs[0].operators[::-1]


def kernel_of_other_channels(model: Any) -> None:
    operation = of_kind(model, "DEPTHWISE_CONV_2D")
    operation.inputs[1] = of_kind(model, "CONV_2D").inputs[1]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (tensor_out_of_range, "names tensor 10000"),
        (output_out_of_range, "output -5"),
        (no_stride, "strideH=0"),
        (no_window, "filterWidth=-3"),
        (absent_input, "lacks an input"),
        (unknown_code, "unknown builtin code 30000"),
        (buffer_out_of_range, "buffer 9999"),
        (buffer_too_small, "its buffer has"),
        (scale_is_nan, "not finite"),
        (scales_do_not_fit, "along dimension 17"),
        (shape_is_huge, "1 GiB"),
        (runs_before_it_is_written, "nothing has written"),
        (kernel_of_other_channels, "has a kernel of shape|has a bias of shape"),
    ],
)
def test_a_well_formed_file_that_makes_no_sense_is_refused(
    artefacts: dict[str, Artefact], damage: Any, words: str
) -> None:
    with pytest.raises(EdgeError, match=words):
        read_graph(edited(artefacts["int8"].data, damage))


def test_a_missing_file_is_named() -> None:
    with pytest.raises(EdgeError, match="No such file"):
        read_graph("/nowhere/model.tflite")
