"""What training does to each picture before the network sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from helpers.errors import RobustnessError
from helpers.robustness._checks import require_not_negative
from helpers.robustness.perturbations.image import Image
from helpers.robustness.perturbations.registry import PERTURBATIONS, find, perturb


@dataclass(frozen=True)
class Augmentation:
    """A recipe of random changes.

    Every picture is turned by quarters and mirrored: seen from above, no direction is special.

    Parameters
    ----------
    colour
        Largest change of brightness and of contrast, as a share; 0 for none.
    perturbations
        Names from ``PERTURBATIONS``, one drawn for each picture that is spoilt. Empty for none.
    severities
        Severities to draw from.
    share
        Share of the pictures that are spoilt; the others keep the network good on clean ones.
    blur, noise, erase
        Largest deviation of a Gaussian blur (pixels), largest deviation of Gaussian noise (of full
        scale), and largest share of the picture that a rectangle of one colour covers; 0 for none.
        Each picture draws each anew.

    Raises
    ------
    RobustnessError
        If a name is unknown or a number outside its range.
    """

    colour: float = 0.1
    perturbations: Sequence[str] = field(default=())
    severities: Sequence[int] = (1, 2, 3, 4)
    share: float = 0.6
    blur: float = 0.0
    noise: float = 0.0
    erase: float = 0.0

    def __post_init__(self) -> None:
        for name in self.perturbations:
            find(name)
        if not 0 <= self.colour < 1 or not 0 <= self.share <= 1:
            raise RobustnessError(
                f"colour={self.colour} must be in [0, 1) and share={self.share} in [0, 1]."
            )
        require_not_negative("blur", self.blur)
        require_not_negative("noise", self.noise)
        if not 0 <= self.erase < 1:
            raise RobustnessError(f"erase={self.erase} must be in [0, 1).")
        if not self.severities or not set(self.severities) <= set(range(1, 6)):
            raise RobustnessError(f"severities={self.severities} must be some of 1 to 5.")

    @classmethod
    def generic(cls) -> Augmentation:
        """Return what a training library offers: strong colour changes, blur, noise, a cut-out.

        It knows nothing of the perturbations of the suite, so what it gains on them is what a
        detector gains on weather that nobody foresaw.

        References
        ----------
        DeVries and Taylor, *Improved regularization of convolutional neural networks with cutout*,
        arXiv:1708.04552, for the rectangle.
        """
        return cls(colour=0.4, blur=2.0, noise=0.08, erase=0.1)

    @classmethod
    def physical(cls, without: Sequence[str] = ()) -> Augmentation:
        """Return the recipe with every perturbation of the suite, or all but some.

        A detector that trained on the very perturbations that it is tested on shows how well it
        learnt them. Leave one out to see what the others teach about it.
        """
        for name in without:
            find(name)
        return cls(perturbations=tuple(name for name in PERTURBATIONS if name not in without))

    def __call__(
        self,
        image: NDArray[np.float32],
        boxes: NDArray[np.float32],
        rng: np.random.Generator,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return a changed image ``(side, side, 3)`` and its boxes ``(k, 4)``."""
        image, boxes = _turned(image, boxes, int(rng.integers(4)), bool(rng.integers(2)))
        if self.colour:
            gain, shift = rng.uniform(-self.colour, self.colour, 2)
            image = np.clip((image - 0.5) * (1 + gain) + 0.5 + shift, 0, 1).astype(np.float32)
        image = self._roughened(image, rng)
        if self.perturbations and rng.random() < self.share:
            name = self.perturbations[rng.integers(len(self.perturbations))]
            severity = int(rng.choice(list(self.severities)))
            image, moved = perturb(image, name, severity, rng, boxes)
            boxes = boxes if moved is None else moved
        return image, boxes

    def _roughened(self, image: NDArray[np.float32], rng: np.random.Generator) -> Image:
        """Blur, add noise, cut out; what is 0 draws nothing, so older runs repeat."""
        if self.blur:
            from scipy.ndimage import gaussian_filter

            sigma = rng.uniform(0.0, self.blur)
            image = gaussian_filter(image, (sigma, sigma, 0.0))
        if self.noise:
            image = image + rng.normal(0.0, rng.uniform(0.0, self.noise), image.shape)
        if self.erase:
            image = image.copy()
            height, width = image.shape[:2]
            area, shape = rng.uniform(0.0, self.erase), np.exp(rng.uniform(-0.7, 0.7))
            tall, wide = height * np.sqrt(area * shape), width * np.sqrt(area / shape)
            top, left = rng.uniform(-tall, height), rng.uniform(-wide, width)
            rows = slice(max(0, round(top)), max(0, round(top + tall)))
            columns = slice(max(0, round(left)), max(0, round(left + wide)))
            image[rows, columns] = rng.random(3)
        return np.clip(image, 0.0, 1.0).astype(np.float32)


def _turned(
    image: NDArray[np.float32], boxes: NDArray[np.float32], quarters: int, mirrored: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Turn a picture counter-clockwise by quarters, then mirror it left to right."""
    turned = np.rot90(image, quarters)
    for quarter in range(quarters):
        width = image.shape[1] if quarter % 2 == 0 else image.shape[0]
        x1, y1, x2, y2 = boxes.T
        boxes = np.stack([y1, width - x2, y2, width - x1], axis=1)
    if mirrored:
        turned = turned[:, ::-1]
        x1, y1, x2, y2 = boxes.T
        boxes = np.stack([turned.shape[1] - x2, y1, turned.shape[1] - x1, y2], axis=1)
    return np.ascontiguousarray(turned), boxes.astype(np.float32)
