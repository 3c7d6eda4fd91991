"""Checks of lab 8, *Fool the camera on the Pi*: from a pixel level to a number to sign."""

from __future__ import annotations

from helpers.course.checks.fool_the_camera_on_the_pi.answers import FALL, FLAT, WITHIN
from helpers.course.checks.fool_the_camera_on_the_pi.judging import INTERVAL, WORST
from helpers.course.checks.fool_the_camera_on_the_pi.steps import FGSM, LEVELS, STEP
from helpers.course.tasks import LabSpec, Memo

__all__ = ["LAB"]

LAB = LabSpec(
    name="fool-the-camera-on-the-pi",
    number=8,
    title="Fool the camera on the Pi",
    minutes=120,
    tasks=(LEVELS, FGSM, STEP, WORST, INTERVAL, WITHIN, FLAT, FALL),
    memos=(
        Memo(
            "memo", "Decision memo to the head of product",
            words=(150, 300),
            rubric=(
                "Decides: ship, ship with conditions, or hold; and says what the camera may not "
                "be trusted to do alone.",
                "States the robust accuracy with its radius in pixel levels, its interval, the "
                "number of images and the attacks, says what the checklist for blind attacks "
                "showed, and calls it an upper bound.",
                "Says what int8 changed and what it did not, and why the black-box figure is not "
                "a measure of robustness.",
                "Names who can mount which attack: somebody with the file, somebody who may only "
                "ask, somebody with a printer; and rates them.",
                "Separates what was measured here from what still has to be measured: other "
                "images, the real scene through the lens, the camera's own speed and limits.",
            ),
        ),
    ),
)  # fmt: skip
