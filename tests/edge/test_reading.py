from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from helpers.edge.artefact import Artefact
from helpers.edge.reading import read_weights
from tests.edge.conftest import WAKE_WORDS, wake_word

if TYPE_CHECKING:
    import tensorflow as tf


def folded(network: tf.keras.Model) -> list[tuple[np.ndarray, np.ndarray]]:
    """Kernels and biases with batch normalisation folded in by hand (Ioffe and Szegedy 2015)."""
    import tensorflow as tf

    layers, found = tf.keras.layers, []
    for layer in network.layers:
        if isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D | layers.Dense):
            found.append([w.numpy() for w in layer.weights])
        if isinstance(layer, layers.BatchNormalization):
            gamma, beta, mean, variance = (w.numpy() for w in layer.weights)
            factor = gamma / np.sqrt(variance + layer.epsilon)
            kernel = found[-1][0]
            depthwise = kernel.shape[-1] == 1 and kernel.shape[-2] == len(factor)
            scaled = kernel * (factor[:, None] if depthwise else factor)
            found[-1] = [scaled, beta - mean * factor]
    return [(kernel, bias) for kernel, bias in found]


@pytest.mark.parametrize(("precision", "steps"), [("float32", 0), ("float16", 0), ("int8", 0.501)])
def test_the_weights_are_keras_own_with_batch_normalisation_folded_in(
    artefacts: dict[str, Artefact], network: tf.keras.Model, precision: str, steps: float
) -> None:
    layers, expected = read_weights(artefacts[precision].data), folded(network)
    assert [layer.op for layer in layers] == [
        "CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D", "FULLY_CONNECTED",
    ]  # fmt: skip
    for layer, (kernel, bias) in zip(layers, expected, strict=True):
        assert layer.kernel.shape == kernel.shape
        largest = np.abs(kernel).max()
        # Rounded to half a step of its channel's scale, and to float arithmetic.
        tolerance = steps * layer.scales.max() if steps else 1e-3 * largest
        np.testing.assert_allclose(layer.kernel, kernel, rtol=0, atol=tolerance)
        assert layer.bias is not None
        np.testing.assert_allclose(layer.bias, bias, rtol=2e-3, atol=2e-3)
        assert layer.bits == {"float32": 32, "float16": 16, "int8": 8}[precision]


def test_float32_weights_are_exact(artefacts: dict[str, Artefact], network: tf.keras.Model) -> None:
    for layer, (kernel, _) in zip(
        read_weights(artefacts["float32"].data), folded(network), strict=True
    ):
        np.testing.assert_allclose(layer.kernel, kernel, rtol=2e-6, atol=1e-7)


def test_int8_codes_and_scales_give_the_kernel_back(artefacts: dict[str, Artefact]) -> None:
    for layer in read_weights(artefacts["int8"].data):
        assert layer.codes.dtype == np.int8
        assert not layer.zero_points.any()
        out = layer.scales
        if layer.op == "DEPTHWISE_CONV_2D":
            out = layer.scales[:, None]
        np.testing.assert_allclose(layer.codes * out, layer.kernel, rtol=1e-6)


@pytest.mark.parametrize("name", WAKE_WORDS)
def test_a_third_partys_streaming_model_gives_up_its_weights(name: str) -> None:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    layers = read_weights(wake_word(name))
    engine = Interpreter(
        str(wake_word(name)),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    engine.allocate_tensors()
    assert len(layers) >= 10
    for layer in layers:
        # The runtime's own view of the same tensor, dequantised here another way.
        stored = engine.get_tensor(layer.tensor).astype(np.float32)
        about = engine._get_tensor_details(layer.tensor, 0)["quantization_parameters"]
        shape = [1] * stored.ndim
        if len(about["scales"]) > 1:
            shape[about["quantized_dimension"]] = -1
        real = (stored - about["zero_points"].reshape(shape)) * about["scales"].reshape(shape)
        np.testing.assert_allclose(np.sort(real.ravel()), np.sort(layer.kernel.ravel()), rtol=1e-6)
        assert layer.bias is not None
        assert layer.kernel.shape[-1] in (1, len(layer.bias))
