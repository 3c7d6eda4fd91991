"""What is in the file, read in the sandbox and built again here: graph, weights, replica.

Nothing arrives but plain values and arrays, each of them checked. A replica is built in this
process only after the same has been done in the sandbox and has harmed nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers.audit import graphs
from helpers.audit.session import Session
from helpers.edge.reading import LayerWeights, read_weights
from helpers.edge.tflite.graph import Graph, Tensor
from helpers.errors import EdgeError, ModelContractError, ModelRefusedError

if TYPE_CHECKING:
    import tensorflow as tf

MAX_ROW_BYTES = 2**28  # of activations of one row in a replica


def fetch_graph(session: Session) -> Graph:
    """Return the operations and constants of an open ``.tflite`` file, checked again here.

    Raises
    ------
    ModelContractError
        If its graph cannot be read, or states other sizes than it is run with; says why.
    """
    if session.runtime == "onnxruntime":
        raise ModelContractError(
            "The weights of an .onnx file are not read back into a replica; give a .tflite "
            "or Keras file of the same model as float_model."
        )
    if session.description.unreadable:
        raise ModelContractError(session.description.unreadable)
    if session.was_resized:
        raise ModelContractError(
            "The file leaves sizes of its input open, so its graph says nothing of the sizes that "
            "it was given; fix them when you convert it."
        )
    header, arrays, _ = session.ask("graph")
    try:
        return graphs.decode(header, arrays)
    except EdgeError as error:
        raise ModelContractError(f"The graph does not fit together: {error}") from error


def weights_of(graph: Graph) -> list[LayerWeights]:
    """Return the weights in Keras's layout, in the order in which the layers run.

    Raises
    ------
    ModelContractError
        If they cannot be read; says why.
    """
    try:
        return read_weights(graph)
    # The parts fit together, but a stranger has chosen them.
    except Exception as error:
        raise ModelContractError(f"The weights cannot be read: {error}") from error


def build(
    session: Session, graph: Graph, rounding: bool, logits: bool, within: float | None
) -> tf.keras.Model:
    """Return a differentiable model with the file's weights.

    Parameters
    ----------
    session
        The open model.
    graph
        Of the file.
    rounding, logits
        As :func:`helpers.edge.replica.build_replica`.
    within
        Seconds that trying it in the sandbox may take; None leaves it to the budget of the file.

    Raises
    ------
    ModelContractError
        If there can be none; says why.
    OutOfTimeError
        If trying it takes longer than ``within``.
    """
    if graph.is_stateful or len(graph.inputs) != 1:
        raise ModelContractError(
            f"No replica: the model has {len(graph.inputs)} inputs and "
            f"{'keeps' if graph.is_stateful else 'keeps no'} state between runs; a replica is "
            "a function of one input."
        )
    computed = sum(_row_bytes(tensor) for tensor in graph.tensors if tensor.data is None)
    if computed > MAX_ROW_BYTES:
        raise ModelContractError(
            f"A replica would take {computed:,} bytes a row; at most {MAX_ROW_BYTES:,} are allowed."
        )
    header, arrays = graphs.encode(graph)
    try:
        session.ask_apart(
            "rehearse", arrays, "tflite", within, graph=header, rounding=rounding, logits=logits
        )
    except ModelRefusedError as error:
        raise ModelContractError(f"No replica: {error}") from error
    from helpers.edge.replica import build_replica

    try:
        return build_replica(graph, rounding, logits=logits)
    except Exception as error:  # it was built before, in the sandbox; a stranger made it
        raise ModelContractError(f"No replica: {error}") from error


def _row_bytes(tensor: Tensor) -> int:
    """Bytes of one row of an activation in float32."""
    rows = tensor.shape[0] if tensor.shape else 1
    return 4 * tensor.size // max(1, rows)
