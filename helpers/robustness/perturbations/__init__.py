"""What weather, optics, motion and dirt do to a camera's picture, in five severities each.

Every perturbation is a pure function of a float32 image ``(height, width, 3)`` with values in
[0, 1], a severity 0 to 5 (0 changes nothing) and a random generator. Constants are those of a
picture of 224 pixels a side and scale with the picture: severity 3 is the same weather at 96 pixels
as at 300, and one seed gives the same fog bank, the same drops and the same ghosts at both.

>>> from helpers.robustness import perturbations
>>> foggy = perturbations.fog(image, severity=3, rng=np.random.default_rng(0))
>>> spoilt = perturbations.perturb_batch(images, "rain", severity=3, seed=0)

Light adds up in linear units, not in the gamma-coded values of a file, so blur, fog, rain, glare
and noise are computed on linear light and coded again afterwards.

Where ImageNet-C has the perturbation (defocus, motion blur, fog, JPEG, and shot noise inside
``low_light``), its published constants are used: Hendrycks and Dietterich, *Benchmarking neural
network robustness to common corruptions and perturbations*, ICLR 2019, in the code that they
published, https://github.com/hendrycks/robustness. The others are ours, and their docstrings say
what each constant means. ``benchmarks/perturbation_severity.py`` compares the distortions: on the
same pictures of 224 pixels the structural similarity to the clean picture is within 0.07 of theirs
at every severity.
"""

from helpers.robustness.perturbations.blur import defocus, motion_blur, row_shifts, vibration
from helpers.robustness.perturbations.flare import (
    PARTS,
    Flare,
    Lens,
    add_flare,
    draw_flare,
    flare_light,
)
from helpers.robustness.perturbations.lens import lens_dirt, sun_flare
from helpers.robustness.perturbations.objects import default_patch, occlusion, printed_patch
from helpers.robustness.perturbations.registry import (
    PERTURBATIONS,
    Perturbation,
    Perturbed,
    PerturbedBatch,
    perturb,
    perturb_batch,
)
from helpers.robustness.perturbations.scores import Robustness, robustness
from helpers.robustness.perturbations.sensor import jpeg, low_light
from helpers.robustness.perturbations.weather import fog, rain

__all__ = [
    "PARTS",
    "PERTURBATIONS",
    "Flare",
    "Lens",
    "Perturbation",
    "Perturbed",
    "PerturbedBatch",
    "Robustness",
    "add_flare",
    "default_patch",
    "defocus",
    "draw_flare",
    "flare_light",
    "fog",
    "jpeg",
    "lens_dirt",
    "low_light",
    "motion_blur",
    "occlusion",
    "perturb",
    "perturb_batch",
    "printed_patch",
    "rain",
    "robustness",
    "row_shifts",
    "sun_flare",
    "vibration",
]
