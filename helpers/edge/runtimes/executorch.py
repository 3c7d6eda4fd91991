"""ExecuTorch, inside its own environment: runs ``.pte`` programs, and exports them.

Only a worker that :mod:`helpers.edge.runtimes.executorch_install`'s interpreter runs imports this:
it needs PyTorch. An export takes the operations and constants of a float ``.tflite``, builds the
same computation in PyTorch, and lowers it to XNNPACK.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.edge.artefact import Contract, TensorContract
from helpers.edge.runtimes.backends import OpenShape

# From how a .tflite stores a kernel to how PyTorch does: (out, in, h, w).
KERNEL_AXES = {"CONV_2D": (0, 3, 1, 2), "DEPTHWISE_CONV_2D": (3, 0, 1, 2)}


class Program:
    """One loaded program."""

    rows = 1

    def __init__(self, data: bytes, threads: int) -> None:
        import torch
        from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
        from executorch.runtime import Runtime

        _unsafe_reset_threadpool(threads)
        self._torch = torch
        self._program = Runtime.get().load_program(data)
        self.reset()
        about = self._method.metadata
        self.contract = Contract(
            tuple(
                TensorContract(f"input_{i}", tuple(about.input_tensor_meta(i).sizes()), "float32")
                for i in range(about.num_inputs())
            ),
            tuple(
                TensorContract(f"output_{i}", tuple(about.output_tensor_meta(i).sizes()), "float32")
                for i in range(about.num_outputs())
            ),
        )
        self.rows = self.contract.inputs[0].shape[0]
        self._given: list[Any] = []
        self._answers: Sequence[Any] = []

    def put(self, inputs: Sequence[NDArray[Any]]) -> None:
        """Hand over the inputs of one run."""
        self._given = [self._torch.from_numpy(np.ascontiguousarray(a)) for a in inputs]

    def invoke(self) -> None:
        """Run."""
        self._answers = self._method.execute(self._given)

    def take(self) -> list[NDArray[Any]]:
        """Return the outputs of the last run."""
        return [answer.numpy().copy() for answer in self._answers]

    def open_shapes(self) -> tuple[list[OpenShape], list[OpenShape]]:
        """Return the shapes of the inputs and of the outputs: a program leaves none open."""
        sides = self.contract.inputs, self.contract.outputs
        return [item.shape for item in sides[0]], [item.shape for item in sides[1]]

    def reset(self) -> None:
        """Load the method anew."""
        self._method = self._program.load_method("forward")


def export(graph: dict[str, Any], constants: Sequence[NDArray[Any]]) -> bytes:
    """Return a program that computes what a float graph computes.

    Parameters
    ----------
    graph
        From :func:`helpers.edge.convert.to_executorch`: operations, inputs, outputs, constants.
    constants
        Their values, in the order of ``graph["constants"]``.
    """
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    module = _module(graph, constants).eval()
    example = (torch.zeros(graph["shape"]),)
    exported = torch.export.export(module, example, strict=False)
    lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
    return bytes(lowered.to_executorch().buffer)


def _module(graph: dict[str, Any], constants: Sequence[NDArray[Any]]) -> Any:
    import torch

    class Replica(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            # XNNPACK takes a convolution only if its kernel is a constant in PyTorch's layout.
            axes = {
                o["inputs"][1]: KERNEL_AXES[o["kind"]]
                for o in graph["operations"]
                if o["kind"] in KERNEL_AXES
            }
            for index, value in zip(graph["constants"], constants, strict=True):
                laid_out = value.transpose(axes[index]) if index in axes else value
                weight = torch.from_numpy(np.ascontiguousarray(laid_out).copy())
                self.register_buffer(f"c{index}", weight)

        def forward(self, x: Any) -> Any:
            values = {graph["inputs"][0]: x}
            for operation in graph["operations"]:
                given = [self._value(i, values) for i in operation["inputs"]]
                values[operation["outputs"][0]] = OPERATIONS[operation["kind"]](operation, given)
            answers = tuple(values[index] for index in graph["outputs"])
            return answers[0] if len(answers) == 1 else answers

        def _value(self, index: int, values: dict[int, Any]) -> Any:
            if index < 0:
                return None
            return values[index] if index in values else getattr(self, f"c{index}")

    return Replica()


def _activate(operation: dict[str, Any], x: Any) -> Any:
    import torch

    kind = operation["options"].get("fusedActivationFunction", 0)
    functions: dict[int, Callable[[Any], Any]] = {
        0: lambda v: v, 1: torch.relu, 2: lambda v: torch.clamp(v, -1.0, 1.0),
        3: torch.nn.functional.relu6, 4: torch.tanh,
    }  # fmt: skip
    return functions[kind](x)


def _same_pads(x: Any, kernel: Sequence[int], options: dict[str, Any]) -> list[int]:
    """Left, right, top and bottom of TensorFlow's "SAME" padding: what is odd goes to the end."""
    if options["padding"] != 0:
        return [0, 0, 0, 0]
    strides = (options["strideH"], options["strideW"])
    dilations = (options.get("dilationHFactor", 1), options.get("dilationWFactor", 1))
    pads: list[int] = []
    for size, width, stride, dilation in zip(x.shape[2:], kernel, strides, dilations, strict=True):
        reach = (width - 1) * dilation + 1
        total = max(0, (-(-size // stride) - 1) * stride + reach - size)
        pads = [total // 2, total - total // 2, *pads]
    return pads


def _padded(x: Any, pads: list[int], fill: float) -> Any:
    import torch

    return torch.nn.functional.pad(x, pads, value=fill) if any(pads) else x


def _conv(operation: dict[str, Any], given: list[Any]) -> Any:
    import torch

    options, x, kernel = operation["options"], given[0].permute(0, 3, 1, 2), given[1]
    left, right, top, bottom = pads = _same_pads(x, kernel.shape[2:], options)
    inside = (top, left)
    if left != right or top != bottom:
        x, inside = _padded(x, pads, 0.0), (0, 0)
    y = torch.nn.functional.conv2d(
        x, kernel, given[2] if len(given) > 2 else None,
        (options["strideH"], options["strideW"]), inside,
        (options.get("dilationHFactor", 1), options.get("dilationWFactor", 1)),
        x.shape[1] // kernel.shape[1],
    )  # fmt: skip
    return _activate(operation, y.permute(0, 2, 3, 1))


def _dense(operation: dict[str, Any], given: list[Any]) -> Any:
    import torch

    x, kernel = given[0], given[1]
    if not operation["options"].get("keepNumDims"):
        x = x.reshape(-1, kernel.shape[1])
    bias = given[2] if len(given) > 2 else None
    return _activate(operation, torch.nn.functional.linear(x, kernel, bias))


def _pool(operation: dict[str, Any], given: list[Any]) -> Any:
    import torch

    options, x = operation["options"], given[0].permute(0, 3, 1, 2)
    window = (options["filterHeight"], options["filterWidth"])
    strides = (options["strideH"], options["strideW"])
    pads = _same_pads(x, window, options)
    if operation["kind"] == "MAX_POOL_2D":
        x = torch.nn.functional.max_pool2d(_padded(x, pads, float("-inf")), window, strides)
    elif not any(pads):
        x = torch.nn.functional.avg_pool2d(x, window, strides)
    else:
        # Padding does not count in the mean, so it is averaged along and divided out.
        ones = _padded(torch.ones_like(x), pads, 0.0)
        share = torch.nn.functional.avg_pool2d(ones, window, strides)
        x = torch.nn.functional.avg_pool2d(_padded(x, pads, 0.0), window, strides) / share
    return _activate(operation, x.permute(0, 2, 3, 1))


def _mean(operation: dict[str, Any], given: list[Any]) -> Any:
    axes = operation["axes"]
    return given[0].mean(axes, keepdim=bool(operation["options"].get("keepDims")))


def _pad(operation: dict[str, Any], given: list[Any]) -> Any:
    import torch

    flat = [size for pair in reversed(operation["axes"]) for size in pair]
    return torch.nn.functional.pad(given[0], flat)


def _reshape(operation: dict[str, Any], given: list[Any]) -> Any:
    return given[0].reshape(operation["shape"])


def _binary(function: Callable[[Any, Any], Any]) -> Callable[[dict[str, Any], list[Any]], Any]:
    return lambda operation, given: _activate(operation, function(given[0], given[1]))


def _unary(name: str) -> Callable[[dict[str, Any], list[Any]], Any]:
    def run(operation: dict[str, Any], given: list[Any]) -> Any:
        import torch

        del operation
        return getattr(torch, name)(given[0])

    return run


def _softmax(operation: dict[str, Any], given: list[Any]) -> Any:
    import torch

    return torch.softmax(given[0] * (operation["options"].get("beta") or 1.0), -1)


def _relu6(operation: dict[str, Any], given: list[Any]) -> Any:
    import torch

    del operation
    return torch.nn.functional.relu6(given[0])


OPERATIONS: dict[str, Callable[[dict[str, Any], list[Any]], Any]] = {
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _conv,
    "FULLY_CONNECTED": _dense,
    "MAX_POOL_2D": _pool,
    "AVERAGE_POOL_2D": _pool,
    "MEAN": _mean,
    "PAD": _pad,
    "RESHAPE": _reshape,
    "SQUEEZE": _reshape,
    "ADD": _binary(lambda a, b: a + b),
    "SUB": _binary(lambda a, b: a - b),
    "MUL": _binary(lambda a, b: a * b),
    "SOFTMAX": _softmax,
    "LOGISTIC": _unary("sigmoid"),
    "TANH": _unary("tanh"),
    "RELU": _unary("relu"),
    "RELU6": _relu6,
}
