"""Keras' Adam, sooner ready to train."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


class Adam(tf.keras.optimizers.Adam):
    """Keras' Adam, which leaves the step of a weight to TensorFlow's one operation for it.

    Keras writes the same formula out, as dozens of operations a weight. To trace and to optimise
    them takes most of the time of a short training of a deep network. In a saved model it goes by
    Keras' name, so that the file needs nothing of ours.
    """

    _keras_api_names = tf.keras.optimizers.Adam._keras_api_names

    def apply_gradients(self, *args: Any, **kwargs: Any) -> Any:
        """Take a step; see Keras."""
        count = tf.cast(self.iterations + 1, tf.float32)
        self._power_1, self._power_2 = self.beta_1**count, self.beta_2**count
        try:
            return super().apply_gradients(*args, **kwargs)
        finally:
            del self._power_1, self._power_2  # they would keep the graph that they are of

    def update_step(self, gradient: Any, variable: Any) -> None:
        """Take the step of one weight; see Keras."""
        if self.amsgrad or isinstance(gradient, tf.IndexedSlices) or variable.dtype != tf.float32:
            super().update_step(gradient, variable)
            return
        place = self._index_dict[self._var_key(variable)]
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[place].handle,
            v=self._velocities[place].handle,
            beta1_power=self._power_1,
            beta2_power=self._power_2,
            lr=self.learning_rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )
