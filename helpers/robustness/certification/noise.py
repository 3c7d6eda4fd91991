"""Noise for the votes: drawn once for several inputs, in a thread beside the model.

A vote costs one run of the model and one noisy input. NumPy's generators let go of Python's lock
while they fill an array, and so do the runtimes while they run; so the next batch is made while the
model works on the last one, in one of two buffers that are used in turns.

All inputs get the same noise. Each certificate by itself is as good as with noise of its own, as
the votes on one input are independent of each other, and a bound of the chance that any of several
is wrong needs no independence among them. What is lost: certificates that are wrong tend to be
wrong together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["pixels", "brightness", "contrast"]
Encode = Callable[[NDArray[np.float32]], NDArray[Any]]
MID_GREY = np.float32(0.5)
NOISE = "SFC64, float32, shared"  # how it is drawn: votes on other noise do not go together


@dataclass(frozen=True)
class Source:
    """Noisy copies of inputs, in batches.

    The noise is decided by the seed and the stage alone: the votes on an input are the same
    whatever the batch size, and whichever other inputs are voted on.

    Attributes
    ----------
    images
        float32 ``(n, ...)``.
    kind, sigma, seed
        What is drawn.
    batch_size
        Most copies at a time.
    encode
        Turns a batch into what the model takes, in the thread that draws; None leaves it float32.
    """

    images: NDArray[np.float32]
    kind: Kind
    sigma: float
    seed: int
    batch_size: int
    encode: Encode | None = None

    def batches(
        self, chosen: Sequence[int], stage: int, copies: int
    ) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield noisy copies of some inputs.

        Parameters
        ----------
        chosen
            Positions of the inputs, which take turns.
        stage
            Noise of different stages is independent.
        copies
            Of each input, in all.

        Yields
        ------
        tuple of int and numpy.ndarray
            Position of the input and a batch of its copies, which lives until the next one.
        """
        size = min(self.batch_size, copies)
        item = self.images.shape[1:] if self.kind == "pixels" else (1,) * (self.images.ndim - 1)
        noise = np.empty((size, *item), np.float32)
        buffers = [np.empty((size, *self.images.shape[1:]), np.float32) for _ in range(2)]
        bits = np.random.SFC64(np.random.SeedSequence([self.seed, stage]))
        rng = np.random.Generator(bits)

        def make(image: int, start: int, buffer: NDArray[np.float32]) -> NDArray[Any]:
            rows = min(size, copies - start)
            if image == chosen[0]:
                rng.standard_normal(dtype=np.float32, out=noise[:rows])
                np.multiply(noise[:rows], np.float32(self.sigma), out=noise[:rows])
            noisy = buffer[:rows]
            _move(self.kind, self.images[image], noise[:rows], noisy)
            return noisy if self.encode is None else self.encode(noisy)

        with ThreadPoolExecutor(1, "noise") as thread:
            waiting = None
            for turn, (start, image) in enumerate(product(range(0, copies, size), chosen)):
                following = thread.submit(make, image, start, buffers[turn % 2])
                if waiting is not None:
                    yield waiting[0], waiting[1].result()
                waiting = image, following
            if waiting is not None:
                yield waiting[0], waiting[1].result()


def _move(
    kind: Kind, clean: NDArray[np.float32], noise: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    """Write copies of an input into a buffer, each moved by its noise."""
    if kind == "contrast":
        np.multiply(clean - MID_GREY, np.exp(noise), out=out)
        out += MID_GREY
    else:
        np.add(clean, noise, out=out)
