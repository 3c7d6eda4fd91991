"""What the court has in hand: a model that answers, and perhaps can be opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.errors import WatermarkError


@dataclass(frozen=True, eq=False)
class Suspect:
    """A model whose origin is in question, as a verifier meets it.

    The room knows no file format. ``open_model(path).predict`` and ``read_weights(path)`` of
    ``helpers.edge`` turn a deployed ``.tflite`` into one of these; a Keras model gives the same.

    Attributes
    ----------
    ask
        Inputs ``(n, ...)`` float32 to scores ``(n, classes)``; logits or probabilities.
    kernels
        Kernels in the order in which the layers run, batch normalisation folded in, float32:
        ``(height, width, in, out)``, ``(height, width, channels, multiplier)`` for a depthwise
        layer, ``(in, out)`` for a dense one. Empty if only queries are possible.
    biases
        The bias of each kernel, ``(out,)``, zeros where a layer has none; empty with no kernels.
    name
        For reports.

    Raises
    ------
    WatermarkError
        If there are not as many biases as kernels.
    """

    ask: Callable[[NDArray[np.float32]], NDArray[np.floating]]
    kernels: Sequence[NDArray[np.float32]] = ()
    biases: Sequence[NDArray[np.float32]] = ()
    name: str = "suspect"

    def __post_init__(self) -> None:
        if len(self.kernels) != len(self.biases):
            raise WatermarkError(
                f"{len(self.kernels)} kernels and {len(self.biases)} biases: one bias a kernel."
            )

    def scores(self, inputs: ArrayLike) -> NDArray[np.floating]:
        """Return the scores that the model gives each input.

        Parameters
        ----------
        inputs
            float32 ``(n, ...)``.

        Returns
        -------
        numpy.ndarray
            ``(n, classes)``.

        Raises
        ------
        WatermarkError
            If the scores do not have one row an input and a column a class, or are no real
            numbers, or hold NaN.
        """
        batch = np.ascontiguousarray(inputs, np.float32)
        scores = np.asarray(self.ask(batch))
        fits = scores.ndim == 2 and len(scores) == len(batch) and scores.shape[1] > 0
        if not fits or scores.dtype.kind not in "fiu" or np.isnan(scores).any():
            raise WatermarkError(
                f"{self.name!r} answered {len(batch)} inputs with {scores.dtype} of shape "
                f"{scores.shape}: expected one row of numbers for each, one a class, without NaN."
            )
        return scores

    def labels(self, inputs: ArrayLike) -> NDArray[np.int64]:
        """Return the label that the model gives each input, int64 ``(n,)``.

        Takes and raises what :meth:`scores` does.
        """
        return np.argmax(self.scores(inputs), axis=1).astype(np.int64)
