"""Checks of lab 12, *The frontier*: from measured designs to a choice that can be defended."""

from __future__ import annotations

from helpers.course.checks.the_frontier.choosing import CHOSEN, CURSE
from helpers.course.checks.the_frontier.fronts import BUDGET, FRONT, OFTEN, RIGHT
from helpers.course.checks.the_frontier.prices import GAP, SHARE
from helpers.course.tasks import LabSpec, Memo

__all__ = ["LAB"]

LAB = LabSpec(
    name="the-frontier",
    number=12,
    title="The frontier",
    minutes=120,
    tasks=(RIGHT, FRONT, BUDGET, GAP, SHARE, OFTEN, CHOSEN, CURSE),
    memos=(
        Memo(
            "memo", "Choice of a design",
            words=(200, 350),
            rubric=(
                "Names one design (width, training, format) and says that it keeps to every limit "
                "of the budget, with the measured or estimated figure beside each.",
                "States threat model and radius, and gives clean and robust accuracy of the file "
                "that ships on images that chose nothing, each with an interval.",
                "Names the next best designs, what is given up and what is gained against each, "
                "and which of these differences the images do not settle.",
                "Explains from the lab's data why robustness costs the small design more, and "
                "which other explanation the data dropped.",
                "Says what would change the choice: another share of attacks, another radius, "
                "another device; and what was not measured.",
            ),
        ),
    ),
)  # fmt: skip
