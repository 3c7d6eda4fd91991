"""Draw anew: were the counts of a certificate drawn from this file and these images at all?

The verifier shows that radii follow from counts. Here somebody who has the artefact and the images
takes a random part of the images, votes with noise of a seed that the certificate's author could
not know, and compares.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from helpers._files import hashes
from helpers.errors import RobustnessError
from helpers.robustness._checks import require_whole
from helpers.robustness.certification.outcome import Certification
from helpers.robustness.certification.radius import require_alpha
from helpers.robustness.certification.smoothing import Classifier, certify


@dataclass(frozen=True, eq=False)
class SpotCheck:
    """Votes drawn anew beside those of the certificate. Made by :func:`spot_check`.

    Attributes
    ----------
    images
        int64 ``(m,)``: positions of the images that were checked.
    claimed, drawn
        int64 ``(m,)``: votes for the certified class, in the certificate and anew.
    p_values
        float64 ``(m,)``: chance that honest votes favour the certificate as much or more.
    level
        At or below which a p-value is an alarm: the false-alarm probability shared among the
        images.
    """

    images: NDArray[np.int64]
    claimed: NDArray[np.int64]
    drawn: NDArray[np.int64]
    p_values: NDArray[np.float64]
    level: float

    @property
    def alarms(self) -> NDArray[np.int64]:
        """Positions ``(k,)`` of the images whose counts cannot well be honest."""
        return self.images[self.p_values <= self.level]

    @property
    def passed(self) -> bool:
        """Whether there is no alarm."""
        return not len(self.alarms)


def spot_check(
    certification: Certification,
    classifier: Classifier,
    images: ArrayLike,
    *,
    seed: int,
    num_images: int = 20,
    num_samples: int = 1000,
    false_alarm: float = 0.01,
    batch_size: int = 256,
    progress: bool = False,
) -> SpotCheck:
    """Vote again on a random part of the certified images, and compare.

    Whether the certificate's votes and the new ones have one probability is tested for each image
    by Fisher's exact test, on the side that helps a forger: too many votes claimed. An honest
    certificate raises an alarm with probability ``false_alarm`` at most, over all images together
    (Bonferroni).

    Parameters
    ----------
    certification
        Read from the certificate.
    classifier
        The artefact, opened by whoever checks.
    images
        All images of the certificate, in its order.
    seed
        Of images and noise; one that the author could not know.
    num_images
        Images to check, of those with an answer; all of them if there are fewer.
    num_samples
        New votes an image. The more, the smaller a lie is seen.
    false_alarm
        Probability that an honest certificate is suspected, at most.
    batch_size
        Most noisy copies at a time.
    progress
        Whether to show a progress bar.

    Returns
    -------
    SpotCheck
        Votes, p-values and alarms.

    Raises
    ------
    RobustnessError
        If the certificate is about another artefact or other images, or answers nothing.
    """
    clean = np.ascontiguousarray(images, np.float32)
    require_whole("num_images", num_images, at_least=1)
    require_alpha(false_alarm)
    if hashes([clean]) != certification.images:
        raise RobustnessError("These are not the images of the certificate: their hash differs.")
    if classifier.sha256 != certification.artefact:
        raise RobustnessError("This is not the artefact of the certificate: its hash differs.")
    answered = np.flatnonzero(certification.labels >= 0)
    if not len(answered):
        raise RobustnessError(
            "The certificate abstains on every image: there is no claim to check."
        )
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(answered)[:num_images])
    again = replace(
        certification.smoothing,
        num_selection=1,
        num_samples=num_samples,
        seed=int(rng.integers(2**63)),
        guarantee="each",
    )
    new = certify(classifier, clean[chosen], again, batch_size=batch_size, progress=progress)
    labels = certification.labels[chosen]
    claimed = certification.counts[chosen, labels]
    drawn = new.counts[np.arange(len(chosen)), labels]
    before = certification.smoothing.num_samples
    p_values = stats.hypergeom.sf(claimed - 1, before + num_samples, claimed + drawn, before)
    return SpotCheck(chosen, claimed, drawn, p_values, false_alarm / len(chosen))
