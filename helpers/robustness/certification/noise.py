"""Noise for the votes: drawn in place, in a thread beside the model, the same for every batch size.

A vote costs one run of the model and one noisy input. NumPy's generators let go of Python's lock
while they fill an array, and so do the runtimes while they run; so the next batch is drawn while
the model works on the last one, into one of two buffers that are used in turns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Kind = Literal["pixels", "brightness", "contrast"]
Encode = Callable[[NDArray[np.float32]], NDArray[Any]]
# Generator, clean input, standard deviation, buffer (n, ...) to fill.
Fill = Callable[[np.random.Generator, NDArray[np.float32], float, NDArray[np.float32]], None]
MID_GREY = np.float32(0.5)


def _pixels(
    rng: np.random.Generator, clean: NDArray[np.float32], sigma: float, out: NDArray[np.float32]
) -> None:
    rng.standard_normal(dtype=np.float32, out=out)
    out *= np.float32(sigma)
    out += clean


def _brightness(
    rng: np.random.Generator, clean: NDArray[np.float32], sigma: float, out: NDArray[np.float32]
) -> None:
    np.add(clean, _one_each(rng, sigma, out), out=out)


def _contrast(
    rng: np.random.Generator, clean: NDArray[np.float32], sigma: float, out: NDArray[np.float32]
) -> None:
    np.multiply(clean - MID_GREY, np.exp(_one_each(rng, sigma, out)), out=out)
    out += MID_GREY


def _one_each(
    rng: np.random.Generator, sigma: float, out: NDArray[np.float32]
) -> NDArray[np.float32]:
    drawn = rng.standard_normal(len(out), dtype=np.float32) * np.float32(sigma)
    return drawn.reshape(-1, *[1] * (out.ndim - 1))


FILLS: dict[str, Fill] = {"pixels": _pixels, "brightness": _brightness, "contrast": _contrast}


class Draw(NamedTuple):
    """A number of noisy copies of one input that are wanted.

    Attributes
    ----------
    image
        Position of the input.
    stage
        0 for the votes that choose a class, 1 for those that bound its probability.
    copies
        How many.
    """

    image: int
    stage: int
    copies: int


@dataclass(frozen=True)
class Source:
    """Noisy copies of inputs, in batches.

    Each input and stage has a generator of its own, seeded with the position of the input: the
    votes are the same whatever the batch size, and whichever inputs were done before.

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

    def batches(self, draws: Iterable[Draw]) -> Iterator[tuple[Draw, NDArray[Any]]]:
        """Yield what was drawn of each batch, and the batch, which lives until the next one."""
        shape = (self.batch_size, *self.images.shape[1:])
        buffers = (np.empty(shape, np.float32), np.empty(shape, np.float32))
        with ThreadPoolExecutor(1, "noise") as thread:
            drawn = None
            for turn, (draw, rng) in enumerate(self._pieces(draws)):
                following = thread.submit(self._fill, draw, rng, buffers[turn % 2])
                if drawn is not None:
                    yield drawn[0], drawn[1].result()
                drawn = draw, following
            if drawn is not None:
                yield drawn[0], drawn[1].result()

    def _pieces(self, draws: Iterable[Draw]) -> Iterator[tuple[Draw, np.random.Generator]]:
        for draw in draws:
            bits = np.random.SFC64(np.random.SeedSequence([self.seed, draw.image, draw.stage]))
            rng = np.random.Generator(bits)
            for start in range(0, draw.copies, self.batch_size):
                size = min(self.batch_size, draw.copies - start)
                yield draw._replace(copies=size), rng

    def _fill(
        self, draw: Draw, rng: np.random.Generator, buffer: NDArray[np.float32]
    ) -> NDArray[Any]:
        rows = buffer[: draw.copies]
        FILLS[self.kind](rng, self.images[draw.image], self.sigma, rows)
        return rows if self.encode is None else self.encode(rows)
