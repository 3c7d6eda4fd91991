"""A message in the weights, where no rescaling of channels can reach it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from helpers.errors import WatermarkError
from helpers.watermark._checks import require_positive, require_whole
from helpers.watermark.folding import folded_kernel, kernel_layers
from helpers.watermark.key import Key
from helpers.watermark.scheme import Access, Reading, Scheme
from helpers.watermark.suspect import Suspect
from helpers.watermark.training import train_on

if TYPE_CHECKING:
    import tensorflow as tf

_BALANCING_ROUNDS = 20
_TINY = 1e-12  # keeps the gradient of a dying channel bounded while a mark is embedded
_LARGEST = 2**29  # signs of all projections together: 2 GiB


@dataclass(frozen=True)
class WeightMessage(Scheme):
    """A secret message in the signs of secret projections of one kernel.

    Bit j says on which side of zero the projection of the kernel on key signs ``X[j]`` lies. It is
    read from the kernel as the device holds it, with batch normalisation folded in, after
    :func:`balance` has taken out every scale: whoever multiplies a channel by a constant and
    divides it out again in the next layer changes nothing. Embedding adds a penalty that pushes
    each projection past a margin.

    A model that does not depend on the key agrees with each bit of a fresh key with probability
    exactly 1/2, since the message is drawn independently of the projections.

    Attributes
    ----------
    layer
        Position of the marked kernel among :attr:`Suspect.kernels`. A middle one with many weights
        is best: 1x1 convolutions in a depthwise-separable network.
    bits
        Length of the message. For a false-claim probability of 1e-9, 64 must nearly all be found;
        of 256 a fifth may be lost.
    margin
        How far from zero the projections are pushed, in standard deviations of an unmarked one.
    strength
        Weight of the penalty beside the cross-entropy.
    epochs, learning_rate
        Of the training that embeds the mark.

    Raises
    ------
    WatermarkError
        If ``layer`` is negative or another setting not positive.

    References
    ----------
    Uchida, Nagai, Sakazawa and Satoh, *Embedding watermarks into deep neural networks*, ICMR 2017,
    doi:10.1145/3078971.3078974. The folding, the balancing and the key are ours.
    """

    name: ClassVar[str] = "message in the weights"
    access: ClassVar[Access] = "weights"
    layer: int
    bits: int = 256
    margin: float = 1.0
    strength: float = 3.0
    epochs: int = 3
    learning_rate: float = 2e-3

    def __post_init__(self) -> None:
        require_whole("layer", self.layer, at_least=0)
        require_whole("bits", self.bits, at_least=1)
        require_whole("epochs", self.epochs, at_least=1)
        require_positive("margin", self.margin)
        require_positive("strength", self.strength)
        require_positive("learning_rate", self.learning_rate)

    @property
    def chance(self) -> float:
        """One half, exactly."""
        return 0.5

    def embed(
        self,
        model: tf.keras.Model,
        x: np.ndarray,
        y: np.ndarray,
        key: Key,
        seed: int = 0,
        progress: bool = False,
    ) -> tf.keras.Model:
        """Return a marked copy; see :meth:`Scheme.embed`."""
        import tensorflow as tf

        pairs = kernel_layers(model)
        if self.layer >= len(pairs):
            raise WatermarkError(
                f"layer={self.layer}: the model has kernels 0 to {len(pairs) - 1}."
            )
        size = int(np.prod(folded_kernel(*pairs[self.layer]).shape))
        if self.bits > size // 4:
            raise WatermarkError(
                f"{self.bits} bits in a kernel of {size} weights: use at most a quarter as many."
            )
        # Row j is the projection times the sign it must have: all products shall exceed the margin.
        signed = self._projections(key, size) * np.where(self._message(key), 1, -1)[:, None]
        rows = tf.constant(signed / np.sqrt(size), tf.float32)

        def penalty(trained: tf.keras.Model) -> Any:
            kernel = folded_kernel(*kernel_layers(trained)[self.layer])
            products = tf.linalg.matvec(rows, tf.reshape(balance(kernel), [-1]))
            return self.strength * tf.reduce_mean(tf.nn.relu(self.margin - products) ** 2)

        return train_on(
            model, x, y, self.epochs, self.learning_rate, seed, progress, penalty=penalty
        )

    def read(self, suspect: Suspect, key: Key) -> Reading:
        """Read the message from a suspect's kernel; see :meth:`Scheme.read`."""
        if not suspect.kernels:
            raise WatermarkError(f"{suspect.name!r} shows no weights: this mark is read from them.")
        if self.layer >= len(suspect.kernels):
            raise WatermarkError(
                f"{suspect.name!r} has {len(suspect.kernels)} kernels, the mark lies in number "
                f"{self.layer}: it has another architecture."
            )
        kernel = np.asarray(suspect.kernels[self.layer], np.float32)
        too_small, too_large = kernel.size < self.bits, kernel.size * self.bits > _LARGEST
        if kernel.ndim < 2 or too_small or too_large or not np.isfinite(kernel).all():
            raise WatermarkError(
                f"Kernel {self.layer} of {suspect.name!r}, shape {kernel.shape}, is not a finite "
                f"array (..., in, out) of at least {self.bits} weights, one a bit, and at most "
                f"{_LARGEST // self.bits}."
            )
        products = self._projections(key, kernel.size) @ balance(kernel).ravel()
        return Reading(int(np.sum((products > 0) == self._message(key))), self.bits)

    def _message(self, key: Key) -> NDArray[np.bool_]:
        return key.bits("message", self.bits)

    def _projections(self, key: Key, size: int) -> NDArray[np.float32]:
        return key.signs("projections", (self.bits, size))


def balance(kernel: Any) -> Any:
    """Scale a kernel so that every input and every output channel has the same energy.

    The result is the same for ``kernel`` and for ``a[:, None] * kernel * b`` with any positive
    ``a`` and ``b``, which is all that folding, per-channel scales and channel rescaling do.
    Alternate normalisation finds it.

    Parameters
    ----------
    kernel
        float32 ``(..., in, out)``, an array or a tensor.

    Returns
    -------
    array or tensor
        Of the same kind and shape, with a mean square of 1; a channel of zeros stays zero.

    References
    ----------
    Sinkhorn and Knopp, *Concerning nonnegative matrices and doubly stochastic matrices*, Pacific
    Journal of Mathematics 21(2), 1967, applied to the squared entries.
    """
    library = _library(kernel)
    is_array = isinstance(kernel, np.ndarray)
    # In float32 the square of a weight of 1e20 is infinite: a thief could rescale out of reach.
    kernel, floor = (kernel.astype(np.float64), 0.0) if is_array else (kernel, _TINY)
    energy = library.sum(library.reshape(kernel**2, (-1, *kernel.shape[-2:])), axis=0)
    columns: Any = 1.0
    for _ in range(_BALANCING_ROUNDS):
        means = library.mean(energy * columns, axis=1, keepdims=True) + floor
        rows = 1 / library.where(means > 0, means, 1.0)
        means = library.mean(energy * rows, axis=0, keepdims=True) + floor
        columns = 1 / library.where(means > 0, means, 1.0)
    taps = math.prod(kernel.shape[:-2])
    balanced = kernel * library.sqrt(rows * columns * taps)
    return balanced.astype(np.float32) if is_array else balanced


def _library(kernel: Any) -> Any:
    """Return NumPy, or TensorFlow's copy of it, so that one function serves array and tensor."""
    if isinstance(kernel, np.ndarray):
        return np
    from tensorflow.experimental import numpy

    return numpy
