"""A printed patch that hides what it is stuck on from a detector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

from helpers.data.annotated import Annotated
from helpers.errors import RobustnessError
from helpers.robustness.detection.anchors import ssd_anchors
from helpers.robustness.detection.boxes import iou
from helpers.robustness.patch import PRINTABLE, apart, patch_transforms, rendered

_NEAR = 0.3  # IoU from which an anchor could give the object away


def train_hiding_patch(
    model: tf.keras.Model,
    part: Annotated,
    *,
    share: float = 0.18,
    steps: int = 100,
    batch_size: int = 12,
    side: int = 16,
    learning_rate: float = 0.05,
    smoothness: float = 0.05,
    seed: int = 0,
    progress: bool = False,
) -> NDArray[np.float32]:
    """Train one patch which, stuck on a vehicle, makes the detector miss it.

    Each step sticks the patch on every whole object of some pictures, at a place, an angle and a
    brightness of its own, and lowers the surest answer of the anchors that overlap the object, in
    any class. Averaging over such draws is the *expectation over transformation*: what works for
    one angle only does not survive it.

    Parameters
    ----------
    model
        From :func:`~helpers.robustness.detection.ssd.build_ssd`.
    part
        Pictures of the size that it takes, with boxes.
    share
        Area of the patch, of the object's box, in (0, 0.5].
    steps, batch_size
        Updates, and pictures in each.
    side
        Height and width of the patch in pixels of its own.
    learning_rate
        Of Adam.
    smoothness
        Weight of the mean absolute difference between neighbouring pixels.
    seed
        Of everything drawn.
    progress
        Whether to show a progress bar.

    Returns
    -------
    numpy.ndarray
        float32 ``(side, side, 3)``, for the ``patch`` of
        :func:`~helpers.robustness.perturbations.objects.printed_patch`.

    Raises
    ------
    RobustnessError
        If the pictures do not fit the network, hold no object, or a setting is out of range.

    References
    ----------
    Thys, Van Ranst and Goedemé, *Fooling automated surveillance cameras: adversarial patches to
    attack person detection*, CVPR workshops 2019, for the goal. Athalye, Engstrom, Ilyas and Kwok,
    *Synthesizing robust adversarial examples*, ICML 2018, for the expectation.
    """
    if part.images.shape[1:] != tuple(model.input_shape[1:]):
        raise RobustnessError(
            f"The pictures are {part.images.shape[1:]}; the network takes {model.input_shape[1:]}."
        )
    if min(steps, batch_size) < 1 or side < 2 or not 0 < share <= 0.5 or learning_rate <= 0:
        raise RobustnessError(
            f"steps={steps}, batch_size={batch_size} and learning_rate={learning_rate} must be "
            f"positive, side={side} at least 2 and share={share} in (0, 0.5]."
        )
    useful = np.array([i for i, cut in enumerate(part.cut) if (~cut).any()], np.int64)
    if not len(useful):
        raise RobustnessError("No picture shows a whole object to stick the patch on.")
    rng = np.random.default_rng(seed)
    anchors = ssd_anchors(model.input_shape[1])
    patch = tf.Variable(rng.uniform(*PRINTABLE, (side, side, 3)).astype(np.float32))
    update = _compiled(model, patch, learning_rate, smoothness)
    for _ in tqdm(range(steps), desc="patch", unit="step", disable=not progress):
        rows = rng.choice(useful, min(batch_size, len(useful)), replace=False)
        owner, boxes = _objects(part, rows)
        near = iou(boxes, anchors) >= _NEAR
        # An object that no anchor overlaps so well has its best one.
        near[np.arange(len(boxes)), iou(boxes, anchors).argmax(axis=1)] = True
        transforms = _placements(boxes, share, side, rng)
        light = rng.uniform(0.75, 1.0, (len(boxes), 1, 1, 1)).astype(np.float32)
        update(*map(tf.constant, (part.images[rows], owner, near, transforms, light)))
    return np.asarray(patch.numpy())


def _objects(
    part: Annotated, rows: NDArray[np.integer]
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Return for all whole objects of some pictures the picture ``(k,)`` and the box ``(k, 4)``."""
    kept = [part.boxes[i][~part.cut[i]] for i in rows]
    owner = np.repeat(np.arange(len(rows), dtype=np.int32), [len(boxes) for boxes in kept])
    return owner, np.concatenate(kept).astype(np.float64)


def _placements(
    boxes: NDArray[np.float64], share: float, side: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw where the patch lies on each box, as ``printed_patch`` draws it."""
    sides = boxes[:, 2:] - boxes[:, :2]
    pixels = np.sqrt(share * sides.prod(axis=1))
    room = 0.5 - np.minimum(0.5, pixels / 2 / sides.min(axis=1))
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    middle = middle + rng.uniform(-1, 1, middle.shape) * room[:, None] * sides
    turn = rng.uniform(0.0, 2 * np.pi, len(boxes))
    return patch_transforms(middle[:, 0], middle[:, 1], pixels, turn, side)


def _compiled(
    model: tf.keras.Model, patch: tf.Variable, learning_rate: float, smoothness: float
) -> Callable[..., None]:
    optimizer = tf.keras.optimizers.Adam(learning_rate)
    optimizer.build([patch])

    (height, width, channels), anchors = model.input_shape[1:], model.output_shape[1]
    # As many pictures and objects as a step draws, so that it is traced once.
    signature = [
        tf.TensorSpec((None, height, width, channels), tf.float32),
        tf.TensorSpec((None,), tf.int32),
        tf.TensorSpec((None, anchors), tf.bool),
        tf.TensorSpec((None, 8), tf.float32),
        tf.TensorSpec((None, 1, 1, 1), tf.float32),
    ]

    @tf.function(input_signature=signature)
    def update(images: Any, owner: Any, near: Any, transforms: Any, light: Any) -> None:
        with tf.GradientTape() as tape:
            colours, mask = rendered(patch, tf.shape(owner)[0], tf.shape(images)[1:3], transforms)
            laid = tf.math.unsorted_segment_sum(
                tf.concat([colours * light, mask], axis=-1), owner, tf.shape(images)[0]
            )
            spoilt = images * (1 - tf.minimum(laid[..., 3:], 1.0)) + laid[..., :3]
            raw = model(tf.clip_by_value(spoilt, 0.0, 1.0), training=False)
            sure = tf.gather(tf.reduce_max(raw[..., :-4], axis=-1), owner)
            # The logit and not the score, which stops changing where the detector is very sure.
            surest = tf.reduce_max(tf.where(near, sure, -1e9), axis=1)
            cost = tf.reduce_mean(tf.nn.softplus(surest + 3.0)) + smoothness * apart(patch)
        optimizer.apply_gradients([(tape.gradient(cost, patch), patch)])
        patch.assign(tf.clip_by_value(patch, *PRINTABLE))

    return update
