"""Checks of lab 11, *The lens-flare incident*: from a field log to a tested fix."""

from __future__ import annotations

from helpers.course.checks.the_lens_flare_incident.fixing import FILTER, FLAG
from helpers.course.checks.the_lens_flare_incident.pairs import MANY, PAIRED, STRATA
from helpers.course.checks.the_lens_flare_incident.waves import BAND, SHARE
from helpers.course.tasks import LabSpec, Memo

__all__ = ["LAB"]

LAB = LabSpec(
    name="the-lens-flare-incident",
    number=11,
    title="The lens-flare incident",
    minutes=120,
    tasks=(STRATA, SHARE, BAND, PAIRED, FILTER, FLAG, MANY),
    memos=(
        Memo(
            "memo", "Incident report",
            words=(200, 350),
            rubric=(
                "Says what failed, for whom and how often, with an interval, and on which evidence "
                "the cause rests: each hypothesis with the measurement that dropped or kept it.",
                "Says which explanation one would have guessed, and what the measurement said "
                "about it.",
                "Proposes one fix with its cost on the device, its gain under flare with an "
                "interval, and every other condition that it made worse.",
                "Says where the fix does not hold: strength, lens, worst place of the sun, real "
                "photographs; what the robot does there instead, and whether the camera has a sign "
                "that it cannot see.",
                "Names what enters the release gate and what is watched in the field from now on, "
                "and separates what was measured on drawn streets from what was not.",
            ),
        ),
    ),
)  # fmt: skip
