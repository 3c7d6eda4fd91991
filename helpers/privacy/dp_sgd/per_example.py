r"""Per-example gradients of one layer, held in the cheapest form that gives norms and sums.

Clipping needs two things of a batch's per-example gradients :math:`g_1, \dots, g_n`: their squared
norms, and a weighted sum :math:`\sum_i w_i g_i`. For a layer that is linear in its kernel both
follow from its inputs :math:`a` and the gradient :math:`q` at its output, and the gradients
themselves, :math:`g_i = \sum_t a_{it} q_{it}^\top`, need never exist:

* one position (:math:`T = 1`): :math:`\|g_i\|^2 = \|a_i\|^2 \|q_i\|^2` (Goodfellow 2015);
* several positions: :math:`\|g_i\|^2 = \langle A_i A_i^\top, Q_i Q_i^\top \rangle`, the *ghost
  norm* (Li et al. 2022, "Large language models can be strong differentially private learners",
  section 4.1). It is used where it takes fewer numbers than the gradients themselves
  (Bu et al. 2022, "Scalable and efficient training of large convolutional neural networks with
  differential privacy").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import tensorflow as tf


class PerExample(Protocol):
    """Per-example gradients of some variables, for a batch of ``n``."""

    def squared_norms(self) -> tf.Tensor:
        """Return float32 ``(n,)``, each example's norm over all the variables together."""

    def weighted_sum(self, weights: tf.Tensor) -> list[tf.Tensor]:
        """Return the sum of the gradients times ``weights`` ``(n,)``, one tensor a variable."""


class Explicit:
    """Gradients that are simply held.

    Parameters
    ----------
    gradients
        One tensor ``(n, *variable shape)`` a variable.
    """

    def __init__(self, gradients: Sequence[tf.Tensor]) -> None:
        self._gradients = list(gradients)

    def squared_norms(self) -> tf.Tensor:
        """Return float32 ``(n,)``."""
        return tf.add_n(
            [tf.reduce_sum(tf.square(g), axis=range(1, g.shape.rank)) for g in self._gradients]
        )

    def weighted_sum(self, weights: tf.Tensor) -> list[tf.Tensor]:
        """Return one tensor of the variable's shape a variable."""
        return [tf.tensordot(weights, g, axes=1) for g in self._gradients]


class OuterProducts:
    """Gradients of a kernel (and bias) that maps inputs to outputs at each of ``T`` positions.

    Parameters
    ----------
    inputs
        float32 ``(n, T, rows)``.
    cotangents
        Gradient of the loss at the outputs, float32 ``(n, T, columns)``.
    kernel_shape
        Shape of the kernel variable, ``rows * columns`` values; None where it is not trained.
    use_bias
        Whether a bias of shape ``(columns,)`` is trained.
    """

    def __init__(
        self,
        inputs: tf.Tensor,
        cotangents: tf.Tensor,
        kernel_shape: tf.TensorShape,
        use_bias: bool,
    ) -> None:
        self._inputs, self._cotangents = inputs, cotangents
        self._kernel_shape, self._use_bias = kernel_shape, use_bias
        positions, rows, columns = inputs.shape[1], inputs.shape[2], cotangents.shape[2]
        self._single = positions == 1
        ghost = positions is not None and 2 * positions**2 < rows * columns
        self._kernels: tf.Tensor | None = None
        if not self._single and not ghost:
            self._kernels = tf.matmul(inputs, cotangents, transpose_a=True)

    def squared_norms(self) -> tf.Tensor:
        """Return float32 ``(n,)``."""
        norms = self._kernel_norms()
        if self._use_bias:
            biases = tf.reduce_sum(self._cotangents, axis=1)
            norms += tf.reduce_sum(tf.square(biases), axis=1)
        return norms

    def _kernel_norms(self) -> tf.Tensor:
        if self._kernels is not None:
            return tf.reduce_sum(tf.square(self._kernels), axis=[1, 2])
        if self._single:
            squares = [tf.reduce_sum(tf.square(t), axis=[1, 2]) for t in self._factors()]
            return squares[0] * squares[1]
        left, right = (tf.matmul(t, t, transpose_b=True) for t in self._factors())
        return tf.reduce_sum(left * right, axis=[1, 2])

    def _factors(self) -> tuple[tf.Tensor, tf.Tensor]:
        return self._inputs, self._cotangents

    def weighted_sum(self, weights: tf.Tensor) -> list[tf.Tensor]:
        """Return the kernel's sum and, where there is one, the bias's."""
        columns = self._cotangents.shape[2]
        scaled = tf.reshape(self._cotangents * weights[:, None, None], (-1, columns))
        if self._kernels is not None:
            kernel = tf.tensordot(weights, self._kernels, axes=1)
        else:
            rows = tf.reshape(self._inputs, (-1, self._inputs.shape[2]))
            kernel = tf.matmul(rows, scaled, transpose_a=True)
        gradients = [tf.reshape(kernel, self._kernel_shape)]
        if self._use_bias:
            gradients.append(tf.reduce_sum(scaled, axis=0))
        return gradients


class Lookups:
    """Gradients of a table of which each example reads ``T`` rows.

    Parameters
    ----------
    rows
        Rows read, int32 ``(n, T)``.
    cotangents
        Gradient of the loss at the vectors read, float32 ``(n, T, columns)``.
    num_rows
        Rows of the table.
    """

    def __init__(self, rows: tf.Tensor, cotangents: tf.Tensor, num_rows: int) -> None:
        self._rows, self._cotangents, self._num_rows = rows, cotangents, num_rows

    def squared_norms(self) -> tf.Tensor:
        """Return float32 ``(n,)``; rows read twice by one example add up first."""
        if self._rows.shape[1] == 1:
            return tf.reduce_sum(tf.square(self._cotangents), axis=[1, 2])
        same = tf.cast(self._rows[:, :, None] == self._rows[:, None, :], tf.float32)
        products = tf.matmul(self._cotangents, self._cotangents, transpose_b=True)
        return tf.reduce_sum(same * products, axis=[1, 2])

    def weighted_sum(self, weights: tf.Tensor) -> list[tf.Tensor]:
        """Return the table's sum, dense."""
        columns = self._cotangents.shape[2]
        scaled = tf.reshape(self._cotangents * weights[:, None, None], (-1, columns))
        return [tf.math.unsorted_segment_sum(scaled, tf.reshape(self._rows, (-1,)), self._num_rows)]
