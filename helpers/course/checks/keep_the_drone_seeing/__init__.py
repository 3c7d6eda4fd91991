"""Checks of lab 9, *Keep the drone seeing*: from one overlap to an acceptance report."""

from __future__ import annotations

from helpers.course.checks.keep_the_drone_seeing.acceptance import FRONT, MPC, VERDICT
from helpers.course.checks.keep_the_drone_seeing.defence import HIDDEN, STRETCH
from helpers.course.checks.keep_the_drone_seeing.scores import JUDGE, OVERLAP, PRECISION
from helpers.course.tasks import LabSpec, Memo

__all__ = ["LAB"]

LAB = LabSpec(
    name="keep-the-drone-seeing",
    number=9,
    title="Keep the drone seeing",
    minutes=120,
    tasks=(OVERLAP, JUDGE, PRECISION, MPC, VERDICT, STRETCH, HIDDEN, FRONT),
    memos=(
        Memo(
            "memo", "Acceptance memo to the flight safety board",
            words=(150, 300),
            rubric=(
                "Says what ships and what does not, and for which weather the drone may fly, with "
                "the perturbation that is worst and its interval.",
                "Names each criterion that is not met or open, and what would settle it.",
                "Says that the latency is an estimate, on what it rests, how wide it is, and what "
                "would be measured before the first flight.",
                "Separates weather, which does not aim, from a patch, which does, and gives the "
                "patch's own figure.",
                "Says that the streets are drawn, and what is known of photographs.",
            ),
        ),
    ),
)  # fmt: skip
