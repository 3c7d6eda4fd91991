"""Checks of lab 4, *Deploy it for real*: who gets in, what counts, what stands after a crash."""

from __future__ import annotations

from helpers.course.checks.deploy_it_for_real.certificates import CERTIFICATE
from helpers.course.checks.deploy_it_for_real.incidents import LAYERS, WHO_STOPPED_IT
from helpers.course.checks.deploy_it_for_real.records import DEADLINE, RESUME, STANDING
from helpers.course.checks.deploy_it_for_real.updates import GATE, SIGNED
from helpers.course.tasks import LabSpec, Memo

__all__ = ["LAB", "LAYERS"]

LAB = LabSpec(
    name="deploy-it-for-real",
    number=4,
    title="Deploy it for real",
    minutes=120,
    tasks=(CERTIFICATE, SIGNED, GATE, DEADLINE, RESUME, STANDING, WHO_STOPPED_IT),
    memos=(
        Memo(
            "memo", "Run-book: a hospital has been broken into",
            words=(150, 300),
            rubric=(
                "Steps in order, each with who does it: cut off, find out what was counted, go "
                "back, go on. Revocation comes before the search for causes.",
                "Says what each step does not do: what a revoked certificate still leaves in the "
                "model, and what the restart of a server keeps.",
                "Names from which round on the model is not to be trusted, how that was found, and "
                "that a copy of a checkpoint from before has to exist by then.",
                "Gives the evidence that nothing is counted twice, with the measured difference, "
                "and says what that evidence cannot show.",
                "Reviews one flow by zero trust: who is verified, at which layer, for how long it "
                "holds, and which lie goes through; proposes what would stop that one.",
            ),
        ),
    ),
)  # fmt: skip
