"""Attack certificates inside their radius. None may fall, or somebody has made a mistake.

What a certificate promises is about the vote of infinitely many noisy copies, which nobody can
take. A vote of a few hundred that goes the other way may be chance, so it is only a suspicion: such
a point is voted on again, with fresh noise, and counts as a violation only if the certified class's
share is below one half beyond doubt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special
from tqdm import tqdm

from helpers.errors import RobustnessError
from helpers.robustness._checks import require_whole
from helpers.robustness.budget import distances
from helpers.robustness.certification.noise import Source
from helpers.robustness.certification.outcome import Certification
from helpers.robustness.certification.radius import require_alpha
from helpers.robustness.certification.smoothing import ESTIMATION, Classifier

if TYPE_CHECKING:
    import tensorflow as tf

# Inputs (n, ...), labels (n,), generator -> directions (n, ...).
Downhill = Callable[
    [NDArray[np.float32], NDArray[np.int64], np.random.Generator], NDArray[np.float32]
]
INSIDE = 0.999  # of the radius: strictly within, and room for the rounding of a sum
GRADIENT_SAMPLES = 16
CHUNK = 64


@dataclass(frozen=True)
class Siege:
    """What attempts inside certified radii came to. Made by :func:`besiege`.

    Attributes
    ----------
    attempts
        Changed inputs that were voted on.
    suspicions
        Those that lost the first vote.
    violations
        Those that lost the second beyond doubt.
    smallest_share
        Smallest share of first votes that the certified class had.
    """

    attempts: int
    suspicions: int
    violations: int
    smallest_share: float


def besiege(
    classifier: Classifier,
    certification: Certification,
    images: ArrayLike,
    *,
    attempts: int,
    model: tf.keras.Model | None = None,
    votes: int = 100,
    second_votes: int = 10_000,
    false_alarm: float = 1e-3,
    seed: int = 0,
    progress: bool = False,
) -> Siege:
    """Attack the smoothed classifier inside certified radii.

    The images take turns. With a model, every second attempt on an image goes where the certified
    class loses most over noisy copies (the gradient of the smoothed loss: Salman et al., *Provably
    robust deep learning via adversarially trained smoothed classifiers*, NeurIPS 2019), each time
    with new noise and a random part; the others go in a random direction. All go to the edge of
    the radius, where the promise is weakest.

    Parameters
    ----------
    classifier
        What votes.
    certification
        Of the images, over pixels.
    images
        ``(n, ...)``: those that were certified.
    attempts
        Changed inputs to try.
    model
        A Keras model with gradients that stands for the classifier, inputs to logits.
    votes
        Of each attempt.
    second_votes
        Of a suspicion.
    false_alarm
        Probability that a sound certification is accused, at most, over all suspicions together.
    seed
        Of directions and votes.
    progress
        Whether to show a progress bar.

    Returns
    -------
    Siege
        Counts of attempts, suspicions and violations.

    Raises
    ------
    RobustnessError
        If nothing is certified over pixels, or a setting is out of its range.
    """
    clean = np.asarray(images, np.float32)
    for name, value in (("attempts", attempts), ("votes", votes), ("second_votes", second_votes)):
        require_whole(name, value, at_least=1)
    require_alpha(false_alarm)
    certified = np.flatnonzero(certification.radii > 0)
    if certification.smoothing.over != "pixels" or len(clean) != len(certification):
        raise RobustnessError("besiege() needs a certification over the pixels of these images.")
    if not len(certified):
        raise RobustnessError("No image has a certificate: there is nothing to attack.")
    sigma, rng = certification.smoothing.sigma, np.random.default_rng(seed)
    downhill = None if model is None else _slopes(model, sigma)
    smallest = 1.0
    suspects: list[tuple[NDArray[np.float32], int]] = []
    with tqdm(total=attempts, desc="attacking", unit="try", disable=not progress) as bar:
        for start in range(0, attempts, CHUNK):
            numbers = np.arange(start, min(start + CHUNK, attempts))
            chosen = certified[numbers % len(certified)]
            steered = numbers // len(certified) % 2 == 0
            changed = _tries(certification, clean, chosen, steered, downhill, rng)
            labels = certification.labels[chosen]
            shares = _shares(classifier, changed, labels, sigma, votes, rng)
            smallest = min(smallest, float(shares.min()))
            suspects += [(changed[i], int(labels[i])) for i in np.flatnonzero(shares < 0.5)]
            bar.update(len(numbers))
    lost = 0
    if suspects:
        points, labels = np.stack([s[0] for s in suspects]), np.array([s[1] for s in suspects])
        shares = _shares(classifier, points, labels, sigma, second_votes, rng)
        # Chance of so few votes or fewer if the class had one half of all.
        chances = special.bdtr(np.rint(shares * second_votes), second_votes, 0.5)
        lost = int((chances <= false_alarm / len(suspects)).sum())
    return Siege(attempts, len(suspects), lost, smallest)


def _tries(
    certification: Certification,
    clean: NDArray[np.float32],
    chosen: NDArray[np.int64],
    steered: NDArray[Any],
    downhill: Downhill | None,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Move each chosen image to the edge of its radius, some of them where the class loses most."""
    ways = rng.standard_normal((len(chosen), *clean.shape[1:]), np.float32)
    if downhill is not None and steered.any():
        ways[steered] *= rng.uniform(0, 0.3)
        labels = certification.labels[chosen[steered]]
        ways[steered] += downhill(clean[chosen[steered]], labels, rng)
    lengths = distances(ways, np.zeros_like(ways), "l2")
    scale = INSIDE * certification.radii[chosen] / np.maximum(lengths, 1e-12)
    return clean[chosen] + _per_image(scale, ways.ndim) * ways


def _shares(
    classifier: Classifier,
    images: NDArray[np.float32],
    labels: NDArray[np.int64],
    sigma: float,
    votes: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Return the share of votes that each image's class has."""
    seed = int(rng.integers(2**63))
    source = Source(images, "pixels", sigma, seed, min(votes, 256), classifier.encode)
    found = np.zeros(len(images))
    for image, batch in source.batches(range(len(images)), ESTIMATION, votes):
        found[image] += (classifier.votes(batch)[0] == labels[image]).sum()
    return found / votes


def _slopes(model: tf.keras.Model, sigma: float) -> Downhill:
    """Compile the gradient of the smoothed loss, scaled to the length of standard normal noise."""
    import tensorflow as tf

    @tf.function(reduce_retracing=True)
    def slope(rows: Any, labels: Any, noise: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(rows)
            copies = tf.reshape(rows[:, None] + sigma * noise, [-1, *rows.shape[1:]])
            answers = tf.nn.softmax(model(copies, training=False))
            answers = tf.reshape(answers, [-1, GRADIENT_SAMPLES, answers.shape[-1]])
            # The smoothed classifier averages answers, so the mean is inside the logarithm.
            shares = tf.gather(tf.reduce_mean(answers, axis=1), labels, batch_dims=1)
            loss = -tf.reduce_sum(tf.math.log(shares + 1e-12))
        return tape.gradient(loss, rows)

    def scaled(
        rows: NDArray[np.float32], labels: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.float32]:
        noise = rng.standard_normal((len(rows), GRADIENT_SAMPLES, *rows.shape[1:]), np.float32)
        found = np.asarray(slope(tf.constant(rows), tf.constant(labels), tf.constant(noise)))
        lengths = np.maximum(distances(found, np.zeros_like(found), "l2"), 1e-12)
        return found * _per_image(np.sqrt(rows[0].size) / lengths, rows.ndim)

    return scaled


def _per_image(values: NDArray[np.float64], ndim: int) -> NDArray[np.float32]:
    return values.astype(np.float32).reshape(-1, *[1] * (ndim - 1))
