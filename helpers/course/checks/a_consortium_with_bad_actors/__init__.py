"""Checks of lab 3, *A consortium with bad actors*: robust, private, and what both cost."""

from __future__ import annotations

from helpers.course.checks.a_consortium_with_bad_actors.masks import BIRTHDAY, DROPOUT, PAIRWISE
from helpers.course.checks.a_consortium_with_bad_actors.own_attack import OWN_ATTACK
from helpers.course.checks.a_consortium_with_bad_actors.rules import (
    KRUM,
    MIXING,
    STRENGTH,
    TRIMMED,
)
from helpers.course.tasks import LabSpec, Memo

__all__ = ["LAB"]

LAB = LabSpec(
    name="a-consortium-with-bad-actors",
    number=3,
    title="A consortium with bad actors",
    minutes=150,
    tasks=(TRIMMED, KRUM, MIXING, STRENGTH, PAIRWISE, DROPOUT, BIRTHDAY, OWN_ATTACK),
    memos=(
        Memo(
            "memo", "Decision memo to the consortium's board",
            words=(150, 300),
            rubric=(
                "Names one design and gives its worst case: the share of cancers found under the "
                "worst attack tried, the learner's own among them, beside that without an attack.",
                "Gives epsilon and delta for one patient, against whoever has the models and "
                "against the server, and says which of the two is unprotected, if one is.",
                "Says with a number why noise at every hospital and a robust rule work against "
                "each other, or why a secret sum and a robust rule do.",
                "Names what the board must trust or enforce for the design to hold, and what one "
                "liar can do where that fails.",
                "Says what the audit found about the library's masks and what follows, and what "
                "remains open: more liars than assumed, one hospital under two names, attacks "
                "nobody tried.",
            ),
        ),
    ),
)  # fmt: skip
