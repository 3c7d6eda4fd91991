"""Checks of lab 14, *Ship a defended speaker*: the joints between the parts, and the case."""

from __future__ import annotations

from helpers.course.checks.ship_a_defended_speaker.case import CATCHES, CAUGHT, LUCK, STATE
from helpers.course.checks.ship_a_defended_speaker.joints import FARTHEST, PERSON, SPENT, WORSE
from helpers.course.tasks import LabSpec, Memo

__all__ = ["CATCHES", "LAB"]

LAB = LabSpec(
    name="ship-a-defended-speaker",
    number=14,
    title="Ship a defended speaker",
    minutes=180,
    tasks=(PERSON, SPENT, WORSE, FARTHEST, STATE, LUCK, CAUGHT),
    memos=(
        Memo(
            "memo", "Release decision to the head of product",
            words=(200, 400),
            rubric=(
                "Says first whether the file ships, to whom and until when, and names the claims "
                "that its evidence does not support instead of leaving them out.",
                "States the privacy guarantee for a person, not for a clip, and says why marking "
                "and quantising did not spend more.",
                "Says what the attack and the certificate each show, and why the certificate does "
                "not hold on the speaker while it listens.",
                "Names every open risk that the threat model demanded, with its owner and the day "
                "on which its decision ends.",
                "Says which of the tricks played on the case no machine caught, and which rule or "
                "person is to catch them next time.",
                "Separates what was measured on synthetic voices from what a pilot has to show.",
            ),
        ),
    ),
)  # fmt: skip
