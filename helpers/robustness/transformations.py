"""Defences that change the input first, and what is left of them under an attacker who knows.

Fewer grey levels, JPEG, a median and a random size blur what an attacker has painted, so an attack
made without them often misses. They also break the gradient: rounding has none, and what is random
has another one each time. A model behind them then looks robust to whoever differentiates through
them. BPDA puts the identity in place of the broken gradient, EOT averages over the draws.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from helpers.errors import RobustnessError
from helpers.robustness._checks import require_choice, require_whole
from helpers.robustness.budget import Budget
from helpers.robustness.gradients import Pgd, straight_through
from helpers.robustness.losses import LossName
from helpers.robustness.target import Outcome, Target, judge

Knowledge = Literal["unaware", "naive", "adaptive"]
KNOWLEDGE: tuple[Knowledge, ...] = get_args(Knowledge)
# Images (n, height, width, channels) in [0, 1], random numbers -> images of the same shape.
Operation = Callable[[Any, Any], Any]


@dataclass(frozen=True, eq=False)
class Transformation:
    """Something done to images before a model sees them.

    Attributes
    ----------
    name
        For reports.
    operation
        Of TensorFlow tensors: images in [0, 1] and a ``tf.random.Generator`` (None will do where
        nothing is drawn) to images of the same shape.
    differentiable
        Whether its own gradient is of use; if not, an adaptive attacker takes the identity's.
    random
        Whether it draws; if so, an adaptive attacker averages.
    """

    name: str
    operation: Operation
    differentiable: bool = False
    random: bool = False

    def __call__(self, images: ArrayLike, seed: int = 0) -> NDArray[np.float32]:
        """Transform images ``(n, h, w, c)``, with random numbers from a seed."""
        rng = tf.random.Generator.from_seed(seed)
        return np.asarray(self.operation(tf.constant(images, tf.float32), rng))


def fewer_levels(bits: int = 3) -> Transformation:
    """Round each value to ``2 ** bits`` levels.

    Parameters
    ----------
    bits
        1 or more.

    Raises
    ------
    RobustnessError
        If `bits` is no such number.

    References
    ----------
    Xu, Evans and Qi, *Feature squeezing: detecting adversarial examples in deep neural networks*,
    NDSS 2018, section III-A.
    """
    require_whole("bits", bits, at_least=1)
    steps = float(2**bits - 1)
    return Transformation(f"{bits}-bit levels", lambda x, rng: tf.round(x * steps) / steps)


def jpeg(quality: int = 50) -> Transformation:
    """Compress and decompress each image of one or three channels.

    Parameters
    ----------
    quality
        Of JPEG, 1 to 95.

    Raises
    ------
    RobustnessError
        If `quality` is out of its range.

    References
    ----------
    Das et al., *Shield: fast, practical defense and vaccination for deep learning using JPEG
    compression*, KDD 2018.
    """
    require_whole("quality", quality, at_least=1)
    if quality > 95:
        raise RobustnessError(f"quality={quality} must be at most 95, the highest that is of use.")

    def operation(images: Any, rng: tf.random.Generator | None) -> Any:
        found = tf.numpy_function(lambda x: _compressed(x, quality), [images], tf.float32)
        return tf.ensure_shape(found, images.shape)

    return Transformation(f"JPEG, quality {quality}", operation)


def median(size: int = 3) -> Transformation:
    """Replace each value by the median of a square around it, mirrored at the border.

    Xu, Evans and Qi, NDSS 2018, section III-B. Its gradient leads to the middle value.

    Raises
    ------
    RobustnessError
        If ``size`` is no whole number of at least 2.
    """
    require_whole("size", size, at_least=2)
    before, after = (size - 1) // 2, size // 2

    def operation(images: Any, rng: tf.random.Generator | None) -> Any:
        pads = [[0, 0], [before, after], [before, after], [0, 0]]
        wide = tf.pad(images, pads, "SYMMETRIC")
        height, width = images.shape[1:3]
        shifted = [wide[:, i : i + height, j : j + width] for i in range(size) for j in range(size)]
        return tf.sort(tf.stack(shifted), axis=0)[(size * size - 1) // 2]

    return Transformation(f"median {size} x {size}", operation, differentiable=True)


def random_resizing(smallest: float = 0.8) -> Transformation:
    """Shrink each image to a random size, and put it at a random place in a black frame.

    Parameters
    ----------
    smallest
        Share of the side that is left at least.

    Returns
    -------
    Transformation
        Random, with a true gradient for each draw.

    Raises
    ------
    RobustnessError
        If `smallest` is no such share.

    References
    ----------
    Xie, Wang, Zhang, Ren and Yuille, *Mitigating adversarial effects through randomization*, ICLR
    2018. There the frame is larger than the image, and the network takes it as it is.
    """
    if not 0 < smallest < 1:
        raise RobustnessError(f"smallest={smallest!r} must be a share between 0 and 1.")

    def operation(images: Any, rng: tf.random.Generator | None) -> Any:
        assert rng is not None, "a random transformation needs a generator"
        count = tf.shape(images)[0]
        draws = rng.uniform((3, count))
        side = 1 / (smallest + (1 - smallest) * draws[0])  # of the frame, in sides of the image
        top, left = -draws[1] * (side - 1), -draws[2] * (side - 1)
        boxes = tf.stack([top, left, top + side, left + side], axis=1)
        height, width = images.shape[1:3]
        # A box beyond the image is filled with black, and each image can have one of its own.
        return tf.image.crop_and_resize(images, boxes, tf.range(count), (height, width))

    return Transformation(f"random size from {smallest:.0%}", operation, True, random=True)


def defend(target: Target, transformation: Transformation, *, seed: int = 0) -> Target:
    """Put a transformation in front of an artefact.

    Parameters
    ----------
    target
        What answers behind it.
    transformation
        Done to every input before.
    seed
        Of what it draws.

    Returns
    -------
    Target
        It answers as the device does. Its model, if there was one, is differentiated through the
        transformation as it is: the naive attacker's.
    """
    rng = tf.random.Generator.from_seed(seed)

    def ask(inputs: NDArray[np.float32]) -> NDArray[np.floating]:
        return target.ask(np.asarray(transformation.operation(tf.constant(inputs), rng)))

    model = None if target.model is None else _through(target.model, transformation, seed, False)
    name = f"{target.name}, {transformation.name}"
    return replace(target, ask=ask, model=model, name=name)


def adapt(target: Target, transformation: Transformation, *, seed: int = 0) -> Target:
    """Return the defended target with the gradients of an attacker who knows the defence.

    Parameters
    ----------
    target, transformation, seed
        As for :func:`defend`.

    Returns
    -------
    Target
        The same answers; through the model the transformation is done forwards, and the identity
        stands for it backwards where its own gradient is of no use (BPDA).

    References
    ----------
    Athalye, Carlini and Wagner, *Obfuscated gradients give a false sense of security*, ICML 2018,
    section 4.
    """
    model = _through(target.differentiable(), transformation, seed, True)
    return replace(defend(target, transformation, seed=seed), model=model)


def attack_defended(
    target: Target,
    transformation: Transformation,
    inputs: ArrayLike,
    labels: ArrayLike,
    budget: Budget,
    *,
    knows: Knowledge = "adaptive",
    loss: LossName = "cross_entropy",
    steps: int = 20,
    samples: int = 10,
    seed: int = 0,
) -> Outcome:
    """Attack a transformed artefact by PGD, with as much as an attacker knows of the defence.

    Parameters
    ----------
    target
        The artefact without the defence, and a model with gradients for it.
    transformation
        The defence.
    inputs, labels, budget
        Clean images ``(n, height, width, channels)``, true classes ``(n,)``, what may change.
    knows
        ``"unaware"``: attacks the model alone. ``"naive"``: differentiates through the defence as
        it is. ``"adaptive"``: BPDA where that gradient is of no use, and EOT where it is random.
    loss, steps
        Of the attack.
    samples
        Draws that EOT averages over in each step.
    seed
        Of the attack. The device draws anew when it judges.

    Returns
    -------
    Outcome
        Of the defended artefact.

    Raises
    ------
    RobustnessError
        If a setting is unknown, or the target has no model.
    """
    require_choice("knows", knows, KNOWLEDGE)
    defended = defend(target, transformation, seed=seed + 1)
    model = {
        "unaware": target.model,
        "naive": defended.model,
        "adaptive": adapt(target, transformation, seed=seed).differentiable(),
    }[knows]
    draws = samples if knows == "adaptive" and transformation.random else 1
    attack = Pgd(model, budget.norm, loss, target.bounds, samples=draws)
    found = attack(inputs, labels, budget.epsilon, steps=steps, seed=seed)
    return judge(defended, inputs, labels, found, attack=f"PGD ({knows})", budget=budget)


def compare_knowledge(
    target: Target,
    transformations: Sequence[Transformation],
    inputs: ArrayLike,
    labels: ArrayLike,
    budget: Budget,
    *,
    steps: int = 20,
    samples: int = 10,
    seed: int = 0,
) -> dict[str, dict[Knowledge, Outcome]]:
    """Attack each defence with each degree of knowledge; parameters as :func:`attack_defended`.

    Returns
    -------
    dict
        Name of the transformation to knowledge to outcome.
    """
    return {
        transformation.name: {
            knows: attack_defended(
                target, transformation, inputs, labels, budget,
                knows=knows, steps=steps, samples=samples, seed=seed,
            )
            for knows in KNOWLEDGE
        }
        for transformation in transformations
    }  # fmt: skip


def _through(
    model: Callable[[Any], Any], transformation: Transformation, seed: int, adaptive: bool
) -> Callable[[Any], Any]:
    rng = tf.random.Generator.from_seed(seed)

    def forward(inputs: Any) -> Any:
        return transformation.operation(inputs, rng)

    changed = (
        straight_through(forward) if adaptive and not transformation.differentiable else forward
    )
    return lambda inputs: model(changed(inputs))


def _compressed(images: NDArray[np.float32], quality: int) -> NDArray[np.float32]:
    """Send 8-bit images through Pillow's JPEG, one by one."""
    codes = np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)
    found = np.empty_like(codes)
    for i, code in enumerate(codes):
        stream = io.BytesIO()
        Image.fromarray(code.squeeze(-1) if code.shape[-1] == 1 else code).save(
            stream, "JPEG", quality=quality
        )
        found[i] = np.asarray(Image.open(stream)).reshape(code.shape)
    return (found / 255).astype(np.float32)
