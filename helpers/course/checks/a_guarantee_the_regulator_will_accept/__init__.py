"""Checks of lab 10, *A guarantee the regulator will accept*: from votes to a certificate."""

from __future__ import annotations

from helpers.course.checks.a_guarantee_the_regulator_will_accept.clinic import LIGHT, RATES
from helpers.course.checks.a_guarantee_the_regulator_will_accept.trust import (
    CATCHERS,
    CAUGHT_BY,
    STEP,
    TAMPERINGS,
)
from helpers.course.checks.a_guarantee_the_regulator_will_accept.votes import (
    BOUND,
    CERTIFY,
    COPIES,
    NEEDED,
)
from helpers.course.tasks import LabSpec, Memo

__all__ = ["CATCHERS", "LAB", "TAMPERINGS"]

LAB = LabSpec(
    name="a-guarantee-the-regulator-will-accept",
    number=10,
    title="A guarantee the regulator will accept",
    minutes=120,
    tasks=(COPIES, BOUND, CERTIFY, NEEDED, RATES, LIGHT, STEP, CAUGHT_BY),
    memos=(
        Memo(
            "memo", "Decision memo to the regulator",
            words=(150, 300),
            rubric=(
                "States the guarantee as one sentence that could be tested: which file, which norm "
                "and radius, what share of which lesions, with what error probability, and whether "
                "that is for each certificate or for all together.",
                "Says what computes the answer: the vote over noisy copies, how many votes the "
                "device really takes and whether the rates were certified with as many, what that "
                "costs on the named device as an estimate with its range, that a single run of the "
                "file has no guarantee, and what a finite vote may do at the edge of the radius.",
                "Names each of the six criteria that was not met, and what is therefore not "
                "claimed or asked for; or says that all six were met.",
                "Gives sensitivity and specificity with their intervals, from how many lesions, "
                "counts abstentions as errors, and says that the lesions are drawn.",
                "Names what the guarantee does not cover, with a number from this lab: light and "
                "camera, a stable answer that is wrong, other patients than those tested.",
                "Says who can check the certificate and what a check cannot show, and asks for "
                "what would show it.",
            ),
        ),
    ),
)  # fmt: skip
