"""Training the detector: focal loss, a cosine of learning rates, checkpoints to go on from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from helpers._files import Saved, SavedRun, hashes
from helpers.data.annotated import Annotated
from helpers.errors import RobustnessError
from helpers.robustness.detection.anchors import match_anchors, ssd_anchors
from helpers.robustness.detection.augmentation import Augmentation

if TYPE_CHECKING:
    import tensorflow as tf

# Lin et al., Focal loss for dense object detection, ICCV 2017: the best settings of their table 1b.
ALPHA, GAMMA = 0.25, 2.0
_BOX_WEIGHT = 0.5


@dataclass(frozen=True)
class EpochRecord:
    """One pass over the pictures.

    Attributes
    ----------
    epoch
        From 1.
    class_loss, box_loss
        Means over the steps, by object.
    """

    epoch: int
    class_loss: float
    box_loss: float


def train_detector(
    model: tf.keras.Model,
    train: Annotated,
    epochs: int = 40,
    batch_size: int = 32,
    learning_rate: float = 4e-3,
    augmentation: Augmentation | None = None,
    epsilon: float = 0.0,
    seed: int = 0,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> list[EpochRecord]:
    """Train a network of :func:`~helpers.robustness.detection.ssd.build_ssd` in place.

    Adam, its learning rate rising over the first twentieth of the steps and then falling along a
    cosine. The loss of the classes is the focal loss, which lets the many easy anchors count for
    little; that of the boxes is Huber's on the offsets of the anchors that are to find something.

    Parameters
    ----------
    model
        The network.
    train
        Pictures of the size that it takes, with boxes.
    epochs, batch_size
        Passes over the pictures, and pictures a step.
    learning_rate
        At its highest.
    augmentation
        None turns, mirrors and changes colours a little.
    epsilon
        Above 0 for adversarial training: every picture is changed by up to this much a pixel, in
        one step against the detector as it is, from a random start. It doubles the work.
    seed
        Of the order, the augmentation and the random starts.
    checkpoint_dir
        Where to save after each epoch. A run that was killed goes on from there, and ends with the
        same weights as one that was not, up to the order in which threads add.
    progress
        Whether to show a progress bar.

    Returns
    -------
    list of EpochRecord
        One an epoch, those of an earlier run included.

    Raises
    ------
    RobustnessError
        If the pictures do not fit the network, a setting is not positive, the loss is no longer
        finite, or the checkpoints belong to another run.

    References
    ----------
    Lin, Goyal, Girshick, He and Dollár, *Focal loss for dense object detection*, ICCV 2017. Wong,
    Rice and Kolter, *Fast is better than free: revisiting adversarial training*, ICLR 2020, whose
    step and random start these are, against the sum of both losses here.
    """
    _require_fit(model, train, epochs, batch_size, learning_rate)
    if not 0 <= epsilon < 1:
        raise RobustnessError(f"epsilon={epsilon} must be in [0, 1): pictures are in [0, 1].")
    import tensorflow as tf

    recipe = Augmentation() if augmentation is None else augmentation
    steps = -(-len(train) // batch_size)
    optimizer = tf.keras.optimizers.Adam(learning_rate)
    optimizer.build(model.trainable_variables)
    fingerprint = {
        "train": hashes([train.images, *train.boxes]),
        "augmentation": repr(recipe),
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "epsilon": epsilon,
        "seed": seed,
        "shapes": str([w.shape for w in model.get_weights()]),
    }
    saved = _folder(checkpoint_dir, fingerprint)
    records = _resume(saved, model, optimizer)
    step = _make_step(model, optimizer, epsilon, seed)
    with tqdm(
        total=epochs, initial=len(records), desc="train", unit="epoch", disable=not progress
    ) as bar:
        for epoch in range(len(records), epochs):
            losses = []
            for number, batch in enumerate(
                _batches(train, recipe, batch_size, [seed, epoch], model)
            ):
                rate = _rate((epoch * steps + number) / (epochs * steps))
                optimizer.learning_rate.assign(learning_rate * rate)
                losses.append([float(part) for part in step(*map(tf.constant, batch))])
            records.append(EpochRecord(epoch + 1, *np.mean(losses, axis=0).tolist()))
            _require_finite(records[-1], learning_rate)
            if saved is not None:
                state = [*model.get_weights(), *(v.numpy() for v in optimizer.variables)]
                saved.save(Saved(state, records))
            bar.set_postfix(loss=f"{records[-1].class_loss:.3f} + {records[-1].box_loss:.3f}")
            bar.update()
    return records


def _require_fit(
    model: tf.keras.Model, train: Annotated, epochs: int, batch_size: int, rate: float
) -> None:
    if min(epochs, batch_size) < 1 or not 0 < rate < np.inf:
        raise RobustnessError(
            f"epochs={epochs}, batch_size={batch_size} and learning_rate={rate} must be positive."
        )
    if train.images.shape[1:] != tuple(model.input_shape[1:]):
        raise RobustnessError(
            f"The pictures are {train.images.shape[1:]}; the network takes {model.input_shape[1:]}."
        )
    classes = model.output_shape[2] - 4
    highest = max((int(labels.max()) for labels in train.labels if len(labels)), default=0)
    if highest >= classes:
        raise RobustnessError(f"A label is {highest}; the network knows {classes} classes.")


def _require_finite(record: EpochRecord, rate: float) -> None:
    if not np.isfinite([record.class_loss, record.box_loss]).all():
        raise RobustnessError(
            f"The loss of epoch {record.epoch} is no longer finite: lower the learning rate of "
            f"{rate}."
        )


def _rate(done: float) -> float:
    """Return the share of the highest learning rate at this share of the training."""
    warm_up = 0.05
    if done < warm_up:
        return (done + 0.005) / (warm_up + 0.005)
    return 0.5 * (1 + np.cos(np.pi * (done - warm_up) / (1 - warm_up)))


def _batches(
    train: Annotated, recipe: Augmentation, batch_size: int, seed: list[int], model: tf.keras.Model
) -> Iterator[tuple[NDArray[np.float32], ...]]:
    """Yield images and the targets of their anchors, each picture once, in random order."""
    anchors = ssd_anchors(model.input_shape[1])
    num_classes = model.output_shape[2] - 4
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(train))
    for start in range(0, len(order), batch_size):
        images, targets = [], []
        for i in order[start : start + batch_size]:
            image, boxes = recipe(train.images[i], train.boxes[i], rng)
            images.append(image)
            targets.append(
                match_anchors(anchors, boxes, train.labels[i], num_classes, train.cut[i])
            )
        yield (np.stack(images), *(np.stack(part) for part in zip(*targets, strict=True)))


def _make_step(model: tf.keras.Model, optimizer: Any, epsilon: float, seed: int) -> Any:
    """Return the compiled function that takes one batch and makes one step."""
    import tensorflow as tf

    generator = tf.random.Generator.from_seed(seed)
    anchors, values = model.output_shape[1:]
    # The last batch may be smaller. With its size left open, the step is not traced once more.
    shapes = (model.input_shape[1:], (anchors, values - 4), (anchors, 4), (anchors,))
    signature = [tf.TensorSpec([None, *shape], tf.float32) for shape in shapes]

    @tf.function(input_signature=signature, autograph=False)
    def step(images: Any, classes: Any, offsets: Any, counted: Any) -> tuple[Any, Any]:
        if epsilon:
            start = images + generator.uniform(tf.shape(images), -epsilon, epsilon)
            with tf.GradientTape() as tape:
                tape.watch(start)
                raw = model(start, training=True)
                harm = tf.add_n(_losses(raw, classes, offsets, counted))
            moved = start + 1.25 * epsilon * tf.sign(tape.gradient(harm, start))
            near = tf.clip_by_value(moved, images - epsilon, images + epsilon)
            images = tf.clip_by_value(near, 0.0, 1.0)
        with tf.GradientTape() as tape:
            raw = model(images, training=True)
            class_loss, box_loss = _losses(raw, classes, offsets, counted)
            loss = class_loss + _BOX_WEIGHT * box_loss
        gradients = tape.gradient(loss, model.trainable_variables)
        gradients, _ = tf.clip_by_global_norm(gradients, 10.0)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return class_loss, box_loss

    return step


def _losses(raw: Any, classes: Any, offsets: Any, counted: Any) -> tuple[Any, Any]:
    """Return the focal loss of the classes and Huber's of the boxes, both by object."""
    import tensorflow as tf

    found = tf.reduce_max(classes, axis=-1)
    objects = tf.maximum(tf.reduce_sum(found), 1.0)
    logits, predicted = raw[..., :-4], raw[..., -4:]
    focal = tf.keras.losses.binary_focal_crossentropy(
        classes[..., None],
        logits[..., None],
        apply_class_balancing=True,
        alpha=ALPHA,
        gamma=GAMMA,
        from_logits=True,
    )
    error = tf.abs(predicted - offsets)
    huber = tf.where(error < 1.0, 0.5 * error**2, error - 0.5)
    return (
        tf.reduce_sum(focal * counted[..., None]) / objects,
        tf.reduce_sum(huber * found[..., None]) / objects,
    )


def _folder(
    path: str | os.PathLike[str] | None, fingerprint: dict[str, Any]
) -> SavedRun[EpochRecord] | None:
    if path is None:
        return None
    return SavedRun(
        path,
        fingerprint,
        unit="epoch",
        encode=asdict,
        decode=lambda values: EpochRecord(**values),
        error=RobustnessError,
    )


def _resume(
    saved: SavedRun[EpochRecord] | None, model: tf.keras.Model, optimizer: Any
) -> list[EpochRecord]:
    """Load the newest checkpoint, if there is one, and return its records."""
    state = None if saved is None else saved.load()
    if state is None:
        return []
    count = len(model.get_weights())
    model.set_weights(state.arrays[:count])
    for variable, value in zip(optimizer.variables, state.arrays[count:], strict=True):
        variable.assign(value)
    return list(state.records)
