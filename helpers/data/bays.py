"""Small crops with one label each, cut out of whole frames: what stands in this bay?

The places are found once, on the clean frames. Then the same places are cut from any version of
the frames, so that what spoils a picture acts on the whole frame, as it does in a camera, and every
crop has a clean twin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from helpers.data.annotated import Annotated
from helpers.errors import DataError

EMPTY = 0  # label; a vehicle's is its class in the frames plus one
_WANDER = 0.1  # of the crop's side, by which a vehicle may stand off its middle
_TRIES = 6  # places in a frame that are tried for an empty bay


@dataclass(frozen=True, eq=False)
class Bays:
    """Places to look at. Made by :func:`find_bays`.

    Attributes
    ----------
    frames
        int64 ``(n,)``: which frame.
    corners
        int64 ``(n, 2)``: row and column of the first pixel.
    labels
        int64 ``(n,)``: 0 is empty, else the class of the vehicle plus one.
    side
        Height and width in pixels.
    """

    frames: NDArray[np.int64]
    corners: NDArray[np.int64]
    labels: NDArray[np.int64]
    side: int

    def __len__(self) -> int:
        return len(self.labels)

    def cut(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cut the bays out of frames: those they were found in, or a spoilt version of them.

        Parameters
        ----------
        images
            float32 ``(frames, h, w, channels)``.

        Returns
        -------
        numpy.ndarray
            float32 ``(n, side, side, channels)``.

        Raises
        ------
        DataError
            If a bay lies outside the frames.
        """
        reach = self.corners.max(axis=0) + self.side
        if (
            images.ndim != 4
            or len(images) <= self.frames.max()
            or (reach > images.shape[1:3]).any()
        ):
            raise DataError(
                f"images have shape {images.shape}; the bays reach frame {self.frames.max()} and "
                f"pixel {tuple(reach.tolist())}. Give the frames that they were found in."
            )
        within = np.arange(self.side)
        rows = self.corners[:, 0, None] + within
        columns = self.corners[:, 1, None] + within
        return images[self.frames[:, None, None], rows[:, :, None], columns[:, None, :]]


def find_bays(
    scenes: Annotated,
    side: int = 32,
    num_classes: int = 2,
    *,
    per_frame: int | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> Bays:
    """Choose places, as many of each class: empty, and one class a kind of vehicle.

    A vehicle stands in the middle of its bay, give or take a tenth, or within the middle half where
    the edge of the frame is near; others there are left out, and those that the edge cuts. A bay is
    empty if no vehicle reaches the middle half of it.

    Parameters
    ----------
    scenes
        Frames with boxes.
    side
        Height and width of a bay in pixels.
    num_classes
        How many kinds of vehicle there are.
    per_frame
        Most bays of one frame. With 1, answers on different bays are independent, as tests and
        intervals assume.
    limit
        Most bays of one class; as many as the rarest class has when left out.
    seed
        Of the choice.

    Returns
    -------
    Bays
        In random order.

    Raises
    ------
    DataError
        If the side does not fit into the frames, a number is below 1, or a class has no bay.
    """
    shape = scenes.images.shape[1:3]
    if not 4 <= side <= min(shape):
        raise DataError(f"side={side} must be from 4 to {min(shape)}, the frames' shorter side.")
    if num_classes < 1 or any(n is not None and n < 1 for n in (per_frame, limit)):
        raise DataError(
            f"num_classes={num_classes}, per_frame={per_frame}, limit={limit}: each at least 1."
        )
    rng = np.random.default_rng(seed)
    places = _candidates(scenes, side, rng)
    chosen = _balanced(places[rng.permutation(len(places))], num_classes + 1, per_frame, limit)
    chosen = chosen[rng.permutation(len(chosen))]
    return Bays(chosen[:, 0], chosen[:, 1:3], chosen[:, 3], side)


def _candidates(scenes: Annotated, side: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return every place that could be taken: frame, row, column, label."""
    height, width = scenes.images.shape[1:3]
    most = np.array([height - side, width - side])
    rows: list[tuple[int, int, int, int]] = []
    for frame, (boxes, labels, cut) in enumerate(
        zip(scenes.boxes, scenes.labels, scenes.cut, strict=True)
    ):
        middles = (boxes[:, [1, 0]] + boxes[:, [3, 2]]) / 2
        for middle, label in zip(middles[~cut], labels[~cut], strict=True):
            wander = rng.uniform(-_WANDER, _WANDER, 2) * side
            row, column = np.clip(np.rint(middle + wander - side / 2), 0, most).astype(int)
            if (np.abs(middle - side / 2 - (row, column)) < side / 4).all():
                rows.append((frame, row, column, int(label) + 1))
        for row, column in rng.integers(0, most + 1, (_TRIES, 2)):
            low = np.array([column, row]) + side / 4
            touched = (boxes[:, :2] < low + side / 2).all(1) & (boxes[:, 2:] > low).all(1)
            if not touched.any():
                rows.append((frame, row, column, EMPTY))
    return np.array(rows, np.int64).reshape(-1, 4)


def _balanced(
    places: NDArray[np.int64], classes: int, per_frame: int | None, limit: int | None
) -> NDArray[np.int64]:
    """Take places class by class in turn, until one has no more."""
    waiting = [list(places[places[:, 3] == label]) for label in range(classes)]
    used: dict[int, int] = {}
    taken: list[NDArray[np.int64]] = []
    while limit is None or len(taken) < limit * classes:
        turn = []
        for queue in waiting:
            while queue and per_frame is not None and used.get(int(queue[-1][0]), 0) >= per_frame:
                queue.pop()
            if not queue:
                break
            turn.append(queue.pop())
            used[int(turn[-1][0])] = used.get(int(turn[-1][0]), 0) + 1
        if len(turn) < classes:
            break
        taken += turn
    if not taken:
        raise DataError("A class has no bay in these frames: give more frames or a smaller side.")
    return np.array(taken, np.int64)
