"""Evidence without a mark: where a model's decisions turn, and how deep its training data lies.

Both need no change to the model, and neither has a null that a secret could fix: models trained on
like data are like each other. Only independent models can say how much.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from helpers.errors import WatermarkError
from helpers.watermark._checks import require_examples, require_positive, require_whole
from helpers.watermark.folding import suspect_of
from helpers.watermark.key import Key
from helpers.watermark.scheme import Access, Reading, Scheme
from helpers.watermark.suspect import Suspect
from helpers.watermark.training import copy_of
from helpers.watermark.triggers import span

if TYPE_CHECKING:
    import tensorflow as tf


class Unmarked(Scheme):
    """What the schemes of this module share: nothing is embedded, and no chance is known."""

    access: ClassVar[Access] = "queries"

    @property
    def chance(self) -> None:
        """None: only independent models can tell."""
        return None

    def embed(
        self,
        model: tf.keras.Model,
        x: np.ndarray,
        y: np.ndarray,
        key: Key,
        seed: int = 0,
        progress: bool = False,
    ) -> tf.keras.Model:
        """Return a copy of the model as it is."""
        return copy_of(model)


@dataclass(frozen=True, eq=False)
class BoundaryFingerprint(Unmarked):
    """Points just beside the owner's decision boundaries, and the side each of them lies on.

    A copy of the weights decides as the owner's model does; a model trained independently has its
    boundaries elsewhere and misses many. :meth:`of` finds the points.

    Attributes
    ----------
    points
        float32 ``(n, ...)``.
    labels
        The owner's answers ``(n,)``.

    References
    ----------
    Cao, Jia and Gong, *IPGuard: protecting intellectual property of deep neural networks via
    fingerprinting the classification boundary*, AsiaCCS 2021, doi:10.1145/3433210.3437526.
    """

    name: ClassVar[str] = "boundary fingerprint"
    shows: ClassVar[str] = "the suspect decides as the owner's model does"
    points: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        require_examples("points", self.points, self.labels)

    @classmethod
    def of(
        cls,
        model: tf.keras.Model,
        x: np.ndarray,
        key: Key,
        count: int = 64,
        gap: float = 2.0,
        steps: int = 200,
        step_size: float = 0.1,
        progress: bool = False,
    ) -> BoundaryFingerprint:
        """Walk from inputs, and from a class to another, until the two logits all but meet.

        Parameters
        ----------
        model
            The owner's; gives logits.
        x
            Inputs to start from, ``(n, ...)``; the key chooses them and the classes to walk to.
        key
            The owner's secret.
        count
            Number of points.
        gap
            How far the answer's logit stays above the next. IPGuard's k: points with a large one
            survive more changes of the model and are shared by more innocents.
        steps, step_size
            Of Adam, on the inputs, in units of the features' standard deviation.
        progress
            Whether to show a progress bar.

        Raises
        ------
        WatermarkError
            If a setting is not positive, or fewer than half the walks arrive.
        """
        require_whole("count", count, at_least=1)
        require_whole("steps", steps, at_least=1)
        require_positive("gap", gap)
        require_positive("step_size", step_size)
        import tensorflow as tf

        scale = float(np.std(x))
        # Beyond the data's range the device's quantiser would clip and answer another question
        low, high = span(x)
        starts = np.clip(x[key.integers("starts", len(x), count)], low, high)
        suspect = suspect_of(model)
        sources = suspect.labels(starts)
        classes = int(model.output_shape[-1])
        targets = (sources + 1 + key.integers("targets", classes - 1, count)) % classes
        points = tf.Variable(starts / scale)
        optimiser = tf.keras.optimizers.Adam(step_size)
        wanted, other = tf.one_hot(targets, classes), tf.one_hot(sources, classes)

        @tf.function
        def walk() -> tf.Tensor:
            with tf.GradientTape() as tape:
                logits = model(points * scale, training=False)
                at_target = tf.reduce_sum(logits * wanted, axis=1)
                at_source = tf.reduce_sum(logits * other, axis=1)
                rest = tf.reduce_max(logits - 1e9 * (wanted + other), axis=1)
                # The target shall lead the source by the gap, no more, and the rest stay behind
                lead = at_target - tf.maximum(at_source, rest) - gap
                loss = tf.reduce_sum(lead**2)
            optimiser.apply_gradients([(tape.gradient(loss, points), points)])
            points.assign(tf.clip_by_value(points, low / scale, high / scale))
            return loss

        for _ in tqdm(range(steps), desc="boundary", disable=not progress):
            walk()
        found = (points.numpy() * scale).astype(np.float32)
        arrived = suspect.labels(found) == targets
        if arrived.mean() < 0.5:
            raise WatermarkError(
                f"{int(arrived.sum())} of {count} walks reached a boundary: take more steps than "
                f"{steps} or larger ones than {step_size}."
            )
        return cls(found[arrived], targets[arrived])

    def read(self, suspect: Suspect, key: Key) -> Reading:
        """Ask every point; the key plays no part. See :meth:`Scheme.read`."""
        return Reading(int(np.sum(suspect.labels(self.points) == self.labels)), len(self.points))


@dataclass(frozen=True, eq=False)
class DatasetInference(Unmarked):
    """Whether a suspect is surer of the owner's private data than of data nobody trained on.

    Each clip is pushed in random directions until the suspect changes its mind. Clips that it was
    trained on tend to hold out longer. The evidence is the probability that a private clip holds
    out longer than an unseen one, with ties for half: 1/2 for a model that knows neither.

    This tests use of the *data*. A customer to whom the data was licensed, and who trained a model
    of their own on it, shows the same evidence as a thief of the model.

    Attributes
    ----------
    private, unseen
        Inputs ``(n, ...)`` of the owner's training set, and of the same kind but never used.
    private_labels, unseen_labels
        Their labels ``(n,)``.
    directions
        Random directions an input.
    steps
        Pushes in each, doubling in length.

    References
    ----------
    The label-only "blind walk" of Maini, Yaghini and Papernot, *Dataset inference: ownership
    resolution in machine learning*, ICLR 2021, arXiv:2104.10706; the statistic is simpler here, a
    rank sum instead of a trained regressor.
    """

    name: ClassVar[str] = "dataset inference"
    shows: ClassVar[str] = "the suspect was trained on the owner's data, with leave or without"
    private: NDArray[np.float32]
    private_labels: NDArray[np.integer]
    unseen: NDArray[np.float32]
    unseen_labels: NDArray[np.integer]
    directions: int = 4
    steps: int = 6

    def __post_init__(self) -> None:
        require_whole("directions", self.directions, at_least=1)
        require_whole("steps", self.steps, at_least=1)
        require_examples("private", self.private, self.private_labels)
        require_examples("unseen", self.unseen, self.unseen_labels)
        if not np.std(self.private) > 0:
            raise WatermarkError("private inputs are all alike: a push has no length to go by.")

    def read(self, suspect: Suspect, key: Key) -> Reading:
        """Compare how long the two kinds of clips hold out; see :meth:`Scheme.read`."""
        scale = 0.1 * float(np.std(self.private))
        held = [
            self._endurance(suspect, key, x, y, scale)
            for x, y in (
                (self.private, self.private_labels),
                (self.unseen, self.unseen_labels),
            )
        ]
        longer = np.greater.outer(*held).sum() + 0.5 * np.equal.outer(*held).sum()
        return Reading(round(longer), len(held[0]) * len(held[1]))

    def _endurance(
        self, suspect: Suspect, key: Key, x: ArrayLike, y: ArrayLike, scale: float
    ) -> NDArray[np.int64]:
        """Count the pushes, over all directions, after which the answer is still right."""
        values = np.asarray(x, np.float32)
        held = np.zeros(len(values), np.int64)
        for direction in range(self.directions):
            signs = key.signs(f"push {direction}", values.shape[1:])
            pushed = [values + np.float32(scale * 2**step) * signs for step in range(self.steps)]
            # All of them in one question: asking takes longer than answering.
            given = suspect.labels(np.concatenate(pushed)).reshape(self.steps, -1)
            held += np.logical_and.accumulate(given == np.asarray(y)).sum(axis=0)
        return held
