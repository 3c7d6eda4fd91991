"""Checks of lab 7, *Whose model is it?*: from a message in a kernel to a claim in court."""

from __future__ import annotations

from helpers.course.checks.whose_model_is_it.court import COMMIT, HEARD
from helpers.course.checks.whose_model_is_it.evidence import NEEDED, P_VALUE, RATE, READ
from helpers.course.checks.whose_model_is_it.forgery import FORGE
from helpers.course.tasks import LabSpec, Memo

__all__ = ["LAB"]

LAB = LabSpec(
    name="whose-model-is-it",
    number=7,
    title="Whose model is it?",
    minutes=120,
    tasks=(READ, RATE, P_VALUE, NEEDED, COMMIT, HEARD, FORGE),
    memos=(
        Memo(
            "memo", "Decision memo to general counsel",
            words=(150, 300),
            rubric=(
                "Says against which suspects to go to court and against which not, where each "
                "count and p-value can be read, and the largest chance of a false claim, in words "
                "that a judge can read.",
                "Says what the null was measured on, and why a model trained on the same words "
                "without ours is acquitted.",
                "Names what no mark shows here, the copy made from answers, and what would be done "
                "about it in the next product, and what has to be measured first.",
                "Explains what the dated commitment is for, and what happens to whoever comes with "
                "a key of their own.",
                "Separates what was measured on this small spotter from what still has to be "
                "measured on the product.",
            ),
        ),
    ),
)  # fmt: skip
