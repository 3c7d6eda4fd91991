"""A dataset for detectors: images, and what stands where in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from helpers.data.dataset import SOURCE_MEANS, Origin, facts_table
from helpers.errors import DataError


@dataclass(frozen=True, eq=False, repr=False)
class Annotated:
    """Images with boxes; checked when made.

    Parameters
    ----------
    images : numpy.ndarray
        float32 ``(n, height, width, 3)`` in [0, 1].
    boxes : tuple of numpy.ndarray
        One float32 ``(k, 4)`` an image: x1, y1, x2, y2 in pixels, within the image.
    labels : tuple of numpy.ndarray
        One int32 ``(k,)`` an image, class indices from 0.
    cut : tuple of numpy.ndarray
        One bool ``(k,)`` an image: whether the edge cuts so much of the object off that a detector
        should neither be asked for it nor blamed for finding it.
    scenes : numpy.ndarray
        int32 ``(n,)``: the place of each image.

    Raises
    ------
    DataError
        If these do not fit together.
    """

    images: NDArray[np.float32]
    boxes: tuple[NDArray[np.float32], ...]
    labels: tuple[NDArray[np.int32], ...]
    cut: tuple[NDArray[np.bool_], ...]
    scenes: NDArray[np.int32]

    def __post_init__(self) -> None:
        x = self.images
        if x.dtype != np.float32 or x.ndim != 4 or x.shape[3] != 3 or not x.size:
            raise DataError(f"images are {x.dtype} {x.shape}; expected float32 (n, h, w, 3).")
        if not (x.min() >= 0 and x.max() <= 1):  # NaN fails
            raise DataError(f"images span [{x.min():g}, {x.max():g}]; scale them to [0, 1].")
        counts = {len(part) for part in (self.boxes, self.labels, self.cut, self.scenes)}
        if counts != {len(x)}:
            raise DataError(f"{len(x)} images, but boxes, labels or scenes for {sorted(counts)}.")
        for i, (boxes, labels, cut) in enumerate(
            zip(self.boxes, self.labels, self.cut, strict=True)
        ):
            if boxes.shape != (len(labels), 4) or cut.shape != labels.shape:
                raise DataError(
                    f"Image {i}: boxes {boxes.shape}, labels {labels.shape}, cut {cut.shape}; "
                    "expected (k, 4), (k,) and (k,)."
                )
            inside = (boxes[:, :2] >= 0).all() and (boxes[:, 2:] <= x.shape[2:0:-1]).all()
            if not (inside and (boxes[:, 2:] > boxes[:, :2]).all()):
                raise DataError(f"Image {i}: a box is empty or reaches beyond the image.")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def num_objects(self) -> int:
        """How many boxes there are, those cut by the edge included."""
        return sum(map(len, self.labels))

    def take(self, rows: NDArray[np.integer] | slice) -> Annotated:
        """Return some of the images, with what belongs to them."""
        chosen = np.arange(len(self))[rows]
        return Annotated(
            self.images[chosen],
            tuple(self.boxes[i] for i in chosen),
            tuple(self.labels[i] for i in chosen),
            tuple(self.cut[i] for i in chosen),
            self.scenes[chosen],
        )


@dataclass(frozen=True, eq=False, repr=False)
class DetectionDataset:
    """Training and test images with boxes, and where they come from.

    Parameters
    ----------
    name : str
        What it is called.
    train, test : Annotated
        Its parts; no place is in both.
    class_names, scene_names : tuple of str
        What a label and a scene stand for.
    source, origin, licence, citation : str
        As for :class:`helpers.data.Dataset`.

    Raises
    ------
    DataError
        If a place is in both parts, or a label or scene has no name.
    """

    name: str
    train: Annotated
    test: Annotated
    class_names: tuple[str, ...]
    scene_names: tuple[str, ...]
    source: Origin
    origin: str
    licence: str
    citation: str

    def __post_init__(self) -> None:
        for part in (self.train, self.test):
            labels = np.concatenate(part.labels) if part.num_objects else np.zeros(0, np.int32)
            for what, values, names in (
                ("label", labels, self.class_names),
                ("scene", part.scenes, self.scene_names),
            ):
                if len(values) and not (values.min() >= 0 and values.max() < len(names)):
                    raise DataError(f"{self.name}: a {what} is outside 0..{len(names) - 1}.")
        both = sorted(set(self.train.scenes.tolist()) & set(self.test.scenes.tolist()))
        if both:
            shared = ", ".join(self.scene_names[i] for i in both)
            raise DataError(
                f"{self.name}: {shared} in train and test; a detector tested on a place it has "
                "seen shows only its memory."
            )

    def describe(self) -> str:
        """Return plain text: what this is, how much, from where, under which terms."""
        return "\n".join(f"{label + ':':<9} {text}" for label, text in self._facts())

    def _facts(self) -> list[tuple[str, str]]:
        height, width = self.train.images.shape[1:3]
        return [
            ("Dataset", f"{self.name} ({self.source}: {SOURCE_MEANS[self.source]})"),
            ("Origin", self.origin),
            (
                "Size",
                f"{len(self.train):,} train + {len(self.test):,} test images of {height} x "
                f"{width}; {self.train.num_objects:,} + {self.test.num_objects:,} boxes of "
                f"{len(self.class_names)} classes: {', '.join(self.class_names)}",
            ),
            ("Licence", self.licence),
            ("Cite", self.citation),
        ]

    def __repr__(self) -> str:
        return (
            f"<DetectionDataset {self.name!r}: {self.source}, {len(self.train):,} train + "
            f"{len(self.test):,} test images>"
        )

    def _repr_html_(self) -> str:
        return facts_table(self._facts())
