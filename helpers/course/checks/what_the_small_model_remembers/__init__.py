"""Checks of lab 6, *What the small model remembers*: members, faces, and what can be fixed."""

from __future__ import annotations

from helpers.course.checks.what_the_small_model_remembers.faces import FACES
from helpers.course.checks.what_the_small_model_remembers.members import MEMBERS
from helpers.course.tasks import LabSpec, Memo

__all__ = ["LAB"]

LAB = LabSpec(
    name="what-the-small-model-remembers",
    number=6,
    title="What the small model remembers",
    minutes=120,
    tasks=(*MEMBERS, *FACES),
    memos=(
        Memo(
            "memo", "Decision memo to the clinic's data protection officer",
            words=(150, 300),
            rubric=(
                "Answers the vendor's sentence with two measurements, one of the reader and one "
                "of the recogniser: what eight bits change, beside what they do not.",
                "Names one reader and says against each limit in the brief whether it holds, with "
                "the interval, and what it costs in digits read.",
                "Says which of the remedies comes with a promise against every attack and which "
                "was only measured against these, and what that means for the choice.",
                "Says what the thief of a mended terminal holds, what he does not, and what "
                "happens to somebody who leaves the clinic.",
                "Names what was not measured: other attackers, more photographs, other people.",
            ),
        ),
    ),
)  # fmt: skip
