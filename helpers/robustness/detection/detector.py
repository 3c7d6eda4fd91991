"""A trained detector: pictures in, boxes out; and those that ship with the package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from helpers.data.annotated import Annotated
from helpers.errors import RobustnessError
from helpers.robustness.detection.anchors import ssd_anchors
from helpers.robustness.detection.boxes import Detections, Truth
from helpers.robustness.detection.decoding import decode_predictions
from helpers.robustness.detection.ssd import build_ssd

if TYPE_CHECKING:
    import tensorflow as tf

PretrainedName = Literal["plain", "generic", "physical", "adversarial"]
_BATCH = 64


@dataclass(frozen=True, eq=False)
class Detector:
    """A network with what is needed to read its answers.

    Attributes
    ----------
    model
        From :func:`~helpers.robustness.detection.ssd.build_ssd`, or one with its raw answers.
    class_names
        What a label stands for.
    own_anchors
        float32 ``(anchors, 4)`` of a network that is not from there; None takes those of ours.
    """

    model: tf.keras.Model
    class_names: tuple[str, ...]
    own_anchors: NDArray[np.float32] | None = None

    @property
    def side(self) -> int:
        """Height and width of the pictures that it takes."""
        return int(self.model.input_shape[1])

    @property
    def anchors(self) -> NDArray[np.float32]:
        """float32 ``(anchors, 4)``."""
        return ssd_anchors(self.side) if self.own_anchors is None else self.own_anchors

    def raw(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the network's raw answers, float32 ``(n, anchors, num_classes + 4)``.

        Raises
        ------
        RobustnessError
            If the pictures have another size than the network takes.
        """
        expected = self.model.input_shape[1:]
        if np.shape(images)[1:] != expected:
            raise RobustnessError(
                f"The pictures have the shape {np.shape(images)}; this detector takes (n, "
                f"{', '.join(map(str, expected))})."
            )
        batches = (images[start : start + _BATCH] for start in range(0, len(images), _BATCH))
        return np.concatenate([self._answer(batch).numpy() for batch in batches])

    @cached_property
    def _answer(self) -> Callable[[Any], Any]:
        """The network in one compiled call, spared what Keras does for every layer."""
        import tensorflow as tf

        signature = [tf.TensorSpec([None, *self.model.input_shape[1:]], tf.float32)]
        compiled: Callable[[Any], Any] = tf.function(
            lambda images: self.model(images, training=False),
            input_signature=signature,
            autograph=False,
        )
        return compiled

    def __getstate__(self) -> dict[str, Any]:
        """Leave what is compiled out of copies."""
        return {name: value for name, value in vars(self).items() if name != "_answer"}

    def detect(self, images: NDArray[np.float32], score: float = 0.05) -> tuple[Detections, ...]:
        """Find objects.

        Parameters
        ----------
        images
            float32 ``(n, side, side, 3)`` in [0, 1].
        score
            Boxes below it are dropped.

        Returns
        -------
        tuple of Detections
            One an image, the surest first.

        Raises
        ------
        RobustnessError
            If the pictures have another shape than the detector takes.
        """
        return decode_predictions(self.raw(images), self.anchors, score)


def truths(part: Annotated, boxes: tuple[NDArray[np.float32], ...] | None = None) -> list[Truth]:
    """Return what there is to be found, for the metrics.

    Parameters
    ----------
    part
        Pictures with boxes. Objects that the edge cuts count neither way.
    boxes
        Their boxes where a perturbation has moved them; None takes those of the part.
    """
    moved = part.boxes if boxes is None else boxes
    return [Truth(*one) for one in zip(moved, part.labels, part.cut, strict=True)]


def pretrained(name: PretrainedName = "physical") -> Detector:
    """Return a detector that was trained once on drawn streets, at 96 pixels.

    Parameters
    ----------
    name
        What it was trained on: clean pictures (``"plain"``), pictures with blur, noise, strong
        colours and cut-outs (``"generic"``), pictures spoilt by the suite of
        :mod:`helpers.robustness.perturbations` (``"physical"``), or pictures changed against it by
        up to 4/255 a pixel (``"adversarial"``). ``scripts/train_detector.py`` made all; its log
        lies beside the weights and says for how many epochs.

    Returns
    -------
    Detector
        Classes *car* and *large vehicle*.

    Raises
    ------
    RobustnessError
        If there is none of this name.
    """
    from helpers import models
    from helpers.data.aerial_drawn import CLASS_NAMES

    if name not in get_args(PretrainedName):
        raise RobustnessError(
            f"There is no detector {name!r}: choose one of {', '.join(get_args(PretrainedName))}."
        )
    path = Path(models.__file__).parent / "weights" / f"ssd_aerial_{name}.npz"
    model = build_ssd(len(CLASS_NAMES))
    with np.load(path) as stored:
        model.set_weights([stored[key].astype(np.float32) for key in sorted(stored)])
    return Detector(model, CLASS_NAMES)
