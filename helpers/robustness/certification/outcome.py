"""What a certification found: votes, labels and radii, and the accuracies that they certify."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.errors import RobustnessError
from helpers.robustness._checks import require_not_negative
from helpers.robustness.certification.radius import certified_radius, radius_ceiling
from helpers.robustness.curves import Curve
from helpers.robustness.target import proportion_interval

if TYPE_CHECKING:
    from helpers.robustness.certification.smoothing import Smoothing


class Votes(NamedTuple):
    """Votes of one image.

    Attributes
    ----------
    selection, counts
        Votes for each class: of those that chose the class, and of those that bound it.
    """

    selection: tuple[int, ...]
    counts: tuple[int, ...]

    def require(self, image: Any, num_selection: int, num_samples: int) -> None:
        """Raise RobustnessError unless the votes are whole numbers that add up."""
        numbers = (image, *self.selection, *self.counts)
        if (
            any(type(number) is not int or number < 0 for number in numbers)
            or len(self.selection) != len(self.counts)
            or (sum(self.selection), sum(self.counts)) != (num_selection, num_samples)
        ):
            raise RobustnessError(
                f"The votes of image {image!r} do not add up to {num_selection} and {num_samples}."
            )


class Rate(NamedTuple):
    """A proportion of images with its exact interval.

    Attributes
    ----------
    successes, trials
        Images.
    low, high
        Interval (Clopper and Pearson 1934).
    """

    successes: int
    trials: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The proportion."""
        return self.successes / self.trials


@dataclass(frozen=True, eq=False)
class Certification:
    """Certificates of some images. Made by
    :func:`~helpers.robustness.certification.smoothing.certify`.

    Attributes
    ----------
    selection, counts
        int64 ``(n, classes)``: votes that chose the class, and votes that bound its probability.
    smoothing
        How it was smoothed, and the promise.
    alpha_each
        Error probability that each certificate spends.
    artefact, images
        Hashes of the model and of the images.
    """

    selection: NDArray[np.int64]
    counts: NDArray[np.int64]
    smoothing: Smoothing
    alpha_each: float
    artefact: str
    images: str

    @classmethod
    def of_votes(
        cls,
        votes: Sequence[Votes],
        smoothing: Smoothing,
        alpha_each: float,
        artefact: str,
        images: str,
    ) -> Certification:
        """Put the votes of single images together.

        Raises
        ------
        RobustnessError
            If the images differ in the number of their classes.
        """
        if len({len(vote.counts) for vote in votes}) != 1:
            raise RobustnessError("The images' votes differ in the number of classes.")
        selection, counts = (
            np.array([getattr(vote, name) for vote in votes], np.int64)
            for name in ("selection", "counts")
        )
        return cls(selection, counts, smoothing, alpha_each, artefact, images)

    def __len__(self) -> int:
        return len(self.counts)

    @cached_property
    def candidates(self) -> NDArray[np.int64]:
        """int64 ``(n,)``: the class with most of the selecting votes, the lowest of several."""
        return np.argmax(self.selection, axis=1).astype(np.int64)

    @cached_property
    def radii(self) -> NDArray[np.float64]:
        """float64 ``(n,)``: certified radii, 0 where the answer is to abstain."""
        chosen = self.counts[np.arange(len(self)), self.candidates]
        sigma, trials = self.smoothing.sigma, self.smoothing.num_samples
        known = {
            count: certified_radius(sigma, count, trials, self.alpha_each)
            for count in set(chosen.tolist())
        }
        return np.array([known[count] for count in chosen.tolist()])

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """int64 ``(n,)``: the certified classes, -1 where the answer is to abstain."""
        return np.where(self.radii > 0, self.candidates, -1)

    @property
    def ceiling(self) -> float:
        """The radius that no certificate can exceed with so many votes."""
        return radius_ceiling(self.smoothing.sigma, self.smoothing.num_samples, self.alpha_each)

    @property
    def abstained(self) -> float:
        """Share of the images without an answer."""
        return float((self.labels < 0).mean())

    def certified(self, truth: ArrayLike, radius: float = 0.0) -> NDArray[Any]:
        """Return which images are right, and certified to stay so within a radius.

        Parameters
        ----------
        truth
            True classes, ``(n,)``. To abstain is to be wrong.
        radius
            At least 0; a certificate covers what lies strictly inside its radius, so one as large
            as ``radius`` counts.

        Returns
        -------
        numpy.ndarray
            bool ``(n,)``.

        Raises
        ------
        RobustnessError
            If the classes do not fit, or the radius is negative.
        """
        right = np.asarray(truth)
        if right.shape != (len(self),) or right.dtype.kind not in "iu":
            raise RobustnessError(
                f"truth of shape {right.shape} and type {right.dtype} must be {len(self)} class "
                "indices."
            )
        require_not_negative("radius", radius)
        return np.asarray((self.labels == right) & (self.radii >= radius))


def certified_accuracy_curve(
    certification: Certification,
    truth: ArrayLike,
    radii: Sequence[float],
    *,
    confidence: float = 0.95,
) -> Curve:
    """Return the share of images that are right and certified to stay so, at each radius.

    Parameters
    ----------
    certification
        Of some images.
    truth
        True classes, ``(n,)``.
    radii
        Rising, at least 0.
    confidence
        Of each interval, which speaks of other images of the same kind; the error probability of
        the certificates themselves comes on top.

    Returns
    -------
    Curve
        Certified accuracy at each radius.

    Raises
    ------
    RobustnessError
        If the classes do not fit, or the radii do not rise.
    """
    at = np.asarray(radii, np.float64)
    if at.ndim != 1 or not len(at) or (np.diff(at) <= 0).any():
        raise RobustnessError(f"radii={list(radii)} must be a rising list.")
    counts = [int(certification.certified(truth, float(radius)).sum()) for radius in at]
    trials = len(certification)
    ends = np.array([proportion_interval(count, trials, confidence) for count in counts])
    return Curve(at, np.array(counts, np.int64), trials, ends[:, 0], ends[:, 1])


class Diagnosis(NamedTuple):
    """Certified accuracy taken apart, as a clinic reads it.

    Attributes
    ----------
    accuracy
        Of all images.
    sensitivity
        Of the images with the disease: found, and certified to stay found.
    specificity
        Of the images without: cleared, and certified to stay so.
    """

    accuracy: Rate
    sensitivity: Rate
    specificity: Rate


def diagnosis(
    certification: Certification,
    truth: ArrayLike,
    positive: Collection[int],
    radius: float = 0.0,
    *,
    confidence: float = 0.95,
) -> Diagnosis:
    """Return certified accuracy, sensitivity and specificity at a radius, with intervals.

    An image counts if its certified class is on the right side, diseased or not, and its radius
    reaches ``radius``; which of several diseases it is matters to the accuracy alone. To abstain is
    an error on either side.

    Parameters
    ----------
    certification
        Of some images.
    truth
        True classes, ``(n,)``.
    positive
        Classes that are the disease.
    radius
        Within which the answer must hold.
    confidence
        Of each interval.

    Returns
    -------
    Diagnosis
        The three rates.

    Raises
    ------
    RobustnessError
        If the classes do not fit, or there is no image with the disease or none without.
    """
    right = certification.certified(truth, radius)
    ill = np.isin(np.asarray(truth), list(positive))
    if ill.all() or not ill.any():
        raise RobustnessError(
            f"positive={sorted(positive)} leaves {int(ill.sum())} of {len(ill)} images on one "
            "side: sensitivity needs images with the disease, and specificity some without."
        )
    held = (certification.labels >= 0) & (certification.radii >= radius)
    found = np.isin(certification.labels, list(positive))
    return Diagnosis(
        _rate(right, confidence),
        _rate((held & found)[ill], confidence),
        _rate((held & ~found)[~ill], confidence),
    )


def _rate(good: NDArray[Any], confidence: float) -> Rate:
    successes, trials = int(good.sum()), len(good)
    return Rate(successes, trials, *proportion_interval(successes, trials, confidence))
