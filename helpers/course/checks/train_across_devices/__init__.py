"""Checks of lab 1, *Train across devices*: federated averaging, and what an update leaks."""

from __future__ import annotations

from helpers.course.checks.train_across_devices.dealing import SPLIT
from helpers.course.checks.train_across_devices.measures import TRAFFIC, WORST
from helpers.course.checks.train_across_devices.reading import IMAGES, SHARES
from helpers.course.checks.train_across_devices.training import AVERAGE, UPDATE
from helpers.course.tasks import LabSpec, Memo

__all__ = ["LAB"]

LAB = LabSpec(
    name="train-across-devices",
    number=1,
    title="Train across devices",
    minutes=90,
    tasks=(SPLIT, UPDATE, AVERAGE, TRAFFIC, WORST, IMAGES, SHARES),
    memos=(
        Memo(
            "memo", "Decision memo to the privacy officer",
            words=(150, 300),
            rubric=(
                "Names one setting and says, with this lab's numbers, whether it meets each of "
                "the three criteria, and how steady that is over the last rounds.",
                "States what an update gave away, with a figure beside its control, and for which "
                "devices: how many photographs, which model.",
                "Says who could do this, and what stays true of the officer's sentence.",
                "Names a next step against that leak, and what would have to be measured to know "
                "its cost.",
                "Says what was not measured, or what would change the decision.",
            ),
        ),
    ),
)  # fmt: skip
